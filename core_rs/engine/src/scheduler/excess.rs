//! Taking back what was sent ahead when it turns out to be long.
//!
//! How much a node gets ahead follows from what calls have taken so far. Where a function was short a thousand times and
//! is long from now on, or was never measured and is long, what waits at a node would be its work for minutes, and what
//! is more urgent would wait behind it. So whenever a node tells an outcome, what waits there is weighed anew, and what
//! is too much by far goes back to wait here, where its turn is known.
//!
//! A node that has long given no outcome sits in long elements. What waits behind them has its turn before all that
//! waits here, and goes to whoever is next; until it gets on, such a node has no more than it runs.

use crate::wire::{Message, Payload};

use super::arrays::{ArrayIndex, NodeIndex};
use super::placement::TARGET_US;
use super::stealing::LOOKS;
use super::Scheduler;

/// So many times the work that is aimed at is too much. (Less is soon done, and not worth a move.)
const TOO_MUCH: u64 = 4;
/// A node without an outcome for so long, and for so many times what its elements usually take, is stuck; microseconds.
const STUCK_US: u64 = 2 * TARGET_US;
const STUCK_TIMES: u64 = 2;
/// 2³² µs: so that counts times it are numbers.
const LONGEST_COST: u8 = 32;
/// Of what waits at a node, so many arrays are weighed.
const ARRAYS: usize = 64;

impl<P: Payload> Scheduler<P> {
    /// So many calls of the function of `array` were measured at a node, which are booked there as yet.
    pub(super) fn weigh(&mut self, index: NodeIndex, array: ArrayIndex, done: u32) {
        let node = self.nodes.get(index);
        let cost = self.cost_of(array);
        let (slots, unstarted) = (u64::from(node.slots), node.unstarted().saturating_sub(done));
        let unstarted = u64::from(unstarted);
        let due = slots * TARGET_US;
        let keep = slots.max(due >> cost);
        // Mostly this is all.
        if self.pending == 0 || unstarted <= keep || unstarted << cost <= TOO_MUCH * due {
            return;
        }
        if node.reclaiming || !node.connected || node.offload {
            return;
        }
        // Of a done array the function may be gone already.
        let latest = node.book.iter().rev().filter(|(_, here)| here.count > 0);
        let (mut waits, mut longest) = (0u64, 0);
        for (&other, here) in latest.take(ARRAYS) {
            let cost = self.cost_of(other);
            let gone = if other == array { done } else { 0 };
            let count = u64::from(here.count.saturating_sub(gone));
            waits = waits.saturating_add(count << cost);
            longest = longest.max(cost);
        }
        // What runs may be the longest of it.
        let waits = waits.saturating_sub(slots << longest);
        if waits <= TOO_MUCH * due {
            return;
        }
        let node = self.nodes.get_mut(index);
        node.reclaiming = true;
        let link = node.link;
        let count = (unstarted - keep) as u32;
        self.touch(index);
        self.send(link, Message::Reclaim { count });
    }

    /// Takes back what waits at nodes that do not get on, while others do.
    pub(super) fn free_the_stuck(&mut self) {
        if self.pending == 0 {
            return;
        }
        let laden: Vec<NodeIndex> = self
            .nodes
            .signatures()
            .flat_map(|(_, signature)| signature.most_laden().take(LOOKS))
            .collect();
        for index in laden {
            let node = self.nodes.get(index);
            let at = node.progress_at + STUCK_US.max(STUCK_TIMES * self.usual_us(index));
            if node.stuck || node.offload || self.nodes.len() < 2 {
                continue;
            }
            if at > self.now {
                self.steal_at = Some(self.steal_at.map_or(at, |before| before.min(at)));
                continue;
            }
            let node = self.nodes.get_mut(index);
            node.stuck = true;
            node.reclaiming = true;
            let (link, count) = (node.link, node.unstarted());
            self.nodes.refresh(index);
            self.send(link, Message::Reclaim { count });
        }
    }

    /// What an element of those takes that were sent to a node last.
    fn usual_us(&self, index: NodeIndex) -> u64 {
        let mut book = self.nodes.get(index).book.iter().rev();
        let latest = book.find(|(_, here)| here.count > 0);
        latest.map_or(0, |(&array, _)| 1 << self.cost_of(array))
    }

    /// What a call takes, as a power of two of microseconds; over an hour is an hour.
    fn cost_of(&self, array: ArrayIndex) -> u8 {
        let function = self.arrays[array].function;
        self.functions.get(function).cost().min(LONGEST_COST)
    }
}
