//! The world's managers and units: how they start and end, what befalls them, and what is left of them.

use std::ops::RangeInclusive;

use crate::fleet::cloud::{CloudEffect, CloudEvent};
use crate::fleet::manager_host::{ManagerHost, Over};
use crate::fleet::promises;
use crate::fleet::shape::{Ending, FleetFault, ManagerShape, FLEET_FAULTS};
use crate::fleet::unit::{Phase, Unit};
use crate::fleet::FleetEvent;
use crate::network::Part;
use crate::node_host::LAST_WORDS;
use crate::queue::{MILLISECOND, SECOND};
use crate::story::About;

use super::{Event, Stage, World};

impl World {
    pub(super) fn has_managers(&self) -> bool {
        !self.fleet.hosts.is_empty()
    }

    pub(super) fn begin_fleet(&mut self) {
        let managers = self.context.profile.fleet.managers.clone();
        for (index, manager) in managers.iter().enumerate() {
            self.start(Part::Manager(index));
            if let Some(at) = manager.gone_at {
                let event = Event::Fleet(FleetEvent::Gone(index));
                self.context.queue.at(at, event);
            }
        }
        if self.has_managers() {
            self.plan_fleet_fault();
        }
    }

    pub(super) fn start_manager(&mut self, index: usize) {
        let ledger = std::mem::take(&mut self.fleet.ledgers[index]);
        let host = ManagerHost::new(&mut self.context, index, ledger);
        self.fleet.hosts[index] = Some(host);
    }

    /// Its process is gone, with what its ledger does not have.
    pub(super) fn manager_died(&mut self, index: usize) {
        if let Some(host) = self.fleet.hosts[index].take() {
            self.fleet.ledgers[index] = host.ledger.crashed(&mut self.context.random);
            self.fleet.cloud.manager_died(&mut self.context, index);
        }
    }

    /// Whether what died may come back: units do not, and some managers do not.
    pub(super) fn comes_back(&self, part: Part) -> bool {
        match part {
            Part::Manager(index) => !self.fleet.gone[index],
            Part::Node(index) => self.context.profile.nodes[index].group.is_empty(),
            Part::Scheduler => {
                let ending = self.context.profile.fleet.ending;
                self.stage != Stage::Ending || ending != Ending::AllGone
            }
            _ => true,
        }
    }

    /// Whether a planned start is to happen still.
    pub(super) fn may_start(&self, part: Part) -> bool {
        match part {
            Part::Node(_) => true,
            other => self.comes_back(other),
        }
    }

    /// A manager's process says that it is done.
    pub(super) fn manager_is_done(&self, index: usize) -> bool {
        let host = self.fleet.hosts[index].as_ref();
        host.is_some_and(|host| host.is_done(self.context.now()))
    }

    pub(super) fn fleet_event(&mut self, event: FleetEvent) {
        match event {
            FleetEvent::Cloud(event) => self.cloud_due(event),
            FleetEvent::Fault(fault) => {
                self.fleet_fault(fault);
                self.plan_fleet_fault();
            }
            FleetEvent::Gone(index) => {
                self.fleet.gone[index] = true;
                self.kill(Part::Manager(index), None);
            }
        }
    }

    fn cloud_due(&mut self, event: CloudEvent) {
        match self.fleet.cloud.due(&mut self.context, event) {
            None => {}
            Some(CloudEffect::Boot { unit }) => self.boot(unit),
            Some(CloudEffect::Kill { node, excused }) => {
                if !excused {
                    promises::is_idle(&mut self.context, node, "its unit is ended");
                }
                self.kill(Part::Node(node), None);
            }
            Some(CloudEffect::Answer {
                manager,
                life,
                call,
                answer,
            }) => {
                let host = self.fleet.hosts[manager].as_mut();
                if let Some(host) = host.filter(|host| host.life == life) {
                    host.answer(call, answer);
                    self.soon(Part::Manager(manager));
                }
            }
        }
    }

