//! An executor's end of the socketpair with its agent.
//!
//! Two threads use it: the one that runs tasks, and one that sends what is finished when the agent asks for it. Each
//! half of the socket has its own lock; the shared line needs none.

use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use scaler_wire::{
    Chunk, ChunkResult, Form, Frame, FunctionId, Message, ObjectKey, SessionId, ValueId,
};

use crate::input::{Input, Read, ReadError};
use crate::line::Line;
use crate::linux::{self, monotonic_us};
use crate::mapped;
use crate::output::Output;
use crate::spare_files;

/// Bytes of a part of a large value.
pub const PART: usize = 4 << 20;
/// Bytes of results that may wait for what is sent next.
const MOST_DEFERRED: usize = 64 << 10;
/// Ends of chunks wait so long at most, the run of the chunk that follows included, as the values of one chunk do.
const HOLD_US: u64 = 4_000;
/// How long a flusher sleeps at most before it looks whether all is over.
const FLUSH_PATIENCE: Duration = Duration::from_secs(5);

/// What the agent wants.
#[derive(Debug)]
pub enum Order {
    Function {
        id: FunctionId,
        pickled: Bytes,
    },
    ForgetFunction {
        id: FunctionId,
    },
    /// All parts of it, in order.
    Object {
        key: ObjectKey,
        parts: Vec<Bytes>,
    },
    ForgetObject {
        key: ObjectKey,
    },
    /// Values of other elements that coming chunks take.
    Value {
        id: ValueId,
        count: u32,
        form: Form,
        payload: Bytes,
    },
    DropValues {
        ids: Vec<ValueId>,
    },
    Chunk(Chunk<Bytes>),
    /// Whether somebody wants what this session's tasks write.
    Listen {
        session: SessionId,
        on: bool,
    },
    Stop,
}

#[derive(Debug)]
pub enum Received {
    Order(Order),
    /// A signal came, and nothing else yet.
    Interrupted,
    /// The agent is gone.
    End,
}

#[derive(Default)]
struct Receiving {
    input: Input,
    scratch: Vec<u8>,
    frames: Vec<Frame<Bytes>>,
    orders: VecDeque<Order>,
    /// The last read found the socket's end: better wait than read again.
    drained: bool,
    /// An object of which parts are still to come.
    parts: Vec<Bytes>,
    parts_bytes: u64,
}

pub struct Port {
    socket: OwnedFd,
    line: Line,
    receiving: Mutex<Receiving>,
    sending: Mutex<Output>,
    ended: AtomicBool,
    /// Whether an element runs now.
    inside: AtomicBool,
    /// Which it is, or was.
    at: AtomicU64,
    /// Its slice ends with it.
    cut: AtomicBool,
    /// Results wait for what is sent next.
    deferred: AtomicBool,
    /// The agent takes payloads in files.
    gives_files: AtomicBool,
    /// Since when the end of a chunk waits; 0: none does.
    held_since_us: AtomicU64,
    flushed: AtomicU64,
}

impl Port {
    /// Takes over `socket` and maps `line`, a file of 4,096 bytes.
    pub fn new(socket: OwnedFd, line: &OwnedFd) -> io::Result<Port> {
        linux::set_nonblocking(socket.as_fd())?;
        let line = Line::map(line.as_fd())?;
        let flushed = AtomicU64::new(line.flush_count());
        Ok(Port {
            socket,
            line,
            receiving: Mutex::new(Receiving {
                input: Input::with_files(),
                ..Receiving::default()
            }),
            sending: Mutex::new(Output::with_files()),
            ended: AtomicBool::new(false),
            inside: AtomicBool::new(false),
            at: AtomicU64::new(0),
            cut: AtomicBool::new(false),
            deferred: AtomicBool::new(false),
            gives_files: AtomicBool::new(false),
            held_since_us: AtomicU64::new(0),
            flushed,
        })
    }

    /// Waits for the next order, having sent what waits; what is here already is given at once.
    pub fn receive(&self) -> io::Result<Received> {
        if let Some(order) = lock(&self.receiving).orders.pop_front() {
            return Ok(Received::Order(order));
        }
        self.flush().or_else(|error| {
            if self.ended.load(Ordering::SeqCst) {
                Ok(())
            } else {
                Err(error)
            }
        })?;
        let mut receiving = lock(&self.receiving);
        // While a chunk ran, the next one came: mostly there is no need to wait.
        receiving.drained = false;
        loop {
            if let Some(order) = receiving.orders.pop_front() {
                return Ok(Received::Order(order));
            }
            if self.ended.load(Ordering::SeqCst) {
                return Ok(Received::End);
            }
            if receiving.drained
                && linux::poll(Some(self.socket.as_fd()), false, None, None)?.interrupted
            {
                return Ok(Received::Interrupted);
            }
            let read = receiving.read(self.socket.as_fd())?;
            if receiving.input.peer_takes_files() && !self.gives_files.swap(true, Ordering::SeqCst)
            {
                lock(&self.sending).give_files();
            }
            match read {
                Read::Bytes { drained, .. } => receiving.drained = drained,
                Read::Nothing => receiving.drained = true,
                Read::End => self.end(),
            }
        }
    }

