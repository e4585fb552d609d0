//! The path of tasks from a client to an executor and back, without sockets: engines, links, and the bytes between.

use bytes::Bytes;
use scaler_engine::link::{Link, Received, WINDOW};
use scaler_engine::node::{Node, NodeConfig, NodeOutput};
use scaler_engine::scheduler::{Scheduler, SchedulerConfig, SchedulerOutput};
use scaler_engine::session::{Session, SessionEvent};
use scaler_engine::wire::{
    decode, encode, Block, CallStyle, ChunkResult, Form, Frame, Hello, Message, NodeInfo, Options,
    OutcomeKind, Role, Submit,
};

const CLIENT: u64 = 1;
const NODE: u64 = 0;
const SESSION: u64 = 77;
const FUNCTION: [u8; 16] = [1; 16];
/// A microsecond of work is what such tasks have.
const BUSY_US: u64 = 1;
/// Bytes of an element's arguments, or of its value.
const ELEMENT: usize = 6;

pub struct Path {
    now: u64,
    session: Session<Bytes>,
    here: Link<Bytes>,
    there: Link<Bytes>,
    scheduler: Scheduler<Bytes>,
    node: Node<Bytes>,
    next: u64,
    bytes: Vec<u8>,
    payloads: Vec<Bytes>,
    pub finished: u64,
}

impl Path {
    pub fn new(slots: u32) -> Self {
        let mut path = Path {
            now: 1,
            session: Session::new(SESSION),
            here: Link::new(CLIENT, 1, WINDOW),
            there: Link::new(CLIENT, 1, WINDOW),
            scheduler: Scheduler::new(SchedulerConfig::default(), 1, 1),
            node: Node::new(
                NodeConfig {
                    slots,
                    ..NodeConfig::default()
                },
                1,
            ),
            next: 0,
            bytes: Vec::new(),
            payloads: Vec::new(),
            finished: 0,
        };
        let info = NodeInfo {
            name: "node".into(),
            slots,
            queue_size: 1_000,
            ..NodeInfo::default()
        };
        let node = Hello {
            node: Some(Box::new(info)),
            ..Hello::new(Role::Node)
        };
        let client = Hello {
            session: SESSION,
            ..Hello::new(Role::Client)
        };
        for (link, hello) in [(NODE, node), (CLIENT, client)] {
            let joined = path.scheduler.joined(1, link, &hello, "here");
            joined.expect("they may join");
        }
        path.node.connected(1, true);
        path.node.reset(1, Vec::new());
        path.session
            .function(FUNCTION, Bytes::from_static(b"a pickled function"));
        path.settle();
        path
    }

    /// `elements` of one function in blocks of `per_block`, to their end.
    pub fn run(&mut self, elements: u32, per_block: u32) {
        let form = if per_block == 1 {
            Form::Single
        } else {
            Form::List
        };
        let blocks = (0..elements).step_by(per_block as usize).map(|at| {
            let count = per_block.min(elements - at);
            Block {
                count,
                form,
                payload: Bytes::from(vec![7; count as usize * ELEMENT]),
            }
        });
        self.session.submit(Submit {
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
        });
        self.next += u64::from(elements);
        while self.finished < self.next {
            self.settle();
        }
    }

    /// A turn of everybody.
    fn settle(&mut self) {
        self.now += 10;
        let mut messages = Vec::new();
        self.session.drain(&mut messages);
        messages
            .into_iter()
            .for_each(|message| self.here.send(message));
        while let Some(frame) = self.here.poll_transmit(self.now) {
            let frame = self.over_the_wire(frame);
            if let Received::Messages(messages) = self.there.receive(frame) {
                for message in messages {
                    self.scheduler.handle(self.now, CLIENT, message);
                }
            }
        }
        while self.cluster() {}
        while let Some(frame) = self.there.poll_transmit(self.now) {
            let frame = self.over_the_wire(frame);
            if let Received::Messages(messages) = self.here.receive(frame) {
                for message in messages {
                    if let Some(SessionEvent::Results(segments)) =
                        self.session.handle(self.now, message)
                    {
                        let done = segments.iter().map(|it| u64::from(it.count));
                        self.finished += done.sum::<u64>();
                    }
                }
            }
        }
    }

    /// Scheduler and node talk, as they do in one loop. Whether anything moved.
    fn cluster(&mut self) -> bool {
        let mut to_clients = Vec::new();
        self.scheduler.drain(&mut to_clients);
        let mut to_all = Vec::new();
        self.node.drain(&mut to_all);
        let moved = !to_clients.is_empty() || !to_all.is_empty();
        for output in to_clients {
            match output {
                SchedulerOutput::Send {
                    link: NODE,
                    message,
                } => self.node.handle(self.now, message),
                SchedulerOutput::Send { message, .. } => self.there.send(message),
                _ => {}
            }
        }
        let mut chunks = Vec::new();
        for output in to_all {
            match output {
                NodeOutput::ToScheduler(message) => self.scheduler.handle(self.now, NODE, message),
                NodeOutput::StartExecutor { slot } => self.executor_says(
                    slot,
                    vec![Message::Ready {
                        pid: 1,
                        error: String::new(),
                    }],
                ),
                NodeOutput::ToExecutor { slot, message } => chunks.push((slot, message)),
                _ => {}
            }
        }
        for (slot, message) in chunks {
            let frame = self.over_the_wire(local_frame(vec![message]));
            for message in frame.messages {
                if let Message::Chunk(chunk) = message {
                    self.execute(slot, chunk.chunk, chunk.take);
                }
            }
        }
        moved
    }

    fn execute(&mut self, slot: u32, chunk: u32, count: u32) {
        let kind = if count == 1 {
            OutcomeKind::ValueSingle
        } else {
            OutcomeKind::ValueList
        };
        let result = Message::ChunkResult(ChunkResult {
            chunk,
            index: 0,
            count,
            kind,
            payload: Bytes::from(vec![7; count as usize * ELEMENT]),
            busy_us: BUSY_US,
        });
        let end = Message::ChunkEnd {
            chunk,
            next: count,
            busy_us: BUSY_US,
        };
        self.executor_says(slot, vec![result, end]);
    }

    fn executor_says(&mut self, slot: u32, messages: Vec<Message<Bytes>>) {
        for message in self.over_the_wire(local_frame(messages)).messages {
            self.node.executor_message(self.now, slot, message);
        }
    }

    fn over_the_wire(&mut self, frame: Frame<Bytes>) -> Frame<Bytes> {
        self.bytes.clear();
        encode(&frame, &mut self.bytes, &mut self.payloads);
        for payload in self.payloads.drain(..) {
            self.bytes.extend_from_slice(&payload);
        }
        let bytes = &self.bytes[4..];
        decode(bytes, |start, end| {
            Bytes::copy_from_slice(&bytes[start..end])
        })
        .expect("what was written can be read")
    }
}

fn local_frame(messages: Vec<Message<Bytes>>) -> Frame<Bytes> {
    Frame {
        link: 0,
        epoch: 0,
        sequence: 0,
        acknowledged: 0,
        messages,
    }
}
