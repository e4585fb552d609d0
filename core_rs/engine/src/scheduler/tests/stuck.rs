//! Nodes that sit in long elements while others get on.

use std::collections::VecDeque;

use super::rig::*;
use crate::wire::Message;

const LONG: u64 = 1_000_000;

fn reclaims(rig: &mut Rig, link: u64) -> Vec<u32> {
    let told = rig.told(link).into_iter();
    told.filter_map(|message| match message {
        Message::Reclaim { count } => Some(count),
        _ => None,
    })
    .collect()
}

/// Two nodes of a slot, a thousand tasks of a millisecond, and what the first node has of them.
fn busy() -> (Rig, Vec<(u64, u32)>) {
    let mut rig = Rig::new();
    rig.node(10, 1);
    rig.submit(5_000, 1);
    rig.done(10, 5_000, 1, 1_000);
    rig.told(10);
    rig.node(11, 1);
    rig.submit(0, 1_000);
    let here = rig.assigned(10);
    (rig, here)
}

/// The second node does what it has, one by one, for so many milliseconds. Gives what it was assigned meanwhile.
fn gets_on(rig: &mut Rig, waits: &mut VecDeque<u64>, milliseconds: u64) -> Vec<u64> {
    let mut all = Vec::new();
    for _ in 0..milliseconds {
        let assigned = elements(&rig.assigned(11));
        waits.extend(&assigned);
        all.extend(assigned);
        rig.pass(1_000);
        rig.done(11, waits.pop_front().unwrap(), 1, 1_000);
    }
    all
}

fn elements(ranges: &[(u64, u32)]) -> Vec<u64> {
    let all = ranges.iter();
    all.flat_map(|&(first, count)| first..first + u64::from(count))
        .collect()
}

fn runs(elements: &[u64]) -> Vec<(u64, u64)> {
    elements.iter().map(|&element| (element, 1)).collect()
}

#[test]
fn what_waits_at_a_node_that_does_not_get_on_goes_to_others_first() {
    let (mut rig, here) = busy();
    let here = elements(&here);
    let mut waits = VecDeque::new();
    gets_on(&mut rig, &mut waits, 40);
    assert_eq!(reclaims(&mut rig, 10), [here.len() as u32 - 1]);
    waits.extend(elements(&rig.assigned(11)));
    rig.give_back(10, &runs(&here[1..]));
    let assigned = gets_on(&mut rig, &mut waits, 20);
    assert_eq!(assigned[..here.len() - 1], here[1..]);
}

#[test]
fn it_gets_nothing_ahead_until_it_gets_on() {
    let (mut rig, here) = busy();
    let here = elements(&here);
    let mut waits = VecDeque::new();
    gets_on(&mut rig, &mut waits, 40);
    rig.told(10);
    rig.give_back(10, &runs(&here[1..]));
    gets_on(&mut rig, &mut waits, 10);
    assert_eq!(rig.assigned_count(10), 0);
    rig.done(10, here[0], 1, LONG);
    assert!(rig.assigned_count(10) > 0);
}

#[test]
fn long_elements_that_take_as_long_as_ever_keep_what_waits() {
    let mut rig = Rig::new();
    rig.node(10, 1);
    rig.submit(5_000, 1);
    rig.done(10, 5_000, 1, LONG);
    rig.node(11, 1);
    rig.submit(0, 10);
    rig.pass(LONG);
    assert!(reclaims(&mut rig, 10).is_empty());
}

#[test]
fn where_it_is_the_only_node_there_is_nobody_else() {
    let mut rig = Rig::new();
    rig.node(10, 1);
    rig.submit(0, 1_000);
    rig.pass(LONG);
    assert!(reclaims(&mut rig, 10).is_empty());
}
