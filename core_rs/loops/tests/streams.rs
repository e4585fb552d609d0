//! Frames over a socket that takes and gives a little at a time.

mod harness;

use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use bytes::Bytes;
use harness::noise;
use rustix::net::sockopt::{set_socket_recv_buffer_size, set_socket_send_buffer_size};
use scaler_loops::input::{Input, Read, ReadError};
use scaler_loops::linux::set_nonblocking;
use scaler_loops::output::Output;
use scaler_loops::wire::{Frame, Message};

fn pair() -> (UnixStream, UnixStream) {
    let (left, right) = UnixStream::pair().unwrap();
    for socket in [&left, &right] {
        set_nonblocking(socket.as_fd()).unwrap();
        set_socket_send_buffer_size(socket, 8 << 10).unwrap();
        set_socket_recv_buffer_size(socket, 8 << 10).unwrap();
    }
    (left, right)
}

fn frame(sequence: u64, sizes: &[usize]) -> Frame<Bytes> {
    let messages = sizes.iter().enumerate().map(|(at, size)| {
        let mut id = [0; 16];
        id[0] = at as u8;
        Message::Function {
            id,
            payload: Bytes::from(noise(*size)),
        }
    });
    Frame {
        link: 1,
        epoch: 2,
        sequence,
        acknowledged: 3,
        messages: messages.collect(),
    }
}

/// Everything through a narrow socket, a bit of writing and a bit of reading in turn.
fn pass(frames: &[Frame<Bytes>]) -> Vec<Frame<Bytes>> {
    let (left, right) = pair();
    let (mut output, mut input) = (Output::default(), Input::default());
    let (mut scratch, mut got) = (Vec::new(), Vec::new());
    for frame in frames {
        output.push(frame);
        output.write(left.as_fd()).unwrap();
        input.read(right.as_fd(), &mut scratch, &mut got).unwrap();
    }
    while got.len() < frames.len() {
        output.write(left.as_fd()).unwrap();
        input.read(right.as_fd(), &mut scratch, &mut got).unwrap();
    }
    assert!(output.write(left.as_fd()).unwrap());
    assert_eq!(output.unsent(), 0);
    assert_eq!(
        input.read(right.as_fd(), &mut scratch, &mut got).unwrap(),
        Read::Nothing
    );
    got
}

#[test]
fn frames_of_all_sizes_arrive_unchanged_and_in_order() {
    let sizes: [&[usize]; 12] = [
        &[],
        &[0],
        &[1],
        &[100, 0, 100],
        &[16_383, 16_384, 16_385],
        &[70_000],
        &[],
        &[300_000, 5, 300_000],
        &[1 << 20],
        &[3; 500],
        &[4 << 20, 1],
        &[7],
    ];
    let frames: Vec<_> = sizes
        .iter()
        .enumerate()
        .map(|(at, sizes)| frame(at as u64 + 1, sizes))
        .collect();
    assert!(pass(&frames) == frames);
}

#[test]
fn many_small_frames_arrive_unchanged() {
    let frames: Vec<_> = (1..5_000)
        .map(|at| frame(at, &[(at % 97) as usize]))
        .collect();
    assert!(pass(&frames) == frames);
}

#[test]
fn what_stays_alive_of_a_frame_keeps_at_most_four_times_its_size() {
    let (left, right) = pair();
    let (mut output, mut input) = (Output::default(), Input::default());
    let (mut scratch, mut got) = (Vec::new(), Vec::new());
    output.push(&frame(1, &[1 << 20, 100, 3 << 20]));
    while got.is_empty() {
        output.write(left.as_fd()).unwrap();
        input.read(right.as_fd(), &mut scratch, &mut got).unwrap();
    }
    let payloads: Vec<Bytes> = got
        .remove(0)
        .messages
        .into_iter()
        .map(|message| match message {
            Message::Function { payload, .. } => payload,
            other => panic!("{other:?}"),
        })
        .collect();
    // Only the large one is a handle on the frame, and alone on it now.
    assert!(payloads[0].is_unique() && payloads[1].is_unique());
    assert!(payloads[2].is_unique());
}

#[test]
fn a_length_over_the_limit_is_refused_before_anything_is_allocated() {
    let (left, right) = pair();
    rustix::io::write(&left, &u32::MAX.to_le_bytes()).unwrap();
    let (mut input, mut scratch, mut got) = (Input::default(), Vec::new(), Vec::new());
    let refused = input.read(right.as_fd(), &mut scratch, &mut got);
    assert!(
        matches!(refused, Err(ReadError::Malformed(_))),
        "{refused:?}"
    );
}

#[test]
fn frames_before_a_malformed_one_are_given() {
    let (left, right) = pair();
    let mut output = Output::default();
    output.push(&frame(1, &[10]));
    output.write(left.as_fd()).unwrap();
    rustix::io::write(&left, &[1, 0, 0, 0, 9]).unwrap();
    let (mut input, mut scratch, mut got) = (Input::default(), Vec::new(), Vec::new());
    let refused = input.read(right.as_fd(), &mut scratch, &mut got);
    assert!(
        matches!(refused, Err(ReadError::Malformed(_))),
        "{refused:?}"
    );
    assert_eq!(got.len(), 1);
}
