//! The bridge of a listening part: remote peers on one side, one socketpair each for the loop on the other.
//!
//! Whoever drives it waits for both sides and never spins. In each turn it first passes on what the loop wrote, then
//! empties the zmq sockets: these are edge-triggered, and any call on them may take away the signal that more has come.

use std::collections::HashMap;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::atomic::{
    AtomicBool,
    Ordering::{Relaxed, SeqCst},
};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::event::Timespec;
use scaler_wire::Codec;
use slab::Slab;

use crate::libzmq::{Message, Socket};
use crate::linux::Bell;
use crate::remote_connections::RemoteConnections;
use crate::remote_pair::{codec_to, Pair, END};
use crate::shared::lock;

/// Messages in one turn, so that neither side starves the other.
const TURN_MESSAGES: usize = 1_024;
const EVENTS: usize = 128;
/// How long a peer whose conversation is over may keep its connection.
const LEAVE: Duration = Duration::from_secs(2);
const HOUSEKEEPING: Duration = Duration::from_secs(1);

/// In the place of a peer's number.
const ROUTER: u64 = u64::MAX;
const MONITOR: u64 = u64::MAX - 1;
const BELL: u64 = u64::MAX - 2;

/// What whoever drives the bridge hears.
#[derive(Debug)]
pub enum News {
    /// A new peer: the loop's end of its pair, and the host that it comes from.
    Peer(OwnedFd, String),
    Warning(String),
    /// So many came and went without proving anything.
    Strangers(u64),
}

/// One connection of a remote peer.
struct Peer {
    routing: Box<[u8]>,
    descriptor: i32,
    host: String,
    /// `None` once its conversation is over.
    pair: Option<Pair>,
    over_since: Instant,
    /// Watched for room in the pair.
    writable: bool,
    /// Has something for the loop, or has left, since the last look.
    touched: bool,
    /// The remote side has gone: ends when the loop has taken what came before.
    leaving: bool,
}

pub struct RouterSettings {
    pub codec: Codec,
    /// That is bound.
    pub port: u16,
    pub most_peers: usize,
    pub most_silent: usize,
}

pub struct RouterBridge {
    router: Socket,
    connections: RemoteConnections,
    settings: RouterSettings,
    epoll: OwnedFd,
    peers: Slab<Peer>,
    by_routing: HashMap<Box<[u8]>, usize>,
    by_descriptor: HashMap<i32, usize>,
    touched: Vec<usize>,
    /// Have left, with something perhaps still unread.
    departed: Vec<usize>,
    routing: Message,
    message: Message,
    scratch: Vec<u8>,
    /// There may be more to read at once.
    more: bool,
    housekeeping: Instant,
}

