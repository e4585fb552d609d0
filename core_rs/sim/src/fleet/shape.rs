//! What the managers of a seed's world and their cloud are like. Drawn from a stream of its own.

use scaler_engine::scaling::{Rule, Scaling};
use scaler_engine::wire::Capabilities;

use crate::profile::{node_shape, NodeShape};
use crate::queue::{Time, MILLISECOND, SECOND};
use crate::random::Random;

/// What can go wrong with managers and their units. Each kind has a weight in a seed's [`FleetShape`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FleetFault {
    CrashManager,
    /// It comes back when its lease is over.
    CrashManagerForLong,
    CrashManagerAndScheduler,
    PauseManager,
    /// It is told to end, and started again.
    LeaveManager,
    /// It is killed, and its ledger is gone.
    LoseLedger,
    KillUnit,
    /// The infrastructure does nothing well for a while.
    Outage,
    /// A unit with the manager's tag turns up, which nobody named.
    Stray,
}

pub const FLEET_FAULTS: [FleetFault; 9] = [
    FleetFault::CrashManager,
    FleetFault::CrashManagerForLong,
    FleetFault::CrashManagerAndScheduler,
    FleetFault::PauseManager,
    FleetFault::LeaveManager,
    FleetFault::LoseLedger,
    FleetFault::KillUnit,
    FleetFault::Outage,
    FleetFault::Stray,
];

/// How a world with managers ends, once its work is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// All managers are told to end.
    Leave,
    /// All managers are killed for good.
    ManagersGone,
    /// They, and the scheduler.
    AllGone,
}

#[derive(Clone, Debug)]
pub struct ManagerShape {
    pub id: String,
    pub least: u32,
    pub most: u32,
    /// Of its groups.
    pub node: NodeShape,
    /// A group whose node has not come after this has failed.
    pub startup: Time,
    pub lease: Time,
    pub heartbeat: Time,
    pub deadline: Time,
    pub batch: u32,
    pub calls: u32,
    pub settle: Time,
    pub shutdown: Time,
    pub cooldown: Option<Time>,
    /// It is killed then, and never comes back.
    pub gone_at: Option<Time>,
    /// Its infrastructure never has room for anything.
    pub barren: bool,
    /// What has ended stays listed until it was shut down.
    pub keeps_ended: bool,
}

impl ManagerShape {
    /// How long its end may take when all goes well.
    pub fn leaving_takes(&self) -> Time {
        self.shutdown + 2 * self.settle + 6 * self.deadline + 4 * self.heartbeat + 10 * SECOND
    }
}

/// What calls of hooks come to while there are faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// It does nothing, and says why.
    Refuses,
    /// Some of what was asked for happens; the answer says which.
    Partial,
    /// What was asked for happens, or some of it, and the answer is an error.
    FailsAfter,
    /// It happens; the answer comes when nobody waits for it any more.
    AnswersLate,
    /// It happens when nobody waits for it any more.
    ActsLate,
    /// It happens; an answer never comes.
    DropsAnswer,
    /// It does not happen, and an answer never comes.
    Hangs,
}

pub const TROUBLES: [Trouble; 7] = [
    Trouble::Refuses,
    Trouble::Partial,
    Trouble::FailsAfter,
    Trouble::AnswersLate,
    Trouble::ActsLate,
    Trouble::DropsAnswer,
    Trouble::Hangs,
];

#[derive(Clone, Debug, Default)]
pub struct CloudShape {
    /// A start that is said twice is one, whenever that is; otherwise the driver looks first what is there.
    pub tokens: bool,
    /// Of 1,000 calls during the faults.
    pub troubled: u64,
    pub troubles: [u64; TROUBLES.len()],
    /// Of 1,000 units during the faults: those that fail to boot, never connect, take too long.
    pub stillborn: u64,
    pub mute: u64,
    pub slow: u64,
    /// Longest time to boot, to answer, to end.
    pub boot: Time,
    pub answer: Time,
    pub stop: Time,
    /// What is over stays listed for so long at most.
    pub retention: Time,
    pub foreign: u64,
    /// Units that are there from the beginning, of a ledger that was lost.
    pub strays: u64,
}

#[derive(Clone, Debug)]
pub struct FleetShape {
    pub managers: Vec<ManagerShape>,
    pub scaling: Scaling,
    pub cooldown: Time,
    pub cloud: CloudShape,
    /// Mean time between two faults.
    pub fault_gap: Time,
    pub weights: [u64; FLEET_FAULTS.len()],
    pub ending: Ending,
}

impl Default for FleetShape {
    /// No managers.
    fn default() -> Self {
        FleetShape {
            managers: Vec::new(),
            scaling: Scaling::No,
            cooldown: 0,
            cloud: CloudShape::default(),
            fault_gap: SECOND,
            weights: [0; FLEET_FAULTS.len()],
            ending: Ending::Leave,
        }
    }
}

pub fn satisfies(asked: &Capabilities, offered: &Capabilities) -> bool {
    asked.iter().all(|(name, amount)| {
        offered
            .iter()
            .any(|(other, available)| name == other && (*amount < 0 || available >= amount))
    })
}

