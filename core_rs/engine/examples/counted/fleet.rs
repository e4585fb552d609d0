//! A scheduler with many nodes and a long queue: what a task costs there is to depend on neither.

use std::collections::VecDeque;

use bytes::Bytes;
use scaler_engine::scheduler::{Scheduler, SchedulerConfig, SchedulerOutput};
use scaler_engine::wire::{
    Block, CallStyle, Form, Hello, Message, NodeInfo, NodeStatus, Options, OutcomeKind, Range,
    Role, Segment, Submit,
};

const CLIENT: u64 = 0;
const SESSION: u64 = 77;
const FUNCTION: [u8; 16] = [1; 16];
const SLOTS: u32 = 4;
/// What tasks take: none is sent ahead but one a slot.
const BUSY_US: u64 = 10_000;
/// Tasks of one turn, each of its own node where there are so many.
const TURN: u64 = 64;

pub struct Fleet {
    now: u64,
    scheduler: Scheduler<Bytes>,
    out: Vec<SchedulerOutput<Bytes>>,
    /// What nodes run, the oldest first.
    running: VecDeque<(u64, Range)>,
    nodes: u64,
    next: u64,
    told: u64,
    pub finished: u64,
}

impl Fleet {
    /// `queued`: tasks that wait beyond those that are at the nodes.
    pub fn new(nodes: u64, queued: u64) -> Self {
        let mut fleet = Fleet {
            now: 1,
            scheduler: Scheduler::new(SchedulerConfig::default(), 1, 1),
            out: Vec::new(),
            running: VecDeque::new(),
            nodes,
            next: 0,
            told: 0,
            finished: 0,
        };
        let client = Hello {
            session: SESSION,
            ..Hello::new(Role::Client)
        };
        fleet.join(CLIENT, &client);
        let function = Message::Function {
            id: FUNCTION,
            payload: Bytes::from_static(b"a pickled function"),
        };
        fleet.scheduler.handle(1, CLIENT, function);
        for link in 1..=nodes {
            let info = NodeInfo {
                name: format!("node {link}"),
                slots: SLOTS,
                queue_size: 1_000,
                ..NodeInfo::default()
            };
            let node = Hello {
                node: Some(Box::new(info)),
                ..Hello::new(Role::Node)
            };
            fleet.join(link, &node);
            let holding = Message::Holding { ranges: Vec::new() };
            fleet.scheduler.handle(1, link, holding);
        }
        // One that runs and one ahead a slot.
        let places = nodes * u64::from(2 * SLOTS);
        fleet.submit(places);
        fleet.settle();
        // From here on it is known what they take.
        fleet.turns(places.div_ceil(TURN));
        for _ in 0..queued {
            fleet.submit(1);
        }
        fleet.settle();
        fleet
    }

    fn join(&mut self, link: u64, hello: &Hello) {
        let joined = self.scheduler.joined(self.now, link, hello, "here");
        joined.expect("they may join");
    }

    fn submit(&mut self, count: u64) {
        let blocks = (0..count).map(|_| Block {
            count: 1,
            form: Form::Single,
            payload: Bytes::from_static(b"an argument"),
        });
        let submit = Submit {
            function: FUNCTION,
            first: self.next,
            options: Options {
                style: CallStyle::One,
                ..Options::default()
            },
            blocks: blocks.collect(),
            objects: Vec::new(),
            finished: Vec::new(),
            graph: None,
        };
        self.next += count;
        self.scheduler
            .handle(self.now, CLIENT, Message::Submit(submit));
    }

    fn turns(&mut self, turns: u64) {
        (0..turns).for_each(|_| self.turn());
    }

    /// The oldest tasks are done, as many come, and a node says how it is.
    pub fn turn(&mut self) {
        self.now += 100;
        for _ in 0..TURN {
            let (node, range) = self.running.pop_front().expect("nodes have work");
            let segment = Segment {
                first: range.first,
                count: 1,
                kind: OutcomeKind::ValueSingle,
                payload: Bytes::from_static(b"a value"),
                failure: None,
                except: Vec::new(),
                busy_us: BUSY_US,
            };
            let done = Message::Done {
                session: range.session,
                segment,
            };
            self.scheduler.handle(self.now, node, done);
            self.submit(1);
        }
        let node = 1 + self.told % self.nodes;
        self.told += 1;
        let status = NodeStatus {
            slots: SLOTS,
            ..NodeStatus::default()
        };
        self.scheduler
            .handle(self.now, node, Message::NodeStatus(status));
        self.settle();
    }

    fn settle(&mut self) {
        if self
            .scheduler
            .next_wakeup()
            .is_some_and(|at| at <= self.now)
        {
            self.scheduler.tick(self.now);
        }
        self.scheduler.drain(&mut self.out);
        for output in self.out.drain(..) {
            match output {
                SchedulerOutput::Send {
                    link,
                    message: Message::Assign(assign),
                } => {
                    let ranges = (0..u64::from(assign.count)).map(|at| Range {
                        session: assign.session,
                        first: assign.first + at,
                        count: 1,
                    });
                    self.running.extend(ranges.map(|range| (link, range)));
                }
                SchedulerOutput::Send {
                    message: Message::Results { segments },
                    ..
                } => self.finished += segments.iter().map(|it| u64::from(it.count)).sum::<u64>(),
                _ => {}
            }
        }
    }
}
