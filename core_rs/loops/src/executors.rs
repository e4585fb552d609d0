//! The executors of a node: their sockets, shared lines, processes.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;

use bytes::Bytes;
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use scaler_wire::limits::{FULL_BYTES, MAX_MESSAGES};
use scaler_wire::Message;

use crate::connections::{Connections, Key};
use crate::line::{Line, NEVER};
use crate::linux::{self, Child};
use crate::port::local_frame;
use crate::shared::{lock, Shared, SlotView};

/// How long an executor may live on after it has closed its socket.
const WIND_DOWN_US: u64 = 3_000_000;
/// Chunks of a slot that other threads can tell apart: the one that runs and those that wait.
const KNOWN_CHUNKS: usize = 64;

struct Executor {
    child: Child,
    connection: Key,
    line: Arc<Line>,
    /// Messages of this turn.
    outgoing: Vec<Message<Bytes>>,
    outgoing_bytes: usize,
    /// Killed at that time, unless it has ended before.
    kill_at: Option<u64>,
}

/// An executor that is no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    pub slot: u32,
    /// Exit code, or minus the signal's number.
    pub status: i32,
    pub position: u64,
}

pub struct Executors {
    slots: BTreeMap<u32, Executor>,
    /// Slots with messages of this turn.
    spoken: Vec<u32>,
    token: fn(usize) -> Token,
    shared: Arc<Shared>,
}

impl Executors {
    /// `token` gives the poll's token for a slot's process.
    pub fn new(shared: Arc<Shared>, token: fn(usize) -> Token) -> Self {
        Executors {
            slots: BTreeMap::new(),
            spoken: Vec::new(),
            token,
            shared,
        }
    }

    /// Watches a new executor, whose connection is open.
    pub fn add(
        &mut self,
        registry: &Registry,
        slot: u32,
        child: Child,
        connection: Key,
        line: &OwnedFd,
    ) -> io::Result<()> {
        let line = Arc::new(Line::map(line.as_fd())?);
        line.stop(NEVER);
        let token = (self.token)(slot as usize);
        registry.register(
            &mut SourceFd(&child.pidfd().as_raw_fd()),
            token,
            Interest::READABLE,
        )?;
        let view = SlotView {
            pid: child.pid(),
            line: Arc::clone(&line),
            chunks: VecDeque::new(),
        };
        lock(&self.shared.slots).insert(slot, view);
        let executor = Executor {
            child,
            connection,
            line,
            outgoing: Vec::new(),
            outgoing_bytes: 0,
            kill_at: None,
        };
        self.slots.insert(slot, executor);
        Ok(())
    }

    pub fn len(&self) -> usize {
        self.slots.len()
    }

    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    pub fn contains(&self, slot: u32) -> bool {
        self.slots.contains_key(&slot)
    }

    pub fn connection(&self, slot: u32) -> Option<Key> {
        self.slots.get(&slot).map(|executor| executor.connection)
    }

    /// Messages of a turn leave together, in `transmit`.
    pub fn send(
        &mut self,
        slot: u32,
        message: Message<Bytes>,
        connections: &mut Connections<impl Copy>,
    ) {
        let Some(executor) = self.slots.get_mut(&slot) else {
            return;
        };
        if let Message::Chunk(chunk) = &message {
            let mut slots = lock(&self.shared.slots);
            if let Some(view) = slots.get_mut(&slot) {
                view.chunks.truncate(KNOWN_CHUNKS);
                view.chunks
                    .push_front((chunk.chunk, chunk.session, chunk.first));
            }
        }
        let bytes = message.payload_bytes() + message.header_bytes();
        if executor.outgoing_bytes + bytes > FULL_BYTES || executor.outgoing.len() >= MAX_MESSAGES {
            executor.transmit(connections);
        }
        if executor.outgoing.is_empty() {
            self.spoken.push(slot);
        }
        executor.outgoing_bytes += bytes;
        executor.outgoing.push(message);
    }

    pub fn transmit(&mut self, connections: &mut Connections<impl Copy>) {
        for slot in self.spoken.drain(..) {
            if let Some(executor) = self.slots.get_mut(&slot) {
                executor.transmit(connections);
            }
        }
    }

    pub fn kill(&self, slot: u32) {
        if let Some(executor) = self.slots.get(&slot) {
            executor.child.kill_group();
        }
    }

    /// Makes the element at `at` raise, if it still runs.
    pub fn interrupt(&self, slot: u32, at: u64) {
        if let Some(executor) = self.slots.get(&slot) {
            executor.line.cancel(at);
            executor.child.interrupt();
        }
    }

    /// Elements at or past `at` do not start any more.
    pub fn stop(&self, slot: u32, at: u64) {
        if let Some(executor) = self.slots.get(&slot) {
            executor.line.stop(at);
        }
    }

    /// Position, and when its element started.
    pub fn look(&self, slot: u32) -> Option<(u64, u64)> {
        let line = &self.slots.get(&slot)?.line;
        Some((line.position(), line.started_us()))
    }

    pub fn flush(&self, slot: u32) {
        if let Some(executor) = self.slots.get(&slot) {
            executor.line.ask_flush();
        }
    }

    /// The executor's socket has closed: it has ended, or soon will.
    pub fn on_socket_closed(&mut self, now: u64, slot: u32) {
        if let Some(executor) = self.slots.get_mut(&slot) {
            executor.kill_at.get_or_insert(now + WIND_DOWN_US);
        }
    }

    /// Kills those that should have ended by now.
    pub fn tick(&mut self, now: u64) {
        for executor in self.slots.values_mut() {
            if executor.kill_at.is_some_and(|at| at <= now) {
                executor.kill_at = None;
                executor.child.kill_group();
            }
        }
    }

    pub fn next_wakeup(&self) -> Option<u64> {
        self.slots
            .values()
            .filter_map(|executor| executor.kill_at)
            .min()
    }

    /// If the slot's process has ended: what is left of its group goes, and it is reaped. Its connection is to be
    /// read to the end before, and closed after.
    pub fn reap(&mut self, registry: &Registry, slot: u32) -> Option<Ended> {
        let executor = self.slots.get_mut(&slot)?;
        let status = executor.child.try_reap()?;
        let position = executor.line.position();
        let _ = registry.deregister(&mut SourceFd(&executor.child.pidfd().as_raw_fd()));
        self.slots.remove(&slot);
        lock(&self.shared.slots).remove(&slot);
        Some(Ended {
            slot,
            status,
            position,
        })
    }

    /// (slot, bytes in RAM) of each executor.
    pub fn resident(&self) -> Vec<(u32, u64)> {
        let sizes = self
            .slots
            .iter()
            .map(|(slot, executor)| (*slot, linux::resident_bytes(executor.child.pid())));
        sizes
            .filter_map(|(slot, size)| Some((slot, size?)))
            .collect()
    }

    /// Ends all of them and waits until they are gone, for they die at once.
    pub fn end_all(&mut self) {
        for executor in self.slots.values() {
            executor.child.kill_group();
        }
        self.slots.clear();
        lock(&self.shared.slots).clear();
    }
}

impl Drop for Executors {
    fn drop(&mut self) {
        self.end_all();
    }
}

impl Executor {
    fn transmit(&mut self, connections: &mut Connections<impl Copy>) {
        if !self.outgoing.is_empty() {
            self.outgoing_bytes = 0;
            connections.push(
                self.connection,
                &local_frame(std::mem::take(&mut self.outgoing)),
            );
        }
    }
}
