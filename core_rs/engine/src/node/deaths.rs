//! Executors that start, fail to, are killed, and end.

use std::collections::VecDeque;

use super::slot::{Kill, Life, Position, Running};
use super::stops::split;
use super::work::Piece;
use super::{Level, Node, NodeOutput};
use crate::wire::{FailureCode, LossCause, Message, Payload};

/// So many executors in a row that cannot start: what waits fails with their error.
const MOST_SETUP_FAILURES: u32 = 3;
/// So many executors in a row that end before they begin what they have: its first element is blamed.
const MOST_BARREN: u32 = 3;
const FIRST_PAUSE_US: u64 = 100_000;
const LONGEST_PAUSE_US: u64 = 10_000_000;

/// How an executor has ended.
pub(super) struct Death {
    status: i32,
    position: Position,
    /// For people.
    detail: String,
}

impl<P: Payload> Node<P> {
    pub(super) fn start_executors(&mut self) {
        if !self.takes_work() {
            return;
        }
        for slot in 0..self.slots.len() as u32 {
            let state = &mut self.slots[slot as usize];
            if matches!(state.life, Life::Down { until } if until <= self.now) {
                state.life = Life::Starting;
                self.out.push(NodeOutput::StartExecutor { slot });
            }
        }
    }

    /// No executor could be started.
    pub fn executor_failed(&mut self, now: u64, slot: u32, error: String) {
        self.now = now;
        if self
            .slots
            .get(slot as usize)
            .is_some_and(|state| state.life == Life::Starting)
        {
            let until = self.setup_failed(slot, error);
            self.slots[slot as usize].life = Life::Down { until };
        }
        self.settle();
    }

    /// The executor says that its set-up failed.
    pub(super) fn set_up_wrongly(&mut self, slot: u32, error: String) {
        let until = self.setup_failed(slot, error);
        self.slots[slot as usize].life = Life::Failed { until };
        self.out.push(NodeOutput::Kill { slot });
    }

    /// Returns when the next one may be started.
    fn setup_failed(&mut self, slot: u32, error: String) -> u64 {
        self.setup_failures = self.setup_failures.saturating_add(1);
        let pause = FIRST_PAUSE_US << (self.setup_failures - 1).min(7);
        self.log(
            Level::Error,
            format!("the executor of slot {slot} cannot start: {error}"),
        );
        let none_ready = self.slots.iter().all(|slot| slot.life != Life::Ready);
        if self.setup_failures >= MOST_SETUP_FAILURES && none_ready {
            let waiting = [
                self.queue.clear(),
                self.awaited.clear(),
                self.parked.clear(),
            ]
            .concat();
            for piece in waiting {
                let failure = self.failure(FailureCode::NodeSetup, 0, 0, error.clone());
                self.done_failed(&piece, failure);
            }
        }
        self.now + pause.min(LONGEST_PAUSE_US)
    }

    pub(super) fn kill(&mut self, slot: u32, reason: Kill) {
        let state = &mut self.slots[slot as usize];
        if matches!(state.life, Life::Starting | Life::Ready | Life::Recycling) {
            state.life = Life::Killed(reason);
            state.look_at = None;
            self.out.push(NodeOutput::Kill { slot });
        }
    }

    /// Resident memory of the executor's process group.
    pub fn memory(&mut self, now: u64, slot: u32, rss_bytes: u64) {
        self.now = now;
        let limit = self.config.memory_limit;
        let Some(state) = self.slots.get_mut(slot as usize) else {
            return;
        };
        state.base_rss = state.base_rss.or(Some(rss_bytes));
        state.rss_bytes = rss_bytes;
        if limit == 0 || state.life != Life::Ready {
            return;
        }
        if rss_bytes >= limit {
            self.kill(slot, Kill::Memory);
        } else if rss_bytes >= limit / 5 * 4 && !state.warned {
            state.warned = true;
            self.log(
                Level::Warning,
                format!("the executor of slot {slot} uses {rss_bytes} of {limit} bytes"),
            );
        }
    }

