//! Random histories of commands, answers, deaths and restarts, against an infrastructure that remembers what it did.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::rig::{config, failed, failed_after, unit, Rig, SECOND};
use crate::manager::{
    Answer, Call, CallId, EntryState, FailureKind, ManagerConfig, UnitSeen, UnitState,
};

const SETTLE_US: u64 = 6 * SECOND;

#[derive(Clone, Debug)]
enum Deed {
    Name,
    /// Ends the nth of those that were named or found.
    End(usize),
    /// The nth call under way comes back.
    Answer(usize, Outcome),
    /// The nth call under way does what it is to do, and does not come back yet.
    Act(usize),
    Pass(u64),
    /// The nth unit ends by itself; whether it is told of afterwards.
    Die(usize, bool),
    /// A unit appears that nobody named.
    Appear,
    /// The ledger has written so many records more.
    Write(usize),
    /// The process is killed; the calls under way do what they are to do, or not.
    Crash(bool),
    Connect(bool),
}

#[derive(Clone, Copy, Debug)]
enum Outcome {
    Success,
    /// It did all, and the answer is lost.
    Lost,
    /// It did the first half, and nobody knows.
    Half,
    /// It did the first half, and says so.
    Part,
    Failure(FailureKind),
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        6 => Just(Outcome::Success),
        2 => Just(Outcome::Lost),
        1 => Just(Outcome::Half),
        1 => Just(Outcome::Part),
        1 => Just(Outcome::Failure(FailureKind::Throttled)),
        1 => Just(Outcome::Failure(FailureKind::Credentials)),
        1 => Just(Outcome::Failure(FailureKind::Temporary)),
        1 => Just(Outcome::Failure(FailureKind::Permanent)),
        1 => Just(Outcome::Failure(FailureKind::Unknown)),
    ]
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        5 => Just(Deed::Name),
        3 => (0usize..20).prop_map(Deed::End),
        12 => ((0usize..6), outcome()).prop_map(|(nth, outcome)| Deed::Answer(nth, outcome)),
        2 => (0usize..6).prop_map(Deed::Act),
        8 => prop_oneof![0u64..SECOND, SECOND..10 * SECOND, Just(70 * SECOND)].prop_map(Deed::Pass),
        1 => ((0usize..8), any::<bool>()).prop_map(|(nth, told)| Deed::Die(nth, told)),
        1 => Just(Deed::Appear),
        6 => (1usize..5).prop_map(Deed::Write),
        1 => any::<bool>().prop_map(Deed::Crash),
        1 => any::<bool>().prop_map(Deed::Connect),
    ]
}

/// A unit of the infrastructure.
#[derive(Clone, Debug)]
struct Thing {
    state: UnitState,
    /// From when on heartbeats and shutdowns find it.
    visible_at: u64,
}

#[derive(Default)]
struct Cloud {
    things: BTreeMap<String, Thing>,
    /// Calls that did what they were to do.
    acted: BTreeSet<CallId>,
    /// What a heartbeat saw when it looked.
    saw: BTreeMap<CallId, Vec<UnitSeen>>,
}

impl Cloud {
    fn live(&self, group: &str) -> bool {
        let thing = self.things.get(group);
        thing.is_some_and(|thing| thing.state.is_live())
    }

    /// The call does what it is to do, of the first `most` groups.
    fn act(&mut self, now: u64, id: CallId, call: &Call, most: usize) {
        if !self.acted.insert(id) {
            return;
        }
        match call {
            Call::Start(requests) => {
                for (nth, request) in requests.iter().enumerate().take(most) {
                    let lag = (now + nth as u64 * 7_919) % SETTLE_US;
                    let thing = Thing {
                        state: UnitState::Running,
                        visible_at: now + lag,
                    };
                    // Idempotent by id.
                    self.things.entry(request.group.clone()).or_insert(thing);
                }
            }
            Call::Shutdown(groups) => {
                for group in groups.iter().take(most) {
                    let there = self.things.get_mut(group);
                    if let Some(thing) = there.filter(|it| it.visible_at <= now) {
                        thing.state = UnitState::Gone;
                    }
                }
            }
            Call::Heartbeat => {
                let visible = self.things.iter().filter(|(_, it)| it.visible_at <= now);
                let units = visible.map(|(group, it)| unit(group, it.state)).collect();
                self.saw.insert(id, units);
            }
            Call::Cleanup => {}
        }
    }
}

struct History {
    rig: Rig,
    cloud: Cloud,
    named: Vec<String>,
    commanded: BTreeSet<String>,
    /// Calls whose start was looked at.
    checked: CallId,
    connected: bool,
}

impl History {
    fn new() -> Self {
        let config = ManagerConfig {
            most_groups: 6,
            batch: 3,
            calls: 2,
            settle_us: SETTLE_US,
            lease_us: 0,
            ..config()
        };
        let mut rig = Rig::unconnected(config, vec![]);
        rig.connect();
        History {
            rig,
            cloud: Cloud::default(),
            named: vec![],
            commanded: BTreeSet::new(),
            checked: 0,
            connected: true,
        }
    }

