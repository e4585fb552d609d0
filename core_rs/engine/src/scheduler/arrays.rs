//! Arrays: what was submitted together and is not done yet, and where each of its elements is.
//!
//! An element is in exactly one place: `pending`, blocked (it lacks values of others), in a span (at a node), or done. Elements are told by their offset
//! from the array's first. What only some elements need (cancellations, attempts, objects) is in [`Extras`].

use std::collections::BTreeMap;
use std::sync::Arc;

use smallvec::SmallVec;

use crate::ranges::RangeSet;
use crate::wire::{Block, Form, LinkId, Need, ObjectUse, Payload, Sequence, SessionId};

use super::classes::Key;

pub(super) type ArrayIndex = u32;
pub(super) type SessionIndex = u32;
pub(super) type NodeIndex = u32;
pub(super) type ClassIndex = u32;
pub(super) type FunctionIndex = u32;
pub(super) type OptionsIndex = u32;

/// Runs of offsets, `start .. end`.
pub(super) type RunList = SmallVec<[(u32, u32); 2]>;

#[derive(Debug)]
pub(super) struct StoredBlock<P> {
    /// Of its first element.
    pub offset: u32,
    /// Elements without an outcome; at 0 the payload is let go of.
    pub left: u32,
    pub form: Form,
    pub payload: Option<P>,
}

/// Elements `start .. end` are at a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub start: u32,
    pub end: u32,
    pub node: NodeIndex,
    /// What each was expected to take when it was assigned, as a power of two of microseconds.
    pub cost: u8,
}

impl Span {
    pub fn load_us(&self) -> u64 {
        u64::from(self.end - self.start) << self.cost
    }
}

/// What is known of an element that ran and has to run again.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Trial {
    /// Exceptions that were tried again.
    pub raised: u16,
    /// Link of the node that gave the last of them: it may tell of it once more when its link begins anew.
    pub raised_at: Option<LinkId>,
    /// Deaths of its executor, and of its node while it was known to run there.
    pub deaths: u32,
    /// Deaths of its node while it was alone in a slot there, not known whether it had begun.
    pub uncertain: u32,
    /// Of the last executor that died.
    pub status: i32,
    /// And what its node said of it, for people.
    pub detail: String,
    /// Link of the node whose death was counted last, and whether as a death: if it lives after all, that is undone.
    pub blamed: Option<(LinkId, bool)>,
    /// Where these deaths were.
    pub nodes: Vec<Arc<str>>,
}

#[derive(Debug, Default)]
pub(super) struct Extras {
    /// By element, those for all (`u32::MAX`) last.
    pub objects: Vec<ObjectUse>,
    /// At a node, and to be answered by `Cancelled` whatever it says of them.
    pub cancelled: RangeSet,
    pub trials: BTreeMap<u32, Trial>,
    /// Run one at a time: they were on a node or in an executor that died.
    pub alone: RangeSet,
    /// By element.
    pub needs: Vec<Need>,
    /// How many values each of them lacks: these elements are in no other place.
    pub blocked: BTreeMap<u32, u32>,
    /// Their values are not told.
    pub silent: RangeSet,
    /// Cancelled because nobody needs them any more: nobody is told. (Their client may count on them as yet, for what
    /// it would say to another scheduler.)
    pub unneeded: RangeSet,
}

#[derive(Debug)]
pub(super) struct Array<P> {
    pub session_id: SessionId,
    pub session: SessionIndex,
    pub class: ClassIndex,
    pub function: FunctionIndex,
    pub options: OptionsIndex,
    pub first: Sequence,
    /// Its place in the queue of its class.
    pub key: Key,
    pub count: u32,
    /// Elements without an outcome.
    pub left: u32,
    pub pending: RangeSet,
    pub blocks: SmallVec<[StoredBlock<P>; 1]>,
    /// By start.
    spans: SmallVec<[Span; 1]>,
    pub extras: Option<Box<Extras>>,
}

pub(super) struct Origin {
    pub session_id: SessionId,
    pub session: SessionIndex,
    pub class: ClassIndex,
    pub function: FunctionIndex,
    pub options: OptionsIndex,
    pub key: Key,
}