    /// The machine has hardly any memory left: the executor that grew most ends.
    pub fn memory_pressure(&mut self, now: u64) {
        self.now = now;
        let ready = (0..self.slots.len() as u32)
            .filter(|&slot| self.slots[slot as usize].life == Life::Ready);
        let grown = |slot: &u32| {
            let state = &self.slots[*slot as usize];
            (
                state.rss_bytes.saturating_sub(state.base_rss.unwrap_or(0)),
                std::cmp::Reverse(*slot),
            )
        };
        if let Some(slot) = ready.max_by_key(grown) {
            self.log(
                Level::Error,
                format!("out of memory: the executor of slot {slot}, which grew most, is ended"),
            );
            self.kill(slot, Kill::Memory);
        }
    }

    /// The executor's process has ended. `status`: exit code, or minus the signal's number; `position`: the shared
    /// line's last word.
    pub fn executor_ended(&mut self, now: u64, slot: u32, status: i32, position: Position) {
        self.now = now;
        let detail = String::new();
        self.ended(
            slot,
            &Death {
                status,
                position,
                detail,
            },
        );
    }

    /// The job in a slot has ended without an outcome. `detail`: what the infrastructure says of it.
    pub fn job_ended(&mut self, now: u64, slot: u32, position: Position, detail: String) {
        self.now = now;
        let status = 0;
        self.ended(
            slot,
            &Death {
                status,
                position,
                detail,
            },
        );
    }

    /// The time of what still runs is over: it goes back, and that is no attempt.
    pub fn give_up_slots(&mut self, now: u64) {
        self.now = now;
        for slot in 0..self.slots.len() as u32 {
            if !self.slots[slot as usize].chunks.is_empty() {
                self.kill(slot, Kill::Cancel);
            }
        }
        self.settle();
    }

    fn ended(&mut self, slot: u32, death: &Death) {
        let &Death {
            status, position, ..
        } = death;
        let Some(state) = self.slots.get(slot as usize) else {
            return;
        };
        let (life, furthest) = (state.life.clone(), state.furthest);
        let unsent = self.first_chunk_is_unsent(slot);
        self.out.retain(|output| output.executor() != Some(slot));
        let next = match life {
            Life::Down { .. } | Life::Absent => return,
            Life::Failed { until } => until,
            Life::Starting => self.setup_failed(
                slot,
                format!("it ended with status {status} before it was ready"),
            ),
            // One that ends before it had anything to do would end again and again.
            Life::Ready if state.given == 0 => self.setup_failed(
                slot,
                format!("it ended with status {status} while it was idle"),
            ),
            Life::Ready | Life::Recycling | Life::Killed(_) => self.now,
        };
        let next = self.next_life(slot, next);
        let chunks = self.slots[slot as usize].emptied(next);
        let cause = match life {
            Life::Killed(kill) => Some(kill),
            _ if position > furthest => Some(Kill::Nonsense),
            _ => None,
        };
        self.settle_chunks(slot, chunks, death, cause, unsent);
        self.start_executors();
        self.reclaimed_from(slot);
        self.settle();
    }

    /// The executor cannot have got anything of its work.
    fn first_chunk_is_unsent(&self, slot: u32) -> bool {
        let front = self.slots[slot as usize].chunks.front();
        let is_front = |output: &NodeOutput<P>| match output {
            NodeOutput::ToExecutor {
                slot: to,
                message: Message::Chunk(chunk),
            } => *to == slot && front.is_some_and(|front| front.id == chunk.chunk),
            _ => false,
        };
        self.out.iter().any(is_front)
    }

