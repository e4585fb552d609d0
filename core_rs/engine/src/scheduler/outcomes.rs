//! What nodes say became of elements.

use smallvec::SmallVec;

use crate::wire::{Failure, LinkId, OutcomeKind, Payload, Segment, Sequence, SessionId};

use super::arrays::{ArrayIndex, NodeIndex, SessionIndex};
use super::{check, Scheduler};

/// Runs of sequences, `start .. end`.
type Runs = SmallVec<[(Sequence, Sequence); 4]>;

impl<P: Payload> Scheduler<P> {
    /// Outcomes of elements. Those that were cancelled before get `Cancelled` instead; exceptions may be tried again.
    pub(super) fn done(
        &mut self,
        from: NodeIndex,
        id: SessionId,
        segment: Segment<P>,
    ) -> Result<(), String> {
        check::segment(&segment)?;
        self.nodes.get_mut(from).got_on(self.now);
        let end = segment.first + u64::from(segment.count);
        let owner = self.session_of(id);
        let link = self.nodes.get(from).link;
        let mut accepted = Runs::new();
        let mut at = segment.first;
        let stops = segment.except.iter().map(|&e| segment.first + u64::from(e));
        let stops: SmallVec<[Sequence; 4]> = stops.chain([end]).collect();
        let mut measured = false;
        for stop in stops {
            let (start, stop, next) = (at, stop, stop + 1);
            at = next;
            if start >= stop {
                continue;
            }
            let mut here = self.lay_ghosts(from, id, start, stop);
            if let Some(owner) = owner.filter(|_| here == 0) {
                for array in self.arrays_in(owner, start, stop) {
                    if !measured {
                        measured = true;
                        self.measure(array, &segment);
                        self.weigh(from, array, segment.count);
                    }
                    here += self.done_in(from, array, (start, stop), segment.kind, &mut accepted);
                }
            }
            if here < stop - start {
                here += self.done_orphans(from, id, &segment, start, stop);
            }
            self.explain_missing(from, owner, stop - start, here)?;
        }
        match owner {
            Some(owner) => self.deliver(owner, segment, &accepted, link),
            None if !self.keeps_outcome(id, segment.first) => self.discard_reference(&segment),
            None => {}
        }
        Ok(())
    }

    /// An element that the node cannot have: its book is exact, unless it brought work from an earlier epoch.
    pub(super) fn explain_missing(
        &self,
        from: NodeIndex,
        owner: Option<SessionIndex>,
        named: u64,
        here: u64,
    ) -> Result<(), String> {
        let lenient = self.nodes.get(from).resumed || owner.is_none();
        if here >= named || lenient {
            Ok(())
        } else {
            Err("a node spoke of elements that it does not have".into())
        }
    }

    fn measure(&mut self, array: ArrayIndex, segment: &Segment<P>) {
        let ran = !matches!(segment.kind, OutcomeKind::Cancelled | OutcomeKind::Failure);
        if ran {
            let elements = u64::from(segment.count) - segment.except.len() as u64;
            let array = &self.arrays[array];
            let function = self.functions.get_mut(array.function);
            function.measure(elements, segment.busy_us);
            let class = self.classes.get_mut(array.class);
            class.measure(elements, segment.busy_us);
        }
    }

