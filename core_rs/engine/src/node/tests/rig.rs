//! A node, executors that follow the shared line's rules, and a record of what the node told whom.

use std::collections::{BTreeSet, VecDeque};

use crate::node::slot::{position, NO_STOP};
use crate::node::{Node, NodeConfig, NodeOutput};
use crate::wire::{
    Assign, Chunk, ChunkResult, Form, Message, NodeBlock, ObjectKey, ObjectUse, Options,
    OutcomeKind, Payload, Range, Segment, Sequence, SessionId,
};

pub const SESSION: SessionId = 9;
pub const F: [u8; 16] = [1; 16];

/// A payload that is only a length.
#[derive(Clone, Debug, PartialEq)]
pub struct Bytes(pub usize);

impl Payload for Bytes {
    fn len(&self) -> usize {
        self.0
    }

    fn from_vec(bytes: Vec<u8>) -> Self {
        Bytes(bytes.len())
    }
}

/// Where an executor is between two elements.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Step {
    /// About to write its position.
    Between,
    /// Has written it, has not read what is forbidden.
    Written,
    Running,
}

/// An executor that does one small step at a time.
#[derive(Debug)]
pub struct Executor {
    pub alive: bool,
    pub chunks: VecDeque<Chunk<Bytes>>,
    pub messages: Vec<Message<Bytes>>,
    pub position: u64,
    pub started_us: u64,
    pub stop: u64,
    pub cancel: u64,
    pub flushes: u32,
    step: Step,
    /// Index of the element to come, or that runs.
    next: u32,
    /// Values from here to `next` have not been sent.
    sent: u32,
}

impl Executor {
    fn new() -> Self {
        Executor {
            alive: false,
            chunks: VecDeque::new(),
            messages: Vec::new(),
            position: 0,
            started_us: 0,
            stop: NO_STOP,
            cancel: 0,
            flushes: 0,
            step: Step::Between,
            next: 0,
            sent: 0,
        }
    }

    /// Sequence of the element that runs.
    pub fn running(&self) -> Option<Sequence> {
        let chunk = self.chunks.front()?;
        (self.step == Step::Running).then(|| chunk.first + u64::from(self.next))
    }
}

pub struct Rig {
    pub node: Node<Bytes>,
    pub now: u64,
    pub executors: Vec<Executor>,
    /// Everything told to the scheduler.
    pub told: Vec<Message<Bytes>>,
    pub to_store: Vec<Message<Bytes>>,
    pub starts: Vec<u32>,
    pub kills: Vec<u32>,
    pub exits: Vec<String>,
    pub listens: Vec<(SessionId, bool)>,
    /// Elements that the node owes an answer for.
    pub owed: BTreeSet<Sequence>,
    /// What executors say that an element took; microseconds.
    pub busy_us: u64,
}

impl Rig {
    pub fn new(slots: u32) -> Self {
        Rig::with(NodeConfig {
            slots,
            name: "n".into(),
            ..NodeConfig::default()
        })
    }

    /// Executors up, function told.
    pub fn with(config: NodeConfig) -> Self {
        let mut rig = Rig::unstarted(config);
        for slot in 0..rig.executors.len() as u32 {
            rig.ready(slot);
        }
        rig
    }

    pub fn unstarted(config: NodeConfig) -> Self {
        let executors = (0..config.slots).map(|_| Executor::new()).collect();
        let node = Node::new(config, 1);
        let mut rig = Rig {
            node,
            now: 1,
            executors,
            told: vec![],
            to_store: vec![],
            starts: vec![],
            kills: vec![],
            exits: vec![],
            listens: vec![],
            owed: BTreeSet::new(),
            busy_us: 100,
        };
        rig.node.connected(1, true);
        rig.say(Message::Function {
            id: F,
            payload: Bytes(40),
        });
        rig
    }

    pub fn ready(&mut self, slot: u32) {
        self.starts.retain(|started| *started != slot);
        let executors = self.executors.len().max(slot as usize + 1);
        self.executors.resize_with(executors, Executor::new);
        self.executors[slot as usize] = Executor {
            alive: true,
            ..Executor::new()
        };
        self.hear(
            slot,
            Message::Ready {
                pid: 1,
                error: String::new(),
            },
        );
    }

    /// The scheduler says something.
    pub fn say(&mut self, message: Message<Bytes>) {
        self.node.handle(self.now, message);
        self.absorb();
    }

    /// An executor says something.
    pub fn hear(&mut self, slot: u32, message: Message<Bytes>) {
        self.node.executor_message(self.now, slot, message);
        self.absorb();
    }

    pub fn pass(&mut self, microseconds: u64) {
        self.now += microseconds;
        self.node.tick(self.now);
        self.absorb();
        assert!(
            self.node.next_wakeup().is_none_or(|at| at > self.now),
            "it wakes up again at once"
        );
    }

