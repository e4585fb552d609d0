//! Taking back what waits while slots are idle.

use super::rig::*;
use crate::wire::{Message, Options};

fn reclaims(rig: &mut Rig, link: u64) -> Vec<u32> {
    let told = rig.told(link).into_iter();
    told.filter_map(|message| match message {
        Message::Reclaim { count } => Some(count),
        _ => None,
    })
    .collect()
}

/// A node of one slot with three tasks of half a second, and a second one that has just joined.
fn laden() -> Rig {
    let mut rig = Rig::new();
    rig.node(10, 1);
    rig.submit(0, 100);
    rig.cancel(3, 97);
    rig.told(10);
    rig.told(CLIENT);
    rig.node(11, 1);
    rig.pass(10_000);
    rig
}

#[test]
fn an_idle_node_gets_what_another_has_not_started() {
    let mut rig = laden();
    let asked = reclaims(&mut rig, 10);
    assert_eq!(asked.len(), 1);
    rig.give_back(10, &[(2, 1)]);
    assert_eq!(rig.assigned(11), [(2, 1)]);
}

#[test]
fn one_reclaim_a_node_is_outstanding() {
    let mut rig = laden();
    assert_eq!(reclaims(&mut rig, 10).len(), 1);
    rig.node(12, 1);
    rig.pass(100_000);
    assert!(reclaims(&mut rig, 10).is_empty());
    rig.give_back(10, &[]);
    rig.pass(2_000_000);
    assert_eq!(reclaims(&mut rig, 10).len(), 1);
}

#[test]
fn a_node_that_had_nothing_to_give_is_asked_later_and_later() {
    let mut rig = laden();
    let mut asked = 0;
    for _ in 0..200 {
        if !reclaims(&mut rig, 10).is_empty() {
            asked += 1;
            rig.give_back(10, &[]);
        }
        rig.pass(1_000);
    }
    assert!((2..=9).contains(&asked), "asked {asked} times in 200 ms");
}

#[test]
fn nothing_is_taken_back_for_a_node_that_cannot_run_it() {
    let mut rig = Rig::new();
    rig.node_with(10, 1, &[("gpu", -1)], 11);
    rig.submit_with(0, 3, needs(&[("gpu", -1)]));
    rig.node(11, 1);
    rig.pass(1_000_000);
    assert!(reclaims(&mut rig, 10).is_empty());
}

#[test]
fn work_worth_less_than_the_move_stays_where_it_is_until_it_is_late() {
    let mut rig = Rig::new();
    rig.node(10, 1);
    rig.submit(1_000, 1);
    rig.done(10, 1_000, 1, 1);
    rig.submit(0, 20);
    rig.pass(100);
    rig.done(10, 0, 1, 1);
    rig.node(11, 1);
    assert!(reclaims(&mut rig, 10).is_empty());
    let wakeup = rig.scheduler.next_wakeup().unwrap();
    assert!(wakeup > rig.now);
    rig.pass(wakeup - rig.now);
    assert_eq!(reclaims(&mut rig, 10).len(), 1);
}

#[test]
fn what_no_idle_node_may_run_is_not_taken_back_again_and_again() {
    let mut rig = Rig::new();
    // Plain tasks run on nodes with a gpu, a task that needs one waits behind them, and a plain node idles.
    rig.node_with(10, 1, &[("gpu", -1)], 11);
    rig.node_with(12, 1, &[("gpu", -1)], 11);
    rig.submit(0, 2);
    let gpu = Options {
        capabilities: vec![("gpu".into(), -1)],
        ..Options::default()
    };
    rig.submit_with(2, 1, gpu);
    rig.node(11, 1);
    let mut asked = 0;
    for _ in 0..1_000 {
        rig.pass(1_000);
        let mut moved = true;
        while moved {
            moved = false;
            for link in [10, 12] {
                let told = rig.told(link);
                let reclaims =
                    |message: &Message<Bytes>| matches!(message, Message::Reclaim { .. });
                if told.iter().any(reclaims) {
                    moved = true;
                    asked += 1;
                    assert!(asked < 100, "asked {asked} times");
                    rig.give_back(link, &[(2, 1)]);
                }
            }
        }
    }
    assert!(asked >= 1);
}
