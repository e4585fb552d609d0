//! What worker managers do about a class of tasks, for people: from the same facts as scaling.

use crate::capabilities::{amount_of, offers, offers_one};
use crate::scaling::Scaling;
use crate::wire::{Capabilities, ManagerInfo, Payload};

use super::classes::Class;
use super::fleet::Manager;
use super::group::State;
use super::Scheduler;

/// Managers that are named in one text.
const NAMED: usize = 5;

impl<P: Payload> Scheduler<P> {
    /// Whether somebody has been asked for workers that could run it, and they are on their way.
    pub(super) fn is_being_served(&self, class: &Class) -> bool {
        let mut managers = self.fleet.managers().map(|(_, manager)| manager);
        managers.any(|manager| {
            manager.starting_len() > 0 && manager.info.as_ref().is_some_and(|it| suits(it, class))
        })
    }

    /// What the managers do for a class; None: there are none.
    pub(super) fn prospects(&self, class: &Class) -> Option<String> {
        let known: Vec<(&Manager, &ManagerInfo)> = self
            .fleet
            .managers()
            .filter(|(_, manager)| !manager.lost)
            .filter_map(|(_, manager)| Some((manager, manager.info.as_ref()?)))
            .collect();
        if known.is_empty() {
            return None;
        }
        let (able, others): (Vec<_>, Vec<_>) =
            known.into_iter().partition(|(_, info)| suits(info, class));
        if able.is_empty() {
            let asked = others.iter().take(NAMED);
            let lacks: Vec<String> = asked.map(|(_, info)| what_lacks(info, class)).collect();
            return Some(lacks.join("; "));
        }
        let starting = self.starting(&able);
        let states = able.iter().take(NAMED);
        let states = states.filter_map(|(manager, info)| self.prospect(manager, info));
        let texts: Vec<String> = starting.into_iter().chain(states).collect();
        (!texts.is_empty()).then(|| texts.join("; "))
    }

    fn starting(&self, able: &[(&Manager, &ManagerInfo)]) -> Option<String> {
        let groups = able.iter().flat_map(|(manager, _)| manager.starting());
        let (mut workers, mut since) = (0, self.now);
        for index in groups {
            let group = self.fleet.group(index);
            debug_assert!(matches!(group.state, State::Starting { .. }));
            workers += u64::from(group.slots);
            since = since.min(group.since);
        }
        let seconds = (self.now - since) / 1_000_000;
        match workers {
            0 => None,
            1 => Some(format!("1 worker is starting, since {seconds} s")),
            _ => Some(format!("{workers} workers are starting, since {seconds} s")),
        }
    }

    /// Why a manager that could start workers for it starts no more of them; None: nothing keeps it from that.
    fn prospect(&self, manager: &Manager, info: &ManagerInfo) -> Option<String> {
        let id = &manager.id;
        if !manager.connected {
            let seconds = self.now.saturating_sub(manager.away_since) / 1_000_000;
            return Some(format!("worker manager {id} is away, since {seconds} s"));
        }
        if manager.leaving {
            return Some(format!("worker manager {id} ends, and starts nothing more"));
        }
        if !manager.heard {
            return Some(format!(
                "worker manager {id} has not told what it has started before"
            ));
        }
        if !manager.trouble.is_empty() {
            return Some(format!(
                "worker manager {id} cannot start workers: {}",
                manager.trouble
            ));
        }
        let breaker = &manager.breaker;
        if breaker.failures() > 0 {
            let wait = breaker.until().saturating_sub(self.now).div_ceil(1_000_000);
            let again = match wait {
                0 => "it is tried again now".to_owned(),
                wait => format!("it is tried again in {wait} s"),
            };
            return Some(format!(
                "the last {} starts of worker manager {id} failed ({}); {again}",
                breaker.failures(),
                breaker.reason()
            ));
        }
        if manager.counted() >= info.most_groups {
            let workers = u64::from(info.most_groups) * u64::from(info.slots);
            return Some(format!(
                "worker manager {id} is at its limit of {workers} workers"
            ));
        }
        if self.fleet.scaler.config().scaling == Scaling::No {
            return Some(format!(
                "a worker manager {id} is connected; start the scheduler with -pc \"allocate=even_load; scaling=vanilla\" \
                 or the manager with --mode fixed"
            ));
        }
        manager.unruled.then(|| {
            format!("no rule of the scaling policy names worker manager {id}, so it is asked for nothing")
        })
    }
}

fn suits(info: &ManagerInfo, class: &Class) -> bool {
    right_python(info, class) && offers(&info.capabilities, &class.capabilities)
}

fn right_python(info: &ManagerInfo, class: &Class) -> bool {
    let minors = [info.python_minor, class.python_minor];
    minors.contains(&0) || info.python_minor == class.python_minor
}

/// What a manager has not that is asked for, by name and amount.
fn what_lacks(info: &ManagerInfo, class: &Class) -> String {
    let lacking = class
        .capabilities
        .iter()
        .filter(|(name, amount)| !offers_one(&info.capabilities, name, *amount));
    let mut lacking: Vec<String> = lacking
        .map(|(name, amount)| match amount_of(&info.capabilities, name) {
            None => format!("lacks {}", one(name, *amount)),
            Some(offered) if offered < 0 => {
                format!(
                    "offers {name} without an amount, not {}",
                    one(name, *amount)
                )
            }
            Some(offered) => format!("offers {name}={offered}, not {}", one(name, *amount)),
        })
        .collect();
    if !right_python(info, class) {
        lacking.push(format!(
            "starts Python 3.{}, not 3.{}",
            info.python_minor, class.python_minor
        ));
    }
    format!("worker manager {} {}", info.id, lacking.join(", "))
}

fn one(name: &str, amount: i64) -> String {
    match amount {
        amount if amount < 0 => name.to_owned(),
        amount => format!("{name}={amount}"),
    }
}

/// As users write them: `linux,cpu=4`.
pub(super) fn written(capabilities: &Capabilities) -> String {
    let all: Vec<String> = capabilities
        .iter()
        .map(|(name, amount)| one(name, *amount))
        .collect();
    all.join(", ")
}
