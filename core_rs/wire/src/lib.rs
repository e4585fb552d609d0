//! Frames and messages of every hop, their msgpack form, and compression with its limits. No I/O.
//!
//! Sources of truth: [`message`] for what parts say to each other, `docs/protocol.md` for its bytes.

pub mod message;

pub use message::*;
