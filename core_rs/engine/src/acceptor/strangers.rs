//! Connections that have not said hello: they have little time, and there are not many of them.

use std::collections::BTreeSet;

use super::ConnectionId;

#[derive(Debug, Default)]
pub(super) struct Strangers {
    /// (until when, which).
    all: BTreeSet<(u64, ConnectionId)>,
}

impl Strangers {
    pub fn insert(&mut self, deadline: u64, connection: ConnectionId) {
        self.all.insert((deadline, connection));
    }

    pub fn remove(&mut self, deadline: u64, connection: ConnectionId) {
        self.all.remove(&(deadline, connection));
    }

    /// The one that has been here longest, where there are more than `limit`.
    pub fn oldest_over(&self, limit: usize) -> Option<ConnectionId> {
        let (_, connection) = self.all.first().filter(|_| self.all.len() > limit)?;
        Some(*connection)
    }

    /// One whose time is over.
    pub fn overdue(&self, now: u64) -> Option<ConnectionId> {
        let (_, connection) = self.all.first().filter(|(deadline, _)| *deadline <= now)?;
        Some(*connection)
    }

    pub fn next_deadline(&self) -> Option<u64> {
        self.all.first().map(|(deadline, _)| *deadline)
    }
}
