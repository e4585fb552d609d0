//! A simulated executor: obeys the rules of the shared line, runs elements for as long as their plan says, and may die,
//! hang or be interrupted between any two of its steps.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use scaler_engine::wire::{
    Chunk, ChunkResult, Form, FunctionId, Message, ObjectKey, OutcomeKind, Payload, Sequence,
    SessionId, ValueId,
};

use crate::context::{Context, Event};
use crate::data::{self, Data};
use crate::network::Part;
use crate::oracle::{acts, Place};
use crate::queue::{Time, MILLISECOND};
use crate::story::About;
use crate::workload::Behaviour;

/// The page that agent and executor share.
#[derive(Clone, Copy, Debug)]
pub struct Line {
    pub position: u64,
    pub started_us: u64,
    pub stop: u64,
    pub cancel: u64,
    pub flush: u64,
}

/// What the agent reads from its end of the socketpair.
#[derive(Clone, Debug)]
pub enum Answer {
    Message(Message<Data>),
    /// The process is gone: exit code or minus the signal; all that it had sent came before.
    Ended {
        status: i32,
    },
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    /// `position` is written, `stop` not yet read.
    Placed,
    Busy {
        does: Behaviour,
    },
}

#[derive(Debug)]
struct Running {
    chunk: Chunk<Data>,
    index: u32,
    phase: Phase,
    /// When the next step is due.
    due: Time,
    /// Values of the elements before `index` that have not been sent.
    values: Vec<Vec<u8>>,
    slice_began: Time,
    element_began: Time,
    busy: Time,
}

#[derive(Debug)]
enum State {
    Starting { ready: Time },
    Idle,
    Running(Box<Running>),
    Gone,
}

pub struct Executor {
    pub id: u64,
    node: usize,
    part: Part,
    pub line: Line,
    state: State,
    hangs_until: Time,
    /// Where it was when its agent forbade that, if the agent cannot know whether it had begun there.
    doubtful: Option<u64>,
    orders: VecDeque<(Time, Message<Data>)>,
    answers: VecDeque<(Time, Answer)>,
    functions: BTreeSet<FunctionId>,
    objects: BTreeMap<ObjectKey, Vec<u8>>,
    /// Values of other elements.
    values: BTreeMap<ValueId, (Form, u32, Data)>,
    /// The block of the chunk before: its form, elements and payload.
    block: Option<(Form, u32, Data)>,
    seen_flush: u64,
}

/// A chunk aims at this; results that are there for longer are sent.
const SLICE: Time = 2 * MILLISECOND;

impl Executor {
    pub fn start(context: &mut Context, part: Part, node: usize) -> Self {
        let id = context.unique();
        let ready = context.now() + context.random.between(5 * MILLISECOND, 60 * MILLISECOND);
        context
            .queue
            .at(ready, Event::Executor { node, executor: id });
        Executor {
            id,
            node,
            part,
            line: Line {
                position: 0,
                started_us: 0,
                stop: u64::MAX,
                cancel: 0,
                flush: 0,
            },
            state: State::Starting { ready },
            hangs_until: 0,
            doubtful: None,
            orders: VecDeque::new(),
            answers: VecDeque::new(),
            functions: BTreeSet::new(),
            objects: BTreeMap::new(),
            values: BTreeMap::new(),
            block: None,
            seen_flush: 0,
        }
    }

    pub fn gone(&self) -> bool {
        matches!(self.state, State::Gone)
    }

    pub fn is_up(&self) -> bool {
        !matches!(self.state, State::Gone | State::Starting { .. })
    }

    fn wake(&self, context: &mut Context, at: Time) {
        context.queue.at(
            at,
            Event::Executor {
                node: self.node,
                executor: self.id,
            },
        );
    }

    /// The agent writes an order into the socketpair.
    pub fn order(&mut self, context: &mut Context, message: Message<Data>) {
        let least = self.orders.back().map_or(0, |(at, _)| *at);
        let at = least.max(context.now() + context.random.between(1, 30));
        self.orders.push_back((at, message));
        self.wake(context, at);
    }

