//! What the clients of a seed want: arrays of elements, what each element does when it runs, and what is cancelled when.

use scaler_engine::wire::{CallStyle, Form, Options, Sequence, WANTED};

use crate::profile::Profile;
use crate::queue::{Time, MILLISECOND, SECOND};
use crate::random::Random;

/// What an element does when it runs. Runs are counted over its whole life, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behaviour {
    /// Gives its value.
    Value,
    /// Its first runs raise, the others give its value.
    Raises { runs: u32 },
    /// Its first runs end the executor, the others give its value.
    Kills { runs: u32 },
    /// Runs until someone ends it; `stubborn`: not even for an interrupt.
    Stuck { stubborn: bool },
}

#[derive(Clone, Copy, Debug)]
pub struct Element {
    pub behaviour: Behaviour,
    pub duration: Time,
    /// Bytes of its argument and of its value.
    pub argument: usize,
    pub value: usize,
    /// It submits others and waits for them, which do so as well, and so on so many times; 0: it does not.
    pub nested: u8,
}

#[derive(Clone, Debug)]
pub struct BlockPlan {
    pub count: u32,
    pub form: Form,
}

#[derive(Clone, Debug)]
pub struct ArrayPlan {
    pub first: Sequence,
    pub function: u64,
    pub options: Options,
    pub blocks: Vec<BlockPlan>,
    /// An object that all elements share: its number and size.
    pub shared: Option<(u64, usize)>,
    /// No node will ever have what it asks for.
    pub hopeless: bool,
    /// (offset, sequence): elements whose values its elements take, by offset.
    pub needs: Vec<(u32, Sequence)>,
    /// First element of what it was submitted with.
    pub graph: Sequence,
    /// How many elements take its elements' values, as in a submission; empty where that is not announced.
    pub uses: Vec<u32>,
}

impl ArrayPlan {
    pub fn count(&self) -> u64 {
        self.blocks.iter().map(|block| u64::from(block.count)).sum()
    }
}

#[derive(Clone, Debug)]
pub enum Action {
    /// What leaves at once.
    Submit(Vec<ArrayPlan>),
    Cancel {
        first: Sequence,
        count: u64,
    },
    /// Also what runs.
    CancelAll {
        first: Sequence,
        count: u64,
    },
    Query {
        first: Sequence,
    },
    Clear,
}

/// One client's session, actions in order of time.
#[derive(Clone, Debug)]
pub struct SessionPlan {
    pub actions: Vec<(Time, Action)>,
    pub elements: Vec<Element>,
    pub arrays: Vec<ArrayPlan>,
}

struct Temper {
    odd_of_thousand: u64,
    kinds: Vec<Behaviour>,
    least: Time,
    most: Time,
    value: usize,
}

fn options(profile: &Profile, random: &mut Random) -> (Options, bool) {
    let mut options = Options {
        style: CallStyle::One,
        ..Options::default()
    };
    options.priority = *random.pick(&[0, 0, 0, 1, 5, -3]);
    options.depth = *random.pick(&[0, 0, 0, 0, 1]);
    options.retries = *random.pick(&[0, 0, 1, 3]);
    options.python_minor = *random.pick(&[0, 0, 11]);
    let hopeless = random.chance(30);
    if hopeless {
        options.capabilities = vec![("unobtainium".to_string(), -1)];
    } else if random.chance(400) {
        let node = (*random.pick(&profile.offers())).clone();
        for (name, amount) in node.capabilities {
            if random.chance(600) {
                let asked = if amount < 0 || random.chance(300) {
                    -1
                } else {
                    random.between(1, amount as u64) as i64
                };
                options.capabilities.push((name, asked));
            }
        }
    }
    (options, hopeless)
}

fn temper(profile: &Profile, count: u64, options: &mut Options, random: &mut Random) -> Temper {
    let long = count <= 4;
    let (least, most) = match random.below(if long { 4 } else { 3 }) {
        0 => (1, 30),
        1 => (100, 3 * MILLISECOND),
        2 => (
            5 * MILLISECOND,
            if count > 60 {
                10 * MILLISECOND
            } else {
                50 * MILLISECOND
            },
        ),
        _ => (300 * MILLISECOND, 2 * SECOND),
    };
    let mut kinds = Vec::new();
    if random.chance(300) {
        kinds.push(Behaviour::Raises {
            runs: *random.pick(&[1, 2, u32::MAX]),
        });
    }
    if random.chance(250) {
        kinds.push(Behaviour::Kills {
            runs: *random.pick(&[1, 1, 2, u32::MAX]),
        });
    }
    if random.chance(100) {
        kinds.push(Behaviour::Stuck {
            stubborn: random.chance(500),
        });
        options.timeout_us = random
            .between(60 * MILLISECOND, 400 * MILLISECOND)
            .max(2 * most);
    } else if random.chance(100) {
        options.timeout_us = random.between(5 * SECOND, 20 * SECOND);
    }
    let large = profile.inline_limit * 3;
    let value = if random.chance(150) { large } else { 20 };
    Temper {
        odd_of_thousand: *random.pick(&[10, 50, 300, 1000]),
        kinds,
        least,
        most,
        value,
    }
}

