//! What a process takes: its CPU, and its memory.

use std::fs;
use std::time::Instant;

/// As in C: seconds and nanoseconds.
#[repr(C)]
struct Timespec {
    seconds: i64,
    nanoseconds: i64,
}

unsafe extern "C" {
    fn clock_gettime(clock: i32, time: *mut Timespec) -> i32;
}

/// Seconds of CPU that all threads of a process have had, to the nanosecond.
pub fn cpu_seconds(pid: u32) -> f64 {
    // As clock_getcpuclockid(3) makes the clock's number.
    let clock = !(pid as i32) << 3 | 2;
    let mut time = Timespec {
        seconds: 0,
        nanoseconds: 0,
    };
    // SAFETY: it writes the time where it is told to, and keeps nothing.
    let failed = unsafe { clock_gettime(clock, &mut time) };
    assert_eq!(failed, 0, "the scheduler lives");
    time.seconds as f64 + time.nanoseconds as f64 / 1e9
}

pub struct Meter {
    pid: u32,
    began: Instant,
    cpu_s: f64,
    own_cpu_s: f64,
}

/// Of one stretch of time.
pub struct Stretch {
    pub seconds: f64,
    /// Of the process that is looked at, all its threads.
    pub cpu_s: f64,
    pub own_cpu_s: f64,
}

impl Meter {
    pub fn new(pid: u32) -> Meter {
        Meter {
            pid,
            began: Instant::now(),
            cpu_s: 0.0,
            own_cpu_s: 0.0,
        }
    }

    pub fn begin(&mut self) {
        self.cpu_s = cpu_seconds(self.pid);
        self.own_cpu_s = cpu_seconds(std::process::id());
        self.began = Instant::now();
    }

    pub fn end(&self) -> Stretch {
        Stretch {
            seconds: self.began.elapsed().as_secs_f64(),
            cpu_s: cpu_seconds(self.pid) - self.cpu_s,
            own_cpu_s: cpu_seconds(std::process::id()) - self.own_cpu_s,
        }
    }

    /// Bytes that are the process's own, and its share of what it shares.
    pub fn memory(&self) -> u64 {
        let text = fs::read_to_string(format!("/proc/{}/smaps_rollup", self.pid));
        let text = text.expect("the scheduler lives");
        let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
        let kib = line.and_then(|line| line.split_whitespace().next());
        kib.and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) << 10
    }
}
