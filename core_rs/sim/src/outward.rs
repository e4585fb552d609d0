//! A part's own link to a listening part: connects, connects again after a break, and brings frames to its `Dialer`.

use scaler_engine::dialer::{Dialer, DialerEvent};
use scaler_engine::wire::{Hello, Message};

use crate::context::Context;
use crate::data::Data;
use crate::network::{Arrival, End, Part, Wire};
use crate::queue::{Time, MILLISECOND};

pub struct Outward {
    from: Part,
    to: Part,
    pub dialer: Dialer<Data>,
    wire: Option<Wire>,
    again_at: Time,
}

pub fn hello(role: scaler_engine::wire::Role, session: u64) -> Hello {
    Hello {
        session,
        ..Hello::new(role)
    }
}

impl Outward {
    pub fn new(context: &mut Context, from: Part, to: Part, hello: Hello) -> Self {
        let link = context.unique_random();
        #[allow(unused_mut)]
        let mut dialer = Dialer::new(hello, link).with_heartbeat(context.profile.heartbeat);
        #[cfg(feature = "planted")]
        dialer.set_bugs(crate::bug::Bug::of_links(context.bug));
        Outward {
            from,
            to,
            dialer,
            wire: None,
            again_at: 0,
        }
    }

    pub fn connected(&self) -> bool {
        self.dialer.is_open()
    }

    /// Whether the arrival was this link's.
    pub fn arrival(&mut self, context: &mut Context, wire: Wire, arrival: &Arrival) -> bool {
        if self.wire != Some(wire) {
            return false;
        }
        let now = context.now();
        match arrival {
            Arrival::Opened => self.dialer.on_open(now),
            Arrival::Frame(frame) => self.dialer.on_frame(now, frame.clone()),
            Arrival::Closed => self.closed(context),
        }
        true
    }

    fn closed(&mut self, context: &mut Context) {
        let now = context.now();
        if let Some(wire) = self.wire.take() {
            context.close(wire, End::Near);
        }
        self.dialer.on_close(now);
        self.again_at = now + context.random.between(MILLISECOND, 100 * MILLISECOND);
    }

    pub fn event(&mut self) -> Option<DialerEvent<Data>> {
        self.dialer.poll_event()
    }

    pub fn send(&mut self, message: Message<Data>) {
        self.dialer.send(message);
    }

    /// Sends what may leave, connects where it must.
    pub fn pump(&mut self, context: &mut Context, listens: bool) {
        let now = context.now();
        self.dialer.tick(now);
        if let Some(wire) = self.wire {
            while let Some(frame) = self.dialer.poll_transmit(now) {
                context.send(wire, End::Near, frame);
            }
            if self.dialer.wants_close() {
                self.closed(context);
            }
        } else if now >= self.again_at && !self.dialer.is_refused() {
            self.wire = Some(context.connect(self.from, self.to, listens));
        }
    }

    pub fn next_wakeup(&self) -> Option<Time> {
        match self.wire {
            Some(_) => self.dialer.next_wakeup(),
            None if self.dialer.is_refused() => None,
            None => Some(self.again_at),
        }
    }
}
