//! A worker manager over a real socket: beside it a scripted scheduler, and hooks that are answered by the test.

mod harness;

use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};

use bytes::Bytes;
use harness::{Folder, RunningLoop, LIMIT};
use scaler_loops::engine::acceptor::{Acceptor, AcceptorEvent, AcceptorSettings, Origin};
use scaler_loops::engine::manager::{
    Answer, Call, CallId, Entry, EntryState, ManagerConfig, UnitSeen, UnitState,
};
use scaler_loops::input::{Input, Read};
use scaler_loops::linux::{self, monotonic_us, random};
use scaler_loops::manager_part::ManagerSettings;
use scaler_loops::output::Output;
use scaler_loops::reactor::Settings;
use scaler_loops::shared::{Order, Outward, Request};
use scaler_loops::wire::{
    GroupState, Hello, LinkId, ManagerInfo, ManagerStatus, Message, RefusalCode, Role,
};

/// The listening end, in the test's own thread: it hears when it is asked to.
struct Scheduler {
    acceptor: Acceptor<Bytes>,
    listener: UnixListener,
    connection: Option<(UnixStream, Input, Output)>,
    connections: u64,
    hello: Option<Hello>,
    link: LinkId,
}

impl Scheduler {
    fn new(folder: &Folder) -> Scheduler {
        let path = folder.0.join("scheduler.sock");
        let _ = std::fs::remove_file(&path);
        Scheduler {
            acceptor: Acceptor::new(AcceptorSettings::default(), random(), None),
            listener: UnixListener::bind(path).unwrap(),
            connection: None,
            connections: 0,
            hello: None,
            link: 0,
        }
    }

    /// Brings a new connection of the manager.
    fn accept(&mut self) {
        let (socket, _) = self.listener.accept().unwrap();
        socket.set_nonblocking(true).unwrap();
        self.connection = Some((socket, Input::default(), Output::default()));
        self.connections += 1;
        let origin = Origin {
            local: true,
            address: "a test".into(),
        };
        self.acceptor
            .on_open(monotonic_us(), self.connections, origin);
    }

    fn say(&mut self, message: Message<Bytes>) {
        self.acceptor.send(self.link, message);
        self.flush();
    }

    fn refuse(&mut self, code: RefusalCode, reason: &str) {
        self.acceptor.end(self.link, code, reason.into());
        self.flush();
    }

    fn flush(&mut self) {
        let (socket, _, output) = self.connection.as_mut().expect("a connection");
        while let Some((_, frame)) = self.acceptor.poll_transmit(monotonic_us()) {
            output.push(&frame);
        }
        assert!(
            output.write(socket.as_fd()).unwrap(),
            "a socket takes little frames"
        );
    }

    /// The first event that `wanted` takes.
    fn hear<T>(&mut self, wanted: impl Fn(&AcceptorEvent<Bytes>) -> Option<T>) -> T {
        let end = monotonic_us() + LIMIT.as_micros() as u64;
        let (mut scratch, mut frames) = (Vec::new(), Vec::new());
        loop {
            while let Some(event) = self.acceptor.poll_event() {
                if let AcceptorEvent::Joined { link, hello, .. } = &event {
                    self.link = *link;
                    self.hello = Some(hello.clone());
                }
                if let Some(found) = wanted(&event) {
                    return found;
                }
            }
            self.flush();
            let now = monotonic_us();
            assert!(now < end, "not heard in time");
            let (socket, input, _) = self.connection.as_mut().expect("a connection");
            let left = std::time::Duration::from_micros(end - now);
            linux::poll(Some(socket.as_fd()), false, None, Some(left)).unwrap();
            let read = input.read(socket.as_fd(), &mut scratch, &mut frames);
            assert_ne!(
                read.unwrap(),
                Read::End,
                "the manager closed the connection"
            );
            for frame in frames.drain(..) {
                self.acceptor
                    .on_frame(monotonic_us(), self.connections, frame);
            }
        }
    }

    fn status(&mut self, wanted: impl Fn(&ManagerStatus) -> bool) -> ManagerStatus {
        self.hear(|event| match event {
            AcceptorEvent::Message {
                message: Message::ManagerStatus(status),
                ..
            } if wanted(status) => Some(status.clone()),
            _ => None,
        })
    }

    /// A status with this group in that state.
    fn sees(&mut self, group: &str, state: GroupState) -> ManagerStatus {
        self.status(|status| {
            let mut groups = status.groups.iter();
            groups.any(|it| it.group == group && it.state == state)
        })
    }
}

