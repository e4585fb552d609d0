//! Bytes of a stream socket to frames.
//!
//! A turn reads into one scratch buffer that all connections of a loop share, so an idle connection holds no memory.
//! What is left of a turn, part of a frame, stays with its connection, in a buffer of exactly the frame's size once
//! that is known. Payloads are handles on such a buffer only where they are at least a quarter of it, and copies
//! otherwise: what stays alive never keeps more than four times its size.

use std::io;
use std::os::fd::BorrowedFd;

use bytes::Bytes;
use rustix::buffer::spare_capacity;
use rustix::net::RecvFlags;
use scaler_wire::{decode, stream_length, DecodeError, Frame};

/// Bytes that one read of a socket takes at most, but for the rest of a larger frame.
pub const SCRATCH: usize = 256 << 10;
const LENGTH: usize = 4;
/// A payload is a handle on its frame's buffer if it is this part of it or more.
const SHARE: usize = 4;

#[derive(Debug)]
pub enum ReadError {
    Io(io::Error),
    /// The peer does not speak the protocol. Frames before that were given.
    Malformed(DecodeError),
}

/// What one read found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// Nothing is there now.
    Nothing,
    /// So many bytes; `drained` when the socket is now empty, as far as a short read can tell.
    Bytes { count: usize, drained: bool },
    /// The peer sends no more.
    End,
}

/// The receiving half of a connection.
#[derive(Debug, Default)]
pub struct Input {
    /// The beginning of a frame, its 4 length bytes included.
    partial: Vec<u8>,
}

impl Input {
    /// Reads once, without waiting, and appends the frames that are complete. `scratch` is empty before and after.
    pub fn read(
        &mut self,
        socket: BorrowedFd<'_>,
        scratch: &mut Vec<u8>,
        frames: &mut Vec<Frame<Bytes>>,
    ) -> Result<Read, ReadError> {
        if self.partial.is_empty() {
            scratch.clear();
            scratch.reserve(SCRATCH);
            let read = receive(socket, scratch).map_err(ReadError::Io)?;
            let used = take_frames(scratch, frames).map_err(ReadError::Malformed)?;
            self.keep(&scratch[used..]).map_err(ReadError::Malformed)?;
            scratch.clear();
            return Ok(read);
        }
        let read = receive(socket, &mut self.partial).map_err(ReadError::Io)?;
        self.advance(frames).map_err(ReadError::Malformed)?;
        Ok(read)
    }

    /// Keeps the beginning of a frame, with room for the rest.
    fn keep(&mut self, rest: &[u8]) -> Result<(), DecodeError> {
        if rest.is_empty() {
            return Ok(());
        }
        let room = stream_length(rest)?.unwrap_or(LENGTH);
        self.partial = Vec::with_capacity(room);
        self.partial.extend_from_slice(rest);
        Ok(())
    }

    fn advance(&mut self, frames: &mut Vec<Frame<Bytes>>) -> Result<(), DecodeError> {
        let Some(total) = stream_length(&self.partial)? else {
            return Ok(());
        };
        if self.partial.len() < total {
            self.partial.reserve_exact(total - self.partial.len());
            return Ok(());
        }
        // An allocator may give more room than was asked for: then what follows the frame may be here as well.
        let rest = self.partial.split_off(total);
        frames.push(frame_from_buffer(Bytes::from(std::mem::take(
            &mut self.partial,
        )))?);
        let used = take_frames(&rest, frames)?;
        self.keep(&rest[used..])
    }
}

/// One `recv` into the spare room of `buffer`.
fn receive(socket: BorrowedFd<'_>, buffer: &mut Vec<u8>) -> io::Result<Read> {
    let room = buffer.capacity() - buffer.len();
    loop {
        match rustix::net::recv(socket, spare_capacity(buffer), RecvFlags::DONTWAIT) {
            Ok((_, 0)) => return Ok(Read::End),
            Ok((_, count)) => {
                return Ok(Read::Bytes {
                    count,
                    drained: count < room,
                })
            }
            Err(rustix::io::Errno::INTR) => {}
            Err(rustix::io::Errno::AGAIN) => return Ok(Read::Nothing),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Decodes the complete frames at the start of `bytes`; how many bytes they were.
fn take_frames(bytes: &[u8], frames: &mut Vec<Frame<Bytes>>) -> Result<usize, DecodeError> {
    let mut at = 0;
    while let Some(total) = stream_length(&bytes[at..])?.filter(|total| *total <= bytes.len() - at)
    {
        let frame = &bytes[at + LENGTH..at + total];
        frames.push(decode(frame, |start, end| {
            Bytes::copy_from_slice(&frame[start..end])
        })?);
        at += total;
    }
    Ok(at)
}

fn frame_from_buffer(buffer: Bytes) -> Result<Frame<Bytes>, DecodeError> {
    let frame = buffer.slice(LENGTH..);
    decode(&frame, |start, end| {
        if (end - start) * SHARE >= buffer.len() {
            frame.slice(start..end)
        } else {
            Bytes::copy_from_slice(&frame[start..end])
        }
    })
}
