//! The loop of a process: one poll, its connections, and the parts that it drives.
//!
//! A turn: wait; take orders, connections, bytes and deaths in; tick what is due; let the machines talk to each other
//! until nothing moves; write. Nothing in a turn waits.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use mio::{Events, Poll, Token, Waker};
use scaler_engine::acceptor::Origin;

use crate::connections::{Arrival, Connections};
use crate::linux::{self, monotonic_us, Child};
use crate::listeners::{Arrived, Listeners};
use crate::manager_part::ManagerSettings;
use crate::node_part::NodeSettings;
use crate::object_folder::ObjectFolder;
use crate::offload_part::OffloadPart;
use crate::parts::{Owner, Parts};
use crate::scheduler_part::SchedulerSettings;
use crate::shared::{lock, Listening, Order, Outward, Request, Shared};
use crate::store_part::StoreSettings;

/// The kind of a token is in its low bits.
const WAKER: usize = 0;
const LISTENER: usize = 1;
const CONNECTION: usize = 2;
const PROCESS: usize = 3;
const KIND_BITS: u32 = 2;

const EVENTS: usize = 1_024;

/// What runs in the loop.
#[derive(Clone, Default)]
pub struct Settings {
    pub scheduler: Option<SchedulerSettings>,
    pub node: Option<NodeSettings>,
    pub store: Option<StoreSettings>,
    pub manager: Option<ManagerSettings>,
}

pub struct Reactor {
    poll: Poll,
    settings: Settings,
    objects: Option<ObjectFolder>,
    shared: Arc<Shared>,
}

impl Reactor {
    /// Takes possession of the storage's folder, too, if it has one.
    pub fn new(settings: Settings) -> io::Result<Reactor> {
        let objects = settings.store.as_ref().and_then(|store| {
            let directory = store.directory.as_ref()?;
            Some(match store.writes_through {
                true => ObjectFolder::kept(directory),
                false => ObjectFolder::passing(directory),
            })
        });
        let poll = Poll::new()?;
        let waker = Waker::new(poll.registry(), Token(WAKER))?;
        Ok(Reactor {
            poll,
            settings,
            objects: objects.transpose()?,
            shared: Arc::new(Shared::new(waker)),
        })
    }

    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Until it is told to stop. Executors that are left are killed at the end.
    pub fn run(self) -> io::Result<()> {
        let _closing = Closing(Arc::clone(&self.shared));
        let mut running = Running::new(self)?;
        running.work();
        while !running.stopped {
            running.wait()?;
            running.work();
        }
        Ok(())
    }
}

/// Lets go of whoever waits for requests, however the loop ends.
struct Closing(Arc<Shared>);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.close();
    }
}

struct Running {
    poll: Poll,
    events: Events,
    shared: Arc<Shared>,
    listeners: Listeners,
    connections: Connections<Owner>,
    parts: Parts,
    /// Slots whose process may have ended.
    ended: Vec<u32>,
    stopped: bool,
}

impl Running {
    fn new(reactor: Reactor) -> io::Result<Running> {
        let Reactor {
            poll,
            settings,
            objects,
            shared,
        } = reactor;
        let parts = Parts::new(&settings, objects, monotonic_us(), &shared, process_token)?;
        Ok(Running {
            poll,
            events: Events::with_capacity(EVENTS),
            listeners: Listeners::default(),
            connections: Connections::new(connection_token),
            parts,
            ended: Vec::new(),
            stopped: false,
            shared,
        })
    }

    fn work(&mut self) {
        let now = monotonic_us();
        for order in self.shared.take_orders() {
            self.on_order(now, order);
        }
        self.accept(now);
        let Running {
            connections,
            parts,
            poll,
            ..
        } = self;
        connections.read(poll.registry(), |key, owner, arrival| {
            parts.on_arrival(now, key, owner, arrival)
        });
        self.bury(now);
        self.parts.tick(now);
        self.parts.settle(now, &mut self.connections);
        self.write(now);
        self.parts.end_if_done(now);
        self.count();
    }

