//! Any message comes back as it was; any bytes get an answer.

use proptest::prelude::*;
use scaler_wire::table::MESSAGES;
use scaler_wire::{pack_remote, stream_length, unpack_remote, Codec, Frame};

use crate::samples::{sample, Draw, Random};
use crate::{read, stream_of};

/// Up to five messages of any kinds.
fn any_frame(seed: u64) -> Frame<bytes::Bytes> {
    let mut random = Random::new(seed);
    let messages = (0..random.number(5))
        .map(|_| {
            let (kind, _, _) = random.pick(MESSAGES);
            sample(kind, &mut random)
        })
        .collect();
    Frame {
        link: random.u64(),
        epoch: random.u32(),
        sequence: random.u64(),
        acknowledged: random.u64(),
        messages,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn any_frame_comes_back_as_it_was(seed: u64) {
        let frame = any_frame(seed);
        let stream = stream_of(&frame);
        prop_assert_eq!(stream_length(&stream), Ok(Some(stream.len())));
        prop_assert_eq!(read(&stream[4..]), Ok(frame));
    }

    #[test]
    fn a_header_takes_no_more_than_its_bound(seed: u64) {
        let frame = any_frame(seed);
        let payloads: usize = frame.messages.iter().map(|message| message.payload_bytes()).sum();
        let bound: usize = frame.messages.iter().map(|message| message.header_bytes()).sum();
        let handshake = frame.messages.iter().any(|message| ["Hello", "Welcome"].contains(&message.name()));
        prop_assert!(handshake || stream_of(&frame).len() <= 64 + payloads + bound);
    }

    #[test]
    fn any_bytes_get_an_answer(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = read(&bytes);
        let _ = unpack_remote(&bytes);
        let _ = stream_length(&bytes);
        for codec in [Codec::Auto, Codec::Lz4, Codec::Zstd] {
            pack_remote(&bytes, codec);
        }
    }

    #[test]
    fn a_changed_frame_gets_an_answer(seed: u64, changes in prop::collection::vec((any::<u32>(), any::<u8>()), 1..6)) {
        let mut frame = stream_of(&any_frame(seed)).split_off(4);
        for (at, byte) in changes {
            let at = at as usize % frame.len();
            frame[at] = byte;
        }
        if let Ok(frame) = read(&frame) {
            prop_assert_eq!(read(&stream_of(&frame)[4..]), Ok(frame));
        }
    }

    #[test]
    fn a_changed_compressed_frame_gets_an_answer(seed: u64, at: usize, byte: u8, zstd: bool) {
        let mut random = Random::new(seed);
        let body: Vec<u8> = (0..6_000).map(|_| random.pick(b"abcabcd")).collect();
        let message = scaler_wire::Message::Function { id: [0; 16], payload: body.into() };
        let frame = Frame { messages: vec![message], ..any_frame(seed) };
        let codec = if zstd { Codec::Zstd } else { Codec::Lz4 };
        let mut packed = pack_remote(&stream_of(&frame)[4..], codec);
        let at = at % packed.len();
        packed[at] = byte;
        if let Ok(unpacked) = unpack_remote(&packed) {
            let _ = read(&unpacked);
        }
    }
}
