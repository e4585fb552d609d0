//! The world: its processes, their turns, the faults that befall them, and its end.

mod fleet;

use std::collections::BTreeMap;

use crate::bug::Bug;
use crate::client::Client;
use crate::context::{Context, Event};
use crate::fleet::Fleet;
use crate::network::{Arrival, Part, Wire};
use crate::node_host::NodeHost;
use crate::oracle::Violation;
use crate::profile::{FaultKind, Kind, Profile, FAULT_KINDS};
use crate::queue::{Time, MILLISECOND, SECOND};
use crate::random::Random;
use crate::scheduler_host::SchedulerHost;
use crate::store_host::{Disk, StoreHost};
use crate::story::{About, Story};
use crate::workload::SessionPlan;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The clients' plans are not done.
    Working,
    /// All have said goodbye; books must become empty.
    Closing,
    /// Managers end.
    Ending,
}

pub struct World {
    pub context: Context,
    clients: Vec<Option<Client>>,
    scheduler: Option<SchedulerHost>,
    nodes: Vec<Option<NodeHost>>,
    store: Option<StoreHost>,
    fleet: Fleet,
    /// What a store that was killed left.
    disk: Disk,
    turns: BTreeMap<Part, Time>,
    paused: BTreeMap<Part, Time>,
    faults: Random,
    stage: Stage,
    /// When the current stage must be over.
    deadline: Time,
    over: bool,
    turn_count: u64,
    /// Since when, and for how many turns, a process wanted its next turn at once.
    spins: BTreeMap<Part, (Time, u32)>,
}

/// How a world ended.
pub struct End {
    pub violation: Option<Violation>,
    pub hash: u64,
    pub virtual_time: Time,
    pub turns: u64,
    pub story: Story,
    pub delivered: u64,
    /// Units that managers started.
    pub units: u64,
    pub shape: String,
    /// What the oracle knows of the element that shows the violation.
    pub element: String,
}

/// Between two looks at whether all is done.
const INSPECTION: Time = 50 * MILLISECOND;
/// Turns in a row that a process may want at once.
const MOST_SPINS: u32 = 500;

impl World {
    pub fn new(kind: Kind, seed: u64, bug: Option<Bug>, told: bool) -> World {
        let profile = Profile::of(kind, seed);
        let mut context = Context::new(profile.clone(), seed, bug, told);
        let mut clients = Vec::new();
        let mut work = 0;
        for index in 0..profile.clients {
            let plan = SessionPlan::draw(&profile, seed, index);
            let id = context.unique_random();
            work += plan
                .elements
                .iter()
                .map(|element| element.duration)
                .sum::<Time>();
            context.oracle.add_session(id, index, &plan);
            clients.push(Some(Client::new(&mut context, index, id, plan)));
        }
        let fleet = Fleet::new(&mut context, seed);
        let patience = match kind {
            Kind::Nodes => 120 * SECOND,
            Kind::Managers => 600 * SECOND,
        };
        let mut world = World {
            deadline: profile.faults_until + 4 * work + patience,
            context,
            clients,
            scheduler: None,
            nodes: (0..profile.nodes.len()).map(|_| None).collect(),
            store: None,
            fleet,
            disk: Disk::default(),
            turns: BTreeMap::new(),
            paused: BTreeMap::new(),
            faults: Random::stream(seed, "faults"),
            stage: Stage::Working,
            over: false,
            turn_count: 0,
            spins: BTreeMap::new(),
        };
        world.begin();
        world
    }

    fn begin(&mut self) {
        self.start(Part::Store);
        self.start(Part::Scheduler);
        for index in self.own_nodes() {
            self.start(Part::Node(index));
        }
        self.begin_fleet();
        for index in 0..self.clients.len() {
            self.plan_turn(Part::Client(index), 0);
        }
        self.context.queue.at(INSPECTION, Event::Inspect);
        self.context
            .queue
            .at(self.context.profile.faults_until, Event::FaultsEnd);
        self.plan_fault();
    }

    /// Nodes that are processes of their own.
    fn own_nodes(&self) -> std::ops::Range<usize> {
        usize::from(self.context.profile.combined)..self.nodes.len()
    }