impl RouterBridge {
    /// `router`: bound. `monitor`: of it, from before the bind.
    pub fn new(
        router: Socket,
        monitor: Socket,
        settings: RouterSettings,
        port: &RouterPort,
    ) -> io::Result<RouterBridge> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        for (descriptor, number) in [
            (router.descriptor()?, ROUTER),
            (monitor.descriptor()?, MONITOR),
            (port.stop.fd(), BELL),
        ] {
            epoll::add(
                &epoll,
                descriptor,
                EventData::new_u64(number),
                EventFlags::IN,
            )?;
        }
        let library = router.library();
        Ok(RouterBridge {
            router,
            connections: RemoteConnections::new(monitor, settings.port, settings.most_silent),
            settings,
            epoll,
            peers: Slab::new(),
            by_routing: HashMap::new(),
            by_descriptor: HashMap::new(),
            touched: Vec::new(),
            departed: Vec::new(),
            routing: Message::new(library),
            message: Message::new(library),
            scratch: Vec::new(),
            more: true,
            // A socket that was never read in vain gives no signal: so the first turn looks at all of them.
            housekeeping: Instant::now(),
        })
    }

    /// Whether nobody else may come.
    pub fn is_full(&self) -> bool {
        self.peers.len() >= self.settings.most_peers
    }

    /// Waits for something to do, a second at most, and does it.
    pub fn turn(&mut self, news: &mut Vec<News>) -> io::Result<()> {
        let look = self.wait()?;
        let now = Instant::now();
        let housekeeping = now >= self.housekeeping;
        if housekeeping {
            self.housekeeping = now + HOUSEKEEPING;
            self.keep_house(now);
        }
        // Of the monitor only these calls here ever take anything, so its signal stays until then.
        if look || housekeeping {
            self.observe(news)?;
        }
        self.take_received(news)
    }

    /// Passes on what the loop has written. Whether the monitor has something to say.
    fn wait(&mut self) -> io::Result<bool> {
        let timeout = Timespec {
            tv_sec: if self.more {
                0
            } else {
                HOUSEKEEPING.as_secs() as i64
            },
            tv_nsec: 0,
        };
        let mut room = [MaybeUninit::uninit(); EVENTS];
        let events = match epoll::wait(&self.epoll, &mut room, Some(&timeout)) {
            Ok((events, _)) => events,
            Err(rustix::io::Errno::INTR) => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        let mut look = false;
        for event in events {
            match event.data.u64() {
                MONITOR => look = true,
                ROUTER | BELL => {}
                number => self.take_written(number as usize, event.flags)?,
            }
        }
        Ok(look)
    }

    // From the loop to remote peers.

    fn take_written(&mut self, number: usize, flags: EventFlags) -> io::Result<()> {
        if flags.contains(EventFlags::OUT) && self.peers.contains(number) {
            self.settle(number)?;
        }
        let readable = EventFlags::IN | EventFlags::HUP | EventFlags::ERR;
        let Some(peer) = self.peers.get_mut(number) else {
            return Ok(());
        };
        let Some(pair) = peer.pair.as_mut().filter(|_| flags.intersects(readable)) else {
            return Ok(());
        };
        let (router, routing) = (&self.router, &peer.routing);
        let open = pair.read(&mut self.scratch, |message| send(router, routing, message))?;
        if !open {
            self.say_end(number)?;
        }
        Ok(())
    }

    /// The loop's side is over, and the peer hears of it.
    fn say_end(&mut self, number: usize) -> io::Result<()> {
        send(&self.router, &self.peers[number].routing, END)?;
        self.end(number);
        Ok(())
    }

    // From remote peers to the loop.

    fn take_received(&mut self, news: &mut Vec<News>) -> io::Result<()> {
        self.more = self.receive(news)?;
        if !self.more {
            // All that came before they went has been read now.
            for number in std::mem::take(&mut self.departed) {
                if let Some(peer) = self.peers.get_mut(number) {
                    peer.leaving = true;
                    self.touch(number);
                }
            }
        }
        for number in std::mem::take(&mut self.touched) {
            if let Some(peer) = self.peers.get_mut(number) {
                peer.touched = false;
                self.settle(number)?;
            }
        }
        Ok(())
    }

    fn observe(&mut self, news: &mut Vec<News>) -> io::Result<()> {
        let observed = self.connections.observe()?;
        for descriptor in observed.ended {
            self.departed.extend(self.by_descriptor.remove(&descriptor));
        }
        if observed.strangers > 0 {
            news.push(News::Strangers(observed.strangers));
        }
        Ok(())
    }

    /// Whether a turn's messages were not all.
    fn receive(&mut self, news: &mut Vec<News>) -> io::Result<bool> {
        for _ in 0..TURN_MESSAGES {
            if !self.router.readable()? || !self.router.receive(&mut self.routing)? {
                return Ok(false);
            }
            if !self.router.receive(&mut self.message)? {
                return Ok(false);
            }
            let number = match self.by_routing.get(self.routing.bytes()) {
                Some(number) => Some(*number),
                None => self.meet(news)?,
            };
            let single = !self.message.more();
            let pair = number.and_then(|number| self.peers[number].pair.as_mut());
            let delivered = pair.map(|pair| single && pair.deliver(&mut self.message));
            if !single {
                while self.router.receive(&mut self.message)? && self.message.more() {}
            }
            match (number, delivered) {
                (Some(number), Some(true)) => self.touch(number),
                (Some(number), Some(false)) => self.refuse(number, news),
                _ => {}
            }
        }
        Ok(true)
    }

    fn touch(&mut self, number: usize) {
        if !std::mem::replace(&mut self.peers[number].touched, true) {
            self.touched.push(number);
        }
    }

    /// The first message of a connection; `None` when that has ended meanwhile, or may not be.
    fn meet(&mut self, news: &mut Vec<News>) -> io::Result<Option<usize>> {
        let (descriptor, host) = (self.message.source(), self.message.peer_address());
        // Its beginning is in the monitor before its first message is here: so the books are right after this.
        self.observe(news)?;
        if !self.connections.spoke(descriptor) {
            return Ok(None);
        }
        self.departed.extend(self.by_descriptor.remove(&descriptor));
        let pair = match self.is_full() {
            true => Err(format!("{} are connected", self.peers.len())),
            false => self.pair_for(&host).map_err(|error| error.to_string()),
        };
        let (pair, other) = match pair {
            Ok(pair) => pair,
            Err(why) => {
                news.push(News::Warning(format!("refused a peer from {host}: {why}")));
                self.connections.cut(descriptor);
                return Ok(None);
            }
        };
        let routing: Box<[u8]> = self.routing.bytes().into();
        let data = EventData::new_u64(self.peers.vacant_key() as u64);
        epoll::add(&self.epoll, pair.descriptor(), data, EventFlags::IN)?;
        let number = self.peers.insert(Peer {
            routing: routing.clone(),
            descriptor,
            host: host.clone(),
            pair: Some(pair),
            over_since: Instant::now(),
            writable: false,
            touched: false,
            leaving: false,
        });
        self.by_routing.insert(routing, number);
        self.by_descriptor.insert(descriptor, number);
        news.push(News::Peer(other, host));
        Ok(Some(number))
    }

    fn pair_for(&self, host: &str) -> io::Result<(Pair, OwnedFd)> {
        Pair::new(codec_to(host, self.settings.codec))
    }

    fn refuse(&mut self, number: usize, news: &mut Vec<News>) {
        let peer = &self.peers[number];
        let (host, descriptor) = (&peer.host, peer.descriptor);
        news.push(News::Warning(format!(
            "ended the connection of a peer from {host}: what it sent is no frame"
        )));
        self.end(number);
        self.connections.cut(descriptor);
    }

    /// Writes what waits for the loop; ends what is over.
    fn settle(&mut self, number: usize) -> io::Result<()> {
        let peer = &mut self.peers[number];
        if let Some(pair) = &mut peer.pair {
            if !pair.flush() {
                self.say_end(number)?;
            } else {
                if pair.unsent() != peer.writable {
                    peer.writable = pair.unsent();
                    let room = match peer.writable {
                        true => EventFlags::OUT,
                        false => EventFlags::empty(),
                    };
                    let data = EventData::new_u64(number as u64);
                    epoll::modify(&self.epoll, pair.descriptor(), data, EventFlags::IN | room)?;
                }
                if peer.leaving && !pair.unsent() {
                    self.end(number);
                }
            }
        }
        let peer = &self.peers[number];
        if peer.leaving && peer.pair.is_none() {
            self.by_routing.remove(&peer.routing);
            self.peers.remove(number);
        }
        Ok(())
    }

    /// The loop's side is over. The peer stays known, and unheard, until its connection ends.
    fn end(&mut self, number: usize) {
        let peer = &mut self.peers[number];
        if let Some(pair) = peer.pair.take() {
            let _ = epoll::delete(&self.epoll, pair.descriptor());
            peer.over_since = Instant::now();
            self.touch(number);
        }
    }

    fn keep_house(&mut self, now: Instant) {
        for (_, peer) in &mut self.peers {
            let over = peer.pair.is_none() && !peer.leaving;
            if over && now.duration_since(peer.over_since) > LEAVE {
                peer.over_since = now;
                self.connections.cut(peer.descriptor);
            }
        }
    }

    /// What the loop has written leaves, and all conversations are over.
    pub fn finish(&mut self) -> io::Result<()> {
        for (_, peer) in &mut self.peers {
            if let Some(mut pair) = peer.pair.take() {
                let (router, routing) = (&self.router, &peer.routing);
                pair.drain(&mut self.scratch, |message| send(router, routing, message))?;
                send(router, routing, END)?;
            }
        }
        Ok(())
    }
}

