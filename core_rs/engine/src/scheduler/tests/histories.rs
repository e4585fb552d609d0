//! Random histories of clients and nodes that keep the protocol, with everything that may happen to them. After every
//! step all elements are in one place and all counters agree; at the end each has had exactly one outcome.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::rig::*;
use crate::ranges::RangeSet;
use crate::scheduler::SchedulerConfig;
use crate::wire::{
    Failure, FailureCode, LossCause, Message, Options, OutcomeKind, Range, Segment, Sequence,
};

const NODES: u64 = 4;
const MAX_ATTEMPTS: u32 = 2;

#[derive(Clone, Debug)]
enum Step {
    Submit {
        count: u32,
        kind: u8,
    },
    Cancel {
        at: u16,
        count: u8,
    },
    /// A node says something of up to `count` of its elements.
    Node {
        node: u64,
        what: u8,
        at: u16,
        count: u8,
    },
    NodeDies {
        node: u64,
        says: bool,
    },
    NodeBeginsAnew {
        node: u64,
    },
    NodeAway {
        node: u64,
        away: bool,
    },
    Drain {
        node: u64,
        drains: bool,
    },
    Backlog {
        bytes: u64,
    },
    Clear,
    ClientBeginsAnew,
    SchedulerForgets,
    Pass {
        milliseconds: u16,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let node = 10..10 + NODES;
    prop_oneof![
        8 => (1u32..60, any::<u8>()).prop_map(|(count, kind)| Step::Submit { count, kind }),
        2 => (any::<u16>(), 1u8..40).prop_map(|(at, count)| Step::Cancel { at, count }),
        40 => (node.clone(), any::<u8>(), any::<u16>(), 1u8..8)
            .prop_map(|(node, what, at, count)| Step::Node { node, what, at, count }),
        2 => (node.clone(), any::<bool>()).prop_map(|(node, says)| Step::NodeDies { node, says }),
        2 => node.clone().prop_map(|node| Step::NodeBeginsAnew { node }),
        2 => (node.clone(), any::<bool>()).prop_map(|(node, away)| Step::NodeAway { node, away }),
        1 => (node, any::<bool>()).prop_map(|(node, drains)| Step::Drain { node, drains }),
        1 => prop_oneof![Just(0u64), Just(10_000)].prop_map(|bytes| Step::Backlog { bytes }),
        1 => Just(Step::Clear),
        1 => Just(Step::ClientBeginsAnew),
        1 => Just(Step::SchedulerForgets),
        4 => (0u16..3_000).prop_map(|milliseconds| Step::Pass { milliseconds }),
    ]
}

/// What the model knows of an element.
#[derive(Clone, Debug, Default)]
struct Element {
    outcome: Option<OutcomeKind>,
    cancelled: bool,
    runs: u32,
    retries: u16,
}

/// A node's end of the protocol.
#[derive(Clone, Debug, Default)]
struct Peer {
    alive: bool,
    here: RangeSet,
    /// Those that it was told to cancel.
    cancels: RangeSet,
    blocks: BTreeSet<Sequence>,
    knows: bool,
    draining: bool,
    asked: Option<u32>,
    withdraws: Vec<(u64, Range)>,
    capabilities: Vec<(&'static str, i64)>,
}

struct World {
    rig: Rig,
    client: u64,
    elements: Vec<Element>,
    submitted: Vec<(Sequence, u32, Options)>,
    peers: BTreeMap<u64, Peer>,
    incarnations: u64,
}

impl World {
    fn new() -> World {
        let mut world = World {
            rig: Rig::with(config(0)),
            client: 100,
            elements: Vec::new(),
            submitted: Vec::new(),
            peers: BTreeMap::new(),
            incarnations: 0,
        };
        world.rig.client(100, SESSION);
        for link in 10..10 + NODES {
            let capabilities = if link % 2 == 0 {
                vec![("gpu", 1)]
            } else {
                Vec::new()
            };
            world.peers.insert(
                link,
                Peer {
                    capabilities,
                    ..Peer::default()
                },
            );
            world.join(link);
        }
        world
    }

