//! The client's end of its conversation with the scheduler.
//!
//! Keeps every unfinished element's submission until its outcome, so that a scheduler that forgot everything loses
//! nothing: [`Session::reset`] says all of it again. Each element's outcome is handed out once, whatever comes twice.

mod arrays;
mod graph;
mod objects;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};

use crate::link::ROOM;
use crate::ranges::RangeSet;
use crate::wire::{
    Block, Failure, FailureCode, FunctionId, LinkId, Message, Need, ObjectKey, OutcomeKind,
    Payload, QueryKind, Segment, Sequence, SessionId, Submit,
};
use arrays::{Array, Tail};
use graph::{Graphs, Value};
use objects::Objects;

/// Values of so many elements come in one segment at most; verdicts without values may be on more.
const MOST_VALUES: u32 = 8_192;

/// What the scheduler's message meant to the client.
#[derive(Clone, Debug, PartialEq)]
pub enum SessionEvent<P> {
    /// Outcomes of elements that had none before.
    Results(Vec<Segment<P>>),
    /// To the query or shutdown of that number.
    Answer {
        request: u32,
        ok: bool,
        text: String,
    },
    /// The cluster ends.
    Closing { reason: String },
    /// What tasks wrote; `dropped` lines before it were left out.
    Output { dropped: u64, payload: P },
    /// The scheduler said what cannot be: the link is to be ended.
    Malformed { reason: String },
}

struct FunctionUse<P> {
    payload: P,
    /// Arrays with unfinished elements.
    arrays: u32,
    /// The client will not use it again.
    forgotten: bool,
}

/// See the module's text.
pub struct Session<P> {
    id: SessionId,
    /// Says of which task it is.
    within: Option<Message<P>>,
    functions: BTreeMap<FunctionId, FunctionUse<P>>,
    arrays: BTreeMap<Sequence, Array<P>>,
    unfinished: RangeSet,
    /// Asked to be cancelled, without an outcome.
    cancelled: RangeSet,
    objects: Objects,
    graphs: Graphs<P>,
    /// Elements that nobody needs any more, about to be finished.
    unneeded: Vec<Sequence>,
    /// Queries and shutdowns without an answer.
    requests: BTreeMap<u32, Message<P>>,
    last_request: u32,
    /// What tasks write is wanted.
    streams: bool,
    over: bool,
    out: VecDeque<Message<P>>,
    /// Payload bytes in `out`.
    out_bytes: u64,
    /// Of the submission at the end of `out`.
    tail: Option<Tail>,
}

impl<P: Payload> Session<P> {
    pub fn new(id: SessionId) -> Self {
        Session {
            id,
            within: None,
            functions: BTreeMap::new(),
            arrays: BTreeMap::new(),
            unfinished: RangeSet::new(),
            cancelled: RangeSet::new(),
            objects: Objects::default(),
            graphs: Graphs::default(),
            unneeded: Vec::new(),
            requests: BTreeMap::new(),
            last_request: 0,
            streams: false,
            over: false,
            out: VecDeque::new(),
            out_bytes: 0,
            tail: None,
        }
    }

    pub fn id(&self) -> SessionId {
        self.id
    }

    /// It is that of a task, which runs at the node of a link: to be said before anything else.
    pub fn within(&mut self, node: LinkId, session: SessionId, sequence: Sequence) {
        let message = Message::Within {
            node,
            session,
            sequence,
        };
        self.within = Some(message.clone());
        self.push(message);
    }

    /// Elements without an outcome.
    pub fn unfinished(&self) -> u64 {
        self.unfinished.len()
    }

    /// Elements without an outcome, and what was asked and has no answer.
    pub fn expected(&self) -> u64 {
        self.unfinished.len() + self.requests.len() as u64
    }

    pub fn is_unfinished(&self, sequence: Sequence) -> bool {
        self.unfinished.contains(sequence)
    }

    /// Makes a function known before its first use. Again is fine.
    pub fn function(&mut self, id: FunctionId, payload: P) {
        if let Some(function) = self.functions.get_mut(&id) {
            function.forgotten = false;
            return;
        }
        self.functions.insert(
            id,
            FunctionUse {
                payload: payload.clone(),
                arrays: 0,
                forgotten: false,
            },
        );
        self.push(Message::Function { id, payload });
    }

