//! What a process finds in its ledger.

use super::rig::{config, entry, failed, running, Rig, SECOND};
use crate::manager::{Answer, EntryState, FailureKind, ManagerConfig};
use crate::wire::GroupState;

fn found(state: EntryState, settle_us: u64) -> Rig {
    let config = ManagerConfig {
        settle_us,
        ..config()
    };
    let mut rig = Rig::unconnected(config, vec![entry("a", state)]);
    rig.connect();
    rig
}

#[test]
fn nothing_is_said_or_done_before_it_is_known_what_is_there() {
    for state in [
        EntryState::Intended,
        EntryState::Started,
        EntryState::Ending,
    ] {
        let mut rig = found(state, 0);
        rig.name("b");
        assert!(rig.heartbeat().is_some());
        rig.look_at(failed(FailureKind::Temporary));
        rig.pass(500_000);
        assert!(rig.statuses.is_empty());
        assert_eq!(rig.starts + rig.shutdowns, 0);
        rig.look(&["a"]);
        assert_eq!(rig.statuses.len(), 1);
        assert!(rig.starting("b").is_some());
    }
}

#[test]
fn an_intent_whose_unit_is_there_is_not_started() {
    let mut rig = found(EntryState::Intended, 0);
    rig.look(&["a"]);
    rig.run_for(20 * SECOND, &["a"]);
    assert_eq!(rig.starts, 0);
    assert_eq!(rig.state("a"), Some(GroupState::Running));
    assert_eq!(rig.ledger["a"].state, EntryState::Started);
}

#[test]
fn an_intent_whose_unit_does_not_show_is_started_once_that_is_settled() {
    let mut rig = found(EntryState::Intended, 20 * SECOND);
    rig.look(&[]);
    assert_eq!(rig.state("a"), Some(GroupState::Wanted));
    rig.run_for(15 * SECOND, &[]);
    assert_eq!(rig.starts, 0);
    rig.run_for(15 * SECOND, &[]);
    assert_eq!(rig.starts, 1);
}

#[test]
fn a_unit_that_ended_meanwhile_is_gone_and_not_started() {
    let mut rig = found(EntryState::Started, 0);
    rig.look(&[]);
    rig.run_for(20 * SECOND, &[]);
    assert_eq!(rig.state("a"), Some(GroupState::Gone));
    assert_eq!(rig.starts, 0);
}

#[test]
fn an_end_goes_on_when_it_is_said_again() {
    let mut rig = found(EntryState::Ending, 0);
    rig.look(&["a"]);
    assert_eq!(rig.state("a"), Some(GroupState::Running));
    assert!(rig.ending("a").is_none());
    rig.end("a");
    let end = rig.ending("a").expect("it is ended");
    rig.answer(end, Answer::Done);
    rig.look(&[]);
    assert_eq!(rig.state("a"), None);
    assert!(rig.ledger.is_empty());
}

#[test]
fn what_was_to_end_and_is_not_there_is_gone_and_never_started() {
    let mut rig = found(EntryState::Ending, 0);
    rig.look(&[]);
    rig.run_for(20 * SECOND, &[]);
    assert_eq!(rig.state("a"), Some(GroupState::Gone));
    assert_eq!(rig.starts, 0);
}

#[test]
fn a_process_that_died_between_call_and_answer_knows_after_its_first_heartbeat() {
    let mut rig = Rig::new();
    rig.name("a");
    assert!(rig.starting("a").is_some());
    rig.restart();
    rig.connect();
    rig.look(&["a"]);
    assert_eq!(rig.state("a"), Some(GroupState::Running));
    assert_eq!(rig.starts, 1);
    rig.restart();
    rig.connect();
    rig.look(&["a"]);
    assert_eq!(rig.report("a").unwrap().slots, 2);
}

#[test]
fn a_ledger_that_is_lost_leaves_units_that_are_found() {
    let mut rig = Rig::new();
    rig.up("a", &[]);
    rig.ledger.clear();
    rig.restart();
    rig.connect();
    rig.look(&["a"]);
    assert_eq!(rig.state("a"), Some(GroupState::Running));
    assert_eq!(rig.ledger["a"].state, EntryState::Started);
}

#[test]
fn a_scheduler_that_forgot_is_told_all_at_once() {
    let mut rig = Rig::new();
    rig.up("a", &[]);
    rig.told();
    rig.disconnect();
    let told = rig.statuses.len();
    rig.pass(10 * SECOND);
    assert_eq!(rig.statuses.len(), told, "nobody listens");
    rig.connect();
    assert_eq!(rig.statuses.len(), told + 1);
    assert_eq!(rig.status().groups.len(), 1);
    let call = rig.await_heartbeat();
    rig.answer(call, running(&["a"]));
}
