//! How long objects live: as long as a client holds them, or an unfinished element needs them.
//!
//! The value of an element that is an object is held by its client from the moment in which its outcome is told.

use std::collections::BTreeMap;

use crate::wire::{Message, ObjectKey, ObjectUse, OutcomeKind, Payload, Segment};

use super::arrays::{ArrayIndex, SessionIndex};
use super::{Scheduler, SchedulerOutput};

#[derive(Debug, Default)]
struct Object {
    /// Sessions that hold it.
    holds: u32,
    /// Entries in unfinished arrays.
    uses: u32,
}

#[derive(Debug, Default)]
pub(super) struct Objects {
    objects: BTreeMap<ObjectKey, Object>,
    /// Not needed at some time in this turn.
    idle: Vec<ObjectKey>,
}

impl Objects {
    pub fn len(&self) -> usize {
        self.objects.len()
    }

    fn hold(&mut self, key: ObjectKey) {
        self.objects.entry(key).or_default().holds += 1;
    }

    fn retain(&mut self, key: ObjectKey) {
        self.objects.entry(key).or_default().uses += 1;
    }

    fn drop_hold(&mut self, key: ObjectKey) {
        if let Some(object) = self.objects.get_mut(&key) {
            object.holds -= 1;
            self.idle.push(key);
        }
    }

    fn release(&mut self, key: ObjectKey) {
        if let Some(object) = self.objects.get_mut(&key) {
            object.uses -= 1;
            self.idle.push(key);
        }
    }

    /// Forgets those that nobody needs; gives them.
    fn take_unneeded(&mut self) -> Vec<ObjectKey> {
        let mut idle = std::mem::take(&mut self.idle);
        idle.sort_unstable();
        idle.dedup();
        idle.retain(|key| {
            let unneeded = |object: &Object| object.holds == 0 && object.uses == 0;
            self.objects.get(key).is_some_and(unneeded)
        });
        for key in &idle {
            self.objects.remove(key);
        }
        idle
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

    /// Tells the store what nobody needs any more.
    pub(super) fn delete_unneeded(&mut self) {
        let keys = self.objects.take_unneeded();
        if !keys.is_empty() {
            let delete = Message::Delete { keys };
            self.out.push(SchedulerOutput::Store(delete));
        }
    }
}