    /// Elements of one function in blocks of `per_block`.
    pub fn assignment(
        first: Sequence,
        count: u32,
        per_block: u32,
        options: Options,
    ) -> Assign<Bytes> {
        let block = |start: u32| {
            let count = per_block.min(count - start);
            let form = if count == 1 { Form::Single } else { Form::List };
            NodeBlock {
                first: first + u64::from(start),
                count,
                form,
                payload: Some(Bytes(100)),
            }
        };
        let blocks = (0..count).step_by(per_block as usize).map(block).collect();
        Assign {
            session: SESSION,
            function: F,
            first,
            count,
            options,
            blocks,
            objects: vec![],
            inputs: vec![],
        }
    }

    pub fn assign(&mut self, first: Sequence, count: u32) {
        self.assign_this(Rig::assignment(first, count, 1024, Options::default()));
    }

    pub fn assign_this(&mut self, assign: Assign<Bytes>) {
        self.owed
            .extend(assign.first..assign.first + u64::from(assign.count));
        self.say(Message::Assign(assign));
    }

    pub fn cancel(&mut self, first: Sequence, count: u64) {
        self.say(Message::CancelElements {
            range: Range {
                session: SESSION,
                first,
                count,
            },
        });
    }

    /// Does what the node asks for, until it asks for nothing more.
    pub fn absorb(&mut self) {
        loop {
            let mut outputs = Vec::new();
            self.node.drain(&mut outputs);
            if outputs.is_empty() {
                break;
            }
            for output in outputs {
                self.perform(output);
            }
        }
        self.node.sanity_check();
        assert_eq!(
            self.node.elements(),
            self.owed.len() as u64,
            "elements owed and here"
        );
    }

    pub fn perform(&mut self, output: NodeOutput<Bytes>) {
        match output {
            NodeOutput::ToScheduler(message) => self.note(message),
            NodeOutput::ToStore(message) => self.to_store.push(message),
            NodeOutput::ToExecutor { slot, message } => {
                let executor = &mut self.executors[slot as usize];
                if let Message::Chunk(chunk) = &message {
                    executor.chunks.push_back(chunk.clone());
                }
                executor.messages.push(message);
            }
            NodeOutput::Describe { .. } => {}
            NodeOutput::StartExecutor { slot } => self.starts.push(slot),
            NodeOutput::Kill { slot } => self.kills.push(slot),
            NodeOutput::Stop { slot, at } => {
                self.executors[slot as usize].stop = at;
                self.answer(slot);
            }
            NodeOutput::Look { slot } => self.answer(slot),
            NodeOutput::Interrupt { slot, at } => self.executors[slot as usize].cancel = at,
            NodeOutput::Listen { session, on } => self.listens.push((session, on)),
            NodeOutput::Flush { slot } => self.executors[slot as usize].flushes += 1,
            NodeOutput::Exit { reason } => self.exits.push(reason),
            NodeOutput::Log { .. } => {}
        }
    }

    fn answer(&mut self, slot: u32) {
        let executor = &self.executors[slot as usize];
        self.node
            .position(self.now, slot, executor.position, executor.started_us);
    }

    fn note(&mut self, message: Message<Bytes>) {
        let owed = &mut self.owed;
        let mut answered = |first: Sequence, count: u64| {
            for sequence in first..first + count {
                assert!(
                    owed.remove(&sequence),
                    "an answer for {sequence}, which is not owed"
                );
            }
        };
        match &message {
            Message::Done { segment, .. } => answered(segment.first, segment.count.into()),
            Message::Lost { sequence, .. } => answered(*sequence, 1),
            Message::GaveBack { ranges } | Message::Withdrawn { ranges, .. } => ranges
                .iter()
                .for_each(|range| answered(range.first, range.count)),
            _ => {}
        }
        self.told.push(message);
    }

    /// The executor does one small step. Returns whether it had one to do.
    pub fn step(&mut self, slot: u32) -> bool {
        let now = self.now;
        let executor = &mut self.executors[slot as usize];
        let Some(chunk) = executor.chunks.front() else {
            return false;
        };
        if !executor.alive {
            return false;
        }
        let (id, take) = (chunk.chunk, chunk.take);
        match executor.step {
            Step::Between if executor.next == take => self.end_chunk(slot),
            Step::Between => {
                executor.position = position(id, executor.next);
                executor.started_us = now;
                executor.step = Step::Written;
            }
            Step::Written if executor.position >= executor.stop => {
                executor.step = Step::Between;
                self.end_chunk(slot);
            }
            Step::Written => {
                executor.step = Step::Running;
                let sequence = self.executors[slot as usize].running().expect("it runs");
                assert!(
                    self.owed.contains(&sequence),
                    "{sequence} started, though it is not here any more"
                );
                let also = self
                    .executors
                    .iter()
                    .filter(|other| other.alive && other.running() == Some(sequence));
                assert_eq!(also.count(), 1, "{sequence} runs in two executors");
            }
            Step::Running if executor.cancel == executor.position => {
                executor.cancel = 0;
                let index = executor.next;
                executor.step = Step::Between;
                self.send_values(slot);
                let executor = &mut self.executors[slot as usize];
                executor.next += 1;
                executor.sent = executor.next;
                self.outcome(slot, id, index, 1, OutcomeKind::Cancelled);
            }
            Step::Running => {
                executor.next += 1;
                executor.step = Step::Between;
            }
        }
        true
    }

