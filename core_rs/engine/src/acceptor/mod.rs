//! All links of a part that listens.
//!
//! Theory of operation. A *connection* starts as a stranger with little time to say hello. The hello is admitted or
//! refused ([`handshake`]), and binds the connection to a *link*. The link outlives it: without a connection it is
//! kept for a lease, so that its peer can come back and both go on where they were. A link ends when its lease is over,
//! when its peer misbehaves, or when the owner of this acceptor says so.
//!
//! A connection that is closed from this side is forgotten at once; what was polled for it before may still be
//! written, and whatever else comes from it is ignored.

mod entry;
mod handshake;
mod strangers;
pub mod ticket;
mod timers;

use std::collections::{BTreeMap, VecDeque};

use crate::link::Received;
use crate::wire::{Frame, Hello, LinkId, Message, Payload, RefusalCode};
use entry::Entry;
use strangers::Strangers;
pub use ticket::TicketKey;
use timers::Timers;

/// A connection, by a number that whoever owns the sockets draws; not used again before `on_close` or `poll_close`.
pub type ConnectionId = u64;

/// Ended links that are remembered, to be refused when they come again.
const REMEMBERED_ENDS: usize = 1_024;

/// Where a connection came from. Whoever can open the local socket has been let in by the system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    pub local: bool,
    /// For people.
    pub address: String,
}

#[derive(Clone, Debug)]
pub struct AcceptorSettings {
    /// How long a link is kept without a connection: of clients, and what speaks for them.
    pub client_timeout_us: u64,
    /// Of nodes and managers; and how long one of these may be silent.
    pub worker_timeout_us: u64,
    /// How long a link on a local socket is kept without a connection, at most: such a connection ends with its process,
    /// and a process that lives comes back at once.
    pub local_timeout_us: u64,
    /// How long a connection may take to say hello, and how many such connections there may be.
    pub handshake_timeout_us: u64,
    pub max_strangers: usize,
    /// Told in the welcome.
    pub cluster: String,
    pub storage: String,
    pub properties: Vec<(String, String)>,
    /// Microseconds since 1970 at time 0 of `now`: tickets expire by the calendar.
    pub unix_offset_us: u64,
}

