//! Sessions of tasks, and slots that were given back.

use super::rig::*;
use crate::wire::{Message, Options};

const NESTED: u64 = 2;

/// A node of one slot that runs task 0, and the session of that task with a task of its own.
fn nested() -> Rig {
    let mut rig = Rig::new();
    rig.node(10, 1);
    rig.submit(0, 1);
    rig.told(10);
    rig.join_client(NESTED, 177).unwrap();
    let (node, session, sequence) = (10, SESSION, 0);
    rig.say(
        NESTED,
        Message::Within {
            node,
            session,
            sequence,
        },
    );
    let payload = Bytes(b"code".to_vec());
    rig.say(
        NESTED,
        Message::Function {
            id: FUNCTION,
            payload,
        },
    );
    rig
}

fn deep(depth: u16) -> Options {
    Options {
        depth,
        ..Options::default()
    }
}

fn ended(rig: &Rig) -> Vec<u64> {
    rig.ended.iter().map(|(link, ..)| *link).collect()
}

#[test]
fn a_slot_that_was_given_back_is_for_deeper_tasks() {
    let mut rig = nested();
    rig.say(10, Message::Waiting { depths: vec![0] });
    rig.say(NESTED, array(0, 2, deep(1)));
    assert!(rig.assigned_count(10) >= 1);
}

#[test]
fn the_session_of_a_task_ends_with_it() {
    let mut rig = nested();
    rig.say(10, Message::Waiting { depths: vec![0] });
    rig.say(NESTED, array(0, 1, deep(1)));
    rig.told(10);
    assert!(ended(&rig).is_empty());
    rig.lost(10, 0, -9);
    assert_eq!(ended(&rig), [NESTED]);
    let told = rig.told(10);
    let cancels = |message: &Message<_>| matches!(message, Message::CancelElements { .. });
    assert!(told.iter().any(cancels), "{told:?}");
}

#[test]
fn the_session_of_a_task_ends_with_its_node() {
    let mut rig = nested();
    rig.leave(10);
    assert_eq!(ended(&rig), [NESTED]);
}

#[test]
fn a_session_of_a_task_that_is_over_is_ended_at_once() {
    let mut rig = nested();
    rig.done(10, 0, 1, 5);
    rig.join_client(3, 178).unwrap();
    let (node, session, sequence) = (10, SESSION, 0);
    rig.say(
        3,
        Message::Within {
            node,
            session,
            sequence,
        },
    );
    assert_eq!(ended(&rig), [NESTED, 3]);
}