/// What others than the thread that runs a bridge have of it.
pub struct RouterPort {
    stop: Bell,
    stopped: AtomicBool,
    full: AtomicBool,
    over: AtomicBool,
    news: Mutex<Vec<News>>,
    told: Bell,
}

impl RouterPort {
    pub fn new() -> io::Result<RouterPort> {
        Ok(RouterPort {
            stop: Bell::new()?,
            stopped: AtomicBool::new(false),
            full: AtomicBool::new(false),
            over: AtomicBool::new(false),
            news: Mutex::default(),
            told: Bell::new()?,
        })
    }

    /// Makes `run` return, after what was written has been sent.
    pub fn stop(&self) {
        self.stopped.store(true, SeqCst);
        self.stop.ring();
    }

    /// Readable when there is news, and at the end.
    pub fn told(&self) -> BorrowedFd<'_> {
        self.told.fd()
    }

    /// What is new since the last call; `None` once the bridge has ended and all was heard.
    pub fn take_news(&self) -> Option<Vec<News>> {
        let over = self.over.load(SeqCst);
        self.told.silence();
        let news = std::mem::take(&mut *lock(&self.news));
        (!over || !news.is_empty()).then_some(news)
    }

    /// Whether nobody else may come.
    pub fn is_full(&self) -> bool {
        self.full.load(Relaxed)
    }

    /// Carries messages until `stop`.
    pub fn run(&self, mut bridge: RouterBridge) -> io::Result<()> {
        let _over = Over(self);
        let mut news = Vec::new();
        while !self.stopped.load(SeqCst) {
            bridge.turn(&mut news)?;
            self.full.store(bridge.is_full(), Relaxed);
            if !news.is_empty() {
                lock(&self.news).append(&mut news);
                self.told.ring();
            }
        }
        bridge.finish()
    }
}

/// Tells whoever waits for news that no more will come, however the bridge ends.
struct Over<'a>(&'a RouterPort);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.over.store(true, SeqCst);
        self.0.told.ring();
    }
}

/// Nothing is said to a peer that has gone: its DISCONNECTED follows. With neither high-water mark nor memory there is
/// nothing to wait for.
fn send(router: &Socket, routing: &[u8], message: &[u8]) -> io::Result<()> {
    let sent = router
        .send(routing, true)
        .and_then(|()| router.send(message, false));
    match sent {
        Err(error) if !gone(&error) => Err(error),
        _ => Ok(()),
    }
}

fn gone(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::HostUnreachable | io::ErrorKind::WouldBlock
    )
}