impl Default for AcceptorSettings {
    fn default() -> Self {
        AcceptorSettings {
            client_timeout_us: 60_000_000,
            worker_timeout_us: 60_000_000,
            local_timeout_us: 3_000_000,
            handshake_timeout_us: 10_000_000,
            max_strangers: 1_024,
            cluster: String::new(),
            storage: String::new(),
            properties: Vec::new(),
            unix_offset_us: 0,
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub enum AcceptorEvent<P> {
    /// A link from nothing: its peer tells its whole state.
    Joined {
        link: LinkId,
        hello: Hello,
        origin: Origin,
    },
    /// Connected again, nothing lost.
    Resumed {
        link: LinkId,
    },
    /// Without a connection from now on; it may come back.
    Disconnected {
        link: LinkId,
    },
    /// Gone for good. Not told of links that [`Acceptor::end`] ended.
    Left {
        link: LinkId,
        why: String,
    },
    Message {
        link: LinkId,
        message: Message<P>,
    },
    /// Payload bytes that the peer is not known to have; told when it has changed by much, and when it is 0 again.
    Backlog {
        link: LinkId,
        bytes: u64,
    },
    /// Something that whoever looks after the cluster should know.
    Log {
        text: String,
    },
}

#[derive(Debug)]
struct Connection {
    origin: Origin,
    /// Of strangers: until when they must have said hello.
    deadline: u64,
    link: Option<LinkId>,
}

#[derive(Debug)]
pub struct Acceptor<P> {
    settings: AcceptorSettings,
    incarnation: u64,
    ticket_key: Option<TicketKey>,
    connections: BTreeMap<ConnectionId, Connection>,
    strangers: Strangers,
    links: BTreeMap<LinkId, Entry<P>>,
    timers: Timers,
    /// Links that may have frames to send.
    ready: VecDeque<LinkId>,
    /// Links whose backlog may have changed.
    changed: VecDeque<LinkId>,
    events: VecDeque<AcceptorEvent<P>>,
    /// Frames of handshakes and refusals.
    answers: VecDeque<(ConnectionId, Frame<P>)>,
    closes: VecDeque<ConnectionId>,
    /// Links ended for what they sent, and why; the oldest first in `ended_order`.
    ended: BTreeMap<LinkId, String>,
    ended_order: VecDeque<LinkId>,
    #[cfg(feature = "planted")]
    bugs: crate::link::Bugs,
}

impl<P: Payload> Acceptor<P> {
    /// `incarnation`: a random number, another one at each start. Without a `ticket_key` everybody is let in.
    pub fn new(
        settings: AcceptorSettings,
        incarnation: u64,
        ticket_key: Option<TicketKey>,
    ) -> Self {
        Acceptor {
            settings,
            incarnation,
            ticket_key,
            connections: BTreeMap::new(),
            strangers: Strangers::default(),
            links: BTreeMap::new(),
            timers: Timers::default(),
            ready: VecDeque::new(),
            changed: VecDeque::new(),
            events: VecDeque::new(),
            answers: VecDeque::new(),
            closes: VecDeque::new(),
            ended: BTreeMap::new(),
            ended_order: VecDeque::new(),
            #[cfg(feature = "planted")]
            bugs: crate::link::Bugs::default(),
        }
    }

    /// Tells peers that come from now on where object storage is.
    pub fn set_storage(&mut self, storage: String) {
        self.settings.storage = storage;
    }

    /// Plants mistakes in all links that join from now on.
    #[cfg(feature = "planted")]
    pub fn set_bugs(&mut self, bugs: crate::link::Bugs) {
        self.bugs = bugs;
    }

    pub fn is_connected(&self, link: LinkId) -> bool {
        self.links
            .get(&link)
            .is_some_and(|entry| entry.connection.is_some())
    }

    /// Payload bytes that the link's peer is not known to have.
    pub fn backlog(&self, link: LinkId) -> u64 {
        self.links
            .get(&link)
            .map_or(0, |entry| entry.link.backlog())
    }

    pub fn on_open(&mut self, now: u64, connection: ConnectionId, origin: Origin) {
        let deadline = now + self.settings.handshake_timeout_us;
        self.connections.insert(
            connection,
            Connection {
                origin,
                deadline,
                link: None,
            },
        );
        self.strangers.insert(deadline, connection);
        while let Some(oldest) = self.strangers.oldest_over(self.settings.max_strangers) {
            self.close(oldest);
        }
    }

    pub fn on_frame(&mut self, now: u64, connection: ConnectionId, frame: Frame<P>) {
        match self.connections.get(&connection).map(|known| known.link) {
            None => {}
            Some(None) => self.on_first_frame(now, connection, frame),
            Some(Some(id)) if id == frame.link => self.on_traffic(now, connection, frame),
            Some(Some(_)) => self.on_malformed(
                now,
                connection,
                "a frame of another link than its connection's",
            ),
        }
    }

    fn on_traffic(&mut self, now: u64, connection: ConnectionId, frame: Frame<P>) {
        let id = frame.link;
        let entry = self
            .links
            .get_mut(&id)
            .expect("a connection's link is there");
        entry.last_heard = now;
        entry.confirmed |= frame.epoch == entry.link.epoch();
        match entry.link.receive(frame) {
            Received::Messages(messages) => {
                self.events.extend(
                    messages
                        .into_iter()
                        .map(|message| AcceptorEvent::Message { link: id, message }),
                );
            }
            Received::Outside(messages) if !messages.is_empty() => entry.link.acknowledge_now(),
            Received::Outside(_) | Received::Duplicate => {}
            Received::Gap => return self.drop_connection(now, connection),
            Received::Malformed(why) => return self.on_malformed(now, connection, why),
        }
        self.mark_ready(id);
        self.mark_changed(id);
    }

    /// The connection is gone, whoever closed it.
    pub fn on_close(&mut self, now: u64, connection: ConnectionId) {
        if let Some(id) = self.forget_connection(connection) {
            self.disconnected(now, id);
        }
    }

    /// What came on the connection is no frame: its sender is told why, and its link ends.
    pub fn on_malformed(&mut self, _now: u64, connection: ConnectionId, text: &str) {
        let Some(known) = self.connections.get(&connection) else {
            return;
        };
        let (origin, link) = (known.origin.clone(), known.link);
        let reason = format!("malformed: {text}");
        self.log_refusal(&origin, &reason);
        match link {
            Some(id) => {
                self.end(id, RefusalCode::Malformed, reason.clone());
                self.events.push_back(AcceptorEvent::Left {
                    link: id,
                    why: reason,
                });
            }
            None => self.refuse(connection, 0, RefusalCode::Malformed, reason),
        }
    }

    /// Nothing happens where there is no such link any more.
    pub fn send(&mut self, link: LinkId, message: Message<P>) {
        if let Some(entry) = self.links.get_mut(&link) {
            let before = entry.link.backlog();
            entry.link.send(message);
            entry.untold += entry.link.backlog().saturating_sub(before);
            self.mark_ready(link);
            self.mark_changed(link);
        }
    }

    /// While held, what the link's peer sends gives it no credit back.
    pub fn hold(&mut self, link: LinkId, held: bool) {
        if let Some(entry) = self.links.get_mut(&link) {
            entry.link.hold(held);
            self.mark_ready(link);
        }
    }

    /// Ends a link and tells its peer why. One ended as malformed is refused when it comes again.
    pub fn end(&mut self, link: LinkId, code: RefusalCode, reason: String) {
        let Some(entry) = self.remove_link(link) else {
            return;
        };
        if code == RefusalCode::Malformed {
            self.remember_end(link, reason.clone());
        }
        if let Some(connection) = entry.connection {
            self.answers.retain(|(answered, _)| *answered != connection);
            self.refuse(connection, link, code, reason);
        }
    }

    /// Ends a link whose peer has said goodbye: there is nothing to tell it.
    pub fn forget(&mut self, link: LinkId) {
        if let Some(entry) = self.remove_link(link) {
            self.leave_connection(&entry);
        }
    }

    pub fn tick(&mut self, now: u64) {
        while let Some(connection) = self.strangers.overdue(now) {
            self.close(connection);
        }
        while let Some(id) = self.timers.pop_acknowledgement(now) {
            self.links
                .get_mut(&id)
                .expect("a timer's link is there")
                .acknowledge_at = None;
            self.mark_ready(id);
        }
        while let Some(id) = self.timers.pop_lease(now) {
            self.links
                .get_mut(&id)
                .expect("a timer's link is there")
                .lease_at = None;
            self.on_lease(now, id);
        }
    }

    fn on_lease(&mut self, now: u64, id: LinkId) {
        let entry = &self.links[&id];
        if entry.connection.is_none() {
            let lease = entry.absence_us(&self.settings);
            return self.lost(
                id,
                format!("it did not come back within {} s", lease / 1_000_000),
            );
        }
        let lease = entry.lease_us(&self.settings);
        let until = entry.last_heard + lease;
        if until > now {
            return self.set_lease(id, Some(until));
        }
        self.lost(id, format!("it was silent for {} s", lease / 1_000_000));
    }

    fn lost(&mut self, id: LinkId, why: String) {
        self.forget(id);
        self.events.push_back(AcceptorEvent::Left { link: id, why });
    }

    /// When to call `tick` even if nothing happens before.
    pub fn next_wakeup(&self) -> Option<u64> {
        [self.strangers.next_deadline(), self.timers.next()]
            .into_iter()
            .flatten()
            .min()
    }

    /// What happened, in order. Backlogs come last, so they are as of now.
    pub fn poll_event(&mut self) -> Option<AcceptorEvent<P>> {
        if let Some(event) = self.events.pop_front() {
            return Some(event);
        }
        while let Some(id) = self.changed.pop_front() {
            let Some(entry) = self.links.get_mut(&id) else {
                continue;
            };
            entry.changed = false;
            if let Some(bytes) = entry.take_backlog() {
                return Some(AcceptorEvent::Backlog { link: id, bytes });
            }
        }
        None
    }

    /// The next frame for a connection; the links take turns. `None` when there is none to send now.
    pub fn poll_transmit(&mut self, now: u64) -> Option<(ConnectionId, Frame<P>)> {
        if let Some(answer) = self.answers.pop_front() {
            return Some(answer);
        }
        while let Some(id) = self.ready.pop_front() {
            let Some(entry) = self.links.get_mut(&id) else {
                continue;
            };
            let Some(connection) = entry.connection else {
                entry.ready = false;
                continue;
            };
            if let Some(frame) = entry.link.poll_transmit(now) {
                self.ready.push_back(id);
                return Some((connection, frame));
            }
            entry.ready = false;
            let at = entry.link.next_wakeup();
            self.timers
                .set_acknowledgement(id, &mut entry.acknowledge_at, at);
        }
        None
    }

    /// A connection to close, once what was polled for it before is written; it is forgotten here already.
    pub fn poll_close(&mut self) -> Option<ConnectionId> {
        self.closes.pop_front()
    }
}

/// Connections and links, one by one.
impl<P: Payload> Acceptor<P> {
    fn answer(&mut self, connection: ConnectionId, link: LinkId, epoch: u32, message: Message<P>) {
        let frame = Frame {
            link,
            epoch,
            sequence: 0,
            acknowledged: 0,
            messages: vec![message],
        };
        self.answers.push_back((connection, frame));
    }

    fn refuse(
        &mut self,
        connection: ConnectionId,
        link: LinkId,
        code: RefusalCode,
        reason: String,
    ) {
        self.answer(connection, link, 0, Message::Refused { code, reason });
        self.close(connection);
    }

    fn log_refusal(&mut self, origin: &Origin, reason: &str) {
        let text = format!("refused {}: {reason}", origin.address);
        self.events.push_back(AcceptorEvent::Log { text });
    }

    /// The connection has said hello.
    fn greet(&mut self, connection: ConnectionId, link: LinkId) {
        let known = self
            .connections
            .get_mut(&connection)
            .expect("an open connection");
        known.link = Some(link);
        self.strangers.remove(known.deadline, connection);
    }

    fn close(&mut self, connection: ConnectionId) {
        self.forget_connection(connection);
        self.closes.push_back(connection);
    }

    /// Closes a connection that has become useless to its link, which lives on.
    fn drop_connection(&mut self, now: u64, connection: ConnectionId) {
        self.on_close(now, connection);
        self.closes.push_back(connection);
    }

    /// The link that it was the connection of.
    fn forget_connection(&mut self, connection: ConnectionId) -> Option<LinkId> {
        let known = self.connections.remove(&connection)?;
        self.strangers.remove(known.deadline, connection);
        let id = known.link?;
        self.links
            .get(&id)
            .filter(|entry| entry.connection == Some(connection))
            .map(|_| id)
    }

    fn disconnected(&mut self, now: u64, id: LinkId) {
        let entry = self.links.get_mut(&id).expect("a link that is there");
        entry.connection = None;
        let at = now + entry.absence_us(&self.settings);
        self.timers
            .set_acknowledgement(id, &mut entry.acknowledge_at, None);
        self.set_lease(id, Some(at));
        self.events
            .push_back(AcceptorEvent::Disconnected { link: id });
    }

    fn insert_link(&mut self, id: LinkId, entry: Entry<P>) {
        #[cfg(feature = "planted")]
        let entry = entry.with_bugs(self.bugs);
        self.links.insert(id, entry);
    }

    fn remove_link(&mut self, id: LinkId) -> Option<Entry<P>> {
        let mut entry = self.links.remove(&id)?;
        self.timers
            .set_acknowledgement(id, &mut entry.acknowledge_at, None);
        self.timers.set_lease(id, &mut entry.lease_at, None);
        if entry.ready {
            self.ready.retain(|ready| *ready != id);
        }
        if entry.changed {
            self.changed.retain(|changed| *changed != id);
        }
        Some(entry)
    }

    fn leave_connection(&mut self, entry: &Entry<P>) {
        if let Some(connection) = entry.connection {
            self.close(connection);
        }
    }

    fn remember_end(&mut self, link: LinkId, reason: String) {
        if self.ended.insert(link, reason).is_none() {
            self.ended_order.push_back(link);
        }
        if self.ended_order.len() > REMEMBERED_ENDS {
            let oldest = self.ended_order.pop_front().expect("there are some");
            self.ended.remove(&oldest);
        }
    }

    fn set_lease(&mut self, id: LinkId, at: Option<u64>) {
        let entry = self.links.get_mut(&id).expect("a link that is there");
        self.timers.set_lease(id, &mut entry.lease_at, at);
    }

    fn mark_ready(&mut self, id: LinkId) {
        let entry = self.links.get_mut(&id).expect("a link that is there");
        if !std::mem::replace(&mut entry.ready, true) {
            self.ready.push_back(id);
        }
    }

    fn mark_changed(&mut self, id: LinkId) {
        let entry = self.links.get_mut(&id).expect("a link that is there");
        if !std::mem::replace(&mut entry.changed, true) {
            self.changed.push_back(id);
        }
    }
}
