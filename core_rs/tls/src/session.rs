//! One TLS session over a socket that never waits: rustls decrypts in our buffer and encrypts into it.

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use rustix::net::{RecvFlags, SendFlags};
use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::ServerName;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, UnbufferedStatus};
use rustls::{ClientConfig, Error, ServerConfig};

/// Read from the socket at once.
const INCOMING: usize = 512 << 10;
/// A record, and what stands around it.
const RECORD: usize = 16 << 10;
const AROUND: usize = 64;
/// A record of a peer takes no more, nor does all that it says before it has proved itself.
const FIRST: usize = 20 << 10;

enum Side {
    Client(Box<UnbufferedClientConnection>),
    Server(Box<UnbufferedServerConnection>),
}

/// Bytes of the peer that the socket had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    Nothing,
    Bytes,
    End,
}

pub struct Session {
    side: Side,
    /// From `start` to `end`: came, and is not decrypted.
    incoming: Vec<u8>,
    start: usize,
    end: usize,
    outgoing: Outgoing,
    peer_closed: bool,
}

impl Session {
    pub fn client(config: Arc<ClientConfig>) -> Result<Session, Error> {
        // Not sent, and not looked at: the server is who has the key.
        let name = ServerName::try_from("scaler").expect("a host name");
        let side = UnbufferedClientConnection::new(config, name)?;
        Ok(Session::new(Side::Client(Box::new(side))))
    }

    pub fn server(config: Arc<ServerConfig>) -> Result<Session, Error> {
        let side = UnbufferedServerConnection::new(config)?;
        Ok(Session::new(Side::Server(Box::new(side))))
    }

    fn new(side: Side) -> Session {
        Session {
            side,
            incoming: Vec::new(),
            start: 0,
            end: 0,
            outgoing: Outgoing::default(),
            peer_closed: false,
        }
    }

    /// Whether both ends have proved themselves, as far as this one can tell.
    pub fn is_established(&self) -> bool {
        match &self.side {
            Side::Client(side) => !side.is_handshaking(),
            Side::Server(side) => !side.is_handshaking(),
        }
    }

    /// Whether the peer has said that nothing more comes.
    pub fn peer_closed(&self) -> bool {
        self.peer_closed
    }

    pub fn unsent(&self) -> usize {
        self.outgoing.filled - self.outgoing.sent
    }

    /// Reads once.
    pub fn receive(&mut self, socket: BorrowedFd<'_>) -> io::Result<Received> {
        let most = match self.is_established() {
            true => INCOMING,
            false => FIRST,
        };
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        } else if self.incoming.len() - self.end < FIRST {
            self.incoming.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        if self.incoming.len() < most {
            self.incoming.resize(most, 0);
        }
        if self.end == self.incoming.len() {
            // Longer than any record, and none.
            return Err(io::ErrorKind::InvalidData.into());
        }
        let room = &mut self.incoming[self.end..];
        match rustix::net::recv(socket, room, RecvFlags::DONTWAIT) {
            Ok((_, 0)) => Ok(Received::End),
            Ok((_, count)) => {
                self.end += count;
                Ok(Received::Bytes)
            }
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => Ok(Received::Nothing),
            Err(error) => Err(error.into()),
        }
    }

    /// Goes through what came, and queues what the handshake has to say. `plain` takes what the peer said, in order.
    pub fn process<E: From<Error>>(
        &mut self,
        mut plain: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        loop {
            let bytes = &mut self.incoming[self.start..self.end];
            let (discard, turn) = match &mut self.side {
                Side::Client(side) => one(
                    side.process_tls_records(bytes),
                    &mut self.outgoing,
                    &mut plain,
                ),
                Side::Server(side) => one(
                    side.process_tls_records(bytes),
                    &mut self.outgoing,
                    &mut plain,
                ),
            };
            self.start += discard;
            match turn {
                Ok(Turn::More) => {}
                Ok(Turn::Wait) => return Ok(()),
                Ok(Turn::PeerClosed) => self.peer_closed = true,
                Err(error) => {
                    self.say_why();
                    return Err(error);
                }
            }
        }
    }

    /// The alert for the peer.
    fn say_why(&mut self) {
        let mut none = |_: &[u8]| Ok::<(), Error>(());
        let queue = &mut self.outgoing;
        let _ = match &mut self.side {
            Side::Client(side) => one(side.process_tls_records(&mut []), queue, &mut none).1,
            Side::Server(side) => one(side.process_tls_records(&mut []), queue, &mut none).1,
        };
    }

    /// Queues what is to be said.
    pub fn encrypt(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.write_traffic(Some(bytes))
    }

    /// Queues the word that nothing more comes.
    pub fn close(&mut self) -> Result<(), Error> {
        self.write_traffic(None)
    }

