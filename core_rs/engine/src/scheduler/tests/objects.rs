//! How long objects live.

use super::rig::*;
use crate::wire::{reference, Message, OutcomeKind, Segment};

/// Until what is unneeded is gone.
fn linger(rig: &mut Rig) {
    rig.pass(20_000);
}

fn deleted(number: u8) -> Message<Bytes> {
    Message::Delete {
        keys: vec![key(number)],
    }
}

#[test]
fn an_object_goes_when_nobody_holds_it() {
    let mut rig = Rig::new();
    rig.say(
        CLIENT,
        Message::HoldObject {
            key: key(1),
            size: 9,
        },
    );
    rig.say(
        CLIENT,
        Message::HoldObject {
            key: key(1),
            size: 9,
        },
    );
    assert!(rig.stored.is_empty());
    rig.say(CLIENT, Message::ReleaseObject { key: key(1) });
    assert!(rig.stored.is_empty(), "it lingers");
    linger(&mut rig);
    assert_eq!(rig.stored, [deleted(1)]);
    linger(&mut rig);
    assert_eq!(rig.stored.len(), 1);
}

#[test]
fn an_object_that_is_held_again_stays() {
    let mut rig = Rig::new();
    rig.say(
        CLIENT,
        Message::HoldObject {
            key: key(1),
            size: 9,
        },
    );
    rig.say(CLIENT, Message::ReleaseObject { key: key(1) });
    rig.pass(16_000);
    rig.say(
        CLIENT,
        Message::HoldObject {
            key: key(1),
            size: 9,
        },
    );
    rig.say(CLIENT, Message::ReleaseObject { key: key(1) });
    rig.pass(16_000);
    assert!(rig.stored.is_empty(), "it was needed 16 ms ago");
    rig.say(
        CLIENT,
        Message::HoldObject {
            key: key(1),
            size: 9,
        },
    );
    linger(&mut rig);
    assert!(rig.stored.is_empty());
}

#[test]
fn nothing_is_deleted_while_a_node_with_work_is_away() {
    let mut rig = Rig::new();
    rig.node(10, 1);
    rig.submit(0, 1);
    rig.say(
        CLIENT,
        Message::HoldObject {
            key: key(1),
            size: 9,
        },
    );
    rig.say(CLIENT, Message::ReleaseObject { key: key(1) });
    rig.scheduler.disconnected(rig.now, 10);
    linger(&mut rig);
    assert!(rig.stored.is_empty());
    rig.scheduler.resumed(rig.now, 10);
    linger(&mut rig);
    assert_eq!(rig.stored, [deleted(1)]);
}

#[test]
fn an_object_that_a_task_needs_outlives_its_handle() {
    let mut rig = Rig::new();
    rig.node(10, 1);
    rig.say(
        CLIENT,
        Message::HoldObject {
            key: key(1),
            size: 9,
        },
    );
    rig.say(CLIENT, with_object(0, 1, 0, 1));
    rig.say(CLIENT, Message::ReleaseObject { key: key(1) });
    assert!(rig.stored.is_empty());
    rig.done(10, 0, 1, 5);
    linger(&mut rig);
    assert_eq!(rig.stored, [deleted(1)]);
}

#[test]
fn an_object_of_a_whole_array_goes_with_its_last_element() {
    let mut rig = Rig::new();
    rig.node(10, 4);
    rig.say(CLIENT, with_object(0, 3, u32::MAX, 1));
    assert_eq!(rig.assigns(10)[0].objects[0].element, u32::MAX);
    rig.done(10, 0, 2, 5);
    assert!(rig.stored.is_empty());
    rig.done(10, 2, 1, 5);
    linger(&mut rig);
    assert_eq!(rig.stored, [deleted(1)]);
}

#[test]
fn an_elements_object_is_counted_from_its_assignment() {
    let mut rig = Rig::new();
    rig.node(10, 2);
    rig.say(CLIENT, with_object(0, 50, 1, 1));
    let assigns = rig.assigns(10);
    let with = assigns
        .iter()
        .find(|assign| !assign.objects.is_empty())
        .unwrap();
    assert_eq!(with.first + u64::from(with.objects[0].element), 1);
}

#[test]
fn a_large_value_is_its_clients_until_it_lets_go() {
    let mut rig = Rig::new();
    rig.node(10, 1);
    rig.submit(0, 1);
    let segment = Segment {
        kind: OutcomeKind::ValueReference,
        payload: Bytes(reference(key(3), 100)),
        ..values(0, 1)
    };
    rig.say(
        10,
        Message::Done {
            session: SESSION,
            segment,
        },
    );
    assert!(rig.stored.is_empty());
    rig.say(CLIENT, Message::ReleaseObject { key: key(3) });
    linger(&mut rig);
    assert_eq!(rig.stored, [deleted(3)]);
}

#[test]
fn what_was_under_way_when_its_session_ended_is_deleted_too() {
    let gone = [Message::DeleteSession { session: SESSION }];
    let mut rig = Rig::new();
    rig.say(CLIENT, Message::Goodbye);
    assert_eq!(std::mem::take(&mut rig.stored), gone);
    rig.pass(59_000_000);
    assert!(rig.stored.is_empty());
    assert_eq!(rig.scheduler.next_wakeup(), Some(rig.now + 1_000_000));
    rig.pass(1_000_000);
    assert_eq!(std::mem::take(&mut rig.stored), gone);
    rig.pass(60_000_000);
    assert!(rig.stored.is_empty());
    assert_eq!(rig.scheduler.next_wakeup(), None);
}

#[test]
fn what_a_dead_node_had_under_way_of_a_session_that_is_over_is_deleted_too() {
    let gone = [Message::DeleteSession { session: SESSION }];
    let mut rig = Rig::new();
    rig.node(10, 1);
    rig.submit(0, 1);
    rig.leave(CLIENT);
    rig.pass(59_000_000);
    rig.leave(10);
    assert_eq!(std::mem::take(&mut rig.stored), gone);
    rig.pass(2_000_000);
    assert!(rig.stored.is_empty(), "it may have been sent just now");
    rig.pass(58_000_000);
    assert_eq!(std::mem::take(&mut rig.stored), gone);
}

#[test]
fn a_session_that_came_back_keeps_its_objects() {
    let mut rig = Rig::new();
    rig.leave(CLIENT);
    rig.pass(59_000_000);
    rig.client(2, SESSION);
    rig.stored.clear();
    rig.pass(2_000_000);
    assert!(rig.stored.is_empty());
}

#[test]
fn a_large_value_that_came_after_the_cancel_is_deleted() {
    let mut rig = Rig::new();
    rig.node(10, 1);
    rig.submit(0, 1);
    rig.cancel(0, 1);
    let segment = Segment {
        kind: OutcomeKind::ValueReference,
        payload: Bytes(reference(key(3), 100)),
        ..values(0, 1)
    };
    rig.say(
        10,
        Message::Done {
            session: SESSION,
            segment,
        },
    );
    linger(&mut rig);
    assert_eq!(rig.stored, [deleted(3)]);
}

#[test]
fn objects_of_a_session_that_nobody_knows_go_unless_its_client_comes() {
    let mut rig = Rig::new();
    for session in [SESSION, 70, 71] {
        let asked = Message::DeleteSession { session };
        rig.scheduler.store(rig.now, asked);
    }
    rig.pass(59_000_000);
    rig.client(30, 71);
    rig.pass(2_000_000);
    assert_eq!(rig.stored, [Message::DeleteSession { session: 70 }]);
}
