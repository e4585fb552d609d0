//! A scheduler in a loop: its engine, the links that come to it, and its own link to object storage.

use std::sync::Arc;

use bytes::Bytes;
use mio::Registry;
use scaler_engine::acceptor::{ticket, AcceptorEvent, AcceptorSettings, Origin, TicketKey};
use scaler_engine::dialer::DialerEvent;
pub use scaler_engine::scheduler::{Allocate, SchedulerConfig};
use scaler_engine::scheduler::{Scheduler, SchedulerOutput};
use scaler_wire::{Hello, LinkId, Message, Role};

use crate::accepting::Accepting;
use crate::connections::{Connections, Key};
use crate::node_part::level_name;
use crate::outward::OutwardLink;
use crate::shared::{Outward, Request, Shared};

/// The link, without one, of a node in the same loop.
pub const NODE_HERE: LinkId = 0;

#[derive(Clone, Debug)]
pub struct SchedulerSettings {
    pub config: SchedulerConfig,
    pub acceptor: AcceptorSettings,
    pub incarnation: u64,
    pub ticket_key: Option<TicketKey>,
}

pub struct SchedulerPart {
    pub engine: Scheduler<Bytes>,
    pub accepting: Accepting,
    pub store: OutwardLink,
    outputs: Vec<SchedulerOutput<Bytes>>,
    exiting: Option<String>,
    shared: Arc<Shared>,
}

impl SchedulerPart {
    pub fn new(settings: &SchedulerSettings, now: u64, shared: &Arc<Shared>) -> Self {
        let hello = Hello {
            ticket: settings
                .ticket_key
                .map(|key| ticket::make(&key, ticket::ANY_ROLE, "", 0))
                .unwrap_or_default(),
            properties: settings.acceptor.properties.clone(),
            ..Hello::new(Role::Scheduler)
        };
        let incarnation = settings.incarnation;
        SchedulerPart {
            engine: Scheduler::new(settings.config.clone(), incarnation, now),
            accepting: Accepting::new(settings.acceptor.clone(), incarnation, settings.ticket_key),
            store: OutwardLink::new(Outward::Store, hello, Arc::clone(shared)),
            outputs: Vec::new(),
            exiting: None,
            shared: Arc::clone(shared),
        }
    }

    /// A node in the same loop joins, as the first that does.
    pub fn join_node_here(&mut self, now: u64, hello: &Hello) -> Result<(), String> {
        self.engine
            .joined(now, NODE_HERE, hello, "this process")
            .map_err(|(_, reason)| reason)
    }

    pub fn tick(&mut self, now: u64) {
        self.accepting.tick(now);
        self.store.tick(now);
        if self.engine.next_wakeup().is_some_and(|at| at <= now) {
            self.engine.tick(now);
        }
    }

    pub fn next_wakeup(&self) -> Option<u64> {
        let all = [
            self.engine.next_wakeup(),
            self.accepting.next_wakeup(),
            self.store.next_wakeup(),
        ];
        all.into_iter().flatten().min()
    }

    /// What the links brought.
    pub fn on_links(&mut self, now: u64) {
        while let Some(event) = self.accepting.poll_event() {
            match event {
                AcceptorEvent::Message { link, message } => self.on_message(now, link, message),
                AcceptorEvent::Backlog { link, bytes } => self.engine.backlog(now, link, bytes),
                AcceptorEvent::Resumed { link } => self.engine.resumed(now, link),
                AcceptorEvent::Disconnected { link } => self.engine.disconnected(now, link),
                AcceptorEvent::Log { text } => self.log("warning", text),
                AcceptorEvent::Left { link, why } => {
                    self.log("info", format!("link {link:016x} is gone: {why}"));
                    self.engine.left(now, link);
                }
                AcceptorEvent::Joined {
                    link,
                    hello,
                    origin,
                } => {
                    if let Err((code, reason)) =
                        self.engine.joined(now, link, &hello, &origin.address)
                    {
                        self.accepting.end(link, code, reason);
                    }
                }
            }
        }
        while let Some(event) = self.store.poll_event() {
            match event {
                // Storage that forgot lost what it held; deletes of what it does not know are fine.
                DialerEvent::Fresh { unacknowledged, .. } => unacknowledged
                    .into_iter()
                    .for_each(|message| self.store.send(message)),
                DialerEvent::Message(message) => self.engine.store(now, message),
                DialerEvent::Welcomed { .. } | DialerEvent::Refused { .. } => {}
            }
        }
    }

    fn on_message(&mut self, now: u64, link: LinkId, message: Message<Bytes>) {
        let over = matches!(message, Message::Goodbye);
        self.engine.handle(now, link, message);
        if over {
            self.accepting.forget(link);
        }
    }

    /// Does what the engine wants. Messages for a node in this loop go to `direct`. False when there was nothing.
    pub fn drain(&mut self, mut direct: impl FnMut(Message<Bytes>)) -> bool {
        let mut outputs = std::mem::take(&mut self.outputs);
        self.engine.drain(&mut outputs);
        let moved = !outputs.is_empty();
        for output in outputs.drain(..) {
            match output {
                SchedulerOutput::Send {
                    link: NODE_HERE,
                    message,
                } => direct(message),
                SchedulerOutput::Send { link, message } => self.accepting.send(link, message),
                SchedulerOutput::Hold { link, hold } => self.accepting.hold(link, hold),
                SchedulerOutput::End { link, code, reason } => {
                    self.accepting.end(link, code, reason)
                }
                SchedulerOutput::Store(message) => self.store.send(message),
                SchedulerOutput::Log { level, text } => self.log(level_name(level), text),
                SchedulerOutput::Exit { reason } => self.exiting = Some(reason),
            }
        }
        self.outputs = outputs;
        moved
    }

    /// Queues what may leave; true when a connection was closed.
    pub fn transmit<O: Copy>(
        &mut self,
        now: u64,
        connections: &mut Connections<O>,
        registry: &Registry,
    ) -> bool {
        self.accepting.transmit(now, connections, registry);
        self.store.transmit(now, connections, registry)
    }

    pub fn on_open(&mut self, now: u64, connection: Key, origin: Origin) {
        self.accepting.on_open(now, connection, origin);
    }

    /// Tells the host that the scheduler is done, after a turn's writes.
    pub fn end_if_done(&mut self) {
        if let Some(reason) = self.exiting.take() {
            self.shared.ask(Request::Exit { reason });
        }
    }

    fn log(&self, level: &'static str, text: String) {
        self.shared.ask(Request::Log { level, text });
    }
}
