//! One scheduler, its nodes and their executors, by the clock.

use scaler_engine::node::{Node, NodeConfig, NodeOutput};
use scaler_engine::scheduler::{Scheduler, SchedulerConfig, SchedulerOutput};
use scaler_engine::wire::{
    Block, CallStyle, Form, Hello, LinkId, Message, NodeInfo, Options, Payload, Role, SessionId,
    Submit,
};

use super::executor::{Executor, Next};
use super::work::{Case, How, Site, Work};
use super::{bound, inversions, list, Outcome, Run};
use crate::data::Data;
use crate::queue::{Queue, Time, MILLISECOND};

const CLIENT: LinkId = 1;
const FIRST_NODE: LinkId = 10;
const SESSION: SessionId = 7;
/// When the client submits: by then all is up.
const SUBMITS: Time = 100 * MILLISECOND;
/// From process to process on a host, and to another host.
const HOP: Time = 20;
const NETWORK: Time = 150;
/// A loop that is woken up needs so long to get to what waits.
const WAKE: Time = 10;
/// Elements of a message of a client, and of a block of a map.
const BATCH: usize = 8_192;
const BLOCK: usize = 4_096;
/// What a client needs to make them: microseconds a thousand elements.
const SUBMIT_COSTS: Time = 1_500;
const MAP_COSTS: Time = 50;

enum Event {
    Joins(usize),
    ToScheduler(LinkId, Vec<Message<Data>>),
    ToNode(usize, Vec<Message<Data>>),
    ToExecutor(usize, u32, Message<Data>),
    FromExecutor(usize, u32, Vec<Message<Data>>),
    ToClient(Vec<Message<Data>>),
    SchedulerTurn,
    NodeTurn(usize),
    /// Number of the executor's step, for those that something else has come before.
    Step(usize, u32, bool),
}

struct Place {
    site: Site,
    node: Node<Data>,
    executors: Vec<Executor>,
    /// Element that runs, by slot.
    runs: Vec<Option<u64>>,
    inbox: Vec<Message<Data>>,
    said: Vec<(u32, Vec<Message<Data>>)>,
    turn_at: Time,
}

struct Cluster<'a> {
    work: &'a Work,
    queue: Queue<Event>,
    scheduler: Scheduler<Data>,
    heard: Vec<(LinkId, Message<Data>)>,
    turn_at: Time,
    places: Vec<Option<Place>>,
    sites: Vec<Site>,
    runs: Vec<Run>,
    left: u64,
    frames: u64,
    turns: u64,
}

/// Runs it to its end.
pub fn run(case: &Case, sites: &[Site]) -> Outcome {
    let work = case.work(sites);
    let mut cluster = Cluster::new(&work, sites);
    cluster.submit(case.how);
    while cluster.left > 0 {
        let Some(event) = cluster.queue.pop() else {
            panic!(
                "nothing happens any more, and {} elements have no result",
                cluster.left
            );
        };
        cluster.happens(event);
    }
    Outcome {
        makespan: cluster.queue.now() - SUBMITS,
        bound: bound(sites, &work),
        list: list(sites, &work),
        inversions: inversions(&cluster.runs, &work),
        frames: cluster.frames,
        turns: cluster.turns,
        runs: cluster.runs,
    }
}

impl<'a> Cluster<'a> {
    fn new(work: &'a Work, sites: &[Site]) -> Self {
        let config = SchedulerConfig {
            resync_us: 0,
            ..SchedulerConfig::default()
        };
        let mut cluster = Cluster {
            work,
            queue: Queue::default(),
            scheduler: Scheduler::new(config, 1, 0),
            heard: Vec::new(),
            turn_at: Time::MAX,
            places: sites.iter().map(|_| None).collect(),
            sites: sites.to_vec(),
            runs: vec![Run::default(); work.elements.len()],
            left: work.elements.len() as u64,
            frames: 0,
            turns: 0,
        };
        let client = Hello {
            session: SESSION,
            ..Hello::new(Role::Client)
        };
        let joined = cluster.scheduler.joined(0, CLIENT, &client, "here");
        joined.expect("a client may join");
        for (index, site) in sites.iter().enumerate() {
            let at = if site.joins == 0 {
                0
            } else {
                SUBMITS + site.joins
            };
            cluster.queue.at(at, Event::Joins(index));
        }
        cluster
    }

