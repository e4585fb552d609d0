//! A manager's account of its groups, beside the scheduler's book: what is unknown is adopted, what is missing is said
//! again or retired, what has failed is ended and replaced under another name.

use std::collections::BTreeSet;

use crate::wire::{GroupReport, GroupState, ManagerStatus, Payload};

use super::fleet::{GroupIndex, ManagerIndex};
use super::group::{Report, State, Why};
use super::{Level, Scheduler};

/// A status shows no effect of a command: it is said again, if it was not said just now.
const AGAIN_US: u64 = 1_000_000;
/// More groups make no manager.
const MOST_GROUPS: usize = 65_536;

impl<P: Payload> Scheduler<P> {
    pub(super) fn manager_status(
        &mut self,
        index: ManagerIndex,
        status: ManagerStatus,
    ) -> Result<(), String> {
        if status.groups.len() > MOST_GROUPS {
            return Err(format!(
                "a worker manager of more than {MOST_GROUPS} groups"
            ));
        }
        self.leaves(index, status.leaving);
        let mut seen = BTreeSet::new();
        for report in status.groups {
            if let Some(group) = self.reported(index, report) {
                seen.insert(group);
            }
        }
        for group in self.fleet.groups_of(index) {
            if !seen.contains(&group) {
                self.unreported(group);
            }
        }
        let manager = self.fleet.manager_mut(index);
        let first = !std::mem::replace(&mut manager.heard, true);
        if manager.trouble != status.trouble {
            manager.trouble = status.trouble;
            self.tell_trouble(index);
        }
        if first && self.now < self.resync_until {
            self.start_least(index);
        }
        self.fleet.changed = true;
        Ok(())
    }

    fn tell_trouble(&mut self, index: ManagerIndex) {
        let manager = self.fleet.manager(index);
        let (level, text) = match manager.trouble.as_str() {
            "" => (Level::Info, "can start workers again".to_owned()),
            trouble => (Level::Warning, format!("cannot start workers: {trouble}")),
        };
        let text = format!("worker manager {} {text}", manager.id);
        self.log(level, text);
    }

    /// Its groups are needed as long as they have work; it ends them.
    fn leaves(&mut self, index: ManagerIndex, leaving: bool) {
        let manager = self.fleet.manager_mut(index);
        manager.leaving = leaving;
        for group in self.fleet.groups_of(index) {
            match self.fleet.group(group).state {
                State::Starting { .. } if leaving => self.end_group(group),
                State::Up if leaving => self.retire(group, Why::Leaving),
                State::Retiring(Why::Leaving) if !leaving => self.take_back(group),
                _ => {}
            }
        }
    }

    /// Gives the group that a report is about.
    fn reported(&mut self, manager: ManagerIndex, report: GroupReport) -> Option<GroupIndex> {
        let index = match self.fleet.find_group(manager, &report.group) {
            Some(index) => index,
            None => {
                #[cfg(feature = "planted")]
                if self.bugs.drop_adopted {
                    return None;
                }
                self.adopt_group(manager, &report)
            }
        };
        let now = self.now;
        let group = self.fleet.group_mut(index);
        group.shown = true;
        group.exits = false;
        let was_over = group.is_over();
        group.report = Some(Report {
            state: report.state,
            infrastructure: report.infrastructure,
            detail: report.detail,
        });
        let (state, over, occupied) = (group.state, group.is_over(), group.occupied > 0);
        let lives = !over && report.state != GroupState::Ending;
        let said_lately = group.said_at.is_some_and(|at| at + AGAIN_US > now);
        self.fleet.refresh(index);
        match state {
            State::Starting { .. } if over => {
                let reason = self.why_it_did_not_come(index);
                self.start_failed(index, reason);
            }
            // Its manager was about to end it with work at it, and has forgotten that.
            State::Ending if lives && occupied => self.take_back(index),
            State::Ending => {
                let ends = report.state == GroupState::Ending;
                if !ends && !said_lately {
                    self.say_shutdown(index);
                }
            }
            // Its manager does so by itself, or was told by a former scheduler.
            _ if report.state == GroupState::Ending => self.ends(index),
            State::Retiring(Why::Unknown) if !over => self.take_back(index),
            _ => {}
        }
        if over && !was_over {
            self.fleet.stirred.insert(index);
        }
        Some(index)
    }

