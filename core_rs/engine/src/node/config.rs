//! What a node is told at its start, and what it asks of its loop.

use crate::wire::{Capabilities, Message, ObjectKey, Payload, SessionId};

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
    /// When the machine asks for an end, what still runs so much later goes back; 0 = it may go on.
    pub drain_limit_us: u64,
    /// What needs object storage fails when that has been away so long; 0 = never.
    pub storage_timeout_us: u64,
    /// An executor is replaced after so many elements; 0 = never.
    pub recycle: u64,
    /// How long a cancelled element has to break off before its executor is killed.
    pub grace_us: u64,
    pub heartbeat_us: u64,
    /// Bytes of objects that are kept for executors.
    pub object_bytes: u64,
    /// Elements that may wait for others, each with its executor.
    pub most_waiting: u32,
    /// Its executors are jobs of an infrastructure, which have one element at a time and are told more of it.
    pub offload: bool,
    /// An executor that has said nothing for so long is looked at.
    pub look_us: u64,
    /// With more resident memory of all executors no other is started for one that waits; 0 = no limit.
    pub nesting_bytes: u64,
}

impl Default for NodeConfig {
    fn default() -> Self {
        NodeConfig {
            name: String::new(),
            slots: 1,
            memory_limit: 0,
            task_timeout_us: 0,
            death_timeout_us: 300 * SECOND,
            drain_limit_us: 0,
            storage_timeout_us: 60 * SECOND,
            recycle: 0,
            grace_us: 3 * SECOND,
            heartbeat_us: 2 * SECOND,
            object_bytes: 512 << 20,
            most_waiting: 256,
            nesting_bytes: 0,
            offload: false,
            look_us: 5_000,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Info,
    Warning,
    Error,
}

/// What was asked for with an element, where it becomes a job.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobOptions {
    /// For people.
    pub name: String,
    /// 0 = none.
    pub timeout_us: u64,
    pub priority: i32,
    pub capabilities: Capabilities,
}

/// What the loop does for a node. In this order; nothing here fails silently: what did not work comes back as a call.
#[derive(Clone, Debug, PartialEq)]
pub enum NodeOutput<P: Payload> {
    ToScheduler(Message<P>),
    ToExecutor {
        slot: u32,
        message: Message<P>,
    },
    /// Of the chunk that is sent next there. Only where it offloads.
    Describe {
        slot: u32,
        options: Box<JobOptions>,
        /// That its element needs.
        objects: Vec<ObjectKey>,
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
            | NodeOutput::Describe { slot, .. }
            | NodeOutput::Kill { slot }
            | NodeOutput::Stop { slot, .. }
            | NodeOutput::Interrupt { slot, .. }
            | NodeOutput::Look { slot }
            | NodeOutput::Flush { slot } => Some(slot),
            _ => None,
        }
    }
}
