//! What truly happened, known to nobody in the world, and the promises of DESIGN 12 checked against it.
//!
//! A run of an element needs a *cause* when there was one before: the earlier run is *excused* when what became of it
//! cannot be known any more (its executor, node, scheduler or link died before its outcome was handed on) or when it
//! raised and is tried again.

use scaler_engine::wire::{
    Capabilities, FailureCode, Message, OutcomeKind, Payload, Segment, Sequence, SessionId, WANTED,
};

use crate::data::{self, Data};
use crate::node_set::NodeSet;
use crate::queue::{Time, MILLISECOND};
use crate::workload::{ArrayPlan, Behaviour, Element, SessionPlan};

/// No history has so many elements that wait at once.
const MANY_WAITING: u32 = 256;

/// A broken promise, and the element that shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    pub at: Time,
    pub element: Option<(SessionId, Sequence)>,
    pub text: String,
}

/// Which executor: node, life of its process, and number of the executor in the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub node: usize,
    pub executor: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Running,
    /// Finished: its executor sent an outcome.
    Finished,
    Raised,
    /// Its executor ended while this run was its position, by itself or by a fault.
    Died,
    /// Ended by its agent.
    Killed,
}

#[derive(Clone, Copy, Debug)]
struct Run {
    place: Place,
    began: Time,
    ended: Option<Time>,
    end: End,
    /// Its outcome has reached its agent.
    reported: bool,
    /// Its outcome has reached the scheduler that lives now.
    recorded: bool,
    excused: bool,
    /// An executor or a node was lost with it.
    died: bool,
}

/// What the scheduler that lives now saw first of an element: its cancellation or its outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    Nothing,
    Cancel,
    Outcome,
}

#[derive(Clone, Debug)]
struct Truth {
    plan: Element,
    array: usize,
    /// Elements whose values it takes, in order.
    needs: Vec<Sequence>,
    /// Its client does not want its value.
    silent: bool,
    submitted: bool,
    cancel_asked: bool,
    /// Its client had submitted it when it cleared.
    clear_asked: bool,
    runs: Vec<Run>,
    /// Nodes that were told to run it by the scheduler that lives, in the epoch that lasts.
    ordered: NodeSet,
    /// How often it was taken for the cause of a death that nobody saw it in.
    blames: u32,
    /// Nodes that may say that an executor died in it though none was seen to begin it.
    blamable: NodeSet,
    delivered: Option<OutcomeKind>,
    seen: Seen,
    /// Some scheduler saw its outcome and no cancellation before.
    outcome_won: bool,
    /// Some scheduler saw an exception of it and no cancellation before.
    exception_won: bool,
    /// Bytes of objects that it needs, or that hold its value, may be lost with a store.
    uses_store: bool,
}

impl Truth {
    /// Runs that a dead executor or node may be blamed for.
    fn deaths(&self) -> u32 {
        self.blames + self.runs.iter().filter(|run| run.died).count() as u32
    }
}

#[derive(Debug)]
pub struct SessionTruth {
    pub id: SessionId,
    pub client: usize,
    elements: Vec<Truth>,
    arrays: Vec<ArrayPlan>,
    /// Its client was killed or said goodbye: nothing is promised any more.
    pub over: bool,
    /// The scheduler that lives has met its client.
    known: bool,
    /// Its objects may be gone: the scheduler gave the session up, or a store died.
    objects_lost: bool,
}

#[derive(Debug, Default)]
pub struct Oracle {
    sessions: Vec<SessionTruth>,
    pub violation: Option<Violation>,
    max_attempts: u32,
    /// More may wait than a node lets.
    crowded: bool,
    pub delivered: u64,
    pub runs: u64,
}

fn satisfied(asked: &Capabilities, offered: &Capabilities) -> bool {
    asked.iter().all(|(name, amount)| {
        offered
            .iter()
            .any(|(other, available)| name == other && (*amount < 0 || available >= amount))
    })
}

impl Oracle {
    pub fn new(max_attempts: u32, most_waiting: u32) -> Self {
        Oracle {
            max_attempts,
            crowded: most_waiting < MANY_WAITING,
            ..Oracle::default()
        }
    }