    /// Neighbours of one function and priority are one array, as a client makes them.
    fn submit(&mut self, how: How) {
        let mut at = SUBMITS;
        let mut told = Vec::new();
        let (form, per_block, costs) = match how {
            How::Submit => (Form::Single, 1, SUBMIT_COSTS),
            How::Map => (Form::List, BLOCK, MAP_COSTS),
        };
        let elements = &self.work.elements;
        let mut first = 0;
        while first < elements.len() {
            let one = elements[first];
            let alike = elements[first..]
                .iter()
                .take(BATCH)
                .take_while(|it| (it.function, it.priority) == (one.function, one.priority));
            let count = alike.count();
            let blocks = (0..count).step_by(per_block).map(|from| Block {
                count: per_block.min(count - from) as u32,
                form,
                payload: Data::from_vec(vec![0; 8]),
            });
            let submit = Submit {
                function: [one.function; 16],
                first: first as u64,
                options: Options {
                    style: CallStyle::One,
                    priority: one.priority,
                    ..Options::default()
                },
                blocks: blocks.collect(),
                objects: Vec::new(),
                finished: Vec::new(),
                graph: None,
            };
            let mut messages = Vec::new();
            if !told.contains(&one.function) {
                told.push(one.function);
                messages.push(Message::Function {
                    id: [one.function; 16],
                    payload: Data::from_vec(vec![1]),
                });
            }
            messages.push(Message::Submit(submit));
            first += count;
            self.queue
                .at(at + HOP, Event::ToScheduler(CLIENT, messages));
            at += (count as Time * costs).div_ceil(1_000);
        }
    }

    fn happens(&mut self, event: Event) {
        let now = self.queue.now();
        match event {
            Event::Joins(index) => self.join(index),
            Event::ToScheduler(link, messages) => {
                self.heard
                    .extend(messages.into_iter().map(|message| (link, message)));
                self.wake_scheduler(now + WAKE);
            }
            Event::ToNode(index, messages) => {
                if let Some(place) = &mut self.places[index] {
                    place.inbox.extend(messages);
                }
                self.wake_node(index, now + WAKE);
            }
            Event::FromExecutor(index, slot, messages) => {
                self.frames += 1;
                if let Some(place) = &mut self.places[index] {
                    place.said.push((slot, messages));
                }
                self.wake_node(index, now + WAKE);
            }
            Event::ToExecutor(index, slot, message) => self.order(index, slot, message),
            Event::ToClient(messages) => {
                for message in messages {
                    if let Message::Results { segments } = message {
                        let done = segments.iter().map(|it| u64::from(it.count));
                        self.left -= done.sum::<u64>();
                    }
                }
            }
            Event::SchedulerTurn if self.turn_at == now => self.scheduler_turn(),
            Event::NodeTurn(index) => {
                let due = self.places[index].as_ref().map(|place| place.turn_at);
                if due == Some(now) {
                    self.node_turn(index);
                }
            }
            Event::SchedulerTurn => {}
            Event::Step(index, slot, ended) => self.step(index, slot, ended),
        }
    }

    fn wake_scheduler(&mut self, at: Time) {
        if at < self.turn_at {
            self.turn_at = at;
            self.queue.at(at, Event::SchedulerTurn);
        }
    }

    fn wake_node(&mut self, index: usize, at: Time) {
        if let Some(place) = self.places[index].as_mut().filter(|it| at < it.turn_at) {
            place.turn_at = at;
            self.queue.at(at, Event::NodeTurn(index));
        }
    }

    fn join(&mut self, index: usize) {
        let (now, site) = (self.queue.now(), self.sites[index]);
        let name = format!("node {index}");
        let info = NodeInfo {
            name: name.clone(),
            slots: site.slots,
            queue_size: 1_000,
            ..NodeInfo::default()
        };
        let hello = Hello {
            node: Some(Box::new(info)),
            ..Hello::new(Role::Node)
        };
        let link = FIRST_NODE + index as u64;
        let joined = self.scheduler.joined(now, link, &hello, "here");
        joined.expect("a node may join");
        let slots = site.slots;
        let config = NodeConfig {
            name,
            slots,
            ..NodeConfig::default()
        };
        let mut node = Node::new(config, now);
        node.connected(now, true);
        node.reset(now, Vec::new());
        self.places[index] = Some(Place {
            site,
            node,
            executors: (0..slots).map(|_| Executor::new()).collect(),
            runs: vec![None; slots as usize],
            inbox: Vec::new(),
            said: Vec::new(),
            turn_at: Time::MAX,
        });
        self.wake_node(index, now);
        self.wake_scheduler(now);
    }

    fn scheduler_turn(&mut self) {
        let now = self.queue.now();
        self.turn_at = Time::MAX;
        for (link, message) in std::mem::take(&mut self.heard) {
            self.scheduler.handle(now, link, message);
        }
        self.scheduler.tick(now);
        let mut out = Vec::new();
        self.scheduler.drain(&mut out);
        let mut by_link: Vec<(LinkId, Vec<Message<Data>>)> = Vec::new();
        for output in out {
            match output {
                SchedulerOutput::Send { link, message } => match by_link.last_mut() {
                    Some((last, messages)) if *last == link => messages.push(message),
                    _ => by_link.push((link, vec![message])),
                },
                SchedulerOutput::End { reason, .. } => panic!("a link is ended: {reason}"),
                _ => {}
            }
        }
        for (link, messages) in by_link {
            match link {
                CLIENT => self.queue.at(now + HOP, Event::ToClient(messages)),
                _ => {
                    let index = (link - FIRST_NODE) as usize;
                    self.queue.at(now + NETWORK, Event::ToNode(index, messages));
                }
            }
        }
        if let Some(at) = self.scheduler.next_wakeup() {
            self.wake_scheduler(at.max(now + 1));
        }
    }

