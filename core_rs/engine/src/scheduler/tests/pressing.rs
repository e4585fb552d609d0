//! Back-pressure.

use super::rig::*;
use crate::scheduler::SchedulerConfig;
use crate::wire::Options;

#[test]
fn a_session_that_does_not_read_gets_no_tasks_started_and_slows_no_other() {
    let mut rig = Rig::with(SchedulerConfig {
        result_budget: 1_000,
        ..SchedulerConfig::default()
    });
    rig.client(CLIENT, SESSION);
    rig.client(2, 88);
    rig.scheduler.backlog(rig.now, CLIENT, 1_001);
    rig.submit(0, 5);
    rig.say(2, array(100, 5, Options::default()));
    rig.node(10, 100);
    assert_eq!(rig.assigned(10), [(100, 5)]);
    assert!(rig.explain(0).contains("wait for this client to read"));
    rig.scheduler.backlog(rig.now, CLIENT, 600);
    rig.turn();
    assert_eq!(rig.assigned_count(10), 0);
    rig.scheduler.backlog(rig.now, CLIENT, 500);
    rig.turn();
    assert_eq!(rig.assigned(10), [(0, 5)]);
}

#[test]
fn parked_elements_are_placed_when_their_session_reads_again_whatever_came_meanwhile() {
    let mut rig = Rig::with(SchedulerConfig {
        result_budget: 1_000,
        ..SchedulerConfig::default()
    });
    rig.client(CLIENT, SESSION);
    rig.submit(0, 5);
    rig.scheduler.backlog(rig.now, CLIENT, 5_000);
    rig.submit(5, 5);
    rig.cancel(0, 2);
    rig.node(10, 100);
    assert_eq!(rig.assigned_count(10), 0);
    rig.scheduler.backlog(rig.now, CLIENT, 0);
    rig.turn();
    assert_eq!(rig.assigned_count(10), 8);
}

#[test]
fn acceptance_is_held_back_over_the_memory_limit() {
    let mut rig = Rig::with(SchedulerConfig {
        memory_limit: 30_000,
        ..SchedulerConfig::default()
    });
    rig.client(CLIENT, SESSION);
    rig.client(2, 88);
    rig.say(2, array(0, 1, Options::default()));
    let mut first = 0;
    while rig.holds.is_empty() {
        rig.submit(first, 1);
        first += 1;
        assert!(first < 2_000);
    }
    assert_eq!(rig.holds, [(CLIENT, true)]);
    rig.cancel(0, first / 10);
    assert_eq!(rig.holds.len(), 1);
    rig.cancel(0, first / 2);
    assert_eq!(rig.holds, [(CLIENT, true), (CLIENT, false)]);
}

#[test]
fn undelivered_results_take_no_more_than_their_part_of_the_memory_limit() {
    let mut rig = Rig::with(SchedulerConfig {
        memory_limit: 80_000,
        result_budget: 1_000_000,
        ..SchedulerConfig::default()
    });
    rig.client(CLIENT, SESSION);
    rig.scheduler.backlog(rig.now, CLIENT, 10_001);
    rig.submit(0, 5);
    rig.node(10, 100);
    assert_eq!(rig.assigned_count(10), 0);
    rig.scheduler.backlog(rig.now, CLIENT, 5_000);
    rig.turn();
    assert_eq!(rig.assigned(10), [(0, 5)]);
}

#[test]
fn tasks_inside_of_tasks_are_never_held_back() {
    let mut rig = Rig::with(SchedulerConfig {
        memory_limit: 10_000,
        ..SchedulerConfig::default()
    });
    rig.client(CLIENT, SESSION);
    for first in 0..100 {
        rig.submit_with(
            first,
            1,
            Options {
                depth: 1,
                ..Options::default()
            },
        );
    }
    assert!(rig.holds.is_empty());
}
