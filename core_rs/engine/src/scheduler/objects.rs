//! How long objects live: as long as a client holds them, or an unfinished element needs them.
//!
//! The value of an element that is an object is held by its client from the moment in which its outcome is told.
//!
//! Equal bytes are one object. So one that nobody needs may at this very moment be stored again by somebody whose word
//! of it is under way, and is deleted only after it has *lingered*: unneeded for a while in which all nodes with work
//! were connected.

use std::collections::{BTreeMap, BTreeSet};

use crate::wire::{Message, ObjectKey, ObjectUse, OutcomeKind, Payload, Segment, SessionId};

use super::arrays::{ArrayIndex, SessionIndex};
use super::nodes::Node;
use super::{Scheduler, SchedulerOutput};

#[derive(Debug, Default)]
struct Object {
    /// Sessions that hold it.
    holds: u32,
    /// Entries in unfinished arrays.
    uses: u32,
    /// When it is looked at, if it is among those that linger.
    due: Option<u64>,
}

#[derive(Debug, Default)]
pub(super) struct Objects {
    objects: BTreeMap<ObjectKey, Object>,
    /// Not needed at some time in this turn.
    idle: Vec<ObjectKey>,
    /// Unneeded when it was entered; looked at again at that time.
    lingering: BTreeSet<(u64, ObjectKey)>,
}

/// How long an object lingers; microseconds. Words that are under way take about as long at most, and until it goes the
/// memory that it is in cannot be used for another.
const LINGER_US: u64 = 20_000;
/// Keys in a message to the store.
const MOST_KEYS: usize = 4_096;

impl Objects {
    pub fn len(&self) -> usize {
        self.objects.len()
    }

    fn hold(&mut self, key: ObjectKey) {
        self.objects.entry(key).or_default().holds += 1;
    }

    pub fn retain(&mut self, key: ObjectKey) {
        self.objects.entry(key).or_default().uses += 1;
    }

    fn drop_hold(&mut self, key: ObjectKey) {
        if let Some(object) = self.objects.get_mut(&key) {
            object.holds -= 1;
            self.idle.push(key);
        }
    }

    pub fn release(&mut self, key: ObjectKey) {
        if let Some(object) = self.objects.get_mut(&key) {
            object.uses -= 1;
            self.idle.push(key);
        }
    }

    /// Notes an object that was stored, and that nobody may need.
    fn discard(&mut self, key: ObjectKey) {
        self.objects.entry(key).or_default();
        self.idle.push(key);
    }

    /// Enters what is unneeded now, to be looked at again when it has lingered.
    fn linger(&mut self, now: u64) {
        for key in std::mem::take(&mut self.idle) {
            if self.is_unneeded(&key) {
                self.linger_until(now + LINGER_US, key);
            }
        }
    }

    fn linger_until(&mut self, due: u64, key: ObjectKey) {
        let Some(object) = self.objects.get_mut(&key) else {
            return;
        };
        if let Some(before) = object.due.replace(due) {
            self.lingering.remove(&(before, key));
        }
        self.lingering.insert((due, key));
    }

    fn is_unneeded(&self, key: &ObjectKey) -> bool {
        let object = self.objects.get(key);
        object.is_some_and(|object| object.holds == 0 && object.uses == 0)
    }

    /// Forgets those that have lingered; gives them. `risky`: they may be stored again as yet.
    fn take_unneeded(&mut self, now: u64, risky: bool) -> Vec<ObjectKey> {
        let mut unneeded = Vec::new();
        while let Some(&(due, key)) = self.lingering.first().filter(|(due, _)| *due <= now) {
            self.lingering.remove(&(due, key));
            if !self.is_unneeded(&key) {
                continue;
            }
            if risky {
                self.linger_until(now + LINGER_US, key);
            } else {
                self.objects.remove(&key);
                unneeded.push(key);
            }
        }
        unneeded
    }

    /// Its store's objects go all at once.
    fn forget_session(&mut self, session: SessionId) {
        let first = ObjectKey {
            session,
            hash: [0; 16],
        };
        let own = self.objects.range(first..);
        let own: Vec<ObjectKey> = own
            .map(|(key, _)| *key)
            .take_while(|key| key.session == session)
            .collect();
        for key in own {
            if self.is_unneeded(&key) {
                self.objects.remove(&key);
            }
        }
    }

    pub fn next_wakeup(&self) -> Option<u64> {
        self.lingering.first().map(|(due, _)| *due)
    }

