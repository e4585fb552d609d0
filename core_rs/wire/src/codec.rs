//! Frames to bytes and back. The layout is in `docs/protocol.md`; [`crate::table`] has the messages.

use crate::limits::{MAX_FIRST_HOP, MAX_FRAME, MAX_MESSAGES, MAX_SECOND_HOP};
use crate::reader::Reader;
use crate::writer::Writer;
use crate::{DecodeError, Frame, Message, Payload, Problem};

/// Bytes of a frame before its header.
pub const PREFIX: usize = 12;
/// Bytes before a frame in a stream.
pub(crate) const LENGTH: usize = 4;

/// Appends the stream's length, the prefix and the header to `head` and the frame's payloads, in order, to `payloads`:
/// the caller writes `head`, then each payload.
///
/// A frame over [`MAX_FRAME`] is the caller's mistake ([`crate::limits`] says how messages stay below it).
pub fn encode<P: Payload>(frame: &Frame<P>, head: &mut Vec<u8>, payloads: &mut Vec<P>) {
    let start = head.len();
    head.extend_from_slice(&[0; LENGTH + PREFIX]);
    let mut out = Writer {
        head,
        payloads,
        body: 0,
    };
    out.array(5);
    out.unsigned(frame.link);
    out.u32(&frame.epoch);
    out.unsigned(frame.sequence);
    out.unsigned(frame.acknowledged);
    out.array(frame.messages.len());
    frame
        .messages
        .iter()
        .for_each(|message| out.message(message));

    let body = out.body;
    let header = head.len() - start - LENGTH - PREFIX;
    let total = PREFIX + header + body;
    debug_assert!(total <= MAX_FRAME, "frame of {total} bytes");
    for (at, value) in [(0, total), (LENGTH + 4, header), (LENGTH + 8, body)] {
        head[start + at..start + at + 4].copy_from_slice(&(value as u32).to_le_bytes());
    }
}

/// From the first bytes of a stream: how long its first frame is, its 4 length bytes included. `None` if fewer than
/// 4 bytes are there.
///
/// # Errors
/// A frame over [`MAX_FRAME`], or one too short for its prefix.
pub fn stream_length(bytes: &[u8]) -> Result<Option<usize>, DecodeError> {
    let Some(length) = bytes.first_chunk::<LENGTH>() else {
        return Ok(None);
    };
    let length = u32::from_le_bytes(*length) as usize;
    check_length(length)?;
    Ok(Some(LENGTH + length))
}

/// A frame from its bytes, without the stream's length. `cut(start, end)` makes a handle on `frame[start..end]`.
///
/// # Errors
/// Anything that [`encode`] would not have written, but for integers in more bytes than they need.
pub fn decode<P: Payload>(
    frame: &[u8],
    cut: impl FnMut(usize, usize) -> P,
) -> Result<Frame<P>, DecodeError> {
    check_length(frame.len())?;
    if crate::in_files::files_of(frame) > 0 {
        return fail(1, Problem::Reserved);
    }
    decode_within(frame, frame.len(), cut)
}

/// Bytes of a frame before its body, as it states them: `None` if fewer than [`PREFIX`] bytes of it are there.
pub fn head_length(frame: &[u8]) -> Option<usize> {
    (frame.len() >= PREFIX).then(|| PREFIX + Prefix::of(frame).header as usize)
}

/// As [`decode`], of a frame of `total` bytes of which only `head`, all before its body, is here. `cut(start, end)` is
/// asked for what would be `frame[start..end]`.
///
/// # Errors
/// As those of `decode`.
pub fn decode_body_elsewhere<P: Payload>(
    head: &[u8],
    total: usize,
    cut: impl FnMut(usize, usize) -> P,
) -> Result<Frame<P>, DecodeError> {
    check_length(total)?;
    if head_length(head) != Some(head.len()) {
        return fail(4, Problem::Short);
    }
    if crate::in_files::files_of(head) > 0 {
        return fail(1, Problem::Reserved);
    }
    decode_within(head, total, cut)
}

/// `total`: bytes of the frame with all its payloads; those that are not in `frame` only `cut` knows where to find.
pub(crate) fn decode_within<P: Payload>(
    frame: &[u8],
    total: usize,
    mut cut: impl FnMut(usize, usize) -> P,
) -> Result<Frame<P>, DecodeError> {
    let header_end = read_prefix(frame, total)?;
    let mut input = Reader::new(frame, PREFIX, header_end, total, &mut cut);
    let entries = input.array()?;
    input.expect(entries, 5)?;
    let (link, epoch, sequence, acknowledged) =
        (input.u64()?, input.u32()?, input.u64()?, input.u64()?);
    let messages = input.list(MAX_MESSAGES, read_message)?;
    input.finish()?;
    Ok(Frame {
        link,
        epoch,
        sequence,
        acknowledged,
        messages,
    })
}

fn read_message<P: Payload>(input: &mut Reader<'_, P>) -> Result<Message<P>, DecodeError> {
    let before = input.consumed();
    let message = crate::table::read(input)?;
    let (bytes, limit) = (input.consumed() - before, max_bytes(&message));
    if bytes > limit {
        input.place = message.name();
        return input.fail(Problem::TooLarge {
            bytes: bytes as u64,
            limit: limit as u64,
        });
    }
    Ok(message)
}

/// What is passed on in another message must still fit there.
fn max_bytes<P>(message: &Message<P>) -> usize {
    match message {
        Message::Submit(_)
        | Message::Function { .. }
        | Message::ChunkResult(_)
        | Message::LargeValue { .. } => MAX_FIRST_HOP,
        Message::Assign(_) | Message::Done { .. } => MAX_SECOND_HOP,
        _ => MAX_FRAME,
    }
}

/// Where the header ends.
fn read_prefix(frame: &[u8], whole: usize) -> Result<usize, DecodeError> {
    let prefix = Prefix::of(frame);
    if prefix.codec != 0 {
        return fail(
            0,
            Problem::Compressed {
                codec: prefix.codec,
            },
        );
    }
    let total = PREFIX as u64 + u64::from(prefix.header) + u64::from(prefix.body);
    if total != whole as u64 {
        return fail(
            4,
            Problem::Length {
                bytes: whole as u64,
                expected: total,
            },
        );
    }
    if frame[2] & !crate::in_files::TAKES_FILES != 0 || frame[3] != 0 {
        return fail(1, Problem::Reserved);
    }
    Ok(PREFIX + prefix.header as usize)
}

pub(crate) fn check_length(bytes: usize) -> Result<(), DecodeError> {
    if bytes < PREFIX {
        return fail(0, Problem::Short);
    }
    if bytes > MAX_FRAME {
        return fail(
            0,
            Problem::TooLarge {
                bytes: bytes as u64,
                limit: MAX_FRAME as u64,
            },
        );
    }
    Ok(())
}

/// The 12 bytes before a header, unchecked.
pub(crate) struct Prefix {
    pub codec: u8,
    pub header: u32,
    /// Of the body before compression.
    pub body: u32,
}

impl Prefix {
    /// `frame` has at least [`PREFIX`] bytes.
    pub fn of(frame: &[u8]) -> Prefix {
        let number = |at: usize| {
            u32::from_le_bytes([frame[at], frame[at + 1], frame[at + 2], frame[at + 3]])
        };
        Prefix {
            codec: frame[0],
            header: number(4),
            body: number(8),
        }
    }
}

pub(crate) fn fail<T>(at: usize, problem: Problem) -> Result<T, DecodeError> {
    Err(DecodeError {
        place: "frame",
        at,
        problem,
    })
}
