use super::rig::*;
use crate::node::NodeConfig;
use crate::wire::{FailureCode, LossCause, Message, OutcomeKind};

#[test]
fn a_dead_executor_loses_the_element_that_ran_and_no_other() {
    let mut rig = Rig::new(1);
    rig.warm_up(200);
    rig.assign(0, 20);
    rig.run_one(0);
    rig.send_values(0);
    rig.run_one(0); // finished, its value unsent
    assert_eq!(rig.begin(0), 2);
    rig.die(0, -9);
    let lost = Message::Lost {
        session: SESSION,
        sequence: 2,
        cause: LossCause::ExecutorDied,
        status: -9,
        detail: String::new(),
    };
    assert_eq!(rig.lost(), vec![&lost]);
    rig.run_dry();
    assert!((0..20)
        .filter(|&sequence| sequence != 2)
        .all(|s| rig.outcome_of(s) == Some(OutcomeKind::ValueList)));
}

#[test]
fn an_idle_executor_that_dies_loses_nothing_and_is_replaced() {
    let mut rig = Rig::new(1);
    rig.assign(0, 1);
    rig.run_dry();
    rig.starts.clear();
    rig.die(0, -9);
    assert_eq!(rig.starts, vec![0]);
    assert!(rig.lost().is_empty());
}

#[test]
fn an_executor_that_dies_before_it_had_work_is_replaced_after_a_pause() {
    let mut rig = Rig::new(1);
    rig.die(0, -9);
    assert!(rig.starts.is_empty());
    let wakeup = rig.node.next_wakeup().expect("a wake-up");
    rig.pass(wakeup - rig.now);
    assert_eq!(rig.starts, vec![0]);
}

#[test]
fn a_result_that_comes_between_the_kill_and_the_end_counts() {
    let mut rig = Rig::new(1);
    rig.assign(0, 1);
    rig.begin(0);
    rig.cancel(0, 1);
    rig.pass(3_000_000);
    rig.executors[0].cancel = 0;
    rig.step(0);
    rig.step(0);
    assert_eq!(rig.outcome_of(0), Some(OutcomeKind::ValueList));
    rig.pass(10_000);
    rig.die(0, -9);
    assert!(rig.owed.is_empty() && rig.lost().is_empty());
}

#[test]
fn a_chunk_that_never_started_is_no_attempt() {
    let mut rig = Rig::new(1);
    rig.assign(0, 1);
    rig.die(0, -9);
    assert!(rig.lost().is_empty());
    rig.run_dry();
    assert_eq!(rig.outcome_of(0), Some(OutcomeKind::ValueList));
}

#[test]
fn an_element_before_which_executors_die_again_and_again_is_blamed() {
    let mut rig = Rig::new(1);
    rig.assign(0, 1);
    for _ in 0..3 {
        rig.die(0, -11);
        rig.ready(0);
    }
    assert_eq!(rig.lost().len(), 1);
}

#[test]
fn a_death_in_an_element_breaks_the_row_of_deaths_before_one() {
    let mut rig = Rig::new(1);
    rig.assign(0, 1);
    for _ in 0..2 {
        rig.die(0, -11);
        rig.ready(0);
    }
    rig.begin(0);
    rig.die(0, -11);
    assert_eq!(rig.lost().len(), 1);
    rig.ready(0);
    rig.assign(1, 1);
    rig.die(0, -9);
    assert_eq!(rig.lost().len(), 1, "one death before element 1, not three");
}

#[test]
fn work_that_had_not_left_is_not_blamed() {
    let mut rig = Rig::new(1);
    rig.assign(0, 1);
    for _ in 0..2 {
        rig.die(0, -11);
        rig.ready(0);
    }
    rig.die(0, -11);
    assert_eq!(rig.lost().len(), 1);
    rig.assign(1, 1);
    // Each is ready and dead in one turn of its agent: the chunk is still among the outputs.
    for _ in 0..4 {
        rig.node.executor_message(
            rig.now,
            0,
            Message::Ready {
                pid: 1,
                error: String::new(),
            },
        );
        rig.node.executor_ended(rig.now, 0, -9, 0);
        rig.absorb();
    }
    assert_eq!(rig.lost().len(), 1);
    rig.ready(0);
    rig.run_dry();
    assert_eq!(rig.outcome_of(1), Some(OutcomeKind::ValueList));
}

#[test]
fn what_waits_fails_when_executors_cannot_start() {
    let mut rig = Rig::unstarted(NodeConfig {
        slots: 1,
        ..NodeConfig::default()
    });
    rig.assign(0, 4);
    for attempt in 0..3 {
        assert_eq!(rig.starts.len(), attempt + 1);
        assert!(rig.outcomes().is_empty());
        rig.hear(
            0,
            Message::Ready {
                pid: 1,
                error: "ImportError: no module named x".into(),
            },
        );
        rig.die(0, 1);
        rig.pass(10_000_000);
    }
    let failure = rig.outcomes()[0].failure.clone().expect("a failure");
    assert_eq!(failure.code, FailureCode::NodeSetup);
    assert!(failure.detail.contains("no module named x"));
    rig.ready(0);
    rig.assign(4, 1);
    rig.run_dry();
    assert_eq!(rig.outcome_of(4), Some(OutcomeKind::ValueList));
}

#[test]
fn an_executor_that_cannot_be_started_is_tried_again_after_a_pause() {
    let mut rig = Rig::unstarted(NodeConfig {
        slots: 1,
        ..NodeConfig::default()
    });
    rig.node.executor_failed(rig.now, 0, "no memory".into());
    rig.absorb();
    assert_eq!(rig.starts.len(), 1);
    let wakeup = rig.node.next_wakeup().expect("a wake-up");
    rig.pass(wakeup - rig.now);
    assert_eq!(rig.starts.len(), 2);
}

#[test]
fn an_executor_that_ends_before_it_is_ready_is_a_failed_start() {
    let mut rig = Rig::unstarted(NodeConfig {
        slots: 1,
        ..NodeConfig::default()
    });
    rig.assign(0, 1);
    for _ in 0..3 {
        rig.die(0, 127);
        rig.pass(10_000_000);
    }
    assert_eq!(rig.outcome_of(0), Some(OutcomeKind::Failure));
}

#[test]
fn a_neighbour_of_a_killed_element_is_not_charged() {
    let mut rig = Rig::new(1);
    rig.warm_up(200);
    rig.assign(0, 3);
    rig.begin(0);
    rig.cancel(0, 1);
    rig.pass(3_000_000);
    assert_eq!(rig.kills, vec![0]);
    rig.run_dry();
    assert!(rig.lost().is_empty());
    assert_eq!(rig.outcome_of(1), Some(OutcomeKind::ValueList));
}
