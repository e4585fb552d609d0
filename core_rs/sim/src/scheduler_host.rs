//! The scheduler's process: `Acceptor`, `Scheduler`, its link to the storage and, in the combined mode, a node's agent.

use std::collections::BTreeMap;

use scaler_engine::acceptor::{AcceptorEvent, Origin};
use scaler_engine::dialer::DialerEvent;
use scaler_engine::scaling::ScalingConfig;
use scaler_engine::scheduler::{Allocate, Scheduler, SchedulerConfig, SchedulerOutput};
use scaler_engine::wire::{Hello, LinkId, Message, Role, SessionId};

use crate::agent::{introduction, Agent};
use crate::context::Context;
use crate::data::Data;
use crate::fleet::promises;
use crate::inward::Inward;
use crate::network::{Arrival, Part, Wire};
use crate::outward::{hello, Outward};
use crate::queue::Time;
use crate::story::About;

/// The link of the agent in the same process: there is none, but the scheduler knows its peers by links.
const LOCAL: LinkId = 0;

#[derive(Clone, Copy, Debug)]
enum Peer {
    Client(SessionId),
    Node(usize),
    Manager(usize),
}

fn manager_number(id: &str) -> usize {
    id.trim_start_matches('m').parse().unwrap_or(usize::MAX)
}

pub struct SchedulerHost {
    inward: Inward,
    pub scheduler: Scheduler<Data>,
    store: Outward,
    pub agent: Option<Agent>,
    peers: BTreeMap<LinkId, Peer>,
}

impl SchedulerHost {
    pub fn new(context: &mut Context) -> Self {
        let now = context.now();
        let profile = &context.profile;
        let config = SchedulerConfig {
            resync_us: if now == 0 { 0 } else { profile.resync },
            max_attempts: profile.max_attempts,
            memory_limit: profile.memory_limit,
            result_budget: profile.result_budget,
            allocate: if profile.capability_policy {
                Allocate::Capability
            } else {
                Allocate::EvenLoad
            },
            manager_lease_us: profile.fleet.lease(),
            scaling: ScalingConfig {
                scaling: profile.fleet.scaling.clone(),
                cooldown_us: profile.fleet.cooldown,
            },
            ..SchedulerConfig::default()
        };
        let incarnation = context.unique_random();
        #[allow(unused_mut)]
        let mut scheduler = Scheduler::new(config, incarnation, now);
        #[cfg(feature = "planted")]
        scheduler.plant(crate::bug::Bug::of_scheduler(context.bug));
        let store = Outward::new(
            context,
            Part::Scheduler,
            Part::Store,
            hello(Role::Scheduler, 0),
        );
        let mut host = SchedulerHost {
            inward: Inward::new(context),
            scheduler,
            store,
            agent: None,
            peers: BTreeMap::new(),
        };
        if context.profile.combined {
            host.add_agent(context);
        }
        host
    }

    fn add_agent(&mut self, context: &mut Context) {
        let hello = introduction(context, 0);
        let mut agent = Agent::new(context, 0, Part::Scheduler);
        let now = context.now();
        self.joined(
            context,
            LOCAL,
            &hello,
            &Origin {
                local: true,
                address: "this process".into(),
            },
        );
        agent.node.connected(now, true);
        agent.node.reset(now, Vec::new());
        self.agent = Some(agent);
    }

    pub fn arrival(&mut self, context: &mut Context, wire: Wire, arrival: &Arrival) {
        if self.store.arrival(context, wire, arrival) {
            return;
        }
        if self
            .agent
            .as_mut()
            .is_some_and(|agent| agent.store_arrival(context, wire, arrival))
        {
            return;
        }
        self.inward.arrival(context, wire, arrival);
    }

    pub fn turn(&mut self, context: &mut Context, store_listens: bool) {
        self.inward.tick(context.now());
        if let Some(agent) = &mut self.agent {
            agent.take_in(context);
        }
        self.store_events(context);
        while let Some(event) = self.inward.event() {
            self.event(context, event);
        }
        self.scheduler.tick(context.now());
        self.carry_out(context);
        self.inward.pump(context);
        self.store.pump(context, store_listens);
        if let Some(agent) = &mut self.agent {
            agent.pump(context, store_listens);
        }
    }

    fn store_events(&mut self, context: &mut Context) {
        while let Some(event) = self.store.event() {
            match event {
                DialerEvent::Welcomed { .. } => {}
                DialerEvent::Message(message) => self.scheduler.store(context.now(), message),
                DialerEvent::Fresh { unacknowledged, .. } => {
                    // A store that forgot has nothing to delete; the first one may have.
                    unacknowledged
                        .into_iter()
                        .for_each(|message| self.store.send(message));
                }
                DialerEvent::Refused { code, reason } => {
                    context.broken(format!(
                        "the scheduler was refused by the store: {code:?} {reason}"
                    ));
                }
            }
        }
    }

    fn joined(&mut self, context: &mut Context, link: LinkId, hello: &Hello, origin: &Origin) {
        let peer = match (&hello.node, &hello.manager) {
            (_, Some(info)) => Peer::Manager(manager_number(&info.id)),
            (Some(info), None) => Peer::Node(
                info.name
                    .trim_start_matches("node ")
                    .parse()
                    .unwrap_or(usize::MAX),
            ),
            (None, None) => {
                context.oracle.session_known(hello.session);
                Peer::Client(hello.session)
            }
        };
        self.peers.insert(link, peer);
        context.tell(Part::Scheduler, About::Part, || {
            format!("{peer:?} joined by link {:x}", link & 0xffff)
        });
        if let Err((code, reason)) =
            self.scheduler
                .joined(context.now(), link, hello, &origin.address)
        {
            self.inward.end(link, code, reason);
        }
    }

