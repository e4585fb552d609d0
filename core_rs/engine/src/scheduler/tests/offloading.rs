//! Nodes that run each task as a job.

use super::rig::*;
use crate::wire::{FailureCode, LossCause, Message, NodeInfo, RefusalCode, Role};

fn offload(rig: &mut Rig, link: u64, slots: u32) {
    let info = NodeInfo {
        name: format!("jobs-{link}"),
        slots,
        python_minor: 11,
        queue_size: 1_000,
        offload: true,
        ..NodeInfo::default()
    };
    rig.scheduler
        .joined(rig.now, link, &hello(Role::Node, 0, Some(info)), "here")
        .unwrap();
    rig.say(link, Message::Holding { ranges: Vec::new() });
}

#[test]
fn it_is_used_after_every_other_node_with_a_free_slot() {
    let mut rig = Rig::new();
    offload(&mut rig, 10, 8);
    rig.node(11, 1);
    rig.submit(0, 1);
    assert_eq!(rig.assigned_count(11), 1);
    rig.submit(1, 1);
    assert_eq!(rig.assigned_count(10), 1);
}

#[test]
fn it_gets_single_tasks_and_none_ahead() {
    let mut rig = Rig::new();
    offload(&mut rig, 10, 3);
    rig.submit(0, 100);
    assert_eq!(rig.assigned(10), [(0, 1), (1, 1), (2, 1)]);
    rig.done(10, 1, 1, 5);
    assert_eq!(rig.assigned(10), [(3, 1)]);
}

#[test]
fn what_runs_as_a_job_is_no_demand() {
    let mut rig = Rig::new();
    rig.want("native", 0);
    rig.manager(50, native());
    offload(&mut rig, 10, 2);
    rig.submit(0, 5);
    rig.want("native", 0);
    let (demands, _, given) = &rig.scheduler.fleet.told;
    assert_eq!(demands.iter().map(|it| it.tasks).sum::<u64>(), 3);
    assert!(given.is_empty(), "its slots are none of workers");
}

#[test]
fn a_job_is_not_begun_for_what_a_worker_does_sooner() {
    let mut rig = Rig::new();
    rig.node(11, 1);
    rig.submit(1_000, 1);
    rig.done(11, 1_000, 1, 100_000);
    rig.submit(0, 2);
    rig.told(11);
    offload(&mut rig, 10, 1);
    rig.pass(100_000);
    assert!(!rig
        .told(11)
        .iter()
        .any(|it| matches!(it, Message::Reclaim { .. })));
    rig.pass(20_000_000);
    assert!(
        rig.told(11)
            .iter()
            .any(|it| matches!(it, Message::Reclaim { .. })),
        "one long task does not wait for another"
    );
}

#[test]
fn its_manager_comes_back_and_has_what_it_had_without_an_attempt() {
    let mut rig = Rig::new();
    offload(&mut rig, 10, 1);
    rig.submit(0, 1);
    rig.assigned(10);
    for _ in 0..20 {
        rig.report_running(10, &[0]);
        rig.scheduler.disconnected(rig.now, 10);
        // The same manager, by another link.
        rig.scheduler.left(rig.now, 10);
        offload(&mut rig, 10, 1);
        assert_eq!(rig.assigned(10), [(0, 1)], "it may find the job running");
    }
    assert!(rig.failures(CLIENT).is_empty());
}

#[test]
fn a_second_manager_of_its_name_is_refused_and_one_that_was_lost_taken_over() {
    let mut rig = Rig::new();
    offload(&mut rig, 10, 1);
    rig.submit(0, 1);
    rig.assigned(10);
    let info = NodeInfo {
        name: "jobs-10".into(),
        slots: 1,
        python_minor: 11,
        queue_size: 1_000,
        offload: true,
        ..NodeInfo::default()
    };
    let joins = |rig: &mut Rig| {
        let hello = hello(Role::Node, 0, Some(info.clone()));
        rig.scheduler.joined(rig.now, 11, &hello, "there")
    };
    let (code, text) = joins(&mut rig).unwrap_err();
    assert_eq!(code, RefusalCode::Duplicate);
    assert!(text.contains("--worker-manager-id"), "{text}");
    rig.scheduler.disconnected(rig.now, 10);
    joins(&mut rig).unwrap();
    rig.say(11, Message::Holding { ranges: Vec::new() });
    assert_eq!(rig.assigned(11), [(0, 1)]);
    assert!(matches!(&rig.ended[..], [(10, RefusalCode::Duplicate, _)]));
}

#[test]
fn what_the_infrastructure_says_of_a_job_is_in_its_verdict() {
    let mut rig = Rig::new();
    offload(&mut rig, 10, 1);
    rig.submit(0, 1);
    for _ in 0..3 {
        let lost = Message::Lost {
            session: SESSION,
            sequence: 0,
            cause: LossCause::ExecutorDied,
            status: 0,
            detail: "out of memory".into(),
        };
        rig.say(10, lost);
    }
    let (_, failure) = &rig.failures(CLIENT)[0];
    assert_eq!(
        (failure.code, failure.attempts, failure.detail.as_str()),
        (FailureCode::ProcessorDied, 3, "out of memory")
    );
}
