//! Cancelling: each element has one outcome, whatever crosses the cancel on its way.

use super::rig::*;
use crate::wire::{Message, OutcomeKind};

const CANCELLED: OutcomeKind = OutcomeKind::Cancelled;

fn cancels(rig: &mut Rig, link: u64) -> Vec<(u64, u64)> {
    let told = rig.told(link).into_iter();
    told.filter_map(|message| match message {
        Message::CancelElements { range } => Some((range.first, range.count)),
        _ => None,
    })
    .collect()
}

#[test]
fn queued_elements_are_cancelled_at_once() {
    let mut rig = Rig::new();
    rig.submit(0, 10);
    rig.cancel(3, 4);
    assert_eq!(rig.outcomes(CLIENT), [(3, 4, CANCELLED)]);
    rig.node(10, 100);
    assert_eq!(rig.assigned(10), [(0, 3), (7, 3)]);
}

#[test]
fn assigned_elements_are_cancelled_when_the_node_answers() {
    let mut rig = Rig::new();
    rig.node(10, 4);
    rig.submit(0, 4);
    rig.told(10);
    rig.cancel(1, 2);
    assert_eq!(cancels(&mut rig, 10), [(1, 2)]);
    assert!(rig.outcomes(CLIENT).is_empty());
    rig.end(10, 1, CANCELLED);
    assert_eq!(rig.outcomes(CLIENT), [(1, 1, CANCELLED)]);
}

#[test]
fn a_value_that_comes_after_the_cancel_is_not_delivered() {
    let mut rig = Rig::new();
    rig.node(10, 4);
    rig.submit(0, 4);
    rig.cancel(1, 1);
    rig.done(10, 0, 3, 5);
    let results = rig.results(CLIENT);
    let told: Vec<_> = results
        .iter()
        .map(|it| (it.first, it.count, it.kind, it.except.clone()))
        .collect();
    assert_eq!(
        told,
        [
            (1, 1, CANCELLED, vec![]),
            (0, 3, OutcomeKind::ValueTable, vec![1])
        ]
    );
}

#[test]
fn a_value_that_came_before_the_cancel_wins() {
    let mut rig = Rig::new();
    rig.node(10, 4);
    rig.submit(0, 1);
    rig.done(10, 0, 1, 5);
    rig.told(10);
    rig.cancel(0, 1);
    assert_eq!(rig.outcomes(CLIENT), [(0, 1, OutcomeKind::ValueTable)]);
    assert!(cancels(&mut rig, 10).is_empty());
}

#[test]
fn what_a_node_gives_back_or_loses_after_the_cancel_is_cancelled() {
    let mut rig = Rig::new();
    rig.node(10, 4);
    rig.submit(0, 3);
    rig.cancel(0, 3);
    rig.give_back(10, &[(0, 1)]);
    rig.lost(10, 1, -9);
    rig.leave(10);
    assert_eq!(
        rig.outcomes(CLIENT),
        [(0, 1, CANCELLED), (1, 1, CANCELLED), (2, 1, CANCELLED)]
    );
}

#[test]
fn a_cancel_that_comes_twice_is_told_once() {
    let mut rig = Rig::new();
    rig.node(10, 4);
    rig.submit(0, 4);
    rig.cancel(0, 2);
    rig.told(10);
    rig.cancel(0, 4);
    assert_eq!(cancels(&mut rig, 10), [(2, 2)]);
}

#[test]
fn clear_cancels_everything_and_the_session_goes_on() {
    let mut rig = Rig::new();
    rig.node(10, 1);
    rig.say(
        CLIENT,
        Message::HoldObject {
            key: key(1),
            size: 9,
        },
    );
    rig.submit(0, 100);
    rig.told(10);
    rig.say(CLIENT, Message::Clear);
    let held: Vec<_> = cancels(&mut rig, 10);
    let cancelled: u32 = rig.outcomes(CLIENT).iter().map(|(_, count, _)| count).sum();
    assert_eq!(
        held.iter().map(|(_, count)| count).sum::<u64>() + u64::from(cancelled),
        100
    );
    rig.pass(500_000);
    assert_eq!(rig.stored, [Message::Delete { keys: vec![key(1)] }]);
    rig.leave(10);
    rig.node(11, 1);
    rig.submit(200, 1);
    assert_eq!(rig.assigned(11), [(200, 1)]);
}

#[test]
fn goodbye_cancels_everything_and_deletes_the_sessions_objects() {
    let mut rig = Rig::new();
    rig.node(10, 2);
    rig.submit(0, 100);
    let here = rig.assigned_count(10);
    rig.say(CLIENT, Message::Goodbye);
    let cancelled: u64 = cancels(&mut rig, 10).iter().map(|(_, count)| count).sum();
    assert_eq!(cancelled, here);
    assert_eq!(rig.stored, [Message::DeleteSession { session: SESSION }]);
    assert!(rig.outcomes(CLIENT).is_empty());
    assert!(rig
        .scheduler
        .status()
        .contains("\"sessions\":0,\"queued\":0,\"assigned\":0,\"arrays\":0"));
}

#[test]
fn a_slot_is_taken_until_the_node_has_answered_for_a_session_that_is_over() {
    let mut rig = Rig::new();
    rig.node(10, 1);
    rig.submit(0, 1);
    rig.leave(CLIENT);
    assert!(rig.scheduler.status().contains("\"free\":0"));
    rig.end(10, 0, CANCELLED);
    assert!(rig.ended.is_empty());
    assert!(rig.scheduler.status().contains("\"free\":1"));
}

#[test]
fn a_session_that_comes_back_waits_until_its_former_tasks_are_gone() {
    let mut rig = Rig::new();
    rig.node(10, 4);
    rig.submit(0, 1);
    rig.leave(CLIENT);
    rig.told(10);
    rig.client(2, SESSION);
    rig.say(2, array(0, 1, Default::default()));
    assert_eq!(rig.assigned_count(10), 0);
    rig.done(10, 0, 1, 5);
    assert_eq!(rig.assigned(10), [(0, 1)]);
    assert!(rig.outcomes(2).is_empty());
    rig.done(10, 0, 1, 5);
    assert_eq!(rig.outcomes(2), [(0, 1, OutcomeKind::ValueTable)]);
}
