//! A node's agent as a process runs it: the `Node` machine, its executors, and the link to the storage.

use std::collections::BTreeMap;

use scaler_engine::dialer::DialerEvent;
use scaler_engine::node::{Node, NodeConfig, NodeOutput};
use scaler_engine::wire::{Hello, LinkId, Message, NodeInfo, Role};

use crate::context::{Context, Event};
use crate::data::Data;
use crate::executor::{Answer, Executor};
use crate::network::{Arrival, Part, Wire};
use crate::outward::{hello, Outward};
use crate::queue::Time;
use crate::story::About;

/// Chunks of an executor that may yet report, by number: session, first element, elements.
type Chunks = BTreeMap<u32, (u64, u64, u32)>;

struct Seat {
    executor: Executor,
    chunks: Chunks,
    killed: bool,
}

/// So many executors in a row of a slot that ended before they began what they had: the node may blame an element.
const MOST_BARREN: u32 = 3;

pub struct Agent {
    pub index: usize,
    /// Its link to the scheduler.
    pub link: LinkId,
    slots: u32,
    /// The process that it is in.
    part: Part,
    pub node: Node<Data>,
    seats: Vec<Option<Seat>>,
    /// Of each slot: executors in a row that ended, not by their agent, before they began what they had.
    barren: Vec<u32>,
    store: Outward,
    /// The node is done: why.
    pub exit: Option<String>,
}

/// How the node of `index` introduces itself.
pub fn introduction(context: &Context, index: usize) -> Hello {
    let shape = &context.profile.nodes[index];
    let info = NodeInfo {
        name: format!("node {index}"),
        manager: shape.manager.clone(),
        group: shape.group.clone(),
        slots: shape.slots,
        capabilities: shape.capabilities.clone(),
        python_minor: 11,
        queue_size: shape.queue_size,
        offload: false,
    };
    Hello {
        node: Some(Box::new(info)),
        ..hello(Role::Node, 0)
    }
}

impl Agent {
    pub fn new(context: &mut Context, index: usize, part: Part) -> Self {
        let (shape, profile) = (&context.profile.nodes[index], &context.profile);
        let config = NodeConfig {
            name: format!("node {index}"),
            slots: shape.slots,
            recycle: shape.recycle,
            death_timeout_us: profile.death_timeout,
            grace_us: profile.grace,
            // Of every other machine the end is near when it is told to drain.
            drain_limit_us: if index % 2 == 1 { profile.grace } else { 0 },
            heartbeat_us: profile.heartbeat,
            object_bytes: profile.object_bytes,
            most_waiting: profile.most_waiting,
            ..NodeConfig::default()
        };
        let seats = (0..shape.slots).map(|_| None).collect();
        let barren = vec![0; shape.slots as usize];
        let slots = shape.slots;
        let node = Node::new(config, context.now());
        let store = Outward::new(context, part, Part::Store, hello(Role::Objects, 0));
        Agent {
            index,
            link: 0,
            slots,
            part,
            node,
            seats,
            barren,
            store,
            exit: None,
        }
    }

    pub fn store_arrival(&mut self, context: &mut Context, wire: Wire, arrival: &Arrival) -> bool {
        self.store.arrival(context, wire, arrival)
    }

    fn executors(&mut self) -> impl Iterator<Item = &mut Executor> {
        self.seats
            .iter_mut()
            .flatten()
            .map(|seat| &mut seat.executor)
    }

    /// Something is due at an executor; whether the agent has something to read now.
    pub fn executor_due(&mut self, context: &mut Context, id: u64) -> bool {
        let Some(executor) = self.executors().find(|executor| executor.id == id) else {
            return false;
        };
        executor.step(context);
        let readable = executor.readable(context.now());
        let running = self.executors().filter(|it| it.runs_at_first()).count();
        if running > self.slots as usize {
            let (index, slots) = (self.index, self.slots);
            context.broken(format!("node {index} runs {running} in {slots} slots"));
        }
        readable
    }

    /// What the executor's element, of which depth, is to submit, if it is there and waits to do so.
    pub fn nest(&mut self, context: &mut Context, id: u64) -> Option<(u64, u64, u16, u8)> {
        let executor = self.executors().find(|executor| executor.id == id)?;
        executor.nest(context)
    }

