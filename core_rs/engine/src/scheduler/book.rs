//! Moving elements between their places, with all counters that follow.

use smallvec::SmallVec;

use crate::wire::{Payload, Range, Sequence, SessionId};

use super::arrays::{ArrayIndex, NodeIndex, SessionIndex, Span};
use super::Scheduler;

impl<P: Payload> Scheduler<P> {
    pub(super) fn session_of(&self, id: SessionId) -> Option<SessionIndex> {
        self.by_session.get(&id).copied()
    }

    /// Arrays of a session that hold any of `first .. end`, in order.
    pub(super) fn arrays_in(
        &self,
        session: SessionIndex,
        first: Sequence,
        end: Sequence,
    ) -> SmallVec<[ArrayIndex; 1]> {
        let arrays = &self.sessions[session as usize].arrays;
        let mut found = SmallVec::new();
        if let Some((_, &before)) = arrays.range(..first).next_back() {
            if self.arrays[before].end() > first {
                found.push(before);
            }
        }
        if first < end {
            found.extend(arrays.range(first..end).map(|(_, &array)| array));
        }
        found
    }

    /// Elements in no place become pending, or blocked where they lack values of others.
    pub(super) fn make_pending(&mut self, index: ArrayIndex, start: u32, end: u32) {
        let extras = self.arrays[index].extras.as_deref();
        if extras.is_none_or(|extras| extras.needs.is_empty()) {
            return self.enqueue(index, start, end);
        }
        for (start, end) in self.block(index, start, end) {
            self.enqueue(index, start, end);
        }
    }

    fn enqueue(&mut self, index: ArrayIndex, start: u32, end: u32) {
        let array = &mut self.arrays[index];
        array.pending.insert(start.into(), end.into());
        let elements = u64::from(end - start);
        let session = &mut self.sessions[array.session as usize];
        session.pending += elements;
        session.classes.insert(array.class);
        self.pending += elements;
        let (class, owner, key) = (array.class, array.session, array.key);
        let parked = session.is_parked();
        self.classes
            .enqueue(class, owner, key, index, elements, parked);
    }

    /// Notes that `elements` of an array were taken from its pending ones.
    pub(super) fn unpended(&mut self, index: ArrayIndex, elements: u64) {
        let array = &self.arrays[index];
        self.sessions[array.session as usize].pending -= elements;
        self.pending -= elements;
        let empty = array.pending.is_empty();
        self.classes
            .dequeue(array.class, array.session, array.key, elements, empty);
    }

    /// Takes those of `start .. end` that are at no node out of where they are: into no place. Runs in order.
    pub(super) fn take_unassigned(
        &mut self,
        index: ArrayIndex,
        start: u32,
        end: u32,
    ) -> SmallVec<[(u32, u32); 2]> {
        let array = &mut self.arrays[index];
        let overlap = array.pending.overlap(start.into(), end.into());
        let runs: SmallVec<[(u32, u32); 2]> = overlap.map(|(s, e)| (s as u32, e as u32)).collect();
        for &(start, end) in &runs {
            let array = &mut self.arrays[index];
            array.pending.remove(start.into(), end.into());
            self.unpended(index, u64::from(end - start));
        }
        let blocked = self.take_blocked(index, start, end);
        if blocked.is_empty() {
            return runs;
        }
        let mut runs = runs;
        runs.extend(blocked);
        runs.sort_unstable();
        runs
    }

    /// Elements in no place are at a node from now on. `sent`: their arguments are there already.
    pub(super) fn put_at_node(&mut self, index: ArrayIndex, span: Span, sent: bool) {
        let array = &mut self.arrays[index];
        array.put_span(span);
        let node = self.nodes.get_mut(span.node);
        let elements = span.end - span.start;
        if node.assigned < node.slots {
            node.progress_at = self.now;
        }
        node.assigned += elements;
        node.count_deep(array.key.depth.0, elements, 0);
        node.load_us += span.load_us();
        if !node.offload {
            self.classes.get_mut(array.class).assigned += u64::from(elements);
        }
        let mut block = array.block_of(span.start);
        let mut at = span.start;
        while at < span.end {
            let stop = array.block_end(block).min(span.end);
            node.add_block(index, block as u32, stop - at, sent);
            at = stop;
            block += 1;
        }
        self.assigned += u64::from(elements);
        self.regard_node(span.node);
    }

