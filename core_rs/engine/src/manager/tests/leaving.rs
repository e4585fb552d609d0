//! The manager's end.

use super::rig::{config, failed, running, Rig, SECOND};
use crate::manager::{Answer, FailureKind, ManagerConfig};
use crate::wire::{GroupState, Message};

fn leave(rig: &mut Rig) {
    rig.manager.leave(rig.now);
    rig.absorb();
}

#[test]
fn a_manager_that_leaves_ends_its_units_then_cleans_up_then_ends() {
    let mut rig = Rig::new();
    rig.up("a", &[]);
    rig.look(&["a", "stranger"]);
    leave(&mut rig);
    assert!(rig.status().leaving);
    let end = rig.ending("a").unwrap();
    assert!(rig.ending("stranger").is_some());
    rig.name("b");
    rig.answer(end, Answer::Done);
    rig.look_anew(&["a"]);
    assert_eq!((rig.cleanup(), rig.exits.len()), (None, 0));
    rig.run(60 * SECOND, &["a"], |rig| rig.ending("a").is_some());
    let end = rig.ending("a").unwrap();
    rig.answer(end, Answer::Done);
    rig.look_anew(&[]);
    let cleanup = rig.cleanup().expect("it cleans up");
    rig.answer(cleanup, Answer::Done);
    assert_eq!(rig.exits.len(), 1);
    assert!(!rig.exits[0].0, "{:?}", rig.exits);
    assert_eq!(rig.starts, 1, "nothing is started any more");
    assert!(rig.status().groups.is_empty() && rig.status().leaving);
    assert!(rig.ledger.is_empty());
}

#[test]
fn what_is_being_started_when_the_manager_leaves_is_ended_too() {
    let mut rig = Rig::new();
    rig.name("a");
    let start = rig.starting("a").unwrap();
    leave(&mut rig);
    rig.look(&[]);
    assert_eq!(rig.cleanup(), None);
    rig.answer(start, running(&["a"]));
    assert!(rig.ending("a").is_some());
}

#[test]
fn what_is_left_at_the_end_of_its_time_is_named_with_the_command_that_deletes_it() {
    let mut rig = Rig::new();
    rig.up("a", &[]);
    leave(&mut rig);
    let end = rig.ending("a").unwrap();
    rig.answer(end, failed(FailureKind::Permanent));
    rig.run(121 * SECOND, &["a"], |rig| rig.ending("a").is_some());
    let end = rig.ending("a").unwrap();
    rig.answer(end, failed(FailureKind::Permanent));
    rig.run_for(1, &["a"]);
    rig.pass(120 * SECOND);
    let (failed, reason) = rig.exits[0].clone();
    assert!(failed);
    assert!(reason.contains("1 units may be left: a"), "{reason}");
    assert!(reason.contains("Permanent!"), "{reason}");
    assert!(
        reason.contains("`clean this up` deletes what is left"),
        "{reason}"
    );
    assert_eq!(rig.ledger.len(), 1, "the ledger keeps it");
}

#[test]
fn a_second_request_ends_it_at_once() {
    let mut rig = Rig::new();
    rig.up("a", &[]);
    leave(&mut rig);
    leave(&mut rig);
    assert_eq!(rig.exits.len(), 1);
    assert!(rig.exits[0].1.contains("may be left: a"), "{:?}", rig.exits);
}

#[test]
fn a_manager_that_knows_of_nothing_does_not_wait_for_an_infrastructure_that_does_not_answer() {
    let mut rig = Rig::unconnected(config(), vec![]);
    rig.look_at(failed(FailureKind::Credentials));
    leave(&mut rig);
    rig.look_at(failed(FailureKind::Credentials));
    let cleanup = rig.cleanup().expect("it cleans up");
    rig.answer(cleanup, failed(FailureKind::Credentials));
    assert!(rig.exits.is_empty(), "new ones may be there");
    rig.run_for(2 * SECOND, &[]);
    let cleanup = rig.cleanup().expect("it cleans up again");
    rig.answer(cleanup, failed(FailureKind::Credentials));
    assert!(rig.exits[0].0);
    assert!(rig.exits[0].1.contains("Credentials!"), "{:?}", rig.exits);
}

