//! Worker managers that join, are refused, come back, stay away, leave.

use super::rig::*;
use crate::scaling::{Scaling, ScalingConfig};
use crate::scheduler::SchedulerConfig;
use crate::wire::{
    GroupState::*, ManagerInfo, ManagerStatus, Message, QueryKind, RefusalCode, Role,
};

const SECOND: u64 = 1_000_000;
const MANAGER: u64 = 50;

fn vanilla() -> SchedulerConfig {
    SchedulerConfig {
        scaling: ScalingConfig {
            scaling: Scaling::Vanilla,
            ..ScalingConfig::default()
        },
        address: "tcp://here:8516".into(),
        ..SchedulerConfig::default()
    }
}

fn rig() -> Rig {
    let mut rig = Rig::with(vanilla());
    rig.client(CLIENT, SESSION);
    rig.want("native", 0);
    rig
}

/// Two groups that are up, with nodes 10 and 11.
fn two_up(rig: &mut Rig) -> Vec<String> {
    rig.manager(MANAGER, native());
    rig.want("native", 2);
    let groups = rig.started(MANAGER);
    assert_eq!(groups, ["native-00000007-1", "native-00000007-2"]);
    rig.report(MANAGER, &[(&groups[0], Running), (&groups[1], Running)]);
    rig.group_node(10, "native", &groups[0], 1);
    rig.group_node(11, "native", &groups[1], 1);
    groups
}

#[test]
fn a_manager_that_does_not_say_what_it_offers_is_refused() {
    let mut rig = rig();
    let joined = rig
        .scheduler
        .joined(rig.now, 9, &hello(Role::Manager, 0, None), "here");
    assert_eq!(joined.unwrap_err().0, RefusalCode::Malformed);
    for info in [
        ManagerInfo {
            id: String::new(),
            ..native()
        },
        ManagerInfo {
            least_groups: 9,
            ..native()
        },
    ] {
        let refused = rig.join_manager(9, info).unwrap_err();
        assert_eq!(refused.0, RefusalCode::Malformed);
    }
    let info = ManagerInfo {
        slots: 0,
        ..native()
    };
    assert_eq!(rig.join_manager(9, info).unwrap_err().0, RefusalCode::Limit);
}

#[test]
fn a_second_manager_of_one_id_is_refused_with_the_mend() {
    let mut rig = rig();
    rig.manager(MANAGER, native());
    let (code, text) = rig.join_manager(51, native()).unwrap_err();
    assert_eq!(code, RefusalCode::Duplicate);
    assert!(text.contains("native is connected already"), "{text}");
    assert!(text.contains("--worker-manager-id"), "{text}");
    assert!(rig.ended.is_empty());
}

#[test]
fn a_manager_whose_connection_is_lost_is_taken_over() {
    let mut rig = rig();
    let groups = two_up(&mut rig);
    rig.scheduler.disconnected(rig.now, MANAGER);
    rig.join_manager(51, native()).unwrap();
    assert!(matches!(
        &rig.ended[..],
        [(MANAGER, RefusalCode::Duplicate, _)]
    ));
    rig.report(51, &[(&groups[0], Running), (&groups[1], Running)]);
    assert_eq!(rig.commands(51), (vec![], vec![]));
    // The old link speaks no more.
    rig.report(MANAGER, &[]);
    assert_eq!(rig.commands(51), (vec![], vec![]));
}

#[test]
fn what_a_manager_has_no_business_to_say_ends_its_link() {
    let mut rig = rig();
    rig.manager(MANAGER, native());
    rig.say(MANAGER, Message::Drained);
    assert!(matches!(
        &rig.ended[..],
        [(MANAGER, RefusalCode::Malformed, _)]
    ));
}

#[test]
fn a_manager_that_comes_back_within_its_lease_loses_nothing() {
    let mut rig = rig();
    let groups = two_up(&mut rig);
    rig.submit(0, 2);
    rig.leave(MANAGER);
    rig.pass(299 * SECOND);
    rig.told(10);
    rig.join_manager(52, native()).unwrap();
    rig.report(52, &[(&groups[0], Running), (&groups[1], Running)]);
    rig.pass(10 * SECOND);
    assert_eq!(rig.commands(52), (vec![], vec![]));
    assert!(!rig.told_to_exit(10) && !rig.told_to_exit(11));
    rig.done(10, 0, 1, 5);
    rig.done(11, 1, 1, 5);
    assert_eq!(rig.outcomes(CLIENT).len(), 2);
}

#[test]
fn a_manager_away_for_its_lease_is_given_up_and_its_nodes_exit_when_they_are_idle() {
    let mut rig = rig();
    two_up(&mut rig);
    rig.submit(0, 1);
    let busy = if rig.assigned_count(10) == 1 { 10 } else { 11 };
    let idle = 21 - busy;
    rig.leave(MANAGER);
    rig.pass(299 * SECOND);
    assert!(!rig.told_to_exit(idle));
    rig.pass(2 * SECOND);
    assert!(rig.told_to_exit(idle));
    assert!(!rig.told_to_exit(busy));
    rig.submit(1, 1);
    assert_eq!(rig.assigned_count(busy), 0, "it gets nothing new");
    rig.done(busy, 0, 1, 5);
    assert!(rig.told_to_exit(busy));
    rig.leave(10);
    rig.leave(11);
    assert!(rig.scheduler.fleet.is_empty(), "nothing of it is left");
}

