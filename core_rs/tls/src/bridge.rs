//! One connection: a thread between its tcp socket and a socketpair whose other end a loop or a client has.
//!
//! The pair's other end is to its owner like a process of this host that takes payloads in files, so nothing large is
//! copied on the way: what is sent is encrypted from where it lies, what comes is decrypted to a file in memory. Each
//! direction waits for its own receiver: nothing is read from the pair before what came has been encrypted and sent, nor
//! from the network while much waits for the loop.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rustix::event::{poll, PollFd, PollFlags, Timespec};
use rustix::net::{shutdown, sockopt, Shutdown};
use scaler_loops::input::{Input, Read, ReadError};
use scaler_loops::linux::named_pair;
use scaler_loops::output::Output;
use scaler_loops::wire::{Codec, Frame};

use crate::landing::{Landing, LandingError};
use crate::plaintext::Plaintext;
use crate::session::{Received, Session};

/// Encrypted ahead of the socket.
const AHEAD: usize = 256 << 10;
/// In one turn, before it is the other direction's.
const TURN_BYTES: usize = 1 << 20;
const TURN_READS: usize = 4;
/// For the loop, before nothing more is read for it.
const MOST_WAITING: usize = 8 << 20;
/// How long what was written before an end may take to leave.
const LINGER: Duration = Duration::from_secs(2);
/// After so long without a byte buffers are let go of.
const REST: Timespec = Timespec {
    tv_sec: 1,
    tv_nsec: 0,
};
/// A peer whose machine is gone is noticed as soon as over CURVE.
const KEEPALIVE: Duration = Duration::from_secs(5);
const DEAD_AFTER_MS: u32 = 20_000;

/// A bridge that runs.
pub struct Bridge {
    pair: Weak<OwnedFd>,
    thread: Option<JoinHandle<()>>,
    /// A child made by fork has this, and no thread.
    process: u32,
}

impl Bridge {
    /// `session`: established. `early`: what the peer has said already. `ended`: told why, where the peer is to blame.
    /// Returns the loop's end of the pair.
    pub fn start(
        session: Session,
        socket: OwnedFd,
        codec: Codec,
        early: &[u8],
        ended: impl FnOnce(String) + Send + 'static,
    ) -> io::Result<(Bridge, OwnedFd)> {
        let (ours, theirs) = named_pair()?;
        let pair = Arc::new(ours);
        let handle = Arc::downgrade(&pair);
        let mut worker = Worker::new(session, socket, pair, codec);
        let taken = worker.landing.take(early, &mut worker.frames);
        taken.map_err(io::Error::other)?;
        worker.deliver();
        let thread = std::thread::Builder::new()
            .name("scaler-tls".into())
            .stack_size(256 << 10)
            .spawn(move || {
                if let Err(End::Malformed(text)) = worker.run() {
                    ended(text);
                }
            })?;
        let bridge = Bridge {
            pair: handle,
            thread: Some(thread),
            process: std::process::id(),
        };
        Ok((bridge, theirs))
    }

