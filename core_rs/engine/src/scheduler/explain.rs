//! Why a task waits, from the same predicates as placement.

use crate::wire::{Payload, Sequence, SessionId};

use super::arrays::{Array, ClassIndex, SessionIndex};
use super::classes::Class;
use super::{Level, Scheduler};

/// A class that nobody can serve is logged once it has waited this long.
const PATIENCE_US: u64 = 2_000_000;

impl<P: Payload> Scheduler<P> {
    /// Why an element waits, for people.
    pub fn why(&self, session: SessionId, sequence: Sequence) -> String {
        let owner = self.session_of(session);
        owner.map_or("its session is unknown".into(), |owner| {
            self.explain(owner, sequence)
        })
    }

    pub(super) fn explain(&self, owner: SessionIndex, sequence: Sequence) -> String {
        let end = sequence.saturating_add(1);
        let Some(&index) = self.arrays_in(owner, sequence, end).first() else {
            return match sequence < self.sessions[owner as usize].seen {
                true => "it is done, or was never submitted".into(),
                false => "it has not reached the scheduler: it is sent when what was submitted before it has been taken in".into(),
            };
        };
        let array = &self.arrays[index];
        let offset = (sequence - array.first) as u32;
        if let Some(node) = array.node_of(offset) {
            return self.explain_assigned(array, offset, node);
        }
        if let Some((lacks, on)) = self.lacks(owner, sequence) {
            let state = self.explain(owner, on);
            return match lacks {
                1 => format!("it waits for the result of another task: {state}"),
                _ => format!(
                    "it waits for the results of {lacks} other tasks, of which one: {state}"
                ),
            };
        }
        if !array.pending.contains(offset.into()) {
            return "it is done".into();
        }
        if self.now < self.resync_until {
            let left = (self.resync_until - self.now).div_ceil(1_000_000);
            return format!(
                "the scheduler started anew and hears what runs already: nothing is placed for {left} s"
            );
        }
        let session = &self.sessions[owner as usize];
        if session.over_budget {
            return format!(
                "results of {} bytes wait for this client to read them (it may have {}): none of its tasks start",
                session.backlog, self.config.effective_result_budget()
            );
        }
        if session.haunted {
            return "tasks of this session's former life are being cancelled on their nodes".into();
        }
        self.why_unplaceable(array.class)
            .unwrap_or_else(|| self.explain_queued(array, offset))
    }

    fn explain_assigned(&self, array: &Array<P>, offset: u32, node: u32) -> String {
        let node = self.nodes.get(node);
        let state = match array.is_cancelled(offset) {
            true => "is being cancelled",
            false => "is assigned or runs",
        };
        let lost = match node.connected {
            true => "",
            false => ", whose connection is lost",
        };
        format!(
            "it {state} on node {}{lost} ({} tasks there, {} slots)",
            node.name, node.assigned, node.slots
        )
    }

    fn explain_queued(&self, array: &Array<P>, offset: u32) -> String {
        let class = self.classes.get(array.class);
        let slots: u64 = class
            .signatures
            .iter()
            .map(|&number| self.nodes.signature(number).slots)
            .sum();
        let (before, more) = self.position(array, offset);
        let more = if more { "more than " } else { "" };
        format!(
            "it is queued: {more}{before} tasks of its kind come before it, {slots} slots serve them"
        )
    }

    /// Elements of its class that are to be placed before it; whether there are more than were counted.
    fn position(&self, array: &Array<P>, offset: u32) -> (u64, bool) {
        const LOOKED_AT: usize = 10_000;
        let class = self.classes.get(array.class);
        let own = array.pending.overlap(0, offset.into());
        let mut before: u64 = own.map(|(start, end)| end - start).sum();
        let mut looked = 0;
        for lane in class.lanes.values().filter(|lane| !lane.parked) {
            for (_, &index) in lane.queue.range(..array.key) {
                looked += 1;
                if looked > LOOKED_AT {
                    return (before, true);
                }
                before += self.arrays[index].pending.len();
            }
        }
        (before, false)
    }

    /// What keeps every node from a class.
    pub(super) fn why_unplaceable(&self, index: ClassIndex) -> Option<String> {
        let class = self.classes.get(index);
        if self.nodes.is_empty() {
            return Some(format!(
                "no worker is connected: start one with `scaler_worker_manager baremetal_native {} --mode fixed`",
                self.config.address
            ));
        }
        if class.signatures.is_empty() {
            return Some(self.what_is_missing(class));
        }
        let accepting = class
            .signatures
            .iter()
            .any(|&number| self.nodes.signature(number).slots > 0);
        (!accepting).then(|| {
            "every node that could run it is disconnected, or finishes what it has and takes no more".into()
        })
    }

    fn what_is_missing(&self, class: &Class) -> String {
        let signatures = || self.nodes.signatures().map(|(_, signature)| signature);
        let offering: Vec<_> = signatures()
            .filter(|signature| signature.offers(&class.capabilities))
            .collect();
        if !offering.is_empty() {
            let mut minors: Vec<u8> = offering.iter().map(|it| it.python_minor).collect();
            minors.sort_unstable();
            minors.dedup();
            let theirs: Vec<String> = minors.iter().map(|minor| format!("3.{minor}")).collect();
            return format!(
                "client 3.{}, all nodes {}: its function is pickled by value and runs only on its own minor version of \
                 Python; start workers with Python 3.{}, or import the function from a module that the workers have",
                class.python_minor,
                theirs.join(", "),
                class.python_minor
            );
        }
        for (name, amount) in &class.capabilities {
            if signatures().any(|signature| signature.offers_one(name, *amount)) {
                continue;
            }
            let most = signatures()
                .filter_map(|signature| signature.amount_of(name))
                .max();
            return match most {
                None => format!("no node offers {name}"),
                Some(most) if most < 0 => format!(
                    "it asks for {name}={amount}, and the nodes that offer {name} name no amount"
                ),
                Some(most) => {
                    format!(
                        "it asks for {name}={amount}, and no node offers more than {name}={most}"
                    )
                }
            };
        }
        let asked: Vec<String> = class
            .capabilities
            .iter()
            .map(|(name, amount)| match amount {
                amount if *amount < 0 => name.clone(),
                amount => format!("{name}={amount}"),
            })
            .collect();
        format!("no node offers all of {} together", asked.join(", "))
    }

    pub(super) fn note_hopeless(&mut self, index: ClassIndex) {
        let class = self.classes.get_mut(index);
        if class.logged {
            return;
        }
        let since = *class.hopeless_since.get_or_insert(self.now);
        let at = since + PATIENCE_US;
        self.complain_at = Some(self.complain_at.map_or(at, |before| before.min(at)));
    }

    /// Logs, once a class, what cannot be placed.
    pub(super) fn complain(&mut self) {
        if self.complain_at.is_none_or(|at| self.now < at) {
            return;
        }
        self.complain_at = None;
        let now = self.now;
        let mut due = Vec::new();
        for (index, class) in self.classes.iter_mut() {
            if !class.signatures.is_empty() || class.runnable == 0 {
                class.hopeless_since = None;
            }
            let Some(since) = class.hopeless_since.filter(|_| !class.logged) else {
                continue;
            };
            if since + PATIENCE_US <= now {
                class.logged = true;
                due.push((index, class.runnable));
            }
        }
        for (index, elements) in due {
            if let Some(reason) = self.why_unplaceable(index) {
                self.log(Level::Warning, format!("{elements} tasks wait: {reason}"));
            }
        }
    }
}
