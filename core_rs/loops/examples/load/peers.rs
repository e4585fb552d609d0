//! What clients and nodes say: the thinnest that keep all that the protocol asks of them.

use std::collections::VecDeque;

use bytes::Bytes;
use scaler_wire::{
    Block, CallStyle, Form, Hello, Message, NodeInfo, NodeStatus, Options, OutcomeKind, Role,
    Segment, SessionId, Submit,
};

const FUNCTION: [u8; 16] = [1; 16];
/// Bytes of a task's arguments, or of its value.
const TASK: usize = 6;

/// What tasks are like.
#[derive(Clone, Copy)]
pub struct Work {
    /// Tasks of a submission, and of a block in it.
    pub array: u64,
    pub block: u32,
    /// What a task is said to take.
    pub busy_us: u64,
}

pub fn client_hello(session: SessionId) -> Hello {
    Hello {
        session,
        ..Hello::new(Role::Client)
    }
}

/// A client with so many unfinished tasks, until it has submitted all of its own.
pub struct Client {
    work: Work,
    session: SessionId,
    held: u64,
    total: u64,
    submitted: u64,
    finished: u64,
    /// Of tasks by sequence: a bit for each that had its outcome.
    seen: Vec<u64>,
    arguments: Bytes,
    filling: bool,
}

impl Client {
    /// `held`: tasks that it keeps unfinished. `total`: all that it submits.
    pub fn new(work: Work, session: SessionId, held: u64, total: u64) -> Client {
        Client {
            work,
            session,
            held,
            total,
            submitted: 0,
            finished: 0,
            seen: vec![0; total.div_ceil(64) as usize],
            arguments: Bytes::from(vec![7; work.block as usize * TASK]),
            filling: false,
        }
    }

    /// It may submit from now on.
    pub fn fill(&mut self) {
        self.filling = true;
    }

    pub fn finished(&self) -> u64 {
        self.finished
    }

    pub fn is_done(&self) -> bool {
        self.finished == self.total
    }

    /// Each task had its outcome; that none had two was seen when it came.
    pub fn check(&self) {
        let seen: u64 = self
            .seen
            .iter()
            .map(|word| u64::from(word.count_ones()))
            .sum();
        assert_eq!(seen, self.total, "session {:x}", self.session);
    }

    pub fn welcome() -> Message<Bytes> {
        Message::Function {
            id: FUNCTION,
            payload: Bytes::from_static(b"a pickled function"),
        }
    }

    pub fn on_message(&mut self, message: Message<Bytes>) {
        let Message::Results { segments } = message else {
            return;
        };
        for segment in segments {
            assert!(segment.kind.form().is_some(), "{segment:?}");
            let left_out = |sequence: u64| {
                let offset = (sequence - segment.first) as u32;
                segment.except.binary_search(&offset).is_ok()
            };
            let all = segment.first..segment.first + u64::from(segment.count);
            for sequence in all.filter(|&sequence| !left_out(sequence)) {
                let (word, bit) = (sequence as usize / 64, 1 << (sequence % 64));
                assert_eq!(self.seen[word] & bit, 0, "a second outcome of {sequence}");
                self.seen[word] |= bit;
                self.finished += 1;
            }
        }
    }

    /// The next submission, if it lacks a whole one.
    pub fn submission(&mut self) -> Option<Message<Bytes>> {
        let left = self.total - self.submitted;
        let lacking = self.held.saturating_sub(self.submitted - self.finished);
        let whole = self.work.array.min(self.held);
        let count = whole.min(left);
        if !self.filling || count == 0 || lacking < count {
            return None;
        }
        let first = self.submitted;
        self.submitted += count;
        let block = u64::from(self.work.block);
        let blocks = (0..count).step_by(block as usize).map(|at| {
            let count = block.min(count - at) as u32;
            Block {
                count,
                form: if count == 1 { Form::Single } else { Form::List },
                payload: self.arguments.slice(..count as usize * TASK),
            }
        });
        Some(Message::Submit(Submit {
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
        }))
    }
}

pub fn node_hello(number: u32, slots: u32) -> Hello {
    let info = NodeInfo {
        name: format!("node {number}"),
        slots,
        python_minor: 11,
        queue_size: 1_000,
        ..NodeInfo::default()
    };
    Hello {
        node: Some(Box::new(info)),
        ..Hello::new(Role::Node)
    }
}

/// A node whose tasks take no time.
pub struct Node {
    work: Work,
    slots: u32,
    assigned: u64,
    /// What it would say if it were let.
    answers: VecDeque<Message<Bytes>>,
    values: Bytes,
}

impl Node {
    pub fn new(work: Work, slots: u32) -> Node {
        let most = work.block.max(1) as usize * TASK;
        Node {
            work,
            slots,
            assigned: 0,
            answers: VecDeque::new(),
            values: Bytes::from(vec![7; most]),
        }
    }

    /// Elements that it was sent.
    pub fn assigned(&self) -> u64 {
        self.assigned
    }

    /// What it says first.
    pub fn introduction(&self) -> [Message<Bytes>; 2] {
        let status = self.status();
        [Message::Holding { ranges: Vec::new() }, status]
    }

    pub fn status(&self) -> Message<Bytes> {
        Message::NodeStatus(NodeStatus {
            slots: self.slots,
            ..NodeStatus::default()
        })
    }

    pub fn on_message(&mut self, message: Message<Bytes>) {
        match message {
            Message::Assign(assign) => {
                self.assigned += u64::from(assign.count);
                let end = assign.first + u64::from(assign.count);
                for block in &assign.blocks {
                    let first = block.first.max(assign.first);
                    let count = (block.first + u64::from(block.count)).min(end) - first;
                    self.run(assign.session, first, count as u32);
                }
            }
            // What it was sent has run.
            Message::Reclaim { .. } => self
                .answers
                .push_back(Message::GaveBack { ranges: Vec::new() }),
            Message::CancelElements { .. } | Message::Drain | Message::Exit { .. } => {
                panic!("nobody asks for that: {message:?}")
            }
            _ => {}
        }
    }

    fn run(&mut self, session: SessionId, first: u64, count: u32) {
        let segment = Segment {
            first,
            count,
            kind: match count {
                1 => OutcomeKind::ValueSingle,
                _ => OutcomeKind::ValueList,
            },
            payload: self.values.slice(..count as usize * TASK),
            failure: None,
            except: Vec::new(),
            busy_us: self.work.busy_us * u64::from(count),
        };
        self.answers.push_back(Message::Done { session, segment });
    }

    pub fn answer(&mut self) -> Option<Message<Bytes>> {
        self.answers.pop_front()
    }

    pub fn has_answers(&self) -> bool {
        !self.answers.is_empty()
    }
}