    /// Sends `messages` as one frame, after what waits, and waits until the socket has taken all. The agent always
    /// reads.
    pub fn send(&self, messages: Vec<Message<Bytes>>) -> io::Result<()> {
        let mut output = lock(&self.sending);
        output.push(&local_frame(messages));
        self.write_all(&mut output)
    }

    /// Sends values. While an element runs they leave at once: the agent asked for them. Otherwise they leave with
    /// what comes next, the chunk's end mostly, so that the agent wakes up once.
    pub fn result(&self, result: ChunkResult<Bytes>) -> io::Result<()> {
        let mut output = lock(&self.sending);
        output.push(&local_frame(vec![Message::ChunkResult(result)]));
        if self.inside.load(Ordering::SeqCst) || output.unsent() > MOST_DEFERRED {
            return self.write_all(&mut output);
        }
        self.deferred.store(true, Ordering::SeqCst);
        Ok(())
    }

    /// Says that a chunk ended, with `result` if that is still to be said. Short chunks of which more are here end
    /// together, so that the agent wakes up once for several.
    pub fn chunk_end(
        &self,
        result: Option<ChunkResult<Bytes>>,
        chunk: u32,
        next: u32,
        busy_us: u64,
    ) -> io::Result<()> {
        self.leave();
        let more = matches!(lock(&self.receiving).orders.front(), Some(Order::Chunk(_)));
        let end = Message::ChunkEnd {
            chunk,
            next,
            busy_us,
        };
        let result = result.map(Message::ChunkResult);
        let mut output = lock(&self.sending);
        output.push(&local_frame(result.into_iter().chain([end]).collect()));
        let now = monotonic_us();
        let since = match self.held_since_us.load(Ordering::SeqCst) {
            0 => now,
            since => since,
        };
        // The next one will take about as long.
        if !more || output.unsent() > MOST_DEFERRED || now - since + busy_us > HOLD_US {
            return self.write_all(&mut output);
        }
        self.held_since_us.store(since, Ordering::SeqCst);
        self.deferred.store(true, Ordering::SeqCst);
        Ok(())
    }

    /// Sends what waits.
    pub fn flush(&self) -> io::Result<()> {
        if self.deferred.load(Ordering::SeqCst) {
            self.write_all(&mut lock(&self.sending))?;
        }
        Ok(())
    }

