//! Objects that go out.

use super::absent::Waiting;
use super::{FileId, Object, Store, StoreOutput};
use crate::wire::{LinkId, Message, ObjectKey, Payload, RefusalCode};

/// Gets that one peer may have under way.
const MOST_GETS: usize = 65_536;
/// A peer gets no further parts while so many bytes are on their way to it.
const MOST_BACKLOG: u64 = 8 << 20;
/// Bytes of the parts in which files are read: each read is one of them, whole, and begins at a multiple of it.
pub const PART: u64 = 4 << 20;

/// An object of which parts have yet to go.
pub(super) struct Get {
    request: u32,
    key: ObjectKey,
    /// The object's own, once a part was taken from it; its key may become another's.
    object: Option<u64>,
    /// The next part: its number in memory, its offset.
    part: usize,
    offset: u64,
    /// A read of the next part is under way.
    reading: bool,
}

impl<P: Payload> Store<P> {
    pub(super) fn get(&mut self, link: LinkId, request: u32, key: ObjectKey) {
        let allowed = self.may_touch(link, &key);
        let Some(peer) = self.peers.get_mut(&link) else {
            return;
        };
        if peer.gets.len() + peer.absent >= MOST_GETS {
            return self.end(link, RefusalCode::Limit, "too many gets at a time");
        }
        if !allowed {
            // Nobody learns from a hash what others have.
            return self.send(link, Message::Missing { request });
        }
        // Who may touch any object is a node; a client asks for results, which are here before it hears of them.
        let comes = !self.objects.contains_key(&key) && !self.absent.is_missing(&key);
        if peer.session == 0 && comes {
            peer.absent += 1;
            return self.wait_for_absent(Waiting { link, request, key });
        }
        self.begin_get(link, request, key);
    }

    pub(super) fn begin_get(&mut self, link: LinkId, request: u32, key: ObjectKey) {
        let Some(peer) = self.peers.get_mut(&link) else {
            return;
        };
        peer.gets.push_back(Get {
            request,
            key,
            object: None,
            part: 0,
            offset: 0,
            reading: false,
        });
        self.serve(link);
    }

    /// Sends parts as far as the peer takes them.
    pub(super) fn serve(&mut self, link: LinkId) {
        while let Some(peer) = self.peers.get_mut(&link) {
            let Some(get) = peer.gets.front_mut().filter(|get| !get.reading) else {
                return;
            };
            if peer.backlog >= MOST_BACKLOG {
                return;
            }
            let same =
                |object: &&Object<P>| get.object.is_none_or(|number| number == object.number);
            let Some(object) = self.objects.get(&get.key).filter(same) else {
                let request = get.request;
                peer.gets.pop_front();
                self.send(link, Message::Missing { request });
                continue;
            };
            let size = object.size;
            get.object = Some(object.number);
            match (&object.memory, object.file) {
                (Some(parts), _) => {
                    let payload = parts[get.part].clone();
                    self.send_part(link, size, payload);
                }
                (None, Some(file)) => {
                    get.reading = true;
                    let (reader, offset) = ((link, get.request), get.offset);
                    self.read_file(reader, file, offset, PART.min(size - offset));
                }
                (None, None) => unreachable!("an object is somewhere"),
            }
        }
    }

    /// Once for all who want to read there.
    fn read_file(&mut self, reader: (LinkId, u32), file: FileId, offset: u64, length: u64) {
        if let Some(readers) = self.reading.get_mut(&(file, offset)) {
            return readers.push(reader);
        }
        self.reading.insert((file, offset), vec![reader]);
        self.out.push(StoreOutput::ReadFile {
            file,
            offset,
            length,
        });
    }

    /// The next part of the peer's first get.
    fn send_part(&mut self, link: LinkId, size: u64, payload: P) {
        let Some(peer) = self.peers.get_mut(&link) else {
            return;
        };
        let Some(get) = peer.gets.front_mut() else {
            return;
        };
        let (request, offset, length) = (get.request, get.offset, payload.len() as u64);
        get.part += 1;
        get.offset += length;
        get.reading = false;
        let complete = get.offset >= size;
        if complete {
            peer.gets.pop_front();
        }
        peer.backlog += length;
        self.send(
            link,
            Message::Data {
                request,
                size,
                offset,
                payload,
            },
        );
    }

    /// Bytes of a file: for everybody who waits for them.
    pub(super) fn read(&mut self, file: FileId, offset: u64, payload: P) {
        let Some(size) = self
            .files
            .get(&file)
            .and_then(|key| self.objects.get(key))
            .map(|object| object.size)
        else {
            return;
        };
        if payload.len() as u64 != PART.min(size.saturating_sub(offset)) {
            return self.file_failed(file, "it is shorter than it was");
        }
        for (link, _) in self.reading.remove(&(file, offset)).unwrap_or_default() {
            self.send_part(link, size, payload.clone());
            self.serve(link);
        }
    }

    /// The object went while it was read.
    pub(super) fn missing(&mut self, link: LinkId, request: u32) {
        let Some(peer) = self.peers.get_mut(&link) else {
            return;
        };
        peer.gets.retain(|get| get.request != request);
        self.send(link, Message::Missing { request });
        self.serve(link);
    }
}
