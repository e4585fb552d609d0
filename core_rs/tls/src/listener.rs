//! The listening end: a thread that accepts connections, does their handshakes, and gives each that has proved itself a
//! bridge; and that answers who asks over CURVE where it listens.
//!
//! Whoever has proved nothing costs a descriptor and some 20 KiB, for five seconds at most, and of those there are only
//! so many: the oldest goes first.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Registry, Token, Waker};
use rustix::net::{RecvFlags, SendFlags};
use rustls::ServerConfig;
use scaler_loops::linux;
use scaler_loops::wire::Codec;
use slab::Slab;

use crate::bridge::{set_options, Bridge};
use crate::dial::WELCOME;
use crate::identity::{self, Pin, Secret};
use crate::introduction::{self, Introduction, QUESTION};
use crate::session::{Received, Session};

/// A connection that has not proved itself by then is closed, as over CURVE.
const HANDSHAKE: Duration = Duration::from_secs(5);
const MOST_SILENT: usize = 512;
const REPORT: Duration = Duration::from_secs(60);
/// Out of descriptors, for example, which passes.
const PAUSE: Duration = Duration::from_millis(100);
/// Accepted in one turn.
const TURN: usize = 64;

const WAKER: Token = Token(usize::MAX);
const LISTENER: Token = Token(usize::MAX - 1);

/// What a listener gives away and tells.
pub trait Host: Clone + Send + 'static {
    /// The loop's end of a new peer's pair, and the peer's host.
    fn adopt(&self, socket: OwnedFd, host: String);
    fn warn(&self, text: String);
}

#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Of what leaves this host.
    pub codec: Codec,
    /// More are refused.
    pub most_peers: usize,
}

/// A listener that runs. Without a socket it only answers that there is no TLS.
pub struct Listener {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    introduction: Introduction,
}

struct Shared {
    waker: Waker,
    /// Peers that came over CURVE: a loop's end of their pair, and their host.
    came: Mutex<Vec<(OwnedFd, String)>>,
    stopping: AtomicBool,
}

impl Listener {
    /// Both secrets are the cluster key's.
    pub fn start(
        socket: Option<TcpListener>,
        server_secret: &Secret,
        client_secret: &Secret,
        settings: Settings,
        host: impl Host,
    ) -> io::Result<Listener> {
        let (config, pin) =
            identity::server(server_secret, client_secret).map_err(io::Error::other)?;
        let port = match &socket {
            Some(socket) => socket.local_addr()?.port(),
            None => 0,
        };
        let poll = Poll::new()?;
        let shared = Arc::new(Shared {
            waker: Waker::new(poll.registry(), WAKER)?,
            came: Mutex::default(),
            stopping: AtomicBool::new(false),
        });
        let introduction = Introduction { port, pin };
        let mut room = Room {
            poll,
            shared: Arc::clone(&shared),
            socket,
            config,
            introduction,
            settings,
            host,
            guests: Slab::new(),
            unproven: 0,
            strangers_came: VecDeque::new(),
            members_came: VecDeque::new(),
            born: 0,
            bridges: Vec::new(),
            strangers: 0,
            reported: None,
            paused: None,
        };
        room.listen()?;
        let thread = std::thread::Builder::new()
            .name(format!("scaler-tls-{port}"))
            .spawn(move || room.run())?;
        Ok(Listener {
            shared,
            thread: Some(thread),
            introduction,
        })
    }

    pub fn port(&self) -> u16 {
        self.introduction.port
    }

    pub fn pin(&self) -> Pin {
        self.introduction.pin
    }

    /// A peer that came over CURVE: if it asks it gets its answer; what else it says is for the loop.
    pub fn introduce(&self, socket: OwnedFd, host: String) -> io::Result<()> {
        lock(&self.shared.came).push((socket, host));
        self.shared.waker.wake()
    }

    /// Ends all connections, after what the loop wrote has left: two seconds at most. May be repeated.
    pub fn stop(&mut self) {
        if let Some(thread) = self.thread.take() {
            self.shared.stopping.store(true, Ordering::SeqCst);
            let _ = self.shared.waker.wake();
            let _ = thread.join();
        }
    }
}

enum Guest {
    /// By tcp, who proves something or goes.
    Stranger {
        socket: OwnedFd,
        session: Box<Session>,
        address: IpAddr,
    },
    /// By CURVE, who may ask.
    Member { socket: OwnedFd, host: String },
}

impl Guest {
    fn socket(&self) -> &OwnedFd {
        match self {
            Guest::Stranger { socket, .. } | Guest::Member { socket, .. } => socket,
        }
    }
}

struct Known {
    guest: Guest,
    birth: u64,
}

/// Who came, the oldest first: their place, which may be another's by now, their birth, their time.
type Came = VecDeque<(usize, u64, Instant)>;

struct Room<H> {
    poll: Poll,
    shared: Arc<Shared>,
    socket: Option<TcpListener>,
    config: Arc<ServerConfig>,
    introduction: Introduction,
    settings: Settings,
    host: H,
    guests: Slab<Known>,
    /// Of `guests`, how many have proved nothing.
    unproven: usize,
    strangers_came: Came,
    members_came: Came,
    born: u64,
    bridges: Vec<Bridge>,
    strangers: u64,
    reported: Option<Instant>,
    /// No connection is accepted until then.
    paused: Option<Instant>,
}

