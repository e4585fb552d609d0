//! Worker groups: what is commanded when, and what of a manager's account changes it.

use super::rig::*;
use crate::scaling::{Scaling, ScalingConfig};
use crate::scheduler::SchedulerConfig;
use crate::wire::{GroupState::*, ManagerInfo, ManagerStatus, Message, NodeStatus, RefusalCode};

const SECOND: u64 = 1_000_000;
const MANAGER: u64 = 50;

fn vanilla(resync_us: u64) -> SchedulerConfig {
    SchedulerConfig {
        resync_us,
        scaling: ScalingConfig {
            scaling: Scaling::Vanilla,
            ..ScalingConfig::default()
        },
        address: "tcp://here:8516".into(),
        ..SchedulerConfig::default()
    }
}

fn rig() -> Rig {
    let mut rig = Rig::with(vanilla(0));
    rig.client(CLIENT, SESSION);
    rig.want("native", 0);
    rig.manager(MANAGER, native());
    rig
}

/// A group that starts.
fn one_starting(rig: &mut Rig) -> String {
    rig.want("native", 1);
    let mut groups = rig.started(MANAGER);
    assert_eq!(groups.len(), 1);
    groups.remove(0)
}

fn one_up(rig: &mut Rig) -> String {
    let group = one_starting(rig);
    rig.report(MANAGER, &[(&group, Running)]);
    rig.group_node(10, "native", &group, 1);
    group
}

fn nothing() -> (Vec<String>, Vec<String>) {
    (Vec::new(), Vec::new())
}

#[test]
fn a_start_that_a_status_does_not_show_is_said_again_under_its_name() {
    let mut rig = rig();
    let group = one_starting(&mut rig);
    rig.report(MANAGER, &[]);
    assert_eq!(rig.commands(MANAGER), nothing(), "it was said just now");
    rig.pass(2 * SECOND);
    rig.report(MANAGER, &[]);
    assert_eq!(rig.started(MANAGER), [group.as_str()]);
    rig.pass(2 * SECOND);
    rig.report(MANAGER, &[(&group, Wanted)]);
    assert_eq!(rig.commands(MANAGER), nothing());
}

#[test]
fn a_start_that_was_lost_with_the_link_is_said_again() {
    let mut rig = rig();
    let group = one_starting(&mut rig);
    rig.leave(MANAGER);
    rig.manager(51, native());
    assert_eq!(rig.started(51), [group]);
}

#[test]
fn an_id_whose_unit_was_there_is_not_said_again() {
    let mut rig = rig();
    let group = one_starting(&mut rig);
    rig.report(MANAGER, &[(&group, Pending)]);
    rig.leave(MANAGER);
    rig.manager(51, native());
    rig.pass(2 * SECOND);
    let (starts, ends) = rig.commands(51);
    assert_eq!(ends, [group.as_str()]);
    assert_eq!(starts.len(), 1);
    assert_ne!(starts[0], group);
}

#[test]
fn what_a_manager_that_died_was_about_to_end_goes_on() {
    let mut rig = rig();
    let group = one_up(&mut rig);
    rig.submit(0, 1);
    let leaving = ManagerStatus {
        groups: vec![report(&group, Ending)],
        leaving: true,
        ..ManagerStatus::default()
    };
    rig.say(MANAGER, Message::ManagerStatus(leaving));
    rig.leave(MANAGER);
    rig.join_manager(51, native()).unwrap();
    rig.report(51, &[(&group, Running)]);
    assert_eq!(rig.commands(51), nothing());
    rig.told(10);
    rig.done(10, 0, 1, 5);
    rig.submit(1, 1);
    assert_eq!(rig.assigned_count(10), 1);
}

#[test]
fn what_a_manager_ends_by_itself_is_not_told_to() {
    let mut rig = rig();
    let group = one_up(&mut rig);
    rig.submit(0, 1);
    rig.report(MANAGER, &[(&group, Ending)]);
    assert_eq!(rig.commands(MANAGER), nothing());
}

