//! A link's connecting end over one socket, without a loop: whoever holds it reads, writes and waits when it likes.
//!
//! [`Dialed`] is what a client's lock guards; [`Waiting`] is the part that needs no lock.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicU8, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use scaler_engine::dialer::{Dialer, DialerEvent};
use scaler_wire::{Frame, Hello, LinkId, Message};

use crate::input::{Input, Read, ReadError};
use crate::linux::{self, monotonic_us, Bell};
use crate::output::Output;
use crate::shared::lock;
use crate::wakeful::Wakeful;

/// What one `read` takes at most before it hands on what it has.
const MOST_BYTES: usize = 4 << 20;

/// Nobody waits / somebody waits for bytes / for bytes and for room.
const IDLE: u8 = 0;
const FOR_BYTES: u8 = 1;
const FOR_ROOM: u8 = 2;

const NO_WAKEUP: u64 = u64::MAX;

/// What a wait ended with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waited {
    /// There is something to read, to write, or due: call `read`.
    Ready,
    /// `wake` was called.
    Woken,
    TimedOut,
    /// A signal came.
    Interrupted,
}

/// Shared by the one thread that waits and those that hold the lock.
pub struct Waiting {
    bell: Bell,
    socket: Mutex<Option<Arc<OwnedFd>>>,
    state: AtomicU8,
    unsent: AtomicBool,
    woken: AtomicBool,
    /// When the link has something to do of its own.
    wakeup_us: AtomicU64,
    wakeful: Wakeful,
}

impl Waiting {
    fn new() -> io::Result<Waiting> {
        Ok(Waiting {
            bell: Bell::new()?,
            socket: Mutex::new(None),
            state: AtomicU8::new(IDLE),
            unsent: AtomicBool::new(false),
            woken: AtomicBool::new(false),
            wakeup_us: AtomicU64::new(NO_WAKEUP),
            wakeful: Wakeful::default(),
        })
    }

    pub fn wake(&self) {
        self.woken.store(true, SeqCst);
        self.bell.ring();
    }

    /// Waits until `deadline_us`. One thread at a time.
    pub fn wait(&self, deadline_us: Option<u64>) -> io::Result<Waited> {
        let began = monotonic_us();
        let waited = self.wait_once(deadline_us);
        self.state.store(IDLE, SeqCst);
        if matches!(waited, Ok(Waited::Ready)) {
            self.wakeful.waited(monotonic_us() - began);
        }
        waited
    }

    /// How many outcomes and answers are to come.
    pub fn expect(&self, things: u64) {
        self.wakeful.expect(things);
    }

    /// Looks until something is there, or until then. Whoever else has something to do goes first.
    fn look(&self, socket: Option<BorrowedFd<'_>>, until: u64) -> io::Result<()> {
        while monotonic_us() < until {
            let ready = linux::poll(socket, false, Some(&self.bell), Some(Duration::ZERO))?;
            if ready.socket || ready.bell || ready.interrupted {
                break;
            }
            thread::yield_now();
        }
        Ok(())
    }

    fn wait_once(&self, deadline_us: Option<u64>) -> io::Result<Waited> {
        loop {
            if self.woken.swap(false, SeqCst) {
                self.bell.silence();
                return Ok(Waited::Woken);
            }
            // Before the flags are read: who sets one after that sees that it must ring.
            self.state.store(FOR_BYTES, SeqCst);
            let write = self.unsent.load(SeqCst);
            if write {
                self.state.store(FOR_ROOM, SeqCst);
            }
            let socket = lock(&self.socket).clone();
            let now = monotonic_us();
            let wakeup = self.wakeup_us.load(SeqCst);
            let until = deadline_us.unwrap_or(u64::MAX).min(wakeup);
            let timeout =
                (until != u64::MAX).then(|| Duration::from_micros(until.saturating_sub(now)));
            let descriptor = socket.as_deref().map(AsFd::as_fd);
            if let Some(awake) = self.wakeful.until(now).filter(|_| !write) {
                self.look(descriptor, awake.min(until))?;
            }
            let ready = linux::poll(descriptor, write, Some(&self.bell), timeout)?;
            if ready.interrupted {
                return Ok(Waited::Interrupted);
            }
            if ready.socket {
                return Ok(Waited::Ready);
            }
            if ready.bell {
                self.bell.silence();
                continue;
            }
            let now = monotonic_us();
            if wakeup <= now {
                return Ok(Waited::Ready);
            }
            if deadline_us.is_some_and(|deadline| deadline <= now) {
                return Ok(Waited::TimedOut);
            }
        }
    }

    fn set_socket(&self, socket: Option<Arc<OwnedFd>>) {
        *lock(&self.socket) = socket;
        self.ring_if_waiting(IDLE);
    }

    fn set_unsent(&self, unsent: bool) {
        if unsent != self.unsent.swap(unsent, SeqCst) && unsent {
            self.ring_if_waiting(FOR_ROOM);
        }
    }

    fn set_wakeup(&self, at: Option<u64>) {
        let at = at.unwrap_or(NO_WAKEUP);
        if at < self.wakeup_us.swap(at, SeqCst) {
            self.ring_if_waiting(IDLE);
        }
    }

    /// Makes a waiting thread look again, unless it waits for `what` already.
    fn ring_if_waiting(&self, what: u8) {
        let state = self.state.load(SeqCst);
        if state != IDLE && state != what {
            self.bell.ring();
        }
    }
}

/// What happened to the link.
#[derive(Debug)]
pub enum DialedEvent {
    Link(DialerEvent<Bytes>),
    /// The socket is closed.
    Disconnected,
}

