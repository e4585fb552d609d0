//! Nodes: what is at each, and which of them has room.
//!
//! Nodes of equal capabilities and Python form a *signature*. A signature's sets order its nodes by free slots, by
//! expected work, and by what could be taken back from them, so that nothing ever scans nodes.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use slab::Slab;
use smallvec::SmallVec;

use crate::capabilities;
use crate::ranges::RangeSet;
use crate::wire::{Capabilities, LinkId, NodeStatus, Sequence, SessionId, ValueId};

use super::arrays::{ArrayIndex, FunctionIndex, NodeIndex};
use super::fleet::GroupIndex;
use super::values::ValueIndex;

pub(super) type SignatureIndex = u32;

/// A block of an array at a node.
#[derive(Clone, Copy, Debug)]
pub(super) struct BlockHere {
    pub index: u32,
    /// Elements of it assigned to the node.
    pub count: u32,
    /// The node has its bytes.
    pub sent: bool,
}

/// What of an array is at a node.
#[derive(Debug, Default)]
pub(super) struct ArrayHere {
    pub count: u32,
    /// By index.
    pub blocks: SmallVec<[BlockHere; 1]>,
}

/// Elements assigned in this turn.
#[derive(Clone, Copy, Debug)]
pub(super) struct Assigned {
    pub array: ArrayIndex,
    pub start: u32,
    pub end: u32,
    pub alone: bool,
}

#[derive(Debug)]
pub(super) struct Node {
    pub link: LinkId,
    pub name: Arc<str>,
    pub slots: u32,
    /// Most elements it may be sent beyond those that run, a slot.
    pub queue_size: u32,
    pub signature: SignatureIndex,
    pub connected: bool,
    /// It has told what it holds: until then nothing is placed on it.
    pub introduced: bool,
    /// It began with work of an earlier epoch, so it may speak of what the book does not have.
    pub resumed: bool,
    pub draining: bool,
    /// It runs each task as a job: single ones, and none ahead.
    pub offload: bool,
    /// The worker group that it is of; whether that gets nothing new; and whether its manager is known.
    pub group: Option<GroupIndex>,
    pub retiring: bool,
    pub supplied: bool,
    /// It counts as one with something at it.
    pub occupied: bool,
    /// It gave work back unasked: nothing is placed on it until it says how it is.
    pub reluctant: bool,
    /// Elements at it, ghosts and orphans included.
    pub assigned: u32,
    pub load_us: u64,
    pub book: BTreeMap<ArrayIndex, ArrayHere>,
    /// Elements of sessions that are over, until the node answers their cancellation.
    pub ghosts: BTreeMap<SessionId, RangeSet>,
    /// Elements that run here, of sessions that have not come back.
    pub orphans: BTreeMap<SessionId, RangeSet>,
    pub functions: BTreeSet<FunctionIndex>,
    /// Values of elements that it has, and numbers of those that it is to drop.
    pub values: BTreeSet<ValueIndex>,
    pub dropped_values: Vec<ValueId>,
    /// Blocks all of whose elements may be gone from the node.
    pub idle_blocks: Vec<(ArrayIndex, u32)>,
    /// What ran when it last said so.
    pub started: BTreeSet<(SessionId, Sequence)>,
    /// Depths of elements that wait for others, ascending; and elements at it by depth, but those of depth 0.
    pub waiting: Vec<u16>,
    pub deep: BTreeMap<u16, u32>,
    pub status: NodeStatus,
    /// It has not got on for long: nothing is sent ahead until it does.
    pub stuck: bool,
    /// A `Reclaim` is not answered yet.
    pub reclaiming: bool,
    /// Some of what it gave back went to it again, or it had nothing; in a row, and when to ask again.
    pub fruitless: u32,
    pub reclaim_after: u64,
    /// It gave back in this turn.
    pub gave_back: bool,
    /// When it last finished something, or got work while idle.
    pub progress_at: u64,
    /// Counts assignments of all nodes.
    pub used: u64,
    pub out: Vec<Assigned>,
    places: Places,
}

/// Its entries in its signature's sets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Places {
    accepting: Option<u32>,
    free: Option<(Reverse<u32>, u64)>,
    queueing: Option<(bool, u64, u64)>,
    laden: Option<Reverse<u32>>,
    nested: Option<(u16, u64)>,
    given: Option<u32>,
}

pub(super) struct NodeOrigin {
    pub link: LinkId,
    pub name: Arc<str>,
    pub slots: u32,
    pub queue_size: u32,
    pub offload: bool,
}

