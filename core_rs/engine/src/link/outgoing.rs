//! Messages that have not left yet, and the order in which they may.
//!
//! Two queues: `waiting` needs credit, `express` does not and overtakes it when there is none. With credit both leave
//! in the order in which they came. A cancel must not overtake what it cancels (its receiver would not know the
//! elements, and they would run): the part of it whose elements still wait joins `waiting` behind them, the part
//! whose elements have left goes express. A goodbye makes all that waits pointless and drops it.

use std::collections::VecDeque;

use super::ROOM;
use crate::wire::limits::{FULL_BYTES, FULL_ELEMENTS};
use crate::wire::{Message, Payload, Range, SessionId};

#[derive(Debug)]
struct Queued<P> {
    order: u64,
    message: Message<P>,
    payload_bytes: usize,
}

/// Elements of a waiting `Submit` (session 0: the link has one session) or `Assign`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Target {
    session: SessionId,
    first: u64,
    end: u64,
}

#[derive(Debug)]
pub(super) struct Outgoing<P> {
    waiting: VecDeque<Queued<P>>,
    express: VecDeque<Queued<P>>,
    /// What the submissions and assignments of `waiting` hold, in its order.
    targets: VecDeque<Target>,
    order: u64,
    bytes: u64,
}

impl<P> Default for Outgoing<P> {
    fn default() -> Self {
        Outgoing {
            waiting: VecDeque::new(),
            express: VecDeque::new(),
            targets: VecDeque::new(),
            order: 0,
            bytes: 0,
        }
    }
}

