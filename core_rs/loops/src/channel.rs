//! A client's session over its link to the scheduler.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use bytes::Bytes;
use scaler_engine::dialer::DialerEvent;
use scaler_engine::link::ROOM;
use scaler_engine::session::{Session, SessionEvent};
use scaler_wire::{
    Block, Form, FunctionId, Hello, LinkId, Message, ObjectKey, ObjectUse, Options, QueryKind,
    RefusalCode, Segment, Sequence, SessionId, Submit, Welcome,
};

use crate::dialed::{Dialed, DialedEvent, Waiting};
use crate::linux::monotonic_us;
use crate::port::object_hash;
use crate::table;

/// Limits of a block.
const BLOCK_ELEMENTS: usize = 1_024;
const BLOCK_BYTES: usize = 64 << 10;

#[derive(Debug)]
pub enum ChannelEvent {
    Results(Vec<Segment<Bytes>>),
    Answer {
        request: u32,
        ok: bool,
        text: String,
    },
    Closing {
        reason: String,
    },
    Output {
        dropped: u64,
        payload: Bytes,
    },
    Refused {
        code: RefusalCode,
        text: String,
    },
    Welcome {
        welcome: Welcome,
        resumed: bool,
    },
    Disconnected,
}

pub struct Channel {
    session: Session<Bytes>,
    dialed: Dialed,
    events: Vec<DialedEvent>,
    messages: Vec<Message<Bytes>>,
    /// Something was said that may not wait for credit.
    urgent: bool,
    refused: bool,
}

impl Channel {
    /// `hello`: of role client, with the session's number.
    pub fn new(hello: Hello, link: LinkId) -> io::Result<Channel> {
        Ok(Channel {
            session: Session::new(hello.session),
            dialed: Dialed::new(hello, link)?,
            events: Vec::new(),
            messages: Vec::new(),
            urgent: false,
            refused: false,
        })
    }

    pub fn session(&self) -> SessionId {
        self.session.id()
    }

    /// Microseconds between signs of life.
    pub fn with_heartbeat(mut self, heartbeat_us: u64) -> Self {
        self.dialed = self.dialed.with_heartbeat(heartbeat_us);
        self
    }

    pub fn waiting(&self) -> &Arc<Waiting> {
        self.dialed.waiting()
    }

    pub fn attach(&mut self, socket: OwnedFd) -> io::Result<()> {
        self.refused = false;
        self.dialed.attach(socket)
    }

    pub fn detach(&mut self) {
        self.flush();
        self.dialed.detach();
    }

    pub fn attached(&self) -> bool {
        self.dialed.attached()
    }

    pub fn credit(&self) -> bool {
        self.dialed.credit()
    }

    /// Payload bytes that the scheduler has not received.
    pub fn backlog(&self) -> u64 {
        self.dialed.backlog() + self.session.queued_bytes()
    }

    pub fn unsent(&self) -> bool {
        self.dialed.unsent()
    }

    pub fn unfinished(&self) -> u64 {
        self.session.unfinished()
    }

    pub fn function(&mut self, pickled: Bytes) -> FunctionId {
        let id = object_hash(&pickled);
        self.session.function(id, pickled);
        id
    }

    pub fn forget_function(&mut self, id: FunctionId) {
        self.session.forget_function(id);
    }

    pub fn submit(&mut self, submit: Submit<Bytes>) {
        self.session.submit(submit);
    }

    /// All of these, or none: gives the elements from before them that are needed and have no value to come.
    pub fn submit_parts(&mut self, parts: Vec<Submit<Bytes>>) -> Vec<Sequence> {
        let first = parts.first().map_or(0, |part| part.first);
        let graphs = parts.iter().filter_map(|part| part.graph.as_ref());
        let before = graphs
            .flat_map(|graph| &graph.needs)
            .map(|need| need.on)
            .filter(|&on| on < first && !self.session.may_be_needed(on));
        let gone: Vec<Sequence> = before.collect();
        if gone.is_empty() {
            parts.into_iter().for_each(|part| self.submit(part));
        }
        gone
    }

    /// Elements from `first` on, one for each blob.
    pub fn submit_many(
        &mut self,
        function: FunctionId,
        options: Options,
        first: Sequence,
        blobs: &[&[u8]],
    ) {
        let (blocks, objects) = (pack_blocks(blobs), Vec::<ObjectUse>::new());
        self.submit(Submit {
            function,
            first,
            options,
            blocks,
            objects,
            finished: Vec::new(),
            graph: None,
        });
    }

    pub fn cancel(&mut self, first: Sequence, count: u64) {
        self.session.cancel(first, count);
        self.urgent = true;
    }

    pub fn cancel_unstarted(&mut self, first: Sequence, count: u64) -> u32 {
        self.urgent = true;
        self.session.cancel_unstarted(first, count)
    }

    pub fn query(&mut self, kind: QueryKind, first: Sequence) -> u32 {
        self.urgent = true;
        self.session.query(kind, first)
    }

    /// The session is that of a task, which runs at the node of that link. To be said first of all.
    pub fn within(&mut self, node: LinkId, session: SessionId, sequence: Sequence) {
        self.session.within(node, session, sequence);
    }

    pub fn clear(&mut self) {
        self.urgent = true;
        self.session.clear();
    }

