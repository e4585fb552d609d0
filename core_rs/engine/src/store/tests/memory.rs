//! Objects in memory, and who may do what with them.

use super::*;

#[test]
fn an_object_put_in_parts_comes_back_in_parts() {
    let mut rig = Rig::new(100, false);
    rig.part(CLIENT, 1, 5, 30, 0, 20);
    assert_eq!(rig.told(CLIENT), vec![]);
    rig.part(CLIENT, 1, 5, 30, 20, 10);
    assert_eq!(rig.told(CLIENT), vec![Message::Stored { request: 1 }]);
    rig.say(
        NODE,
        Message::Get {
            request: 8,
            key: key(5),
        },
    );
    assert_eq!(
        rig.told(NODE),
        vec![data(8, 30, 0, 20), data(8, 30, 20, 10)]
    );
}

#[test]
fn an_empty_object_is_an_object() {
    let mut rig = Rig::new(0, false);
    rig.put(5, 0);
    rig.say(
        CLIENT,
        Message::Get {
            request: 8,
            key: key(5),
        },
    );
    assert_eq!(
        rig.told(CLIENT),
        vec![Message::Stored { request: 5 }, data(8, 0, 0, 0)]
    );
}

#[test]
fn equal_objects_are_kept_once() {
    let mut rig = Rig::new(100, false);
    rig.part(CLIENT, 1, 5, 30, 0, 20);
    rig.part(NODE, 1, 5, 30, 0, 30);
    rig.part(CLIENT, 1, 5, 30, 20, 10);
    assert_eq!(rig.told(CLIENT), vec![Message::Stored { request: 1 }]);
    assert_eq!(
        rig.store.status(),
        StoreStatus {
            objects: 1,
            memory_bytes: 30,
            file_bytes: 0
        }
    );
}

#[test]
fn parts_that_do_not_fit_leave_nothing_behind() {
    for (size, offset, length) in [
        (30, 10, 10),
        (30, 20, 20),
        (30, 20, 0),
        (31, 20, 10),
        (30, u64::MAX, 10),
    ] {
        let mut rig = Rig::new(100, false);
        rig.part(CLIENT, 1, 5, 30, 0, 20);
        rig.part(CLIENT, 1, 5, size, offset, length);
        let told = rig.told(CLIENT);
        assert!(matches!(
            told[..],
            [Message::StoreError {
                request: 1,
                code: StoreErrorCode::Invalid,
                ..
            }]
        ));
        rig.part(CLIENT, 1, 5, 30, 20, 10);
        assert_eq!(rig.told(CLIENT), vec![], "it was answered");
        assert_eq!(rig.store.status(), StoreStatus::default());
    }
}

#[test]
fn an_object_over_the_limit_is_refused_and_the_others_stay() {
    let mut rig = Rig::new(100, false);
    rig.put(1, 60);
    rig.part(CLIENT, 2, 2, 60, 0, 30);
    let told = rig.told(CLIENT);
    assert!(
        matches!(
            told[1],
            Message::StoreError {
                request: 2,
                code: StoreErrorCode::Full,
                ..
            }
        ),
        "{told:?}"
    );
    rig.part(CLIENT, 2, 2, 60, 30, 30);
    assert_eq!(rig.told(CLIENT), vec![]);
    rig.say(
        CLIENT,
        Message::Get {
            request: 8,
            key: key(1),
        },
    );
    assert_eq!(rig.told(CLIENT), vec![data(8, 60, 0, 60)]);
}

#[test]
fn deleted_objects_make_room() {
    let mut rig = Rig::new(100, false);
    rig.put(1, 60);
    rig.say(
        SCHEDULER,
        Message::Delete {
            keys: vec![key(1), key(77)],
        },
    );
    rig.put(2, 60);
    assert_eq!(
        rig.store.status(),
        StoreStatus {
            objects: 1,
            memory_bytes: 60,
            file_bytes: 0
        }
    );
    rig.say(SCHEDULER, Message::DeleteSession { session: 9 });
    assert_eq!(rig.store.status(), StoreStatus::default());
}

