use super::rig::*;
use crate::wire::{Message, OutcomeKind, Range};

#[test]
fn a_queued_element_is_cancelled_at_once() {
    let mut rig = Rig::new(1);
    rig.assign(0, 10);
    rig.cancel(4, 3);
    assert_eq!(rig.outcome_of(4), Some(OutcomeKind::Cancelled));
    assert_eq!(rig.outcome_of(6), Some(OutcomeKind::Cancelled));
    rig.run_dry();
    assert_eq!(rig.outcome_of(7), Some(OutcomeKind::ValueList));
    assert!(rig.kills.is_empty());
}

#[test]
fn an_element_that_waits_in_a_chunk_is_cancelled_and_its_neighbours_run() {
    let mut rig = Rig::new(1);
    rig.warm_up(200);
    rig.assign(0, 10);
    rig.begin(0);
    rig.cancel(1, 1);
    assert_eq!(rig.outcome_of(1), Some(OutcomeKind::Cancelled));
    rig.run_dry();
    assert!((2..10).all(|sequence| rig.outcome_of(sequence) == Some(OutcomeKind::ValueList)));
}

#[test]
fn a_running_element_is_interrupted_there_and_nowhere_else() {
    let mut rig = Rig::new(1);
    rig.assign(0, 1);
    rig.begin(0);
    rig.cancel(0, 1);
    assert_eq!(rig.executors[0].cancel, rig.executors[0].position);
    rig.step(0);
    assert_eq!(rig.outcome_of(0), Some(OutcomeKind::Cancelled));
    rig.pass(10_000_000);
    assert!(rig.kills.is_empty());
}

#[test]
fn an_element_that_may_have_started_is_decided_by_the_end_of_its_chunk() {
    let mut rig = Rig::new(1);
    rig.assign(0, 1);
    rig.step(0); // its position is written, the ban not read
    rig.cancel(0, 1);
    assert_eq!(rig.outcome_of(0), None);
    rig.step(0);
    assert_eq!(rig.outcome_of(0), Some(OutcomeKind::Cancelled));
    rig.assign(1, 2);
    rig.run_dry();
    assert!(rig.owed.is_empty());
}

#[test]
fn an_element_that_does_not_break_off_is_killed_after_the_grace() {
    let mut rig = Rig::new(1);
    rig.assign(0, 2);
    rig.begin(0);
    rig.cancel(0, 1);
    rig.pass(2_999_000);
    assert!(rig.kills.is_empty());
    rig.pass(1_000);
    assert_eq!(rig.kills, vec![0]);
    rig.run_dry();
    assert_eq!(rig.outcome_of(0), Some(OutcomeKind::Cancelled));
    assert_eq!(rig.outcome_of(1), Some(OutcomeKind::ValueList));
    assert!(rig.lost().is_empty());
}

#[test]
fn a_finished_element_keeps_its_value() {
    let mut rig = Rig::new(1);
    rig.warm_up(200);
    rig.assign(0, 10);
    rig.run_one(0);
    rig.begin(0);
    rig.cancel(0, 10);
    rig.run_dry();
    assert_eq!(rig.outcome_of(0), Some(OutcomeKind::ValueList));
    assert!((1..10).all(|sequence| rig.outcome_of(sequence) == Some(OutcomeKind::Cancelled)));
}

#[test]
fn cancelled_elements_of_a_dead_executor_do_not_run_again() {
    let mut rig = Rig::new(1);
    rig.warm_up(200);
    rig.assign(0, 10);
    rig.begin(0);
    rig.cancel(0, 2);
    rig.die(0, -11);
    rig.run_dry();
    assert_eq!(rig.outcome_of(0), Some(OutcomeKind::Cancelled));
    assert_eq!(rig.outcome_of(1), Some(OutcomeKind::Cancelled));
    assert!(rig.lost().is_empty());
    assert!((2..10).all(|sequence| rig.outcome_of(sequence) == Some(OutcomeKind::ValueList)));
}

#[test]
fn cancelling_what_is_not_here_says_nothing() {
    let mut rig = Rig::new(1);
    rig.assign(0, 1);
    rig.run_dry();
    let told = rig.told.len();
    rig.cancel(0, u64::MAX);
    rig.say(Message::CancelElements {
        range: Range {
            session: 1,
            first: u64::MAX,
            count: u64::MAX,
        },
    });
    assert_eq!(rig.told.len(), told);
}
