//! How large things may be. The decoder enforces all of it before it allocates.

/// A frame, without the stream's 4 length bytes.
pub const MAX_FRAME: usize = 8 << 20;

/// Where a frame stops being filled: payload bytes, and elements (see [`crate::Message::elements`]).
pub const FULL_BYTES: usize = 4 << 20;
pub const FULL_ELEMENTS: u64 = 8_192;

/// Messages in a frame: each counts for one element at least, so a filled frame has no more.
pub const MAX_MESSAGES: usize = FULL_ELEMENTS as usize;

/// Blocks of one submission, segments of one message.
pub const MAX_BLOCKS: usize = 8_192;

/// Properties of a hello, capabilities of a node or task, names in a failure.
pub const MAX_NAMES: usize = 256;

/// What a message may be, header and payloads together, where its receiver sends its contents on in a larger message
/// (`Submit` becomes `Assign`, `ChunkResult` becomes `Done` and that `Results`): each hop leaves room for the next.
pub const MAX_FIRST_HOP: usize = MAX_FRAME - (64 << 10);
pub const MAX_SECOND_HOP: usize = MAX_FRAME - (32 << 10);

/// Arrays in arrays: a frame's header needs five.
pub const MAX_DEPTH: u32 = 8;
