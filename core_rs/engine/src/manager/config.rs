//! What a manager is told at its start, what it asks of its host, and what it hears from there.

use crate::wire::{Capabilities, Message, Payload};

pub use crate::node::Level;

const SECOND: u64 = 1_000_000;

/// Number of a call of a driver's hook; ascending, never used again.
pub type CallId = u64;
/// Number of a write to the ledger; ascending from 1.
pub type RecordNumber = u64;

/// Times in microseconds.
#[derive(Clone, Debug, PartialEq)]
pub struct ManagerConfig {
    /// What people type to delete what is left of it.
    pub cleanup: String,
    /// So many units may be there at once, those that are being ended included.
    pub most_groups: u32,
    /// Slots of a group that nobody here named.
    pub slots: u32,
    /// How often the infrastructure is looked at, and the scheduler told.
    pub heartbeat_us: u64,
    /// After so long a call's outcome is unknown; after twice that the process has to start anew.
    pub deadline_us: u64,
    /// Groups of one call.
    pub batch: u32,
    /// Calls at a time, heartbeats not counted.
    pub calls: u32,
    /// How long what was started may be missing from what the infrastructure tells.
    pub settle_us: u64,
    /// How long the end may take.
    pub shutdown_us: u64,
    /// Without a scheduler for so long, it ends all units and itself; 0 = never.
    pub lease_us: u64,
    /// Units that have ended are kept by the infrastructure until a shutdown of them has succeeded.
    pub keeps_ended: bool,
    /// Of the chance in its patience.
    pub seed: u64,
}

impl Default for ManagerConfig {
    fn default() -> Self {
        ManagerConfig {
            cleanup: String::new(),
            most_groups: 1,
            slots: 1,
            heartbeat_us: 2 * SECOND,
            deadline_us: 60 * SECOND,
            batch: 10,
            calls: 4,
            settle_us: 0,
            shutdown_us: 120 * SECOND,
            lease_us: 300 * SECOND,
            keeps_ended: false,
            seed: 0,
        }
    }
}

impl ManagerConfig {
    /// Without what would keep it busy with nothing.
    pub(super) fn sensible(self) -> Self {
        let shortest = 1_000;
        ManagerConfig {
            heartbeat_us: self.heartbeat_us.max(shortest),
            deadline_us: self.deadline_us.max(shortest),
            batch: self.batch.max(1),
            calls: self.calls.max(1),
            ..self
        }
    }
}

/// How far a group has come, as the ledger has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EntryState {
    /// It was named; a call that starts it may have left.
    Intended,
    /// The infrastructure has had it.
    Started,
    /// It is to end.
    Ending,
    /// It is over: the ledger need not keep it.
    Forgotten,
}

/// A group in the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub group: String,
    pub slots: u32,
    pub capabilities: Capabilities,
    pub state: EntryState,
    /// The infrastructure's own name for it; empty before it is known.
    pub infrastructure: String,
}

/// A group to start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupRequest {
    pub group: String,
    pub slots: u32,
    pub capabilities: Capabilities,
}

/// A hook of the driver to be called; answered once, by `answered`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// Answered with a unit each.
    Start(Vec<GroupRequest>),
    /// Answered with all units that carry the owner's tag.
    Heartbeat,
    Shutdown(Vec<String>),
    /// Everything that the driver made besides units goes.
    Cleanup,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UnitState {
    Pending,
    Running,
    /// It ended by itself, in peace.
    Succeeded,
    Failed,
    Gone,
}

impl UnitState {
    /// Whether there is something that costs, or will.
    pub fn is_live(self) -> bool {
        matches!(self, UnitState::Pending | UnitState::Running)
    }
}

/// A unit as the infrastructure has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnitSeen {
    pub group: String,
    pub infrastructure: String,
    pub state: UnitState,
    pub detail: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// Too much was asked in too short a time.
    Throttled,
    /// The credentials are to be renewed.
    Credentials,
    /// The same call may succeed later.
    Temporary,
    /// It never will.
    Permanent,
    /// Whether it did what it was to do nobody knows.
    Unknown,
}

/// What came of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    Units(Vec<UnitSeen>),
    Done,
    Failed {
        kind: FailureKind,
        text: String,
        /// How long the infrastructure wants to be left alone; 0: it did not say.
        retry_after_us: u64,
    },
}

/// What the host does for a manager, in this order.
#[derive(Clone, Debug, PartialEq)]
pub enum ManagerOutput<P: Payload> {
    ToScheduler(Message<P>),
    /// To be in the ledger for good, then `recorded`. Records are written in order.
    Record {
        number: RecordNumber,
        entries: Vec<Entry>,
    },
    /// Answered by `answered`, also when it took longer than anybody waits.
    Call {
        id: CallId,
        call: Call,
    },
    /// A hook hangs: the process is to start itself anew. The last output.
    Restart {
        reason: String,
    },
    /// It is over: deliver what is queued for the scheduler, end. The last output.
    Exit {
        failed: bool,
        reason: String,
    },
    Log {
        level: Level,
        text: String,
    },
}

/// Mistakes to plant for the simulator, which must find each.
#[cfg(feature = "planted")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bugs {
    /// A group is started before the ledger has it.
    pub skip_intent: bool,
    /// A group whose start has an unknown outcome is forgotten, as if it had failed.
    pub forget_unknown: bool,
    /// With a group that is to end its neighbour ends too.
    pub shutdown_twice_named: bool,
    /// After an unknown outcome a group is started again at once, whether or not the first call has come back.
    pub double_start: bool,
}
