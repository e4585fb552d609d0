//! A worker manager's decisions: which hook of its driver is called when, and what the ledger must have before.
//!
//! The scheduler names groups and says which are to end; the infrastructure is known by heartbeats alone. Between them
//! each group is at one place of its way (`group.rs`), and each input moves some of them on; what is then due leaves in
//! [`Manager::settle`]: first what the ledger is to have, then calls, then the status. A call that creates leaves only
//! once its intent is in the ledger, and nothing changes anything before the first heartbeat that succeeded: so a
//! process that is killed anywhere is followed by one that knows what may be there, and asks.

mod answers;
mod calls;
mod config;
mod group;
mod groups;
mod leaving;
mod pace;
mod sanity;
mod telling;
#[cfg(test)]
mod tests;
mod watching;

use std::collections::{BTreeMap, VecDeque};

#[cfg(feature = "planted")]
pub use config::Bugs;
pub use config::{
    Answer, Call, CallId, Entry, EntryState, FailureKind, GroupRequest, Level, ManagerConfig,
    ManagerOutput, RecordNumber, UnitSeen, UnitState,
};

use crate::wire::{Capabilities, Message, Payload};
use calls::{Troubles, UnderWay};
use group::{Group, Phase, Wish};
use groups::{Groups, Number};
use leaving::Leaving;
use pace::Pace;
use telling::Telling;
use watching::Watching;

/// More groups at a time are not believed, nor longer names.
const MOST_KNOWN: usize = 20_000;
const MOST_NAME: usize = 256;

/// See the module's text and `ARCHITECTURE.md`.
pub struct Manager<P: Payload> {
    config: ManagerConfig,
    now: u64,
    groups: Groups,
    calls: BTreeMap<CallId, UnderWay>,
    last_call: CallId,
    /// Records that the ledger does not have yet, and what waits for them to be started.
    records: VecDeque<(RecordNumber, Vec<Number>)>,
    last_record: RecordNumber,
    pace: Pace,
    watching: Watching,
    /// Of starts in a row, and of shutdowns.
    troubles: Troubles,
    end_troubles: Troubles,
    telling: Telling,
    /// Since when the scheduler is away; `None`: it is there.
    away_since: Option<u64>,
    leaving: Option<Leaving>,
    /// It has said its last word.
    over: bool,
    out: Vec<ManagerOutput<P>>,
    #[cfg(feature = "planted")]
    bugs: Bugs,
}