    /// The client will not submit it again; it goes when the last element that uses it is done.
    pub fn forget_function(&mut self, id: FunctionId) {
        if let Some(function) = self.functions.get_mut(&id) {
            function.forgotten = true;
            self.drop_function_if_unused(id);
        }
    }

    /// Sends an array. Its function is known, its elements are new; neighbours that leave together become one array.
    ///
    /// Panics when an element was submitted before, the function was never told, or one that is needed has no value to
    /// come ([`Session::may_be_needed`]): the caller numbers the tasks.
    pub fn submit(&mut self, submit: Submit<P>) {
        for piece in arrays::cut(submit) {
            self.submit_piece(piece);
        }
    }

    fn submit_piece(&mut self, piece: Submit<P>) {
        let (first, end) = (piece.first, piece.first + piece.count());
        if first == end {
            return;
        }
        assert!(
            self.unfinished.overlap(first, end).next().is_none(),
            "elements {first}..{end} submitted twice"
        );
        self.unfinished.insert(first, end);
        for object in &piece.objects {
            self.objects.begin_use(object.key);
        }
        if let Some(graph) = piece.graph.as_deref() {
            let here = |need: &Need| self.may_be_needed(need.on);
            assert!(
                graph.needs.iter().all(here),
                "an element needs one without a value"
            );
            self.graphs.submitted(first, graph);
        }
        if let (Some(tail), Some(Message::Submit(last))) = (&mut self.tail, self.out.back_mut()) {
            if tail.takes(last, &piece) {
                // It left together with the array before: stored with it, so that it is said again together.
                let array = self
                    .arrays
                    .get_mut(&last.first)
                    .expect("a message in the queue is stored");
                array.append(&piece);
                self.out_bytes += blocks_bytes(&piece.blocks);
                tail.join(last, piece);
                return;
            }
        }
        let function = self
            .functions
            .get_mut(&piece.function)
            .expect("a function is told before its first use");
        function.arrays += 1;
        self.arrays.insert(first, Array::new(&piece));
        let tail = Tail::of(&piece);
        self.push(Message::Submit(piece));
        self.tail = tail;
    }

    /// Whether an element that is submitted next may need the value of this one: it has no outcome yet, or its value is
    /// kept for others.
    pub fn may_be_needed(&self, sequence: Sequence) -> bool {
        self.unfinished.contains(sequence) || self.graphs.has_value(sequence)
    }

    /// Asks for an end of those elements that have none yet; each is still answered by an outcome.
    pub fn cancel(&mut self, first: Sequence, count: u64) {
        let runs: Vec<_> = self
            .unfinished
            .overlap(first, first.saturating_add(count))
            .collect();
        for (start, end) in runs {
            self.cancelled.insert(start, end);
            self.push(Message::Cancel {
                first: start,
                count: end - start,
            });
        }
    }

    /// Asks for an end of those elements that no executor has begun; the number comes back with the answer, whose text
    /// names the others: `first-end,` for each run of them.
    pub fn cancel_unstarted(&mut self, first: Sequence, count: u64) -> u32 {
        self.request(|request| Message::CancelUnstarted {
            request,
            first,
            count,
        })
    }

    /// Asks about a task; the number comes back with the answer.
    pub fn query(&mut self, kind: QueryKind, first: Sequence) -> u32 {
        self.request(|request| Message::Query {
            request,
            kind,
            first,
        })
    }

    /// Asks for the end of the cluster; the number comes back with the answer.
    pub fn shutdown(&mut self) -> u32 {
        self.request(|request| Message::Shutdown { request })
    }

    /// Cancels everything and lets go of all objects.
    pub fn clear(&mut self) {
        let runs: Vec<_> = self.unfinished.iter().collect();
        for (start, end) in runs {
            self.cancelled.insert(start, end);
        }
        self.objects.clear();
        self.push(Message::Clear);
    }

    /// Wants what tasks write, of those that are submitted from now on.
    pub fn stream_output(&mut self) {
        self.streams = true;
        self.push(Message::StreamOutput);
    }

    /// The session is over: nothing is sent after this.
    pub fn goodbye(&mut self) {
        if !self.over {
            self.push(Message::Goodbye);
            self.over = true;
        }
    }

    /// The client holds a handle on an object that it stored. Handles are counted.
    pub fn hold_object(&mut self, key: ObjectKey, size: u64) {
        if self.objects.hold(key, size) {
            self.push(Message::HoldObject { key, size });
        }
    }

