//! Frames and messages of every hop, their msgpack form, and compression with its limits. No I/O.
//!
//! Sources of truth: [`message`] for what parts say to each other, `docs/protocol.md` for its bytes.

pub mod codec;
pub mod compress;
pub mod error;
mod in_files;
pub mod limits;
pub mod measure;
pub mod message;
mod reader;
mod stored;
pub mod table;
mod writer;

pub use codec::{decode, decode_body_elsewhere, encode, head_length, stream_length, PREFIX};
pub use compress::{pack_remote, unpack_remote, worth_packing, Codec};
pub use error::{DecodeError, Problem};
pub use in_files::{
    decode_in_files, files_of, leave_in_files, offer_files, takes_files, Found, InFile, MOST_FILES,
};
pub use limits::MAX_FRAME;
pub use message::*;
pub use stored::{pack_stored, unpack_stored};

/// Major version of the protocol; another one is refused in the handshake.
pub const PROTOCOL: u32 = 1;

impl Payload for bytes::Bytes {
    fn len(&self) -> usize {
        bytes::Bytes::len(self)
    }

    fn as_reference(&self) -> Option<(ObjectKey, u64)> {
        read_reference(self)
    }

    fn from_vec(bytes: Vec<u8>) -> Self {
        bytes::Bytes::from(bytes)
    }
}
