//! Frames between hosts: the body compressed where that pays. On one host nothing is ever compressed.
//!
//! The header stays as it is. The prefix names the codec and the body's size before compression, which is checked
//! against [`MAX_FRAME`] before anything is allocated.

use crate::codec::{check_length, fail, Prefix, PREFIX};
use crate::limits::MAX_FRAME;
use crate::{DecodeError, Problem};

/// Bodies up to this size are not worth a try.
const WORTHWHILE: usize = 4 << 10;
/// How much of a body `Auto` tries first.
const SAMPLE: usize = 16 << 10;
/// `Auto` compresses when the sample shrinks below this share of itself, in percent.
const PAYS_BELOW: usize = 88;

pub(crate) const RAW: u8 = 0;
const LZ4: u8 = 1;
const ZSTD: u8 = 2;
/// zstd's own default: about four times lz4's time for two thirds of its bytes.
const ZSTD_LEVEL: i32 = 3;

/// What a host does to the bodies that it sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    Off,
    /// lz4, where a sample of the body says that it pays.
    Auto,
    Lz4,
    Zstd,
}

impl Codec {
    /// By its name in options: `off`, `auto`, `lz4`, `zstd`.
    pub fn from_name(name: &str) -> Option<Codec> {
        match name {
            "off" => Some(Codec::Off),
            "auto" => Some(Codec::Auto),
            "lz4" => Some(Codec::Lz4),
            "zstd" => Some(Codec::Zstd),
            _ => None,
        }
    }
}

/// A frame (without the stream's length) as it goes between hosts. A body that would not shrink stays as it is.
pub fn pack_remote(frame: &[u8], codec: Codec) -> Vec<u8> {
    match split(frame).and_then(|(header, body)| Some((header, compress(body, codec)?))) {
        Some((header, (codec, body))) => {
            let mut packed = Vec::with_capacity(header.len() + body.len());
            packed.extend_from_slice(header);
            packed.extend_from_slice(&body);
            packed[0] = codec;
            packed
        }
        None => frame.to_vec(),
    }
}

/// Prefix and header, and the body. `None` for what is no frame: its receiver will say so.
fn split(frame: &[u8]) -> Option<(&[u8], &[u8])> {
    check_length(frame.len()).ok()?;
    frame.split_at_checked(PREFIX.checked_add(Prefix::of(frame).header as usize)?)
}

pub(crate) fn compress(body: &[u8], codec: Codec) -> Option<(u8, Vec<u8>)> {
    if body.len() <= WORTHWHILE {
        return None;
    }
    let compressed = match codec {
        Codec::Off => return None,
        Codec::Auto if !pays(body) => return None,
        Codec::Auto | Codec::Lz4 => (LZ4, lz4_flex::block::compress(body)),
        Codec::Zstd => (ZSTD, zstd::bulk::compress(body, ZSTD_LEVEL).ok()?),
    };
    (compressed.1.len() < body.len()).then_some(compressed)
}

/// Whether [`pack_remote`] is worth a try for a frame whose body has `length` bytes and begins with `first`, which is
/// most of what it looks at.
pub fn worth_packing(first: &[u8], length: usize, codec: Codec) -> bool {
    let tells = first.len() >= length.min(SAMPLE);
    length > WORTHWHILE && codec != Codec::Off && (codec != Codec::Auto || !tells || pays(first))
}

fn pays(body: &[u8]) -> bool {
    let sample = &body[..body.len().min(SAMPLE)];
    lz4_flex::block::compress(sample).len() * 100 < sample.len() * PAYS_BELOW
}

/// The opposite of [`pack_remote`].
///
/// # Errors
/// Not a frame, a codec that does not exist, a body that states a size over the limit or does not decompress to it.
pub fn unpack_remote(frame: &[u8]) -> Result<Vec<u8>, DecodeError> {
    check_length(frame.len())?;
    let prefix = Prefix::of(frame);
    let header_end = PREFIX as u64 + u64::from(prefix.header);
    if header_end > frame.len() as u64 {
        return fail(4, Problem::Short);
    }
    let total = header_end + u64::from(prefix.body);
    if total > MAX_FRAME as u64 {
        return fail(
            8,
            Problem::TooLarge {
                bytes: total,
                limit: MAX_FRAME as u64,
            },
        );
    }
    if prefix.codec == RAW {
        return Ok(frame.to_vec());
    }
    let (header, body) = frame.split_at(header_end as usize);
    let mut raw = vec![0; total as usize];
    decompress(prefix.codec, body, &mut raw[header.len()..])?;
    raw[..header.len()].copy_from_slice(header);
    raw[0] = RAW;
    Ok(raw)
}

pub(crate) fn decompress(codec: u8, body: &[u8], raw: &mut [u8]) -> Result<(), DecodeError> {
    let expected = raw.len();
    let written = match codec {
        LZ4 => lz4_flex::block::decompress_into(body, raw).ok(),
        ZSTD => zstd::bulk::decompress_to_buffer(body, raw).ok(),
        _ => {
            return fail(
                0,
                Problem::Code {
                    what: "codec",
                    code: u64::from(codec),
                },
            )
        }
    };
    match written {
        Some(written) if written == expected => Ok(()),
        Some(written) => fail(
            8,
            Problem::Length {
                bytes: written as u64,
                expected: expected as u64,
            },
        ),
        None => fail(PREFIX, Problem::Corrupt),
    }
}