fn element(temper: &Temper, random: &mut Random) -> Element {
    let odd = !temper.kinds.is_empty() && random.chance(temper.odd_of_thousand);
    let behaviour = if odd {
        *random.pick(&temper.kinds)
    } else {
        Behaviour::Value
    };
    let plain = random.chance(700);
    Element {
        behaviour,
        duration: random.between(temper.least, temper.most),
        argument: 20,
        value: if plain { 20 } else { temper.value },
        nested: 0,
    }
}

fn blocks(count: u64, random: &mut Random) -> Vec<BlockPlan> {
    let most = *random.pick(&[1, 3, 16, 64, 300]);
    let mut blocks = Vec::new();
    let mut left = count as u32;
    while left > 0 {
        let count = (random.between(1, most) as u32).min(left);
        let form = if count == 1 {
            *random.pick(&[Form::Single, Form::Reference])
        } else {
            *random.pick(&[Form::List, Form::Table])
        };
        blocks.push(BlockPlan { count, form });
        left -= count;
    }
    blocks
}

fn array(
    profile: &Profile,
    first: Sequence,
    elements: &mut Vec<Element>,
    random: &mut Random,
) -> ArrayPlan {
    let count = match random.below(10) {
        0..=3 => random.between(1, 4),
        4..=7 => random.between(5, 40),
        8 => random.between(40, 120),
        _ => random.between(100, 250),
    };
    let (mut options, hopeless) = options(profile, random);
    let temper = temper(profile, count, &mut options, random);
    elements.extend((0..count).map(|_| element(&temper, random)));
    let mut blocks = blocks(count, random);
    if blocks.iter().any(|block| block.form == Form::Reference) && random.chance(600) {
        blocks
            .iter_mut()
            .filter(|block| block.form == Form::Reference)
            .for_each(|block| block.form = Form::Single);
    }
    let mut at = first as usize;
    for block in &blocks {
        if block.form == Form::Reference {
            elements[at].argument = profile.inline_limit * 2;
        }
        at += block.count as usize;
    }
    let shared = random.chance(120).then(|| {
        (
            random.below(2),
            profile.inline_limit * random.between(1, 4) as usize,
        )
    });
    ArrayPlan {
        first,
        function: random.below(3),
        options,
        blocks,
        shared,
        hopeless,
        needs: Vec::new(),
        graph: first,
        uses: Vec::new(),
    }
}

/// Arrays that are submitted together, later elements taking values of earlier ones.
fn graph(
    profile: &Profile,
    first: Sequence,
    elements: &mut Vec<Element>,
    random: &mut Random,
) -> Vec<ArrayPlan> {
    let mut arrays: Vec<ArrayPlan> = Vec::new();
    for _ in 0..random.between(2, 5) {
        let mut next = array(profile, elements.len() as u64, elements, random);
        let own = next.first - first;
        for offset in 0..next.count() {
            let chained = random.chance(100) && offset > 0;
            if chained {
                next.needs.push((offset as u32, next.first + offset - 1));
            }
            for _ in 0..if own > 0 { random.below(4) } else { 0 } {
                next.needs.push((offset as u32, first + random.below(own)));
            }
        }
        next.graph = first;
        arrays.push(next);
    }
    let mut uses = vec![0u32; elements.len() - first as usize];
    for (_, on) in arrays.iter().flat_map(|array| &array.needs) {
        uses[(on - first) as usize] += 1;
    }
    let mut wanted = || match random.chance(200) {
        true => WANTED,
        false => 0,
    };
    for array in &mut arrays {
        let own = (array.first - first) as usize;
        let uses = &uses[own..own + array.count() as usize];
        array.uses = uses
            .iter()
            .map(|&uses| match uses {
                0 => 0,
                uses => uses | wanted(),
            })
            .collect();
    }
    arrays
}

