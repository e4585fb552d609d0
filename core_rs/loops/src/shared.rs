//! Between a loop's thread and the host's other threads: orders in, requests out, and what may be looked at.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use mio::Waker;
use scaler_engine::jobs::{CollectId, JobOutcome, JobParts};
use scaler_engine::manager::{Answer, Call, CallId, Entry, RecordNumber};
use scaler_engine::store::FileDone;
use scaler_wire::{ObjectKey, RefusalCode, Sequence, SessionId};

use crate::line::Line;
use crate::linux::Child;

/// Logs that wait for the host beyond this many are dropped: they are for people, everything else is not.
const MOST_LOGS: usize = 10_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Listening {
    Scheduler,
    Store,
}

/// An outward link of the loop's parts. Scheduler and node of one loop share the one to object storage's address,
/// but each has its own link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outward {
    Scheduler,
    Store,
}

impl Outward {
    pub fn name(self) -> &'static str {
        match self {
            Outward::Scheduler => "scheduler",
            Outward::Store => "store",
        }
    }
}

/// What other threads tell the loop.
#[derive(Debug)]
pub enum Order {
    Listen {
        part: Listening,
        socket: OwnedFd,
    },
    Adopt {
        part: Listening,
        socket: OwnedFd,
        address: String,
    },
    Attach {
        link: Outward,
        socket: OwnedFd,
    },
    ExecutorStarted {
        slot: u32,
        child: Child,
        socket: OwnedFd,
        line: OwnedFd,
    },
    ExecutorFailed {
        slot: u32,
        error: String,
    },
    /// What came from an executor's pipes.
    Output {
        session: SessionId,
        lines: u32,
        dropped: u64,
        payload: Bytes,
    },
    Drain,
    /// The manager's ledger has this record for good.
    ManagerRecorded {
        number: RecordNumber,
    },
    /// What came of a call of the manager's driver.
    ManagerAnswered {
        call: CallId,
        answer: Answer,
    },
    ManagerLeave,
    /// What came of a request for outcomes.
    JobsCollected {
        call: CollectId,
        outcomes: Vec<(String, JobOutcome<Bytes>)>,
    },
    JobsNotCollected {
        call: CollectId,
        text: String,
        retry_after_us: u64,
    },
    StoreFile(FileDone<Bytes>),
    Stop,
}

/// What the loop asks of its host.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    StartExecutor {
        slot: u32,
    },
    Connect {
        link: Outward,
        attempt: u32,
    },
    /// Whether somebody wants what this session's tasks write.
    Listen {
        session: SessionId,
        on: bool,
    },
    Log {
        level: &'static str,
        text: String,
    },
    Exit {
        reason: String,
    },
    /// To be in the manager's ledger, then `ManagerRecorded`.
    Record {
        number: RecordNumber,
        entries: Vec<Entry>,
    },
    /// A hook of the manager's driver is to be called; then `ManagerAnswered`.
    Call {
        id: CallId,
        call: Call,
    },
    /// The manager's process is to start itself anew.
    Restart {
        reason: String,
    },
    /// What the manager will want to start under that id, until it is forgotten.
    Job {
        id: String,
        parts: Box<JobParts<Bytes>>,
    },
    ForgetJob {
        id: String,
    },
    /// An object that jobs refer to, until it is forgotten.
    JobObject {
        key: ObjectKey,
        parts: Vec<Bytes>,
    },
    ForgetJobObject {
        key: ObjectKey,
    },
    /// Outcomes of ended jobs; then `JobsCollected` or `JobsNotCollected`.
    Collect {
        call: CollectId,
        ids: Vec<String>,
    },
    /// The manager is done.
    ManagerExit {
        failed: bool,
        reason: String,
    },
    Refused {
        link: Outward,
        code: RefusalCode,
        text: String,
    },
    Welcome {
        link: Outward,
        cluster: String,
        storage: String,
    },
    /// With which links are to come from now on.
    Ticket {
        ticket: Vec<u8>,
    },
}

/// What runs in a slot, as its shared line says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Running {
    pub slot: u32,
    pub pid: u32,
    pub session: SessionId,
    pub sequence: Sequence,
}

