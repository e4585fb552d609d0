//! A worker group, from its name to its end.
//!
//! ```text
//! Recording ─► Waiting ─► Starting ─► There            Waiting ◄─ it failed, and may not the next time
//!                 ▲           ├─────► Unsure ─► There    a heartbeat shows it
//!                 └───────────┼───────────┘              no heartbeat shows it
//!                             └─────► Refused            it never will
//! all of these, once it is to end ─► Doomed ─► Ending ─► Told ─► forgotten: a heartbeat does not show it any more
//!                                      ▲─────────┴─────────┘  it failed, or is there still
//! ```
//!
//! Of one group at most one call is under way. What a heartbeat says counts where it began after the group's last
//! call ended (`since`); what it does not show may be there all the same until `settles_at`.

use crate::wire::{Capabilities, GroupReport, GroupState};

use super::config::{CallId, Entry, EntryState, GroupRequest, UnitSeen, UnitState};

/// Bytes of a text that comes from outside, and of the infrastructure's name of a unit.
const MOST_TEXT: usize = 2_000;
const MOST_INFRASTRUCTURE: usize = 512;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// It carries the tag, and nobody here named it: it stays as it is.
    Left,
    There,
    Over,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The ledger does not have it yet.
    Recording,
    /// To be started, not before that time.
    Waiting {
        at: u64,
    },
    Starting {
        call: CallId,
    },
    /// A call that starts it may have done so, or not.
    Unsure,
    /// There is a unit, or was.
    There,
    /// It cannot be started.
    Refused,
    /// To be ended, not before that time.
    Doomed {
        at: u64,
    },
    Ending {
        call: CallId,
    },
    /// The infrastructure was told to end it.
    Told,
}

#[derive(Clone, Debug)]
pub(super) struct Group {
    pub name: String,
    pub slots: u32,
    pub capabilities: Capabilities,
    pub wish: Wish,
    pub phase: Phase,
    /// A call that starts it has left, of this process or of one before it, and may have done so.
    pub called: bool,
    /// An earlier process was told of it. Its scheduler may have changed its mind since.
    pub inherited: bool,
    /// The infrastructure has had it.
    pub confirmed: bool,
    /// A shutdown of it was answered since it is to end.
    pub told: bool,
    pub infrastructure: String,
    pub seen: Option<UnitState>,
    /// What the infrastructure says of it.
    pub detail: String,
    /// Why the last call for it failed; empty: it did not.
    pub why: String,
    /// Calls in a row that failed.
    pub failures: u32,
    /// Heartbeats of a higher number know of all that was done.
    pub since: CallId,
    /// Until then it may be there though no heartbeat shows it.
    pub settles_at: u64,
    /// When the last heartbeat that showed it began.
    pub shown_at: u64,
}

impl Group {
    pub fn named(name: String, slots: u32, capabilities: Capabilities) -> Self {
        Group {
            name,
            slots,
            capabilities,
            wish: Wish::There,
            phase: Phase::Recording,
            called: false,
            inherited: false,
            confirmed: false,
            told: false,
            infrastructure: String::new(),
            seen: None,
            detail: String::new(),
            why: String::new(),
            failures: 0,
            since: 0,
            settles_at: 0,
            shown_at: 0,
        }
    }

    /// As the ledger of an earlier process has it. What that one began may show only after `settles_at`.
    pub fn recorded(entry: Entry, now: u64, settles_at: u64) -> Self {
        let (wish, phase, seen) = match entry.state {
            EntryState::Intended => (Wish::There, Phase::Unsure, None),
            EntryState::Started => (Wish::There, Phase::There, Some(UnitState::Pending)),
            // Whoever wanted its end may be gone, and its node have work: it is not ended before that is said again.
            EntryState::Ending => (Wish::Left, Phase::There, Some(UnitState::Pending)),
            EntryState::Forgotten => (Wish::Over, Phase::Doomed { at: now }, None),
        };
        Group {
            wish,
            phase,
            seen,
            called: true,
            inherited: true,
            // What was to end is never started again either.
            confirmed: entry.state != EntryState::Intended,
            infrastructure: clipped(entry.infrastructure, MOST_INFRASTRUCTURE),
            settles_at,
            shown_at: now,
            ..Group::named(entry.group, entry.slots, entry.capabilities)
        }
    }

