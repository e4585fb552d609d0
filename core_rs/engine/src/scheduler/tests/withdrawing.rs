//! Cancelling what has not started: nodes are asked, and the client hears what goes on.

use super::rig::*;
use crate::wire::{LinkId, Message, OutcomeKind};

const CANCELLED: OutcomeKind = OutcomeKind::Cancelled;

fn cancel(rig: &mut Rig, first: u64, count: u64) {
    rig.say(
        CLIENT,
        Message::CancelUnstarted {
            request: 3,
            first,
            count,
        },
    );
}

/// (number, first, count) of what a node is asked for.
fn asked(rig: &mut Rig, node: LinkId) -> Vec<(u64, u64, u64)> {
    let told = rig.told(node).into_iter();
    told.filter_map(|message| match message {
        Message::Withdraw { request, range } => Some((request, range.first, range.count)),
        _ => None,
    })
    .collect()
}

fn give(rig: &mut Rig, node: LinkId, request: u64, ranges: &[(u64, u64)]) {
    let ranges = ranges.iter().map(|&(first, count)| range(first, count));
    let ranges = ranges.collect();
    rig.say(node, Message::Withdrawn { request, ranges });
}

/// (outcomes, texts of answers) that the client got.
fn heard(rig: &mut Rig) -> (Vec<(u64, u32, OutcomeKind)>, Vec<String>) {
    let (mut outcomes, mut answers) = (Vec::new(), Vec::new());
    for message in rig.told(CLIENT) {
        match message {
            Message::Results { segments } => {
                outcomes.extend(segments.iter().map(|it| (it.first, it.count, it.kind)));
            }
            Message::Answer {
                request: 3,
                ok: true,
                text,
            } => answers.push(text),
            other => panic!("{other:?}"),
        }
    }
    (outcomes, answers)
}

#[test]
fn what_is_pending_is_cancelled_and_answered_at_once() {
    let mut rig = Rig::new();
    rig.submit(0, 10);
    cancel(&mut rig, 3, 4);
    assert_eq!(
        heard(&mut rig),
        (vec![(3, 4, CANCELLED)], vec![String::new()])
    );
    rig.node(10, 100);
    assert_eq!(rig.assigned(10), [(0, 3), (7, 3)]);
}

#[test]
fn what_a_node_gives_back_is_cancelled_and_the_rest_goes_on() {
    let mut rig = Rig::new();
    rig.node(10, 4);
    rig.submit(0, 4);
    rig.told(10);
    cancel(&mut rig, 1, 3);
    let (request, first, count) = asked(&mut rig, 10)[0];
    assert_eq!((first, count), (1, 3));
    assert_eq!(heard(&mut rig), (vec![], vec![]));
    give(&mut rig, 10, request, &[(2, 2)]);
    assert_eq!(
        heard(&mut rig),
        (vec![(2, 2, CANCELLED)], vec!["1-2,".to_owned()])
    );
    rig.done(10, 0, 2, 5);
    assert_eq!(
        heard(&mut rig).0,
        [(0, 2, OutcomeKind::ValueTable)],
        "with its value"
    );
}

#[test]
fn all_nodes_are_awaited_and_what_one_gives_back_is_not_placed_again() {
    let mut rig = Rig::new();
    rig.node(10, 2);
    rig.node(11, 2);
    rig.submit(0, 4);
    let there = rig.assigned(10);
    rig.told(11);
    cancel(&mut rig, 0, 4);
    let (ten, eleven) = (asked(&mut rig, 10)[0].0, asked(&mut rig, 11)[0].0);
    let (first, count) = there[0];
    give(&mut rig, 10, ten, &[(first, u64::from(count))]);
    assert_eq!(heard(&mut rig), (vec![(first, count, CANCELLED)], vec![]));
    assert_eq!(rig.assigned(10), []);
    give(&mut rig, 11, eleven, &[]);
    let (outcomes, answers) = heard(&mut rig);
    assert_eq!(outcomes, []);
    assert_eq!(answers.len(), 1);
}

#[test]
fn a_node_that_leaves_is_awaited_no_longer() {
    let mut rig = Rig::new();
    rig.node(10, 2);
    rig.submit(0, 2);
    cancel(&mut rig, 0, 2);
    rig.leave(10);
    let (outcomes, answers) = heard(&mut rig);
    assert_eq!(outcomes, [(0, 2, CANCELLED)]);
    assert_eq!(answers, [""]);
}

#[test]
fn an_answer_after_the_sessions_end_harms_nobody() {
    let mut rig = Rig::new();
    rig.node(10, 2);
    rig.submit(0, 2);
    cancel(&mut rig, 0, 2);
    let request = asked(&mut rig, 10)[0].0;
    rig.say(CLIENT, Message::Goodbye);
    give(&mut rig, 10, request, &[(0, 2)]);
    assert!(rig.ended.is_empty());
    assert!(rig.scheduler.status().contains("\"free\":2"));
}

#[test]
fn a_node_that_gives_back_what_it_has_not_is_ended() {
    let mut rig = Rig::new();
    rig.node(10, 2);
    rig.submit(0, 2);
    give(&mut rig, 10, 1, &[(5, 1)]);
    assert_eq!(rig.ended.len(), 1);
}