    fn event(&mut self, context: &mut Context, event: AcceptorEvent<Data>) {
        let now = context.now();
        match event {
            AcceptorEvent::Joined {
                link,
                hello,
                origin,
            } => self.joined(context, link, &hello, &origin),
            AcceptorEvent::Resumed { link } => self.scheduler.resumed(now, link),
            AcceptorEvent::Disconnected { link } => self.scheduler.disconnected(now, link),
            AcceptorEvent::Left { link, why } => self.left(context, link, &why),
            AcceptorEvent::Message { link, message } => self.message(context, link, message),
            AcceptorEvent::Backlog { link, bytes } => self.scheduler.backlog(now, link, bytes),
            AcceptorEvent::Log { text } => {
                context.tell(Part::Scheduler, About::Part, || format!("log: {text}"))
            }
        }
    }

    fn left(&mut self, context: &mut Context, link: LinkId, why: &str) {
        let peer = self.peers.remove(&link);
        context.tell(Part::Scheduler, About::All, || {
            format!("{peer:?} left: {why}")
        });
        self.lose(context, peer);
        self.scheduler.left(context.now(), link);
    }

    fn lose(&self, context: &mut Context, peer: Option<Peer>) {
        match peer {
            Some(Peer::Client(session)) => context.oracle.session_lost(session),
            Some(Peer::Node(node)) => context.oracle.node_lost(node),
            Some(Peer::Manager(_)) | None => {}
        }
    }

    fn message(&mut self, context: &mut Context, link: LinkId, message: Message<Data>) {
        let now = context.now();
        match self.peers.get(&link) {
            Some(Peer::Client(session)) => {
                context
                    .story
                    .message(now, Part::Scheduler, "takes", *session, &message);
                context.oracle.client_says(*session, &message);
            }
            Some(Peer::Node(node)) => {
                context.story.message(
                    now,
                    Part::Scheduler,
                    &format!("takes from node {node}"),
                    0,
                    &message,
                );
                context.oracle.node_says(now, *node, &message);
            }
            Some(Peer::Manager(manager)) => {
                let way = format!("takes from manager {manager}");
                let part = Part::Scheduler;
                context.story.message(now, part, &way, 0, &message);
                promises::reported(context, *manager, &message);
            }
            None => {}
        }
        self.scheduler.handle(now, link, message);
    }

    fn carry_out(&mut self, context: &mut Context) {
        let (mut outputs, mut from_agent) = (Vec::new(), Vec::new());
        loop {
            if let Some(agent) = &mut self.agent {
                agent.carry_out(context, &mut from_agent);
            }
            for message in from_agent.drain(..) {
                self.message(context, LOCAL, message);
            }
            self.scheduler.drain(&mut outputs);
            if outputs.is_empty() {
                return;
            }
            for output in outputs.drain(..) {
                self.output(context, output);
            }
        }
    }

    fn output(&mut self, context: &mut Context, output: SchedulerOutput<Data>) {
        match output {
            SchedulerOutput::Send { link, message } => self.send(context, link, message),
            SchedulerOutput::Hold { link, hold } => self.inward.acceptor.hold(link, hold),
            SchedulerOutput::End { link, code, reason } => {
                let peer = self.peers.remove(&link);
                context.tell(Part::Scheduler, About::All, || {
                    format!("ends {peer:?}: {code:?} {reason}")
                });
                self.lose(context, peer);
                self.inward.end(link, code, reason);
            }
            SchedulerOutput::Store(message) => self.store.send(message),
            SchedulerOutput::Log { level, text } => {
                context.tell(Part::Scheduler, About::Part, || {
                    format!("log {level:?}: {text}")
                });
            }
            SchedulerOutput::Exit { reason } => {
                context.broken(format!("the scheduler exits: {reason}"))
            }
        }
    }

    fn send(&mut self, context: &mut Context, link: LinkId, message: Message<Data>) {
        let session = match self.peers.get(&link) {
            Some(Peer::Client(session)) => *session,
            _ => 0,
        };
        let peer = self.peers.get(&link).copied();
        match peer {
            Some(Peer::Node(node)) => {
                context.oracle.ordered(node, &message);
                if matches!(message, Message::Exit { .. }) {
                    promises::is_idle(context, node, "it is told to exit");
                }
            }
            Some(Peer::Manager(manager)) => promises::commanded(context, manager, &message),
            _ => {}
        }
        context.story.message(
            context.queue.now(),
            Part::Scheduler,
            &format!("to {peer:?}"),
            session,
            &message,
        );
        match &mut self.agent {
            Some(agent) if link == LOCAL => agent.node.handle(context.queue.now(), message),
            _ => self.inward.send(link, message),
        }
    }

    pub fn died(&mut self, context: &mut Context) {
        context.oracle.scheduler_died();
        context.groups.scheduler_died();
        if let Some(agent) = &mut self.agent {
            agent.died(context);
        }
    }

    pub fn sanity_check(&mut self) {
        self.scheduler.sanity_check();
        if let Some(agent) = &self.agent {
            agent.node.sanity_check();
        }
    }

    /// What it still holds though no session is left.
    pub fn left_over(&self) -> Option<String> {
        self.scheduler.left_over()
    }

    pub fn next_wakeup(&self) -> Option<Time> {
        let agent = self.agent.as_ref().and_then(Agent::next_wakeup);
        [
            self.inward.next_wakeup(),
            self.scheduler.next_wakeup(),
            self.store.next_wakeup(),
            agent,
        ]
        .into_iter()
        .flatten()
        .min()
    }
}