enum Verdict {
    Stays,
    Goes,
    /// Has proved nothing, and goes.
    Stranger,
    /// Has proved itself.
    Member,
    /// The rest is the loop's.
    Loop,
}

impl<H: Host> Room<H> {
    fn listen(&mut self) -> io::Result<()> {
        if let Some(socket) = &self.socket {
            socket.set_nonblocking(true)?;
            let mut source = SourceFd(&socket.as_raw_fd());
            let registry = self.poll.registry();
            registry.register(&mut source, LISTENER, Interest::READABLE)?;
        }
        Ok(())
    }

    fn run(&mut self) {
        let mut events = Events::with_capacity(256);
        while !self.shared.stopping.load(Ordering::SeqCst) {
            let waited = self.poll.poll(&mut events, self.time_left());
            if waited.is_err_and(|error| error.kind() != io::ErrorKind::Interrupted) {
                self.paused = Some(Instant::now() + PAUSE);
            }
            let mut knocks = self.paused.is_some_and(|until| until <= Instant::now());
            for event in &events {
                match event.token() {
                    LISTENER => knocks = true,
                    WAKER => self.meet_members(),
                    Token(place) => self.look(place),
                }
            }
            if knocks {
                self.accept();
            }
            self.keep_house();
        }
        self.bridges.iter().for_each(Bridge::stop);
        self.bridges.iter_mut().for_each(Bridge::join);
    }

    fn time_left(&self) -> Option<Duration> {
        let now = Instant::now();
        let oldest = |came: &Came| came.front().map(|(_, _, since)| *since + HANDSHAKE);
        let (stranger, member) = (oldest(&self.strangers_came), oldest(&self.members_came));
        let report = (self.strangers > 0).then(|| self.reported.map_or(now, |at| at + REPORT));
        let next = [stranger, member, report, self.paused];
        let next = next.into_iter().flatten().min();
        next.map(|at| at.saturating_duration_since(now) + Duration::from_millis(1))
    }

    fn accept(&mut self) {
        self.paused = None;
        for _ in 0..TURN {
            let Some(socket) = &self.socket else {
                return;
            };
            match socket.accept() {
                Ok((socket, address)) => self.meet_stranger(socket, address),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(_) => break,
            }
        }
        // There may be more, of which no event tells.
        self.paused = Some(Instant::now() + PAUSE.min(Duration::from_millis(1)));
    }

    fn meet_stranger(&mut self, socket: TcpStream, address: SocketAddr) {
        let socket = OwnedFd::from(socket);
        let ready =
            linux::set_nonblocking(socket.as_fd()).and_then(|()| set_options(socket.as_fd()));
        let session = Session::server(Arc::clone(&self.config));
        let (Ok(()), Ok(session)) = (ready, session) else {
            return;
        };
        self.keep(Guest::Stranger {
            socket,
            session: Box::new(session),
            address: address.ip().to_canonical(),
        });
    }

    fn meet_members(&mut self) {
        let came = std::mem::take(&mut *lock(&self.shared.came));
        for (socket, host) in came {
            let guest = Guest::Member { socket, host };
            self.keep(guest);
        }
    }

    fn keep(&mut self, guest: Guest) {
        let unproven = matches!(guest, Guest::Stranger { .. });
        while unproven && self.unproven >= MOST_SILENT {
            let oldest = self.strangers_came.pop_front();
            oldest.into_iter().for_each(|one| self.dismiss(one));
        }
        self.born += 1;
        let birth = self.born;
        let entry = self.guests.vacant_entry();
        let place = entry.key();
        let fd = guest.socket().as_raw_fd();
        let registry = self.poll.registry();
        let both = Interest::READABLE | Interest::WRITABLE;
        if registry
            .register(&mut SourceFd(&fd), Token(place), both)
            .is_ok()
        {
            entry.insert(Known { guest, birth });
            self.unproven += usize::from(unproven);
            let came = match unproven {
                true => &mut self.strangers_came,
                false => &mut self.members_came,
            };
            came.push_back((place, birth, Instant::now()));
            self.look(place);
        }
    }

    fn look(&mut self, place: usize) {
        let Some(known) = self.guests.get_mut(place) else {
            return;
        };
        let verdict = match &mut known.guest {
            Guest::Stranger {
                socket, session, ..
            } => advance(session, socket),
            Guest::Member { socket, .. } => answer(socket, &self.introduction),
        };
        match verdict {
            Verdict::Stays => {}
            Verdict::Goes => drop(self.take(place)),
            Verdict::Stranger => {
                self.strangers += 1;
                drop(self.take(place));
            }
            Verdict::Member | Verdict::Loop => {
                let guest = self.take(place);
                self.let_in(guest);
            }
        }
    }

