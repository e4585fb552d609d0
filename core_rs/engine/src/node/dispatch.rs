//! Handing out chunks.

use super::slot::{position, Life, Running};
use super::work::Piece;
use super::{Node, NodeOutput};
use crate::wire::{Chunk, Message, Payload};

/// Work that one helping aims at.
const HELPING_NS: u64 = 4_000_000;
/// No helping is made smaller than this just to leave work for the other slots.
const CRUMB_NS: u64 = 250_000;
/// The rest of a block with less work than this is not divided while others wait: each executor that gets a part
/// unpacks all of it.
const WHOLE_NS: u64 = 1_000_000;
/// An element longer than this is not handed to an executor that is busy.
pub(super) const LONG_NS: u64 = 20_000_000;
/// A waiting helping with less work than this is not worth taking to another slot.
const WORTH_TAKING_NS: u64 = 500_000;
/// Most of one helping.
const MOST_ELEMENTS: u64 = 4_096;
const MOST_CHUNKS: usize = 256;
const MOST_BYTES: usize = 1 << 20;

impl<P: Payload> Node<P> {
    /// Gives every executor that has too little to do a helping of what waits: those with nothing first.
    pub(super) fn hand_out(&mut self) {
        if !self.takes_work() || !self.reclaims.is_empty() {
            return;
        }
        // Whoever is idle has a slot then.
        let plain = self.slots.len() == self.config.slots as usize && !self.nests();
        for helpings in 0..2 {
            for slot in 0..self.slots.len() as u32 {
                let Some(next) = self.queue.first() else {
                    break;
                };
                let depth = next.work.depth;
                let open = match helpings {
                    _ if plain => true,
                    0 => self.openings(depth) > 0,
                    _ => self.may_follow(depth),
                };
                if !open {
                    break;
                }
                if self.slots[slot as usize].helpings() == helpings && self.takes_helping(slot) {
                    self.hand_helping(slot);
                }
            }
        }
        if self.queue.is_empty() {
            self.feed_idle_slots();
        }
    }

    fn takes_helping(&self, slot: u32) -> bool {
        let state = &self.slots[slot as usize];
        if !state.takes_chunks() || self.recycles(slot) {
            return false;
        }
        let (Some(running), Some(next)) = (state.chunks.front(), self.queue.first()) else {
            return true;
        };
        if self.config.offload {
            return false;
        }
        let short = |piece: &Piece<P>| self.element_ns(piece).is_some_and(|ns| ns <= LONG_NS);
        if self.now.saturating_sub(state.heard_at) >= 2 * self.config.look_us {
            // What runs is long: nothing is to wait behind it.
            return false;
        }
        let unsupervised = running.piece.work.timeout_us == 0 && next.work.timeout_us == 0;
        unsupervised && short(&running.piece) && short(next)
    }

    pub(super) fn element_ns(&self, piece: &Piece<P>) -> Option<u64> {
        self.functions.get(&piece.work.function)?.times.element_ns()
    }

    fn most(&self, piece: &Piece<P>) -> u64 {
        self.functions
            .get(&piece.work.function)
            .map_or(1, |function| function.times.most())
    }

    fn hand_helping(&mut self, slot: u32) {
        let helping = self.slots[slot as usize].last_helping + 1;
        self.slots[slot as usize].last_helping = helping;
        let up = self
            .slots
            .iter()
            .filter(|slot| slot.life == Life::Ready)
            .count() as u64;
        let share = self.queue.elements().div_ceil(2 * up.max(1));
        let recycle = match self.config.recycle {
            0 => u64::MAX,
            after => after.saturating_sub(self.slots[slot as usize].given).max(1),
        };
        let depth = self.queue.first().map(|piece| piece.work.depth);
        let (mut left_ns, mut elements, mut bytes) = (HELPING_NS, 0, 0);
        for chunks in 0..MOST_CHUNKS {
            let Some(next) = self.queue.first() else {
                break;
            };
            if depth != Some(next.work.depth) {
                break;
            }
            let element_ns = self.element_ns(next);
            let alone = element_ns.is_none() || next.work.timeout_us > 0 || self.config.offload;
            if chunks > 0 && (alone || bytes + next.block.payload.len() > MOST_BYTES) {
                break;
            }
            // The last one may go past the aim by a quarter: four of a millisecond and a bit are a helping.
            let fits = element_ns.map_or(u64::MAX, |ns| (left_ns + ns / 4) / ns);
            let rest = u64::from(next.count);
            let whole = elements < share
                && 2 * share >= rest
                && element_ns.is_some_and(|ns| ns.saturating_mul(rest) <= WHOLE_NS);
            if whole && chunks > 0 && elements + rest > MOST_ELEMENTS {
                break;
            }
            let fair = match element_ns {
                None => share,
                Some(_) if whole => share.max(elements + rest),
                Some(ns) => share.max(CRUMB_NS / ns),
            };
            let most = fair.min(self.most(next)).min(MOST_ELEMENTS).min(recycle);
            let room = if alone {
                1
            } else {
                fits.min(most.saturating_sub(elements))
            };
            let take = if chunks == 0 { room.max(1) } else { room } as u32;
            if take == 0 {
                break;
            }
            let Some(piece) = self.queue.pop_first(take) else {
                break;
            };
            elements += u64::from(piece.count);
            bytes += piece.block.payload.len();
            left_ns = left_ns.saturating_sub(
                element_ns
                    .unwrap_or(HELPING_NS)
                    .saturating_mul(piece.count.into()),
            );
            self.send_chunk(slot, helping, piece);
            if alone {
                break;
            }
        }
        self.look_later(slot);
    }

