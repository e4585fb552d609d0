//! Elements that wait for others, which they have submitted.
//!
//! Such an element gives its slot back, for deeper elements and nothing else: what is no deeper could wait for ever
//! behind one that waits for it. Its executor stays, and another one is started. It goes on whenever it likes, as nobody
//! stopped it; for that moment more elements run than there are slots, and nothing is handed out until some have ended.

use super::slot::{position, Life, Slot};
use super::{Draining, Node, NodeOutput};
use crate::wire::{FailureCode, Message, Payload};

/// An executor beyond the slots that had nothing to do for so long is ended.
const IDLE_US: u64 = 5_000_000;

impl<P> Slot<P> {
    /// Has, or will have, an executor that can be given work.
    fn counts(&self) -> bool {
        self.waiting.is_none() && self.life != Life::Absent
    }

    fn is_busy(&self) -> bool {
        self.waiting.is_none() && !self.chunks.is_empty()
    }
}

impl<P: Payload> Node<P> {
    /// The executor's element waits: what has not started behind it goes elsewhere.
    pub(super) fn waits(&mut self, slot: u32, chunk: u32, index: u32) -> Result<(), String> {
        let state = &mut self.slots[slot as usize];
        if chunk > state.last_chunk {
            return Err("an element waits that it never had".into());
        }
        let Some(running) = state.chunks.iter().find(|running| running.id == chunk) else {
            return Ok(());
        };
        if index >= running.piece.count {
            return Err("an element waits that its chunk does not have".into());
        }
        if running.is_reported(index) || index >= running.cut {
            return Ok(());
        }
        let unsent = !running.open(0, index).is_empty();
        let behind = index + 1 < running.cut || state.chunks.len() > 1;
        state.waiting = Some((running.position(index), running.piece.work.depth));
        if unsent {
            self.out.push(NodeOutput::Flush { slot });
        }
        if behind {
            self.stop(slot, position(chunk, index) + 1);
        }
        Ok(())
    }

    /// It goes on, or has its outcome.
    pub(super) fn goes_on(&mut self, slot: u32) {
        let now = self.now;
        let state = &mut self.slots[slot as usize];
        if state.waiting.take().is_some() {
            state.heard_at = now;
            self.look_later(slot);
        }
    }

    /// These elements of a chunk have their outcome.
    pub(super) fn waited(&mut self, slot: u32, chunk: u32, start: u32, end: u32) {
        let waiting = self.slots[slot as usize].waiting;
        let inside = |at: u64| (position(chunk, start)..=position(chunk, end - 1)).contains(&at);
        if waiting.is_some_and(|(at, _)| inside(at)) {
            self.goes_on(slot);
        }
    }

    fn busy(&self) -> u64 {
        self.slots.iter().filter(|slot| slot.is_busy()).count() as u64
    }

    /// Slots that were given back, and not for elements of this depth.
    fn closed_to(&self, depth: u16) -> u64 {
        let waiting = self.slots.iter().filter_map(|slot| slot.waiting);
        waiting.filter(|&(_, waits)| waits >= depth).count() as u64
    }

    /// Elements of this depth that may begin now.
    pub(super) fn openings(&self, depth: u16) -> u64 {
        let taken = self.busy() + self.closed_to(depth);
        u64::from(self.config.slots).saturating_sub(taken)
    }

    /// Nothing of the queue will make room for others: there is nothing, or it has to wait for those that wait.
    pub(super) fn is_stuck(&self) -> bool {
        let next = self.queue.first();
        next.is_none_or(|next| self.busy() == 0 && self.openings(next.work.depth) == 0)
    }

    /// Whether elements of this depth may follow one that runs.
    pub(super) fn may_follow(&self, depth: u16) -> bool {
        self.busy() + self.closed_to(depth) <= u64::from(self.config.slots)
    }

    pub(super) fn nests(&self) -> bool {
        self.slots.iter().any(|slot| slot.waiting.is_some())
    }

    /// Elements of this depth are taken even while the node drains: others wait for them.
    pub(super) fn is_waited_for(&self, depth: u16) -> bool {
        let waiting = self.slots.iter().filter_map(|slot| slot.waiting);
        waiting.map(|(_, waits)| waits).any(|waits| waits < depth)
    }

