//! What is between a node that offloads and the worker manager of its loop: the machine of jobs, and their end.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use scaler_engine::jobs::{CollectId, JobOutcome, Jobs, JobsConfig, JobsOutput};
use scaler_engine::node::NodeOutput;
use scaler_wire::Message;

use crate::manager_part::ManagerPart;
use crate::node_part::NodePart;
use crate::outward::OutwardLink;
use crate::port::{own_name, PART};
use crate::shared::{Request, Shared};

/// Larger values go to object storage.
const INLINE: usize = 64 << 10;

#[derive(Clone, Debug)]
pub struct OffloadSettings {
    pub jobs: JobsConfig,
    /// How long jobs may go on when the manager is to end.
    pub patience_us: u64,
}

/// How far the end is.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Leaving {
    No,
    /// What runs may end, until then.
    Until(u64),
    /// The manager ends what is left.
    Given,
}

pub struct OffloadPart {
    jobs: Jobs<Bytes>,
    outputs: Vec<JobsOutput<Bytes>>,
    patience_us: u64,
    leaving: Leaving,
    connected: bool,
    shared: Arc<Shared>,
}

impl OffloadPart {
    pub fn new(settings: &OffloadSettings, now: u64, shared: &Arc<Shared>) -> Self {
        OffloadPart {
            jobs: Jobs::new(settings.jobs.clone(), digest, now),
            outputs: Vec::new(),
            patience_us: settings.patience_us,
            leaving: Leaving::No,
            connected: false,
            shared: Arc::clone(shared),
        }
    }

    pub fn collected(
        &mut self,
        now: u64,
        call: CollectId,
        outcomes: Vec<(String, JobOutcome<Bytes>)>,
    ) {
        let outcomes: BTreeMap<_, _> = outcomes
            .into_iter()
            .map(|(id, outcome)| (id, by_size(outcome)))
            .collect();
        self.jobs.collected(now, call, outcomes);
    }

    pub fn not_collected(&mut self, now: u64, call: CollectId, text: &str, retry_after_us: u64) {
        self.jobs.not_collected(now, call, text, retry_after_us);
    }

    /// What runs may end, and what has not started goes back; asked again: at once.
    pub fn leave(&mut self, now: u64, node: &mut NodePart, manager: &mut ManagerPart) {
        if self.leaving == Leaving::No {
            self.leaving = Leaving::Until(now + self.patience_us);
            node.engine.drain_slots(now);
        } else {
            self.leaving = Leaving::Given;
            manager.engine.leave(now);
        }
    }

    pub fn tick(&mut self, now: u64, node: &mut NodePart) {
        if self.jobs.next_wakeup().is_some_and(|at| at <= now) {
            self.jobs.tick(now);
        }
        if matches!(self.leaving, Leaving::Until(at) if at <= now) {
            self.leaving = Leaving::Until(u64::MAX);
            node.engine.give_up_slots(now);
        }
    }

    pub fn next_wakeup(&self) -> Option<u64> {
        let leaving = match self.leaving {
            Leaving::Until(at) => Some(at),
            _ => None,
        };
        self.jobs.next_wakeup().into_iter().chain(leaving).min()
    }

    /// Lets the three talk to each other. False when there was nothing.
    pub fn settle(&mut self, now: u64, node: &mut NodePart, manager: &mut ManagerPart) -> bool {
        let mut moved = self.watch_link(now, node, manager);
        for output in std::mem::take(&mut node.for_jobs) {
            moved = true;
            self.on_node(now, output, node, manager);
        }
        let mut statuses = Vec::new();
        moved |= manager.drain(now, |message| statuses.push(message));
        for message in statuses {
            if let Message::ManagerStatus(status) = message {
                self.jobs.status(now, status);
            }
        }
        self.jobs.drain(&mut self.outputs);
        for output in std::mem::take(&mut self.outputs) {
            moved = true;
            self.act(now, output, node, manager);
        }
        moved
    }

