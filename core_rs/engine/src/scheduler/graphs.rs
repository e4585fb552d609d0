//! Elements that need the values of others: when they may start, what they are given, what goes with whom.
//!
//! Theory of operation. An element whose value others take is *kept*: an entry of its session says how many of them
//! have no outcome yet (those that its client announced, or those that were submitted), holds its value once it is
//! there, and names the elements that wait for it. An element that lacks values is *blocked*, which is a place as
//! pending is; with the last value it becomes pending. With the last user of a value the value goes, and where nobody
//! else wants it, the element that would have given it. What needs an element that ends without a value falls with it;
//! nobody is told, for the client's end of the conversation follows from the same facts.

use smallvec::SmallVec;

use crate::wire::{
    needs_of, Form, GivenValue, Graph, Input, Message, Need, ObjectUse, Payload, Segment, Sequence,
    SessionId, ValueId, WANTED,
};

use super::arrays::{Array, ArrayIndex, NodeIndex, RunList, SessionIndex};
use super::values::{forget_value, ValueIndex};
use super::Scheduler;

/// An element whose value others need.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// Elements without an outcome that take its value; those that were announced, submitted or not, and others.
    pub uses: u32,
    /// Its client said how many take it: those that come later are among `uses`.
    announced: bool,
    /// Where its value is.
    pub value: Option<(ValueIndex, u32)>,
    /// Blocked elements that lack it, none twice.
    pub waiting: SmallVec<[Sequence; 2]>,
}

/// What follows from the outcomes of a turn, as yet undone.
#[derive(Debug, Default)]
pub(super) struct Consequences {
    /// Elements that need one that has no value.
    fallen: Vec<(SessionId, Sequence)>,
    /// Elements whose value nobody needs any more.
    unneeded: Vec<(SessionId, Sequence)>,
}

impl<P> Array<P> {
    pub fn is_blocked(&self, offset: u32) -> bool {
        let extras = self.extras.as_deref();
        extras.is_some_and(|extras| extras.blocked.contains_key(&offset))
    }

    /// The needs of elements `start .. end`.
    fn needs(&self, start: u32, end: u32) -> &[Need] {
        let Some(extras) = self.extras.as_deref() else {
            return &[];
        };
        needs_of(&extras.needs, start, end)
    }
}

impl<P: Payload> Scheduler<P> {
    /// Notes what binds a new array's elements to others. Those that are `finished` bind nobody any more.
    pub(super) fn bind(&mut self, index: ArrayIndex, graph: Graph, finished: &[(u32, u32)]) {
        let over = |element: u32| {
            let before = finished.partition_point(|&(offset, _)| offset <= element);
            before > 0 && element - finished[before - 1].0 < finished[before - 1].1
        };
        let array = &self.arrays[index];
        let (owner, first, end) = (array.session, array.first, array.end());
        // Its own elements are in no place yet.
        let own = |on: Sequence| (first..end).contains(&on) && !over((on - first) as u32);
        for (offset, &uses) in graph.uses.iter().enumerate() {
            let offset = offset as u32;
            if uses & !WANTED == 0 || over(offset) {
                continue;
            }
            if uses & WANTED == 0 {
                let silent = &mut self.arrays[index].extras().silent;
                silent.insert(offset.into(), u64::from(offset) + 1);
            }
            let kept = Kept {
                uses: uses & !WANTED,
                announced: true,
                ..Kept::default()
            };
            let session = &mut self.sessions[owner as usize];
            session.kept.insert(first + u64::from(offset), kept);
        }
        let mut needs = graph.needs;
        needs.retain(|need| !over(need.element));
        let mut lacking = Vec::new();
        for need in &needs {
            if self.take_up(owner, need) && !own(need.on) && !self.is_unfinished(owner, need.on) {
                lacking.push(need.on);
            }
        }
        if !needs.is_empty() {
            self.arrays[index].extras().needs = needs;
        }
        if !lacking.is_empty() {
            self.sessions[owner as usize].lacking.extend(lacking);
            self.answered.insert(owner);
        }
    }

    /// One more element needs the value of `on`. Gives whether it is the first.
    fn take_up(&mut self, owner: SessionIndex, need: &Need) -> bool {
        let session = &mut self.sessions[owner as usize];
        let known = session.kept.contains_key(&need.on);
        let kept = session.kept.entry(need.on).or_default();
        kept.uses += u32::from(!(kept.announced && need.announced));
        !known
    }