#[test]
fn an_end_is_said_again_until_the_account_shows_it_and_forgotten_with_it() {
    let mut rig = rig();
    let group = one_up(&mut rig);
    rig.want("native", 0);
    let end = (vec![], vec![group.clone()]);
    assert_eq!(rig.commands(MANAGER), end);
    rig.pass(2 * SECOND);
    rig.report(MANAGER, &[(&group, Running)]);
    assert_eq!(rig.commands(MANAGER), end);
    rig.pass(2 * SECOND);
    rig.report(MANAGER, &[(&group, Ending)]);
    assert_eq!(rig.commands(MANAGER), nothing());
    rig.leave(10);
    rig.report(MANAGER, &[(&group, Gone)]);
    assert_eq!(rig.commands(MANAGER), end, "it may be forgotten");
    rig.report(MANAGER, &[]);
    let status = rig.query(crate::wire::QueryKind::Status, 0);
    assert!(status.contains("\"groups\":[]"), "{status}");
}

#[test]
fn a_group_that_ends_gets_no_work_though_its_node_is_there() {
    let mut rig = rig();
    one_up(&mut rig);
    rig.want("native", 0);
    rig.submit(0, 1);
    assert_eq!(rig.assigned_count(10), 0);
}

#[test]
fn a_unit_whose_slot_is_not_free_yet_keeps_its_place_in_the_limit() {
    let mut rig = Rig::with(vanilla(0));
    rig.client(CLIENT, SESSION);
    rig.want("native", 1);
    rig.manager(
        MANAGER,
        ManagerInfo {
            most_groups: 1,
            ..native()
        },
    );
    rig.want("native", 1);
    let group = rig.started(MANAGER).remove(0);
    rig.report(MANAGER, &[(&group, Running)]);
    rig.group_node(10, "native", &group, 1);
    rig.want("native", 0);
    rig.want("native", 1);
    assert_eq!(rig.started(MANAGER), Vec::<String>::new());
    rig.report(MANAGER, &[(&group, Ending)]);
    rig.leave(10);
    rig.report(MANAGER, &[]);
    rig.pass(SECOND);
    assert_eq!(rig.started(MANAGER).len(), 1);
}

#[test]
fn groups_of_a_former_scheduler_are_adopted_and_count() {
    let mut rig = Rig::with(vanilla(5 * SECOND));
    rig.client(CLIENT, SESSION);
    rig.want("native", 2);
    rig.group_node(10, "native", "native-aaaaaaaa-1", 1);
    rig.manager(MANAGER, native());
    rig.report(
        MANAGER,
        &[
            ("native-aaaaaaaa-1", Running),
            ("native-aaaaaaaa-2", Pending),
        ],
    );
    assert_eq!(
        rig.commands(MANAGER),
        nothing(),
        "nothing in the resync time"
    );
    rig.pass(6 * SECOND);
    rig.pass(SECOND);
    assert_eq!(rig.commands(MANAGER), nothing(), "both are there already");
    rig.group_node(11, "native", "native-aaaaaaaa-2", 1);
    rig.submit(0, 2);
    assert_eq!(rig.assigned_count(10) + rig.assigned_count(11), 2);
    rig.want("native", 3);
    assert_eq!(rig.started(MANAGER), ["native-00000007-1"]);
}

#[test]
fn nothing_is_stopped_in_the_resync_time() {
    let mut rig = Rig::with(vanilla(5 * SECOND));
    rig.want("native", 0);
    rig.group_node(10, "native", "native-aaaaaaaa-1", 1);
    rig.manager(MANAGER, native());
    rig.report(
        MANAGER,
        &[
            ("native-aaaaaaaa-1", Running),
            ("native-aaaaaaaa-2", Running),
            ("native-aaaaaaaa-3", Failed),
        ],
    );
    rig.pass(4 * SECOND);
    assert_eq!(rig.commands(MANAGER), nothing());
    rig.pass(2 * SECOND);
    rig.pass(SECOND);
    // The node of the second may have work, and come back yet.
    assert_eq!(rig.commands(MANAGER).1, ["native-aaaaaaaa-1"]);
    let left = [
        ("native-aaaaaaaa-2", Running),
        ("native-aaaaaaaa-3", Failed),
    ];
    rig.report(MANAGER, &left);
    assert_eq!(rig.commands(MANAGER).1, ["native-aaaaaaaa-3"]);
    rig.pass(30 * SECOND);
    assert_eq!(rig.commands(MANAGER).1, ["native-aaaaaaaa-2"]);
}

