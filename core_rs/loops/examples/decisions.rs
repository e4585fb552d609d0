//! Decisions of the core, with no worker, socket or byte: `decisions TASKS ARRAY`, with so many tasks a submission.
//!
//! A decision is a task's whole way through the scheduler: accepted, assigned to one of 100 nodes, done and its outcome
//! told. Nodes answer in the next turn. Prints how many seconds it took; `benches/scale.py` reads that.

use std::collections::VecDeque;
use std::time::Instant;

use bytes::Bytes;
use scaler_engine::scheduler::{Scheduler, SchedulerConfig, SchedulerOutput};
use scaler_wire::{
    Block, CallStyle, Form, Hello, Message, NodeInfo, Options, OutcomeKind, Role, Segment, Submit,
};

const CLIENT: u64 = 0;
const SESSION: u64 = 77;
const FUNCTION: [u8; 16] = [1; 16];
const NODES: u64 = 100;
const SLOTS: u32 = 32;
/// Tasks that are unfinished, and how many come in a turn.
const QUEUE: u64 = 20_000;
const TURN: u64 = 1_024;

struct Core {
    scheduler: Scheduler<Bytes>,
    out: Vec<SchedulerOutput<Bytes>>,
    answers: VecDeque<(u64, Message<Bytes>)>,
    now: u64,
    next: u64,
    finished: u64,
}

impl Core {
    fn new() -> Core {
        let mut scheduler = Scheduler::new(SchedulerConfig::default(), 1, 1);
        let client = Hello {
            session: SESSION,
            ..Hello::new(Role::Client)
        };
        let joined = scheduler.joined(1, CLIENT, &client, "here");
        joined.expect("a client may join");
        let function = Message::Function {
            id: FUNCTION,
            payload: Bytes::from_static(b"a pickled function"),
        };
        scheduler.handle(1, CLIENT, function);
        for link in 1..=NODES {
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
            let joined = scheduler.joined(1, link, &node, "here");
            joined.expect("a node may join");
            scheduler.handle(1, link, Message::Holding { ranges: Vec::new() });
        }
        Core {
            scheduler,
            out: Vec::new(),
            answers: VecDeque::new(),
            now: 1,
            next: 0,
            finished: 0,
        }
    }

    fn submit(&mut self, count: u64) {
        let payload = Bytes::from_static(&[7; 2_048]);
        let form = if count == 1 { Form::Single } else { Form::List };
        let submit = Submit {
            function: FUNCTION,
            first: self.next,
            options: Options {
                style: CallStyle::One,
                ..Options::default()
            },
            blocks: vec![Block {
                count: count as u32,
                form,
                payload: payload.slice(..6 * count as usize),
            }],
            objects: Vec::new(),
            finished: Vec::new(),
            graph: None,
        };
        self.next += count;
        self.scheduler
            .handle(self.now, CLIENT, Message::Submit(submit));
    }

    /// `array` tasks are a submission. The oldest of what nodes have is answered.
    fn turn(&mut self, tasks: u64, array: u64) {
        self.now += 1_000;
        while self.next < tasks && self.next - self.finished < QUEUE {
            self.submit(array.min(tasks - self.next));
        }
        for _ in 0..TURN.min(self.answers.len() as u64) {
            if let Some((node, answer)) = self.answers.pop_front() {
                self.scheduler.handle(self.now, node, answer);
            }
        }
        self.scheduler.drain(&mut self.out);
        for output in self.out.drain(..) {
            match output {
                SchedulerOutput::Send {
                    link,
                    message: Message::Assign(assign),
                } => {
                    let single = assign.count == 1;
                    let segment = Segment {
                        first: assign.first,
                        count: assign.count,
                        kind: match single {
                            true => OutcomeKind::ValueSingle,
                            false => OutcomeKind::ValueList,
                        },
                        payload: Bytes::from_static(b"values"),
                        failure: None,
                        except: Vec::new(),
                        busy_us: 10_000 * u64::from(assign.count),
                    };
                    let done = Message::Done {
                        session: assign.session,
                        segment,
                    };
                    self.answers.push_back((link, done));
                }
                SchedulerOutput::Send {
                    message: Message::Results { segments },
                    ..
                } => {
                    let done = segments.iter().map(|it| u64::from(it.count));
                    self.finished += done.sum::<u64>();
                }
                _ => {}
            }
        }
    }
}

fn main() {
    let numbers = std::env::args().skip(1).map(|text| text.parse().ok());
    let numbers: Option<Vec<u64>> = numbers.collect();
    let Some([tasks, array]) = numbers.as_deref() else {
        panic!("decisions TASKS ARRAY");
    };
    let mut core = Core::new();
    let began = Instant::now();
    while core.finished < *tasks {
        core.turn(*tasks, *array);
    }
    println!("{}", began.elapsed().as_secs_f64());
}
