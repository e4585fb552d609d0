use super::rig::*;
use crate::node::NodeConfig;
use crate::wire::{Form, LossCause, Message, Options, OutcomeKind, Range};

#[test]
fn a_single_element_reaches_an_executor_at_once() {
    let mut rig = Rig::new(2);
    rig.assign(5, 1);
    assert_eq!(rig.chunks(0), vec![(5, 1)]);
    rig.run_one(0);
    assert_eq!(rig.outcome_of(5), Some(OutcomeKind::ValueList));
}

#[test]
fn the_function_is_told_before_its_first_chunk_and_once() {
    let mut rig = Rig::new(1);
    rig.assign(0, 3);
    rig.run_dry();
    let messages = &rig.executors[0].messages;
    assert!(matches!(messages[0], Message::Function { id: F, .. }));
    assert_eq!(
        messages
            .iter()
            .filter(|message| matches!(message, Message::Function { .. }))
            .count(),
        1
    );
}

#[test]
fn an_unknown_function_starts_with_one_element_a_slot() {
    let mut rig = Rig::new(2);
    rig.assign(0, 100);
    assert_eq!(rig.chunks(0), vec![(0, 1)]);
    assert_eq!(rig.chunks(1), vec![(1, 1)]);
}

#[test]
fn chunks_of_a_short_function_grow() {
    let mut rig = Rig::new(1);
    rig.warm_up(50);
    rig.assign(0, 1000);
    assert!(rig.chunks(0)[0].1 > 10, "{:?}", rig.chunks(0));
    assert!(rig.executors[0].chunks.len() >= 2, "a second helping waits");
    rig.run_dry();
    assert!(rig.owed.is_empty());
}

#[test]
fn a_helping_may_go_past_its_aim_by_a_quarter_of_an_element() {
    for (takes_us, elements) in [(1_010, 4), (1_400, 3), (3_000, 1)] {
        let mut rig = Rig::new(1);
        rig.busy_us = takes_us;
        rig.warm_up(20);
        rig.assign(0, 1_000);
        assert_eq!(rig.chunks(0)[0].1, elements, "of {takes_us} µs each");
    }
}

#[test]
fn what_waits_is_shared_so_that_slots_end_together() {
    let mut rig = Rig::new(2);
    rig.warm_up(200);
    rig.assign(0, 8);
    let of = |rig: &Rig, slot| rig.chunks(slot).iter().map(|(_, count)| count).sum::<u32>();
    assert!(of(&rig, 0) > 0 && of(&rig, 1) > 0);
    assert_eq!(of(&rig, 0) + of(&rig, 1), 8);
}

#[test]
fn a_block_of_little_work_is_not_divided_while_others_wait() {
    let mut rig = Rig::new(2);
    rig.warm_up(200);
    rig.assign_this(Rig::assignment(0, 24, 8, Options::default()));
    assert_eq!((rig.chunks(0)[0], rig.chunks(1)[0]), ((0, 8), (8, 8)));
    // Nothing waits behind the last one.
    assert!(rig.chunks(0)[1].1 < 8, "{:?}", rig.chunks(0));
    rig.run_dry();
    assert!(rig.owed.is_empty());
}

#[test]
fn elements_of_several_blocks_travel_as_several_chunks_of_one_helping() {
    let mut rig = Rig::new(1);
    rig.warm_up(200);
    rig.assign_this(Rig::assignment(0, 12, 1, Options::default()));
    assert!(rig.executors[0].chunks.len() >= 6);
    assert!(rig.executors[0]
        .chunks
        .iter()
        .all(|chunk| chunk.take == 1 && chunk.form == Form::Single));
    rig.run_dry();
    assert!(rig.owed.is_empty());
}

#[test]
fn a_block_is_sent_to_an_executor_once_in_a_row() {
    let mut rig = Rig::new(1);
    rig.assign(0, 10);
    rig.run_dry();
    let chunks = rig.executors[0]
        .messages
        .iter()
        .filter_map(|message| match message {
            Message::Chunk(chunk) => Some(chunk.payload.is_some()),
            _ => None,
        });
    let sent: Vec<_> = chunks.collect();
    assert!(
        sent.len() > 1 && sent[0] && sent[1..].iter().all(|payload| !payload),
        "{sent:?}"
    );
}

#[test]
fn a_block_that_is_here_need_not_come_again() {
    let mut rig = Rig::new(1);
    rig.assign_this(Rig::assignment(0, 10, 10, Options::default()));
    let mut again = Rig::assignment(0, 10, 10, Options::default());
    rig.say(Message::Reclaim { count: 4 });
    assert_eq!(
        rig.given_back(),
        vec![Range {
            session: SESSION,
            first: 6,
            count: 4
        }]
    );
    (again.first, again.count, again.blocks[0].payload) = (6, 4, None);
    rig.assign_this(again);
    rig.run_dry();
    assert_eq!(rig.outcome_of(9), Some(OutcomeKind::ValueList));
}

#[test]
fn a_dropped_block_is_asked_for_again() {
    let mut rig = Rig::new(1);
    rig.assign_this(Rig::assignment(0, 2, 2, Options::default()));
    rig.run_dry();
    rig.say(Message::DropBlocks {
        session: SESSION,
        blocks: vec![0],
    });
    let mut again = Rig::assignment(0, 2, 2, Options::default());
    again.blocks[0].payload = None;
    rig.assign_this(again);
    assert_eq!(rig.outcome_of(0), Some(OutcomeKind::Failure));
}

