//! Which node gets what, and how much of it.

use super::rig::*;
use crate::scheduler::{Allocate, SchedulerConfig};
use crate::wire::{Message, NodeStatus, Options, OutcomeKind};

const LONG: u64 = 1_000_000;

/// Tells that the function takes so long: one element of an array of its own.
fn measure(rig: &mut Rig, node: u64, busy_us: u64) {
    rig.submit(1_000_000, 1);
    rig.done(node, 1_000_000, 1, busy_us);
    rig.told(node);
    rig.told(CLIENT);
}

#[test]
fn tasks_go_to_the_node_with_most_free_slots() {
    let mut rig = Rig::new();
    rig.node(10, 2);
    rig.node(11, 4);
    rig.submit(0, 4);
    assert_eq!((rig.assigned_count(10), rig.assigned_count(11)), (1, 3));
}

#[test]
fn of_equally_free_nodes_the_least_recently_used_is_next() {
    let mut rig = Rig::new();
    rig.node(10, 1);
    rig.node(11, 1);
    for round in 0..4 {
        rig.submit(round, 1);
        let node = 10 + round % 2;
        assert_eq!(rig.assigned(node), [(round, 1)], "round {round}");
        rig.done(node, round, 1, 10);
    }
}

#[test]
fn deeper_then_larger_priority_then_submission_is_the_order() {
    let mut rig = Rig::new();
    let with = |depth, priority| Options {
        depth,
        priority,
        ..Options::default()
    };
    rig.submit_with(0, 1, with(0, 0));
    rig.submit_with(1, 1, with(0, 5));
    rig.submit_with(2, 1, with(1, -5));
    rig.submit_with(3, 1, with(0, 5));
    rig.submit_with(4, 1, with(0, 0));
    rig.node(10, 8);
    let order: Vec<u64> = rig.assigned(10).iter().map(|(first, _)| *first).collect();
    assert_eq!(order, [2, 1, 3, 0, 4]);
}

#[test]
fn short_tasks_are_sent_ahead_up_to_a_targets_worth() {
    let mut rig = Rig::new();
    rig.node(10, 1);
    measure(&mut rig, 10, 1_000);
    rig.submit(0, 1_000);
    let sent = rig.assigned_count(10);
    assert!((8..=40).contains(&sent), "{sent} tasks of a millisecond");
}

#[test]
fn no_more_is_sent_ahead_than_the_queue_size() {
    let mut rig = Rig::new();
    rig.node(10, 2);
    measure(&mut rig, 10, 3);
    for first in 0..10 {
        rig.submit(first * 8_000, 8_000);
    }
    assert_eq!(rig.assigned_count(10), 2 + 2 * 1_000);
}

#[test]
fn of_the_tiniest_tasks_sixteen_count_as_one_in_a_queue() {
    let mut rig = Rig::new();
    rig.node(10, 2);
    measure(&mut rig, 10, 1);
    for first in 0..10 {
        rig.submit(first * 8_000, 8_000);
    }
    let sent = rig.assigned_count(10);
    assert!(
        (2_003..=16 * 2_002).contains(&sent),
        "{sent} tasks of a microsecond"
    );
}

#[test]
fn of_long_tasks_one_a_slot_is_sent_ahead() {
    let mut rig = Rig::new();
    rig.node(10, 2);
    measure(&mut rig, 10, LONG);
    rig.submit(0, 100);
    assert_eq!(rig.assigned_count(10), 4);
}

#[test]
fn nothing_is_sent_ahead_while_another_node_has_a_free_slot() {
    let mut rig = Rig::new();
    rig.node(10, 2);
    measure(&mut rig, 10, LONG);
    rig.node(11, 3);
    rig.submit(0, 5);
    assert_eq!((rig.assigned_count(10), rig.assigned_count(11)), (2, 3));
}

#[test]
fn a_large_map_is_handed_out_in_shrinking_ranges() {
    let mut rig = Rig::new();
    for link in 10..14 {
        rig.node(link, 1);
    }
    measure(&mut rig, 10, 1);
    rig.submit(0, 1_600);
    // The one that was used last comes last.
    let counts: Vec<u64> = [11, 12, 13, 10]
        .into_iter()
        .map(|link| rig.assigned_count(link))
        .collect();
    assert!(counts.iter().sum::<u64>() <= 1_600);
    assert!(
        counts.windows(2).all(|pair| pair[0] >= pair[1]),
        "{counts:?}"
    );
    assert!(
        counts.iter().all(|count| (50..=500).contains(count)),
        "{counts:?}"
    );
}

#[test]
fn one_class_that_cannot_be_placed_blocks_no_other() {
    let mut rig = Rig::new();
    rig.node(10, 1);
    rig.submit_with(0, 5, needs(&[("gpu", -1)]));
    rig.submit(10, 1);
    assert_eq!(rig.assigned(10), [(10, 1)]);
}

#[test]
fn names_and_amounts_are_honoured() {
    let mut rig = Rig::new();
    rig.node_with(10, 4, &[("gpu", 1)], 11);
    rig.node_with(11, 4, &[("gpu", 4), ("ssd", -1)], 11);
    rig.submit_with(0, 1, needs(&[("gpu", 2)]));
    rig.submit_with(1, 1, needs(&[("ssd", -1), ("gpu", -1)]));
    assert_eq!(rig.assigned_count(10), 0);
    assert_eq!(rig.assigned_count(11), 2);
    rig.submit_with(2, 1, needs(&[("ssd", 1)]));
    assert_eq!(rig.assigned_count(11), 0);
}