    pub fn is_over(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Ends it, after what was written to the pair has left. Returns at once.
    pub fn stop(&self) {
        if let Some(pair) = self.pair.upgrade() {
            if self.process == std::process::id() {
                let _ = shutdown(&*pair, Shutdown::Read);
            }
        }
    }

    /// Waits for the end: two seconds at most, after `stop`.
    pub fn join(&mut self) {
        if self.process != std::process::id() {
            std::mem::forget(self.thread.take());
        } else if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        if self.process != std::process::id() {
            std::mem::forget(self.thread.take());
        }
    }
}

/// For both ends of a connection.
pub fn set_options(socket: BorrowedFd<'_>) -> io::Result<()> {
    sockopt::set_tcp_nodelay(socket, true)?;
    sockopt::set_socket_keepalive(socket, true)?;
    sockopt::set_tcp_keepidle(socket, KEEPALIVE)?;
    sockopt::set_tcp_keepintvl(socket, KEEPALIVE)?;
    sockopt::set_tcp_keepcnt(socket, 3)?;
    sockopt::set_tcp_user_timeout(socket, DEAD_AFTER_MS)?;
    Ok(())
}

enum End {
    /// Either side has gone.
    Gone,
    Malformed(String),
}

impl From<io::Error> for End {
    fn from(_: io::Error) -> Self {
        End::Gone
    }
}

impl From<rustls::Error> for End {
    fn from(error: rustls::Error) -> Self {
        End::Malformed(error.to_string())
    }
}

impl From<LandingError> for End {
    fn from(error: LandingError) -> Self {
        End::Malformed(error.to_string())
    }
}

struct Worker {
    socket: OwnedFd,
    pair: Arc<OwnedFd>,
    session: Session,
    landing: Landing,
    output: Output,
    input: Input,
    plaintext: Plaintext,
    scratch: Vec<u8>,
    frames: Vec<Frame<Bytes>>,
    /// Bytes of payloads that came since the loop last had taken everything: those in files are no bytes to `output`.
    waiting: usize,
    /// The loop has closed its end, and all that it wrote has been read.
    loop_over: bool,
    remote_over: bool,
}

impl Worker {
    fn new(session: Session, socket: OwnedFd, pair: Arc<OwnedFd>, codec: Codec) -> Worker {
        Worker {
            socket,
            pair,
            session,
            landing: Landing::default(),
            output: Output::with_files(),
            input: Input::with_files(),
            plaintext: Plaintext::new(codec),
            scratch: Vec::new(),
            frames: Vec::new(),
            waiting: 0,
            loop_over: false,
            remote_over: false,
        }
    }

    fn run(&mut self) -> Result<(), End> {
        let ended = self.carry();
        if ended.is_err() {
            // An alert, if any: whether it still gets there is the network's affair.
            let _ = self.session.send(self.socket.as_fd());
        }
        self.finish();
        // A child made by fork has these, too, and must not keep them alive.
        let _ = shutdown(&*self.pair, Shutdown::Both);
        let _ = shutdown(&self.socket, Shutdown::Both);
        ended
    }

    /// Until either side is over.
    fn carry(&mut self) -> Result<(), End> {
        while !self.loop_over && !self.remote_over {
            let came = self.receive()?;
            self.write_loop();
            let went = self.transmit()?;
            if !came && !went && !self.wait(Some(&REST))? {
                self.session.rest();
                self.scratch = Vec::new();
                self.wait(None)?;
            }
        }
        Ok(())
    }

