//! Random histories of managers, the units that they start, and the nodes in these, with everything that may happen to
//! them. After every step the books are sane; nothing is ended with work at it, no name is used twice, no limit passed;
//! at the end each element has had one outcome, and no unit is left.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::rig::*;
use crate::ranges::RangeSet;
use crate::scaling::{Scaling, ScalingConfig};
use crate::scheduler::SchedulerConfig;
use crate::wire::{GroupState, ManagerInfo, ManagerStatus, Message, Options};

const MANAGERS: usize = 2;
const MOST: u32 = 4;
const SECOND: u64 = 1_000_000;

#[derive(Clone, Debug)]
enum Step {
    Submit {
        count: u32,
    },
    /// A node ends some of what it has.
    Work {
        node: u8,
        count: u8,
    },
    /// A unit gets one step further: it starts, its node comes, or it is gone.
    Unit {
        unit: u8,
    },
    UnitFails {
        unit: u8,
    },
    NodeAway {
        node: u8,
        away: bool,
    },
    /// Its unit dies with it, and nobody knows yet.
    NodeDies {
        node: u8,
    },
    NodeBeginsAnew {
        node: u8,
    },
    Status {
        manager: u8,
    },
    ManagerAway {
        manager: u8,
    },
    ManagerBack {
        manager: u8,
        ledger: bool,
    },
    SchedulerForgets,
    Pass {
        milliseconds: u16,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let any = any::<u8>;
    prop_oneof![
        4 => (1u32..40).prop_map(|count| Step::Submit { count }),
        14 => (any(), 1u8..40).prop_map(|(node, count)| Step::Work { node, count }),
        30 => any().prop_map(|unit| Step::Unit { unit }),
        2 => any().prop_map(|unit| Step::UnitFails { unit }),
        2 => (any(), prop::bool::ANY).prop_map(|(node, away)| Step::NodeAway { node, away }),
        1 => any().prop_map(|node| Step::NodeDies { node }),
        1 => any().prop_map(|node| Step::NodeBeginsAnew { node }),
        8 => any().prop_map(|manager| Step::Status { manager }),
        1 => any().prop_map(|manager| Step::ManagerAway { manager }),
        3 => (any(), prop::bool::weighted(0.8)).prop_map(|(manager, ledger)| Step::ManagerBack { manager, ledger }),
        1 => Just(Step::SchedulerForgets),
        8 => (0u16..3_000).prop_map(|milliseconds| Step::Pass { milliseconds }),
    ]
}

#[derive(Clone, Debug)]
struct Unit {
    state: GroupState,
    /// Its node's link.
    node: Option<u64>,
    /// Its node was there.
    came: bool,
}

/// A manager and the infrastructure behind it.
#[derive(Default)]
struct Manager {
    link: Option<u64>,
    units: BTreeMap<String, Unit>,
    ended: BTreeSet<String>,
}

struct Peer {
    manager: usize,
    group: String,
    here: RangeSet,
    connected: bool,
}

struct World {
    rig: Rig,
    links: u64,
    incarnations: u64,
    managers: Vec<Manager>,
    peers: BTreeMap<u64, Peer>,
    submitted: Vec<(u64, u32)>,
    outcomes: Vec<u32>,
}

fn config(resync_us: u64) -> SchedulerConfig {
    SchedulerConfig {
        resync_us,
        max_attempts: 1_000,
        scaling: ScalingConfig {
            scaling: Scaling::Vanilla,
            cooldown_us: SECOND / 5,
        },
        ..SchedulerConfig::default()
    }
}

fn name(manager: usize) -> String {
    format!("manager-{manager}")
}

impl World {
    fn new() -> World {
        let mut world = World {
            rig: Rig::begin(config(0), 1, 1_000),
            links: 100,
            incarnations: 1,
            managers: (0..MANAGERS).map(|_| Manager::default()).collect(),
            peers: BTreeMap::new(),
            submitted: Vec::new(),
            outcomes: Vec::new(),
        };
        world.plant();
        world.rig.client(CLIENT, SESSION);
        (0..MANAGERS).for_each(|manager| world.back(manager, true));
        world
    }

