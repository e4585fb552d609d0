//! What tasks write: who is told to listen, and to whom it goes.

use super::rig::*;
use crate::wire::{LinkId, Message};

const OTHER: LinkId = 2;

fn output(session: u64, text: &str) -> Message<Bytes> {
    Message::Output {
        session,
        lines: 1,
        dropped: 3,
        payload: Bytes(text.as_bytes().to_vec()),
    }
}

fn listens(rig: &mut Rig, node: LinkId) -> Vec<(u64, bool)> {
    let told = rig.told(node).into_iter();
    told.filter_map(|message| match message {
        Message::Listen { session, on } => Some((session, on)),
        _ => None,
    })
    .collect()
}

#[test]
fn nodes_hear_of_a_session_that_wants_output_before_they_get_its_tasks() {
    let mut rig = Rig::new();
    rig.node(10, 1);
    rig.told(10);
    rig.mutter(CLIENT, Message::StreamOutput);
    rig.submit(0, 1);
    let told = rig.told(10);
    let at = |wanted: fn(&Message<Bytes>) -> bool| told.iter().position(wanted);
    assert!(
        at(|it| matches!(
            it,
            Message::Listen {
                session: SESSION,
                on: true
            }
        )) < at(|it| matches!(it, Message::Assign(_)))
    );
    rig.say(CLIENT, Message::StreamOutput);
    assert_eq!(listens(&mut rig, 10), [], "once is enough");
    rig.join_node(11, 1, &[], 11, 0);
    assert_eq!(listens(&mut rig, 11), [(SESSION, true)]);
}

#[test]
fn nodes_hear_of_its_end() {
    let mut rig = Rig::new();
    rig.node(10, 1);
    rig.say(CLIENT, Message::StreamOutput);
    rig.told(10);
    rig.say(CLIENT, Message::Goodbye);
    assert_eq!(listens(&mut rig, 10), [(SESSION, false)]);
    rig.join_node(11, 1, &[], 11, 0);
    assert_eq!(listens(&mut rig, 11), []);
}

#[test]
fn output_goes_to_the_client_that_asked_and_to_nobody_else() {
    let mut rig = Rig::new();
    rig.client(OTHER, 78);
    rig.node(10, 1);
    rig.say(CLIENT, Message::StreamOutput);
    for session in [SESSION, 78, 79] {
        rig.say(10, output(session, "text"));
    }
    assert_eq!(rig.told(CLIENT), [output(SESSION, "text")]);
    assert_eq!(rig.told(OTHER), []);
    rig.say(CLIENT, Message::Goodbye);
    rig.say(10, output(SESSION, "late"));
    assert_eq!(rig.told(CLIENT), []);
    assert!(rig.ended.is_empty(), "the node could not know");
}

#[test]
fn a_client_that_begins_anew_asks_again() {
    let mut rig = Rig::new();
    rig.node(10, 1);
    rig.say(CLIENT, Message::StreamOutput);
    rig.scheduler.disconnected(rig.now, CLIENT);
    rig.told(10);
    rig.join_client(OTHER, SESSION).unwrap();
    rig.say(OTHER, Message::StreamOutput);
    assert_eq!(listens(&mut rig, 10), [(SESSION, false), (SESSION, true)]);
    rig.say(10, output(SESSION, "text"));
    assert_eq!(rig.told(OTHER), [output(SESSION, "text")]);
}

#[test]
fn only_nodes_have_output_to_tell() {
    let mut rig = Rig::new();
    rig.say(CLIENT, output(SESSION, "text"));
    assert_eq!(rig.ended.len(), 1);
}