    /// Says of each element that a dead executor had what becomes of it.
    fn settle_chunks(
        &mut self,
        slot: u32,
        chunks: VecDeque<Running<P>>,
        death: &Death,
        cause: Option<Kill>,
        unsent: bool,
    ) {
        let position = death.position;
        let running = chunks.iter().find_map(|chunk| running_at(chunk, position));
        if running.is_some() {
            // A death in an element is counted against that element.
            self.slots[slot as usize].barren = 0;
        }
        let victim =
            running.or_else(|| self.blamed(slot, &chunks, position, cause.as_ref(), unsent));
        for chunk in &chunks {
            let victim = victim
                .filter(|&(id, _)| id == chunk.id)
                .map(|(_, index)| index);
            let mut open = Vec::new();
            for (start, end) in chunk.open(0, chunk.cut) {
                match victim.filter(|index| (start..end).contains(index)) {
                    Some(index) => open.extend([(start, index), (index + 1, end)]),
                    None => open.push((start, end)),
                }
            }
            open.retain(|(start, end)| start < end);
            if let Some(index) = victim {
                let piece = chunk
                    .piece
                    .part(chunk.sequence(index), chunk.sequence(index) + 1);
                self.victim_ended(&piece, chunk, index, death, cause.as_ref());
            }
            // Finished ones whose values never came run again, and so do those that never started.
            self.take_back(split(chunk, &open));
        }
    }

    /// The element to blame where none was running: nothing may go round for ever.
    fn blamed(
        &mut self,
        slot: u32,
        chunks: &VecDeque<Running<P>>,
        position: Position,
        cause: Option<&Kill>,
        unsent: bool,
    ) -> Option<(u32, u32)> {
        let open = |chunk: &Running<P>| {
            chunk
                .open(0, chunk.cut)
                .first()
                .map(|&(index, _)| (chunk.id, index))
        };
        let first = chunks.iter().find_map(open)?;
        let begun = chunks
            .front()
            .is_some_and(|front| position >= front.position(0));
        let state = &mut self.slots[slot as usize];
        state.barren = match cause {
            _ if begun => 0,
            None if !unsent => state.barren + 1,
            _ => state.barren,
        };
        let barren = state.barren >= MOST_BARREN;
        if barren {
            state.barren = 0;
        }
        (barren || cause == Some(&Kill::Nonsense)).then_some(first)
    }

    fn victim_ended(
        &mut self,
        piece: &Piece<P>,
        chunk: &Running<P>,
        index: u32,
        death: &Death,
        cause: Option<&Kill>,
    ) {
        let (code, detail) = match cause {
            _ if chunk.is_cancelled(index) => return self.done_cancelled(piece),
            Some(Kill::Timeout(at)) if *at == chunk.position(index) => {
                let seconds = piece.work.timeout_us as f64 / 1e6;
                (
                    FailureCode::TaskTimeout,
                    format!("it ran for more than {seconds} s"),
                )
            }
            Some(Kill::Memory) => (
                FailureCode::TaskMemory,
                "its executor used too much memory".into(),
            ),
            Some(Kill::Timeout(_) | Kill::Cancel) => {
                return self.lost(piece, LossCause::Collateral, 0, "")
            }
            Some(Kill::Nonsense) | None => {
                return self.lost(piece, LossCause::ExecutorDied, death.status, &death.detail)
            }
        };
        let failure = self.failure(code, 1, death.status, detail);
        self.done_failed(piece, failure);
    }

    fn lost(&mut self, piece: &Piece<P>, cause: LossCause, status: i32, detail: &str) {
        self.leave(piece);
        let (session, sequence) = (piece.session(), piece.first);
        self.out.push(NodeOutput::ToScheduler(Message::Lost {
            session,
            sequence,
            cause,
            status,
            detail: detail.to_owned(),
        }));
    }
}

/// The element at `position`, where it is this chunk's and has no outcome.
fn running_at<P>(chunk: &Running<P>, position: Position) -> Option<(u32, u32)> {
    let index = chunk.index_of(position)?;
    (index < chunk.cut && !chunk.is_reported(index)).then_some((chunk.id, index))
}