    #[cfg(not(feature = "planted"))]
    fn plant(&mut self) {}

    #[cfg(feature = "planted")]
    fn plant(&mut self) {
        self.rig.scheduler.plant(planted::BUGS.get());
    }

    fn link(&mut self) -> u64 {
        self.links += 1;
        self.links
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Submit { count } => {
                let first = self.outcomes.len() as u64;
                self.outcomes.extend((0..count).map(|_| 0));
                self.submitted.push((first, count));
                self.rig.submit(first, count);
            }
            Step::Work { node, count } => {
                if let Some(link) = self.pick_node(node) {
                    self.work(link, count);
                }
            }
            Step::Unit { unit } => {
                if let Some((manager, group)) = self.pick_unit(unit) {
                    self.unit(manager, &group);
                }
            }
            Step::UnitFails { unit } => {
                if let Some((manager, group)) = self.pick_unit(unit) {
                    self.unit_ends(manager, &group, GroupState::Failed);
                }
            }
            Step::NodeAway { node, away } => {
                if let Some(link) = self.pick_node(node) {
                    self.away(link, away);
                }
            }
            Step::NodeDies { node } => {
                if let Some(link) = self.pick_node(node) {
                    let (manager, group) =
                        (self.peers[&link].manager, self.peers[&link].group.clone());
                    self.unit_ends(manager, &group, GroupState::Gone);
                    self.forget_node(link);
                }
            }
            Step::NodeBeginsAnew { node } => {
                if let Some(link) = self.pick_node(node) {
                    self.rejoin(link);
                }
            }
            Step::Status { manager } => self.status(usize::from(manager) % MANAGERS, false),
            Step::ManagerAway { manager } => {
                let manager = &mut self.managers[usize::from(manager) % MANAGERS];
                if let Some(link) = manager.link.take() {
                    self.rig.leave(link);
                }
            }
            Step::ManagerBack { manager, ledger } => {
                self.back(usize::from(manager) % MANAGERS, ledger)
            }
            Step::SchedulerForgets => self.forget(),
            Step::Pass { milliseconds } => self.rig.pass(u64::from(milliseconds) * 1_000),
        }
        self.hear();
    }

    fn pick_node(&self, at: u8) -> Option<u64> {
        let links: Vec<u64> = self.peers.keys().copied().collect();
        links.get(usize::from(at) % links.len().max(1)).copied()
    }

    fn pick_unit(&self, at: u8) -> Option<(usize, String)> {
        let units: Vec<(usize, String)> = (0..MANAGERS)
            .flat_map(|it| {
                self.managers[it]
                    .units
                    .keys()
                    .map(move |unit| (it, unit.clone()))
            })
            .collect();
        units.get(usize::from(at) % units.len().max(1)).cloned()
    }

    fn work(&mut self, link: u64, count: u8) {
        let peer = self.peers.get_mut(&link).unwrap();
        let Some((start, end)) = peer.here.iter().next().filter(|_| peer.connected) else {
            return;
        };
        // Outcomes are told a submission at a time.
        let of = self.submitted.partition_point(|&(first, _)| first <= start) - 1;
        let (first, length) = self.submitted[of];
        let end = end
            .min(start + u64::from(count))
            .min(first + u64::from(length));
        peer.here.remove(start, end);
        self.rig.done(link, start, (end - start) as u32, 1_000_000);
    }

    fn unit(&mut self, manager: usize, group: &str) {
        let unit = self.managers[manager].units.get_mut(group).unwrap();
        match unit.state {
            GroupState::Wanted => unit.state = GroupState::Pending,
            GroupState::Pending => unit.state = GroupState::Running,
            GroupState::Running if !unit.came => {
                unit.came = true;
                let link = self.link();
                self.managers[manager].units.get_mut(group).unwrap().node = Some(link);
                self.peers.insert(
                    link,
                    Peer {
                        manager,
                        group: group.into(),
                        here: RangeSet::new(),
                        connected: true,
                    },
                );
                self.rig
                    .group_node(link, &name(manager), group, slots(manager));
            }
            GroupState::Ending => {
                let node = unit.node;
                self.managers[manager].units.remove(group);
                if let Some(link) = node {
                    self.away(link, true);
                    self.forget_node(link);
                }
            }
            _ => {}
        }
    }