    /// A unit's agent starts: one more node.
    fn boot(&mut self, unit: usize) {
        let index = self.nodes.len();
        let unit = self.fleet.cloud.came_up(unit, index).clone();
        let managers = &self.context.profile.fleet.managers;
        let Some(manager) = unit.owner.map(|owner| managers[owner].clone()) else {
            return;
        };
        let mut shape = manager.node;
        shape.slots = unit.request.slots;
        shape.capabilities = unit.request.capabilities;
        shape.manager = manager.id;
        shape.group = unit.request.group.clone();
        self.context.groups.came_up(&unit.request.group, index);
        self.context.profile.nodes.push(shape);
        self.nodes.push(None);
        self.start(Part::Node(index));
    }

    // Faults.

    fn plan_fleet_fault(&mut self) {
        let (until, fleet) = (
            self.context.profile.faults_until,
            &self.context.profile.fleet,
        );
        let at = self.context.now() + self.fleet.faults.between(1, 2 * fleet.fault_gap);
        if at >= until {
            return;
        }
        let mut draw = self.fleet.faults.below(fleet.weights.iter().sum());
        let kind = FLEET_FAULTS.iter().zip(fleet.weights).find(|(_, weight)| {
            let found = draw < *weight;
            draw = draw.saturating_sub(*weight);
            found
        });
        let fault = *kind.expect("a draw below the sum of weights").0;
        let event = Event::Fleet(FleetEvent::Fault(fault));
        self.context.queue.at(at, event);
    }

    fn fleet_fault(&mut self, fault: FleetFault) {
        let now = self.context.now();
        let index = self.fleet.faults.index(self.fleet.hosts.len());
        let part = Part::Manager(index);
        let lease = self.context.profile.fleet.managers[index].lease;
        let after = self.fleet.faults.spread(MILLISECOND, 3 * SECOND);
        match fault {
            FleetFault::CrashManager => self.kill(part, Some(after)),
            FleetFault::CrashManagerForLong => self.kill(part, Some(lease + after)),
            FleetFault::CrashManagerAndScheduler => {
                self.kill(part, Some(after));
                let after = self.fleet.faults.spread(MILLISECOND, 3 * SECOND);
                self.kill(Part::Scheduler, Some(after));
            }
            FleetFault::PauseManager => {
                let until = now + self.fleet.faults.spread(MILLISECOND, 2 * lease);
                if self.runs(part) {
                    self.context
                        .tell(part, About::All, || format!("is paused until {until}"));
                    self.paused.insert(part, until);
                }
            }
            FleetFault::LeaveManager => self.tell_to_leave(index),
            FleetFault::LoseLedger => {
                if self.runs(part) {
                    self.kill(part, Some(after));
                    self.context
                        .tell(part, About::All, || "has lost its ledger".into());
                    self.fleet.ledgers[index] = Default::default();
                    self.fleet.cloud.ledger_lost(index);
                }
            }
            FleetFault::KillUnit => {
                let node = self.fleet.cloud.some_death(&mut self.context, index);
                if let Some(node) = node {
                    self.kill(Part::Node(node), None);
                }
            }
            FleetFault::Outage => {
                let until = now + self.fleet.faults.spread(50 * MILLISECOND, 5 * SECOND);
                self.context.tell(part, About::All, || {
                    format!("the infrastructure does nothing well until {until}")
                });
                self.fleet.cloud.outage(until);
            }
            FleetFault::Stray => {
                self.fleet.cloud.stray(&mut self.context, index);
            }
        }
    }

    fn tell_to_leave(&mut self, index: usize) {
        if let Some(host) = self.fleet.hosts[index].as_mut() {
            host.leave(&mut self.context);
            self.soon(Part::Manager(index));
        }
    }

    // The end.

    /// Groups that each manager is to have when nothing is wanted.
    fn wanted(&self, index: usize) -> RangeInclusive<u32> {
        let fleet = &self.context.profile.fleet;
        let shape = &fleet.managers[index];
        let most = fleet.may_stay(shape);
        match (self.fleet.gone[index], shape.barren) {
            (true, _) => 0..=0,
            (_, true) => 0..=most,
            _ => shape.least..=most,
        }
    }

