//! What the scheduler is told: the whole account, not more often than it can matter.

use crate::wire::{GroupReport, ManagerStatus, Message, Payload};

use super::config::ManagerOutput;
use super::group::Group;
use super::Manager;

/// Between two statuses, however much changes: at least this, and this for each group.
const PAUSE_US: u64 = 50_000;
const PAUSE_PER_GROUP_US: u64 = 50;
/// Bytes of all texts of a status: what is for people goes first where there is more.
const MOST_BYTES: usize = 4 << 20;

#[derive(Debug, Default)]
pub(super) struct Telling {
    /// When the last one left; `None`: the scheduler has not been told anything, or has forgotten it.
    told_at: Option<u64>,
    /// When the first one of this process left.
    pub first_at: Option<u64>,
    /// As it was told.
    trouble: String,
}

impl Telling {
    pub fn at_once(&mut self) {
        self.told_at = None;
    }
}

impl<P: Payload> Manager<P> {
    pub(super) fn tell_if_due(&mut self) {
        self.groups.changed |= self.trouble() != self.telling.trouble;
        if self.status_wakeup().is_some_and(|at| at <= self.now) {
            self.tell();
        }
    }

    /// Not before it is known what the infrastructure has: what a status lacks counts as gone.
    pub(super) fn status_wakeup(&self) -> Option<u64> {
        if self.away_since.is_some() || !self.watching.knows {
            return None;
        }
        let Some(told_at) = self.telling.told_at else {
            return Some(self.now);
        };
        let pause = PAUSE_US.max(PAUSE_PER_GROUP_US * self.groups.len() as u64);
        Some(
            told_at
                + if self.groups.changed {
                    pause
                } else {
                    self.config.heartbeat_us
                },
        )
    }

    pub(super) fn tell(&mut self) {
        self.telling.told_at = Some(self.now);
        self.telling.first_at.get_or_insert(self.now);
        self.groups.changed = false;
        let mut groups: Vec<_> = self
            .groups
            .iter()
            .map(|(_, group)| self.report(group))
            .collect();
        let bytes = |groups: &[GroupReport]| -> usize {
            let of =
                |one: &GroupReport| one.group.len() + one.infrastructure.len() + one.detail.len();
            groups.iter().map(of).sum()
        };
        if bytes(&groups) > MOST_BYTES {
            groups.iter_mut().for_each(|group| group.detail.clear());
        }
        if bytes(&groups) > MOST_BYTES {
            groups
                .iter_mut()
                .for_each(|group| group.infrastructure.clear());
        }
        self.telling.trouble = self.trouble();
        let status = ManagerStatus {
            groups,
            trouble: self.telling.trouble.clone(),
            leaving: self.leaving.is_some(),
        };
        self.out
            .push(ManagerOutput::ToScheduler(Message::ManagerStatus(status)));
    }

    fn report(&self, group: &Group) -> GroupReport {
        let mut report = group.report();
        if !group.called && self.room() == 0 {
            let most = self.config.most_groups;
            report.detail = format!("waits for another group's end: there may be {most}");
        }
        report
    }

    /// Why it cannot start groups now. Only while some are to be started: else nothing would ever show that it is over.
    fn trouble(&self) -> String {
        if self.watching.troubles.is_worth_telling() {
            return format!("heartbeat: {}", self.watching.troubles.text);
        }
        if self.groups.struggling > 0 && self.troubles.is_worth_telling() {
            return format!("start: {}", self.troubles.text);
        }
        String::new()
    }
}