    pub fn uses(&self) -> u64 {
        self.objects
            .values()
            .map(|object| u64::from(object.uses))
            .sum()
    }

    pub fn holds(&self) -> u64 {
        self.objects
            .values()
            .map(|object| u64::from(object.holds))
            .sum()
    }
}

impl<P: Payload> Scheduler<P> {
    pub(super) fn hold_object(&mut self, owner: SessionIndex, key: ObjectKey, _size: u64) {
        if self.sessions[owner as usize].held.insert(key) {
            self.objects.hold(key);
        }
    }

    pub(super) fn release_object(&mut self, owner: SessionIndex, key: ObjectKey) {
        if self.sessions[owner as usize].held.remove(&key) {
            self.objects.drop_hold(key);
        }
    }

    pub(super) fn drop_hold(&mut self, key: ObjectKey) {
        self.objects.drop_hold(key);
    }

    pub(super) fn release_all_objects(&mut self, owner: SessionIndex) {
        for key in std::mem::take(&mut self.sessions[owner as usize].held) {
            self.objects.drop_hold(key);
        }
    }

    /// A value that is an object is the client's from now on; it releases it.
    pub(super) fn note_reference(&mut self, owner: SessionIndex, segment: &Segment<P>) {
        if segment.kind != OutcomeKind::ValueReference {
            return;
        }
        if let Some((key, size)) = segment.payload.as_reference() {
            self.hold_object(owner, key, size);
        }
    }

    /// An array needs these until its elements are done.
    pub(super) fn retain_uses(&mut self, index: ArrayIndex, mut objects: Vec<ObjectUse>) {
        if objects.is_empty() {
            return;
        }
        objects.sort_by_key(|object| object.element);
        for object in &objects {
            self.objects.retain(object.key);
        }
        self.arrays[index].extras().objects = objects;
    }

    /// Elements are about to be done: what they alone needed, and with the last of them what all needed, is let go of.
    pub(super) fn release_uses(&mut self, index: ArrayIndex, start: u32, end: u32) {
        let array = &self.arrays[index];
        let last = array.left == end - start;
        let Some(extras) = array.extras.as_deref() else {
            return;
        };
        let objects = &extras.objects;
        let before = |element: u32| objects.partition_point(|object| object.element < element);
        let own = &objects[before(start)..before(end)];
        let shared = if last {
            &objects[before(u32::MAX)..]
        } else {
            &[]
        };
        let keys: Vec<ObjectKey> = own.iter().chain(shared).map(|object| object.key).collect();
        for key in keys {
            self.objects.release(key);
        }
    }

    /// An outcome that is not told: if it is an object, nobody may need it.
    pub(super) fn discard_reference(&mut self, segment: &Segment<P>) {
        let value = segment.kind == OutcomeKind::ValueReference;
        if let Some((key, _)) = segment.payload.as_reference().filter(|_| value) {
            self.objects.discard(key);
        }
    }

    /// Tells the store what nobody needs any more.
    pub(super) fn delete_unneeded(&mut self) {
        self.objects.linger(self.now);
        if self.objects.next_wakeup().is_none_or(|at| self.now < at) {
            return;
        }
        let away = |node: &Node| !node.connected && node.assigned > 0;
        let risky = self.nodes.iter().any(|(_, node)| away(node));
        let keys = self.objects.take_unneeded(self.now, risky);
        for keys in keys.chunks(MOST_KEYS) {
            let delete = Message::Delete {
                keys: keys.to_vec(),
            };
            self.out.push(SchedulerOutput::Store(delete));
        }
    }

    /// All of its objects go with a session.
    pub(super) fn forget_objects(&mut self, session: SessionId) {
        self.objects.forget_session(session);
    }

    pub(super) fn delete_objects_of(&mut self, session: SessionId) {
        self.out
            .push(SchedulerOutput::Store(Message::DeleteSession { session }));
    }

    /// What object storage says: that it has objects of a session. Where that is unknown they go, if its client does
    /// not come in time.
    pub fn store(&mut self, now: u64, message: Message<P>) {
        self.now = now;
        match message {
            Message::DeleteSession { session } if self.session_of(session).is_none() => {
                self.ended.note(now, session);
            }
            _ => {}
        }
    }

    /// What was still under way when its session ended.
    pub(super) fn delete_late_objects(&mut self) {
        while let Some(session) = self.ended.pop_due(self.now) {
            self.delete_objects_of(session);
        }
    }
}
