//! What the decoder refuses, and how it says so.

use scaler_wire::limits::{MAX_FIRST_HOP, MAX_FRAME};
use scaler_wire::{stream_length, DecodeError, Form, Message, Options, Problem, Submit, PREFIX};

use crate::{frame_of, raw_frame, read, stream_of};

fn error(frame: &[u8]) -> DecodeError {
    read(frame).expect_err("it is malformed")
}

#[test]
fn a_stream_with_fewer_than_four_bytes_has_no_length_yet() {
    assert_eq!(stream_length(&[0, 0, 0]), Ok(None));
}

#[test]
fn a_length_over_the_limit_or_below_the_prefix_is_refused_at_once() {
    let length = |bytes: usize| stream_length(&(bytes as u32).to_le_bytes());
    assert_eq!(length(MAX_FRAME), Ok(Some(MAX_FRAME + 4)));
    assert!(matches!(
        length(MAX_FRAME + 1).unwrap_err().problem,
        Problem::TooLarge { .. }
    ));
    assert_eq!(length(PREFIX), Ok(Some(PREFIX + 4)));
    assert_eq!(length(PREFIX - 1).unwrap_err().problem, Problem::Short);
}

#[test]
fn a_frame_cut_anywhere_is_refused() {
    let stream = stream_of(&frame_of(vec![Message::Function {
        id: [1; 16],
        payload: "abc".into(),
    }]));
    for end in 4..stream.len() {
        assert!(read(&stream[4..end]).is_err(), "{end}");
    }
}

#[test]
fn bytes_after_the_header_or_the_body_are_refused() {
    let unknown_link = [0x91, 0x91, 3];
    assert!(read(&raw_frame(&unknown_link, b"")).is_ok());
    assert_eq!(
        error(&raw_frame(&[0x91, 0x91, 3, 0], b"")).problem,
        Problem::Trailing { bytes: 1 }
    );
    let more = error(&raw_frame(&unknown_link, b"xy"));
    assert_eq!(
        (more.place, more.problem),
        ("frame", Problem::Trailing { bytes: 2 })
    );
}

#[test]
fn reserved_bytes_and_compressed_bodies_are_refused() {
    let mut frame = raw_frame(&[0x90], b"");
    frame[3] = 1;
    assert_eq!(error(&frame).problem, Problem::Reserved);
    frame[0] = 1;
    assert_eq!(error(&frame).problem, Problem::Compressed { codec: 1 });
}

#[test]
fn an_unknown_kind_is_named() {
    let error = error(&raw_frame(&[0x91, 0x91, 99], b""));
    assert_eq!(
        error.problem,
        Problem::Code {
            what: "kind of message",
            code: 99
        }
    );
    assert_eq!(
        error.to_string(),
        "message: 99 is no kind of message, at byte 20"
    );
}

#[test]
fn an_unknown_code_names_its_field() {
    let error = error(&raw_frame(&[0x91, 0x93, 2, 77, 0xa0], b""));
    assert_eq!(
        (error.place, error.problem),
        (
            "Refused.code",
            Problem::Code {
                what: "refusal",
                code: 77
            }
        )
    );
}

#[test]
fn a_hello_of_another_protocol_is_read_whatever_follows_its_number() {
    for rest in [&[][..], &[0xc1, 0xff], &[0x81]] {
        let hello = [&[0x91, 0x92, 0, 2], rest].concat();
        let frame = read(&raw_frame(&hello, b"anything")).unwrap();
        assert!(matches!(&frame.messages[..], [Message::Hello(hello)] if hello.protocol == 2));
    }
    assert!(read(&raw_frame(&[0x91, 0x92, 0, 1], b"")).is_err());
}

#[test]
fn too_few_and_too_many_fields_are_refused() {
    for message in [
        &[0x91, 0x92, 13, 1][..],
        &[0x91, 0x94, 13, 1, 1, 1],
        &[0x91, 0x90],
    ] {
        assert!(
            matches!(
                error(&raw_frame(message, b"")).problem,
                Problem::Entries { .. }
            ),
            "{message:?}"
        );
    }
}

