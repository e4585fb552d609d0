//! Calls: when they act and are answered, what they do, and what they tell.

use scaler_engine::manager::{
    Answer, Call, CallId, FailureKind, GroupRequest, UnitSeen, UnitState,
};

use crate::context::Context;
use crate::fleet::shape::{Trouble, TROUBLES};
use crate::fleet::unit::{Phase, Unit};
use crate::network::Part;
use crate::queue::{Time, MILLISECOND};
use crate::story::About;

use super::{plan, Cloud, CloudEffect, CloudEvent};

#[derive(Debug)]
pub(super) struct Flight {
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

impl Cloud {
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

    pub(super) fn answer(&mut self, number: u64) -> Option<CloudEffect> {
        let flight = self.flights.remove(&number)?;
        Some(CloudEffect::Answer {
            manager: flight.manager,
            life: flight.life?,
            call: flight.id,
            answer: flight.answer,
        })
    }

    pub(super) fn act(&mut self, context: &mut Context, number: u64) {
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
        let ended = |unit: &&mut Unit| {
            unit.owner == Some(flight.manager) && unit.request.group == group && unit.is_over()
        };
        for unit in self.units.iter_mut().filter(ended) {
            unit.listed_until = unit.listed_until.min(now);
        }
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