    /// Whether there may be more at once.
    fn receive(&mut self) -> Result<bool, End> {
        for _ in 0..TURN_READS {
            if self.is_full() {
                return Ok(false);
            }
            match self.session.receive(self.socket.as_fd())? {
                Received::Nothing => return Ok(false),
                Received::End => {
                    self.remote_over = true;
                    return Ok(false);
                }
                Received::Bytes => self.process()?,
            }
            if self.session.peer_closed() {
                self.remote_over = true;
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn process(&mut self) -> Result<(), LandingError> {
        let (landing, frames) = (&mut self.landing, &mut self.frames);
        self.session.process(|plain| landing.take(plain, frames))?;
        self.deliver();
        Ok(())
    }

    /// Whether so much waits for the loop that nothing more is read for it.
    fn is_full(&self) -> bool {
        self.output.unsent().max(self.waiting) > MOST_WAITING
    }

    fn deliver(&mut self) {
        for frame in self.frames.drain(..) {
            let payloads = frame.messages.iter().map(|message| message.payload_bytes());
            self.waiting += payloads.sum::<usize>();
            self.output.push(&frame);
        }
    }

    fn write_loop(&mut self) {
        match self.output.write(self.pair.as_fd()) {
            Ok(true) => self.waiting = 0,
            Ok(false) => {}
            // Nobody takes it; what was written before the end is still to be read.
            Err(_) => (self.output, self.waiting) = (Output::with_files(), 0),
        }
    }

    /// Whether there may be more at once.
    fn transmit(&mut self) -> Result<bool, End> {
        let mut bytes = 0;
        while bytes < TURN_BYTES {
            if !self.session.send(self.socket.as_fd())? {
                return Ok(false);
            }
            if self.plaintext.is_empty() && !self.read_loop()? {
                return Ok(false);
            }
            while self.session.unsent() < AHEAD && !self.plaintext.is_empty() {
                let next = self.plaintext.next(AHEAD);
                bytes += next.len();
                self.session.encrypt(&next)?;
            }
        }
        Ok(true)
    }

    /// Whether anything came.
    fn read_loop(&mut self) -> Result<bool, End> {
        let read = self
            .input
            .read(self.pair.as_fd(), &mut self.scratch, &mut self.frames);
        if self.input.peer_takes_files() {
            self.output.give_files();
        }
        for frame in self.frames.drain(..) {
            self.plaintext.push(&frame);
        }
        match read {
            Ok(Read::Bytes { .. }) => Ok(true),
            Ok(Read::Nothing) => Ok(false),
            Ok(Read::End) | Err(ReadError::Io(_)) => {
                self.loop_over = true;
                Ok(false)
            }
            Err(ReadError::Malformed(error)) => Err(End::Malformed(format!("the loop: {error}"))),
        }
    }

    /// Whether anything happened within that time.
    fn wait(&self, time: Option<&Timespec>) -> Result<bool, End> {
        let (mut socket, mut pair) = (PollFlags::empty(), PollFlags::empty());
        if !self.is_full() {
            socket |= PollFlags::IN;
        }
        match self.session.unsent() {
            0 => pair |= PollFlags::IN,
            _ => socket |= PollFlags::OUT,
        }
        if self.output.unsent() > 0 {
            pair |= PollFlags::OUT;
        }
        let mut watched = [
            PollFd::new(&self.socket, socket),
            PollFd::new(&*self.pair, pair),
        ];
        // That a side has gone is told unasked, and again and again: the pair's is of no interest before it is read.
        let watched = match pair.is_empty() {
            true => &mut watched[..1],
            false => &mut watched[..],
        };
        match poll(watched, time) {
            Ok(0) => return Ok(false),
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(io::Error::from(error).into()),
        }
        let gone = watched[0]
            .revents()
            .intersects(PollFlags::HUP | PollFlags::ERR);
        match gone && !socket.contains(PollFlags::IN) {
            true => Err(End::Gone),
            false => Ok(true),
        }
    }

    /// One side is over: the other gets what there is for it.
    fn finish(&mut self) {
        let deadline = Instant::now() + LINGER;
        if self.loop_over {
            let _ = self.finish_remote(deadline);
        }
        while self.output.unsent() > 0 && !self.loop_over {
            match self.output.write(self.pair.as_fd()) {
                Ok(false) if wait_for(self.pair.as_fd(), PollFlags::OUT, deadline) => {}
                _ => break,
            }
        }
    }

    /// All that the loop wrote, and the word that this was all. The peer answers with its own, before which a close
    /// could destroy what is under way.
    fn finish_remote(&mut self, deadline: Instant) -> Result<(), End> {
        while !self.plaintext.is_empty() || self.session.unsent() > 0 {
            if self.session.send(self.socket.as_fd())? {
                let next = self.plaintext.next(AHEAD);
                self.session.encrypt(&next)?;
            } else if !wait_for(self.socket.as_fd(), PollFlags::OUT, deadline) {
                return Ok(());
            }
        }
        self.session.close()?;
        self.session.send(self.socket.as_fd())?;
        shutdown(&self.socket, Shutdown::Write).map_err(io::Error::from)?;
        let mut ignored = vec![0; 64 << 10];
        while wait_for(self.socket.as_fd(), PollFlags::IN, deadline) {
            let flags = rustix::net::RecvFlags::DONTWAIT;
            match rustix::net::recv(&self.socket, &mut ignored[..], flags) {
                Ok((_, 0)) | Err(_) => break,
                Ok(_) => {}
            }
        }
        Ok(())
    }
}

/// Whether that came before the deadline.
fn wait_for(socket: BorrowedFd<'_>, what: PollFlags, deadline: Instant) -> bool {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let time = Timespec {
            tv_sec: left.as_secs() as i64,
            tv_nsec: i64::from(left.subsec_nanos()),
        };
        match poll(&mut [PollFd::from_borrowed_fd(socket, what)], Some(&time)) {
            Ok(found) => return found > 0,
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return false,
        }
    }
}