    fn node_turn(&mut self, index: usize) {
        let now = self.queue.now();
        self.turns += 1;
        let Some(place) = &mut self.places[index] else {
            return;
        };
        place.turn_at = Time::MAX;
        for message in std::mem::take(&mut place.inbox) {
            place.node.handle(now, message);
        }
        for (slot, messages) in std::mem::take(&mut place.said) {
            for message in messages {
                place.node.executor_message(now, slot, message);
            }
        }
        place.node.tick(now);
        let mut to_scheduler = Vec::new();
        loop {
            let mut out = Vec::new();
            let Some(place) = &mut self.places[index] else {
                return;
            };
            place.node.drain(&mut out);
            if out.is_empty() {
                break;
            }
            for output in out {
                self.carry_out(index, output, &mut to_scheduler);
            }
        }
        if !to_scheduler.is_empty() {
            let link = FIRST_NODE + index as u64;
            self.queue
                .at(now + NETWORK, Event::ToScheduler(link, to_scheduler));
        }
        let wakeup = self.places[index]
            .as_ref()
            .and_then(|it| it.node.next_wakeup());
        if let Some(at) = wakeup {
            self.wake_node(index, at.max(now + 1));
        }
    }

    fn carry_out(
        &mut self,
        index: usize,
        output: NodeOutput<Data>,
        to_scheduler: &mut Vec<Message<Data>>,
    ) {
        let now = self.queue.now();
        let Some(place) = &mut self.places[index] else {
            return;
        };
        match output {
            NodeOutput::ToScheduler(message) => to_scheduler.push(message),
            NodeOutput::ToExecutor { slot, message } => {
                self.queue
                    .at(now + HOP, Event::ToExecutor(index, slot, message));
            }
            NodeOutput::StartExecutor { slot } => {
                let ready = Message::Ready {
                    pid: 1,
                    error: String::new(),
                };
                place.node.executor_message(now, slot, ready);
            }
            NodeOutput::Stop { slot, at } => {
                let executor = &mut place.executors[slot as usize];
                executor.stop = at;
                let (position, started) = (executor.position, executor.started);
                place.node.position(now, slot, position, started);
            }
            NodeOutput::Look { slot } => {
                let executor = &place.executors[slot as usize];
                let (position, started) = (executor.position, executor.started);
                place.node.position(now, slot, position, started);
            }
            NodeOutput::Flush { slot } => {
                place.executors[slot as usize].flush(now);
                self.take_sent(index, slot);
            }
            NodeOutput::Kill { .. } | NodeOutput::Interrupt { .. } | NodeOutput::Exit { .. } => {
                panic!("nobody asked for {output:?}")
            }
            _ => {}
        }
    }

    fn order(&mut self, index: usize, slot: u32, message: Message<Data>) {
        let Some(place) = &mut self.places[index] else {
            return;
        };
        if let Message::Chunk(chunk) = message {
            if place.executors[slot as usize].order(chunk) {
                self.step(index, slot, false);
            }
        }
    }

    /// The executor goes on.
    fn step(&mut self, index: usize, slot: u32, ended: bool) {
        let now = self.queue.now();
        let Some(place) = &mut self.places[index] else {
            return;
        };
        let executor = &mut place.executors[slot as usize];
        if let Some(sequence) = place.runs[slot as usize].take() {
            self.runs[sequence as usize].ended = now - SUBMITS;
        }
        let next = match ended {
            true => executor.ended(now),
            false => executor.step(now),
        };
        match next {
            Next::Idle => {}
            Next::Pauses(until) => self.queue.at(until, Event::Step(index, slot, false)),
            Next::Runs(sequence) => {
                let run = &mut self.runs[sequence as usize];
                assert_eq!(run.began, 0, "element {sequence} runs twice");
                *run = Run {
                    node: index,
                    slot,
                    began: now - SUBMITS,
                    ended: 0,
                };
                place.runs[slot as usize] = Some(sequence);
                let takes = self.work.elements[sequence as usize].takes * place.site.slowness;
                let end = now + Executor::call(takes);
                self.queue.at(end, Event::Step(index, slot, true));
            }
        }
        self.take_sent(index, slot);
    }

    fn take_sent(&mut self, index: usize, slot: u32) {
        let now = self.queue.now();
        let Some(place) = &mut self.places[index] else {
            return;
        };
        for messages in std::mem::take(&mut place.executors[slot as usize].sent) {
            self.queue
                .at(now + HOP, Event::FromExecutor(index, slot, messages));
        }
    }
}
