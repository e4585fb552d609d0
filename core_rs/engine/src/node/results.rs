//! What executors say. User code runs in them and may scribble: what cannot be ends the executor, never the node.

use super::slot::{Kill, Life};
use super::{Level, Node};
use crate::node::stops::split;
use crate::wire::{ChunkResult, Message, OutcomeKind, Payload};

/// No element is said to have taken longer.
const LONGEST_US: u64 = 1 << 42;

impl<P: Payload> Node<P> {
    /// A message of the executor in `slot`.
    pub fn executor_message(&mut self, now: u64, slot: u32, message: Message<P>) {
        self.now = now;
        let deaf = |life: &Life| {
            matches!(
                life,
                Life::Down { .. } | Life::Failed { .. } | Life::Killed(Kill::Nonsense)
            )
        };
        if self
            .slots
            .get(slot as usize)
            .is_none_or(|state| deaf(&state.life))
        {
            return;
        }
        let understood = match message {
            Message::Ready { error, .. } => self.ready(slot, error),
            Message::ChunkResult(result) => self.result(slot, result),
            Message::ChunkEnd { chunk, next, .. } => self.chunk_ended(slot, chunk, next),
            Message::LargeValue {
                chunk,
                index,
                hash,
                size,
                offset,
                payload,
            } => self.large_value(slot, (chunk, index), hash, size, offset, payload),
            Message::Output {
                session,
                lines,
                dropped,
                payload,
            } => {
                self.output(now, session, lines, dropped, payload);
                Ok(())
            }
            _ => Err("it sent what is not for agents".into()),
        };
        if let Err(text) = understood {
            self.nonsense(slot, text);
        }
        self.settle();
    }

    pub(super) fn nonsense(&mut self, slot: u32, text: String) {
        if self.slots[slot as usize].life == Life::Starting {
            return self.set_up_wrongly(slot, text);
        }
        self.log(
            Level::Error,
            format!("the executor of slot {slot} is replaced: {text}"),
        );
        self.kill(slot, Kill::Nonsense);
    }

    fn ready(&mut self, slot: u32, error: String) -> Result<(), String> {
        if self.slots[slot as usize].life != Life::Starting {
            return Err("it is ready for a second time".into());
        }
        if error.is_empty() {
            self.slots[slot as usize].life = Life::Ready;
            self.setup_failures = 0;
            self.tell_who_listens(slot);
        } else {
            self.set_up_wrongly(slot, error);
        }
        Ok(())
    }

    fn result(&mut self, slot: u32, result: ChunkResult<P>) -> Result<(), String> {
        let now = self.now;
        let state = &mut self.slots[slot as usize];
        let chunk = state
            .chunks
            .iter_mut()
            .find(|chunk| chunk.id == result.chunk)
            .ok_or("a result of no chunk")?;
        let (start, end) = (
            result.index,
            result
                .index
                .checked_add(result.count)
                .ok_or("a result of no elements")?,
        );
        if start == end
            || end > chunk.cut
            || chunk
                .reported
                .overlap(start.into(), end.into())
                .next()
                .is_some()
        {
            return Err("a result of elements that it does not have".into());
        }
        let cancelled = (start..end).all(|index| chunk.is_cancelled(index));
        let kind = match result.kind {
            OutcomeKind::ValueList | OutcomeKind::ValueTable => result.kind,
            OutcomeKind::ValueSingle | OutcomeKind::Exception if result.count != 1 => {
                return Err("one value of several elements".into());
            }
            // It broke off as it was told to.
            OutcomeKind::Exception if cancelled => OutcomeKind::Cancelled,
            OutcomeKind::ValueSingle | OutcomeKind::Exception => result.kind,
            OutcomeKind::Cancelled if cancelled => result.kind,
            _ => return Err("a kind of result that executors do not give".into()),
        };
        chunk.reported.insert(start.into(), end.into());
        if chunk
            .interrupted
            .is_some_and(|(index, _)| (start..end).contains(&index))
        {
            chunk.interrupted = None;
        }
        let piece = chunk.piece.part(chunk.sequence(start), chunk.sequence(end));
        state.heard_at = now;
        state.barren = 0;
        let busy_us = result.busy_us.min(LONGEST_US);
        if kind == OutcomeKind::Cancelled {
            self.done_cancelled(&piece);
        } else {
            if let Some(function) = self.functions.get_mut(&piece.work.function) {
                function.times.measured(piece.count, busy_us);
            }
            self.done(&piece, kind, result.payload, busy_us);
        }
        self.look_later(slot);
        Ok(())
    }

    fn chunk_ended(&mut self, slot: u32, id: u32, next: u32) -> Result<(), String> {
        let state = &mut self.slots[slot as usize];
        let chunk = state
            .chunks
            .front()
            .filter(|chunk| chunk.id == id)
            .ok_or("the end of a chunk that does not run")?;
        if next > chunk.cut {
            return Err("the end of a chunk past its elements".into());
        }
        if !chunk.open(0, next).is_empty() {
            return Err("the end of a chunk without all of its values".into());
        }
        if chunk
            .reported
            .overlap(next.into(), chunk.cut.into())
            .next()
            .is_some()
        {
            return Err("the end of a chunk before its values".into());
        }
        if state
            .incoming
            .as_ref()
            .is_some_and(|incoming| incoming.chunk == id)
        {
            return Err("the end of a chunk within a value".into());
        }
        let unstarted = chunk.open(next, chunk.cut);
        let pieces = split(chunk, &unstarted);
        state.chunks.pop_front();
        state.heard_at = self.now;
        self.take_back(pieces);
        self.look_later(slot);
        self.lift(slot);
        self.replace_if_used_up(slot);
        Ok(())
    }

    fn replace_if_used_up(&mut self, slot: u32) {
        let state = &self.slots[slot as usize];
        if state.life == Life::Ready && state.chunks.is_empty() && self.recycles(slot) {
            self.slots[slot as usize].life = Life::Recycling;
            self.send(slot, Message::Stop);
        }
    }
}
