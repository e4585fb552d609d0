//! All clients and nodes of a load, each with a socket and a link, in one loop.

use std::collections::VecDeque;
use std::io;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use bytes::Bytes;
use mio::{Events, Poll, Token};
use scaler_engine::dialer::{Dialer, DialerEvent};
use scaler_loops::connections::{Arrival, Connections, Key};
use scaler_loops::linux::{monotonic_us, random};
use scaler_wire::{Hello, Message};

use crate::peers::{client_hello, node_hello, Client, Node};
use crate::Arguments;

const EVENTS: usize = 1_024;
/// Links are asked that often whether something is due.
const LOOK_US: u64 = 5_000;
const STATUS_US: u64 = 2_000_000;

/// How often answers that are due are looked for.
const PACE_US: u64 = 1_000;

/// Answers as time goes by.
struct Pace {
    /// Tasks a second, since when, and how many were answered.
    rate: u64,
    began: u64,
    done: u64,
    /// With something to answer.
    nodes: VecDeque<usize>,
}

enum Role {
    Client(Client),
    Node(Node),
}

struct Peer {
    role: Role,
    dialer: Dialer<Bytes>,
    connection: Key,
    welcome: bool,
    /// Something came for it, or it may have something to say.
    stirred: bool,
    status_at: u64,
    /// It is among those that have something to answer.
    listed: bool,
}

pub struct Crowd {
    socket: String,
    poll: Poll,
    events: Events,
    connections: Connections<usize>,
    peers: Vec<Peer>,
    stirred: Vec<usize>,
    look_at: u64,
    welcomed: usize,
    /// Nodes answer; if not at once, at this rate.
    going: bool,
    pace: Option<Pace>,
    assigned: u64,
    outcomes: u64,
}

impl Crowd {
    pub fn new(socket: &str) -> io::Result<Crowd> {
        Ok(Crowd {
            socket: socket.to_owned(),
            poll: Poll::new()?,
            events: Events::with_capacity(EVENTS),
            connections: Connections::new(Token),
            peers: Vec::new(),
            stirred: Vec::new(),
            look_at: 0,
            welcomed: 0,
            going: false,
            pace: None,
            assigned: 0,
            outcomes: 0,
        })
    }

    /// They share `queue` tasks, and `tasks` beyond.
    pub fn add_clients(&mut self, count: u32, load: &Arguments) {
        let share = |all: u64, number: u64| {
            let (whole, rest) = (all / u64::from(count), all % u64::from(count));
            whole + u64::from(number < rest)
        };
        for number in 0..u64::from(count) {
            let held = share(load.queue, number);
            let beyond = if load.nodes == 0 {
                0
            } else {
                share(load.tasks, number)
            };
            let session = random();
            let client = Client::new(load.work, session, held, held + beyond);
            self.add(Role::Client(client), client_hello(session));
        }
    }

    pub fn add_nodes(&mut self, count: u32, load: &Arguments) {
        for number in 0..count {
            let node = Node::new(load.work, load.slots);
            self.add(Role::Node(node), node_hello(number, load.slots));
        }
    }

    fn add(&mut self, role: Role, hello: Hello) {
        let now = monotonic_us();
        let socket = UnixStream::connect(&self.socket).expect("the scheduler listens");
        let index = self.peers.len();
        let connection = self
            .connections
            .open(self.poll.registry(), socket.into(), index, true)
            .expect("a socket that can be polled");
        let mut dialer = Dialer::new(hello, random());
        dialer.on_open(now);
        self.peers.push(Peer {
            role,
            dialer,
            connection,
            welcome: false,
            stirred: false,
            listed: false,
            status_at: now + STATUS_US + u64::from(index as u32 % 1_000) * 2_000,
        });
        self.stir(index);
        // Its hello goes at once: there may be only so many strangers.
        self.speak(now);
    }

    pub fn all_welcome(&self) -> bool {
        self.welcomed == self.peers.len()
    }

    /// The scheduler has received everything.
    pub fn all_accepted(&self) -> bool {
        self.peers.iter().all(|peer| peer.dialer.link().is_idle())
    }

    pub fn all_done(&self) -> bool {
        self.clients().all(Client::is_done)
    }

    /// Elements that nodes were sent.
    pub fn assigned(&self) -> u64 {
        self.assigned
    }

    pub fn outcomes(&self) -> u64 {
        self.outcomes
    }

    /// Read and written.
    pub fn frames(&self) -> (u64, u64) {
        (self.connections.frames_in(), self.connections.frames_out())
    }

    pub fn check(&self) {
        self.clients().for_each(Client::check);
    }

    pub fn state(&self) -> String {
        let (welcomed, peers) = (self.welcomed, self.peers.len());
        let (assigned, outcomes) = (self.assigned, self.outcomes);
        format!("{welcomed} of {peers} are welcome, {assigned} tasks were assigned, {outcomes} had their outcome")
    }

    fn clients(&self) -> impl Iterator<Item = &Client> {
        self.peers.iter().filter_map(|peer| match &peer.role {
            Role::Client(client) => Some(client),
            Role::Node(_) => None,
        })
    }

    /// Clients submit.
    pub fn fill(&mut self) {
        for index in 0..self.peers.len() {
            if let Role::Client(client) = &mut self.peers[index].role {
                client.fill();
                self.stir(index);
            }
        }
        self.speak(monotonic_us());
    }

