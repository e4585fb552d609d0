//! From a name to a unit, and to its end.

use super::rig::{config, failed, running, unit, Rig, SECOND};
use crate::manager::{Answer, Call, EntryState, FailureKind, ManagerConfig, UnitState};
use crate::wire::GroupState;

#[test]
fn a_named_group_is_recorded_then_started_then_reported() {
    let mut rig = Rig::new();
    rig.writes = false;
    rig.name("a");
    assert_eq!(rig.starting("a"), None, "not before the ledger has it");
    assert_eq!(rig.state("a"), Some(GroupState::Wanted));
    rig.write();
    rig.absorb();
    let call = rig.starting("a").expect("it is started");
    let Call::Start(requests) = rig.calls[&call].clone() else {
        panic!()
    };
    assert_eq!(requests[0].slots, 2);
    assert_eq!(requests[0].capabilities, [("gpu".to_owned(), 1)]);
    rig.writes = true;
    rig.answer(call, Answer::Units(vec![unit("a", UnitState::Pending)]));
    let report = rig.report("a").unwrap();
    assert_eq!(report.state, GroupState::Pending);
    assert_eq!(report.infrastructure, "i-a");
    assert_eq!(report.slots, 2);
    assert_eq!(rig.ledger["a"].state, EntryState::Started);
    assert_eq!(rig.ledger["a"].infrastructure, "i-a");
    rig.look(&["a"]);
    assert_eq!(rig.state("a"), Some(GroupState::Running));
}

#[test]
fn a_group_that_is_named_again_is_left_as_it_is() {
    let mut rig = Rig::new();
    rig.up("a", &[]);
    rig.name("a");
    rig.run_for(10 * SECOND, &["a"]);
    assert_eq!(rig.starts, 1);
    assert_eq!(rig.state("a"), Some(GroupState::Running));
}

#[test]
fn groups_that_are_named_together_are_started_by_one_call() {
    let mut rig = Rig::new();
    rig.writes = false;
    ["a", "b", "c"].iter().for_each(|it| rig.name(it));
    rig.writes = true;
    rig.absorb();
    assert_eq!(rig.starts, 1);
    assert_eq!(rig.starting("a"), rig.starting("c"));
}

#[test]
fn a_group_that_is_to_end_is_shut_down_and_forgotten_when_it_is_gone() {
    let mut rig = Rig::new();
    rig.up("a", &[]);
    rig.up("b", &["a"]);
    rig.end("a");
    let call = rig.ending("a").expect("it is ended");
    assert_eq!(rig.ending("b"), None);
    assert_eq!(rig.state("a"), Some(GroupState::Ending));
    rig.answer(call, Answer::Done);
    rig.look(&["a", "b"]);
    assert_eq!(
        rig.state("a"),
        Some(GroupState::Ending),
        "it is there still"
    );
    assert_eq!(rig.ledger["a"].state, EntryState::Ending);
    rig.run(60 * SECOND, &["a", "b"], |rig| rig.ending("a").is_some());
    let again = rig.ending("a").expect("it is told again");
    rig.answer(again, Answer::Done);
    rig.look(&["b"]);
    assert_eq!(rig.state("a"), None);
    assert_eq!(rig.ledger.keys().collect::<Vec<_>>(), ["b"]);
    assert_eq!(rig.state("b"), Some(GroupState::Running));
}

#[test]
fn an_ended_group_counts_as_gone_when_the_infrastructure_says_that_it_ended() {
    let mut rig = Rig::new();
    rig.up("a", &[]);
    rig.end("a");
    let call = rig.ending("a").unwrap();
    rig.answer(call, Answer::Done);
    rig.look_at(Answer::Units(vec![unit("a", UnitState::Gone)]));
    assert_eq!(rig.state("a"), None);
    rig.look_at(Answer::Units(vec![unit("a", UnitState::Gone)]));
    assert_eq!(
        rig.state("a"),
        None,
        "what ended long ago is nobody's group"
    );
}

#[test]
fn a_heartbeat_that_began_before_the_shutdown_does_not_tell_that_a_group_is_gone() {
    let mut rig = Rig::new();
    rig.up("a", &[]);
    let look = rig.await_heartbeat();
    rig.end("a");
    let call = rig.ending("a").unwrap();
    rig.answer(call, Answer::Done);
    rig.answer(look, running(&[]));
    assert_eq!(rig.state("a"), Some(GroupState::Ending));
    rig.look(&[]);
    assert_eq!(rig.state("a"), None);
}

#[test]
fn a_group_that_was_never_called_is_forgotten_at_once() {
    let mut rig = Rig::new();
    rig.writes = false;
    rig.name("a");
    rig.end("a");
    rig.writes = true;
    rig.absorb();
    assert_eq!(rig.starts + rig.shutdowns, 0);
    assert_eq!(rig.state("a"), None);
    assert!(rig.ledger.is_empty());
}

