//! A million no-op tasks, as they come from clients and go to a node.

use bytes::Bytes;
use scaler_engine::scheduler::{Scheduler, SchedulerConfig, SchedulerOutput};
use scaler_engine::wire::{
    Block, CallStyle, Form, Hello, Message, NodeInfo, Options, OutcomeKind, Role, Segment, Submit,
};

pub const TASKS: u64 = 1_000_000;
const CLIENT: u64 = 1;
const NODE: u64 = 2;
const SESSION: u64 = 77;
const FUNCTION: [u8; 16] = [1; 16];
/// Tasks of one frame.
const FRAME: u64 = 8_192;

/// How the tasks travel.
#[derive(Clone, Copy, Debug)]
pub enum Shape {
    /// Each `submit` an array of its own.
    One,
    /// 256 `submit`s in an array.
    Batch,
    /// A `map`: 8,192 elements in an array, 1,024 in a block.
    Map,
}

impl Shape {
    /// Elements of an array, and of a block.
    fn sizes(self) -> (u64, u64) {
        match self {
            Shape::One => (1, 1),
            Shape::Batch => (256, 1),
            Shape::Map => (8_192, 1_024),
        }
    }

    /// Of so many tasks.
    pub fn submissions(self, tasks: u64) -> Vec<Message<Bytes>> {
        self.messages(0, tasks)
    }

    fn messages(self, start: u64, end: u64) -> Vec<Message<Bytes>> {
        let (array, block) = self.sizes();
        let arguments = Bytes::from(vec![7; 1 << 10]);
        let starts = (start..end).step_by(array as usize);
        let submission = |first: u64| {
            let count = array.min(end - first);
            let blocks = (0..count).step_by(block as usize).map(|at| Block {
                count: block.min(count - at) as u32,
                form: if block == 1 { Form::Single } else { Form::List },
                payload: arguments.slice(..8),
            });
            Message::Submit(Submit {
                function: FUNCTION,
                first,
                options: Options {
                    style: CallStyle::One,
                    ..Options::default()
                },
                blocks: blocks.collect(),
                objects: Vec::new(),
                finished: Vec::new(),
                graph: None,
            })
        };
        starts.map(submission).collect()
    }

    /// A node's word of each chunk: a block.
    pub fn outcomes(self) -> Vec<Message<Bytes>> {
        self.outcomes_of(0, TASKS)
    }

    fn outcomes_of(self, start: u64, end: u64) -> Vec<Message<Bytes>> {
        let (_, block) = self.sizes();
        let value = Bytes::from(vec![7; 8]);
        let starts = (start..end).step_by(block as usize);
        let outcome = |first: u64| {
            let count = block.min(end - first) as u32;
            let segment = Segment {
                first,
                count,
                kind: if block == 1 {
                    OutcomeKind::ValueSingle
                } else {
                    OutcomeKind::ValueList
                },
                payload: value.clone(),
                failure: None,
                except: Vec::new(),
                busy_us: 1,
            };
            Message::Done {
                session: SESSION,
                segment,
            }
        };
        starts.map(outcome).collect()
    }
}

/// A scheduler with a client, and a node that takes everything.
pub struct Cluster {
    scheduler: Scheduler<Bytes>,
    out: Vec<SchedulerOutput<Bytes>>,
}

impl Cluster {
    pub fn new() -> Self {
        let mut scheduler = Scheduler::new(SchedulerConfig::default(), 1, 1);
        let client = hello(Role::Client, None);
        scheduler
            .joined(1, CLIENT, &client, "here")
            .expect("a client may join");
        let code = Message::Function {
            id: FUNCTION,
            payload: Bytes::from_static(b"code"),
        };
        scheduler.handle(1, CLIENT, code);
        let mut cluster = Cluster {
            scheduler,
            out: Vec::new(),
        };
        cluster.turn();
        cluster
    }

    pub fn accept(&mut self, work: Vec<Message<Bytes>>) {
        let mut in_frame = 0;
        for message in work {
            if let Message::Submit(submit) = &message {
                in_frame += submit.count();
            }
            self.scheduler.handle(2, CLIENT, message);
            if in_frame >= FRAME {
                in_frame = 0;
                self.turn();
            }
        }
        self.turn();
    }

    /// A node joins that has room for all.
    pub fn assign(&mut self) -> Vec<SchedulerOutput<Bytes>> {
        let node = NodeInfo {
            name: "node".into(),
            slots: 1_000,
            queue_size: 100_000,
            ..NodeInfo::default()
        };
        self.scheduler
            .joined(3, NODE, &hello(Role::Node, Some(node)), "here")
            .expect("a node may join");
        self.scheduler
            .handle(3, NODE, Message::Holding { ranges: Vec::new() });
        self.scheduler.drain(&mut self.out);
        std::mem::take(&mut self.out)
    }

    pub fn done(&mut self, outcomes: Vec<Message<Bytes>>) {
        let mut in_frame = 0;
        for message in outcomes {
            in_frame += message.elements();
            self.scheduler.handle(4, NODE, message);
            if in_frame >= FRAME {
                in_frame = 0;
                self.turn();
            }
        }
        self.turn();
    }

    pub fn is_empty(&self) -> bool {
        self.scheduler
            .status()
            .contains("\"queued\":0,\"assigned\":0,\"arrays\":0")
    }

    fn turn(&mut self) {
        self.scheduler.drain(&mut self.out);
        self.out.clear();
    }
}

fn hello(role: Role, node: Option<NodeInfo>) -> Hello {
    Hello {
        session: SESSION,
        node: node.map(Box::new),
        ..Hello::new(role)
    }
}