#[test]
fn a_manager_of_a_fixed_size_is_served_in_the_resync_time() {
    let fixed = ManagerInfo {
        least_groups: 1,
        most_groups: 1,
        slots: 4,
        ..native()
    };
    let mut rig = Rig::with(vanilla(5 * SECOND));
    rig.join_manager(MANAGER, fixed.clone()).unwrap();
    assert_eq!(
        rig.commands(MANAGER),
        nothing(),
        "it has not told its status"
    );
    rig.report(MANAGER, &[]);
    assert_eq!(rig.started(MANAGER).len(), 1);

    let mut rig = Rig::with(vanilla(5 * SECOND));
    rig.join_manager(MANAGER, fixed).unwrap();
    rig.report(MANAGER, &[("native-aaaaaaaa-1", Running)]);
    assert_eq!(rig.commands(MANAGER), nothing(), "it has enough");
}

#[test]
fn the_least_groups_are_wanted_whatever_the_policy_says() {
    let mut rig = Rig::new();
    rig.manager(
        MANAGER,
        ManagerInfo {
            least_groups: 2,
            ..native()
        },
    );
    rig.pass(SECOND);
    assert_eq!(rig.started(MANAGER).len(), 2);
}

#[test]
fn a_group_that_its_manager_forgot_works_on_and_its_node_is_told_to_exit() {
    let mut rig = rig();
    one_up(&mut rig);
    rig.submit(0, 1);
    rig.told(10);
    rig.leave(MANAGER);
    rig.manager(51, native());
    assert!(!rig.told_to_exit(10), "it has work");
    rig.submit(1, 1);
    assert_eq!(rig.assigned_count(10), 0);
    rig.done(10, 0, 1, 5);
    assert!(rig.told_to_exit(10));
    rig.leave(10);
    let status = rig.query(crate::wire::QueryKind::Status, 0);
    assert!(!status.contains("\"state\":\"ending\""), "{status}");
}

#[test]
fn a_group_that_a_later_status_knows_after_all_is_taken_back() {
    let mut rig = rig();
    let group = one_up(&mut rig);
    rig.submit(0, 1);
    rig.leave(MANAGER);
    rig.manager(51, native());
    rig.report(51, &[(&group, Running)]);
    rig.told(10);
    rig.done(10, 0, 1, 5);
    assert!(!rig.told_to_exit(10));
    rig.submit(1, 1);
    assert_eq!(rig.assigned_count(10), 1);
}

#[test]
fn a_disconnected_node_whose_unit_has_ended_is_dead_at_once() {
    for unit_first in [false, true] {
        let mut rig = rig();
        let group = one_up(&mut rig);
        rig.node(20, 1);
        rig.submit(0, 2);
        rig.submit(2, 20);
        rig.told(20);
        if unit_first {
            rig.report(MANAGER, &[(&group, Failed)]);
            assert!(rig.ended.is_empty(), "it is connected, whatever is said");
            rig.scheduler.disconnected(rig.now, 10);
            rig.turn();
        } else {
            rig.scheduler.disconnected(rig.now, 10);
            rig.turn();
            assert!(rig.ended.is_empty());
            rig.report(MANAGER, &[(&group, Failed)]);
        }
        assert!(
            matches!(&rig.ended[..], [(10, RefusalCode::Closing, _)]),
            "{:?}",
            rig.ended
        );
        let status = rig.query(crate::wire::QueryKind::Status, 0);
        assert!(status.starts_with("{\"nodes\":1,"), "{status}");
        assert_eq!(rig.commands(MANAGER).1, [group]);
    }
}

#[test]
fn a_group_that_lost_its_node_is_ended_and_replaced_under_another_name() {
    let mut rig = rig();
    let group = one_up(&mut rig);
    rig.pass(60 * SECOND);
    rig.leave(10);
    rig.pass(SECOND);
    let (starts, ends) = rig.commands(MANAGER);
    assert_eq!(ends, [group.as_str()]);
    assert_eq!(starts.len(), 1);
    assert_ne!(starts[0], group);
}

#[test]
fn a_node_whose_link_begins_anew_keeps_its_group() {
    let mut rig = rig();
    let group = one_up(&mut rig);
    rig.pass(60 * SECOND);
    rig.group_node(10, "native", &group, 1);
    rig.pass(SECOND);
    assert_eq!(rig.commands(MANAGER), nothing());
}

