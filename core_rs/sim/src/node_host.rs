//! A node's process: its agent and its link to the scheduler.

use scaler_engine::dialer::DialerEvent;

use crate::agent::{introduction, Agent};
use crate::context::Context;
use crate::network::{Arrival, Part, Wire};
use crate::outward::Outward;
use crate::queue::{Time, SECOND};
use crate::story::About;

pub struct NodeHost {
    pub agent: Agent,
    scheduler: Outward,
    connected: bool,
    ends_at: Option<Time>,
}

/// How long a node that ends waits for the scheduler to take what it has to say.
pub const LAST_WORDS: Time = 3 * SECOND;

impl NodeHost {
    pub fn new(context: &mut Context, index: usize) -> Self {
        let part = Part::Node(index);
        let hello = introduction(context, index);
        let scheduler = Outward::new(context, part, Part::Scheduler, hello);
        let mut agent = Agent::new(context, index, part);
        agent.link = scheduler.dialer.link().id();
        NodeHost {
            agent,
            scheduler,
            connected: false,
            ends_at: None,
        }
    }

    fn part(&self) -> Part {
        Part::Node(self.agent.index)
    }

    pub fn arrival(&mut self, context: &mut Context, wire: Wire, arrival: &Arrival) {
        if !self.scheduler.arrival(context, wire, arrival) {
            self.agent.store_arrival(context, wire, arrival);
        }
    }

    pub fn turn(&mut self, context: &mut Context, scheduler_listens: bool, store_listens: bool) {
        self.agent.take_in(context);
        while let Some(event) = self.scheduler.event() {
            self.scheduler_event(context, event);
        }
        self.tell_connected(context);
        self.carry_out(context);
        self.scheduler.pump(context, scheduler_listens);
        self.agent.pump(context, store_listens);
        self.tell_connected(context);
        self.carry_out(context);
        if self.agent.exit.is_some() {
            self.ends_at.get_or_insert(context.now() + LAST_WORDS);
        }
    }

    /// It has exited, and the scheduler has heard everything (or time is up).
    pub fn is_done(&self, now: Time) -> bool {
        self.ends_at
            .is_some_and(|at| at <= now || self.scheduler.dialer.link().is_idle())
    }

    fn carry_out(&mut self, context: &mut Context) {
        let mut out = Vec::new();
        self.agent.carry_out(context, &mut out);
        for message in out {
            context
                .story
                .message(context.queue.now(), self.part(), "sends", 0, &message);
            self.scheduler.send(message);
        }
    }

    fn tell_connected(&mut self, context: &mut Context) {
        let connected = self.scheduler.connected();
        if connected != self.connected {
            self.connected = connected;
            self.agent.node.connected(context.now(), connected);
        }
    }

    fn scheduler_event(&mut self, context: &mut Context, event: DialerEvent<crate::data::Data>) {
        let now = context.now();
        match event {
            DialerEvent::Welcomed { .. } => context.tell(self.part(), About::Part, || {
                "resumed with the scheduler".into()
            }),
            DialerEvent::Fresh {
                welcome,
                unacknowledged,
            } => {
                let epoch = welcome.epoch;
                context.tell(self.part(), About::All, || {
                    format!("tells the scheduler everything, epoch {epoch}")
                });
                context.oracle.node_lost(self.agent.index);
                // What the node has said since the last turn belongs to the old epoch too.
                self.agent.node.reset(now, unacknowledged);
            }
            DialerEvent::Message(message) => {
                context
                    .story
                    .message(now, self.part(), "takes", 0, &message);
                self.agent.node.handle(now, message);
            }
            DialerEvent::Refused { code, reason } => {
                context.tell(self.part(), About::All, || {
                    format!("was refused: {code:?} {reason}")
                });
                self.agent.exit.get_or_insert(reason);
            }
        }
    }

    pub fn next_wakeup(&self) -> Option<Time> {
        [
            self.scheduler.next_wakeup(),
            self.agent.next_wakeup(),
            self.ends_at,
        ]
        .into_iter()
        .flatten()
        .min()
    }
}