    pub fn stream_output(&mut self) {
        self.urgent = true;
        self.session.stream_output();
    }

    pub fn goodbye(&mut self) {
        self.urgent = true;
        self.session.goodbye();
    }

    pub fn shutdown(&mut self) -> u32 {
        self.urgent = true;
        self.session.shutdown()
    }

    pub fn hold_object(&mut self, key: ObjectKey, size: u64) {
        self.urgent = true;
        self.session.hold_object(key, size);
    }

    pub fn release_object(&mut self, key: ObjectKey) {
        self.session.release_object(key);
    }

    /// Writes what may leave now. Without credit, submissions stay where neighbours still join them.
    pub fn flush(&mut self) {
        if self.dialed.credit() || self.urgent {
            self.urgent = false;
            self.session.drain(&mut self.messages);
            self.messages
                .drain(..)
                .for_each(|message| self.dialed.send(message));
            self.messages.shrink_to(ROOM);
        }
        self.dialed.waiting().expect(self.session.expected());
        self.dialed.flush();
    }

    /// What happened, in order.
    pub fn read(&mut self) -> Vec<ChannelEvent> {
        let mut happened = Vec::new();
        let mut events = std::mem::take(&mut self.events);
        self.dialed.read(&mut events);
        for event in events.drain(..) {
            happened.extend(self.on_event(event));
        }
        self.flush();
        // Writing may have found the connection broken.
        self.dialed.take_missed(&mut events);
        for event in events.drain(..) {
            happened.extend(self.on_event(event));
        }
        self.events = events;
        happened
    }

    fn on_event(&mut self, event: DialedEvent) -> Option<ChannelEvent> {
        match event {
            // A refusal is the last word.
            DialedEvent::Disconnected => (!self.refused).then_some(ChannelEvent::Disconnected),
            DialedEvent::Link(DialerEvent::Message(message)) => self.on_message(message),
            DialedEvent::Link(DialerEvent::Welcomed { welcome, resumed }) => {
                Some(ChannelEvent::Welcome { welcome, resumed })
            }
            DialedEvent::Link(DialerEvent::Fresh {
                welcome,
                unacknowledged: _,
            }) => {
                // The session says all that still matters again, what was never acknowledged included.
                self.session.reset();
                self.urgent = true;
                Some(ChannelEvent::Welcome {
                    welcome,
                    resumed: false,
                })
            }
            DialedEvent::Link(DialerEvent::Refused { code, reason }) => {
                self.refused = true;
                Some(ChannelEvent::Refused { code, text: reason })
            }
        }
    }

    fn on_message(&mut self, message: Message<Bytes>) -> Option<ChannelEvent> {
        match self.session.handle(monotonic_us(), message)? {
            SessionEvent::Results(segments) => Some(ChannelEvent::Results(segments)),
            SessionEvent::Answer { request, ok, text } => {
                Some(ChannelEvent::Answer { request, ok, text })
            }
            SessionEvent::Closing { reason } => Some(ChannelEvent::Closing { reason }),
            SessionEvent::Output { dropped, payload } => {
                Some(ChannelEvent::Output { dropped, payload })
            }
            SessionEvent::Malformed { reason: _ } => {
                self.dialed.give_up();
                None
            }
        }
    }
}

/// Blobs to blocks: tables of neighbours, a large blob alone.
pub fn pack_blocks(blobs: &[&[u8]]) -> Vec<Block<Bytes>> {
    let mut blocks = Vec::new();
    let mut start = 0;
    while start < blobs.len() {
        let (mut end, mut bytes) = (start, 0);
        while end < blobs.len() && end - start < BLOCK_ELEMENTS {
            bytes += 4 + blobs[end].len();
            if bytes > BLOCK_BYTES && end > start {
                break;
            }
            end += 1;
        }
        blocks.push(pack_block(&blobs[start..end]));
        start = end;
    }
    blocks
}

fn pack_block(blobs: &[&[u8]]) -> Block<Bytes> {
    if let [blob] = blobs {
        return Block {
            count: 1,
            form: Form::Single,
            payload: Bytes::copy_from_slice(blob),
        };
    }
    let packed =
        table::pack(blobs.iter().copied()).expect("a block of several elements is below 64 KiB");
    Block {
        count: blobs.len() as u32,
        form: Form::Table,
        payload: Bytes::from(packed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(sizes: &[usize]) -> Vec<(u32, Form)> {
        let bytes = vec![7; 1 << 20];
        let blobs: Vec<&[u8]> = sizes.iter().map(|size| &bytes[..*size]).collect();
        pack_blocks(&blobs)
            .iter()
            .map(|block| (block.count, block.form))
            .collect()
    }

    #[test]
    fn neighbours_share_a_table_within_the_limits_of_a_block() {
        assert_eq!(
            shape(&[10; 1_025]),
            [(1_024, Form::Table), (1, Form::Single)]
        );
        assert_eq!(
            shape(&[40 << 10, 20 << 10, 20 << 10]),
            [(2, Form::Table), (1, Form::Single)]
        );
    }

    #[test]
    fn a_large_element_is_alone() {
        assert_eq!(shape(&[1, 1 << 20, 1]), [(1, Form::Single); 3]);
        assert_eq!(shape(&[]), []);
    }
}
