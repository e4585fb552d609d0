//! Scheduler, node, executors and clients over real sockets.

mod harness;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{channel as pipe, Receiver, Sender};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use harness::host::{Host, Work};
use harness::{
    channel, events_until, node_settings, noise, scheduler_settings, Folder, RunningLoop, LIMIT,
};
use scaler_loops::channel::{Channel, ChannelEvent};
use scaler_loops::reactor::Settings;
use scaler_loops::shared::{Listening, Order};
use scaler_loops::table;
use scaler_loops::wire::{Options, OutcomeKind, Segment};

struct Cluster {
    // Dropped in this order: a loop before its host.
    loops: Vec<RunningLoop>,
    hosts: Vec<Host>,
    path: PathBuf,
    _folder: Folder,
}

impl Cluster {
    /// Scheduler and node in one loop.
    fn together(work: Work) -> Cluster {
        let folder = Folder::new();
        let both = RunningLoop::start(Settings {
            scheduler: Some(scheduler_settings()),
            node: Some(node_settings(2)),
            ..Settings::default()
        });
        let host = Host::serve(&both.shared, None, work);
        let path = both.listen(Listening::Scheduler, &folder);
        Cluster {
            loops: vec![both],
            hosts: vec![host],
            path,
            _folder: folder,
        }
    }

    /// Each in a loop of its own, a socket between them.
    fn apart(work: Work) -> Cluster {
        let folder = Folder::new();
        let scheduler = RunningLoop::start(Settings {
            scheduler: Some(scheduler_settings()),
            ..Settings::default()
        });
        let path = scheduler.listen(Listening::Scheduler, &folder);
        let own = Host::serve(&scheduler.shared, None, quiet());
        let node = RunningLoop::start(Settings {
            node: Some(node_settings(2)),
            ..Settings::default()
        });
        let host = Host::serve(&node.shared, Some(path.clone()), work);
        Cluster {
            loops: vec![node, scheduler],
            hosts: vec![host, own],
            path,
            _folder: folder,
        }
    }
}

fn quiet() -> Work {
    Arc::new(|_, _| {})
}

/// Submits elements whose values are their arguments.
fn submit(channel: &mut Channel, first: u64, blobs: &[Vec<u8>]) {
    let function = channel.function(Bytes::from_static(b"identity"));
    let blobs: Vec<&[u8]> = blobs.iter().map(Vec::as_slice).collect();
    channel.submit_many(function, Options::default(), first, &blobs);
    channel.flush();
}

fn numbered(count: usize) -> Vec<Vec<u8>> {
    (0..count)
        .map(|number| number.to_string().into_bytes())
        .collect()
}

fn segments(events: &[ChannelEvent]) -> impl Iterator<Item = &Segment<Bytes>> {
    events.iter().flat_map(|event| match event {
        ChannelEvent::Results(segments) => segments.as_slice(),
        _ => &[],
    })
}

fn outcomes(events: &[ChannelEvent]) -> u64 {
    segments(events)
        .map(|segment| u64::from(segment.count) - segment.except.len() as u64)
        .sum()
}

/// Value of each element; panics where one has two outcomes, or another outcome than a value.
fn values(events: &[ChannelEvent]) -> BTreeMap<u64, Vec<u8>> {
    let mut values = BTreeMap::new();
    for segment in segments(events) {
        let payload = &segment.payload;
        let ends = match segment.kind {
            OutcomeKind::ValueTable => table::ends(payload, segment.count as usize).unwrap(),
            other => panic!("{other:?} {:?}", segment.failure),
        };
        for (offset, pair) in ends.windows(2).enumerate() {
            if !segment.except.contains(&(offset as u32)) {
                let before = values.insert(
                    segment.first + offset as u64,
                    payload[pair[0]..pair[1]].to_vec(),
                );
                assert!(before.is_none(), "two outcomes");
            }
        }
    }
    values
}

fn results(channel: &mut Channel, first: u64, blobs: &[Vec<u8>]) {
    submit(channel, first, blobs);
    let wanted = blobs.len() as u64;
    let events = events_until(channel, |events| outcomes(events) >= wanted);
    let values = values(&events);
    assert!(values.keys().copied().eq(first..first + wanted));
    assert!(values.values().eq(blobs.iter()));
}

fn serves(cluster: &Cluster) {
    let mut client = channel(&cluster.path);
    results(&mut client, 0, &numbered(1));
    results(&mut client, 1, &numbered(20_000));
    results(
        &mut client,
        20_001,
        &[noise(300_000), noise(2 << 20), noise(1)],
    );
    client.goodbye();
    client.detach();
}

#[test]
fn scheduler_and_node_in_one_loop_serve_clients() {
    serves(&Cluster::together(quiet()));
}

#[test]
fn scheduler_and_node_over_a_socket_serve_clients() {
    serves(&Cluster::apart(quiet()));
}

