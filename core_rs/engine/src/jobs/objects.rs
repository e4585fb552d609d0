//! Objects that jobs refer to: told to the host once, whatever the number of slots that have them.

use crate::wire::{ObjectKey, Payload};

use super::{Jobs, JobsOutput};

impl<P: Payload> Jobs<P> {
    pub(super) fn object(&mut self, slot: u32, key: ObjectKey, parts: Vec<P>) {
        let state = self.slots.entry(slot).or_default();
        if !state.objects.insert(key) {
            return;
        }
        let users = self.users.entry(key).or_default();
        *users += 1;
        if *users == 1 {
            self.out.push(JobsOutput::Object { key, parts });
        }
    }

    pub(super) fn unuse(&mut self, key: ObjectKey) {
        let Some(users) = self.users.get_mut(&key) else {
            return;
        };
        *users -= 1;
        if *users == 0 {
            self.users.remove(&key);
            self.out.push(JobsOutput::ForgetObject { key });
        }
    }

    /// A new executor knows nothing.
    pub(super) fn clear(&mut self, slot: u32) {
        let state = self.slots.remove(&slot).unwrap_or_default();
        self.held.retain(|held| *held != slot);
        for key in state.objects {
            self.unuse(key);
        }
    }
}
