//! Objects that are asked for before they are there.

use super::*;

#[test]
fn a_get_that_comes_before_its_object_waits_for_it() {
    let mut rig = Rig::new(100, false);
    get(&mut rig, NODE, 7, 5);
    rig.part(CLIENT, 1, 5, 30, 0, 20);
    assert_eq!(rig.told(NODE), vec![]);
    rig.part(CLIENT, 1, 5, 30, 20, 10);
    let parts = vec![data(7, 30, 0, 20), data(7, 30, 20, 10)];
    assert_eq!(rig.told(NODE), parts);
    assert_eq!(rig.store.absent.next_wakeup(), None);
}

#[test]
fn an_object_that_does_not_come_is_missing_in_the_end() {
    let mut rig = Rig::new(100, false);
    get(&mut rig, NODE, 7, 5);
    let end = rig.store.absent.next_wakeup().expect("its patience ends");
    rig.store.tick(end - 1);
    rig.absorb();
    assert_eq!(rig.told(NODE), vec![]);
    rig.store.tick(end);
    rig.absorb();
    assert_eq!(rig.told(NODE), vec![Message::Missing { request: 7 }]);
}

#[test]
fn an_object_that_was_waited_for_in_vain_is_not_waited_for_again_until_it_comes() {
    let mut rig = Rig::new(100, false);
    get(&mut rig, NODE, 7, 5);
    rig.store.tick(absent::PATIENCE_US);
    rig.absorb();
    rig.take();
    get(&mut rig, NODE, 8, 5);
    assert_eq!(rig.told(NODE), vec![Message::Missing { request: 8 }]);
    rig.put(5, 20);
    get(&mut rig, NODE, 9, 5);
    assert_eq!(rig.told(NODE), vec![data(9, 20, 0, 20)]);
}

#[test]
fn where_its_client_has_long_been_quiet_nobody_waits_long() {
    let mut rig = Rig::new(100, false);
    let later = 2 * absent::PATIENCE_US;
    rig.store.tick(later);
    let key = key(5);
    let get = |request| Message::Get { request, key };
    rig.store.handle(later, NODE, get(7));
    assert_eq!(rig.store.absent.next_wakeup(), Some(later + 1_000_000));
    rig.store.joined(CLIENT, Role::Objects, 9);
    rig.store.tick(later + 1_000_000);
    rig.store.handle(later + 1_000_000, NODE, get(8));
    let end = later + 1_000_000 + absent::PATIENCE_US;
    assert_ne!(
        rig.store.absent.next_wakeup(),
        Some(end),
        "it was waited for in vain"
    );
    rig.put(5, 20);
    assert_eq!(rig.store.absent.next_wakeup(), None);
}

#[test]
fn while_its_client_puts_others_an_absent_object_is_waited_for() {
    let mut rig = Rig::new(100, false);
    get(&mut rig, NODE, 7, 5);
    rig.part(CLIENT, 1, 4, 30, 0, 20);
    rig.store.tick(absent::PATIENCE_US);
    rig.absorb();
    assert_eq!(rig.told(NODE), vec![]);
    rig.part(CLIENT, 1, 4, 30, 20, 10);
    rig.store.tick(2 * absent::PATIENCE_US);
    rig.absorb();
    assert_eq!(rig.told(NODE), vec![Message::Missing { request: 7 }]);
}

#[test]
fn a_client_learns_at_once_that_an_object_is_missing() {
    let mut rig = Rig::new(100, false);
    get(&mut rig, CLIENT, 7, 5);
    assert_eq!(rig.told(CLIENT), vec![Message::Missing { request: 7 }]);
}

#[test]
fn nobody_waits_for_objects_of_a_session_that_is_over() {
    let mut rig = Rig::new(100, false);
    get(&mut rig, NODE, 7, 5);
    rig.say(SCHEDULER, Message::DeleteSession { session: 9 });
    assert_eq!(rig.told(NODE), vec![Message::Missing { request: 7 }]);
    assert_eq!(rig.store.absent.next_wakeup(), None);
}

#[test]
fn a_peer_that_left_waits_for_nothing() {
    let mut rig = Rig::new(100, false);
    get(&mut rig, NODE, 7, 5);
    rig.store.left(NODE);
    rig.put(5, 20);
    assert_eq!(rig.store.absent.next_wakeup(), None);
    assert_eq!(rig.told(NODE), vec![]);
}
