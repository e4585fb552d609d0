//! What users of other systems ran into: each is impossible here. The numbers are those of the table of wounds.

use super::rig::*;
use crate::scaling::{Scaling, ScalingConfig};
use crate::scheduler::SchedulerConfig;
use crate::wire::{
    Capabilities, GroupState::*, ManagerInfo, ManagerStatus, Message, Need, OutcomeKind,
};

const SECOND: u64 = 1_000_000;
const MANAGER: u64 = 50;

fn with_scaling(scaling: Scaling) -> Rig {
    let mut rig = Rig::with(SchedulerConfig {
        scaling: ScalingConfig {
            scaling,
            ..ScalingConfig::default()
        },
        address: "tcp://here:8516".into(),
        ..SchedulerConfig::default()
    });
    rig.client(CLIENT, SESSION);
    rig
}

/// A cluster whose policy says what the test says.
fn scripted(info: ManagerInfo) -> Rig {
    let mut rig = with_scaling(Scaling::Vanilla);
    rig.want("native", 0);
    rig.manager(MANAGER, info);
    rig
}

fn bring_up(rig: &mut Rig, groups: &[String], slots: u32) {
    let all: Vec<_> = groups.iter().map(|it| (it.as_str(), Running)).collect();
    rig.report(MANAGER, &all);
    for (at, group) in groups.iter().enumerate() {
        rig.group_node(10 + at as u64, "native", group, slots);
    }
}

fn fail(rig: &mut Rig, group: &str, detail: &str) {
    let mut failed = report(group, Failed);
    failed.detail = detail.into();
    let status = ManagerStatus {
        groups: vec![failed],
        ..ManagerStatus::default()
    };
    rig.say(MANAGER, Message::ManagerStatus(status));
}

#[test]
fn wound_01_what_is_as_it_should_be_is_left_alone() {
    let mut rig = scripted(native());
    rig.want("native", 3);
    let groups = rig.started(MANAGER);
    bring_up(&mut rig, &groups, 1);
    for round in 0..50 {
        rig.submit(round, 1);
        rig.pass(SECOND);
        for link in 10..13 {
            if rig.assigned_count(link) > 0 {
                rig.done(link, round, 1, 5);
            }
        }
        assert_eq!(rig.commands(MANAGER), (vec![], vec![]));
    }
}

#[test]
fn wound_02_what_starts_is_not_started_once_more() {
    let mut rig = scripted(native());
    rig.submit(0, 100);
    rig.want("native", 5);
    assert_eq!(rig.started(MANAGER).len(), 5);
    for more in 0..20 {
        rig.submit(100 + more * 10, 10);
        rig.pass(SECOND);
        assert_eq!(rig.started(MANAGER), Vec::<String>::new());
    }
    let supply = &rig.scheduler.fleet.told.1[0];
    assert_eq!((supply.groups, supply.busy), (5, 0));
}

#[test]
fn wound_03_only_whole_groups_are_ended() {
    let mut rig = scripted(ManagerInfo {
        slots: 4,
        ..native()
    });
    rig.want("native", 1);
    let groups = rig.started(MANAGER);
    bring_up(&mut rig, &groups, 4);
    rig.submit(0, 1);
    rig.want("native", 0);
    assert_eq!(rig.commands(MANAGER), (vec![], vec![]), "a sibling works");
    rig.done(10, 0, 1, 5);
    rig.pass(SECOND);
    assert_eq!(rig.commands(MANAGER).1, groups);
}

#[test]
fn wound_04_what_just_got_a_task_is_not_ended() {
    let mut rig = scripted(native());
    rig.want("native", 2);
    let groups = rig.started(MANAGER);
    bring_up(&mut rig, &groups, 1);
    // In one turn: the tasks come, and nobody needs the groups.
    rig.scheduler.fleet.script = Some([("native".to_owned(), 0)].into());
    rig.now += SECOND;
    rig.submit(0, 2);
    assert_eq!(rig.assigned_count(10), 1);
    assert_eq!(rig.assigned_count(11), 1);
    assert_eq!(rig.commands(MANAGER), (vec![], vec![]));
    rig.pass(SECOND);
    assert_eq!(rig.commands(MANAGER), (vec![], vec![]));
}

#[test]
fn wound_05_what_never_connects_is_ended_and_replaced_with_a_hint() {
    let mut rig = scripted(native());
    rig.want("native", 1);
    let first = rig.started(MANAGER).remove(0);
    rig.report(MANAGER, &[(&first, Running)]);
    rig.pass(29 * SECOND);
    assert_eq!(rig.commands(MANAGER), (vec![], vec![]));
    rig.pass(2 * SECOND);
    let (starts, ends) = rig.commands(MANAGER);
    assert_eq!((starts, ends), (vec![], vec![first.clone()]));
    for text in [
        "worker group native-00000007-1 of worker manager native failed to start",
        "its unit i-native-00000007-1 runs, and its workers have not connected within 31 s",
        "told to connect to tcp://here:8516",
        "firewall or security group",
    ] {
        assert!(rig.logged(text), "{text}: {:?}", rig.logs);
    }
    rig.pass(2 * SECOND);
    let second = rig.started(MANAGER);
    assert_eq!(second.len(), 1);
    assert_ne!(second[0], first);
    // It is owned until it is gone.
    rig.report(MANAGER, &[(&first, Running), (&second[0], Pending)]);
    assert_eq!(rig.commands(MANAGER).1, [first]);
}

