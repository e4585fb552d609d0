//! Who gets what: one pass over the classes that have something to place, a turn.
//!
//! First every free slot: a class's next elements go to the node with most of them. Only when none of the nodes that
//! satisfy the class has a free slot are elements sent ahead, to the node with the least expected work: enough short
//! ones to cover a round trip, of long ones one a slot. What a node gets ahead shrinks with what is left of the class
//! (guided self-scheduling), so that the tail is balanced.
//!
//! Offload nodes, which run each task as a job, come after every other node with a free slot, and get single elements.

use std::cmp::Reverse;

use crate::wire::Payload;

use super::arrays::{ArrayIndex, ClassIndex, NodeIndex, Span};
use super::classes::Key;
use super::config::Allocate;
use super::nodes::{Assigned, Signature};
use super::Scheduler;

/// Expected work that a slot holds; microseconds. A round trip between hosts under load, several times over.
const TARGET_US: u64 = 16_000;
/// So many elements of a microsecond or less count as one in a node's queue: a thousand of them are not the work of one
/// round trip.
const TINY: u32 = 16;

/// Where the next elements of a class go.
#[derive(Clone, Copy)]
struct Choice {
    node: NodeIndex,
    /// It has no free slot.
    ahead: bool,
}

/// What is left of a class, and for whom. Half of it is given in each round over all slots, so that the tail is balanced.
struct Rest {
    elements: u64,
    nodes: u32,
    slots: u64,
}

impl Rest {
    /// Elements that a slot may have ahead. A node that is the only one may have all.
    fn share(&self) -> u64 {
        match self.nodes {
            0 | 1 => u64::from(u32::MAX),
            _ => self.elements / (2 * self.slots),
        }
    }

    /// Where it is less than that: what so many slots get at once. The fewer these are, the more steps find the best
    /// place; the more, the more neighbours stay together.
    fn part_of(&self, slots: u64) -> u64 {
        slots * self.elements / (2 * self.slots)
    }
}

impl<P: Payload> Scheduler<P> {
    pub(super) fn place(&mut self) {
        let mut passed: Option<(Key, ClassIndex)> = None;
        while let Some((key, class)) = self.classes.next_after(passed) {
            if self.classes.get(class).signatures.is_empty() {
                self.note_hopeless(class);
                passed = Some((key, class));
                continue;
            }
            if self.nodes.roomy.is_empty() {
                break;
            }
            let placed = match self.choose(class) {
                Some(choice) => self.give(class, key, choice),
                None => 0,
            };
            if placed == 0 {
                passed = Some((key, class));
            }
        }
    }

    fn choose(&self, class: ClassIndex) -> Option<Choice> {
        let signatures = &self.classes.get(class).signatures;
        let free = signatures
            .iter()
            .filter_map(|&number| {
                let signature = self.nodes.signature(number);
                let (free, used, node) = signature.most_free()?;
                let surplus = self.surplus(signature, class);
                Some((signature.offload, surplus, Reverse(free), used, node))
            })
            .min();
        if let Some((false, .., node)) = free {
            return Some(Choice { node, ahead: false });
        }
        let (_, index) = self.next_array(class)?;
        let depth = self.arrays[index].key.depth.0;
        let given_back = signatures.iter().filter_map(|&number| {
            let signature = self.nodes.signature(number);
            let (used, node) = signature.given_back(depth)?;
            Some((self.surplus(signature, class), used, node))
        });
        if let Some((.., node)) = given_back.min() {
            return Some(Choice { node, ahead: false });
        }
        if let Some((.., node)) = free {
            return Some(Choice { node, ahead: false });
        }
        if self.arrays[index].next_is_alone() {
            return None;
        }
        let least = signatures
            .iter()
            .filter_map(|&number| {
                let signature = self.nodes.signature(number);
                let (tier, load, used, node) = signature.least_loaded()?;
                let surplus = self.surplus(signature, class);
                Some((tier, surplus, load, used, node))
            })
            .filter(|&(.., node)| self.room(index, Choice { node, ahead: true }) > 0)
            .min();
        least.map(|(.., node)| Choice { node, ahead: true })
    }

    /// Capabilities that a class does not ask for, where the policy minds.
    fn surplus(&self, signature: &Signature, class: ClassIndex) -> usize {
        match self.config.allocate {
            Allocate::EvenLoad => 0,
            Allocate::Capability => {
                let asked = self.classes.get(class).capabilities.len();
                signature.capabilities.len().saturating_sub(asked)
            }
        }
    }

