//! Tasks of which none has ended yet: that is no news of their duration, but as long as they have been running for they
//! take at least.

use std::collections::BTreeMap;

use crate::wire::Capabilities;

use super::Demand;

/// Since when tasks run of which nobody knows how long they take.
#[derive(Clone, Debug, Default)]
pub struct Unmeasured {
    since: BTreeMap<(Capabilities, u8), u64>,
}

impl Unmeasured {
    /// What a task of each demand takes, at least. runs: whether something may be running for it.
    pub fn means(
        &mut self,
        now: u64,
        demands: &[Demand],
        runs: impl Fn(usize) -> bool,
    ) -> Vec<u64> {
        let mut kept = BTreeMap::new();
        let mut means = Vec::with_capacity(demands.len());
        for (index, demand) in demands.iter().enumerate() {
            if demand.mean_us > 0 || demand.tasks == 0 {
                means.push(demand.mean_us);
                continue;
            }
            let key = (demand.capabilities.clone(), demand.python_minor);
            let before = self.since.get(&key).copied();
            let since = before.or_else(|| runs(index).then_some(now));
            means.push(since.map_or(0, |since| now.saturating_sub(since)));
            if let Some(since) = since {
                kept.insert(key, since);
            }
        }
        self.since = kept;
        means
    }

    /// Since when it runs, where nobody knows how long it takes.
    pub fn since(&self, demand: &Demand) -> Option<u64> {
        let key = (demand.capabilities.clone(), demand.python_minor);
        self.since.get(&key).copied()
    }
}
