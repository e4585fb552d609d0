//! How far one scheduler goes: the engine alone with nodes and slots without number, whose tasks take virtual time.
//!
//! Not a history for the oracle: nothing fails here. Nodes are the thinnest that keep the protocol: they run what they
//! are assigned, say every two seconds what runs, and give back what has not started. The scheduler has a turn each
//! millisecond in which something came for it; that it takes no virtual time itself is why its own is told beside.

mod load;
mod measure;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use scaler_engine::scheduler::{Scheduler, SchedulerConfig, SchedulerOutput};
use scaler_engine::wire::{Hello, LinkId, Message, NodeInfo, NodeStatus, Range, Role};

use crate::data::Data;
use crate::queue::{Queue, Time, MILLISECOND, SECOND};
use crate::random::Random;
use load::{Clients, Task};
use measure::{cpu_seconds, resident_bytes};

/// What a world is to have, and what its tasks take, evenly between these two; microseconds.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    pub nodes: u32,
    pub slots: u32,
    pub tasks: u64,
    pub shortest: Time,
    pub longest: Time,
}

/// What came of it.
#[derive(Clone, Copy, Debug)]
pub struct Found {
    /// Of virtual time until the last outcome, and what the tasks took together, over all slots.
    pub makespan: Time,
    pub bound: Time,
    /// Part of all slots' time that tasks ran, until the last one was assigned.
    pub busy: f64,
    /// CPU of the engine: of taking all tasks in, and of everything else.
    pub accepting_s: f64,
    pub running_s: f64,
    /// The longest turn.
    pub longest_turn_s: f64,
    pub node_bytes: f64,
    pub task_bytes: f64,
    pub outcomes: u64,
}

const TURN: Time = MILLISECOND;
const HEARTBEAT: Time = 2 * SECOND;

enum Event {
    /// An element ends at a node's slot.
    Ends {
        node: u32,
        task: Task,
    },
    Heartbeat {
        node: u32,
    },
    Turn,
}

/// A node's slots and what waits for them.
struct Node {
    free: u32,
    waiting: VecDeque<Task>,
    running: Vec<Task>,
}

pub struct World {
    shape: Shape,
    queue: Queue<Event>,
    random: Random,
    scheduler: Scheduler<Data>,
    out: Vec<SchedulerOutput<Data>>,
    nodes: Vec<Node>,
    clients: Clients,
    inbox: Vec<(LinkId, Message<Data>)>,
    turn_planned: bool,
    engine: Duration,
    longest_turn: Duration,
    /// What tasks have taken, when the last one left the queue and what they had taken by then.
    worked: Time,
    all_gone: Option<(Time, Time)>,
}

impl World {
    pub fn new(shape: Shape) -> World {
        let config = SchedulerConfig {
            resync_us: 0,
            ..SchedulerConfig::default()
        };
        let node = || Node {
            free: shape.slots,
            waiting: VecDeque::new(),
            running: Vec::with_capacity(shape.slots as usize),
        };
        World {
            shape,
            queue: Queue::default(),
            random: Random::new(1),
            scheduler: Scheduler::new(config, 1, 0),
            out: Vec::new(),
            nodes: (0..shape.nodes).map(|_| node()).collect(),
            clients: Clients::new(shape.tasks),
            inbox: Vec::new(),
            turn_planned: false,
            engine: Duration::ZERO,
            longest_turn: Duration::ZERO,
            worked: 0,
            all_gone: None,
        }
    }

    pub fn run(mut self) -> Found {
        let empty = resident_bytes();
        self.join_nodes();
        let joined = resident_bytes();
        self.engine = Duration::ZERO;
        let (began, cpu) = (Instant::now(), cpu_seconds());
        self.accept();
        let accepting = self.engine;
        let queued = resident_bytes();
        self.plan_turn();
        while !self.clients.all_done() {
            let event = self.queue.pop().expect("whoever waits is waited for");
            self.happens(event);
        }
        self.clients.check();
        // On a machine that others use the clock goes on while this process waits.
        let share = (cpu_seconds() - cpu) / began.elapsed().as_secs_f64();
        let (gone_at, gone_worked) = self.all_gone.unwrap_or((1, 0));
        let slots = u64::from(self.shape.nodes) * u64::from(self.shape.slots);
        let each = |bytes: u64, count: u64| bytes as f64 / count.max(1) as f64;
        Found {
            makespan: self.queue.now(),
            bound: self.worked / slots,
            busy: gone_worked as f64 / (gone_at.max(1) as f64 * slots as f64),
            accepting_s: accepting.as_secs_f64() * share,
            running_s: (self.engine - accepting).as_secs_f64() * share,
            longest_turn_s: self.longest_turn.as_secs_f64() * share,
            node_bytes: each(joined.saturating_sub(empty), self.shape.nodes.into()),
            task_bytes: each(queued.saturating_sub(joined), self.shape.tasks),
            outcomes: self.clients.outcomes(),
        }
    }