    pub fn add_session(&mut self, id: SessionId, client: usize, plan: &SessionPlan) {
        let truth = |(array, plan): (usize, &Element)| Truth {
            plan: *plan,
            array,
            needs: Vec::new(),
            silent: false,
            submitted: false,
            cancel_asked: false,
            clear_asked: false,
            runs: Vec::new(),
            ordered: NodeSet::default(),
            blames: 0,
            blamable: NodeSet::default(),
            delivered: None,
            seen: Seen::Nothing,
            outcome_won: false,
            exception_won: false,
            uses_store: false,
        };
        let array_of = |sequence: usize| {
            plan.arrays
                .partition_point(|array| array.first <= sequence as u64)
                - 1
        };
        let elements = plan
            .elements
            .iter()
            .enumerate()
            .map(|(at, element)| truth((array_of(at), element)))
            .collect();
        self.sessions.push(SessionTruth {
            id,
            client,
            elements,
            arrays: plan.arrays.clone(),
            over: false,
            known: false,
            objects_lost: false,
        });
    }

    fn violated(&mut self, at: Time, element: Option<(SessionId, Sequence)>, text: String) {
        self.violation
            .get_or_insert(Violation { at, element, text });
    }

    /// A promise about no element in particular is broken.
    pub fn broken(&mut self, at: Time, text: String) {
        self.violated(at, None, text);
    }

    fn session(&self, id: SessionId) -> Option<&SessionTruth> {
        self.sessions.iter().find(|session| session.id == id)
    }

    fn session_mut(&mut self, id: SessionId) -> Option<&mut SessionTruth> {
        self.sessions.iter_mut().find(|session| session.id == id)
    }

    fn truth_mut(&mut self, session: SessionId, sequence: Sequence) -> Option<&mut Truth> {
        self.session_mut(session)?
            .elements
            .get_mut(sequence as usize)
    }

    fn each_run(&mut self, mut visit: impl FnMut(&Truth, &mut Run)) {
        for truth in self
            .sessions
            .iter_mut()
            .flat_map(|session| &mut session.elements)
        {
            let mut runs = std::mem::take(&mut truth.runs);
            runs.iter_mut().for_each(|run| visit(truth, run));
            truth.runs = runs;
        }
    }

    fn each_element(&mut self, visit: impl FnMut(&mut Truth)) {
        self.sessions
            .iter_mut()
            .flat_map(|session| &mut session.elements)
            .for_each(visit);
    }

    // What clients ask.

    pub fn submitted(&mut self, session: SessionId, array: &ArrayPlan) {
        let uses = array.shared.is_some();
        for sequence in array.first..array.first + array.count() {
            let truth = self.truth_mut(session, sequence).expect("the plan has it");
            truth.submitted = true;
            truth.uses_store = uses || truth.plan.argument > 20 || truth.plan.value > 20;
            let uses = array.uses.get((sequence - array.first) as usize);
            truth.silent = uses.is_some_and(|&uses| uses > 0 && uses & WANTED == 0);
        }
        for &(offset, on) in &array.needs {
            let large = self.value_length(session, on) > 20;
            let truth = self.truth_mut(session, array.first + u64::from(offset));
            let truth = truth.expect("the plan has it");
            truth.needs.push(on);
            truth.uses_store |= large;
        }
    }

    pub fn cancel_asked(&mut self, session: SessionId, first: Sequence, count: u64) {
        let end = first.saturating_add(count);
        let Some(session) = self.session_mut(session) else {
            return;
        };
        let asked = session
            .elements
            .iter_mut()
            .enumerate()
            .filter(|(at, _)| (first..end).contains(&(*at as u64)));
        asked
            .filter(|(_, truth)| truth.submitted)
            .for_each(|(_, truth)| {
                truth.cancel_asked = true;
                truth.clear_asked |= count == u64::MAX;
            });
    }

    pub fn session_over(&mut self, client: usize) {
        self.sessions
            .iter_mut()
            .filter(|session| session.client == client)
            .for_each(|session| session.over = true);
    }

    // What runs.

