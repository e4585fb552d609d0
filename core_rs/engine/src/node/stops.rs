//! Taking back what has not started, and cancelling what has.
//!
//! The node forbids elements at or past `at` to start, then reads where the executor is. The executor writes where it
//! is, then reads what is forbidden. So if it is before `at`, nothing from `at` on will start; if it is at or past it,
//! nothing past where it is will start, and only the end of its chunk tells whether that very element did. The ban
//! stays until the executor has ended every chunk that it knew of, and new chunks wait for that.

use super::slot::{Ask, Position, Running, NO_STOP};
use super::work::Piece;
use super::{Draining, Node, NodeOutput, Reclaim};
use crate::wire::{Message, Payload, Range};

impl<P: Payload> Node<P> {
    /// What the loop read on the shared line, as it was asked to.
    pub fn position(&mut self, now: u64, slot: u32, position: Position, started_us: u64) {
        self.now = now;
        let Some(ask) = self
            .slots
            .get_mut(slot as usize)
            .and_then(|state| state.asks.pop_front())
        else {
            return;
        };
        if position > self.slots[slot as usize].furthest {
            self.nonsense(
                slot,
                "its shared line names an element that it never had".into(),
            );
        } else {
            match ask {
                Ask::Look => self.looked(slot, position, started_us),
                Ask::Stop(at) => self.stopped(slot, at, position),
                Ask::Lift => {}
            }
        }
        self.reclaimed_from(slot);
        self.settle();
    }

    /// Forbids elements at or past `at` to start.
    pub(super) fn stop(&mut self, slot: u32, at: Position) {
        let state = &mut self.slots[slot as usize];
        if !state.is_watched() {
            return;
        }
        let at = state.stop.map_or(at, |before| before.min(at));
        state.stop = Some(at);
        state.asks.push_back(Ask::Stop(at));
        self.out.push(NodeOutput::Stop { slot, at });
    }

    fn stopped(&mut self, slot: u32, at: Position, position: Position) {
        let cut_at = if position < at { at } else { position + 1 };
        for index in 0..self.slots[slot as usize].chunks.len() {
            let chunk = &mut self.slots[slot as usize].chunks[index];
            let cut = cut_at
                .saturating_sub(chunk.position(0))
                .min(chunk.cut.into()) as u32;
            let open = chunk.open(cut, chunk.cut);
            chunk.cut = cut;
            let pieces = split(chunk, &open);
            self.take_back(pieces);
        }
        self.interrupt_cancelled(slot, position);
        self.lift(slot);
    }

    /// Elements that have not started: cancelled ones end, others wait again.
    pub(super) fn take_back(&mut self, pieces: Vec<(Piece<P>, bool)>) {
        let mut unwanted = Vec::new();
        for (piece, cancelled) in pieces {
            if cancelled {
                self.done_cancelled(&piece);
            } else if self.draining != Draining::No {
                unwanted.push(piece);
            } else {
                self.enqueue(piece);
            }
        }
        if !unwanted.is_empty() {
            self.give_back(&unwanted);
        }
    }

    /// The executor has ended all chunks that it knew of: it may have new ones.
    pub(super) fn lift(&mut self, slot: u32) {
        let state = &mut self.slots[slot as usize];
        let pending = state.asks.iter().any(|ask| matches!(ask, Ask::Stop(_)));
        if state.stop.is_none() || pending || !state.chunks.is_empty() {
            return;
        }
        state.stop = None;
        state.asks.push_back(Ask::Lift);
        self.out.push(NodeOutput::Stop { slot, at: NO_STOP });
    }

    /// The element at `position` breaks off where it is to be cancelled.
    fn interrupt_cancelled(&mut self, slot: u32, position: Position) {
        let kill_at = self.now + self.config.grace_us;
        for chunk in &mut self.slots[slot as usize].chunks {
            let Some(index) = chunk.index_of(position) else {
                continue;
            };
            let runs = index < chunk.cut && !chunk.is_reported(index) && chunk.is_cancelled(index);
            if runs && chunk.interrupted.map(|(at, _)| at) != Some(index) {
                chunk.interrupted = Some((index, kill_at));
                self.out.push(NodeOutput::Interrupt { slot, at: position });
            }
        }
    }

    /// Cancels what is here of a range: what waits at once, what may have started as soon as it is known.
    pub(super) fn cancel(&mut self, range: Range) {
        let end = range.first.saturating_add(range.count);
        let mut waiting = Vec::new();
        for queue in [&mut self.queue, &mut self.parked, &mut self.awaited] {
            waiting.extend(queue.remove(range.session, range.first, end));
        }
        for piece in waiting {
            self.done_cancelled(&piece);
        }
        for slot in 0..self.slots.len() as u32 {
            let from = self.slots[slot as usize]
                .chunks
                .iter_mut()
                .filter_map(|chunk| mark(chunk, range, end))
                .min();
            if let Some(from) = from {
                self.stop(slot, from);
            }
        }
    }

    /// Gives back up to `count` elements that have not started, the last first.
    pub(super) fn reclaim(&mut self, count: u32) {
        let mut reclaim = Reclaim {
            left: count.into(),
            awaiting: Default::default(),
        };
        let waiting = self.queue.elements() + self.parked.elements() + self.awaited.elements();
        if waiting < reclaim.left {
            for slot in 0..self.slots.len() as u32 {
                if self.stop_unstarted(slot) {
                    reclaim.awaiting.insert(slot);
                }
            }
        }
        self.reclaims.push(reclaim);
        self.end_reclaims();
    }

