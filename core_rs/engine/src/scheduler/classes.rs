//! Who waits for what: classes of tasks by what they ask of a node, and the order within and among them.
//!
//! A class has a *lane* for each session; a session over its budget is parked by taking its lanes' heads out, whatever
//! number of arrays waits in them. `agenda` orders the classes by the arrays that are next in them.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use slab::Slab;

use crate::wire::Capabilities;

use super::arrays::{ArrayIndex, ClassIndex, SessionIndex};
use super::nodes::SignatureIndex;

/// More of them, and a submission of yet another one is rejected.
pub(super) const MOST_CLASSES: usize = 1_024;
/// Calls after which older ones count half in what a call takes.
const REMEMBERED: u64 = 1_024;

/// Order of arrays: deeper first, then larger priority, then as submitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub depth: Reverse<u16>,
    pub priority: Reverse<i32>,
    /// Counts submissions; no two arrays have the same.
    pub order: u64,
}

#[derive(Debug, Default)]
pub(super) struct Lane {
    pub queue: BTreeMap<Key, ArrayIndex>,
    /// Pending elements of these arrays.
    pub pending: u64,
    pub parked: bool,
}

#[derive(Debug)]
pub(super) struct Class {
    pub capabilities: Capabilities,
    /// 0 = any.
    pub python_minor: u8,
    /// Sets of options that use it.
    pub uses: u32,
    pub lanes: BTreeMap<SessionIndex, Lane>,
    heads: BTreeSet<(Key, SessionIndex)>,
    /// Pending elements of lanes that are not parked.
    pub runnable: u64,
    /// Elements of it at nodes that do not run them as jobs.
    pub assigned: u64,
    /// What elements of it took lately, and how many these were.
    busy_us: u64,
    measured: u64,
    /// Kinds of node that satisfy it.
    pub signatures: Vec<SignatureIndex>,
    /// Since when it waits with nobody to serve it.
    pub hopeless_since: Option<u64>,
    /// Why it cannot be placed, as was logged last, and when.
    pub complaint: Option<(u64, String)>,
}

#[derive(Debug, Default)]
pub(super) struct Classes {
    classes: Slab<Class>,
    by_demand: BTreeMap<(Capabilities, u8), ClassIndex>,
    /// Classes with something to place, by what is next in them.
    agenda: BTreeSet<(Key, ClassIndex)>,
}

impl Class {
    pub fn head(&self) -> Option<(Key, SessionIndex)> {
        self.heads.first().copied()
    }

    /// Key of the lane that comes after the first one.
    pub fn second(&self) -> Option<Key> {
        self.heads.iter().nth(1).map(|(key, _)| *key)
    }

    pub fn pending(&self) -> u64 {
        self.lanes.values().map(|lane| lane.pending).sum()
    }

    /// `elements` calls took `busy_us` together.
    pub fn measure(&mut self, elements: u64, busy_us: u64) {
        if self.measured >= REMEMBERED {
            self.measured /= 2;
            self.busy_us /= 2;
        }
        self.measured += elements;
        self.busy_us = self.busy_us.saturating_add(busy_us);
    }

    /// What an element takes; 0 = not known.
    pub fn mean_us(&self) -> u64 {
        match self.measured {
            0 => 0,
            measured => (self.busy_us / measured).max(1),
        }
    }
}

impl Classes {
    pub fn get(&self, index: ClassIndex) -> &Class {
        &self.classes[index as usize]
    }

    pub fn get_mut(&mut self, index: ClassIndex) -> &mut Class {
        &mut self.classes[index as usize]
    }

