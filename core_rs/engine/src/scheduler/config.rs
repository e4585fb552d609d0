//! What a scheduler is told at its start, and what it asks of its loop.

use crate::scaling::ScalingConfig;
use crate::wire::{LinkId, Message, RefusalCode};

pub use crate::node::Level;

/// Which of the nodes that satisfy a task gets it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Allocate {
    /// The node with the most free slots.
    #[default]
    EvenLoad,
    /// The node with the fewest capabilities that the task did not ask for; among these the one with most free slots.
    Capability,
}

/// Times in microseconds, sizes in bytes.
#[derive(Clone, Debug)]
pub struct SchedulerConfig {
    /// How long after its start it places nothing, so that clients and nodes can tell what a former one knew.
    pub resync_us: u64,
    /// Refuse a client's `Shutdown`.
    pub protected: bool,
    pub allocate: Allocate,
    /// Bytes that it may take: clients outside of tasks are held back before payloads and book-keeping of accepted
    /// work leave too little for the rest. 0 = no limit.
    pub memory_limit: u64,
    /// Deaths of its executor or node after which an element fails.
    pub max_attempts: u32,
    /// Undelivered result bytes of a session above which none of its tasks start; an eighth of the memory limit at most.
    pub result_budget: u64,
    /// As users type it, for texts.
    pub address: String,
    /// How long a worker manager that has not come since this scheduler's start, or does not say, may be away.
    pub manager_lease_us: u64,
    /// How many groups of workers there are to be.
    pub scaling: ScalingConfig,
}

impl SchedulerConfig {
    pub(super) fn effective_result_budget(&self) -> u64 {
        match self.memory_limit {
            0 => self.result_budget,
            limit => self.result_budget.min(limit / 8),
        }
    }
}

impl Default for SchedulerConfig {
    fn default() -> Self {
        SchedulerConfig {
            resync_us: 0,
            protected: false,
            allocate: Allocate::EvenLoad,
            memory_limit: 0,
            max_attempts: 3,
            result_budget: 64 << 20,
            address: "<address>".into(),
            manager_lease_us: 300_000_000,
            scaling: ScalingConfig::default(),
        }
    }
}

/// What the loop does for a scheduler, in this order.
#[derive(Clone, Debug, PartialEq)]
pub enum SchedulerOutput<P> {
    Send {
        link: LinkId,
        message: Message<P>,
    },
    /// Take no more of what comes by this link (its sender runs out of credit), or do again.
    Hold {
        link: LinkId,
        hold: bool,
    },
    /// The peer broke the rules, or has no business here; nothing more is expected of it.
    End {
        link: LinkId,
        code: RefusalCode,
        reason: String,
    },
    /// For object storage.
    Store(Message<P>),
    Log {
        level: Level,
        text: String,
    },
    /// The cluster ends, once what was sent has left.
    Exit {
        reason: String,
    },
}

/// Mistakes to plant for the simulator, which must find each.
#[cfg(feature = "planted")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bugs {
    /// Elements that a node gave back are taken out of its book and put nowhere.
    pub skip_give_back: bool,
    /// Every element of a dead node counts an attempt, started or not.
    pub count_unstarted_attempt: bool,
    /// The value of a cancelled element is delivered.
    pub deliver_cancelled: bool,
    /// Slots of elements that wait for those they submitted are not given back.
    pub ignore_waiting: bool,
    /// A value goes when one element still needs it.
    pub let_go_early: bool,
    /// Groups are ended whatever is at their nodes.
    pub retire_busy: bool,
    /// Groups that start are no supply: as many are started once more.
    pub forget_starting: bool,
    /// Groups that a manager reports and nobody here has named are passed over.
    pub drop_adopted: bool,
}