#[test]
fn a_function_pickled_by_value_goes_to_its_python_only() {
    let mut rig = Rig::new();
    rig.node_with(10, 4, &[], 12);
    let options = Options {
        python_minor: 11,
        ..Options::default()
    };
    rig.submit_with(0, 1, options);
    assert_eq!(rig.assigned_count(10), 0);
    rig.node_with(11, 1, &[], 11);
    assert_eq!(rig.assigned(11), [(0, 1)]);
}

#[test]
fn the_capability_policy_keeps_plain_tasks_off_special_nodes() {
    let config = SchedulerConfig {
        allocate: Allocate::Capability,
        ..SchedulerConfig::default()
    };
    let mut rig = Rig::with(config);
    rig.client(CLIENT, SESSION);
    rig.node_with(10, 8, &[("gpu", -1)], 11);
    rig.node_with(11, 2, &[], 11);
    rig.submit(0, 3);
    assert_eq!((rig.assigned_count(10), rig.assigned_count(11)), (1, 2));
}

#[test]
fn more_classes_than_can_live_are_rejected() {
    let mut rig = Rig::new();
    for number in 0..1_025 {
        rig.mutter(
            CLIENT,
            array(number, 1, needs(&[(&format!("name-{number}"), -1)])),
        );
    }
    rig.turn();
    assert_eq!(rig.outcomes(CLIENT), [(1_024, 1, OutcomeKind::Failure)]);
    rig.cancel(0, 1);
    rig.submit_with(2_000, 1, needs(&[("one more", -1)]));
    assert_eq!(rig.outcomes(CLIENT), [(0, 1, OutcomeKind::Cancelled)]);
}

#[test]
fn nothing_is_placed_on_a_node_that_is_away_or_drains() {
    let mut rig = Rig::new();
    rig.node(10, 4);
    rig.scheduler.disconnected(rig.now, 10);
    rig.submit(0, 1);
    assert_eq!(rig.assigned_count(10), 0);
    rig.scheduler.resumed(rig.now, 10);
    rig.turn();
    assert_eq!(rig.assigned_count(10), 1);
    rig.say(
        10,
        Message::NodeStatus(NodeStatus {
            draining: true,
            ..NodeStatus::default()
        }),
    );
    rig.submit(1, 1);
    assert_eq!(rig.assigned_count(10), 0);
    rig.say(10, Message::NodeStatus(NodeStatus::default()));
    assert_eq!(rig.assigned_count(10), 1);
    rig.say(10, Message::Drained);
    rig.submit(2, 1);
    assert_eq!(rig.assigned_count(10), 0);
}

#[test]
fn a_node_that_gives_back_unasked_gets_nothing_until_it_says_how_it_is() {
    let mut rig = Rig::new();
    rig.node(10, 2);
    rig.submit(0, 2);
    rig.told(10);
    rig.give_back(10, &[(0, 2)]);
    assert_eq!(rig.assigned_count(10), 0);
    rig.say(10, Message::NodeStatus(NodeStatus::default()));
    assert_eq!(rig.assigned(10), [(0, 2)]);
}

#[test]
fn neighbours_of_one_array_travel_in_one_assignment() {
    let mut rig = Rig::new();
    rig.submit(0, 250);
    rig.node(10, 300);
    let assigns = rig.assigns(10);
    assert_eq!(assigns.len(), 1);
    let blocks: Vec<_> = assigns[0]
        .blocks
        .iter()
        .map(|block| (block.first, block.count))
        .collect();
    assert_eq!(blocks, [(0, 100), (100, 100), (200, 50)]);
}

/// Of 64 nodes: how many tasks the least and the most laden got, and in how many ranges at most.
fn spread(rig: &mut Rig) -> (u64, u64, usize) {
    let all = (10..74).map(|node| rig.assigned(node));
    let all: Vec<(u64, usize)> = all
        .map(|ranges| {
            let count = ranges.iter().map(|(_, count)| u64::from(*count)).sum();
            (count, ranges.len())
        })
        .collect();
    let counts = || all.iter().map(|(count, _)| *count);
    let ranges = all.iter().map(|(_, ranges)| *ranges).max();
    (
        counts().min().unwrap_or(0),
        counts().max().unwrap_or(0),
        ranges.unwrap_or(0),
    )
}

#[test]
fn neighbours_stay_together_where_there_are_about_as_many_as_slots() {
    let mut rig = Rig::new();
    (10..74).for_each(|node| rig.node(node, 32));
    rig.submit(0, 1_900);
    let (least, most, ranges) = spread(&mut rig);
    assert!(most - least <= 3, "{least} to {most} a node");
    assert!(ranges <= 16, "{ranges} ranges for {most} tasks");
}

#[test]
fn the_few_that_are_left_for_many_slots_are_spread_one_by_one() {
    let mut rig = Rig::new();
    (10..74).for_each(|node| rig.node(node, 32));
    rig.submit(0, 100);
    let (least, most, _) = spread(&mut rig);
    assert_eq!((least, most), (1, 2));
}
