//! The connecting end: waits for the peer, in the caller's thread, and starts a bridge.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use scaler_loops::linux;
use scaler_loops::wire::Codec;

use crate::bridge::{set_options, Bridge};
use crate::identity::{self, Pin, Secret};
use crate::session::{Received, Session};

/// What a server says first: a frame of no length. It has let this member in.
pub(crate) const WELCOME: [u8; 4] = [0; 4];

#[derive(Debug)]
pub enum DialError {
    /// Nobody there, or not in time.
    Unreachable(io::Error),
    /// The peer is not who was expected.
    WrongKey,
    /// The peer does not take us, or speaks otherwise.
    Refused(String),
}

impl From<io::Error> for DialError {
    fn from(error: io::Error) -> Self {
        DialError::Unreachable(error)
    }
}

impl From<rustls::Error> for DialError {
    fn from(error: rustls::Error) -> Self {
        match identity::is_wrong_key(&error) {
            true => DialError::WrongKey,
            false => DialError::Refused(error.to_string()),
        }
    }
}

/// Connects to the server that has the key `pin`; the bridge, and its pair's other end.
///
/// # Errors
/// After `connect_timeout` where nobody is there, and after `timeout` at the latest.
pub fn dial(
    address: SocketAddr,
    secret: &Secret,
    pin: &Pin,
    codec: Codec,
    connect_timeout: Duration,
    timeout: Duration,
) -> Result<(Bridge, OwnedFd), DialError> {
    let deadline = Instant::now() + timeout;
    let socket: OwnedFd = TcpStream::connect_timeout(&address, connect_timeout)?.into();
    linux::set_nonblocking(socket.as_fd())?;
    set_options(socket.as_fd())?;
    let mut session = Session::client(identity::client(secret, pin)?)?;
    let mut said = Vec::new();
    loop {
        let processed = session.process(|plain| {
            said.extend_from_slice(plain);
            Ok::<(), rustls::Error>(())
        });
        let sent = session.send(socket.as_fd())?;
        processed?;
        if session.is_established() && said.len() >= WELCOME.len() {
            break;
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::Error::from(io::ErrorKind::TimedOut).into());
        }
        linux::poll(Some(socket.as_fd()), !sent, None, Some(left))?;
        if session.receive(socket.as_fd())? == Received::End {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
    }
    match said.strip_prefix(&WELCOME) {
        Some(early) => Ok(Bridge::start(session, socket, codec, early, |_| ())?),
        None => Err(DialError::Refused("it speaks another protocol".into())),
    }
}
