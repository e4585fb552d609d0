//! Outcomes of ended jobs: asked for in batches, again where that fails.

use std::collections::{BTreeMap, BTreeSet};

use crate::wire::Payload;

use super::config::{CollectId, JobOutcome, JobsOutput};
use super::Jobs;

/// Calls at a time.
const MOST_CALLS: usize = 2;
const FIRST_PAUSE_US: u64 = 250_000;
const LONGEST_PAUSE_US: u64 = 30_000_000;

#[derive(Debug, Default)]
pub(super) struct Collecting {
    /// Jobs whose outcome nobody has asked for yet.
    wanted: BTreeSet<String>,
    /// The others, by call, with its deadline.
    calls: BTreeMap<CollectId, (BTreeSet<String>, u64)>,
    last_call: CollectId,
    failures: u32,
    /// Not before that time.
    at: u64,
}

impl Collecting {
    pub fn want(&mut self, id: &str) {
        let asked = self.calls.values().any(|(ids, _)| ids.contains(id));
        if !asked && !self.wanted.contains(id) {
            self.wanted.insert(id.to_owned());
        }
    }

    pub fn forget(&mut self, id: &str) {
        self.wanted.remove(id);
        for (ids, _) in self.calls.values_mut() {
            ids.remove(id);
        }
    }

    /// A call has failed: its jobs are asked for again, after a pause.
    fn failed(&mut self, now: u64, call: CollectId, retry_after_us: u64) {
        let Some((ids, _)) = self.calls.remove(&call) else {
            return;
        };
        self.wanted.extend(ids);
        self.failures = self.failures.saturating_add(1);
        let pause = FIRST_PAUSE_US << (self.failures - 1).min(8);
        self.at = now + pause.min(LONGEST_PAUSE_US).max(retry_after_us);
    }
}

impl<P: Payload> Jobs<P> {
    /// What came of a call: jobs without an outcome are lost, with the reason that the infrastructure gave.
    pub fn collected(
        &mut self,
        now: u64,
        call: CollectId,
        mut outcomes: BTreeMap<String, JobOutcome<P>>,
    ) {
        self.now = now;
        // A late one may tell of jobs that others ask for meanwhile: an outcome is one.
        let asked = self.collecting.calls.remove(&call);
        if asked.is_some() {
            self.collecting.failures = 0;
        }
        for id in asked.into_iter().flat_map(|(ids, _)| ids) {
            let detail = |job: &super::Job| job.detail.clone();
            let outcome = outcomes.remove(&id).unwrap_or_else(|| {
                let detail = self.jobs.get(&id).map(detail).unwrap_or_default();
                JobOutcome::Lost(match detail.is_empty() {
                    true => "its job ended without an outcome".into(),
                    false => detail,
                })
            });
            self.finish(&id, outcome);
        }
        for (id, outcome) in outcomes {
            if !matches!(outcome, JobOutcome::Lost(_)) {
                self.collecting.forget(&id);
                self.finish(&id, outcome);
            }
        }
    }

    pub fn not_collected(&mut self, now: u64, call: CollectId, text: &str, retry_after_us: u64) {
        self.now = now;
        self.collecting.failed(now, call, retry_after_us);
        if self.collecting.failures.is_power_of_two() {
            self.log(format!("outcomes could not be collected: {text}"));
        }
    }

    /// Asks for what is wanted.
    pub(super) fn collect(&mut self) {
        let it = &mut self.collecting;
        while !it.wanted.is_empty() && it.at <= self.now && it.calls.len() < MOST_CALLS {
            let mut ids = Vec::new();
            while ids.len() < self.config.batch as usize {
                let Some(id) = it.wanted.pop_first() else {
                    break;
                };
                ids.push(id);
            }
            it.last_call += 1;
            let deadline = self.now.saturating_add(self.config.deadline_us);
            let asked = ids.iter().cloned().collect();
            it.calls.insert(it.last_call, (asked, deadline));
            let call = it.last_call;
            self.out.push(JobsOutput::Collect { call, ids });
        }
    }

    pub(super) fn watch_collecting(&mut self) {
        let late: Vec<CollectId> = self
            .collecting
            .calls
            .iter()
            .filter(|(_, (_, deadline))| *deadline <= self.now)
            .map(|(call, _)| *call)
            .collect();
        for call in late {
            let seconds = self.config.deadline_us / 1_000_000;
            let text = format!("collect has not come back for {seconds} s");
            self.not_collected(self.now, call, &text, 0);
        }
    }

    pub(super) fn collecting_wakeup(&self) -> Option<u64> {
        let it = &self.collecting;
        let again = !it.wanted.is_empty() && it.calls.len() < MOST_CALLS;
        let deadlines = it.calls.values().map(|(_, deadline)| *deadline);
        deadlines.chain(again.then_some(it.at)).min()
    }
}
