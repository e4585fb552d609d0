//! What an object storage holds, its limits, and what goes to disk.
//!
//! Objects are put and got in parts. A put is taken whole or not at all: its room is set aside with its first part.
//! What does not fit into memory goes straight to a file, where there may be files, and is read from there; memory is
//! never shuffled. A store that writes through has a file of every object, and is told at its start which it had. A
//! getter that does not read gets no further parts.
//!
//! A node's get of an object that is not here waits a while: the client that submitted the task puts it, and its bytes
//! come by another connection than the task, or come again after this storage lost them.

mod absent;
mod asking;
mod gets;
mod puts;
mod room;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};

use crate::wire::{LinkId, Message, ObjectKey, Payload, RefusalCode, Role, SessionId};
use absent::Absent;
use gets::Get;
pub use gets::PART;
use puts::Put;

#[derive(Clone, Debug, Default)]
pub struct StoreConfig {
    /// Bytes of objects in memory.
    pub memory_limit: u64,
    /// Whether there is a directory for what does not fit.
    pub spills: bool,
    /// Every object goes to a file, and is stored once it is there. Only where `spills`.
    pub writes_through: bool,
    /// Bytes of objects in files; `None`: as many as the disk takes.
    pub disk_limit: Option<u64>,
    /// Bytes of one session's objects, wherever they are; `None`: any number.
    pub session_quota: Option<u64>,
}

/// A file of one object, by a number of the store's own; never used twice.
pub type FileId = u64;

#[derive(Clone, Debug, PartialEq)]
pub enum StoreOutput<P: Payload> {
    Send {
        link: LinkId,
        message: Message<P>,
    },
    /// Stop acknowledging what comes on the link, or go on.
    Hold {
        link: LinkId,
        hold: bool,
    },
    End {
        link: LinkId,
        code: RefusalCode,
        reason: String,
    },
    /// Answered by `file_done(Written | Failed)`. Writes to one file come in order; the first makes the file, the one
    /// that ends at `size` completes it.
    WriteFile {
        file: FileId,
        key: ObjectKey,
        size: u64,
        offset: u64,
        payload: P,
    },
    /// Answered by `file_done(Read | Failed)`.
    ReadFile {
        file: FileId,
        offset: u64,
        length: u64,
    },
    /// The file may be gone already. No answer.
    DeleteFile {
        file: FileId,
    },
}

/// How a file operation ended.
#[derive(Clone, Debug, PartialEq)]
pub enum FileDone<P> {
    Written {
        file: FileId,
        bytes: u64,
    },
    Read {
        file: FileId,
        offset: u64,
        payload: P,
    },
    /// Any operation on it; nothing more of it is used.
    Failed {
        file: FileId,
        error: String,
    },
}

/// In memory, in a file, or both.
struct Object<P> {
    /// No other has had it.
    number: u64,
    size: u64,
    memory: Option<Vec<P>>,
    file: Option<FileId>,
}

impl<P> Object<P> {
    fn memory_bytes(&self) -> u64 {
        self.memory.as_ref().map_or(0, |_| self.size)
    }

    fn file_bytes(&self) -> u64 {
        self.file.map_or(0, |_| self.size)
    }
}

struct Peer<P> {
    role: Role,
    /// The only session whose objects it may touch; 0 = any.
    session: SessionId,
    puts: BTreeMap<u32, Put<P>>,
    gets: VecDeque<Get>,
    /// Gets of objects that are not here yet.
    absent: usize,
    joined_at: u64,
    /// Bytes on their way to it.
    backlog: u64,
    held: bool,
}

/// What a store holds, in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct StoreStatus {
    pub objects: u64,
    pub memory_bytes: u64,
    pub file_bytes: u64,
}