    pub fn run(mut self) -> End {
        self.advance_to_end();
        self.end()
    }

    /// The end always comes: the world has a deadline.
    pub fn advance_to_end(&mut self) {
        while !self.over && self.context.oracle.violation.is_none() {
            let Some(event) = self.context.queue.pop() else {
                self.context
                    .broken("nothing will ever happen any more".into());
                break;
            };
            self.handle(event);
            self.end_nests();
        }
    }

    pub fn end(self) -> End {
        let violation = self.context.oracle.violation.clone();
        let concerned = violation.as_ref().and_then(|violation| violation.element);
        let element =
            concerned.map(|(session, sequence)| self.context.oracle.element(session, sequence));
        End {
            violation,
            hash: self.context.story.hash(),
            virtual_time: self.context.now(),
            turns: self.turn_count,
            delivered: self.context.oracle.delivered,
            units: self.fleet.cloud.started(),
            element: element.unwrap_or_default(),
            shape: format!("{:?}", self.context.profile),
            story: self.context.story,
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Turn(part) => self.turn_due(part),
            Event::Arrive { wire, end } => {
                let now = self.context.now();
                while let Some((part, arrival)) = self.context.network.arrive(now, wire, end) {
                    self.arrival(part, wire, &arrival);
                }
            }
            Event::Executor { node, executor } => self.executor_due(node, executor),
            Event::Fault(kind) => self.fault(kind),
            Event::Action { client } => self.soon(Part::Client(client)),
            Event::Restart(part) => self.start(part),
            Event::Nest { node, executor } => self.nest(node, executor),
            Event::Fleet(event) => self.fleet_event(event),
            Event::FaultsEnd => self
                .context
                .tell(Part::Scheduler, About::All, || "no more faults".into()),
            Event::Inspect => self.inspect(),
        }
    }

    // Processes.

    fn runs(&self, part: Part) -> bool {
        match part {
            Part::Client(index) => self.clients[index].is_some(),
            Part::Scheduler => self.scheduler.is_some(),
            Part::Node(index) => self.nodes[index].is_some(),
            Part::Store => self.store.is_some(),
            Part::Manager(index) => self.fleet.hosts[index].is_some(),
        }
    }

    fn start(&mut self, part: Part) {
        if self.runs(part) || !self.may_start(part) {
            return;
        }
        self.context.tell(part, About::All, || "starts".into());
        match part {
            Part::Client(_) => return,
            Part::Scheduler => {
                self.scheduler = Some(SchedulerHost::new(&mut self.context));
            }
            Part::Node(index) => self.nodes[index] = Some(NodeHost::new(&mut self.context, index)),
            Part::Store => {
                let disk = std::mem::take(&mut self.disk);
                self.store = Some(StoreHost::new(&mut self.context, disk));
            }
            Part::Manager(index) => self.start_manager(index),
        }
        self.soon(part);
    }

    /// The process is gone at once, with all that it knew.
    fn kill(&mut self, part: Part, restart: Option<Time>) {
        if !self.runs(part) {
            return;
        }
        self.context.tell(part, About::All, || "is killed".into());
        match part {
            Part::Client(index) => {
                self.clients[index] = None;
                self.context.oracle.session_over(index);
            }
            Part::Scheduler => {
                if let Some(mut host) = self.scheduler.take() {
                    host.died(&mut self.context);
                }
            }
            Part::Node(index) => {
                if let Some(mut host) = self.nodes[index].take() {
                    host.agent.died(&mut self.context);
                    let peaceful = host.agent.exit.is_some();
                    self.fleet
                        .cloud
                        .node_ended(&mut self.context, index, peaceful);
                }
            }
            Part::Store => {
                self.disk = self.store.take().map(StoreHost::died).unwrap_or_default();
                if !self.context.profile.store_writes_through {
                    self.context.oracle.store_died();
                }
            }
            Part::Manager(index) => self.manager_died(index),
        }
        self.turns.remove(&part);
        self.paused.remove(&part);
        self.context.part_died(part);
        if let Some(after) = restart.filter(|_| self.comes_back(part)) {
            self.context
                .queue
                .at(self.context.now() + after, Event::Restart(part));
        }
    }

