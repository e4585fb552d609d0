//! Heartbeats: what the infrastructure has, compared with what was done.

use std::collections::BTreeMap;

use crate::wire::Payload;

use super::calls::{Purpose, Troubles};
use super::config::{Answer, Call, CallId, FailureKind, Level, UnitSeen, UnitState};
use super::group::{Group, Phase};
use super::groups::Number;
use super::{Manager, MOST_KNOWN, MOST_NAME};

/// While calls come back the infrastructure is looked at so much more often.
const HASTE: u64 = 4;

#[derive(Debug)]
pub(super) struct Watching {
    /// A heartbeat has succeeded: what the infrastructure has is known.
    pub knows: bool,
    pub troubles: Troubles,
    under_way: bool,
    began: u64,
    due: u64,
}

impl Watching {
    pub fn new(now: u64) -> Self {
        Watching {
            knows: false,
            troubles: Troubles::default(),
            under_way: false,
            began: 0,
            due: now,
        }
    }
}

impl<P: Payload> Manager<P> {
    pub(super) fn look_if_due(&mut self) {
        if self.over || self.look_wakeup().is_none_or(|at| at > self.now) {
            return;
        }
        self.watching.under_way = true;
        self.watching.began = self.now;
        self.call(Call::Heartbeat, Purpose::Heartbeat);
    }

    pub(super) fn look_wakeup(&self) -> Option<u64> {
        let due = self.watching.due.max(self.pace.looks_at());
        (!self.watching.under_way).then_some(due)
    }

    /// Something was done: what it did is of interest.
    pub(super) fn look_soon(&mut self) {
        let soon = self.watching.began + self.config.heartbeat_us / HASTE;
        self.watching.due = self.watching.due.min(soon.max(self.now));
    }

    pub(super) fn heartbeat_answered(&mut self, id: CallId, began: u64, answer: Answer) {
        self.watching.under_way = false;
        let failure = match answer {
            Answer::Units(units) => return self.units_shown(id, began, units),
            Answer::Done => "the driver's heartbeat told nothing".to_owned(),
            Answer::Failed {
                kind,
                text,
                retry_after_us,
            } => {
                if kind == FailureKind::Throttled {
                    self.pace.slow_down(self.now, retry_after_us);
                }
                text
            }
        };
        if self.watching.troubles.failed(&failure) {
            let text = format!("heartbeat failed: {failure}");
            self.log(Level::Warning, text);
        }
        let delay = self.pace.delay(self.watching.troubles.count);
        self.watching.due = self.now + delay.max(self.config.heartbeat_us);
        self.looked_in_vain(id);
    }

    fn units_shown(&mut self, id: CallId, began: u64, units: Vec<UnitSeen>) {
        let interval = self.config.heartbeat_us;
        self.watching.due = (began + interval).max(self.now + interval / HASTE);
        self.watching.troubles.over();
        if !self.watching.knows {
            self.watching.knows = true;
            self.telling.at_once();
        }
        let mut shown = self.sort(began, units);
        for number in self.groups.numbers() {
            match shown.remove(&number) {
                Some(unit) => self.show(number, id, began, unit),
                None => self.miss(number, id, began),
            }
        }
        self.looked(id);
    }

    /// Units by group. Those that nobody here named are groups from now on, unless they have ended: ended ones may be
    /// told of long after they were forgotten.
    fn sort(&mut self, began: u64, units: Vec<UnitSeen>) -> BTreeMap<Number, UnitSeen> {
        let mut shown: BTreeMap<Number, UnitSeen> = BTreeMap::new();
        let mut ignored = 0;
        for unit in units {
            let number = match self.groups.number_of(&unit.group) {
                Some(number) => number,
                None if !unit.state.is_live() => continue,
                None if !self.is_acceptable(&unit) => {
                    ignored += 1;
                    continue;
                }
                None => self.find(unit.clone(), began),
            };
            // Of two units of one name the one that lives counts.
            let known = shown.get(&number).map(|other| other.state);
            if known.is_none_or(|state| rank(unit.state) > rank(state)) {
                shown.insert(number, unit);
            }
        }
        if ignored > 0 {
            let text = format!("{ignored} units whose names are none are left alone");
            self.log(Level::Warning, text);
        }
        shown
    }

