//! Jobs that end: with an outcome, which the node hears as an executor would say it, or without one.

use crate::wire::{ChunkResult, Message, OutcomeKind, Payload};

use super::slot::Running;
use super::{JobOutcome, Jobs, JobsOutput};

/// Elements whose attempts are counted here.
const MOST_COUNTED: usize = 10_000;

impl<P: Payload> Jobs<P> {
    /// An outcome, or that there is none.
    pub(super) fn finish(&mut self, id: &str, outcome: JobOutcome<P>) {
        let Some(slot) = self.jobs.get(id).and_then(|job| job.slot) else {
            return;
        };
        if let JobOutcome::Lost(detail) = outcome {
            return self.lose(id, &detail);
        }
        let Some(state) = self.slots.get_mut(&slot) else {
            return;
        };
        let Some(running) = state.running.take() else {
            return;
        };
        state.position = running.position();
        let busy_us = running.started_us.map_or(0, |started| self.now - started);
        match outcome {
            JobOutcome::Value(payload) => {
                self.result(slot, &running, OutcomeKind::ValueSingle, payload, busy_us);
            }
            JobOutcome::Exception(payload) => {
                self.result(slot, &running, OutcomeKind::Exception, payload, busy_us);
            }
            JobOutcome::LargeValue { hash, size, parts } => {
                let mut offset = 0;
                for payload in parts {
                    let after = offset + payload.len() as u64;
                    let message = Message::LargeValue {
                        chunk: running.chunk,
                        index: 0,
                        hash,
                        size,
                        offset,
                        payload,
                    };
                    self.tell_node(slot, message);
                    offset = after;
                }
            }
            JobOutcome::Lost(_) => unreachable!("it was looked at before"),
        }
        self.chunk_end(slot, running.chunk, 1, busy_us);
        self.attempts.remove(&running.root);
        if let Some(job) = self.jobs.get_mut(id) {
            job.slot = None;
            self.told.insert(id.to_owned());
        }
    }

    /// A job has ended, or will, without an outcome.
    pub(super) fn lose(&mut self, id: &str, detail: &str) {
        let slot = self.jobs.get(id).and_then(|job| job.slot);
        self.release(id);
        let Some(slot) = slot else {
            return;
        };
        let state = self.slots.get_mut(&slot);
        let Some(running) = state.and_then(|state| state.running.take()) else {
            return;
        };
        if self.attempts.len() >= MOST_COUNTED {
            self.attempts.pop_first();
        }
        let position = running.position();
        *self.attempts.entry(running.root).or_default() += 1;
        self.end(slot, position, detail.to_owned());
    }

    /// The executor of a slot is no more.
    pub(super) fn end(&mut self, slot: u32, position: u64, detail: String) {
        self.clear(slot);
        self.out.push(JobsOutput::Ended {
            slot,
            position,
            detail,
        });
    }

    pub(super) fn result(
        &mut self,
        slot: u32,
        running: &Running,
        kind: OutcomeKind,
        payload: P,
        busy_us: u64,
    ) {
        let result = ChunkResult {
            chunk: running.chunk,
            index: 0,
            count: 1,
            kind,
            payload,
            busy_us,
        };
        self.tell_node(slot, Message::ChunkResult(result));
    }

    pub(super) fn chunk_end(&mut self, slot: u32, chunk: u32, next: u32, busy_us: u64) {
        let message = Message::ChunkEnd {
            chunk,
            next,
            busy_us,
        };
        self.tell_node(slot, message);
    }
}
