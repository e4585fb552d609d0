//! What the node says to the executors that it takes jobs for.

use crate::node::JobOptions;
use crate::wire::{Chunk, Message, ObjectKey, OutcomeKind, Payload};

use super::slot::Running;
use super::{names, Jobs, JobsOutput};

impl<P: Payload> Jobs<P> {
    /// The node wants an executor.
    pub fn start_executor(&mut self, now: u64, slot: u32) {
        self.now = now;
        self.clear(slot);
        let (pid, error) = (0, String::new());
        self.tell_node(slot, Message::Ready { pid, error });
    }

    /// Of the chunk that comes next in a slot.
    pub fn describe(&mut self, slot: u32, options: JobOptions, objects: Vec<ObjectKey>) {
        self.slots.entry(slot).or_default().described = Some((options, objects));
    }

    /// What the node tells an executor.
    pub fn message(&mut self, now: u64, slot: u32, message: Message<P>) {
        self.now = now;
        let state = self.slots.entry(slot).or_default();
        match message {
            Message::Function { id, payload } => state.function(id, payload),
            Message::ForgetFunction { id } => state.forget_function(id),
            Message::Value {
                id,
                count,
                form,
                payload,
            } => state.value(id, count, form, payload),
            Message::DropValues { ids } => state.drop_values(&ids),
            Message::Object {
                key,
                size,
                offset,
                payload,
            } => {
                if let Some(parts) = state.object(size, offset, payload) {
                    self.object(slot, key, parts);
                }
            }
            Message::ForgetObject { key } if state.objects.remove(&key) => self.unuse(key),
            Message::Chunk(chunk) => self.chunk(slot, &chunk),
            Message::Stop => self.kill(now, slot),
            // Nobody reads what jobs write.
            _ => {}
        }
    }

    /// Where the executor is, and since when.
    pub fn look(&self, slot: u32) -> (u64, u64) {
        let Some(state) = self.slots.get(&slot) else {
            return (0, 0);
        };
        match &state.running {
            Some(running) if running.started_us.is_some() => self.whereabouts(slot),
            _ => (state.position, 0),
        }
    }

    /// Elements at or past `at` are not to start. A job counts as started unless `take_back` says that no call for it
    /// has left, and that none will.
    pub fn stop(
        &mut self,
        now: u64,
        slot: u32,
        at: u64,
        take_back: impl FnOnce(&str) -> bool,
    ) -> (u64, u64) {
        self.now = now;
        let Some(state) = self.slots.get_mut(&slot) else {
            return (0, 0);
        };
        let Some(running) = state.running.as_ref().filter(|it| it.position() >= at) else {
            return self.whereabouts(slot);
        };
        let chunk = running.chunk;
        if !running.id.is_empty() && !take_back(&running.id) {
            return self.whereabouts(slot);
        }
        let id = running.id.clone();
        state.running = None;
        state.parts = None;
        if self.jobs.remove(&id).is_some() {
            self.out.push(JobsOutput::Forget { id });
        }
        self.chunk_end(slot, chunk, 0, 0);
        self.whereabouts(slot)
    }

    /// As `look`, but what may have started is where it is.
    fn whereabouts(&self, slot: u32) -> (u64, u64) {
        let Some(state) = self.slots.get(&slot) else {
            return (0, 0);
        };
        match &state.running {
            Some(running) => (running.position(), running.started_us.unwrap_or(self.now)),
            None => (state.position, 0),
        }
    }

    /// The element at `at` is cancelled. Its job ends when it ends: nobody waits for that.
    pub fn interrupt(&mut self, now: u64, slot: u32, at: u64) {
        self.now = now;
        let Some(state) = self.slots.get_mut(&slot) else {
            return;
        };
        let Some(running) = state.running.take_if(|it| it.position() == at) else {
            return;
        };
        state.parts = None;
        state.position = running.position();
        let payload = P::from_vec(Vec::new());
        self.result(slot, &running, OutcomeKind::Cancelled, payload, 0);
        self.chunk_end(slot, running.chunk, 1, 0);
        self.release(&running.id);
    }

    /// The executor is to end.
    pub fn kill(&mut self, now: u64, slot: u32) {
        self.now = now;
        let running = self.slots.get_mut(&slot).and_then(|it| it.running.take());
        let position = match &running {
            Some(running) => running.position(),
            None => self.slots.get(&slot).map_or(0, |state| state.position),
        };
        if let Some(running) = running {
            self.release(&running.id);
        }
        self.end(slot, position, String::new());
    }

    fn chunk(&mut self, slot: u32, chunk: &Chunk<P>) {
        let state = self.slots.entry(slot).or_default();
        let position = u64::from(chunk.chunk) << 32;
        let parts = state.parts_of(chunk);
        let Some(parts) = parts.filter(|_| state.running.is_none()) else {
            let detail = "the node did not tell all that its job needs".to_owned();
            return self.end(slot, position, detail);
        };
        let root = names::root(&parts, &chunk.function, self.digest);
        let state = self.slots.entry(slot).or_default();
        state.running = Some(Running {
            chunk: chunk.chunk,
            session: chunk.session,
            sequence: chunk.first,
            root,
            id: String::new(),
            started_us: None,
        });
        state.parts = Some(Box::new(parts));
        if self.knows {
            self.begin(slot);
        } else {
            self.held.push(slot);
        }
    }
}
