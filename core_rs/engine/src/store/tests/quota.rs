//! Limits of a session and of the disk.

use super::*;

#[test]
fn an_object_larger_than_the_quota_is_refused_to_its_putter_alone() {
    let mut rig = with_quota(40);
    rig.put(1, 30);
    rig.take();
    rig.put(2, 41);
    let told = rig.told(CLIENT);
    let text = "one client may have 40 bytes there";
    assert_eq!(refusal(&told), (StoreErrorCode::Quota, text));
    rig.put(3, 11);
    let told = rig.told(CLIENT);
    let text = "one client may have 40 bytes there, and this one has 30";
    assert_eq!(refusal(&told), (StoreErrorCode::Quota, text));
    rig.put(4, 10);
    assert_eq!(rig.told(CLIENT), vec![Message::Stored { request: 4 }]);
    get(&mut rig, CLIENT, 8, 1);
    assert_eq!(rig.told(CLIENT), vec![data(8, 30, 0, 30)]);
}

#[test]
fn a_quota_is_a_sessions_own() {
    let mut rig = with_quota(40);
    rig.put(1, 40);
    rig.store.joined(8, Role::Objects, 10);
    rig.take();
    let key = ObjectKey {
        session: 10,
        hash: [1; 16],
    };
    let (request, size, offset, payload) = (3, 40, 0, Bytes(40));
    rig.say(
        8,
        Message::Put {
            request,
            key,
            size,
            offset,
            payload,
        },
    );
    assert_eq!(rig.told(8), vec![Message::Stored { request: 3 }]);
}

#[test]
fn an_object_that_is_there_already_needs_no_quota() {
    let mut rig = with_quota(40);
    rig.put(1, 40);
    rig.put(1, 40);
    let stored = Message::Stored { request: 1 };
    assert_eq!(rig.told(CLIENT), vec![stored.clone(), stored]);
    rig.say(SCHEDULER, Message::Delete { keys: vec![key(1)] });
    rig.put(2, 40);
    assert!(rig.told(CLIENT).contains(&Message::Stored { request: 2 }));
}

#[test]
fn a_half_done_put_of_one_that_left_counts_no_more() {
    let mut rig = with_quota(40);
    rig.part(CLIENT, 1, 1, 40, 0, 20);
    rig.store.joined(CLIENT, Role::Objects, 9);
    rig.put(2, 40);
    assert_eq!(rig.told(CLIENT), vec![Message::Stored { request: 2 }]);
}

#[test]
fn what_does_not_fit_on_the_disk_is_refused_and_the_others_stay() {
    let mut rig = Rig::of(StoreConfig {
        memory_limit: 100,
        spills: true,
        disk_limit: Some(50),
        ..StoreConfig::default()
    });
    rig.put(1, 100);
    rig.part(CLIENT, 2, 2, 40, 0, 20);
    rig.take();
    rig.put(3, 11);
    let told = rig.told(CLIENT);
    let text = "40 of 50 bytes on its disk are in use";
    assert_eq!(refusal(&told), (StoreErrorCode::Full, text));
    rig.part(CLIENT, 2, 2, 40, 20, 20);
    rig.done(FileDone::Written { file: 1, bytes: 40 });
    assert!(rig.told(CLIENT).contains(&Message::Stored { request: 2 }));
}