    /// To both ends the scheduler is there when it is there for the node.
    fn watch_link(&mut self, now: u64, node: &mut NodePart, manager: &mut ManagerPart) -> bool {
        let link = node.scheduler.as_ref();
        let connected = link.is_some_and(OutwardLink::is_open);
        if connected != self.connected {
            self.connected = connected;
            self.jobs.connected(now, connected);
            manager.engine.connected(now, connected);
            return true;
        }
        let idle = link.is_some_and(OutwardLink::is_idle);
        if connected && idle && self.jobs.awaits_acknowledgement() {
            let engine = &node.engine;
            self.jobs
                .acknowledged(now, |session, sequence| engine.has(session, sequence));
        }
        false
    }

    fn on_node(
        &mut self,
        now: u64,
        output: NodeOutput<Bytes>,
        node: &mut NodePart,
        manager: &mut ManagerPart,
    ) {
        match output {
            NodeOutput::StartExecutor { slot } => self.jobs.start_executor(now, slot),
            NodeOutput::Describe {
                slot,
                options,
                objects,
            } => self.jobs.describe(slot, *options, objects),
            NodeOutput::ToExecutor { slot, message } => self.jobs.message(now, slot, message),
            NodeOutput::Kill { slot } => self.jobs.kill(now, slot),
            NodeOutput::Interrupt { slot, at } => self.jobs.interrupt(now, slot, at),
            NodeOutput::Stop { slot, at } => {
                let take_back = |id: &str| manager.engine.take_back(id);
                let (position, started_us) = self.jobs.stop(now, slot, at, take_back);
                node.engine.position(now, slot, position, started_us);
            }
            NodeOutput::Look { slot } => {
                let (position, started_us) = self.jobs.look(slot);
                node.engine.position(now, slot, position, started_us);
            }
            NodeOutput::Exit { reason } => {
                self.leaving = Leaving::Given;
                manager.engine.handle(now, Message::Exit { reason });
            }
            NodeOutput::Flush { .. }
            | NodeOutput::Listen { .. }
            | NodeOutput::Log { .. }
            | NodeOutput::ToScheduler(_)
            | NodeOutput::ToStore(_) => {}
        }
    }

    fn act(
        &mut self,
        now: u64,
        output: JobsOutput<Bytes>,
        node: &mut NodePart,
        manager: &mut ManagerPart,
    ) {
        match output {
            JobsOutput::ToNode { slot, message } => {
                node.engine.executor_message(now, slot, message);
            }
            JobsOutput::Ended {
                slot,
                position,
                detail,
            } => node.engine.job_ended(now, slot, position, detail),
            JobsOutput::ToManager(message) => manager.engine.handle(now, message),
            JobsOutput::Define { id, parts } => self.shared.ask(Request::Job { id, parts }),
            JobsOutput::Forget { id } => self.shared.ask(Request::ForgetJob { id }),
            JobsOutput::Object { key, parts } => {
                self.shared.ask(Request::JobObject { key, parts });
            }
            JobsOutput::ForgetObject { key } => self.shared.ask(Request::ForgetJobObject { key }),
            JobsOutput::Collect { call, ids } => self.shared.ask(Request::Collect { call, ids }),
            JobsOutput::Log { text } => self.shared.ask(Request::Log {
                level: "info",
                text,
            }),
        }
    }
}

fn digest(payload: &Bytes) -> u64 {
    let hash = blake3::hash(payload);
    let first: [u8; 8] = hash.as_bytes()[..8]
        .try_into()
        .expect("a hash has 32 bytes");
    u64::from_le_bytes(first)
}

/// A value that is too large to travel inline is named, and cut into parts.
fn by_size(outcome: JobOutcome<Bytes>) -> JobOutcome<Bytes> {
    match outcome {
        JobOutcome::Value(value) if value.len() > INLINE => {
            let parts = (0..value.len())
                .step_by(PART)
                .map(|at| value.slice(at..value.len().min(at + PART)))
                .collect();
            let size = value.len() as u64;
            let hash = own_name();
            JobOutcome::LargeValue { hash, size, parts }
        }
        other => other,
    }
}