    /// What it waited for has come.
    pub fn children_done(&mut self, context: &mut Context, id: u64) {
        if let Some(executor) = self.executors().find(|executor| executor.id == id) {
            executor.children_done(context);
        }
    }

    pub fn abandon(&mut self, context: &mut Context, id: u64) {
        if let Some(executor) = self.executors().find(|executor| executor.id == id) {
            executor.die(context, 1, false);
        }
    }

    /// Slots whose executor is up. (One that dies before that three times in a row makes what waits fail, by design.)
    pub fn living(&self) -> Vec<u32> {
        let lives = |seat: &Option<Seat>| seat.as_ref().is_some_and(|seat| seat.executor.is_up());
        (0..self.seats.len())
            .filter(|slot| lives(&self.seats[*slot]))
            .map(|slot| slot as u32)
            .collect()
    }

    pub fn with_executor(&mut self, slot: u32, does: impl FnOnce(&mut Executor)) {
        if let Some(seat) = &mut self.seats[slot as usize] {
            does(&mut seat.executor);
        }
    }

    /// The process is gone, its executors with it.
    pub fn died(&mut self, context: &mut Context) {
        let now = context.now();
        context.oracle.node_died(now, self.index);
        let gone: Vec<_> = self.executors().map(|executor| executor.id).collect();
        context.over.extend(gone);
    }

    /// What has arrived from executors and storage.
    pub fn take_in(&mut self, context: &mut Context) {
        self.read_executors(context);
        while let Some(event) = self.store.event() {
            self.store_event(context, event);
        }
        self.node
            .store_connected(context.now(), self.store.connected());
        self.node.tick(context.now());
    }

    fn read_executors(&mut self, context: &mut Context) {
        let now = context.now();
        for slot in 0..self.seats.len() {
            while let Some(answer) = self.seats[slot]
                .as_mut()
                .and_then(|seat| seat.executor.read(now))
            {
                self.executor_says(context, slot, answer);
            }
        }
    }

    fn executor_says(&mut self, context: &mut Context, slot: usize, answer: Answer) {
        let now = context.now();
        match answer {
            Answer::Message(message) => {
                self.note_report(context, slot, &message);
                self.node.executor_message(now, slot as u32, message);
            }
            Answer::Ended { status } => {
                let Some(seat) = self.seats[slot].take() else {
                    return;
                };
                let position = seat.executor.line.position;
                self.note_barren(context, slot, &seat, position);
                self.node.executor_ended(now, slot as u32, status, position);
            }
        }
    }

    /// Tells the oracle whom the node may blame where nothing was running.
    fn note_barren(&mut self, context: &mut Context, slot: usize, seat: &Seat, position: u64) {
        let Some(first) = seat.chunks.keys().next() else {
            return;
        };
        if position >= u64::from(*first) << 32 {
            self.barren[slot] = 0;
        } else if !seat.killed {
            self.barren[slot] += 1;
        }
        if self.barren[slot] >= MOST_BARREN {
            for &(session, first, count) in seat.chunks.values() {
                context
                    .oracle
                    .may_be_blamed(self.index, session, first, count);
            }
        }
    }

    /// Tells the oracle whose outcome has reached the agent.
    fn note_report(&mut self, context: &mut Context, slot: usize, message: &Message<Data>) {
        let Some(seat) = &mut self.seats[slot] else {
            return;
        };
        let (chunk, index, count) = match message {
            Message::ChunkResult(result) => (result.chunk, result.index, result.count),
            Message::LargeValue {
                chunk,
                index,
                size,
                offset,
                payload,
                ..
            } if offset + scaler_engine::wire::Payload::len(payload) as u64 >= *size => {
                (*chunk, *index, 1)
            }
            Message::ChunkEnd { chunk, .. } => {
                seat.chunks.retain(|number, _| number > chunk);
                return;
            }
            _ => return,
        };
        self.barren[slot] = 0;
        if let Some((session, first, _)) = seat.chunks.get(&chunk) {
            let id = seat.executor.id;
            context
                .oracle
                .reported(*session, first + u64::from(index), u64::from(count), id);
        }
    }

    fn store_event(&mut self, context: &mut Context, event: DialerEvent<Data>) {
        let now = context.now();
        match event {
            DialerEvent::Welcomed { .. } => {}
            DialerEvent::Fresh { .. } => self.node.store_reset(now),
            DialerEvent::Message(message) => self.node.store(now, message),
            DialerEvent::Refused { code, reason } => {
                context.broken(format!(
                    "node {} was refused by the store: {code:?} {reason}",
                    self.index
                ));
            }
        }
    }

