//! A policy's day.

use crate::cluster::{Account, Cluster};
use crate::load::{day, DAY};
use crate::policies::{Policy, HEARTBEAT};

pub struct Day {
    pub name: &'static str,
    pub title: &'static str,
    pub account: Account,
    /// Seconds from each burst to the end of its last task, ascending.
    pub drained: Vec<u64>,
    /// Bursts with tasks that were not done at the end of the day.
    pub open: usize,
    /// Of each second: tasks, and slots that are paid for.
    pub seconds: Vec<(u64, u64)>,
}

pub fn run(mut policy: Policy) -> Day {
    let bursts = day();
    let mut cluster = Cluster::new(&policy.managers, &bursts);
    let mut next = 0;
    let mut seconds = Vec::with_capacity(DAY as usize);
    for now in 0..DAY {
        while let Some(burst) = bursts.get(next).filter(|burst| burst.at == now) {
            cluster.submit(next, burst.tasks, burst.seconds);
            next += 1;
        }
        if now % HEARTBEAT == 0 {
            let wanted = policy.wanted(now, cluster.demand(), &cluster.supplies());
            cluster.set(&wanted, policy.victim);
        }
        seconds.push((cluster.tasks(), cluster.slots()));
        cluster.step();
    }
    let ends = bursts.iter().zip(&cluster.done);
    let mut drained: Vec<u64> = ends
        .filter_map(|(burst, end)| Some((*end)? - burst.at))
        .collect();
    drained.sort_unstable();
    Day {
        name: policy.name,
        title: policy.title,
        open: bursts.len() - drained.len(),
        account: cluster.account,
        drained,
        seconds,
    }
}
