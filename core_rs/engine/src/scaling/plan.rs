//! What a policy makes of a snapshot: which managers come first, what stays whatever happens, and how far each may grow.

use std::cmp::Reverse;

use crate::capabilities::offers;

use super::pour::SLOT;
use super::{Demand, Rule, Scaling, Snapshot, Supply};

/// Tasks that one slot is for, where durations do not say otherwise.
const DENSITY: u128 = 10;
/// The same of the `capability` policy.
const CAPABILITY_DENSITY: u128 = 5;

/// What holds for one manager, in groups.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bounds {
    /// Counted as there: starting and up, and the least that starts in any case.
    pub there: u32,
    /// Stays in any case.
    pub floor: u32,
    /// It may grow so far now.
    pub limit: u32,
    /// It could grow so far if nothing were wrong with it.
    pub could: u32,
    /// Whether the policy lets it be.
    pub left_alone: bool,
}

#[derive(Clone, Debug)]
pub struct Plan {
    /// Of each supply.
    pub bounds: Vec<Bounds>,
    /// Supplies, in the order in which they are filled.
    pub order: Vec<usize>,
    /// For each demand: bins that fit, best first. Supplies come first in the numbering of bins, then what is given.
    pub fits: Vec<Vec<usize>>,
    /// Demands: the choosiest first.
    pub demands: Vec<usize>,
    /// What each demand asks for by its count, in parts of a slot.
    pub by_count: Vec<u128>,
    pub unruled: Vec<usize>,
}

impl Plan {
    pub fn new(scaling: &Scaling, snapshot: &Snapshot<'_>) -> Self {
        let rules = rules_of(scaling, snapshot.supplies);
        let capable = capable(snapshot);
        let bounds = bounds(scaling, snapshot, &rules, &capable);
        let order = order(scaling, snapshot.supplies, &rules);
        let supplies = snapshot.supplies.len();
        let fits = capable
            .iter()
            .map(|capable| fits(supplies, &order, &bounds, capable));
        let fits: Vec<Vec<usize>> = fits.collect();
        let mut demands: Vec<usize> = (0..fits.len()).collect();
        let asked = |index: usize| snapshot.demands[index].capabilities.len();
        demands.sort_by_key(|&index| (fits[index].len(), Reverse(asked(index)), index));
        let count = |demand: &Demand| by_count(scaling, demand.tasks);
        let unruled = match scaling {
            Scaling::Waterfall(_) => (0..rules.len()).filter(|&it| rules[it].is_none()).collect(),
            _ => Vec::new(),
        };
        Plan {
            bounds,
            order,
            fits,
            demands,
            by_count: snapshot.demands.iter().map(count).collect(),
            unruled,
        }
    }

    /// Whether somebody has slots for a demand, or could have some.
    pub fn served(&self, snapshot: &Snapshot<'_>, demand: usize) -> bool {
        let supplies = snapshot.supplies.len();
        self.fits[demand].iter().any(|&bin| match bin {
            bin if bin >= supplies => snapshot.given[bin - supplies].slots > 0,
            bin => self.bounds[bin].could.max(self.bounds[bin].there) > 0,
        })
    }
}

impl Plan {
    /// Whether something may be running for a demand: a group that fits is busy, or a node of nobody's may be.
    pub fn running(&self, snapshot: &Snapshot<'_>, demand: usize) -> bool {
        let supplies = snapshot.supplies.len();
        self.fits[demand].iter().any(|&bin| match bin {
            bin if bin >= supplies => snapshot.given[bin - supplies].slots > 0,
            bin => snapshot.supplies[bin].busy > 0,
        })
    }

    /// How long tasks must take so that a demand's queue holds more than a start-up's worth of work a slot; `None` where
    /// nobody could start more for them.
    pub fn patience(&self, snapshot: &Snapshot<'_>, demand: usize) -> Option<u64> {
        let supplies = snapshot.supplies.len();
        let fits = self.fits[demand].iter().copied();
        let slots = fits.clone().map(|bin| match bin {
            bin if bin >= supplies => snapshot.given[bin - supplies].slots,
            bin => u64::from(snapshot.supplies[bin].slots) * u64::from(self.bounds[bin].there),
        });
        let slots = slots.fold(0, u64::saturating_add);
        let tasks = snapshot.demands[demand].tasks;
        let growing =
            fits.filter(|&bin| bin < supplies && self.bounds[bin].limit > self.bounds[bin].there);
        let startup = growing.map(|bin| snapshot.supplies[bin].startup_us).min()?;
        let patience = u128::from(startup) * u128::from(slots) / u128::from(tasks.max(1)) + 1;
        (tasks > slots).then(|| patience.min(u128::from(u64::MAX)) as u64)
    }
}