    /// It is not there any more; the link of its node breaks.
    fn unit_ends(&mut self, manager: usize, group: &str, state: GroupState) {
        let Some(unit) = self.managers[manager].units.get_mut(group) else {
            return;
        };
        if unit.state != GroupState::Ending {
            unit.state = state;
        }
        if let Some(link) = unit.node.take() {
            self.away(link, true);
        }
    }

    fn away(&mut self, link: u64, away: bool) {
        let Some(peer) = self.peers.get_mut(&link) else {
            return;
        };
        let unit = self.managers[peer.manager].units.get(&peer.group);
        let lives = unit.is_some_and(|unit| unit.node == Some(link));
        if away && peer.connected {
            peer.connected = false;
            self.rig.scheduler.disconnected(self.rig.now, link);
            self.rig.turn();
        } else if !away && !peer.connected && lives {
            peer.connected = true;
            self.rig.scheduler.resumed(self.rig.now, link);
            self.rig.turn();
        }
    }

    /// The scheduler gives it up.
    fn forget_node(&mut self, link: u64) {
        if self.peers.remove(&link).is_some() {
            self.rig.leave(link);
        }
    }

    fn rejoin(&mut self, link: u64) {
        let peer = self.peers.get_mut(&link).unwrap();
        let unit = self.managers[peer.manager].units.get(&peer.group);
        if unit.is_none_or(|unit| unit.node != Some(link)) {
            return;
        }
        peer.connected = true;
        let held: Vec<_> = peer
            .here
            .iter()
            .map(|(start, end)| (start, end - start))
            .collect();
        let (manager, group) = (peer.manager, peer.group.clone());
        self.rig.told(link);
        self.rig
            .rejoin_group_node(link, &name(manager), &group, slots(manager), 1);
        self.rig.hold(link, &held);
    }

    fn back(&mut self, manager: usize, ledger: bool) {
        if self.managers[manager].link.is_some() {
            return;
        }
        let link = self.link();
        self.managers[manager].link = Some(link);
        if !ledger {
            // Of what was only wanted nobody knows any more.
            let units = &mut self.managers[manager].units;
            units.retain(|_, unit| unit.state != GroupState::Wanted);
        }
        let info = ManagerInfo {
            id: name(manager),
            most_groups: MOST,
            least_groups: u32::from(manager == 1),
            slots: slots(manager),
            lease_us: 40 * SECOND,
            startup_us: 30 * SECOND,
            ..native()
        };
        self.rig.join_manager(link, info).unwrap();
        self.status(manager, false);
    }

    fn status(&mut self, manager: usize, leaving: bool) {
        let Some(link) = self.managers[manager].link else {
            return;
        };
        let units = self.managers[manager].units.iter();
        let groups = units.map(|(group, unit)| crate::wire::GroupReport {
            slots: slots(manager),
            ..report(group, unit.state)
        });
        let status = ManagerStatus {
            groups: groups.collect(),
            trouble: String::new(),
            leaving,
        };
        self.rig.say(link, Message::ManagerStatus(status));
    }