/// See the module's text and `ARCHITECTURE.md`.
pub struct Store<P: Payload> {
    config: StoreConfig,
    objects: BTreeMap<ObjectKey, Object<P>>,
    peers: BTreeMap<LinkId, Peer<P>>,
    /// Puts that wait for their last write, by file.
    writing: BTreeMap<FileId, (LinkId, u32)>,
    /// Gets that wait for a read, by file and offset.
    reading: BTreeMap<(FileId, u64), Vec<(LinkId, u32)>>,
    /// Objects by file.
    files: BTreeMap<FileId, ObjectKey>,
    absent: Absent,
    /// Bytes of the sessions' objects, those on their way in included.
    used: BTreeMap<SessionId, u64>,
    /// When the scheduler is asked which sessions are over.
    ask_at: Option<u64>,
    /// When it was last told the time: each turn.
    now: u64,
    last_file: FileId,
    last_object: u64,
    /// Of objects in memory and of puts that will be.
    memory: u64,
    file_bytes: u64,
    /// Written bytes that no disk has confirmed.
    unwritten: u64,
    out: Vec<StoreOutput<P>>,
}

impl<P: Payload> Store<P> {
    pub fn new(config: StoreConfig) -> Self {
        Store {
            config,
            objects: BTreeMap::new(),
            peers: BTreeMap::new(),
            writing: BTreeMap::new(),
            reading: BTreeMap::new(),
            files: BTreeMap::new(),
            absent: Absent::default(),
            used: BTreeMap::new(),
            ask_at: None,
            now: 0,
            last_file: 0,
            last_object: 0,
            memory: 0,
            file_bytes: 0,
            unwritten: 0,
            out: Vec::new(),
        }
    }

    /// A peer said hello, or hello again after it forgot (then what it had under way is dropped).
    pub fn joined(&mut self, link: LinkId, role: Role, session: SessionId) {
        self.left(link);
        let session = if matches!(role, Role::Client | Role::Objects) {
            session
        } else {
            0
        };
        let peer = Peer {
            role,
            session,
            puts: BTreeMap::new(),
            gets: VecDeque::new(),
            absent: 0,
            joined_at: self.now,
            backlog: 0,
            held: false,
        };
        self.peers.insert(link, peer);
        if role == Role::Scheduler {
            self.ask_soon();
        }
    }

    /// A peer is gone for good: its half-done puts go too.
    pub fn left(&mut self, link: LinkId) {
        let Some(peer) = self.peers.remove(&link) else {
            return;
        };
        for (_, put) in peer.puts {
            self.drop_put(put);
        }
        for waiting in self.reading.values_mut() {
            waiting.retain(|&(reader, _)| reader != link);
        }
        if peer.absent > 0 {
            self.absent.forget(link);
        }
        self.release_held();
    }

    /// Bytes that the link still carries to the peer.
    pub fn backlog(&mut self, link: LinkId, bytes: u64) {
        if let Some(peer) = self.peers.get_mut(&link) {
            peer.backlog = bytes;
            self.serve(link);
        }
    }

    pub fn handle(&mut self, now: u64, link: LinkId, message: Message<P>) {
        self.now = now;
        let Some(peer) = self.peers.get(&link) else {
            return;
        };
        let scheduler = peer.role == Role::Scheduler;
        match message {
            Message::Put {
                request,
                key,
                size,
                offset,
                payload,
            } => self.put(link, request, key, size, offset, payload),
            Message::Get { request, key } => self.get(link, request, key),
            Message::Delete { keys } if scheduler => keys.iter().for_each(|key| self.delete(key)),
            Message::DeleteSession { session } if scheduler => self.delete_session(session),
            Message::Heartbeat => {}
            Message::Delete { .. } | Message::DeleteSession { .. } => {
                self.end(
                    link,
                    RefusalCode::Malformed,
                    "only the scheduler deletes objects",
                );
            }
            _ => self.end(
                link,
                RefusalCode::Malformed,
                "not a message for object storage",
            ),
        }
    }

    pub fn file_done(&mut self, _now: u64, done: FileDone<P>) {
        match done {
            FileDone::Written { file, bytes } => self.written(file, bytes),
            FileDone::Read {
                file,
                offset,
                payload,
            } => self.read(file, offset, payload),
            FileDone::Failed { file, error } => self.file_failed(file, &error),
        }
        self.release_held();
    }

    pub fn tick(&mut self, now: u64) {
        self.now = now;
        self.give_up_absent();
        self.ask_if_due();
    }

