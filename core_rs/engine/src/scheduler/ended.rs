//! Sessions that are over, remembered for a while.
//!
//! With a session its objects are deleted. But some may have been on their way to storage then, sent by a node or client
//! that was gone before it could say anything of them: nobody would ever ask for their deletion. So all of the session's
//! objects are deleted once more, when what was under way has arrived or never will.

use std::collections::{BTreeMap, VecDeque};

use crate::wire::SessionId;

/// Storage gives up a peer that has been silent for so long; microseconds.
const UNDER_WAY_US: u64 = 60_000_000;

#[derive(Debug, Default)]
pub(super) struct Ended {
    /// When the objects of each are deleted once more.
    due: BTreeMap<SessionId, u64>,
    /// In the order of time; some do not count any more.
    order: VecDeque<(u64, SessionId)>,
}

impl Ended {
    /// The session is over, or somebody is gone who may have had objects of it under way.
    pub fn note(&mut self, now: u64, session: SessionId) {
        let due = now + UNDER_WAY_US;
        if self.due.insert(session, due) != Some(due) {
            self.order.push_back((due, session));
        }
    }

    /// It goes on: its client is back.
    pub fn forget(&mut self, session: SessionId) {
        self.due.remove(&session);
    }

    /// The next one whose time has come.
    pub fn pop_due(&mut self, now: u64) -> Option<SessionId> {
        while let Some(&(due, session)) = self.order.front().filter(|(due, _)| *due <= now) {
            self.order.pop_front();
            if self.due.get(&session) == Some(&due) {
                self.due.remove(&session);
                return Some(session);
            }
        }
        None
    }

    pub fn next_wakeup(&self) -> Option<u64> {
        self.order.front().map(|(due, _)| *due)
    }
}
