//! The bytes of frames: round trips, and what the decoder refuses.

use bytes::Bytes;
use scaler_wire::*;

fn bytes_of(frame: &Frame<Bytes>) -> Vec<u8> {
    let (mut head, mut payloads) = (Vec::new(), Vec::new());
    encode(frame, &mut head, &mut payloads);
    payloads
        .iter()
        .for_each(|payload| head.extend_from_slice(payload));
    head
}

fn read(frame: &[u8]) -> Result<Frame<Bytes>, DecodeError> {
    decode(frame, |start, end| {
        Bytes::copy_from_slice(&frame[start..end])
    })
}

fn frame(messages: Vec<Message<Bytes>>) -> Frame<Bytes> {
    Frame {
        link: u64::MAX,
        epoch: 3,
        sequence: 77,
        acknowledged: 76,
        messages,
    }
}

fn submit() -> Message<Bytes> {
    let block = |text: &'static str| Block {
        count: 2,
        form: Form::Table,
        payload: Bytes::from_static(text.as_bytes()),
    };
    Message::Submit(Submit {
        function: [7; 16],
        first: 1 << 40,
        options: Options {
            name: "é".into(),
            priority: -5,
            ..Options::default()
        },
        blocks: vec![block("one"), block(""), block("three")],
        objects: Vec::new(),
        finished: vec![(1, 2)],
    })
}

#[test]
fn a_frame_comes_back_as_it_was() {
    let frame = frame(vec![
        submit(),
        Message::Heartbeat,
        Message::Function {
            id: [1; 16],
            payload: Bytes::from_static(b"f"),
        },
    ]);
    let bytes = bytes_of(&frame);
    assert_eq!(stream_length(&bytes), Ok(Some(bytes.len())));
    assert_eq!(read(&bytes[4..]), Ok(frame));
}

#[test]
fn a_stream_with_fewer_than_four_bytes_has_no_length_yet() {
    assert_eq!(stream_length(&[0, 0, 0]), Ok(None));
}
