//! How much at a time.

use super::rig::{config, entry, running, unit, Rig, SECOND};
use crate::manager::{Answer, Call, EntryState, ManagerConfig, UnitSeen, UnitState};
use crate::wire::GroupState;

#[test]
fn no_more_units_than_may_be_there() {
    let mut rig = Rig::with(ManagerConfig {
        most_groups: 2,
        ..config()
    });
    rig.up("a", &[]);
    rig.up("b", &["a"]);
    rig.name("c");
    rig.run_for(20 * SECOND, &["a", "b"]);
    assert_eq!(rig.starting("c"), None);
    let report = rig.report("c").unwrap();
    assert_eq!(report.state, GroupState::Wanted);
    assert!(report.detail.contains("there may be 2"), "{report:?}");
    rig.end("a");
    let end = rig.ending("a").unwrap();
    rig.answer(end, Answer::Done);
    rig.look(&["a", "b"]);
    assert_eq!(rig.starting("c"), None, "the first is there still");
    rig.run(60 * SECOND, &["a", "b"], |rig| rig.ending("a").is_some());
    let end = rig.ending("a").unwrap();
    rig.answer(end, Answer::Done);
    rig.look(&["b"]);
    assert!(rig.starting("c").is_some());
}

#[test]
fn a_unit_that_has_ended_takes_no_room() {
    let mut rig = Rig::with(ManagerConfig {
        most_groups: 1,
        ..config()
    });
    rig.up("a", &[]);
    rig.look_at(Answer::Units(vec![unit("a", UnitState::Failed)]));
    rig.name("b");
    assert!(rig.starting("b").is_some());
}

#[test]
fn units_that_nobody_named_take_room() {
    let mut rig = Rig::with(ManagerConfig {
        most_groups: 1,
        ..config()
    });
    rig.look(&["stranger"]);
    rig.name("a");
    rig.run_for(20 * SECOND, &["stranger"]);
    assert_eq!(rig.starts, 0);
}

#[test]
fn calls_are_of_so_many_groups_and_so_many_at_a_time() {
    let mut rig = Rig::with(ManagerConfig {
        most_groups: 100,
        batch: 3,
        calls: 2,
        ..config()
    });
    rig.writes = false;
    (0..10).for_each(|it| rig.name(&format!("g{it}")));
    rig.writes = true;
    rig.absorb();
    let mut sizes = vec![];
    while let Some((&id, call)) = rig
        .calls
        .iter()
        .find(|(_, it)| matches!(it, Call::Start(_)))
    {
        let Call::Start(requests) = call else {
            panic!()
        };
        let names: Vec<String> = requests.iter().map(|it| it.group.clone()).collect();
        sizes.push(names.len());
        let under_way = rig.calls.values();
        assert!(under_way.filter(|it| matches!(it, Call::Start(_))).count() <= 2);
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        rig.answer(id, running(&names));
    }
    assert_eq!(sizes, [3, 3, 3, 1], "in the order in which they were named");
}

#[test]
fn a_heartbeat_leaves_though_all_calls_hang() {
    let mut rig = Rig::with(ManagerConfig {
        calls: 1,
        ..config()
    });
    rig.name("a");
    rig.pass(3 * SECOND);
    assert!(rig.heartbeat().is_some());
}

#[test]
fn nothing_is_started_while_the_scheduler_is_away() {
    let mut rig = Rig::new();
    rig.disconnect();
    rig.name("a");
    rig.run_for(20 * SECOND, &[]);
    assert_eq!(rig.starts, 0);
    rig.connect();
    assert_eq!(rig.starts, 1);
}

#[test]
fn ten_thousand_groups_come_up_and_end() {
    let mut rig = Rig::with(ManagerConfig {
        most_groups: 10_000,
        batch: 1_000,
        ..config()
    });
    rig.writes = false;
    let names: Vec<String> = (0..10_000).map(|it| format!("group-{it}")).collect();
    for name in &names {
        rig.manager.handle(
            rig.now,
            crate::wire::Message::StartWorkerGroup {
                group: name.clone(),
                slots: 1,
                capabilities: vec![],
            },
        );
    }
    rig.writes = true;
    rig.absorb();
    let mut there = vec![];
    while let Some((&id, Call::Start(requests))) = rig
        .calls
        .iter()
        .find(|(_, it)| matches!(it, Call::Start(_)))
    {
        let units = requests
            .iter()
            .map(|it| unit(&it.group, UnitState::Running));
        let units: Vec<UnitSeen> = units.collect();
        there.extend(units.iter().cloned());
        rig.answer(id, Answer::Units(units));
    }
    assert_eq!(there.len(), 10_000);
    rig.look_at(Answer::Units(there));
    let status = rig.told();
    assert_eq!(status.groups.len(), 10_000);
    assert!(status
        .groups
        .iter()
        .all(|it| it.state == GroupState::Running));
    for name in &names {
        let group = name.clone();
        rig.manager
            .handle(rig.now, crate::wire::Message::ShutdownWorkerGroup { group });
    }
    rig.absorb();
    while let Some((&id, _)) = rig
        .calls
        .iter()
        .find(|(_, it)| matches!(it, Call::Shutdown(_)))
    {
        rig.answer(id, Answer::Done);
    }
    rig.look_anew(&[]);
    assert!(rig.told().groups.is_empty() && rig.ledger.is_empty());
}

#[test]
fn intents_of_an_earlier_process_take_no_more_room_than_there_is() {
    let entries = (0..5).map(|it| entry(&format!("g{it}"), EntryState::Intended));
    let config = ManagerConfig {
        most_groups: 2,
        ..config()
    };
    let mut rig = Rig::unconnected(config, entries.collect());
    rig.connect();
    rig.run_for(30 * SECOND, &[]);
    let started = (0..5).filter(|it| rig.starting(&format!("g{it}")).is_some());
    assert_eq!(started.count(), 2);
}