#[test]
fn a_manager_that_comes_back_after_its_lease_takes_back_what_still_works() {
    let mut rig = rig();
    let groups = two_up(&mut rig);
    rig.submit(0, 2);
    rig.leave(MANAGER);
    rig.pass(301 * SECOND);
    rig.submit(2, 1);
    rig.told(10);
    rig.join_manager(52, native()).unwrap();
    rig.report(52, &[(&groups[0], Running), (&groups[1], Running)]);
    rig.done(10, 0, 1, 5);
    assert_eq!(rig.commands(52), (vec![], vec![]));
    let told = rig.told(10);
    assert!(told.iter().any(|it| matches!(it, Message::Assign(_))));
    assert!(!told.iter().any(|it| matches!(it, Message::Exit { .. })));
}

#[test]
fn a_node_whose_manager_never_came_ends_after_the_lease_from_the_end_of_the_resync() {
    let mut rig = Rig::with(SchedulerConfig {
        resync_us: 5 * SECOND,
        ..vanilla()
    });
    rig.client(CLIENT, SESSION);
    rig.group_node(10, "native", "native-aaaaaaaa-1", 1);
    rig.submit(0, 1);
    rig.pass(5 * SECOND);
    assert_eq!(rig.assigned_count(10), 1, "it works as any other");
    rig.done(10, 0, 1, 5);
    rig.pass(299 * SECOND);
    assert!(!rig.told_to_exit(10));
    rig.pass(2 * SECOND);
    assert!(rig.told_to_exit(10));
}

#[test]
fn nodes_of_no_living_manager_are_given_until_it_comes() {
    let mut rig = rig();
    rig.manager(
        60,
        ManagerInfo {
            id: "other".into(),
            ..native()
        },
    );
    rig.node(9, 2);
    rig.group_node(10, "native", "native-aaaaaaaa-1", 4);
    rig.want("other", 0);
    let given = |rig: &Rig| -> u64 { rig.scheduler.fleet.told.2.iter().map(|it| it.slots).sum() };
    assert_eq!(given(&rig), 6);
    rig.join_manager(MANAGER, native()).unwrap();
    rig.report(MANAGER, &[("native-aaaaaaaa-1", Running)]);
    rig.want("native", 1);
    assert_eq!(given(&rig), 2);
    let supply = rig.scheduler.fleet.told.1.clone();
    let native = supply.iter().find(|it| it.manager == "native").unwrap();
    assert_eq!((native.groups, native.busy, native.ready), (1, 0, true));
}

#[test]
fn what_a_leaving_manager_has_is_drained_and_nothing_is_started_there() {
    let mut rig = rig();
    let groups = two_up(&mut rig);
    rig.submit(0, 1);
    let busy = if rig.assigned_count(10) == 1 { 10 } else { 11 };
    let (busy_group, idle_group) = match busy {
        10 => (&groups[0], &groups[1]),
        _ => (&groups[1], &groups[0]),
    };
    let status = ManagerStatus {
        groups: groups.iter().map(|it| report(it, Running)).collect(),
        leaving: true,
        ..ManagerStatus::default()
    };
    rig.say(MANAGER, Message::ManagerStatus(status));
    rig.want("native", 8);
    assert_eq!(rig.commands(MANAGER), (vec![], vec![idle_group.clone()]));
    assert!(
        rig.scheduler.fleet.told.1.is_empty(),
        "its groups count no more"
    );
    rig.done(busy, 0, 1, 5);
    assert_eq!(rig.commands(MANAGER), (vec![], vec![busy_group.clone()]));
}

#[test]
fn a_manager_that_has_ended_leaves_its_nodes_to_end_themselves() {
    let mut rig = rig();
    two_up(&mut rig);
    rig.say(MANAGER, Message::Goodbye);
    assert!(rig.told_to_exit(10) && rig.told_to_exit(11));
    rig.leave(10);
    rig.leave(11);
    assert!(rig.scheduler.fleet.is_empty());
}

#[test]
fn the_end_of_the_cluster_is_told_to_managers() {
    let mut rig = rig();
    two_up(&mut rig);
    rig.say(CLIENT, Message::Shutdown { request: 1 });
    assert!(rig.told_to_exit(MANAGER));
    assert!(rig.told_to_exit(10) && rig.told_to_exit(11));
    rig.pass(SECOND);
    assert_eq!(rig.commands(MANAGER), (vec![], vec![]));
}

#[test]
fn the_status_line_shows_managers_and_groups() {
    let mut rig = rig();
    let groups = two_up(&mut rig);
    rig.submit(0, 1);
    let status = rig.query(QueryKind::Status, 0);
    let manager = "\"managers\":[{\"id\":\"native\",\"driver\":\"baremetal_native\",\"least\":0,\"most\":8,\"slots\":1,\
                   \"capabilities\":{},\"connected\":true,\"leaving\":false,\"failures\":0,\"wanted\":2,\"starting\":0,\
                   \"up\":2,\"busy\":1,\"trouble\":\"\",\"failure\":\"\",\"groups\":[";
    assert!(status.contains(manager), "{status}");
    let group = format!("{{\"id\":\"{}\",\"state\":\"up\"", groups[1]);
    assert!(status.contains(&group), "{status}");
    assert!(!status.contains('\n'));
}
