//! Our end of a socketpair whose other end a loop or channel reads and writes as if the remote peer were there.
//!
//! On the pair travel frames behind their length; on the zmq socket each frame is one message, with its body compressed
//! where that pays. What is in a frame is for the other end to judge.

use std::borrow::Cow;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use bytes::Bytes;
use rustix::buffer::spare_capacity;
use rustix::net::RecvFlags;
use scaler_wire::{pack_remote, stream_length, unpack_remote, Codec, MAX_FRAME, PREFIX};

use crate::libzmq::Message;
use crate::linux;
use crate::output::Output;

/// A message that says that the conversation is over: all that was sent before has arrived.
pub const END: &[u8] = b"";

/// Most bytes that may wait for the loop to take them. Links stay far below it by their credit.
const LARGEST_BACKLOG: usize = 128 << 20;
/// Read at once, where it is not known how much will come, and in one turn, so that nobody else waits for long.
const SCRATCH: usize = 256 << 10;
const TURN_BYTES: usize = 4 << 20;
/// A smaller message is copied where it goes.
const COPIED: usize = 16 << 10;
const LENGTH: usize = 4;

pub struct Pair {
    socket: UnixStream,
    codec: Codec,
    output: Output,
    /// The beginning of a frame, its length included.
    partial: Vec<u8>,
}

impl Pair {
    /// Also the loop's end. `codec`: of what leaves this host.
    pub fn new(codec: Codec) -> io::Result<(Pair, OwnedFd)> {
        let (ours, theirs) = UnixStream::pair()?;
        linux::set_nonblocking(ours.as_fd())?;
        let pair = Pair {
            socket: ours,
            codec,
            output: Output::default(),
            partial: Vec::new(),
        };
        Ok((pair, theirs.into()))
    }

    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Whether bytes wait for room in the socket.
    pub fn unsent(&self) -> bool {
        self.output.unsent() > 0
    }

    /// A message from the remote peer, for the loop; `flush` writes it. False when it is no frame, or unpacked over the
    /// limits, or more than may wait.
    pub fn deliver(&mut self, message: &mut Message) -> bool {
        let bytes = message.bytes();
        if bytes.len() < PREFIX {
            return false;
        }
        if bytes[0] != 0 {
            return unpack_remote(bytes).is_ok_and(|frame| self.queue(Bytes::from(frame)));
        }
        if bytes.len() < COPIED {
            let small = Bytes::copy_from_slice(bytes);
            return self.queue(small);
        }
        let empty = Message::new(message.library());
        self.queue(Bytes::from_owner(std::mem::replace(message, empty)))
    }

    fn queue(&mut self, frame: Bytes) -> bool {
        if frame.len() > MAX_FRAME || self.output.unsent() + frame.len() > LARGEST_BACKLOG {
            return false;
        }
        self.output.push_encoded(frame);
        true
    }

    /// Writes as much as the socket takes. False: the loop has gone.
    pub fn flush(&mut self) -> bool {
        self.output.write(self.socket.as_fd()).is_ok()
    }