    fn is_unfinished(&self, owner: SessionIndex, sequence: Sequence) -> bool {
        let arrays = self.arrays_in(owner, sequence, sequence + 1);
        arrays.first().is_some_and(|&index| {
            let array = &self.arrays[index];
            let offset = (sequence - array.first) as u32;
            array.pending.contains(offset.into())
                || array.node_of(offset).is_some()
                || array.is_blocked(offset)
        })
    }

    /// Of elements in no place, those that lack values are blocked. Gives the others.
    pub(super) fn block(&mut self, index: ArrayIndex, start: u32, end: u32) -> RunList {
        let array = &self.arrays[index];
        let owner = array.session;
        let needs: SmallVec<[Need; 4]> = array.needs(start, end).into();
        let mut ready = RunList::new();
        let mut at = start;
        let first = array.first;
        for needs in needs.chunk_by(|a, b| a.element == b.element) {
            let offset = needs[0].element;
            let mut lacks: SmallVec<[Sequence; 4]> = SmallVec::new();
            let session = &self.sessions[owner as usize];
            for need in needs {
                let here = session.kept.get(&need.on);
                if here.is_none_or(|kept| kept.value.is_none()) && !lacks.contains(&need.on) {
                    lacks.push(need.on);
                }
            }
            if lacks.is_empty() {
                continue;
            }
            if at < offset {
                ready.push((at, offset));
            }
            at = offset + 1;
            let session = &mut self.sessions[owner as usize];
            for on in &lacks {
                if let Some(kept) = session.kept.get_mut(on) {
                    kept.waiting.push(first + u64::from(offset));
                }
            }
            let blocked = &mut self.arrays[index].extras().blocked;
            blocked.insert(offset, lacks.len() as u32);
        }
        if at < end {
            ready.push((at, end));
        }
        ready
    }

    /// Takes those of `start .. end` that are blocked out: into no place.
    pub(super) fn take_blocked(&mut self, index: ArrayIndex, start: u32, end: u32) -> RunList {
        let mut taken = RunList::new();
        let array = &mut self.arrays[index];
        let Some(extras) = array.extras.as_deref_mut() else {
            return taken;
        };
        let offsets: SmallVec<[u32; 4]> = extras
            .blocked
            .range(start..end)
            .map(|(&offset, _)| offset)
            .collect();
        for offset in offsets {
            extras.blocked.remove(&offset);
            match taken.last_mut() {
                Some(last) if last.1 == offset => last.1 += 1,
                _ => taken.push((offset, offset + 1)),
            }
            let sequence = array.first + u64::from(offset);
            let session = &mut self.sessions[array.session as usize];
            for need in needs_of(&extras.needs, offset, offset + 1) {
                if let Some(kept) = session.kept.get_mut(&need.on) {
                    kept.waiting.retain(|waiting| *waiting != sequence);
                }
            }
        }
        taken
    }

    /// Elements `start .. end`, in no place, have their values: those that others need are kept, and who waits wakes.
    pub(super) fn keep_values(
        &mut self,
        index: ArrayIndex,
        (start, end): (u32, u32),
        segment: &Segment<P>,
        at: &mut Option<ValueIndex>,
    ) {
        let array = &self.arrays[index];
        let (owner, first) = (array.session, array.first);
        let kept = &self.sessions[owner as usize].kept;
        if kept.is_empty() {
            return;
        }
        let range = first + u64::from(start)..first + u64::from(end);
        let sequences: Vec<Sequence> = kept.range(range).map(|(&sequence, _)| sequence).collect();
        let Some(form) = segment.kind.form().filter(|_| !sequences.is_empty()) else {
            return;
        };
        let value = *at.get_or_insert_with(|| {
            let payload = segment.payload.clone();
            self.values.add(owner, segment.count, form, payload)
        });
        self.value_bytes(owner, value);
        for sequence in sequences {
            let entry = (sequence - segment.first) as u32;
            self.value_is_here(owner, sequence, value, entry);
        }
    }

    /// A value that gets its first user counts among what its session has.
    fn value_bytes(&mut self, owner: SessionIndex, value: ValueIndex) {
        let value = self.values.get(value);
        if value.users == 0 {
            let bytes = value.payload.len() as u64;
            self.sessions[owner as usize].bytes += bytes;
            self.bytes += bytes;
            if let Some((key, _)) = value.object {
                self.objects.retain(key);
            }
        }
    }

    fn value_is_here(
        &mut self,
        owner: SessionIndex,
        sequence: Sequence,
        value: ValueIndex,
        entry: u32,
    ) {
        let kept = self.sessions[owner as usize].kept.get_mut(&sequence);
        let Some(kept) = kept.filter(|kept| kept.value.is_none()) else {
            return;
        };
        kept.value = Some((value, entry));
        let waiting = std::mem::take(&mut kept.waiting);
        self.values.get_mut(value).users += 1;
        for sequence in waiting {
            self.wake(owner, sequence);
        }
    }