#[test]
fn a_wrong_type_is_refused() {
    let error = error(&raw_frame(&[0x91, 0x93, 13, 0xa1, b'x', 1], b""));
    assert_eq!(
        (error.place, error.problem),
        (
            "Cancel.first",
            Problem::Type {
                expected: "u64",
                found: 0xa1
            }
        )
    );
}

#[test]
fn numbers_out_of_range_are_refused() {
    let reclaim =
        |number: &[u8]| error(&raw_frame(&[&[0x91, 0x92, 32], number].concat(), b"")).problem;
    assert_eq!(reclaim(&[0xff]), Problem::Range { expected: "u32" });
    assert_eq!(
        reclaim(&[0xcf, 0, 0, 0, 1, 0, 0, 0, 0]),
        Problem::Range { expected: "u32" }
    );
}

#[test]
fn a_number_in_more_bytes_than_it_needs_is_fine() {
    let frame = read(&raw_frame(
        &[0x91, 0x92, 32, 0xd3, 0, 0, 0, 0, 0, 0, 0, 7],
        b"",
    ))
    .unwrap();
    assert_eq!(frame.messages, [Message::Reclaim { count: 7 }]);
}

#[test]
fn text_must_be_utf8_and_a_hash_16_bytes() {
    assert_eq!(
        error(&raw_frame(&[0x91, 0x92, 22, 0xa1, 0xff], b"")).problem,
        Problem::Utf8
    );
    let hash = error(&raw_frame(&[0x91, 0x92, 11, 0xc4, 1, 0], b""));
    assert_eq!(
        hash.problem,
        Problem::Length {
            bytes: 1,
            expected: 16
        }
    );
}

#[test]
fn lengths_beyond_what_is_there_are_refused() {
    let array = [0x91, 0x92, 41, 0xdd, 0xff, 0xff, 0xff, 0xff];
    assert_eq!(error(&raw_frame(&array, b"")).problem, Problem::Short);
    let text = [0x91, 0x92, 22, 0xdb, 0xff, 0xff, 0xff, 0xff];
    assert_eq!(error(&raw_frame(&text, b"")).problem, Problem::Short);
    let payload = [0x91, 0x95, 63, 1, 1, 1, 4];
    assert_eq!(
        error(&raw_frame(&payload, b"abc")).problem,
        Problem::TooLarge { bytes: 4, limit: 3 }
    );
}

#[test]
fn more_messages_than_a_frame_may_have_are_refused() {
    let messages = |count: u16| {
        let mut bytes = vec![0xdc];
        bytes.extend_from_slice(&count.to_be_bytes());
        (0..count).for_each(|_| bytes.extend_from_slice(&[0x91, 4]));
        raw_frame(&bytes, b"")
    };
    assert_eq!(read(&messages(8_192)).unwrap().messages.len(), 8_192);
    assert!(matches!(
        error(&messages(8_193)).problem,
        Problem::TooMany {
            entries: 8_193,
            limit: 8_192
        }
    ));
}

#[test]
fn a_submission_leaves_room_for_what_it_becomes() {
    let submit = |bytes: usize| {
        Message::Submit(Submit {
            function: [0; 16],
            first: 0,
            options: Options::default(),
            blocks: vec![scaler_wire::Block {
                count: 1,
                form: Form::Single,
                payload: vec![0; bytes].into(),
            }],
            objects: Vec::new(),
            finished: Vec::new(),
            graph: None,
        })
    };
    assert!(read(&stream_of(&frame_of(vec![submit(MAX_FIRST_HOP - 100)]))[4..]).is_ok());
    let error = error(&stream_of(&frame_of(vec![submit(MAX_FIRST_HOP)]))[4..]);
    assert!(matches!(
        (error.place, error.problem),
        ("Submit", Problem::TooLarge { .. })
    ));
}