    /// Takes what of `start .. stop` is in this array out of its place. Gives how many elements the node had.
    fn done_in(
        &mut self,
        from: NodeIndex,
        index: ArrayIndex,
        (start, stop): (Sequence, Sequence),
        kind: OutcomeKind,
        accepted: &mut Runs,
    ) -> u64 {
        let (start, stop) = self.arrays[index].clip(start, stop);
        let spans = self.take_from_nodes(index, Some(from), start, stop);
        let mut here = spans
            .iter()
            .map(|span| u64::from(span.end - span.start))
            .sum();
        let mut runs: SmallVec<[(u32, u32); 2]> =
            spans.iter().map(|span| (span.start, span.end)).collect();
        if here < u64::from(stop - start) && self.may_be_late(from, index, start, kind) {
            // It finished them before its link began anew, and nobody else has them yet.
            let pending = self.take_unassigned(index, start, stop);
            here += pending.iter().map(|(s, e)| u64::from(e - s)).sum::<u64>();
            runs.extend(pending);
            runs.sort_unstable();
        }
        let first = self.arrays[index].first;
        for (start, end) in runs {
            let run = (first + u64::from(start), first + u64::from(end));
            match accepted.last_mut() {
                Some(last) if last.1 == run.0 => last.1 = run.1,
                _ => accepted.push(run),
            }
        }
        here
    }

    /// Whether an outcome may be of elements that are not in the node's book: it finished them before its link began anew.
    fn may_be_late(
        &self,
        from: NodeIndex,
        index: ArrayIndex,
        offset: u32,
        kind: OutcomeKind,
    ) -> bool {
        let node = self.nodes.get(from);
        let told_before = || {
            let trial = self.arrays[index].trial(offset);
            trial.is_some_and(|trial| trial.raised_at == Some(node.link))
        };
        match kind {
            OutcomeKind::Cancelled => false,
            OutcomeKind::Exception => node.resumed && !told_before(),
            _ => node.resumed,
        }
    }

    /// Hands on the outcomes, told by link `from`, of elements that are in no place now.
    pub(super) fn deliver(
        &mut self,
        owner: SessionIndex,
        segment: Segment<P>,
        accepted: &Runs,
        from: LinkId,
    ) {
        let mut told = Runs::new();
        for &(start, end) in accepted {
            for index in self.arrays_in(owner, start, end) {
                let (start, upto) = self.arrays[index].clip(start, end);
                self.deliver_in(owner, index, (start, upto), (&segment, from), &mut told);
            }
        }
        self.tell_runs(owner, segment, &told);
    }

    fn deliver_in(
        &mut self,
        owner: SessionIndex,
        index: ArrayIndex,
        (start, end): (u32, u32),
        (segment, from): (&Segment<P>, LinkId),
        told: &mut Runs,
    ) {
        let (cancels, mut others) = self.arrays[index].split_cancelled(start, end);
        #[cfg(feature = "planted")]
        if self.bugs.deliver_cancelled && segment.kind != OutcomeKind::Cancelled {
            others = smallvec::smallvec![(start, end)];
        }
        #[cfg(feature = "planted")]
        let cancels = if others.as_slice() == [(start, end)] {
            Default::default()
        } else {
            cancels
        };
        self.answer_cancelled(index, &cancels);
        if segment.kind == OutcomeKind::Exception && self.tries_again(index, &others, from) {
            return;
        }
        if segment.kind == OutcomeKind::Cancelled {
            // Nobody asked: an earlier scheduler moved them away from this node, and only that one knew where to.
            for (start, end) in others {
                self.make_pending(index, start, end);
            }
            return;
        }
        let mut value = None;
        for (start, end) in std::mem::take(&mut others) {
            self.keep_values(index, (start, end), segment, &mut value);
            if segment.kind == OutcomeKind::Failure && self.arrays[index].extras.is_some() {
                self.tell_failures(owner, index, start, end, segment);
            } else {
                self.note_told(index, (start, end), segment.kind, told);
            }
            self.finish(index, start, end);
        }
    }

    /// Outcomes that the client is to be told: all but values that it does not want.
    fn note_told(
        &self,
        index: ArrayIndex,
        (start, end): (u32, u32),
        kind: OutcomeKind,
        told: &mut Runs,
    ) {
        let array = &self.arrays[index];
        let mut note = |start: u32, end: u32| {
            let run = (array.first + u64::from(start), array.first + u64::from(end));
            match told.last_mut().filter(|last| last.1 == run.0) {
                Some(last) => last.1 = run.1,
                None if start < end => told.push(run),
                None => {}
            }
        };
        let extras = array.extras.as_deref().filter(|_| kind.form().is_some());
        let mut at = start;
        if let Some(extras) = extras {
            for (from, upto) in extras.silent.overlap(start.into(), end.into()) {
                note(at, from as u32);
                at = upto as u32;
            }
        }
        note(at, end);
    }