    /// An element lacks one value less.
    fn wake(&mut self, owner: SessionIndex, sequence: Sequence) {
        let Some(&index) = self.arrays_in(owner, sequence, sequence + 1).first() else {
            return;
        };
        let array = &mut self.arrays[index];
        let offset = (sequence - array.first) as u32;
        let blocked = &mut array.extras().blocked;
        let Some(lacks) = blocked.get_mut(&offset) else {
            return;
        };
        *lacks -= 1;
        if *lacks == 0 {
            blocked.remove(&offset);
            self.make_pending(index, offset, offset + 1);
        }
    }

    /// Elements `start .. end` have their outcome: those that need one without a value fall, values go with their last
    /// user.
    pub(super) fn unbind(&mut self, index: ArrayIndex, start: u32, end: u32) {
        let array = &self.arrays[index];
        let (owner, first) = (array.session, array.first);
        let session = &mut self.sessions[owner as usize];
        if session.kept.is_empty() {
            return;
        }
        let id = session.id;
        let range = first + u64::from(start)..first + u64::from(end);
        let without = session.kept.range(range);
        let without: Vec<Sequence> = without
            .filter(|(_, kept)| kept.value.is_none())
            .map(|(&sequence, _)| sequence)
            .collect();
        for sequence in without {
            self.fall(owner, sequence);
        }
        let ons: SmallVec<[Sequence; 4]> = self.arrays[index]
            .needs(start, end)
            .iter()
            .map(|need| need.on)
            .collect();
        for on in ons {
            self.let_go(owner, id, on);
        }
    }

    /// An element ends without a value.
    fn fall(&mut self, owner: SessionIndex, sequence: Sequence) {
        let session = &mut self.sessions[owner as usize];
        let id = session.id;
        if let Some(kept) = session.kept.remove(&sequence) {
            let fallen = kept.waiting.into_iter().map(|sequence| (id, sequence));
            self.consequences.fallen.extend(fallen);
        }
    }

    /// One element less needs the value of `on`.
    fn let_go(&mut self, owner: SessionIndex, id: SessionId, on: Sequence) {
        let session = &mut self.sessions[owner as usize];
        let Some(kept) = session.kept.get_mut(&on) else {
            return;
        };
        kept.uses -= 1;
        #[cfg(feature = "planted")]
        if self.bugs.let_go_early && kept.uses == 1 && kept.value.is_some() {
            kept.uses = 0;
        }
        if kept.uses > 0 {
            return;
        }
        let value = kept.value;
        session.kept.remove(&on);
        match value {
            Some((value, _)) => self.release_value(value),
            None => self.consequences.unneeded.push((id, on)),
        }
    }

    pub(super) fn release_value(&mut self, index: ValueIndex) {
        let Some(value) = self.values.release(index) else {
            return;
        };
        forget_value(&mut self.nodes, index, &value);
        for &node in &value.nodes {
            self.stirred.insert(node);
        }
        let bytes = value.payload.len() as u64;
        self.sessions[value.session as usize].bytes -= bytes;
        self.bytes -= bytes;
        if let Some((key, _)) = value.object {
            self.objects.release(key);
        }
    }

    /// Does what follows from the outcomes of this turn.
    pub(super) fn settle_graphs(&mut self) {
        loop {
            if let Some((id, sequence)) = self.consequences.fallen.pop() {
                self.end_quietly(id, sequence, false);
            } else if let Some((id, sequence)) = self.consequences.unneeded.pop() {
                self.end_quietly(id, sequence, true);
            } else {
                return;
            }
        }
    }

    /// An element ends, and nobody is told. Of one at a node, which `unneeded` says nobody waits for, the node is.
    fn end_quietly(&mut self, id: SessionId, sequence: Sequence, unneeded: bool) {
        let Some(owner) = self.session_of(id) else {
            return;
        };
        let end = sequence + 1;
        let Some(&index) = self.arrays_in(owner, sequence, end).first() else {
            return;
        };
        let (offset, stop) = self.arrays[index].clip(sequence, end);
        if unneeded {
            let extras = self.arrays[index].extras.as_deref();
            if !extras.is_some_and(|extras| extras.silent.contains(offset.into())) {
                // Its client wants it.
                return;
            }
        }
        let waits = self.take_unassigned(index, offset, stop);
        for (start, end) in waits {
            self.finish(index, start, end);
        }
        if unneeded
            && self
                .arrays
                .get(index)
                .is_some_and(|array| array.node_of(offset).is_some())
        {
            self.cancel(owner, sequence, 1);
            let unneeded = &mut self.arrays[index].extras().unneeded;
            unneeded.insert(offset.into(), stop.into());
        }
    }

