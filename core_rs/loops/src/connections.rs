//! All stream sockets of a loop: which are readable, what they brought, what still has to be written.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use bytes::Bytes;
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use scaler_wire::{DecodeError, Frame};
use slab::Slab;

use crate::input::{Input, Read, ReadError};
use crate::linux;
use crate::output::Output;

/// What a turn reads at most, over all connections: ticks come in time whatever peers send.
const TURN_BYTES: usize = 4 << 20;
const TURN_FRAMES: usize = 1_024;
/// A peer that leaves so much unread is no peer: credit bounds what an honest one is sent far below.
const MOST_UNSENT: usize = 64 << 20;

/// Names a connection for as long as the loop runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(u64);

impl Key {
    fn new(index: usize, generation: u32) -> Key {
        Key(u64::from(generation) << 32 | index as u64)
    }

    fn index(self) -> usize {
        (self.0 & u64::from(u32::MAX)) as usize
    }

    /// For a machine that names connections by numbers.
    pub fn number(self) -> u64 {
        self.0
    }

    pub fn from_number(number: u64) -> Key {
        Key(number)
    }
}

/// What happened on a connection, in order.
#[derive(Debug)]
pub enum Arrival {
    Frame(Frame<Bytes>),
    /// The peer does not speak the protocol. The connection is still open, so that it can be told.
    Malformed(DecodeError),
    /// Closed, by the peer or by an error, and gone from here.
    Closed,
}

struct Connection<O> {
    key: Key,
    socket: OwnedFd,
    owner: O,
    input: Input,
    output: Output,
    /// Told to be readable, and not drained since.
    readable: bool,
    /// The peer has closed its side: the end comes after the data, without another event.
    closing: bool,
    /// Malformed: nothing more is read.
    deaf: bool,
    /// Frames were pushed since the last write.
    dirty: bool,
    /// Watched for room to write.
    blocked: bool,
    /// It may leave as much unread as there is: this end decides what it is sent, and shares the bytes.
    patient: bool,
}

/// `O`: whose connection it is.
pub struct Connections<O> {
    all: Slab<Connection<O>>,
    generation: u32,
    token: fn(usize) -> Token,
    /// May have something to read; they take turns.
    ready: VecDeque<Key>,
    dirty: Vec<Key>,
    scratch: Vec<u8>,
    frames: Vec<Frame<Bytes>>,
    frames_in: u64,
    frames_out: u64,
}

impl<O: Copy> Connections<O> {
    /// `token` gives the poll's token for a connection's index.
    pub fn new(token: fn(usize) -> Token) -> Self {
        Connections {
            all: Slab::new(),
            generation: 0,
            token,
            ready: VecDeque::new(),
            dirty: Vec::new(),
            scratch: Vec::new(),
            frames: Vec::new(),
            frames_in: 0,
            frames_out: 0,
        }
    }

    /// `local`: the other end is a process of this host and user, or a bridge that takes payloads in files.
    pub fn open(
        &mut self,
        registry: &Registry,
        socket: OwnedFd,
        owner: O,
        local: bool,
    ) -> io::Result<Key> {
        linux::set_nonblocking(socket.as_fd())?;
        let entry = self.all.vacant_entry();
        registry.register(
            &mut SourceFd(&socket.as_raw_fd()),
            (self.token)(entry.key()),
            Interest::READABLE,
        )?;
        self.generation = self.generation.wrapping_add(1);
        let key = Key::new(entry.key(), self.generation);
        entry.insert(Connection {
            key,
            socket,
            owner,
            input: if local {
                Input::with_files()
            } else {
                Input::default()
            },
            output: if local {
                Output::with_files()
            } else {
                Output::default()
            },
            // Bytes may be here already; their event comes too, and then finds nothing.
            readable: true,
            closing: false,
            deaf: false,
            dirty: false,
            blocked: false,
            patient: false,
        });
        self.ready.push_back(key);
        Ok(key)
    }

    /// For an executor: an object that its tasks need may be larger than what others leave unread.
    pub fn bear_with(&mut self, key: Key) {
        if let Some(connection) = self.all.get_mut(key.index()).filter(|it| it.key == key) {
            connection.patient = true;
        }
    }

    pub fn len(&self) -> usize {
        self.all.len()
    }

    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Read and pushed since the start.
    pub fn frames_in(&self) -> u64 {
        self.frames_in
    }

    pub fn frames_out(&self) -> u64 {
        self.frames_out
    }

    /// An event of the poll for the connection at `index`.
    pub fn on_event(&mut self, index: usize, event: &mio::event::Event) {
        let Some(connection) = self.all.get_mut(index) else {
            return;
        };
        connection.closing |= event.is_read_closed() || event.is_error();
        if (event.is_readable() || connection.closing) && !connection.readable {
            connection.readable = true;
            self.ready.push_back(connection.key);
        }
        if (event.is_writable() || event.is_write_closed()) && !connection.dirty {
            connection.dirty = true;
            self.dirty.push(connection.key);
        }
    }

