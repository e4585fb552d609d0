//! Who decides: the machine that ships, with each of its policies, and the rule that it replaces.

use scaler_engine::scaling::{Demand, Rule, Scaler, Scaling, ScalingConfig, Snapshot, Supply};

use crate::cluster::{Manager, Victim};

/// Seconds between two looks: a manager's heartbeat.
pub const HEARTBEAT: u64 = 2;

pub struct Policy {
    pub name: &'static str,
    pub title: &'static str,
    pub managers: Vec<Manager>,
    pub victim: Victim,
    decider: Decider,
}

enum Decider {
    Machine(Box<Scaler>),
    Naive,
    /// All that there can be, all day.
    All,
}

impl Policy {
    pub fn wanted(&mut self, now: u64, demand: Demand, supplies: &[Supply]) -> Vec<u32> {
        match &mut self.decider {
            Decider::Machine(scaler) => {
                let snapshot = Snapshot {
                    now: now * 1_000_000,
                    demands: &[demand],
                    supplies,
                    given: &[],
                };
                scaler.desired(&snapshot).groups
            }
            Decider::Naive => {
                let supply = &supplies[0];
                vec![one_a_heartbeat(demand.tasks, supply.groups).min(supply.most)]
            }
            Decider::All => supplies.iter().map(|supply| supply.most).collect(),
        }
    }
}

/// One worker more where tasks are more than ten a worker, a worker for ten of them where they are fewer than workers.
fn one_a_heartbeat(tasks: u64, workers: u32) -> u32 {
    let (tasks, there) = (tasks as u32, workers);
    match (tasks, there) {
        (0, _) => 0,
        (_, 0) => 1,
        _ if tasks > 10 * there => there + 1,
        _ if tasks < there => tasks.div_ceil(10).max(1),
        _ => there,
    }
}

const CLOUD: Manager = Manager {
    name: "cloud",
    least: 0,
    most: 100,
    slots: 1,
    startup: (45, 90),
    fails: 50,
    lives: 12 * 3_600,
};

/// Machines of one's own: they start at once and stay.
const LOCAL: Manager = Manager {
    name: "local",
    least: 0,
    most: 16,
    slots: 1,
    startup: (1, 3),
    fails: 0,
    lives: 0,
};

pub fn policies() -> Vec<Policy> {
    let machine = |scaling| {
        Decider::Machine(Box::new(Scaler::new(ScalingConfig {
            scaling,
            ..ScalingConfig::default()
        })))
    };
    let overflow = Manager { most: 84, ..CLOUD };
    let fixed = Manager {
        least: 1,
        most: 1,
        slots: 16,
        ..LOCAL
    };
    let rule = |priority, manager: &str| Rule {
        priority,
        manager: manager.into(),
        cap: None,
    };
    let rules = vec![rule(1, "local"), rule(2, "cloud")];
    let one = |name, title, decider| Policy {
        name,
        title,
        managers: vec![CLOUD],
        victim: Victim::Idle,
        decider,
    };
    vec![
        one("all", "100 workers all day", Decider::All),
        Policy {
            victim: Victim::Oldest,
            ..one("naive", "one worker a heartbeat", Decider::Naive)
        },
        one("vanilla", "scaling=vanilla", machine(Scaling::Vanilla)),
        one(
            "capability",
            "scaling=capability",
            machine(Scaling::Capability),
        ),
        Policy {
            managers: vec![fixed, overflow.clone()],
            ..one(
                "fixed_elastic",
                "scaling=fixed_elastic, 16 fixed workers",
                machine(Scaling::FixedElastic),
            )
        },
        Policy {
            managers: vec![LOCAL, overflow],
            ..one(
                "waterfall_v1",
                "scaling=waterfall_v1, 16 workers here first",
                machine(Scaling::Waterfall(rules)),
            )
        },
    ]
}