impl<P: Payload> Manager<P> {
    /// `entries`: what the ledger has.
    pub fn new(config: ManagerConfig, entries: Vec<Entry>, now: u64) -> Self {
        let config = config.sensible();
        let mut groups = Groups::default();
        // Of two entries of one name the later counts.
        let entries: BTreeMap<String, Entry> = entries
            .into_iter()
            .map(|entry| (entry.group.clone(), entry))
            .collect();
        for entry in entries.into_values() {
            if entry.state == EntryState::Forgotten {
                continue;
            }
            let written = (entry.state, entry.infrastructure.clone());
            let settles_at = now.saturating_add(config.settle_us);
            groups.restore(Group::recorded(entry, now, settles_at), written);
        }
        Manager {
            pace: Pace::new(config.seed),
            watching: Watching::new(now),
            config,
            now,
            groups,
            calls: BTreeMap::new(),
            last_call: 0,
            records: VecDeque::new(),
            last_record: 0,
            troubles: Troubles::default(),
            end_troubles: Troubles::default(),
            telling: Telling::default(),
            away_since: Some(now),
            leaving: None,
            over: false,
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
    pub fn handle(&mut self, now: u64, message: Message<P>) {
        self.now = now;
        match message {
            Message::StartWorkerGroup {
                group,
                slots,
                capabilities,
            } => self.start(group, slots, capabilities),
            Message::ShutdownWorkerGroup { group } => self.shut_down(&group),
            Message::Exit { reason } | Message::Closing { reason } => {
                self.begin_leaving(false, reason);
            }
            Message::Heartbeat => {}
            _ => self.log(
                Level::Error,
                "the scheduler sent what is not for worker managers".into(),
            ),
        }
    }

    /// The link to the scheduler is up, or not.
    pub fn connected(&mut self, now: u64, connected: bool) {
        self.now = now;
        self.away_since = match (connected, self.away_since) {
            (true, _) => None,
            (false, since) => since.or(Some(now)),
        };
        self.groups.changed |= connected;
    }

    /// The scheduler forgot everything, or meets this manager for the first time: it is told all.
    pub fn reset(&mut self, now: u64) {
        self.now = now;
        self.telling.at_once();
    }

    /// The ledger has this record, and all before it, for good.
    pub fn recorded(&mut self, now: u64, number: RecordNumber) {
        self.now = now;
        while self.records.front().is_some_and(|(it, _)| *it <= number) {
            let (_, intents) = self.records.pop_front().expect("it was there");
            for number in intents {
                self.groups.change(number, |group| {
                    if group.phase == Phase::Recording {
                        group.phase = Phase::Waiting { at: now };
                    }
                });
            }
        }
    }

    /// What came of a call.
    pub fn answered(&mut self, now: u64, call: CallId, answer: Answer) {
        self.now = now;
        self.take_answer(call, answer);
    }

    /// The manager ends, and its units first. Asked again: at once, whatever is left.
    pub fn leave(&mut self, now: u64) {
        self.now = now;
        match self.leaving {
            None => self.begin_leaving(false, "it was told to leave".into()),
            Some(_) => self.leave_the_rest(),
        }
    }

    pub fn tick(&mut self, now: u64) {
        self.now = now;
        self.watch_calls();
        self.watch_lease();
    }

    pub fn next_wakeup(&self) -> Option<u64> {
        if self.over {
            return None;
        }
        let wakeups = [
            self.calls_wakeup(),
            self.departure_wakeup(),
            self.look_wakeup(),
            self.status_wakeup(),
            self.lease_wakeup(),
            self.leaving_wakeup(),
        ];
        wakeups.into_iter().flatten().min()
    }

    /// What the inputs since the last time led to. Groups that were named one after the other are one record and few calls.
    pub fn drain(&mut self, out: &mut Vec<ManagerOutput<P>>) {
        self.settle();
        out.append(&mut self.out);
    }

    /// Forgets a group, if no call that starts it has left. Whether it did.
    pub fn take_back(&mut self, name: &str) -> bool {
        let number = self.groups.number_of(name);
        let uncalled = |number: &Number| self.groups.get(*number).is_some_and(|it| !it.called);
        match number.filter(uncalled) {
            Some(number) => {
                self.groups.forget(number);
                true
            }
            None => false,
        }
    }

    /// Groups that it knows.
    pub fn len(&self) -> usize {
        self.groups.len()
    }

    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// Whatever inputs changed, this goes on from there.
    fn settle(&mut self) {
        if self.over {
            return;
        }
        self.go_on_leaving();
        if self.over {
            return;
        }
        self.record();
        self.dispatch();
        self.tell_if_due();
    }

    /// There is to be this group.
    fn start(&mut self, name: String, slots: u32, capabilities: Capabilities) {
        if let Some(number) = self.groups.number_of(&name) {
            // One that was found has a name now. Known ones are left as they are, and ids are not used twice.
            return self.groups.change(number, |group| {
                group.inherited = false;
                if group.wish == Wish::Left {
                    group.wish = Wish::There;
                    group.slots = slots;
                    group.capabilities = capabilities;
                }
            });
        }
        if self.leaving.is_some() || self.over {
            return;
        }
        if name.is_empty() || name.len() > MOST_NAME || slots == 0 {
            return self.log(
                Level::Error,
                format!("the scheduler named a group of {slots} slots {name:?}: it is not started"),
            );
        }
        if self.groups.len() >= MOST_KNOWN {
            let text = format!("{name}: there are {MOST_KNOWN} groups: it is not started");
            return self.log(Level::Error, text);
        }
        #[cfg_attr(not(feature = "planted"), allow(unused_mut))]
        let mut group = Group::named(name, slots, capabilities);
        #[cfg(feature = "planted")]
        if self.bugs.skip_intent {
            group.phase = Phase::Waiting { at: self.now };
        }
        self.groups.add(group);
    }

    /// This group is to end, and may be forgotten once it has.
    fn shut_down(&mut self, name: &str) {
        let Some(number) = self.groups.number_of(name) else {
            return;
        };
        self.doom(number);
        #[cfg(feature = "planted")]
        if self.bugs.shutdown_twice_named {
            let neighbour = self.groups.numbers().into_iter().find(|it| *it > number);
            neighbour.into_iter().for_each(|it| self.doom(it));
        }
    }

    fn doom(&mut self, number: Number) {
        let Some(group) = self.groups.get(number) else {
            return;
        };
        if group.wish == Wish::Over {
            return;
        }
        if !group.called {
            return self.groups.forget(number);
        }
        let at = self.now;
        self.groups.change(number, |group| {
            group.wish = Wish::Over;
            group.failures = 0;
            group.why.clear();
            // One call at a time: what starts it comes back first.
            if !matches!(group.phase, Phase::Starting { .. }) {
                group.phase = Phase::Doomed { at };
            }
        });
    }

    /// What groups have become, for the ledger.
    fn record(&mut self) {
        let (entries, intents) = self.groups.take_unwritten();
        if entries.is_empty() {
            return;
        }
        self.last_record += 1;
        let number = self.last_record;
        if !intents.is_empty() {
            self.records.push_back((number, intents));
        }
        self.out.push(ManagerOutput::Record { number, entries });
    }

    fn log(&mut self, level: Level, text: String) {
        self.out.push(ManagerOutput::Log { level, text });
    }
}
