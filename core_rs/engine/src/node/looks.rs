//! Watching elements that take long: time limits, values that wait for them, work that waits behind them.

use super::slot::{Ask, Kill, Position, Running};
use super::work::Piece;
use super::{Node, NodeOutput};
use crate::wire::Payload;

impl<P: Payload> Node<P> {
    /// Decides when a slot that has just been heard of, or handed something, is to be looked at.
    pub(super) fn look_later(&mut self, slot: u32) {
        let state = &self.slots[slot as usize];
        let Some(front) = state.chunks.front() else {
            self.slots[slot as usize].look_at = None;
            return;
        };
        let timeout_us = front.piece.work.timeout_us;
        let others = state.chunks.iter().map(Running::left).sum::<u64>() > 1 || front.cut > 1;
        let look_us = self.config.look_us;
        let after = match timeout_us {
            // Its value comes by itself, and none waits for it: all that is to be seen is whether it is long.
            0 if others && front.left() == 1 && self.usual_us(&front.piece) >= look_us => {
                Some(self.long_us(&front.piece))
            }
            0 if others => Some(look_us),
            0 => None,
            limit => Some(limit),
        };
        let state = &mut self.slots[slot as usize];
        let soonest = self.now + 1;
        state.look_at = after.map(|after| state.heard_at.saturating_add(after).max(soonest));
    }

    pub(super) fn look_where_due(&mut self) {
        let now = self.now;
        for slot in 0..self.slots.len() as u32 {
            let state = &mut self.slots[slot as usize];
            if !state.is_watched() {
                continue;
            }
            let overdue =
                |chunk: &Running<P>| chunk.interrupted.is_some_and(|(_, kill_at)| now >= kill_at);
            if state.chunks.iter().any(overdue) {
                self.kill(slot, Kill::Cancel);
            } else if state.look_at.is_some_and(|at| now >= at) {
                state.look_at = None;
                state.asks.push_back(Ask::Look);
                self.out.push(NodeOutput::Look { slot });
            }
        }
    }

    /// What runs there runs since `started_us`.
    pub(super) fn looked(&mut self, slot: u32, position: Position, started_us: u64) {
        let now = self.now;
        let state = &mut self.slots[slot as usize];
        // Under a ban an element may be named that will not start.
        if state.stop.is_none_or(|stop| position < stop) {
            state.seen = Some(position);
        }
        let state = &self.slots[slot as usize];
        let Some(chunk) = state
            .chunks
            .iter()
            .find(|chunk| chunk.index_of(position).is_some())
        else {
            return self.look_at(slot, now + self.config.look_us);
        };
        let index = chunk.index_of(position).unwrap_or(0);
        if chunk.is_reported(index) || index >= chunk.cut {
            return self.look_at(slot, now + self.config.look_us);
        }
        let elapsed = now.saturating_sub(started_us);
        let due = |after: u64| now.saturating_add(after.saturating_sub(elapsed));
        match chunk.piece.work.timeout_us {
            0 => {}
            limit if elapsed >= limit => return self.kill(slot, Kill::Timeout(position)),
            limit => return self.look_at(slot, due(limit)),
        }
        if elapsed < self.config.look_us {
            return self.look_at(slot, due(self.config.look_us));
        }
        // Values of this chunk, or the ends of those before it.
        let behind = state
            .chunks
            .front()
            .is_some_and(|front| front.id != chunk.id);
        let unsent = behind || !chunk.open(0, index).is_empty();
        let later = state.chunks.iter().filter(|later| later.id > chunk.id);
        let waits = index + 1 < chunk.cut || later.map(Running::left).sum::<u64>() > 0;
        let long = self.long_us(&chunk.piece);
        if unsent {
            self.out.push(NodeOutput::Flush { slot });
        }
        if waits && elapsed < long {
            self.look_at(slot, due(long));
        } else if waits {
            self.stop(slot, position + 1);
        }
    }

    /// Looks at every busy slot, so that the next account names what runs there.
    pub(super) fn look_everywhere(&mut self) {
        for slot in 0..self.slots.len() as u32 {
            let state = &mut self.slots[slot as usize];
            if state.is_watched() && !state.chunks.is_empty() && state.asks.is_empty() {
                state.asks.push_back(Ask::Look);
                self.out.push(NodeOutput::Look { slot });
            }
        }
    }

    fn usual_us(&self, piece: &Piece<P>) -> u64 {
        self.element_ns(piece).unwrap_or(0) / 1_000
    }

    /// After which an element counts as long.
    fn long_us(&self, piece: &Piece<P>) -> u64 {
        2 * self.usual_us(piece).max(self.config.look_us)
    }

    fn look_at(&mut self, slot: u32, at: u64) {
        self.slots[slot as usize].look_at = Some(at);
    }
}
