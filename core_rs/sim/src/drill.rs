//! A node alone, under a scheduler that is a few lines of chance: assigns, takes back and cancels at random and checks
//! that every element leaves the node once, by an outcome, a loss or a return, and that nothing runs after that.

use std::collections::{BTreeMap, BTreeSet};

use scaler_engine::wire::{
    Assign, Form, Message, NodeBlock, OutcomeKind, Payload, Range, Sequence, SessionId,
};

use crate::agent::Agent;
use crate::context::{Context, Event};
use crate::data::{self, Data};
use crate::network::Part;
use crate::profile::Profile;
use crate::queue::{Time, MILLISECOND, SECOND};
use crate::random::Random;
use crate::runner::Failure;
use crate::story::Story;
use crate::workload::{ArrayPlan, Behaviour, SessionPlan};

const SESSION: SessionId = 7;
const PART: Part = Part::Node(0);

struct Drill {
    context: Context,
    agent: Agent,
    plan: SessionPlan,
    random: Random,
    /// Elements that wait at the scheduler.
    pending: BTreeSet<Sequence>,
    /// Elements that are at the node.
    here: BTreeSet<Sequence>,
    cancelled: BTreeSet<Sequence>,
    /// Blocks that the node has, by first element.
    blocks: BTreeSet<Sequence>,
    told: BTreeSet<u64>,
    losses: BTreeMap<Sequence, u32>,
    raised: BTreeMap<Sequence, u16>,
    reclaims: u32,
    turn_at: Time,
    orders_until: Time,
}

/// Runs a seed's drill; its story where `told`.
pub fn run(seed: u64, told: bool) -> (Result<(), Failure>, Story) {
    let mut drill = Drill::new(seed, told);
    drill.advance();
    let result = match &drill.context.oracle.violation {
        None => Ok(()),
        Some(violation) => Err(Failure {
            seed,
            text: format!("{:?}: {}", violation.element, violation.text),
        }),
    };
    (result, drill.context.story)
}

impl Drill {
    fn new(seed: u64, told: bool) -> Drill {
        let mut profile = Profile::draw(seed);
        profile.combined = false;
        let mut context = Context::new(profile.clone(), seed, None, told);
        let mut plan = SessionPlan::draw(&profile, seed, 0);
        for array in &mut plan.arrays {
            simplify(array, &mut plan.elements);
            array.options.capabilities.clear();
        }
        context.oracle.add_session(SESSION, 0, &plan);
        let mut pending = BTreeSet::new();
        for array in &plan.arrays {
            context.oracle.submitted(SESSION, array);
            pending.extend(array.first..array.first + array.count());
        }
        let agent = Agent::new(&mut context, 0, PART);
        let mut random = Random::stream(seed, "drill");
        let orders_until = random.spread(100 * MILLISECOND, 4 * SECOND);
        let (here, cancelled, blocks, told) = Default::default();
        Drill {
            context,
            agent,
            plan,
            random,
            pending,
            here,
            cancelled,
            blocks,
            told,
            losses: BTreeMap::new(),
            raised: BTreeMap::new(),
            reclaims: 0,
            turn_at: 0,
            orders_until,
        }
    }

    fn advance(&mut self) {
        self.agent.node.connected(0, true);
        self.agent.node.reset(0, Vec::new());
        self.context.queue.at(0, Event::Inspect);
        self.turn();
        while self.context.oracle.violation.is_none() {
            let Some(event) = self.context.queue.pop() else {
                return;
            };
            match event {
                Event::Turn(_) if self.turn_at == self.context.now() => self.turn(),
                Event::Executor { executor, .. }
                    if self.agent.executor_due(&mut self.context, executor) =>
                {
                    self.turn()
                }
                Event::Inspect => {
                    if self.is_over() {
                        return self.check_empty();
                    }
                    self.give_orders();
                }
                _ => {}
            }
            if self.context.now() > 2_000 * SECOND {
                let element = self.here.first().map(|sequence| (SESSION, *sequence));
                let text = format!("{} elements never leave the node", self.here.len());
                self.context.oracle.violation = Some(crate::oracle::Violation {
                    at: self.context.now(),
                    element,
                    text,
                });
            }
        }
    }

    fn is_over(&self) -> bool {
        self.pending.is_empty() && self.here.is_empty() && self.reclaims == 0
    }

