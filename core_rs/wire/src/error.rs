//! Why bytes are not a frame: what is wrong, in which field, at which byte.

/// `at` counts from the frame's first byte (the stream's length not included).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {problem}, at byte {at}")]
pub struct DecodeError {
    /// `frame`, `header`, or message and field, as in `Submit.blocks`.
    pub place: &'static str,
    pub at: usize,
    pub problem: Problem,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    #[error("ends too early")]
    Short,
    #[error("{bytes} bytes, the limit is {limit}")]
    TooLarge { bytes: u64, limit: u64 },
    #[error("{entries} entries, the limit is {limit}")]
    TooMany { entries: u64, limit: u64 },
    #[error("{entries} entries where {expected} belong")]
    Entries { entries: u64, expected: u64 },
    #[error("expected {expected}, found msgpack type 0x{found:02x}")]
    Type { expected: &'static str, found: u8 },
    #[error("number is out of range for {expected}")]
    Range { expected: &'static str },
    #[error("{code} is no {what}")]
    Code { what: &'static str, code: u64 },
    #[error("text is not utf-8")]
    Utf8,
    #[error("{bytes} bytes where {expected} belong")]
    Length { bytes: u64, expected: u64 },
    #[error("{bytes} bytes too many")]
    Trailing { bytes: u64 },
    #[error("nested too deep")]
    Depth,
    #[error("body is compressed ({codec}); frames on a stream are not")]
    Compressed { codec: u8 },
    #[error("reserved bytes are not zero")]
    Reserved,
    #[error("compressed body does not decompress")]
    Corrupt,
}