    fn forget(&mut self) {
        self.incarnations += 1;
        let now = self.rig.now + 1;
        self.rig = Rig::begin(config(2 * SECOND), self.incarnations, now);
        self.plant();
        self.rig.client(CLIENT, SESSION);
        for &(first, count) in &self.submitted {
            let mut submit = submission(first, count, Options::default());
            let done = |offset: &u32| self.outcomes[(first + u64::from(*offset)) as usize] > 0;
            submit.finished = (0..count).filter(done).map(|offset| (offset, 1)).collect();
            if submit.finished.len() < count as usize {
                self.rig.mutter(CLIENT, Message::Submit(submit));
            }
        }
        let gone: Vec<u64> = self.peers.keys().copied().collect();
        for link in gone {
            match self.peers[&link].connected {
                true => self.rejoin(link),
                // Should it live, it is a node nobody knows: its unit ends by itself.
                false => {
                    let peer = self.peers.remove(&link).unwrap();
                    let unit = self.managers[peer.manager].units.get_mut(&peer.group);
                    if let Some(unit) = unit.filter(|unit| unit.node == Some(link)) {
                        unit.node = None;
                        unit.state = GroupState::Gone;
                    }
                }
            }
        }
        for manager in 0..MANAGERS {
            if self.managers[manager].link.take().is_some() {
                self.back(manager, true);
            }
        }
    }

    /// Everybody takes what he was told.
    fn hear(&mut self) {
        for (link, code, reason) in std::mem::take(&mut self.rig.ended) {
            // It may have been given up in the same step.
            assert!(link <= self.links, "{link} was ended: {code:?} {reason}");
            let Some(peer) = self.peers.remove(&link) else {
                continue;
            };
            assert!(!peer.connected, "{link} was ended: {code:?} {reason}");
            let unit = self.managers[peer.manager].units.get(&peer.group);
            let lives =
                unit.is_some_and(|it| it.state == GroupState::Running && it.node == Some(link));
            assert!(!lives, "the unit of {link} lives");
        }
        for manager in 0..MANAGERS {
            if let Some(link) = self.managers[manager].link {
                for message in self.rig.told(link) {
                    self.command(manager, message);
                }
            }
        }
        let links: Vec<u64> = self.peers.keys().copied().collect();
        for link in links {
            if self.peers[&link].connected {
                for message in self.rig.told(link) {
                    self.order(link, message);
                }
            }
        }
        for (first, count, _) in self.rig.outcomes(CLIENT) {
            for sequence in first..first + u64::from(count) {
                self.outcomes[sequence as usize] += 1;
                assert_eq!(self.outcomes[sequence as usize], 1, "{sequence}");
            }
        }
    }

    fn command(&mut self, manager: usize, message: Message<Bytes>) {
        let of = &mut self.managers[manager];
        match message {
            Message::StartWorkerGroup {
                group,
                slots: wanted,
                ..
            } => {
                assert!(!of.ended.contains(&group), "{group} was ended before");
                assert_eq!(wanted, slots(manager));
                of.units.entry(group).or_insert(Unit {
                    state: GroupState::Wanted,
                    node: None,
                    came: false,
                });
                let there = of.units.values().filter(|unit| !is_over(unit.state));
                assert!(there.count() <= MOST as usize, "more than the limit");
            }
            Message::ShutdownWorkerGroup { group } => {
                of.ended.insert(group.clone());
                let Some(unit) = of.units.get_mut(&group) else {
                    return;
                };
                let over = is_over(unit.state);
                if over || unit.state == GroupState::Wanted {
                    of.units.remove(&group);
                } else {
                    unit.state = GroupState::Ending;
                    if let Some(peer) = unit.node.and_then(|link| self.peers.get(&link)) {
                        assert!(peer.here.is_empty(), "{group} is ended with work at it");
                    }
                }
            }
            other => panic!("a manager was told {other:?}"),
        }
    }

