//! Executors and nodes that die, and what counts as an attempt.

use super::rig::*;
use crate::wire::{FailureCode, LossCause, Message, Options, OutcomeKind};

#[test]
fn what_a_dead_node_had_not_started_runs_elsewhere_without_an_attempt() {
    let mut rig = Rig::new();
    rig.node(10, 1);
    rig.submit(0, 5);
    rig.report_running(10, &[0]);
    rig.leave(10);
    rig.node(11, 8);
    assert_eq!(rig.assigned_count(11), 5);
    rig.lost(11, 1, -9);
    rig.lost(11, 1, -9);
    assert!(rig.failures(CLIENT).is_empty());
}

#[test]
fn what_a_dead_node_ran_counts_an_attempt() {
    let mut rig = Rig::new();
    rig.submit(0, 2);
    for link in 10..13 {
        rig.node(link, 1);
        rig.report_running(link, &[0]);
        rig.leave(link);
    }
    let failures = rig.failures(CLIENT);
    assert_eq!(failures.len(), 1);
    let (sequence, failure) = &failures[0];
    assert_eq!(
        (*sequence, failure.code, failure.attempts),
        (0, FailureCode::WorkerDied, 3)
    );
    assert_eq!(failure.nodes, ["node-10", "node-11", "node-12"]);
}

#[test]
fn a_task_that_kills_nodes_before_they_can_say_so_fails_in_the_end() {
    let mut rig = Rig::new();
    rig.submit(0, 1);
    let mut nodes = 0;
    while rig.scheduler.status().contains("\"arrays\":1") {
        nodes += 1;
        assert!(nodes < 20, "it kills nodes for ever");
        rig.node(100 + nodes, 1);
        rig.leave(100 + nodes);
    }
    assert_eq!(rig.failures(CLIENT)[0].1.code, FailureCode::WorkerDied);
}

#[test]
fn what_was_on_a_dead_node_runs_alone() {
    let mut rig = Rig::new();
    rig.node(10, 1);
    rig.submit(0, 4);
    rig.leave(10);
    rig.node(11, 2);
    assert_eq!(rig.assigned(11), [(0, 1), (1, 1)]);
}

#[test]
fn the_killer_element_alone_fails() {
    let mut rig = Rig::new();
    rig.node(10, 8);
    rig.submit(0, 8);
    for attempt in 0..3 {
        rig.told(10);
        rig.lost(10, 5, -9);
        if attempt < 2 {
            assert_eq!(rig.assigned(10), [(5, 1)]);
        }
    }
    let (sequence, failure) = rig.failures(CLIENT).remove(0);
    assert_eq!(sequence, 5);
    assert_eq!(
        (failure.code, failure.attempts, failure.status),
        (FailureCode::ProcessorDied, 3, -9)
    );
    rig.done(10, 0, 5, 5);
    rig.done(10, 6, 2, 5);
    assert_eq!(rig.results(CLIENT).len(), 2);
}

#[test]
fn a_loss_that_was_not_the_elements_fault_is_no_attempt() {
    let mut rig = Rig::new();
    rig.node(10, 1);
    rig.submit(0, 1);
    for _ in 0..10 {
        rig.told(10);
        let (sequence, cause, status) = (0, LossCause::Collateral, 0);
        rig.say(
            10,
            Message::Lost {
                session: SESSION,
                sequence,
                cause,
                status,
                detail: String::new(),
            },
        );
        assert_eq!(rig.assigned(10), [(0, 1)]);
    }
}

#[test]
fn an_exception_with_retries_left_runs_again() {
    let mut rig = Rig::new();
    rig.node(10, 1);
    rig.submit_with(
        0,
        1,
        Options {
            retries: 2,
            ..Options::default()
        },
    );
    for _ in 0..2 {
        rig.told(10);
        rig.end(10, 0, OutcomeKind::Exception);
        assert_eq!(rig.assigned(10), [(0, 1)]);
        assert!(rig.outcomes(CLIENT).is_empty());
    }
    rig.end(10, 0, OutcomeKind::Exception);
    assert_eq!(rig.outcomes(CLIENT), [(0, 1, OutcomeKind::Exception)]);
}

#[test]
fn a_nodes_verdict_tells_the_attempts_before_it() {
    let mut rig = Rig::new();
    rig.node(10, 1);
    rig.submit(0, 1);
    rig.lost(10, 0, 1);
    let mut segment = values(0, 1);
    segment.kind = OutcomeKind::Failure;
    segment.failure = Some(crate::wire::Failure {
        code: FailureCode::TaskTimeout,
        attempts: 1,
        status: 0,
        nodes: vec!["node-10".into()],
        detail: String::new(),
    });
    rig.say(
        10,
        Message::Done {
            session: SESSION,
            segment,
        },
    );
    let failure = &rig.failures(CLIENT)[0].1;
    assert_eq!(
        (failure.code, failure.attempts),
        (FailureCode::TaskTimeout, 2)
    );
    assert_eq!(failure.nodes, ["node-10", "node-10"]);
}

#[test]
fn an_element_that_left_a_node_is_not_taken_to_run_there() {
    let mut rig = Rig::new();
    rig.node(10, 1);
    rig.submit_with(
        0,
        2,
        Options {
            retries: 9,
            ..Options::default()
        },
    );
    rig.report_running(10, &[0]);
    rig.end(10, 0, OutcomeKind::Exception);
    rig.leave(10);
    rig.node(11, 2);
    rig.report_running(11, &[0]);
    rig.leave(11);
    rig.node(12, 2);
    rig.lost(12, 0, -9);
    assert!(rig.failures(CLIENT).is_empty());
}

#[test]
fn a_node_that_speaks_of_what_it_does_not_have_is_ended() {
    let mut rig = Rig::new();
    rig.node(10, 1);
    rig.node(11, 1);
    rig.submit(0, 1);
    rig.done(11, 0, 1, 5);
    assert_eq!(rig.ended[0].0, 11);
    assert!(rig.outcomes(CLIENT).is_empty());
}

#[test]
fn what_cannot_be_ends_its_link() {
    let bad: Vec<Message<Bytes>> = vec![
        Message::Done {
            session: SESSION,
            segment: values(u64::MAX, 2),
        },
        Message::Done {
            session: SESSION,
            segment: values(0, 0),
        },
        Message::GaveBack {
            ranges: vec![range(u64::MAX, 2)],
        },
        Message::Lost {
            session: SESSION,
            sequence: u64::MAX,
            cause: LossCause::ExecutorDied,
            status: 0,
            detail: String::new(),
        },
        Message::Clear,
        Message::Holding { ranges: Vec::new() },
    ];
    for message in bad {
        let mut rig = Rig::new();
        rig.node(10, 1);
        rig.say(10, message.clone());
        assert_eq!(rig.ended.len(), 1, "{message:?}");
    }
    let mut rig = Rig::new();
    rig.say(CLIENT, Message::Drained);
    assert_eq!(rig.ended.len(), 1);
    assert!(rig.scheduler.status().contains("\"sessions\":0"));
}