    fn answer(&mut self, context: &mut Context, answer: Answer) {
        let least = self.answers.back().map_or(0, |(at, _)| *at);
        let late = if context.random.chance(50) {
            3 * MILLISECOND
        } else {
            30
        };
        let at = least.max(context.now() + context.random.between(1, late));
        self.answers.push_back((at, answer));
        self.wake(context, at);
    }

    /// What the agent can read by now.
    pub fn read(&mut self, now: Time) -> Option<Answer> {
        if !self.readable(now) {
            return None;
        }
        self.answers.pop_front().map(|(_, answer)| answer)
    }

    pub fn readable(&self, now: Time) -> bool {
        self.answers.front().is_some_and(|(at, _)| *at <= now)
    }

    /// Nothing happens here before `until`.
    pub fn hang(&mut self, context: &mut Context, until: Time) {
        self.hangs_until = self.hangs_until.max(until);
        self.wake(context, until);
    }

    /// The element that the line's position names.
    pub fn at(&self) -> Option<(SessionId, Sequence)> {
        let State::Running(running) = &self.state else {
            return None;
        };
        let begun = matches!(running.phase, Phase::Busy { .. });
        begun.then(|| {
            (
                running.chunk.session,
                running.chunk.first + u64::from(running.index),
            )
        })
    }

    /// The process ends here and now; what it has sent can still be read.
    pub fn die(&mut self, context: &mut Context, status: i32, by_agent: bool) {
        if self.gone() {
            return;
        }
        self.count_as_begun(context);
        let (now, at) = (context.now(), self.at());
        self.state = State::Gone;
        self.orders.clear();
        context.oracle.executor_died(now, self.id, by_agent);
        let id = self.id;
        context.tell(self.part, about(at), || {
            format!("executor {id} ends with {status} at {at:?}, by its agent: {by_agent}")
        });
        self.answer(context, Answer::Ended { status });
    }

    /// The agent forbids elements at or past `at` to start. One that the line names already may have started, for all
    /// that the agent can know before the chunk's end is there.
    pub fn forbid(&mut self, at: u64) {
        self.line.stop = at;
        self.doubtful = (self.line.position >= at).then_some(self.line.position);
    }

    /// Who died between its position and its call was at that element, for all that its agent can know.
    fn count_as_begun(&mut self, context: &mut Context) {
        let State::Running(running) = &mut self.state else {
            return;
        };
        let position = self.line.position;
        let perhaps = position < self.line.stop || self.doubtful == Some(position);
        if matches!(running.phase, Phase::Placed) && perhaps {
            let (session, sequence) = (
                running.chunk.session,
                running.chunk.first + u64::from(running.index),
            );
            context.begin_run(
                session,
                sequence,
                Place {
                    node: self.node,
                    executor: self.id,
                },
            );
            running.phase = Phase::Busy {
                does: Behaviour::Value,
            };
        }
    }

    /// The agent's SIGINT: raises where its `cancel` names the element that runs.
    pub fn interrupt(&mut self, context: &mut Context) {
        let State::Running(running) = &mut self.state else {
            return;
        };
        if self.line.cancel == 0 || self.line.cancel != self.line.position {
            return;
        }
        let Phase::Busy { does } = running.phase else {
            return;
        };
        if does == (Behaviour::Stuck { stubborn: true }) || context.now() < self.hangs_until {
            return;
        }
        self.line.cancel = 0;
        self.send_values(context);
        self.finish_element(context, OutcomeKind::Cancelled, Vec::new());
    }

    /// The agent raised `flush`: the values that are there are wanted now.
    pub fn flush(&mut self, context: &mut Context) {
        if context.now() >= self.hangs_until {
            self.seen_flush = self.line.flush;
            self.send_values(context);
        }
    }

