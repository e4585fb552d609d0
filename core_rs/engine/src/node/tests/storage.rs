use super::rig::*;
use crate::node::NodeConfig;
use crate::wire::{FailureCode, Message, Options, OutcomeKind, StoreErrorCode};

fn needing(
    first: u64,
    count: u32,
    objects: Vec<crate::wire::ObjectUse>,
) -> crate::wire::Assign<Bytes> {
    crate::wire::Assign {
        objects,
        ..Rig::assignment(first, count, count, Options::default())
    }
}

fn gets(rig: &mut Rig) -> Vec<(u32, u8)> {
    let get = |message| match message {
        Message::Get { request, key } => Some((request, key.hash[0])),
        _ => None,
    };
    std::mem::take(&mut rig.to_store)
        .into_iter()
        .filter_map(get)
        .collect()
}

fn data(rig: &mut Rig, request: u32, size: u64, offset: u64, length: usize) {
    rig.node.store(
        rig.now,
        Message::Data {
            request,
            size,
            offset,
            payload: Bytes(length),
        },
    );
    rig.absorb();
}

#[test]
fn an_element_waits_for_its_object_and_others_do_not_wait_for_it() {
    let mut rig = Rig::new(1);
    rig.assign_this(needing(0, 1, vec![uses(0, 5, 30)]));
    rig.assign(1, 1);
    assert_eq!(rig.chunks(0), vec![(1, 1)]);
    let asked = gets(&mut rig);
    assert_eq!(asked.len(), 1);
    rig.run_dry();
    data(&mut rig, asked[0].0, 30, 0, 20);
    assert_eq!(rig.chunks(0), vec![]);
    data(&mut rig, asked[0].0, 30, 20, 10);
    assert_eq!(rig.chunks(0), vec![(0, 1)]);
    let sent: Vec<_> = rig.executors[0]
        .messages
        .iter()
        .filter_map(|message| match message {
            Message::Object {
                offset,
                payload,
                size: 30,
                ..
            } => Some((*offset, payload.0)),
            _ => None,
        })
        .collect();
    assert_eq!(sent, vec![(0, 20), (20, 10)]);
}

#[test]
fn an_object_is_fetched_once_for_all_and_sent_to_an_executor_once() {
    let mut rig = Rig::new(1);
    rig.assign_this(needing(0, 5, vec![uses(u32::MAX, 5, 30)]));
    rig.assign_this(needing(5, 5, vec![uses(u32::MAX, 5, 30)]));
    let asked = gets(&mut rig);
    assert_eq!(asked.len(), 1);
    data(&mut rig, asked[0].0, 30, 0, 30);
    rig.run_dry();
    assert!(rig.owed.is_empty() && gets(&mut rig).is_empty());
    let sent = rig.executors[0]
        .messages
        .iter()
        .filter(|message| matches!(message, Message::Object { .. }))
        .count();
    assert_eq!(sent, 1);
}

#[test]
fn only_the_elements_that_need_an_object_wait_for_it() {
    let mut rig = Rig::new(1);
    rig.assign_this(needing(0, 5, vec![uses(2, 5, 30)]));
    rig.run_dry();
    assert_eq!(rig.owed.iter().copied().collect::<Vec<_>>(), vec![2]);
}

#[test]
fn a_missing_object_fails_those_that_need_it() {
    let mut rig = Rig::new(1);
    rig.assign_this(needing(0, 5, vec![uses(2, 5, 30)]));
    let asked = gets(&mut rig);
    rig.node.store(
        rig.now,
        Message::Missing {
            request: asked[0].0,
        },
    );
    rig.absorb();
    rig.run_dry();
    assert_eq!(rig.outcome_of(2), Some(OutcomeKind::Failure));
    let failed = rig
        .outcomes()
        .into_iter()
        .find(|segment| segment.first == 2)
        .cloned();
    assert_eq!(
        failed.and_then(|segment| segment.failure).map(|f| f.code),
        Some(FailureCode::MissingObjects)
    );
    assert_eq!(rig.outcome_of(3), Some(OutcomeKind::ValueList));
}

#[test]
fn objects_are_fetched_as_far_as_there_is_room() {
    let mut rig = Rig::with(NodeConfig {
        slots: 1,
        object_bytes: 100,
        ..NodeConfig::default()
    });
    for element in 0..4u8 {
        rig.assign_this(needing(element.into(), 1, vec![uses(0, element, 60)]));
    }
    for element in 0..4u8 {
        let asked = gets(&mut rig);
        assert_eq!(
            asked.iter().map(|(_, byte)| *byte).collect::<Vec<_>>(),
            vec![element]
        );
        data(&mut rig, asked[0].0, 60, 0, 60);
        rig.run_dry();
        assert_eq!(rig.outcome_of(element.into()), Some(OutcomeKind::ValueList));
    }
    assert!(rig.executors[0]
        .messages
        .iter()
        .any(|message| matches!(message, Message::ForgetObject { .. })));
}

#[test]
fn storage_that_forgot_is_asked_again() {
    let mut rig = Rig::new(1);
    rig.assign_this(needing(0, 1, vec![uses(0, 5, 30)]));
    let asked = gets(&mut rig);
    data(&mut rig, asked[0].0, 30, 0, 20);
    rig.node.store_reset(rig.now);
    rig.absorb();
    assert_eq!(gets(&mut rig), asked);
    data(&mut rig, asked[0].0, 30, 0, 30);
    assert_eq!(rig.chunks(0), vec![(0, 1)]);
}

