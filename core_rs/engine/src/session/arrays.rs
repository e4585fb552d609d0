//! What the client keeps of its unfinished elements: everything needed to say a submission again.

use std::collections::BTreeMap;

use crate::wire::{Block, FunctionId, ObjectKey, ObjectUse, Options, Payload, Sequence, Submit};

/// An array as it leaves in one message holds at most so many elements …
pub(super) const MOST_ELEMENTS: u64 = 8_192;
/// … and so many bytes of arguments (unless a single block has more).
pub(super) const MOST_BYTES: usize = 4 << 20;

struct StoredBlock<P> {
    /// Of its first element, from the array's first.
    offset: u32,
    /// Elements without an outcome. At 0 the block is let go of.
    left: u32,
    block: Option<Block<P>>,
}

/// One array as it was sent, less the blocks all of whose elements are done.
pub(super) struct Array<P> {
    pub function: FunctionId,
    options: Options,
    count: u32,
    left: u32,
    blocks: Vec<StoredBlock<P>>,
    /// By element; those of all elements last.
    objects: Vec<ObjectUse>,
}

impl<P: Payload> Array<P> {
    pub fn new(submit: &Submit<P>) -> Self {
        let mut array = Array {
            function: submit.function,
            options: submit.options.clone(),
            count: 0,
            left: 0,
            blocks: Vec::with_capacity(submit.blocks.len()),
            objects: Vec::new(),
        };
        array.append(submit);
        array
    }

    /// Adds a submission that left in the same message.
    pub fn append(&mut self, submit: &Submit<P>) {
        let shift = self.count;
        for block in &submit.blocks {
            self.blocks.push(StoredBlock {
                offset: self.count,
                left: block.count,
                block: Some(block.clone()),
            });
            self.count += block.count;
            self.left += block.count;
        }
        let before = self.objects.len();
        self.objects
            .extend(submit.objects.iter().map(|object| shifted(object, shift)));
        self.objects[before..].sort_by_key(|object| object.element);
    }

    pub fn count(&self) -> u32 {
        self.count
    }

    /// Elements without an outcome.
    pub fn left(&self) -> u32 {
        self.left
    }

    /// Payload bytes still held.
    pub fn bytes(&self) -> usize {
        self.blocks
            .iter()
            .filter_map(|stored| stored.block.as_ref())
            .map(|block| block.payload.len())
            .sum()
    }

    /// Elements `start .. end` (offsets), none of them finished before, have their outcome.
    pub fn finish(&mut self, start: u32, end: u32) {
        let mut index = self.blocks.partition_point(|stored| stored.offset <= start) - 1;
        let mut at = start;
        while at < end {
            let next = self
                .blocks
                .get(index + 1)
                .map_or(self.count, |stored| stored.offset);
            let stored = &mut self.blocks[index];
            stored.left -= next.min(end) - at;
            if stored.left == 0 {
                stored.block = None;
            }
            at = next.min(end);
            index += 1;
        }
        self.left -= end - start;
    }

    /// Objects that elements `start .. end` alone used, and when no element is left also those that all used.
    pub fn objects_ended(&self, start: u32, end: u32) -> Vec<ObjectKey> {
        let before = |element: u32| {
            self.objects
                .partition_point(|object| object.element < element)
        };
        let shared = if self.left == 0 {
            before(u32::MAX)
        } else {
            self.objects.len()
        };
        let ended = self.objects[before(start)..before(end)]
            .iter()
            .chain(&self.objects[shared..]);
        ended.map(|object| object.key).collect()
    }

    /// The submissions that say the unfinished part again. `finished(start, end)` lists finished (offset, count) pairs.
    pub fn submissions(
        &self,
        first: Sequence,
        mut finished: impl FnMut(u32, u32) -> Vec<(u32, u32)>,
        mut each: impl FnMut(Submit<P>),
    ) {
        let mut index = 0;
        while index < self.blocks.len() {
            let kept = self.blocks[index..]
                .iter()
                .take_while(|stored| stored.block.is_some())
                .count();
            if kept > 0 {
                let start = self.blocks[index].offset;
                let end = self
                    .blocks
                    .get(index + kept)
                    .map_or(self.count, |stored| stored.offset);
                each(Submit {
                    function: self.function,
                    first: first + u64::from(start),
                    options: self.options.clone(),
                    blocks: self.blocks[index..index + kept]
                        .iter()
                        .filter_map(|stored| stored.block.clone())
                        .collect(),
                    objects: cut_objects(&self.objects, start, end),
                    finished: finished(start, end),
                });
            }
            index += kept.max(1);
        }
    }
}

