//! An executor as `node/chunks.py`, `node/outbox.py` and `loops::port` make one: values of a slice wait for what is sent
//! next, ends of short chunks for those that follow.

use std::collections::VecDeque;

use scaler_engine::wire::{Chunk, ChunkResult, Message, OutcomeKind, Payload};

use crate::data::Data;
use crate::queue::{Time, MILLISECOND};

/// Of a slice: after so long values are put into a message.
const SLICE: Time = 5 * MILLISECOND;
/// Ends of chunks wait so long at most.
const HOLD: Time = 4 * MILLISECOND;
/// What a chunk, and an element in it, cost besides the call.
const CHUNK_COSTS: Time = 12;
const ELEMENT_COSTS: Time = 1;

#[derive(Debug)]
struct Running {
    chunk: Chunk<Data>,
    began: Time,
    index: u32,
    /// First element of the slice, when that began, first value that is in no message, since when it is measured.
    slice: u32,
    slice_began: Time,
    unsent: u32,
    mark: Time,
}

/// What is to follow a step.
#[derive(Debug, PartialEq)]
pub enum Next {
    /// The element of this sequence begins, and its end is to be told by `ended`.
    Runs(u64),
    /// `step` is to be called then.
    Pauses(Time),
    Idle,
}

#[derive(Debug, Default)]
pub struct Executor {
    /// Words of the shared line.
    pub position: u64,
    pub started: Time,
    pub stop: u64,
    running: Option<Running>,
    /// Chunks that have arrived, and those that were read: it reads when it has none left.
    arrived: VecDeque<Chunk<Data>>,
    orders: VecDeque<Chunk<Data>>,
    /// What waits for what is sent next.
    deferred: Vec<Message<Data>>,
    held_since: Option<Time>,
    /// What leaves.
    pub sent: Vec<Vec<Message<Data>>>,
}

impl Executor {
    pub fn new() -> Self {
        Executor {
            stop: u64::MAX,
            ..Executor::default()
        }
    }

    /// A chunk has come; whether there was nothing to do, so that `step` is to be called.
    pub fn order(&mut self, chunk: Chunk<Data>) -> bool {
        self.arrived.push_back(chunk);
        self.running.is_none()
    }

    /// The element that runs has ended.
    pub fn ended(&mut self, now: Time) -> Next {
        if let Some(running) = &mut self.running {
            running.index += 1;
            if now >= running.slice_began + SLICE {
                self.put_values(now);
                if let Some(running) = &mut self.running {
                    running.slice_began = now;
                    running.slice = running.index;
                }
            }
        }
        self.step(now)
    }

    /// Begins what is next.
    pub fn step(&mut self, now: Time) -> Next {
        let Some(running) = &self.running else {
            if self.orders.is_empty() {
                self.send_all();
                std::mem::swap(&mut self.orders, &mut self.arrived);
            }
            let Some(chunk) = self.orders.pop_front() else {
                return Next::Idle;
            };
            self.running = Some(Running {
                chunk,
                began: now,
                index: 0,
                slice: 0,
                slice_began: now,
                unsent: 0,
                mark: now,
            });
            return Next::Pauses(now + CHUNK_COSTS);
        };
        let position = u64::from(running.chunk.chunk) << 32 | u64::from(running.index);
        if running.index == running.chunk.take {
            return self.end_chunk(now);
        }
        self.position = position;
        self.started = now;
        if position >= self.stop {
            return self.end_chunk(now);
        }
        Next::Runs(running.chunk.first + u64::from(running.index))
    }

    /// How long the call of an element takes that takes `takes` by itself.
    pub fn call(takes: Time) -> Time {
        takes + ELEMENT_COSTS
    }

    /// The agent wants the values that are there.
    pub fn flush(&mut self, now: Time) {
        self.put_values(now);
        self.send_all();
    }

    fn put_values(&mut self, now: Time) {
        let Some(running) = &mut self.running else {
            return;
        };
        let count = running.index - running.unsent;
        if count == 0 {
            return;
        }
        let kind = match count {
            1 => OutcomeKind::ValueSingle,
            _ => OutcomeKind::ValueList,
        };
        let result = ChunkResult {
            chunk: running.chunk.chunk,
            index: running.unsent,
            count,
            kind,
            payload: Data::from_vec(Vec::new()),
            busy_us: now - running.mark,
        };
        (running.unsent, running.mark) = (running.index, now);
        self.deferred.push(Message::ChunkResult(result));
    }

    fn end_chunk(&mut self, now: Time) -> Next {
        self.put_values(now);
        let Some(running) = self.running.take() else {
            return Next::Idle;
        };
        let busy_us = now - running.began;
        self.deferred.push(Message::ChunkEnd {
            chunk: running.chunk.chunk,
            next: running.index,
            busy_us,
        });
        let since = *self.held_since.get_or_insert(now);
        if self.orders.is_empty() || now - since + busy_us > HOLD {
            self.send_all();
        }
        self.step(now)
    }

    fn send_all(&mut self) {
        self.held_since = None;
        if !self.deferred.is_empty() {
            self.sent.push(std::mem::take(&mut self.deferred));
        }
    }
}
