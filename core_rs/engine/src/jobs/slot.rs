//! What the executor of a slot would have.

use std::collections::{BTreeMap, BTreeSet};

use crate::node::JobOptions;
use crate::wire::{Chunk, Form, FunctionId, ObjectKey, Payload, Sequence, SessionId, ValueId};

use super::config::{JobParts, Taken};

/// The element of a slot.
#[derive(Debug)]
pub(super) struct Running {
    pub chunk: u32,
    pub session: SessionId,
    pub sequence: Sequence,
    pub root: String,
    /// Its job; empty before it has one.
    pub id: String,
    /// When the job was seen to run.
    pub started_us: Option<u64>,
}

impl Running {
    pub fn position(&self) -> u64 {
        u64::from(self.chunk) << 32
    }
}

#[derive(Debug)]
struct Block<P> {
    form: Form,
    count: u32,
    payload: P,
}

#[derive(Debug)]
pub(super) struct Slot<P> {
    functions: BTreeMap<FunctionId, P>,
    values: BTreeMap<ValueId, (Form, u32, P)>,
    pub objects: BTreeSet<ObjectKey>,
    /// Parts of an object of which more is to come.
    incoming: Vec<P>,
    incoming_bytes: u64,
    block: Option<Block<P>>,
    /// Of the chunk that comes next.
    pub described: Option<(JobOptions, Vec<ObjectKey>)>,
    pub running: Option<Running>,
    /// What the running element's job is to be made of, while it has none.
    pub parts: Option<Box<JobParts<P>>>,
    /// Where it was last.
    pub position: u64,
}

impl<P> Default for Slot<P> {
    fn default() -> Self {
        Slot {
            functions: BTreeMap::new(),
            values: BTreeMap::new(),
            objects: BTreeSet::new(),
            incoming: Vec::new(),
            incoming_bytes: 0,
            block: None,
            described: None,
            running: None,
            parts: None,
            position: 0,
        }
    }
}

impl<P: Payload> Slot<P> {
    pub fn function(&mut self, id: FunctionId, payload: P) {
        self.functions.insert(id, payload);
    }

    pub fn forget_function(&mut self, id: FunctionId) {
        self.functions.remove(&id);
    }

    pub fn value(&mut self, id: ValueId, count: u32, form: Form, payload: P) {
        self.values.insert(id, (form, count, payload));
    }

    pub fn drop_values(&mut self, ids: &[ValueId]) {
        for id in ids {
            self.values.remove(id);
        }
    }

    /// A part of an object. All parts, where this was the last one.
    pub fn object(&mut self, size: u64, offset: u64, payload: P) -> Option<Vec<P>> {
        if offset == 0 {
            self.incoming.clear();
            self.incoming_bytes = 0;
        }
        self.incoming_bytes += payload.len() as u64;
        self.incoming.push(payload);
        (self.incoming_bytes >= size).then(|| std::mem::take(&mut self.incoming))
    }

    /// What the first element of a chunk is made of. `None`: something that it needs was never told.
    pub fn parts_of(&mut self, chunk: &Chunk<P>) -> Option<JobParts<P>> {
        if let Some(payload) = &chunk.payload {
            self.block = Some(Block {
                form: chunk.form,
                count: chunk.block_count,
                payload: payload.clone(),
            });
        }
        let (options, objects) = self.described.take().unwrap_or_default();
        let block = self.block.as_ref()?;
        let inputs = chunk.inputs.iter().filter(|input| input.element == 0);
        let taken = inputs.map(|input| {
            let (form, count, payload) = self.values.get(&input.value)?;
            Some(Taken {
                form: *form,
                count: *count,
                index: input.index,
                payload: payload.clone(),
            })
        });
        Some(JobParts {
            session: chunk.session,
            sequence: chunk.first,
            attempt: 1,
            options,
            function: self.functions.get(&chunk.function)?.clone(),
            style: chunk.style,
            form: block.form,
            count: block.count,
            index: chunk.skip,
            payload: block.payload.clone(),
            taken: taken.collect::<Option<_>>()?,
            objects,
        })
    }
}
