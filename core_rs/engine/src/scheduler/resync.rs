//! What nodes hold that the scheduler does not know of: after it forgot, and after a link began anew.
//!
//! Elements that run at a node while their session has not told them (again) are *orphans*. A submission claims them:
//! they count as assigned there, and outcomes that came meanwhile are theirs. What nobody claims in time is cancelled.

use std::collections::BTreeMap;

use crate::ranges::RangeSet;
use crate::wire::{LinkId, Payload, Range, Segment, Sequence, SessionId};

use super::arrays::{ArrayIndex, NodeIndex, SessionIndex, Span};
use super::{check, Scheduler};

/// How long elements of a client that begins anew wait for it to tell them.
const RECLAIM_US: u64 = 5_000_000;

#[derive(Debug)]
pub(super) struct Orphans<P> {
    pub until: u64,
    /// First element of each run, its end, and where it is.
    held: BTreeMap<Sequence, (Sequence, NodeIndex)>,
    /// Outcomes that came before the elements were told, by first element.
    outcomes: BTreeMap<Sequence, (LinkId, Segment<P>)>,
}

impl<P: Payload> Scheduler<P> {
    /// What a node that begins anew has in its executors.
    pub(super) fn holding(&mut self, from: NodeIndex, ranges: &[Range]) -> Result<(), String> {
        check::ranges(ranges)?;
        let node = self.nodes.get_mut(from);
        if node.introduced {
            return Err("a node told twice what it holds".into());
        }
        node.introduced = true;
        for range in ranges {
            self.held(from, *range);
        }
        Ok(())
    }

    fn held(&mut self, from: NodeIndex, range: Range) {
        let end = range.first + range.count;
        let mut at = range.first;
        if let Some(owner) = self.session_of(range.session) {
            for index in self.arrays_in(owner, range.first, end) {
                let (first, stop) = (self.arrays[index].first, self.arrays[index].end());
                if at < first {
                    self.unclaimed(from, range.session, at, first);
                }
                let (from_offset, upto) = self.arrays[index].clip(range.first, end);
                self.adopt(from, index, from_offset, upto);
                at = stop.min(end);
            }
        }
        if at < end {
            self.unclaimed(from, range.session, at, end);
        }
    }

    /// A node runs elements that a client has submitted: if nobody else has them they are its, else it is told to stop.
    fn adopt(&mut self, node: NodeIndex, index: ArrayIndex, start: u32, end: u32) {
        let pending = self.take_unassigned(index, start, end);
        let array = &self.arrays[index];
        let cost = self.functions.get(array.function).cost();
        let first = array.first;
        let id = array.session_id;
        let mut at = start;
        for &(from, upto) in pending.iter().chain([&(end, end)]) {
            if at < from {
                let (first, end) = (first + u64::from(at), first + u64::from(from));
                self.haunt(node, id, first, end);
            }
            if from < upto {
                let span = Span {
                    start: from,
                    end: upto,
                    node,
                    cost,
                };
                self.forgive(node, index, from, upto);
                self.put_at_node(index, span, false);
            }
            at = upto;
        }
    }

    /// The node lives: what its death was counted for is undone.
    fn forgive(&mut self, node: NodeIndex, index: ArrayIndex, start: u32, end: u32) {
        let link = self.nodes.get(node).link;
        let Some(extras) = self.arrays[index].extras.as_deref_mut() else {
            return;
        };
        for (_, trial) in extras.trials.range_mut(start..end) {
            match trial.blamed {
                Some((blamed, true)) if blamed == link => trial.deaths -= 1,
                Some((blamed, false)) if blamed == link => trial.uncertain -= 1,
                _ => continue,
            }
            trial.blamed = None;
            trial.nodes.pop();
        }
    }

