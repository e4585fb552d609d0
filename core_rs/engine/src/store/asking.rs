//! Sessions of which nobody may know any more.
//!
//! The scheduler deletes a session's objects with the session. One that was killed forgets its sessions, and those whose
//! client died as well never come back to the next one. So a store asks, now and then, of each session whose objects it
//! has: with the message that would delete them. A scheduler that does not know the session sends it back, once its
//! client has had the time to return.

use super::Store;
use crate::wire::{LinkId, Message, Payload, Role};

/// How long after a scheduler came: others that share this store come back meanwhile, and dead ones' links end.
const FIRST_US: u64 = 10_000_000;
const AGAIN_US: u64 = 600_000_000;

impl<P: Payload> Store<P> {
    pub(super) fn ask_soon(&mut self) {
        self.ask_at = Some(self.now + FIRST_US);
    }

    /// Asks if it is time, and if there is one scheduler: it may not know of another's sessions.
    pub(super) fn ask_if_due(&mut self) {
        if self.ask_at.is_none_or(|at| self.now < at) {
            return;
        }
        let schedulers: Vec<LinkId> = self
            .peers
            .iter()
            .filter(|(_, peer)| peer.role == Role::Scheduler)
            .map(|(&link, _)| link)
            .collect();
        self.ask_at = match schedulers[..] {
            [] => None,
            [link] => {
                for session in self.sessions() {
                    self.send(link, Message::DeleteSession { session });
                }
                Some(self.now + AGAIN_US)
            }
            _ => Some(self.now + FIRST_US),
        };
    }
}
