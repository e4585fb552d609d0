//! What was sent ahead and turns out to be long.

use super::rig::*;
use crate::wire::{FunctionId, Message, Options, OutcomeKind};

const LONG: u64 = 1_000_000;
const ANOTHER: FunctionId = [2; 16];

fn reclaims(rig: &mut Rig, link: u64) -> Vec<u32> {
    let told = rig.told(link).into_iter();
    told.filter_map(|message| match message {
        Message::Reclaim { count } => Some(count),
        _ => None,
    })
    .collect()
}

/// A node of one slot, with what it gets of a hundred tasks of which nothing is known. Gives how many.
fn ahead(rig: &mut Rig) -> u64 {
    rig.node(10, 1);
    rig.submit(0, 100);
    rig.assigned_count(10)
}

#[test]
fn what_is_long_after_all_comes_back_and_lets_the_urgent_go_first() {
    let mut rig = Rig::new();
    let sent = ahead(&mut rig);
    assert!(sent >= 8, "{sent} tasks of an unknown function");
    let urgent = Options {
        priority: 5,
        ..Options::default()
    };
    rig.submit_with(200, 1, urgent);
    rig.done(10, 0, 1, LONG);
    let asked = reclaims(&mut rig, 10);
    assert_eq!(
        asked,
        [sent as u32 - 3],
        "all but one that runs and one that waits"
    );
    rig.give_back(10, &[(3, sent - 3)]);
    assert_eq!(rig.assigned(10), []);
    rig.done(10, 1, 1, LONG);
    assert_eq!(rig.assigned(10), [(200, 1)]);
}

#[test]
fn it_is_asked_for_once() {
    let mut rig = Rig::new();
    ahead(&mut rig);
    rig.done(10, 0, 1, LONG);
    rig.done(10, 1, 1, LONG);
    assert_eq!(reclaims(&mut rig, 10).len(), 1);
}

#[test]
fn what_takes_a_little_longer_stays() {
    let mut rig = Rig::new();
    ahead(&mut rig);
    rig.done(10, 0, 1, 3_000);
    assert!(reclaims(&mut rig, 10).is_empty());
}

#[test]
fn where_nothing_waits_for_its_turn_nothing_comes_back() {
    let mut rig = Rig::new();
    rig.node(10, 1);
    rig.submit(0, 10);
    rig.done(10, 0, 1, LONG);
    assert!(reclaims(&mut rig, 10).is_empty());
}

#[test]
fn short_ones_beside_a_long_one_stay() {
    let mut rig = Rig::new();
    let id = ANOTHER;
    let payload = Bytes(b"more code".to_vec());
    rig.say(CLIENT, Message::Function { id, payload });
    rig.node(10, 1);
    rig.submit(5_000, 1);
    rig.end(10, 5_000, OutcomeKind::ValueSingle);
    let Message::Submit(mut long) = array(0, 1, Options::default()) else {
        panic!("an array is submitted");
    };
    long.function = ANOTHER;
    rig.say(CLIENT, Message::Submit(long));
    for first in 0..4 {
        rig.submit(10_000 + first * 8_000, 8_000);
    }
    assert!(rig.assigned_count(10) > 100);
    rig.done(10, 0, 1, LONG);
    assert!(reclaims(&mut rig, 10).is_empty());
}
