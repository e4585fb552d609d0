//! Bodies between hosts.

use scaler_wire::limits::MAX_FRAME;
use scaler_wire::{pack_remote, unpack_remote, Codec, Message, Problem};

use crate::samples::Random;
use crate::{frame_of, stream_of};

const ALL: [Codec; 4] = [Codec::Off, Codec::Auto, Codec::Lz4, Codec::Zstd];

fn frame_with(body: Vec<u8>) -> Vec<u8> {
    stream_of(&frame_of(vec![Message::Function {
        id: [1; 16],
        payload: body.into(),
    }]))[4..]
        .to_vec()
}

fn noise(bytes: usize) -> Vec<u8> {
    let mut random = Random::new(7);
    (0..bytes).map(|_| (random.next() >> 56) as u8).collect()
}

#[test]
fn what_was_packed_is_unpacked() {
    let noise_then_zeros = [noise(20_000), vec![0; 100_000]].concat();
    for body in [
        vec![],
        vec![1; 4_096],
        vec![1; 100_000],
        noise(100_000),
        noise_then_zeros,
    ] {
        let frame = frame_with(body);
        for codec in ALL {
            assert!(
                unpack_remote(&pack_remote(&frame, codec)) == Ok(frame.clone()),
                "{codec:?}"
            );
        }
    }
}

#[test]
fn a_body_that_shrinks_is_compressed() {
    let frame = frame_with(vec![1; 100_000]);
    for (codec, number) in [
        (Codec::Off, 0),
        (Codec::Auto, 1),
        (Codec::Lz4, 1),
        (Codec::Zstd, 2),
    ] {
        let packed = pack_remote(&frame, codec);
        assert_eq!(packed[0], number, "{codec:?}");
        assert_eq!(packed.len() < frame.len() / 10, number != 0, "{codec:?}");
    }
}

#[test]
fn small_bodies_and_noise_stay_as_they_are() {
    for frame in [frame_with(vec![1; 4_096]), frame_with(noise(50_000))] {
        for codec in ALL {
            assert!(pack_remote(&frame, codec) == frame, "{codec:?}");
        }
    }
}

#[test]
fn a_sample_without_gain_spares_the_rest() {
    let frame = frame_with([noise(17_000), vec![0; 100_000]].concat());
    assert_eq!(pack_remote(&frame, Codec::Auto)[0], 0);
    assert_eq!(pack_remote(&frame, Codec::Lz4)[0], 1);
}

#[test]
fn a_stated_size_over_the_limit_is_refused_before_anything_is_allocated() {
    let mut packed = pack_remote(&frame_with(vec![1; 100_000]), Codec::Lz4);
    packed[8..12].copy_from_slice(&u32::MAX.to_le_bytes());
    assert!(matches!(
        unpack_remote(&packed).unwrap_err().problem,
        Problem::TooLarge { bytes, .. } if bytes > MAX_FRAME as u64
    ));
}

#[test]
fn a_stated_size_that_is_not_the_bodys_is_refused() {
    for codec in [Codec::Lz4, Codec::Zstd] {
        for stated in [0_u32, 99_999, 100_001] {
            let mut packed = pack_remote(&frame_with(vec![1; 100_000]), codec);
            packed[8..12].copy_from_slice(&stated.to_le_bytes());
            assert!(unpack_remote(&packed).is_err(), "{codec:?} {stated}");
        }
    }
}

#[test]
fn an_unknown_codec_and_a_short_frame_are_refused() {
    let mut packed = pack_remote(&frame_with(vec![1; 100_000]), Codec::Lz4);
    packed[0] = 3;
    assert_eq!(
        unpack_remote(&packed).unwrap_err().problem,
        Problem::Code {
            what: "codec",
            code: 3
        }
    );
    assert_eq!(
        unpack_remote(&packed[..11]).unwrap_err().problem,
        Problem::Short
    );
    assert_eq!(
        unpack_remote(&packed[..20]).unwrap_err().problem,
        Problem::Short
    );
}