impl FleetShape {
    /// `faults_until`: as the world has it; 0: no faults.
    pub fn draw(faults_until: Time, random: &mut Random) -> FleetShape {
        let count = *random.pick(&[1, 1, 2]);
        let managers: Vec<_> = (0..count)
            .map(|index| manager(index, faults_until, random))
            .collect();
        let shortest = managers.iter().map(|manager| manager.startup).min();
        let cloud = cloud(shortest.unwrap_or(SECOND), random);
        let mut weights = [0; FLEET_FAULTS.len()];
        for weight in &mut weights {
            *weight = if random.chance(500) {
                random.between(1, 5)
            } else {
                0
            };
        }
        weights[0] += 1;
        let mut shape = FleetShape {
            scaling: scaling(&managers, random),
            managers,
            cooldown: *random.pick(&[0, 500 * MILLISECOND, 2 * SECOND, 5 * SECOND]),
            cloud,
            fault_gap: random.spread(100 * MILLISECOND, 4 * SECOND),
            weights,
            ending: *random.pick(&[Ending::Leave, Ending::ManagersGone, Ending::AllGone]),
        };
        for manager in &mut shape.managers {
            manager.keeps_ended = random.chance(250);
        }
        shape
    }

    /// The longest lease; what the scheduler takes for that of a manager that has not come.
    pub fn lease(&self) -> Time {
        let leases = self.managers.iter().map(|manager| manager.lease);
        leases.max().unwrap_or(300 * SECOND)
    }

    /// Groups that a policy may leave to a manager for which there is nothing to do.
    pub fn may_stay(&self, manager: &ManagerShape) -> u32 {
        let fixed = manager.least >= manager.most || manager.most == 1;
        match &self.scaling {
            // They stay as they are.
            Scaling::No => u32::MAX,
            Scaling::Waterfall(rules) if rules.iter().all(|it| it.manager != manager.id) => {
                u32::MAX
            }
            Scaling::FixedElastic if fixed => manager.most,
            _ => manager.least,
        }
    }

    /// Whether units for what asks for this can come, and go on coming.
    pub fn can_serve(&self, asked: &Capabilities) -> bool {
        let scales = |manager: &ManagerShape| match &self.scaling {
            Scaling::No => manager.least > 0,
            Scaling::Waterfall(rules) => {
                let of = |rule: &&Rule| rule.manager == manager.id;
                let has_room = |rule: &Rule| rule.cap != Some(0);
                manager.least > 0 || rules.iter().filter(of).any(has_room)
            }
            _ => true,
        };
        self.managers.iter().any(|manager| {
            manager.gone_at.is_none()
                && !manager.barren
                && satisfies(asked, &manager.node.capabilities)
                && scales(manager)
        })
    }
}

fn manager(index: usize, faults_until: Time, random: &mut Random) -> ManagerShape {
    let fixed = random.chance(150);
    let (least, most) = if fixed {
        (1, 1)
    } else {
        let least = *random.pick(&[0, 0, 0, 1, 2]);
        (least, random.between(u64::from(least.max(1)), 5) as u32)
    };
    let gone = faults_until > 0 && random.chance(120);
    ManagerShape {
        id: format!("m{index}"),
        least,
        most,
        node: node_shape(random),
        startup: random.between(SECOND, 4 * SECOND),
        lease: random.between(3 * SECOND, 10 * SECOND),
        heartbeat: *random.pick(&[200 * MILLISECOND, 500 * MILLISECOND]),
        deadline: random.between(300 * MILLISECOND, 1_500 * MILLISECOND),
        batch: *random.pick(&[1, 2, 10]),
        calls: *random.pick(&[1, 2, 4]),
        settle: *random.pick(&[0, 300 * MILLISECOND, SECOND]),
        shutdown: random.between(2 * SECOND, 10 * SECOND),
        cooldown: random.chance(300).then(|| random.below(3 * SECOND)),
        gone_at: gone.then(|| random.below(faults_until)),
        barren: random.chance(40),
        keeps_ended: false,
    }
}

fn cloud(startup: Time, random: &mut Random) -> CloudShape {
    let mut troubles = [0; TROUBLES.len()];
    for weight in &mut troubles {
        *weight = if random.chance(500) {
            random.between(1, 5)
        } else {
            0
        };
    }
    troubles[0] += 1;
    let mut share = || *random.pick(&[0, 0, 100, 400]);
    let (stillborn, mute, slow) = (share(), share(), share());
    CloudShape {
        tokens: random.chance(500),
        troubled: *random.pick(&[0, 50, 200, 600]),
        troubles,
        stillborn,
        mute,
        slow,
        boot: random.between(20 * MILLISECOND, startup / 3),
        answer: random.spread(MILLISECOND, 100 * MILLISECOND),
        stop: random.spread(MILLISECOND, 500 * MILLISECOND),
        retention: *random.pick(&[0, SECOND, 4 * SECOND]),
        foreign: random.below(3),
        strays: *random.pick(&[0, 0, 0, 1, 2]),
    }
}

fn scaling(managers: &[ManagerShape], random: &mut Random) -> Scaling {
    match random.below(10) {
        0 => Scaling::No,
        1..=3 => Scaling::Vanilla,
        4..=5 => Scaling::Capability,
        6..=7 => Scaling::FixedElastic,
        _ => Scaling::Waterfall(
            managers
                .iter()
                .map(|manager| Rule {
                    priority: random.below(3) as i64,
                    manager: manager.id.clone(),
                    cap: random.chance(300).then(|| random.below(6) as u32),
                })
                .collect(),
        ),
    }
}