fn by_count(scaling: &Scaling, tasks: u64) -> u128 {
    let tasks = u128::from(tasks);
    match scaling {
        // Whole slots a set: sets do not share them.
        Scaling::Capability => tasks.div_ceil(CAPABILITY_DENSITY) * SLOT,
        _ => tasks * SLOT / DENSITY,
    }
}

/// The rule of each supply: its place among the rules in their order, and its cap.
fn rules_of(scaling: &Scaling, supplies: &[Supply]) -> Vec<Option<(usize, Option<u32>)>> {
    let Scaling::Waterfall(rules) = scaling else {
        return vec![None; supplies.len()];
    };
    let mut rules: Vec<&Rule> = rules.iter().collect();
    rules.sort_by_key(|rule| rule.priority);
    let of = |supply: &Supply| {
        let place = rules.iter().position(|it| it.manager == supply.manager)?;
        Some((place, rules[place].cap))
    };
    supplies.iter().map(of).collect()
}

/// For each demand, whether each supply and then each of what is given is right for it.
fn capable(snapshot: &Snapshot<'_>) -> Vec<Vec<bool>> {
    let right = |asked: u8, offered: u8| asked == 0 || asked == offered;
    let of = |demand: &Demand| {
        let minor = demand.python_minor;
        let supplies = snapshot.supplies.iter().map(|it| {
            it.slots > 0
                && (it.python_minor == 0 || right(minor, it.python_minor))
                && offers(&it.capabilities, &demand.capabilities)
        });
        let given = snapshot.given.iter().map(|it| {
            right(minor, it.python_minor) && offers(&it.capabilities, &demand.capabilities)
        });
        supplies.chain(given).collect()
    };
    snapshot.demands.iter().map(of).collect()
}

/// As many as ever: it was started once and is not stopped.
fn is_fixed(scaling: &Scaling, supply: &Supply) -> bool {
    *scaling == Scaling::FixedElastic && (supply.least >= supply.most || supply.most == 1)
}

fn bounds(
    scaling: &Scaling,
    snapshot: &Snapshot<'_>,
    rules: &[Option<(usize, Option<u32>)>],
    capable: &[Vec<bool>],
) -> Vec<Bounds> {
    let wanted = |index: usize| {
        let mut demands = snapshot.demands.iter().zip(capable);
        demands.any(|(demand, capable)| demand.tasks > 0 && capable[index])
    };
    let of = |(index, supply): (usize, &Supply)| {
        let cap = rules[index].and_then(|(_, cap)| cap).unwrap_or(u32::MAX);
        let most = match cap {
            u32::MAX => supply.most,
            cap => supply.most.min(cap.div_ceil(supply.slots.max(1))),
        };
        let least = if supply.ready { supply.least } else { 0 };
        let there = supply.groups.max(least).min(supply.most);
        let alone = match scaling {
            Scaling::No => true,
            Scaling::Waterfall(_) => rules[index].is_none(),
            _ => false,
        };
        let fixed = is_fixed(scaling, supply);
        let there = match supply.ready && (there > 0 || wanted(index)) {
            true if fixed => most,
            _ => there,
        };
        let stays = if alone || fixed {
            there
        } else {
            supply.busy.max(least)
        };
        let grows = supply.ready && !alone;
        Bounds {
            there,
            floor: stays.min(there),
            limit: if grows { most.max(there) } else { there },
            could: if *scaling != Scaling::No && alone {
                there
            } else {
                most
            },
            left_alone: alone,
        }
    };
    snapshot.supplies.iter().enumerate().map(of).collect()
}

/// Rules say it; else managers of a fixed size come first, special workers last, for they are for those that ask for
/// them, and of equals what starts sooner. Names decide the rest.
fn order(
    scaling: &Scaling,
    supplies: &[Supply],
    rules: &[Option<(usize, Option<u32>)>],
) -> Vec<usize> {
    let mut order: Vec<usize> = (0..supplies.len()).collect();
    order.sort_by_key(|&index| {
        let supply = &supplies[index];
        let special = match rules[index] {
            Some(_) => 0,
            None => supply.capabilities.len(),
        };
        let place = rules[index].map_or(usize::MAX, |(place, _)| place);
        let elastic = !is_fixed(scaling, supply);
        let name = supply.manager.as_str();
        (place, elastic, special, supply.startup_us, name)
    });
    order
}

/// What is there anyhow comes first.
fn fits(supplies: usize, order: &[usize], bounds: &[Bounds], capable: &[bool]) -> Vec<usize> {
    let given = supplies..capable.len();
    let alone = order.iter().filter(|&&it| bounds[it].left_alone);
    let own = order.iter().filter(|&&it| !bounds[it].left_alone);
    let bins = given.chain(alone.chain(own).copied());
    bins.filter(|&bin| capable[bin]).collect()
}