    /// Starts the next element, and returns it.
    pub fn begin(&mut self, slot: u32) -> Sequence {
        while self.executors[slot as usize].running().is_none() {
            assert!(self.step(slot), "nothing to begin");
        }
        self.executors[slot as usize].running().expect("it runs")
    }

    /// Runs one element to its end and, where it was the chunk's last, ends the chunk.
    pub fn run_one(&mut self, slot: u32) -> Sequence {
        let sequence = self.begin(slot);
        self.step(slot);
        let executor = &self.executors[slot as usize];
        if executor
            .chunks
            .front()
            .is_some_and(|chunk| chunk.take == executor.next)
        {
            self.step(slot);
        }
        sequence
    }

    /// Sends the values that are there, as the executor does when it is told to flush.
    pub fn send_values(&mut self, slot: u32) {
        let executor = &mut self.executors[slot as usize];
        let Some(chunk) = executor.chunks.front() else {
            return;
        };
        let (id, index, count) = (chunk.chunk, executor.sent, executor.next - executor.sent);
        if count > 0 {
            executor.sent = executor.next;
            self.outcome(slot, id, index, count, OutcomeKind::ValueList);
        }
    }

    fn outcome(&mut self, slot: u32, chunk: u32, index: u32, count: u32, kind: OutcomeKind) {
        let result = ChunkResult {
            chunk,
            index,
            count,
            kind,
            payload: Bytes(8),
            busy_us: u64::from(count) * self.busy_us,
        };
        self.hear(slot, Message::ChunkResult(result));
    }

    fn end_chunk(&mut self, slot: u32) {
        self.send_values(slot);
        let executor = &mut self.executors[slot as usize];
        let Some(chunk) = executor.chunks.pop_front() else {
            return;
        };
        let next = executor.next;
        (executor.next, executor.sent, executor.step) = (0, 0, Step::Between);
        self.hear(
            slot,
            Message::ChunkEnd {
                chunk: chunk.chunk,
                next,
                busy_us: 0,
            },
        );
    }

    /// The executor's process ends.
    pub fn die(&mut self, slot: u32, status: i32) {
        let executor = &mut self.executors[slot as usize];
        executor.alive = false;
        let position = executor.position;
        self.node.executor_ended(self.now, slot, status, position);
        self.absorb();
    }

    /// Executors start, run and end what is here until nothing moves.
    pub fn run_dry(&mut self) {
        for round in 0.. {
            assert!(round < 100_000, "no end");
            let mut moved = false;
            for slot in std::mem::take(&mut self.starts) {
                self.ready(slot);
                moved = true;
            }
            for slot in std::mem::take(&mut self.kills) {
                if self.executors[slot as usize].alive {
                    self.die(slot, -9);
                    moved = true;
                }
            }
            for slot in 0..self.executors.len() as u32 {
                if matches!(
                    self.executors[slot as usize].messages.last(),
                    Some(Message::Stop)
                ) {
                    self.executors[slot as usize].messages.clear();
                    self.die(slot, 0);
                    moved = true;
                }
                moved |= self.step(slot);
            }
            if !moved {
                return;
            }
        }
    }

    pub fn outcomes(&self) -> Vec<&Segment<Bytes>> {
        let mut outcomes = Vec::new();
        for message in &self.told {
            if let Message::Done { segment, .. } = message {
                outcomes.push(segment);
            }
        }
        outcomes
    }

    /// How an element was answered last.
    pub fn outcome_of(&self, sequence: Sequence) -> Option<OutcomeKind> {
        let covers = |segment: &&&Segment<Bytes>| {
            (segment.first..segment.first + u64::from(segment.count)).contains(&sequence)
        };
        self.outcomes()
            .iter()
            .rev()
            .find(covers)
            .map(|segment| segment.kind)
    }

    pub fn given_back(&self) -> Vec<Range> {
        let ranges = |message: &Message<Bytes>| {
            if let Message::GaveBack { ranges } = message {
                ranges.clone()
            } else {
                vec![]
            }
        };
        self.told.iter().flat_map(ranges).collect()
    }

    pub fn lost(&self) -> Vec<&Message<Bytes>> {
        self.told
            .iter()
            .filter(|message| matches!(message, Message::Lost { .. }))
            .collect()
    }

    /// Chunks that a slot has and has not ended, as (first, count).
    pub fn chunks(&self, slot: u32) -> Vec<(Sequence, u32)> {
        self.executors[slot as usize]
            .chunks
            .iter()
            .map(|chunk| (chunk.first, chunk.take))
            .collect()
    }

    /// Teaches the node that the function is short.
    pub fn warm_up(&mut self, elements: u32) {
        let first = 1_000_000_000;
        self.assign(first, elements);
        self.run_dry();
        self.told.clear();
        self.executors
            .iter_mut()
            .for_each(|executor| executor.messages.clear());
    }
}

pub fn key(byte: u8) -> ObjectKey {
    ObjectKey {
        session: SESSION,
        hash: [byte; 16],
    }
}

pub fn uses(element: u32, byte: u8, size: u64) -> ObjectUse {
    ObjectUse {
        element,
        key: key(byte),
        size,
    }
}