    fn check_empty(&mut self) {
        let elements = self.agent.node.elements();
        if elements > 0 {
            self.context.broken(format!(
                "{elements} elements are left in a node that should have none"
            ));
        }
    }

    fn turn(&mut self) {
        self.agent.take_in(&mut self.context);
        let mut said = Vec::new();
        self.agent.carry_out(&mut self.context, &mut said);
        for message in said {
            let now = self.context.now();
            self.context.story.message(now, PART, "says", 0, &message);
            self.context.oracle.node_says(now, 0, &message);
            self.take(message);
        }
        self.agent.node.sanity_check();
        if let Some(at) = self.agent.node.next_wakeup() {
            self.turn_at = at.max(self.context.now() + 1);
            self.context.queue.at(self.turn_at, Event::Turn(PART));
        }
    }

    /// The node lets go of an element.
    fn leaves(&mut self, sequence: Sequence, how: &str) {
        if !self.here.remove(&sequence) {
            let now = self.context.now();
            let text = format!("it leaves the node ({how}) and was not there");
            self.context.oracle.violation = Some(crate::oracle::Violation {
                at: now,
                element: Some((SESSION, sequence)),
                text,
            });
        }
    }

    fn take(&mut self, message: Message<Data>) {
        match message {
            Message::Done { segment, .. } => {
                for offset in (0..segment.count).filter(|offset| !segment.except.contains(offset)) {
                    let sequence = segment.first + u64::from(offset);
                    self.leaves(sequence, "done");
                    let retry =
                        segment.kind == OutcomeKind::Exception && self.retries_left(sequence);
                    if retry && !self.cancelled.contains(&sequence) {
                        self.pending.insert(sequence);
                    } else {
                        let one = if retry { None } else { Some(segment.clone()) };
                        self.deliver(sequence, offset, one);
                    }
                }
            }
            Message::Lost { sequence, .. } => {
                self.leaves(sequence, "lost");
                let losses = self.losses.entry(sequence).or_default();
                *losses += 1;
                if *losses < 4 && !self.cancelled.contains(&sequence) {
                    self.pending.insert(sequence);
                }
            }
            Message::GaveBack { ranges } => {
                let answers = self.reclaims > 0;
                self.reclaims = self.reclaims.saturating_sub(u32::from(answers));
                for sequence in ranges
                    .iter()
                    .flat_map(|range| range.first..range.first + range.count)
                {
                    self.leaves(sequence, "given back");
                    if self.cancelled.contains(&sequence) {
                        self.context.broken(format!(
                            "element {sequence} was cancelled, and is given back"
                        ));
                    }
                    self.pending.insert(sequence);
                }
            }
            _ => {}
        }
    }

    fn retries_left(&mut self, sequence: Sequence) -> bool {
        let retries = self.array_of(sequence).options.retries;
        let raised = self.raised.entry(sequence).or_default();
        *raised += 1;
        *raised <= retries
    }

    fn deliver(
        &mut self,
        sequence: Sequence,
        offset: u32,
        segment: Option<scaler_engine::wire::Segment<Data>>,
    ) {
        let Some(mut segment) = segment else { return };
        segment.except = (0..segment.count)
            .filter(|other| *other != offset)
            .collect();
        let now = self.context.now();
        if segment.kind != OutcomeKind::Exception || !self.cancelled.contains(&sequence) {
            self.context.oracle.delivered(now, SESSION, &segment);
        }
    }

    fn array_of(&self, sequence: Sequence) -> &ArrayPlan {
        let at = self
            .plan
            .arrays
            .partition_point(|array| array.first <= sequence)
            - 1;
        &self.plan.arrays[at]
    }

    // Orders.

    fn give_orders(&mut self) {
        let now = self.context.now();
        let calm = now > self.orders_until;
        match self.random.below(10) {
            0 if !calm => self.cancel(),
            1 if !calm => self.reclaim(),
            2 if !calm => self.kill_executor(),
            _ => {}
        }
        self.assign();
        self.turn();
        let gap = self.random.spread(10, 40 * MILLISECOND);
        self.context.queue.at(now + gap, Event::Inspect);
    }

    fn order(&mut self, message: Message<Data>) {
        let now = self.context.now();
        self.context
            .story
            .message(now, PART, "is told", SESSION, &message);
        self.context.oracle.ordered(0, &message);
        self.agent.node.handle(now, message);
    }

