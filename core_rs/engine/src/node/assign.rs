//! Work that comes from the scheduler, and what comes with it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::work::{Held, Piece, Work};
use super::{Draining, Function, Level, Node};
use crate::node::times::Times;
use crate::wire::{
    Assign, FailureCode, Form, FunctionId, Message, NodeBlock, ObjectKey, Payload, Sequence,
    SessionId,
};

/// No object is larger: sums of sizes stay far from overflow.
const LARGEST_OBJECT: u64 = 1 << 48;

/// A list of the objects that an element needs, with their sizes.
type Needs = Arc<[(ObjectKey, u64)]>;

impl<P: Payload> Node<P> {
    pub(super) fn function(&mut self, id: FunctionId, code: P) {
        self.functions.entry(id).or_insert_with(|| Function {
            code,
            times: Times::default(),
        });
    }

    pub(super) fn forget_function(&mut self, id: FunctionId) {
        self.functions.remove(&id);
        for slot in 0..self.slots.len() as u32 {
            if self.slots[slot as usize].functions.remove(&id) {
                self.send(slot, Message::ForgetFunction { id });
            }
        }
    }

    pub(super) fn drop_blocks(&mut self, session: SessionId, blocks: &[Sequence]) {
        for &first in blocks {
            self.blocks.remove(&(session, first));
        }
    }

    pub(super) fn assign(&mut self, assign: Assign<P>) {
        match self.accept(&assign) {
            Ok(pieces) if self.draining == Draining::No => {
                for piece in pieces {
                    self.enqueue(piece);
                }
            }
            Ok(pieces) if self.is_waited_for(assign.options.depth) => {
                for piece in pieces {
                    self.enqueue(piece);
                }
            }
            Ok(pieces) => self.give_back(&pieces),
            Err(reason) => self.reject(&assign, reason),
        }
    }

    /// What of an assignment is not here yet, cut so that all elements of a piece need the same objects.
    fn accept(&mut self, assign: &Assign<P>) -> Result<Vec<Piece<P>>, String> {
        check(assign)?;
        let Some(function) = self.functions.get(&assign.function) else {
            return Err("its function was never told to the node".into());
        };
        let inputs = self.values.inputs(assign)?;
        self.arrivals += 1;
        let work = Arc::new(Work::new(
            assign,
            function.code.clone(),
            self.arrivals,
            self.config.task_timeout_us,
            inputs,
            self.config.offload,
        ));
        let blocks: Vec<_> = assign
            .blocks
            .iter()
            .map(|block| self.hold(assign.session, block))
            .collect::<Result<_, _>>()?;
        let needs = needs(assign);
        let mut pieces = Vec::new();
        for (start, end) in self.arrive(
            assign.session,
            assign.first,
            assign.first + u64::from(assign.count),
        ) {
            for block in &blocks {
                let (from, upto) = (
                    start.max(block.first),
                    end.min(block.first + u64::from(block.count)),
                );
                let offset = |sequence: Sequence| (sequence - assign.first) as u32;
                let mut at = from;
                while at < upto {
                    let (objects, stop) = needs.at(offset(at), offset(upto));
                    let next = assign.first + u64::from(stop);
                    let (work, block) = (work.clone(), block.clone());
                    pieces.push(Piece {
                        work,
                        block,
                        first: at,
                        count: (next - at) as u32,
                        objects,
                    });
                    at = next;
                }
            }
        }
        for piece in &pieces {
            self.objects.retain(piece);
        }
        Ok(pieces)
    }

    /// Notes elements as being here; returns those that were not. A scheduler assigns none twice.
    fn arrive(
        &mut self,
        session: SessionId,
        first: Sequence,
        end: Sequence,
    ) -> Vec<(Sequence, Sequence)> {
        let here = self.here.entry(session).or_default();
        let twice: Vec<_> = here.overlap(first, end).collect();
        let mut fresh = Vec::with_capacity(1 + twice.len());
        let mut at = first;
        for &(start, stop) in twice.iter().chain([&(end, end)]) {
            if at < start {
                fresh.push((at, start));
            }
            at = stop;
        }
        here.insert(first, end);
        if !twice.is_empty() {
            self.log(
                Level::Error,
                format!("elements of {first}..{end} were assigned twice"),
            );
        }
        fresh
    }

