//! Random histories: every assigned element is answered once, or is still here; none runs twice at a time.

use super::rig::*;
use crate::node::NodeConfig;
use crate::wire::{Message, Options, Range};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Deed {
    Assign {
        count: u32,
        per_block: u32,
        timeout: bool,
        object: bool,
    },
    Steps {
        slot: u32,
        steps: u32,
    },
    Values {
        slot: u32,
    },
    Die {
        slot: u32,
    },
    Cancel {
        back: u64,
        count: u64,
    },
    Withdraw {
        back: u64,
        count: u64,
    },
    Reclaim {
        count: u32,
    },
    Pass {
        microseconds: u64,
    },
    Storage {
        missing: bool,
    },
    Forget,
    StoreForget,
    Again,
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        4 => (1u32..40, 1u32..20, any::<bool>(), prop::bool::weighted(0.2))
            .prop_map(|(count, per_block, timeout, object)| Deed::Assign { count, per_block, timeout, object }),
        12 => (0u32..3, 1u32..12).prop_map(|(slot, steps)| Deed::Steps { slot, steps }),
        2 => (0u32..3).prop_map(|slot| Deed::Values { slot }),
        2 => (0u32..3).prop_map(|slot| Deed::Die { slot }),
        3 => (0u64..60, 1u64..30).prop_map(|(back, count)| Deed::Cancel { back, count }),
        2 => (0u64..60, 1u64..30).prop_map(|(back, count)| Deed::Withdraw { back, count }),
        2 => (0u32..50).prop_map(|count| Deed::Reclaim { count }),
        3 => prop_oneof![0u64..3_000, 3_000u64..40_000, Just(3_000_000)]
            .prop_map(|microseconds| Deed::Pass { microseconds }),
        2 => any::<bool>().prop_map(|missing| Deed::Storage { missing }),
        1 => Just(Deed::Forget),
        1 => Just(Deed::StoreForget),
        1 => Just(Deed::Again),
    ]
}

struct History {
    rig: Rig,
    next: u64,
    /// Elements given back or lost, which the scheduler may assign again.
    back: Vec<(u64, u32)>,
}

impl History {
    fn new(config: NodeConfig) -> Self {
        History {
            rig: Rig::with(config),
            next: 0,
            back: vec![],
        }
    }

    fn does(&mut self, deed: Deed) {
        let rig = &mut self.rig;
        match deed {
            Deed::Assign {
                count,
                per_block,
                timeout,
                object,
            } => {
                let timeout_us = if timeout && per_block % 5 == 0 {
                    20_000
                } else {
                    0
                };
                let mut assign = Rig::assignment(
                    self.next,
                    count,
                    per_block,
                    Options {
                        timeout_us,
                        ..Options::default()
                    },
                );
                if object {
                    assign.objects = vec![
                        uses(count / 2, (count % 3) as u8, 10),
                        uses(u32::MAX, 7, 10),
                    ];
                }
                self.next += u64::from(count);
                rig.assign_this(assign);
            }
            Deed::Steps { slot, steps } => (0..steps).for_each(|_| {
                rig.step(slot);
            }),
            Deed::Values { slot } if rig.executors[slot as usize].alive => rig.send_values(slot),
            Deed::Values { .. } => {}
            Deed::Die { slot } if rig.executors[slot as usize].alive => {
                rig.die(slot, -9);
                rig.ready(slot);
            }
            Deed::Die { .. } => {}
            Deed::Cancel { back, count } => rig.cancel(self.next.saturating_sub(back), count),
            Deed::Withdraw { back, count } => {
                let range = Range {
                    session: SESSION,
                    first: self.next.saturating_sub(back),
                    count,
                };
                let answers = |rig: &Rig| {
                    let told = rig.told.iter();
                    told.filter(|message| matches!(message, Message::Withdrawn { .. }))
                        .count()
                };
                let before = answers(rig);
                rig.say(Message::Withdraw { request: 5, range });
                assert_eq!(
                    answers(rig),
                    before + 1,
                    "the lines are looked at in the same turn"
                );
            }
            Deed::Reclaim { count } => rig.say(Message::Reclaim { count }),
            Deed::Pass { microseconds } => rig.pass(microseconds),
            Deed::Storage { missing } => storage_answers(rig, missing),
            Deed::Forget => forget(rig),
            Deed::StoreForget => {
                rig.to_store.clear();
                rig.node.store_reset(rig.now);
                rig.absorb();
            }
            Deed::Again => self.assign_again(),
        }
        self.collect();
    }

    fn collect(&mut self) {
        for message in std::mem::take(&mut self.rig.told) {
            match message {
                Message::GaveBack { ranges } => {
                    self.back
                        .extend(ranges.iter().map(|range| (range.first, range.count as u32)));
                }
                Message::Lost { sequence, .. } => self.back.push((sequence, 1)),
                _ => {}
            }
        }
    }

    fn assign_again(&mut self) {
        for (first, count) in std::mem::take(&mut self.back) {
            self.rig
                .assign_this(Rig::assignment(first, count, 8, Options::default()));
        }
    }
}

fn storage_answers(rig: &mut Rig, missing: bool) {
    for message in std::mem::take(&mut rig.to_store) {
        if let Message::Get { request, .. } = message {
            let answer = match missing {
                true => Message::Missing { request },
                false => Message::Data {
                    request,
                    size: 10,
                    offset: 0,
                    payload: Bytes(10),
                },
            };
            rig.node.store(rig.now, answer);
        }
    }
    rig.absorb();
}

/// The scheduler forgets: what the node then holds is what it owes.
fn forget(rig: &mut Rig) {
    let before = rig.owed.clone();
    rig.node.reset(rig.now, vec![]);
    let mut outputs = Vec::new();
    rig.node.drain(&mut outputs);
    let held = outputs.iter().find_map(|output| match output {
        crate::node::NodeOutput::ToScheduler(Message::Holding { ranges }) => Some(ranges.clone()),
        _ => None,
    });
    let elements = |range: &Range| range.first..range.first + range.count;
    rig.owed = held.expect("holdings").iter().flat_map(elements).collect();
    assert!(rig.owed.is_subset(&before), "holds what it does not have");
    for output in outputs {
        if !matches!(output, crate::node::NodeOutput::ToScheduler(_)) {
            rig.perform(output);
        }
    }
    rig.say(Message::Function {
        id: F,
        payload: Bytes(40),
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn every_element_is_answered_once_or_is_still_here(
        deeds in prop::collection::vec(deed(), 1..120),
        recycle in prop_oneof![Just(0u64), Just(7)],
    ) {
        let mut history = History::new(NodeConfig { slots: 3, recycle, ..NodeConfig::default() });
        for deed in deeds {
            // The rig asserts after each deed: no answer that is not owed, no element in two executors, sane books.
            history.does(deed);
            for slot in std::mem::take(&mut history.rig.kills) {
                if history.rig.executors[slot as usize].alive {
                    history.rig.die(slot, -9);
                }
            }
            for slot in std::mem::take(&mut history.rig.starts) {
                history.rig.ready(slot);
            }
        }
        for _ in 0..200 {
            history.rig.run_dry();
            storage_answers(&mut history.rig, false);
            history.rig.pass(50_000);
            if history.rig.owed.is_empty() {
                break;
            }
        }
        prop_assert!(history.rig.owed.is_empty(), "never answered: {:?}", history.rig.owed);
    }
}
