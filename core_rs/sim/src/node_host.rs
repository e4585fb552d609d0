//! A node's process: its agent and its link to the scheduler.

use scaler_engine::dialer::DialerEvent;

use crate::agent::{introduction, Agent};
use crate::context::Context;
use crate::network::{Arrival, Part, Wire};
use crate::outward::Outward;
use crate::queue::Time;
use crate::story::About;

pub struct NodeHost {
    pub agent: Agent,
    scheduler: Outward,
    connected: bool,
}

impl NodeHost {
    pub fn new(context: &mut Context, index: usize) -> Self {
        let part = Part::Node(index);
        let hello = introduction(context, index);
        let scheduler = Outward::new(context, part, Part::Scheduler, hello);
        NodeHost { agent: Agent::new(context, index, part), scheduler, connected: false }
    }

    fn part(&self) -> Part {
        Part::Node(self.agent.index)
    }

    pub fn arrival(&mut self, context: &mut Context, wire: Wire, arrival: &Arrival) {
        if !self.scheduler.arrival(context, wire, arrival) {
            self.agent.store_arrival(context, wire, arrival);
        }
    }

    /// One turn of the process; whether it is at its end.
    pub fn turn(&mut self, context: &mut Context, scheduler_listens: bool, store_listens: bool) -> bool {
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
        self.agent.exit.is_some() && (!self.scheduler.connected() || self.scheduler.dialer.link().is_idle())
    }

    fn carry_out(&mut self, context: &mut Context) {
        let mut out = Vec::new();
        self.agent.carry_out(context, &mut out);
        for message in out {
            context.story.message(context.queue.now(), self.part(), "sends", 0, &message);
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
            DialerEvent::Welcomed { .. } => context.tell(self.part(), About::Part, || "resumed with the scheduler".into()),
            DialerEvent::Fresh { welcome, unacknowledged } => {
                let epoch = welcome.epoch;
                context.tell(self.part(), About::All, || format!("tells the scheduler everything, epoch {epoch}"));
                context.oracle.node_lost(self.agent.index);
                // What the node has said since the last turn belongs to the old epoch too.
                self.agent.node.reset(now, unacknowledged);
            }
            DialerEvent::Message(message) => {
                context.story.message(now, self.part(), "takes", 0, &message);
                self.agent.node.handle(now, message);
            }
            DialerEvent::Refused { code, reason } => {
                context.tell(self.part(), About::All, || format!("was refused: {code:?} {reason}"));
                self.agent.exit.get_or_insert(reason);
            }
        }
    }

    pub fn next_wakeup(&self) -> Option<Time> {
        [self.scheduler.next_wakeup(), self.agent.next_wakeup()].into_iter().flatten().min()
    }
}
