//! Loops in threads, and clients of them, over real sockets.
#![allow(dead_code)] // each test file uses its part

pub mod host;

use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use scaler_loops::channel::{Channel, ChannelEvent};
use scaler_loops::engine::acceptor::AcceptorSettings;
use scaler_loops::engine::node::NodeConfig;
use scaler_loops::linux::{monotonic_us, random};
use scaler_loops::node_part::NodeSettings;
use scaler_loops::object_channel::{ObjectChannel, ObjectEvent};
use scaler_loops::reactor::{Reactor, Settings};
use scaler_loops::scheduler_part::{SchedulerConfig, SchedulerSettings};
use scaler_loops::shared::{Listening, Order, Request, Shared};
use scaler_loops::store_part::StoreSettings;
use scaler_loops::wire::{Hello, NodeInfo, Role};

/// Nothing in a test takes so long; a wait for that long is a failure.
pub const LIMIT: Duration = Duration::from_secs(30);

/// A folder that goes with the test.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new() -> Folder {
        let folder = std::env::temp_dir().join(format!("scaler-loops-{:016x}", random()));
        std::fs::create_dir(&folder).unwrap();
        Folder(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A loop in a thread; stopped and joined at the end.
pub struct RunningLoop {
    pub shared: Arc<Shared>,
    thread: Option<JoinHandle<std::io::Result<()>>>,
}

impl RunningLoop {
    pub fn start(settings: Settings) -> RunningLoop {
        let reactor = Reactor::new(settings).unwrap();
        let shared = Arc::clone(reactor.shared());
        let thread = Some(std::thread::spawn(move || reactor.run()));
        RunningLoop { shared, thread }
    }

    pub fn tell(&self, order: Order) {
        self.shared.tell(order).unwrap();
    }

    /// A socket on which `part` listens.
    pub fn listen(&self, part: Listening, folder: &Folder) -> PathBuf {
        let path = folder.0.join(format!("{part:?}.sock"));
        let socket = UnixListener::bind(&path).unwrap().into();
        self.tell(Order::Listen { part, socket });
        path
    }

    /// The next request that `wanted` takes; logs and others before it are dropped.
    pub fn request<T>(&self, wanted: impl Fn(&Request) -> Option<T>) -> T {
        loop {
            match self.shared.next_request(LIMIT) {
                (Some(request), _) => {
                    if let Some(found) = wanted(&request) {
                        return found;
                    }
                }
                (None, ended) => panic!("no such request; the loop has ended: {ended}"),
            }
        }
    }
}

impl RunningLoop {
    pub fn stop(&mut self) {
        let _ = self.shared.tell(Order::Stop);
        let Some(thread) = self.thread.take() else {
            return;
        };
        let ended = thread.join();
        if !std::thread::panicking() {
            ended
                .expect("the loop does not panic")
                .expect("the loop ends well");
        }
    }
}

impl Drop for RunningLoop {
    fn drop(&mut self) {
        self.stop();
    }
}

pub fn store_settings() -> StoreSettings {
    StoreSettings {
        memory_limit: 1 << 30,
        directory: None,
        writes_through: false,
        disk_limit: None,
        session_quota: None,
        acceptor: AcceptorSettings::default(),
        incarnation: random(),
        ticket_key: None,
    }
}

pub fn scheduler_settings() -> SchedulerSettings {
    SchedulerSettings {
        config: SchedulerConfig::default(),
        acceptor: AcceptorSettings::default(),
        incarnation: random(),
        ticket_key: None,
    }
}

pub fn node_settings(slots: u32) -> NodeSettings {
    let name = "node".to_owned();
    NodeSettings {
        config: NodeConfig {
            name: name.clone(),
            slots,
            ..NodeConfig::default()
        },
        info: NodeInfo {
            name,
            slots,
            queue_size: 1_000,
            python_minor: 11,
            ..NodeInfo::default()
        },
        ticket: Vec::new(),
        properties: Vec::new(),
    }
}

pub fn hello(role: Role) -> Hello {
    Hello {
        session: random(),
        ..Hello::new(role)
    }
}

pub fn connect(path: &PathBuf) -> OwnedFd {
    UnixStream::connect(path).unwrap().into()
}

pub fn object_channel(path: &PathBuf) -> (ObjectChannel, u64) {
    object_channel_of(path, random())
}

pub fn object_channel_of(path: &PathBuf, session: u64) -> (ObjectChannel, u64) {
    let hello = Hello {
        session,
        ..hello(Role::Objects)
    };
    let mut channel = ObjectChannel::new(hello, random()).unwrap();
    channel.attach(connect(path)).unwrap();
    (channel, session)
}

/// A client that has been welcomed.
pub fn channel(path: &PathBuf) -> Channel {
    let mut channel = Channel::new(hello(Role::Client), random()).unwrap();
    channel.attach(connect(path)).unwrap();
    let events = events_until(&mut channel, |events| !events.is_empty());
    assert!(
        matches!(events[..], [ChannelEvent::Welcome { resumed: false, .. }]),
        "{events:?}"
    );
    channel
}

fn deadline() -> u64 {
    monotonic_us() + LIMIT.as_micros() as u64
}

/// Reads until an event is what `wanted` takes.
pub fn object_event<T>(
    channel: &mut ObjectChannel,
    wanted: impl Fn(&ObjectEvent) -> Option<T>,
) -> T {
    let end = deadline();
    while monotonic_us() < end {
        for event in channel.read() {
            if let Some(found) = wanted(&event) {
                return found;
            }
        }
        let waiting = Arc::clone(channel.waiting());
        waiting.wait(Some(end)).unwrap();
    }
    panic!("no such event in time");
}

/// All events until `enough` says so.
pub fn events_until(
    channel: &mut Channel,
    mut enough: impl FnMut(&[ChannelEvent]) -> bool,
) -> Vec<ChannelEvent> {
    let end = deadline();
    let mut events = Vec::new();
    while !enough(&events) {
        assert!(monotonic_us() < end, "not in time; so far {events:?}");
        events.extend(channel.read());
        if !enough(&events) {
            let waiting = Arc::clone(channel.waiting());
            waiting.wait(Some(end)).unwrap();
        }
    }
    events
}

/// Bytes that look like chance and are the same each time.
pub fn noise(length: usize) -> Vec<u8> {
    static SEED: AtomicU64 = AtomicU64::new(0x9E37_79B9_7F4A_7C15);
    let mut state = SEED.fetch_add(0x1234_5678_9ABC_DEF1, Ordering::Relaxed);
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}