/// Work that stops at the element `at` until it is let go, once.
fn gate(at: &'static [u8]) -> (Work, Receiver<u32>, Sender<()>) {
    let (reached, arrived) = pipe();
    let (let_go, waiting) = pipe();
    let (reached, waiting) = (Mutex::new(reached), Mutex::new(waiting));
    let shut = AtomicBool::new(true);
    let work: Work = Arc::new(move |executor, element| {
        if element == at && shut.swap(false, Ordering::SeqCst) {
            let _ = reached.lock().unwrap().send(executor.pid);
            let _ = waiting.lock().unwrap().recv_timeout(LIMIT);
        }
    });
    (work, arrived, let_go)
}

fn kill(pid: u32) {
    let pid = rustix::process::Pid::from_raw(pid as i32).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

#[test]
fn an_executor_that_dies_loses_nothing() {
    let (work, arrived, let_go) = gate(b"700");
    let cluster = Cluster::together(work);
    let mut client = channel(&cluster.path);
    let blobs = numbered(2_000);
    submit(&mut client, 0, &blobs);
    kill(arrived.recv_timeout(LIMIT).unwrap());
    let events = events_until(&mut client, |events| outcomes(events) >= 2_000);
    assert!(values(&events).values().eq(blobs.iter()));
    let_go.send(()).unwrap();
}

#[test]
fn a_client_whose_socket_breaks_gets_each_outcome_once() {
    let cluster = Cluster::apart(quiet());
    let mut client = channel(&cluster.path);
    let blobs = numbered(50_000);
    let mut events = Vec::new();
    for (at, part) in blobs.chunks(5_000).enumerate() {
        submit(&mut client, at as u64 * 5_000, part);
        client.detach();
        client.attach(harness::connect(&cluster.path)).unwrap();
        events.extend(client.read());
    }
    let so_far = outcomes(&events);
    events.extend(events_until(&mut client, |events| {
        outcomes(events) + so_far >= 50_000
    }));
    assert!(values(&events).values().eq(blobs.iter()));
}

#[test]
fn a_client_that_does_not_read_does_not_block_others() {
    let cluster = Cluster::together(quiet());
    let mut deaf = channel(&cluster.path);
    // 40 MB of results that nobody takes.
    let blobs: Vec<Vec<u8>> = (0..40).map(|_| noise(1_000_000)).collect();
    submit(&mut deaf, 0, &blobs);
    let mut honest = channel(&cluster.path);
    results(&mut honest, 0, &numbered(5_000));
    let events = events_until(&mut deaf, |events| outcomes(events) >= 40);
    assert!(values(&events).values().eq(blobs.iter()));
}

#[test]
fn a_cancelled_element_has_that_outcome_and_its_neighbours_their_values() {
    let (work, arrived, let_go) = gate(b"0");
    let cluster = Cluster::together(work);
    let mut client = channel(&cluster.path);
    submit(&mut client, 0, &numbered(10_000));
    arrived.recv_timeout(LIMIT).unwrap();
    client.cancel(9_990, 10);
    client.flush();
    // The other executor's values come meanwhile.
    let cancelled = |events: &[ChannelEvent]| -> u64 {
        segments(events)
            .filter(|segment| segment.kind == OutcomeKind::Cancelled)
            .map(|segment| u64::from(segment.count))
            .sum()
    };
    let events = events_until(&mut client, |events| cancelled(events) >= 10);
    assert_eq!(cancelled(&events), 10);
    let_go.send(()).unwrap();
    let so_far = outcomes(&events);
    events_until(&mut client, |events| outcomes(events) + so_far >= 10_000);
}

#[test]
fn a_drained_node_says_so_when_its_work_is_done() {
    let cluster = Cluster::apart(quiet());
    let mut client = channel(&cluster.path);
    results(&mut client, 0, &numbered(100));
    cluster.loops[0].tell(Order::Drain);
    let end = std::time::Instant::now() + LIMIT;
    while cluster.hosts[0].exits.lock().unwrap().is_empty() {
        assert!(std::time::Instant::now() < end, "no exit");
        std::thread::yield_now();
    }
    let pids: Vec<u32> = cluster.hosts[0]
        .pids
        .lock()
        .unwrap()
        .values()
        .copied()
        .collect();
    assert!(!pids.is_empty());
    for pid in pids {
        assert!(
            !std::path::Path::new(&format!("/proc/{pid}")).exists(),
            "an executor is left"
        );
    }
}

#[test]
fn a_loop_that_stops_leaves_no_executor() {
    let cluster = Cluster::together(quiet());
    serves(&cluster);
    let pids = Arc::clone(&cluster.hosts[0].pids);
    drop(cluster);
    for pid in pids.lock().unwrap().values() {
        assert!(
            !std::path::Path::new(&format!("/proc/{pid}")).exists(),
            "an executor is left"
        );
    }
}
