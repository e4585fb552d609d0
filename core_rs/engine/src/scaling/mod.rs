//! How many groups of workers each manager should have: one pure machine for all policies.
//!
//! Demand and supply come from one [`Snapshot`]; what the machine remembers between two is how long demand has been low
//! (the cool-down), and since when tasks run whose durations nobody has measured. Targets are slots, answers are groups.

use std::collections::BTreeMap;

use crate::wire::Capabilities;

use plan::Plan;
use targets::Targets;
use unmeasured::Unmeasured;
use window::Window;

mod plan;
mod pour;
mod targets;
#[cfg(test)]
mod tests;
mod unmeasured;
mod window;

/// A worker that nobody needs goes after so long, where nobody says otherwise.
pub const COOLDOWN_US: u64 = 30_000_000;

/// Which policy decides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Scaling {
    /// Nothing is asked of managers beyond the least that they have at all times.
    #[default]
    No,
    /// A slot for ten tasks, or one for each where they take long.
    Vanilla,
    /// Managers of a fixed size first, the others for what overflows them.
    FixedElastic,
    /// A slot for five tasks of each set of capabilities.
    Capability,
    /// As `Vanilla`, poured into managers by the rules' order.
    Waterfall(Vec<Rule>),
}

/// A line of `waterfall_v1`: the smaller the priority, the sooner it is filled and the later drained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    pub priority: i64,
    pub manager: String,
    /// Most slots, rounded up to whole groups; none: the manager's own limit.
    pub cap: Option<u32>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScalingConfig {
    pub scaling: Scaling,
    /// Of managers that do not say their own: so long nothing shrinks after a growth, and so long demand must have been
    /// low. 0: at once.
    pub cooldown_us: u64,
}

impl Default for ScalingConfig {
    fn default() -> Self {
        ScalingConfig {
            scaling: Scaling::No,
            cooldown_us: COOLDOWN_US,
        }
    }
}

/// Tasks that ask for the same.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Demand {
    /// Sorted by name.
    pub capabilities: Capabilities,
    /// 0: any.
    pub python_minor: u8,
    /// Ready ones, and those at capacity nodes: none that wait for others, none at offload nodes.
    pub tasks: u64,
    /// What one takes, as measured; 0: not known.
    pub mean_us: u64,
}

/// What a manager can start, and has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Supply {
    pub manager: String,
    pub most: u32,
    /// Wanted whatever the policy says.
    pub least: u32,
    /// Of a group.
    pub slots: u32,
    /// Sorted by name.
    pub capabilities: Capabilities,
    /// 0: not known, which may be right for any.
    pub python_minor: u8,
    /// From a command to start a group to its node: as measured, else the time after which it has failed.
    pub startup_us: u64,
    /// Starting and up; none that retires.
    pub groups: u32,
    /// Groups that have something at them.
    pub busy: u32,
    /// It is connected, told its status, and its starts have not all failed: groups can be started.
    pub ready: bool,
    /// Its own; none: the configuration's.
    pub cooldown_us: Option<u64>,
}

/// Slots of nodes that belong to none of the managers: they come and go by themselves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Given {
    pub capabilities: Capabilities,
    pub python_minor: u8,
    pub slots: u64,
}

#[derive(Clone, Copy, Debug)]
pub struct Snapshot<'a> {
    pub now: u64,
    pub demands: &'a [Demand],
    pub supplies: &'a [Supply],
    pub given: &'a [Given],
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Desired {
    /// Of each supply: at least its `least`, at most its `most`, else at least its `busy`.
    pub groups: Vec<u32>,
    /// Demands that nobody has slots for or can ever start some.
    pub unserved: Vec<usize>,
    /// Supplies that no rule of the waterfall names: they stay as they are.
    pub unruled: Vec<usize>,
}

/// The machine: a snapshot in, groups out.
#[derive(Clone, Debug, Default)]
pub struct Scaler {
    config: ScalingConfig,
    /// Of each manager of the last snapshot.
    windows: BTreeMap<String, Window>,
    unmeasured: Unmeasured,
    wakeup: Option<u64>,
}

impl Scaler {
    pub fn new(config: ScalingConfig) -> Self {
        Scaler {
            config,
            ..Scaler::default()
        }
    }

    pub fn config(&self) -> &ScalingConfig {
        &self.config
    }

    /// What each manager should have now.
    pub fn desired(&mut self, snapshot: &Snapshot<'_>) -> Desired {
        let plan = Plan::new(&self.config.scaling, snapshot);
        let means = self
            .unmeasured
            .means(snapshot.now, snapshot.demands, |demand| {
                plan.running(snapshot, demand)
            });
        let recommended = Targets::new(&plan, snapshot, &means).recommended();
        let cooled = self.cool_down(snapshot, &recommended);
        self.wakeup = self.next_change(snapshot, &plan);
        let demands = 0..snapshot.demands.len();
        let unserved = demands
            .filter(|&it| snapshot.demands[it].tasks > 0 && !plan.served(snapshot, it))
            .collect();
        let bounded = snapshot.supplies.iter().zip(cooled);
        Desired {
            groups: bounded
                .map(|(it, groups)| groups.max(it.busy).max(it.least).min(it.most))
                .collect(),
            unserved,
            unruled: plan.unruled,
        }
    }

    /// When `desired` says something else though nothing has changed.
    pub fn next_wakeup(&self) -> Option<u64> {
        self.wakeup
    }

    /// The most that was recommended within the cool-down, but never more than is there: a growth is by what is needed
    /// now.
    fn cool_down(&mut self, snapshot: &Snapshot<'_>, recommended: &[u32]) -> Vec<u32> {
        let mut windows = BTreeMap::new();
        let mut cooled = Vec::with_capacity(recommended.len());
        for (supply, &groups) in snapshot.supplies.iter().zip(recommended) {
            let window = self.windows.remove(&supply.manager);
            let mut window = window.unwrap_or_else(|| Window::new(supply.groups));
            let most = window.most(snapshot.now, groups, self.cooldown(supply));
            cooled.push(groups.max(most.min(supply.groups)));
            windows.insert(supply.manager.clone(), window);
        }
        self.windows = windows;
        cooled
    }

    fn cooldown(&self, supply: &Supply) -> u64 {
        supply.cooldown_us.unwrap_or(self.config.cooldown_us)
    }

    fn next_change(&self, snapshot: &Snapshot<'_>, plan: &Plan) -> Option<u64> {
        let supplies = snapshot.supplies.iter();
        let cooled =
            supplies.filter_map(|it| self.windows.get(&it.manager)?.changes_at(self.cooldown(it)));
        let demands = 0..snapshot.demands.len();
        let slow = demands.filter_map(|demand| {
            let since = self.unmeasured.since(&snapshot.demands[demand])?;
            let patience = plan.patience(snapshot, demand)?;
            Some(since.saturating_add(patience)).filter(|&at| at > snapshot.now)
        });
        cooled.chain(slow).min()
    }
}
