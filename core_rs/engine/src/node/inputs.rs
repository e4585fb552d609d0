//! Values of other elements that the calls of elements here take: sent by the scheduler before what takes them, handed
//! to an executor once, with the first chunk that takes them there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use smallvec::SmallVec;

use super::work::Piece;
use super::Node;
use crate::wire::{Assign, Form, Input, Message, Payload, ValueId};

/// A value that is here.
#[derive(Debug)]
pub(super) struct HeldValue<P> {
    /// The node's own: schedulers that follow each other may use the same numbers.
    number: ValueId,
    count: u32,
    form: Form,
    payload: P,
}

#[derive(Debug)]
pub(super) struct Values<P> {
    /// By the scheduler's number.
    held: BTreeMap<ValueId, Arc<HeldValue<P>>>,
    /// Numbers of those held.
    numbers: BTreeSet<ValueId>,
    last_number: ValueId,
}

/// What elements of an assignment take, by offset.
pub(super) type Inputs<P> = BTreeMap<u32, SmallVec<[(Arc<HeldValue<P>>, u32); 2]>>;

impl<P> Default for Values<P> {
    fn default() -> Self {
        Values {
            held: BTreeMap::new(),
            numbers: BTreeSet::new(),
            last_number: 0,
        }
    }
}

impl<P: Payload> Values<P> {
    fn hold(&mut self, id: ValueId, count: u32, form: Form, payload: P) {
        self.last_number += 1;
        let value = HeldValue {
            number: self.last_number,
            count,
            form,
            payload,
        };
        self.numbers.insert(value.number);
        if let Some(before) = self.held.insert(id, Arc::new(value)) {
            self.numbers.remove(&before.number);
        }
    }

    /// Lets go of a value; gives the node's number of it.
    fn drop(&mut self, id: ValueId) -> Option<ValueId> {
        let value = self.held.remove(&id)?;
        self.numbers.remove(&value.number);
        Some(value.number)
    }

    /// What an assignment's elements take.
    pub fn inputs(&self, assign: &Assign<P>) -> Result<Inputs<P>, String> {
        let mut inputs: Inputs<P> = BTreeMap::new();
        for input in &assign.inputs {
            let Some(value) = self.held.get(&input.value) else {
                return Err("a value that it takes is not on the node".into());
            };
            if input.element >= assign.count || input.index >= value.count {
                return Err("an input of no element, or of no entry".into());
            }
            let own = inputs.entry(input.element).or_default();
            own.push((value.clone(), input.index));
        }
        Ok(inputs)
    }
}

impl<P: Payload> Node<P> {
    pub(super) fn value(&mut self, id: ValueId, count: u32, form: Form, payload: P) {
        self.values.hold(id, count, form, payload);
    }

    pub(super) fn drop_values(&mut self, ids: &[ValueId]) {
        let numbers: Vec<_> = ids.iter().filter_map(|&id| self.values.drop(id)).collect();
        for slot in 0..self.slots.len() as u32 {
            let has = &mut self.slots[slot as usize].values;
            let ids: Vec<_> = numbers
                .iter()
                .copied()
                .filter(|it| has.remove(it))
                .collect();
            if !ids.is_empty() {
                self.send(slot, Message::DropValues { ids });
            }
        }
    }

    /// Another scheduler has other values.
    pub(super) fn drop_all_values(&mut self) {
        let ids: Vec<_> = self.values.held.keys().copied().collect();
        self.drop_values(&ids);
    }

    /// Sends an executor the values that a piece's calls take and it lacks. Gives the inputs, and the values that it is
    /// to drop again: nobody will speak of them any more.
    pub(super) fn send_inputs(
        &mut self,
        slot: u32,
        piece: &Piece<P>,
    ) -> (Vec<Input>, Vec<ValueId>) {
        let (mut inputs, mut dropped) = (Vec::new(), Vec::new());
        if piece.work.inputs.is_empty() {
            return (inputs, dropped);
        }
        let work = piece.work.clone();
        let start = (piece.first - work.first) as u32;
        for (offset, own) in work.inputs.range(start..start + piece.count) {
            for (value, index) in own {
                if self.slots[slot as usize].values.insert(value.number) {
                    if !self.values.numbers.contains(&value.number) {
                        dropped.push(value.number);
                    }
                    let message = Message::Value {
                        id: value.number,
                        count: value.count,
                        form: value.form,
                        payload: value.payload.clone(),
                    };
                    self.send(slot, message);
                }
                inputs.push(Input {
                    element: offset - start,
                    value: value.number,
                    index: *index,
                });
            }
        }
        (inputs, dropped)
    }

    /// What is no longer spoken of goes with the chunk that took it.
    pub(super) fn forget_values(&mut self, slot: u32, ids: Vec<ValueId>) {
        if ids.is_empty() {
            return;
        }
        for id in &ids {
            self.slots[slot as usize].values.remove(id);
        }
        self.send(slot, Message::DropValues { ids });
    }
}
