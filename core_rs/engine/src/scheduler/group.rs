//! A worker group as the scheduler has it in its book.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::Arc;

use crate::wire::GroupState;

use super::arrays::NodeIndex;
use super::fleet::ManagerIndex;

/// Why a group gets nothing new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// Nobody needs it.
    Policy,
    /// Its manager ends.
    Leaving,
    /// Its manager has been silent for its lease.
    Lost,
    /// Its manager does not know it: nobody could end it but itself.
    Unknown,
    /// Its unit has ended, or its nodes end by themselves.
    Over,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Its node has not come; by then it has failed.
    Starting {
        deadline: u64,
    },
    Up,
    /// It gets nothing new, and ends when nothing is at its nodes.
    Retiring(Why),
    /// It is to end, or does so already.
    Ending,
}

impl State {
    pub fn name(self) -> &'static str {
        match self {
            State::Starting { .. } => "starting",
            State::Up => "up",
            State::Retiring(_) => "retiring",
            State::Ending => "ending",
        }
    }
}

/// What its manager said of it last.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Report {
    pub state: GroupState,
    pub infrastructure: String,
    pub detail: String,
}

impl Report {
    /// The unit is not there any more.
    pub fn is_over(&self) -> bool {
        matches!(
            self.state,
            GroupState::Succeeded | GroupState::Failed | GroupState::Gone
        )
    }
}

#[derive(Debug)]
pub(super) struct Group {
    pub id: Arc<str>,
    pub manager: ManagerIndex,
    pub slots: u32,
    /// Counts groups as they become known.
    pub number: u64,
    pub state: State,
    /// When its state began.
    pub since: u64,
    pub nodes: BTreeSet<NodeIndex>,
    /// Nodes with something at them, or that have not told what they hold.
    pub occupied: u32,
    /// When one of its nodes got work last; counts assignments of all nodes.
    pub used: u64,
    pub report: Option<Report>,
    /// The last status of its manager's present link has it.
    pub shown: bool,
    /// When its command was said last by that link.
    pub said_at: Option<u64>,
    /// Its manager cannot end it: its nodes are told to exit, or have been.
    pub exits: bool,
    pub exit_told: bool,
    /// A former scheduler named it: its node, which has not come, may have work.
    pub adopted: bool,
    /// Failures in a row of its manager before it came.
    pub failures_before: u32,
    pub places: Places,
}

/// Its entries in its manager's sets and the fleet's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Places {
    pub starting: Option<(Reverse<u64>, u64)>,
    pub up: bool,
    pub busy: bool,
    pub idle: Option<(u64, Reverse<u64>)>,
    pub retiring: bool,
    /// Not counted any more, though its unit may be there.
    pub lingering: bool,
}

impl Group {
    /// `number`: counts groups as they become known.
    pub fn new(id: Arc<str>, manager: ManagerIndex, slots: u32, number: u64) -> Self {
        Group {
            id,
            manager,
            slots,
            number,
            state: State::Up,
            since: 0,
            nodes: BTreeSet::new(),
            occupied: 0,
            used: 0,
            report: None,
            shown: false,
            said_at: None,
            exits: false,
            exit_told: false,
            adopted: false,
            failures_before: 0,
            places: Places::default(),
        }
    }

    /// It is supply: starting, or up.
    pub fn counts(&self) -> bool {
        matches!(self.state, State::Starting { .. } | State::Up)
    }

    pub fn is_over(&self) -> bool {
        self.report.as_ref().is_some_and(Report::is_over)
    }

    pub fn places(&self) -> Places {
        let up = self.state == State::Up;
        let busy = self.occupied > 0;
        Places {
            starting: match self.state {
                State::Starting { deadline } => Some((Reverse(self.number), deadline)),
                _ => None,
            },
            up,
            busy: up && busy,
            idle: (up && !busy).then_some((self.used, Reverse(self.number))),
            retiring: matches!(self.state, State::Retiring(_)),
            lingering: !self.counts() && !self.is_over(),
        }
    }
}
