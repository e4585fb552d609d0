//! What tasks write travels without credit, for what nobody waits for must hold nothing up; so it is bounded here. Past
//! the bound it is left out, and the next that goes, at the latest when there is room again, tells how much.

use std::collections::BTreeMap;

use crate::wire::{Message, Payload, SessionId};

/// Bytes of output that a link holds for a peer that does not read.
pub const MOST_OUTPUT_BYTES: u64 = 1 << 20;
/// So much more than its payload a message weighs: many small ones are bounded as well.
const WEIGHT: u64 = 64;

#[derive(Debug, Default)]
pub(super) struct OutputBound {
    /// Of what is queued, or sent and not known to be received.
    bytes: u64,
    /// Lines that were left out and not told of.
    dropped: BTreeMap<SessionId, u64>,
}

impl OutputBound {
    /// The message, if it may be queued.
    pub fn admit<P: Payload>(&mut self, mut message: Message<P>) -> Option<Message<P>> {
        let weight = weight(&message);
        let Message::Output {
            session,
            lines,
            dropped,
            ..
        } = &mut message
        else {
            return Some(message);
        };
        let before = self.dropped.remove(session).unwrap_or(0);
        if self.bytes + weight > MOST_OUTPUT_BYTES {
            let all = before.saturating_add(*dropped);
            self.dropped
                .insert(*session, all.saturating_add(u64::from(*lines)));
            return None;
        }
        *dropped = dropped.saturating_add(before);
        self.bytes += weight;
        Some(message)
    }

    /// The peer has received these.
    pub fn received<P: Payload>(&mut self, messages: &[Message<P>]) {
        if self.bytes > 0 {
            self.bytes -= messages.iter().map(weight).sum::<u64>();
        }
    }

    /// What is to be told of lines that were left out, once there is room.
    pub fn take_untold<P: Payload>(&mut self) -> Vec<Message<P>> {
        if self.dropped.is_empty() || self.bytes > MOST_OUTPUT_BYTES / 2 {
            return Vec::new();
        }
        let told = std::mem::take(&mut self.dropped).into_iter();
        let messages: Vec<_> = told
            .map(|(session, dropped)| Message::Output {
                session,
                lines: 0,
                dropped,
                payload: P::from_vec(Vec::new()),
            })
            .collect();
        self.bytes += messages.iter().map(weight).sum::<u64>();
        messages
    }
}

fn weight<P: Payload>(message: &Message<P>) -> u64 {
    match message {
        Message::Output { payload, .. } => payload.len() as u64 + WEIGHT,
        _ => 0,
    }
}
