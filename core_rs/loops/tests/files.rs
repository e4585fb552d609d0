//! Payloads in files: over a socket that takes and gives a little at a time, and from peers that lie.

mod harness;

use std::io::{IoSlice, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use harness::noise;
use rustix::fs::{MemfdFlags, SealFlags};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
use scaler_loops::input::{Input, Read, ReadError};
use scaler_loops::linux::set_nonblocking;
use scaler_loops::mapped::{self, LEAST};
use scaler_loops::output::Output;
use scaler_loops::spare_files::{share, shared};
use scaler_loops::wire::{encode, leave_in_files, Frame, InFile, Message};

/// The descriptors of a process belong to all of its tests.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn frame(payloads: &[Bytes]) -> Frame<Bytes> {
    let messages = payloads.iter().map(|payload| Message::Function {
        id: [payload.len() as u8; 16],
        payload: payload.clone(),
    });
    Frame {
        link: 1,
        epoch: 2,
        sequence: 3,
        acknowledged: 4,
        messages: messages.collect(),
    }
}

fn payloads(frame: &Frame<Bytes>) -> Vec<Bytes> {
    let payload = |message: &Message<Bytes>| match message {
        Message::Function { payload, .. } => payload.clone(),
        other => panic!("{other:?}"),
    };
    frame.messages.iter().map(payload).collect()
}

struct Pair {
    left: UnixStream,
    right: UnixStream,
    output: Output,
    input: Input,
}

impl Pair {
    /// The peer has said that it takes payloads in files.
    fn new() -> Pair {
        let (left, right) = UnixStream::pair().unwrap();
        set_nonblocking(left.as_fd()).unwrap();
        set_nonblocking(right.as_fd()).unwrap();
        let mut output = Output::with_files();
        output.give_files();
        let input = Input::with_files();
        Pair {
            left,
            right,
            output,
            input,
        }
    }

    fn pass(&mut self, frames: &[Frame<Bytes>]) -> Vec<Frame<Bytes>> {
        frames.iter().for_each(|frame| self.output.push(frame));
        let mut got = Vec::new();
        while got.len() < frames.len() {
            self.output.write(self.left.as_fd()).unwrap();
            self.read(&mut got).unwrap();
        }
        assert_eq!(self.output.unsent(), 0);
        got
    }

    fn read(&mut self, got: &mut Vec<Frame<Bytes>>) -> Result<Read, ReadError> {
        self.input.read(self.right.as_fd(), &mut Vec::new(), got)
    }

    /// Sends a frame of one payload that a peer says is in `file`.
    fn say(
        &mut self,
        file: Option<&OwnedFd>,
        offset: u64,
        length: usize,
    ) -> Result<Bytes, ReadError> {
        let (mut head, mut ignored) = (Vec::new(), Vec::new());
        encode(&frame(&[vec![0; length].into()]), &mut head, &mut ignored);
        let entry = InFile {
            place: 0,
            length: length as u32,
            offset,
        };
        leave_in_files(&mut head, 0, &[entry]);
        match file {
            Some(file) => send_with(&self.left, &head, &[file]),
            None => self.left.write_all(&head).unwrap(),
        }
        let mut got = Vec::new();
        self.read(&mut got)?;
        Ok(payloads(&got[0])[0].clone())
    }
}

fn send_with(socket: &UnixStream, bytes: &[u8], files: &[&OwnedFd]) {
    let files: Vec<_> = files.iter().map(|file| file.as_fd()).collect();
    let mut room = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(200))];
    let mut control = SendAncillaryBuffer::new(&mut room);
    control.push(SendAncillaryMessage::ScmRights(&files));
    let vector = [IoSlice::new(bytes)];
    rustix::net::sendmsg(socket, &vector, &mut control, SendFlags::empty()).unwrap();
}