    /// Gives `send` what the loop has written, packed; at most a turn's bytes. Whether the loop's end is still open.
    pub fn read(
        &mut self,
        scratch: &mut Vec<u8>,
        send: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<bool> {
        self.read_up_to(TURN_BYTES, scratch, send)
    }

    /// As `read`, all that is there.
    pub fn drain(
        &mut self,
        scratch: &mut Vec<u8>,
        send: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        self.read_up_to(usize::MAX, scratch, send).map(|_| ())
    }

    fn read_up_to(
        &mut self,
        limit: usize,
        scratch: &mut Vec<u8>,
        mut send: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<bool> {
        let mut taken = 0;
        while taken < limit {
            let grows = !self.partial.is_empty();
            let into = if grows {
                &mut self.partial
            } else {
                &mut *scratch
            };
            if !grows {
                into.clear();
                into.reserve(SCRATCH);
            }
            let room = into.capacity() - into.len();
            match rustix::net::recv(&self.socket, spare_capacity(into), RecvFlags::DONTWAIT) {
                Ok((_, 0)) => return Ok(false),
                Ok((_, count)) => {
                    let Some(rest) = send_frames(into, self.codec, &mut send)? else {
                        return Ok(false);
                    };
                    match grows {
                        true => drop(self.partial.drain(..rest)),
                        false => self.partial = scratch[rest..].to_vec(),
                    }
                    if !self.make_room() {
                        return Ok(false);
                    }
                    taken += count;
                    if count < room {
                        return Ok(true);
                    }
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => return Ok(true),
                Err(_) => return Ok(false),
            }
        }
        Ok(true)
    }

    /// For the rest of a frame that has begun. False when it is longer than any may be.
    fn make_room(&mut self) -> bool {
        if self.partial.is_empty() {
            self.partial = Vec::new();
            return true;
        }
        match stream_length(&self.partial) {
            Ok(total) => {
                let missing = total.unwrap_or(LENGTH).saturating_sub(self.partial.len());
                self.partial.reserve_exact(missing);
                true
            }
            Err(_) => false,
        }
    }
}

/// Sends the complete frames at the start of `bytes`; how many bytes they were. `None`: one is longer than any may be.
fn send_frames(
    bytes: &[u8],
    codec: Codec,
    send: &mut impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<Option<usize>> {
    let mut at = 0;
    loop {
        let Ok(total) = stream_length(&bytes[at..]) else {
            return Ok(None);
        };
        let Some(total) = total.filter(|total| *total <= bytes.len() - at) else {
            return Ok(Some(at));
        };
        let frame = &bytes[at + LENGTH..at + total];
        let packed = match codec {
            Codec::Off => Cow::Borrowed(frame),
            codec => Cow::Owned(pack_remote(frame, codec)),
        };
        send(&packed)?;
        at += total;
    }
}

/// `codec`, where what is sent to that numeric host leaves this one.
pub fn codec_to(host: &str, codec: Codec) -> Codec {
    let number = host.split('%').next().unwrap_or(host).parse::<IpAddr>();
    match number.is_ok_and(|number| number.to_canonical().is_loopback()) {
        true => Codec::Off,
        false => codec,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn ends(codec: Codec) -> (Pair, UnixStream) {
        let (pair, other) = Pair::new(codec).unwrap();
        (pair, UnixStream::from(other))
    }

    fn framed(frame: &[u8]) -> Vec<u8> {
        [&(frame.len() as u32).to_le_bytes(), frame].concat()
    }

    /// All that comes out, and whether the other end is still open.
    fn read(pair: &mut Pair) -> (Vec<Vec<u8>>, bool) {
        let mut found = Vec::new();
        let open = pair.read(&mut Vec::new(), |frame| {
            found.push(frame.to_vec());
            Ok(())
        });
        (found, open.unwrap())
    }

    #[test]
    fn frames_come_out_whole_and_in_order_however_the_stream_is_cut() {
        let sizes = [12, 13, 15, 70_000, 12, 300_000, 99];
        let frames: Vec<Vec<u8>> = (1..).zip(sizes).map(|(at, size)| vec![at; size]).collect();
        let stream = frames.iter().flat_map(|frame| framed(frame));
        let stream: Vec<u8> = stream.collect();
        for cut in [1, 2, 3, 5, 1_000, 65_537, 100_000] {
            let (mut pair, mut other) = ends(Codec::Off);
            let mut found = Vec::new();
            // A byte at a time only where frames begin: the rest of a long one is all alike.
            let (small, large) = stream.split_at(60);
            for piece in small.chunks(cut).chain(large.chunks(cut.max(999))) {
                other.write_all(piece).unwrap();
                let (some, open) = read(&mut pair);
                assert!(open);
                found.extend(some);
            }
            assert!(found == frames, "cut at {cut}");
            drop(other);
            assert_eq!(read(&mut pair), (Vec::new(), false));
        }
    }

    #[test]
    fn frame_of_the_largest_size_takes_turns_and_what_follows_it_comes_after() {
        let (mut pair, mut other) = ends(Codec::Off);
        let frame = vec![7; MAX_FRAME];
        let stream = [framed(&frame), framed(b"what is next")].concat();
        let writing = std::thread::spawn(move || other.write_all(&stream).map(|()| other));
        let mut found = Vec::new();
        while found.len() < 2 {
            let mut watched = [rustix::event::PollFd::new(
                &pair.socket,
                rustix::event::PollFlags::IN,
            )];
            rustix::event::poll(&mut watched, None).unwrap();
            found.extend(read(&mut pair).0);
        }
        assert!(found == [frame, b"what is next".to_vec()]);
        writing.join().unwrap().unwrap();
    }

    #[test]
    fn end_of_the_stream_comes_after_what_was_written() {
        let (mut pair, mut other) = ends(Codec::Off);
        other.write_all(&framed(b"what is last")).unwrap();
        drop(other);
        assert_eq!(read(&mut pair), (vec![b"what is last".to_vec()], true));
        assert_eq!(read(&mut pair), (Vec::new(), false));
    }

    #[test]
    fn frame_that_is_longer_or_shorter_than_any_may_be_ends_the_stream() {
        for length in [MAX_FRAME + 1, PREFIX - 1] {
            let (mut pair, mut other) = ends(Codec::Off);
            let beginning = (length as u32).to_le_bytes();
            let honest = b"an honest one";
            let stream = [&framed(honest)[..], &beginning[..3]].concat();
            other.write_all(&stream).unwrap();
            assert_eq!(read(&mut pair), (vec![honest.to_vec()], true));
            other.write_all(&beginning[3..]).unwrap();
            assert_eq!(read(&mut pair), (Vec::new(), false));
        }
    }

    #[test]
    fn what_goes_to_this_host_is_not_compressed() {
        for host in [
            "127.0.0.1",
            "127.8.0.1",
            "::1",
            "::1%lo",
            "::ffff:127.0.0.1",
        ] {
            assert_eq!(codec_to(host, Codec::Zstd), Codec::Off, "{host}");
        }
        for host in [
            "192.0.2.1",
            "::ffff:192.0.2.1",
            "fe80::1%eth0",
            "",
            "localhost",
        ] {
            assert_eq!(codec_to(host, Codec::Zstd), Codec::Zstd, "{host}");
        }
    }

    #[test]
    fn body_for_another_host_is_compressed() {
        let (mut pair, mut other) = ends(Codec::Lz4);
        let mut frame = Vec::from([0; PREFIX]);
        frame[8..12].copy_from_slice(&100_000u32.to_le_bytes());
        frame.resize(PREFIX + 100_000, 1);
        other.write_all(&framed(&frame)).unwrap();
        let (found, _) = read(&mut pair);
        assert!(found[0].len() < 2_000);
        assert!(unpack_remote(&found[0]).unwrap() == frame);
    }
}