    fn does(&mut self, deed: Deed) {
        self.rig.writes = false;
        match deed {
            Deed::Name => {
                let name = format!("g{}", self.named.len());
                self.named.push(name.clone());
                self.rig.name(&name);
            }
            Deed::End(nth) => {
                if let Some(name) = self.named.get(nth).cloned() {
                    self.commanded.insert(name.clone());
                    self.rig.end(&name);
                }
            }
            Deed::Answer(nth, outcome) => self.answer(nth, outcome),
            Deed::Act(nth) => {
                if let Some((id, call)) = self.under_way(nth) {
                    self.cloud.act(self.rig.now, id, &call, usize::MAX);
                }
            }
            Deed::Pass(microseconds) => self.rig.pass(microseconds),
            Deed::Die(nth, told) => {
                let name = self.cloud.things.keys().nth(nth).cloned();
                if let Some(name) = name {
                    let thing = self.cloud.things.get_mut(&name).expect("it is there");
                    thing.state = UnitState::Failed;
                    if !told {
                        self.cloud.things.remove(&name);
                    }
                }
            }
            Deed::Appear => {
                let name = format!("stranger-{}", self.named.len());
                self.named.push(name.clone());
                let thing = Thing {
                    state: UnitState::Running,
                    visible_at: 0,
                };
                self.cloud.things.insert(name, thing);
            }
            Deed::Write(most) => self.write(most),
            Deed::Crash(acts) => self.crash(acts),
            Deed::Connect(connected) => self.connect(connected),
        }
        if !self.rig.restarts.is_empty() {
            self.crash(true);
        }
        self.check();
        self.insist();
    }

    /// The scheduler says again what a status does not show the effect of.
    fn insist(&mut self) {
        for status in std::mem::take(&mut self.rig.statuses) {
            for report in status.groups {
                if self.commanded.contains(&report.group) {
                    self.rig.end(&report.group);
                }
            }
        }
    }

    fn under_way(&self, nth: usize) -> Option<(CallId, Call)> {
        let call = self.rig.calls.iter().nth(nth)?;
        Some((*call.0, call.1.clone()))
    }

    fn write(&mut self, most: usize) {
        let later = self
            .rig
            .unwritten
            .split_off(most.min(self.rig.unwritten.len()));
        for (_, entries) in &self.rig.unwritten {
            for entry in entries {
                if entry.state == EntryState::Forgotten {
                    let name = &entry.group;
                    assert!(!self.cloud.live(name), "{name} is forgotten, and runs");
                    assert_eq!(self.rig.starting(name), None, "{name} is forgotten");
                }
            }
        }
        self.rig.write();
        self.rig.unwritten = later;
        self.rig.absorb();
    }

    fn crash(&mut self, acts: bool) {
        for (id, call) in self.rig.calls.clone() {
            if acts {
                self.cloud.act(self.rig.now, id, &call, usize::MAX);
            }
        }
        self.rig.restarts.clear();
        self.cloud.acted.clear();
        self.cloud.saw.clear();
        self.checked = 0;
        self.rig.restart();
        self.connected = false;
        self.connect(true);
    }

    fn connect(&mut self, connected: bool) {
        if connected && !self.connected {
            self.rig.connect();
        } else if !connected && self.connected {
            self.rig.disconnect();
        }
        self.connected = connected;
    }

    fn answer(&mut self, nth: usize, outcome: Outcome) {
        let Some((id, call)) = self.under_way(nth) else {
            return;
        };
        let now = self.rig.now;
        let size = match &call {
            Call::Start(requests) => requests.len(),
            Call::Shutdown(groups) => groups.len(),
            Call::Heartbeat | Call::Cleanup => 1,
        };
        let half = size.div_ceil(2);
        let answer = match outcome {
            Outcome::Success => {
                self.cloud.act(now, id, &call, usize::MAX);
                self.success(id, &call, size)
            }
            Outcome::Lost => {
                self.cloud.act(now, id, &call, usize::MAX);
                failed(FailureKind::Unknown)
            }
            Outcome::Half => {
                self.cloud.act(now, id, &call, half);
                failed(FailureKind::Unknown)
            }
            Outcome::Part if matches!(call, Call::Start(_)) => {
                self.cloud.act(now, id, &call, half);
                self.success(id, &call, half)
            }
            Outcome::Part => failed(FailureKind::Temporary),
            Outcome::Failure(FailureKind::Throttled) => {
                failed_after(FailureKind::Throttled, 2 * SECOND)
            }
            Outcome::Failure(kind) => failed(kind),
        };
        self.rig.answer(id, answer);
    }