    /// Does what is due. Extra calls do no harm.
    pub fn step(&mut self, context: &mut Context) {
        let now = context.now();
        if now < self.hangs_until {
            return;
        }
        if self.seen_flush < self.line.flush {
            self.flush(context);
        }
        match &self.state {
            State::Gone => {}
            State::Starting { ready } if *ready <= now => {
                self.state = State::Idle;
                let pid = self.id as u32;
                self.answer(
                    context,
                    Answer::Message(Message::Ready {
                        pid,
                        error: String::new(),
                    }),
                );
                self.step(context);
            }
            State::Starting { .. } => {}
            State::Idle => self.take_order(context),
            State::Running(running) if running.due <= now => self.run(context),
            State::Running(_) => {}
        }
    }

    fn take_order(&mut self, context: &mut Context) {
        let now = context.now();
        while matches!(self.state, State::Idle)
            && self.orders.front().is_some_and(|(at, _)| *at <= now)
        {
            let Some((_, order)) = self.orders.pop_front() else {
                return;
            };
            self.obey(context, order);
        }
    }

    fn obey(&mut self, context: &mut Context, order: Message<Data>) {
        match order {
            Message::Function { id, payload } => {
                if payload.hash() != id {
                    context.broken(format!("executor {} got another function's bytes", self.id));
                }
                self.functions.insert(id);
            }
            Message::ForgetFunction { id } => {
                self.functions.remove(&id);
            }
            Message::Object {
                key,
                size,
                offset,
                payload,
            } => {
                let object = self.objects.entry(key).or_default();
                if object.len() as u64 != offset || offset + payload.len() as u64 > size {
                    context.broken(format!(
                        "executor {} got a part of {key:?} at {offset}, {} bytes were there",
                        self.id,
                        object.len()
                    ));
                }
                object.extend_from_slice(payload.bytes());
            }
            Message::ForgetObject { key } => {
                self.objects.remove(&key);
            }
            Message::Value {
                id,
                count,
                form,
                payload,
            } => {
                if self.values.insert(id, (form, count, payload)).is_some() {
                    context.broken(format!("executor {} got value {id} twice", self.id));
                }
            }
            Message::DropValues { ids } => {
                for id in ids {
                    if self.values.remove(&id).is_none() {
                        context.broken(format!("executor {} never had value {id}", self.id));
                    }
                }
            }
            Message::Chunk(chunk) => self.begin(context, chunk),
            Message::Stop => self.die(context, 0, true),
            other => context.broken(format!("an executor was sent {other:?}")),
        }
    }

    fn begin(&mut self, context: &mut Context, mut chunk: Chunk<Data>) {
        if !self.functions.contains(&chunk.function) {
            context.broken(format!(
                "executor {} has a chunk of an unknown function",
                self.id
            ));
        }
        match chunk.payload.take() {
            Some(payload) => self.block = Some((chunk.form, chunk.block_count, payload)),
            None if self.block.is_none() => {
                context.broken("a chunk of the block before, and there was none".into())
            }
            None => {}
        }
        let now = context.now();
        let (index, take) = (0, chunk.take);
        let running = Running {
            chunk,
            index,
            phase: Phase::Placed,
            due: now,
            values: Vec::new(),
            slice_began: now,
            element_began: now,
            busy: 0,
        };
        self.state = State::Running(Box::new(running));
        if take == 0 {
            context.broken("an empty chunk".into());
            return self.end_chunk(context);
        }
        self.place(context);
    }

    /// Writes `position`; now and then the agent gets a word in before `stop` is read.
    fn place(&mut self, context: &mut Context) {
        let now = context.now();
        let State::Running(running) = &mut self.state else {
            return;
        };
        if running.index == running.chunk.take {
            return self.end_chunk(context);
        }
        self.line.started_us = now;
        self.line.position = u64::from(running.chunk.chunk) << 32 | u64::from(running.index);
        running.phase = Phase::Placed;
        running.due = now;
        if context.random.chance(30) {
            running.due = now + context.random.between(1, 20);
            let due = running.due;
            return self.wake(context, due);
        }
        self.run(context);
    }

    fn run(&mut self, context: &mut Context) {
        let State::Running(running) = &self.state else {
            return;
        };
        match running.phase {
            Phase::Placed if self.line.position >= self.line.stop => self.end_chunk(context),
            Phase::Placed => self.begin_element(context),
            Phase::Busy { does } => self.element_ends(context, does),
        }
    }