impl<P: Payload> Outgoing<P> {
    /// Payload bytes of all that is queued.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.express.is_empty()
    }

    /// Whether anything waits for credit.
    pub fn waits(&self) -> bool {
        !self.waiting.is_empty()
    }

    pub fn push(&mut self, message: Message<P>) {
        match message {
            Message::Cancel { first, count } => {
                let range = Range {
                    session: 0,
                    first,
                    count,
                };
                self.push_cancel(range, |range| Message::Cancel {
                    first: range.first,
                    count: range.count,
                });
            }
            Message::CancelElements { range } => {
                self.push_cancel(range, |range| Message::CancelElements { range });
            }
            // Whole, for it has one answer.
            Message::CancelUnstarted { first, count, .. } => {
                let range = Range {
                    session: 0,
                    first,
                    count,
                };
                match self.first_waiting(range) < count {
                    true => self.push_waiting(message),
                    false => self.push_express(message),
                }
            }
            Message::Withdraw { range, .. } => match self.first_waiting(range) < range.count {
                true => self.push_waiting(message),
                false => self.push_express(message),
            },
            Message::Goodbye => {
                self.take_all();
                self.push_express(Message::Goodbye);
            }
            message if message.takes_credit() => self.push_waiting(message),
            message => self.push_express(message),
        }
    }

    fn push_cancel(&mut self, range: Range, message: impl Fn(Range) -> Message<P>) {
        let split = self.first_waiting(range);
        if split > 0 {
            self.push_express(message(Range {
                count: split,
                ..range
            }));
        }
        if split < range.count {
            let rest = Range {
                first: range.first + split,
                count: range.count - split,
                ..range
            };
            self.push_waiting(message(rest));
        }
    }

    /// How many of the range's first elements have left, or never were here.
    fn first_waiting(&self, range: Range) -> u64 {
        let end = range.first.saturating_add(range.count);
        self.targets
            .iter()
            .filter(|target| {
                target.session == range.session && target.first < end && range.first < target.end
            })
            .map(|target| target.first.saturating_sub(range.first))
            .min()
            .unwrap_or(range.count)
    }

    fn push_waiting(&mut self, message: Message<P>) {
        self.targets.extend(target_of(&message));
        let queued = self.queued(message);
        self.waiting.push_back(queued);
    }

    fn push_express(&mut self, message: Message<P>) {
        let queued = self.queued(message);
        self.express.push_back(queued);
    }

    fn queued(&mut self, message: Message<P>) -> Queued<P> {
        let payload_bytes = message.payload_bytes();
        self.bytes += payload_bytes as u64;
        self.order += 1;
        Queued {
            order: self.order,
            message,
            payload_bytes,
        }
    }

    /// Messages for one frame, as many as it may hold, and their payload bytes. Without credit: only those that need
    /// none.
    pub fn take_frame(&mut self, credit: bool) -> Option<(Vec<Message<P>>, u64)> {
        let (mut messages, mut payload_bytes) = (Vec::new(), 0);
        let (mut bytes, mut elements) = (0, 0);
        while let Some(next) = self.peek(credit) {
            let queued = self.front(next);
            bytes += queued.payload_bytes + queued.message.header_bytes();
            elements += queued.message.elements();
            if !messages.is_empty() && (bytes > FULL_BYTES || elements > FULL_ELEMENTS) {
                break;
            }
            let queued = self.pop(next);
            payload_bytes += queued.payload_bytes as u64;
            messages.push(queued.message);
        }
        self.bytes -= payload_bytes;
        if self.waiting.is_empty() {
            self.waiting.shrink_to(ROOM);
            self.targets.shrink_to(ROOM);
        }
        (!messages.is_empty()).then_some((messages, payload_bytes))
    }

    fn peek(&self, credit: bool) -> Option<Queue> {
        let waiting = self
            .waiting
            .front()
            .filter(|queued| credit || !queued.message.takes_credit());
        match (waiting, self.express.front()) {
            (Some(waiting), Some(express)) if waiting.order < express.order => Some(Queue::Waiting),
            (_, Some(_)) => Some(Queue::Express),
            (Some(_), None) => Some(Queue::Waiting),
            (None, None) => None,
        }
    }

    fn front(&self, queue: Queue) -> &Queued<P> {
        match queue {
            Queue::Waiting => &self.waiting[0],
            Queue::Express => &self.express[0],
        }
    }

    fn pop(&mut self, queue: Queue) -> Queued<P> {
        let queued = match queue {
            Queue::Waiting => self.waiting.pop_front(),
            Queue::Express => self.express.pop_front(),
        };
        let queued = queued.expect("a front was seen");
        if target_of(&queued.message).is_some() {
            self.targets.pop_front();
        }
        queued
    }

    /// Empties the queues; all messages in the order in which they came.
    pub fn take_all(&mut self) -> Vec<Message<P>> {
        let mut all: Vec<_> = self
            .waiting
            .drain(..)
            .chain(self.express.drain(..))
            .collect();
        all.sort_unstable_by_key(|queued| queued.order);
        self.targets.clear();
        self.bytes = 0;
        all.into_iter().map(|queued| queued.message).collect()
    }
}

#[derive(Clone, Copy)]
enum Queue {
    Waiting,
    Express,
}

fn target_of<P>(message: &Message<P>) -> Option<Target> {
    let (session, first, count) = match message {
        Message::Submit(submit) => (0, submit.first, submit.count()),
        Message::Assign(assign) => (assign.session, assign.first, u64::from(assign.count)),
        _ => return None,
    };
    Some(Target {
        session,
        first,
        end: first.saturating_add(count),
    })
}

#[cfg(test)]
mod tests {
    use super::{Outgoing, ROOM};
    use crate::wire::{Block, Form, Message, Options, Submit};
    use bytes::Bytes;

    fn task(first: u64) -> Message<Bytes> {
        Message::Submit(Submit {
            function: [7; 16],
            first,
            options: Options::default(),
            blocks: vec![Block {
                count: 1,
                form: Form::Single,
                payload: Bytes::from_static(b"argument"),
            }],
            objects: Vec::new(),
            finished: Vec::new(),
            graph: None,
        })
    }

    #[test]
    fn a_flood_that_has_left_leaves_no_room_of_its_size() {
        let mut outgoing = Outgoing::default();
        (0..4 * ROOM as u64).for_each(|first| outgoing.push(task(first)));
        assert!(outgoing.waiting.capacity() >= 4 * ROOM);
        while outgoing.take_frame(true).is_some() {}
        assert!(outgoing.waiting.capacity() <= ROOM);
        assert!(outgoing.targets.capacity() <= ROOM);
    }
}