impl<P: Payload> Array<P> {
    /// Its elements are in no place yet.
    pub fn new(origin: Origin, first: Sequence, blocks: Vec<Block<P>>) -> Self {
        let mut count = 0;
        let mut stored = SmallVec::with_capacity(blocks.len());
        for block in blocks {
            stored.push(StoredBlock {
                offset: count,
                left: block.count,
                form: block.form,
                payload: Some(block.payload),
            });
            count += block.count;
        }
        Array {
            session_id: origin.session_id,
            session: origin.session,
            class: origin.class,
            function: origin.function,
            options: origin.options,
            first,
            key: origin.key,
            count,
            left: count,
            pending: RangeSet::new(),
            blocks: stored,
            spans: SmallVec::new(),
            extras: None,
        }
    }

    pub fn end(&self) -> Sequence {
        self.first + u64::from(self.count)
    }

    pub fn extras(&mut self) -> &mut Extras {
        self.extras.get_or_insert_with(Box::default)
    }

    /// The part of `first .. end` (sequences) that lies in the array, as offsets.
    pub fn clip(&self, first: Sequence, end: Sequence) -> (u32, u32) {
        let start = first.max(self.first) - self.first;
        let end = end.min(self.end()).saturating_sub(self.first);
        (start as u32, end.max(start) as u32)
    }

    pub fn block_of(&self, offset: u32) -> usize {
        self.blocks.partition_point(|block| block.offset <= offset) - 1
    }

    pub fn block_end(&self, index: usize) -> u32 {
        self.blocks
            .get(index + 1)
            .map_or(self.count, |next| next.offset)
    }

    pub fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// Index of the first span that ends after `offset`.
    fn span_at(&self, offset: u32) -> usize {
        self.spans.partition_point(|span| span.end <= offset)
    }

    /// Where the element is, if it is at a node.
    pub fn node_of(&self, offset: u32) -> Option<NodeIndex> {
        let span = self.spans.get(self.span_at(offset))?;
        (span.start <= offset).then_some(span.node)
    }

    /// Notes that elements, until now in no place, are at a node.
    pub fn put_span(&mut self, mut span: Span) {
        let mut at = self.span_at(span.start);
        let joins = |a: &Span, b: &Span| a.end == b.start && a.node == b.node && a.cost == b.cost;
        if let Some(next) = self.spans.get(at).copied() {
            debug_assert!(span.end <= next.start, "elements in two places");
            if joins(&span, &next) {
                span.end = next.end;
                self.spans.remove(at);
            }
        }
        if at > 0 && joins(&self.spans[at - 1], &span) {
            at -= 1;
            self.spans[at].end = span.end;
        } else {
            self.spans.insert(at, span);
        }
    }

    /// Takes those of `start .. end` that are at `node` (or at any) out of their spans: into no place.
    pub fn take_spans(
        &mut self,
        node: Option<NodeIndex>,
        start: u32,
        end: u32,
    ) -> SmallVec<[Span; 2]> {
        let mut taken = SmallVec::new();
        let mut at = self.span_at(start);
        while let Some(span) = self.spans.get(at).copied() {
            if span.start >= end {
                break;
            }
            if node.is_some_and(|node| node != span.node) {
                at += 1;
                continue;
            }
            let part = Span {
                start: span.start.max(start),
                end: span.end.min(end),
                ..span
            };
            taken.push(part);
            let (before, after) = (span.start < part.start, part.end < span.end);
            match (before, after) {
                (false, false) => {
                    self.spans.remove(at);
                }
                (true, false) => {
                    self.spans[at].end = part.start;
                    at += 1;
                }
                (false, true) => self.spans[at].start = part.end,
                (true, true) => {
                    self.spans[at].end = part.start;
                    let rest = Span {
                        start: part.end,
                        ..span
                    };
                    self.spans.insert(at + 1, rest);
                }
            }
            if after {
                break;
            }
        }
        taken
    }