    // Turns.

    fn plan_turn(&mut self, part: Part, at: Time) {
        let at = at
            .max(self.context.now())
            .max(self.paused.get(&part).copied().unwrap_or(0));
        if self.turns.get(&part).is_none_or(|planned| at < *planned) {
            self.turns.insert(part, at);
            self.context.queue.at(at, Event::Turn(part));
        }
    }

    /// The process gets to it when it gets to it.
    fn soon(&mut self, part: Part) {
        let delay = self.context.random.below(self.context.profile.turn_delay);
        self.plan_turn(part, self.context.now() + delay);
    }

    fn turn_due(&mut self, part: Part) {
        if self.turns.get(&part) == Some(&self.context.now()) {
            self.turns.remove(&part);
            let until = self.paused.get(&part).copied().unwrap_or(0);
            if until > self.context.now() {
                return self.plan_turn(part, until);
            }
            self.turn(part);
        }
    }

    fn turn(&mut self, part: Part) {
        self.turn_count += 1;
        let (scheduler, store) = (self.runs(Part::Scheduler), self.runs(Part::Store));
        let context = &mut self.context;
        let wakeup = match part {
            Part::Client(index) => self.clients[index].as_mut().and_then(|client| {
                client.turn(context, scheduler, store);
                client.next_wakeup()
            }),
            Part::Scheduler => self.scheduler.as_mut().and_then(|host| {
                host.turn(context, store);
                host.next_wakeup()
            }),
            Part::Node(index) => self.nodes[index].as_mut().and_then(|host| {
                host.turn(context, scheduler, store);
                host.next_wakeup()
            }),
            Part::Store => self.store.as_mut().and_then(|host| {
                host.turn(context);
                host.next_wakeup()
            }),
            Part::Manager(index) => self.fleet.hosts[index].as_mut().and_then(|host| {
                host.turn(context, &mut self.fleet.cloud, scheduler);
                host.next_wakeup()
            }),
        };
        let fact = self.context.network.frames << 20
            ^ self.context.oracle.runs << 10
            ^ self.context.oracle.delivered;
        self.context.story.stir(self.context.queue.now(), fact);
        self.check_books(part);
        if let Part::Client(index) = part {
            self.look_after_nest(index);
        }
        if let Some(at) = wakeup {
            self.note_spin(part, at);
            self.plan_turn(part, at);
        }
        if self.is_at_its_end(part) {
            if let Part::Manager(index) = part {
                self.check_exit(index);
            }
            let after = self.context.random.between(10 * MILLISECOND, SECOND);
            self.kill(part, Some(after));
        }
    }

    /// A process that wants another turn at once, again and again, burns its machine's time.
    fn note_spin(&mut self, part: Part, wakeup: Time) {
        let now = self.context.now();
        let (since, turns) = self.spins.entry(part).or_insert((now, 0));
        if wakeup > now + 1 {
            *turns = 0;
            return;
        }
        if *turns == 0 {
            *since = now;
        }
        *turns += 1;
        if *turns > MOST_SPINS {
            let text = format!("{part} has spun {turns} turns since {since}");
            self.context.broken(text);
        }
    }

    /// The process says that it is done.
    fn is_at_its_end(&self, part: Part) -> bool {
        match part {
            Part::Node(index) => self.nodes[index]
                .as_ref()
                .is_some_and(|host| host.is_done(self.context.now())),
            Part::Scheduler => {
                let agent = self.scheduler.as_ref().and_then(|host| host.agent.as_ref());
                agent.is_some_and(|agent| agent.exit.is_some())
            }
            Part::Manager(index) => self.manager_is_done(index),
            Part::Client(_) | Part::Store => false,
        }
    }

    fn check_books(&mut self, part: Part) {
        if !self.turn_count.is_multiple_of(16) {
            return;
        }
        match part {
            Part::Scheduler => self
                .scheduler
                .iter_mut()
                .for_each(SchedulerHost::sanity_check),
            Part::Node(index) => self.nodes[index]
                .iter()
                .for_each(|host| host.agent.node.sanity_check()),
            _ => {}
        }
    }