    fn write_traffic(&mut self, bytes: Option<&[u8]>) -> Result<(), Error> {
        loop {
            let queue = &mut self.outgoing;
            // Of what came nothing is touched.
            let turn = match &mut self.side {
                Side::Client(side) => say(side.process_tls_records(&mut []), queue, bytes)?,
                Side::Server(side) => say(side.process_tls_records(&mut []), queue, bytes)?,
            };
            match turn {
                Turn::More => {}
                Turn::PeerClosed => self.peer_closed = true,
                Turn::Wait => return Ok(()),
            }
        }
    }

    /// Writes what the socket takes. Whether all is written.
    pub fn send(&mut self, socket: BorrowedFd<'_>) -> io::Result<bool> {
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        let queue = &mut self.outgoing;
        while queue.sent < queue.filled {
            match rustix::net::send(socket, &queue.buffer[queue.sent..queue.filled], flags) {
                Ok(count) => queue.sent += count,
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => return Ok(false),
                Err(error) => return Err(error.into()),
            }
        }
        (queue.filled, queue.sent) = (0, 0);
        Ok(true)
    }

    /// Lets go of buffers of which nothing is used at the moment.
    pub fn rest(&mut self) {
        if self.start == self.end {
            (self.incoming, self.start, self.end) = (Vec::new(), 0, 0);
        }
        if self.unsent() == 0 {
            self.outgoing = Outgoing::default();
        }
    }
}

/// Encrypted, from `sent` to `filled`. What is behind that is room, which nobody clears.
#[derive(Default)]
struct Outgoing {
    buffer: Vec<u8>,
    filled: usize,
    sent: usize,
}

impl Outgoing {
    fn room(&mut self, bytes: usize) -> &mut [u8] {
        if self.buffer.len() - self.filled < bytes {
            self.buffer.resize(self.filled + bytes, 0);
        }
        &mut self.buffer[self.filled..]
    }
}

enum Turn {
    More,
    Wait,
    PeerClosed,
}

/// One step through what came; how many bytes of it are done with.
fn one<Data, E: From<Error>>(
    status: UnbufferedStatus<'_, '_, Data>,
    queue: &mut Outgoing,
    plain: &mut impl FnMut(&[u8]) -> Result<(), E>,
) -> (usize, Result<Turn, E>) {
    let UnbufferedStatus { mut discard, state } = status;
    let turn = match state {
        Err(error) => Err(error.into()),
        Ok(ConnectionState::ReadTraffic(mut traffic)) => loop {
            match traffic.next_record() {
                None => break Ok(Turn::More),
                Some(Err(error)) => break Err(error.into()),
                Some(Ok(record)) => {
                    discard += record.discard;
                    if let Err(error) = plain(record.payload) {
                        break Err(error);
                    }
                }
            }
        },
        Ok(ConnectionState::EncodeTlsData(mut data)) => {
            encode(queue, |room| data.encode(room));
            Ok(Turn::More)
        }
        Ok(ConnectionState::TransmitTlsData(data)) => {
            data.done();
            Ok(Turn::More)
        }
        Ok(ConnectionState::PeerClosed) => Ok(Turn::PeerClosed),
        // Nobody offers early data.
        Ok(_) => Ok(Turn::Wait),
    };
    (discard, turn)
}

/// One step on the way to where `bytes` can be said (`None`: the end), and that.
fn say<Data>(
    status: UnbufferedStatus<'_, '_, Data>,
    queue: &mut Outgoing,
    bytes: Option<&[u8]>,
) -> Result<Turn, Error> {
    match status.state? {
        ConnectionState::EncodeTlsData(mut data) => {
            encode(queue, |room| data.encode(room));
            Ok(Turn::More)
        }
        ConnectionState::TransmitTlsData(data) => {
            data.done();
            Ok(Turn::More)
        }
        ConnectionState::PeerClosed => Ok(Turn::PeerClosed),
        ConnectionState::WriteTraffic(mut traffic) => {
            let length = bytes.map_or(0, <[u8]>::len);
            let room = length + (length / RECORD + 2) * AROUND;
            grow(queue, room, |room| match bytes {
                Some(bytes) => traffic.encrypt(bytes, room),
                None => traffic.queue_close_notify(room),
            })?;
            Ok(Turn::Wait)
        }
        _ => Ok(Turn::Wait),
    }
}

fn encode(queue: &mut Outgoing, mut write: impl FnMut(&mut [u8]) -> Result<usize, EncodeError>) {
    let mut bytes = RECORD + AROUND;
    loop {
        match write(queue.room(bytes)) {
            Ok(count) => return queue.filled += count,
            Err(EncodeError::InsufficientSize(error)) => bytes = error.required_size,
            Err(EncodeError::AlreadyEncoded) => return,
        }
    }
}

fn grow(
    queue: &mut Outgoing,
    mut bytes: usize,
    mut write: impl FnMut(&mut [u8]) -> Result<usize, EncryptError>,
) -> Result<(), Error> {
    loop {
        match write(queue.room(bytes)) {
            Ok(count) => {
                queue.filled += count;
                return Ok(());
            }
            Err(EncryptError::InsufficientSize(error)) => bytes = error.required_size + AROUND,
            Err(EncryptError::EncryptExhausted) => return Err(Error::EncryptError),
        }
    }
}
