//! The links of a part that listens, over connections of the loop.

use bytes::Bytes;
use mio::Registry;
use scaler_engine::acceptor::{Acceptor, AcceptorEvent, AcceptorSettings, Origin, TicketKey};
use scaler_wire::{LinkId, Message, RefusalCode};

use crate::connections::{Arrival, Connections, Key};

pub struct Accepting {
    acceptor: Acceptor<Bytes>,
}

impl Accepting {
    pub fn new(
        settings: AcceptorSettings,
        incarnation: u64,
        ticket_key: Option<TicketKey>,
    ) -> Self {
        Accepting {
            acceptor: Acceptor::new(settings, incarnation, ticket_key),
        }
    }

    pub fn on_open(&mut self, now: u64, connection: Key, origin: Origin) {
        self.acceptor.on_open(now, connection.number(), origin);
    }

    pub fn on_arrival(&mut self, now: u64, connection: Key, arrival: Arrival) {
        match arrival {
            Arrival::Frame(frame) => self.acceptor.on_frame(now, connection.number(), frame),
            Arrival::Malformed(error) => {
                self.acceptor
                    .on_malformed(now, connection.number(), &error.to_string())
            }
            Arrival::Closed => self.acceptor.on_close(now, connection.number()),
        }
    }

    pub fn send(&mut self, link: LinkId, message: Message<Bytes>) {
        self.acceptor.send(link, message);
    }

    pub fn hold(&mut self, link: LinkId, held: bool) {
        self.acceptor.hold(link, held);
    }

    pub fn end(&mut self, link: LinkId, code: RefusalCode, reason: String) {
        self.acceptor.end(link, code, reason);
    }

    /// Its peer has said goodbye.
    pub fn forget(&mut self, link: LinkId) {
        self.acceptor.forget(link);
    }

    pub fn tick(&mut self, now: u64) {
        self.acceptor.tick(now);
    }

    pub fn next_wakeup(&self) -> Option<u64> {
        self.acceptor.next_wakeup()
    }

    pub fn poll_event(&mut self) -> Option<AcceptorEvent<Bytes>> {
        self.acceptor.poll_event()
    }

    /// Queues what may leave, and closes what is of no more use.
    pub fn transmit<O: Copy>(
        &mut self,
        now: u64,
        connections: &mut Connections<O>,
        registry: &Registry,
    ) {
        while let Some((connection, frame)) = self.acceptor.poll_transmit(now) {
            connections.push(Key::from_number(connection), &frame);
        }
        while let Some(connection) = self.acceptor.poll_close() {
            connections.close(registry, Key::from_number(connection));
        }
    }
}