    /// The block's bytes, which came with it or are here already.
    fn hold(&mut self, session: SessionId, block: &NodeBlock<P>) -> Result<Arc<Held<P>>, String> {
        let known = self.blocks.get(&(session, block.first));
        if let Some(known) =
            known.filter(|known| known.count == block.count && known.form == block.form)
        {
            return Ok(known.clone());
        }
        let Some(payload) = block.payload.clone() else {
            return Err(format!("block {} is not on the node", block.first));
        };
        let held = Arc::new(Held {
            first: block.first,
            count: block.count,
            form: block.form,
            payload,
        });
        self.blocks.insert((session, block.first), held.clone());
        Ok(held)
    }

    /// An assignment that cannot be: each of its elements is told so, but for those that are here.
    fn reject(&mut self, assign: &Assign<P>, reason: String) {
        self.log(
            Level::Error,
            format!("an assignment of the scheduler cannot be: {reason}"),
        );
        let end = assign.first.saturating_add(assign.count.into());
        if assign.first == end {
            return;
        }
        let fresh = self.arrive(assign.session, assign.first, end);
        for (start, end) in fresh {
            self.forget_elements(assign.session, start, end);
            let failure = self.failure(FailureCode::Rejected, 0, 0, reason.clone());
            self.tell_failure(assign.session, start, (end - start) as u32, failure);
        }
    }

    /// Queues elements that are ready, parks those that lack objects.
    pub(super) fn enqueue(&mut self, piece: Piece<P>) {
        if self.objects.all_here(&piece) {
            self.queue.push(piece);
        } else {
            self.parked.push(piece);
        }
    }
}

fn check<P>(assign: &Assign<P>) -> Result<(), String> {
    let end = assign
        .first
        .checked_add(assign.count.into())
        .ok_or("its elements have no numbers")?;
    let mut at = assign.blocks.first().map_or(0, |block| block.first);
    if assign.count == 0 || assign.blocks.is_empty() || at > assign.first {
        return Err("its blocks do not cover its elements".into());
    }
    for block in &assign.blocks {
        let single = matches!(block.form, Form::Single | Form::Reference);
        if block.count == 0 || (single && block.count != 1) {
            return Err("a block's form and count do not go together".into());
        }
        if block.first != at {
            return Err("its blocks are not neighbours".into());
        }
        at = at
            .checked_add(block.count.into())
            .ok_or("its blocks have no numbers")?;
    }
    if at < end {
        return Err("its blocks do not cover its elements".into());
    }
    let fine = |element: u32, size| {
        (element < assign.count || element == u32::MAX) && size <= LARGEST_OBJECT
    };
    if assign
        .objects
        .iter()
        .all(|object| fine(object.element, object.size))
    {
        Ok(())
    } else {
        Err("an object of no element, or too large".into())
    }
}

/// Which objects the elements of one assignment need.
struct AllNeeds {
    everyone: Needs,
    /// By offset; `everyone`'s objects are among them.
    own: BTreeMap<u32, Needs>,
}

fn needs<P>(assign: &Assign<P>) -> AllNeeds {
    let unique = |mut list: Vec<(ObjectKey, u64)>| -> Needs {
        list.sort_unstable();
        list.dedup_by_key(|(key, _)| *key);
        list.into()
    };
    let everyone: Vec<_> = assign
        .objects
        .iter()
        .filter(|object| object.element == u32::MAX)
        .map(|object| (object.key, object.size))
        .collect();
    let mut own: BTreeMap<u32, Vec<_>> = BTreeMap::new();
    for object in assign
        .objects
        .iter()
        .filter(|object| object.element != u32::MAX)
    {
        own.entry(object.element)
            .or_insert_with(|| everyone.clone())
            .push((object.key, object.size));
    }
    AllNeeds {
        own: own
            .into_iter()
            .map(|(element, list)| (element, unique(list)))
            .collect(),
        everyone: unique(everyone),
    }
}

impl AllNeeds {
    /// What the element at `offset` needs, and up to where (`end` at most) the elements need the same.
    fn at(&self, offset: u32, end: u32) -> (Needs, u32) {
        if let Some(own) = self.own.get(&offset) {
            return (own.clone(), offset + 1);
        }
        let next = self
            .own
            .range(offset..)
            .next()
            .map_or(end, |(&element, _)| element.min(end));
        (self.everyone.clone(), next)
    }
}