struct Cluster {
    manager: RunningLoop,
    scheduler: Scheduler,
    folder: Folder,
}

fn settings(entries: Vec<Entry>) -> Settings {
    let info = ManagerInfo {
        id: "m".into(),
        driver: "d".into(),
        most_groups: 8,
        slots: 1,
        startup_us: 30_000_000,
        lease_us: 300_000_000,
        ..ManagerInfo::default()
    };
    let manager = ManagerSettings {
        config: ManagerConfig {
            most_groups: info.most_groups,
            heartbeat_us: 20_000,
            ..ManagerConfig::default()
        },
        info,
        entries,
        offload: None,
        ticket: Vec::new(),
        properties: Vec::new(),
    };
    Settings {
        manager: Some(manager),
        ..Settings::default()
    }
}

impl Cluster {
    fn new(entries: Vec<Entry>) -> Cluster {
        let folder = Folder::new();
        let mut cluster = Cluster {
            manager: RunningLoop::start(settings(entries)),
            scheduler: Scheduler::new(&folder),
            folder,
        };
        cluster.connect();
        cluster
    }

    /// The host does what "connect" asks for. The scheduler knows whether the link is new.
    fn connect(&mut self) {
        self.manager.request(|request| {
            matches!(
                request,
                Request::Connect {
                    link: Outward::Scheduler,
                    ..
                }
            )
            .then_some(())
        });
        self.attach();
    }

    fn attach(&mut self) {
        let socket = UnixStream::connect(self.folder.0.join("scheduler.sock")).unwrap();
        self.manager.tell(Order::Attach {
            link: Outward::Scheduler,
            socket: socket.into(),
        });
        self.scheduler.accept();
        self.scheduler.hear(|event| {
            let came = matches!(
                event,
                AcceptorEvent::Joined { .. } | AcceptorEvent::Resumed { .. }
            );
            came.then_some(())
        });
        self.scheduler.flush();
    }

    /// The next call that is no heartbeat. Records are written and heartbeats answered with these running meanwhile.
    fn call(&mut self, running: &[&str]) -> (CallId, Call) {
        let manager = &self.manager;
        manager.request(|request| match request {
            Request::Call {
                id,
                call: Call::Heartbeat,
            } => {
                answer(manager, *id, units(running));
                None
            }
            Request::Call { id, call } => Some((*id, call.clone())),
            Request::Record { number, .. } => {
                manager.tell(Order::ManagerRecorded { number: *number });
                None
            }
            _ => None,
        })
    }

    fn heartbeat(&self, running: &[&str]) {
        let call = self.manager.request(|request| match request {
            Request::Call {
                id,
                call: Call::Heartbeat,
            } => Some(*id),
            _ => None,
        });
        answer(&self.manager, call, units(running));
    }

    fn name(&mut self, group: &str) {
        self.scheduler.say(Message::StartWorkerGroup {
            group: group.into(),
            slots: 1,
            capabilities: Vec::new(),
        });
    }

    fn end(&mut self, group: &str) {
        let group = group.into();
        self.scheduler.say(Message::ShutdownWorkerGroup { group });
    }

    /// Answers heartbeats until the manager says that it is done.
    fn exit(&mut self, running: &[&str]) -> (bool, String) {
        let manager = &self.manager;
        manager.request(|request| match request {
            Request::Call { id, call } => {
                let done = match call {
                    Call::Heartbeat | Call::Start(_) => units(running),
                    Call::Shutdown(_) | Call::Cleanup => Answer::Done,
                };
                answer(manager, *id, done);
                None
            }
            Request::ManagerExit { failed, reason } => Some((*failed, reason.clone())),
            _ => None,
        })
    }
}

fn answer(manager: &RunningLoop, call: CallId, answer: Answer) {
    manager.tell(Order::ManagerAnswered { call, answer });
}

fn units(running: &[&str]) -> Answer {
    let unit = |group: &&str| UnitSeen {
        group: (*group).to_owned(),
        infrastructure: format!("pid {group}"),
        state: UnitState::Running,
        detail: String::new(),
    };
    Answer::Units(running.iter().map(unit).collect())
}

