//! Peers and hooks may say anything.

use super::rig::{entry, failed_after, running, unit, Bytes, Rig, SECOND};
use crate::manager::{Answer, EntryState, FailureKind, UnitSeen, UnitState};
use crate::wire::{GroupState, Message};

#[test]
fn messages_that_are_not_for_managers_change_nothing() {
    let mut rig = Rig::new();
    rig.say(Message::Drain);
    rig.say(Message::Reclaim { count: 3 });
    rig.say(Message::Function {
        id: [0; 16],
        payload: Bytes(1),
    });
    rig.say(Message::Heartbeat);
    assert!(rig.told().groups.is_empty());
    assert!(!rig.logs.is_empty());
}

#[test]
fn names_that_are_none_are_not_started() {
    let mut rig = Rig::new();
    rig.name("");
    rig.name(&"x".repeat(1_000));
    rig.say(Message::StartWorkerGroup {
        group: "a".into(),
        slots: 0,
        capabilities: vec![],
    });
    rig.end("nobody");
    assert!(rig.told().groups.is_empty());
    assert_eq!(rig.starts, 0);
}

#[test]
fn answers_of_the_wrong_kind_are_unknown_outcomes() {
    let mut rig = Rig::new();
    rig.name("a");
    let start = rig.starting("a").unwrap();
    rig.answer(start, Answer::Done);
    assert_eq!(rig.state("a"), Some(GroupState::Wanted));
    rig.look_at(Answer::Done);
    assert_eq!(rig.starting("a"), None, "a heartbeat that told nothing");
    rig.look(&["a"]);
    rig.end("a");
    let end = rig.ending("a").unwrap();
    rig.answer(end, running(&["a"]));
    assert_eq!(rig.state("a"), Some(GroupState::Ending));
}

#[test]
fn answers_to_calls_that_nobody_made_change_nothing() {
    let mut rig = Rig::new();
    rig.name("a");
    let start = rig.starting("a").unwrap();
    rig.answer(start, running(&["a"]));
    rig.answer(start, running(&[]));
    rig.answer(0, running(&["b"]));
    rig.answer(u64::MAX, Answer::Done);
    rig.manager.recorded(rig.now, u64::MAX);
    rig.manager.recorded(rig.now, 0);
    rig.absorb();
    assert_eq!(rig.told().groups.len(), 1);
}

#[test]
fn units_that_a_start_was_not_asked_for_are_left_to_the_heartbeat() {
    let mut rig = Rig::new();
    rig.name("a");
    let start = rig.starting("a").unwrap();
    rig.answer(start, running(&["a", "b", "a"]));
    assert_eq!(rig.told().groups.len(), 1);
}

#[test]
fn of_two_units_of_one_name_the_one_that_lives_counts() {
    let mut rig = Rig::new();
    rig.up("a", &[]);
    let (dead, alive) = (unit("a", UnitState::Failed), unit("a", UnitState::Running));
    rig.look_at(Answer::Units(vec![dead.clone(), alive.clone()]));
    assert_eq!(rig.state("a"), Some(GroupState::Running));
    rig.look_at(Answer::Units(vec![alive, dead]));
    assert_eq!(rig.state("a"), Some(GroupState::Running));
}

#[test]
fn long_texts_are_cut_and_nameless_units_left_alone() {
    let mut rig = Rig::new();
    let odd = |group: String, state| UnitSeen {
        group,
        infrastructure: "ä".repeat(10_000),
        state,
        detail: "ö".repeat(1_000_000),
    };
    rig.look_at(Answer::Units(vec![
        odd("a".into(), UnitState::Running),
        odd(String::new(), UnitState::Running),
        odd("x".repeat(10_000), UnitState::Pending),
        odd("gone".into(), UnitState::Gone),
    ]));
    let status = rig.told();
    assert_eq!(status.groups.len(), 1);
    assert!(status.groups[0].detail.len() <= 2_000);
    assert!(status.groups[0].infrastructure.len() <= 512);
}

#[test]
fn endless_patience_that_is_asked_for_has_an_end() {
    let mut rig = Rig::new();
    rig.name("a");
    let start = rig.starting("a").unwrap();
    rig.answer(start, failed_after(FailureKind::Throttled, u64::MAX));
    rig.run(3_600 * SECOND, &[], |rig| rig.starting("a").is_some());
    assert!(rig.starting("a").is_some());
}

#[test]
fn a_ledger_may_have_anything_in_it() {
    let mut strange = entry("", EntryState::Intended);
    strange.slots = 0;
    let entries = vec![
        entry("a", EntryState::Intended),
        entry("a", EntryState::Ending),
        entry("b", EntryState::Forgotten),
        strange,
    ];
    let mut rig = Rig::unconnected(super::rig::config(), entries);
    rig.connect();
    rig.look(&["a", "b"]);
    assert_eq!(rig.state("a"), Some(GroupState::Running));
    assert_eq!(rig.state("b"), Some(GroupState::Running));
}
