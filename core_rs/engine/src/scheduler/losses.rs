//! Elements that come back from nodes without an outcome, and what counts as an attempt.
//!
//! *Only what really ran counts.* A dead executor's element is named by its node (`Lost`): exact. Of a dead
//! node nobody is left to say. What it last reported to run, and never finished, did run: that counts. Of the rest
//! nothing is known, so nothing counts at first; but these elements are *alone* from then on: one at a time, in free
//! slots only, so that a killer takes no neighbours with it and the next death says more. An element that was alone at
//! [`MOST_UNCERTAIN`] nodes, all of which died before they could say whether it had begun, is taken for their killer
//! all the same: no task may kill nodes for ever.

use std::collections::BTreeSet;

use crate::ranges::RangeSet;
use crate::wire::{
    Failure, FailureCode, LossCause, OutcomeKind, Payload, Range, Segment, Sequence, SessionId,
};

use super::arrays::{ArrayIndex, NodeIndex, Span};
use super::sessions::cancelled;
use super::{check, Scheduler};

/// Deaths of nodes at which an element was alone, not known to have begun, beyond which it is taken for their cause.
const MOST_UNCERTAIN: u32 = 10;

/// Elements that a node reported to run.
type Started = BTreeSet<(SessionId, Sequence)>;

/// What a node's death says of an element.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Ran,
    /// It was alone in a slot.
    Perhaps,
    Unknown,
}

impl<P: Payload> Scheduler<P> {
    /// The node has not started these, and does not have them any more.
    pub(super) fn gave_back(&mut self, from: NodeIndex, ranges: &[Range]) -> Result<(), String> {
        check::ranges(ranges)?;
        let helps = ranges.iter().any(|range| self.helps_the_idle(range));
        let node = self.nodes.get_mut(from);
        let asked = std::mem::take(&mut node.reclaiming);
        if asked && !helps {
            node.reclaimed_in_vain(self.now);
        }
        node.gave_back = asked;
        node.reluctant |= !asked && !ranges.is_empty();
        self.take_given_back(from, ranges)
    }

    /// Whether some node with a free slot may run elements of the range. If none, they go to the queue of a node that is
    /// as busy as theirs, from which they would be taken back again at once.
    fn helps_the_idle(&self, range: &Range) -> bool {
        let Some(owner) = self.session_of(range.session) else {
            return false;
        };
        let end = range.first + range.count;
        self.arrays_in(owner, range.first, end)
            .into_iter()
            .any(|index| {
                let class = self.classes.get(self.arrays[index].class);
                self.nodes.idle.iter().any(|&signature| {
                    let signature = self.nodes.signature(signature);
                    signature.satisfies(&class.capabilities, class.python_minor)
                })
            })
    }

    /// These are no longer at the node: pending again, or answered where they were cancelled.
    pub(super) fn take_given_back(
        &mut self,
        from: NodeIndex,
        ranges: &[Range],
    ) -> Result<(), String> {
        check::ranges(ranges)?;
        for range in ranges {
            let end = range.first + range.count;
            let owner = self.session_of(range.session);
            let mut here = 0;
            let arrays = owner.map(|owner| self.arrays_in(owner, range.first, end));
            for index in arrays.into_iter().flatten() {
                let (start, stop) = self.arrays[index].clip(range.first, end);
                for span in self.take_from_nodes(index, Some(from), start, stop) {
                    here += u64::from(span.end - span.start);
                    #[cfg(feature = "planted")]
                    if self.bugs.skip_give_back {
                        continue;
                    }
                    self.return_elements(index, span.start, span.end);
                }
            }
            if here < range.count {
                here += self.lay_ghosts(from, range.session, range.first, end);
                here += self.lay_orphans(from, range.session, range.first, end);
            }
            self.explain_missing(from, owner, range.count, here)?;
        }
        Ok(())
    }

    /// Elements in no place are pending again, those that were cancelled answered.
    fn return_elements(&mut self, index: ArrayIndex, start: u32, end: u32) {
        let (cancels, others) = self.arrays[index].split_cancelled(start, end);
        for (start, end) in others {
            self.make_pending(index, start, end);
        }
        self.answer_cancelled(index, &cancels);
    }

