//! The connecting end of a link: hello on every new connection, and the link behind it.
//!
//! ```text
//! Closed ──on_open──► Greeting ──Welcome──► Open ──on_close──► Closed
//!                        └────────Refused───► Refused (final)
//! ```
//!
//! What is sent before the first welcome waits in the link. A welcome into another epoch, the first included, means
//! that the peer knows nothing of us: [`DialerEvent::Fresh`] hands back what it never acknowledged, and whoever owns
//! this dialer tells its whole state anew.
//!
//! Silence is counted in probes, not in time: a process that was stopped for a minute finds its peer's frames waiting
//! and must not take the minute for the peer's.

use std::collections::VecDeque;

use crate::acceptor::ticket;
use crate::link::{Link, Received, WINDOW};
use crate::wire::{Frame, Hello, LinkId, Message, Payload, RefusalCode, Welcome};

/// How often an end that hears nothing asks for a sign of life.
pub const HEARTBEAT_US: u64 = 2_000_000;
/// A connection on which this many probes in a row found nothing heard is given up.
const SILENT_PROBES: u32 = 5;

#[derive(Clone, Debug, PartialEq)]
pub enum DialerEvent<P> {
    /// The peer remembers this link; both ends send again what the other lacks.
    Welcomed {
        welcome: Welcome,
        resumed: bool,
    },
    /// The peer has no memory of this link, as at the first time. `unacknowledged`: what it never acknowledged, in
    /// order; nothing of it is sent again by the link.
    Fresh {
        welcome: Welcome,
        unacknowledged: Vec<Message<P>>,
    },
    Message(Message<P>),
    /// Final: the connection is to be closed and no other opened.
    Refused {
        code: RefusalCode,
        reason: String,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed,
    /// The hello still has to leave, or has left.
    Greeting {
        said: bool,
    },
    Open,
    Refused,
}

#[derive(Debug)]
pub struct Dialer<P> {
    hello: Hello,
    link: Link<P>,
    state: State,
    events: VecDeque<DialerEvent<P>>,
    wants_close: bool,
    heartbeat_us: u64,
    probe_at: u64,
    /// Since the last probe: whether a frame came, and whether one left that was no heartbeat.
    heard: bool,
    spoke: bool,
    heartbeat_due: bool,
    silent_probes: u32,
}

impl<P: Payload> Dialer<P> {
    /// `hello` says who we are; what it says of incarnation and sequences is filled in here.
    pub fn new(hello: Hello, link: LinkId) -> Self {
        Dialer {
            hello: Hello {
                incarnation: 0,
                ..hello
            },
            link: Link::new(link, 0, WINDOW),
            state: State::Closed,
            events: VecDeque::new(),
            wants_close: false,
            heartbeat_us: HEARTBEAT_US,
            probe_at: 0,
            heard: false,
            spoke: false,
            heartbeat_due: false,
            silent_probes: 0,
        }
    }

    /// Microseconds between signs of life.
    pub fn with_heartbeat(mut self, heartbeat_us: u64) -> Self {
        self.heartbeat_us = heartbeat_us;
        self
    }

    pub fn link(&self) -> &Link<P> {
        &self.link
    }

    #[cfg(feature = "planted")]
    pub fn set_bugs(&mut self, bugs: crate::link::Bugs) {
        self.link.set_bugs(bugs);
    }

    /// Whether messages travel now: the peer has welcomed this connection.
    pub fn is_open(&self) -> bool {
        self.state == State::Open
    }

    pub fn is_refused(&self) -> bool {
        self.state == State::Refused
    }

    /// Whether a submission would leave at once.
    pub fn credit(&self) -> bool {
        self.is_open() && self.link.credit()
    }

    /// Payload bytes that the peer is not known to have.
    pub fn backlog(&self) -> u64 {
        self.link.backlog()
    }

    pub fn send(&mut self, message: Message<P>) {
        self.link.send(message);
    }

    /// While held, what is received gives the peer no credit back.
    pub fn hold(&mut self, held: bool) {
        self.link.hold(held);
    }

    /// There is a new connection.
    pub fn on_open(&mut self, now: u64) {
        if self.state == State::Refused {
            self.wants_close = true;
            return;
        }
        self.state = State::Greeting { said: false };
        self.wants_close = false;
        self.silent_probes = 0;
        self.start_probe(now);
    }

    /// The connection is gone, whoever closed it.
    pub fn on_close(&mut self, _now: u64) {
        if self.state != State::Refused {
            self.state = State::Closed;
        }
        self.wants_close = false;
    }

    /// What came are not frames: this connection is of no more use.
    pub fn on_malformed(&mut self) {
        self.wants_close = true;
    }

    pub fn on_frame(&mut self, _now: u64, frame: Frame<P>) {
        self.heard = true;
        if self.wants_close {
            return;
        }
        if frame.link != self.link.id() && !is_refusal(&frame) {
            self.wants_close = true;
            return;
        }
        match self.state {
            State::Closed | State::Refused => {}
            State::Greeting { .. } => self.on_answer(frame),
            State::Open => self.on_traffic(frame),
        }
    }

