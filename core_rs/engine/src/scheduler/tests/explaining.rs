//! Why a task waits.

use super::rig::*;
use crate::scheduler::SchedulerConfig;
use crate::wire::{Options, QueryKind};

#[test]
fn without_nodes_it_says_how_to_start_one() {
    let config = SchedulerConfig {
        address: "tcp://here:8516".into(),
        ..SchedulerConfig::default()
    };
    let mut rig = Rig::with(config);
    rig.client(CLIENT, SESSION);
    rig.submit(0, 1);
    assert_eq!(
        rig.explain(0),
        "no worker is connected: start one with `scaler_worker_manager baremetal_native tcp://here:8516 --mode fixed`"
    );
}

#[test]
fn the_capability_that_is_missing_is_named() {
    let mut rig = Rig::new();
    rig.node_with(10, 1, &[("gpu", 2), ("ssd", -1)], 11);
    rig.submit_with(0, 1, needs(&[("tpu", -1)]));
    rig.submit_with(1, 1, needs(&[("gpu", 4)]));
    rig.submit_with(2, 1, needs(&[("ssd", 1)]));
    assert_eq!(rig.explain(0), "no node offers tpu");
    assert_eq!(
        rig.explain(1),
        "it asks for gpu=4, and no node offers more than gpu=2"
    );
    assert_eq!(
        rig.explain(2),
        "it asks for ssd=1, and the nodes that offer ssd name no amount"
    );
    rig.node_with(11, 1, &[("gpu", 4)], 11);
    rig.submit_with(3, 1, needs(&[("gpu", 4), ("ssd", -1)]));
    assert_eq!(rig.explain(3), "no node offers all of gpu=4, ssd together");
}

#[test]
fn the_python_that_is_missing_is_named() {
    let mut rig = Rig::new();
    rig.node_with(10, 1, &[], 12);
    rig.submit_with(
        0,
        1,
        Options {
            python_minor: 11,
            ..Options::default()
        },
    );
    assert!(
        rig.explain(0).starts_with("client 3.11, all nodes 3.12: "),
        "{}",
        rig.explain(0)
    );
}

#[test]
fn a_queued_task_knows_how_many_come_before_it() {
    let mut rig = Rig::new();
    rig.node(10, 1);
    rig.submit(1_000, 1);
    rig.done(10, 1_000, 1, 1_000_000);
    rig.told(10);
    rig.submit(0, 5);
    rig.submit(5, 5);
    assert_eq!(rig.assigned_count(10), 2);
    assert_eq!(
        rig.explain(7),
        "it is queued: 5 tasks of its kind come before it, 1 slots serve them"
    );
    assert!(rig
        .explain(0)
        .starts_with("it is assigned or runs on node node-10"));
    assert_eq!(rig.explain(1_000), "it is done, or was never submitted");
}

#[test]
fn states_are_told_in_a_word() {
    let mut rig = Rig::new();
    rig.node(10, 1);
    rig.submit(0, 100);
    rig.report_running(10, &[0]);
    let state = |rig: &mut Rig, at| rig.query(QueryKind::State, at);
    assert_eq!(state(&mut rig, 0), "running");
    assert_eq!(state(&mut rig, 1), "assigned");
    assert_eq!(state(&mut rig, 99), "queued");
    rig.done(10, 0, 1, 5);
    assert_eq!(state(&mut rig, 0), "done");
}

#[test]
fn what_cannot_be_placed_is_logged_once_a_class() {
    let mut rig = Rig::new();
    rig.node(10, 1);
    rig.logs.clear();
    rig.submit_with(0, 3, needs(&[("gpu", -1)]));
    assert!(rig.logs.is_empty());
    for _ in 0..5 {
        rig.pass(2_000_000);
    }
    assert_eq!(rig.logs, ["3 tasks wait: no node offers gpu"]);
}

#[test]
fn the_status_is_a_line_of_json() {
    let mut rig = Rig::new();
    rig.node_with(10, 3, &[("gpu \"x\"", 2)], 11);
    rig.submit(0, 1);
    let status = rig.query(QueryKind::Status, 0);
    assert!(
        status.contains("\"nodes\":1,\"slots\":3,\"free\":2,\"sessions\":1"),
        "{status}"
    );
    assert!(status.contains("{\"gpu \\\"x\\\"\":2}"), "{status}");
    assert!(!status.contains('\n'));
}