#[test]
fn a_group_that_is_to_end_while_it_is_started_is_ended_once_the_start_has_come_back() {
    for outcome in [running(&["a"]), failed(FailureKind::Unknown), Answer::Done] {
        let mut rig = Rig::new();
        rig.name("a");
        let start = rig.starting("a").unwrap();
        rig.end("a");
        assert_eq!(rig.ending("a"), None);
        assert_eq!(rig.state("a"), Some(GroupState::Ending));
        rig.answer(start, outcome);
        let end = rig.ending("a").expect("it is ended now");
        rig.answer(end, Answer::Done);
        rig.look_anew(&[]);
        assert_eq!(rig.state("a"), None);
    }
}

#[test]
fn what_was_started_may_be_missing_for_the_settle_time() {
    let mut rig = Rig::with(ManagerConfig {
        settle_us: 20 * SECOND,
        ..config()
    });
    rig.name("a");
    let call = rig.starting("a").unwrap();
    rig.answer(call, running(&["a"]));
    rig.run_for(15 * SECOND, &[]);
    assert_eq!(rig.state("a"), Some(GroupState::Running));
    rig.run_for(30 * SECOND, &[]);
    assert_eq!(rig.state("a"), Some(GroupState::Gone));
    assert_eq!(
        rig.starts, 1,
        "what was there is the scheduler's to replace"
    );
}

#[test]
fn a_group_that_is_ended_before_it_settles_is_not_forgotten_before_that() {
    let mut rig = Rig::with(ManagerConfig {
        settle_us: 20 * SECOND,
        ..config()
    });
    rig.name("a");
    let call = rig.starting("a").unwrap();
    rig.answer(call, running(&["a"]));
    rig.end("a");
    let end = rig.ending("a").unwrap();
    rig.answer(end, Answer::Done);
    rig.run_for(10 * SECOND, &[]);
    assert_eq!(rig.state("a"), Some(GroupState::Ending));
    // The shutdown did not find it: now it shows.
    rig.run(30 * SECOND, &["a"], |rig| rig.ending("a").is_some());
    let end = rig.ending("a").expect("and is ended again");
    rig.answer(end, Answer::Done);
    rig.run_for(25 * SECOND, &[]);
    assert_eq!(rig.state("a"), None);
}

#[test]
fn a_unit_that_ends_by_itself_is_reported_until_it_is_let_go_of() {
    for (state, told) in [
        (UnitState::Succeeded, GroupState::Succeeded),
        (UnitState::Failed, GroupState::Failed),
        (UnitState::Gone, GroupState::Gone),
    ] {
        let mut rig = Rig::new();
        rig.up("a", &[]);
        rig.look_at(Answer::Units(vec![unit("a", state)]));
        rig.run_for(100 * SECOND, &[]);
        assert_eq!(rig.state("a"), Some(told));
        rig.end("a");
        let end = rig.ending("a").unwrap();
        rig.answer(end, Answer::Done);
        rig.look_anew(&[]);
        assert_eq!(rig.state("a"), None);
    }
}

#[test]
fn a_unit_that_vanishes_is_gone() {
    let mut rig = Rig::new();
    rig.up("a", &[]);
    rig.look(&[]);
    assert_eq!(rig.state("a"), Some(GroupState::Gone));
    rig.look(&["a"]);
    assert_eq!(rig.state("a"), Some(GroupState::Running), "it is back");
}

#[test]
fn units_that_nobody_named_are_reported_and_left_alone_until_they_are_to_end() {
    let mut rig = Rig::new();
    rig.run_for(10 * SECOND, &["stranger"]);
    let report = rig.report("stranger").unwrap();
    assert_eq!((report.state, report.slots), (GroupState::Running, 1));
    assert_eq!(rig.starts + rig.shutdowns, 0);
    rig.end("stranger");
    let end = rig.ending("stranger").unwrap();
    rig.answer(end, Answer::Done);
    rig.look_anew(&[]);
    assert_eq!(rig.state("stranger"), None);
}

#[test]
fn a_unit_that_is_found_and_then_named_is_not_started() {
    let mut rig = Rig::new();
    rig.look(&["a"]);
    rig.name("a");
    rig.run_for(10 * SECOND, &["a"]);
    assert_eq!(rig.starts, 0);
    assert_eq!(rig.report("a").unwrap().slots, 2);
}

#[test]
fn what_was_seen_to_have_ended_need_not_settle() {
    let mut rig = Rig::with(ManagerConfig {
        settle_us: 600 * SECOND,
        ..config()
    });
    rig.up("a", &[]);
    rig.look_at(Answer::Units(vec![unit("a", UnitState::Succeeded)]));
    rig.end("a");
    let call = rig.ending("a").expect("it is ended");
    rig.answer(call, Answer::Done);
    rig.look(&[]);
    assert_eq!(rig.state("a"), None);
}

#[test]
fn what_no_call_has_started_is_taken_back_and_nothing_else() {
    let mut rig = Rig::with(ManagerConfig {
        most_groups: 1,
        ..config()
    });
    rig.up("a", &[]);
    rig.name("b");
    assert!(!rig.manager.take_back("a"));
    assert!(rig.manager.take_back("b"));
    assert!(!rig.manager.take_back("b"));
    rig.end("a");
    let call = rig.ending("a").expect("it is ended");
    rig.answer(call, Answer::Done);
    rig.look(&[]);
    assert_eq!(rig.starting("b"), None);
}