    fn is_acceptable(&self, unit: &UnitSeen) -> bool {
        let known = self.groups.len() < MOST_KNOWN;
        known && !unit.group.is_empty() && unit.group.len() <= MOST_NAME
    }

    fn find(&mut self, unit: UnitSeen, began: u64) -> Number {
        let text = format!("found {} ({})", unit.group, unit.infrastructure);
        self.log(Level::Info, text);
        let number = self
            .groups
            .add(Group::found(unit, self.config.slots, began));
        if self.leaving.is_some() {
            self.doom(number);
        }
        number
    }

    /// Heartbeat `id`, which began then, shows a unit of this group.
    fn show(&mut self, number: Number, id: CallId, began: u64, unit: UnitSeen) {
        let Some(group) = self.groups.get(number) else {
            return;
        };
        let (fresh, live) = (id > group.since, unit.state.is_live());
        if fresh && group.looks_like(&unit) && group.phase == Phase::There {
            return self.groups.shown(number, began);
        }
        let phase = match group.phase {
            // Of that name there is one, whoever started it: it is not started again.
            Phase::Recording | Phase::Waiting { .. } => Phase::There,
            Phase::Starting { .. } if live || fresh => group.phase,
            Phase::Unsure if live || fresh => Phase::There,
            Phase::Refused if live => Phase::There,
            Phase::There if fresh => Phase::There,
            Phase::Doomed { .. } | Phase::Told if fresh && group.told && !live => {
                return self.groups.forget(number);
            }
            Phase::Told if fresh => {
                let failures = group.failures.saturating_add(1);
                let at = self.now.saturating_add(self.pace.delay(failures));
                self.groups
                    .change(number, |group| group.failures = failures);
                Phase::Doomed { at }
            }
            Phase::Doomed { .. } | Phase::Ending { .. } if fresh => group.phase,
            _ => return,
        };
        self.groups.change(number, |group| {
            group.see(unit);
            group.shown_at = began;
            group.phase = phase;
            if phase == Phase::There {
                group.failures = 0;
                group.why.clear();
            }
        });
    }

    /// Whether the scheduler, told for the first time, had the time to say that a group is to end.
    fn was_answerable(&self, began: u64) -> bool {
        let told = self.telling.first_at;
        told.is_some_and(|at| began >= at.saturating_add(self.config.heartbeat_us))
    }

    /// Heartbeat `id`, which began then, shows no unit of this group.
    fn miss(&mut self, number: Number, id: CallId, began: u64) {
        let Some(group) = self.groups.get(number) else {
            return;
        };
        // What has ended does not come to be any more.
        let ended = group.seen.is_some_and(|state| !state.is_live());
        if id <= group.since || (began < group.settles_at && !ended) {
            return;
        }
        let settled = began >= group.shown_at.saturating_add(self.config.settle_us);
        match group.phase {
            Phase::Unsure if group.inherited && !self.was_answerable(began) => {}
            Phase::Unsure => {
                let at = self.now.saturating_add(self.pace.delay(group.failures));
                self.groups.change(number, |group| {
                    // What is not there takes no room, and needs no end.
                    group.called = false;
                    group.phase = Phase::Waiting { at };
                });
            }
            Phase::There if group.is_live() && settled => self.groups.change(number, |group| {
                group.seen = Some(UnitState::Gone);
                group.detail = "it is not there any more".into();
            }),
            Phase::Told => self.groups.forget(number),
            Phase::Doomed { .. } if group.told => self.groups.forget(number),
            _ => {}
        }
    }
}

fn rank(state: UnitState) -> u8 {
    match state {
        UnitState::Running => 4,
        UnitState::Pending => 3,
        UnitState::Failed => 2,
        UnitState::Succeeded => 1,
        UnitState::Gone => 0,
    }
}
