//! The connecting end of a part's link to another process, over a connection of the loop.

use std::sync::Arc;

use bytes::Bytes;
use mio::Registry;
use scaler_engine::acceptor::ticket;
use scaler_engine::dialer::{Dialer, DialerEvent};
use scaler_wire::{Frame, Hello, LinkId, Message};

use crate::connections::{Connections, Key};
use crate::linux;
use crate::shared::{Outward, Request, Shared};

pub struct OutwardLink {
    name: Outward,
    dialer: Dialer<Bytes>,
    connection: Option<Key>,
    /// The host was asked for a connection, and has not attached one yet.
    asked: bool,
    /// Connections in a row that brought no welcome.
    attempt: u32,
    shared: Arc<Shared>,
}

impl OutwardLink {
    pub fn new(name: Outward, hello: Hello, shared: Arc<Shared>) -> Self {
        let dialer = Dialer::new(hello, linux::random());
        OutwardLink {
            name,
            dialer,
            connection: None,
            asked: false,
            attempt: 0,
            shared,
        }
    }

    /// Microseconds between signs of life.
    pub fn with_heartbeat(mut self, heartbeat_us: u64) -> Self {
        self.dialer = self.dialer.with_heartbeat(heartbeat_us);
        self
    }

    pub fn name(&self) -> Outward {
        self.name
    }

    /// Its number, by which the other end knows it.
    pub fn link(&self) -> LinkId {
        self.dialer.link().id()
    }

    /// Whether a connection that the host brings is for this link.
    pub fn lacks_connection(&self) -> bool {
        self.connection.is_none()
    }

    /// Whether the peer has welcomed it.
    pub fn is_open(&self) -> bool {
        self.dialer.is_open()
    }

    pub fn was_asked(&self) -> bool {
        self.asked
    }

    pub fn connection(&self) -> Option<Key> {
        self.connection
    }

    /// Whether everything that was sent has been received.
    pub fn is_idle(&self) -> bool {
        self.dialer.link().is_idle()
    }

    /// Asks the host for a connection, if there is none.
    pub fn want(&mut self) {
        if self.connection.is_none() && !self.asked && !self.dialer.is_refused() {
            self.asked = true;
            self.shared.ask(Request::Connect {
                link: self.name,
                attempt: self.attempt,
            });
        }
    }

    pub fn on_open(&mut self, now: u64, connection: Key) {
        self.connection = Some(connection);
        self.asked = false;
        self.attempt += 1;
        self.dialer.on_open(now);
    }

    pub fn on_frame(&mut self, now: u64, frame: Frame<Bytes>) {
        self.dialer.on_frame(now, frame);
    }

    pub fn on_malformed(&mut self) {
        self.dialer.on_malformed();
    }

    pub fn on_close(&mut self, now: u64, connection: Key) {
        if self.connection == Some(connection) {
            self.connection = None;
            self.dialer.on_close(now);
            self.want();
        }
    }

    /// As another link's acceptor has given it.
    pub fn set_ticket(&mut self, ticket: Vec<u8>) {
        self.dialer.set_ticket(ticket);
    }

    pub fn send(&mut self, message: Message<Bytes>) {
        self.dialer.send(message);
        self.want();
    }

    pub fn tick(&mut self, now: u64) {
        self.dialer.tick(now);
    }

    pub fn next_wakeup(&self) -> Option<u64> {
        self.dialer.next_wakeup()
    }

    /// What happened; the host is told of welcomes and refusals here.
    pub fn poll_event(&mut self) -> Option<DialerEvent<Bytes>> {
        let event = self.dialer.poll_event()?;
        match &event {
            DialerEvent::Welcomed { welcome, .. } | DialerEvent::Fresh { welcome, .. } => {
                self.attempt = 0;
                let (cluster, storage) = (welcome.cluster.clone(), welcome.storage.clone());
                self.shared.ask(Request::Welcome {
                    link: self.name,
                    cluster,
                    storage,
                });
                if let Some(ticket) = ticket::of_welcome(welcome) {
                    self.shared.ask(Request::Ticket { ticket });
                }
            }
            DialerEvent::Refused { code, reason } => {
                self.shared.ask(Request::Refused {
                    link: self.name,
                    code: *code,
                    text: reason.clone(),
                });
            }
            DialerEvent::Message(_) => {}
        }
        Some(event)
    }

    /// Queues what may leave. True when the connection was closed, for it is of no more use.
    pub fn transmit<O: Copy>(
        &mut self,
        now: u64,
        connections: &mut Connections<O>,
        registry: &Registry,
    ) -> bool {
        let Some(connection) = self.connection else {
            return false;
        };
        while let Some(frame) = self.dialer.poll_transmit(now) {
            connections.push(connection, &frame);
        }
        if !self.dialer.wants_close() {
            return false;
        }
        connections.close(registry, connection);
        self.on_close(now, connection);
        true
    }
}
