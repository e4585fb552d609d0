//! A node whose executors are jobs.

use super::rig::*;
use crate::node::{JobOptions, NodeConfig, NodeOutput};
use crate::wire::{LossCause, Message, Options, OutcomeKind};

fn rig(slots: u32) -> Rig {
    Rig::with(NodeConfig {
        slots,
        offload: true,
        look_us: 1_000_000,
        ..NodeConfig::default()
    })
}

/// Cause and detail of each element that was lost.
fn losses(rig: &Rig) -> Vec<(LossCause, &str)> {
    let mut losses = Vec::new();
    for message in rig.lost() {
        if let Message::Lost { cause, detail, .. } = message {
            losses.push((*cause, detail.as_str()));
        }
    }
    losses
}

#[test]
fn each_slot_has_one_element_and_none_waits_behind_it() {
    let mut rig = rig(2);
    rig.warm_up(200);
    rig.assign(0, 3);
    assert_eq!(rig.chunks(0).last().map(|(_, count)| *count), Some(1));
    let busy = |rig: &Rig| {
        let chunks = |slot: u32| rig.node.slots[slot as usize].chunks.len();
        (chunks(0), chunks(1))
    };
    assert_eq!(busy(&rig), (1, 1));
    rig.run_dry();
    assert!((0..3).all(|s| rig.outcome_of(s) == Some(OutcomeKind::ValueList)));
}

#[test]
fn an_element_is_described_before_it_comes() {
    let mut rig = rig(1);
    let options = Options {
        name: "render".into(),
        timeout_us: 7,
        priority: 3,
        capabilities: vec![("gpu".into(), 1)],
        ..Options::default()
    };
    let assign = Rig::assignment(0, 1, 1, options);
    let payload = Bytes(10);
    let told = Message::Function { id: F, payload };
    rig.node.handle(rig.now, told);
    rig.node.handle(rig.now, Message::Assign(assign));
    let mut out = Vec::new();
    rig.node.drain(&mut out);
    let at = |wanted: fn(&NodeOutput<Bytes>) -> bool| out.iter().position(wanted);
    let described = at(|it| matches!(it, NodeOutput::Describe { .. })).unwrap();
    let chunk = at(|it| {
        let message = match it {
            NodeOutput::ToExecutor { message, .. } => message,
            _ => return false,
        };
        matches!(message, Message::Chunk(_))
    });
    assert!(described < chunk.unwrap());
    let expected = JobOptions {
        name: "render".into(),
        timeout_us: 7,
        priority: 3,
        capabilities: vec![("gpu".into(), 1)],
    };
    let NodeOutput::Describe { options, .. } = &out[described] else {
        unreachable!()
    };
    assert_eq!(**options, expected);
}

#[test]
fn a_job_that_ends_without_an_outcome_is_lost_with_what_is_known_of_it() {
    let mut rig = rig(1);
    rig.assign(0, 1);
    rig.begin(0);
    let position = 1 << 32;
    rig.node
        .job_ended(rig.now, 0, position, "out of memory".into());
    rig.absorb();
    assert_eq!(losses(&rig), [(LossCause::ExecutorDied, "out of memory")]);
}

#[test]
fn what_is_given_up_goes_back_without_an_attempt() {
    let mut rig = rig(1);
    rig.assign(0, 1);
    rig.begin(0);
    rig.node.give_up_slots(rig.now);
    rig.absorb();
    assert_eq!(rig.kills, [0]);
    rig.node.job_ended(rig.now, 0, 1 << 32, String::new());
    rig.absorb();
    assert_eq!(losses(&rig), [(LossCause::Collateral, "")]);
}