    /// Which element an executor is about to start; gives what it is to do, and how often it ran before.
    pub fn run_begins(
        &mut self,
        at: Time,
        session: SessionId,
        sequence: Sequence,
        place: Place,
        offered: &Capabilities,
    ) -> Option<(Element, u32)> {
        self.runs += 1;
        let Some(truth) = self
            .truth_mut(session, sequence)
            .filter(|truth| truth.submitted)
        else {
            self.violated(
                at,
                Some((session, sequence)),
                "an element runs that nobody submitted".into(),
            );
            return None;
        };
        // What a node was told before it was given up runs on, for a while.
        let ordered = truth.ordered.has(place.node);
        let inexcusable = truth.runs.iter().find(|run| !run.excused).copied();
        let ran = truth.runs.len() as u32;
        let run = Run {
            place,
            began: at,
            ended: None,
            end: End::Running,
            reported: false,
            recorded: false,
            excused: !ordered,
            died: false,
        };
        truth.runs.push(run);
        truth.blamable.clear();
        let (plan, array) = (truth.plan, truth.array);
        if let Some(before) = inexcusable.filter(|_| ordered) {
            let text = format!("it runs again without a cause; before: {before:?}");
            self.violated(at, Some((session, sequence)), text);
        }
        if let Some(on) = self.unmet(session, sequence) {
            let text = format!("it runs before {on}, whose value it takes, gave one");
            self.violated(at, Some((session, sequence)), text);
        }
        let asked = self
            .session(session)
            .map(|session| session.arrays[array].options.capabilities.clone());
        if !asked.is_some_and(|asked| satisfied(&asked, offered)) {
            self.violated(
                at,
                Some((session, sequence)),
                format!("it runs on node {} which lacks a capability", place.node),
            );
        }
        Some((plan, ran))
    }

    pub fn needs(&self, session: SessionId, sequence: Sequence) -> Vec<Sequence> {
        let session = self.session(session);
        let truth = session.and_then(|session| session.elements.get(sequence as usize));
        truth.map_or(Vec::new(), |truth| truth.needs.clone())
    }

    /// An element that it needs, and that never gave a value.
    fn unmet(&self, session: SessionId, sequence: Sequence) -> Option<Sequence> {
        let owner = self.session(session)?;
        let gave = |on: &Sequence| {
            let runs = owner.elements.get(*on as usize).map(|truth| &truth.runs);
            runs.is_some_and(|runs| runs.iter().any(|run| run.end == End::Finished))
        };
        let needs = self.needs(session, sequence);
        needs.into_iter().find(|on| !gave(on))
    }

    pub fn value_length(&self, session: SessionId, sequence: Sequence) -> usize {
        self.session(session)
            .and_then(|session| session.elements.get(sequence as usize))
            .map_or(0, |truth| truth.plan.value)
    }

    /// The bytes of the object that all elements of this one's array share.
    pub fn shared_of(&self, session: SessionId, sequence: Sequence) -> Option<Vec<u8>> {
        let owner = self.session(session)?;
        let (number, size) = owner.arrays[owner.elements.get(sequence as usize)?.array].shared?;
        Some(data::shared_object(session, number, size))
    }

    fn last_run(
        &mut self,
        session: SessionId,
        sequence: Sequence,
        executor: u64,
    ) -> Option<&mut Run> {
        self.truth_mut(session, sequence)?
            .runs
            .iter_mut()
            .rev()
            .find(|run| run.place.executor == executor)
    }

    /// The run ended in an outcome that its executor will send.
    pub fn run_ended(
        &mut self,
        at: Time,
        session: SessionId,
        sequence: Sequence,
        executor: u64,
        raised: bool,
    ) {
        if let Some(run) = self.last_run(session, sequence, executor) {
            run.ended = Some(at);
            run.end = if raised { End::Raised } else { End::Finished };
        }
    }

    /// Outcomes of these elements have reached the agent.
    pub fn reported(&mut self, session: SessionId, first: Sequence, count: u64, executor: u64) {
        for sequence in first..first + count {
            if let Some(run) = self.last_run(session, sequence, executor) {
                run.reported = true;
            }
        }
    }