    fn begin_element(&mut self, context: &mut Context) {
        let now = context.now();
        let State::Running(running) = &mut self.state else {
            return;
        };
        let (session, sequence) = (
            running.chunk.session,
            running.chunk.first + u64::from(running.index),
        );
        let place = Place {
            node: self.node,
            executor: self.id,
        };
        let id = self.id;
        let Some((plan, before)) = context.begin_run(session, sequence, place) else {
            return self.die(context, 1, false);
        };
        context.tell(self.part, about(Some((session, sequence))), || {
            format!("executor {id} starts s{:x} {sequence}", session & 0xfff)
        });
        let does = acts(plan.behaviour, before);
        let mut ends = now + plan.duration.max(1);
        if let Behaviour::Kills { .. } = does {
            ends = now + context.random.between(0, plan.duration);
        }
        if let Behaviour::Stuck { .. } = does {
            ends = Time::MAX;
        }
        running.phase = Phase::Busy { does };
        running.due = ends;
        running.element_began = now;
        if ends != Time::MAX {
            self.wake(context, ends);
        }
        self.check_argument(context, session, sequence);
        self.check_objects(context, session, sequence);
        self.check_inputs(context, session, sequence);
    }

    fn check_argument(&self, context: &mut Context, session: SessionId, sequence: Sequence) {
        let State::Running(running) = &self.state else {
            return;
        };
        let Some((form, count, payload)) = &self.block else {
            return;
        };
        let index = running.chunk.skip + running.index;
        let found = match form {
            Form::Single => Some(payload.bytes()),
            Form::Reference => payload
                .as_reference()
                .and_then(|(key, _)| self.objects.get(&key))
                .map(Vec::as_slice),
            Form::List | Form::Table => data::table_entry(payload, *count, index),
        };
        let length = found.map_or(0, <[u8]>::len);
        if found != Some(data::argument(session, sequence, length).as_slice()) {
            let text = format!("element s{session:x} {sequence} was called with a wrong argument ({form:?}, {found:?})");
            context.broken(text);
        }
    }

    fn check_inputs(&self, context: &mut Context, session: SessionId, sequence: Sequence) {
        let State::Running(running) = &self.state else {
            return;
        };
        let inputs = running.chunk.inputs.iter();
        let own = inputs.filter(|input| input.element == running.index);
        let needs = context.oracle.needs(session, sequence);
        let mut taken = 0;
        for (input, &on) in own.zip(&needs) {
            taken += 1;
            let expected = data::value(session, on, context.oracle.value_length(session, on));
            let found = self.values.get(&input.value);
            let found = found.and_then(|(form, count, payload)| match form {
                Form::Single => Some(payload.bytes()),
                Form::Reference => {
                    let (key, _) = payload.as_reference()?;
                    self.objects.get(&key).map(Vec::as_slice)
                }
                Form::List | Form::Table => data::table_entry(payload, *count, input.index),
            });
            if found != Some(expected.as_slice()) {
                context.broken(format!(
                    "element s{session:x} {sequence} takes the value of {on} and is given another"
                ));
            }
        }
        if taken != needs.len() {
            context.broken(format!(
                "element s{session:x} {sequence} takes {} values and is given {taken}",
                needs.len()
            ));
        }
    }

    fn check_objects(&self, context: &mut Context, session: SessionId, sequence: Sequence) {
        let Some(shared) = context.oracle.shared_of(session, sequence) else {
            return;
        };
        // Its name, and what follows its bytes, are its client's affair.
        let is_here = |(key, object): (&ObjectKey, &Vec<u8>)| {
            key.session == session && object.starts_with(&shared)
        };
        if !self.objects.iter().any(is_here) {
            context.broken(format!(
                "element s{session:x} {sequence} runs without its object"
            ));
        }
    }

