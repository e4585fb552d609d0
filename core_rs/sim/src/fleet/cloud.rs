//! The infrastructure: units that come, live and end, calls that act on them, and everything that goes wrong with both.
//!
//! A call acts at one moment and is answered at another; either may come late, or never. A listing may lack what was
//! started a short while ago. What a driver promises holds: a start that is said again for what is there does nothing,
//! and units without its owner's tag are not its business.

mod calls;

use std::collections::BTreeMap;

use scaler_engine::manager::{Answer, CallId, GroupRequest, UnitState};

use crate::context::{Context, Event};
use crate::fleet::shape::CloudShape;
use crate::fleet::unit::{Phase, Unit};
use crate::fleet::FleetEvent;
use crate::network::Part;
use crate::queue::{Time, MILLISECOND};
use crate::random::Random;
use crate::story::About;

use calls::Flight;

#[derive(Clone, Copy, Debug)]
pub enum CloudEvent {
    Act(u64),
    Answer(u64),
    /// A unit has booted, or fails to.
    Boot(usize),
    BootFails(usize),
    Stop(usize),
}

/// What the world has to do.
#[derive(Debug)]
pub enum CloudEffect {
    Boot {
        unit: usize,
    },
    /// Its infrastructure ends a node, as it was told.
    Kill {
        node: usize,
        excused: bool,
    },
    Answer {
        manager: usize,
        life: u64,
        call: CallId,
        answer: Answer,
    },
}

pub struct Cloud {
    random: Random,
    shape: CloudShape,
    units: Vec<Unit>,
    flights: BTreeMap<u64, Flight>,
    flown: u64,
    outage_until: Time,
    /// Managers whose ledger was lost: nobody knows what they have called.
    forgetful: Vec<bool>,
    /// Units that nobody named.
    strays: u64,
}

impl Cloud {
    pub fn new(context: &mut Context, seed: u64) -> Cloud {
        let fleet = context.profile.fleet.clone();
        let mut cloud = Cloud {
            random: Random::stream(seed, "cloud"),
            shape: fleet.cloud.clone(),
            units: Vec::new(),
            flights: BTreeMap::new(),
            flown: 0,
            outage_until: 0,
            forgetful: vec![false; fleet.managers.len()],
            strays: 0,
        };
        for number in 0..fleet.cloud.foreign {
            let request = GroupRequest {
                group: format!("other-{number}"),
                slots: 1,
                capabilities: Vec::new(),
            };
            cloud.add(context, None, request);
            cloud.units[number as usize].phase = Phase::Running;
        }
        for _ in 0..fleet.cloud.strays {
            let manager = cloud.random.index(fleet.managers.len());
            cloud.stray(context, manager);
        }
        cloud
    }

    /// Units that calls have made.
    pub fn started(&self) -> u64 {
        let owned = self.units.iter().filter(|unit| unit.owner.is_some());
        owned.count() as u64 - self.strays
    }

    pub fn living(&self, manager: usize) -> impl Iterator<Item = &Unit> {
        self.units
            .iter()
            .filter(move |unit| unit.owner == Some(manager) && !unit.is_over())
    }

    /// Somebody else's units that are gone.
    pub fn touched(&self) -> Option<&Unit> {
        let foreign = |unit: &&Unit| unit.owner.is_none() && unit.phase != Phase::Running;
        self.units.iter().find(foreign)
    }

    /// The ledger of a manager is lost: what it has is in no book.
    pub fn ledger_lost(&mut self, manager: usize) {
        self.forgetful[manager] = true;
        let its = self.units.iter_mut();
        its.filter(|unit| unit.owner == Some(manager))
            .for_each(|unit| unit.uncounted = true);
    }

    pub fn outage(&mut self, until: Time) {
        self.outage_until = until;
    }

    // Units.

    fn add(&mut self, context: &mut Context, owner: Option<usize>, request: GroupRequest) -> usize {
        let now = context.now();
        let settle = owner.map_or(0, |owner| context.profile.fleet.managers[owner].settle);
        // A part of the time may have passed between a process's death and this.
        let lag = if settle == 0 {
            0
        } else {
            self.random.below(settle / 2)
        };
        self.units.push(Unit {
            owner,
            infrastructure: format!("u{}", self.units.len()),
            request,
            settled: now + lag,
            phase: Phase::Pending,
            detail: String::new(),
            since: now,
            listed_until: Time::MAX,
            node: None,
            uncounted: false,
            mute: false,
            excused: false,
        });
        self.units.len() - 1
    }

