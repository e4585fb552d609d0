//! What is left when no session is: nothing, or the engine leaks.

use crate::wire::Payload;

use super::Scheduler;

impl<P: Payload> Scheduler<P> {
    /// What is still kept of sessions, in words; `None` when that is nothing. For tests: it looks at everything.
    pub fn left_over(&self) -> Option<String> {
        let (ghosts, orphans) = (self.ghosts.values().sum::<u64>(), self.orphans.len() as u64);
        let nodes = || self.nodes.iter().map(|(_, node)| node);
        let kept = [
            ("sessions", self.sessions.len() as u64),
            ("elements at nodes", self.assigned),
            ("pending elements", self.pending),
            ("bytes", self.bytes),
            ("arrays", self.arrays.len() as u64),
            ("functions", self.functions.iter().count() as u64),
            ("options", self.options.iter().count() as u64),
            ("classes", self.classes.iter().count() as u64),
            ("objects", self.objects.len() as u64),
            ("elements without a session", ghosts),
            ("sessions without a client", orphans),
            (
                "books of nodes",
                nodes().map(|node| node.book.len() as u64).sum(),
            ),
            (
                "functions at nodes",
                nodes().map(|node| node.functions.len() as u64).sum(),
            ),
        ];
        let kept: Vec<_> = kept.iter().filter(|(_, count)| *count > 0).collect();
        let words: Vec<_> = kept
            .iter()
            .map(|(what, count)| format!("{count} {what}"))
            .collect();
        (!words.is_empty()).then(|| words.join(", "))
    }
}
