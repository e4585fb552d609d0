//! The machine's own state, checked: every element in exactly one place, and all counters agree.

use std::collections::BTreeMap;

use crate::ranges::RangeSet;
use crate::wire::Payload;

use super::arrays::{Array, ArrayIndex};
use super::sessions::Session;
use super::values::ValueIndex;
use super::Scheduler;

impl<P: Payload> Scheduler<P> {
    /// Panics where something is wrong. For tests: it looks at everything.
    pub fn sanity_check(&mut self) {
        self.refresh_touched();
        self.check_nesting();
        let mut pending = 0;
        let mut uses = 0;
        let mut bytes = 0;
        let mut at_nodes: BTreeMap<(u32, ArrayIndex), u32> = BTreeMap::new();
        for (index, session) in &self.sessions {
            let mut own = 0;
            let functions = session.functions.values();
            let functions = functions.map(|&it| self.functions.get(it).payload.len() as u64);
            let mut held = functions.sum::<u64>();
            held += self.check_graph(index as u32, session);
            for (&first, &number) in &session.arrays {
                let array = &self.arrays[number];
                assert_eq!((array.first, array.session as usize), (first, index));
                own += array.pending.len();
                held += (array.bytes() + array.overhead()) as u64;
                uses += self.check_array(number, array, &mut at_nodes);
            }
            assert_eq!(own, session.pending, "pending elements of a session");
            assert_eq!(held, session.bytes, "bytes of a session");
            assert_eq!(session.haunted, self.ghosts.contains_key(&session.id));
            assert_eq!(self.by_session.get(&session.id), Some(&(index as u32)));
            assert_eq!(self.by_client.get(&session.link), Some(&(index as u32)));
            pending += own;
            bytes += held;
        }
        assert_eq!(pending, self.pending);
        assert_eq!(bytes, self.bytes);
        assert_eq!(self.by_session.len(), self.sessions.len());
        self.check_nodes(&at_nodes);
        self.check_tables(uses, pending);
        self.classes.sanity_check();
        self.nodes.sanity_check();
        self.fleet.sanity_check();
        self.check_groups();
    }

    /// Gives how many objects it uses.
    fn check_array(
        &self,
        number: ArrayIndex,
        array: &Array<P>,
        at_nodes: &mut BTreeMap<(u32, ArrayIndex), u32>,
    ) -> u64 {
        let mut places = array.pending.clone();
        let mut in_spans = RangeSet::new();
        let extras = array.extras.as_deref();
        for &offset in extras.iter().flat_map(|extras| extras.blocked.keys()) {
            assert!(!places.contains(offset.into()), "blocked, and in a place");
            places.insert(offset.into(), u64::from(offset) + 1);
        }
        for pair in array.spans().windows(2) {
            assert!(pair[0].end <= pair[1].start, "spans in order");
        }
        for span in array.spans() {
            assert!(span.start < span.end && span.end <= array.count);
            let (start, end) = (u64::from(span.start), u64::from(span.end));
            assert_eq!(places.overlap(start, end).next(), None, "in two places");
            places.insert(start, end);
            in_spans.insert(start, end);
            *at_nodes.entry((span.node, number)).or_default() += span.end - span.start;
        }
        assert_eq!(
            places.len(),
            u64::from(array.left),
            "elements without an outcome"
        );
        assert!(array.left > 0, "an array that is done is gone");
        for (at, block) in array.blocks.iter().enumerate() {
            let (start, end) = (u64::from(block.offset), u64::from(array.block_end(at)));
            let left: u64 = places.overlap(start, end).map(|(s, e)| e - s).sum();
            assert_eq!(left, u64::from(block.left));
            assert_eq!(block.payload.is_some(), left > 0);
        }
        let class = self.classes.get(array.class);
        let lane = class.lanes.get(&array.session);
        let queued = lane.is_some_and(|lane| lane.queue.get(&array.key) == Some(&number));
        assert_eq!(
            queued,
            !array.pending.is_empty(),
            "queued if anything is pending"
        );
        if let Some(extras) = array.extras.as_deref() {
            for (start, end) in extras.cancelled.iter() {
                let inside: u64 = in_spans.overlap(start, end).map(|(s, e)| e - s).sum();
                assert_eq!(inside, end - start, "what is pending is cancelled at once");
            }
            let needed = |element: u32| element == u32::MAX || places.contains(element.into());
            let objects = extras.objects.iter();
            return objects.filter(|object| needed(object.element)).count() as u64;
        }
        0
    }

