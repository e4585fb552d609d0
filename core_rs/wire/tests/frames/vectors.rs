//! Golden vectors: a frame of every kind, as text, for anyone who writes a peer. They only change with the protocol.

use std::fmt::Write;
use std::path::PathBuf;

use scaler_wire::table::{Fields, CODES, MESSAGES, RECORDS};

use crate::samples::{sample, Fixed};
use crate::{frame_of, read, stream_of};

fn folder() -> PathBuf {
    PathBuf::from(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../tests/unit/vectors"
    ))
}

/// (file name, text) of every vector.
fn vectors() -> Vec<(String, String)> {
    let vector = |kind: u8, name: &str| {
        let bytes = stream_of(&frame_of(vec![sample(kind, &mut Fixed::default())]));
        (format!("{kind:02}_{name}.hex"), hex(&bytes))
    };
    let mut all: Vec<_> = MESSAGES
        .iter()
        .map(|(kind, name, _)| vector(*kind, name))
        .collect();
    all.push(("fields.txt".to_owned(), fields()));
    all
}

fn hex(bytes: &[u8]) -> String {
    bytes.chunks(32).fold(String::new(), |mut text, line| {
        line.iter()
            .for_each(|byte| write!(text, "{byte:02x}").unwrap());
        text + "\n"
    })
}

/// The codec's own table, a line a message, record and enumeration.
fn fields() -> String {
    let list = |fields: Fields| {
        fields
            .iter()
            .map(|(name, how)| format!(" {name}:{how}"))
            .collect::<String>()
    };
    let messages = MESSAGES
        .iter()
        .map(|(kind, name, fields)| format!("message {kind} {name}{}\n", list(fields)));
    let records = RECORDS
        .iter()
        .map(|(name, fields)| format!("record {name}{}\n", list(fields)));
    let codes = CODES
        .iter()
        .map(|(name, variants)| format!("code {name} {}\n", variants.join(" ")));
    messages.chain(records).chain(codes).collect()
}

fn bytes_of(hex: &str) -> Vec<u8> {
    let digits: String = hex.split_whitespace().collect();
    (0..digits.len() / 2)
        .map(|at| u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).unwrap())
        .collect()
}

#[test]
fn every_kind_is_written_as_its_vector_says() {
    for (name, text) in vectors() {
        let there = std::fs::read_to_string(folder().join(&name))
            .expect("cargo test -p scaler-wire -- --ignored");
        assert_eq!(there, text, "{name}");
    }
}

#[test]
fn every_vector_is_read_as_the_value_that_it_was_made_from() {
    for (kind, name, _) in MESSAGES {
        let text = std::fs::read_to_string(folder().join(format!("{kind:02}_{name}.hex"))).unwrap();
        let frame = read(&bytes_of(&text)[4..]).unwrap();
        assert_eq!(
            frame,
            frame_of(vec![sample(*kind, &mut Fixed::default())]),
            "{name}"
        );
        assert_eq!(frame.messages[0].name(), *name);
    }
}

#[test]
fn there_is_no_vector_without_a_kind() {
    let mut there: Vec<_> = std::fs::read_dir(folder())
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    there.sort();
    let mut expected: Vec<_> = vectors().into_iter().map(|(name, _)| name).collect();
    expected.sort();
    assert_eq!(there, expected);
}

/// Writes the vectors: after a change of the protocol, and only then.
#[test]
#[ignore = "writes tests/unit/vectors"]
fn write_vectors() {
    std::fs::create_dir_all(folder()).unwrap();
    for (name, text) in vectors() {
        std::fs::write(folder().join(name), text).unwrap();
    }
}