    /// Waits for something to do, and notes what there is.
    fn wait(&mut self) -> io::Result<()> {
        let timeout = self.timeout();
        match self.poll.poll(&mut self.events, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            other => other?,
        }
        for event in &self.events {
            let Token(token) = event.token();
            let index = token >> KIND_BITS;
            match token & ((1 << KIND_BITS) - 1) {
                LISTENER => self.listeners.on_event(index),
                CONNECTION => self.connections.on_event(index, event),
                PROCESS => self.ended.push(index as u32),
                _ => {}
            }
        }
        Ok(())
    }

    fn timeout(&self) -> Option<Duration> {
        if self.connections.has_ready() || self.listeners.has_ready() {
            return Some(Duration::ZERO);
        }
        let next = [self.parts.next_wakeup(), self.listeners.next_wakeup()]
            .into_iter()
            .flatten()
            .min();
        next.map(|at| Duration::from_micros(at.saturating_sub(monotonic_us())))
    }

    fn accept(&mut self, now: u64) {
        let Running {
            listeners,
            connections,
            parts,
            poll,
            shared,
            ..
        } = self;
        listeners.accept(now, |part, arrived| match arrived {
            Arrived::Connection(socket) => {
                let origin = Origin {
                    local: true,
                    address: "a local process".into(),
                };
                open(connections, parts, poll, shared, now, part, socket, origin);
            }
            Arrived::Problem(text) => shared.ask(Request::Log {
                level: "warning",
                text,
            }),
        });
    }

    /// Executors whose process has ended: what they said last is heard first.
    fn bury(&mut self, now: u64) {
        let Running {
            connections,
            parts,
            poll,
            ended,
            ..
        } = self;
        for slot in ended.drain(..) {
            let Some(node) = &mut parts.node else { return };
            let Some(connection) = node.executors.connection(slot) else {
                continue;
            };
            connections.read_rest(poll.registry(), connection, |key, _, arrival| {
                node.on_executor(now, slot, key, arrival);
            });
            if let Some(ended) = node.executors.reap(poll.registry(), slot) {
                connections.close(poll.registry(), connection);
                node.on_executor_ended(now, ended);
            }
        }
    }

    /// Writes, until what broken connections do to the parts has settled as well.
    fn write(&mut self, now: u64) {
        let Running {
            connections,
            parts,
            poll,
            ..
        } = self;
        loop {
            let mut closed = parts.transmit(now, connections, poll.registry());
            connections.write(poll.registry(), |key, owner| {
                closed = true;
                parts.on_arrival(now, key, owner, Arrival::Closed);
            });
            if !closed {
                return;
            }
            parts.settle(now, connections);
        }
    }

    fn count(&mut self) {
        let mut counters = lock(&self.shared.counters);
        counters.turns += 1;
        counters.frames_in = self.connections.frames_in();
        counters.frames_out = self.connections.frames_out();
        counters.connections = self.connections.len() as u64;
        counters.executors = self
            .parts
            .node
            .as_ref()
            .map_or(0, |node| node.executors.len()) as u64;
    }