    /// Forbids what a slot has not started, where that is worth it. Returns whether it did.
    fn stop_unstarted(&mut self, slot: u32) -> bool {
        let state = &self.slots[slot as usize];
        let (true, Some(front)) = (state.takes_chunks(), state.chunks.front()) else {
            return false;
        };
        let left = state.chunks.iter().map(Running::left).sum::<u64>();
        let long = self
            .element_ns(&front.piece)
            .is_none_or(|ns| ns.saturating_mul(left) >= TAKE_ALL_NS);
        let from = if long {
            Some(front.position(0))
        } else {
            state.second_helping()
        };
        match from {
            Some(from) if left > 1 => {
                self.stop(slot, from);
                true
            }
            _ => false,
        }
    }

    /// A slot has answered, or has no executor any more.
    pub(super) fn reclaimed_from(&mut self, slot: u32) {
        if !self.reclaims.is_empty() {
            let pending = self.slots[slot as usize]
                .asks
                .iter()
                .any(|ask| matches!(ask, Ask::Stop(_)));
            for reclaim in self.reclaims.iter_mut().filter(|_| !pending) {
                reclaim.awaiting.remove(&slot);
            }
            self.end_reclaims();
        }
        self.withdrawn_from(slot);
    }

    /// Answers the reclaims for which nothing is awaited any more.
    fn end_reclaims(&mut self) {
        while self
            .reclaims
            .first()
            .is_some_and(|reclaim| reclaim.awaiting.is_empty())
        {
            let mut left = self.reclaims.remove(0).left;
            let mut pieces = Vec::new();
            for queue in [&mut self.parked, &mut self.awaited, &mut self.queue] {
                while left > 0 {
                    let Some(piece) = queue.pop_last(u32::try_from(left).unwrap_or(u32::MAX))
                    else {
                        break;
                    };
                    left -= u64::from(piece.count);
                    pieces.push(piece);
                }
            }
            pieces.reverse();
            self.give_back(&pieces);
        }
    }

    /// No new work: what runs is finished, the rest goes back.
    pub(super) fn drain_for(&mut self, ends: bool) {
        self.draining = match self.draining {
            Draining::No => Draining::Yes { ends },
            Draining::Yes { ends: before } => Draining::Yes {
                ends: ends || before,
            },
            Draining::Drained { ends: before } => Draining::Yes {
                ends: ends || before,
            },
        };
        let waiting = [
            self.queue.clear(),
            self.awaited.clear(),
            self.parked.clear(),
        ]
        .concat();
        if !waiting.is_empty() {
            self.give_back(&waiting);
        }
        for slot in 0..self.slots.len() as u32 {
            if let Some(front) = self.slots[slot as usize].chunks.front() {
                let from = front.position(0);
                self.stop(slot, from);
            }
        }
        self.status();
    }

    /// A drain has ended when nothing is here any more.
    pub(super) fn end_drain(&mut self) {
        let Draining::Yes { ends } = self.draining else {
            return;
        };
        if self.here.is_empty() && self.reclaims.is_empty() {
            self.draining = Draining::Drained { ends };
            self.out.push(NodeOutput::ToScheduler(Message::Drained));
            if ends {
                self.out.push(NodeOutput::Exit {
                    reason: "drained".into(),
                });
            }
        }
    }
}

/// With less work than this left, an executor keeps its running helping.
const TAKE_ALL_NS: u64 = 2_000_000;

/// Notes which of a chunk's elements without an outcome are to be cancelled; returns where the first of them is.
fn mark<P>(chunk: &mut Running<P>, range: Range, end: u64) -> Option<Position> {
    let open = open_in(chunk, range, end);
    for &(start, stop) in &open {
        chunk.cancelled.insert(start.into(), stop.into());
    }
    open.first().map(|&(start, _)| chunk.position(start))
}

/// Which of the chunk's elements are in the range, up to `end`, and have no outcome.
pub(super) fn open_in<P>(chunk: &Running<P>, range: Range, end: u64) -> Vec<(u32, u32)> {
    let first = chunk.piece.first;
    let (from, upto) = (
        range.first.max(first),
        end.min(first + u64::from(chunk.cut)),
    );
    if chunk.piece.session() != range.session || from >= upto {
        return Vec::new();
    }
    chunk.open((from - first) as u32, (upto - first) as u32)
}

/// The chunk's elements in `open` as pieces, each cancelled as a whole or not at all.
pub(super) fn split<P>(chunk: &Running<P>, open: &[(u32, u32)]) -> Vec<(Piece<P>, bool)> {
    let mut pieces = Vec::new();
    for &(start, end) in open {
        let mut at = u64::from(start);
        let cancelled = chunk.cancelled.overlap(start.into(), end.into());
        for (from, upto) in cancelled.chain([(end.into(), end.into())]) {
            let part = |start: u64, end: u64| {
                chunk
                    .piece
                    .part(chunk.piece.first + start, chunk.piece.first + end)
            };
            if at < from {
                pieces.push((part(at, from), false));
            }
            if from < upto {
                pieces.push((part(from, upto), true));
            }
            at = upto;
        }
    }
    pieces
}
