//! The node's dealings with object storage: objects that elements need, and values too large to travel inline.

use super::slot::Incoming;
use super::work::Piece;
use super::{Level, Node, NodeOutput};
use crate::node::objects::Fetched;
use crate::wire::{reference, FailureCode, Message, ObjectKey, OutcomeKind, Payload};

/// Pieces whose objects may be on their way at a time.
const MOST_AWAITED: usize = 64;
const LARGEST_VALUE: u64 = 1 << 48;

/// A large value that storage has yet to confirm.
pub(super) struct Upload<P> {
    pub piece: Piece<P>,
    key: ObjectKey,
    size: u64,
    parts: Vec<P>,
    busy_us: u64,
}

impl<P: Payload> Node<P> {
    /// A message of object storage.
    pub fn store(&mut self, now: u64, message: Message<P>) {
        self.now = now;
        match message {
            Message::Stored { request } => self.stored(request),
            Message::Data {
                request,
                size,
                offset,
                payload,
            } => {
                let (fetched, evicted) = self.objects.data(request, size, offset, payload);
                self.forget_objects(&evicted);
                match fetched {
                    Fetched::Part | Fetched::Unknown => {}
                    Fetched::Whole => self.queue_complete(),
                    Fetched::Wrong(key) => {
                        self.log(
                            Level::Error,
                            format!("storage gave parts of {} that do not fit", name(&key)),
                        );
                        self.not_fetched(
                            request,
                            FailureCode::ObjectStorage,
                            "storage gave wrong parts".into(),
                        );
                    }
                }
            }
            Message::Missing { request } => {
                self.not_fetched(request, FailureCode::MissingObjects, String::new());
            }
            Message::StoreError { request, text, .. } => match self.uploads.remove(&request) {
                Some(upload) => {
                    let failure = self.failure(FailureCode::ObjectStorage, 1, 0, text);
                    self.done_failed(&upload.piece, failure);
                }
                None => self.not_fetched(request, FailureCode::ObjectStorage, text),
            },
            Message::Heartbeat => {}
            _ => self.log(
                Level::Error,
                "object storage sent what is not for nodes".into(),
            ),
        }
        self.settle();
    }

    /// The link to storage began anew: everything under way is asked for again.
    pub fn store_reset(&mut self, now: u64) {
        self.now = now;
        self.out
            .retain(|output| !matches!(output, NodeOutput::ToStore(_)));
        for (request, key) in self.objects.ask_again() {
            self.out
                .push(NodeOutput::ToStore(Message::Get { request, key }));
        }
        for request in self.uploads.keys().copied().collect::<Vec<_>>() {
            self.put(request);
        }
        self.settle();
    }

    fn next_request(&mut self) -> u32 {
        self.last_request = self.last_request.wrapping_add(1);
        self.last_request
    }

    /// Fetches what parked elements need, in their order, as far as there is room.
    pub(super) fn fetch_objects(&mut self) {
        while let Some(next) = self.parked.first() {
            if !self.objects.all_here(next) {
                let (room, evicted) = self.objects.make_room(next);
                self.forget_objects(&evicted);
                let nothing_else = self.awaited.is_empty() && self.queue.is_empty();
                if self.awaited.pieces() >= MOST_AWAITED || !(room || nothing_else) {
                    return;
                }
            }
            let Some(piece) = self.parked.pop_first(u32::MAX) else {
                return;
            };
            let mut last_request = self.last_request;
            let draw = || {
                last_request = last_request.wrapping_add(1);
                last_request
            };
            let asked = self.objects.fetch(&piece, draw);
            self.last_request = last_request;
            let gets = asked
                .into_iter()
                .map(|(request, key)| NodeOutput::ToStore(Message::Get { request, key }));
            self.out.extend(gets);
            if self.objects.all_here(&piece) {
                self.queue.push(piece);
            } else {
                self.awaited.push(piece);
            }
        }
    }

    /// Queues the awaited elements that lack nothing any more.
    fn queue_complete(&mut self) {
        let complete: Vec<_> = self
            .awaited
            .iter()
            .filter(|piece| self.objects.all_here(piece))
            .map(|piece| (piece.session(), piece.first, piece.end()))
            .collect();
        for (session, first, end) in complete {
            for piece in self.awaited.remove(session, first, end) {
                self.queue.push(piece);
            }
        }
    }

