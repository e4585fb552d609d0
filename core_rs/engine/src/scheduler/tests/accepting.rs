//! Taking work in, placing it, handing outcomes out.

use super::rig::*;
use crate::wire::{FailureCode, Message, Options, OutcomeKind, Segment};

#[test]
fn a_task_goes_to_a_node_and_its_value_to_the_client() {
    let mut rig = Rig::new();
    rig.node(10, 2);
    rig.submit(0, 1);
    let told = rig.told(10);
    assert!(
        matches!(&told[0], Message::Function { id: FUNCTION, .. }),
        "{told:?}"
    );
    assert!(matches!(&told[1], Message::Assign(assign) if assign.first == 0 && assign.count == 1));
    rig.done(10, 0, 1, 5);
    let value = Segment {
        busy_us: 5,
        ..values(0, 1)
    };
    assert_eq!(rig.results(CLIENT), [value]);
    assert!(matches!(&rig.told(10)[..], [Message::DropBlocks { blocks, .. }] if blocks == &[0]));
    assert_eq!(
        rig.scheduler
            .status()
            .matches("\"queued\":0,\"assigned\":0,\"arrays\":0")
            .count(),
        1
    );
}

#[test]
fn an_unknown_function_is_rejected() {
    let mut rig = Rig::new();
    let mut submit = submission(5, 3, Options::default());
    submit.function = [9; 16];
    rig.say(CLIENT, Message::Submit(submit));
    let results = rig.results(CLIENT);
    assert_eq!(
        (results[0].first, results[0].count, results[0].kind),
        (5, 3, OutcomeKind::Failure)
    );
    assert_eq!(
        results[0].failure.as_ref().unwrap().code,
        FailureCode::Rejected
    );
}

#[test]
fn a_known_submission_is_not_taken_twice() {
    let mut rig = Rig::new();
    rig.submit(0, 10);
    rig.submit(0, 10);
    rig.node(10, 20);
    assert_eq!(rig.assigned_count(10), 10);
    rig.done(10, 0, 4, 5);
    rig.submit(0, 10);
    assert_eq!(rig.assigned_count(10), 0);
    assert_eq!(rig.outcomes(CLIENT), [(0, 4, OutcomeKind::ValueTable)]);
}

#[test]
fn of_a_submission_that_is_known_in_part_the_rest_is_taken() {
    let mut rig = Rig::new();
    rig.submit(100, 100);
    rig.submit(0, 300);
    assert!(rig.scheduler.status().contains("\"queued\":300"));
}

#[test]
fn elements_that_were_finished_before_do_not_run() {
    let mut rig = Rig::new();
    rig.node(10, 20);
    let mut submit = submission(0, 10, Options::default());
    submit.finished = vec![(0, 3), (5, 1)];
    rig.say(CLIENT, Message::Submit(submit));
    assert_eq!(rig.assigned(10), [(3, 2), (6, 4)]);
}

#[test]
fn a_node_gets_a_block_once_while_it_has_elements_of_it() {
    let mut rig = Rig::new();
    rig.node(10, 2);
    rig.say(10, Message::NodeStatus(Default::default()));
    rig.submit(0, 100);
    let first = rig.assigns(10);
    assert!(first[0].blocks[0].payload.is_some());
    rig.done(10, 0, 2, 2_000);
    let next = rig.told(10);
    assert!(next
        .iter()
        .all(|message| !matches!(message, Message::DropBlocks { .. })));
    for message in next {
        if let Message::Assign(assign) = message {
            assert!(assign.blocks[0].payload.is_none());
        }
    }
}

#[test]
fn a_function_that_nobody_needs_is_forgotten_on_its_nodes() {
    let mut rig = Rig::new();
    rig.node(10, 1);
    rig.submit(0, 1);
    rig.say(CLIENT, Message::ForgetFunction { id: FUNCTION });
    assert!(!rig
        .told(10)
        .contains(&Message::ForgetFunction { id: FUNCTION }));
    rig.done(10, 0, 1, 5);
    assert!(rig
        .told(10)
        .contains(&Message::ForgetFunction { id: FUNCTION }));
}
