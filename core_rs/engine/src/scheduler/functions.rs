//! Functions: their bytes, who needs them, who has them, and how long they take.

use std::collections::{BTreeMap, BTreeSet};

use slab::Slab;

use crate::wire::{FunctionId, Payload};

use super::arrays::{FunctionIndex, NodeIndex};

/// What a call is taken to last before one was measured: 2^10 µs, about a millisecond.
const UNKNOWN_COST: u8 = 10;
/// A measurement counts for 1 / 2^this of the average.
const SMOOTHING: u32 = 2;

#[derive(Debug)]
pub(super) struct Function<P> {
    pub id: FunctionId,
    pub payload: P,
    /// Sessions that may submit it, and arrays that use it.
    pub uses: u32,
    /// Nodes that have its bytes.
    pub nodes: BTreeSet<NodeIndex>,
    /// Average duration; nanoseconds.
    measured: Option<u64>,
}

impl<P> Function<P> {
    /// Expected duration of a call as a power of two of microseconds: coarse, so that neighbours assigned at different
    /// times stay one span.
    pub fn cost(&self) -> u8 {
        match self.measured {
            None => UNKNOWN_COST,
            Some(nanoseconds) => (nanoseconds / 700).max(1).ilog2() as u8,
        }
    }

    /// `elements` calls took `busy_us` together.
    pub fn measure(&mut self, elements: u64, busy_us: u64) {
        let sample = (busy_us.saturating_mul(1_000) / elements.max(1)).min(1 << 50);
        self.measured = Some(match self.measured {
            None => sample,
            Some(average) => average - (average >> SMOOTHING) + (sample >> SMOOTHING),
        });
    }
}

#[derive(Debug)]
pub(super) struct Functions<P> {
    functions: Slab<Function<P>>,
    by_id: BTreeMap<FunctionId, FunctionIndex>,
}

impl<P> Default for Functions<P> {
    fn default() -> Self {
        Functions {
            functions: Slab::new(),
            by_id: BTreeMap::new(),
        }
    }
}

impl<P: Payload> Functions<P> {
    pub fn get(&self, index: FunctionIndex) -> &Function<P> {
        &self.functions[index as usize]
    }

    pub fn get_mut(&mut self, index: FunctionIndex) -> &mut Function<P> {
        &mut self.functions[index as usize]
    }

    /// One use more of a function; the bytes are kept if they are not here yet.
    pub fn retain(&mut self, id: FunctionId, payload: P) -> FunctionIndex {
        if let Some(&index) = self.by_id.get(&id) {
            self.get_mut(index).uses += 1;
            return index;
        }
        let index = self.functions.insert(Function {
            id,
            payload,
            uses: 1,
            nodes: BTreeSet::new(),
            measured: None,
        }) as FunctionIndex;
        self.by_id.insert(id, index);
        index
    }

    /// One use less; gives the function when it was the last.
    pub fn release(&mut self, index: FunctionIndex) -> Option<Function<P>> {
        let function = self.get_mut(index);
        function.uses -= 1;
        if function.uses > 0 {
            return None;
        }
        let function = self.functions.remove(index as usize);
        self.by_id.remove(&function.id);
        Some(function)
    }

    pub fn forget_node(&mut self, node: NodeIndex, functions: impl Iterator<Item = FunctionIndex>) {
        for index in functions {
            self.get_mut(index).nodes.remove(&node);
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = (FunctionIndex, &Function<P>)> {
        self.functions
            .iter()
            .map(|(index, function)| (index as u32, function))
    }
}
