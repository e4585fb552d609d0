//! The tcp connections of a listening zmq socket, by what its monitor tells, so that one can be cut.
//!
//! libzmq says which descriptor a connection has (also with every message), and has no call to end one. Shutting the
//! descriptor down is what the peer's disappearance looks like; libzmq does the rest.

use std::collections::HashSet;
use std::io;

use rustix::io::Errno;
use rustix::net::Shutdown;

use crate::libzmq::{second_descriptor, Message, Socket};

/// Of libzmq's events those that are told apart here.
pub const ACCEPTED: u16 = 0x0020;
pub const DISCONNECTED: u16 = 0x0200;
const FAILED_NO_DETAIL: u16 = 0x0800;
const FAILED_AUTH: u16 = 0x4000;

/// A socket's monitor: what happens to its connections.
pub struct Monitor {
    socket: Socket,
    message: Message,
}

impl Monitor {
    /// `socket`: the receiving end of a monitor that is set up.
    pub fn new(socket: Socket) -> Monitor {
        let message = Message::new(socket.library());
        Monitor { socket, message }
    }

    pub fn socket(&self) -> &Socket {
        &self.socket
    }

    /// The next event and its value, mostly a descriptor's number.
    pub fn next_event(&mut self) -> io::Result<Option<(u16, i32)>> {
        if !self.socket.receive(&mut self.message)? {
            return Ok(None);
        }
        let event = match *self.message.bytes() {
            [e0, e1, v0, v1, v2, v3] => (
                u16::from_ne_bytes([e0, e1]),
                i32::from_ne_bytes([v0, v1, v2, v3]),
            ),
            _ => (0, 0),
        };
        while self.message.more() && self.socket.receive(&mut self.message)? {}
        Ok(Some(event))
    }
}

/// What has come and gone.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// Descriptors of connections that ended after they had spoken.
    pub ended: Vec<i32>,
    pub strangers: u64,
}

/// Follows accepted connections. `silent` ones have not had a message yet: among them all that prove nothing.
pub struct RemoteConnections {
    monitor: Monitor,
    port: u16,
    most_silent: usize,
    /// The oldest first; few.
    silent: Vec<i32>,
    speaking: HashSet<i32>,
    /// The connection that ends next has been counted.
    failed: bool,
}

impl RemoteConnections {
    /// `port`: of ours, to which they come.
    pub fn new(monitor: Socket, port: u16, most_silent: usize) -> RemoteConnections {
        RemoteConnections {
            monitor: Monitor::new(monitor),
            port,
            most_silent,
            silent: Vec::new(),
            speaking: HashSet::new(),
            failed: false,
        }
    }

    pub fn monitor(&self) -> &Socket {
        self.monitor.socket()
    }

    /// Reads what has happened, and cuts the oldest of too many that are silent.
    pub fn observe(&mut self) -> io::Result<Observed> {
        let mut observed = Observed::default();
        while let Some((event, value)) = self.monitor.next_event()? {
            self.note(event, value, &mut observed);
        }
        while self.silent.len() > self.most_silent {
            self.cut(self.silent[0]);
        }
        Ok(observed)
    }

    fn note(&mut self, event: u16, value: i32, observed: &mut Observed) {
        match event {
            ACCEPTED => {
                self.silent.retain(|one| *one != value);
                self.silent.push(value);
                self.speaking.remove(&value);
            }
            DISCONNECTED => {
                let failed = std::mem::take(&mut self.failed);
                if self.speaking.remove(&value) {
                    observed.ended.push(value);
                } else if self.forget_silent(value) && !failed {
                    observed.strangers += 1;
                }
            }
            // A handshake that failed, told just before its DISCONNECTED. Refused keys are reported by whoever refuses
            // them; a peer that only looked whether the port is open is none.
            _ => {
                self.failed = true;
                let looked = event == FAILED_NO_DETAIL && value == Errno::PIPE.raw_os_error();
                observed.strangers += u64::from(event != FAILED_AUTH && !looked);
            }
        }
    }

    fn forget_silent(&mut self, descriptor: i32) -> bool {
        let place = self.silent.iter().position(|one| *one == descriptor);
        place.map(|place| self.silent.remove(place)).is_some()
    }

    /// The first message of a peer came by this connection. False when that has ended already.
    pub fn spoke(&mut self, descriptor: i32) -> bool {
        if self.forget_silent(descriptor) {
            self.speaking.insert(descriptor);
            return true;
        }
        self.speaking.contains(&descriptor)
    }

    /// Ends a connection of ours. Its DISCONNECTED comes as if the peer had left.
    pub fn cut(&mut self, descriptor: i32) {
        self.forget_silent(descriptor);
        // The number may have passed to another socket by now: only one at our port is shut down.
        let Ok(found) = second_descriptor(descriptor) else {
            return;
        };
        let ours = rustix::net::getsockname(&found)
            .ok()
            .and_then(|name| std::net::SocketAddr::try_from(name).ok())
            .is_some_and(|name| name.port() == self.port);
        if ours {
            let _ = rustix::net::shutdown(&found, Shutdown::Both);
        }
    }
}
