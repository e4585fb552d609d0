//! What the client keeps of its unfinished elements: everything needed to say a submission again.

use std::collections::BTreeMap;

use crate::wire::{
    needs_of, Block, FunctionId, Graph, Need, ObjectKey, ObjectUse, Options, Payload, Sequence,
    Submit,
};

use super::graph::Graphs;

/// An array as it leaves in one message holds at most so many elements …
pub(super) const MOST_ELEMENTS: u64 = 8_192;
/// … and so many bytes of arguments (unless a single block has more).
pub(super) const MOST_BYTES: usize = 4 << 20;
/// … and so many needs (unless a single block has more).
pub(super) const MOST_NEEDS: usize = 1 << 16;

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
    /// By element.
    needs: Vec<Need>,
    /// Empty, or as many as elements.
    uses: Vec<u32>,
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
            needs: Vec::new(),
            uses: Vec::new(),
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
        append_graph(
            (&mut self.needs, &mut self.uses),
            submit.graph.as_deref(),
            (shift, self.count),
        );
    }

    /// The needs of elements `start .. end`.
    pub fn needs(&self, start: u32, end: u32) -> &[Need] {
        needs_of(&self.needs, start, end)
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

    /// What binds elements `start .. end`, as it is now.
    fn graph(
        &self,
        first: Sequence,
        start: u32,
        end: u32,
        graphs: &Graphs<P>,
    ) -> Option<Box<Graph>> {
        let uses = self.uses.get(start as usize..end as usize);
        let needs = self.needs(start, end).iter().map(|need| Need {
            element: need.element - start,
            on: need.on,
            announced: true,
        });
        let graph = Graph {
            needs: needs.collect(),
            uses: graphs.uses(first + u64::from(start), uses.unwrap_or_default()),
        };
        (graph != Graph::default()).then(|| Box::new(graph))
    }

    /// The submissions that say the unfinished part again. `finished(start, end)` lists finished (offset, count) pairs.
    pub fn submissions(
        &self,
        first: Sequence,
        mut finished: impl FnMut(u32, u32) -> Vec<(u32, u32)>,
        graphs: &Graphs<P>,
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
                    graph: self.graph(first, start, end, graphs),
                });
            }
            index += kept.max(1);
        }
    }
}

/// What binds the elements that come behind `shift` others, `count` then, is added to what binds those.
fn append_graph(
    (needs, uses): (&mut Vec<Need>, &mut Vec<u32>),
    added: Option<&Graph>,
    (shift, count): (u32, u32),
) {
    let announced = added.is_some_and(|graph| !graph.uses.is_empty());
    if announced || !uses.is_empty() {
        uses.resize(shift as usize, 0);
    }
    if let Some(graph) = added {
        needs.extend(graph.needs.iter().map(|need| Need {
            element: need.element + shift,
            ..*need
        }));
        uses.extend(&graph.uses);
    }
    if !uses.is_empty() {
        uses.resize(count as usize, 0);
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
    if fits(Size::of(&submit)) {
        return vec![submit];
    }
    let graph = submit.graph.unwrap_or_default();
    let mut pieces: Vec<Submit<P>> = Vec::new();
    let (mut offset, mut size) = (0u32, Size::default());
    for block in submit.blocks {
        let end = offset + block.count;
        let own = Size {
            elements: u64::from(block.count),
            bytes: block.payload.len(),
            needs: needs_of(&graph.needs, offset, end).len(),
        };
        size = size.and(own);
        if pieces.is_empty() || !fits(size) {
            size = own;
            pieces.push(Submit {
                function: submit.function,
                first: submit.first + u64::from(offset),
                options: submit.options.clone(),
                blocks: Vec::new(),
                objects: Vec::new(),
                finished: Vec::new(),
                graph: None,
            });
        }
        offset = end;
        if let Some(piece) = pieces.last_mut() {
            piece.blocks.push(block);
        }
    }
    for piece in &mut pieces {
        let start = (piece.first - submit.first) as u32;
        let end = start + piece.count() as u32;
        piece.objects = cut_objects(&submit.objects, start, end);
        let part = graph.part(start, end);
        piece.graph = (part != Graph::default()).then(|| Box::new(part));
    }
    pieces
}

fn fits(size: Size) -> bool {
    size.elements <= MOST_ELEMENTS && size.bytes <= MOST_BYTES && size.needs <= MOST_NEEDS
}

#[derive(Clone, Copy, Default)]
struct Size {
    elements: u64,
    bytes: usize,
    needs: usize,
}

impl Size {
    fn of<P: Payload>(submit: &Submit<P>) -> Size {
        let graph = submit.graph.as_ref();
        Size {
            elements: submit.count(),
            bytes: submit.blocks.iter().map(|block| block.payload.len()).sum(),
            needs: graph.map_or(0, |graph| graph.needs.len()),
        }
    }

    fn and(self, other: Size) -> Size {
        Size {
            elements: self.elements + other.elements,
            bytes: self.bytes + other.bytes,
            needs: self.needs + other.needs,
        }
    }
}

/// Size of the submission that leaves last: neighbours may still join it.
#[derive(Clone, Copy)]
pub(super) struct Tail {
    size: Size,
}

impl Tail {
    /// `None` for a submission that none may join: an object used by the whole array is used by no other elements.
    pub fn of<P: Payload>(submit: &Submit<P>) -> Option<Tail> {
        let joinable = submit.finished.is_empty()
            && submit
                .objects
                .iter()
                .all(|object| object.element != u32::MAX);
        joinable.then(|| Tail {
            size: Size::of(submit),
        })
    }

    /// Whether `next` may travel in one array with `last`, which is this tail's.
    pub fn takes<P: Payload>(&self, last: &Submit<P>, next: &Submit<P>) -> bool {
        let neighbours = last.first + self.size.elements == next.first;
        let same = last.function == next.function && last.options == next.options;
        let fitting = |added: Tail| fits(self.size.and(added.size));
        neighbours && same && Tail::of(next).is_some_and(fitting)
    }

    /// Appends `next` to `last`, which is this tail's.
    pub fn join<P: Payload>(&mut self, last: &mut Submit<P>, next: Submit<P>) {
        let shift = self.size.elements as u32;
        self.size = self.size.and(Size::of(&next));
        last.objects
            .extend(next.objects.iter().map(|object| shifted(object, shift)));
        if last.graph.is_some() || next.graph.is_some() {
            let graph = last.graph.get_or_insert_with(Box::default);
            append_graph(
                (&mut graph.needs, &mut graph.uses),
                next.graph.as_deref(),
                (shift, self.size.elements as u32),
            );
        }
        last.blocks.extend(next.blocks);
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
