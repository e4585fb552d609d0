//! Bytes of a stream socket to frames.
//!
//! A turn reads into one scratch buffer that all connections of a loop share, so an idle connection holds no memory.
//! What is left of a turn, part of a frame, stays with its connection, in a buffer of exactly the frame's size once
//! that is known. Payloads are handles on such a buffer only where they are at least a quarter of it, and copies
//! otherwise: what stays alive never keeps more than four times its size.
//!
//! Where both ends are on this host, payloads may be in files (see `mapped`), whose descriptors come with the bytes.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use bytes::Bytes;
use rustix::buffer::spare_capacity;
use rustix::net::RecvFlags;
use scaler_wire::{
    decode, decode_in_files, files_of, stream_length, takes_files, DecodeError, Found, Frame,
    MOST_FILES,
};

use crate::linux;
use crate::mapped::Incoming;

/// Bytes that one read of a socket takes at most, but for the rest of a larger frame.
pub const SCRATCH: usize = 256 << 10;
const LENGTH: usize = 4;
/// A payload is a handle on its frame's buffer if it is this part of it or more.
const SHARE: usize = 4;
/// Those of one frame come with its first byte, after the whole frame before it.
const MOST_WAITING: usize = 2 * MOST_FILES;

#[derive(Debug)]
pub enum ReadError {
    Io(io::Error),
    /// The peer does not speak the protocol. Frames before that were given.
    Malformed(DecodeError),
}

impl From<DecodeError> for ReadError {
    fn from(error: DecodeError) -> Self {
        ReadError::Malformed(error)
    }
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> Self {
        ReadError::Io(error)
    }
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
    files: Option<Files>,
}

/// Of a connection on which payloads may come in files.
#[derive(Debug, Default)]
struct Files {
    /// Have come, and belong to frames that have not come whole.
    waiting: VecDeque<OwnedFd>,
    incoming: Incoming,
    /// The peer takes such payloads as well.
    peer_takes: bool,
}

impl Input {
    /// For a Unix socket whose other end is a process of our own user: payloads may come in files.
    pub fn with_files() -> Input {
        Input {
            partial: Vec::new(),
            files: Some(Files::default()),
        }
    }

    /// Whether payloads may come in files.
    pub fn takes_files(&self) -> bool {
        self.files.is_some()
    }

    /// Whether the peer has said that it takes payloads in files.
    pub fn peer_takes_files(&self) -> bool {
        self.files.as_ref().is_some_and(|files| files.peer_takes)
    }

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
            let read = receive(socket, scratch, &mut self.files)?;
            let used = take_frames(scratch, &mut self.files, frames)?;
            self.keep(&scratch[used..])?;
            scratch.clear();
            return Ok(read);
        }
        let read = receive(socket, &mut self.partial, &mut self.files)?;
        self.advance(frames)?;
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

    fn advance(&mut self, frames: &mut Vec<Frame<Bytes>>) -> Result<(), ReadError> {
        let Some(total) = stream_length(&self.partial)? else {
            return Ok(());
        };
        if self.partial.len() < total {
            self.partial.reserve_exact(total - self.partial.len());
            return Ok(());
        }
        // An allocator may give more room than was asked for: then what follows the frame may be here as well.
        let rest = self.partial.split_off(total);
        let whole = Bytes::from(std::mem::take(&mut self.partial));
        frames.push(frame_from_buffer(whole, &mut self.files)?);
        let used = take_frames(&rest, &mut self.files, frames)?;
        Ok(self.keep(&rest[used..])?)
    }
}

/// One `recv` into the spare room of `buffer`.
fn receive(
    socket: BorrowedFd<'_>,
    buffer: &mut Vec<u8>,
    files: &mut Option<Files>,
) -> io::Result<Read> {
    let room = buffer.capacity() - buffer.len();
    loop {
        let before = files.as_ref().map_or(0, |files| files.waiting.len());
        let received = match files {
            Some(files) => linux::receive_with_files(socket, buffer, &mut files.waiting),
            None => rustix::net::recv(socket, spare_capacity(buffer), RecvFlags::DONTWAIT)
                .map(|(_, count)| count),
        };
        match received {
            Ok(0) => return Ok(Read::End),
            Ok(count) => {
                if files
                    .as_ref()
                    .is_some_and(|files| files.waiting.len() > MOST_WAITING)
                {
                    let text = "descriptors that belong to nothing";
                    return Err(io::Error::new(io::ErrorKind::InvalidData, text));
                }
                // A read ends with the bytes that brought descriptors, whatever is behind them.
                let brought = files.as_ref().map_or(0, |files| files.waiting.len()) > before;
                return Ok(Read::Bytes {
                    count,
                    drained: count < room && !brought,
                });
            }
            Err(rustix::io::Errno::INTR) => {}
            Err(rustix::io::Errno::AGAIN) => return Ok(Read::Nothing),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Decodes the complete frames at the start of `bytes`; how many bytes they were.
fn take_frames(
    bytes: &[u8],
    files: &mut Option<Files>,
    frames: &mut Vec<Frame<Bytes>>,
) -> Result<usize, ReadError> {
    let mut at = 0;
    while let Some(total) = stream_length(&bytes[at..])?.filter(|total| *total <= bytes.len() - at)
    {
        let frame = &bytes[at + LENGTH..at + total];
        frames.push(one_frame(frame, files, |start, end| {
            Bytes::copy_from_slice(&frame[start..end])
        })?);
        at += total;
    }
    Ok(at)
}

fn frame_from_buffer(buffer: Bytes, files: &mut Option<Files>) -> Result<Frame<Bytes>, ReadError> {
    let frame = buffer.slice(LENGTH..);
    one_frame(&frame, files, |start, end| {
        if (end - start) * SHARE >= buffer.len() {
            frame.slice(start..end)
        } else {
            Bytes::copy_from_slice(&frame[start..end])
        }
    })
}

fn one_frame(
    frame: &[u8],
    files: &mut Option<Files>,
    mut cut: impl FnMut(usize, usize) -> Bytes,
) -> Result<Frame<Bytes>, ReadError> {
    let Some(files) = files else {
        return Ok(decode(frame, cut)?);
    };
    files.peer_takes |= takes_files(frame);
    let count = files_of(frame);
    if count == 0 {
        return Ok(decode(frame, cut)?);
    }
    // Fewer than it says have come: then the frame is malformed.
    let came = count.min(files.waiting.len());
    let mut its: Vec<Option<OwnedFd>> = files.waiting.drain(..came).map(Some).collect();
    let mut failure = None;
    let decoded = decode_in_files(frame, |found| match found {
        Found::Here(start, end) => cut(start, end),
        Found::InFile(index, offset, length) => {
            let file = its.get_mut(index).and_then(Option::take);
            let none = || io::Error::new(io::ErrorKind::InvalidData, "a descriptor is missing");
            file.ok_or_else(none)
                .and_then(|file| files.incoming.payload(file, offset, length))
                .unwrap_or_else(|error| {
                    failure = Some(error);
                    Bytes::new()
                })
        }
    })?;
    match failure {
        Some(error) => Err(error.into()),
        None => Ok(decoded),
    }
}
