//! Giving back elements that have not started, and no others: for a cancellation that leaves alone what runs.
//!
//! As with reclaims, slots that have some are forbidden to start them, and answer. An element of which it is not known
//! whether it has started stays: it counts as started, and runs.

use std::collections::BTreeSet;

use super::slot::{Ask, Position, Running};
use super::stops::open_in;
use super::{Node, NodeOutput};
use crate::wire::{Message, Payload, Range};

pub(super) struct Withdrawal {
    request: u64,
    range: Range,
    awaiting: BTreeSet<u32>,
}

impl<P: Payload> Node<P> {
    pub(super) fn withdraw(&mut self, request: u64, range: Range) {
        let end = range.first.saturating_add(range.count);
        let mut awaiting = BTreeSet::new();
        for slot in 0..self.slots.len() as u32 {
            let chunks = self.slots[slot as usize].chunks.iter();
            if let Some(from) = chunks
                .filter_map(|chunk| first_open(chunk, range, end))
                .min()
            {
                self.stop(slot, from);
                if self.is_asked_to_stop(slot) {
                    awaiting.insert(slot);
                }
            }
        }
        self.withdrawals.push(Withdrawal {
            request,
            range,
            awaiting,
        });
        self.end_withdrawals();
    }

    fn is_asked_to_stop(&self, slot: u32) -> bool {
        let mut asks = self.slots[slot as usize].asks.iter();
        asks.any(|ask| matches!(ask, Ask::Stop(_)))
    }

    /// A slot has answered, or has no executor any more.
    pub(super) fn withdrawn_from(&mut self, slot: u32) {
        if self.withdrawals.is_empty() || self.is_asked_to_stop(slot) {
            return;
        }
        for withdrawal in &mut self.withdrawals {
            withdrawal.awaiting.remove(&slot);
        }
        self.end_withdrawals();
    }

    /// Answers those for which nothing is awaited any more.
    fn end_withdrawals(&mut self) {
        let open = std::mem::take(&mut self.withdrawals);
        let (open, decided): (Vec<_>, Vec<_>) = open
            .into_iter()
            .partition(|withdrawal| !withdrawal.awaiting.is_empty());
        self.withdrawals = open;
        for Withdrawal { request, range, .. } in decided {
            let end = range.first.saturating_add(range.count);
            let mut pieces = Vec::new();
            for queue in [&mut self.queue, &mut self.parked, &mut self.awaited] {
                pieces.extend(queue.remove(range.session, range.first, end));
            }
            let ranges = self.leave_all(&pieces);
            self.out.push(NodeOutput::ToScheduler(Message::Withdrawn {
                request,
                ranges,
            }));
        }
    }
}

/// Where the first of the chunk's elements is that are in the range and have no outcome.
fn first_open<P>(chunk: &Running<P>, range: Range, end: u64) -> Option<Position> {
    let open = open_in(chunk, range, end);
    open.first().map(|&(start, _)| chunk.position(start))
}