fn shifted(object: &ObjectUse, shift: u32) -> ObjectUse {
    let element = if object.element == u32::MAX {
        u32::MAX
    } else {
        object.element + shift
    };
    ObjectUse { element, ..*object }
}

/// The uses that concern elements `start .. end`, counted from `start`.
fn cut_objects(objects: &[ObjectUse], start: u32, end: u32) -> Vec<ObjectUse> {
    let concerns =
        |object: &&ObjectUse| object.element == u32::MAX || (start..end).contains(&object.element);
    let from_start = |object: &ObjectUse| ObjectUse {
        element: if object.element == u32::MAX {
            u32::MAX
        } else {
            object.element - start
        },
        ..*object
    };
    objects.iter().filter(concerns).map(from_start).collect()
}

/// Cuts a submission between blocks into ones that fit a frame.
pub(super) fn cut<P: Payload>(submit: Submit<P>) -> Vec<Submit<P>> {
    if fits(
        submit.count(),
        submit.blocks.iter().map(|block| block.payload.len()).sum(),
    ) {
        return vec![submit];
    }
    let mut pieces: Vec<Submit<P>> = Vec::new();
    let (mut offset, mut elements, mut bytes) = (0u32, 0u64, 0usize);
    for block in submit.blocks {
        elements += u64::from(block.count);
        bytes += block.payload.len();
        if pieces.is_empty() || !fits(elements, bytes) {
            (elements, bytes) = (u64::from(block.count), block.payload.len());
            pieces.push(Submit {
                function: submit.function,
                first: submit.first + u64::from(offset),
                options: submit.options.clone(),
                blocks: Vec::new(),
                objects: Vec::new(),
                finished: Vec::new(),
            });
        }
        offset += block.count;
        if let Some(piece) = pieces.last_mut() {
            piece.blocks.push(block);
        }
    }
    for piece in &mut pieces {
        let start = (piece.first - submit.first) as u32;
        piece.objects = cut_objects(&submit.objects, start, start + piece.count() as u32);
    }
    pieces
}

fn fits(elements: u64, bytes: usize) -> bool {
    elements <= MOST_ELEMENTS && bytes <= MOST_BYTES
}

/// Size of the submission that leaves last: neighbours may still join it.
#[derive(Clone, Copy)]
pub(super) struct Tail {
    count: u64,
    bytes: usize,
}

impl Tail {
    /// `None` for a submission that none may join: an object used by the whole array is used by no other elements.
    pub fn of<P: Payload>(submit: &Submit<P>) -> Option<Tail> {
        let joinable = submit.finished.is_empty()
            && submit
                .objects
                .iter()
                .all(|object| object.element != u32::MAX);
        let bytes = submit.blocks.iter().map(|block| block.payload.len()).sum();
        joinable.then(|| Tail {
            count: submit.count(),
            bytes,
        })
    }

    /// Whether `next` may travel in one array with `last`, which is this tail's.
    pub fn takes<P: Payload>(&self, last: &Submit<P>, next: &Submit<P>) -> bool {
        let neighbours = last.first + self.count == next.first;
        let same = last.function == next.function && last.options == next.options;
        let fitting = |added: Tail| fits(self.count + added.count, self.bytes + added.bytes);
        neighbours && same && Tail::of(next).is_some_and(fitting)
    }

    /// Appends `next` to `last`, which is this tail's.
    pub fn join<P: Payload>(&mut self, last: &mut Submit<P>, next: Submit<P>) {
        let shift = self.count as u32;
        last.objects
            .extend(next.objects.iter().map(|object| shifted(object, shift)));
        for block in next.blocks {
            self.count += u64::from(block.count);
            self.bytes += block.payload.len();
            last.blocks.push(block);
        }
    }
}

/// The array that holds `sequence`, with its first element.
pub(super) fn holding<P: Payload>(
    arrays: &mut BTreeMap<Sequence, Array<P>>,
    sequence: Sequence,
) -> Option<(Sequence, &mut Array<P>)> {
    let (first, array) = arrays.range_mut(..=sequence).next_back()?;
    (sequence < first + u64::from(array.count())).then_some((*first, array))
}
