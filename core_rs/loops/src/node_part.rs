//! A node in a loop: its engine, executors and outward links.

use std::sync::Arc;

use bytes::Bytes;
use mio::{Registry, Token};
use scaler_engine::acceptor::ticket;
use scaler_engine::dialer::{DialerEvent, HEARTBEAT_US};
use scaler_engine::node::{Level, Node, NodeConfig, NodeOutput};
use scaler_wire::{Hello, Message, NodeInfo, RefusalCode, Role, Welcome};

use crate::connections::{Arrival, Connections, Key};
use crate::executors::{Ended, Executors};
use crate::memory::Memory;
use crate::outward::OutwardLink;
use crate::scheduler_part::NODE_HERE;
use crate::shared::{Outward, Request, Shared};

/// How often executors' memory is looked at.
const MEMORY_PERIOD_US: u64 = 1_000_000;
/// How long a node that ends waits for the scheduler to take what it has to say.
const LAST_WORDS_US: u64 = 3_000_000;

#[derive(Clone, Debug)]
pub struct NodeSettings {
    pub config: NodeConfig,
    pub info: NodeInfo,
    pub ticket: Vec<u8>,
    pub properties: Vec<(String, String)>,
}

impl NodeSettings {
    pub fn hello(&self) -> Hello {
        Hello {
            node: Some(Box::new(self.info.clone())),
            ..self.hello_of(Role::Node)
        }
    }

    fn hello_of(&self, role: Role) -> Hello {
        Hello {
            ticket: self.ticket.clone(),
            properties: self.properties.clone(),
            ..Hello::new(role)
        }
    }
}

pub struct NodePart {
    pub engine: Node<Bytes>,
    outputs: Vec<NodeOutput<Bytes>>,
    /// What is about executors, where these are jobs, and the end.
    pub for_jobs: Vec<NodeOutput<Bytes>>,
    offloads: bool,
    pub executors: Executors,
    /// `None`: the scheduler is in this loop.
    pub scheduler: Option<OutwardLink>,
    pub store: OutwardLink,
    memory: Memory,
    memory_at: u64,
    /// It ends for that reason, at the latest at that time.
    exiting: Option<(String, u64)>,
    shared: Arc<Shared>,
}

impl NodePart {
    /// `direct`: the scheduler is in this loop. `token`: the poll's token for a slot's process.
    pub fn new(
        settings: &NodeSettings,
        now: u64,
        direct: bool,
        shared: &Arc<Shared>,
        token: fn(usize) -> Token,
    ) -> Self {
        // A link that is silent for longer is closed by its other end, however seldom the node says how it is.
        let heartbeat_us = settings.config.heartbeat_us.min(HEARTBEAT_US);
        let outward = |name, hello| {
            OutwardLink::new(name, hello, Arc::clone(shared)).with_heartbeat(heartbeat_us)
        };
        let memory = Memory::default();
        let config = NodeConfig {
            nesting_bytes: memory.total().unwrap_or(0) / 10 * 8,
            ..settings.config.clone()
        };
        let scheduler = (!direct).then(|| outward(Outward::Scheduler, settings.hello()));
        shared.set_node_link(scheduler.as_ref().map_or(NODE_HERE, OutwardLink::link));
        NodePart {
            engine: Node::new(config, now),
            outputs: Vec::new(),
            for_jobs: Vec::new(),
            offloads: settings.config.offload,
            executors: Executors::new(Arc::clone(shared), token),
            scheduler,
            store: outward(Outward::Store, settings.hello_of(Role::Objects)),
            memory,
            memory_at: now + MEMORY_PERIOD_US,
            exiting: None,
            shared: Arc::clone(shared),
        }
    }

    pub fn on_executor(&mut self, now: u64, slot: u32, connection: Key, arrival: Arrival) {
        // A later executor of the slot has another connection.
        if self.executors.connection(slot) != Some(connection) {
            return;
        }
        match arrival {
            Arrival::Frame(frame) => {
                for message in frame.messages {
                    self.engine.executor_message(now, slot, message);
                }
            }
            Arrival::Malformed(error) => {
                self.log(
                    "error",
                    format!("executor {slot} sent what is no frame: {error}"),
                );
                self.executors.kill(slot);
            }
            Arrival::Closed => self.executors.on_socket_closed(now, slot),
        }
    }

    pub fn on_executor_ended(&mut self, now: u64, ended: Ended) {
        self.engine
            .executor_ended(now, ended.slot, ended.status, ended.position);
    }

    pub fn tick(&mut self, now: u64) {
        // Of jobs the memory is elsewhere.
        if now >= self.memory_at && !self.offloads {
            self.memory_at = now + MEMORY_PERIOD_US;
            for (slot, bytes) in self.executors.resident() {
                self.engine.memory(now, slot, bytes);
            }
            if self.memory.is_short() {
                self.engine.memory_pressure(now);
            }
        }
        self.executors.tick(now);
        if let Some(scheduler) = &mut self.scheduler {
            scheduler.tick(now);
        }
        self.store.tick(now);
        self.engine.store_connected(now, self.store.is_open());
        // After what arrived was handed in: it may be what was waited for.
        if self.engine.next_wakeup().is_some_and(|at| at <= now) {
            self.engine.tick(now);
        }
    }

    pub fn next_wakeup(&self) -> Option<u64> {
        let links = [
            self.scheduler.as_ref().and_then(OutwardLink::next_wakeup),
            self.store.next_wakeup(),
        ];
        let own = [
            self.engine.next_wakeup(),
            self.executors.next_wakeup(),
            (!self.offloads).then_some(self.memory_at),
        ];
        let exit = self.exiting.as_ref().map(|(_, at)| *at);
        links.into_iter().chain(own).chain([exit]).flatten().min()
    }