    pub fn next_wakeup(&self) -> Option<u64> {
        let next = [self.absent.next_wakeup(), self.ask_at];
        next.into_iter().flatten().min()
    }

    pub fn drain(&mut self, out: &mut Vec<StoreOutput<P>>) {
        out.append(&mut self.out);
    }

    pub fn status(&self) -> StoreStatus {
        StoreStatus {
            objects: self.objects.len() as u64,
            memory_bytes: self.memory,
            file_bytes: self.file_bytes,
        }
    }

    /// Sessions that have objects here, ascending.
    pub fn sessions(&self) -> Vec<SessionId> {
        let mut sessions: Vec<_> = self.objects.keys().map(|key| key.session).collect();
        sessions.dedup();
        sessions
    }

    fn send(&mut self, link: LinkId, message: Message<P>) {
        self.out.push(StoreOutput::Send { link, message });
    }

    fn end(&mut self, link: LinkId, code: RefusalCode, reason: &str) {
        self.left(link);
        self.out.push(StoreOutput::End {
            link,
            code,
            reason: reason.into(),
        });
    }

    fn may_touch(&self, link: LinkId, key: &ObjectKey) -> bool {
        self.peers
            .get(&link)
            .is_some_and(|peer| peer.session == 0 || peer.session == key.session)
    }

    fn delete(&mut self, key: &ObjectKey) {
        let Some(object) = self.objects.remove(key) else {
            return;
        };
        self.give_back(key.session, object.size);
        self.memory -= object.memory_bytes();
        self.file_bytes -= object.file_bytes();
        if let Some(file) = object.file {
            self.delete_file(file);
        }
    }

    /// Whoever reads it learns that it is missing.
    fn delete_file(&mut self, file: FileId) {
        self.files.remove(&file);
        self.out.push(StoreOutput::DeleteFile { file });
        let under_way: Vec<_> = self
            .reading
            .range((file, 0)..=(file, u64::MAX))
            .map(|(&place, _)| place)
            .collect();
        for place in under_way {
            for (link, request) in self.reading.remove(&place).unwrap_or_default() {
                self.missing(link, request);
            }
        }
    }

    fn delete_session(&mut self, session: SessionId) {
        let first = ObjectKey {
            session,
            hash: [0; 16],
        };
        let last = ObjectKey {
            session,
            hash: [u8::MAX; 16],
        };
        let keys: Vec<_> = self
            .objects
            .range(first..=last)
            .map(|(key, _)| *key)
            .collect();
        keys.iter().for_each(|key| self.delete(key));
        for waiting in self.absent.take_session(session) {
            self.absent_is_missing(waiting);
        }
    }

    fn file_failed(&mut self, file: FileId, error: &str) {
        if let Some((link, request)) = self.writing.get(&file).copied() {
            self.put_failed(link, request, error);
        } else if let Some(key) = self.files.get(&file).copied() {
            self.delete(&key);
        }
    }

    /// Panics where the sums are not what they sum.
    pub fn sanity_check(&self) {
        let puts = || self.peers.values().flat_map(|peer| peer.puts.values());
        let objects = |bytes: fn(&Object<P>) -> u64| self.objects.values().map(bytes).sum::<u64>();
        let memory = objects(Object::memory_bytes) + puts().map(Put::memory_bytes).sum::<u64>();
        assert_eq!(self.memory, memory, "bytes in memory");
        let file_bytes = objects(Object::file_bytes) + puts().map(Put::file_bytes).sum::<u64>();
        assert_eq!(self.file_bytes, file_bytes, "bytes in files");
        let used = objects(|object| object.size) + puts().map(Put::charge).sum::<u64>();
        assert_eq!(self.used.values().sum::<u64>(), used, "bytes of sessions");
        let absent: usize = self.peers.values().map(|peer| peer.absent).sum();
        assert_eq!(self.absent.len(), absent, "gets of absent objects");
        assert!(
            self.files
                .values()
                .all(|key| self.objects.contains_key(key)),
            "a file of no object"
        );
    }
}