    /// The executor is gone. `by_agent`: the agent ended it.
    pub fn executor_died(&mut self, at: Time, executor: u64, by_agent: bool) {
        for session in &mut self.sessions {
            for truth in &mut session.elements {
                let Some(run) = truth
                    .runs
                    .iter_mut()
                    .rev()
                    .find(|run| run.place.executor == executor)
                else {
                    continue;
                };
                if run.reported {
                    continue;
                }
                // One that had finished may lose its outcome here, which is nobody's attempt.
                run.excused = true;
                if run.end == End::Running {
                    run.ended = Some(at);
                    run.end = if by_agent { End::Killed } else { End::Died };
                    // The scheduler may have given its node up before.
                    run.died |= !by_agent;
                }
            }
        }
    }

    /// One executor after the other ended before it began what it had, and the last of them had these: lest that goes on
    /// for ever, the node takes the first for the cause.
    pub fn may_be_blamed(&mut self, node: usize, session: SessionId, first: Sequence, count: u32) {
        for sequence in first..first + u64::from(count) {
            if let Some(truth) = self.truth_mut(session, sequence) {
                truth.blamable.add(node);
            }
        }
    }

    /// The node's process is gone, with what it had not told a scheduler.
    pub fn node_died(&mut self, at: Time, node: usize) {
        self.each_run(|_, run| {
            if run.place.node == node && !run.recorded {
                run.excused = true;
                run.died = true;
                run.ended.get_or_insert(at);
                if run.end == End::Running {
                    run.end = End::Died;
                }
            }
        });
    }

    /// The scheduler gave a node up, or they began a new epoch: what it had not told is lost for the scheduler.
    pub fn node_lost(&mut self, node: usize) {
        self.each_element(|element| element.ordered.remove(node));
        self.each_run(|_, run| {
            let lost = run.place.node == node && !run.recorded;
            run.excused |= lost;
            run.died |= lost;
        });
    }

    /// The scheduler gave a client's session up: the client will tell it anew. What nodes were told before is void, also
    /// where its first run begins only now: the order and its cancellation may both be under way.
    pub fn session_lost(&mut self, session: SessionId) {
        let Some(session) = self.session_mut(session) else {
            return;
        };
        session.objects_lost = true;
        for truth in session
            .elements
            .iter_mut()
            .filter(|truth| truth.delivered.is_none())
        {
            truth.seen = Seen::Nothing;
            truth.ordered.clear();
            truth.runs.iter_mut().for_each(|run| run.excused = true);
        }
    }

    pub fn store_died(&mut self) {
        for session in &mut self.sessions {
            session.objects_lost = true;
        }
    }

    pub fn objects_lost(&self, session: SessionId) -> bool {
        self.session(session)
            .is_some_and(|session| session.objects_lost)
    }

    /// The scheduler that lives has met the session's client.
    pub fn session_known(&mut self, session: SessionId) {
        if let Some(session) = self.session_mut(session) {
            session.known = true;
        }
    }

    pub fn scheduler_died(&mut self) {
        self.each_element(|element| element.ordered.clear());
        self.sessions
            .iter_mut()
            .for_each(|session| session.known = false);
        for truth in self
            .sessions
            .iter_mut()
            .flat_map(|session| &mut session.elements)
        {
            truth.seen = Seen::Nothing;
            for run in &mut truth.runs {
                run.recorded = false;
                run.excused |= truth.delivered.is_none();
            }
        }
    }

    /// The scheduler sends a message to a node.
    pub fn ordered(&mut self, node: usize, message: &Message<Data>) {
        let Message::Assign(assign) = message else {
            return;
        };
        for sequence in assign.first..assign.first + u64::from(assign.count) {
            if let Some(truth) = self.truth_mut(assign.session, sequence) {
                truth.ordered.add(node);
            }
        }
    }

