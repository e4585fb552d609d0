//! A manager, its ledger, and a record of what it asked for. Calls are answered by the tests.

use std::collections::{BTreeMap, BTreeSet};

use crate::manager::{
    Answer, Call, CallId, Entry, EntryState, FailureKind, Manager, ManagerConfig, ManagerOutput,
    UnitSeen, UnitState,
};
use crate::wire::{GroupReport, GroupState, ManagerStatus, Message, Payload};

pub const SECOND: u64 = 1_000_000;

/// A payload that is only a length.
#[derive(Clone, Debug, PartialEq)]
pub struct Bytes(pub usize);

impl Payload for Bytes {
    fn len(&self) -> usize {
        self.0
    }

    fn from_vec(bytes: Vec<u8>) -> Self {
        Bytes(bytes.len())
    }
}

pub struct Rig {
    pub config: ManagerConfig,
    pub manager: Manager<Bytes>,
    pub now: u64,
    /// What is written for good.
    pub ledger: BTreeMap<String, Entry>,
    /// Records that are not.
    pub unwritten: Vec<(u64, Vec<Entry>)>,
    /// Whether records are written, and said to be, at once.
    pub writes: bool,
    /// Calls that have not come back.
    pub calls: BTreeMap<CallId, Call>,
    pub statuses: Vec<ManagerStatus>,
    /// How many of each hook have left.
    pub starts: u32,
    pub shutdowns: u32,
    pub restarts: Vec<String>,
    pub exits: Vec<(bool, String)>,
    pub logs: Vec<String>,
    #[cfg(feature = "planted")]
    pub bugs: crate::manager::Bugs,
}

pub fn config() -> ManagerConfig {
    ManagerConfig {
        cleanup: "clean this up".into(),
        most_groups: 8,
        seed: 1,
        ..ManagerConfig::default()
    }
}

pub fn unit(group: &str, state: UnitState) -> UnitSeen {
    UnitSeen {
        group: group.into(),
        infrastructure: format!("i-{group}"),
        state,
        detail: String::new(),
    }
}

pub fn running(groups: &[&str]) -> Answer {
    let units = groups.iter().map(|it| unit(it, UnitState::Running));
    Answer::Units(units.collect())
}

pub fn failed(kind: FailureKind) -> Answer {
    failed_after(kind, 0)
}

pub fn failed_after(kind: FailureKind, retry_after_us: u64) -> Answer {
    let text = format!("{kind:?}!");
    Answer::Failed {
        kind,
        text,
        retry_after_us,
    }
}

pub fn entry(group: &str, state: EntryState) -> Entry {
    Entry {
        group: group.into(),
        slots: 2,
        capabilities: vec![],
        state,
        infrastructure: String::new(),
    }
}

impl Rig {
    /// Connected, and nothing is there.
    pub fn new() -> Self {
        Rig::with(config())
    }

    pub fn with(config: ManagerConfig) -> Self {
        let mut rig = Rig::unconnected(config, vec![]);
        rig.connect();
        rig.look(&[]);
        rig
    }

    pub fn unconnected(config: ManagerConfig, entries: Vec<Entry>) -> Self {
        let mut rig = Rig {
            manager: Manager::new(config.clone(), entries.clone(), 1),
            config,
            now: 1,
            ledger: entries
                .into_iter()
                .map(|it| (it.group.clone(), it))
                .collect(),
            unwritten: vec![],
            writes: true,
            calls: BTreeMap::new(),
            statuses: vec![],
            starts: 0,
            shutdowns: 0,
            restarts: vec![],
            exits: vec![],
            logs: vec![],
            #[cfg(feature = "planted")]
            bugs: Default::default(),
        };
        rig.absorb();
        rig
    }

    /// The process is killed and comes back: it has what the ledger has.
    pub fn restart(&mut self) {
        self.unwritten.clear();
        self.calls.clear();
        let entries = self.ledger.values().cloned().collect();
        let mut config = self.config.clone();
        config.seed += self.now;
        self.manager = Manager::new(config, entries, self.now);
        #[cfg(feature = "planted")]
        self.manager.plant(self.bugs);
        self.absorb();
    }