#[test]
fn a_group_goes_from_its_name_to_its_end() {
    let mut cluster = Cluster::new(vec![]);
    let hello = cluster.scheduler.hello.clone().unwrap();
    assert_eq!(hello.role, Role::Manager);
    assert_eq!(hello.manager.unwrap().most_groups, 8);
    cluster.heartbeat(&[]);
    cluster.scheduler.status(|status| status.groups.is_empty());
    cluster.name("a");
    let record = cluster.manager.request(|request| match request {
        Request::Record { number, entries } => Some((*number, entries.clone())),
        Request::Call {
            call: Call::Start(_),
            ..
        } => panic!("it is started before its intent is recorded"),
        Request::Call { id, .. } => {
            answer(&cluster.manager, *id, units(&[]));
            None
        }
        _ => None,
    });
    assert_eq!(record.1[0].state, EntryState::Intended);
    cluster
        .manager
        .tell(Order::ManagerRecorded { number: record.0 });
    let (start, call) = cluster.call(&[]);
    assert!(matches!(&call, Call::Start(groups) if groups[0].group == "a"));
    answer(&cluster.manager, start, units(&["a"]));
    let status = cluster.scheduler.sees("a", GroupState::Running);
    assert_eq!(status.groups[0].infrastructure, "pid a");
    cluster.end("a");
    let (end, call) = cluster.call(&["a"]);
    assert_eq!(call, Call::Shutdown(vec!["a".to_owned()]));
    cluster.scheduler.sees("a", GroupState::Ending);
    answer(&cluster.manager, end, Answer::Done);
    cluster.heartbeat(&[]);
    cluster.heartbeat(&[]);
    cluster.scheduler.status(|status| status.groups.is_empty());
}

#[test]
fn a_connection_that_breaks_is_replaced_and_nothing_is_lost() {
    let mut cluster = Cluster::new(vec![]);
    cluster.heartbeat(&[]);
    cluster.scheduler.status(|_| true);
    cluster.name("a");
    cluster.scheduler.connection = None;
    cluster
        .scheduler
        .acceptor
        .on_close(monotonic_us(), cluster.scheduler.connections);
    let asked = cluster.manager.request(|request| match request {
        Request::Connect { .. } => Some(true),
        Request::Record { number, .. } => {
            let number = *number;
            cluster.manager.tell(Order::ManagerRecorded { number });
            None
        }
        Request::Call { id, .. } => {
            answer(&cluster.manager, *id, units(&[]));
            None
        }
        _ => None,
    });
    assert!(asked);
    cluster.attach();
    let (start, _) = cluster.call(&[]);
    answer(&cluster.manager, start, units(&["a"]));
    cluster.scheduler.sees("a", GroupState::Running);
}

#[test]
fn a_scheduler_that_forgot_is_told_all() {
    let entry = Entry {
        group: "a".into(),
        slots: 1,
        capabilities: vec![],
        state: EntryState::Started,
        infrastructure: "pid a".into(),
    };
    let mut cluster = Cluster::new(vec![entry]);
    cluster.heartbeat(&["a"]);
    cluster.scheduler.sees("a", GroupState::Running);
    cluster.scheduler = Scheduler::new(&cluster.folder);
    cluster.connect();
    cluster.scheduler.sees("a", GroupState::Running);
}

#[test]
fn a_manager_that_leaves_says_so_last() {
    let mut cluster = Cluster::new(vec![]);
    cluster.heartbeat(&["stranger"]);
    cluster.scheduler.sees("stranger", GroupState::Running);
    cluster.manager.tell(Order::ManagerLeave);
    let (end, call) = cluster.call(&["stranger"]);
    assert_eq!(call, Call::Shutdown(vec!["stranger".to_owned()]));
    answer(&cluster.manager, end, Answer::Done);
    // Nobody takes its last words yet: it waits for a while, and ends all the same.
    let (failed, reason) = cluster.exit(&[]);
    assert!(!failed, "{reason}");
    cluster
        .scheduler
        .status(|status| status.leaving && status.groups.is_empty());
}

#[test]
fn a_second_manager_of_one_name_is_refused_and_the_host_hears_it() {
    let mut cluster = Cluster::new(vec![]);
    cluster
        .scheduler
        .refuse(RefusalCode::Duplicate, "there is one");
    let (code, text) = cluster.manager.request(|request| match request {
        Request::Refused { code, text, .. } => Some((*code, text.clone())),
        _ => None,
    });
    assert_eq!(code, RefusalCode::Duplicate);
    assert_eq!(text, "there is one");
}

#[test]
fn a_cluster_that_ends_takes_the_manager_along() {
    let mut cluster = Cluster::new(vec![]);
    cluster.heartbeat(&[]);
    cluster.scheduler.status(|_| true);
    cluster.scheduler.refuse(RefusalCode::Closing, "it ends");
    let (failed, reason) = cluster.exit(&[]);
    assert!(!failed);
    assert_eq!(reason, "it ends");
}