impl Node {
    pub fn free(&self) -> u32 {
        self.slots.saturating_sub(self.assigned)
    }

    /// Elements beyond those that can run.
    pub fn unstarted(&self) -> u32 {
        self.assigned
            .saturating_sub(self.slots + self.waiting.len() as u32)
    }

    pub fn accepts(&self) -> bool {
        self.connected
            && self.introduced
            && !self.draining
            && !self.reluctant
            && !self.retiring
            && !self.status.draining
    }

    /// It is about to end by itself.
    pub fn ends(&self) -> bool {
        self.draining || self.status.draining
    }

    /// Something would be lost with it, or that is not known yet.
    pub fn is_occupied(&self) -> bool {
        self.assigned > 0 || !self.introduced
    }

    /// Slots that are there whatever worker managers do.
    fn given(&self) -> Option<u32> {
        let given = !self.offload && !self.supplied && !self.retiring && !self.ends();
        given.then_some(self.slots)
    }

    /// Most elements that may be at it.
    pub fn capacity(&self) -> u32 {
        match self.offload {
            true => self.slots,
            false => self.slots.saturating_mul(self.queue_size.saturating_add(1)),
        }
    }

    fn places(&self) -> Places {
        let accepts = self.accepts();
        let free = (accepts && self.free() > 0).then_some((Reverse(self.free()), self.used));
        let queueing =
            (accepts && !self.stuck && self.free() == 0 && self.assigned < self.capacity()).then(
                || {
                    let slots = u64::from(self.slots.max(1));
                    (
                        self.unstarted() >= self.slots,
                        self.load_us / slots,
                        self.used,
                    )
                },
            );
        let laden = (self.connected && self.unstarted() > 0 && !self.reclaiming)
            .then_some(Reverse(self.unstarted()));
        // Also while it drains: what it waits for may run nowhere else.
        let opens_at = self
            .opens_at()
            .filter(|_| self.connected && self.introduced && !self.offload);
        Places {
            accepting: accepts.then_some(self.slots),
            free,
            queueing,
            laden,
            nested: opens_at.map(|depth| (depth, self.used)),
            given: self.given(),
        }
    }

    /// Asking for work back was in vain: the next time is later.
    pub fn reclaimed_in_vain(&mut self, now: u64) {
        self.fruitless = (self.fruitless + 1).min(10);
        self.reclaim_after = now + (1_000 << self.fruitless);
    }

    /// It finished something.
    pub fn got_on(&mut self, now: u64) {
        self.progress_at = now;
        self.stuck = false;
        self.fruitless = 0;
        self.reclaim_after = 0;
    }

    /// Notes elements of a block as being here.
    pub fn add_block(&mut self, array: ArrayIndex, index: u32, count: u32, sent: bool) {
        let here = self.book.entry(array).or_default();
        here.count += count;
        match here
            .blocks
            .binary_search_by_key(&index, |block| block.index)
        {
            Ok(at) => here.blocks[at].count += count,
            Err(at) => here.blocks.insert(at, BlockHere { index, count, sent }),
        }
    }

    /// Some elements of a block are gone from the node.
    pub fn remove_block(&mut self, array: ArrayIndex, index: u32, count: u32) {
        let here = self.book.get_mut(&array).expect("what is here is booked");
        here.count -= count;
        let at = here
            .blocks
            .binary_search_by_key(&index, |block| block.index)
            .expect("a booked element's block is booked");
        here.blocks[at].count -= count;
        if here.blocks[at].count == 0 {
            self.idle_blocks.push((array, index));
        }
    }
}

#[derive(Debug)]
pub(super) struct Signature {
    pub capabilities: Capabilities,
    pub python_minor: u8,
    /// Its nodes run tasks as jobs.
    pub offload: bool,
    pub nodes: u32,
    /// Slots of nodes that accept work.
    pub slots: u64,
    /// Slots of nodes that no worker manager has in its account.
    pub given: u64,
    /// Nodes with free slots: most of them first, then least recently used.
    free: BTreeSet<(Reverse<u32>, u64, NodeIndex)>,
    /// Nodes without free slots that may be sent more: those with less than an element a slot waiting, then by load.
    queueing: BTreeSet<(bool, u64, u64, NodeIndex)>,
    /// Nodes from which something could be taken back, most first.
    laden: BTreeSet<(Reverse<u32>, NodeIndex)>,
    /// Nodes with slots that were given back, by the least depth that may have them.
    nested: BTreeSet<(u16, u64, NodeIndex)>,
}