    /// Does what the node wants done; what it says to the scheduler comes back.
    pub fn carry_out(&mut self, context: &mut Context, to_scheduler: &mut Vec<Message<Data>>) {
        let mut outputs = Vec::new();
        loop {
            self.node.drain(&mut outputs);
            if outputs.is_empty() {
                return;
            }
            for output in outputs.drain(..) {
                self.output(context, output, to_scheduler);
            }
        }
    }

    fn output(
        &mut self,
        context: &mut Context,
        output: NodeOutput<Data>,
        to_scheduler: &mut Vec<Message<Data>>,
    ) {
        let now = context.now();
        match output {
            NodeOutput::ToScheduler(message) => to_scheduler.push(message),
            NodeOutput::ToStore(message) => self.store.send(message),
            NodeOutput::StartExecutor { slot } => self.start_executor(context, slot),
            NodeOutput::ToExecutor { slot, message } => self.order(context, slot, message),
            NodeOutput::Kill { slot } => {
                let index = self.index;
                context.tell(self.part, About::Part, || {
                    format!("node {index} kills the executor of slot {slot}")
                });
                if let Some(seat) = &mut self.seats[slot as usize] {
                    seat.killed = true;
                    seat.executor.die(context, -9, true);
                }
            }
            NodeOutput::Stop { slot, at } => {
                self.with_executor(slot, |executor| executor.forbid(at));
                self.tell_position(now, slot);
            }
            NodeOutput::Look { slot } => self.tell_position(now, slot),
            NodeOutput::Interrupt { slot, at } => self.with_executor(slot, |executor| {
                executor.line.cancel = at;
                executor.interrupt(context);
            }),
            NodeOutput::Flush { slot } => self.with_executor(slot, |executor| {
                executor.line.flush += 1;
                executor.flush(context);
            }),
            // Simulated tasks write nothing.
            NodeOutput::Listen { .. } | NodeOutput::Describe { .. } => {}
            NodeOutput::Log { level, text } => {
                context.tell(self.part, About::Part, || format!("log {level:?}: {text}"));
            }
            NodeOutput::Exit { reason } => {
                context.tell(self.part, About::All, || format!("exits: {reason}"));
                self.exit.get_or_insert(reason);
            }
        }
    }

    fn tell_position(&mut self, now: Time, slot: u32) {
        if let Some(seat) = &self.seats[slot as usize] {
            let line = seat.executor.line;
            self.node
                .position(now, slot, line.position, line.started_us);
        }
    }

    fn start_executor(&mut self, context: &mut Context, slot: u32) {
        let seats = self.seats.len().max(slot as usize + 1);
        self.seats.resize_with(seats, || None);
        self.barren.resize(seats, 0);
        if self.seats[slot as usize].is_some() {
            return context.broken(format!(
                "node {} starts a second executor in slot {slot}",
                self.index
            ));
        }
        let executor = Executor::start(context, self.part, self.index);
        self.seats[slot as usize] = Some(Seat {
            executor,
            chunks: Chunks::new(),
            killed: false,
        });
    }

    fn order(&mut self, context: &mut Context, slot: u32, message: Message<Data>) {
        context
            .story
            .message(context.queue.now(), self.part, "orders", 0, &message);
        let Some(seat) = &mut self.seats[slot as usize] else {
            return context.broken(format!(
                "node {} orders {message:?} of no executor",
                self.index
            ));
        };
        if let Message::Chunk(chunk) = &message {
            seat.chunks
                .insert(chunk.chunk, (chunk.session, chunk.first, chunk.take));
        }
        seat.executor.order(context, message);
    }

    pub fn pump(&mut self, context: &mut Context, store_listens: bool) {
        self.store.pump(context, store_listens);
    }

    pub fn next_wakeup(&self) -> Option<Time> {
        [self.node.next_wakeup(), self.store.next_wakeup()]
            .into_iter()
            .flatten()
            .min()
    }

    /// An event for the executor with this number.
    pub fn event(&self, executor: u64) -> Event {
        Event::Executor {
            node: self.index,
            executor,
        }
    }
}