    pub(super) fn not_fetched(&mut self, request: u32, code: FailureCode, detail: String) {
        let Some(key) = self.objects.missing(request) else {
            return;
        };
        let detail = if detail.is_empty() {
            format!("object {} is not in storage", name(&key))
        } else {
            detail
        };
        let needing: Vec<_> = self
            .awaited
            .iter()
            .filter(|piece| piece.objects.iter().any(|(needed, _)| *needed == key))
            .map(|piece| (piece.session(), piece.first, piece.end()))
            .collect();
        for (session, first, end) in needing {
            for piece in self.awaited.remove(session, first, end) {
                let failure = self.failure(code, 0, 0, detail.clone());
                self.done_failed(&piece, failure);
            }
        }
    }

    /// Objects that are no longer kept: executors that have them let go of them too.
    pub(super) fn forget_objects(&mut self, keys: &[ObjectKey]) {
        for &key in keys {
            for slot in 0..self.slots.len() as u32 {
                if self.slots[slot as usize].objects.remove(&key) {
                    self.send(slot, Message::ForgetObject { key });
                }
            }
        }
    }

    /// A part of a large value from an executor. It goes to storage when it is complete: a dead executor leaves none half put.
    pub(super) fn large_value(
        &mut self,
        slot: u32,
        (chunk, index): (u32, u32),
        hash: [u8; 16],
        size: u64,
        offset: u64,
        payload: P,
    ) -> Result<(), String> {
        let now = self.now;
        let state = &mut self.slots[slot as usize];
        let running = state
            .chunks
            .iter()
            .find(|running| running.id == chunk)
            .ok_or("a value of no chunk")?;
        if index >= running.cut || running.is_reported(index) || size > LARGEST_VALUE {
            return Err("a value of an element that it does not have".into());
        }
        let first = Incoming {
            chunk,
            index,
            hash,
            size,
            received: 0,
            parts: Vec::new(),
        };
        let incoming = state.incoming.get_or_insert(first);
        let same = (incoming.chunk, incoming.index, incoming.hash, incoming.size)
            == (chunk, index, hash, size);
        let length = payload.len() as u64;
        let fits = incoming.received == offset && length <= size - offset.min(size);
        if !same || !fits || (length == 0 && size > 0) {
            return Err("parts of a value that do not fit".into());
        }
        incoming.received += length;
        incoming.parts.push(payload);
        let since = state.heard_at;
        if incoming.received == size {
            if let Some(value) = state.incoming.take() {
                state.heard_at = now;
                state.barren = 0;
                self.value_complete(slot, value, now.saturating_sub(since));
            }
        }
        Ok(())
    }

    fn value_complete(&mut self, slot: u32, value: Incoming<P>, busy_us: u64) {
        let Some(chunk) = self.slots[slot as usize].chunk(value.chunk) else {
            return;
        };
        chunk
            .reported
            .insert(value.index.into(), u64::from(value.index) + 1);
        if chunk
            .interrupted
            .is_some_and(|(index, _)| index == value.index)
        {
            chunk.interrupted = None;
        }
        let piece = chunk
            .piece
            .part(chunk.sequence(value.index), chunk.sequence(value.index) + 1);
        if let Some(function) = self.functions.get_mut(&piece.work.function) {
            function.times.measured(1, busy_us);
        }
        let key = ObjectKey {
            session: piece.session(),
            hash: value.hash,
        };
        let request = self.next_request();
        self.uploads.insert(
            request,
            Upload {
                piece,
                key,
                size: value.size,
                parts: value.parts,
                busy_us,
            },
        );
        self.put(request);
        self.look_later(slot);
    }

    fn put(&mut self, request: u32) {
        let Some(upload) = self.uploads.get(&request) else {
            return;
        };
        let mut offset = 0;
        for part in &upload.parts {
            let (key, size, payload) = (upload.key, upload.size, part.clone());
            self.out.push(NodeOutput::ToStore(Message::Put {
                request,
                key,
                size,
                offset,
                payload,
            }));
            offset += part.len() as u64;
        }
    }

    fn stored(&mut self, request: u32) {
        if let Some(upload) = self.uploads.remove(&request) {
            let value = P::from_vec(reference(upload.key, upload.size));
            self.done(
                &upload.piece,
                OutcomeKind::ValueReference,
                value,
                upload.busy_us,
            );
        }
    }
}

/// For people.
fn name(key: &ObjectKey) -> String {
    key.hash
        .iter()
        .take(6)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
