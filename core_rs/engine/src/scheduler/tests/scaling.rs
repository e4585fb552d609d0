//! The scheduler with its policies, a manager and what that starts, from nothing to the limit and back.

use std::collections::BTreeMap;

use super::rig::*;
use crate::scaling::{Rule, Scaling, ScalingConfig};
use crate::scheduler::SchedulerConfig;
use crate::wire::GroupState;

const SECOND: u64 = 1_000_000;
const MANAGER: u64 = 50;
/// From a command to the node.
const STARTUP: u64 = 2 * SECOND;

/// A manager whose units start and end as they should.
struct World {
    rig: Rig,
    /// When each unit comes, and its node once it has.
    units: BTreeMap<String, (u64, Option<u64>)>,
    nodes: u64,
    starts: usize,
    ends: usize,
}

impl World {
    fn new() -> World {
        let mut rig = Rig::with(SchedulerConfig {
            scaling: ScalingConfig {
                scaling: Scaling::Vanilla,
                ..ScalingConfig::default()
            },
            ..SchedulerConfig::default()
        });
        rig.client(CLIENT, SESSION);
        rig.manager(MANAGER, native());
        World {
            rig,
            units: BTreeMap::new(),
            nodes: 100,
            starts: 0,
            ends: 0,
        }
    }

    /// A tenth of a second.
    fn pass(&mut self) {
        self.rig.pass(SECOND / 10);
        let (starts, ends) = self.rig.commands(MANAGER);
        self.starts += starts.len();
        self.ends += ends.len();
        for group in starts {
            let at = self.rig.now + STARTUP;
            assert!(self.units.insert(group, (at, None)).is_none());
        }
        for group in ends {
            if let Some((_, Some(node))) = self.units.remove(&group) {
                self.rig.leave(node);
            }
        }
        let due: Vec<String> = self
            .units
            .iter()
            .filter(|(_, &(at, node))| at <= self.rig.now && node.is_none())
            .map(|(group, _)| group.clone())
            .collect();
        for group in due {
            self.nodes += 1;
            self.units.get_mut(&group).unwrap().1 = Some(self.nodes);
            self.rig.group_node(self.nodes, "native", &group, 1);
        }
        let units: Vec<(&str, GroupState)> = self
            .units
            .keys()
            .map(|group| (group.as_str(), GroupState::Running))
            .collect();
        self.rig.report(MANAGER, &units);
    }

    /// Until no task is left, each of a tenth of a second.
    fn work(&mut self) {
        for _ in 0..10_000 {
            self.pass();
            let nodes: Vec<u64> = self.units.values().filter_map(|unit| unit.1).collect();
            for node in nodes {
                for (first, count) in self.rig.assigned(node) {
                    for at in first..first + u64::from(count) {
                        self.rig.done(node, at, 1, SECOND / 10);
                    }
                }
            }
            let status = self.rig.scheduler.status();
            if status.contains("\"queued\":0,\"assigned\":0,") {
                return;
            }
        }
        panic!("{}", self.rig.scheduler.status());
    }
}

#[test]
fn it_scales_from_nothing_to_the_limit_and_back() {
    let mut world = World::new();
    world.rig.submit(0, 1_000);
    world.pass();
    assert_eq!(world.starts, 8, "all at once, and no more than the limit");
    world.work();
    assert_eq!((world.starts, world.ends), (8, 0));
    for _ in 0..290 {
        world.pass();
    }
    assert_eq!(world.ends, 0, "not before the cool-down");
    for _ in 0..60 {
        world.pass();
    }
    assert_eq!((world.starts, world.ends), (8, 8));
    assert!(world.units.is_empty());
}

#[test]
fn load_that_comes_and_goes_within_the_cool_down_starts_each_worker_once() {
    let mut world = World::new();
    for round in 0..20 {
        world.rig.submit(round * 1_000, 1_000);
        world.work();
        for _ in 0..150 {
            world.pass();
        }
    }
    assert_eq!((world.starts, world.ends), (8, 0));
}

#[test]
fn a_manager_without_a_rule_is_told_of_once_and_asked_for_nothing() {
    let rule = Rule {
        priority: 1,
        manager: "elsewhere".into(),
        cap: None,
    };
    let mut rig = Rig::with(SchedulerConfig {
        scaling: ScalingConfig {
            scaling: Scaling::Waterfall(vec![rule]),
            ..ScalingConfig::default()
        },
        ..SchedulerConfig::default()
    });
    rig.client(CLIENT, SESSION);
    rig.manager(MANAGER, native());
    for round in 0..3 {
        rig.submit(round * 10, 10);
        rig.pass(SECOND);
    }
    assert!(rig.started(MANAGER).is_empty());
    let text = "worker manager native has no rule in the scaling policy";
    let said = rig.logs.iter().filter(|line| line.contains(text));
    assert_eq!(said.count(), 1);
}