impl Signature {
    /// The node with most free slots, with their number and when it was last used.
    pub fn most_free(&self) -> Option<(u32, u64, NodeIndex)> {
        let &(Reverse(free), used, node) = self.free.first()?;
        Some((free, used, node))
    }

    /// The node with least work waiting.
    pub fn least_loaded(&self) -> Option<(bool, u64, u64, NodeIndex)> {
        self.queueing.first().copied()
    }

    /// A node with a slot that was given back, for elements of this depth; and when it was last used.
    pub fn given_back(&self, depth: u16) -> Option<(u64, NodeIndex)> {
        let &(least, used, node) = self.nested.first()?;
        (least <= depth).then_some((used, node))
    }

    pub fn has_free(&self) -> bool {
        !self.free.is_empty()
    }

    pub fn has_room(&self) -> bool {
        !self.free.is_empty() || !self.queueing.is_empty() || !self.nested.is_empty()
    }

    pub fn most_laden(&self) -> impl Iterator<Item = NodeIndex> + '_ {
        self.laden.iter().map(|&(_, node)| node)
    }

    /// Nodes with free slots.
    pub fn idle(&self) -> impl Iterator<Item = NodeIndex> + '_ {
        self.free.iter().map(|&(_, _, node)| node)
    }

    /// Whether its nodes offer all that is asked. An amount asked for needs an amount offered that is as large.
    pub fn satisfies(&self, capabilities: &Capabilities, python_minor: u8) -> bool {
        self.right_python(python_minor) && self.offers(capabilities)
    }

    pub fn right_python(&self, python_minor: u8) -> bool {
        python_minor == 0 || python_minor == self.python_minor
    }

    pub fn offers(&self, capabilities: &Capabilities) -> bool {
        capabilities::offers(&self.capabilities, capabilities)
    }

    pub fn offers_one(&self, name: &str, amount: i64) -> bool {
        capabilities::offers_one(&self.capabilities, name, amount)
    }

    pub fn amount_of(&self, name: &str) -> Option<i64> {
        capabilities::amount_of(&self.capabilities, name)
    }
}

#[derive(Debug, Default)]
pub(super) struct Nodes {
    nodes: Slab<Node>,
    by_link: BTreeMap<LinkId, NodeIndex>,
    signatures: Slab<Signature>,
    by_offer: BTreeMap<(Capabilities, u8, bool), SignatureIndex>,
    /// Signatures with any room, and with free slots.
    pub roomy: BTreeSet<SignatureIndex>,
    pub idle: BTreeSet<SignatureIndex>,
}

impl Nodes {
    pub fn get(&self, index: NodeIndex) -> &Node {
        &self.nodes[index as usize]
    }

    pub fn get_mut(&mut self, index: NodeIndex) -> &mut Node {
        &mut self.nodes[index as usize]
    }

    pub fn contains(&self, index: NodeIndex) -> bool {
        self.nodes.contains(index as usize)
    }

    pub fn by_link(&self, link: LinkId) -> Option<NodeIndex> {
        self.by_link.get(&link).copied()
    }

    pub fn signature(&self, index: SignatureIndex) -> &Signature {
        &self.signatures[index as usize]
    }

    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = (NodeIndex, &Node)> {
        self.nodes.iter().map(|(index, node)| (index as u32, node))
    }

    pub fn signatures(&self) -> impl Iterator<Item = (SignatureIndex, &Signature)> {
        self.signatures
            .iter()
            .map(|(index, signature)| (index as u32, signature))
    }

    /// Adds a node; gives its number, and its signature's if that is new.
    pub fn add(
        &mut self,
        origin: NodeOrigin,
        capabilities: Capabilities,
        python_minor: u8,
    ) -> (NodeIndex, Option<SignatureIndex>) {
        let offer = (capabilities, python_minor, origin.offload);
        let known = self.by_offer.get(&offer).copied();
        let signature = known.unwrap_or_else(|| {
            let index = self.signatures.insert(Signature {
                capabilities: offer.0.clone(),
                python_minor,
                offload: offer.2,
                nodes: 0,
                slots: 0,
                given: 0,
                free: BTreeSet::new(),
                queueing: BTreeSet::new(),
                laden: BTreeSet::new(),
                nested: BTreeSet::new(),
            }) as SignatureIndex;
            self.by_offer.insert(offer, index);
            index
        });
        self.signatures[signature as usize].nodes += 1;
        let link = origin.link;
        let index = self.nodes.insert(Node {
            link,
            name: origin.name,
            slots: origin.slots,
            queue_size: origin.queue_size,
            signature,
            connected: true,
            introduced: false,
            resumed: false,
            draining: false,
            offload: origin.offload,
            group: None,
            retiring: false,
            supplied: false,
            occupied: false,
            reluctant: false,
            assigned: 0,
            load_us: 0,
            book: BTreeMap::new(),
            ghosts: BTreeMap::new(),
            orphans: BTreeMap::new(),
            functions: BTreeSet::new(),
            values: BTreeSet::new(),
            dropped_values: Vec::new(),
            idle_blocks: Vec::new(),
            started: BTreeSet::new(),
            waiting: Vec::new(),
            deep: BTreeMap::new(),
            status: NodeStatus::default(),
            stuck: false,
            reclaiming: false,
            fruitless: 0,
            reclaim_after: 0,
            gave_back: false,
            progress_at: 0,
            used: 0,
            out: Vec::new(),
            places: Places::default(),
        }) as NodeIndex;
        self.by_link.insert(link, index);
        (index, known.is_none().then_some(signature))
    }