    /// A group that this scheduler did not name, or has forgotten.
    fn adopt_group(&mut self, manager: ManagerIndex, report: &GroupReport) -> GroupIndex {
        let now = self.now;
        let state = match report.state {
            GroupState::Wanted | GroupState::Pending | GroupState::Running => State::Starting {
                deadline: now + self.startup_of(manager),
            },
            _ => State::Ending,
        };
        let slots = report.slots.max(1);
        let index = self
            .fleet
            .add_group(manager, &report.group, slots, state, now);
        self.fleet.group_mut(index).adopted = true;
        let text = format!("worker group {} is known from now on", report.group);
        self.log(Level::Info, text);
        index
    }

    /// A complete account does not have it.
    fn unreported(&mut self, index: GroupIndex) {
        let now = self.now;
        let group = self.fleet.group_mut(index);
        let was_shown = std::mem::replace(&mut group.shown, false);
        let was_said = group.said_at;
        let said_lately = was_said.is_some_and(|at| at + AGAIN_US > now);
        let was_known = group.report.is_some();
        if was_shown || group.state == State::Ending {
            if let Some(report) = &mut group.report {
                report.state = GroupState::Gone;
            }
        }
        self.fleet.refresh(index);
        let group = self.fleet.group_mut(index);
        match group.state {
            // It has been called for, perhaps, and an id is not used for another unit.
            State::Starting { .. } if was_known => {
                let text = format!(
                    "worker group {} is not known to its worker manager any more; it is replaced if it is needed",
                    group.id
                );
                self.log(Level::Warning, text);
                self.end_group(index);
            }
            State::Starting { .. } if !said_lately => self.say_start(index),
            State::Starting { .. } => {}
            State::Up if !was_shown && was_said.is_some() => {
                if !said_lately {
                    self.say_start(index);
                }
            }
            State::Up => {
                group.exits = true;
                let text = format!(
                    "worker group {} is not known to its worker manager: it ends when it is idle",
                    group.id
                );
                self.log(Level::Warning, text);
                self.retire(index, Why::Unknown);
            }
            State::Retiring(_) | State::Ending => {
                group.exits = true;
                self.fleet.stirred.insert(index);
            }
        }
    }

    /// Why a group has not come, for people: what its manager knows of it, and where to look.
    pub(super) fn why_it_did_not_come(&self, index: GroupIndex) -> String {
        let group = self.fleet.group(index);
        let seconds = (self.now - group.since) / 1_000_000;
        let manager = self.fleet.manager(group.manager);
        let Some(report) = &group.report else {
            return format!("its worker manager has not confirmed it within {seconds} s");
        };
        let detail = match (report.detail.is_empty(), manager.trouble.is_empty()) {
            (false, _) => format!(": {}", report.detail),
            (true, false) => format!(": {}", manager.trouble),
            (true, true) => String::new(),
        };
        let unit = match report.infrastructure.is_empty() {
            true => "its unit".to_owned(),
            false => format!("its unit {}", report.infrastructure),
        };
        match report.state {
            GroupState::Failed => format!("{unit} failed{detail}"),
            GroupState::Gone => format!("{unit} is gone{detail}"),
            GroupState::Succeeded => format!("{unit} ended before its workers connected{detail}"),
            GroupState::Wanted | GroupState::Pending => {
                format!("{unit} has not been started within {seconds} s{detail}")
            }
            GroupState::Running | GroupState::Ending => format!(
                "{unit} runs, and its workers have not connected within {seconds} s{detail}; they were told to connect \
                 to {} (--worker-scheduler-address): is that address reachable from there, and does a firewall or \
                 security group let its port through?",
                manager.info.as_ref().map_or("this scheduler", |info| &info.workers_address)
            ),
        }
    }
}