    fn success(&mut self, id: CallId, call: &Call, size: usize) -> Answer {
        match call {
            Call::Start(requests) => {
                let state = |group: &str| self.cloud.things.get(group).map(|it| it.state);
                let units = requests.iter().take(size).map(|it| {
                    // What it found ended already it tells of as such.
                    unit(&it.group, state(&it.group).unwrap_or(UnitState::Gone))
                });
                Answer::Units(units.collect())
            }
            Call::Heartbeat => Answer::Units(self.cloud.saw.remove(&id).unwrap_or_default()),
            Call::Shutdown(_) | Call::Cleanup => Answer::Done,
        }
    }

    /// Calls that have left since the last look. That no group is in two of them, and that intents are in the ledger,
    /// the rig looks at itself.
    fn check(&mut self) {
        for (_, call) in self.rig.calls.range(self.checked + 1..) {
            match call {
                Call::Start(requests) => {
                    for request in requests {
                        let name = &request.group;
                        assert!(self.named.contains(name), "{name} was never named");
                        assert!(!self.commanded.contains(name), "{name} is to end");
                    }
                    let things = self.cloud.things.values();
                    let there = things.filter(|it| it.state.is_live()).count();
                    assert!(
                        there <= 6 + self.named.iter().filter(|it| it.starts_with('s')).count()
                    );
                }
                Call::Shutdown(groups) => {
                    for name in groups {
                        assert!(self.commanded.contains(name), "{name} was not to end");
                    }
                }
                Call::Heartbeat => {}
                Call::Cleanup => panic!("it does not leave"),
            }
        }
        if let Some((last, _)) = self.rig.calls.iter().next_back() {
            self.checked = self.checked.max(*last);
        }
    }

    /// From now on all goes well. What the scheduler would do: it ends what failed or is not known to it.
    fn come_to_rest(&mut self) {
        self.connect(true);
        for _ in 0..400 {
            self.write(usize::MAX);
            while !self.rig.calls.is_empty() {
                self.answer(0, Outcome::Success);
                self.write(usize::MAX);
            }
            self.insist();
            let next = self.rig.manager.next_wakeup().expect("it looks again");
            self.rig.pass(next - self.rig.now);
            self.check();
            self.insist();
            if !self.rig.restarts.is_empty() {
                self.crash(true);
            }
        }
    }
}

/// Whether the ledger and the infrastructure agree in the end, with what the scheduler was told.
fn history(mut history: History, deeds: Vec<Deed>) -> Result<(), TestCaseError> {
    for deed in deeds {
        history.does(deed);
    }
    history.come_to_rest();
    history.rig.pass(3 * SECOND);
    let status = history.rig.status().clone();
    let reported: BTreeSet<&String> = status.groups.iter().map(|it| &it.group).collect();
    for (name, thing) in &history.cloud.things {
        let live = thing.state.is_live();
        prop_assert!(
            !live || reported.contains(name),
            "{name} runs, and nobody tells"
        );
        prop_assert!(
            !live || !history.commanded.contains(name),
            "{name} was to end, and runs"
        );
    }
    for name in &history.commanded {
        prop_assert!(!reported.contains(name), "{name} is gone, and is told of");
    }
    let ledger: BTreeSet<&String> = history.rig.ledger.keys().collect();
    prop_assert_eq!(ledger, reported, "the ledger and the status");
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn every_group_ends_reported_or_gone(deeds in prop::collection::vec(deed(), 1..150)) {
        history(History::new(), deeds)?;
    }
}

/// The histories can fail: each planted mistake breaks one of them.
#[cfg(feature = "planted")]
mod planted {
    use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

    use super::*;
    use crate::manager::Bugs;

    fn is_found(bugs: Bugs) {
        let config = Config {
            cases: 2_000,
            max_shrink_iters: 0,
            failure_persistence: None,
            ..Config::default()
        };
        let random = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
        let mut runner = TestRunner::new_with_rng(config, random);
        let deeds = prop::collection::vec(deed(), 1..150);
        let found = runner.run(&deeds, |deeds| {
            let mut it = History::new();
            it.rig.bugs = bugs;
            it.rig.manager.plant(bugs);
            history(it, deeds)
        });
        assert!(found.is_err(), "{bugs:?}");
    }

    #[test]
    fn a_start_before_the_record_is_found() {
        is_found(Bugs {
            skip_intent: true,
            ..Bugs::default()
        });
    }

    #[test]
    fn a_group_that_is_forgotten_after_an_unknown_outcome_is_found() {
        is_found(Bugs {
            forget_unknown: true,
            ..Bugs::default()
        });
    }

    #[test]
    fn the_end_of_a_unit_that_was_not_to_end_is_found() {
        is_found(Bugs {
            shutdown_twice_named: true,
            ..Bugs::default()
        });
    }

    #[test]
    fn a_start_beside_one_that_hangs_is_found() {
        is_found(Bugs {
            double_start: true,
            ..Bugs::default()
        });
    }
}
