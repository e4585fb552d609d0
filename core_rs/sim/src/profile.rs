//! What a seed's world is like: its shape, its network, its settings, and how hostile it is.

use scaler_engine::wire::Capabilities;

use crate::fleet::shape::{satisfies, FleetShape};
use crate::queue::{Time, MILLISECOND, SECOND};
use crate::random::Random;

/// What kind of worlds a seed is of: each kind has histories of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// Nodes are there from the beginning.
    #[default]
    Nodes,
    /// Managers start them.
    Managers,
}

#[derive(Clone, Copy, Debug)]
pub struct Latency {
    pub least: Time,
    pub most: Time,
}

impl Latency {
    pub fn draw(&self, random: &mut Random) -> Time {
        // Mostly quick, now and then slow: what makes streams overtake one another.
        let most = if random.chance(900) {
            self.least + (self.most - self.least) / 8
        } else {
            self.most
        };
        random.between(self.least, most)
    }
}

/// What can go wrong. Each kind has a weight in a seed's [`Profile`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    CutConnection,
    StallConnection,
    CrashScheduler,
    CrashNode,
    CrashStore,
    CrashClient,
    PausePart,
    KillExecutor,
    HangExecutor,
    DrainNode,
}

pub const FAULT_KINDS: [FaultKind; 10] = [
    FaultKind::CutConnection,
    FaultKind::StallConnection,
    FaultKind::CrashScheduler,
    FaultKind::CrashNode,
    FaultKind::CrashStore,
    FaultKind::CrashClient,
    FaultKind::PausePart,
    FaultKind::KillExecutor,
    FaultKind::HangExecutor,
    FaultKind::DrainNode,
];

/// One node's offer.
#[derive(Clone, Debug)]
pub struct NodeShape {
    pub slots: u32,
    pub capabilities: Vec<(String, i64)>,
    pub queue_size: u32,
    /// Tasks after which an executor is replaced; 0 never.
    pub recycle: u64,
    /// Of a unit: its manager and its group.
    pub manager: String,
    pub group: String,
}

#[derive(Clone, Debug)]
pub struct Profile {
    pub clients: usize,
    pub nodes: Vec<NodeShape>,
    /// Scheduler and first node share a process and call each other.
    pub combined: bool,
    pub latency: Latency,
    /// How long a process may take to get to what waits for it.
    pub turn_delay: Time,
    /// Faults happen before this; 0: none.
    pub faults_until: Time,
    /// Mean time between two faults.
    pub fault_gap: Time,
    pub weights: [u64; FAULT_KINDS.len()],
    pub client_timeout: Time,
    pub worker_timeout: Time,
    pub death_timeout: Time,
    pub heartbeat: Time,
    pub resync: Time,
    pub grace: Time,
    pub max_attempts: u32,
    pub inline_limit: usize,
    /// Most bytes of one part of an object.
    pub part: usize,
    pub capability_policy: bool,
    pub result_budget: u64,
    pub memory_limit: u64,
    /// Bytes of objects in the store's memory; the rest goes to its disk.
    pub store_memory: u64,
    /// A store that is killed finds its objects again.
    pub store_writes_through: bool,
    /// Bytes of objects that a node keeps for executors.
    pub object_bytes: u64,
    /// Some tasks submit tasks.
    pub nesting: bool,
    /// Tasks of a node that may wait for others.
    pub most_waiting: u32,
    pub fleet: FleetShape,
}

const CAPABILITIES: [&str; 3] = ["gpu", "linux", "ssd"];

pub fn node_shape(random: &mut Random) -> NodeShape {
    let mut capabilities = Vec::new();
    for name in CAPABILITIES {
        if random.chance(350) {
            let amount = if random.chance(500) {
                -1
            } else {
                random.between(1, 3) as i64
            };
            capabilities.push((name.to_string(), amount));
        }
    }
    NodeShape {
        slots: random.between(1, 3) as u32,
        capabilities,
        queue_size: *random.pick(&[2, 10, 1000]),
        recycle: if random.chance(150) {
            random.between(1, 30)
        } else {
            0
        },
        manager: String::new(),
        group: String::new(),
    }
}

impl Profile {
    pub fn draw(seed: u64) -> Profile {
        let mut random = Random::stream(seed, "profile");
        let random = &mut random;
        let calm = random.chance(150);
        let least = *random.pick(&[5, 20, 100, 1_000]);
        let mut weights = [0; FAULT_KINDS.len()];
        for weight in &mut weights {
            *weight = if random.chance(500) {
                random.between(1, 5)
            } else {
                0
            };
        }
        weights[0] += 1;
        let heartbeat = *random.pick(&[200 * MILLISECOND, 500 * MILLISECOND]);
        Profile {
            clients: random.between(1, 3) as usize,
            nodes: (0..random.between(1, 4))
                .map(|_| node_shape(random))
                .collect(),
            combined: random.chance(200),
            latency: Latency {
                least,
                most: least * *random.pick(&[2, 10, 50]),
            },
            turn_delay: *random.pick(&[1, 20, 200]),
            faults_until: if calm {
                0
            } else {
                random.between(SECOND / 2, 8 * SECOND)
            },
            fault_gap: random.spread(20 * MILLISECOND, 2 * SECOND),
            weights,
            client_timeout: random.between(2, 6) * SECOND,
            worker_timeout: random.between(2, 6) * SECOND,
            death_timeout: random.between(4, 12) * SECOND,
            heartbeat,
            resync: random.between(500 * MILLISECOND, 2 * SECOND),
            grace: random.between(50 * MILLISECOND, SECOND),
            max_attempts: random.between(1, 4) as u32,
            inline_limit: 512,
            part: *random.pick(&[200, 700, 5_000]),
            capability_policy: random.chance(300),
            result_budget: *random.pick(&[2_000, 20_000, 1 << 30]),
            memory_limit: *random.pick(&[20_000, 1 << 30]),
            store_memory: *random.pick(&[0, 4_000, 1 << 30]),
            object_bytes: *random.pick(&[5_000, 1 << 30]),
            store_writes_through: random.chance(500),
            nesting: random.chance(400),
            most_waiting: *random.pick(&[1, 3, 256, 256]),
            fleet: FleetShape::default(),
        }
    }

    /// As the seed has it, with less work and fewer nodes, and with managers.
    pub fn with_managers(seed: u64) -> Profile {
        let mut profile = Profile::draw(seed);
        let random = &mut Random::stream(seed, "managers");
        profile.clients = profile.clients.min(random.between(1, 2) as usize);
        profile.nodes.truncate(*random.pick(&[0, 0, 0, 1, 2]));
        profile.combined &= !profile.nodes.is_empty();
        profile.fleet = FleetShape::draw(profile.faults_until, random);
        profile
    }

    pub fn of(kind: Kind, seed: u64) -> Profile {
        match kind {
            Kind::Nodes => Profile::draw(seed),
            Kind::Managers => Profile::with_managers(seed),
        }
    }

    /// What nodes offer that are there, or may come.
    pub fn offers(&self) -> Vec<&NodeShape> {
        let managers = self.fleet.managers.iter();
        let units = managers.map(|manager| &manager.node);
        self.nodes.iter().chain(units).collect()
    }

    /// Whether there will be nodes for what asks for this as long as the world lasts.
    pub fn can_serve(&self, asked: &Capabilities) -> bool {
        let given = |node: &NodeShape| satisfies(asked, &node.capabilities);
        self.nodes.iter().any(given) || self.fleet.can_serve(asked)
    }

    pub fn calm(&self) -> bool {
        self.faults_until == 0
    }
}