    fn arrival(&mut self, part: Part, wire: Wire, arrival: &Arrival) {
        let context = &mut self.context;
        match part {
            Part::Client(index) => self.clients[index]
                .iter_mut()
                .for_each(|host| host.arrival(context, wire, arrival)),
            Part::Scheduler => self
                .scheduler
                .iter_mut()
                .for_each(|host| host.arrival(context, wire, arrival)),
            Part::Node(index) => self.nodes[index]
                .iter_mut()
                .for_each(|host| host.arrival(context, wire, arrival)),
            Part::Store => self
                .store
                .iter_mut()
                .for_each(|host| host.arrival(context, wire, arrival)),
            Part::Manager(index) => self.fleet.hosts[index]
                .iter_mut()
                .for_each(|host| host.arrival(context, wire, arrival)),
        }
        self.soon(part);
    }

    fn agent_part(&self, node: usize) -> Part {
        if node < self.own_nodes().start {
            Part::Scheduler
        } else {
            Part::Node(node)
        }
    }

    fn with_agent<R>(
        &mut self,
        node: usize,
        does: impl FnOnce(&mut Context, &mut crate::agent::Agent) -> R,
    ) -> Option<R> {
        let agent = match self.agent_part(node) {
            Part::Scheduler => self.scheduler.as_mut()?.agent.as_mut()?,
            _ => &mut self.nodes[node].as_mut()?.agent,
        };
        Some(does(&mut self.context, agent))
    }

    fn executor_due(&mut self, node: usize, executor: u64) {
        if self.with_agent(node, |context, agent| agent.executor_due(context, executor))
            == Some(true)
        {
            self.soon(self.agent_part(node));
        }
    }

    // Tasks within tasks.

    /// The executor's element submits others: it has a client of its own for that.
    fn nest(&mut self, node: usize, executor: u64) {
        let nest = |context: &mut Context, agent: &mut crate::agent::Agent| {
            let link = agent.link;
            agent.nest(context, executor).map(|nest| (link, nest))
        };
        let Some((link, (session, sequence, depth, levels))) =
            self.with_agent(node, nest).flatten()
        else {
            return;
        };
        self.soon(self.agent_part(node));
        let index = self.clients.len();
        let context = &mut self.context;
        let (profile, now) = (context.profile.clone(), context.now());
        let plan = SessionPlan::within(&profile, now, depth, levels, &mut context.random);
        let id = context.unique_random();
        context.tell(Part::Client(index), About::All, || {
            format!(
                "is of s{:x} {sequence} in executor {executor}",
                session & 0xfff
            )
        });
        context.oracle.add_session(id, index, &plan);
        let work: Time = plan.elements.iter().map(|element| element.duration).sum();
        self.deadline += 4 * work + SECOND;
        let mut client = Client::new(context, index, id, plan);
        client.session.within(link, session, sequence);
        client.nest = Some((node, executor));
        self.clients.push(Some(client));
        self.plan_turn(Part::Client(index), now);
    }

    fn look_after_nest(&mut self, index: usize) {
        let Some(client) = self.clients[index].as_mut() else {
            return;
        };
        let Some((node, executor)) = client.nest else {
            return;
        };
        if client.refused {
            self.with_agent(node, |context, agent| agent.abandon(context, executor));
            self.kill(Part::Client(index), None);
        } else if client.is_gone() {
            self.kill(Part::Client(index), None);
        } else if client.finished() && !client.said_goodbye {
            client.goodbye(&mut self.context);
            self.soon(Part::Client(index));
            self.with_agent(node, |context, agent| {
                agent.children_done(context, executor)
            });
        }
    }

    /// With a task its client goes, at once.
    fn end_nests(&mut self) {
        for executor in std::mem::take(&mut self.context.over) {
            let is_of = |client: &Option<Client>| {
                let client = client.as_ref().filter(|client| !client.said_goodbye);
                client
                    .and_then(|client| client.nest)
                    .is_some_and(|(_, it)| it == executor)
            };
            for index in self.context.profile.clients..self.clients.len() {
                if is_of(&self.clients[index]) {
                    self.kill(Part::Client(index), None);
                }
            }
        }
    }

    // Faults.

