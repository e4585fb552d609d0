use super::rig::*;
use crate::wire::{Message, OutcomeKind, Range, Segment};

fn holding(rig: &Rig) -> Vec<Range> {
    let last = rig.told.iter().rev().find_map(|message| match message {
        Message::Holding { ranges } => Some(ranges.clone()),
        _ => None,
    });
    last.expect("holdings")
}

fn reset(rig: &mut Rig, unacknowledged: Vec<Message<Bytes>>) {
    rig.node.reset(rig.now, unacknowledged);
    rig.owed.clear();
    let mut out = Vec::new();
    rig.node.drain(&mut out);
    for output in out {
        let crate::node::NodeOutput::ToScheduler(message) = output else {
            continue;
        };
        if let Message::Holding { ranges } = &message {
            rig.owed = ranges
                .iter()
                .flat_map(|range| range.first..range.first + range.count)
                .collect();
        }
        rig.told.push(message);
    }
}

#[test]
fn a_scheduler_that_forgot_learns_what_is_in_executors() {
    let mut rig = Rig::new(2);
    rig.assign(0, 10);
    rig.begin(0);
    reset(&mut rig, vec![]);
    assert_eq!(
        holding(&rig),
        vec![Range {
            session: SESSION,
            first: 0,
            count: 2
        }]
    );
    rig.run_dry();
    assert_eq!(rig.outcome_of(1), Some(OutcomeKind::ValueList));
    assert_eq!(rig.outcome_of(2), None);
}

#[test]
fn outcomes_that_it_never_saw_are_told_again() {
    let mut rig = Rig::new(1);
    let segment = Segment {
        first: 77,
        count: 1,
        kind: OutcomeKind::ValueSingle,
        payload: Bytes(3),
        failure: None,
        except: vec![],
        busy_us: 4,
    };
    let done = Message::Done {
        session: SESSION,
        segment,
    };
    let gave = Message::GaveBack {
        ranges: vec![Range {
            session: SESSION,
            first: 1,
            count: 1,
        }],
    };
    reset(&mut rig, vec![gave.clone(), done.clone()]);
    let from = rig
        .told
        .iter()
        .position(|message| matches!(message, Message::Holding { .. }))
        .expect("holdings");
    assert_eq!(rig.told[from + 1], done);
    assert!(!rig.told.contains(&gave));
}

#[test]
fn an_element_held_over_a_reset_can_run_again_without_the_new_scheduler_telling_its_function() {
    let mut rig = Rig::new(1);
    rig.warm_up(200);
    rig.assign(0, 10);
    rig.begin(0);
    reset(&mut rig, vec![]);
    let held = rig.owed.len();
    rig.die(0, -9);
    assert_eq!(rig.lost().len(), 1);
    rig.run_dry();
    assert!(rig.owed.is_empty());
    assert_eq!(
        rig.outcomes()
            .iter()
            .map(|segment| segment.count as usize)
            .sum::<usize>(),
        held - 1
    );
}

#[test]
fn orphans_can_be_cancelled() {
    let mut rig = Rig::new(1);
    rig.assign(0, 1);
    rig.begin(0);
    reset(&mut rig, vec![]);
    rig.cancel(0, 1);
    rig.run_dry();
    assert_eq!(rig.outcome_of(0), Some(OutcomeKind::Cancelled));
}

#[test]
fn a_new_scheduler_is_told_of_a_drain() {
    let mut rig = Rig::new(1);
    rig.say(Message::Drain);
    rig.told.clear();
    reset(&mut rig, vec![]);
    assert!(rig
        .told
        .iter()
        .any(|message| matches!(message, Message::NodeStatus(status) if status.draining)));
    assert!(rig.told.contains(&Message::Drained));
}
