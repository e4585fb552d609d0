//! Tasks as jobs of an infrastructure: what stands between a node that offloads and a worker manager.
//!
//! To the node each slot has an executor that runs one element at a time; to the manager each job is a group of one
//! slot that is wanted, reported, and ended. So placement, time limits, cancellation and attempts are the node's and
//! the scheduler's as everywhere, calls, their failures and the ledger the manager's, and here is only what is neither:
//! names of jobs, which of them is whose, and their outcomes.
//!
//! A job is *bound* to a slot until it has an outcome or is not wanted any more; then it is *told*, until the scheduler
//! has its outcome for good, for a process that is killed before that must find it again. Jobs that the infrastructure
//! shows and nobody here named are *strays*, of an earlier process: an element that comes again finds its own by the
//! name's root, and after a while those that are left end.

mod collecting;
mod config;
mod ending;
mod hearing;
mod names;
mod objects;
mod slot;
mod strays;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

pub use config::{CollectId, JobOutcome, JobParts, JobsConfig, JobsOutput, Taken};
pub use names::Digest;

use crate::wire::{GroupState, ManagerStatus, Message, ObjectKey, Payload, Sequence, SessionId};
use collecting::Collecting;
use slot::Slot;
use strays::Strays;

#[derive(Debug)]
struct Job {
    /// Whose element it is; `None`: that has its outcome.
    slot: Option<u32>,
    session: SessionId,
    sequence: Sequence,
    /// The manager has reported it.
    known: bool,
    /// What the infrastructure says of it.
    detail: String,
}

/// See the module's text and `ARCHITECTURE.md`.
pub struct Jobs<P: Payload> {
    config: JobsConfig,
    digest: Digest<P>,
    now: u64,
    slots: BTreeMap<u32, Slot<P>>,
    jobs: BTreeMap<String, Job>,
    /// Those of them that are told.
    told: BTreeSet<String>,
    strays: Strays,
    /// Elements that have come before it was known what is there.
    held: Vec<u32>,
    /// The manager knows what is there.
    knows: bool,
    connected: bool,
    /// By root: jobs that ended without an outcome.
    attempts: BTreeMap<String, u32>,
    /// Slots that have an object.
    users: BTreeMap<ObjectKey, u32>,
    collecting: Collecting,
    named: u64,
    out: Vec<JobsOutput<P>>,
}

impl<P: Payload> Jobs<P> {
    pub fn new(config: JobsConfig, digest: Digest<P>, now: u64) -> Self {
        Jobs {
            config,
            digest,
            now,
            slots: BTreeMap::new(),
            jobs: BTreeMap::new(),
            told: BTreeSet::new(),
            strays: Strays::default(),
            held: Vec::new(),
            knows: false,
            connected: false,
            attempts: BTreeMap::new(),
            users: BTreeMap::new(),
            collecting: Collecting::default(),
            named: 0,
            out: Vec::new(),
        }
    }

    pub fn drain(&mut self, out: &mut Vec<JobsOutput<P>>) {
        self.collect();
        out.append(&mut self.out);
    }

    /// The link to the scheduler is up, or not.
    pub fn connected(&mut self, now: u64, connected: bool) {
        self.now = now;
        if connected && !self.connected {
            self.strays.put_off(now + self.config.adopt_us);
        }
        self.connected = connected;
    }

    /// The scheduler has all that the node has said. `has`: elements that the node has yet to answer for.
    pub fn acknowledged(&mut self, now: u64, has: impl Fn(SessionId, Sequence) -> bool) {
        self.now = now;
        let over: Vec<String> = self
            .told
            .iter()
            .filter(|id| !has(self.jobs[*id].session, self.jobs[*id].sequence))
            .cloned()
            .collect();
        for id in over {
            self.release(&id);
        }
    }

    /// Whether outcomes were told that the scheduler may not have.
    pub fn awaits_acknowledgement(&self) -> bool {
        !self.told.is_empty()
    }

