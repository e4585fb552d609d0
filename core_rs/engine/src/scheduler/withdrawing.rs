//! Cancelling what has not started, and nothing else. What is pending is cancelled at once; nodes give back what no
//! executor has begun, which is cancelled then; when all have answered, the client hears which elements go on.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use crate::wire::{Message, Payload, Range, Sequence, SessionId};

use super::arrays::{NodeIndex, SessionIndex};
use super::Scheduler;

#[derive(Debug)]
struct Withdrawal {
    session: SessionId,
    /// The client's number.
    request: u32,
    first: Sequence,
    end: Sequence,
    awaiting: BTreeSet<NodeIndex>,
}

/// Those that some node has yet to answer, by a number of ours.
#[derive(Debug, Default)]
pub(super) struct Withdrawals {
    last: u64,
    open: BTreeMap<u64, Withdrawal>,
}

impl Withdrawals {
    /// The session is over, or its client will ask anew.
    pub fn forget(&mut self, session: SessionId) {
        self.open.retain(|_, open| open.session != session);
    }
}

impl<P: Payload> Scheduler<P> {
    pub(super) fn cancel_unstarted(
        &mut self,
        owner: SessionIndex,
        request: u32,
        first: Sequence,
        count: u64,
    ) {
        let session = self.sessions[owner as usize].id;
        let withdrawal = Withdrawal {
            session,
            request,
            first,
            end: first.saturating_add(count),
            awaiting: self.nodes_with(owner, first, first.saturating_add(count)),
        };
        self.cancel_pending(&withdrawal);
        if withdrawal.awaiting.is_empty() {
            return self.answer_withdrawal(&withdrawal);
        }
        self.withdrawals.last += 1;
        let number = self.withdrawals.last;
        for &node in &withdrawal.awaiting {
            let link = self.nodes.get(node).link;
            let range = Range {
                session,
                first,
                count,
            };
            let request = number;
            self.send(link, Message::Withdraw { request, range });
        }
        self.withdrawals.open.insert(number, withdrawal);
    }

    fn nodes_with(
        &self,
        owner: SessionIndex,
        first: Sequence,
        end: Sequence,
    ) -> BTreeSet<NodeIndex> {
        let mut nodes = BTreeSet::new();
        for index in self.arrays_in(owner, first, end) {
            let (start, stop) = self.arrays[index].clip(first, end);
            let spans = self.arrays[index].spans().iter();
            let inside = spans.filter(|span| span.start < stop && span.end > start);
            nodes.extend(inside.map(|span| span.node));
        }
        nodes
    }

    fn cancel_pending(&mut self, withdrawal: &Withdrawal) {
        let Some(owner) = self.session_of(withdrawal.session) else {
            return;
        };
        for index in self.arrays_in(owner, withdrawal.first, withdrawal.end) {
            let (start, stop) = self.arrays[index].clip(withdrawal.first, withdrawal.end);
            let pending = self.take_unassigned(index, start, stop);
            self.answer_cancelled(index, &pending);
        }
    }

    /// A node has answered.
    pub(super) fn withdrawn(
        &mut self,
        from: NodeIndex,
        number: u64,
        ranges: &[Range],
    ) -> Result<(), String> {
        self.take_given_back(from, ranges)?;
        self.withdrawn_from(from, number);
        Ok(())
    }

    /// What it had is pending, if nobody knows that it was its cause.
    pub(super) fn withdrawn_by_death(&mut self, node: NodeIndex) {
        let open = self.withdrawals.open.iter();
        let concerned: Vec<u64> = open
            .filter(|(_, open)| open.awaiting.contains(&node))
            .map(|(&number, _)| number)
            .collect();
        for number in concerned {
            self.withdrawn_from(node, number);
        }
    }

    fn withdrawn_from(&mut self, node: NodeIndex, number: u64) {
        let Some(mut withdrawal) = self.withdrawals.open.remove(&number) else {
            return; // its session is over
        };
        withdrawal.awaiting.remove(&node);
        // At once: what was given back must not be placed again.
        self.cancel_pending(&withdrawal);
        if withdrawal.awaiting.is_empty() {
            self.answer_withdrawal(&withdrawal);
        } else {
            self.withdrawals.open.insert(number, withdrawal);
        }
    }

    /// Tells which elements are at nodes still.
    fn answer_withdrawal(&mut self, withdrawal: &Withdrawal) {
        let Some(owner) = self.session_of(withdrawal.session) else {
            return;
        };
        let mut text = String::new();
        for index in self.arrays_in(owner, withdrawal.first, withdrawal.end) {
            let array = &self.arrays[index];
            let (start, stop) = array.clip(withdrawal.first, withdrawal.end);
            for span in array.spans() {
                let (from, upto) = (span.start.max(start), span.end.min(stop));
                if from < upto {
                    let first = array.first;
                    let (from, upto) = (first + u64::from(from), first + u64::from(upto));
                    let _ = write!(text, "{from}-{upto},");
                }
            }
        }
        let link = self.sessions[owner as usize].link;
        let request = withdrawal.request;
        let ok = true;
        self.send(link, Message::Answer { request, ok, text });
    }
}
