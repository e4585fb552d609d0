//! Taking work in.

use smallvec::SmallVec;

use crate::wire::{
    Failure, FailureCode, FunctionId, ObjectUse, Options, OutcomeKind, Payload, Segment, Submit,
};

use super::arrays::{Array, ArrayIndex, FunctionIndex, OptionsIndex, Origin, SessionIndex};
use super::classes::{Key, MOST_CLASSES};
use super::sessions::MOST_FUNCTIONS;
use super::{check, Scheduler};

impl<P: Payload> Scheduler<P> {
    pub(super) fn function(&mut self, owner: SessionIndex, id: FunctionId, payload: P) {
        let session = &self.sessions[owner as usize];
        if session.functions.contains_key(&id) || session.functions.len() >= MOST_FUNCTIONS {
            return;
        }
        let bytes = payload.len() as u64;
        let function = self.functions.retain(id, payload);
        let session = &mut self.sessions[owner as usize];
        session.functions.insert(id, function);
        session.bytes += bytes;
        self.bytes += bytes;
    }

    pub(super) fn forget_function(&mut self, owner: SessionIndex, id: FunctionId) {
        let session = &mut self.sessions[owner as usize];
        if let Some(function) = session.functions.remove(&id) {
            let bytes = self.functions.get(function).payload.len() as u64;
            session.bytes -= bytes;
            self.bytes -= bytes;
            self.forget_known(function);
        }
    }

    /// A session does not know a function any more.
    pub(super) fn forget_known(&mut self, function: FunctionIndex) {
        self.release_function(function);
    }

    /// An array. Elements that are known are not taken twice, whatever is said of them.
    pub(super) fn submit(&mut self, owner: SessionIndex, submit: Submit<P>) -> Result<(), String> {
        check::submit(&submit)?;
        let end = submit.first + submit.count();
        let session = &mut self.sessions[owner as usize];
        session.seen = session.seen.max(end);
        if self.arrays_in(owner, submit.first, end).is_empty() {
            self.accept(owner, submit);
        } else {
            for part in self.unknown_parts(owner, submit) {
                self.accept(owner, part);
            }
        }
        Ok(())
    }

    /// The blocks none of whose elements are known, neighbours together.
    fn unknown_parts(&self, owner: SessionIndex, submit: Submit<P>) -> Vec<Submit<P>> {
        let mut parts: Vec<Submit<P>> = Vec::new();
        let (mut offset, mut joins) = (0u32, false);
        for block in submit.blocks {
            let start = offset;
            offset += block.count;
            let first = submit.first + u64::from(start);
            let known = self.arrays_in(owner, first, submit.first + u64::from(offset));
            if !known.is_empty() {
                joins = false;
                continue;
            }
            if !joins {
                parts.push(Submit {
                    function: submit.function,
                    first,
                    options: submit.options.clone(),
                    blocks: Vec::new(),
                    objects: Vec::new(),
                    finished: Vec::new(),
                    graph: None,
                });
            }
            joins = true;
            if let Some(part) = parts.last_mut() {
                part.blocks.push(block);
            }
        }
        for part in &mut parts {
            let start = (part.first - submit.first) as u32;
            let end = start + part.count() as u32;
            part.objects = cut_objects(&submit.objects, start, end);
            part.finished = cut_spans(&submit.finished, start, end);
            part.graph = submit
                .graph
                .as_ref()
                .map(|graph| Box::new(graph.part(start, end)));
        }
        parts
    }

    fn accept(&mut self, owner: SessionIndex, mut submit: Submit<P>) {
        submit.options.capabilities.sort();
        let session = &self.sessions[owner as usize];
        let Some(&function) = session.functions.get(&submit.function) else {
            let reason = if session.functions.len() >= MOST_FUNCTIONS {
                format!("a session may have {MOST_FUNCTIONS} functions at a time, and has")
            } else {
                "its function was never told".to_owned()
            };
            return self.reject(owner, &submit, reason);
        };
        let Some(options) = self.options_of(std::mem::take(&mut submit.options)) else {
            let reason = format!(
                "tasks that wait ask for {MOST_CLASSES} different sets of capabilities already"
            );
            return self.reject(owner, &submit, reason);
        };
        let index = self.add_array(owner, function, options, submit);
        self.claim_orphans(index);
    }

