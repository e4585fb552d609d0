//! Elements that take the values of others.

use super::rig::*;
use crate::wire::{
    Form, GivenValue, Graph, Input, Message, Need, Options, OutcomeKind, Sequence, ValueId, WANTED,
};

fn needing(first: Sequence, count: u32, needs: &[(u32, Sequence)], uses: &[u32]) -> Message<Bytes> {
    let mut submit = submission(first, count, Options::default());
    submit.graph = Some(Box::new(Graph {
        needs: needs
            .iter()
            .map(|&(element, on)| Need {
                element,
                on,
                announced: true,
            })
            .collect(),
        uses: uses.to_vec(),
    }));
    Message::Submit(submit)
}

/// A node of 4 slots and a session.
fn rig() -> Rig {
    let mut rig = Rig::new();
    rig.client(CLIENT, SESSION);
    rig.node(10, 4);
    rig
}

struct Told {
    values: Vec<(ValueId, u32, Form)>,
    assigned: Vec<(Sequence, Vec<Input>)>,
    dropped: Vec<ValueId>,
    cancelled: Vec<Sequence>,
}

fn told(rig: &mut Rig) -> Told {
    let mut told = Told {
        values: Vec::new(),
        assigned: Vec::new(),
        dropped: Vec::new(),
        cancelled: Vec::new(),
    };
    for message in rig.told(10) {
        match message {
            Message::Value {
                id, count, form, ..
            } => told.values.push((id, count, form)),
            Message::Assign(assign) => told.assigned.push((assign.first, assign.inputs)),
            Message::DropValues { ids } => told.dropped.extend(ids),
            Message::CancelElements { range } => told.cancelled.push(range.first),
            _ => {}
        }
    }
    told
}

fn input(element: u32, value: ValueId, index: u32) -> Input {
    Input {
        element,
        value,
        index,
    }
}

#[test]
fn an_element_waits_for_the_values_that_it_takes() {
    let mut rig = rig();
    rig.submit(0, 2);
    rig.say(CLIENT, needing(2, 1, &[(0, 0), (0, 1)], &[]));
    assert_eq!(rig.assigned(10), [(0, 2)]);
    assert_eq!(
        rig.explain(2),
        "it waits for the results of 2 other tasks, of which one: it is assigned or runs on node node-10 (2 tasks there, 4 slots)"
    );
    rig.done(10, 0, 1, 5);
    assert!(told(&mut rig).assigned.is_empty());
    rig.done(10, 1, 1, 5);
    let told = told(&mut rig);
    assert_eq!(told.values, [(1, 1, Form::Table), (2, 1, Form::Table)]);
    assert_eq!(told.assigned, [(2, vec![input(0, 1, 0), input(0, 2, 0)])]);
    let value = OutcomeKind::ValueTable;
    assert_eq!(rig.outcomes(CLIENT), [(0, 1, value), (1, 1, value)]);
}

#[test]
fn neighbours_in_one_array_follow_each_other() {
    let mut rig = rig();
    rig.say(CLIENT, needing(0, 3, &[(1, 0), (2, 1)], &[]));
    assert_eq!(rig.assigned(10), [(0, 1)]);
    rig.done(10, 0, 1, 5);
    assert_eq!(rig.assigned(10), [(1, 1)]);
    rig.done(10, 1, 1, 5);
    assert_eq!(rig.assigned(10), [(2, 1)]);
}

#[test]
fn a_value_that_nobody_wants_goes_with_its_last_user_and_is_not_told() {
    let mut rig = rig();
    rig.say(CLIENT, needing(0, 2, &[], &[2, 1]));
    rig.say(CLIENT, needing(2, 2, &[(0, 0), (1, 0), (1, 1)], &[]));
    rig.done(10, 0, 2, 5);
    assert_eq!(rig.outcomes(CLIENT), []);
    let first = told(&mut rig);
    // One block of values, sent once, for all that take any of it.
    assert_eq!(first.values, [(1, 2, Form::Table)]);
    assert_eq!(
        first.assigned.last(),
        Some(&(2, vec![input(0, 1, 0), input(1, 1, 0), input(1, 1, 1)]))
    );
    rig.done(10, 2, 1, 5);
    assert!(told(&mut rig).dropped.is_empty());
    rig.done(10, 3, 1, 5);
    assert_eq!(told(&mut rig).dropped, [1]);
}