    /// A value that its client had: for what it says next.
    pub(super) fn value_told(
        &mut self,
        owner: SessionIndex,
        id: ValueId,
        count: u32,
        form: Form,
        payload: P,
    ) -> Result<(), String> {
        let single = matches!(form, Form::Single | Form::Reference);
        if id == 0 || count == 0 || (single && count != 1) {
            return Err("a value's form and count do not go together".into());
        }
        let value = self.values.add(owner, count, form, payload);
        self.value_bytes(owner, value);
        self.values.get_mut(value).users += 1;
        let before = self.sessions[owner as usize].told.insert(id, value);
        if let Some(before) = before {
            self.release_value(before);
        }
        Ok(())
    }

    pub(super) fn values_dropped(&mut self, owner: SessionIndex, ids: &[ValueId]) {
        for id in ids {
            if let Some(value) = self.sessions[owner as usize].told.remove(id) {
                self.release_value(value);
            }
        }
    }

    /// The client's answer to what was lacking.
    pub(super) fn given(
        &mut self,
        owner: SessionIndex,
        given: &[GivenValue],
    ) -> Result<(), String> {
        for given in given {
            let told = &self.sessions[owner as usize].told;
            if given.value == 0 {
                if !self.is_unfinished(owner, given.on) {
                    self.fall(owner, given.on);
                }
                continue;
            }
            let Some(&value) = told.get(&given.value) else {
                return Err("a value is given that was not told".into());
            };
            if given.index >= self.values.get(value).count {
                return Err("a value's entry is given that it does not have".into());
            }
            self.value_is_here(owner, given.on, value, given.index);
        }
        Ok(())
    }

    /// What elements `start .. end` of an array take, with the objects among it; the node is sent what it lacks.
    pub(super) fn inputs(
        &mut self,
        node: NodeIndex,
        index: ArrayIndex,
        start: u32,
        end: u32,
        objects: &mut Vec<ObjectUse>,
    ) -> Vec<Input> {
        let array = &self.arrays[index];
        let session = &self.sessions[array.session as usize];
        let mut inputs = Vec::new();
        let mut lacks = Vec::new();
        for need in array.needs(start, end) {
            let kept = session.kept.get(&need.on);
            let Some((number, entry)) = kept.and_then(|kept| kept.value) else {
                debug_assert!(false, "an element is assigned that lacks a value");
                continue;
            };
            let value = self.values.get(number);
            let element = need.element - start;
            if let Some((key, size)) = value.object {
                objects.push(ObjectUse { element, key, size });
            }
            if self.nodes.get_mut(node).values.insert(number) {
                lacks.push(number);
            }
            inputs.push(Input {
                element,
                value: value.id,
                index: entry,
            });
        }
        let link = self.nodes.get(node).link;
        for number in lacks {
            let value = self.values.get_mut(number);
            value.nodes.insert(node);
            let message = Message::Value {
                id: value.id,
                count: value.count,
                form: value.form,
                payload: value.payload.clone(),
            };
            self.send(link, message);
        }
        inputs
    }

    /// The session's elements are to be forgotten: nothing follows from it.
    pub(super) fn forget_graph(&mut self, owner: SessionIndex) {
        let session = &mut self.sessions[owner as usize];
        let kept = std::mem::take(&mut session.kept);
        let told = std::mem::take(&mut session.told);
        let values = kept.into_values().filter_map(|kept| kept.value);
        for value in values.map(|(value, _)| value).chain(told.into_values()) {
            self.release_value(value);
        }
    }

    /// How many values an element lacks, and of which element one of them would be.
    pub(super) fn lacks(&self, owner: SessionIndex, sequence: Sequence) -> Option<(u32, Sequence)> {
        let &index = self.arrays_in(owner, sequence, sequence + 1).first()?;
        let array = &self.arrays[index];
        let offset = (sequence - array.first) as u32;
        let &lacks = array.extras.as_deref()?.blocked.get(&offset)?;
        let kept = &self.sessions[owner as usize].kept;
        let without = |on: &Sequence| kept.get(on).is_none_or(|kept| kept.value.is_none());
        let needs = array.needs(offset, offset + 1).iter().map(|need| need.on);
        Some((lacks, needs.into_iter().find(without)?))
    }
}