    /// Whether a turn has work without waiting.
    pub fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Reads what is there, within a turn's limits, each connection once a round. The rest stays for the next turn, which
    /// goes on where this one stopped.
    pub fn read(&mut self, registry: &Registry, mut arrival: impl FnMut(Key, O, Arrival)) {
        let (mut bytes, mut frames) = (0, 0);
        while bytes < TURN_BYTES && frames < TURN_FRAMES {
            let Some(key) = self.ready.pop_front() else {
                return;
            };
            let (more, count) = self.read_one(registry, key, &mut frames, &mut arrival);
            bytes += count;
            if more {
                self.ready.push_back(key);
            }
        }
    }

    /// Reads all that is left on one connection.
    pub fn read_rest(
        &mut self,
        registry: &Registry,
        key: Key,
        mut arrival: impl FnMut(Key, O, Arrival),
    ) {
        let mut frames = 0;
        while self.get(key).is_some() {
            let (more, count) = self.read_one(registry, key, &mut frames, &mut arrival);
            if count == 0 && !more {
                return;
            }
        }
    }

    /// Whether there may be more to read, and how many bytes came.
    fn read_one(
        &mut self,
        registry: &Registry,
        key: Key,
        frames: &mut usize,
        arrival: &mut impl FnMut(Key, O, Arrival),
    ) -> (bool, usize) {
        let Some(connection) = self
            .all
            .get_mut(key.index())
            .filter(|connection| connection.key == key)
        else {
            return (false, 0);
        };
        if connection.deaf {
            return (false, 0);
        }
        let owner = connection.owner;
        let read = connection.input.read(
            connection.socket.as_fd(),
            &mut self.scratch,
            &mut self.frames,
        );
        if connection.input.peer_takes_files() {
            connection.output.give_files();
        }
        *frames += self.frames.len();
        self.frames_in += self.frames.len() as u64;
        for frame in self.frames.drain(..) {
            arrival(key, owner, Arrival::Frame(frame));
        }
        match read {
            Ok(Read::Bytes { count, drained }) => {
                connection.readable = !drained || connection.closing;
                (connection.readable, count)
            }
            Ok(Read::Nothing) => {
                connection.readable = false;
                (false, 0)
            }
            Err(ReadError::Malformed(error)) => {
                connection.deaf = true;
                connection.readable = false;
                arrival(key, owner, Arrival::Malformed(error));
                (false, 0)
            }
            Ok(Read::End) | Err(ReadError::Io(_)) => {
                self.close(registry, key);
                arrival(key, owner, Arrival::Closed);
                (false, 0)
            }
        }
    }

    /// Queues a frame; `write` sends it. A connection that is gone takes nothing.
    pub fn push(&mut self, key: Key, frame: &Frame<Bytes>) {
        let Some(connection) = self
            .all
            .get_mut(key.index())
            .filter(|connection| connection.key == key)
        else {
            return;
        };
        connection.output.push(frame);
        self.frames_out += 1;
        // A blocked one is written to when the poll says so.
        if !connection.dirty && !connection.blocked {
            connection.dirty = true;
            self.dirty.push(key);
        }
    }

    /// Bytes that the socket has not taken.
    pub fn unsent(&self, key: Key) -> usize {
        self.get(key)
            .map_or(0, |connection| connection.output.unsent())
    }

    /// Writes what was pushed, as far as the sockets take it.
    pub fn write(&mut self, registry: &Registry, mut closed: impl FnMut(Key, O)) {
        let mut dirty = std::mem::take(&mut self.dirty);
        for key in dirty.drain(..) {
            let owner = match self.get(key) {
                Some(connection) => connection.owner,
                None => continue,
            };
            if !self.write_one(registry, key) {
                self.close(registry, key);
                closed(key, owner);
            }
        }
        self.dirty = dirty;
    }

    /// False when the connection is broken.
    fn write_one(&mut self, registry: &Registry, key: Key) -> bool {
        let token = (self.token)(key.index());
        let Some(connection) = self.all.get_mut(key.index()) else {
            return true;
        };
        connection.dirty = false;
        let Ok(done) = connection.output.write(connection.socket.as_fd()) else {
            return false;
        };
        if connection.output.unsent() > MOST_UNSENT && !connection.patient {
            return false;
        }
        if done == connection.blocked {
            let interest = if done {
                Interest::READABLE
            } else {
                Interest::READABLE | Interest::WRITABLE
            };
            connection.blocked = !done;
            return registry
                .reregister(
                    &mut SourceFd(&connection.socket.as_raw_fd()),
                    token,
                    interest,
                )
                .is_ok();
        }
        true
    }

    /// Closes it, after a last attempt to write what is queued.
    pub fn close(&mut self, registry: &Registry, key: Key) {
        if self.get(key).is_some() {
            let mut connection = self.all.remove(key.index());
            let _ = connection.output.write(connection.socket.as_fd());
            let _ = registry.deregister(&mut SourceFd(&connection.socket.as_raw_fd()));
        }
    }

    fn get(&self, key: Key) -> Option<&Connection<O>> {
        self.all
            .get(key.index())
            .filter(|connection| connection.key == key)
    }
}