    /// An element that a node runs as it was told to, and that nobody has given up.
    pub fn busy(&self, node: usize) -> Option<(SessionId, Sequence)> {
        let runs = |truth: &Truth| {
            let running = |run: &Run| {
                run.place.node == node && run.end == End::Running && !run.excused && !run.recorded
            };
            truth.ordered.has(node) && truth.runs.iter().any(running)
        };
        let wanted = |truth: &Truth| {
            truth.seen == Seen::Nothing
                && !truth.cancel_asked
                && !truth.silent
                && truth.delivered.is_none()
        };
        let living = self.sessions.iter().filter(|session| !session.over);
        living
            .flat_map(|session| {
                let elements = session.elements.iter().enumerate();
                elements.map(move |(at, truth)| (session.id, at as u64, truth))
            })
            .find(|(.., truth)| wanted(truth) && runs(truth))
            .map(|(session, sequence, _)| (session, sequence))
    }

    /// A promise about an element is broken.
    pub fn broken_for(&mut self, at: Time, element: (SessionId, Sequence), text: String) {
        self.violated(at, Some(element), text);
    }

    // What the scheduler is told.

    /// The scheduler handles a message of a client's link.
    pub fn client_says(&mut self, session: SessionId, message: &Message<Data>) {
        let (first, end) = match message {
            Message::Cancel { first, count } => (*first, first.saturating_add(*count)),
            Message::Clear | Message::Goodbye => (0, Sequence::MAX),
            _ => return,
        };
        let Some(session) = self.session_mut(session) else {
            return;
        };
        let elements = session
            .elements
            .iter_mut()
            .enumerate()
            .filter(|(at, _)| (first..end).contains(&(*at as u64)));
        // A clear is of what was submitted before it, whatever was asked since.
        let clears = matches!(message, Message::Clear);
        let asked = |truth: &Truth| truth.cancel_asked && (truth.clear_asked || !clears);
        elements
            .filter(|(_, truth)| asked(truth) && truth.seen == Seen::Nothing)
            .for_each(|(_, truth)| truth.seen = Seen::Cancel);
    }

    /// The scheduler handles a message of a node's link.
    pub fn node_says(&mut self, at: Time, node: usize, message: &Message<Data>) {
        match message {
            Message::Done {
                session, segment, ..
            } => self.node_done(at, node, *session, segment),
            Message::Lost {
                session, sequence, ..
            } => self.node_lost_one(at, node, *session, *sequence),
            _ => {}
        }
    }

    fn node_lost_one(&mut self, at: Time, node: usize, session: SessionId, sequence: Sequence) {
        let text = "the node says that it started, and it did not";
        match self.truth_mut(session, sequence) {
            Some(truth) if truth.blamable.has(node) => {
                truth.blamable.clear();
                truth.blames += 1;
            }
            Some(truth) if truth.runs.iter().any(|run| run.place.node == node) => {}
            _ => self.violated(at, Some((session, sequence)), text.into()),
        }
    }

    fn node_done(&mut self, at: Time, node: usize, session: SessionId, segment: &Segment<Data>) {
        let retries =
            |truth: &SessionTruth, element: &Truth| truth.arrays[element.array].options.retries;
        let Some(truths) = self.session_mut(session) else {
            return;
        };
        for offset in each_offset(segment) {
            let sequence = segment.first + u64::from(offset);
            let Some(allowed) = truths
                .elements
                .get(sequence as usize)
                .map(|element| retries(truths, element))
            else {
                return self.violated(
                    at,
                    Some((session, sequence)),
                    "a node has an outcome of what was never submitted".into(),
                );
            };
            let element = &mut truths.elements[sequence as usize];
            for run in element
                .runs
                .iter_mut()
                .filter(|run| run.place.node == node && run.reported)
            {
                run.recorded = true;
            }
            if segment.kind == OutcomeKind::Exception && allowed > 0 {
                // Perhaps the last one, perhaps not: only the scheduler counts.
                element.exception_won |= element.seen == Seen::Nothing;
                element
                    .runs
                    .iter_mut()
                    .filter(|run| run.end == End::Raised)
                    .for_each(|run| run.excused = true);
            } else if element.seen == Seen::Nothing {
                element.seen = Seen::Outcome;
                element.outcome_won = true;
            }
        }
    }

    // What clients get.

    /// Outcomes reached a client. `fetch`: the bytes of an object as far as the world has it.
    pub fn delivered(&mut self, at: Time, session: SessionId, segment: &Segment<Data>) {
        for offset in each_offset(segment) {
            self.delivered += 1;
            let sequence = segment.first + u64::from(offset);
            if let Err(text) = self.deliver(at, session, sequence, segment, offset) {
                self.violated(at, Some((session, sequence)), text);
            }
        }
    }

