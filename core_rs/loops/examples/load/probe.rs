//! How long a message is in the scheduler, as one more client sees it: a thread that asks a question, waits for the
//! answer, and rests as long. An answer comes at the end of the turn that took the question in, like everything else.
//! How much of that time the scheduler had a CPU is told apart.

use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use scaler_loops::channel::{Channel, ChannelEvent};
use scaler_loops::linux::random;
use scaler_wire::{Hello, QueryKind, Role};

use crate::meter::cpu_seconds;

const LEAST_REST: Duration = Duration::from_micros(500);

pub struct Probe {
    times: Arc<Mutex<Vec<(f64, f64)>>>,
    stopped: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

/// Microseconds, ascending: by the clock, and of the scheduler's CPU.
pub struct Times {
    waits: Vec<f64>,
    works: Vec<f64>,
}

impl Times {
    pub fn waits(&self, part: f64) -> f64 {
        quantile(&self.waits, part)
    }

    pub fn works(&self, part: f64) -> f64 {
        quantile(&self.works, part)
    }

    pub fn len(&self) -> usize {
        self.waits.len()
    }
}

fn quantile(times: &[f64], part: f64) -> f64 {
    let at = (times.len() as f64 * part) as usize;
    times[at.min(times.len() - 1)]
}

impl Probe {
    /// `pid`: the scheduler's process.
    pub fn start(socket: &str, pid: u32) -> Probe {
        let (times, stopped) = (Arc::default(), Arc::new(AtomicBool::new(false)));
        let socket = UnixStream::connect(socket).expect("the scheduler listens");
        let (into, until) = (Arc::clone(&times), Arc::clone(&stopped));
        let thread = thread::spawn(move || ask(socket, pid, &into, &until));
        Probe {
            times,
            stopped,
            thread,
        }
    }

    /// Forgets what was measured before.
    pub fn clear(&self) {
        self.times.lock().expect("nobody panics with it").clear();
    }

    /// What was measured since the last time, once there are so many.
    pub fn take(&self, least: usize) -> Times {
        loop {
            let mut times = self.times.lock().expect("nobody panics with it");
            if times.len() >= least {
                let (mut waits, mut works): (Vec<f64>, Vec<f64>) = times.drain(..).unzip();
                waits.sort_by(f64::total_cmp);
                works.sort_by(f64::total_cmp);
                return Times { waits, works };
            }
            drop(times);
            assert!(!self.thread.is_finished(), "the scheduler does not answer");
            thread::sleep(LEAST_REST);
        }
    }

    pub fn stop(self) {
        self.stopped.store(true, Ordering::SeqCst);
        self.thread.join().expect("it ends in peace");
    }
}

fn ask(socket: UnixStream, pid: u32, times: &Mutex<Vec<(f64, f64)>>, stopped: &AtomicBool) {
    let hello = Hello {
        session: random(),
        ..Hello::new(Role::Client)
    };
    let mut channel = Channel::new(hello, random()).expect("a bell");
    channel.attach(socket.into()).expect("a connected socket");
    wait(&mut channel, |event| {
        matches!(event, ChannelEvent::Welcome { .. })
    });
    while !stopped.load(Ordering::SeqCst) {
        let (asked, worked) = (Instant::now(), cpu_seconds(pid));
        let question = channel.query(QueryKind::State, 0);
        channel.flush();
        wait(
            &mut channel,
            |event| matches!(event, ChannelEvent::Answer { request, .. } if *request == question),
        );
        let took = asked.elapsed();
        let worked = cpu_seconds(pid) - worked;
        let both = (took.as_secs_f64() * 1e6, worked * 1e6);
        times.lock().expect("nobody panics with it").push(both);
        thread::sleep(took.max(LEAST_REST));
    }
    channel.goodbye();
    channel.detach();
}

fn wait(channel: &mut Channel, mut over: impl FnMut(&ChannelEvent) -> bool) {
    let waiting = Arc::clone(channel.waiting());
    loop {
        let events = channel.read();
        if events.iter().any(&mut over) {
            return;
        }
        let gone = |event: &ChannelEvent| matches!(event, ChannelEvent::Disconnected);
        assert!(!events.iter().any(gone), "the scheduler is gone");
        waiting.wait(None).expect("a socket that can be waited for");
    }
}
