//! Cancelling: what is pending has its outcome at once, what is at a node when the node answers.
//!
//! An outcome that reaches the scheduler before the cancel has won; whatever comes after is `Cancelled`.

use std::collections::BTreeMap;

use crate::wire::{Message, Payload, Range, Sequence};

use super::arrays::{NodeIndex, SessionIndex};
use super::Scheduler;

impl<P: Payload> Scheduler<P> {
    pub(super) fn cancel(&mut self, owner: SessionIndex, first: Sequence, count: u64) {
        let end = first.saturating_add(count);
        let mut at_nodes: BTreeMap<NodeIndex, Vec<Range>> = BTreeMap::new();
        for index in self.arrays_in(owner, first, end) {
            let (start, stop) = self.arrays[index].clip(first, end);
            if let Some(extras) = self.arrays[index].extras.as_deref_mut() {
                // Its client asks for an answer.
                extras.unneeded.remove(start.into(), stop.into());
            }
            let ranges = self.mark_cancelled(index, start, stop);
            let pending = self.take_unassigned(index, start, stop);
            self.answer_cancelled(index, &pending);
            for (node, range) in ranges {
                let told = at_nodes.entry(node).or_default();
                match told.last_mut() {
                    Some(last) if last.first + last.count == range.first => {
                        last.count += range.count;
                    }
                    _ => told.push(range),
                }
            }
        }
        for (node, ranges) in at_nodes {
            let link = self.nodes.get(node).link;
            for range in ranges {
                self.send(link, Message::CancelElements { range });
            }
        }
    }

    /// Notes the cancellation of elements that are at nodes; those that were not cancelled before are for telling.
    fn mark_cancelled(&mut self, index: u32, start: u32, stop: u32) -> Vec<(NodeIndex, Range)> {
        let spans = self.arrays[index].spans();
        let inside = spans
            .iter()
            .skip_while(|span| span.end <= start)
            .take_while(|span| span.start < stop);
        let parts: Vec<_> = inside
            .map(|span| (span.node, span.start.max(start), span.end.min(stop)))
            .collect();
        let mut ranges = Vec::new();
        for (node, start, stop) in parts {
            let (_, fresh) = self.arrays[index].split_cancelled(start, stop);
            for (start, stop) in fresh {
                let extras = self.arrays[index].extras();
                extras.cancelled.insert(start.into(), stop.into());
                ranges.push((node, self.range_of(index, start, stop)));
            }
        }
        ranges
    }

    /// Cancels all of a session's tasks and lets go of all its objects. The session goes on.
    pub(super) fn clear(&mut self, owner: SessionIndex) {
        self.cancel(owner, 0, Sequence::MAX);
        self.release_all_objects(owner);
    }
}