    fn deliver(
        &mut self,
        at: Time,
        session: SessionId,
        sequence: Sequence,
        segment: &Segment<Data>,
        offset: u32,
    ) -> Result<(), String> {
        let (max_attempts, crowded) = (self.max_attempts, self.crowded);
        let owner = self
            .session_mut(session)
            .ok_or("an outcome for no session")?;
        if owner.over {
            return Err("an outcome for a session that is over".into());
        }
        let element = owner
            .elements
            .get_mut(sequence as usize)
            .ok_or("an outcome of no element")?;
        if let Some(before) = element.delivered.replace(segment.kind) {
            return Err(format!(
                "a second outcome, {:?} after {before:?}",
                segment.kind
            ));
        }
        if !element.submitted {
            return Err("an outcome of what was not submitted".into());
        }
        if element.silent && segment.kind.form().is_some() {
            return Err("its client is told of a value that it does not want".into());
        }
        let failure = segment.failure.as_ref();
        if failure.is_some_and(|failure| failure.code == FailureCode::Dependency) {
            let root = failure.and_then(|failure| failure.detail.parse().ok());
            return check_fallen(owner, sequence, root.ok_or("a failure that names nobody")?);
        }
        let objects_lost = owner.objects_lost;
        let options = &owner.arrays[element.array].options;
        if failure.is_some_and(|it| it.code == FailureCode::NestingLimit) {
            return match crowded && options.depth > 0 {
                true => Ok(()),
                false => Err("no node had so many that wait".into()),
            };
        }
        match segment.kind {
            OutcomeKind::Cancelled => check_cancelled(element),
            OutcomeKind::Exception => {
                check_exception(element, options.retries, session, sequence, segment)
            }
            OutcomeKind::Failure => {
                let failure = segment
                    .failure
                    .as_ref()
                    .ok_or("a failure that says nothing")?;
                let checked = check_failure(
                    at,
                    element,
                    failure.code,
                    failure.attempts,
                    max_attempts,
                    options.timeout_us,
                    objects_lost,
                );
                checked.map_err(|text| format!("{text} ({failure:?})"))
            }
            _ => check_value(element, session, sequence, segment, offset),
        }
    }

    // What is left at the end.

    /// Sessions that the scheduler that lives cannot know of.
    pub fn forgotten(&self) -> Vec<SessionId> {
        self.sessions
            .iter()
            .filter(|session| session.over && !session.known)
            .map(|session| session.id)
            .collect()
    }

    /// Elements of living sessions that have no outcome.
    pub fn missing(&self) -> Vec<(SessionId, Sequence)> {
        let mut missing = Vec::new();
        for session in self.sessions.iter().filter(|session| !session.over) {
            let without =
                |truth: &Truth| truth.submitted && !truth.silent && truth.delivered.is_none();
            missing.extend(
                session
                    .elements
                    .iter()
                    .enumerate()
                    .filter(|(_, truth)| without(truth))
                    .map(|(at, _)| (session.id, at as u64)),
            );
        }
        missing
    }

    pub fn element(&self, session: SessionId, sequence: Sequence) -> String {
        match self.session(session).and_then(|session| {
            session
                .elements
                .get(sequence as usize)
                .map(|truth| (session, truth))
        }) {
            Some((session, truth)) => format!(
                "{truth:?} options {:?}",
                session.arrays[truth.array].options
            ),
            None => "unknown".into(),
        }
    }
}

fn each_offset(segment: &Segment<Data>) -> impl Iterator<Item = u32> + '_ {
    (0..segment.count).filter(|offset| segment.except.binary_search(offset).is_err())
}

