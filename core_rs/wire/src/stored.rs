//! Bytes that a driver stores or sends by itself, compressed by the same codecs as frames and with the same caution.
//!
//! ```text
//! 0   u8   codec: 0 raw, 1 lz4, 2 zstd
//! 1   3 bytes, zero
//! 4   u64  length before compression
//! …   body
//! ```

use crate::codec::fail;
use crate::compress::{compress, decompress, Codec, RAW};
use crate::{DecodeError, Problem};

const HEAD: usize = 12;

/// What would not shrink stays as it is, behind its head.
pub fn pack_stored(data: &[u8], codec: Codec) -> Vec<u8> {
    let (codec, body) = match compress(data, codec) {
        Some((codec, body)) => (codec, std::borrow::Cow::Owned(body)),
        None => (RAW, std::borrow::Cow::Borrowed(data)),
    };
    let mut packed = Vec::with_capacity(HEAD + body.len());
    packed.extend_from_slice(&[codec, 0, 0, 0]);
    packed.extend_from_slice(&(data.len() as u64).to_le_bytes());
    packed.extend_from_slice(&body);
    packed
}

/// The opposite of [`pack_stored`].
///
/// # Errors
/// A stated length over `limit`, which is seen before anything is allocated; or bytes that nobody packed.
pub fn unpack_stored(packed: &[u8], limit: u64) -> Result<Vec<u8>, DecodeError> {
    let Some((head, body)) = packed.split_first_chunk::<HEAD>() else {
        return fail(0, Problem::Short);
    };
    if head[1..4] != [0, 0, 0] {
        return fail(1, Problem::Reserved);
    }
    let bytes = u64::from_le_bytes(head[4..].try_into().expect("8 bytes"));
    if bytes > limit {
        return fail(4, Problem::TooLarge { bytes, limit });
    }
    if head[0] == RAW {
        let there = body.len() as u64;
        return if there == bytes {
            Ok(body.to_vec())
        } else {
            let expected = bytes;
            fail(
                4,
                Problem::Length {
                    bytes: there,
                    expected,
                },
            )
        };
    }
    let Ok(bytes) = usize::try_from(bytes) else {
        return fail(4, Problem::TooLarge { bytes, limit });
    };
    let mut raw = vec![0; bytes];
    decompress(head[0], body, &mut raw)?;
    Ok(raw)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CODECS: [Codec; 4] = [Codec::Off, Codec::Auto, Codec::Lz4, Codec::Zstd];

    fn much() -> Vec<u8> {
        (0..100_000_u32)
            .flat_map(|n| (n / 7).to_le_bytes())
            .collect()
    }

    #[test]
    fn what_is_packed_comes_back() {
        for codec in CODECS {
            for data in [vec![], vec![7], much()] {
                let packed = pack_stored(&data, codec);
                assert_eq!(unpack_stored(&packed, data.len() as u64).unwrap(), data);
                if codec != Codec::Off && data.len() > 1 {
                    assert!(packed.len() < data.len() / 2);
                }
            }
        }
    }

    #[test]
    fn a_length_over_the_limit_is_refused_before_it_is_allocated() {
        let mut packed = pack_stored(&much(), Codec::Zstd);
        let too_large = unpack_stored(&packed, much().len() as u64 - 1).unwrap_err();
        assert!(matches!(too_large.problem, Problem::TooLarge { .. }));
        packed[4..12].copy_from_slice(&u64::MAX.to_le_bytes());
        let huge = unpack_stored(&packed, u64::MAX - 1).unwrap_err();
        assert!(matches!(huge.problem, Problem::TooLarge { .. }));
    }

    #[test]
    fn bytes_that_nobody_packed_are_refused() {
        for codec in CODECS {
            let packed = pack_stored(&much(), codec);
            assert!(unpack_stored(&packed[..11], 1 << 30).is_err());
            assert!(unpack_stored(&packed[..packed.len() - 1], 1 << 30).is_err());
            for at in 0..12 {
                let mut wrong = packed.clone();
                wrong[at] ^= 0x55;
                assert!(unpack_stored(&wrong, 1 << 30).is_err(), "byte {at}");
            }
        }
    }
}