    pub(super) fn answer_cancelled(&mut self, index: ArrayIndex, runs: &[(u32, u32)]) {
        for &(start, end) in runs {
            self.tell_cancelled(index, start, end);
            self.finish(index, start, end);
        }
    }

    fn tell_cancelled(&mut self, index: ArrayIndex, start: u32, end: u32) {
        let array = &self.arrays[index];
        let (owner, first) = (array.session, array.first);
        let mut told = RangeSet::of(start.into(), end.into());
        let extras = array.extras.as_deref();
        let unneeded = extras.map(|extras| &extras.unneeded);
        let inside = |set: &RangeSet| set.overlap(start.into(), end.into()).collect::<Vec<_>>();
        for (from, upto) in unneeded.map(inside).unwrap_or_default() {
            told.remove(from, upto);
        }
        for (from, upto) in told.iter() {
            self.tell(owner, cancelled(first + from, (upto - from) as u32));
        }
    }

    /// An element had started, and its executor is gone.
    pub(super) fn lost(
        &mut self,
        from: NodeIndex,
        id: SessionId,
        sequence: Sequence,
        cause: LossCause,
        (status, detail): (i32, String),
    ) -> Result<(), String> {
        let end = sequence
            .checked_add(1)
            .ok_or("elements past the last number")?;
        self.nodes.get_mut(from).got_on(self.now);
        let owner = self.session_of(id);
        let arrays = owner.map(|owner| self.arrays_in(owner, sequence, end));
        for index in arrays.into_iter().flatten() {
            let (offset, stop) = self.arrays[index].clip(sequence, end);
            if self
                .take_from_nodes(index, Some(from), offset, stop)
                .is_empty()
            {
                continue;
            }
            if self.arrays[index].is_cancelled(offset) {
                self.answer_cancelled(index, &[(offset, stop)]);
            } else if cause == LossCause::Collateral {
                self.make_pending(index, offset, stop);
            } else {
                let name = self.nodes.get(from).name.clone();
                let trial = self.arrays[index]
                    .extras()
                    .trials
                    .entry(offset)
                    .or_default();
                trial.deaths += 1;
                trial.status = status;
                trial.detail = check::clipped(detail);
                trial.nodes.push(name);
                self.arrays[index]
                    .extras()
                    .alone
                    .insert(offset.into(), stop.into());
                self.try_again_or_fail(index, offset, FailureCode::ProcessorDied);
            }
            return Ok(());
        }
        let mut here = self.lay_ghosts(from, id, sequence, end);
        here += self.lay_orphans(from, id, sequence, end);
        self.explain_missing(from, owner, 1, here)
    }

    /// An element in no place that died once more.
    fn try_again_or_fail(&mut self, index: ArrayIndex, offset: u32, code: FailureCode) {
        let most = self.config.max_attempts;
        let array = &self.arrays[index];
        let trial = array.trial(offset).cloned().unwrap_or_default();
        let vanished = trial.uncertain >= MOST_UNCERTAIN.max(most);
        if trial.deaths < most && !vanished {
            return self.make_pending(index, offset, offset + 1);
        }
        let detail = if vanished {
            format!(
                "{} nodes died with it alone in a slot, before they could say whether it had begun",
                trial.uncertain
            )
        } else if code == FailureCode::ProcessorDied {
            trial.detail
        } else {
            String::new()
        };
        let status = match code {
            FailureCode::ProcessorDied => trial.status,
            _ => 0,
        };
        let attempts = if vanished {
            trial.deaths + trial.uncertain
        } else {
            trial.deaths
        };
        let segment = Segment {
            first: array.first + u64::from(offset),
            count: 1,
            kind: OutcomeKind::Failure,
            payload: P::from_vec(Vec::new()),
            failure: Some(Failure {
                code,
                attempts,
                status,
                nodes: super::outcomes::names(&trial.nodes, Vec::new()),
                detail,
            }),
            except: Vec::new(),
            busy_us: 0,
        };
        let owner = array.session;
        self.finish(index, offset, offset + 1);
        self.tell(owner, segment);
    }