/// It needs `root`, itself or by others, and `root` ended without a value.
fn check_fallen(owner: &SessionTruth, sequence: Sequence, root: Sequence) -> Result<(), String> {
    let ended = owner.elements.get(root as usize);
    let ended = ended.and_then(|truth| truth.delivered);
    if ended.is_none_or(|kind| kind.form().is_some()) {
        return Err(format!("it fell with {root}, which did not fall"));
    }
    let mut open = vec![sequence];
    let mut seen = std::collections::BTreeSet::new();
    while let Some(next) = open.pop() {
        if next == root {
            return Ok(());
        }
        if seen.insert(next) {
            open.extend(&owner.elements[next as usize].needs);
        }
    }
    Err(format!("it fell with {root}, which it does not need"))
}

fn check_cancelled(element: &Truth) -> Result<(), String> {
    if element.cancel_asked {
        Ok(())
    } else {
        Err("cancelled, and nobody asked for it".into())
    }
}

fn check_exception(
    element: &Truth,
    retries: u16,
    session: SessionId,
    sequence: Sequence,
    segment: &Segment<Data>,
) -> Result<(), String> {
    let raised = element
        .runs
        .iter()
        .filter(|run| run.end == End::Raised)
        .count();
    if segment.payload.bytes() != data::exception(session, sequence) {
        return Err("another element's exception".into());
    }
    if raised <= usize::from(retries) {
        return Err(format!("its exception was delivered after {raised} runs that raised, {retries} retries allowed"));
    }
    if element.exception_won {
        return Ok(());
    }
    check_order(element)
}

/// A result that reaches the scheduler before the cancel wins, one that comes after it does not.
fn check_order(element: &Truth) -> Result<(), String> {
    if element.outcome_won {
        Ok(())
    } else {
        Err("a cancelled task delivered a result".into())
    }
}

fn check_value(
    element: &Truth,
    session: SessionId,
    sequence: Sequence,
    segment: &Segment<Data>,
    offset: u32,
) -> Result<(), String> {
    let expected = data::value(session, sequence, element.plan.value);
    let right = match segment.kind {
        OutcomeKind::ValueSingle => segment.payload.bytes() == expected,
        OutcomeKind::ValueReference => {
            let referred = segment.payload.as_reference();
            // Its bytes are checked where they are fetched.
            referred
                .is_some_and(|(key, size)| size == expected.len() as u64 && key.session == session)
        }
        _ => {
            data::table_entry(&segment.payload, segment.count, offset) == Some(expected.as_slice())
        }
    };
    if !right {
        return Err(format!("a wrong value, {:?}", segment.kind));
    }
    if element
        .runs
        .iter()
        .all(|run| run.end != End::Finished && !run.reported)
    {
        return Err("a value of what never finished".into());
    }
    check_order(element)
}

fn check_failure(
    at: Time,
    element: &Truth,
    code: FailureCode,
    attempts: u32,
    max_attempts: u32,
    timeout: Time,
    objects_lost: bool,
) -> Result<(), String> {
    let deaths = element.deaths();
    match code {
        FailureCode::ProcessorDied | FailureCode::WorkerDied => {
            if attempts > deaths {
                return Err(format!(
                    "{attempts} attempts counted, {deaths} runs ended in a death"
                ));
            }
            if attempts < max_attempts {
                return Err(format!(
                    "failed after {attempts} attempts of {max_attempts}"
                ));
            }
            Ok(())
        }
        FailureCode::TaskTimeout => {
            // The clock on the shared line starts a moment before the call; a death is heard of a moment later.
            let slack = |run: &Run| {
                if run.end == End::Died {
                    10 * MILLISECOND
                } else {
                    50
                }
            };
            let lasted = |run: &Run| run.ended.unwrap_or(at) - run.began + slack(run);
            if timeout > 0 && element.runs.iter().any(|run| lasted(run) >= timeout) {
                Ok(())
            } else {
                Err("timed out, and no run took that long".into())
            }
        }
        FailureCode::MissingObjects | FailureCode::ObjectStorage
            if objects_lost && element.uses_store =>
        {
            Ok(())
        }
        _ => Err("a failure without a reason".into()),
    }
}

/// What a run does, by how often the element ran before.
pub fn acts(behaviour: Behaviour, ran_before: u32) -> Behaviour {
    match behaviour {
        Behaviour::Raises { runs } | Behaviour::Kills { runs } if ran_before >= runs => {
            Behaviour::Value
        }
        other => other,
    }
}