#[test]
fn an_announced_value_waits_for_elements_that_come_later() {
    let mut rig = rig();
    rig.say(CLIENT, needing(0, 1, &[], &[1 | WANTED]));
    rig.done(10, 0, 1, 5);
    assert_eq!(rig.outcomes(CLIENT), [(0, 1, OutcomeKind::ValueTable)]);
    told(&mut rig);
    rig.say(CLIENT, needing(1, 1, &[(0, 0)], &[]));
    assert_eq!(told(&mut rig).assigned, [(1, vec![input(0, 1, 0)])]);
}

#[test]
fn what_is_no_longer_there_is_asked_for() {
    let mut rig = rig();
    rig.submit(0, 1);
    rig.done(10, 0, 1, 5);
    rig.told(CLIENT);
    told(&mut rig);
    rig.say(CLIENT, needing(1, 1, &[(0, 0)], &[]));
    let lacking = Message::Lacking { sequences: vec![0] };
    assert_eq!(rig.told(CLIENT), [lacking]);
    assert!(told(&mut rig).assigned.is_empty());
    rig.say(
        CLIENT,
        Message::Value {
            id: 7,
            count: 3,
            form: Form::List,
            payload: Bytes(vec![1; 9]),
        },
    );
    let given = GivenValue {
        on: 0,
        value: 7,
        index: 2,
    };
    rig.say(CLIENT, Message::Given { given: vec![given] });
    rig.say(CLIENT, Message::DropValues { ids: vec![7] });
    let told = told(&mut rig);
    assert_eq!(told.values, [(1, 3, Form::List)]);
    assert_eq!(told.assigned, [(1, vec![input(0, 1, 2)])]);
}

#[test]
fn what_needs_a_failed_element_ends_with_it_and_only_that_one_is_told() {
    let mut rig = rig();
    rig.say(CLIENT, needing(0, 2, &[], &[1, 1]));
    rig.say(CLIENT, needing(2, 1, &[(0, 0), (0, 1)], &[1]));
    rig.say(CLIENT, needing(3, 1, &[(0, 2)], &[]));
    rig.end(10, 0, OutcomeKind::Exception);
    assert_eq!(rig.outcomes(CLIENT), [(0, 1, OutcomeKind::Exception)]);
    // Nobody needs the other one any more.
    assert_eq!(told(&mut rig).cancelled, [1]);
    rig.end(10, 1, OutcomeKind::Cancelled);
    rig.submit(4, 1);
    assert_eq!(rig.assigned(10), [(4, 1)]);
    assert_eq!(rig.explain(3), "it is done, or was never submitted");
}

#[test]
fn what_was_cancelled_while_it_waits_is_answered_and_frees_what_it_needs() {
    let mut rig = rig();
    rig.say(CLIENT, needing(0, 1, &[], &[1]));
    rig.say(CLIENT, needing(1, 1, &[(0, 0)], &[]));
    told(&mut rig);
    rig.cancel(1, 1);
    assert_eq!(rig.outcomes(CLIENT), [(1, 1, OutcomeKind::Cancelled)]);
    assert_eq!(told(&mut rig).cancelled, [0]);
}

#[test]
fn an_element_that_is_given_back_keeps_its_values() {
    let mut rig = rig();
    rig.say(CLIENT, needing(0, 1, &[], &[1]));
    rig.say(CLIENT, needing(1, 1, &[(0, 0)], &[]));
    rig.done(10, 0, 1, 5);
    told(&mut rig);
    rig.leave(10);
    rig.node(11, 4);
    let messages = rig.told(11);
    assert!(matches!(
        &messages[..],
        [Message::Function { .. }, Message::Value { .. }, Message::Assign(assign)] if assign.first == 1
    ));
}

#[test]
fn an_element_cannot_need_one_that_comes_later() {
    let mut rig = rig();
    rig.say(CLIENT, needing(0, 2, &[(0, 1)], &[]));
    assert!(!rig.ended.is_empty());
}

#[test]
fn what_became_unneeded_is_ended_and_not_told() {
    let mut rig = rig();
    rig.say(CLIENT, needing(0, 1, &[], &[1]));
    rig.say(CLIENT, needing(1, 1, &[(0, 0)], &[1]));
    rig.say(CLIENT, needing(2, 1, &[(0, 1)], &[]));
    assert_eq!(rig.assigned(10), [(0, 1)]);
    // Another node has the second one from an earlier life of the scheduler.
    rig.join_node(11, 1, &[], 11, 3);
    rig.hold(11, &[(1, 1)]);
    rig.done(11, 1, 1, 5);
    assert_eq!(told(&mut rig).cancelled, [0]);
    rig.end(10, 0, OutcomeKind::Cancelled);
    // Its client would say it again to a scheduler that lost the second one's value.
    assert_eq!(rig.outcomes(CLIENT), []);
}
