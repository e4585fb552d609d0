//! The bridge of a connecting part: one zmq DEALER, one socketpair. It ends when either side does.

use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::{poll, PollFd, PollFlags, Timespec};
use scaler_wire::Codec;

use crate::libzmq::{Message, Socket};
use crate::linux::Bell;
use crate::remote_connections::{Monitor, DISCONNECTED};
use crate::remote_pair::{codec_to, Pair, END};

const TURN_MESSAGES: usize = 1_024;
/// The loop always reads; a pair that does not move for so long has nobody behind it.
const PATIENCE: Duration = Duration::from_secs(2);

pub struct DealerBridge {
    dealer: Socket,
    monitor: Monitor,
    pair: Pair,
    message: Message,
    scratch: Vec<u8>,
    /// The peer's connection has ended; what came before may still be unread.
    gone: bool,
    /// There may be more to read at once.
    more: bool,
}

impl DealerBridge {
    /// `dealer`: its handshake is done by the time of `run`. `host`: numeric, of the peer; `codec`: for what goes to
    /// another host than this. Also the loop's end of the pair.
    pub fn new(
        dealer: Socket,
        monitor: Socket,
        host: &str,
        codec: Codec,
    ) -> io::Result<(DealerBridge, OwnedFd)> {
        let (pair, other) = Pair::new(codec_to(host, codec))?;
        let message = Message::new(dealer.library());
        let bridge = DealerBridge {
            dealer,
            monitor: Monitor::new(monitor),
            pair,
            message,
            scratch: Vec::new(),
            gone: false,
            more: true,
        };
        Ok((bridge, other))
    }

    /// Until either side ends, or the bell rings. What one side has said by then reaches the other.
    pub fn run(mut self, bell: &Bell) -> io::Result<()> {
        // What the handshake's reader has left unread gives no signal any more.
        self.observe()?;
        while self.turn(bell)? {}
        self.finish()
    }

    /// Whether the conversation goes on.
    fn turn(&mut self, bell: &Bell) -> io::Result<bool> {
        let timeout = self.more.then_some(Timespec::default());
        let room = if self.pair.unsent() {
            PollFlags::OUT
        } else {
            PollFlags::empty()
        };
        let mut watched = [
            PollFd::from_borrowed_fd(self.pair.descriptor(), PollFlags::IN | room),
            PollFd::from_borrowed_fd(self.monitor.socket().descriptor()?, PollFlags::IN),
            PollFd::from_borrowed_fd(bell.fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(self.dealer.descriptor()?, PollFlags::IN),
        ];
        match poll(&mut watched, timeout.as_ref()) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => return Ok(true),
            Err(error) => return Err(error.into()),
        }
        let [pair, monitor, stop, _] = watched.map(|one| !one.revents().is_empty());
        let mut open = !stop;
        if pair && open {
            open = self.take_written()?;
        }
        if monitor {
            self.observe()?;
        }
        let valid = self.take_received()?;
        // What came before the peer went is all there once nothing more is.
        Ok(open && valid && self.pair.flush() && (self.more || !self.gone))
    }

    /// Whether the loop's end is open, and somebody there to hear it.
    fn take_written(&mut self) -> io::Result<bool> {
        let dealer = &self.dealer;
        let read = self
            .pair
            .read(&mut self.scratch, |message| dealer.send(message, false));
        heard(read)
    }

    /// Whether what came goes on with the conversation.
    fn take_received(&mut self) -> io::Result<bool> {
        self.more = false;
        for _ in 0..TURN_MESSAGES {
            if !self.dealer.readable()? || !self.dealer.receive(&mut self.message)? {
                return Ok(true);
            }
            let single = self.message.bytes() != END && !self.message.more();
            if !single || !self.pair.deliver(&mut self.message) {
                return Ok(false);
            }
        }
        self.more = true;
        Ok(true)
    }

    fn observe(&mut self) -> io::Result<()> {
        while let Some((event, _)) = self.monitor.next_event()? {
            self.gone |= event == DISCONNECTED;
        }
        Ok(())
    }

    /// Either side is over: the other gets what there is for it.
    fn finish(mut self) -> io::Result<()> {
        let dealer = &self.dealer;
        let drained = self
            .pair
            .drain(&mut self.scratch, |message| dealer.send(message, false));
        heard(drained.map(|()| true))?;
        let patience = Timespec::try_from(PATIENCE).unwrap_or_default();
        let mut since = Instant::now();
        while self.pair.flush() && self.pair.unsent() && since.elapsed() < PATIENCE {
            let mut watched = [PollFd::from_borrowed_fd(
                self.pair.descriptor(),
                PollFlags::OUT,
            )];
            match poll(&mut watched, Some(&patience)) {
                Ok(0) => break,
                Ok(_) => since = Instant::now(),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

/// There is no high-water mark, so nothing that would block has somebody to hear it.
fn heard(read: io::Result<bool>) -> io::Result<bool> {
    match read {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
        other => other,
    }
}
