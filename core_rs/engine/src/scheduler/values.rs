//! Values that elements need: as they came from a node or from their client, kept whole as long as any entry is needed.

use std::collections::BTreeSet;

use slab::Slab;

use crate::wire::{Form, ObjectKey, Payload, ValueId};

use super::arrays::{NodeIndex, SessionIndex};
use super::nodes::Nodes;

pub(super) type ValueIndex = u32;

#[derive(Debug)]
pub(super) struct Value<P> {
    /// What nodes know it by.
    pub id: ValueId,
    pub session: SessionIndex,
    pub count: u32,
    pub form: Form,
    pub payload: P,
    /// The object that the payload names.
    pub object: Option<(ObjectKey, u64)>,
    /// Entries that are needed.
    pub users: u32,
    /// Nodes that have it.
    pub nodes: BTreeSet<NodeIndex>,
}

#[derive(Debug)]
pub(super) struct Values<P> {
    values: Slab<Value<P>>,
    last_id: ValueId,
}

impl<P> Default for Values<P> {
    fn default() -> Self {
        Values {
            values: Slab::new(),
            last_id: 0,
        }
    }
}

impl<P: Payload> Values<P> {
    /// A value that nobody uses yet.
    pub fn add(&mut self, session: SessionIndex, count: u32, form: Form, payload: P) -> ValueIndex {
        self.last_id += 1;
        let object = match form {
            Form::Reference => payload.as_reference(),
            _ => None,
        };
        self.values.insert(Value {
            id: self.last_id,
            session,
            count,
            form,
            payload,
            object,
            users: 0,
            nodes: BTreeSet::new(),
        }) as ValueIndex
    }

    pub fn get(&self, index: ValueIndex) -> &Value<P> {
        &self.values[index as usize]
    }

    pub fn get_mut(&mut self, index: ValueIndex) -> &mut Value<P> {
        &mut self.values[index as usize]
    }

    /// One use less; gives the value when it was the last.
    pub fn release(&mut self, index: ValueIndex) -> Option<Value<P>> {
        let value = self.get_mut(index);
        value.users -= 1;
        (value.users == 0).then(|| self.values.remove(index as usize))
    }

    /// A node is gone, and what it had of these.
    pub fn forget_node(&mut self, node: NodeIndex, values: &BTreeSet<ValueIndex>) {
        for &value in values {
            self.get_mut(value).nodes.remove(&node);
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = (ValueIndex, &Value<P>)> {
        self.values
            .iter()
            .map(|(index, value)| (index as u32, value))
    }
}

/// Its nodes do not have a value any more.
pub(super) fn forget_value<P>(nodes: &mut Nodes, index: ValueIndex, value: &Value<P>) {
    for &node in &value.nodes {
        let node = nodes.get_mut(node);
        node.values.remove(&index);
        node.dropped_values.push(value.id);
    }
}