    fn join_nodes(&mut self) {
        for node in 0..self.shape.nodes {
            let info = NodeInfo {
                name: format!("node {node}"),
                slots: self.shape.slots,
                queue_size: 1_000,
                ..NodeInfo::default()
            };
            let hello = Hello {
                node: Some(Box::new(info)),
                ..Hello::new(Role::Node)
            };
            let link = link_of(node);
            let joined = self.scheduler.joined(0, link, &hello, "here");
            joined.expect("a node may join");
            self.take(link, Message::Holding { ranges: Vec::new() });
            let first = HEARTBEAT * u64::from(node) / u64::from(self.shape.nodes);
            self.queue.at(first, Event::Heartbeat { node });
        }
        self.clients.join(&mut self.scheduler);
        self.drain();
    }

    /// Everything is submitted before anything is placed.
    fn accept(&mut self) {
        while let Some((link, submission)) = self.clients.submission() {
            self.take(link, submission);
        }
    }

    fn take(&mut self, link: LinkId, message: Message<Data>) {
        let began = Instant::now();
        self.scheduler.handle(self.queue.now(), link, message);
        self.engine += began.elapsed();
    }

    fn happens(&mut self, event: Event) {
        match event {
            Event::Ends { node, task } => {
                let it = &mut self.nodes[node as usize];
                it.free += 1;
                it.running.retain(|other| other.range != task.range);
                self.worked += task.takes;
                self.say(node, task.done());
                self.start(node);
            }
            Event::Heartbeat { node } => {
                let running = self.nodes[node as usize].running.iter();
                let status = NodeStatus {
                    slots: self.shape.slots,
                    started: running.map(|task| task.range).collect(),
                    ..NodeStatus::default()
                };
                self.say(node, Message::NodeStatus(status));
                let next = self.queue.now() + HEARTBEAT;
                self.queue.at(next, Event::Heartbeat { node });
            }
            Event::Turn => self.turn(),
        }
    }

    fn say(&mut self, node: u32, message: Message<Data>) {
        self.inbox.push((link_of(node), message));
        self.plan_turn();
    }

    fn plan_turn(&mut self) {
        if !std::mem::replace(&mut self.turn_planned, true) {
            let at = (self.queue.now() / TURN + 1) * TURN;
            self.queue.at(at, Event::Turn);
        }
    }

    fn turn(&mut self) {
        self.turn_planned = false;
        let (now, began) = (self.queue.now(), Instant::now());
        for (link, message) in self.inbox.drain(..) {
            self.scheduler.handle(now, link, message);
        }
        if self.scheduler.next_wakeup().is_some_and(|at| at <= now) {
            self.scheduler.tick(now);
        }
        self.scheduler.drain(&mut self.out);
        let took = began.elapsed();
        self.engine += took;
        self.longest_turn = self.longest_turn.max(took);
        self.drain();
    }

    /// What the scheduler says reaches those whom it is for.
    fn drain(&mut self) {
        for output in std::mem::take(&mut self.out) {
            match output {
                SchedulerOutput::Send { link, message } if link < self.shape.nodes.into() => {
                    self.node_hears(link as u32, message);
                }
                SchedulerOutput::Send { link, message } => self.clients.hear(link, message),
                SchedulerOutput::End { reason, .. } => panic!("a link ends: {reason}"),
                _ => {}
            }
        }
        if self.all_gone.is_none() && self.clients.all_assigned() {
            self.all_gone = Some((self.queue.now(), self.worked_so_far()));
        }
    }

    /// With what those have done that run now.
    fn worked_so_far(&self) -> Time {
        let now = self.queue.now();
        let running = self.nodes.iter().flat_map(|node| &node.running);
        self.worked + running.map(|task| now - task.began).sum::<Time>()
    }

    fn node_hears(&mut self, node: u32, message: Message<Data>) {
        match message {
            Message::Assign(assign) => {
                self.clients.assigned(assign.count.into());
                for at in 0..u64::from(assign.count) {
                    let range = Range {
                        session: assign.session,
                        first: assign.first + at,
                        count: 1,
                    };
                    let takes = self.random.between(self.shape.shortest, self.shape.longest);
                    let task = Task {
                        range,
                        takes,
                        began: 0,
                    };
                    self.nodes[node as usize].waiting.push_back(task);
                }
                self.start(node);
            }
            Message::Reclaim { count } => {
                let waiting = &mut self.nodes[node as usize].waiting;
                let back = waiting.len().saturating_sub(count as usize);
                let ranges: Vec<Range> = waiting.drain(back..).map(|task| task.range).collect();
                self.clients.given_back(ranges.len() as u64);
                self.say(node, Message::GaveBack { ranges });
            }
            _ => {}
        }
    }

    fn start(&mut self, node: u32) {
        let now = self.queue.now();
        let it = &mut self.nodes[node as usize];
        while it.free > 0 {
            let Some(task) = it.waiting.pop_front() else {
                return;
            };
            let task = Task { began: now, ..task };
            it.free -= 1;
            it.running.push(task);
            self.queue.at(now + task.takes, Event::Ends { node, task });
        }
    }
}

fn link_of(node: u32) -> LinkId {
    node.into()
}
