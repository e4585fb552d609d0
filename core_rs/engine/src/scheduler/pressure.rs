//! Back-pressure. It is a session's, never a node's: a session whose client does not read gets no tasks started; a
//! session that submits more than its share of memory is not listened to for a while.

use crate::wire::{LinkId, Payload};

use super::arrays::SessionIndex;
use super::{Scheduler, SchedulerOutput};

/// What is left of the memory limit for all that is not accepted work: frames of held clients (three each), what is on
/// its way to nodes, undelivered results, buffers. Of a small limit half.
const RESERVE: u64 = 64 << 20;

impl<P: Payload> Scheduler<P> {
    /// Payload bytes that a link has queued, or that its peer is not known to have.
    pub fn backlog(&mut self, now: u64, link: LinkId, bytes: u64) {
        self.now = now;
        let Some(&index) = self.by_client.get(&link) else {
            return;
        };
        let budget = self.config.effective_result_budget();
        let session = &mut self.sessions[index as usize];
        session.backlog = bytes;
        let over = match session.over_budget {
            false => bytes > budget,
            true => bytes > budget / 2,
        };
        if over != session.over_budget {
            session.over_budget = over;
            self.settle_lanes(index);
        }
    }

    /// Holds back the sessions that have more than their share while memory is short, and listens to them again.
    ///
    /// Tasks inside of tasks are never held back: those that wait for them hold the memory.
    pub(super) fn hold_back(&mut self) {
        let limit = self.config.memory_limit;
        if limit == 0 {
            return;
        }
        let sessions = self.sessions.len().max(1) as u64;
        let most = limit - RESERVE.min(limit / 2);
        let (least, share) = (most / 10 * 8, most / sessions);
        let mut changes: Vec<(SessionIndex, bool)> = Vec::new();
        if self.bytes <= most && self.held_back == 0 {
            return;
        }
        for (index, session) in &self.sessions {
            let hold = match session.held_back {
                false => self.bytes > most && session.depth == 0 && session.bytes > share,
                true => self.bytes > least && session.bytes > share / 10 * 8,
            };
            if hold != session.held_back {
                changes.push((index as SessionIndex, hold));
            }
        }
        for (index, hold) in changes {
            let session = &mut self.sessions[index as usize];
            session.held_back = hold;
            let link = session.link;
            if hold {
                self.held_back += 1;
            } else {
                self.held_back -= 1;
            }
            self.out.push(SchedulerOutput::Hold { link, hold });
        }
    }
}
