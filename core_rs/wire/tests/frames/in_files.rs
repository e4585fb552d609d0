//! Frames whose payloads are beside them.

use bytes::Bytes;
use proptest::prelude::*;
use scaler_wire::*;

use crate::{frame_of, read};

fn function(payload: &'static str) -> Message<Bytes> {
    Message::Function {
        id: [1; 16],
        payload: payload.into(),
    }
}

/// A frame of four payloads, the second and the last of them in files.
fn beside() -> (Frame<Bytes>, Vec<u8>) {
    let frame = frame_of(["one", "second", "", "the last"].map(function).to_vec());
    let (mut head, mut payloads) = (Vec::new(), Vec::new());
    encode(&frame, &mut head, &mut payloads);
    let entry = |place, length, offset| InFile {
        place,
        length,
        offset,
    };
    leave_in_files(&mut head, 0, &[entry(3, 6, 1 << 40), entry(9, 8, 5)]);
    head.extend_from_slice(b"one");
    (frame, head)
}

fn read_beside(frame: &[u8]) -> Result<Frame<Bytes>, DecodeError> {
    decode_in_files(frame, |found| match found {
        Found::Here(start, end) => Bytes::copy_from_slice(&frame[start..end]),
        Found::InFile(0, offset, 6) if offset == 1 << 40 => "second".into(),
        Found::InFile(1, 5, 8) => "the last".into(),
        Found::InFile(..) => Bytes::new(),
    })
}

#[test]
fn payloads_in_files_are_found_among_the_others() {
    let (frame, bytes) = beside();
    assert_eq!(stream_length(&bytes), Ok(Some(bytes.len())));
    assert_eq!(files_of(&bytes[4..]), 2);
    assert_eq!(read_beside(&bytes[4..]), Ok(frame));
}

#[test]
fn who_was_not_asked_takes_no_payloads_in_files() {
    let (_, bytes) = beside();
    assert_eq!(read(&bytes[4..]).unwrap_err().problem, Problem::Reserved);
}

#[test]
fn whoever_takes_payloads_in_files_says_so_in_every_frame() {
    let frame = frame_of(vec![function("one")]);
    let mut bytes = crate::stream_of(&frame);
    assert!(!takes_files(&bytes[4..]));
    offer_files(&mut bytes, 0);
    assert!(takes_files(&bytes[4..]));
    assert_eq!(read(&bytes[4..]), Ok(frame));
}

#[test]
fn entries_that_are_no_payloads_are_refused() {
    let (_, bytes) = beside();
    let entries = bytes.len() - "one".len() - 32;
    for (at, value) in [(0, 4), (4, 5), (16, 8), (20, 9)] {
        let mut wrong = bytes.clone();
        wrong[entries + at] = value;
        assert!(read_beside(&wrong[4..]).is_err(), "{at}");
    }
    let mut many = bytes.clone();
    many[5] = u8::MAX;
    assert!(read_beside(&many[4..]).is_err());
}

#[test]
fn a_frame_is_bounded_as_if_its_payloads_were_in_it() {
    let (_, mut bytes) = beside();
    let entries = bytes.len() - "one".len() - 32;
    bytes[entries + 4..entries + 8].copy_from_slice(&(MAX_FRAME as u32).to_le_bytes());
    let problem = read_beside(&bytes[4..]).unwrap_err().problem;
    assert!(matches!(problem, Problem::TooLarge { .. }), "{problem}");
}

proptest! {
    #[test]
    fn whatever_the_bytes_are_nothing_panics(at in 0_usize..200, value: u8, end in 0_usize..200) {
        let (_, mut bytes) = beside();
        let length = bytes.len();
        bytes[at % length] = value;
        let _ = read_beside(&bytes[4.min(length)..(4 + end).min(length)]);
    }
}