    /// One handle less; a key without handles is fine (after `clear`). What unfinished elements use stays held for them.
    pub fn release_object(&mut self, key: ObjectKey) {
        if self.objects.release(key) {
            self.push(Message::ReleaseObject { key });
        }
    }

    /// A message of the scheduler.
    pub fn handle(&mut self, _now: u64, message: Message<P>) -> Option<SessionEvent<P>> {
        match message {
            Message::Results { segments } => self.results(segments),
            Message::Lacking { sequences } => {
                self.give(&sequences);
                None
            }
            Message::Answer { request, ok, text } => self
                .requests
                .remove(&request)
                .map(|_| SessionEvent::Answer { request, ok, text }),
            Message::Closing { reason } => Some(SessionEvent::Closing { reason }),
            Message::Output {
                session: _,
                lines: _,
                dropped,
                payload,
            } => self
                .streams
                .then_some(SessionEvent::Output { dropped, payload }),
            Message::Heartbeat => None,
            _ => Some(SessionEvent::Malformed {
                reason: "a client was sent what is not for clients".into(),
            }),
        }
    }

    /// The scheduler forgot: everything that still matters is said again.
    pub fn reset(&mut self) {
        self.out.clear();
        self.out_bytes = 0;
        self.tail = None;
        if self.over {
            self.out.push_back(Message::Goodbye);
            return;
        }
        let out = &mut self.out;
        out.extend(self.within.clone());
        out.extend(self.streams.then_some(Message::StreamOutput));
        out.extend(
            self.objects
                .held()
                .map(|(key, size)| Message::HoldObject { key, size }),
        );
        out.extend(
            self.functions
                .iter()
                .map(|(&id, function)| Message::Function {
                    id,
                    payload: function.payload.clone(),
                }),
        );
        for (&first, array) in &self.arrays {
            let finished = |start, end| gaps(&self.unfinished, first, start, end);
            array.submissions(first, finished, &self.graphs, |submit| {
                out.push_back(Message::Submit(submit))
            });
        }
        out.extend(self.cancelled.iter().map(|(start, end)| Message::Cancel {
            first: start,
            count: end - start,
        }));
        out.extend(self.requests.values().cloned());
        self.out_bytes = self.out.iter().map(payload_bytes).sum();
    }

    /// What is to be sent, in order.
    pub fn drain(&mut self, out: &mut Vec<Message<P>>) {
        self.tail = None;
        self.out_bytes = 0;
        out.extend(self.out.drain(..));
        self.out.shrink_to(ROOM);
    }

    /// Payload bytes that wait to be drained.
    pub fn queued_bytes(&self) -> u64 {
        self.out_bytes
    }

    /// Payload bytes kept for unfinished elements.
    pub fn kept_bytes(&self) -> usize {
        self.arrays.values().map(Array::bytes).sum::<usize>() + self.graphs.bytes()
    }

    fn push(&mut self, message: Message<P>) {
        if !self.over {
            self.tail = None;
            self.out_bytes += payload_bytes(&message);
            self.out.push_back(message);
        }
    }

    fn request(&mut self, message: impl FnOnce(u32) -> Message<P>) -> u32 {
        self.last_request = self.last_request.wrapping_add(1);
        let message = message(self.last_request);
        self.requests.insert(self.last_request, message.clone());
        self.push(message);
        self.last_request
    }

    fn results(&mut self, segments: Vec<Segment<P>>) -> Option<SessionEvent<P>> {
        if let Some(reason) = segments.iter().find_map(|segment| check(segment).err()) {
            return Some(SessionEvent::Malformed { reason });
        }
        let mut fresh = Vec::with_capacity(segments.len());
        for segment in segments {
            let unwanted = self.result(segment, &mut fresh);
            self.fall(unwanted, &mut fresh);
        }
        (!fresh.is_empty()).then_some(SessionEvent::Results(fresh))
    }

