//! One end of a link: two parts' conversation, which outlives connections.
//!
//! Theory of operation. Outgoing messages wait in [`Outgoing`] until they leave in a numbered frame. A frame is *kept*
//! until the peer is known to have received it (its acknowledgement, or what it says in the handshake after a
//! reconnect), and everything kept is sent again on a new connection. The receiver takes frames strictly in order:
//! what it has already is dropped, and a gap means that this connection cannot be trusted any more.
//!
//! Credit: at most `window` frames that take credit may be unacknowledged. Acknowledging is *accepting*: while the
//! receiver *holds*, it receives (and delivers) but does not accept, so the sender runs out of credit. At most
//! `window` credit-taking frames are ever kept, which bounds the memory of both ends.
//!
//! A link knows nothing of connections: [`crate::dialer`] and [`crate::acceptor`] ask it for frames when there is one.

mod outgoing;
mod output;

use std::collections::VecDeque;

use crate::wire::{Frame, LinkId, Message, Payload};
use outgoing::Outgoing;
use output::OutputBound;
pub use output::MOST_OUTPUT_BYTES;

/// Unacknowledged frames that take credit, at most.
pub const WINDOW: usize = 3;
/// Messages for which a queue that has become empty keeps room: a flood of a million leaves no hole of its size behind.
pub const ROOM: usize = 16_384;
/// An acknowledgement that nothing carries goes alone after this long.
pub const ACKNOWLEDGE_AFTER_US: u64 = 20_000;
/// Or once this many frames are owed one.
const ACKNOWLEDGE_OWED: u64 = 2;

/// What a received frame is.
#[derive(Clone, Debug, PartialEq)]
pub enum Received<P> {
    /// The next in order: its messages, each to be handled once.
    Messages(Vec<Message<P>>),
    /// Outside the link's order: bare acknowledgements and heartbeats.
    Outside(Vec<Message<P>>),
    /// Received before; dropped.
    Duplicate,
    /// Frames are missing before this one, or it is of another epoch: close the connection and say hello again.
    Gap,
    /// No correct peer sends this: end the link. Why, for people.
    Malformed(&'static str),
}

/// The peer remembers less of this epoch than it once acknowledged, or more than was sent: it cannot be resumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CannotResume;

/// Mistakes to plant for the simulator, which must find each.
#[cfg(feature = "planted")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bugs {
    /// Frames that are acknowledged together with a later one never give their credit back.
    pub forget_acknowledgement: bool,
    /// What is sent again after a reconnect gets new sequence numbers.
    pub resend_without_sequence: bool,
}

#[derive(Debug)]
struct Kept<P> {
    messages: Vec<Message<P>>,
    bytes: u64,
}

#[derive(Debug)]
pub struct Link<P> {
    id: LinkId,
    epoch: u32,
    window: usize,

    outgoing: Outgoing<P>,
    output: OutputBound,
    /// Frames `pruned + 1 ..= sent`, the ones that the peer is not known to have received.
    kept: VecDeque<Kept<P>>,
    kept_bytes: u64,
    pruned: u64,
    sent: u64,
    /// Which of `kept` is transmitted next; all of them have been when it is `kept.len()`.
    cursor: usize,
    /// Sequences of unacknowledged frames that took credit.
    charged: VecDeque<u64>,

    received: u64,
    /// Highest sequence that may be acknowledged; behind `received` while held.
    accepted: u64,
    /// Credit-taking frames received and not accepted.
    unaccepted: usize,
    held: bool,
    /// The acknowledgement that the peer was last sent.
    told: u64,
    acknowledge_now: bool,
    acknowledge_at: Option<u64>,

    #[cfg(feature = "planted")]
    bugs: Bugs,
}

impl<P: Payload> Link<P> {
    pub fn new(id: LinkId, epoch: u32, window: usize) -> Self {
        assert!(window > 0, "a link without credit sends nothing");
        Link {
            id,
            epoch,
            window,
            outgoing: Outgoing::default(),
            output: OutputBound::default(),
            kept: VecDeque::new(),
            kept_bytes: 0,
            pruned: 0,
            sent: 0,
            cursor: 0,
            charged: VecDeque::new(),
            received: 0,
            accepted: 0,
            unaccepted: 0,
            held: false,
            told: 0,
            acknowledge_now: false,
            acknowledge_at: None,
            #[cfg(feature = "planted")]
            bugs: Bugs::default(),
        }
    }