pub struct Dialed {
    dialer: Dialer<Bytes>,
    socket: Option<Arc<OwnedFd>>,
    input: Input,
    output: Output,
    scratch: Vec<u8>,
    frames: Vec<Frame<Bytes>>,
    /// Happened outside of a `read`.
    missed: Vec<DialedEvent>,
    waiting: Arc<Waiting>,
}

impl Dialed {
    pub fn new(hello: Hello, link: LinkId) -> io::Result<Dialed> {
        Ok(Dialed {
            dialer: Dialer::new(hello, link),
            socket: None,
            input: Input::default(),
            output: Output::default(),
            scratch: Vec::new(),
            frames: Vec::new(),
            missed: Vec::new(),
            waiting: Arc::new(Waiting::new()?),
        })
    }

    /// Microseconds between signs of life.
    pub fn with_heartbeat(mut self, heartbeat_us: u64) -> Self {
        self.dialer = self.dialer.with_heartbeat(heartbeat_us);
        self
    }

    pub fn waiting(&self) -> &Arc<Waiting> {
        &self.waiting
    }

    pub fn attached(&self) -> bool {
        self.socket.is_some()
    }

    pub fn credit(&self) -> bool {
        self.dialer.credit()
    }

    pub fn backlog(&self) -> u64 {
        self.dialer.backlog()
    }

    pub fn unsent(&self) -> bool {
        self.output.unsent() > 0
    }

    /// Whether payloads in files travel as such: the other end is on this host.
    pub fn takes_files(&self) -> bool {
        self.input.takes_files()
    }

    /// Takes over a connected socket and says hello. One that is attached already is closed.
    pub fn attach(&mut self, socket: OwnedFd) -> io::Result<()> {
        self.detach();
        linux::set_nonblocking(socket.as_fd())?;
        if linux::leads_to_listener(socket.as_fd()) {
            (self.input, self.output) = (Input::with_files(), Output::with_files());
        }
        let socket = Arc::new(socket);
        self.socket = Some(Arc::clone(&socket));
        self.waiting.set_socket(Some(socket));
        self.dialer.on_open(monotonic_us());
        self.flush();
        Ok(())
    }

    /// Closes the socket, if any. The link stays.
    pub fn detach(&mut self) {
        if let Some(socket) = self.socket.take() {
            let _ = self.output.write(socket.as_fd());
            self.waiting.set_socket(None);
            // A thread that polls it keeps the descriptor for a moment; the peer must know at once.
            let _ = rustix::net::shutdown(&*socket, rustix::net::Shutdown::Both);
            self.input = Input::default();
            self.output = Output::default();
            self.waiting.set_unsent(false);
            self.dialer.on_close(monotonic_us());
            self.waiting.set_wakeup(self.dialer.next_wakeup());
        }
    }

    pub fn send(&mut self, message: Message<Bytes>) {
        self.dialer.send(message);
    }

    /// Ends the connection, not the link, because of what the peer said.
    pub fn give_up(&mut self) {
        self.dialer.on_malformed();
    }

    /// Writes what may leave now.
    pub fn flush(&mut self) {
        let Some(socket) = self.socket.clone() else {
            return;
        };
        let now = monotonic_us();
        while let Some(frame) = self.dialer.poll_transmit(now) {
            self.output.push(&frame);
        }
        let written = self.output.write(socket.as_fd());
        self.waiting.set_unsent(self.output.unsent() > 0);
        self.waiting.set_wakeup(self.dialer.next_wakeup());
        if written.is_err() || self.dialer.wants_close() {
            self.disconnect();
        }
    }

    /// Reads what is there without waiting, and what happened before, in order. Does the link's timely work; the
    /// caller flushes when it has handled the events.
    pub fn read(&mut self, events: &mut Vec<DialedEvent>) {
        events.append(&mut self.missed);
        if let Some(socket) = self.socket.clone() {
            let open = self.receive(&socket);
            self.dialer.tick(monotonic_us());
            self.collect();
            if !open || self.dialer.wants_close() {
                self.disconnect();
            }
        }
        events.append(&mut self.missed);
    }

    /// What happened since the last `read`, in a `flush`.
    pub fn take_missed(&mut self, events: &mut Vec<DialedEvent>) {
        events.append(&mut self.missed);
    }

    /// False when the connection has ended.
    fn receive(&mut self, socket: &OwnedFd) -> bool {
        let mut bytes = 0;
        while bytes < MOST_BYTES {
            let read = self
                .input
                .read(socket.as_fd(), &mut self.scratch, &mut self.frames);
            if self.input.peer_takes_files() {
                self.output.give_files();
            }
            let now = monotonic_us();
            for frame in self.frames.drain(..) {
                self.dialer.on_frame(now, frame);
            }
            match read {
                Ok(Read::Nothing) => return true,
                Ok(Read::Bytes { count, drained }) => {
                    bytes += count;
                    if drained {
                        return true;
                    }
                }
                Ok(Read::End) | Err(ReadError::Io(_)) => return false,
                Err(ReadError::Malformed(_)) => {
                    self.dialer.on_malformed();
                    return true;
                }
            }
        }
        true
    }

    fn collect(&mut self) {
        while let Some(event) = self.dialer.poll_event() {
            self.missed.push(DialedEvent::Link(event));
        }
    }

    fn disconnect(&mut self) {
        self.collect();
        self.detach();
        self.missed.push(DialedEvent::Disconnected);
        // Whoever waits for the socket must come and hear of it.
        self.waiting.set_wakeup(Some(0));
    }
}