    /// Removes a node; gives it, and its signature's number if that is gone too.
    pub fn remove(&mut self, index: NodeIndex) -> (Node, Option<SignatureIndex>) {
        let node = self.get_mut(index);
        node.connected = false;
        node.supplied = true;
        self.refresh(index);
        let node = self.nodes.remove(index as usize);
        self.by_link.remove(&node.link);
        let signature = &mut self.signatures[node.signature as usize];
        signature.nodes -= 1;
        if signature.nodes > 0 {
            return (node, None);
        }
        let gone = self.signatures.remove(node.signature as usize);
        self.by_offer
            .remove(&(gone.capabilities, gone.python_minor, gone.offload));
        let number = node.signature;
        (node, Some(number))
    }

    /// Puts a node that changed where it belongs in its signature's sets.
    pub fn refresh(&mut self, index: NodeIndex) {
        let node = &mut self.nodes[index as usize];
        let (old, new) = (node.places, node.places());
        if old == new {
            return;
        }
        node.places = new;
        let number = node.signature;
        let signature = &mut self.signatures[number as usize];
        if old.accepting != new.accepting {
            signature.slots -= u64::from(old.accepting.unwrap_or(0));
            signature.slots += u64::from(new.accepting.unwrap_or(0));
        }
        if old.given != new.given {
            signature.given -= u64::from(old.given.unwrap_or(0));
            signature.given += u64::from(new.given.unwrap_or(0));
        }
        if old.free != new.free {
            if let Some((free, used)) = old.free {
                signature.free.remove(&(free, used, index));
            }
            if let Some((free, used)) = new.free {
                signature.free.insert((free, used, index));
            }
        }
        if old.queueing != new.queueing {
            if let Some((tier, load, used)) = old.queueing {
                signature.queueing.remove(&(tier, load, used, index));
            }
            if let Some((tier, load, used)) = new.queueing {
                signature.queueing.insert((tier, load, used, index));
            }
        }
        if old.laden != new.laden {
            if let Some(unstarted) = old.laden {
                signature.laden.remove(&(unstarted, index));
            }
            if let Some(unstarted) = new.laden {
                signature.laden.insert((unstarted, index));
            }
        }
        if old.nested != new.nested {
            if let Some((depth, used)) = old.nested {
                signature.nested.remove(&(depth, used, index));
            }
            if let Some((depth, used)) = new.nested {
                signature.nested.insert((depth, used, index));
            }
        }
        let (room, idle) = (signature.has_room(), signature.has_free());
        note(&mut self.roomy, number, room);
        note(&mut self.idle, number, idle);
    }

    pub fn sanity_check(&self) {
        for (index, node) in self.iter() {
            assert_eq!(
                node.places,
                node.places(),
                "node {index} is where it belongs"
            );
            assert_eq!(self.by_link(node.link), Some(index));
            let booked: u32 = node.book.values().map(|here| here.count).sum();
            let others = node.ghosts.values().chain(node.orphans.values());
            let others: u64 = others.map(RangeSet::len).sum();
            assert_eq!(u64::from(node.assigned), u64::from(booked) + others);
            for here in node.book.values() {
                let blocks: u32 = here.blocks.iter().map(|block| block.count).sum();
                assert_eq!(blocks, here.count);
            }
        }
        for (number, signature) in self.signatures() {
            assert_eq!(signature.has_room(), self.roomy.contains(&number));
            assert_eq!(signature.has_free(), self.idle.contains(&number));
        }
    }
}

fn note(set: &mut BTreeSet<SignatureIndex>, number: SignatureIndex, member: bool) {
    if member {
        set.insert(number);
    } else {
        set.remove(&number);
    }
}
