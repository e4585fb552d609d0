//! Frames to bytes of a stream socket. Nothing here waits: what the socket does not take stays queued.
//!
//! A payload that is in a file (see `mapped`) goes as a descriptor to a peer that has said that it takes such. Its frame
//! is a piece of its own, whose first byte the descriptors go with.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use bytes::Bytes;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
use scaler_wire::{encode, leave_in_files, offer_files, Frame, InFile, MOST_FILES};

use crate::mapped::{self, Mapped};

/// Smaller payloads are copied beside the headers: a copy is cheaper than one more entry of the vector.
const COPIED: usize = 16 << 10;
/// Entries of one write.
const VECTOR: usize = 64;
/// Room that an empty queue keeps.
const KEPT: usize = 256 << 10;

#[derive(Debug)]
struct Piece {
    bytes: Bytes,
    /// What goes with its first byte.
    files: Option<Box<Files>>,
}

struct Files {
    mapped: Vec<Arc<Mapped>>,
    /// For a kernel that does not take the descriptors: the frame as it would be without.
    frame: Frame<Bytes>,
}

impl std::fmt::Debug for Files {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(to, "{} files", self.mapped.len())
    }
}

impl Piece {
    fn plain(bytes: Bytes) -> Piece {
        Piece { bytes, files: None }
    }
}

/// The sending half of a connection.
#[derive(Debug, Default)]
pub struct Output {
    /// Complete pieces, in order; `written` bytes of the first have gone.
    pieces: VecDeque<Piece>,
    written: usize,
    /// Headers and small payloads after the last piece; `tail_written` bytes of it have gone.
    tail: Vec<u8>,
    tail_written: usize,
    payloads: Vec<Bytes>,
    unsent: usize,
    /// Each frame says that this end takes payloads in files.
    offers: bool,
    /// The peer does.
    gives: bool,
}

impl Output {
    /// For a Unix socket whose other end is a process of our own user.
    pub fn with_files() -> Output {
        Output {
            offers: true,
            ..Output::default()
        }
    }

    /// The peer takes payloads in files.
    pub fn give_files(&mut self) {
        self.gives = true;
    }

    pub fn push(&mut self, frame: &Frame<Bytes>) {
        if self.tail_written > KEPT {
            self.tail.drain(..self.tail_written);
            self.tail_written = 0;
        }
        let mut payloads = std::mem::take(&mut self.payloads);
        let before = self.tail.len();
        encode(frame, &mut self.tail, &mut payloads);
        if self.offers {
            offer_files(&mut self.tail, before);
        }
        let (entries, mapped) = match self.gives {
            true => in_files(&payloads),
            false => Default::default(),
        };
        if entries.is_empty() {
            self.push_payloads(before, &mut payloads);
        } else {
            let frame = frame.clone();
            self.push_with_files(before, &payloads, &entries, Files { mapped, frame });
            payloads.clear();
        }
        self.payloads = payloads;
    }

    /// A frame as it is, without the stream's length.
    pub fn push_encoded(&mut self, frame: Bytes) {
        let before = self.tail.len();
        self.tail
            .extend_from_slice(&(frame.len() as u32).to_le_bytes());
        self.push_payloads(before, &mut vec![frame]);
    }

    fn push_payloads(&mut self, before: usize, payloads: &mut Vec<Bytes>) {
        self.unsent += self.tail.len() - before;
        for payload in payloads.drain(..) {
            self.unsent += payload.len();
            if payload.len() < COPIED {
                self.tail.extend_from_slice(&payload);
            } else {
                self.close_tail();
                self.pieces.push_back(Piece::plain(payload));
            }
        }
    }