#[test]
fn cleaning_up_that_fails_for_a_while_is_tried_again() {
    let mut rig = Rig::new();
    leave(&mut rig);
    rig.look(&[]);
    for kind in [
        FailureKind::Temporary,
        FailureKind::Throttled,
        FailureKind::Temporary,
    ] {
        let cleanup = rig.cleanup().expect("it cleans up");
        rig.answer(cleanup, failed(kind));
        assert_eq!(rig.cleanup(), None, "not at once");
        rig.run_for(5 * SECOND, &[]);
    }
    let cleanup = rig.cleanup().expect("it cleans up");
    rig.answer(cleanup, Answer::Done);
    assert_eq!(rig.exits, [(false, "it was told to leave".to_owned())]);
}

#[test]
fn cleaning_up_that_fails_until_the_time_is_over_says_with_what() {
    let mut rig = Rig::new();
    leave(&mut rig);
    rig.look(&[]);
    while rig.exits.is_empty() {
        if let Some(cleanup) = rig.cleanup() {
            rig.answer(cleanup, failed(FailureKind::Throttled));
        }
        rig.run_for(SECOND, &[]);
    }
    assert!(rig.exits[0].0);
    assert!(
        rig.exits[0].1.contains("cleaning up failed: Throttled!"),
        "{:?}",
        rig.exits
    );
}

#[test]
fn a_hook_that_hangs_does_not_hold_up_the_end() {
    let mut rig = Rig::new();
    rig.name("a");
    rig.pass(100 * SECOND);
    leave(&mut rig);
    rig.run_for(121 * SECOND, &[]);
    assert_eq!((rig.exits.len(), rig.restarts.len()), (1, 0));
}

#[test]
fn without_a_scheduler_for_the_lease_it_ends_its_units_and_fails() {
    let mut rig = Rig::new();
    rig.up("a", &[]);
    rig.disconnect();
    rig.run_for(299 * SECOND, &["a"]);
    assert_eq!(rig.ending("a"), None);
    rig.run_for(2 * SECOND, &["a"]);
    let end = rig.ending("a").expect("it is ended");
    rig.answer(end, Answer::Done);
    rig.look_anew(&[]);
    let cleanup = rig.cleanup().unwrap();
    rig.answer(cleanup, Answer::Done);
    assert_eq!(rig.exits, [(true, "no scheduler for 300 s".to_owned())]);
}

#[test]
fn a_scheduler_that_comes_back_within_the_lease_finds_all_as_it_was() {
    let mut rig = Rig::new();
    rig.up("a", &[]);
    for _ in 0..5 {
        rig.disconnect();
        rig.run_for(250 * SECOND, &["a"]);
        rig.connect();
        rig.run_for(10 * SECOND, &["a"]);
    }
    assert_eq!(rig.state("a"), Some(GroupState::Running));
}

#[test]
fn a_lease_of_zero_never_ends() {
    let mut rig = Rig::with(ManagerConfig {
        lease_us: 0,
        ..config()
    });
    rig.disconnect();
    rig.run_for(10_000 * SECOND, &[]);
    assert!(rig.exits.is_empty());
}

#[test]
fn a_scheduler_that_ends_takes_the_manager_along() {
    let mut rig = Rig::new();
    rig.say(Message::Exit {
        reason: "the cluster ends".into(),
    });
    rig.look(&[]);
    let cleanup = rig.cleanup().unwrap();
    rig.answer(cleanup, Answer::Done);
    assert_eq!(rig.exits, [(false, "the cluster ends".to_owned())]);
}

#[test]
fn shutdowns_that_hang_do_not_hold_up_those_of_other_units() {
    let mut rig = Rig::with(ManagerConfig {
        batch: 1,
        calls: 1,
        deadline_us: 10 * SECOND,
        ..config()
    });
    rig.up("a", &[]);
    rig.up("b", &["a"]);
    leave(&mut rig);
    assert!(rig.ending("a").is_some() && rig.ending("b").is_none());
    rig.run_for(11 * SECOND, &["a", "b"]);
    assert!(rig.ending("b").is_some());
}