    pub fn id(&self) -> LinkId {
        self.id
    }

    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// Highest sequence received in order.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Highest sequence sent.
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// Whether a credit-taking message would leave at once.
    pub fn credit(&self) -> bool {
        self.charged.len() < self.window && !self.outgoing.waits()
    }

    /// Payload bytes queued, or sent and not known to be received.
    pub fn backlog(&self) -> u64 {
        self.outgoing.bytes() + self.kept_bytes
    }

    /// Whether anything is queued, or sent and not known to be received.
    pub fn is_idle(&self) -> bool {
        self.kept.is_empty() && self.outgoing.is_empty()
    }

    pub fn send(&mut self, message: Message<P>) {
        if let Some(message) = self.output.admit(message) {
            self.outgoing.push(message);
        }
    }

    /// While held, what is received gives no credit back.
    pub fn hold(&mut self, held: bool) {
        self.held = held;
        if !held {
            self.acknowledge_now |= self.accepted < self.received;
            self.accept();
        }
    }

    /// Answers the next `poll_transmit` with an acknowledgement even if none is owed (a heartbeat was heard).
    pub fn acknowledge_now(&mut self) {
        self.acknowledge_now = true;
    }

    pub fn receive(&mut self, frame: Frame<P>) -> Received<P> {
        debug_assert_eq!(frame.link, self.id, "frames are brought to their own link");
        if frame.epoch != self.epoch {
            return Received::Gap;
        }
        if frame.acknowledged > self.sent {
            return Received::Malformed("it acknowledges a frame that was never sent");
        }
        self.take_back_credit(frame.acknowledged);
        if frame.sequence == 0 {
            return self.receive_outside(frame.messages);
        }
        if frame.sequence <= self.received {
            self.acknowledge_now = true;
            return Received::Duplicate;
        }
        if frame.sequence > self.received + 1 {
            return Received::Gap;
        }
        self.receive_next(frame)
    }

    fn receive_outside(&mut self, messages: Vec<Message<P>>) -> Received<P> {
        if messages
            .iter()
            .all(|message| matches!(message, Message::Heartbeat))
        {
            return Received::Outside(messages);
        }
        Received::Malformed("a message outside of the link's order")
    }

    fn receive_next(&mut self, frame: Frame<P>) -> Received<P> {
        if frame.messages.iter().any(is_handshake) {
            return Received::Malformed("a handshake within the link's order");
        }
        let charged = takes_credit(&frame.messages);
        if charged && self.unaccepted == self.window {
            return Received::Malformed("more frames than it has credit for");
        }
        self.received = frame.sequence;
        self.unaccepted += usize::from(charged);
        if !self.held {
            self.accept();
        }
        Received::Messages(frame.messages)
    }

    fn accept(&mut self) {
        self.accepted = self.received;
        self.unaccepted = 0;
    }

    fn take_back_credit(&mut self, acknowledged: u64) {
        #[cfg(feature = "planted")]
        if self.bugs.forget_acknowledgement {
            self.charged.retain(|sequence| *sequence != acknowledged);
            return self.prune(acknowledged);
        }
        while self
            .charged
            .front()
            .is_some_and(|sequence| *sequence <= acknowledged)
        {
            self.charged.pop_front();
        }
        self.prune(acknowledged);
    }

    /// Forgets frames up to `received`, which the peer has.
    fn prune(&mut self, received: u64) {
        while self.pruned < received {
            let kept = self
                .kept
                .pop_front()
                .expect("everything after the pruned frames is kept");
            self.kept_bytes -= kept.bytes;
            self.output.received(&kept.messages);
            self.pruned += 1;
            self.cursor = self.cursor.saturating_sub(1);
        }
    }

    /// A new connection, in the same epoch, to a peer that has received frames up to `peer_received`: the rest is
    /// transmitted again.
    pub fn resume(&mut self, peer_received: u64) -> Result<(), CannotResume> {
        if peer_received < self.pruned || peer_received > self.sent {
            return Err(CannotResume);
        }
        #[cfg(feature = "planted")]
        if self.bugs.resend_without_sequence {
            self.renumber(peer_received);
            return Ok(());
        }
        self.prune(peer_received);
        self.cursor = 0;
        // What was told last may have been lost with the connection.
        self.acknowledge_now |= self.accepted > 0;
        Ok(())
    }