    /// Takes everything from a node that is gone.
    pub(super) fn node_died(&mut self, index: NodeIndex) {
        let node = self.nodes.get_mut(index);
        let arrays: Vec<ArrayIndex> = node.book.keys().copied().collect();
        let started = std::mem::take(&mut node.started);
        for array in arrays {
            let count = self.arrays[array].count;
            for span in self.take_from_nodes(array, Some(index), 0, count) {
                self.died_with_node(index, &started, array, span);
            }
        }
        let node = self.nodes.get_mut(index);
        let ghosts = std::mem::take(&mut node.ghosts);
        let orphans = std::mem::take(&mut node.orphans);
        let gone: u64 = ghosts
            .values()
            .chain(orphans.values())
            .map(|set| set.len())
            .sum();
        node.assigned -= gone as u32;
        node.book.clear();
        node.idle_blocks.clear();
        node.out.clear();
        for (session, set) in ghosts {
            self.ghosts_gone(session, set.len());
            if self.session_of(session).is_none() {
                self.ended.note(self.now, session);
            }
        }
        for (session, set) in orphans {
            self.orphans_gone(session, &set);
        }
        self.touch(index);
    }

    fn died_with_node(
        &mut self,
        node: NodeIndex,
        started: &Started,
        index: ArrayIndex,
        span: Span,
    ) {
        if self.nodes.get(node).offload {
            // What ran ran elsewhere: it neither ended the node nor ended with it.
            return self.return_elements(index, span.start, span.end);
        }
        let mut at = span.start;
        while at < span.end {
            let (verdict, stop) = self.verdict(started, index, at, span.end);
            if verdict == Verdict::Unknown {
                self.suspect(index, at, stop);
            } else {
                self.die_once(node, index, at, verdict);
            }
            at = stop;
        }
    }

    /// What a node's death says of the element at `offset`, and up to where it says the same of the next ones.
    fn verdict(
        &self,
        started: &Started,
        index: ArrayIndex,
        offset: u32,
        end: u32,
    ) -> (Verdict, u32) {
        #[cfg(feature = "planted")]
        if self.bugs.count_unstarted_attempt {
            return (Verdict::Ran, offset + 1);
        }
        let array = &self.arrays[index];
        let id = array.session_id;
        let at = |offset: u32| (id, array.first + u64::from(offset));
        let ran = started.range(at(offset)..at(end)).next();
        let ran = ran.map_or(end, |(_, sequence)| (sequence - array.first) as u32);
        if ran == offset {
            return (Verdict::Ran, offset + 1);
        }
        let extras = array.extras.as_deref();
        let alone = extras.and_then(|it| it.alone.overlap(offset.into(), ran.into()).next());
        match alone {
            Some((first, _)) if first == u64::from(offset) => (Verdict::Perhaps, offset + 1),
            Some((first, _)) => (Verdict::Unknown, first as u32),
            None => (Verdict::Unknown, ran),
        }
    }

    /// Elements came back from a dead node, and nothing more is known of them.
    fn suspect(&mut self, index: ArrayIndex, start: u32, end: u32) {
        let extras = self.arrays[index].extras();
        extras.alone.insert(start.into(), end.into());
        self.return_elements(index, start, end);
    }

    fn die_once(&mut self, node: NodeIndex, index: ArrayIndex, offset: u32, verdict: Verdict) {
        if self.arrays[index].is_cancelled(offset) {
            return self.answer_cancelled(index, &[(offset, offset + 1)]);
        }
        let node = self.nodes.get(node);
        let (link, name) = (node.link, node.name.clone());
        let extras = self.arrays[index].extras();
        extras.alone.insert(offset.into(), u64::from(offset) + 1);
        let trial = extras.trials.entry(offset).or_default();
        match verdict {
            Verdict::Ran => trial.deaths += 1,
            _ => trial.uncertain += 1,
        }
        trial.blamed = Some((link, verdict == Verdict::Ran));
        trial.nodes.push(name);
        self.try_again_or_fail(index, offset, FailureCode::WorkerDied);
    }
}