    /// The first frame of a connection: a welcome or a refusal, alone.
    fn on_answer(&mut self, mut frame: Frame<P>) {
        let answer = if frame.sequence == 0 {
            frame.messages.pop()
        } else {
            None
        };
        match answer {
            Some(Message::Welcome(welcome)) if frame.messages.is_empty() => {
                self.on_welcome(welcome)
            }
            Some(Message::Refused { code, reason }) => self.on_refused(code, reason),
            _ => self.wants_close = true,
        }
    }

    /// To be shown from now on, in the place of the one before.
    pub fn set_ticket(&mut self, ticket: Vec<u8>) {
        self.hello.ticket = ticket;
    }

    fn on_welcome(&mut self, welcome: Welcome) {
        if let Some(ticket) = ticket::of_welcome(&welcome) {
            self.set_ticket(ticket);
        }
        let known =
            welcome.incarnation == self.hello.incarnation && welcome.epoch == self.link.epoch();
        if !known {
            return self.begin_anew(welcome);
        }
        if self.link.resume(welcome.received).is_err() {
            // It would have had to begin a new epoch; a new hello gives it the chance.
            self.hello.incarnation = 0;
            self.wants_close = true;
            return;
        }
        self.state = State::Open;
        self.events.push_back(DialerEvent::Welcomed {
            welcome,
            resumed: true,
        });
    }

    fn begin_anew(&mut self, welcome: Welcome) {
        let unacknowledged = self.link.begin_anew(welcome.epoch);
        self.hello.incarnation = welcome.incarnation;
        self.state = State::Open;
        self.events.push_back(DialerEvent::Fresh {
            welcome,
            unacknowledged,
        });
    }

    fn on_refused(&mut self, code: RefusalCode, reason: String) {
        self.state = State::Refused;
        self.wants_close = true;
        self.events.push_back(DialerEvent::Refused { code, reason });
    }

    fn on_traffic(&mut self, frame: Frame<P>) {
        match handshake_of(&frame) {
            Some(Message::Refused { code, reason }) => {
                return self.on_refused(*code, reason.clone())
            }
            Some(_) => {
                self.wants_close = true;
                return;
            }
            None => {}
        }
        match self.link.receive(frame) {
            Received::Messages(messages) => self
                .events
                .extend(messages.into_iter().map(DialerEvent::Message)),
            Received::Outside(_) | Received::Duplicate => {}
            Received::Gap | Received::Malformed(_) => self.wants_close = true,
        }
    }

    pub fn poll_event(&mut self) -> Option<DialerEvent<P>> {
        self.events.pop_front()
    }

    /// The next frame for the connection; `None` when there is none to send now.
    pub fn poll_transmit(&mut self, now: u64) -> Option<Frame<P>> {
        match self.state {
            _ if self.wants_close => None,
            State::Greeting { said: false } => {
                self.state = State::Greeting { said: true };
                Some(self.hello_frame())
            }
            State::Open => self.poll_link(now),
            State::Greeting { said: true } | State::Closed | State::Refused => None,
        }
    }

    fn hello_frame(&mut self) -> Frame<P> {
        self.hello.received = self.link.received();
        self.hello.sent = self.link.sent();
        Frame {
            link: self.link.id(),
            epoch: self.link.epoch(),
            sequence: 0,
            acknowledged: 0,
            messages: vec![Message::Hello(self.hello.clone())],
        }
    }

    fn poll_link(&mut self, now: u64) -> Option<Frame<P>> {
        if std::mem::take(&mut self.heartbeat_due) {
            return Some(self.link.outside(vec![Message::Heartbeat]));
        }
        let frame = self.link.poll_transmit(now);
        self.spoke |= frame.is_some();
        frame
    }

    /// Asks for a sign of life when it is time, and notices that there was none. To be called after what has arrived
    /// was handed in.
    pub fn tick(&mut self, now: u64) {
        if !self.is_connected() || now < self.probe_at {
            return;
        }
        self.silent_probes = if self.heard {
            0
        } else {
            self.silent_probes + 1
        };
        if self.silent_probes >= SILENT_PROBES {
            self.wants_close = true;
            return;
        }
        self.heartbeat_due = self.is_open() && !(self.heard && self.spoke);
        self.start_probe(now);
    }

    fn is_connected(&self) -> bool {
        matches!(self.state, State::Greeting { .. } | State::Open) && !self.wants_close
    }

    fn start_probe(&mut self, now: u64) {
        self.heard = false;
        self.spoke = false;
        self.probe_at = now + self.heartbeat_us;
    }

    /// When to call `tick` and `poll_transmit` even if nothing happens before.
    pub fn next_wakeup(&self) -> Option<u64> {
        if !self.is_connected() {
            return None;
        }
        let acknowledge = if self.is_open() {
            self.link.next_wakeup()
        } else {
            None
        };
        Some(acknowledge.map_or(self.probe_at, |at| at.min(self.probe_at)))
    }

    /// The connection is to be closed (frames that were polled may be written first); then `on_close`.
    pub fn wants_close(&self) -> bool {
        self.wants_close
    }
}

/// Whoever could not read our frames knows no link to refuse.
fn is_refusal<P>(frame: &Frame<P>) -> bool {
    frame.link == 0 && matches!(handshake_of(frame), Some(Message::Refused { .. }))
}

fn handshake_of<P>(frame: &Frame<P>) -> Option<&Message<P>> {
    match frame.messages.first() {
        Some(message @ (Message::Refused { .. } | Message::UnknownLink)) if frame.sequence == 0 => {
            Some(message)
        }
        _ => None,
    }
}