/// An executor as other threads may look at it.
pub(crate) struct SlotView {
    pub pid: u32,
    pub line: Arc<Line>,
    /// (chunk, session, sequence of its first element) of the chunks that it was given last.
    pub chunks: VecDeque<(u32, SessionId, Sequence)>,
}

#[derive(Default)]
struct Requests {
    waiting: VecDeque<Request>,
    logs: usize,
    closed: bool,
}

pub struct Shared {
    waker: Waker,
    /// `None`: the loop has ended.
    orders: Mutex<Option<Vec<Order>>>,
    requests: Mutex<Requests>,
    asked: Condvar,
    pub(crate) slots: Mutex<BTreeMap<u32, SlotView>>,
    pub(crate) counters: Mutex<Counters>,
    node_link: AtomicU64,
}

/// What a loop has done so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counters {
    pub turns: u64,
    pub frames_in: u64,
    pub frames_out: u64,
    pub connections: u64,
    pub executors: u64,
}

impl Shared {
    pub(crate) fn new(waker: Waker) -> Shared {
        Shared {
            waker,
            orders: Mutex::new(Some(Vec::new())),
            requests: Mutex::default(),
            asked: Condvar::new(),
            slots: Mutex::default(),
            counters: Mutex::default(),
            node_link: AtomicU64::new(0),
        }
    }

    /// By which link the scheduler knows this loop's node.
    pub fn node_link(&self) -> u64 {
        self.node_link.load(Ordering::Relaxed)
    }

    pub(crate) fn set_node_link(&self, link: u64) {
        self.node_link.store(link, Ordering::Relaxed);
    }

    /// After the loop's end orders are dropped, and with them the sockets and processes that they bring.
    pub fn tell(&self, order: Order) -> io::Result<()> {
        let dropped = match &mut *lock(&self.orders) {
            Some(orders) => {
                orders.push(order);
                None
            }
            None => Some(order),
        };
        match dropped {
            None => self.waker.wake(),
            Some(_) => Ok(()),
        }
    }

    pub(crate) fn take_orders(&self) -> Vec<Order> {
        lock(&self.orders)
            .as_mut()
            .map(std::mem::take)
            .unwrap_or_default()
    }

    pub fn ask(&self, request: Request) {
        let mut requests = lock(&self.requests);
        if matches!(request, Request::Log { .. }) {
            if requests.logs >= MOST_LOGS {
                return;
            }
            requests.logs += 1;
        }
        requests.waiting.push_back(request);
        self.asked.notify_one();
    }

    /// The loop has ended: nobody waits for more.
    pub(crate) fn close(&self) {
        let left = lock(&self.orders).take();
        drop(left);
        lock(&self.requests).closed = true;
        self.asked.notify_all();
    }

    /// The next request; `None` after the timeout, or when there will be none. The flag tells which: true at the end.
    pub fn next_request(&self, timeout: Duration) -> (Option<Request>, bool) {
        let end = Instant::now() + timeout;
        let mut requests = lock(&self.requests);
        loop {
            if let Some(request) = requests.waiting.pop_front() {
                if matches!(request, Request::Log { .. }) {
                    requests.logs -= 1;
                }
                return (Some(request), false);
            }
            let left = end.saturating_duration_since(Instant::now());
            if requests.closed || left.is_zero() {
                return (None, requests.closed);
            }
            requests = self
                .asked
                .wait_timeout(requests, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// What runs now in each slot.
    pub fn positions(&self) -> Vec<Running> {
        let slots = lock(&self.slots);
        let running = slots.iter().filter_map(|(&slot, view)| {
            let position = view.line.position();
            let chunk = (position >> 32) as u32;
            let (_, session, first) = view.chunks.iter().find(|(number, ..)| *number == chunk)?;
            let sequence = first + (position & u64::from(u32::MAX));
            Some(Running {
                slot,
                pid: view.pid,
                session: *session,
                sequence,
            })
        });
        running.collect()
    }

    pub fn counters(&self) -> Counters {
        *lock(&self.counters)
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