    /// As many executors as slots, besides those whose element waits; as far as that is allowed.
    pub(super) fn make_room(&mut self) {
        if self.slots.len() == self.config.slots as usize && !self.nests() {
            return;
        }
        let mut others = self.slots.iter().filter(|slot| slot.counts()).count();
        while others < self.config.slots as usize && !self.is_full() {
            let absent = self.slots.iter().position(|slot| slot.life == Life::Absent);
            match absent {
                Some(slot) => self.slots[slot].life = Life::Down { until: self.now },
                None => self.slots.push(Slot::new()),
            }
            others += 1;
        }
        self.start_executors();
        if others == 0 {
            self.refuse_children();
        }
    }

    fn is_full(&self) -> bool {
        let waiting = self.slots.iter().filter(|slot| slot.waiting.is_some());
        let rss_bytes: u64 = self.slots.iter().map(|slot| slot.rss_bytes).sum();
        let limit = self.config.nesting_bytes;
        waiting.count() > self.config.most_waiting as usize || (limit > 0 && rss_bytes >= limit)
    }

    /// All executors wait, and there will not be another one: what they wait for fails.
    fn refuse_children(&mut self) {
        while let Some(next) = self.queue.first() {
            let depth = next.work.depth;
            if self
                .slots
                .iter()
                .any(|slot| slot.waiting.is_some_and(|(_, it)| it >= depth))
            {
                return;
            }
            let Some(piece) = self.queue.pop_first(u32::MAX) else {
                return;
            };
            let waiting = self
                .slots
                .iter()
                .filter(|slot| slot.waiting.is_some())
                .count();
            let detail = format!(
                "{waiting} tasks wait here for tasks that they have submitted, and there is no room for more of them"
            );
            let failure = self.failure(FailureCode::NestingLimit, 0, 0, detail);
            self.done_failed(&piece, failure);
        }
    }

    /// What becomes of a slot whose executor has ended.
    pub(super) fn next_life(&self, slot: u32, until: u64) -> Life {
        let others = self.slots.iter().enumerate();
        let others = others.filter(|&(at, other)| at != slot as usize && other.counts());
        if others.count() >= self.config.slots as usize {
            Life::Absent
        } else {
            Life::Down { until }
        }
    }

    fn spare(&self) -> usize {
        let here = self
            .slots
            .iter()
            .filter(|slot| slot.counts() && slot.life != Life::Recycling);
        here.count().saturating_sub(self.config.slots as usize)
    }

    /// Ends executors that are not needed any more.
    pub(super) fn end_idle(&mut self) {
        for slot in 0..self.slots.len() as u32 {
            let state = &self.slots[slot as usize];
            let due = state.is_idle() && state.heard_at + IDLE_US <= self.now;
            if due && self.spare() > 0 {
                self.slots[slot as usize].life = Life::Recycling;
                self.send(slot, Message::Stop);
            }
        }
    }

    pub(super) fn idle_wakeup(&self) -> Option<u64> {
        if self.spare() == 0 {
            return None;
        }
        let idle = self.slots.iter().filter(|slot| slot.is_idle());
        idle.map(|slot| slot.heard_at + IDLE_US).min()
    }

    /// Tells the scheduler who waits, when that has changed.
    pub(super) fn tell_waiting(&mut self) {
        let waiting = self.slots.iter().filter_map(|slot| slot.waiting);
        let mut depths: Vec<u32> = waiting.map(|(_, depth)| depth.into()).collect();
        depths.sort_unstable();
        if depths != self.told_waiting {
            self.told_waiting = depths.clone();
            self.out
                .push(NodeOutput::ToScheduler(Message::Waiting { depths }));
        }
    }

    /// While the node drains it has what others wait for, and nothing when nobody waits any more.
    pub(super) fn give_back_children(&mut self) {
        if self.takes_work() {
            return;
        }
        let queues = [&mut self.queue, &mut self.parked, &mut self.awaited];
        let waiting: Vec<_> = queues.into_iter().flat_map(|queue| queue.clear()).collect();
        if !waiting.is_empty() {
            self.give_back(&waiting);
        }
    }

    /// Whether it hands out what it has.
    pub(super) fn takes_work(&self) -> bool {
        self.draining == Draining::No || self.nests()
    }
}
