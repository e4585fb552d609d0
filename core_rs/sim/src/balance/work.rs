//! What is to be spread.

use crate::queue::{Time, MILLISECOND, SECOND};
use crate::random::Random;

/// A node.
#[derive(Clone, Copy, Debug)]
pub struct Site {
    pub slots: u32,
    /// Since the submission; 0: it is there before.
    pub joins: Time,
    /// Its elements take so many times as long.
    pub slowness: u64,
}

/// How it is submitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    Submit,
    Map,
}

#[derive(Clone, Copy, Debug)]
pub struct Element {
    pub takes: Time,
    pub function: u8,
    pub priority: i32,
}

#[derive(Debug)]
pub struct Work {
    /// In the order of their submission.
    pub elements: Vec<Element>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Each takes so long.
    Uniform(Time),
    /// Pareto with shape 1.5 from 2 ms up, at most 1 s.
    Pareto,
    /// One of a hundred takes a hundred times as long as the others, which take 2 ms.
    OneOfHundred,
    /// Pareto, and the longest of all, a tenth of what a slot has to do, comes last.
    LongestLast,
    /// Three priorities, mixed at random; each takes 1 to 9 ms.
    Priorities,
    /// Takes 0.2 ms for most of the time, and 100 ms at the end.
    Liars,
    /// Takes 0.2 ms, and 100 ms the last time on each slot: what was sent ahead may be the work of one slot only.
    Surprise,
    /// Half a millisecond or fifty, by turns of a thousand.
    Moods,
}

#[derive(Clone, Copy, Debug)]
pub struct Case {
    pub name: &'static str,
    pub shape: Shape,
    pub how: How,
    /// What of the last of these nodes is different.
    pub late: bool,
    pub slow: bool,
    /// Work for so long, for each slot.
    pub lasts: Time,
}

const fn case(name: &'static str, shape: Shape, how: How) -> Case {
    Case {
        name,
        shape,
        how,
        late: false,
        slow: false,
        lasts: 2 * SECOND,
    }
}

const fn late(name: &'static str, shape: Shape, how: How) -> Case {
    let case = case(name, shape, how);
    Case { late: true, ..case }
}

const fn slow(name: &'static str, shape: Shape, how: How) -> Case {
    let case = case(name, shape, how);
    Case { slow: true, ..case }
}

use How::{Map, Submit};

/// All of them.
pub const CASES: [Case; 22] = [
    case("1 ms, submit", Shape::Uniform(MILLISECOND), Submit),
    case("1 ms, map", Shape::Uniform(MILLISECOND), Map),
    case("10 ms, submit", Shape::Uniform(10 * MILLISECOND), Submit),
    case("10 ms, map", Shape::Uniform(10 * MILLISECOND), Map),
    case("Pareto, submit", Shape::Pareto, Submit),
    case("Pareto, map", Shape::Pareto, Map),
    case("1 % x 100, submit", Shape::OneOfHundred, Submit),
    case("1 % x 100, map", Shape::OneOfHundred, Map),
    case("longest last, submit", Shape::LongestLast, Submit),
    case("longest last, map", Shape::LongestLast, Map),
    case("priorities, submit", Shape::Priorities, Submit),
    case("priorities, map", Shape::Priorities, Map),
    late("late node, submit", Shape::Uniform(5 * MILLISECOND), Submit),
    late("late node, map", Shape::Uniform(5 * MILLISECOND), Map),
    slow("slow node, submit", Shape::Uniform(5 * MILLISECOND), Submit),
    slow("slow node, map", Shape::Uniform(5 * MILLISECOND), Map),
    case("liars, submit", Shape::Liars, Submit),
    case("liars, map", Shape::Liars, Map),
    case("surprise, submit", Shape::Surprise, Submit),
    case("surprise, map", Shape::Surprise, Map),
    case("moods, submit", Shape::Moods, Submit),
    case("moods, map", Shape::Moods, Map),
];

impl Case {
    /// `nodes` of `slots` each, of which one may be late or slow.
    pub fn sites(&self, nodes: usize, slots: u32) -> Vec<Site> {
        let mut sites = vec![
            Site {
                slots,
                joins: 0,
                slowness: 1,
            };
            nodes
        ];
        if let Some(last) = sites.last_mut() {
            if self.late {
                last.joins = self.lasts / 2;
            }
            if self.slow {
                last.slowness = 2;
            }
        }
        sites
    }

    pub fn work(&self, sites: &[Site]) -> Work {
        let slots: u64 = sites.iter().map(|site| u64::from(site.slots)).sum();
        let mut random = Random::stream(1, "balance");
        let total = slots * self.lasts;
        let mut elements = Vec::new();
        let mut so_far = 0;
        while so_far < total {
            let takes = self.takes(elements.len() as u64, so_far, total, &mut random);
            so_far += takes;
            elements.push(Element {
                takes,
                function: 1,
                priority: 0,
            });
        }
        match self.shape {
            Shape::LongestLast => {
                let longest = elements.iter().map(|it| it.takes).max().unwrap_or(0);
                elements.push(Element {
                    takes: longest.max(self.lasts / 10),
                    ..elements[0]
                });
            }
            Shape::Priorities => {
                // Each map is one array of one priority.
                let run = if self.how == Map { 500 } else { 1 };
                let mut priority = 0;
                for (index, element) in elements.iter_mut().enumerate() {
                    if index % run == 0 {
                        priority = random.below(3) as i32;
                    }
                    element.priority = priority;
                }
            }
            _ => {}
        }
        Work { elements }
    }

    fn takes(&self, index: u64, so_far: Time, total: Time, random: &mut Random) -> Time {
        match self.shape {
            Shape::Uniform(takes) => takes,
            Shape::Pareto | Shape::LongestLast => {
                let uniform = (random.number() >> 11) as f64 / (1u64 << 53) as f64;
                let takes = 2_000.0 * (1.0 - uniform).powf(-1.0 / 1.5);
                let most = match self.shape {
                    Shape::LongestLast => self.lasts / 10,
                    _ => SECOND,
                };
                (takes as Time).min(most)
            }
            Shape::OneOfHundred if random.below(100) == 0 => 200 * MILLISECOND,
            Shape::OneOfHundred => 2 * MILLISECOND,
            Shape::Priorities => random.between(MILLISECOND, 9 * MILLISECOND),
            Shape::Liars if so_far * 2 > total => 100 * MILLISECOND,
            Shape::Liars => MILLISECOND / 5,
            Shape::Surprise if total - so_far <= total / self.lasts * 100 * MILLISECOND => {
                100 * MILLISECOND
            }
            Shape::Surprise => MILLISECOND / 5,
            Shape::Moods if index / 1_000 % 2 == 1 => 50 * MILLISECOND,
            Shape::Moods => MILLISECOND / 2,
        }
    }
}
