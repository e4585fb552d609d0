//! Giving back what has not started, for a cancellation that leaves alone what runs.

use super::rig::*;
use crate::wire::{Message, OutcomeKind, Range};

fn range(first: u64, count: u64) -> Range {
    Range {
        session: SESSION,
        first,
        count,
    }
}

/// (first, count) of what the node gave back, as the answer to the only withdrawal.
fn withdraw(rig: &mut Rig, first: u64, count: u64) -> Vec<(u64, u64)> {
    rig.say(Message::Withdraw {
        request: 7,
        range: range(first, count),
    });
    let mut answers = rig.told.iter().filter_map(|message| match message {
        Message::Withdrawn { request: 7, ranges } => Some(ranges),
        _ => None,
    });
    let ranges = answers.next().expect("an answer").clone();
    assert!(answers.next().is_none());
    ranges.iter().map(|it| (it.first, it.count)).collect()
}

#[test]
fn what_waits_is_given_back_and_its_neighbours_run() {
    let mut rig = Rig::new(1);
    rig.assign(0, 10);
    assert_eq!(withdraw(&mut rig, 4, 3), [(4, 3)]);
    rig.run_dry();
    assert!(rig.owed.is_empty());
    assert_eq!(rig.outcome_of(3), Some(OutcomeKind::ValueList));
    assert_eq!(rig.outcome_of(5), None);
}

#[test]
fn what_runs_goes_on_and_is_not_interrupted() {
    let mut rig = Rig::new(1);
    rig.warm_up(200);
    rig.assign(0, 10);
    rig.begin(0);
    assert_eq!(withdraw(&mut rig, 0, 10), [(1, 9)]);
    assert_eq!(rig.executors[0].cancel, 0);
    rig.run_dry();
    rig.pass(10_000_000);
    assert!(rig.kills.is_empty());
    assert!(rig
        .outcome_of(0)
        .is_some_and(|kind| kind != OutcomeKind::Cancelled));
}

#[test]
fn what_may_have_started_stays_and_runs() {
    let mut rig = Rig::new(1);
    rig.assign(0, 1);
    rig.step(0); // its position is written, the ban not read
    assert_eq!(withdraw(&mut rig, 0, 1), []);
    rig.run_dry();
    assert!(rig
        .outcome_of(0)
        .is_some_and(|kind| kind != OutcomeKind::Cancelled));
    assert!(rig.owed.is_empty());
}

#[test]
fn elements_behind_one_that_runs_are_given_back_of_every_slot() {
    let mut rig = Rig::new(2);
    rig.warm_up(200);
    rig.assign(0, 40);
    rig.begin(0);
    rig.begin(1);
    let running: Vec<_> = [0, 1]
        .iter()
        .map(|&slot| rig.executors[slot].running().expect("it runs"))
        .collect();
    let given: u64 = withdraw(&mut rig, 0, 40)
        .iter()
        .map(|(_, count)| count)
        .sum();
    assert_eq!(given, 38);
    rig.run_dry();
    for sequence in 0..40 {
        assert_eq!(
            rig.outcome_of(sequence).is_some(),
            running.contains(&sequence)
        );
    }
}

#[test]
fn of_what_is_not_here_nothing_is_given_back() {
    let mut rig = Rig::new(1);
    rig.assign(0, 1);
    rig.run_dry();
    assert_eq!(withdraw(&mut rig, 0, u64::MAX), []);
}

#[test]
fn a_scheduler_that_forgot_gets_no_answer() {
    let mut rig = Rig::new(1);
    rig.assign(0, 3);
    rig.owed.clear();
    rig.node.reset(rig.now, vec![]);
    let mut outputs = Vec::new();
    rig.node.drain(&mut outputs);
    let answers = |output: &crate::node::NodeOutput<Bytes>| {
        matches!(
            output,
            crate::node::NodeOutput::ToScheduler(Message::Withdrawn { .. })
        )
    };
    assert!(!outputs.iter().any(answers));
}
