//! What stands between a node and its jobs is told, and asks for.

use crate::node::JobOptions;
use crate::wire::{CallStyle, Form, Message, ObjectKey, Payload, Sequence, SessionId};

/// Number of a call that collects outcomes; ascending.
pub type CollectId = u64;

/// Times in microseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobsConfig {
    /// Draws a line between this process's jobs and those of the ones before it: no two have the same.
    pub run: u64,
    /// How long jobs of an earlier process wait for their elements to be given here again.
    pub adopt_us: u64,
    /// Jobs of one call.
    pub batch: u32,
    /// A call that has not come back for so long is made again.
    pub deadline_us: u64,
}

/// An entry of the values of another task.
#[derive(Clone, Debug, PartialEq)]
pub struct Taken<P> {
    pub form: Form,
    pub count: u32,
    pub index: u32,
    pub payload: P,
}

/// All that a job is made of.
#[derive(Clone, Debug, PartialEq)]
pub struct JobParts<P> {
    pub session: SessionId,
    pub sequence: Sequence,
    /// Jobs of this element here that ended without an outcome, and this one.
    pub attempt: u32,
    pub options: JobOptions,
    pub function: P,
    pub style: CallStyle,
    /// The block that its arguments are in, and where.
    pub form: Form,
    pub count: u32,
    pub index: u32,
    pub payload: P,
    pub taken: Vec<Taken<P>>,
    pub objects: Vec<ObjectKey>,
}

/// What a job left.
#[derive(Clone, Debug, PartialEq)]
pub enum JobOutcome<P> {
    Value(P),
    /// Too large to travel inline: `hash` names it, `parts` are its bytes.
    LargeValue {
        hash: [u8; 16],
        size: u64,
        parts: Vec<P>,
    },
    Exception(P),
    /// None, and why.
    Lost(String),
}

#[derive(Clone, Debug, PartialEq)]
pub enum JobsOutput<P: Payload> {
    /// As the executor of a slot would say it.
    ToNode {
        slot: u32,
        message: Message<P>,
    },
    /// The executor of a slot has ended.
    Ended {
        slot: u32,
        position: u64,
        detail: String,
    },
    ToManager(Message<P>),
    /// What the manager will want to start under that id; kept until `Forget`.
    Define {
        id: String,
        parts: Box<JobParts<P>>,
    },
    Forget {
        id: String,
    },
    /// An object that jobs refer to; kept until `ForgetObject`.
    Object {
        key: ObjectKey,
        parts: Vec<P>,
    },
    ForgetObject {
        key: ObjectKey,
    },
    /// Answered by `collected` or `not_collected`.
    Collect {
        call: CollectId,
        ids: Vec<String>,
    },
    Log {
        text: String,
    },
}
