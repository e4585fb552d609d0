use super::rig::*;
use crate::node::slot::position;
use crate::node::NodeConfig;
use crate::wire::{FailureCode, Message, Options, OutcomeKind};

/// Told last of the elements that wait.
fn waiting(rig: &Rig) -> Vec<u32> {
    let told = rig.told.iter().rev();
    let depths = |message: &Message<_>| match message {
        Message::Waiting { depths } => Some(depths.clone()),
        _ => None,
    };
    told.filter_map(depths).next().unwrap_or_default()
}

fn waits(rig: &mut Rig, slot: u32) {
    let chunk = rig.executors[slot as usize].chunks[0].chunk;
    rig.hear(slot, Message::Waits { chunk, index: 0 });
}

fn goes_on(rig: &mut Rig, slot: u32) {
    let chunk = rig.executors[slot as usize].chunks[0].chunk;
    rig.hear(slot, Message::GoesOn { chunk, index: 0 });
}

fn assign(rig: &mut Rig, first: u64, depth: u16) {
    let options = Options {
        depth,
        ..Options::default()
    };
    rig.assign_this(Rig::assignment(first, 1, 1, options));
}

/// A node of one slot whose element waits, and a second executor.
fn with_one_that_waits() -> Rig {
    let mut rig = Rig::new(1);
    assign(&mut rig, 0, 0);
    rig.begin(0);
    waits(&mut rig, 0);
    rig.ready(1);
    rig
}

#[test]
fn a_slot_that_was_given_back_takes_deeper_elements_only() {
    let mut rig = with_one_that_waits();
    assert_eq!(waiting(&rig), [0]);
    assign(&mut rig, 1, 0);
    assert!(rig.chunks(1).is_empty());
    assign(&mut rig, 2, 1);
    assert_eq!(rig.chunks(1), [(2, 1)]);
}

#[test]
fn an_executor_is_told_depth_and_priority_of_what_it_runs() {
    let mut rig = Rig::new(1);
    let options = Options {
        depth: 3,
        priority: -7,
        ..Options::default()
    };
    rig.assign_this(Rig::assignment(0, 1, 1, options));
    let chunk = &rig.executors[0].chunks[0];
    assert_eq!((chunk.depth, chunk.priority), (3, -7));
}

#[test]
fn nothing_is_handed_out_while_more_run_than_there_are_slots() {
    let mut rig = with_one_that_waits();
    assign(&mut rig, 2, 1);
    assign(&mut rig, 3, 1);
    rig.begin(1);
    goes_on(&mut rig, 0);
    assert_eq!(waiting(&rig), [0; 0]);
    rig.run_one(1);
    assert!(rig.chunks(1).is_empty());
    rig.run_dry();
    assert!(rig.owed.is_empty());
}

#[test]
fn an_executor_too_many_is_ended_when_it_has_long_been_idle() {
    let mut rig = with_one_that_waits();
    goes_on(&mut rig, 0);
    rig.run_dry();
    rig.pass(6_000_000);
    let stopped = |slot: usize| rig.executors[slot].messages.contains(&Message::Stop);
    assert!(stopped(0) != stopped(1), "one of the two");
}

#[test]
fn chunk_mates_of_one_that_waits_go_elsewhere() {
    let mut rig = Rig::new(1);
    rig.warm_up(50);
    rig.assign(0, 10);
    rig.begin(0);
    waits(&mut rig, 0);
    rig.ready(1);
    let chunk = rig.executors[0].chunks[0].chunk;
    assert_eq!(rig.executors[0].stop, position(chunk, 1));
    goes_on(&mut rig, 0);
    rig.run_dry();
    assert!(rig.owed.is_empty());
}

#[test]
fn past_the_limit_what_is_waited_for_fails() {
    let mut rig = Rig::with(NodeConfig {
        most_waiting: 1,
        ..NodeConfig::default()
    });
    assign(&mut rig, 0, 0);
    rig.begin(0);
    waits(&mut rig, 0);
    rig.ready(1);
    assign(&mut rig, 1, 1);
    rig.begin(1);
    waits(&mut rig, 1);
    assign(&mut rig, 2, 2);
    assert_eq!(rig.outcome_of(2), Some(OutcomeKind::Failure));
    let failures = rig
        .outcomes()
        .into_iter()
        .filter_map(|it| it.failure.as_ref());
    assert!(failures
        .into_iter()
        .all(|it| it.code == FailureCode::NestingLimit));
}

#[test]
fn past_the_limit_of_memory_too() {
    let mut rig = Rig::with(NodeConfig {
        nesting_bytes: 1_000,
        ..NodeConfig::default()
    });
    assign(&mut rig, 0, 0);
    rig.begin(0);
    rig.node.memory(rig.now, 0, 999);
    waits(&mut rig, 0);
    rig.ready(1);
    assign(&mut rig, 1, 1);
    rig.begin(1);
    rig.node.memory(rig.now, 1, 1);
    waits(&mut rig, 1);
    assign(&mut rig, 2, 2);
    assert_eq!(rig.outcome_of(2), Some(OutcomeKind::Failure));
    rig.node.memory(rig.now, 0, 500);
    assign(&mut rig, 3, 2);
    rig.ready(2);
    assert_eq!(rig.chunks(2), [(3, 1)]);
}