    fn add_array(
        &mut self,
        owner: SessionIndex,
        function: FunctionIndex,
        options: OptionsIndex,
        submit: Submit<P>,
    ) -> ArrayIndex {
        self.order += 1;
        self.options.retain(options);
        self.functions.get_mut(function).uses += 1;
        let kept = self.options.get(options);
        let key = Key {
            depth: std::cmp::Reverse(kept.options.depth),
            priority: std::cmp::Reverse(kept.options.priority),
            order: self.order,
        };
        let depth = kept.options.depth;
        let origin = Origin {
            session_id: self.sessions[owner as usize].id,
            session: owner,
            class: kept.class,
            function,
            options,
            key,
        };
        let first = submit.first;
        let array = Array::new(origin, first, submit.blocks);
        let count = array.count;
        let index = self.arrays.insert(array);
        if let Some(graph) = submit.graph {
            self.bind(index, *graph, &submit.finished);
        }
        let array = &self.arrays[index];
        let bytes = (array.bytes() + array.overhead()) as u64;
        let session = &mut self.sessions[owner as usize];
        session.arrays.insert(first, index);
        session.bytes += bytes;
        session.depth = session.depth.max(depth);
        self.bytes += bytes;
        self.retain_uses(index, submit.objects);
        self.begin(index, count, &submit.finished);
        index
    }

    /// All elements are pending but the finished ones, which have had their outcome.
    fn begin(&mut self, index: ArrayIndex, count: u32, finished: &[(u32, u32)]) {
        let mut at = 0;
        let mut done: SmallVec<[(u32, u32); 2]> = SmallVec::new();
        for &(offset, length) in finished.iter().chain([&(count, 0)]) {
            if at < offset {
                self.make_pending(index, at, offset);
            }
            if length > 0 {
                done.push((offset, offset + length));
            }
            at = offset + length;
        }
        for (start, end) in done {
            self.finish_alone(index, start, end);
        }
    }

    fn options_of(&mut self, options: Options) -> Option<OptionsIndex> {
        if let Some(index) = self.options.find(&options) {
            return Some(index);
        }
        let (capabilities, minor) = (&options.capabilities, options.python_minor);
        let class = match self.classes.find(capabilities, minor) {
            Some(class) => class,
            None => {
                let satisfied = self.nodes.signatures();
                let satisfied = satisfied.filter(|(_, it)| it.satisfies(capabilities, minor));
                let signatures = satisfied.map(|(number, _)| number).collect();
                self.classes.add(capabilities.clone(), minor, signatures)?
            }
        };
        self.classes.get_mut(class).uses += 1;
        Some(self.options.add(options, class))
    }

    /// Each element that had no outcome gets this one.
    fn reject(&mut self, owner: SessionIndex, submit: &Submit<P>, reason: String) {
        let failure = Failure {
            code: FailureCode::Rejected,
            attempts: 0,
            status: 0,
            nodes: Vec::new(),
            detail: reason,
        };
        let count = submit.count() as u32;
        let mut at = 0;
        for &(offset, length) in submit.finished.iter().chain([&(count, 0)]) {
            if at < offset {
                let segment = Segment {
                    first: submit.first + u64::from(at),
                    count: offset - at,
                    kind: OutcomeKind::Failure,
                    payload: P::from_vec(Vec::new()),
                    failure: Some(failure.clone()),
                    except: Vec::new(),
                    busy_us: 0,
                };
                self.tell(owner, segment);
            }
            at = offset + length;
        }
    }

    /// Queues an outcome for a session's client.
    pub(super) fn tell(&mut self, owner: SessionIndex, segment: Segment<P>) {
        self.sessions[owner as usize].push_result(segment);
        self.answered.insert(owner);
    }
}

/// The uses that concern elements `start .. end`, counted from `start`.
pub(super) fn cut_objects(objects: &[ObjectUse], start: u32, end: u32) -> Vec<ObjectUse> {
    let cut = |object: &ObjectUse| {
        if object.element == u32::MAX {
            return Some(*object);
        }
        let inside = (start..end).contains(&object.element);
        inside.then(|| ObjectUse {
            element: object.element - start,
            ..*object
        })
    };
    objects.iter().filter_map(cut).collect()
}

fn cut_spans(spans: &[(u32, u32)], start: u32, end: u32) -> Vec<(u32, u32)> {
    let cut = |&(offset, length): &(u32, u32)| {
        let (from, upto) = (offset.max(start), (offset + length).min(end));
        (from < upto).then(|| (from - start, upto - from))
    };
    spans.iter().filter_map(cut).collect()
}