    /// A unit that nobody here named.
    pub fn found(unit: UnitSeen, slots: u32, began: u64) -> Self {
        let mut group = Group {
            wish: Wish::Left,
            phase: Phase::There,
            called: true,
            ..Group::named(unit.group.clone(), slots, Vec::new())
        };
        group.see(unit);
        group.shown_at = began;
        group
    }

    pub fn see(&mut self, unit: UnitSeen) {
        self.called = true;
        self.confirmed = true;
        self.seen = Some(unit.state);
        self.infrastructure = clipped(unit.infrastructure, MOST_INFRASTRUCTURE);
        self.detail = clipped(unit.detail, MOST_TEXT);
    }

    /// Whether there is nothing new in this.
    pub fn looks_like(&self, unit: &UnitSeen) -> bool {
        self.seen == Some(unit.state)
            && self.infrastructure == unit.infrastructure
            && self.detail == unit.detail
    }

    /// A call for it failed.
    pub fn fail(&mut self, text: &str) {
        self.failures = self.failures.saturating_add(1);
        self.why = clipped(text.to_owned(), MOST_TEXT);
    }

    pub fn is_live(&self) -> bool {
        self.seen.is_some_and(UnitState::is_live)
    }

    /// Whether it counts for the most that may be there.
    pub fn occupies(&self) -> bool {
        self.called
            && match self.seen {
                Some(state) => state.is_live(),
                None => self.phase != Phase::Refused,
            }
    }

    /// It is wanted, and its start does not succeed.
    pub fn struggles(&self) -> bool {
        let starting = matches!(
            self.phase,
            Phase::Waiting { .. } | Phase::Starting { .. } | Phase::Unsure
        );
        self.wish == Wish::There && self.failures > 0 && starting
    }

    /// How far it has come, for the ledger.
    pub fn entry_state(&self) -> EntryState {
        match (self.wish, self.confirmed) {
            (Wish::Over, _) => EntryState::Ending,
            (_, true) => EntryState::Started,
            (_, false) => EntryState::Intended,
        }
    }

    pub fn entry(&self, state: EntryState) -> Entry {
        Entry {
            group: self.name.clone(),
            slots: self.slots,
            capabilities: self.capabilities.clone(),
            state,
            infrastructure: self.infrastructure.clone(),
        }
    }

    pub fn request(&self) -> GroupRequest {
        GroupRequest {
            group: self.name.clone(),
            slots: self.slots,
            capabilities: self.capabilities.clone(),
        }
    }

    fn state(&self) -> GroupState {
        match (self.wish, self.phase, self.seen) {
            (Wish::Over, ..) => GroupState::Ending,
            (_, Phase::Refused, _) => GroupState::Failed,
            (_, _, None) => GroupState::Wanted,
            (_, _, Some(UnitState::Pending)) => GroupState::Pending,
            (_, _, Some(UnitState::Running)) => GroupState::Running,
            (_, _, Some(UnitState::Succeeded)) => GroupState::Succeeded,
            (_, _, Some(UnitState::Failed)) => GroupState::Failed,
            (_, _, Some(UnitState::Gone)) => GroupState::Gone,
        }
    }

    pub fn report(&self) -> GroupReport {
        let detail = if self.why.is_empty() {
            &self.detail
        } else {
            &self.why
        };
        GroupReport {
            group: self.name.clone(),
            slots: self.slots,
            state: self.state(),
            infrastructure: self.infrastructure.clone(),
            detail: detail.clone(),
        }
    }
}

pub(super) fn clipped(mut text: String, most: usize) -> String {
    if text.len() > most {
        let end = (0..=most).rev().find(|at| text.is_char_boundary(*at));
        text.truncate(end.unwrap_or(0));
    }
    text
}
