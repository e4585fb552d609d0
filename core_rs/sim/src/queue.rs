//! Virtual time: what will happen, in order. Two events of one moment happen in the order in which they were planned.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Microseconds since the world began.
pub type Time = u64;

pub const MILLISECOND: Time = 1_000;
pub const SECOND: Time = 1_000_000;

#[derive(Debug)]
struct Planned<E> {
    at: Time,
    order: u64,
    event: E,
}

impl<E> PartialEq for Planned<E> {
    fn eq(&self, other: &Self) -> bool {
        self.order == other.order
    }
}
impl<E> Eq for Planned<E> {}
impl<E> PartialOrd for Planned<E> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl<E> Ord for Planned<E> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

#[derive(Debug)]
pub struct Queue<E> {
    now: Time,
    planned: u64,
    heap: BinaryHeap<Reverse<Planned<E>>>,
}

impl<E> Default for Queue<E> {
    fn default() -> Self {
        Queue {
            now: 0,
            planned: 0,
            heap: BinaryHeap::new(),
        }
    }
}

impl<E> Queue<E> {
    pub fn now(&self) -> Time {
        self.now
    }

    /// Plans `event`; a time that has passed means now.
    pub fn at(&mut self, at: Time, event: E) {
        self.planned += 1;
        self.heap.push(Reverse(Planned {
            at: at.max(self.now),
            order: self.planned,
            event,
        }));
    }

    pub fn next_at(&self) -> Option<Time> {
        self.heap.peek().map(|Reverse(planned)| planned.at)
    }

    /// Moves the clock to the next event.
    pub fn pop(&mut self) -> Option<E> {
        let Reverse(planned) = self.heap.pop()?;
        self.now = planned.at;
        Some(planned.event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_by_time_then_by_order_of_planning() {
        let mut queue = Queue::default();
        queue.at(5, "late");
        queue.at(3, "first");
        queue.at(3, "second");
        assert_eq!((queue.pop(), queue.now()), (Some("first"), 3));
        queue.at(1, "past");
        assert_eq!((queue.pop(), queue.now()), (Some("second"), 3));
        assert_eq!((queue.pop(), queue.now()), (Some("past"), 3));
        assert_eq!((queue.pop(), queue.now()), (Some("late"), 5));
        assert_eq!(queue.pop(), None);
    }
}
