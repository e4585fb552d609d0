//! A dialer and an acceptor joined by a pipe that can be cut, in virtual time.

use std::collections::VecDeque;

use scaler_engine::acceptor::{Acceptor, AcceptorEvent, AcceptorSettings, ConnectionId, Origin};
use scaler_engine::dialer::{Dialer, DialerEvent};
use scaler_engine::wire::*;

pub const LINK: LinkId = 7;
pub const SECOND: u64 = 1_000_000;
/// Transmission takes this long, so that time goes on.
const TRIP: u64 = 100;

/// A payload that is a number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bytes(pub usize);

impl Payload for Bytes {
    fn len(&self) -> usize {
        self.0
    }

    fn from_vec(bytes: Vec<u8>) -> Self {
        Bytes(bytes.len())
    }
}

pub type Frame = scaler_engine::wire::Frame<Bytes>;
pub type Message = scaler_engine::wire::Message<Bytes>;

/// A message that takes credit, known by its number.
pub fn numbered(number: u64) -> Message {
    sized(number, 0)
}

pub fn sized(number: u64, bytes: usize) -> Message {
    Message::Data {
        request: 0,
        size: number,
        offset: 0,
        payload: Bytes(bytes),
    }
}

/// One that takes none.
pub fn express(number: u64) -> Message {
    Message::Query {
        request: 0,
        kind: QueryKind::Explain,
        first: number,
    }
}

pub fn submit(first: u64, count: u32) -> Message {
    Message::Submit(Submit {
        function: [1; 16],
        first,
        options: Options::default(),
        blocks: vec![Block {
            count,
            form: Form::List,
            payload: Bytes(10),
        }],
        objects: Vec::new(),
        finished: Vec::new(),
        graph: None,
    })
}

pub fn hello(role: Role) -> Hello {
    let node = (role == Role::Node).then(NodeInfo::default);
    Hello {
        node: node.map(Box::new),
        ..Hello::new(role)
    }
}

pub fn origin(local: bool) -> Origin {
    Origin {
        local,
        address: "a test".to_owned(),
    }
}

pub struct Pair {
    pub now: u64,
    pub dialer: Dialer<Bytes>,
    pub acceptor: Acceptor<Bytes>,
    pub connection: Option<ConnectionId>,
    connections: u64,
    /// Whether connections are opened on this machine.
    pub local: bool,
    pub to_acceptor: VecDeque<Frame>,
    pub to_dialer: VecDeque<Frame>,
    pub dialer_events: Vec<DialerEvent<Bytes>>,
    pub acceptor_events: Vec<AcceptorEvent<Bytes>>,
    /// Frames handed over since the beginning.
    pub frames: Vec<Frame>,
}

impl Pair {
    pub fn new(role: Role) -> Pair {
        Pair::with(
            hello(role),
            Acceptor::new(AcceptorSettings::default(), 42, None),
        )
    }

    pub fn with(hello: Hello, acceptor: Acceptor<Bytes>) -> Pair {
        Pair {
            now: 1_000,
            dialer: Dialer::new(hello, LINK),
            acceptor,
            connection: None,
            connections: 0,
            local: false,
            to_acceptor: VecDeque::new(),
            to_dialer: VecDeque::new(),
            dialer_events: Vec::new(),
            acceptor_events: Vec::new(),
            frames: Vec::new(),
        }
    }

    /// Two ends that have shaken hands and have nothing more to say.
    pub fn connected(role: Role) -> Pair {
        let mut pair = Pair::new(role);
        pair.connect();
        pair.settle();
        pair.dialer_events.clear();
        pair.acceptor_events.clear();
        pair.frames.clear();
        pair
    }

    pub fn connect(&mut self) {
        self.connections += 1;
        self.connection = Some(self.connections);
        self.acceptor
            .on_open(self.now, self.connections, origin(self.local));
        self.dialer.on_open(self.now);
    }

