//! The infrastructure: units that come, live and end, calls that act on them, and everything that goes wrong with both.
//!
//! A call acts at one moment and is answered at another; either may come late, or never. A listing may lack what was
//! started a short while ago. What a driver promises holds: a start that is said again for what is there does nothing,
//! and units without its owner's tag are not its business.

use std::collections::BTreeMap;

use scaler_engine::manager::{
    Answer, Call, CallId, FailureKind, GroupRequest, UnitSeen, UnitState,
};

use crate::context::{Context, Event};
use crate::fleet::shape::{CloudShape, Trouble, TROUBLES};
use crate::fleet::unit::{Phase, Unit};
use crate::fleet::FleetEvent;
use crate::network::Part;
use crate::queue::{Time, MILLISECOND};
use crate::random::Random;
use crate::story::About;

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

#[derive(Debug)]
struct Flight {
    manager: usize,
    /// Of its process; none: that is gone.
    life: Option<u64>,
    id: CallId,
    call: Call,
    acts_at: Time,
    /// How it goes: no trouble, or which.
    trouble: Option<Trouble>,
    /// Groups that were there when it began.
    found: Vec<bool>,
    answer: Answer,
    excused: bool,
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

    pub fn units(&self) -> &[Unit] {
        &self.units
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
        it.listed_until = now + listed;
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

    // Calls.

    /// A manager's process calls. `excused`: it ends all that it has.
    pub fn call(
        &mut self,
        context: &mut Context,
        (manager, life): (usize, u64),
        id: CallId,
        call: Call,
        excused: bool,
    ) {
        let now = context.now();
        let deadline = context.profile.fleet.managers[manager].deadline;
        let trouble = self.trouble(context, manager, &call);
        let quick = self.random.between(1, self.shape.answer.min(deadline / 3));
        let answered = self.random.between(1, self.shape.answer.min(deadline / 3));
        let late = self.random.between(deadline, 3 * deadline);
        let (acts, answers) = match trouble {
            Some(Trouble::AnswersLate) => (Some(quick), Some(late + quick)),
            Some(Trouble::ActsLate) => (Some(late), Some(late + answered)),
            Some(Trouble::DropsAnswer) => (Some(quick), None),
            Some(Trouble::Hangs) => (None, None),
            Some(Trouble::Refuses) => (None, Some(quick)),
            _ => (Some(quick), Some(quick + answered)),
        };
        let found = self.found(now, manager, &call);
        let refused = trouble == Some(Trouble::Refuses);
        let answer = if refused {
            self.refusal(now)
        } else {
            Answer::Done
        };
        self.flown += 1;
        let flight = Flight {
            manager,
            life: Some(life),
            id,
            call,
            acts_at: acts.map_or(Time::MAX, |after| now + after),
            trouble,
            found,
            answer,
            excused,
        };
        let number = self.flown;
        if flight.call != Call::Heartbeat || trouble.is_some() {
            context.tell(Part::Manager(manager), About::All, || {
                let (call, trouble) = (&flight.call, &flight.trouble);
                format!("calls {id}: {call:?}, which goes {trouble:?}")
            });
        }
        self.flights.insert(number, flight);
        if let Some(after) = acts {
            plan(context, now + after, CloudEvent::Act(number));
        }
        if let Some(after) = answers {
            plan(context, now + after, CloudEvent::Answer(number));
        }
    }

    fn trouble(&mut self, context: &Context, manager: usize, call: &Call) -> Option<Trouble> {
        let now = context.now();
        let barren = context.profile.fleet.managers[manager].barren;
        if barren && matches!(call, Call::Start(_)) {
            return self.random.chance(500).then_some(Trouble::Refuses);
        }
        let outage = now < self.outage_until;
        let faulty = now < context.profile.faults_until;
        let troubled = faulty && (outage || self.random.chance(self.shape.troubled));
        troubled.then(|| self.some_trouble())
    }

    fn some_trouble(&mut self) -> Trouble {
        let weights = self.shape.troubles;
        let mut draw = self.random.below(weights.iter().sum());
        let found = TROUBLES.iter().zip(weights).find(|(_, weight)| {
            let found = draw < *weight;
            draw = draw.saturating_sub(*weight);
            found
        });
        *found.expect("a draw below the sum of weights").0
    }

    fn refusal(&mut self, now: Time) -> Answer {
        let kinds = [
            FailureKind::Throttled,
            FailureKind::Credentials,
            FailureKind::Temporary,
            FailureKind::Temporary,
            FailureKind::Permanent,
            FailureKind::Unknown,
        ];
        let kind = *self.random.pick(&kinds);
        let throttled = kind == FailureKind::Throttled && self.random.chance(500);
        let retry_after_us = if throttled {
            self.random.spread(MILLISECOND, 2_000 * MILLISECOND)
        } else {
            0
        };
        let text = format!("{kind:?} at {now}");
        Answer::Failed {
            kind,
            text,
            retry_after_us,
        }
    }

    /// A driver without tokens looks what is there before it starts anything; what was started a moment ago it may miss.
    fn found(&mut self, now: Time, manager: usize, call: &Call) -> Vec<bool> {
        let Call::Start(requests) = call else {
            return Vec::new();
        };
        let mut found = Vec::new();
        for request in requests {
            let unit = self.unit_of(manager, &request.group);
            found.push(unit.is_some_and(|unit| self.shows(now, unit)));
        }
        found
    }

    fn unit_of(&self, manager: usize, group: &str) -> Option<usize> {
        self.units.iter().position(|unit| {
            unit.owner == Some(manager) && unit.request.group == group && !unit.is_over()
        })
    }

    fn shows(&mut self, now: Time, unit: usize) -> bool {
        self.units[unit].settled <= now || self.random.chance(500)
    }

    /// A manager's process is gone. What it asked for and was not done yet is done soon, or never.
    pub fn manager_died(&mut self, context: &mut Context, manager: usize) {
        let now = context.now();
        let settle = context.profile.fleet.managers[manager].settle;
        let of_it = |flight: &Flight| flight.manager == manager && flight.life.is_some();
        for (number, flight) in &mut self.flights {
            if !of_it(flight) {
                continue;
            }
            flight.life = None;
            if flight.acts_at == Time::MAX || flight.acts_at <= now {
                continue;
            }
            let late = if settle == 0 {
                0
            } else {
                self.random.below(settle / 2)
            };
            if self.random.chance(500) {
                flight.acts_at = flight.acts_at.min(now + late);
                plan(context, flight.acts_at, CloudEvent::Act(*number));
            } else {
                flight.acts_at = Time::MAX;
            }
        }
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
                let it = &self.units[unit];
                let excused = it.excused || context.groups.is_given_up(&it.request.group);
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

    fn answer(&mut self, number: u64) -> Option<CloudEffect> {
        let flight = self.flights.remove(&number)?;
        Some(CloudEffect::Answer {
            manager: flight.manager,
            life: flight.life?,
            call: flight.id,
            answer: flight.answer,
        })
    }

    fn act(&mut self, context: &mut Context, number: u64) {
        let now = context.now();
        let Some(mut flight) = self.flights.remove(&number) else {
            return;
        };
        if flight.acts_at == now {
            flight.acts_at = Time::MAX;
            let partly = matches!(flight.trouble, Some(Trouble::Partial | Trouble::FailsAfter));
            flight.answer = match &flight.call {
                Call::Start(requests) => {
                    let requests = requests.clone();
                    let seen = requests.into_iter().zip(flight.found.clone());
                    let seen = seen.map(|(request, found)| {
                        let fails = partly && self.random.chance(500);
                        self.start(context, &flight, request, found, fails)
                    });
                    Answer::Units(seen.collect())
                }
                Call::Heartbeat => Answer::Units(self.listing(now, flight.manager)),
                Call::Shutdown(groups) => {
                    let groups = groups.clone();
                    for group in groups {
                        if !partly || self.random.chance(500) {
                            self.shut_down(context, &flight, &group);
                        }
                    }
                    Answer::Done
                }
                Call::Cleanup => Answer::Done,
            };
            let is_start = matches!(flight.call, Call::Start(_));
            let fails = flight.trouble == Some(Trouble::FailsAfter) || partly && !is_start;
            if fails {
                flight.answer = self.failure_after(now);
            }
        }
        self.flights.insert(number, flight);
    }

    /// An error in spite of what may have happened.
    fn failure_after(&mut self, now: Time) -> Answer {
        match self.refusal(now) {
            Answer::Failed {
                kind: FailureKind::Permanent,
                text,
                retry_after_us,
            } => Answer::Failed {
                kind: FailureKind::Unknown,
                text,
                retry_after_us,
            },
            other => other,
        }
    }

    fn start(
        &mut self,
        context: &mut Context,
        flight: &Flight,
        request: GroupRequest,
        found: bool,
        fails: bool,
    ) -> UnitSeen {
        let manager = flight.manager;
        let there = self.unit_of(manager, &request.group);
        let known = if self.shape.tokens {
            there
        } else {
            there.filter(|_| found)
        };
        if let Some(unit) = known {
            return self.units[unit].seen();
        }
        let barren = context.profile.fleet.managers[manager].barren;
        if fails || barren {
            return UnitSeen {
                group: request.group,
                infrastructure: String::new(),
                state: UnitState::Failed,
                detail: "no capacity".into(),
            };
        }
        let group = request.group.clone();
        let unit = self.launch(context, manager, request);
        if there.is_some() && self.forgetful[manager] {
            self.units[unit].uncounted = true;
        } else if there.is_some() {
            context.broken(format!("group {group} has two units"));
        }
        // What came to be when it was given up already, or is in no book, nobody could count.
        self.units[unit].uncounted |= context.groups.is_ended(&group);
        self.check_limit(context, manager);
        self.units[unit].seen()
    }

    fn check_limit(&self, context: &mut Context, manager: usize) {
        let counted = self.living(manager).filter(|unit| !unit.uncounted);
        let (count, most) = (
            counted.count(),
            context.profile.fleet.managers[manager].most,
        );
        if count as u32 > most {
            let units: Vec<_> = self.living(manager).map(ToString::to_string).collect();
            context.broken(format!(
                "manager {manager} has {count} units, {most} allowed: {units:?}"
            ));
        }
    }

    fn listing(&mut self, now: Time, manager: usize) -> Vec<UnitSeen> {
        let mut listing = Vec::new();
        for unit in 0..self.units.len() {
            let it = &self.units[unit];
            if it.owner != Some(manager) || it.listed_until < now {
                continue;
            }
            if it.is_over() || self.shows(now, unit) {
                listing.push(self.units[unit].seen());
            }
        }
        listing
    }

    fn shut_down(&mut self, context: &mut Context, flight: &Flight, group: &str) {
        let now = context.now();
        let of_group = |unit: &Unit| {
            unit.owner == Some(flight.manager) && unit.request.group == group && !unit.is_over()
        };
        let units: Vec<_> = (0..self.units.len())
            .filter(|unit| of_group(&self.units[*unit]))
            .collect();
        for unit in units {
            if !self.shape.tokens && !self.shows(now, unit) {
                continue;
            }
            let it = &mut self.units[unit];
            if it.phase == Phase::Stopping {
                continue;
            }
            it.phase = Phase::Stopping;
            it.excused |= flight.excused;
            it.since = now;
            let after = self.random.below(self.shape.stop);
            plan(context, now + after, CloudEvent::Stop(unit));
        }
    }
}

fn plan(context: &mut Context, at: Time, event: CloudEvent) {
    context.queue.at(at, Event::Fleet(FleetEvent::Cloud(event)));
}
