//! What an acceptor knows of one link.

use super::{AcceptorSettings, ConnectionId};
use crate::link::{Link, WINDOW};
use crate::wire::{Hello, LinkId, Payload, Role, SessionId};

/// A backlog is told when it differs by this much from what was told last.
const BACKLOG_STEP: u64 = 256 << 10;

#[derive(Debug)]
pub(super) struct Entry<P> {
    pub link: Link<P>,
    pub role: Role,
    pub session: SessionId,
    pub connection: Option<ConnectionId>,
    /// Whether the peer has shown that it knows this epoch: before that it is as new to it as at the first hello.
    pub confirmed: bool,
    pub last_heard: u64,
    /// Its connection, or the last it had, is a socket of this machine.
    pub local: bool,
    /// Stands in the acceptor's list of links to poll.
    pub ready: bool,
    /// Stands in its list of links whose backlog may have changed.
    pub changed: bool,
    pub told_backlog: u64,
    /// Payload bytes sent since then. Who counts what he sends hears of it when much has gone, though it went so
    /// quickly that the backlog was never large.
    pub untold: u64,
    /// Its entries in the acceptor's timers.
    pub acknowledge_at: Option<u64>,
    pub lease_at: Option<u64>,
    /// The ticket with which it is to come from now on.
    pub renewed: Option<Vec<u8>>,
}

impl<P: Payload> Entry<P> {
    pub fn new(id: LinkId, epoch: u32, hello: &Hello, now: u64) -> Self {
        Entry {
            link: Link::new(id, epoch, WINDOW),
            role: hello.role,
            session: hello.session,
            connection: None,
            confirmed: false,
            last_heard: now,
            local: false,
            ready: false,
            changed: false,
            told_backlog: 0,
            untold: 0,
            acknowledge_at: None,
            lease_at: None,
            renewed: None,
        }
    }

    #[cfg(feature = "planted")]
    pub fn with_bugs(mut self, bugs: crate::link::Bugs) -> Self {
        self.link.set_bugs(bugs);
        self
    }

    /// How long it is kept without a connection.
    pub fn absence_us(&self, settings: &AcceptorSettings) -> u64 {
        let lease = self.lease_us(settings);
        match self.local {
            true => lease.min(settings.local_timeout_us),
            false => lease,
        }
    }

    /// How long its peer may be away, or silent where it must speak.
    pub fn lease_us(&self, settings: &AcceptorSettings) -> u64 {
        match self.role {
            Role::Node | Role::Manager => settings.worker_timeout_us,
            Role::Client | Role::Objects | Role::Scheduler => settings.client_timeout_us,
        }
    }

    /// Whether a connection on which nothing is heard means that the peer is gone. A client may be in C code for
    /// minutes; an agent runs no user code.
    pub fn must_speak(&self) -> bool {
        matches!(self.role, Role::Node | Role::Manager)
    }

    /// The backlog, if it is worth telling.
    pub fn take_backlog(&mut self) -> Option<u64> {
        let backlog = self.link.backlog();
        let much = self.told_backlog != 0 || self.untold >= BACKLOG_STEP;
        let emptied = backlog == 0 && much;
        if !emptied && backlog.abs_diff(self.told_backlog) < BACKLOG_STEP {
            return None;
        }
        self.told_backlog = backlog;
        self.untold = 0;
        Some(backlog)
    }
}