    /// The next frame for the connection; `None` when there is nothing to send now.
    pub fn poll_transmit(&mut self, now: u64) -> Option<Frame<P>> {
        if self.cursor == self.kept.len() {
            for message in self.output.take_untold() {
                self.outgoing.push(message);
            }
            self.fill_frame();
        }
        if let Some(kept) = self.kept.get(self.cursor) {
            let messages = kept.messages.clone();
            self.cursor += 1;
            let sequence = self.pruned + self.cursor as u64;
            return Some(self.frame(sequence, messages));
        }
        self.poll_acknowledgement(now)
    }

    /// A frame outside of the link's order.
    pub fn outside(&mut self, messages: Vec<Message<P>>) -> Frame<P> {
        self.frame(0, messages)
    }

    fn frame(&mut self, sequence: u64, messages: Vec<Message<P>>) -> Frame<P> {
        self.told = self.accepted;
        self.acknowledge_now = false;
        self.acknowledge_at = None;
        Frame {
            link: self.id,
            epoch: self.epoch,
            sequence,
            acknowledged: self.accepted,
            messages,
        }
    }

    fn fill_frame(&mut self) {
        let credit = self.charged.len() < self.window;
        let Some((messages, bytes)) = self.outgoing.take_frame(credit) else {
            return;
        };
        self.sent += 1;
        if takes_credit(&messages) {
            self.charged.push_back(self.sent);
        }
        self.kept_bytes += bytes;
        self.kept.push_back(Kept { messages, bytes });
    }

    fn poll_acknowledgement(&mut self, now: u64) -> Option<Frame<P>> {
        let owed = self.accepted - self.told;
        if owed > 0 && self.acknowledge_at.is_none() {
            self.acknowledge_at = Some(now + ACKNOWLEDGE_AFTER_US);
        }
        let due = self.acknowledge_at.is_some_and(|at| at <= now);
        if !(self.acknowledge_now || owed >= ACKNOWLEDGE_OWED || due) {
            return None;
        }
        Some(self.outside(Vec::new()))
    }

    /// When `poll_transmit` has something even if nothing happens before.
    pub fn next_wakeup(&self) -> Option<u64> {
        self.acknowledge_at
    }

    /// Starts from nothing in another epoch; what the peer never acknowledged of this one, in order.
    pub fn begin_anew(&mut self, epoch: u32) -> Vec<Message<P>> {
        let unacknowledged = self.take_unacknowledged();
        let mut fresh = Link::new(self.id, epoch, self.window);
        fresh.held = self.held;
        #[cfg(feature = "planted")]
        fresh.set_bugs(self.bugs);
        *self = fresh;
        unacknowledged
    }

    /// All messages that the peer is not known to have received, in order: it has forgotten this link.
    pub fn take_unacknowledged(&mut self) -> Vec<Message<P>> {
        let kept = std::mem::take(&mut self.kept);
        self.pruned = self.sent;
        self.kept_bytes = 0;
        self.cursor = 0;
        self.charged.clear();
        self.output = OutputBound::default();
        let mut messages: Vec<_> = kept.into_iter().flat_map(|kept| kept.messages).collect();
        messages.extend(self.outgoing.take_all());
        messages
    }
}

#[cfg(feature = "planted")]
impl<P: Payload> Link<P> {
    pub fn set_bugs(&mut self, bugs: Bugs) {
        self.bugs = bugs;
    }

    fn renumber(&mut self, peer_received: u64) {
        self.pruned = peer_received;
        self.sent = peer_received + self.kept.len() as u64;
        self.charged = (peer_received + 1..=self.sent).collect();
        self.cursor = 0;
    }
}

fn takes_credit<P>(messages: &[Message<P>]) -> bool {
    messages.iter().any(Message::takes_credit)
}

fn is_handshake<P>(message: &Message<P>) -> bool {
    matches!(
        message,
        Message::Hello(_) | Message::Welcome(_) | Message::Refused { .. } | Message::UnknownLink
    )
}