    fn take(&mut self, place: usize) -> Guest {
        let guest = self.guests.remove(place).guest;
        forget(self.poll.registry(), guest.socket());
        self.unproven -= usize::from(matches!(guest, Guest::Stranger { .. }));
        guest
    }

    fn let_in(&mut self, guest: Guest) {
        let (socket, session, address) = match guest {
            Guest::Member { socket, host } => return self.host.adopt(socket, host),
            Guest::Stranger {
                socket,
                session,
                address,
            } => (socket, session, address),
        };
        let port = self.introduction.port;
        self.bridges.retain(|bridge| !bridge.is_over());
        if self.bridges.len() >= self.settings.most_peers {
            let count = self.bridges.len();
            return self.host.warn(format!(
                "TLS port {port}: refused a peer from {address}: {count} are connected"
            ));
        }
        let codec = match address.is_loopback() {
            true => Codec::Off,
            false => self.settings.codec,
        };
        let (host, whose) = (self.host.clone(), address);
        let ended = move |text| {
            host.warn(format!(
                "TLS port {port}: ended the connection of a peer from {whose}: {text}"
            ));
        };
        match Bridge::start(*session, socket, codec, &[], ended) {
            Ok((bridge, pair)) => {
                self.bridges.push(bridge);
                self.host.adopt(pair, address.to_string());
            }
            Err(error) => self.host.warn(format!(
                "TLS port {port}: refused a peer from {address}: {error}"
            )),
        }
    }

    fn is_here(&self, place: usize, birth: u64) -> bool {
        self.guests.get(place).is_some_and(|it| it.birth == birth)
    }

    fn dismiss(&mut self, (place, birth, _): (usize, u64, Instant)) {
        if !self.is_here(place, birth) {
            return;
        }
        match self.take(place) {
            Guest::Stranger { .. } => self.strangers += 1,
            // Says nothing yet; the loop has patience of its own.
            guest => self.let_in(guest),
        }
    }

    /// The oldest of those that came, if it is gone or has had its time.
    fn overdue(&mut self, members: bool, now: Instant) -> Option<(usize, u64, Instant)> {
        let came = match members {
            true => &self.members_came,
            false => &self.strangers_came,
        };
        let (place, birth, since) = *came.front()?;
        let young = now.saturating_duration_since(since) < HANDSHAKE;
        if young && self.is_here(place, birth) {
            return None;
        }
        match members {
            true => self.members_came.pop_front(),
            false => self.strangers_came.pop_front(),
        }
    }

    fn keep_house(&mut self) {
        let now = Instant::now();
        for members in [false, true] {
            while let Some(oldest) = self.overdue(members, now) {
                self.dismiss(oldest);
            }
        }
        let due = self.reported.is_none_or(|at| now >= at + REPORT);
        if self.strangers > 0 && due {
            let (port, count) = (self.introduction.port, self.strangers);
            self.host.warn(format!(
                "TLS port {port}: refused {count} connection(s) of unknown peers: no key, a wrong one, or no scaler at all"
            ));
            (self.strangers, self.reported) = (0, Some(now));
        }
    }
}

/// A step of the handshake.
fn advance(session: &mut Session, socket: &OwnedFd) -> Verdict {
    loop {
        match session.receive(socket.as_fd()) {
            Ok(Received::Nothing) => break,
            Ok(Received::Bytes) => {}
            // Whoever only looks whether a port is open is no stranger; who said something wrong was one before.
            Ok(Received::End) => return Verdict::Goes,
            Err(_) => return Verdict::Stranger,
        }
        let processed = session.process(|_| Err(rustls::Error::HandshakeNotComplete));
        if processed.is_err() {
            let _ = session.send(socket.as_fd());
            return Verdict::Stranger;
        }
        if session.is_established() {
            return match session.encrypt(&WELCOME) {
                Ok(()) => Verdict::Member,
                Err(_) => Verdict::Stranger,
            };
        }
    }
    match session.send(socket.as_fd()) {
        Ok(_) => Verdict::Stays,
        Err(_) => Verdict::Goes,
    }
}

/// Looks at what a member says first, and leaves it there unless it is the question.
fn answer(socket: &OwnedFd, introduction: &Introduction) -> Verdict {
    let mut bytes = [0; QUESTION];
    let flags = RecvFlags::DONTWAIT | RecvFlags::PEEK;
    let count = match rustix::net::recv(socket, &mut bytes[..], flags) {
        Ok((_, 0)) => return Verdict::Goes,
        Ok((_, count)) => count,
        Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => return Verdict::Stays,
        Err(_) => return Verdict::Goes,
    };
    match introduction::asks(&bytes[..count]) {
        None => return Verdict::Stays,
        Some(false) => return Verdict::Loop,
        Some(true) => {}
    }
    let _ = rustix::net::recv(socket, &mut bytes[..], RecvFlags::DONTWAIT);
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    match rustix::net::send(socket, &introduction.answer(), flags) {
        // One that asks twice is the loop's to refuse.
        Ok(_) => Verdict::Loop,
        Err(_) => Verdict::Goes,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn forget(registry: &Registry, socket: &OwnedFd) {
    let _ = registry.deregister(&mut SourceFd(&socket.as_raw_fd()));
}