    /// What the outward links brought.
    pub fn on_links(&mut self, now: u64) {
        while let Some(event) = self.scheduler.as_mut().and_then(OutwardLink::poll_event) {
            match event {
                DialerEvent::Message(message) => self.engine.handle(now, message),
                DialerEvent::Welcomed { welcome, .. } => {
                    self.take_ticket(&welcome);
                    self.engine.connected(now, true);
                }
                DialerEvent::Fresh {
                    welcome,
                    unacknowledged,
                } => {
                    self.take_ticket(&welcome);
                    self.engine.connected(now, true);
                    self.engine.reset(now, unacknowledged);
                }
                DialerEvent::Refused {
                    code: RefusalCode::Closing,
                    reason,
                } if self.offloads => self.for_jobs.push(NodeOutput::Exit { reason }),
                DialerEvent::Refused { .. } => {}
            }
        }
        while let Some(event) = self.store.poll_event() {
            match event {
                DialerEvent::Message(message) => self.engine.store(now, message),
                DialerEvent::Fresh { .. } => self.engine.store_reset(now),
                DialerEvent::Welcomed { .. } | DialerEvent::Refused { .. } => {}
            }
        }
    }

    /// One ticket is good for both links; the one that a node was started with may end before the other link is there.
    fn take_ticket(&mut self, welcome: &Welcome) {
        if let Some(ticket) = ticket::of_welcome(welcome) {
            self.store.set_ticket(ticket);
        }
    }

    /// The connection to the scheduler may be gone: what it brought last is heard first.
    pub fn on_link_changed(&mut self, now: u64) {
        let link = self.scheduler.as_ref();
        if link.is_some_and(OutwardLink::lacks_connection) {
            self.on_links(now);
            self.engine.connected(now, false);
        }
    }

    /// Does what the engine wants. Messages for a scheduler in this loop go to `direct`. False when there was nothing.
    pub fn drain<O: Copy>(
        &mut self,
        now: u64,
        connections: &mut Connections<O>,
        mut direct: impl FnMut(Message<Bytes>),
    ) -> bool {
        let mut outputs = std::mem::take(&mut self.outputs);
        self.engine.drain(&mut outputs);
        let moved = !outputs.is_empty();
        for output in outputs.drain(..) {
            match (output, &mut self.scheduler) {
                (NodeOutput::ToScheduler(message), Some(scheduler)) => scheduler.send(message),
                (NodeOutput::ToScheduler(message), None) => direct(message),
                (output, _) if self.offloads && is_for_jobs(&output) => self.for_jobs.push(output),
                (output, _) => self.act(now, output, connections),
            }
        }
        self.outputs = outputs;
        moved
    }

    fn act<O: Copy>(
        &mut self,
        now: u64,
        output: NodeOutput<Bytes>,
        connections: &mut Connections<O>,
    ) {
        match output {
            NodeOutput::ToScheduler(_) | NodeOutput::Describe { .. } => {}
            NodeOutput::ToExecutor { slot, message } => {
                self.executors.send(slot, message, connections)
            }
            NodeOutput::ToStore(message) => self.store.send(message),
            NodeOutput::StartExecutor { slot } => self.shared.ask(Request::StartExecutor { slot }),
            NodeOutput::Kill { slot } => self.executors.kill(slot),
            NodeOutput::Stop { slot, at } => {
                self.executors.stop(slot, at);
                self.look(now, slot);
            }
            NodeOutput::Interrupt { slot, at } => self.executors.interrupt(slot, at),
            NodeOutput::Look { slot } => self.look(now, slot),
            NodeOutput::Flush { slot } => self.executors.flush(slot),
            NodeOutput::Listen { session, on } => self.shared.ask(Request::Listen { session, on }),
            NodeOutput::Log { level, text } => self.log(level_name(level), text),
            NodeOutput::Exit { reason } => {
                self.exiting.get_or_insert((reason, now + LAST_WORDS_US));
            }
        }
    }

    fn look(&mut self, now: u64, slot: u32) {
        if let Some((position, started_us)) = self.executors.look(slot) {
            self.engine.position(now, slot, position, started_us);
        }
    }

    /// Queues what may leave; true when a connection was closed.
    pub fn transmit<O: Copy>(
        &mut self,
        now: u64,
        connections: &mut Connections<O>,
        registry: &Registry,
    ) -> bool {
        self.executors.transmit(connections);
        let mut closed = self.store.transmit(now, connections, registry);
        if let Some(scheduler) = &mut self.scheduler {
            if scheduler.transmit(now, connections, registry) {
                self.engine.connected(now, false);
                closed = true;
            }
        }
        closed
    }

    /// Tells the host that the node is done, once the scheduler has heard everything.
    pub fn end_if_done(&mut self, now: u64) {
        let told = self.scheduler.as_ref().is_none_or(OutwardLink::is_idle);
        if self
            .exiting
            .as_ref()
            .is_some_and(|(_, at)| told || *at <= now)
        {
            let (reason, _) = self.exiting.take().expect("it is exiting");
            self.executors.end_all();
            self.shared.ask(Request::Exit { reason });
        }
    }

    fn log(&self, level: &'static str, text: String) {
        self.shared.ask(Request::Log { level, text });
    }
}

/// Nothing else is done for those whose executors are jobs.
fn is_for_jobs(output: &NodeOutput<Bytes>) -> bool {
    !matches!(
        output,
        NodeOutput::ToStore(_) | NodeOutput::Log { .. } | NodeOutput::Listen { .. }
    )
}

pub fn level_name(level: Level) -> &'static str {
    match level {
        Level::Info => "info",
        Level::Warning => "warning",
        Level::Error => "error",
    }
}