    fn element_ends(&mut self, context: &mut Context, does: Behaviour) {
        let State::Running(running) = &self.state else {
            return;
        };
        let (session, sequence) = (
            running.chunk.session,
            running.chunk.first + u64::from(running.index),
        );
        match does {
            Behaviour::Kills { .. } => self.die(context, -11, false),
            Behaviour::Raises { .. } => {
                self.send_values(context);
                self.finish_element(
                    context,
                    OutcomeKind::Exception,
                    data::exception(session, sequence),
                );
            }
            Behaviour::Value | Behaviour::Stuck { .. } => {
                let length = context.oracle.value_length(session, sequence);
                let value = data::value(session, sequence, length);
                if value.len() > context.profile.inline_limit {
                    self.send_values(context);
                    self.finish_element(context, OutcomeKind::ValueReference, value);
                } else {
                    self.finish_element(context, OutcomeKind::ValueSingle, value);
                }
            }
        }
    }

    /// The running element has its outcome: on to the next one.
    fn finish_element(&mut self, context: &mut Context, kind: OutcomeKind, bytes: Vec<u8>) {
        let now = context.now();
        let State::Running(running) = &mut self.state else {
            return;
        };
        let (session, sequence) = (
            running.chunk.session,
            running.chunk.first + u64::from(running.index),
        );
        context.oracle.run_ended(
            now,
            session,
            sequence,
            self.id,
            kind == OutcomeKind::Exception,
        );
        let busy_us = now - running.element_began;
        let (chunk, index) = (running.chunk.chunk, running.index);
        running.busy += busy_us;
        running.index += 1;
        match kind {
            OutcomeKind::ValueSingle => running.values.push(bytes),
            OutcomeKind::ValueReference => {
                let value = Data::from_vec(bytes);
                let (hash, size) = (data::own_name(self.id, chunk, index), value.len() as u64);
                for (offset, payload) in value.parts(context.profile.part) {
                    let part = Message::LargeValue {
                        chunk,
                        index,
                        hash,
                        size,
                        offset,
                        payload,
                    };
                    self.answer(context, Answer::Message(part));
                }
            }
            _ => {
                let payload = Data::from_vec(bytes);
                let result = ChunkResult {
                    chunk,
                    index,
                    count: 1,
                    kind,
                    payload,
                    busy_us,
                };
                self.answer(context, Answer::Message(Message::ChunkResult(result)));
            }
        }
        let State::Running(running) = &self.state else {
            return;
        };
        if now >= running.slice_began + SLICE {
            self.send_values(context);
        }
        self.place(context);
    }

    /// Sends the values that are there as one slice.
    fn send_values(&mut self, context: &mut Context) {
        let now = context.now();
        let State::Running(running) = &mut self.state else {
            return;
        };
        running.slice_began = now;
        let values = std::mem::take(&mut running.values);
        if values.is_empty() {
            return;
        }
        let count = values.len() as u32;
        let (kind, payload) = match values.as_slice() {
            [value] => (OutcomeKind::ValueSingle, Data::from_vec(value.clone())),
            _ if running.chunk.form == Form::List => (OutcomeKind::ValueList, data::table(&values)),
            _ => (OutcomeKind::ValueTable, data::table(&values)),
        };
        let busy_us = std::mem::take(&mut running.busy);
        let result = ChunkResult {
            chunk: running.chunk.chunk,
            index: running.index - count,
            count,
            kind,
            payload,
            busy_us,
        };
        self.answer(context, Answer::Message(Message::ChunkResult(result)));
    }

    fn end_chunk(&mut self, context: &mut Context) {
        self.send_values(context);
        let State::Running(running) = &self.state else {
            return;
        };
        let end = Message::ChunkEnd {
            chunk: running.chunk.chunk,
            next: running.index,
            busy_us: running.busy,
        };
        self.state = State::Idle;
        self.answer(context, Answer::Message(end));
        self.take_order(context);
    }
}

fn about(element: Option<(SessionId, Sequence)>) -> About {
    match element {
        Some((session, first)) => About::Elements(vec![scaler_engine::wire::Range {
            session,
            first,
            count: 1,
        }]),
        None => About::Part,
    }
}