    fn plan_fault(&mut self) {
        let profile = &self.context.profile;
        let at = self.context.now() + self.faults.between(1, 2 * profile.fault_gap);
        if at >= profile.faults_until {
            return;
        }
        let mut draw = self.faults.below(profile.weights.iter().sum());
        let kind = FAULT_KINDS.iter().zip(profile.weights).find(|(_, weight)| {
            let found = draw < *weight;
            draw = draw.saturating_sub(*weight);
            found
        });
        self.context.queue.at(
            at,
            Event::Fault(*kind.expect("a draw below the sum of weights").0),
        );
    }

    fn fault(&mut self, kind: FaultKind) {
        self.context
            .story
            .stir(self.context.queue.now(), kind as u64);
        match kind {
            FaultKind::CutConnection => self.cut(),
            FaultKind::StallConnection => self.stall(),
            FaultKind::CrashScheduler => self.crash(Part::Scheduler),
            FaultKind::CrashNode => {
                if let Some(node) = self.some_node() {
                    self.crash(self.agent_part(node));
                }
            }
            FaultKind::CrashStore => self.crash(Part::Store),
            FaultKind::CrashClient => {
                // One is left, to see to the end of it.
                let own = self.context.profile.clients;
                if self.clients[..own].iter().flatten().count() > 1 {
                    let index = self.faults.index(own);
                    self.kill(Part::Client(index), None);
                }
            }
            FaultKind::PausePart => self.pause(),
            FaultKind::KillExecutor => {
                self.with_some_executor(|context, executor| executor.die(context, -9, false))
            }
            FaultKind::HangExecutor => {
                let until = self.context.now() + self.faults.spread(MILLISECOND, 3 * SECOND);
                self.with_some_executor(|context, executor| {
                    let id = executor.id;
                    context.tell(Part::Scheduler, About::All, || {
                        format!("executor {id} hangs until {until}")
                    });
                    executor.hang(context, until);
                });
            }
            FaultKind::DrainNode => {
                let node = self.some_node();
                let own = |node: &usize| self.agent_part(*node) != Part::Scheduler;
                if let Some(node) = node.filter(own) {
                    self.context
                        .tell(Part::Node(node), About::All, || "is told to drain".into());
                    self.with_agent(node, |context, agent| agent.node.drain_slots(context.now()));
                    self.soon(Part::Node(node));
                }
            }
        }
        self.plan_fault();
    }

    fn some_node(&mut self) -> Option<usize> {
        let count = self.nodes.len();
        (count > 0).then(|| self.faults.index(count))
    }

    fn some_wire(&mut self) -> Option<Wire> {
        let wires = self.context.network.whole();
        (!wires.is_empty()).then(|| *self.faults.pick(&wires))
    }

    fn cut(&mut self) {
        let notice = *self.faults.pick(&[0, 0, MILLISECOND, SECOND]);
        if let Some(wire) = self.some_wire() {
            let parts = self.context.network.parts(wire);
            self.context.tell(Part::Scheduler, About::All, || {
                format!("wire {wire} between {parts:?} is cut, noticed within {notice}")
            });
            self.context.cut(wire, notice);
        }
    }

    fn stall(&mut self) {
        let until = self.context.now() + self.faults.spread(MILLISECOND, 8 * SECOND);
        if let Some(wire) = self.some_wire() {
            let parts = self.context.network.parts(wire);
            self.context.tell(Part::Scheduler, About::All, || {
                format!("wire {wire} between {parts:?} stalls until {until}")
            });
            self.context.stall(wire, until);
        }
    }

    fn crash(&mut self, part: Part) {
        let after = self.faults.spread(MILLISECOND, 3 * SECOND);
        self.kill(part, Some(after));
    }

    fn pause(&mut self) {
        let mut parts = vec![Part::Scheduler, Part::Store];
        parts.extend((0..self.clients.len()).map(Part::Client));
        parts.extend(self.own_nodes().map(Part::Node));
        parts.extend((0..self.fleet.hosts.len()).map(Part::Manager));
        let part = *self.faults.pick(&parts);
        let until = self.context.now() + self.faults.spread(MILLISECOND, 8 * SECOND);
        if self.runs(part) {
            self.context
                .tell(part, About::All, || format!("is paused until {until}"));
            self.paused.insert(part, until);
        }
    }