    fn join(&mut self, link: u64) {
        let peer = self.peers.get_mut(&link).unwrap();
        let capabilities = peer.capabilities.clone();
        let returning = u64::from(!peer.here.is_empty());
        *peer = Peer {
            alive: true,
            capabilities: capabilities.clone(),
            here: peer.here.clone(),
            ..Peer::default()
        };
        let held: Vec<_> = peer
            .here
            .iter()
            .map(|(start, end)| (start, end - start))
            .collect();
        self.rig
            .join_node(link, 1 + (link % 3) as u32, &capabilities, 11, returning);
        self.rig.hold(link, &held);
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Submit { count, kind } => self.submit(count, kind),
            Step::Cancel { at, count } => self.cancel(at, count),
            Step::Node {
                node,
                what,
                at,
                count,
            } => self.node(node, what, at, count),
            Step::NodeDies { node, says } => self.die(node, says),
            Step::NodeBeginsAnew { node } => {
                if self.peers[&node].alive {
                    self.rig.leave(node);
                    self.hear();
                    self.begin_anew(node);
                }
            }
            Step::NodeAway { node, away } if away => {
                self.rig.scheduler.disconnected(self.rig.now, node)
            }
            Step::NodeAway { node, .. } => self.rig.scheduler.resumed(self.rig.now, node),
            Step::Drain { node, drains } => self.drain(node, drains),
            Step::Backlog { bytes } => self.rig.scheduler.backlog(self.rig.now, self.client, bytes),
            Step::Clear => {
                self.rig.say(self.client, Message::Clear);
                self.elements
                    .iter_mut()
                    .for_each(|element| element.cancelled = true);
            }
            Step::ClientBeginsAnew => {
                self.rig.leave(self.client);
                self.hear();
                self.client += 1;
                self.tell_everything();
            }
            Step::SchedulerForgets => self.forget(),
            Step::Pass { milliseconds } => self.rig.pass(u64::from(milliseconds) * 1_000),
        }
        self.rig.turn();
        self.hear();
    }

    fn submit(&mut self, count: u32, kind: u8) {
        let first = self.elements.len() as u64;
        let options = Options {
            retries: u16::from(kind & 1),
            priority: i32::from(kind & 2),
            ..needs(if kind & 12 == 12 { &[("gpu", 1)] } else { &[] })
        };
        let element = Element {
            retries: options.retries,
            ..Element::default()
        };
        self.elements.extend((0..count).map(|_| element.clone()));
        self.submitted.push((first, count, options.clone()));
        self.rig.say(self.client, array(first, count, options));
    }

    fn cancel(&mut self, at: u16, count: u8) {
        let first = u64::from(at) % (self.elements.len() as u64 + 1);
        let end = (first + u64::from(count)).min(self.elements.len() as u64);
        for sequence in first..end {
            self.elements[sequence as usize].cancelled = true;
        }
        let count = u64::from(count);
        let message = match count % 2 {
            0 => Message::Cancel { first, count },
            _ => Message::CancelUnstarted {
                request: 1,
                first,
                count,
            },
        };
        self.rig.say(self.client, message);
    }

    /// What is at a node, `count` of it at most from a place that `at` picks; within a block.
    fn pick(&self, node: u64, at: u16, count: u8) -> Option<(Sequence, Sequence)> {
        let here = &self.peers[&node].here;
        let runs: Vec<_> = here.iter().collect();
        let (start, end) = *runs.get(usize::from(at) % runs.len().max(1))?;
        let &(first, length, _) = self.array_of(start);
        let end = end
            .min(first + u64::from(length))
            .min(start + u64::from(count));
        Some((start, end))
    }

    fn array_of(&self, sequence: Sequence) -> &(Sequence, u32, Options) {
        let at = self
            .submitted
            .partition_point(|(first, _, _)| *first <= sequence)
            - 1;
        &self.submitted[at]
    }

    fn node(&mut self, node: u64, what: u8, at: u16, count: u8) {
        if !self.peers[&node].alive {
            return self.join(node);
        }
        let Some((start, end)) = self.pick(node, at, count) else {
            return;
        };
        let peer = self.peers.get_mut(&node).unwrap();
        let cancelled = peer.cancels.contains(start);
        let mut leaves = (start, end);
        match what % 10 {
            0 if cancelled => {
                leaves.1 = start + 1;
                self.rig.end(node, start, OutcomeKind::Cancelled);
            }
            0..=3 => {
                (start..end).for_each(|at| self.elements[at as usize].runs += 1);
                self.rig.done(node, start, (end - start) as u32, 1_000);
            }
            4 => {
                leaves.1 = start + 1;
                self.elements[start as usize].runs += 1;
                self.rig.end(node, start, OutcomeKind::Exception);
            }
            5 => {
                leaves.1 = start + 1;
                self.elements[start as usize].runs += 1;
                self.rig.lost(node, start, -9);
            }
            6 => {
                leaves.1 = start + 1;
                let message = Message::Lost {
                    session: SESSION,
                    sequence: start,
                    cause: LossCause::Collateral,
                    status: 0,
                    detail: String::new(),
                };
                self.rig.say(node, message);
            }
            7 => {
                leaves.1 = start + 1;
                self.rig.say(node, failure(start));
            }
            8 => self.rig.give_back(node, &[(start, end - start)]),
            _ => {
                self.elements[start as usize].runs += 1;
                return self.rig.report_running(node, &[start]);
            }
        }
        let peer = self.peers.get_mut(&node).unwrap();
        peer.here.remove(leaves.0, leaves.1);
        peer.cancels.remove(leaves.0, leaves.1);
        // What it just gave back may be here again.
        self.hear();
    }