#[test]
fn only_the_scheduler_deletes() {
    for message in [
        Message::Delete { keys: vec![key(1)] },
        Message::DeleteSession { session: 9 },
        Message::Drained,
    ] {
        let mut rig = Rig::new(100, false);
        rig.put(1, 60);
        rig.take();
        rig.say(CLIENT, message);
        assert!(matches!(
            rig.take()[..],
            [StoreOutput::End {
                link: CLIENT,
                code: RefusalCode::Malformed,
                ..
            }]
        ));
        assert_eq!(rig.store.status().objects, 1);
        rig.say(
            CLIENT,
            Message::Get {
                request: 1,
                key: key(1),
            },
        );
        assert_eq!(rig.take(), vec![], "nobody is there any more");
    }
}

#[test]
fn a_session_sees_its_own_objects_alone() {
    let mut rig = Rig::new(100, false);
    rig.put(1, 60);
    rig.store.joined(8, Role::Objects, 10);
    rig.say(
        8,
        Message::Get {
            request: 1,
            key: key(1),
        },
    );
    assert_eq!(rig.told(8), vec![Message::Missing { request: 1 }]);
    rig.part(8, 2, 2, 5, 0, 5);
    assert!(matches!(
        rig.told(8)[..],
        [Message::StoreError {
            code: StoreErrorCode::Invalid,
            ..
        }]
    ));
}

#[test]
fn a_peer_that_leaves_takes_its_half_done_puts_along() {
    let mut rig = Rig::new(100, false);
    rig.part(CLIENT, 1, 5, 90, 0, 20);
    rig.store.left(CLIENT);
    rig.absorb();
    assert_eq!(rig.store.status(), StoreStatus::default());
}

#[test]
fn a_put_begun_again_replaces_the_one_before() {
    let mut rig = Rig::new(100, false);
    rig.part(CLIENT, 1, 5, 90, 0, 20);
    rig.part(CLIENT, 1, 6, 90, 0, 90);
    assert_eq!(rig.told(CLIENT), vec![Message::Stored { request: 1 }]);
    assert_eq!(
        rig.store.status(),
        StoreStatus {
            objects: 1,
            memory_bytes: 90,
            file_bytes: 0
        }
    );
}

#[test]
fn a_getter_that_does_not_read_gets_no_further_parts() {
    let mut rig = Rig::new(u64::MAX, false);
    for part in 0..5 {
        rig.part(CLIENT, 1, 5, 5 * PART as u64, part * PART as u64, PART);
    }
    rig.say(
        NODE,
        Message::Get {
            request: 7,
            key: key(5),
        },
    );
    rig.say(
        NODE,
        Message::Get {
            request: 8,
            key: key(5),
        },
    );
    assert_eq!(rig.told(NODE).len(), 2);
    rig.store.backlog(NODE, PART as u64);
    rig.absorb();
    assert_eq!(
        rig.told(NODE),
        vec![data(7, 5 * PART as u64, 2 * PART as u64, PART)]
    );
    for _ in 0..7 {
        rig.store.backlog(NODE, PART as u64);
        rig.absorb();
    }
    let rest = rig.told(NODE);
    assert_eq!(rest.len(), 7);
    assert_eq!(rest[6], data(8, 5 * PART as u64, 4 * PART as u64, PART));
}

#[test]
fn an_object_deleted_while_it_is_read_ends_in_missing() {
    let mut rig = Rig::new(u64::MAX, false);
    for part in 0..5 {
        rig.part(CLIENT, 1, 5, 5 * PART as u64, part * PART as u64, PART);
    }
    rig.say(
        NODE,
        Message::Get {
            request: 7,
            key: key(5),
        },
    );
    rig.say(SCHEDULER, Message::Delete { keys: vec![key(5)] });
    rig.take();
    rig.store.backlog(NODE, 0);
    rig.absorb();
    assert_eq!(rig.told(NODE), vec![Message::Missing { request: 7 }]);
}

#[test]
fn a_get_of_one_that_went_does_not_go_on_with_another_of_its_name() {
    let mut rig = Rig::new(u64::MAX, false);
    for part in 0..5 {
        rig.part(CLIENT, 1, 5, 5 * PART as u64, part * PART as u64, PART);
    }
    get(&mut rig, NODE, 7, 5);
    rig.say(SCHEDULER, Message::Delete { keys: vec![key(5)] });
    rig.put(5, 20);
    rig.take();
    rig.store.backlog(NODE, 0);
    rig.absorb();
    assert_eq!(rig.told(NODE), vec![Message::Missing { request: 7 }]);
}