    /// A node runs elements that nobody has told.
    fn unclaimed(&mut self, from: NodeIndex, id: SessionId, first: Sequence, end: Sequence) {
        let known = self.orphans.contains_key(&id);
        if self.now >= self.resync_until && !known {
            return self.haunt(from, id, first, end);
        }
        let orphans = self.orphans_of(id, self.resync_until);
        let taken = orphans.held.range(..end).next_back();
        if taken.is_some_and(|(_, &(stop, _))| stop > first) {
            return self.haunt(from, id, first, end);
        }
        orphans.held.insert(first, (end, from));
        let node = self.nodes.get_mut(from);
        node.orphans.entry(id).or_default().insert(first, end);
        node.assigned += (end - first) as u32;
        self.touch(from);
    }

    fn orphans_of(&mut self, id: SessionId, until: u64) -> &mut Orphans<P> {
        let orphans = self.orphans.entry(id).or_insert_with(|| Orphans {
            until,
            held: BTreeMap::new(),
            outcomes: BTreeMap::new(),
        });
        orphans.until = orphans.until.max(until);
        orphans
    }

    /// The session's client begins anew: what is at nodes waits for it to tell it again.
    pub(super) fn orphan_session(&mut self, index: SessionIndex) {
        let id = self.sessions[index as usize].id;
        let until = self.resync_until.max(self.now + RECLAIM_US);
        for (node, first, end) in self.abandon_work(index) {
            self.orphans_of(id, until);
            self.unclaimed(node, id, first, end);
        }
        self.forget_session(index);
    }

    /// A new array: elements that run somewhere already are assigned there, those that are finished have their outcome.
    pub(super) fn claim_orphans(&mut self, index: ArrayIndex) {
        if self.orphans.is_empty() {
            return;
        }
        let array = &self.arrays[index];
        let (owner, first, end) = (array.session, array.first, array.end());
        let id = self.sessions[owner as usize].id;
        let Some(orphans) = self.orphans.get_mut(&id) else {
            return;
        };
        let outcomes: Vec<Sequence> = orphans.outcomes.range(..end).map(|(&at, _)| at).collect();
        let mut outcomes: Vec<(LinkId, Segment<P>)> = outcomes
            .into_iter()
            .rev()
            .take_while(|at| {
                let segment = &orphans.outcomes[at].1;
                segment.first + u64::from(segment.count) > first
            })
            .collect::<Vec<_>>()
            .into_iter()
            .filter_map(|at| orphans.outcomes.remove(&at))
            .collect();
        outcomes.reverse();
        for (node, start, stop) in self.take_orphans(id, first, end) {
            let (from, upto) = self.arrays[index].clip(start, stop);
            self.adopt(node, index, from, upto);
        }
        for (from, segment) in outcomes {
            self.deliver_late(owner, index, segment, from);
        }
    }

    /// An outcome that was here before its elements.
    fn deliver_late(
        &mut self,
        owner: SessionIndex,
        index: ArrayIndex,
        segment: Segment<P>,
        link: LinkId,
    ) {
        let first = self.arrays[index].first;
        let mut accepted = smallvec::SmallVec::new();
        let mut at = segment.first;
        let end = segment.first + u64::from(segment.count);
        let stops: Vec<_> = segment
            .except
            .iter()
            .map(|&offset| segment.first + u64::from(offset))
            .chain([end])
            .collect();
        for stop in stops {
            let (from, upto) = self.arrays[index].clip(at, stop);
            for (start, end) in self.take_unassigned(index, from, upto) {
                accepted.push((first + u64::from(start), first + u64::from(end)));
            }
            at = stop + 1;
        }
        self.deliver(owner, segment, &accepted, link);
    }