    pub fn connect(&mut self) {
        self.manager.connected(self.now, true);
        self.manager.reset(self.now);
        self.absorb();
    }

    pub fn disconnect(&mut self) {
        self.manager.connected(self.now, false);
        self.absorb();
    }

    pub fn say(&mut self, message: Message<Bytes>) {
        self.manager.handle(self.now, message);
        self.absorb();
    }

    pub fn name(&mut self, group: &str) {
        self.say(Message::StartWorkerGroup {
            group: group.into(),
            slots: 2,
            capabilities: vec![("gpu".into(), 1)],
        });
    }

    pub fn end(&mut self, group: &str) {
        self.say(Message::ShutdownWorkerGroup {
            group: group.into(),
        });
    }

    pub fn answer(&mut self, call: CallId, answer: Answer) {
        self.calls.remove(&call);
        self.manager.answered(self.now, call, answer);
        self.absorb();
    }

    /// Time passes at once: as if the machine had slept.
    pub fn pass(&mut self, microseconds: u64) {
        self.now += microseconds;
        self.manager.tick(self.now);
        self.absorb();
        let wakeup = self.manager.next_wakeup();
        assert!(
            wakeup.is_none_or(|at| at > self.now),
            "it wakes up again at once"
        );
    }

    /// Time passes from wake-up to wake-up, until `enough` or for `microseconds`. Heartbeats are answered with `units`.
    pub fn run(&mut self, microseconds: u64, units: &[&str], enough: impl Fn(&Rig) -> bool) {
        let end = self.now + microseconds;
        while !enough(self) && self.now < end {
            if let Some(look) = self.heartbeat() {
                self.answer(look, running(units));
                continue;
            }
            let next = self.manager.next_wakeup().unwrap_or(end).min(end);
            self.pass(next.saturating_sub(self.now).max(1));
        }
    }

    pub fn run_for(&mut self, microseconds: u64, units: &[&str]) {
        self.run(microseconds, units, |_| false);
    }

    /// Until a heartbeat is under way; then it is answered with these, which run.
    pub fn look(&mut self, groups: &[&str]) {
        self.look_at(running(groups));
    }

    /// As `look`, with a heartbeat that begins now.
    pub fn look_anew(&mut self, groups: &[&str]) {
        if let Some(call) = self.heartbeat() {
            self.answer(call, running(groups));
        }
        self.look(groups);
    }

    pub fn look_at(&mut self, answer: Answer) {
        let call = self.await_heartbeat();
        self.answer(call, answer);
    }

    /// The heartbeat that is under way, or the next one.
    pub fn await_heartbeat(&mut self) -> CallId {
        for _ in 0..1_000 {
            if let Some(call) = self.heartbeat() {
                return call;
            }
            let next = self.manager.next_wakeup().expect("it looks again");
            self.pass(next - self.now);
        }
        panic!("no heartbeat");
    }

    pub fn heartbeat(&self) -> Option<CallId> {
        self.call(|call| matches!(call, Call::Heartbeat))
    }

    /// The start under way of this group.
    pub fn starting(&self, group: &str) -> Option<CallId> {
        self.call(|call| matches!(call, Call::Start(of) if of.iter().any(|it| it.group == group)))
    }

    /// The shutdown under way of this group.
    pub fn ending(&self, group: &str) -> Option<CallId> {
        self.call(|call| matches!(call, Call::Shutdown(of) if of.iter().any(|it| it == group)))
    }

    pub fn cleanup(&self) -> Option<CallId> {
        self.call(|call| matches!(call, Call::Cleanup))
    }

    fn call(&self, wanted: impl Fn(&Call) -> bool) -> Option<CallId> {
        let mut calls = self.calls.iter();
        calls.find(|(_, call)| wanted(call)).map(|(id, _)| *id)
    }