    /// Hands on what of a segment is new, and forgets the elements that it ends.
    /// Gives elements that ended without a value that others need.
    fn result(&mut self, mut segment: Segment<P>, fresh: &mut Vec<Segment<P>>) -> Vec<Sequence> {
        let end = segment.first + u64::from(segment.count);
        let runs = unfinished_runs(&self.unfinished, &segment);
        let mut without = Vec::new();
        if runs.is_empty() {
            return without;
        }
        for &(start, end) in &runs {
            if !self.graphs.is_empty() {
                without.extend(self.keep(&segment, start, end));
            }
            self.finish(start, end);
        }
        let ended: u64 = runs.iter().map(|(start, end)| end - start).sum();
        if ended + segment.except.len() as u64 == u64::from(segment.count) {
            fresh.push(segment);
        } else if has_values(segment.kind) {
            segment.except = complement(segment.first, end, &runs);
            fresh.push(segment);
        } else {
            // A verdict may be on any number of elements: naming those that it is on is shorter than the others.
            fresh.extend(runs.iter().map(|&(start, end)| Segment {
                first: start,
                count: (end - start) as u32,
                except: Vec::new(),
                ..segment.clone()
            }));
        }
        without
    }

    /// Elements `start .. end` have this outcome: values that others need are kept. Gives those that have none.
    fn keep(&mut self, segment: &Segment<P>, start: Sequence, end: Sequence) -> Vec<Sequence> {
        let needed = self.graphs.without_value(start, end);
        let Some(form) = segment.kind.form() else {
            return needed;
        };
        for sequence in needed {
            let value = Value {
                count: segment.count,
                form,
                payload: segment.payload.clone(),
                index: (sequence - segment.first) as u32,
            };
            if let Some(key) = value.object() {
                self.objects.begin_use(key);
            }
            self.graphs.keep(sequence, value);
        }
        Vec::new()
    }

    /// What needs elements without a value, itself or by others, ends; each names the first one.
    fn fall(&mut self, without: Vec<Sequence>, fresh: &mut Vec<Segment<P>>) {
        for root in without {
            let mut falling = self.graphs.fall(root).into_vec();
            while let Some(sequence) = falling.pop() {
                if !self.unfinished.contains(sequence) {
                    continue;
                }
                let wanted = self.graphs.is_wanted(sequence);
                self.finish(sequence, sequence + 1);
                falling.extend(self.graphs.fall(sequence));
                if wanted {
                    fresh.push(fallen(sequence, root));
                }
            }
        }
    }

    /// The scheduler lacks values that the client was told.
    fn give(&mut self, sequences: &[Sequence]) {
        let mut given = Vec::with_capacity(sequences.len());
        for &on in sequences {
            let (answer, value) = self.graphs.give(on);
            if let Some(value) = value {
                self.push(Message::Value {
                    id: answer.value,
                    count: value.count,
                    form: value.form,
                    payload: value.payload,
                });
            }
            given.push(answer);
        }
        let ids: Vec<u64> = given.iter().map(|given| given.value).collect();
        let ids: Vec<u64> = ids.into_iter().filter(|&id| id > 0).collect();
        self.push(Message::Given { given });
        if !ids.is_empty() {
            self.push(Message::DropValues { ids });
        }
    }

    /// Elements have their outcome, and with them those whose values nobody needs any more.
    fn finish(&mut self, start: Sequence, end: Sequence) {
        self.finish_run(start, end);
        while let Some(on) = self.unneeded.pop() {
            if self.unfinished.contains(on) {
                self.finish_run(on, on + 1);
            }
        }
    }

    fn finish_run(&mut self, start: Sequence, end: Sequence) {
        self.unfinished.remove(start, end);
        self.cancelled.remove(start, end);
        let mut at = start;
        while at < end {
            let (first, array) =
                arrays::holding(&mut self.arrays, at).expect("unfinished elements are stored");
            let upto = end.min(first + u64::from(array.count()));
            let (from, to) = ((at - first) as u32, (upto - first) as u32);
            array.finish(from, to);
            let needs: Vec<Need> = array.needs(from, to).to_vec();
            for key in array.objects_ended(from, to) {
                self.end_use(key);
            }
            let array = &self.arrays[&first];
            if array.left() == 0 {
                let function = array.function;
                self.arrays.remove(&first);
                self.array_gone(function);
            }
            for need in needs {
                self.let_go(&need, first + u64::from(need.element));
            }
            at = upto;
        }
    }

    /// An element that has its outcome needs another one no more. One that is not wanted ends with the last to need it.
    fn let_go(&mut self, need: &Need, dependent: Sequence) {
        let ended = self.graphs.let_go(need, dependent);
        if let Some(key) = ended.value.and_then(|value| value.object()) {
            self.end_use(key);
        }
        self.unneeded.extend(ended.unneeded);
    }