    /// The manager's account of all jobs.
    pub fn status(&mut self, now: u64, status: ManagerStatus) {
        self.now = now;
        let mut missing: BTreeSet<String> = self
            .jobs
            .iter()
            .filter(|(_, job)| job.known)
            .map(|(id, _)| id.clone())
            .collect();
        let before = self.strays.take();
        for report in status.groups {
            missing.remove(&report.group);
            if self.jobs.contains_key(&report.group) {
                self.see(&report.group, report.state, report.detail);
            } else if report.state != GroupState::Ending {
                let until = now + self.config.adopt_us;
                self.strays.report(report, &before, until);
            }
        }
        for id in missing {
            self.lose(&id, "the worker manager does not know its job any more");
        }
        if !self.knows {
            self.knows = true;
            for slot in std::mem::take(&mut self.held) {
                self.begin(slot);
            }
        }
        self.end_strays();
    }

    pub fn tick(&mut self, now: u64) {
        self.now = now;
        self.end_strays();
        self.watch_collecting();
    }

    pub fn next_wakeup(&self) -> Option<u64> {
        let strays = self.strays.wakeup().filter(|_| self.connected);
        strays.into_iter().chain(self.collecting_wakeup()).min()
    }

    /// A slot's element gets its job: the one that is there already, or a new one.
    fn begin(&mut self, slot: u32) {
        let Some(state) = self.slots.get_mut(&slot) else {
            return;
        };
        let (Some(running), Some(mut parts)) = (&mut state.running, state.parts.take()) else {
            return;
        };
        let claimed = self.strays.claim(&running.root);
        let (id, stray) = match claimed {
            Some((id, stray)) => (id, Some(stray)),
            None => {
                self.named += 1;
                let id = names::name(&running.root, self.config.run, self.named);
                (id, None)
            }
        };
        running.id.clone_from(&id);
        parts.attempt = 1 + self.attempts.get(&running.root).copied().unwrap_or(0);
        let job = Job {
            slot: Some(slot),
            session: running.session,
            sequence: running.sequence,
            known: stray.is_some(),
            detail: String::new(),
        };
        self.jobs.insert(id.clone(), job);
        let group = id.clone();
        self.out.push(JobsOutput::Define { id, parts });
        self.tell_manager(Message::StartWorkerGroup {
            group: group.clone(),
            slots: 1,
            capabilities: Vec::new(),
        });
        if let Some(stray) = stray {
            self.log(format!("{group} is there already, and goes on"));
            self.see(&group, stray.state, stray.detail);
        }
    }

    /// The manager reports a job that was named here.
    fn see(&mut self, id: &str, state: GroupState, detail: String) {
        let Some(job) = self.jobs.get_mut(id) else {
            return;
        };
        job.known = true;
        job.detail = detail;
        let Some(slot) = job.slot else {
            return;
        };
        match state {
            GroupState::Wanted | GroupState::Pending | GroupState::Ending => {}
            GroupState::Running => {
                let state = self.slots.get_mut(&slot);
                if let Some(running) = state.and_then(|it| it.running.as_mut()) {
                    running.started_us.get_or_insert(self.now);
                }
            }
            GroupState::Succeeded | GroupState::Failed | GroupState::Gone => {
                self.collecting.want(id);
            }
        }
    }

    /// Nobody needs a job any more.
    fn release(&mut self, id: &str) {
        self.told.remove(id);
        self.collecting.forget(id);
        if self.jobs.remove(id).is_none() {
            return;
        }
        let (group, id) = (id.to_owned(), id.to_owned());
        self.tell_manager(Message::ShutdownWorkerGroup { group });
        self.out.push(JobsOutput::Forget { id });
    }

    fn tell_node(&mut self, slot: u32, message: Message<P>) {
        self.out.push(JobsOutput::ToNode { slot, message });
    }

    fn tell_manager(&mut self, message: Message<P>) {
        self.out.push(JobsOutput::ToManager(message));
    }

    fn log(&mut self, text: String) {
        self.out.push(JobsOutput::Log { text });
    }
}