#[test]
fn deeper_work_goes_first_then_priority_then_arrival() {
    let mut rig = Rig::new(1);
    rig.assign(0, 1);
    rig.assign(1, 1);
    let with = |first, depth, priority| {
        Rig::assignment(
            first,
            1,
            1,
            Options {
                depth,
                priority,
                ..Options::default()
            },
        )
    };
    rig.assign_this(with(2, 0, 5));
    rig.assign_this(with(3, 1, 0));
    let order: Vec<_> = (0..4).map(|_| rig.run_one(0)).collect();
    assert_eq!(order, vec![0, 3, 2, 1]);
}

#[test]
fn a_supervised_element_is_alone_in_its_executor() {
    let mut rig = Rig::new(1);
    rig.warm_up(200);
    let options = Options {
        timeout_us: 1_000_000,
        ..Options::default()
    };
    rig.assign_this(Rig::assignment(0, 10, 10, options));
    assert_eq!(rig.chunks(0), vec![(0, 1)]);
}

#[test]
fn a_used_up_executor_is_replaced_between_elements() {
    let mut rig = Rig::with(NodeConfig {
        slots: 1,
        recycle: 3,
        ..NodeConfig::default()
    });
    rig.assign(0, 10);
    let starts = rig.starts.len();
    for _ in 0..3 {
        rig.run_one(0);
    }
    assert!(
        matches!(rig.executors[0].messages.last(), Some(Message::Stop)),
        "{:?}",
        rig.executors[0].messages
    );
    rig.die(0, 0);
    assert_eq!(rig.starts.len(), starts + 1);
    rig.run_dry();
    assert!(rig.owed.is_empty() && rig.lost().is_empty());
}

#[test]
fn reclaim_gives_back_the_last_and_answers_even_when_there_is_nothing() {
    let mut rig = Rig::new(1);
    rig.say(Message::Reclaim { count: 5 });
    assert_eq!(rig.told.last(), Some(&Message::GaveBack { ranges: vec![] }));
    rig.assign(0, 10);
    rig.begin(0);
    rig.say(Message::Reclaim { count: 100 });
    assert_eq!(
        rig.given_back(),
        vec![Range {
            session: SESSION,
            first: 1,
            count: 9
        }]
    );
    rig.run_dry();
    assert_eq!(rig.outcome_of(0), Some(OutcomeKind::ValueList));
}

#[test]
fn reclaim_takes_what_waits_in_an_executor() {
    let mut rig = Rig::new(1);
    rig.warm_up(200);
    rig.assign(0, 60);
    rig.begin(0);
    rig.say(Message::Reclaim { count: 60 });
    let given: u64 = rig.given_back().iter().map(|range| range.count).sum();
    assert_eq!(given, 59);
    rig.run_dry();
    assert!(rig.owed.is_empty());
    rig.assign(500, 3);
    rig.run_dry();
    assert!(rig.owed.is_empty(), "the ban was lifted");
}

#[test]
fn a_drain_finishes_what_runs_and_gives_back_the_rest() {
    let mut rig = Rig::new(1);
    rig.warm_up(200);
    rig.assign(0, 60);
    rig.begin(0);
    rig.say(Message::Drain);
    assert!(!rig.told.contains(&Message::Drained));
    assert_eq!(
        rig.given_back()
            .iter()
            .map(|range| range.count)
            .sum::<u64>(),
        59
    );
    rig.run_dry();
    assert_eq!(rig.told.last(), Some(&Message::Drained));
    rig.assign(100, 5);
    assert_eq!(
        rig.given_back().last(),
        Some(&Range {
            session: SESSION,
            first: 100,
            count: 5
        })
    );
    assert_eq!(
        rig.told
            .iter()
            .filter(|message| **message == Message::Drained)
            .count(),
        1
    );
}

#[test]
fn what_a_machine_that_goes_has_no_time_to_finish_goes_back_and_that_is_no_attempt() {
    let mut rig = Rig::with(NodeConfig {
        drain_limit_us: 110_000_000,
        ..NodeConfig::default()
    });
    rig.assign(0, 1);
    rig.begin(0);
    rig.node.drain_slots(rig.now);
    rig.absorb();
    rig.pass(109_000_000);
    assert!(rig.kills.is_empty());
    rig.pass(1_000_000);
    assert_eq!(rig.kills, vec![0]);
    rig.die(0, -9);
    let lost = rig.lost();
    assert!(
        matches!(
            lost[..],
            [Message::Lost {
                sequence: 0,
                cause: LossCause::Collateral,
                ..
            }]
        ),
        "{lost:?}"
    );
    assert_eq!(rig.exits, vec!["drained".to_string()]);
}

#[test]
fn a_machine_that_goes_drains_and_exits() {
    let mut rig = Rig::new(1);
    rig.assign(0, 1);
    rig.begin(0);
    rig.node.drain_slots(rig.now);
    rig.absorb();
    assert!(rig.exits.is_empty());
    rig.run_dry();
    assert_eq!(rig.exits, vec!["drained".to_string()]);
}
