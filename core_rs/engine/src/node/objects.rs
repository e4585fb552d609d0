//! Objects that elements need: fetched from storage once, kept while elements use them and a little longer.

use std::collections::{BTreeMap, BTreeSet};

use super::work::Piece;
use crate::wire::{ObjectKey, Payload};

enum State<P> {
    Wanted,
    Fetching {
        request: u32,
        received: u64,
        parts: Vec<P>,
    },
    Here(Vec<P>),
}

struct Entry<P> {
    size: u64,
    /// Elements here that need it.
    users: u64,
    state: State<P>,
    /// When it was last let go of; counts releases.
    stamp: u64,
}

/// What a storage's part meant.
#[derive(Debug, PartialEq)]
pub(super) enum Fetched {
    Part,
    Whole,
    /// Not in order, or not of the stated size.
    Wrong(ObjectKey),
    /// Nobody asked.
    Unknown,
}

pub(super) struct Objects<P> {
    entries: BTreeMap<ObjectKey, Entry<P>>,
    requests: BTreeMap<u32, ObjectKey>,
    unused: BTreeSet<(u64, ObjectKey)>,
    unused_bytes: u64,
    /// Of those fetched or being fetched.
    bytes: u64,
    stamp: u64,
    /// Bytes that may be here at a time.
    budget: u64,
    /// Bytes of these that nobody uses.
    idle_budget: u64,
}

impl<P: Payload> Objects<P> {
    pub fn new(budget: u64) -> Self {
        Objects {
            entries: BTreeMap::new(),
            requests: BTreeMap::new(),
            unused: BTreeSet::new(),
            unused_bytes: 0,
            bytes: 0,
            stamp: 0,
            budget,
            idle_budget: budget / 4,
        }
    }

    /// The piece's elements will need its objects.
    pub fn retain(&mut self, piece: &Piece<P>) {
        for &(key, size) in piece.objects.iter() {
            let entry = self.entries.entry(key).or_insert(Entry {
                size,
                users: 0,
                state: State::Wanted,
                stamp: 0,
            });
            if entry.users == 0 && self.unused.remove(&(entry.stamp, key)) {
                self.unused_bytes -= entry.size;
            }
            entry.users += u64::from(piece.count);
        }
    }

    /// The piece's elements are gone. Returns what is no longer kept.
    pub fn release(&mut self, piece: &Piece<P>) -> Vec<ObjectKey> {
        for (key, _) in piece.objects.iter() {
            let Some(entry) = self.entries.get_mut(key) else {
                continue;
            };
            entry.users -= u64::from(piece.count);
            if entry.users > 0 {
                continue;
            }
            match entry.state {
                State::Wanted => {
                    self.entries.remove(key);
                }
                State::Fetching { .. } => {}
                State::Here(_) => self.set_aside(*key),
            }
        }
        self.evict(self.idle_budget, 0)
    }

    fn set_aside(&mut self, key: ObjectKey) {
        self.stamp += 1;
        if let Some(entry) = self.entries.get_mut(&key) {
            entry.stamp = self.stamp;
            self.unused.insert((self.stamp, key));
            self.unused_bytes += entry.size;
        }
    }

    /// Drops unused objects, oldest first, until at most `idle` bytes are unused and `more` bytes fit the budget.
    fn evict(&mut self, idle: u64, more: u64) -> Vec<ObjectKey> {
        let mut evicted = Vec::new();
        while self.unused_bytes > idle
            || (more > 0 && self.bytes.saturating_add(more) > self.budget)
        {
            let Some((_, key)) = self.unused.pop_first() else {
                break;
            };
            if let Some(entry) = self.entries.remove(&key) {
                self.unused_bytes -= entry.size;
                self.bytes -= entry.size;
            }
            evicted.push(key);
        }
        evicted
    }

    pub fn all_here(&self, piece: &Piece<P>) -> bool {
        piece.objects.iter().all(|(key, _)| {
            matches!(
                self.entries.get(key),
                Some(Entry {
                    state: State::Here(_),
                    ..
                })
            )
        })
    }

    /// Makes room for what the piece needs and lacks. Returns whether there is room, and what was dropped.
    pub fn make_room(&mut self, piece: &Piece<P>) -> (bool, Vec<ObjectKey>) {
        let lacks = |(key, _): &&(ObjectKey, u64)| {
            matches!(
                self.entries.get(key),
                Some(Entry {
                    state: State::Wanted,
                    ..
                }) | None
            )
        };
        let more = piece
            .objects
            .iter()
            .filter(lacks)
            .fold(0u64, |sum, (_, size)| sum.saturating_add(*size));
        let evicted = self.evict(u64::MAX, more);
        (
            more == 0 || self.bytes.saturating_add(more) <= self.budget,
            evicted,
        )
    }