    /// Units that are there though somebody could end them.
    fn endable(&self, index: usize) -> impl Iterator<Item = &Unit> {
        let gone = self.fleet.gone[index] && self.fleet.hosts[index].is_none();
        let living = self.fleet.cloud.living(index);
        living.filter(move |unit| !(gone && unit.mute))
    }

    pub(super) fn fleet_left_over(&self) -> Option<String> {
        if let Some(unit) = self.fleet.cloud.touched() {
            return Some(format!("somebody else's unit: {unit}"));
        }
        for index in 0..self.fleet.hosts.len() {
            let wanted = self.wanted(index);
            let living: Vec<_> = self.endable(index).collect();
            let up = living.iter().filter(|unit| {
                let node = unit.node.and_then(|node| self.nodes[node].as_ref());
                unit.phase == Phase::Running && node.is_some()
            });
            let all_up = up.count() == living.len();
            if !wanted.contains(&(living.len() as u32)) || !all_up {
                let units: Vec<_> = living.iter().map(ToString::to_string).collect();
                return Some(format!(
                    "manager {index} has units {units:?}, {wanted:?} are wanted"
                ));
            }
            if !self.fleet.gone[index] && self.fleet.hosts[index].is_none() {
                return Some(format!("manager {index} is down"));
            }
        }
        None
    }

    /// All managers end, each world in its way.
    pub(super) fn begin_ending(&mut self) {
        self.stage = Stage::Ending;
        self.fleet.gone.iter_mut().for_each(|gone| *gone = true);
        // Who stands still begins to count when that is over.
        let still = self.paused.values().copied().max().unwrap_or_default();
        let now = self.context.now().max(still);
        let profile = self.context.profile.clone();
        let (fleet, managers) = (&profile.fleet, 0..self.fleet.hosts.len());
        let agents = profile.death_timeout + profile.grace + LAST_WORDS + 3 * SECOND;
        let notices = profile.resync + 2 * profile.worker_timeout;
        let takes = match fleet.ending {
            Ending::Leave => {
                managers.for_each(|index| self.tell_to_leave(index));
                let takes = fleet.managers.iter().map(ManagerShape::leaving_takes);
                takes.max().unwrap_or_default()
            }
            Ending::ManagersGone => {
                managers.for_each(|index| self.kill(Part::Manager(index), None));
                fleet.lease() + notices + agents
            }
            Ending::AllGone => {
                managers.for_each(|index| self.kill(Part::Manager(index), None));
                self.kill(Part::Scheduler, None);
                fleet.cloud.boot + agents
            }
        };
        self.deadline = now + takes;
    }

    /// What is there of managers that have ended.
    pub(super) fn ending_left_over(&self) -> Option<String> {
        for (index, host) in self.fleet.hosts.iter().enumerate() {
            let units = self.endable(index).map(ToString::to_string);
            let units: Vec<_> = units.collect();
            if !units.is_empty() {
                return Some(format!(
                    "manager {index} is gone, its units are not: {units:?}"
                ));
            }
            if host.is_some() {
                return Some(format!("manager {index} does not end"));
            }
        }
        self.fleet
            .cloud
            .touched()
            .map(|unit| format!("somebody else's unit: {unit}"))
    }

    /// A manager's process ended: it was in order if it was told to, and nothing went wrong.
    pub(super) fn check_exit(&mut self, index: usize) {
        let Some(host) = &self.fleet.hosts[index] else {
            return;
        };
        let Some(Over::Exits { failed: false, .. }) = host.over else {
            return;
        };
        let looked_at = host.looked_at;
        let its = self.fleet.cloud.living(index);
        let visible = its.filter(|unit| unit.settled < looked_at);
        let visible = visible.map(ToString::to_string);
        let units: Vec<_> = visible.collect();
        if !units.is_empty() {
            self.context.broken(format!(
                "manager {index} ends in peace and leaves units: {units:?}"
            ));
        }
    }
}