    fn write_all(&self, output: &mut Output) -> io::Result<()> {
        self.deferred.store(false, Ordering::SeqCst);
        self.held_since_us.store(0, Ordering::SeqCst);
        while !output
            .write(self.socket.as_fd())
            .inspect_err(|_| self.end())?
        {
            let ready = linux::poll(Some(self.socket.as_fd()), true, None, None)?;
            if !ready.interrupted && self.ended.load(Ordering::SeqCst) {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
        }
        Ok(())
    }

    /// Sends one element's value, which may be in pieces, in parts; the agent stores it.
    pub fn large_value(&self, chunk: u32, index: u32, value: &[Bytes]) -> io::Result<()> {
        let size = value.iter().map(|piece| piece.len() as u64).sum();
        // A name of its own, not that of its bytes: an object of the same bytes may be on its way to be deleted while
        // the storage still says that it is there.
        let hash = own_name();
        let mut offset = 0;
        for piece in value {
            let piece = spare_files::shared(piece.clone());
            for part in parts(piece.len()) {
                let payload = piece.slice(part);
                let length = payload.len() as u64;
                self.send(vec![Message::LargeValue {
                    chunk,
                    index,
                    hash,
                    size,
                    offset,
                    payload,
                }])?;
                offset += length;
            }
        }
        Ok(())
    }

    /// Whether the agent cancels the element that runs now; says so once.
    pub fn take_cancel(&self) -> bool {
        self.inside.load(Ordering::SeqCst) && self.line.take_cancel()
    }

    /// Says that an element starts; false if the agent took it back.
    #[inline]
    pub fn enter(&self, position: u64, now_us: u64) -> bool {
        let starts = self.line.start(position, now_us);
        self.inside.store(starts, Ordering::Relaxed);
        if starts {
            self.at.store(position, Ordering::Relaxed);
        }
        starts
    }

    /// The time limit of the element that runs counts from now on.
    pub fn restart_clock(&self) {
        self.line.restart_clock(linux::monotonic_us());
    }

    /// Says that the element that runs waits for others, or that it goes on. Whether one runs.
    pub fn say_waits(&self, waits: bool) -> io::Result<bool> {
        if !self.inside.load(Ordering::SeqCst) {
            return Ok(false);
        }
        let at = self.at.load(Ordering::SeqCst);
        let (chunk, index) = ((at >> 32) as u32, at as u32);
        self.send(vec![match waits {
            true => Message::Waits { chunk, index },
            false => Message::GoesOn { chunk, index },
        }])?;
        Ok(true)
    }

    /// The slice ends with the element that runs.
    pub fn cut_slice(&self) {
        self.cut.store(true, Ordering::SeqCst);
    }

    /// Whether it was cut; says so once.
    #[inline]
    pub fn take_cut(&self) -> bool {
        self.cut.load(Ordering::Relaxed) && self.cut.swap(false, Ordering::SeqCst)
    }

    /// Says that no element runs.
    pub fn leave(&self) {
        self.inside.store(false, Ordering::Relaxed);
    }

    /// Waits until the agent asks for what is finished, and sends what waits here; false at the end.
    pub fn wait_flush(&self) -> bool {
        let seen = self.flushed.load(Ordering::SeqCst);
        loop {
            if self.ended.load(Ordering::SeqCst) {
                return false;
            }
            let count = self.line.flush_count();
            if count != seen {
                self.flushed.store(count, Ordering::SeqCst);
                return self.flush().is_ok();
            }
            self.line.wait_flush(seen, FLUSH_PATIENCE);
        }
    }

    fn end(&self) {
        self.ended.store(true, Ordering::SeqCst);
        self.line.wake_flush();
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        self.end();
    }
}

impl Receiving {
    fn read(&mut self, socket: std::os::fd::BorrowedFd<'_>) -> io::Result<Read> {
        let read = match self.input.read(socket, &mut self.scratch, &mut self.frames) {
            Ok(read) => read,
            Err(ReadError::Io(error)) if error.kind() == io::ErrorKind::ConnectionReset => {
                Read::End
            }
            Err(ReadError::Io(error)) => return Err(error),
            Err(ReadError::Malformed(error)) => {
                return Err(io::Error::new(io::ErrorKind::InvalidData, error))
            }
        };
        let mut frames = std::mem::take(&mut self.frames);
        for message in frames.drain(..).flat_map(|frame| frame.messages) {
            self.take(message);
        }
        self.frames = frames;
        Ok(read)
    }

    fn take(&mut self, message: Message<Bytes>) {
        let order = match message {
            Message::Function { id, payload } => Order::Function {
                id,
                pickled: payload,
            },
            Message::ForgetFunction { id } => Order::ForgetFunction { id },
            Message::Chunk(chunk) => Order::Chunk(chunk),
            Message::ForgetObject { key } => Order::ForgetObject { key },
            Message::Value {
                id,
                count,
                form,
                payload,
            } => Order::Value {
                id,
                count,
                form,
                payload,
            },
            Message::DropValues { ids } => Order::DropValues { ids },
            Message::Listen { session, on } => Order::Listen { session, on },
            Message::Stop => Order::Stop,
            Message::Object {
                key,
                size,
                offset,
                payload,
            } => {
                if offset == 0 {
                    self.parts.clear();
                    self.parts_bytes = 0;
                }
                self.parts_bytes += payload.len() as u64;
                self.parts.push(payload);
                if self.parts_bytes < size {
                    return;
                }
                let parts = std::mem::take(&mut self.parts);
                let parts = mapped::joined(parts);
                Order::Object { key, parts }
            }
            // An agent says nothing else; a newer one may, and this one need not know.
            _ => return,
        };
        self.orders.push_back(order);
    }
}

/// A frame between agent and executor: no link, no order but the stream's.
pub fn local_frame(messages: Vec<Message<Bytes>>) -> Frame<Bytes> {
    Frame {
        link: 0,
        epoch: 0,
        sequence: 0,
        acknowledged: 0,
        messages,
    }
}

/// In what parts so many bytes travel. They are of equal length, as none may be too small to stay in a file.
pub(crate) fn parts(length: usize) -> impl Iterator<Item = Range<usize>> {
    let count = length.div_ceil(PART).max(1);
    let step = length.div_ceil(count).max(1);
    (0..count).map(move |part| (part * step).min(length)..((part + 1) * step).min(length))
}

/// A name that no other object has.
pub fn own_name() -> [u8; 16] {
    let mut name = [0; 16];
    name[..8].copy_from_slice(&linux::random().to_le_bytes());
    name[8..].copy_from_slice(&linux::random().to_le_bytes());
    name
}

/// The name of a function: the first 16 bytes of the blake3 of its pickle.
pub fn object_hash(bytes: &[u8]) -> [u8; 16] {
    let mut hash = [0; 16];
    hash.copy_from_slice(&blake3::hash(bytes).as_bytes()[..16]);
    hash
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