    fn end_use(&mut self, key: ObjectKey) {
        if self.objects.end_use(key) {
            self.push(Message::ReleaseObject { key });
        }
    }

    fn array_gone(&mut self, function: FunctionId) {
        self.functions
            .get_mut(&function)
            .expect("an array's function is kept")
            .arrays -= 1;
        self.drop_function_if_unused(function);
    }

    fn drop_function_if_unused(&mut self, id: FunctionId) {
        let Some(function) = self.functions.get(&id) else {
            return;
        };
        if function.forgotten && function.arrays == 0 {
            self.functions.remove(&id);
            self.push(Message::ForgetFunction { id });
        }
    }
}

/// The outcome of what needs an element without a value.
fn fallen<P: Payload>(sequence: Sequence, root: Sequence) -> Segment<P> {
    Segment {
        first: sequence,
        count: 1,
        kind: OutcomeKind::Failure,
        payload: P::from_vec(Vec::new()),
        failure: Some(Failure {
            code: FailureCode::Dependency,
            attempts: 0,
            status: 0,
            nodes: Vec::new(),
            detail: root.to_string(),
        }),
        except: Vec::new(),
        busy_us: 0,
    }
}

fn payload_bytes<P: Payload>(message: &Message<P>) -> u64 {
    match message {
        Message::Function { payload, .. } => payload.len() as u64,
        Message::Submit(submit) => blocks_bytes(&submit.blocks),
        Message::Value { payload, .. } => payload.len() as u64,
        _ => 0,
    }
}

fn blocks_bytes<P: Payload>(blocks: &[Block<P>]) -> u64 {
    blocks.iter().map(|block| block.payload.len() as u64).sum()
}

fn has_values(kind: OutcomeKind) -> bool {
    !matches!(kind, OutcomeKind::Cancelled | OutcomeKind::Failure)
}

fn check<P>(segment: &Segment<P>) -> Result<(), String> {
    let ascending = segment.except.windows(2).all(|pair| pair[0] < pair[1]);
    let inside = segment
        .except
        .last()
        .is_none_or(|&last| last < segment.count);
    let single = matches!(
        segment.kind,
        OutcomeKind::ValueSingle | OutcomeKind::ValueReference | OutcomeKind::Exception
    );
    let most = if single { 1 } else { MOST_VALUES };
    if segment.count == 0
        || !ascending
        || !inside
        || segment
            .first
            .checked_add(u64::from(segment.count))
            .is_none()
    {
        return Err("a segment that covers no elements or excepts others".into());
    }
    if has_values(segment.kind) && segment.count > most {
        return Err("a segment with more elements than its values can be".into());
    }
    if segment.kind == OutcomeKind::Failure && segment.failure.is_none() {
        return Err("a failure that does not say which".into());
    }
    Ok(())
}

/// The unfinished elements that a segment ends, as runs.
fn unfinished_runs<P>(unfinished: &RangeSet, segment: &Segment<P>) -> Vec<(Sequence, Sequence)> {
    let mut runs = Vec::new();
    let mut at = segment.first;
    let stops = segment
        .except
        .iter()
        .map(|&offset| segment.first + u64::from(offset));
    for stop in stops.chain([segment.first + u64::from(segment.count)]) {
        runs.extend(unfinished.overlap(at, stop));
        at = stop + 1;
    }
    runs
}

/// Offsets of the elements of `first .. end` that are in none of `runs` (ascending).
fn complement(first: Sequence, end: Sequence, runs: &[(Sequence, Sequence)]) -> Vec<u32> {
    let mut others = Vec::new();
    let mut at = first;
    for &(start, stop) in runs.iter().chain([&(end, end)]) {
        others.extend((at..start).map(|sequence| (sequence - first) as u32));
        at = stop;
    }
    others
}

/// (offset from `start`, count) of the finished elements among `first + start .. first + end`.
fn gaps(unfinished: &RangeSet, first: Sequence, start: u32, end: u32) -> Vec<(u32, u32)> {
    let from = first + u64::from(start);
    let upto = first + u64::from(end);
    let mut gaps = Vec::new();
    let mut at = from;
    for (run, stop) in unfinished.overlap(from, upto).chain([(upto, upto)]) {
        if at < run {
            gaps.push(((at - from) as u32, (run - at) as u32));
        }
        at = stop;
    }
    gaps
}
