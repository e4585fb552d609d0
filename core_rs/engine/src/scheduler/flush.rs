//! End of a turn: what was decided becomes messages.

use crate::wire::{Assign, Message, NodeBlock, Payload, Segment, Sequence, SessionId};

use super::accept::cut_objects;
use super::arrays::{FunctionIndex, NodeIndex};
use super::nodes::Assigned;
use super::{Scheduler, SchedulerOutput};

/// Where a message of results ends: bytes, elements, segments.
const FULL_BYTES: usize = 4 << 20;
const FULL_ELEMENTS: u64 = 8_192;
const FULL_SEGMENTS: usize = 4_096;
/// Values asked for by one message.
const MOST_LACKING: usize = 4_096;

impl<P: Payload> Scheduler<P> {
    pub(super) fn flush(&mut self) {
        for index in std::mem::take(&mut self.stirred) {
            if self.nodes.contains(index) {
                self.drop_idle_blocks(index);
                self.drop_values(index);
                self.send_assignments(index);
                self.nodes.get_mut(index).gave_back = false;
            }
        }
        self.send_results();
        self.delete_unneeded();
        for index in std::mem::take(&mut self.finished) {
            self.arrays.remove(index);
        }
    }

    /// Blocks of which the node has no element any more.
    fn drop_idle_blocks(&mut self, index: NodeIndex) {
        let node = self.nodes.get_mut(index);
        if node.idle_blocks.is_empty() {
            return;
        }
        let link = node.link;
        let mut idle: Vec<u32> = node.idle_blocks.drain(..).map(|(array, _)| array).collect();
        idle.sort_unstable();
        idle.dedup();
        let mut dropped: Vec<(SessionId, Vec<Sequence>)> = Vec::new();
        for number in idle {
            let Some(here) = node.book.get_mut(&number) else {
                continue;
            };
            let array = &self.arrays[number];
            let mut blocks = Vec::new();
            here.blocks.retain(|block| {
                if block.count == 0 && block.sent {
                    let offset = array.blocks[block.index as usize].offset;
                    blocks.push(array.first + u64::from(offset));
                }
                block.count > 0
            });
            if here.count == 0 {
                node.book.remove(&number);
            }
            if blocks.is_empty() {
                continue;
            }
            let id = array.session_id;
            match dropped.iter_mut().find(|(other, _)| *other == id) {
                Some((_, all)) => all.append(&mut blocks),
                None => dropped.push((id, blocks)),
            }
        }
        for (session, blocks) in dropped {
            self.send(link, Message::DropBlocks { session, blocks });
        }
    }

    /// Values that no element needs any more.
    fn drop_values(&mut self, index: NodeIndex) {
        let node = self.nodes.get_mut(index);
        let (link, ids) = (node.link, std::mem::take(&mut node.dropped_values));
        if !ids.is_empty() {
            self.send(link, Message::DropValues { ids });
        }
    }

    fn send_assignments(&mut self, index: NodeIndex) {
        let out = std::mem::take(&mut self.nodes.get_mut(index).out);
        let link = self.nodes.get(index).link;
        for assigned in out {
            self.send_function(index, self.arrays[assigned.array].function);
            let assign = self.assignment(index, assigned);
            self.send(link, Message::Assign(assign));
        }
    }

    fn send_function(&mut self, index: NodeIndex, function: FunctionIndex) {
        let node = self.nodes.get_mut(index);
        if !node.functions.insert(function) {
            return;
        }
        let link = node.link;
        let function = self.functions.get_mut(function);
        function.nodes.insert(index);
        let (id, payload) = (function.id, function.payload.clone());
        self.send(link, Message::Function { id, payload });
    }

    fn assignment(&mut self, index: NodeIndex, assigned: Assigned) -> Assign<P> {
        let array = &self.arrays[assigned.array];
        let here = self.nodes.get_mut(index).book.get_mut(&assigned.array);
        let here = here.expect("what was assigned is booked");
        let mut blocks = Vec::new();
        let mut number = array.block_of(assigned.start);
        while number < array.blocks.len() && array.blocks[number].offset < assigned.end {
            let block = &array.blocks[number];
            let at = here
                .blocks
                .binary_search_by_key(&(number as u32), |block| block.index)
                .expect("an assigned element's block is booked");
            let sent = std::mem::replace(&mut here.blocks[at].sent, true);
            blocks.push(NodeBlock {
                first: array.first + u64::from(block.offset),
                count: array.block_end(number) - block.offset,
                form: block.form,
                payload: block.payload.clone().filter(|_| !sent),
            });
            number += 1;
        }
        let mut objects = array.extras.as_deref().map_or(Vec::new(), |extras| {
            cut_objects(&extras.objects, assigned.start, assigned.end)
        });
        let (start, end) = (assigned.start, assigned.end);
        let inputs = self.inputs(index, assigned.array, start, end, &mut objects);
        let array = &self.arrays[assigned.array];
        Assign {
            session: array.session_id,
            function: self.functions.get(array.function).id,
            first: array.first + u64::from(assigned.start),
            count: assigned.end - assigned.start,
            options: self.options.get(array.options).options.as_ref().clone(),
            blocks,
            objects,
            inputs,
        }
    }

    fn send_results(&mut self) {
        for index in std::mem::take(&mut self.answered) {
            let session = &mut self.sessions[index as usize];
            let link = session.link;
            let results = std::mem::take(&mut session.results);
            let lacking = std::mem::take(&mut session.lacking);
            for segments in in_messages(results) {
                self.send(link, Message::Results { segments });
            }
            for sequences in lacking.chunks(MOST_LACKING) {
                let sequences = sequences.to_vec();
                self.send(link, Message::Lacking { sequences });
            }
        }
    }

    /// A function is used less; the last use gone, nodes that have it are told.
    pub(super) fn release_function(&mut self, index: FunctionIndex) {
        let Some(function) = self.functions.release(index) else {
            return;
        };
        for &node in &function.nodes {
            let node = self.nodes.get_mut(node);
            node.functions.remove(&index);
            self.out.push(SchedulerOutput::Send {
                link: node.link,
                message: Message::ForgetFunction { id: function.id },
            });
        }
    }
}

fn in_messages<P: Payload>(results: Vec<Segment<P>>) -> Vec<Vec<Segment<P>>> {
    let mut messages: Vec<Vec<Segment<P>>> = Vec::new();
    let (mut bytes, mut elements) = (0, 0);
    for segment in results {
        let (more_bytes, more) = (segment.payload.len(), u64::from(segment.count));
        let full = messages.last().is_none_or(|message| {
            bytes + more_bytes > FULL_BYTES
                || elements + more > FULL_ELEMENTS
                || message.len() >= FULL_SEGMENTS
        });
        if full {
            messages.push(Vec::new());
            (bytes, elements) = (0, 0);
        }
        bytes += more_bytes;
        elements += more;
        if let Some(message) = messages.last_mut() {
            message.push(segment);
        }
    }
    messages
}
