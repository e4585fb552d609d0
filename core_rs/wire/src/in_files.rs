//! Payloads beside a frame: in files whose descriptors come with its first byte. Only between processes of one host.
//!
//! Such a frame says in byte 1 how many they are. Between its header and what is left of its body is an entry for each,
//! in the order of the payloads: `u32` place in the body as if all were here, `u32` length, `u64` offset in the file.
//! In byte 2 a peer says that it takes such frames; nobody else is sent one.

use crate::codec::{check_length, decode_within, fail, Prefix, LENGTH, PREFIX};
use crate::{DecodeError, Frame, Payload, Problem};

/// Payloads of one frame that may be in files.
pub const MOST_FILES: usize = 64;
/// Byte 2 of a frame: its sender takes payloads in files.
pub(crate) const TAKES_FILES: u8 = 1;
const ENTRY: usize = 16;

/// A payload of a frame that is in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InFile {
    /// Where it would be in the body.
    pub place: u32,
    pub length: u32,
    /// In the file.
    pub offset: u64,
}

/// Where a payload's bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// From, to: in the frame.
    Here(usize, usize),
    /// In the descriptor of this number, among those that came with the frame: offset, length.
    InFile(usize, u64, usize),
}

/// Says in the frame that `encode` has just written at `head[start..]` that its sender takes payloads in files.
pub fn offer_files(head: &mut [u8], start: usize) {
    head[start + LENGTH + 2] = TAKES_FILES;
}

/// Says in the frame that `encode` has just written at `head[start..]` which payloads are not to follow.
pub fn leave_in_files(head: &mut Vec<u8>, start: usize, entries: &[InFile]) {
    debug_assert!(entries.len() <= MOST_FILES);
    head[start + LENGTH + 1] = entries.len() as u8;
    let mut gone = 0;
    for entry in entries {
        head.extend_from_slice(&entry.place.to_le_bytes());
        head.extend_from_slice(&entry.length.to_le_bytes());
        head.extend_from_slice(&entry.offset.to_le_bytes());
        gone += entry.length;
    }
    let length: [u8; LENGTH] = head[start..start + LENGTH].try_into().expect("as long");
    let length = u32::from_le_bytes(length) - gone + (ENTRY * entries.len()) as u32;
    head[start..start + LENGTH].copy_from_slice(&length.to_le_bytes());
}

/// Whether the sender of a frame takes payloads in files.
pub fn takes_files(frame: &[u8]) -> bool {
    frame.get(2).is_some_and(|flags| flags & TAKES_FILES != 0)
}

/// How many descriptors belong to a frame.
pub fn files_of(frame: &[u8]) -> usize {
    frame.get(1).map_or(0, |&count| usize::from(count))
}

/// As [`crate::decode`], for a frame that may have payloads in files.
///
/// # Errors
/// As those of `decode`; entries that are not payloads of the frame.
pub fn decode_in_files<P: Payload>(
    frame: &[u8],
    mut find: impl FnMut(Found) -> P,
) -> Result<Frame<P>, DecodeError> {
    check_length(frame.len())?;
    let count = files_of(frame);
    let prefix = Prefix::of(frame);
    let header_end = PREFIX as u64 + u64::from(prefix.header);
    let entries_end = header_end + (ENTRY * count) as u64;
    if count > MOST_FILES || entries_end > frame.len() as u64 {
        return fail(1, Problem::Short);
    }
    let (header_end, entries_end) = (header_end as usize, entries_end as usize);
    let entries: Vec<InFile> = frame[header_end..entries_end]
        .chunks_exact(ENTRY)
        .map(entry)
        .collect();
    let gone: u64 = entries.iter().map(|entry| u64::from(entry.length)).sum();
    let whole = frame.len() as u64 - (ENTRY * count) as u64 + gone;
    // The lengths of all payloads are bounded as if they were here.
    if whole > crate::MAX_FRAME as u64 {
        return fail(
            4,
            Problem::TooLarge {
                bytes: whole,
                limit: crate::MAX_FRAME as u64,
            },
        );
    }
    let (mut used, mut before) = (0, 0);
    let decoded = decode_within(frame, whole as usize, |start, end| {
        let next = entries.get(used).filter(|entry| {
            start == header_end + entry.place as usize && end - start == entry.length as usize
        });
        if let Some(entry) = next {
            let found = Found::InFile(used, entry.offset, end - start);
            used += 1;
            before += end - start;
            return find(found);
        }
        // Where the entries are wrong this may be anywhere; then the frame is refused below.
        let shift = (ENTRY * count) as isize - before as isize;
        let from = start.saturating_add_signed(shift).min(frame.len());
        let to = end.saturating_add_signed(shift).min(frame.len());
        find(Found::Here(from.min(to), to))
    })?;
    if used < count {
        return fail(
            header_end,
            Problem::Trailing {
                bytes: ENTRY as u64,
            },
        );
    }
    Ok(decoded)
}

fn entry(bytes: &[u8]) -> InFile {
    let number = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("4 bytes"));
    InFile {
        place: number(0),
        length: number(4),
        offset: u64::from(number(8)) | u64::from(number(12)) << 32,
    }
}