    /// Named, started, and seen to run.
    pub fn up(&mut self, group: &str, beside: &[&str]) {
        self.name(group);
        let call = self.starting(group).expect("it is started");
        self.answer(call, running(&[group]));
        let mut all = beside.to_vec();
        all.push(group);
        self.look(&all);
    }

    pub fn status(&self) -> &ManagerStatus {
        self.statuses.last().expect("a status")
    }

    /// The newest status, after what is still to be told was.
    pub fn told(&mut self) -> ManagerStatus {
        self.pass(500_000);
        self.status().clone()
    }

    pub fn report(&mut self, group: &str) -> Option<GroupReport> {
        let status = self.told();
        status.groups.into_iter().find(|it| it.group == group)
    }

    pub fn state(&mut self, group: &str) -> Option<GroupState> {
        self.report(group).map(|it| it.state)
    }

    pub fn write(&mut self) {
        for (number, entries) in std::mem::take(&mut self.unwritten) {
            for entry in entries {
                match entry.state {
                    EntryState::Forgotten => self.ledger.remove(&entry.group),
                    _ => self.ledger.insert(entry.group.clone(), entry),
                };
            }
            self.manager.recorded(self.now, number);
        }
    }

    /// Takes what the manager asks for, until it asks for nothing more.
    pub fn absorb(&mut self) {
        loop {
            let mut outputs = Vec::new();
            self.manager.drain(&mut outputs);
            if outputs.is_empty() && (self.unwritten.is_empty() || !self.writes) {
                break;
            }
            for output in outputs {
                self.take(output);
            }
            if self.writes {
                self.write();
            }
        }
        // It looks at everything each time.
        if self.manager.len() < 1_000 {
            self.manager.sanity_check();
        }
    }

    fn take(&mut self, output: ManagerOutput<Bytes>) {
        let over = !self.restarts.is_empty() || !self.exits.is_empty();
        match output {
            ManagerOutput::ToScheduler(Message::ManagerStatus(status)) => {
                let mut names = BTreeSet::new();
                let twice = status.groups.iter().find(|it| !names.insert(&it.group));
                assert_eq!(twice, None, "a group is reported twice");
                self.statuses.push(status);
            }
            ManagerOutput::ToScheduler(other) => panic!("{other:?}"),
            ManagerOutput::Record { number, entries } => self.unwritten.push((number, entries)),
            ManagerOutput::Call { id, call } => {
                assert!(!over, "{call:?} after the end");
                self.note(&call);
                self.calls.insert(id, call);
            }
            ManagerOutput::Restart { reason } => self.restarts.push(reason),
            ManagerOutput::Exit { failed, reason } => self.exits.push((failed, reason)),
            ManagerOutput::Log { text, .. } => self.logs.push(text),
        }
    }

    fn note(&mut self, call: &Call) {
        match call {
            Call::Start(requests) => {
                self.starts += 1;
                assert!(!requests.is_empty() && requests.len() <= self.config.batch as usize);
                for request in requests {
                    let group = &request.group;
                    assert_eq!(
                        self.starting(group),
                        None,
                        "{group} is started twice at a time"
                    );
                    assert_eq!(
                        self.ending(group),
                        None,
                        "{group} is started while it is ended"
                    );
                    let state = self.ledger.get(group).map(|it| it.state);
                    assert_eq!(
                        state,
                        Some(EntryState::Intended),
                        "{group} is started, and the ledger says something else"
                    );
                }
            }
            Call::Shutdown(groups) => {
                self.shutdowns += 1;
                for group in groups {
                    assert_eq!(
                        self.starting(group),
                        None,
                        "{group} is ended while it is started"
                    );
                    assert_eq!(self.ending(group), None, "{group} is ended twice at a time");
                }
            }
            Call::Heartbeat => assert_eq!(self.heartbeat(), None, "two heartbeats at a time"),
            Call::Cleanup => {}
        }
    }
}