impl SessionPlan {
    pub fn draw(profile: &Profile, seed: u64, client: usize) -> SessionPlan {
        let mut random = Random::stream(seed, &format!("session {client}"));
        let random = &mut random;
        let span = profile.faults_until.max(SECOND);
        let mut plan = SessionPlan {
            actions: Vec::new(),
            elements: Vec::new(),
            arrays: Vec::new(),
        };
        let mut at = random.between(0, 50 * MILLISECOND);
        for _ in 0..random.between(1, 6) {
            let first = plan.elements.len() as u64;
            let arrays = if random.chance(300) {
                graph(profile, first, &mut plan.elements, random)
            } else {
                let mut array = array(profile, first, &mut plan.elements, random);
                if first > 0 && random.chance(300) {
                    // Futures as arguments: there are none of elements that are not wanted.
                    for offset in 0..array.count().min(random.between(1, 20)) {
                        let on = random.below(first);
                        if plan.is_wanted(on) {
                            array.needs.push((offset as u32, on));
                        }
                    }
                }
                vec![array]
            };
            plan.actions.push((at, Action::Submit(arrays.clone())));
            plan.arrays.extend(arrays);
            let count = plan.elements.len() as u64 - first;
            if random.chance(300) {
                let from = first + random.below(count);
                let most = first + count - from;
                let cancelled = if random.chance(500) {
                    1
                } else {
                    random.between(1, most)
                };
                plan.actions.push((
                    at + random.spread(10, 500 * MILLISECOND),
                    Action::Cancel {
                        first: from,
                        count: cancelled,
                    },
                ));
            }
            if random.chance(150) {
                plan.actions.push((
                    at + random.spread(10, 500 * MILLISECOND),
                    Action::Query { first },
                ));
            }
            at += random.spread(10, span / 2);
        }
        if random.chance(60) {
            plan.actions.push((random.below(at + 1), Action::Clear));
        }
        plan.actions.sort_by_key(|(at, _)| *at);
        plan.renumber();
        for array in &mut plan.arrays {
            array.hopeless |= !profile.can_serve(&array.options.capabilities);
        }
        plan.cancel_the_hopeless(span);
        if !profile.fleet.managers.is_empty() {
            plan.cancel_what_ran(span);
        }
        if profile.nesting {
            plan.nest(&mut Random::stream(seed, &format!("nesting {client}")));
        }
        plan
    }

    /// Some of the elements submit others and wait for them.
    fn nest(&mut self, random: &mut Random) {
        for _ in 0..random.between(1, 12) {
            let at = random.index(self.elements.len());
            let element = &mut self.elements[at];
            if element.behaviour == Behaviour::Value {
                element.nested = random.between(1, 3) as u8;
            }
        }
    }

    /// What a task of a depth submits at `now`, and waits for.
    pub fn within(
        profile: &Profile,
        now: Time,
        depth: u16,
        levels: u8,
        random: &mut Random,
    ) -> SessionPlan {
        let mut plan = SessionPlan {
            actions: Vec::new(),
            elements: Vec::new(),
            arrays: Vec::new(),
        };
        let mut at = now;
        for _ in 0..random.between(1, 2) {
            let first = plan.elements.len() as u64;
            let count = random.between(1, 5);
            let options = Options {
                style: CallStyle::One,
                depth: depth + 1,
                retries: *random.pick(&[0, 1]),
                ..Options::default()
            };
            for _ in 0..count {
                let behaviour = match random.below(20) {
                    0 => Behaviour::Raises { runs: 1 },
                    1 => Behaviour::Kills { runs: 1 },
                    _ => Behaviour::Value,
                };
                let value = match random.chance(100) {
                    true => profile.inline_limit * 3,
                    false => 20,
                };
                plan.elements.push(Element {
                    behaviour,
                    duration: random.spread(10, 30 * MILLISECOND),
                    argument: 20,
                    value,
                    nested: if random.chance(300) { levels - 1 } else { 0 },
                });
            }
            let mut blocks = blocks(count, random);
            for block in &mut blocks {
                if block.form == Form::Reference {
                    block.form = Form::Single;
                }
            }
            let array = ArrayPlan {
                first,
                function: random.below(3),
                options,
                blocks,
                shared: None,
                hopeless: false,
                needs: Vec::new(),
                graph: first,
                uses: Vec::new(),
            };
            plan.actions.push((at, Action::Submit(vec![array.clone()])));
            plan.arrays.push(array);
            at += random.below(10 * MILLISECOND);
        }
        plan
    }

    fn is_wanted(&self, sequence: Sequence) -> bool {
        let after = self.arrays.partition_point(|array| array.first <= sequence);
        let array = &self.arrays[after - 1];
        let uses = array.uses.get((sequence - array.first) as usize);
        uses.is_none_or(|&uses| uses == 0 || uses & WANTED != 0)
    }

    /// A cancel that came to lie before its submission would name what is not there.
    fn renumber(&mut self) {
        let mut known = 0;
        self.actions.retain(|(_, action)| match action {
            Action::Submit(arrays) => {
                known = arrays.last().map_or(0, |array| array.first + array.count());
                true
            }
            Action::Cancel { first, count } | Action::CancelAll { first, count } => {
                first + count <= known
            }
            Action::Query { first } => *first < known,
            Action::Clear => true,
        });
    }

    /// What ran when the hopeless was cancelled, and was spared, may have to run again where nobody can any more.
    fn cancel_what_ran(&mut self, span: Time) {
        let last = self.actions.last().map_or(0, |(at, _)| *at).max(span);
        for array in self.arrays.iter().filter(|array| array.hopeless) {
            let (first, count) = (array.first, array.count());
            let action = Action::CancelAll { first, count };
            self.actions.push((last + 30 * SECOND, action));
        }
    }

    fn cancel_the_hopeless(&mut self, span: Time) {
        let last = self.actions.last().map_or(0, |(at, _)| *at).max(span);
        for array in self.arrays.iter().filter(|array| array.hopeless) {
            self.actions.push((
                last + SECOND,
                Action::Cancel {
                    first: array.first,
                    count: array.count(),
                },
            ));
        }
    }
}
