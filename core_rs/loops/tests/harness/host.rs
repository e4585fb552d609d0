//! A node's host and its executors: a thread that speaks the protocol beside a process that can be killed.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use scaler_loops::linux::{memory_file, monotonic_us, Child};
use scaler_loops::port::{Order as Task, Port, Received};
use scaler_loops::shared::{Order, Outward, Request, Shared};
use scaler_loops::table;
use scaler_loops::wire::{Chunk, ChunkResult, Form, Message, OutcomeKind};

/// What a fake executor does with an element before it gives it back.
pub type Work = Arc<dyn Fn(&Executor, &[u8]) + Send + Sync>;

pub struct Executor {
    pub pid: u32,
    pub ran: Arc<AtomicU64>,
}

/// Answers a loop's requests until the loop has ended.
pub struct Host {
    thread: Option<JoinHandle<()>>,
    /// Process of each slot.
    pub pids: Arc<Mutex<BTreeMap<u32, u32>>>,
    /// Elements that ran.
    pub ran: Arc<AtomicU64>,
    /// Reasons that the loop gave for its end.
    pub exits: Arc<Mutex<Vec<String>>>,
}

impl Host {
    /// `scheduler`: the socket to connect to, where the loop asks for that.
    pub fn serve(shared: &Arc<Shared>, scheduler: Option<PathBuf>, work: Work) -> Host {
        let (pids, ran, exits) = (Arc::default(), Arc::default(), Arc::default());
        let mut serving = Serving {
            shared: Arc::clone(shared),
            scheduler,
            work,
            pids: Arc::clone(&pids),
            ran: Arc::clone(&ran),
            exits: Arc::clone(&exits),
            executors: Vec::new(),
        };
        let thread = Some(std::thread::spawn(move || serving.run()));
        Host {
            thread,
            pids,
            ran,
            exits,
        }
    }

    pub fn ran(&self) -> u64 {
        self.ran.load(Ordering::SeqCst)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // The loop is stopped before its host.
        let ended = self.thread.take().expect("it runs").join();
        if !std::thread::panicking() {
            ended.expect("the host does not panic");
        }
    }
}

struct Serving {
    shared: Arc<Shared>,
    scheduler: Option<PathBuf>,
    work: Work,
    pids: Arc<Mutex<BTreeMap<u32, u32>>>,
    ran: Arc<AtomicU64>,
    exits: Arc<Mutex<Vec<String>>>,
    executors: Vec<JoinHandle<()>>,
}

impl Serving {
    fn run(&mut self) {
        loop {
            match self.shared.next_request(Duration::from_secs(1)) {
                (Some(Request::StartExecutor { slot }), _) => self.start(slot),
                (
                    Some(Request::Connect {
                        link: Outward::Scheduler,
                        ..
                    }),
                    _,
                ) => self.connect(),
                (Some(Request::Exit { reason }), _) => self.exits.lock().unwrap().push(reason),
                (Some(_), _) | (None, false) => {}
                (None, true) => break,
            }
        }
        for executor in self.executors.drain(..) {
            executor.join().expect("an executor does not panic");
        }
    }

    fn connect(&self) {
        let path = self
            .scheduler
            .as_ref()
            .expect("this node is beside its scheduler");
        if let Ok(socket) = UnixStream::connect(path) {
            let _ = self.shared.tell(Order::Attach {
                link: Outward::Scheduler,
                socket: socket.into(),
            });
        }
    }

    fn start(&mut self, slot: u32) {
        let process = Command::new("sleep")
            .arg("1000")
            .process_group(0)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let pid = process.id();
        // The loop reaps it.
        std::mem::forget(process);
        let (ours, theirs) = UnixStream::pair().unwrap();
        let line = memory_file("line").unwrap();
        let port = Port::new(OwnedFd::from(theirs), &line).unwrap();
        self.pids.lock().unwrap().insert(slot, pid);
        let child = Child::open(pid).unwrap();
        // Before it says that it is ready: nobody else may look at the file's words.
        let started = Order::ExecutorStarted {
            slot,
            child,
            socket: ours.into(),
            line,
        };
        self.shared.tell(started).unwrap();
        let executor = Executor {
            pid,
            ran: Arc::clone(&self.ran),
        };
        let work = Arc::clone(&self.work);
        self.executors
            .push(std::thread::spawn(move || execute(&port, &executor, &work)));
    }
}

/// Until the agent is gone, or the process that this executor stands for.
fn execute(port: &Port, executor: &Executor, work: &Work) {
    let pid = executor.pid;
    let mut block: Option<Bytes> = None;
    if port
        .send(vec![Message::Ready {
            pid,
            error: String::new(),
        }])
        .is_err()
    {
        return;
    }
    while let Ok(received) = port.receive() {
        match received {
            Received::Order(Task::Chunk(chunk)) => {
                block = chunk.payload.clone().or(block);
                let payload = block.clone().expect("the first chunk has its block");
                if run(port, executor, work, &chunk, &payload).is_err() {
                    return;
                }
            }
            Received::Order(Task::Stop) | Received::End => return,
            Received::Order(_) | Received::Interrupted => {}
        }
    }
}

fn run(
    port: &Port,
    executor: &Executor,
    work: &Work,
    chunk: &Chunk<Bytes>,
    block: &Bytes,
) -> std::io::Result<()> {
    let elements: Vec<&[u8]> = match chunk.form {
        Form::Table => {
            let ends = table::ends(block, chunk.block_count as usize).expect("a table");
            ends.windows(2)
                .map(|pair| &block[pair[0]..pair[1]])
                .collect()
        }
        _ => vec![&block[..]],
    };
    let began = monotonic_us();
    let mut next = 0;
    for index in 0..chunk.take {
        if !port.enter(
            u64::from(chunk.chunk) << 32 | u64::from(index),
            monotonic_us(),
        ) {
            break;
        }
        work(executor, elements[(chunk.skip + index) as usize]);
        if !alive(executor.pid) {
            // A dead process says nothing any more.
            return Err(std::io::ErrorKind::BrokenPipe.into());
        }
        executor.ran.fetch_add(1, Ordering::SeqCst);
        next = index + 1;
    }
    let busy_us = monotonic_us() - began;
    if next > 0 {
        let values = &elements[chunk.skip as usize..(chunk.skip + next) as usize];
        let payload = Bytes::from(table::pack(values.iter().copied()).expect("small"));
        let kind = OutcomeKind::ValueTable;
        port.result(ChunkResult {
            chunk: chunk.chunk,
            index: 0,
            count: next,
            kind,
            payload,
            busy_us,
        })?;
    }
    port.send(vec![Message::ChunkEnd {
        chunk: chunk.chunk,
        next,
        busy_us,
    }])
}

/// Neither gone nor dead and unburied.
fn alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ")
        .is_some_and(|(_, rest)| !rest.starts_with('Z'))
}