    /// Breaks the connection; what is on its way is lost.
    pub fn cut(&mut self) {
        self.to_acceptor.clear();
        self.to_dialer.clear();
        if let Some(connection) = self.connection.take() {
            self.acceptor.on_close(self.now, connection);
            self.dialer.on_close(self.now);
        }
        self.collect();
    }

    pub fn reconnect(&mut self) {
        self.cut();
        self.connect();
        self.settle();
    }

    /// Puts what both ends have to send into the pipe.
    pub fn transmit(&mut self) {
        while let Some(frame) = self.dialer.poll_transmit(self.now) {
            self.to_acceptor.push_back(frame);
        }
        while let Some((connection, frame)) = self.acceptor.poll_transmit(self.now) {
            if self.connection == Some(connection) {
                self.to_dialer.push_back(frame);
            }
        }
    }

    pub fn deliver_to_acceptor(&mut self) -> bool {
        let Some(frame) = self.to_acceptor.pop_front() else {
            return false;
        };
        self.frames.push(frame.clone());
        self.acceptor
            .on_frame(self.now, self.connection.expect("connected"), frame);
        self.collect();
        true
    }

    pub fn deliver_to_dialer(&mut self) -> bool {
        let Some(frame) = self.to_dialer.pop_front() else {
            return false;
        };
        self.frames.push(frame.clone());
        self.dialer.on_frame(self.now, frame);
        self.collect();
        true
    }

    /// Takes events, and does what the ends want done with connections.
    pub fn collect(&mut self) {
        self.dialer_events
            .extend(std::iter::from_fn(|| self.dialer.poll_event()));
        self.acceptor_events
            .extend(std::iter::from_fn(|| self.acceptor.poll_event()));
    }

    /// Lets both ends talk until neither has more to say at this moment.
    pub fn settle(&mut self) {
        loop {
            self.transmit();
            let more = self.deliver_to_acceptor() | self.deliver_to_dialer();
            if !more && self.to_acceptor.is_empty() && self.to_dialer.is_empty() {
                self.transmit();
                if self.to_acceptor.is_empty() && self.to_dialer.is_empty() {
                    break;
                }
            }
            self.now += TRIP;
        }
        self.collect();
        self.close_if_wanted();
    }

    fn close_if_wanted(&mut self) {
        let mut closed = self.dialer.wants_close();
        while let Some(connection) = self.acceptor.poll_close() {
            closed |= self.connection == Some(connection);
        }
        if closed && self.connection.is_some() {
            self.cut();
        }
    }

    /// Jumps from wake-up to wake-up for this long.
    pub fn run_for(&mut self, us: u64) {
        let end = self.now + us;
        loop {
            self.settle();
            let wakeup = [self.dialer.next_wakeup(), self.acceptor.next_wakeup()]
                .into_iter()
                .flatten()
                .min();
            match wakeup.filter(|at| *at <= end) {
                Some(at) => self.now = self.now.max(at),
                None => break,
            }
            self.dialer.tick(self.now);
            self.acceptor.tick(self.now);
            self.collect();
        }
        self.now = self.now.max(end);
        self.settle();
    }

    /// What the acceptor's side was given, by number.
    pub fn accepted(&self) -> Vec<u64> {
        self.acceptor_events
            .iter()
            .filter_map(|event| match event {
                AcceptorEvent::Message { message, .. } => Some(number_of(message)),
                _ => None,
            })
            .collect()
    }

    /// What the dialer's side was given, by number.
    pub fn dialed(&self) -> Vec<u64> {
        self.dialer_events
            .iter()
            .filter_map(|event| match event {
                DialerEvent::Message(message) => Some(number_of(message)),
                _ => None,
            })
            .collect()
    }
}

pub fn number_of(message: &Message) -> u64 {
    match message {
        Message::Data { size, .. } => *size,
        Message::Query { first, .. } => *first,
        Message::Submit(submit) => submit.first,
        Message::Cancel { first, .. } => *first,
        other => panic!("no number in {other:?}"),
    }
}