    /// A unit begins to boot.
    fn launch(&mut self, context: &mut Context, manager: usize, request: GroupRequest) -> usize {
        let unit = self.add(context, Some(manager), request);
        let now = context.now();
        let text = format!("{} begins to boot", self.units[unit]);
        context.tell(Part::Manager(manager), About::All, || text);
        let faulty = now < context.profile.faults_until;
        let after = self.random.between(MILLISECOND, self.shape.boot);
        let startup = context.profile.fleet.managers[manager].startup;
        let event = if faulty && self.random.chance(self.shape.stillborn) {
            CloudEvent::BootFails(unit)
        } else {
            CloudEvent::Boot(unit)
        };
        let slow = faulty && self.random.chance(self.shape.slow);
        let late = if slow {
            self.random.below(2 * startup)
        } else {
            0
        };
        plan(context, now + after + late, event);
        unit
    }

    /// A unit with the manager's tag that no scheduler knows.
    pub fn stray(&mut self, context: &mut Context, manager: usize) {
        self.strays += 1;
        let shape = &context.profile.fleet.managers[manager];
        let request = GroupRequest {
            group: format!("{}-0badcafe-{}", shape.id, self.strays),
            slots: shape.node.slots,
            capabilities: shape.node.capabilities.clone(),
        };
        let unit = self.launch(context, manager, request);
        self.units[unit].uncounted = true;
    }

    fn over(&mut self, context: &mut Context, unit: usize, state: UnitState, detail: &str) {
        let now = context.now();
        let listed = self.random.below(self.shape.retention + 1);
        let it = &mut self.units[unit];
        it.phase = Phase::Over(state);
        it.since = now;
        let keeps = |owner: usize| context.profile.fleet.managers[owner].keeps_ended;
        it.listed_until = if it.owner.is_some_and(keeps) {
            Time::MAX
        } else {
            now + listed
        };
        it.detail = detail.into();
        let text = format!("{it}");
        let owner = it.owner.unwrap_or_default();
        context.tell(Part::Manager(owner), About::All, || text);
    }

    /// The node of a unit is gone.
    pub fn node_ended(&mut self, context: &mut Context, node: usize, peaceful: bool) {
        let is_its = |unit: &Unit| unit.node == Some(node) && !unit.is_over();
        let Some(unit) = self.units.iter().position(is_its) else {
            return;
        };
        let (state, detail) = match (self.units[unit].phase, peaceful) {
            (Phase::Stopping, _) => (UnitState::Gone, "terminated"),
            (_, true) => (UnitState::Succeeded, "ended by itself"),
            (_, false) => (UnitState::Failed, "exit code 137"),
        };
        self.over(context, unit, state, detail);
    }

    /// Something befalls one of a manager's units; the node that dies with it.
    pub fn some_death(&mut self, context: &mut Context, manager: usize) -> Option<usize> {
        let is_its = |unit: &Unit| unit.owner == Some(manager) && !unit.is_over();
        let living: Vec<_> = (0..self.units.len())
            .filter(|unit| is_its(&self.units[*unit]))
            .collect();
        if living.is_empty() {
            return None;
        }
        let unit = *self.random.pick(&living);
        if self.units[unit].node.is_none() {
            self.over(context, unit, UnitState::Failed, "its machine is gone");
        }
        self.units[unit].node
    }

    /// The node of a unit that has booted.
    pub fn came_up(&mut self, unit: usize, node: usize) -> &Unit {
        self.units[unit].node = Some(node);
        &self.units[unit]
    }

    // What happens.

    pub fn due(&mut self, context: &mut Context, event: CloudEvent) -> Option<CloudEffect> {
        match event {
            CloudEvent::Act(number) => self.act(context, number),
            CloudEvent::Answer(number) => return self.answer(number),
            CloudEvent::Boot(unit) => return self.boot(context, unit),
            CloudEvent::BootFails(unit) => {
                if self.units[unit].phase == Phase::Pending {
                    self.over(context, unit, UnitState::Failed, "its image cannot be had");
                }
            }
            CloudEvent::Stop(unit) => {
                if self.units[unit].is_over() {
                    return None;
                }
                let excused = self.units[unit].excused;
                match self.units[unit].node {
                    Some(node) => return Some(CloudEffect::Kill { node, excused }),
                    None => self.over(context, unit, UnitState::Gone, "terminated"),
                }
            }
        }
        None
    }

    fn boot(&mut self, context: &mut Context, unit: usize) -> Option<CloudEffect> {
        if self.units[unit].phase != Phase::Pending {
            return None;
        }
        let now = context.now();
        self.units[unit].phase = Phase::Running;
        self.units[unit].since = now;
        let faulty = now < context.profile.faults_until;
        if faulty && self.random.chance(self.shape.mute) {
            self.units[unit].mute = true;
            return None;
        }
        Some(CloudEffect::Boot { unit })
    }
}

fn plan(context: &mut Context, at: Time, event: CloudEvent) {
    context.queue.at(at, Event::Fleet(FleetEvent::Cloud(event)));
}