    fn send_chunk(&mut self, slot: u32, helping: u32, piece: Piece<P>) {
        self.send_function(slot, &piece);
        self.send_objects(slot, &piece);
        let (inputs, dropped) = self.send_inputs(slot, &piece);
        let state = &mut self.slots[slot as usize];
        state.last_chunk += 1;
        state.given += u64::from(piece.count);
        state.furthest = position(state.last_chunk, piece.count - 1);
        let block = (piece.session(), piece.block.first);
        let known = state.last_block.replace(block) == Some(block);
        let chunk = Chunk {
            chunk: state.last_chunk,
            session: piece.session(),
            function: piece.work.function,
            style: piece.work.style,
            first: piece.first,
            skip: (piece.first - piece.block.first) as u32,
            take: piece.count,
            block_count: piece.block.count,
            form: piece.block.form,
            payload: (!known).then(|| piece.block.payload.clone()),
            depth: piece.work.depth,
            priority: piece.work.priority,
            inputs,
        };
        let described = piece.work.job.clone();
        let objects = piece.objects.iter().map(|(key, _)| *key).collect();
        if state.chunks.is_empty() {
            state.heard_at = self.now;
        }
        state
            .chunks
            .push_back(Running::new(state.last_chunk, helping, piece));
        if let Some(options) = described {
            self.out.push(NodeOutput::Describe {
                slot,
                options,
                objects,
            });
        }
        self.send(slot, Message::Chunk(chunk));
        self.forget_values(slot, dropped);
    }

    fn send_function(&mut self, slot: u32, piece: &Piece<P>) {
        let work = &piece.work;
        if self.slots[slot as usize].functions.insert(work.function) {
            self.send(
                slot,
                Message::Function {
                    id: work.function,
                    payload: work.code.clone(),
                },
            );
        }
    }

    fn send_objects(&mut self, slot: u32, piece: &Piece<P>) {
        for &(key, _) in piece.objects.iter() {
            if !self.slots[slot as usize].objects.insert(key) {
                continue;
            }
            let size = self.objects.size(&key);
            for (offset, payload) in self.objects.parts(&key) {
                self.send(
                    slot,
                    Message::Object {
                        key,
                        size,
                        offset,
                        payload,
                    },
                );
            }
        }
    }

    /// Nothing waits: what waits behind a running helping goes to a slot that is idle.
    fn feed_idle_slots(&mut self) {
        let idle = self.slots.iter().filter(|slot| slot.is_idle()).count();
        let idle = idle.min(self.openings(u16::MAX) as usize);
        if idle == 0 || self.slots.iter().all(|slot| slot.helpings() < 2) {
            return;
        }
        let mut waiting: Vec<(u64, u32)> = (0..self.slots.len() as u32)
            .map(|slot| (self.waiting_ns(slot), slot))
            .filter(|&(ns, _)| ns >= WORTH_TAKING_NS)
            .collect();
        waiting.sort_unstable_by_key(|&(ns, slot)| (std::cmp::Reverse(ns), slot));
        for &(_, slot) in waiting.iter().take(idle) {
            if let Some(second) = self.slots[slot as usize].second_helping() {
                self.stop(slot, second);
            }
        }
    }

    /// Work in a slot's second helping that can still be taken back.
    fn waiting_ns(&self, slot: u32) -> u64 {
        let state = &self.slots[slot as usize];
        let Some(first) = state.chunks.front().filter(|_| state.stop.is_none()) else {
            return 0;
        };
        let second = state
            .chunks
            .iter()
            .filter(|chunk| chunk.helping != first.helping);
        let work = |chunk: &Running<P>| {
            self.element_ns(&chunk.piece)
                .unwrap_or(LONG_NS)
                .saturating_mul(chunk.left())
        };
        second.map(work).fold(0, u64::saturating_add)
    }

    /// Whether the executor is to be replaced before it gets more.
    pub(super) fn recycles(&self, slot: u32) -> bool {
        self.config.recycle > 0 && self.slots[slot as usize].given >= self.config.recycle
    }
}