    /// Takes those of `start .. end` that are at `node` (or at any) away from there: into no place.
    pub(super) fn take_from_nodes(
        &mut self,
        index: ArrayIndex,
        node: Option<NodeIndex>,
        start: u32,
        end: u32,
    ) -> SmallVec<[Span; 2]> {
        let taken = self.arrays[index].take_spans(node, start, end);
        for span in &taken {
            let array = &self.arrays[index];
            let node = self.nodes.get_mut(span.node);
            if !node.started.is_empty() {
                let id = array.session_id;
                let at = |offset: u32| (id, array.first + u64::from(offset));
                let here = at(span.start)..at(span.end);
                while let Some(&element) = node.started.range(here.clone()).next() {
                    node.started.remove(&element);
                }
            }
            let mut block = array.block_of(span.start);
            let mut at = span.start;
            while at < span.end {
                let stop = array.block_end(block).min(span.end);
                node.remove_block(index, block as u32, stop - at);
                at = stop;
                block += 1;
            }
            node.assigned -= span.end - span.start;
            node.count_deep(array.key.depth.0, 0, span.end - span.start);
            if !node.offload {
                self.classes.get_mut(array.class).assigned -= u64::from(span.end - span.start);
            }
            let first = array.first;
            let sequence = |offset: u32| first + u64::from(offset);
            let (first, end) = (sequence(span.start), sequence(span.end));
            self.nesting.disturb(array.session_id, first, end);
            node.load_us -= span.load_us();
            self.assigned -= u64::from(span.end - span.start);
            self.touch(span.node);
        }
        taken
    }

    /// Elements in no place have their outcome, which the caller tells. The array is gone when they were its last.
    pub(super) fn finish(&mut self, index: ArrayIndex, start: u32, end: u32) {
        self.unbind(index, start, end);
        self.finish_alone(index, start, end);
    }

    /// Nothing follows for other elements: it did when these had their outcome.
    pub(super) fn finish_alone(&mut self, index: ArrayIndex, start: u32, end: u32) {
        self.release_uses(index, start, end);
        let array = &mut self.arrays[index];
        let freed = array.finish(start, end) as u64;
        let (owner, left) = (array.session, array.left);
        self.sessions[owner as usize].bytes -= freed;
        self.bytes -= freed;
        if left == 0 {
            self.forget_array(index);
        }
    }

    fn forget_array(&mut self, index: ArrayIndex) {
        let array = &self.arrays[index];
        debug_assert!(array.pending.is_empty() && array.spans().is_empty());
        let overhead = array.overhead() as u64;
        let (first, function, options) = (array.first, array.function, array.options);
        let session = &mut self.sessions[array.session as usize];
        session.arrays.remove(&first);
        session.bytes -= overhead;
        self.bytes -= overhead;
        self.release_function(function);
        if let Some(class) = self.options.release(options) {
            self.classes.release(class);
        }
        self.finished.push(index);
    }

    pub(super) fn range_of(&self, index: ArrayIndex, start: u32, end: u32) -> Range {
        let array = &self.arrays[index];
        Range {
            session: array.session_id,
            first: array.first + u64::from(start),
            count: u64::from(end - start),
        }
    }

    /// Parks or wakes all lanes of a session as its state says.
    pub(super) fn settle_lanes(&mut self, index: SessionIndex) {
        let session = &self.sessions[index as usize];
        let parked = session.is_parked();
        self.fleet.changed = true;
        for &class in &session.classes {
            self.classes.park(class, index, parked);
        }
    }
}