    /// Marks what the piece lacks as asked for; `request` draws a number for each. Returns (request, key) pairs.
    pub fn fetch(
        &mut self,
        piece: &Piece<P>,
        mut request: impl FnMut() -> u32,
    ) -> Vec<(u32, ObjectKey)> {
        let mut asked = Vec::new();
        for (key, _) in piece.objects.iter() {
            let Some(entry) = self.entries.get_mut(key) else {
                continue;
            };
            if matches!(entry.state, State::Wanted) {
                let request = request();
                entry.state = State::Fetching {
                    request,
                    received: 0,
                    parts: Vec::new(),
                };
                self.bytes = self.bytes.saturating_add(entry.size);
                self.requests.insert(request, *key);
                asked.push((request, *key));
            }
        }
        asked
    }

    /// A part from storage.
    pub fn data(
        &mut self,
        request: u32,
        size: u64,
        offset: u64,
        payload: P,
    ) -> (Fetched, Vec<ObjectKey>) {
        let Some(&key) = self.requests.get(&request) else {
            return (Fetched::Unknown, Vec::new());
        };
        let Some(entry) = self.entries.get_mut(&key) else {
            return (Fetched::Unknown, Vec::new());
        };
        let State::Fetching {
            received, parts, ..
        } = &mut entry.state
        else {
            return (Fetched::Unknown, Vec::new());
        };
        let length = payload.len() as u64;
        let fits = *received == offset
            && size == entry.size
            && offset.checked_add(length).is_some_and(|end| end <= size);
        if !fits || (length == 0 && size > 0) {
            return (Fetched::Wrong(key), Vec::new());
        }
        *received += length;
        parts.push(payload);
        if *received < size {
            return (Fetched::Part, Vec::new());
        }
        entry.state = State::Here(std::mem::take(parts));
        let used = entry.users > 0;
        self.requests.remove(&request);
        if !used {
            self.set_aside(key);
        }
        (Fetched::Whole, self.evict(self.idle_budget, 0))
    }

    /// Storage does not have it, or gave it wrongly. Whoever needs it asks again or fails.
    pub fn missing(&mut self, request: u32) -> Option<ObjectKey> {
        let key = self.requests.remove(&request)?;
        let entry = self.entries.get_mut(&key)?;
        self.bytes = self.bytes.saturating_sub(entry.size);
        entry.state = State::Wanted;
        if entry.users == 0 {
            self.entries.remove(&key);
        }
        Some(key)
    }

    /// Storage forgot what it was asked for: everything under way starts again. Returns (request, key) pairs.
    pub fn ask_again(&mut self) -> Vec<(u32, ObjectKey)> {
        for entry in self.entries.values_mut() {
            if let State::Fetching {
                received, parts, ..
            } = &mut entry.state
            {
                *received = 0;
                parts.clear();
            }
        }
        self.requests
            .iter()
            .map(|(&request, &key)| (request, key))
            .collect()
    }

    pub fn size(&self, key: &ObjectKey) -> u64 {
        self.entries.get(key).map_or(0, |entry| entry.size)
    }

    /// The parts of an object that is here, with their offsets.
    pub fn parts(&self, key: &ObjectKey) -> Vec<(u64, P)> {
        let Some(Entry {
            state: State::Here(parts),
            ..
        }) = self.entries.get(key)
        else {
            return Vec::new();
        };
        let mut offset = 0;
        let place = |part: &P| {
            let placed = (offset, part.clone());
            offset += part.len() as u64;
            placed
        };
        parts.iter().map(place).collect()
    }

    /// Panics where the sums are not what they sum.
    pub fn sanity_check(&self) {
        let counted = |entry: &&Entry<P>| !matches!(entry.state, State::Wanted);
        let bytes: u64 = self
            .entries
            .values()
            .filter(counted)
            .map(|entry| entry.size)
            .sum();
        assert_eq!(self.bytes, bytes, "bytes of objects");
        let unused: u64 = self
            .unused
            .iter()
            .map(|(_, key)| self.entries[key].size)
            .sum();
        assert_eq!(self.unused_bytes, unused, "bytes of unused objects");
        for (request, key) in &self.requests {
            let asked = |state: &State<P>| matches!(state, State::Fetching { request: r, .. } if r == request);
            assert!(
                asked(&self.entries[key].state),
                "request {request} for an object that is not being fetched"
            );
        }
    }

    /// Elements that use an object.
    pub fn users(&self, key: &ObjectKey) -> u64 {
        self.entries.get(key).map_or(0, |entry| entry.users)
    }

    pub fn keys(&self) -> impl Iterator<Item = &ObjectKey> {
        self.entries.keys()
    }
}