    fn kill_executor(&mut self) {
        let living = self.agent.living();
        if !living.is_empty() {
            let slot = *self.random.pick(&living);
            let context = &mut self.context;
            self.agent
                .with_executor(slot, |executor| executor.die(context, -9, false));
        }
    }

    fn reclaim(&mut self) {
        self.reclaims += 1;
        let count = self.random.between(1, 40) as u32;
        self.order(Message::Reclaim { count });
    }

    fn cancel(&mut self) {
        let Some(&first) = self.here.first() else {
            return;
        };
        let first = first + self.random.below(20);
        if !self.here.contains(&first) {
            return;
        }
        let run = (first..)
            .take_while(|sequence| self.here.contains(sequence))
            .count() as u64;
        let count = if self.random.chance(500) {
            1
        } else {
            self.random.between(1, run)
        };
        self.context.oracle.cancel_asked(SESSION, first, count);
        self.cancelled.extend(first..first + count);
        self.order(Message::CancelElements {
            range: Range {
                session: SESSION,
                first,
                count,
            },
        });
    }

    /// Assigns a run of pending elements of one array.
    fn assign(&mut self) {
        let Some(first) = self
            .pending
            .iter()
            .nth(self.random.below(5) as usize)
            .or(self.pending.first())
            .copied()
        else {
            return;
        };
        let array = self.array_of(first).clone();
        let most = self
            .random
            .spread(1, 200)
            .min(array.first + array.count() - first);
        let count = (first..first + most)
            .take_while(|sequence| self.pending.contains(sequence))
            .count() as u64;
        let (function, payload) = data::function(SESSION, array.function);
        if self.told.insert(array.function) {
            self.order(Message::Function {
                id: function,
                payload,
            });
        }
        let blocks = self.blocks_of(&array, first, count);
        (first..first + count).for_each(|sequence| {
            self.pending.remove(&sequence);
            self.here.insert(sequence);
        });
        let (options, objects) = (array.options.clone(), Vec::new());
        self.order(Message::Assign(Assign {
            session: SESSION,
            function,
            first,
            count: count as u32,
            options,
            blocks,
            objects,
            inputs: Vec::new(),
        }));
    }

    /// The blocks that cover a run, with bytes where the node has none.
    fn blocks_of(
        &mut self,
        array: &ArrayPlan,
        first: Sequence,
        count: u64,
    ) -> Vec<NodeBlock<Data>> {
        let mut blocks = Vec::new();
        let mut at = array.first;
        for block in &array.blocks {
            let end = at + u64::from(block.count);
            if at < first + count && first < end {
                let elements: Vec<_> = (at..end)
                    .map(|sequence| data::argument(SESSION, sequence, 20))
                    .collect();
                let payload = if block.form == Form::Single {
                    Data::from_vec(elements.concat())
                } else {
                    data::table(&elements)
                };
                let payload = self.blocks.insert(at).then_some(payload);
                blocks.push(NodeBlock {
                    first: at,
                    count: block.count,
                    form: block.form,
                    payload,
                });
            }
            at = end;
        }
        blocks
    }
}

/// No objects: there is no storage in a drill. And what never ends ends by its time-out here, or is cancelled.
fn simplify(array: &mut ArrayPlan, elements: &mut [crate::workload::Element]) {
    // What it would take comes from the scheduler, which is not here.
    array.needs.clear();
    array.uses.clear();
    array.shared = None;
    array
        .blocks
        .iter_mut()
        .filter(|block| block.form == Form::Reference)
        .for_each(|block| block.form = Form::Single);
    for element in &mut elements[array.first as usize..(array.first + array.count()) as usize] {
        element.argument = 20;
        element.value = 20;
        element.nested = 0;
        if matches!(element.behaviour, Behaviour::Kills { .. }) && array.count() > 100 {
            element.behaviour = Behaviour::Value;
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_element_leaves_a_node_once() {
        let drills = std::env::var("SCALER_SIM_DRILLS")
            .ok()
            .and_then(|drills| drills.parse().ok())
            .unwrap_or(100);
        for seed in 0..drills {
            let (result, _) = super::run(seed, false);
            if let Err(failure) = result {
                let (_, story) = super::run(seed, true);
                story.lines.iter().for_each(|line| println!("{line}"));
                panic!("seed {seed}: {}", failure.text);
            }
        }
    }
}
