//! Calls that fail, in part or as a whole, and those of which nobody knows.

use super::rig::{config, failed, failed_after, running, unit, Rig, SECOND};
use crate::manager::{Answer, FailureKind, ManagerConfig, UnitState};
use crate::wire::GroupState;

fn retried(rig: &mut Rig, units: &[&str]) -> u64 {
    let from = rig.now;
    rig.run(600 * SECOND, units, |rig| rig.starting("a").is_some());
    rig.starting("a").expect("it is started again");
    rig.now - from
}

#[test]
fn a_start_that_fails_is_retried_later_each_time() {
    for kind in [FailureKind::Temporary, FailureKind::Credentials] {
        let mut rig = Rig::new();
        rig.name("a");
        let mut waits = vec![];
        for _ in 0..8 {
            let call = rig.starting("a").unwrap();
            rig.answer(call, failed(kind));
            assert_eq!(rig.starting("a"), None);
            let report = rig.report("a").unwrap();
            assert_eq!(report.state, GroupState::Wanted);
            assert_eq!(report.detail, format!("{kind:?}!"));
            waits.push(retried(&mut rig, &[]));
        }
        assert!(waits[0] <= SECOND && waits[3] >= 3 * SECOND, "{waits:?}");
        assert!(waits.iter().all(|it| *it <= 61 * SECOND), "{waits:?}");
        let call = rig.starting("a").unwrap();
        rig.answer(call, running(&["a"]));
        assert_eq!(rig.report("a").unwrap().detail, "");
    }
}

#[test]
fn each_group_of_a_call_has_its_own_fate() {
    let mut rig = Rig::new();
    rig.writes = false;
    ["a", "b", "c"].iter().for_each(|it| rig.name(it));
    rig.writes = true;
    rig.absorb();
    let call = rig.starting("a").unwrap();
    let mut broken = unit("b", UnitState::Failed);
    broken.detail = "no capacity".into();
    let units = vec![unit("a", UnitState::Running), broken];
    rig.answer(call, Answer::Units(units));
    assert_eq!(rig.state("a"), Some(GroupState::Running));
    let report = rig.report("b").unwrap();
    assert_eq!(
        (report.state, report.detail.as_str()),
        (GroupState::Failed, "no capacity")
    );
    assert_eq!(rig.state("c"), Some(GroupState::Wanted));
    // The heartbeat does not show the third: it is started again, alone.
    rig.run(60 * SECOND, &["a"], |rig| rig.starting("c").is_some());
    assert!(rig.starting("c").is_some());
    assert_eq!((rig.starting("a"), rig.starting("b")), (None, None));
}

#[test]
fn a_permanent_failure_is_reported_with_its_text_and_not_retried() {
    let mut rig = Rig::new();
    rig.name("a");
    let call = rig.starting("a").unwrap();
    rig.answer(call, failed(FailureKind::Permanent));
    let report = rig.report("a").unwrap();
    assert_eq!(
        (report.state, report.detail.as_str()),
        (GroupState::Failed, "Permanent!")
    );
    rig.run_for(300 * SECOND, &[]);
    assert_eq!(rig.starts, 1);
    rig.end("a");
    let end = rig.ending("a").expect("some of it may be there");
    rig.answer(end, Answer::Done);
    rig.look_anew(&[]);
    assert_eq!(rig.state("a"), None);
}

#[test]
fn a_unit_that_is_there_in_spite_of_a_failure_is_believed() {
    for kind in [
        FailureKind::Permanent,
        FailureKind::Temporary,
        FailureKind::Unknown,
    ] {
        let mut rig = Rig::new();
        rig.name("a");
        let call = rig.starting("a").unwrap();
        rig.answer(call, failed(kind));
        rig.look(&["a"]);
        rig.run_for(100 * SECOND, &["a"]);
        assert_eq!(rig.state("a"), Some(GroupState::Running));
        assert_eq!(rig.starts, 1);
    }
}

#[test]
fn of_an_unknown_outcome_the_next_heartbeat_tells() {
    let mut rig = Rig::new();
    rig.name("a");
    let early = rig.await_heartbeat();
    let call = rig.starting("a").unwrap();
    rig.answer(call, failed(FailureKind::Unknown));
    rig.answer(early, running(&[]));
    assert_eq!(rig.starting("a"), None, "that one began before");
    let waited = retried(&mut rig, &[]);
    assert!(waited <= 4 * SECOND, "{waited}");
    assert_eq!(rig.starts, 2);
}

#[test]
fn an_unknown_outcome_settles_before_the_start_is_repeated() {
    let mut rig = Rig::with(ManagerConfig {
        settle_us: 20 * SECOND,
        ..config()
    });
    rig.name("a");
    let call = rig.starting("a").unwrap();
    rig.answer(call, failed(FailureKind::Unknown));
    let waited = retried(&mut rig, &[]);
    assert!((20 * SECOND..30 * SECOND).contains(&waited), "{waited}");
}

#[test]
fn throttling_slows_all_calls_down_and_honours_what_was_asked() {
    let mut rig = Rig::with(ManagerConfig {
        batch: 1,
        calls: 2,
        ..config()
    });
    ["a", "b", "c", "d"].iter().for_each(|it| rig.name(it));
    let (call, other) = (rig.starting("a").unwrap(), rig.starting("b").unwrap());
    rig.answer(call, failed_after(FailureKind::Throttled, 30 * SECOND));
    rig.answer(other, running(&["b"]));
    let from = rig.now;
    rig.run(100 * SECOND, &[], |rig| rig.starting("c").is_some());
    assert!(
        rig.now - from >= 30 * SECOND,
        "not only the throttled one waits"
    );
    let call = rig.starting("c").unwrap();
    let from = rig.now;
    rig.answer(call, running(&["c"]));
    rig.run(100 * SECOND, &["c"], |rig| rig.calls.len() > 2);
    assert!(rig.now > from, "the calls after it come one by one");
}

