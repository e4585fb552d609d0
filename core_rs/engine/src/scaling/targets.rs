//! Need against what is there: which managers are to grow, and which have more than anybody needs.

use super::plan::{Bounds, Plan};
use super::pour::{Pour, SLOT};
use super::Snapshot;

/// What is recommended of each supply at this moment, in groups; the cool-down comes after.
pub struct Targets<'a> {
    plan: &'a Plan,
    snapshot: &'a Snapshot<'a>,
    /// What a task of each demand takes.
    means: &'a [u64],
}

impl<'a> Targets<'a> {
    pub fn new(plan: &'a Plan, snapshot: &'a Snapshot<'a>, means: &'a [u64]) -> Self {
        Targets {
            plan,
            snapshot,
            means,
        }
    }

    /// Grown where what is there is too little, shrunk where it is more than a slot a task, else as it is.
    pub fn recommended(&self) -> Vec<u32> {
        let (grown, kept, needed) = (self.grown(), self.kept(), self.needed());
        let of = |(index, bounds): (usize, &Bounds)| {
            if grown[index] > bounds.there {
                grown[index]
            } else if kept[index] < bounds.there {
                needed[index]
            } else {
                bounds.there
            }
        };
        self.plan.bounds.iter().enumerate().map(of).collect()
    }

    /// What is there, and groups for what it has no room for.
    fn grown(&self) -> Vec<u32> {
        let mut groups: Vec<u32> = self.plan.bounds.iter().map(|it| it.there).collect();
        let limits: Vec<u32> = self.plan.bounds.iter().map(|it| it.limit).collect();
        self.fill(&mut groups, &limits, &self.plan.by_count);
        let mut work = self.plan.by_count.clone();
        for &supply in &self.plan.order {
            if groups[supply] >= limits[supply] {
                continue;
            }
            let startup = self.snapshot.supplies[supply].startup_us;
            let may = |demand: usize| self.plan.fits[demand].contains(&supply);
            if self.by_task(&groups, &mut work, |demand| (startup, may(demand))) {
                let mut only = groups.clone();
                only[supply] = limits[supply];
                self.fill(&mut groups, &only, &work);
            }
        }
        groups
    }

    /// Groups that a slot a task fills, what is busy before what is idle.
    fn kept(&self) -> Vec<u32> {
        let demands = self.snapshot.demands.iter();
        let work: Vec<u128> = demands.map(|it| u128::from(it.tasks) * SLOT).collect();
        let (mut groups, limits) = self.shrinking();
        self.fill(&mut groups, &limits, &work);
        groups
    }

    /// Groups that are there and would be started if they were not.
    fn needed(&self) -> Vec<u32> {
        let (mut groups, limits) = self.shrinking();
        self.fill(&mut groups, &limits, &self.plan.by_count);
        let mut work = self.plan.by_count.clone();
        // The shortest start-up: what goes must not be missed by a manager that starts sooner.
        let supplies = self.snapshot.supplies;
        let shortest = |demand: usize| {
            let bins = self.plan.fits[demand].iter();
            let own = bins
                .filter_map(|&bin| supplies.get(bin))
                .map(|it| it.startup_us);
            own.min()
                .or_else(|| supplies.iter().map(|it| it.startup_us).min())
        };
        let shortest = |demand| (shortest(demand).unwrap_or(u64::MAX), true);
        if self.by_task(&groups, &mut work, shortest) {
            self.fill(&mut groups, &limits, &work);
        }
        groups
    }

    /// From what stays in any case up to what is there.
    fn shrinking(&self) -> (Vec<u32>, Vec<u32>) {
        let bounds = self.plan.bounds.iter();
        bounds.map(|it| (it.floor, it.there)).unzip()
    }

    /// Adds groups, up to `limits`, for what does not fit.
    fn fill(&self, groups: &mut [u32], limits: &[u32], work: &[u128]) {
        let mut pour = self.pour(groups);
        for &demand in &self.plan.demands {
            let mut left = pour.place(demand, work[demand]);
            for &bin in &self.plan.fits[demand] {
                if left == 0 {
                    break;
                }
                if bin >= groups.len() || groups[bin] >= limits[bin] {
                    continue;
                }
                let group = u128::from(self.snapshot.supplies[bin].slots) * SLOT;
                let more = left
                    .div_ceil(group)
                    .min(u128::from(limits[bin] - groups[bin]));
                groups[bin] += more as u32;
                pour.enlarge(bin, more * group);
                left = pour.place(demand, left);
            }
        }
    }

    /// A slot a task, in `work`, for each demand whose queue holds more than a start-up's worth of work a slot. Whether
    /// there is one. startup: how long it takes, and whether a demand may have more slots.
    fn by_task(
        &self,
        groups: &[u32],
        work: &mut [u128],
        startup: impl Fn(usize) -> (u64, bool),
    ) -> bool {
        let mut pour = self.pour(groups);
        let mut any = false;
        for &demand in &self.plan.demands {
            let (startup, may) = startup(demand);
            let tasks = u128::from(self.snapshot.demands[demand].tasks);
            let time = tasks.saturating_mul(u128::from(self.means[demand]));
            let slots = time.saturating_mul(SLOT) / u128::from(startup.max(1));
            if pour.place(demand, slots) > 0 && may {
                work[demand] = tasks * SLOT;
                any = true;
            }
        }
        any
    }

    fn pour(&self, groups: &[u32]) -> Pour<'a> {
        let supplies = self.snapshot.supplies.iter().zip(groups);
        let supplies = supplies.map(|(it, &groups)| u128::from(it.slots) * u128::from(groups));
        let given = self.snapshot.given.iter().map(|it| u128::from(it.slots));
        let room = supplies.chain(given).map(|slots| slots * SLOT);
        Pour::new(&self.plan.fits, room.collect())
    }
}