    /// Gives the bytes of its values.
    fn check_graph(&self, index: u32, session: &Session<P>) -> u64 {
        let mut users: BTreeMap<ValueIndex, u32> = BTreeMap::new();
        let kept = session.kept.values().filter_map(|kept| kept.value);
        let values = kept.map(|(value, _)| value);
        for value in values.chain(session.told.values().copied()) {
            *users.entry(value).or_default() += 1;
        }
        let own = self
            .values
            .iter()
            .filter(|(_, value)| value.session == index);
        let mut bytes = 0;
        for (number, value) in own {
            assert_eq!(users.remove(&number), Some(value.users), "users of a value");
            bytes += value.payload.len() as u64;
            for &node in &value.nodes {
                assert!(self.nodes.get(node).values.contains(&number));
            }
        }
        assert!(users.is_empty(), "values of another session");
        for (sequence, kept) in &session.kept {
            assert!(kept.uses > 0, "kept for nobody");
            let unique: std::collections::BTreeSet<_> = kept.waiting.iter().collect();
            assert_eq!(
                unique.len(),
                kept.waiting.len(),
                "{sequence} is waited for twice by one"
            );
            assert!(kept.value.is_none() || kept.waiting.is_empty());
        }
        bytes
    }

    fn check_nodes(&self, at_nodes: &BTreeMap<(u32, ArrayIndex), u32>) {
        let mut booked = BTreeMap::new();
        let mut ghosts: BTreeMap<u64, u64> = BTreeMap::new();
        let (mut orphans, mut assigned) = (0, 0);
        for (index, node) in self.nodes.iter() {
            let mut load = 0;
            for (&array, here) in &node.book {
                if here.count > 0 {
                    booked.insert((index, array), here.count);
                    assigned += u64::from(here.count);
                    let spans = self.arrays[array].spans().iter();
                    let own = spans.filter(|span| span.node == index);
                    load += own.map(|span| span.load_us()).sum::<u64>();
                }
            }
            assert_eq!(load, node.load_us, "expected work of a node");
            for (&session, set) in &node.ghosts {
                *ghosts.entry(session).or_default() += set.len();
            }
            orphans += node.orphans.values().map(RangeSet::len).sum::<u64>();
        }
        assert_eq!(&booked, at_nodes, "books of nodes and spans of arrays");
        assert_eq!(assigned, self.assigned);
        assert_eq!(ghosts, self.ghosts);
        assert_eq!(orphans, self.orphan_count());
    }

    /// Groups and their nodes know each other, and who has anything at it.
    fn check_groups(&self) {
        let mut members = 0;
        for (index, node) in self.nodes.iter() {
            let Some(group) = node.group else {
                continue;
            };
            members += 1;
            assert_eq!(node.occupied, node.is_occupied());
            let group = self.fleet.group(group);
            assert!(group.nodes.contains(&index));
            assert_eq!(node.retiring, !group.counts());
            let manager = self.fleet.manager(group.manager);
            assert_eq!(node.supplied, manager.info.is_some() && !manager.lost);
        }
        let mut counted = 0;
        for (manager, _) in self.fleet.managers() {
            for index in self.fleet.groups_of(manager) {
                let group = self.fleet.group(index);
                let nodes = group.nodes.iter().map(|&node| self.nodes.get(node));
                let occupied = nodes.filter(|node| node.occupied).count();
                assert_eq!(occupied, group.occupied as usize);
                counted += group.nodes.len();
            }
        }
        assert_eq!(members, counted);
        let mut assigned: BTreeMap<u32, u64> = BTreeMap::new();
        for (_, session) in &self.sessions {
            for &number in session.arrays.values() {
                let array = &self.arrays[number];
                for span in array.spans() {
                    if !self.nodes.get(span.node).offload {
                        let elements = u64::from(span.end - span.start);
                        *assigned.entry(array.class).or_default() += elements;
                    }
                }
            }
        }
        for (index, class) in self.classes.iter() {
            let here = assigned.get(&index).copied().unwrap_or(0);
            assert_eq!(class.assigned, here, "elements of a class at nodes");
        }
    }

    fn check_tables(&self, uses: u64, pending: u64) {
        let values = self
            .values
            .iter()
            .filter(|(_, value)| value.object.is_some());
        let uses = uses + values.count() as u64;
        assert_eq!(self.objects.uses(), uses, "uses of objects");
        let held: usize = self.sessions.iter().map(|(_, it)| it.held.len()).sum();
        assert_eq!(self.objects.holds(), held as u64, "holds of objects");
        let waiting: u64 = self.classes.iter().map(|(_, class)| class.pending()).sum();
        assert_eq!(waiting, pending, "pending elements of classes");
        let mut arrays = 0;
        for (index, _) in self.options.iter() {
            assert!(self.options.uses(index) > 0);
            arrays += self.options.uses(index) as usize;
        }
        let living: usize = self.sessions.iter().map(|(_, it)| it.arrays.len()).sum();
        assert_eq!(arrays, living);
        let known: usize = self.sessions.iter().map(|(_, it)| it.functions.len()).sum();
        let functions: usize = self.functions.iter().map(|(_, it)| it.uses as usize).sum();
        assert_eq!(functions, known + living, "uses of functions");
        for (index, function) in self.functions.iter() {
            for &node in &function.nodes {
                assert!(self.nodes.get(node).functions.contains(&index));
            }
        }
    }
}