#[test]
fn a_node_that_drains_by_itself_is_no_supply_any_more() {
    let mut rig = rig();
    let group = one_up(&mut rig);
    rig.submit(0, 1);
    let status = NodeStatus {
        draining: true,
        ..NodeStatus::default()
    };
    rig.say(10, Message::NodeStatus(status));
    rig.pass(SECOND);
    let (starts, ends) = rig.commands(MANAGER);
    assert_eq!((starts.len(), ends.len()), (1, 0));
    rig.done(10, 0, 1, 5);
    assert_eq!(rig.commands(MANAGER).1, [group]);
}

#[test]
fn of_groups_to_retire_those_that_start_come_first_then_the_least_used() {
    let mut rig = rig();
    rig.want("native", 3);
    let groups = rig.started(MANAGER);
    let all: Vec<_> = groups.iter().map(|it| (it.as_str(), Running)).collect();
    rig.report(MANAGER, &all);
    for (link, group) in [(10, &groups[0]), (11, &groups[1])] {
        rig.group_node(link, "native", group, 1);
    }
    rig.submit(0, 1);
    let used = if rig.assigned_count(10) == 1 { 10 } else { 11 };
    rig.done(used, 0, 1, 5);
    rig.want("native", 2);
    assert_eq!(rig.commands(MANAGER).1, [groups[2].clone()]);
    rig.want("native", 1);
    let unused = if used == 10 { &groups[1] } else { &groups[0] };
    assert_eq!(rig.commands(MANAGER).1, [unused.as_str()]);
}

#[test]
fn a_group_whose_node_has_not_told_what_it_holds_is_not_idle() {
    let mut rig = rig();
    let group = one_starting(&mut rig);
    rig.report(MANAGER, &[(&group, Running)]);
    rig.join_group_node(10, "native", &group, 1);
    rig.want("native", 0);
    assert_eq!(rig.commands(MANAGER), nothing());
    rig.hold(10, &[]);
    rig.pass(SECOND);
    assert_eq!(rig.commands(MANAGER).1, [group]);
}

#[test]
fn elements_of_a_session_that_is_over_keep_their_group() {
    let mut rig = rig();
    one_up(&mut rig);
    rig.submit(0, 1);
    rig.leave(CLIENT);
    rig.want("native", 0);
    assert_eq!(rig.commands(MANAGER), nothing());
    rig.end(10, 0, crate::wire::OutcomeKind::Cancelled);
    rig.pass(SECOND);
    assert_eq!(rig.commands(MANAGER).1.len(), 1);
}

#[test]
fn a_group_that_ends_by_its_managers_own_will_gets_nothing_more() {
    let mut rig = rig();
    let group = one_up(&mut rig);
    rig.submit(0, 1);
    rig.report(MANAGER, &[(&group, Ending)]);
    rig.submit(1, 1);
    assert_eq!(rig.assigned_count(10), 1);
    rig.pass(SECOND);
    assert_eq!(rig.started(MANAGER).len(), 1, "it is replaced");
}

#[test]
fn a_unit_that_nobody_named_and_that_is_over_is_let_go_of() {
    let mut rig = rig();
    rig.report(MANAGER, &[("stray", Gone)]);
    assert_eq!(rig.commands(MANAGER), (vec![], vec!["stray".into()]));
    rig.report(MANAGER, &[]);
    let status = rig.query(crate::wire::QueryKind::Status, 0);
    assert!(status.contains("\"groups\":[]"), "{status}");
}

#[test]
fn trouble_is_logged_when_it_comes_and_goes() {
    let mut rig = rig();
    let trouble = ManagerStatus {
        trouble: "credentials expired".into(),
        ..ManagerStatus::default()
    };
    rig.say(MANAGER, Message::ManagerStatus(trouble.clone()));
    rig.say(MANAGER, Message::ManagerStatus(trouble));
    let logged = rig.logs.iter();
    let logged = logged.filter(|it| it.contains("cannot start workers: credentials expired"));
    assert_eq!(logged.count(), 1);
    rig.report(MANAGER, &[]);
    assert!(rig.logged("worker manager native can start workers again"));
}
