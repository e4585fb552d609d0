//! Frames to bytes of a stream socket. Nothing here waits: what the socket does not take stays queued.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::os::fd::BorrowedFd;

use bytes::Bytes;
use rustix::net::{SendAncillaryBuffer, SendFlags};
use scaler_wire::{encode, Frame};

/// Smaller payloads are copied beside the headers: a copy is cheaper than one more entry of the vector.
const COPIED: usize = 16 << 10;
/// Entries of one write.
const VECTOR: usize = 64;
/// Room that an empty queue keeps.
const KEPT: usize = 256 << 10;

/// The sending half of a connection.
#[derive(Debug, Default)]
pub struct Output {
    /// Complete pieces, in order; `written` bytes of the first have gone.
    pieces: VecDeque<Bytes>,
    written: usize,
    /// Headers and small payloads after the last piece; `tail_written` bytes of it have gone.
    tail: Vec<u8>,
    tail_written: usize,
    payloads: Vec<Bytes>,
    unsent: usize,
}

impl Output {
    pub fn push(&mut self, frame: &Frame<Bytes>) {
        if self.tail_written > KEPT {
            self.tail.drain(..self.tail_written);
            self.tail_written = 0;
        }
        let mut payloads = std::mem::take(&mut self.payloads);
        let before = self.tail.len();
        encode(frame, &mut self.tail, &mut payloads);
        self.unsent += self.tail.len() - before;
        for payload in payloads.drain(..) {
            self.unsent += payload.len();
            if payload.len() < COPIED {
                self.tail.extend_from_slice(&payload);
            } else {
                self.close_tail();
                self.pieces.push_back(payload);
            }
        }
        self.payloads = payloads;
    }

    /// Bytes that the socket has not taken.
    pub fn unsent(&self) -> usize {
        self.unsent
    }

    /// Writes until the socket takes no more. Whether all is written.
    pub fn write(&mut self, socket: BorrowedFd<'_>) -> io::Result<bool> {
        while self.unsent > 0 {
            match self.write_once(socket) {
                Ok(count) => self.advance(count),
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => return Ok(false),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(true)
    }

    fn write_once(&self, socket: BorrowedFd<'_>) -> rustix::io::Result<usize> {
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        if self.pieces.is_empty() {
            return rustix::net::send(socket, &self.tail[self.tail_written..], flags);
        }
        let mut vector: smallvec::SmallVec<[IoSlice<'_>; VECTOR]> = smallvec::SmallVec::new();
        for (at, piece) in self.pieces.iter().take(VECTOR - 1).enumerate() {
            vector.push(IoSlice::new(if at == 0 {
                &piece[self.written..]
            } else {
                piece
            }));
        }
        if self.pieces.len() < VECTOR {
            vector.push(IoSlice::new(&self.tail));
        }
        rustix::net::sendmsg(socket, &vector, &mut SendAncillaryBuffer::default(), flags)
    }

    fn advance(&mut self, mut count: usize) {
        self.unsent -= count;
        while let Some(first) = self.pieces.front() {
            let rest = first.len() - self.written;
            if count < rest {
                self.written += count;
                return;
            }
            count -= rest;
            self.written = 0;
            self.pieces.pop_front();
        }
        self.tail_written += count;
        if self.unsent == 0 {
            self.tail.clear();
            self.tail.shrink_to(KEPT);
            self.tail_written = 0;
        }
    }

    fn close_tail(&mut self) {
        if self.tail.is_empty() {
            return;
        }
        // Once there are pieces, the tail behind them has not begun to go.
        if self.pieces.is_empty() {
            self.written = self.tail_written;
        }
        self.tail_written = 0;
        self.pieces
            .push_back(Bytes::from(std::mem::take(&mut self.tail)));
    }
}
