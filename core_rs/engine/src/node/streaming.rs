//! What tasks write, of sessions whose client wants it. Executors send it by their socket, before the values of the tasks
//! that wrote it; what they cannot send (C code, child processes) the host reads from their pipes.

use super::slot::Life;
use super::{Node, NodeOutput};
use crate::wire::{Message, Payload, SessionId};

impl<P: Payload> Node<P> {
    pub(super) fn listen(&mut self, session: SessionId, on: bool) {
        let changed = match on {
            true => self.listening.insert(session),
            false => self.listening.remove(&session),
        };
        if !changed {
            return;
        }
        self.out.push(NodeOutput::Listen { session, on });
        for slot in 0..self.slots.len() as u32 {
            if self.slots[slot as usize].life == Life::Ready {
                self.send(slot, Message::Listen { session, on });
            }
        }
    }

    /// The scheduler forgot who wants to hear what: it will be told, and tell.
    pub(super) fn listen_to_nobody(&mut self) {
        for session in std::mem::take(&mut self.listening) {
            self.listening.insert(session);
            self.listen(session, false);
        }
    }

    /// An executor that is new is told before it gets its first chunk.
    pub(super) fn tell_who_listens(&mut self, slot: u32) {
        let sessions: Vec<SessionId> = self.listening.iter().copied().collect();
        for session in sessions {
            self.send(slot, Message::Listen { session, on: true });
        }
    }

    /// `lines` lines that tasks wrote, from an executor or its pipes. Where nobody is there to hear them they are gone.
    pub fn output(&mut self, now: u64, session: SessionId, lines: u32, dropped: u64, payload: P) {
        self.now = now;
        if self.listening.contains(&session) && self.away_since.is_none() {
            self.out.push(NodeOutput::ToScheduler(Message::Output {
                session,
                lines,
                dropped,
                payload,
            }));
        }
    }
}