fn memory_file(bytes: &[u8], seals: SealFlags) -> OwnedFd {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let file = rustix::fs::memfd_create("test", flags).unwrap();
    assert_eq!(rustix::io::pwrite(&file, bytes, 0).unwrap(), bytes.len());
    rustix::fs::fcntl_add_seals(&file, seals).unwrap();
    file
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

#[test]
fn large_payloads_come_as_files_among_small_ones() {
    let _alone = alone();
    let large = |size: usize| share(&[&noise(size)]).unwrap();
    let small = |size: usize| Bytes::from(noise(size));
    let frames = [
        frame(&[
            small(3),
            large(LEAST),
            small(0),
            large(3 << 20),
            small(40_000),
        ]),
        frame(&[small(100_000)]),
        frame(&[large(1 << 20)]),
        frame(&[large(1 << 20), large(LEAST + 1)]),
        frame(&[]),
    ];
    let got = Pair::new().pass(&frames);
    assert_eq!(got, frames);
    for payload in got.iter().flat_map(payloads) {
        assert_eq!(mapped::file_of(&payload).is_some(), payload.len() >= LEAST);
    }
}

#[test]
fn whoever_does_not_say_that_he_takes_files_gets_bytes() {
    let _alone = alone();
    let mut pair = Pair::new();
    pair.output = Output::with_files();
    let frames = [frame(&[share(&[&noise(LEAST)]).unwrap()])];
    let got = pair.pass(&frames);
    assert_eq!(got, frames);
    assert!(mapped::file_of(&payloads(&got[0])[0]).is_none());
    assert!(pair.input.peer_takes_files());
}

#[test]
fn parts_of_one_file_are_one_payload_again() {
    let _alone = alone();
    let whole = share(&[&noise(5 << 20)]).unwrap();
    let parts = [whole.slice(..4 << 20), whole.slice(4 << 20..)];
    let got = Pair::new().pass(&[frame(&parts[..1]), frame(&parts[1..])]);
    let got: Vec<Bytes> = got.iter().flat_map(payloads).collect();
    assert_eq!(mapped::joined(got.clone()), std::slice::from_ref(&whole));
    let twisted = [got[1].clone(), got[0].clone()];
    assert_eq!(mapped::joined(twisted.to_vec()), twisted);
    let apart = [got[0].clone(), Bytes::from("between"), got[1].clone()];
    assert_eq!(mapped::joined(apart.to_vec()), apart);
    let of_two_files = [got[0].clone(), share(&[&noise(5 << 20)]).unwrap()];
    assert_eq!(mapped::joined(of_two_files.to_vec()), of_two_files);
    assert!(mapped::joined(Vec::new()).is_empty());
}

#[test]
fn a_file_that_may_get_shorter_is_copied() {
    let _alone = alone();
    let bytes = noise(LEAST);
    let file = memory_file(&bytes, SealFlags::GROW);
    let got = Pair::new().say(Some(&file), 0, LEAST).unwrap();
    rustix::fs::ftruncate(&file, 0).unwrap();
    assert!(mapped::file_of(&got).is_none());
    assert_eq!(got, bytes);
}

#[test]
fn a_file_that_is_shorter_than_its_payload_ends_the_connection() {
    let _alone = alone();
    for seals in [SealFlags::SHRINK, SealFlags::GROW] {
        let file = memory_file(&noise(LEAST), seals);
        for (offset, length) in [(0, LEAST + 1), (1, LEAST), (u64::MAX, LEAST), (1 << 62, 1)] {
            assert!(Pair::new().say(Some(&file), offset, length).is_err());
        }
    }
}

#[test]
fn only_files_in_memory_are_read() {
    let _alone = alone();
    let folder = std::env::temp_dir();
    let zeros: OwnedFd = std::fs::File::open("/dev/zero").unwrap().into();
    let program: OwnedFd = std::fs::File::open(std::env::current_exe().unwrap())
        .unwrap()
        .into();
    let folder: OwnedFd = std::fs::File::open(folder).unwrap().into();
    let (pipe, _end) = rustix::pipe::pipe().unwrap();
    for file in [zeros, program, folder, pipe] {
        assert!(Pair::new().say(Some(&file), 0, LEAST).is_err());
    }
}

#[test]
fn descriptors_that_did_not_come_or_that_nobody_awaits_end_the_connection() {
    let _alone = alone();
    assert!(Pair::new().say(None, 0, LEAST).is_err());
    let file = memory_file(&noise(16), SealFlags::SHRINK);
    let before = descriptors();
    let mut pair = Pair::new();
    let mut got = Vec::new();
    let ended = (0..200).any(|_| {
        send_with(&pair.left, &[0], &[&file; 60]);
        pair.read(&mut got).is_err()
    });
    assert!(ended);
    drop(pair);
    let mut pair = Pair::new();
    send_with(&pair.left, &[0], &[&file; 200]);
    assert!(pair.read(&mut got).is_err(), "more than a frame may have");
    drop(pair);
    assert_eq!(descriptors(), before);
}

#[test]
fn nothing_is_left_of_what_was_sent_and_never_read() {
    let _alone = alone();
    let payload = share(&[&noise(LEAST)]).unwrap();
    let (files, before) = (mapped::live(), descriptors());
    for read in [false, true] {
        let mut pair = Pair::new();
        pair.output.push(&frame(std::slice::from_ref(&payload)));
        pair.output.push(&frame(std::slice::from_ref(&payload)));
        pair.output.write(pair.left.as_fd()).unwrap();
        if read {
            pair.read(&mut Vec::new()).unwrap();
        }
    }
    assert_eq!((mapped::live(), descriptors()), (files, before));
}

#[test]
fn a_file_is_written_anew_only_when_nobody_has_it() {
    let _alone = alone();
    let size = 7 << 20; // no other test's
    let address = |bytes: &Bytes| {
        mapped::file_of(bytes)
            .unwrap()
            .0
            .file()
            .try_clone_to_owned()
    };
    let number = |bytes: &Bytes| rustix::fs::fstat(address(bytes).unwrap()).unwrap().st_ino;
    let kept = noise(size);
    let first = share(&[&kept]).unwrap();
    let its = number(&first);
    // A descriptor alone keeps it, a mapping alone, and a message under way.
    let descriptor = address(&first).unwrap();
    let mapping = mapped::file_of(&first).unwrap().0.copy_on_write().unwrap();
    let mut pair = Pair::new();
    pair.output.push(&frame(&[first.slice(..LEAST)]));
    pair.output.write(pair.left.as_fd()).unwrap();
    drop(first);
    assert_ne!(number(&share(&[&vec![1; size]]).unwrap()), its);
    drop(descriptor);
    assert_ne!(number(&share(&[&vec![2; size]]).unwrap()), its);
    assert!(
        mapping.as_slice()[..size] == kept[..],
        "it was written anew"
    );
    drop(mapping);
    assert_ne!(number(&share(&[&vec![3; size]]).unwrap()), its);
    let mut got = Vec::new();
    pair.read(&mut got).unwrap();
    assert!(payloads(&got[0])[0] == kept[..LEAST], "it was written anew");
    assert_ne!(number(&share(&[&vec![4; size]]).unwrap()), its);
    drop((pair, got));
    let files: Vec<Bytes> = (0..4).map(|_| share(&[&kept]).unwrap()).collect();
    assert!(files.iter().all(|file| file == &kept));
    assert!(files.iter().any(|file| number(file) == its));
    drop(files);
    let smaller = share(&[&vec![5; size - 5_000]]).unwrap();
    let (file, _) = mapped::file_of(&smaller).unwrap();
    let mut rest = vec![1; 5_000];
    file.read(&mut rest, (size - 5_000) as u64).unwrap();
    assert!(rest == vec![0; 5_000], "what another payload had");
}

#[test]
fn what_is_written_into_a_view_of_ones_own_nobody_else_sees() {
    let _alone = alone();
    let shared = share(&[&[1; LEAST]]).unwrap();
    let (file, _) = mapped::file_of(&shared).unwrap();
    let (one, other) = (file.copy_on_write().unwrap(), file.copy_on_write().unwrap());
    // SAFETY: inside of a writable mapping that nobody else has.
    unsafe { one.start().write(9) };
    assert_eq!(
        (one.as_slice()[0], other.as_slice()[0], shared[0]),
        (9, 1, 1)
    );
}

#[test]
fn small_payloads_and_those_in_files_are_left_as_they_are() {
    let _alone = alone();
    let small = Bytes::from(noise(LEAST - 1));
    assert_eq!(shared(small.clone()).as_ptr(), small.as_ptr());
    let once = shared(Bytes::from(noise(LEAST)));
    assert_eq!(shared(once.clone()).as_ptr(), once.as_ptr());
}
