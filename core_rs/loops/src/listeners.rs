//! Sockets that listen: new connections, within limits, from our own user.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixListener;

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};

use crate::linux;
use crate::shared::Listening;

/// Connections taken in a turn: a flood of them does not keep others from being served.
const TURN_CONNECTIONS: usize = 64;
/// How long to wait when the process has no descriptors left.
const RETRY_US: u64 = 100_000;

struct Listener {
    part: Listening,
    socket: UnixListener,
    /// There may be connections to take.
    ready: bool,
    /// Out of descriptors until then.
    retry_at: Option<u64>,
}

/// What a listener brought.
#[derive(Debug)]
pub enum Arrived {
    Connection(OwnedFd),
    /// Somebody who may not come, or a failure; for the log.
    Problem(String),
}

#[derive(Default)]
pub struct Listeners(Vec<Listener>);

impl Listeners {
    /// `token` gives the poll's token for a listener's index.
    pub fn add(
        &mut self,
        registry: &Registry,
        part: Listening,
        socket: OwnedFd,
        token: fn(usize) -> Token,
    ) -> io::Result<()> {
        let socket = UnixListener::from(socket);
        socket.set_nonblocking(true)?;
        registry.register(
            &mut SourceFd(&socket.as_raw_fd()),
            token(self.0.len()),
            Interest::READABLE,
        )?;
        self.0.push(Listener {
            part,
            socket,
            ready: true,
            retry_at: None,
        });
        Ok(())
    }

    pub fn on_event(&mut self, index: usize) {
        if let Some(listener) = self.0.get_mut(index) {
            listener.ready = true;
        }
    }

    /// Whether a turn has work without waiting.
    pub fn has_ready(&self) -> bool {
        self.0
            .iter()
            .any(|listener| listener.ready && listener.retry_at.is_none())
    }

    pub fn next_wakeup(&self) -> Option<u64> {
        self.0.iter().filter_map(|listener| listener.retry_at).min()
    }

    pub fn accept(&mut self, now: u64, mut arrived: impl FnMut(Listening, Arrived)) {
        for listener in &mut self.0 {
            if listener.retry_at.is_some_and(|at| at <= now) {
                listener.retry_at = None;
            }
            for _ in 0..TURN_CONNECTIONS {
                if !listener.ready || listener.retry_at.is_some() {
                    break;
                }
                if let Some(one) = listener.accept_one(now) {
                    arrived(listener.part, one);
                }
            }
        }
    }
}

impl Listener {
    fn accept_one(&mut self, now: u64) -> Option<Arrived> {
        match self.socket.accept() {
            Ok((socket, _)) => Some(match linux::check_peer(socket.as_fd()) {
                Ok(()) => Arrived::Connection(socket.into()),
                Err(who) => Arrived::Problem(format!("refused a local connection of {who}")),
            }),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.ready = false;
                None
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => None,
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => None,
            Err(error) => {
                self.retry_at = Some(now + RETRY_US);
                Some(Arrived::Problem(format!(
                    "cannot take a connection: {error}"
                )))
            }
        }
    }
}
