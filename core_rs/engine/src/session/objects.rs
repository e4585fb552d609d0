//! Objects that the scheduler must keep for this client: those that it has handles on, and those that its unfinished
//! elements use.
//!
//! The scheduler lets go of an object with the last use that it knows of. Should it die before the outcome has reached
//! the client, the element runs again and needs its object again: so a handle ends, for the scheduler, not before the
//! outcomes of all elements that use the object are here.

use std::collections::BTreeMap;

use crate::wire::ObjectKey;

#[derive(Clone, Copy, Debug, Default)]
struct Object {
    size: u64,
    handles: u32,
    /// Unfinished elements, or arrays of them, that use it.
    uses: u32,
    /// The scheduler was told that it is held.
    told: bool,
}

#[derive(Debug, Default)]
pub(super) struct Objects {
    objects: BTreeMap<ObjectKey, Object>,
}

impl Objects {
    /// One handle more. Whether the scheduler is to be told that the object is held.
    pub fn hold(&mut self, key: ObjectKey, size: u64) -> bool {
        let object = self.objects.entry(key).or_default();
        object.size = size;
        object.handles += 1;
        !std::mem::replace(&mut object.told, true)
    }

    /// One handle less; without handles nothing happens. Whether the scheduler is to be told that the object is released.
    pub fn release(&mut self, key: ObjectKey) -> bool {
        let Some(object) = self
            .objects
            .get_mut(&key)
            .filter(|object| object.handles > 0)
        else {
            return false;
        };
        object.handles -= 1;
        self.drop_if_idle(key)
    }

    pub fn begin_use(&mut self, key: ObjectKey) {
        self.objects.entry(key).or_default().uses += 1;
    }

    /// Whether the scheduler is to be told that the object is released.
    pub fn end_use(&mut self, key: ObjectKey) -> bool {
        self.objects
            .get_mut(&key)
            .expect("what was begun ends")
            .uses -= 1;
        self.drop_if_idle(key)
    }

    fn drop_if_idle(&mut self, key: ObjectKey) -> bool {
        let object = self.objects[&key];
        let idle = object.handles == 0 && object.uses == 0;
        if idle {
            self.objects.remove(&key);
        }
        idle && object.told
    }

    /// All handles end, and the scheduler knows.
    pub fn clear(&mut self) {
        self.objects.retain(|_, object| {
            object.handles = 0;
            object.told = false;
            object.uses > 0
        });
    }

    /// What a scheduler that forgot is to be told again, with its size.
    pub fn held(&self) -> impl Iterator<Item = (ObjectKey, u64)> + '_ {
        let told = self.objects.iter().filter(|(_, object)| object.told);
        told.map(|(&key, object)| (key, object.size))
    }
}