    fn with_some_executor(
        &mut self,
        does: impl FnOnce(&mut Context, &mut crate::executor::Executor),
    ) {
        let Some(node) = self.some_node() else {
            return;
        };
        let draw = self.faults.number();
        self.with_agent(node, |context, agent| {
            let living = agent.living();
            if let Some(slot) = living.get(draw as usize % living.len().max(1)) {
                agent.with_executor(*slot, |executor| does(context, executor));
            }
        });
    }

    // The end.

    fn inspect(&mut self) {
        let now = self.context.now();
        match self.stage {
            Stage::Working if self.work_is_done() => self.close(),
            Stage::Working if now > self.deadline => self.stuck(),
            Stage::Closing => match self.left_over().or_else(|| self.fleet_left_over()) {
                None if self.has_managers() => self.begin_ending(),
                None => self.over = true,
                Some(what) if now > self.deadline => {
                    self.context.broken(format!("left over at the end: {what}"))
                }
                Some(_) => {}
            },
            Stage::Ending => match self.ending_left_over() {
                None => self.over = true,
                Some(what) if now > self.deadline => {
                    self.context.broken(format!("not ended: {what}"))
                }
                Some(_) => {}
            },
            Stage::Working => {}
        }
        self.context.queue.at(now + INSPECTION, Event::Inspect);
    }

    fn work_is_done(&self) -> bool {
        let now = self.context.now();
        now > self.context.profile.faults_until
            && self.clients.iter().flatten().all(Client::finished)
    }

    fn stuck(&mut self) {
        for index in 0..self.nodes.len() {
            let state = self.with_agent(index, |_, agent| agent.node.describe());
            let part = self.agent_part(index);
            self.context.tell(part, About::All, || format!("{state:?}"));
        }
        let missing = self.context.oracle.missing();
        let now = self.context.now();
        match missing.first() {
            Some(&element) => {
                let scheduler = self.scheduler.as_ref();
                let why = scheduler.map(|host| host.scheduler.why(element.0, element.1));
                let text = format!(
                    "{} elements have no outcome, long after the last fault: {}",
                    missing.len(),
                    why.unwrap_or_default()
                );
                self.context.oracle.violation = Some(Violation {
                    at: now,
                    element: Some(element),
                    text,
                });
            }
            None => {
                let waits: Vec<_> = self
                    .clients
                    .iter()
                    .flatten()
                    .filter(|client| !client.finished())
                    .map(Client::waits_for)
                    .collect();
                self.context.broken(format!(
                    "clients wait for {waits:?}, long after the last fault"
                ));
            }
        }
    }

    fn close(&mut self) {
        self.stage = Stage::Closing;
        let profile = &self.context.profile;
        // A minute after its end a session's objects are deleted once more.
        self.deadline = self.context.now()
            + 3 * (profile.client_timeout + profile.worker_timeout)
            + 90 * SECOND
            + if self.fleet.hosts.is_empty() {
                0
            } else {
                300 * SECOND
            };
        for index in 0..self.clients.len() {
            if let Some(client) = &mut self.clients[index] {
                client.goodbye(&mut self.context);
                self.soon(Part::Client(index));
            }
        }
    }

    /// What the books of scheduler, nodes and store still hold though no session is left.
    fn left_over(&self) -> Option<String> {
        let Some(scheduler) = &self.scheduler else {
            return Some("the scheduler is down".into());
        };
        if let Some(what) = scheduler.left_over() {
            return Some(format!("scheduler: {what}"));
        }
        let agents = self
            .nodes
            .iter()
            .flatten()
            .map(|host| &host.agent)
            .chain(&scheduler.agent);
        for agent in agents {
            if agent.node.elements() > 0 {
                return Some(format!(
                    "node {}: {} elements",
                    agent.index,
                    agent.node.elements()
                ));
            }
        }
        let forgotten = self.context.oracle.forgotten();
        self.store
            .as_ref()
            .and_then(|store| store.left_over(&forgotten))
            .map(|what| format!("store: {what}"))
    }
}
