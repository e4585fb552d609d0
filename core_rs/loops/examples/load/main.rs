//! A load for a scheduler that runs: `load SOCKET PID --nodes N --slots S --clients C --tasks T --queue Q …`.
//!
//! One process holds all sockets and speaks the protocol of nodes and clients over links of the engine. The clients
//! submit `queue` tasks while there are no nodes; the nodes join, are assigned what fills them, and say nothing. Then
//! they answer whatever they have been assigned at once, and the clients submit as much as they get outcomes for, so
//! that `queue` tasks are unfinished until `tasks` have had theirs; that is what is measured. At last all the rest runs
//! to its end, and each task must have had one outcome. Prints one JSON object; `benches/scale.py` reads it.
//!
//! A node says that a task took `busy-us` whatever it took, so that the scheduler places it as such a task.

mod crowd;
mod meter;
mod peers;
mod probe;

use std::time::{Duration, Instant};

use crowd::Crowd;
use meter::Meter;
use peers::Work;
use probe::Probe;

/// All that can be asked for; defaults of a small load.
struct Arguments {
    socket: String,
    /// The scheduler's process.
    pid: u32,
    nodes: u32,
    slots: u32,
    clients: u32,
    tasks: u64,
    queue: u64,
    /// Tasks that end in a second; 0: as fast as it goes.
    rate: u64,
    work: Work,
}

const USAGE: &str =
    "usage: load SOCKET PID [--nodes 10] [--slots 32] [--clients 2] [--tasks 10000] [--queue 1000]
       [--array 64] [--block 64] [--busy-us 1] [--rate 0]

--array: tasks of a submission at most, in blocks of --block (1: each task is a block).
--rate: so many tasks end in a second, one after the other and each at another node; 0: as fast as it goes.";

fn parse() -> Result<Arguments, String> {
    let mut words = std::env::args().skip(1);
    let mut next = |what: &str| words.next().ok_or(format!("{what} is missing\n{USAGE}"));
    let mut arguments = Arguments {
        socket: next("SOCKET")?,
        pid: number(&next("PID")?)? as u32,
        nodes: 10,
        slots: 32,
        clients: 2,
        tasks: 10_000,
        queue: 1_000,
        rate: 0,
        work: Work {
            array: 64,
            block: 64,
            busy_us: 1,
        },
    };
    while let Ok(word) = next("") {
        let value = number(&next(&word)?)?;
        match word.as_str() {
            "--nodes" => arguments.nodes = value as u32,
            "--slots" => arguments.slots = value as u32,
            "--clients" => arguments.clients = value as u32,
            "--tasks" => arguments.tasks = value,
            "--rate" => arguments.rate = value,
            "--queue" => arguments.queue = value,
            "--array" => arguments.work.array = value.max(1),
            "--block" => arguments.work.block = value.max(1) as u32,
            "--busy-us" => arguments.work.busy_us = value,
            _ => return Err(format!("{word} is unknown\n{USAGE}")),
        }
    }
    Ok(arguments)
}

fn number(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("{text} is no number"))
}

/// Nothing moves for so long: something is wrong.
const PATIENCE: Duration = Duration::from_secs(60);

fn main() {
    let arguments = match parse() {
        Ok(arguments) => arguments,
        Err(text) => {
            eprintln!("{text}");
            std::process::exit(2);
        }
    };
    raise_descriptor_limit();
    let mut meter = Meter::new(arguments.pid);
    let probe = Probe::start(&arguments.socket, arguments.pid);
    let idle = probe.take(IDLE_PROBES);
    let mut crowd = Crowd::new(&arguments.socket).expect("a poll");

    // What is queued, without anybody to run it.
    let empty = meter.memory();
    crowd.add_clients(arguments.clients, &arguments);
    until(&mut crowd, Crowd::all_welcome);
    meter.begin();
    crowd.fill();
    until(&mut crowd, Crowd::all_accepted);
    let enqueued = meter.end();
    let filled = meter.memory();
    let mut told: Vec<(&str, f64)> = vec![
        ("queue", arguments.queue as f64),
        ("enqueue_s", enqueued.seconds),
        ("enqueue_cpu_s", enqueued.cpu_s),
        ("empty_bytes", empty as f64),
        ("filled_bytes", filled as f64),
    ];

    if arguments.nodes > 0 {
        crowd.add_nodes(arguments.nodes, &arguments);
        until(&mut crowd, Crowd::all_welcome);
        let full = u64::from(arguments.nodes) * u64::from(arguments.slots);
        let least = arguments.queue.min(full);
        until(&mut crowd, |crowd| crowd.assigned() >= least);
        let joined = meter.memory();
        probe.clear();
        let (read, written) = crowd.frames();
        meter.begin();
        crowd.go(arguments.rate);
        until(&mut crowd, |crowd| crowd.outcomes() >= arguments.tasks);
        let ran = meter.end();
        let frames = crowd.frames();
        let loaded = probe.take(1);
        let held = meter.memory();
        until(&mut crowd, Crowd::all_done);
        crowd.check();
        told.extend([
            ("tasks", arguments.tasks as f64),
            ("run_s", ran.seconds),
            ("cpu_s", ran.cpu_s),
            ("load_cpu_s", ran.own_cpu_s),
            ("joined_bytes", joined as f64),
            ("held_bytes", held as f64),
            ("frames_to_scheduler", (frames.1 - written) as f64),
            ("frames_from_scheduler", (frames.0 - read) as f64),
            ("probes", loaded.len() as f64),
            ("idle_p50_us", idle.waits(0.5)),
            ("p50_us", loaded.waits(0.5)),
            ("p99_us", loaded.waits(0.99)),
            ("works_p50_us", loaded.works(0.5)),
            ("works_p99_us", loaded.works(0.99)),
        ]);
    }
    let told = told
        .iter()
        .map(|(name, value)| format!("\"{name}\": {value}"));
    println!("{{{}}}", told.collect::<Vec<_>>().join(", "));
    crowd.leave();
    probe.stop();
}

/// Questions that are asked before there is any load.
const IDLE_PROBES: usize = 200;

fn until(crowd: &mut Crowd, mut done: impl FnMut(&Crowd) -> bool) {
    let (mut moved, mut at) = (crowd.frames(), Instant::now());
    while !done(crowd) {
        crowd.turn().expect("a poll that works");
        if crowd.frames() != moved {
            (moved, at) = (crowd.frames(), Instant::now());
        }
        assert!(at.elapsed() < PATIENCE, "nothing moves: {}", crowd.state());
    }
}

/// A descriptor a node and client.
fn raise_descriptor_limit() {
    use rustix::process::{getrlimit, setrlimit, Resource};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).expect("up to the maximum anybody may");
}