    fn order(&mut self, link: u64, message: Message<Bytes>) {
        let Some(peer) = self.peers.get_mut(&link) else {
            return;
        };
        match message {
            Message::Assign(assign) => {
                let end = assign.first + u64::from(assign.count);
                assert_eq!(peer.here.overlap(assign.first, end).next(), None);
                peer.here.insert(assign.first, end);
            }
            Message::CancelElements { range } => {
                // It has not come from this session's client: what is not told again is over.
                peer.here.remove(range.first, range.first + range.count);
                for at in range.first..range.first + range.count {
                    self.rig.end(link, at, crate::wire::OutcomeKind::Cancelled);
                }
            }
            Message::Reclaim { count } => {
                let taken = peer.here.take_last(u64::from(count.min(5)));
                let ranges: Vec<_> = taken
                    .iter()
                    .map(|&(start, end)| (start, end - start))
                    .collect();
                self.rig.give_back(link, &ranges);
            }
            Message::Exit { .. } => {
                assert!(
                    peer.here.is_empty(),
                    "{link} is told to exit with work at it"
                );
                let (manager, group) = (peer.manager, peer.group.clone());
                self.unit_ends(manager, &group, GroupState::Succeeded);
                self.forget_node(link);
            }
            _ => {}
        }
    }

    /// Everybody works until nothing is left, and nobody is needed.
    fn finish(&mut self) {
        for round in 0..20_000u32 {
            self.rig.pass(200_000);
            self.hear();
            for manager in 0..MANAGERS {
                self.back(manager, true);
                if round % 10 == 0 {
                    self.status(manager, false);
                }
                let units: Vec<String> = self.managers[manager].units.keys().cloned().collect();
                for unit in units {
                    if self.managers[manager].units.contains_key(&unit) {
                        self.unit(manager, &unit);
                    }
                    self.hear();
                }
            }
            let links: Vec<u64> = self.peers.keys().copied().collect();
            for link in links {
                self.away(link, false);
                if self.peers.get(&link).is_some_and(|peer| !peer.connected) {
                    self.forget_node(link);
                } else if self.peers.contains_key(&link) {
                    self.work(link, 5);
                }
                self.hear();
            }
            let done = self.outcomes.iter().all(|&it| it == 1);
            let left = self.managers.iter().map(|it| it.units.len());
            if done && left.collect::<Vec<_>>() == [0, 1] {
                return;
            }
        }
        let open = self.outcomes.iter().position(|&it| it == 0);
        panic!(
            "not over: {open:?} {}, {}",
            self.rig.explain(open.unwrap_or(0) as u64),
            self.rig.scheduler.status()
        );
    }
}

fn slots(manager: usize) -> u32 {
    1 + manager as u32
}

fn is_over(state: GroupState) -> bool {
    matches!(
        state,
        GroupState::Failed | GroupState::Gone | GroupState::Succeeded
    )
}

fn run(steps: Vec<Step>) {
    let mut world = World::new();
    for step in steps {
        world.step(step);
    }
    world.finish();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, max_shrink_iters: 2_000, ..ProptestConfig::default() })]
    #[test]
    fn whatever_happens_nothing_is_ended_busy_or_left_behind(steps in prop::collection::vec(step(), 1..250)) {
        run(steps);
    }
}

/// Histories that find nothing prove nothing.
#[cfg(feature = "planted")]
mod planted {
    use std::cell::Cell;

    use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

    use super::*;
    use crate::scheduler::Bugs;

    thread_local! {
        pub static BUGS: Cell<Bugs> = Cell::default();
    }

    fn is_found(bugs: Bugs) -> bool {
        BUGS.set(bugs);
        let config = Config {
            cases: 300,
            failure_persistence: None,
            max_shrink_iters: 0,
            ..Config::default()
        };
        let random = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
        let mut runner = TestRunner::new_with_rng(config, random);
        let found = runner.run(&prop::collection::vec(step(), 1..250), |steps| {
            run(steps);
            Ok(())
        });
        BUGS.set(Bugs::default());
        found.is_err()
    }

    #[test]
    fn each_planted_bug_is_found() {
        let all = [
            (
                "retire_busy",
                Bugs {
                    retire_busy: true,
                    ..Bugs::default()
                },
            ),
            (
                "forget_starting",
                Bugs {
                    forget_starting: true,
                    ..Bugs::default()
                },
            ),
            (
                "drop_adopted",
                Bugs {
                    drop_adopted: true,
                    ..Bugs::default()
                },
            ),
        ];
        for (name, bugs) in all {
            assert!(is_found(bugs), "{name} was not found");
        }
    }
}