    pub fn iter(&self) -> impl Iterator<Item = (ClassIndex, &Class)> {
        self.classes
            .iter()
            .map(|(index, class)| (index as u32, class))
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = (ClassIndex, &mut Class)> {
        self.classes
            .iter_mut()
            .map(|(index, class)| (index as u32, class))
    }

    pub fn find(&self, capabilities: &Capabilities, python_minor: u8) -> Option<ClassIndex> {
        self.by_demand
            .get(&(capabilities.clone(), python_minor))
            .copied()
    }

    /// A new class; `None` when there are too many.
    pub fn add(
        &mut self,
        capabilities: Capabilities,
        python_minor: u8,
        signatures: Vec<SignatureIndex>,
    ) -> Option<ClassIndex> {
        if self.classes.len() >= MOST_CLASSES {
            return None;
        }
        let index = self.classes.insert(Class {
            capabilities: capabilities.clone(),
            python_minor,
            uses: 0,
            lanes: BTreeMap::new(),
            heads: BTreeSet::new(),
            runnable: 0,
            assigned: 0,
            busy_us: 0,
            measured: 0,
            signatures,
            hopeless_since: None,
            complaint: None,
        }) as ClassIndex;
        self.by_demand.insert((capabilities, python_minor), index);
        Some(index)
    }

    pub fn release(&mut self, index: ClassIndex) {
        let class = self.get_mut(index);
        class.uses -= 1;
        if class.uses == 0 {
            let class = self.classes.remove(index as usize);
            debug_assert!(class.lanes.is_empty());
            self.by_demand
                .remove(&(class.capabilities, class.python_minor));
        }
    }

    /// The class whose next array comes first, after `after`.
    pub fn next_after(&self, after: Option<(Key, ClassIndex)>) -> Option<(Key, ClassIndex)> {
        use std::ops::Bound::{Excluded, Unbounded};
        match after {
            None => self.agenda.first().copied(),
            Some(place) => self
                .agenda
                .range((Excluded(place), Unbounded))
                .next()
                .copied(),
        }
    }

    /// `elements` more of an array are pending.
    pub fn enqueue(
        &mut self,
        index: ClassIndex,
        session: SessionIndex,
        key: Key,
        array: ArrayIndex,
        elements: u64,
        parked: bool,
    ) {
        let class = &mut self.classes[index as usize];
        let lane = class.lanes.entry(session).or_insert_with(|| Lane {
            parked,
            ..Lane::default()
        });
        lane.pending += elements;
        if !lane.parked {
            class.runnable += elements;
        }
        let head = lane.queue.first_key_value().map(|(key, _)| *key);
        lane.queue.insert(key, array);
        if !lane.parked && head.is_none_or(|head| key < head) {
            self.move_head(index, session, head, Some(key));
        }
    }

    /// `elements` of an array are no longer pending; `empty`: none of it is.
    pub fn dequeue(
        &mut self,
        index: ClassIndex,
        session: SessionIndex,
        key: Key,
        elements: u64,
        empty: bool,
    ) {
        let class = &mut self.classes[index as usize];
        let Some(lane) = class.lanes.get_mut(&session) else {
            debug_assert!(false, "what is pending is in a lane");
            return;
        };
        lane.pending -= elements;
        if !lane.parked {
            class.runnable -= elements;
        }
        if !empty {
            return;
        }
        let head = lane.queue.first_key_value().map(|(key, _)| *key);
        lane.queue.remove(&key);
        let next = lane.queue.first_key_value().map(|(key, _)| *key);
        let parked = lane.parked;
        if next.is_none() {
            class.lanes.remove(&session);
        }
        if !parked && head == Some(key) {
            self.move_head(index, session, head, next);
        }
    }

    /// A session's tasks of this class, if there are any, may start, or not.
    pub fn park(&mut self, index: ClassIndex, session: SessionIndex, parked: bool) {
        let Some(class) = self.classes.get_mut(index as usize) else {
            return;
        };
        let lane = class.lanes.get_mut(&session);
        let Some(lane) = lane.filter(|lane| lane.parked != parked) else {
            return;
        };
        lane.parked = parked;
        let head = lane.queue.first_key_value().map(|(key, _)| *key);
        if parked {
            class.runnable -= lane.pending;
            self.move_head(index, session, head, None);
        } else {
            class.runnable += lane.pending;
            self.move_head(index, session, None, head);
        }
    }

    fn move_head(
        &mut self,
        index: ClassIndex,
        session: SessionIndex,
        old: Option<Key>,
        new: Option<Key>,
    ) {
        let class = &mut self.classes[index as usize];
        let before = class.head();
        if let Some(old) = old {
            class.heads.remove(&(old, session));
        }
        if let Some(new) = new {
            class.heads.insert((new, session));
        }
        let after = class.head();
        if before.map(|(key, _)| key) != after.map(|(key, _)| key) {
            if let Some((key, _)) = before {
                self.agenda.remove(&(key, index));
            }
            if let Some((key, _)) = after {
                self.agenda.insert((key, index));
            }
        }
    }

    pub fn sanity_check(&self) {
        let mut agenda = 0;
        for (index, class) in self.iter() {
            let (mut runnable, mut heads) = (0, 0);
            for (&session, lane) in &class.lanes {
                let head = lane.queue.first_key_value().expect("a lane is not empty").0;
                assert!(lane.pending >= lane.queue.len() as u64);
                assert_eq!(class.heads.contains(&(*head, session)), !lane.parked);
                if !lane.parked {
                    runnable += lane.pending;
                    heads += 1;
                }
            }
            assert_eq!(runnable, class.runnable, "runnable elements of a class");
            assert_eq!(heads, class.heads.len());
            if let Some((key, _)) = class.head() {
                assert!(self.agenda.contains(&(key, index)));
                agenda += 1;
            }
        }
        assert_eq!(agenda, self.agenda.len());
        assert_eq!(self.by_demand.len(), self.classes.len());
    }
}