    /// Takes runs of `first .. end` from among the orphans: they are at these nodes, and in nobody's book.
    fn take_orphans(
        &mut self,
        id: SessionId,
        first: Sequence,
        end: Sequence,
    ) -> Vec<(NodeIndex, Sequence, Sequence)> {
        let Some(orphans) = self.orphans.get_mut(&id) else {
            return Vec::new();
        };
        let before = orphans.held.range(..=first).next_back();
        let from = before.map_or(first, |(&start, _)| start);
        let runs: Vec<_> = orphans
            .held
            .range(from..end.max(from))
            .map(|(&start, &(stop, node))| (start, stop, node))
            .filter(|&(_, stop, _)| stop > first)
            .collect();
        let mut taken = Vec::new();
        for (start, stop, node) in runs {
            orphans.held.remove(&start);
            let (from, upto) = (start.max(first), stop.min(end));
            if start < from {
                orphans.held.insert(start, (from, node));
            }
            if upto < stop {
                orphans.held.insert(upto, (stop, node));
            }
            taken.push((node, from, upto));
        }
        for &(index, first, end) in &taken {
            let node = self.nodes.get_mut(index);
            node.assigned -= (end - first) as u32;
            if let Some(set) = node.orphans.get_mut(&id) {
                set.remove(first, end);
                if set.is_empty() {
                    node.orphans.remove(&id);
                }
            }
            self.touch(index);
        }
        taken
    }

    /// Outcomes of elements that nobody has told: kept for who will. Gives how many of them the node had.
    pub(super) fn done_orphans(
        &mut self,
        from: NodeIndex,
        id: SessionId,
        segment: &Segment<P>,
        start: Sequence,
        stop: Sequence,
    ) -> u64 {
        let here = self.lay_orphans(from, id, start, stop);
        let waiting = self.now < self.resync_until && self.nodes.get(from).resumed;
        if here > 0 || waiting {
            let until = self.resync_until;
            let link = self.nodes.get(from).link;
            let orphans = self.orphans_of(id, until);
            orphans
                .outcomes
                .entry(segment.first)
                .or_insert_with(|| (link, segment.clone()));
        }
        here
    }

    /// Whether the outcome that begins with this element waits for its session.
    pub(super) fn keeps_outcome(&self, id: SessionId, first: Sequence) -> bool {
        let orphans = self.orphans.get(&id);
        orphans.is_some_and(|orphans| orphans.outcomes.contains_key(&first))
    }

    /// Orphans that are not at the node any more. Gives how many.
    pub(super) fn lay_orphans(
        &mut self,
        from: NodeIndex,
        id: SessionId,
        start: Sequence,
        stop: Sequence,
    ) -> u64 {
        let orphans = self.nodes.get(from).orphans.get(&id);
        let runs: Vec<_> = orphans.map_or(Vec::new(), |set| set.overlap(start, stop).collect());
        let taken = runs
            .into_iter()
            .flat_map(|(start, stop)| self.take_orphans(id, start, stop));
        taken.map(|(_, first, end)| end - first).sum()
    }

    /// The node that had these is gone, its own book with it.
    pub(super) fn orphans_gone(&mut self, id: SessionId, gone: &RangeSet) {
        let Some(orphans) = self.orphans.get_mut(&id) else {
            return;
        };
        for (first, _) in gone.iter() {
            // The node's runs may be several here.
            let end = gone
                .overlap(first, u64::MAX)
                .next()
                .map_or(first, |run| run.1);
            let starts: Vec<_> = orphans.held.range(first..end).map(|(&at, _)| at).collect();
            for start in starts {
                orphans.held.remove(&start);
            }
        }
    }

    /// Cancels what nobody claimed in time.
    pub(super) fn end_orphans(&mut self) {
        let due = |orphans: &Orphans<P>| orphans.until <= self.now;
        let ids: Vec<SessionId> = self
            .orphans
            .iter()
            .filter(|(_, orphans)| due(orphans))
            .map(|(&id, _)| id)
            .collect();
        for id in ids {
            for (node, first, end) in self.take_orphans(id, 0, Sequence::MAX) {
                self.haunt(node, id, first, end);
            }
            let orphans = self.orphans.remove(&id);
            for (_, segment) in orphans.into_iter().flat_map(|it| it.outcomes.into_values()) {
                self.discard_reference(&segment);
            }
        }
    }

    pub(super) fn orphan_count(&self) -> u64 {
        let held = self.orphans.values().flat_map(|orphans| &orphans.held);
        held.map(|(first, (end, _))| end - first).sum()
    }
}