    /// An element raised: whether it may run again, and if so it is pending.
    fn tries_again(&mut self, index: ArrayIndex, runs: &[(u32, u32)], from: LinkId) -> bool {
        let Some(&(offset, end)) = runs.first() else {
            return false;
        };
        let array = &mut self.arrays[index];
        let retries = self.options.get(array.options).options.retries;
        let raised = array.trial(offset).map_or(0, |trial| trial.raised);
        if raised >= retries {
            return false;
        }
        let trial = array.extras().trials.entry(offset).or_default();
        trial.raised += 1;
        trial.raised_at = Some(from);
        self.make_pending(index, offset, end);
        true
    }

    /// The node's verdict, element by element: attempts before this one count.
    fn tell_failures(
        &mut self,
        owner: SessionIndex,
        index: ArrayIndex,
        start: u32,
        end: u32,
        segment: &Segment<P>,
    ) {
        let first = self.arrays[index].first;
        let given = segment.failure.clone();
        let mut at = start;
        while at < end {
            let extras = self.arrays[index].extras.as_deref();
            let trials = extras.map(|extras| &extras.trials);
            let next = trials.and_then(|trials| trials.range(at..end).next());
            let (stop, failure) = match next {
                Some((&offset, trial)) if offset == at => {
                    let before = trial.deaths + trial.uncertain;
                    let failure = given.clone().map(|failure| Failure {
                        attempts: failure.attempts + before,
                        nodes: names(&trial.nodes, failure.nodes),
                        ..failure
                    });
                    (at + 1, failure)
                }
                Some((&offset, _)) => (offset, given.clone()),
                None => (end, given.clone()),
            };
            let told = Segment {
                first: first + u64::from(at),
                count: stop - at,
                failure,
                except: Vec::new(),
                ..segment.clone()
            };
            self.tell(owner, told);
            at = stop;
        }
    }

    /// Passes on a node's segment for those of its elements that are in `runs`.
    fn tell_runs(&mut self, owner: SessionIndex, mut segment: Segment<P>, runs: &Runs) {
        let told: u64 = runs.iter().map(|(start, end)| end - start).sum();
        if told == 0 {
            return self.discard_reference(&segment);
        }
        self.note_reference(owner, &segment);
        if told + segment.except.len() as u64 == u64::from(segment.count) {
            return self.tell(owner, segment);
        }
        if matches!(segment.kind, OutcomeKind::Cancelled | OutcomeKind::Failure) {
            for &(start, end) in runs {
                let part = Segment {
                    first: start,
                    count: (end - start) as u32,
                    except: Vec::new(),
                    ..segment.clone()
                };
                self.tell(owner, part);
            }
            return;
        }
        segment.except = complement(&segment, runs);
        self.tell(owner, segment);
    }
}

pub(super) fn names(before: &[std::sync::Arc<str>], last: Vec<String>) -> Vec<String> {
    let mut names: Vec<String> = before.iter().map(|name| name.to_string()).collect();
    names.extend(last);
    names
}

/// Offsets of the segment's elements that are in none of `runs` (ascending).
fn complement<P>(segment: &Segment<P>, runs: &Runs) -> Vec<u32> {
    let end = segment.first + u64::from(segment.count);
    let mut others = Vec::new();
    let mut at = segment.first;
    for &(start, stop) in runs.iter().chain([&(end, end)]) {
        others.extend((at..start).map(|sequence| (sequence - segment.first) as u32));
        at = stop;
    }
    others
}
