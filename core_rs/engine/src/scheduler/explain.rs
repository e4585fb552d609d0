//! Why a task waits, from the same predicates as placement.

use crate::wire::{Payload, Sequence, SessionId};

use super::arrays::{Array, ClassIndex, SessionIndex};
use super::classes::Class;
use super::{Level, Scheduler};

/// A class that nobody can serve is logged once it has waited this long.
const PATIENCE_US: u64 = 2_000_000;
/// And again after this long, if the reason is another one by then.
const AGAIN_US: u64 = 60_000_000;

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
        let prospects = self.prospects(class).map(|text| format!("; {text}"));
        format!(
            "it is queued: {more}{before} tasks of its kind come before it, {slots} slots serve them{}",
            prospects.unwrap_or_default()
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
        let prospects = self.prospects(class);
        let with_prospects = |text: String| match &prospects {
            Some(prospects) => format!("{text}; {prospects}"),
            None => text,
        };
        if self.nodes.is_empty() {
            return Some(match &prospects {
                Some(prospects) => format!("no worker is connected: {prospects}"),
                None if self.fleet.managers().any(|(_, it)| it.info.is_some()) => {
                    "no worker is connected".into()
                }
                None => format!(
                    "no worker is connected: start one with `scaler_worker_manager baremetal_native {} --mode fixed`",
                    self.config.address
                ),
            });
        }
        if class.signatures.is_empty() {
            return Some(with_prospects(self.what_is_missing(class)));
        }
        let accepting = class
            .signatures
            .iter()
            .any(|&number| self.nodes.signature(number).slots > 0);
        let text = "every node that could run it is disconnected, or finishes what it has and takes no more";
        (!accepting).then(|| with_prospects(text.into()))
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
        let asked = super::prospects::written(&class.capabilities);
        format!("no node offers all of {asked} together")
    }

    pub(super) fn note_hopeless(&mut self, index: ClassIndex) {
        let class = self.classes.get_mut(index);
        let since = *class.hopeless_since.get_or_insert(self.now);
        let again = class.complaint.as_ref().map_or(0, |(at, _)| at + AGAIN_US);
        let at = again.max(since + PATIENCE_US);
        self.complain_at = Some(self.complain_at.map_or(at, |before| before.min(at)));
    }

    /// Logs what cannot be placed, once a class and reason. While workers that could run it start, there is hope.
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
            let Some(since) = class.hopeless_since else {
                continue;
            };
            let again = class.complaint.as_ref().map_or(0, |(at, _)| at + AGAIN_US);
            if again.max(since + PATIENCE_US) <= now {
                due.push((index, class.runnable));
            }
        }
        for (index, elements) in due {
            if self.is_being_served(self.classes.get(index)) {
                self.classes.get_mut(index).hopeless_since = Some(now);
                continue;
            }
            let Some(reason) = self.why_unplaceable(index) else {
                continue;
            };
            let complaint = &mut self.classes.get_mut(index).complaint;
            let old = complaint.replace((now, reason.clone()));
            if old.is_none_or(|(_, old)| old != reason) {
                self.log(Level::Warning, format!("{elements} tasks wait: {reason}"));
            }
        }
    }
}
