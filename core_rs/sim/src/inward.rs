//! The listening side of a part: brings arrivals to its `Acceptor` and what comes out of it to the network.

use scaler_engine::acceptor::{Acceptor, AcceptorEvent, AcceptorSettings, Origin};
use scaler_engine::wire::{LinkId, Message, RefusalCode};

use crate::context::Context;
use crate::data::Data;
use crate::network::{Arrival, End, Wire};
use crate::queue::Time;

pub struct Inward {
    pub acceptor: Acceptor<Data>,
}

impl Inward {
    pub fn new(context: &mut Context) -> Self {
        let settings = AcceptorSettings {
            client_timeout_us: context.profile.client_timeout,
            worker_timeout_us: context.profile.worker_timeout,
            ..AcceptorSettings::default()
        };
        let incarnation = context.unique_random();
        #[allow(unused_mut)]
        let mut acceptor = Acceptor::new(settings, incarnation, None);
        #[cfg(feature = "planted")]
        acceptor.set_bugs(crate::bug::Bug::of_links(context.bug));
        Inward { acceptor }
    }

    pub fn arrival(&mut self, context: &mut Context, wire: Wire, arrival: &Arrival) {
        let now = context.now();
        match arrival {
            Arrival::Opened => {
                let origin = Origin {
                    local: true,
                    address: format!("wire {wire}"),
                };
                self.acceptor.on_open(now, wire, origin);
            }
            Arrival::Frame(frame) => self.acceptor.on_frame(now, wire, frame.clone()),
            Arrival::Closed => {
                self.acceptor.on_close(now, wire);
                context.close(wire, End::Far);
            }
        }
    }

    pub fn event(&mut self) -> Option<AcceptorEvent<Data>> {
        self.acceptor.poll_event()
    }

    pub fn send(&mut self, link: LinkId, message: Message<Data>) {
        self.acceptor.send(link, message);
    }

    pub fn end(&mut self, link: LinkId, code: RefusalCode, reason: String) {
        self.acceptor.end(link, code, reason);
    }

    /// To be called after what has arrived was handed in: silence is counted then.
    pub fn tick(&mut self, now: Time) {
        self.acceptor.tick(now);
    }

    pub fn pump(&mut self, context: &mut Context) {
        let now = context.now();
        while let Some((wire, frame)) = self.acceptor.poll_transmit(now) {
            context.send(wire, End::Far, frame);
        }
        while let Some(wire) = self.acceptor.poll_close() {
            context.close(wire, End::Far);
        }
    }

    pub fn next_wakeup(&self) -> Option<Time> {
        self.acceptor.next_wakeup()
    }
}