#[test]
fn wound_06_what_failed_to_start_is_ended_all_the_same() {
    let mut rig = scripted(native());
    rig.want("native", 1);
    let first = rig.started(MANAGER).remove(0);
    fail(&mut rig, &first, "InsufficientInstanceCapacity");
    assert_eq!(rig.commands(MANAGER).1, [first.as_str()]);
    assert!(rig.logged(
        "failed to start: its unit i-native-00000007-1 failed: InsufficientInstanceCapacity"
    ));
    // The answer was lost, and the unit is there after all: it is said again.
    rig.pass(2 * SECOND);
    rig.report(MANAGER, &[(&first, Running)]);
    assert!(rig.commands(MANAGER).1.contains(&first));
}

#[test]
fn wound_09_failed_starts_are_tried_again_later_and_waiting_tasks_say_why() {
    let mut rig = scripted(native());
    rig.submit(0, 1);
    rig.want("native", 1);
    for pause in [1, 2, 4, 8] {
        let group = rig.started(MANAGER).remove(0);
        fail(&mut rig, &group, "no capacity");
        rig.pass(pause * SECOND - SECOND / 2);
        assert_eq!(rig.started(MANAGER), Vec::<String>::new());
        let text = rig.explain(0);
        assert!(text.contains("no capacity"), "{text}");
        rig.report(MANAGER, &[]);
        rig.pass(SECOND / 2);
    }
    let group = rig.started(MANAGER).remove(0);
    fail(&mut rig, &group, "no capacity");
    rig.report(MANAGER, &[]);
    assert!(rig.logged("5 starts of worker manager native failed in a row"));
    assert_eq!(
        rig.explain(0),
        "no worker is connected: the last 5 starts of worker manager native failed (its unit i-native-00000007-5 \
         failed: no capacity); it is tried again in 60 s"
    );
    assert!(!rig.scheduler.fleet.told.1[0].groups > 0);
    rig.want("native", 4);
    assert!(
        !rig.scheduler.fleet.told.1[0].ready,
        "others are asked meanwhile"
    );
    rig.pass(58 * SECOND);
    assert_eq!(rig.started(MANAGER), Vec::<String>::new());
    rig.pass(2 * SECOND);
    let probe = rig.started(MANAGER);
    assert_eq!(probe.len(), 1, "one group is tried");
    rig.pass(SECOND);
    assert_eq!(rig.started(MANAGER), Vec::<String>::new());
    rig.report(MANAGER, &[(&probe[0], Running)]);
    rig.group_node(10, "native", &probe[0], 1);
    rig.pass(SECOND);
    assert_eq!(rig.started(MANAGER).len(), 3, "it works again");
}

#[test]
fn wound_09_groups_that_leave_as_soon_as_they_came_are_failed_starts() {
    let mut rig = scripted(native());
    rig.submit_with(0, 1, needs(&[("never", -1)]));
    rig.want("native", 1);
    for _ in 0..5 {
        rig.pass(20 * SECOND);
        let group = rig.started(MANAGER).remove(0);
        rig.report(MANAGER, &[(&group, Running)]);
        rig.group_node(10, "native", &group, 1);
        rig.pass(SECOND);
        rig.leave(10);
        rig.report(MANAGER, &[]);
    }
    rig.pass(30 * SECOND);
    assert_eq!(rig.started(MANAGER), Vec::<String>::new());
    assert!(rig.logged("5 starts of worker manager native failed in a row"));
}

#[test]
fn wound_09_trouble_of_a_manager_stands_on_the_waiting_tasks() {
    let mut rig = scripted(native());
    rig.submit(0, 1);
    let status = ManagerStatus {
        trouble: "the credentials have expired".into(),
        ..ManagerStatus::default()
    };
    rig.say(MANAGER, Message::ManagerStatus(status));
    let text = "no worker is connected: worker manager native cannot start workers: the credentials have expired";
    assert_eq!(rig.explain(0), text);
    rig.pass(2 * SECOND);
    rig.pass(2 * SECOND);
    assert!(
        rig.logged(&format!("1 tasks wait: {text}")),
        "{:?}",
        rig.logs
    );
}

#[test]
fn wound_11_a_manager_in_a_slow_call_is_not_taken_for_dead() {
    let mut rig = scripted(native());
    rig.want("native", 2);
    let groups = rig.started(MANAGER);
    bring_up(&mut rig, &groups, 1);
    rig.submit(0, 2);
    rig.scheduler.disconnected(rig.now, MANAGER);
    rig.pass(200 * SECOND);
    rig.want("native", 0);
    rig.scheduler.resumed(rig.now, MANAGER);
    rig.want("native", 2);
    rig.pass(200 * SECOND);
    assert_eq!(rig.commands(MANAGER), (vec![], vec![]));
    assert!(!rig.told_to_exit(10) && !rig.told_to_exit(11));
    rig.done(10, 0, 1, 5);
    rig.done(11, 1, 1, 5);
    assert_eq!(rig.outcomes(CLIENT).len(), 2);
}

