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
mod names;
mod objects;
mod slot;
mod strays;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

pub use config::{CollectId, JobOutcome, JobParts, JobsConfig, JobsOutput, Taken};
pub use names::Digest;

use crate::node::JobOptions;
use crate::wire::{
    Chunk, ChunkResult, GroupState, ManagerStatus, Message, ObjectKey, OutcomeKind, Payload,
    Sequence, SessionId,
};
use collecting::Collecting;
use slot::{Running, Slot};
use strays::Strays;

/// Elements whose attempts are counted here.
const MOST_COUNTED: usize = 10_000;

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

    /// The node wants an executor.
    pub fn start_executor(&mut self, now: u64, slot: u32) {
        self.now = now;
        self.clear(slot);
        let (pid, error) = (0, String::new());
        self.to_node(slot, Message::Ready { pid, error });
    }

    /// Of the chunk that comes next in a slot.
    pub fn describe(&mut self, slot: u32, options: JobOptions, objects: Vec<ObjectKey>) {
        self.slots.entry(slot).or_default().described = Some((options, objects));
    }

    /// What the node tells an executor.
    pub fn message(&mut self, now: u64, slot: u32, message: Message<P>) {
        self.now = now;
        let state = self.slots.entry(slot).or_default();
        match message {
            Message::Function { id, payload } => state.function(id, payload),
            Message::ForgetFunction { id } => state.forget_function(id),
            Message::Value {
                id,
                count,
                form,
                payload,
            } => state.value(id, count, form, payload),
            Message::DropValues { ids } => state.drop_values(&ids),
            Message::Object {
                key,
                size,
                offset,
                payload,
            } => {
                if let Some(parts) = state.object(size, offset, payload) {
                    self.object(slot, key, parts);
                }
            }
            Message::ForgetObject { key } => {
                if state.objects.remove(&key) {
                    self.unuse(key);
                }
            }
            Message::Chunk(chunk) => self.chunk(slot, &chunk),
            Message::Stop => self.kill(now, slot),
            // Nobody reads what jobs write.
            _ => {}
        }
    }

    /// Where the executor is, and since when.
    pub fn look(&self, slot: u32) -> (u64, u64) {
        let Some(state) = self.slots.get(&slot) else {
            return (0, 0);
        };
        match &state.running {
            Some(running) if running.started_us.is_some() => self.whereabouts(slot),
            _ => (state.position, 0),
        }
    }

    /// Elements at or past `at` are not to start. A job counts as started unless `take_back` says that no call for it
    /// has left, and that none will.
    pub fn stop(
        &mut self,
        now: u64,
        slot: u32,
        at: u64,
        take_back: impl FnOnce(&str) -> bool,
    ) -> (u64, u64) {
        self.now = now;
        let Some(state) = self.slots.get_mut(&slot) else {
            return (0, 0);
        };
        let Some(running) = state.running.as_ref().filter(|it| it.position() >= at) else {
            return self.whereabouts(slot);
        };
        let chunk = running.chunk;
        if !running.id.is_empty() && !take_back(&running.id) {
            return self.whereabouts(slot);
        }
        let id = running.id.clone();
        state.running = None;
        state.parts = None;
        if self.jobs.remove(&id).is_some() {
            self.out.push(JobsOutput::Forget { id });
        }
        self.chunk_end(slot, chunk, 0, 0);
        self.whereabouts(slot)
    }

    /// As `look`, but what may have started is where it is.
    fn whereabouts(&self, slot: u32) -> (u64, u64) {
        let Some(state) = self.slots.get(&slot) else {
            return (0, 0);
        };
        match &state.running {
            Some(running) => (running.position(), running.started_us.unwrap_or(self.now)),
            None => (state.position, 0),
        }
    }

    /// The element at `at` is cancelled. Its job ends when it ends: nobody waits for that.
    pub fn interrupt(&mut self, now: u64, slot: u32, at: u64) {
        self.now = now;
        let Some(state) = self.slots.get_mut(&slot) else {
            return;
        };
        let Some(running) = state.running.take_if(|it| it.position() == at) else {
            return;
        };
        state.parts = None;
        state.position = running.position();
        let payload = P::from_vec(Vec::new());
        self.result(slot, &running, OutcomeKind::Cancelled, payload, 0);
        self.chunk_end(slot, running.chunk, 1, 0);
        self.release(&running.id);
    }

    /// The executor is to end.
    pub fn kill(&mut self, now: u64, slot: u32) {
        self.now = now;
        let running = self.slots.get_mut(&slot).and_then(|it| it.running.take());
        let position = match &running {
            Some(running) => running.position(),
            None => self.slots.get(&slot).map_or(0, |state| state.position),
        };
        if let Some(running) = running {
            self.release(&running.id);
        }
        self.end(slot, position, String::new());
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

    fn chunk(&mut self, slot: u32, chunk: &Chunk<P>) {
        let state = self.slots.entry(slot).or_default();
        let position = u64::from(chunk.chunk) << 32;
        let parts = state.parts_of(chunk);
        let Some(parts) = parts.filter(|_| state.running.is_none()) else {
            let detail = "the node did not tell all that its job needs".to_owned();
            return self.end(slot, position, detail);
        };
        let root = names::root(&parts, &chunk.function, self.digest);
        let state = self.slots.entry(slot).or_default();
        state.running = Some(Running {
            chunk: chunk.chunk,
            session: chunk.session,
            sequence: chunk.first,
            root,
            id: String::new(),
            started_us: None,
        });
        state.parts = Some(Box::new(parts));
        if self.knows {
            self.begin(slot);
        } else {
            self.held.push(slot);
        }
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
        self.to_manager(Message::StartWorkerGroup {
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

    /// An outcome, or that there is none.
    fn finish(&mut self, id: &str, outcome: JobOutcome<P>) {
        let Some(slot) = self.jobs.get(id).and_then(|job| job.slot) else {
            return;
        };
        if let JobOutcome::Lost(detail) = outcome {
            return self.lose(id, &detail);
        }
        let Some(state) = self.slots.get_mut(&slot) else {
            return;
        };
        let Some(running) = state.running.take() else {
            return;
        };
        state.position = running.position();
        let busy_us = running.started_us.map_or(0, |started| self.now - started);
        match outcome {
            JobOutcome::Value(payload) => {
                self.result(slot, &running, OutcomeKind::ValueSingle, payload, busy_us);
            }
            JobOutcome::Exception(payload) => {
                self.result(slot, &running, OutcomeKind::Exception, payload, busy_us);
            }
            JobOutcome::LargeValue { hash, size, parts } => {
                let mut offset = 0;
                for payload in parts {
                    let after = offset + payload.len() as u64;
                    let message = Message::LargeValue {
                        chunk: running.chunk,
                        index: 0,
                        hash,
                        size,
                        offset,
                        payload,
                    };
                    self.to_node(slot, message);
                    offset = after;
                }
            }
            JobOutcome::Lost(_) => unreachable!("it was looked at before"),
        }
        self.chunk_end(slot, running.chunk, 1, busy_us);
        self.attempts.remove(&running.root);
        if let Some(job) = self.jobs.get_mut(id) {
            job.slot = None;
            self.told.insert(id.to_owned());
        }
    }

    /// A job has ended, or will, without an outcome.
    fn lose(&mut self, id: &str, detail: &str) {
        let slot = self.jobs.get(id).and_then(|job| job.slot);
        self.release(id);
        let Some(slot) = slot else {
            return;
        };
        let state = self.slots.get_mut(&slot);
        let Some(running) = state.and_then(|state| state.running.take()) else {
            return;
        };
        if self.attempts.len() >= MOST_COUNTED {
            self.attempts.pop_first();
        }
        let position = running.position();
        *self.attempts.entry(running.root).or_default() += 1;
        self.end(slot, position, detail.to_owned());
    }

    /// The executor of a slot is no more.
    fn end(&mut self, slot: u32, position: u64, detail: String) {
        self.clear(slot);
        self.out.push(JobsOutput::Ended {
            slot,
            position,
            detail,
        });
    }

    /// Nobody needs a job any more.
    fn release(&mut self, id: &str) {
        self.told.remove(id);
        self.collecting.forget(id);
        if self.jobs.remove(id).is_none() {
            return;
        }
        let (group, id) = (id.to_owned(), id.to_owned());
        self.to_manager(Message::ShutdownWorkerGroup { group });
        self.out.push(JobsOutput::Forget { id });
    }

    fn result(
        &mut self,
        slot: u32,
        running: &Running,
        kind: OutcomeKind,
        payload: P,
        busy_us: u64,
    ) {
        let result = ChunkResult {
            chunk: running.chunk,
            index: 0,
            count: 1,
            kind,
            payload,
            busy_us,
        };
        self.to_node(slot, Message::ChunkResult(result));
    }

    fn chunk_end(&mut self, slot: u32, chunk: u32, next: u32, busy_us: u64) {
        let message = Message::ChunkEnd {
            chunk,
            next,
            busy_us,
        };
        self.to_node(slot, message);
    }

    fn to_node(&mut self, slot: u32, message: Message<P>) {
        self.out.push(JobsOutput::ToNode { slot, message });
    }

    fn to_manager(&mut self, message: Message<P>) {
        self.out.push(JobsOutput::ToManager(message));
    }

    fn log(&mut self, text: String) {
        self.out.push(JobsOutput::Log { text });
    }
}
