//! Gets of objects that are not here yet.

use std::collections::{BTreeMap, BTreeSet};

use super::{Peer, Store};
use crate::wire::{LinkId, Message, ObjectKey, Payload, SessionId};

/// How long a get waits for an object of which nothing comes: long enough for a client to find a restarted storage
/// and put it again.
pub(super) const PATIENCE_US: u64 = 10_000_000;
/// And how long where its client has been here for so long, and nothing of it is on its way.
const SHORT_PATIENCE_US: u64 = 1_000_000;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Waiting {
    pub link: LinkId,
    pub request: u32,
    pub key: ObjectKey,
}

/// Objects that did not come and that are remembered as missing.
const MOST_MISSING: usize = 65_536;

/// Gets that wait: by object, with when their patience ends, and by that end.
#[derive(Debug, Default)]
pub(super) struct Absent {
    by_key: BTreeMap<(ObjectKey, u64), (Waiting, u64)>,
    ends: BTreeMap<(u64, u64), ObjectKey>,
    /// Each has a number.
    last: u64,
    /// What was waited for in vain: nobody waits for it again until it comes.
    missing: BTreeSet<ObjectKey>,
}

impl Absent {
    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    pub fn next_wakeup(&self) -> Option<u64> {
        self.ends.first_key_value().map(|(&(end, _), _)| end)
    }

    pub fn wait(&mut self, end: u64, waiting: Waiting) {
        self.last += 1;
        let key = waiting.key;
        self.by_key.insert((key, self.last), (waiting, end));
        self.ends.insert((end, self.last), key);
    }

    pub fn is_missing(&self, key: &ObjectKey) -> bool {
        self.missing.contains(key)
    }

    fn note_missing(&mut self, key: ObjectKey) {
        if self.missing.len() >= MOST_MISSING {
            self.missing.pop_first();
        }
        self.missing.insert(key);
    }

    fn take(&mut self, key: ObjectKey, number: u64) -> Option<Waiting> {
        let (waiting, end) = self.by_key.remove(&(key, number))?;
        self.ends.remove(&(end, number));
        Some(waiting)
    }

    fn take_between(&mut self, first: ObjectKey, last: ObjectKey) -> Vec<Waiting> {
        let found: Vec<_> = self
            .by_key
            .range((first, 0)..=(last, u64::MAX))
            .map(|(&place, _)| place)
            .collect();
        found
            .into_iter()
            .filter_map(|(key, number)| self.take(key, number))
            .collect()
    }

    pub fn take_session(&mut self, session: SessionId) -> Vec<Waiting> {
        let key = |hash| ObjectKey { session, hash };
        self.take_between(key([0; 16]), key([u8::MAX; 16]))
    }

    /// Drops what a peer asked for.
    pub fn forget(&mut self, link: LinkId) {
        let found: Vec<_> = self
            .by_key
            .iter()
            .filter(|(_, (waiting, _))| waiting.link == link)
            .map(|(&place, _)| place)
            .collect();
        for (key, number) in found {
            self.take(key, number);
        }
    }

    /// One whose patience has ended.
    fn take_due(&mut self, now: u64) -> Option<Waiting> {
        let (&(_, number), &key) = self
            .ends
            .first_key_value()
            .filter(|((end, _), _)| *end <= now)?;
        self.take(key, number)
    }
}

impl<P: Payload> Store<P> {
    /// The object is here: whoever waits for it gets it.
    pub(super) fn absent_came(&mut self, key: &ObjectKey) {
        self.absent.missing.remove(key);
        for waiting in self.absent.take_between(*key, *key) {
            if let Some(peer) = self.peers.get_mut(&waiting.link) {
                peer.absent -= 1;
                self.begin_get(waiting.link, waiting.request, waiting.key);
            }
        }
    }

    /// A node's get of an object that is not here.
    pub(super) fn wait_for_absent(&mut self, waiting: Waiting) {
        let end = self.now + self.patience_us(waiting.key.session);
        self.absent.wait(end, waiting);
    }

    pub(super) fn give_up_absent(&mut self) {
        while let Some(waiting) = self.absent.take_due(self.now) {
            if self.is_putting(waiting.key.session) {
                // Puts come one after the other: this one may be next.
                self.wait_for_absent(waiting);
            } else {
                self.absent.note_missing(waiting.key);
                self.absent_is_missing(waiting);
            }
        }
    }

    pub(super) fn absent_is_missing(&mut self, waiting: Waiting) {
        if let Some(peer) = self.peers.get_mut(&waiting.link) {
            peer.absent -= 1;
            let request = waiting.request;
            self.send(waiting.link, Message::Missing { request });
        }
    }

    /// A client that has just come may have much to put again.
    fn patience_us(&self, session: SessionId) -> u64 {
        let settled = |peer: &Peer<P>| {
            peer.session == session && self.now.saturating_sub(peer.joined_at) >= PATIENCE_US
        };
        match self.peers.values().any(settled) {
            true => SHORT_PATIENCE_US,
            false => PATIENCE_US,
        }
    }

    /// Parts of an object of this session are coming in.
    fn is_putting(&self, session: SessionId) -> bool {
        self.peers
            .values()
            .any(|peer| peer.session == session && !peer.puts.is_empty())
    }
}