#[test]
fn parts_that_do_not_fit_fail_the_element_and_nothing_else() {
    let mut rig = Rig::new(1);
    rig.assign_this(needing(0, 1, vec![uses(0, 5, 30)]));
    let asked = gets(&mut rig);
    data(&mut rig, asked[0].0, 31, 0, 31);
    assert_eq!(rig.outcome_of(0), Some(OutcomeKind::Failure));
}

fn large(rig: &mut Rig, offset: u64, length: usize) {
    let payload = Bytes(length);
    rig.hear(
        0,
        Message::LargeValue {
            chunk: 1,
            index: 0,
            hash: [8; 16],
            size: 30,
            offset,
            payload,
        },
    );
}

#[test]
fn a_large_value_is_told_when_storage_has_it() {
    let mut rig = Rig::new(1);
    rig.assign(0, 1);
    rig.begin(0);
    large(&mut rig, 0, 20);
    assert!(rig.to_store.is_empty());
    large(&mut rig, 20, 10);
    let puts: Vec<_> = rig
        .to_store
        .iter()
        .map(|message| match message {
            Message::Put {
                request,
                key,
                size: 30,
                offset,
                payload,
            } if key.hash == [8; 16] => (*request, *offset, payload.0),
            other => panic!("{other:?}"),
        })
        .collect();
    let request = puts[0].0;
    assert_eq!(puts, vec![(request, 0, 20), (request, 20, 10)]);
    assert_eq!(rig.outcome_of(0), None);
    rig.hear(
        0,
        Message::ChunkEnd {
            chunk: 1,
            next: 1,
            busy_us: 0,
        },
    );
    rig.node.store(rig.now, Message::Stored { request });
    rig.absorb();
    assert_eq!(rig.outcome_of(0), Some(OutcomeKind::ValueReference));
    assert_eq!(rig.outcomes()[0].payload.0, 32);
}

#[test]
fn half_a_large_value_of_a_dead_executor_is_nowhere() {
    let mut rig = Rig::new(1);
    rig.assign(0, 1);
    rig.begin(0);
    large(&mut rig, 0, 20);
    rig.die(0, -9);
    assert!(rig.to_store.is_empty());
    assert_eq!(rig.lost().len(), 1);
}

#[test]
fn a_value_that_storage_refuses_fails_its_element() {
    let mut rig = Rig::new(1);
    rig.assign(0, 1);
    rig.begin(0);
    large(&mut rig, 0, 30);
    let Some(Message::Put { request, .. }) = rig.to_store.pop() else {
        panic!("no put")
    };
    let full = Message::StoreError {
        request,
        code: StoreErrorCode::Full,
        text: "full".into(),
    };
    rig.node.store(rig.now, full);
    rig.absorb();
    assert_eq!(rig.outcome_of(0), Some(OutcomeKind::Failure));
}

#[test]
fn what_needs_a_storage_that_stays_away_fails() {
    let mut rig = Rig::new(1);
    rig.assign_this(needing(0, 2, vec![uses(u32::MAX, 5, 30)]));
    rig.assign(2, 1);
    rig.pass(59_000_000);
    assert_eq!(rig.outcome_of(0), None);
    rig.pass(2_000_000);
    assert_eq!(rig.outcome_of(0), Some(OutcomeKind::Failure));
    assert_eq!(rig.outcome_of(1), Some(OutcomeKind::Failure));
    // One that comes later has its own time.
    rig.assign_this(needing(3, 1, vec![uses(u32::MAX, 5, 30)]));
    rig.pass(59_000_000);
    assert_eq!(rig.outcome_of(3), None);
    rig.pass(2_000_000);
    assert_eq!(rig.outcome_of(3), Some(OutcomeKind::Failure));
    rig.run_dry();
    assert_eq!(rig.outcome_of(2), Some(OutcomeKind::ValueList));
}

#[test]
fn a_large_value_for_a_storage_that_stays_away_is_a_failure() {
    let mut rig = Rig::new(1);
    rig.assign(0, 1);
    rig.begin(0);
    large(&mut rig, 0, 30);
    rig.pass(61_000_000);
    assert_eq!(rig.outcome_of(0), Some(OutcomeKind::Failure));
}

#[test]
fn a_storage_that_is_there_may_take_its_time() {
    let mut rig = Rig::new(1);
    rig.assign_this(needing(0, 1, vec![uses(u32::MAX, 5, 30)]));
    rig.pass(59_000_000);
    rig.node.store_connected(rig.now, true);
    rig.pass(600_000_000);
    assert_eq!(rig.outcome_of(0), None);
    rig.node.store_connected(rig.now, false);
    rig.pass(59_000_000);
    assert_eq!(rig.outcome_of(0), None);
    let (request, _) = gets(&mut rig)[0];
    data(&mut rig, request, 30, 0, 30);
    rig.run_dry();
    assert_eq!(rig.outcome_of(0), Some(OutcomeKind::ValueList));
    assert_eq!(rig.node.storage_away.due, None);
}
