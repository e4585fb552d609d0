use super::rig::*;
use crate::node::{Level, NodeOutput};
use crate::wire::{FailureCode, Message, NodeStatus, Options, OutcomeKind};

#[test]
fn the_rest_of_a_long_elements_chunk_goes_elsewhere() {
    let mut rig = Rig::new(1);
    rig.warm_up(200);
    rig.assign(0, 40);
    rig.begin(0);
    rig.pass(20_000);
    assert_ne!(
        rig.executors[0].stop,
        u64::MAX,
        "what waits behind it is taken back"
    );
    let status = rig
        .told
        .iter()
        .filter(|message| matches!(message, Message::Done { .. }))
        .count();
    assert_eq!(status, 0);
    rig.say(Message::Reclaim { count: 100 });
    assert_eq!(
        rig.given_back()
            .iter()
            .map(|range| range.count)
            .sum::<u64>(),
        39
    );
}

#[test]
fn values_that_wait_for_a_long_element_are_asked_for() {
    let mut rig = Rig::new(1);
    rig.warm_up(200);
    rig.assign(0, 40);
    rig.run_one(0);
    rig.begin(0);
    rig.pass(5_000);
    assert_eq!(rig.executors[0].flushes, 1);
    rig.send_values(0);
    assert_eq!(rig.outcome_of(0), Some(OutcomeKind::ValueList));
}

#[test]
fn an_element_that_usually_takes_long_is_not_looked_at_before_it_may_be_long() {
    let mut rig = Rig::new(1);
    rig.busy_us = 10_000;
    rig.warm_up(20);
    rig.assign(0, 40);
    rig.begin(0);
    let due = rig.node.next_wakeup().expect("a heartbeat at least");
    assert!(due >= rig.now + 10_000, "in {} µs", due - rig.now);
    rig.pass(30_000);
    assert_ne!(
        rig.executors[0].stop,
        u64::MAX,
        "what waits behind it is taken back all the same"
    );
}

#[test]
fn a_second_helping_moves_to_a_slot_that_is_idle() {
    let mut rig = Rig::new(2);
    rig.warm_up(2000);
    rig.assign(0, 100);
    rig.begin(0);
    while rig.executors[1].chunks.front().is_some() {
        rig.step(1);
    }
    assert_eq!(rig.executors[0].running(), Some(0));
    assert!(
        rig.owed.len() < 60,
        "slot 1 ran what waited at slot 0: {}",
        rig.owed.len()
    );
    rig.run_dry();
    assert!(rig.owed.is_empty());
}

#[test]
fn an_element_over_its_time_ends_with_its_executor() {
    let mut rig = Rig::new(1);
    let options = Options {
        timeout_us: 50_000,
        ..Options::default()
    };
    rig.assign_this(Rig::assignment(0, 2, 2, options));
    rig.pass(30_000);
    rig.begin(0);
    rig.pass(30_000);
    assert!(rig.kills.is_empty(), "its time began with its call");
    rig.pass(20_000);
    assert_eq!(rig.kills, vec![0]);
    rig.run_dry();
    let failed = rig
        .outcomes()
        .into_iter()
        .find(|segment| segment.first == 0)
        .cloned();
    let failure = failed
        .and_then(|segment| segment.failure)
        .expect("a failure");
    assert_eq!(
        (failure.code, failure.attempts),
        (FailureCode::TaskTimeout, 1)
    );
    assert_eq!(rig.outcome_of(1), Some(OutcomeKind::ValueList));
}

#[test]
fn an_executor_over_its_memory_ends_with_its_element() {
    let mut rig = Rig::with(crate::node::NodeConfig {
        slots: 1,
        memory_limit: 1000,
        ..Default::default()
    });
    rig.assign(0, 1);
    rig.begin(0);
    rig.node.memory(rig.now, 0, 900);
    rig.absorb();
    assert!(rig.kills.is_empty());
    rig.node.memory(rig.now, 0, 1000);
    rig.absorb();
    rig.run_dry();
    let failure = rig.outcomes()[0].failure.clone().expect("a failure");
    assert_eq!(failure.code, FailureCode::TaskMemory);
}

#[test]
fn an_executor_near_its_memory_limit_is_told_of_once() {
    let mut rig = Rig::with(crate::node::NodeConfig {
        slots: 1,
        memory_limit: 1000,
        ..Default::default()
    });
    rig.assign(0, 1);
    rig.begin(0);
    let mut warnings = |rss| {
        let mut out = Vec::new();
        rig.node.memory(rig.now, 0, rss);
        rig.node.drain(&mut out);
        let warned = |output: &NodeOutput<Bytes>| {
            matches!(
                output,
                NodeOutput::Log {
                    level: Level::Warning,
                    ..
                }
            )
        };
        out.iter().filter(|output| warned(output)).count()
    };
    assert_eq!([790, 800, 900].map(&mut warnings), [0, 1, 0]);
}

#[test]
fn a_machine_out_of_memory_ends_the_executor_that_grew_most() {
    let mut rig = Rig::new(2);
    rig.assign(0, 2);
    rig.begin(0);
    rig.begin(1);
    for (slot, rss) in [(0, 500), (1, 100), (0, 550), (1, 400)] {
        rig.node.memory(rig.now, slot, rss);
    }
    rig.node.memory_pressure(rig.now);
    rig.absorb();
    assert_eq!(rig.kills, vec![1]);
}

#[test]
fn a_node_gives_an_account_of_itself_with_each_heartbeat() {
    let mut rig = Rig::new(2);
    rig.assign(0, 5);
    rig.pass(2_000_000);
    let status = NodeStatus {
        slots: 2,
        queued: 3,
        running: 2,
        rss_bytes: 0,
        draining: false,
        started: Vec::new(),
    };
    assert!(
        rig.told.contains(&Message::NodeStatus(status)),
        "{:?}",
        rig.told
    );
}

#[test]
fn a_node_without_a_scheduler_ends_in_the_end() {
    let mut rig = Rig::new(1);
    rig.node.connected(rig.now, false);
    rig.pass(299_000_000);
    assert!(rig.exits.is_empty());
    rig.pass(1_000_000);
    assert_eq!(rig.exits.len(), 1);
}

#[test]
fn a_scheduler_that_comes_back_in_time_keeps_the_node() {
    let mut rig = Rig::new(1);
    rig.node.connected(rig.now, false);
    rig.pass(200_000_000);
    rig.node.connected(rig.now, true);
    rig.pass(200_000_000);
    assert!(rig.exits.is_empty());
}