    fn die(&mut self, node: u64, says: bool) {
        let peer = self.peers.get_mut(&node).unwrap();
        if !peer.alive {
            return;
        }
        let first = peer.here.first();
        peer.alive = false;
        peer.here = RangeSet::new();
        if let Some(first) = first.filter(|_| says) {
            self.elements[first as usize].runs += 1;
            self.rig.report_running(node, &[first]);
        }
        self.rig.leave(node);
    }

    /// What has not reached an executor is dropped: every second element.
    fn begin_anew(&mut self, node: u64) {
        let peer = self.peers.get_mut(&node).unwrap();
        let here: Vec<_> = peer.here.iter().collect();
        for (start, end) in here {
            peer.here.remove(start + 1, end);
        }
        self.join(node);
    }

    fn drain(&mut self, node: u64, drains: bool) {
        let peer = self.peers.get_mut(&node).unwrap();
        if peer.alive {
            peer.draining = drains;
            let status = crate::wire::NodeStatus {
                draining: drains,
                ..Default::default()
            };
            self.rig.say(node, Message::NodeStatus(status));
        }
    }

    fn forget(&mut self) {
        self.hear();
        self.incarnations += 1;
        let now = self.rig.now + 1;
        self.rig = Rig::with(config(2_000_000));
        self.rig.now = now.max(1_000);
        let (mut clients_first, links) = (self.incarnations.is_multiple_of(2), 10..10 + NODES);
        if clients_first {
            self.tell_everything();
        }
        for link in links {
            if self.peers[&link].alive {
                self.begin_anew(link);
            }
        }
        if !std::mem::replace(&mut clients_first, true) {
            self.tell_everything();
        }
    }

    fn tell_everything(&mut self) {
        self.rig.client(self.client, SESSION);
        for (first, count, options) in self.submitted.clone() {
            let mut submit = submission(first, count, options);
            let done = |offset: &u32| {
                self.elements[(first + u64::from(*offset)) as usize]
                    .outcome
                    .is_some()
            };
            submit.finished = (0..count).filter(done).map(|offset| (offset, 1)).collect();
            if submit.finished.len() < count as usize {
                self.rig.mutter(self.client, Message::Submit(submit));
            }
        }
        let cancelled: Vec<_> = (0..self.elements.len())
            .filter(|&at| self.elements[at].cancelled)
            .collect();
        for at in cancelled {
            self.rig.mutter(
                self.client,
                Message::Cancel {
                    first: at as u64,
                    count: 1,
                },
            );
        }
        self.rig.turn();
    }

    /// Peers take what they were told.
    fn hear(&mut self) {
        let mut answers = 0;
        while self.hear_one_answer() {
            answers += 1;
            assert!(answers < 1_000, "asked for ever");
        }
    }

    /// Whether somebody had an answer to give.
    fn hear_one_answer(&mut self) -> bool {
        assert_eq!(self.rig.ended, [], "nobody broke the rules");
        for segment in self.rig.results(self.client) {
            self.outcome(segment);
        }
        for link in 10..10 + NODES {
            for message in self.rig.told(link) {
                self.order(link, message);
            }
        }
        for link in 10..10 + NODES {
            let peer = self.peers.get_mut(&link).unwrap();
            if let Some((request, wanted)) = peer.withdraws.pop() {
                // Every third element has not started.
                let end = wanted.first + wanted.count;
                let inside: Vec<_> = peer.here.overlap(wanted.first, end).collect();
                let unstarted = inside.into_iter().flat_map(|(start, end)| start..end);
                let unstarted: Vec<_> = unstarted.filter(|at| at % 3 == 0).collect();
                for &at in &unstarted {
                    peer.here.remove(at, at + 1);
                }
                let ranges = unstarted.iter().map(|&at| range(at, 1)).collect();
                self.rig.say(link, Message::Withdrawn { request, ranges });
                return true;
            }
            if let Some(count) = peer.asked.take() {
                let taken = peer.here.take_last(u64::from(count.min(5)));
                let ranges: Vec<_> = taken
                    .iter()
                    .map(|&(start, end)| (start, end - start))
                    .collect();
                self.rig.give_back(link, &ranges);
                return true;
            }
        }
        false
    }