#[test]
fn wound_15_nothing_is_bought_for_tasks_that_wait_on_others() {
    let mut rig = scripted(native());
    let mut submit = submission(0, 2, Default::default());
    let graph = crate::wire::Graph {
        needs: vec![Need {
            element: 1,
            on: 0,
            announced: false,
        }],
        uses: Vec::new(),
    };
    submit.graph = Some(graph.into());
    rig.say(CLIENT, Message::Submit(submit));
    rig.want("native", 1);
    let demand = |rig: &Rig| -> u64 { rig.scheduler.fleet.told.0.iter().map(|it| it.tasks).sum() };
    assert_eq!(demand(&rig), 1);
    rig.node(10, 4);
    rig.end(10, 0, OutcomeKind::ValueSingle);
    rig.want("native", 1);
    assert_eq!(demand(&rig), 1, "it is the other's turn");
}

#[test]
fn wound_16_a_demand_that_nobody_can_serve_is_told_with_what_lacks() {
    let mut rig = scripted(ManagerInfo {
        capabilities: owned(&[("cpu", 4), ("gpu", 1)]),
        ..native()
    });
    rig.manager(
        51,
        ManagerInfo {
            id: "plain".into(),
            capabilities: Capabilities::new(),
            ..native()
        },
    );
    rig.submit_with(0, 3, needs(&[("gpu", 2)]));
    let lacks = "worker manager native offers gpu=1, not gpu=2; worker manager plain lacks gpu=2";
    assert_eq!(rig.explain(0), format!("no worker is connected: {lacks}"));
    rig.node(10, 1);
    assert_eq!(rig.explain(0), format!("no node offers gpu; {lacks}"));
    rig.pass(3 * SECOND);
    rig.pass(3 * SECOND);
    assert!(rig.logged(&format!("3 tasks wait: no node offers gpu; {lacks}")));
}

#[test]
fn wound_14_a_task_that_waits_for_workers_says_what_they_do() {
    let mut rig = with_scaling(Scaling::No);
    rig.submit(0, 1);
    rig.manager(MANAGER, native());
    assert_eq!(
        rig.explain(0),
        "no worker is connected: a worker manager native is connected; start the scheduler with -pc \
         \"allocate=even_load; scaling=vanilla\" or the manager with --mode fixed"
    );

    let mut rig = scripted(ManagerInfo {
        most_groups: 3,
        slots: 2,
        ..native()
    });
    rig.submit(0, 100);
    rig.want("native", 2);
    rig.pass(5 * SECOND);
    assert_eq!(
        rig.explain(0),
        "no worker is connected: 4 workers are starting, since 5 s"
    );
    assert!(!rig.logged("tasks wait"), "they are on their way");
    rig.want("native", 3);
    let groups = rig.started(MANAGER);
    bring_up(&mut rig, &groups, 2);
    rig.submit(100, 1_000);
    let text = rig.explain(1_050);
    let end = "6 slots serve them; worker manager native is at its limit of 6 workers";
    assert!(text.ends_with(end), "{text}");
    rig.leave(MANAGER);
    rig.pass(7 * SECOND);
    let text = rig.explain(1_050);
    assert!(
        text.ends_with("worker manager native is away, since 7 s"),
        "{text}"
    );
}

#[test]
fn what_a_class_takes_is_told_to_the_policy() {
    let mut rig = scripted(native());
    rig.node(10, 4);
    rig.submit(0, 4);
    let mean = |rig: &mut Rig| {
        rig.want("native", 0);
        rig.scheduler.fleet.told.0[0].mean_us
    };
    assert_eq!(mean(&mut rig), 0);
    rig.done(10, 0, 2, 600);
    assert_eq!(mean(&mut rig), 300);
}

#[test]
fn the_policy_is_asked_when_something_changed_and_not_more_often_than_ten_times_a_second() {
    let mut rig = scripted(native());
    rig.pass(SECOND);
    rig.pass(SECOND);
    let asked = rig.scheduler.fleet.asked_at;
    rig.pass(SECOND);
    assert_eq!(rig.scheduler.fleet.asked_at, asked, "nothing has changed");
    rig.submit(0, 1);
    assert_eq!(rig.scheduler.fleet.asked_at, Some(rig.now));
    let asked = rig.now;
    rig.now += 10_000;
    rig.submit(1, 1);
    assert_eq!(rig.scheduler.fleet.asked_at, Some(asked));
    assert_eq!(rig.scheduler.next_wakeup(), Some(asked + 100_000));
    rig.pass(90_000);
    assert_eq!(rig.scheduler.fleet.asked_at, Some(rig.now));
}
