//! What each policy makes of demand and supply.

use super::*;

mod cooling;
mod matching;
mod policies;
mod pouring;
mod properties;
mod several;

const SECOND: u64 = 1_000_000;

fn capabilities(names: &[(&str, i64)]) -> Capabilities {
    let mut all: Capabilities = names.iter().map(|&(name, it)| (name.into(), it)).collect();
    all.sort();
    all
}

fn tasks(tasks: u64) -> Demand {
    Demand {
        tasks,
        ..Demand::default()
    }
}

/// Tasks of so many seconds.
fn long(count: u64, seconds: u64) -> Demand {
    Demand {
        mean_us: seconds * SECOND,
        ..tasks(count)
    }
}

fn asking(count: u64, names: &[(&str, i64)]) -> Demand {
    Demand {
        capabilities: capabilities(names),
        ..tasks(count)
    }
}

/// A manager of groups of one slot, which start within 10 s.
fn supply(manager: &str, groups: u32, most: u32) -> Supply {
    Supply {
        manager: manager.into(),
        most,
        slots: 1,
        startup_us: 10 * SECOND,
        groups,
        ready: true,
        ..Supply::default()
    }
}

fn given(slots: u64) -> Given {
    Given {
        slots,
        ..Given::default()
    }
}

fn scaler(scaling: Scaling, cooldown: u64) -> Scaler {
    Scaler::new(ScalingConfig {
        scaling,
        cooldown_us: cooldown * SECOND,
    })
}

fn at<'a>(
    seconds: u64,
    demands: &'a [Demand],
    supplies: &'a [Supply],
    given: &'a [Given],
) -> Snapshot<'a> {
    Snapshot {
        now: 1_000 * SECOND + seconds * SECOND,
        demands,
        supplies,
        given,
    }
}

/// With no cool-down: what is wanted at this very moment.
fn wanted(scaling: &Scaling, demands: &[Demand], supplies: &[Supply]) -> Vec<u32> {
    let mut scaler = scaler(scaling.clone(), 0);
    scaler.desired(&at(0, demands, supplies, &[])).groups
}

fn rule(priority: i64, manager: &str, cap: Option<u32>) -> Rule {
    Rule {
        priority,
        manager: manager.into(),
        cap,
    }
}
