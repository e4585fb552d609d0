//! What a node is told at its start, and what it asks of its loop.

use crate::wire::{Message, Payload, SessionId};

use super::slot::Position;

const SECOND: u64 = 1_000_000;

/// Times in microseconds, sizes in bytes; 0 = none where it says so.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    pub name: String,
    pub slots: u32,
    /// An executor's resident memory above which its element fails; 0 = no limit.
    pub memory_limit: u64,
    /// Time limit of elements that bring none; 0 = none.
    pub task_timeout_us: u64,
    /// The node ends when the scheduler has been away so long; 0 = never.
    pub death_timeout_us: u64,
    /// What needs object storage fails when that has been away so long; 0 = never.
    pub storage_timeout_us: u64,
    /// An executor is replaced after so many elements; 0 = never.
    pub recycle: u64,
    /// How long a cancelled element has to break off before its executor is killed.
    pub grace_us: u64,
    pub heartbeat_us: u64,
    /// Bytes of objects that are kept for executors.
    pub object_bytes: u64,
}

impl Default for NodeConfig {
    fn default() -> Self {
        NodeConfig {
            name: String::new(),
            slots: 1,
            memory_limit: 0,
            task_timeout_us: 0,
            death_timeout_us: 300 * SECOND,
            storage_timeout_us: 60 * SECOND,
            recycle: 0,
            grace_us: 3 * SECOND,
            heartbeat_us: 2 * SECOND,
            object_bytes: 512 << 20,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Info,
    Warning,
    Error,
}

/// What the loop does for a node. In this order; nothing here fails silently: what did not work comes back as a call.
#[derive(Clone, Debug, PartialEq)]
pub enum NodeOutput<P: Payload> {
    ToScheduler(Message<P>),
    ToExecutor {
        slot: u32,
        message: Message<P>,
    },
    ToStore(Message<P>),
    /// Answered by the executor's `Ready`, or by `executor_failed`.
    StartExecutor {
        slot: u32,
    },
    /// End the executor's process group; answered by `executor_ended`.
    Kill {
        slot: u32,
    },
    /// Write `at` to the shared line's `stop`, then read `position`: answered by `position`. All ones: nothing is to stop.
    Stop {
        slot: u32,
        at: Position,
    },
    /// Write `at` to the shared line's `cancel`, then send SIGINT.
    Interrupt {
        slot: u32,
        at: Position,
    },
    /// Read the shared line: answered by `position`.
    Look {
        slot: u32,
    },
    /// Raise the shared line's `flush`.
    Flush {
        slot: u32,
    },
    /// Whether somebody wants what this session's tasks write: what comes from executors' pipes goes to `output` then.
    Listen {
        session: SessionId,
        on: bool,
    },
    Log {
        level: Level,
        text: String,
    },
    /// The node is done: deliver what is queued for the scheduler, end the executors, end.
    Exit {
        reason: String,
    },
}

impl<P: Payload> NodeOutput<P> {
    /// The executor that this is about.
    pub(super) fn executor(&self) -> Option<u32> {
        match *self {
            NodeOutput::ToExecutor { slot, .. }
            | NodeOutput::Kill { slot }
            | NodeOutput::Stop { slot, .. }
            | NodeOutput::Interrupt { slot, .. }
            | NodeOutput::Look { slot }
            | NodeOutput::Flush { slot } => Some(slot),
            _ => None,
        }
    }
}
