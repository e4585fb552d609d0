//! The page that an executor shares with its agent (ARCHITECTURE.md, "The shared line").
//!
//! Every access is sequentially consistent: the executor writes `position` and then reads `stop`, the agent writes
//! `stop` and then reads `position`, and each must see the other's word if its own came later.

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use crate::linux::Page;

const POSITION: usize = 0;
const STARTED: usize = 1;
const STOP: usize = 2;
const CANCEL: usize = 3;
const FLUSH: usize = 4;

/// No element is stopped.
pub const NEVER: u64 = u64::MAX;

/// `chunk << 32 | index`.
pub fn position_of(chunk: u32, index: u32) -> u64 {
    u64::from(chunk) << 32 | u64::from(index)
}

pub struct Line(Page);

impl Line {
    pub fn map(file: BorrowedFd<'_>) -> io::Result<Line> {
        Page::map(file).map(Line)
    }

    // The executor's side.

    /// Says that the element at `position` starts; false if it must not, because the agent took it back.
    #[inline]
    pub fn start(&self, position: u64, now_us: u64) -> bool {
        // The time first: who reads position and then time never finds an old time beside a new position.
        self.0.word(STARTED).store(now_us, SeqCst);
        self.0.word(POSITION).store(position, SeqCst);
        position < self.0.word(STOP).load(SeqCst)
    }

    /// What runs now counts as started at this time.
    pub fn restart_clock(&self, now_us: u64) {
        self.0.word(STARTED).store(now_us, SeqCst);
    }

    /// Whether the agent cancels what runs now; says so once.
    pub fn take_cancel(&self) -> bool {
        let position = self.0.word(POSITION).load(SeqCst);
        position != 0
            && self
                .0
                .word(CANCEL)
                .compare_exchange(position, 0, SeqCst, SeqCst)
                .is_ok()
    }

    pub fn flush_count(&self) -> u64 {
        self.0.word(FLUSH).load(SeqCst)
    }

    /// Waits until the flush counter is not `seen`, at most `timeout`; may return early.
    pub fn wait_flush(&self, seen: u64, timeout: Duration) {
        self.0.wait(FLUSH, seen as u32, timeout);
    }

    /// Ends the waits of this process and others, without a request.
    pub fn wake_flush(&self) {
        self.0.wake(FLUSH);
    }

    // The agent's side.

    pub fn position(&self) -> u64 {
        self.0.word(POSITION).load(SeqCst)
    }

    pub fn started_us(&self) -> u64 {
        self.0.word(STARTED).load(SeqCst)
    }

    pub fn stop(&self, at: u64) {
        self.0.word(STOP).store(at, SeqCst);
    }

    pub fn cancel(&self, position: u64) {
        self.0.word(CANCEL).store(position, SeqCst);
    }

    pub fn ask_flush(&self) {
        self.0.word(FLUSH).fetch_add(1, SeqCst);
        self.0.wake(FLUSH);
    }
}