    /// `before`: where the frame begins in the tail. What is not in files is copied: it is what little stands beside.
    fn push_with_files(
        &mut self,
        before: usize,
        payloads: &[Bytes],
        entries: &[InFile],
        files: Files,
    ) {
        let mut bytes = self.tail.split_off(before);
        leave_in_files(&mut bytes, 0, entries);
        let (mut place, mut next) = (0, entries.iter().peekable());
        for payload in payloads {
            if next
                .next_if(|entry| entry.place == place && entry.length as usize == payload.len())
                .is_none()
            {
                bytes.extend_from_slice(payload);
            }
            place += payload.len() as u32;
        }
        self.close_tail();
        self.unsent += bytes.len();
        self.pieces.push_back(Piece {
            bytes: Bytes::from(bytes),
            files: Some(Box::new(files)),
        });
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
                // Too many descriptors of this user are under way, in whatever process.
                Err(rustix::io::Errno::TOOMANYREFS) => self.without_files(),
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
            if at > 0 && piece.files.is_some() {
                break;
            }
            vector.push(IoSlice::new(if at == 0 {
                &piece.bytes[self.written..]
            } else {
                &piece.bytes
            }));
        }
        if self.pieces.len() == vector.len() {
            vector.push(IoSlice::new(&self.tail));
        }
        let files = self.pieces.front().and_then(|piece| piece.files.as_ref());
        let Some(files) = files else {
            let mut none = SendAncillaryBuffer::default();
            return rustix::net::sendmsg(socket, &vector, &mut none, flags);
        };
        let descriptors: Vec<BorrowedFd<'_>> = files.mapped.iter().map(|it| it.file()).collect();
        let mut room =
            [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_FILES))];
        let mut control = SendAncillaryBuffer::new(&mut room);
        control.push(SendAncillaryMessage::ScmRights(&descriptors));
        rustix::net::sendmsg(socket, &vector, &mut control, flags)
    }

    fn advance(&mut self, mut count: usize) {
        self.unsent -= count;
        while let Some(first) = self.pieces.front_mut() {
            if count > 0 {
                first.files = None;
            }
            let rest = first.bytes.len() - self.written;
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

    /// The first piece again, with all its payloads in it.
    fn without_files(&mut self) {
        let Some(piece) = self.pieces.pop_front() else {
            return;
        };
        let Some(files) = piece.files else {
            return self.pieces.push_front(piece);
        };
        let (mut head, mut payloads) = (Vec::new(), Vec::new());
        encode(&files.frame, &mut head, &mut payloads);
        if self.offers {
            offer_files(&mut head, 0);
        }
        self.unsent -= piece.bytes.len();
        for bytes in payloads.into_iter().rev().chain([Bytes::from(head)]) {
            self.unsent += bytes.len();
            self.pieces.push_front(Piece::plain(bytes));
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
        let tail = Bytes::from(std::mem::take(&mut self.tail));
        self.pieces.push_back(Piece::plain(tail));
    }
}

/// Which of a frame's payloads lie in files, and these.
fn in_files(payloads: &[Bytes]) -> (Vec<InFile>, Vec<Arc<Mapped>>) {
    let (mut entries, mut files) = (Vec::new(), Vec::new());
    let mut place = 0;
    for payload in payloads {
        let length = payload.len() as u32;
        if let Some((mapped, offset)) =
            mapped::file_of(payload).filter(|_| entries.len() < MOST_FILES)
        {
            let entry = InFile {
                place,
                length,
                offset,
            };
            entries.push(entry);
            files.push(mapped);
        }
        place += length;
    }
    (entries, files)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    use scaler_wire::Message;

    use super::*;
    use crate::input::Input;
    use crate::spare_files::share;

    fn frame(sequence: u64, payloads: &[&Bytes]) -> Frame<Bytes> {
        let message = |payload: &&Bytes| Message::Function {
            id: [1; 16],
            payload: Bytes::clone(payload),
        };
        Frame {
            link: 1,
            epoch: 1,
            sequence,
            acknowledged: 0,
            messages: payloads.iter().map(message).collect(),
        }
    }

    #[test]
    fn what_a_kernel_does_not_take_as_a_descriptor_goes_as_bytes() {
        let (left, right) = UnixStream::pair().unwrap();
        let large = share(&[&vec![7; 600_000]]).unwrap();
        let small = Bytes::from(vec![8; 50_000]);
        let frames = [
            frame(1, &[&small, &large, &small]),
            frame(2, &[&large]),
            frame(3, &[&small]),
        ];
        let (mut output, mut input) = (Output::with_files(), Input::with_files());
        output.give_files();
        frames.iter().for_each(|frame| output.push(frame));
        output.without_files();
        let (mut scratch, mut got) = (Vec::new(), Vec::new());
        while got.len() < frames.len() {
            output.write(left.as_fd()).unwrap();
            input.read(right.as_fd(), &mut scratch, &mut got).unwrap();
        }
        assert!(got == frames);
        assert_eq!(output.unsent(), 0);
        let files = got.iter().flat_map(|frame| &frame.messages);
        let files = files.filter(|message| match message {
            Message::Function { payload, .. } => mapped::file_of(payload).is_some(),
            _ => false,
        });
        assert_eq!(files.count(), 1, "that of the second frame");
    }
}