    fn on_order(&mut self, now: u64, order: Order) {
        match order {
            Order::Stop => self.stopped = true,
            Order::Drain => {
                if let Some(node) = &mut self.parts.node {
                    node.engine.drain_slots(now);
                }
            }
            Order::Output {
                session,
                lines,
                dropped,
                payload,
            } => {
                if let Some(node) = &mut self.parts.node {
                    node.engine.output(now, session, lines, dropped, payload);
                }
            }
            Order::Listen { part, socket } => {
                let added = self
                    .listeners
                    .add(self.poll.registry(), part, socket, listener_token);
                self.report("cannot listen", added);
            }
            Order::Adopt {
                part,
                socket,
                address,
            } => {
                let Running {
                    connections,
                    parts,
                    poll,
                    shared,
                    ..
                } = self;
                let origin = Origin {
                    local: false,
                    address,
                };
                open(connections, parts, poll, shared, now, part, socket, origin);
            }
            Order::Attach { link, socket } => self.attach(now, link, socket),
            Order::ExecutorFailed { slot, error } => {
                if let Some(node) = &mut self.parts.node {
                    node.engine.executor_failed(now, slot, error);
                }
            }
            Order::ExecutorStarted {
                slot,
                child,
                socket,
                line,
            } => {
                if let Err(error) = self.add_executor(slot, child, socket, &line) {
                    if let Some(node) = &mut self.parts.node {
                        node.engine.executor_failed(now, slot, error.to_string());
                    }
                }
            }
            Order::ManagerRecorded { number } => {
                self.parts.with_manager(|it| it.recorded(now, number));
            }
            Order::ManagerAnswered { call, answer } => {
                self.parts.with_manager(|it| it.answered(now, call, answer));
            }
            Order::ManagerLeave => {
                let leave = |offload: &mut OffloadPart, node: &mut _, manager: &mut _| {
                    offload.leave(now, node, manager);
                };
                if !self.parts.with_offload(leave) {
                    self.parts.with_manager(|it| it.leave(now));
                }
            }
            Order::JobsCollected { call, outcomes } => {
                self.parts
                    .with_offload(|it, _, _| it.collected(now, call, outcomes));
            }
            Order::JobsNotCollected {
                call,
                text,
                retry_after_us,
            } => {
                self.parts
                    .with_offload(|it, _, _| it.not_collected(now, call, &text, retry_after_us));
            }
            Order::StoreFile(done) => self.parts.on_file(now, done),
        }
    }

    fn attach(&mut self, now: u64, link: Outward, socket: OwnedFd) {
        let Some((owner, outward)) = self.parts.link_for(link) else {
            let text = format!("no link lacks a connection to {}", link.name());
            return self.shared.ask(Request::Log {
                level: "warning",
                text,
            });
        };
        let local = linux::leads_to_listener(socket.as_fd());
        let opened = self
            .connections
            .open(self.poll.registry(), socket, owner, local);
        match opened {
            Ok(key) => outward.on_open(now, key),
            Err(error) => self.report("cannot use a connection", Err(error)),
        }
    }

    /// On an error the process is ended.
    fn add_executor(
        &mut self,
        slot: u32,
        child: Child,
        socket: OwnedFd,
        line: &OwnedFd,
    ) -> io::Result<()> {
        let registry = self.poll.registry();
        let taken = || io::Error::other(format!("there is no free slot {slot}"));
        let node = self
            .parts
            .node
            .as_mut()
            .filter(|node| !node.executors.contains(slot));
        let node = node.ok_or_else(taken)?;
        let key = self
            .connections
            .open(registry, socket, Owner::Executor(slot), true)?;
        self.connections.bear_with(key);
        let added = node.executors.add(registry, slot, child, key, line);
        if added.is_err() {
            self.connections.close(registry, key);
        }
        added
    }

    fn report(&self, what: &str, done: io::Result<()>) {
        if let Err(error) = done {
            self.shared.ask(Request::Log {
                level: "error",
                text: format!("{what}: {error}"),
            });
        }
    }
}

#[allow(clippy::too_many_arguments)] // the parts of a loop that a connection touches
fn open(
    connections: &mut Connections<Owner>,
    parts: &mut Parts,
    poll: &Poll,
    shared: &Shared,
    now: u64,
    part: Listening,
    socket: OwnedFd,
    origin: Origin,
) {
    // Where the peer is and where the bytes come from are two things: a bridge may take files.
    let files = origin.local || linux::leads_to_listener(socket.as_fd());
    match connections.open(poll.registry(), socket, Owner::of(part), files) {
        Ok(key) => parts.on_open(now, part, key, origin),
        Err(error) => shared.ask(Request::Log {
            level: "error",
            text: format!("cannot use a connection: {error}"),
        }),
    }
}

fn listener_token(index: usize) -> Token {
    Token(index << KIND_BITS | LISTENER)
}

fn connection_token(index: usize) -> Token {
    Token(index << KIND_BITS | CONNECTION)
}

fn process_token(slot: usize) -> Token {
    Token(slot << KIND_BITS | PROCESS)
}