    fn next_array(&self, class: ClassIndex) -> Option<(Key, ArrayIndex)> {
        let class = self.classes.get(class);
        let (_, session) = class.head()?;
        let (&key, &array) = class.lanes[&session].queue.first_key_value()?;
        Some((key, array))
    }

    /// How many elements of an array a node may be given now.
    fn room(&self, index: ArrayIndex, choice: Choice) -> u32 {
        let node = self.nodes.get(choice.node);
        let array = &self.arrays[index];
        let depth = array.key.depth.0;
        if array.next_is_alone() || node.offload {
            return node.free_for(depth).min(1);
        }
        let rest = self.rest_of(array.class);
        let (slots, assigned) = (u64::from(node.slots), u64::from(node.assigned));
        let cost = self.functions.get(array.function).cost();
        let by_time = (slots * TARGET_US).saturating_sub(node.load_us) >> cost;
        let due = if choice.ahead {
            slots.saturating_sub(u64::from(node.unstarted()))
        } else {
            u64::from(node.free_for(depth))
        };
        let room = match rest.share() {
            0 => due.min(rest.part_of(due).max(1)),
            share => {
                let by_share = slots.saturating_mul(1 + share).saturating_sub(assigned);
                due.max(by_time.min(by_share))
            }
        };
        let tiny = if cost == 0 { TINY } else { 1 };
        let most = node.capacity().saturating_mul(tiny);
        let most = most.saturating_sub(node.assigned);
        room.min(most.max(node.given_back(depth)).into()) as u32
    }

    fn rest_of(&self, class: ClassIndex) -> Rest {
        let class = self.classes.get(class);
        let signatures = class.signatures.iter();
        let (nodes, slots) = signatures
            .map(|&number| self.nodes.signature(number))
            .filter(|signature| !signature.offload)
            .fold((0, 0), |(nodes, slots), it| {
                (nodes + it.nodes, slots + it.slots)
            });
        Rest {
            elements: class.runnable,
            nodes,
            slots: slots.max(1),
        }
    }

    /// Gives a node elements of a class, as long as nothing else comes before them. Gives how many.
    fn give(&mut self, class: ClassIndex, key: Key, choice: Choice) -> u64 {
        let others = self.classes.next_after(Some((key, class)));
        let others = others.map(|(key, _)| key);
        let limit = [self.classes.get(class).second(), others];
        let limit = limit.into_iter().flatten().min();
        let (mut given, mut left) = (0, None);
        while let Some((next, index)) = self.next_array(class) {
            if limit.is_some_and(|limit| next > limit) {
                break;
            }
            let room = self.room(index, choice);
            let most = left.map_or(room, |left| room.min(left));
            let taken = self.assign(index, choice.node, most);
            if taken == 0 {
                break;
            }
            left = Some(left.unwrap_or(room) - taken);
            given += u64::from(taken);
        }
        if given > 0 {
            self.used += 1;
            let node = self.nodes.get_mut(choice.node);
            node.used = self.used;
            if std::mem::take(&mut node.gave_back) {
                node.reclaimed_in_vain(self.now);
            }
            self.nodes.refresh(choice.node);
            self.stirred.insert(choice.node);
        }
        given
    }

    /// Moves up to `room` pending elements of an array to a node. Gives how many.
    fn assign(&mut self, index: ArrayIndex, node: NodeIndex, room: u32) -> u32 {
        let array = &mut self.arrays[index];
        let cost = self.functions.get(array.function).cost();
        let Some(taken) = array.take_pending(room) else {
            return 0;
        };
        let (start, end) = (taken.start, taken.end);
        let alone = taken.alone || self.nodes.get(node).offload;
        self.unpended(index, u64::from(end - start));
        let span = Span {
            start,
            end,
            node,
            cost,
        };
        self.put_at_node(index, span, false);
        let out = &mut self.nodes.get_mut(node).out;
        match out.last_mut() {
            Some(last) if last.array == index && last.end == start && !last.alone && !alone => {
                last.end = end;
            }
            _ => out.push(Assigned {
                array: index,
                start,
                end,
                alone,
            }),
        }
        end - start
    }
}