#[test]
fn a_start_past_its_deadline_is_unknown_and_its_late_answer_is_welcome() {
    let mut rig = Rig::new();
    rig.name("a");
    let call = rig.starting("a").unwrap();
    rig.run_for(70 * SECOND, &[]);
    let report = rig.report("a").unwrap();
    assert!(
        report.detail.contains("start has not come back"),
        "{report:?}"
    );
    assert_eq!(rig.starts, 1, "it may still do what it was to do");
    rig.answer(call, running(&["a"]));
    rig.look(&["a"]);
    assert_eq!(rig.state("a"), Some(GroupState::Running));
    assert!(rig.restarts.is_empty());
}

#[test]
fn a_heartbeat_tells_of_what_a_hanging_start_has_made() {
    let mut rig = Rig::new();
    rig.name("a");
    rig.run_for(70 * SECOND, &["a"]);
    assert_eq!(rig.state("a"), Some(GroupState::Running));
}

#[test]
fn a_hook_that_hangs_makes_the_process_start_anew() {
    let mut rig = Rig::new();
    rig.name("a");
    rig.run_for(119 * SECOND, &[]);
    assert!(rig.restarts.is_empty());
    rig.run_for(2 * SECOND, &[]);
    assert_eq!(rig.restarts.len(), 1);
    assert!(rig.restarts[0].contains("start"), "{:?}", rig.restarts);
    rig.pass(SECOND);
    rig.name("b");
    assert_eq!((rig.restarts.len(), rig.starts), (1, 1));
    assert_eq!(rig.manager.next_wakeup(), None);
}

#[test]
fn a_heartbeat_that_hangs_makes_the_process_start_anew() {
    let mut rig = Rig::new();
    rig.await_heartbeat();
    rig.pass(70 * SECOND);
    rig.pass(60 * SECOND);
    assert_eq!(rig.restarts.len(), 1);
}

#[test]
fn repeated_failures_are_trouble_until_one_succeeds() {
    let mut rig = Rig::new();
    rig.name("a");
    let call = rig.starting("a").unwrap();
    rig.answer(call, failed(FailureKind::Temporary));
    assert_eq!(rig.told().trouble, "");
    retried(&mut rig, &[]);
    let call = rig.starting("a").unwrap();
    rig.answer(call, failed(FailureKind::Temporary));
    assert_eq!(rig.told().trouble, "start: Temporary!");
    retried(&mut rig, &[]);
    let call = rig.starting("a").unwrap();
    rig.answer(call, running(&["a"]));
    assert_eq!(rig.told().trouble, "");
}

#[test]
fn trouble_ends_with_the_groups_that_had_it() {
    let mut rig = Rig::new();
    rig.name("a");
    for _ in 0..3 {
        let call = rig.starting("a").unwrap();
        rig.answer(call, failed(FailureKind::Temporary));
        retried(&mut rig, &[]);
    }
    assert_ne!(rig.told().trouble, "");
    rig.end("a");
    assert_eq!(
        rig.told().trouble,
        "",
        "nothing is to be started: nothing would show that it is over"
    );
}

#[test]
fn heartbeats_that_fail_are_trouble_and_change_nothing() {
    let mut rig = Rig::new();
    rig.up("a", &[]);
    for _ in 0..3 {
        rig.look_at(failed(FailureKind::Credentials));
    }
    let status = rig.told();
    assert_eq!(status.trouble, "heartbeat: Credentials!");
    assert_eq!(status.groups[0].state, GroupState::Running);
    rig.look(&["a"]);
    assert_eq!(rig.told().trouble, "");
}

#[test]
fn a_shutdown_that_fails_is_repeated_until_the_unit_is_gone() {
    let mut rig = Rig::new();
    rig.up("a", &[]);
    rig.end("a");
    for kind in [
        FailureKind::Temporary,
        FailureKind::Unknown,
        FailureKind::Permanent,
        FailureKind::Throttled,
    ] {
        let call = rig.ending("a").expect("it is ended");
        rig.answer(call, failed(kind));
        assert_eq!(rig.state("a"), Some(GroupState::Ending));
        rig.run(200 * SECOND, &["a"], |rig| rig.ending("a").is_some());
    }
    let call = rig.ending("a").expect("it is ended");
    rig.answer(call, failed(FailureKind::Temporary));
    rig.look(&[]);
    assert_eq!(rig.state("a"), None, "gone is gone, whatever the call said");
}

#[test]
fn an_ended_unit_that_is_kept_is_shut_down_until_that_succeeds() {
    let ended = || Answer::Units(vec![unit("a", UnitState::Succeeded)]);
    for keeps_ended in [false, true] {
        let mut rig = Rig::with(ManagerConfig {
            keeps_ended,
            ..config()
        });
        rig.up("a", &[]);
        rig.look_at(ended());
        rig.end("a");
        let call = rig.ending("a").expect("it is ended");
        rig.answer(call, failed(FailureKind::Temporary));
        rig.look_at(ended());
        assert_eq!(rig.state("a").is_some(), keeps_ended);
        if keeps_ended {
            while rig.ending("a").is_none() {
                rig.look_at(ended());
            }
            let again = rig.ending("a").unwrap();
            rig.answer(again, Answer::Done);
            rig.look_at(Answer::Units(Vec::new()));
            assert_eq!(rig.state("a"), None);
        }
    }
}