    /// Nodes answer: at once, or so many tasks a second.
    pub fn go(&mut self, rate: u64) {
        self.going = true;
        self.pace = (rate > 0).then(|| Pace {
            rate,
            began: monotonic_us(),
            done: 0,
            nodes: VecDeque::new(),
        });
        (0..self.peers.len()).for_each(|index| self.stir(index));
    }

    /// All say goodbye.
    pub fn leave(mut self) {
        for index in 0..self.peers.len() {
            if matches!(self.peers[index].role, Role::Client(_)) {
                self.peers[index].dialer.send(Message::Goodbye);
                self.stir(index);
            }
        }
        self.speak(monotonic_us());
    }

    pub fn turn(&mut self) -> io::Result<()> {
        let waits = match self.stirred.is_empty() && !self.connections.has_ready() {
            true if self.pace.is_some() => Duration::from_micros(PACE_US),
            true => Duration::from_micros(LOOK_US),
            false => Duration::ZERO,
        };
        match self.poll.poll(&mut self.events, Some(waits)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => other?,
        }
        for event in &self.events {
            self.connections.on_event(event.token().0, event);
        }
        let now = monotonic_us();
        self.read(now);
        if now >= self.look_at {
            self.look_at = now + LOOK_US;
            (0..self.peers.len()).for_each(|index| self.look(now, index));
        }
        self.speak(now);
        self.keep_pace(now);
        Ok(())
    }

    /// As many answers as are due, each from the node whose turn it is.
    fn keep_pace(&mut self, now: u64) {
        let Some(mut pace) = self.pace.take() else {
            return;
        };
        while pace.done < (now - pace.began) * pace.rate / 1_000_000 {
            let Some(index) = pace.nodes.pop_front() else {
                break;
            };
            let peer = &mut self.peers[index];
            if let Role::Node(node) = &mut peer.role {
                if let Some(answer) = node.answer() {
                    pace.done += answer.elements();
                    peer.dialer.send(answer);
                }
                peer.listed = node.has_answers();
                if peer.listed {
                    pace.nodes.push_back(index);
                }
            }
            self.stir(index);
        }
        self.pace = Some(pace);
    }

    fn read(&mut self, now: u64) {
        let Crowd {
            connections,
            peers,
            stirred,
            poll,
            ..
        } = self;
        connections.read(poll.registry(), |_, index, arrival| {
            let peer = &mut peers[index];
            match arrival {
                Arrival::Frame(frame) => peer.dialer.on_frame(now, frame),
                other => panic!("peer {index} hears what is no frame: {other:?}"),
            }
            if !std::mem::replace(&mut peer.stirred, true) {
                stirred.push(index);
            }
        });
    }

    fn stir(&mut self, index: usize) {
        if !std::mem::replace(&mut self.peers[index].stirred, true) {
            self.stirred.push(index);
        }
    }

    /// What is due by time.
    fn look(&mut self, now: u64, index: usize) {
        let peer = &mut self.peers[index];
        peer.dialer.tick(now);
        let mut due = peer.dialer.next_wakeup().is_some_and(|at| at <= now);
        if let Role::Node(node) = &peer.role {
            if peer.welcome && peer.status_at <= now {
                peer.status_at = now + STATUS_US;
                peer.dialer.send(node.status());
                due = true;
            }
        }
        if due {
            self.stir(index);
        }
    }

    /// Everybody who was stirred takes in what came, and says what follows.
    fn speak(&mut self, now: u64) {
        for index in std::mem::take(&mut self.stirred) {
            self.peers[index].stirred = false;
            self.take_in(index);
            let peer = &mut self.peers[index];
            match &mut peer.role {
                Role::Client(client) => {
                    while let Some(submission) = client.submission() {
                        peer.dialer.send(submission);
                    }
                }
                Role::Node(node) if self.going => match &mut self.pace {
                    Some(pace) if node.has_answers() && !peer.listed => {
                        peer.listed = true;
                        pace.nodes.push_back(index);
                    }
                    Some(_) => {}
                    None => {
                        while let Some(answer) = node.answer() {
                            peer.dialer.send(answer);
                        }
                    }
                },
                Role::Node(_) => {}
            }
            while let Some(frame) = peer.dialer.poll_transmit(now) {
                self.connections.push(peer.connection, &frame);
            }
        }
        self.connections.write(self.poll.registry(), |_, index| {
            panic!("the connection of peer {index} broke")
        });
    }

    fn take_in(&mut self, index: usize) {
        let peer = &mut self.peers[index];
        while let Some(event) = peer.dialer.poll_event() {
            match (event, &mut peer.role) {
                (DialerEvent::Fresh { .. }, role) => {
                    peer.welcome = true;
                    self.welcomed += 1;
                    match role {
                        Role::Client(_) => peer.dialer.send(Client::welcome()),
                        Role::Node(node) => {
                            let said = node.introduction();
                            said.into_iter().for_each(|it| peer.dialer.send(it));
                        }
                    }
                }
                (DialerEvent::Message(message), Role::Client(client)) => {
                    let before = client.finished();
                    client.on_message(message);
                    self.outcomes += client.finished() - before;
                }
                (DialerEvent::Message(message), Role::Node(node)) => {
                    let before = node.assigned();
                    node.on_message(message);
                    self.assigned += node.assigned() - before;
                }
                (other, _) => panic!("peer {index} hears {other:?}"),
            }
        }
    }
}
