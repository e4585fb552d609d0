//! A worker manager's decisions: which hook of its driver is called when, and what the ledger must have before.

mod config;

use std::collections::BTreeMap;

#[cfg(feature = "planted")]
pub use config::Bugs;
pub use config::{
    Answer, Call, CallId, Entry, EntryState, FailureKind, GroupRequest, Level, ManagerConfig,
    ManagerOutput, RecordNumber, UnitSeen, UnitState,
};

use crate::wire::{Capabilities, GroupReport, GroupState, ManagerStatus, Message, Payload};

struct Group {
    slots: u32,
    capabilities: Capabilities,
    state: GroupState,
    infrastructure: String,
    detail: String,
}

/// See the module's text and `ARCHITECTURE.md`.
pub struct Manager<P: Payload> {
    config: ManagerConfig,
    groups: BTreeMap<String, Group>,
    calls: BTreeMap<CallId, Call>,
    last_call: CallId,
    last_record: RecordNumber,
    recording: BTreeMap<RecordNumber, Vec<String>>,
    connected: bool,
    out: Vec<ManagerOutput<P>>,
    #[cfg(feature = "planted")]
    bugs: Bugs,
}

impl<P: Payload> Manager<P> {
    /// `entries`: what the ledger has.
    pub fn new(config: ManagerConfig, entries: Vec<Entry>, now: u64) -> Self {
        let _ = (entries, now);
        Manager {
            config,
            groups: BTreeMap::new(),
            calls: BTreeMap::new(),
            last_call: 0,
            last_record: 0,
            recording: BTreeMap::new(),
            connected: false,
            out: Vec::new(),
            #[cfg(feature = "planted")]
            bugs: Bugs::default(),
        }
    }

    #[cfg(feature = "planted")]
    pub fn plant(&mut self, bugs: Bugs) {
        self.bugs = bugs;
    }

    /// A message of the scheduler.
    pub fn handle(&mut self, _now: u64, message: Message<P>) {
        if let Message::StartWorkerGroup {
            group,
            slots,
            capabilities,
        } = message
        {
            self.last_record += 1;
            let entry = Entry {
                group: group.clone(),
                slots,
                capabilities: capabilities.clone(),
                state: EntryState::Intended,
                infrastructure: String::new(),
            };
            self.recording.insert(self.last_record, vec![group.clone()]);
            self.out.push(ManagerOutput::Record {
                number: self.last_record,
                entries: vec![entry],
            });
            let (infrastructure, detail) = (String::new(), String::new());
            let state = GroupState::Wanted;
            self.groups.insert(
                group,
                Group {
                    slots,
                    capabilities,
                    state,
                    infrastructure,
                    detail,
                },
            );
        }
    }

    /// The link to the scheduler is up, or not.
    pub fn connected(&mut self, _now: u64, connected: bool) {
        self.connected = connected;
    }

    /// The scheduler forgot everything, or meets this manager for the first time.
    pub fn reset(&mut self, _now: u64) {
        self.status();
    }

    /// The ledger has this record, and all before it, for good.
    pub fn recorded(&mut self, _now: u64, number: RecordNumber) {
        for name in self.recording.remove(&number).unwrap_or_default() {
            let group = &self.groups[&name];
            let request = GroupRequest {
                group: name,
                slots: group.slots,
                capabilities: group.capabilities.clone(),
            };
            self.last_call += 1;
            let call = Call::Start(vec![request]);
            self.calls.insert(self.last_call, call.clone());
            self.out.push(ManagerOutput::Call {
                id: self.last_call,
                call,
            });
        }
    }

    pub fn answered(&mut self, _now: u64, call: CallId, answer: Answer) {
        self.calls.remove(&call);
        if let Answer::Units(units) = answer {
            for unit in units {
                if let Some(group) = self.groups.get_mut(&unit.group) {
                    group.state = match unit.state {
                        UnitState::Pending => GroupState::Pending,
                        UnitState::Running => GroupState::Running,
                        UnitState::Succeeded => GroupState::Succeeded,
                        UnitState::Failed => GroupState::Failed,
                        UnitState::Gone => GroupState::Gone,
                    };
                    group.infrastructure = unit.infrastructure;
                    group.detail = unit.detail;
                }
            }
        }
        self.status();
    }

    /// The manager ends: its units first. Said again: at once, whatever is left.
    pub fn leave(&mut self, _now: u64) {}

    pub fn tick(&mut self, _now: u64) {}

    pub fn next_wakeup(&self) -> Option<u64> {
        let _ = &self.config;
        None
    }

    pub fn drain(&mut self, out: &mut Vec<ManagerOutput<P>>) {
        out.append(&mut self.out);
    }

    fn status(&mut self) {
        if !self.connected {
            return;
        }
        let report = |(group, it): (&String, &Group)| GroupReport {
            group: group.clone(),
            slots: it.slots,
            state: it.state,
            infrastructure: it.infrastructure.clone(),
            detail: it.detail.clone(),
        };
        let groups = self.groups.iter().map(report).collect();
        let status = ManagerStatus {
            groups,
            ..ManagerStatus::default()
        };
        self.out
            .push(ManagerOutput::ToScheduler(Message::ManagerStatus(status)));
    }
}
