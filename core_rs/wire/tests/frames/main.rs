//! The bytes of frames.

mod compression;
mod in_files;
mod malformed;
mod properties;
mod samples;
mod vectors;

use bytes::Bytes;
use scaler_wire::*;

/// A frame as it lies in a stream.
fn stream_of(frame: &Frame<Bytes>) -> Vec<u8> {
    let (mut head, mut payloads) = (Vec::new(), Vec::new());
    encode(frame, &mut head, &mut payloads);
    payloads
        .iter()
        .for_each(|payload| head.extend_from_slice(payload));
    head
}

/// A frame from its bytes without the stream's length.
fn read(frame: &[u8]) -> Result<Frame<Bytes>, DecodeError> {
    decode(frame, |start, end| {
        Bytes::copy_from_slice(&frame[start..end])
    })
}

fn frame_of(messages: Vec<Message<Bytes>>) -> Frame<Bytes> {
    Frame {
        link: u64::MAX - 1,
        epoch: 70_000,
        sequence: 1 << 33,
        acknowledged: 300,
        messages,
    }
}

/// The bytes of a frame with this header (its messages as msgpack) and body.
fn raw_frame(messages: &[u8], body: &[u8]) -> Vec<u8> {
    let mut header = vec![0x95, 1, 1, 1, 1];
    header.extend_from_slice(messages);
    let mut frame = vec![0; 4];
    frame.extend_from_slice(&(header.len() as u32).to_le_bytes());
    frame.extend_from_slice(&(body.len() as u32).to_le_bytes());
    frame.extend_from_slice(&header);
    frame.extend_from_slice(body);
    frame
}