    /// Takes out up to `most` of the next elements to run; of those to be run alone only one, and none beside others.
    pub fn take_pending(&mut self, most: u32) -> Option<Taken> {
        let (start, end) = self.pending.iter().next()?;
        let mut end = end.min(start + u64::from(most));
        let alone = self.extras.as_deref().map(|extras| &extras.alone);
        let lonely = alone.and_then(|alone| alone.overlap(start, end).next());
        let alone = match lonely {
            Some((first, _)) if first == start => {
                end = start + 1;
                true
            }
            Some((first, _)) => {
                end = first;
                false
            }
            None => false,
        };
        if start >= end {
            return None;
        }
        self.pending.remove(start, end);
        Some(Taken {
            start: start as u32,
            end: end as u32,
            alone,
        })
    }

    /// Whether its next pending element is one to be run alone.
    pub fn next_is_alone(&self) -> bool {
        let Some(extras) = self.extras.as_deref() else {
            return false;
        };
        let next = self.pending.first();
        next.is_some_and(|next| extras.alone.contains(next))
    }

    pub fn is_cancelled(&self, offset: u32) -> bool {
        let extras = self.extras.as_deref();
        extras.is_some_and(|extras| extras.cancelled.contains(u64::from(offset)))
    }

    /// Splits `start .. end` into runs that are cancelled and runs that are not.
    pub fn split_cancelled(&self, start: u32, end: u32) -> (RunList, RunList) {
        let Some(extras) = self
            .extras
            .as_deref()
            .filter(|extras| !extras.cancelled.is_empty())
        else {
            return (RunList::new(), smallvec::smallvec![(start, end)]);
        };
        let (mut cancelled, mut others) = (RunList::new(), RunList::new());
        let mut at = start;
        for (from, upto) in extras.cancelled.overlap(start.into(), end.into()) {
            let (from, upto) = (from as u32, upto as u32);
            if at < from {
                others.push((at, from));
            }
            cancelled.push((from, upto));
            at = upto;
        }
        if at < end {
            others.push((at, end));
        }
        (cancelled, others)
    }

    pub fn trial(&self, offset: u32) -> Option<&Trial> {
        self.extras.as_deref()?.trials.get(&offset)
    }

    /// Elements `start .. end`, in no place, have their outcome. Returns the payload bytes that were let go of.
    pub fn finish(&mut self, start: u32, end: u32) -> usize {
        self.left -= end - start;
        if let Some(extras) = &mut self.extras {
            extras.cancelled.remove(start.into(), end.into());
            extras.alone.remove(start.into(), end.into());
            extras.unneeded.remove(start.into(), end.into());
            if !extras.trials.is_empty() {
                extras
                    .trials
                    .retain(|offset, _| !(start..end).contains(offset));
            }
        }
        let mut freed = 0;
        let mut index = self.block_of(start);
        let mut at = start;
        while at < end {
            let stop = self.block_end(index).min(end);
            let block = &mut self.blocks[index];
            block.left -= stop - at;
            if block.left == 0 {
                freed += block.payload.take().map_or(0, |payload| payload.len());
            }
            at = stop;
            index += 1;
        }
        freed
    }

    /// Payload bytes of elements without an outcome.
    pub fn bytes(&self) -> usize {
        let payloads = self
            .blocks
            .iter()
            .filter_map(|block| block.payload.as_ref());
        payloads.map(Payload::len).sum()
    }

    /// What the engine's structures take for it, queues and maps included, beyond its payloads.
    pub fn overhead(&self) -> usize {
        let spilled = match self.blocks.len() {
            1 => 0,
            blocks => blocks * std::mem::size_of::<StoredBlock<P>>(),
        };
        let extras = self.extras.as_deref();
        let needs = extras.map_or(0, |extras| extras.needs.len() * NEED);
        std::mem::size_of::<Self>() + QUEUE_AND_MAP + spilled + needs
    }
}

/// Bytes of an array's entries in its class's queue and its session's map, at the trees' least filling.
const QUEUE_AND_MAP: usize = 80;
/// Bytes of a need, and of its share of what is known of the other element.
const NEED: usize = 64;

/// Elements taken from those pending.
pub(super) struct Taken {
    pub start: u32,
    pub end: u32,
    pub alone: bool,
}