    fn outcome(&mut self, segment: Segment<Bytes>) {
        let mut excepted = segment.except.iter().peekable();
        for offset in 0..segment.count {
            if excepted.next_if_eq(&&offset).is_some() {
                continue;
            }
            let sequence = segment.first + u64::from(offset);
            let element = &mut self.elements[sequence as usize];
            let before = element.outcome.replace(segment.kind);
            assert_eq!(
                before, None,
                "a second outcome of {sequence}: {:?}",
                segment.kind
            );
            match segment.kind {
                OutcomeKind::Cancelled => assert!(element.cancelled, "nobody cancelled {sequence}"),
                OutcomeKind::Exception => assert!(element.runs > u32::from(element.retries)),
                OutcomeKind::Failure => check_failure(element, segment.failure.as_ref().unwrap()),
                _ => assert!(element.runs > 0),
            }
        }
    }

    fn order(&mut self, link: u64, message: Message<Bytes>) {
        let peer = self.peers.get_mut(&link).unwrap();
        if !peer.alive {
            return;
        }
        match message {
            Message::Function { .. } => peer.knows = true,
            Message::ForgetFunction { .. } => peer.knows = false,
            Message::Assign(assign) => {
                assert!(peer.knows, "a function comes before its first use");
                let end = assign.first + u64::from(assign.count);
                assert_eq!(
                    peer.here.overlap(assign.first, end).next(),
                    None,
                    "assigned twice to {link}"
                );
                assert!(peer.capabilities.len() >= assign.options.capabilities.len());
                peer.here.insert(assign.first, end);
                for block in assign.blocks {
                    let fresh = peer.blocks.insert(block.first);
                    assert_eq!(
                        block.payload.is_some(),
                        fresh,
                        "block {} at {link}",
                        block.first
                    );
                }
            }
            Message::DropBlocks { blocks, .. } => {
                for first in blocks {
                    assert!(peer.blocks.remove(&first), "block {first} is not at {link}");
                    let at = self
                        .submitted
                        .partition_point(|(array, _, _)| *array <= first)
                        - 1;
                    let &(array, count, _) = &self.submitted[at];
                    let end = (first + 100).min(array + u64::from(count));
                    // What is being cancelled keeps its block alive by itself.
                    let mut used = peer.here.clone();
                    peer.cancels
                        .iter()
                        .for_each(|(start, end)| used.remove(start, end));
                    let used = used.overlap(first, end).next();
                    assert_eq!(used, None, "block {first} is in use at {link}");
                }
            }
            Message::CancelElements { range } => {
                peer.cancels.insert(range.first, range.first + range.count)
            }
            Message::Withdraw { request, range } => peer.withdraws.push((request, range)),
            Message::Reclaim { count } => peer.asked = Some(count),
            _ => {}
        }
    }

    /// Everybody works until nothing is left.
    fn finish(&mut self) {
        self.rig.scheduler.backlog(self.rig.now, self.client, 0);
        for link in 10..10 + NODES {
            self.rig.scheduler.resumed(self.rig.now, link);
            if !self.peers[&link].alive {
                self.join(link);
            }
            self.drain(link, false);
        }
        for round in 0..100_000 {
            self.rig.pass(if round % 50 == 0 { 1_000_000 } else { 100 });
            self.hear();
            if self
                .elements
                .iter()
                .all(|element| element.outcome.is_some())
            {
                return;
            }
            for link in 10..10 + NODES {
                self.node(
                    link,
                    if self.peers[&link].cancels.is_empty() {
                        1
                    } else {
                        0
                    },
                    0,
                    9,
                );
            }
        }
        let open = self
            .elements
            .iter()
            .position(|element| element.outcome.is_none());
        panic!(
            "no outcome of {open:?}: {}",
            self.rig.explain(open.unwrap() as u64)
        );
    }
}

fn config(resync_us: u64) -> SchedulerConfig {
    SchedulerConfig {
        resync_us,
        max_attempts: MAX_ATTEMPTS,
        result_budget: 5_000,
        ..SchedulerConfig::default()
    }
}

fn failure(first: Sequence) -> Message<Bytes> {
    let failure = Failure {
        code: FailureCode::TaskTimeout,
        attempts: 1,
        status: 0,
        nodes: Vec::new(),
        detail: String::new(),
    };
    let segment = Segment {
        kind: OutcomeKind::Failure,
        failure: Some(failure),
        ..values(first, 1)
    };
    Message::Done {
        session: SESSION,
        segment,
    }
}

fn check_failure(element: &Element, failure: &Failure) {
    if failure.code != FailureCode::TaskTimeout {
        assert!(failure.attempts >= MAX_ATTEMPTS, "{failure:?}");
        let uncertain = failure.detail.contains("before they could say");
        assert!(
            failure.attempts <= element.runs || uncertain,
            "{failure:?} after {} runs",
            element.runs
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, max_shrink_iters: 2_000, ..ProptestConfig::default() })]
    #[test]
    fn whatever_happens_each_element_has_one_outcome(steps in prop::collection::vec(step(), 1..150)) {
        let mut world = World::new();
        for step in steps {
            world.step(step);
        }
        world.finish();
    }
}
