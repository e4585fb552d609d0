//! How well work is spread: scheduler and nodes that ship, in a world without faults or chance, whose executors take
//! exactly as long as their elements do. Time is virtual, so how long all of it took may be asserted.
//!
//! Two figures tell what is lost. The *bound* is what nobody can beat, `max(total / slots, longest)`. The *list* is what
//! slots need that take the next element, by priority and then in the order of submission, at the very moment at which
//! they are free: nobody can do better who does not know how long elements take, but by luck.

mod cluster;
mod executor;
mod work;

pub use cluster::run;
pub use work::{Case, Element, Site, Work, CASES};

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use crate::queue::Time;

/// What one element did.
#[derive(Clone, Copy, Debug, Default)]
pub struct Run {
    pub node: usize,
    pub slot: u32,
    /// Since the submission.
    pub began: Time,
    pub ended: Time,
}

/// What came of a case.
#[derive(Debug)]
pub struct Outcome {
    /// From the submission to the last result that the client has.
    pub makespan: Time,
    pub bound: Time,
    pub list: Time,
    /// Of pairs of elements of different priority, those of which the lesser one began first, of a thousand.
    pub inversions: u64,
    /// Of each element.
    pub runs: Vec<Run>,
    /// Frames that agents read from executors, and turns of agents' loops.
    pub frames: u64,
    pub turns: u64,
}

/// Where slots had nothing to do, each in thousandths of all that they had.
#[derive(Clone, Copy, Debug)]
pub struct Idle {
    /// Before their first element, between two, after the last.
    pub start: f64,
    pub between: f64,
    pub end: f64,
}

impl Outcome {
    /// Of slots that did anything.
    pub fn idle(&self) -> Idle {
        let mut by_slot: BTreeMap<(usize, u32), Vec<Run>> = BTreeMap::new();
        for run in &self.runs {
            by_slot.entry((run.node, run.slot)).or_default().push(*run);
        }
        let (mut start, mut between, mut end) = (0, 0, 0);
        for runs in by_slot.values_mut() {
            runs.sort_unstable_by_key(|run| run.began);
            let last = runs.last().map_or(0, |run| run.ended);
            start += runs.first().map_or(0, |run| run.began);
            end += self.makespan - last.min(self.makespan);
            let gap = |pair: &[Run]| pair[1].began - pair[0].ended;
            between += runs.windows(2).map(gap).sum::<Time>();
        }
        let all = self.makespan as f64 * by_slot.len() as f64;
        let of = |idle: Time| idle as f64 * 1e3 / all;
        Idle {
            start: of(start),
            between: of(between),
            end: of(end),
        }
    }
}

/// Of pairs of elements of different priority, those of which the lesser one began first, of a thousand.
fn inversions(runs: &[Run], work: &Work) -> u64 {
    let mut began: Vec<(Time, i32)> = runs
        .iter()
        .zip(&work.elements)
        .map(|(run, element)| (run.began, element.priority))
        .collect();
    began.sort_unstable();
    let mut levels: Vec<i32> = began.iter().map(|&(_, priority)| priority).collect();
    levels.sort_unstable();
    levels.dedup();
    let mut so_far = vec![0u64; levels.len()];
    let (mut pairs, mut wrong) = (0, 0);
    for (_, priority) in began {
        let level = levels.partition_point(|&other| other < priority);
        wrong += so_far[..level].iter().sum::<u64>();
        pairs += so_far.iter().sum::<u64>() - so_far[level];
        so_far[level] += 1;
    }
    wrong * 1_000 / pairs.max(1)
}

/// `max(total / slots, longest)`, where slots come late or are slow as they are.
fn bound(sites: &[Site], work: &Work) -> Time {
    let total: u128 = work.elements.iter().map(|it| u128::from(it.takes)).sum();
    let longest = work.elements.iter().map(|it| it.takes).max().unwrap_or(0);
    let mut joins: Vec<(Time, u128)> = sites
        .iter()
        .map(|site| {
            (
                site.joins,
                u128::from(site.slots) * 1_000 / u128::from(site.slowness),
            )
        })
        .collect();
    joins.sort_unstable();
    // In thousandths of what one slot does in a microsecond.
    let (mut left, mut rate, mut now) = (total * 1_000, 0, 0);
    for (at, more) in joins {
        let done = rate * u128::from(at - now);
        if done >= left {
            break;
        }
        (left, rate, now) = (left - done, rate + more, at);
    }
    longest.max(now + left.div_ceil(rate.max(1)) as Time)
}

/// How long slots take that are never idle while something waits, and that nothing costs anything.
fn list(sites: &[Site], work: &Work) -> Time {
    let mut order: Vec<&Element> = work.elements.iter().collect();
    order.sort_by_key(|element| Reverse(element.priority));
    let mut free = BinaryHeap::new();
    for site in sites {
        free.extend((0..site.slots).map(|_| Reverse((site.joins, site.slowness))));
    }
    let mut last = 0;
    for element in order {
        let Some(Reverse((at, slowness))) = free.pop() else {
            break;
        };
        let end = at + element.takes * slowness;
        last = last.max(end);
        free.push(Reverse((end, slowness)));
    }
    last
}
