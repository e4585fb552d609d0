//! Bytes that were decrypted to frames for the loop. Large bodies go straight to files in memory (see
//! `scaler_loops::mapped`), all parts of one object to one file, as if a process of this host had sent them.

use std::io;

use bytes::Bytes;
use scaler_loops::mapped;
use scaler_loops::spare_files::Growing;
use scaler_loops::wire::{
    decode, decode_body_elsewhere, head_length, stream_length, unpack_remote, DecodeError, Frame,
    Message, PREFIX,
};

const LENGTH: usize = 4;
/// Objects whose parts come in turns.
const MOST_OBJECTS: usize = 4;
/// Larger ones get a file a part: a peer may say any size.
const LARGEST: u64 = 1 << 30;

#[derive(Debug)]
pub enum LandingError {
    Malformed(DecodeError),
    /// No more memory, or the like.
    Io(io::Error),
    Tls(rustls::Error),
}

impl std::fmt::Display for LandingError {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            LandingError::Malformed(error) => error.fmt(to),
            LandingError::Io(error) => error.fmt(to),
            LandingError::Tls(error) => error.fmt(to),
        }
    }
}

impl std::error::Error for LandingError {}

impl From<DecodeError> for LandingError {
    fn from(error: DecodeError) -> Self {
        LandingError::Malformed(error)
    }
}

impl From<io::Error> for LandingError {
    fn from(error: io::Error) -> Self {
        LandingError::Io(error)
    }
}

impl From<rustls::Error> for LandingError {
    fn from(error: rustls::Error) -> Self {
        LandingError::Tls(error)
    }
}

/// Whose part a body is: put or data, request, bytes of the whole.
type Name = (bool, u32, u64);

struct Object {
    name: Name,
    file: Growing,
    /// Where the file begins in the object: after parts that were too small for one.
    base: u64,
    /// Where the next part begins.
    next: u64,
}

/// A body that comes.
struct Body {
    file: Growing,
    /// Where it begins in the file, how long it is, how much of it has come.
    start: u64,
    length: usize,
    came: usize,
    /// There is more to come of this object, whose file begins there.
    object: Option<(Name, u64)>,
}

#[derive(Default)]
pub struct Landing {
    /// The beginning of a frame, its length included; all but its body, where that is in `body`.
    head: Vec<u8>,
    body: Option<Body>,
    /// There was no file for this one's body: it follows its head.
    in_place: bool,
    objects: Vec<Object>,
}

impl Landing {
    /// Appends the frames that are complete.
    pub fn take(
        &mut self,
        mut bytes: &[u8],
        frames: &mut Vec<Frame<Bytes>>,
    ) -> Result<(), LandingError> {
        while !bytes.is_empty() {
            let taken = match &mut self.body {
                Some(body) => {
                    let taken = bytes.len().min(body.length - body.came);
                    let at = body.start + body.came as u64;
                    body.file.write(&bytes[..taken], at)?;
                    body.came += taken;
                    taken
                }
                None => {
                    let taken = bytes.len().min(self.wanted()?);
                    self.head.extend_from_slice(&bytes[..taken]);
                    taken
                }
            };
            bytes = &bytes[taken..];
            if let Some(frame) = self.complete()? {
                frames.push(frame);
            }
        }
        Ok(())
    }

    /// How many bytes the head lacks: to say how long it is, then to be whole.
    fn wanted(&mut self) -> Result<usize, LandingError> {
        let Some(total) = stream_length(&self.head)? else {
            return Ok(LENGTH - self.head.len());
        };
        let Some(header) = head_length(&self.head[LENGTH..]) else {
            return Ok(LENGTH + PREFIX - self.head.len());
        };
        let end = match total - LENGTH {
            whole if self.goes_to_file(header, whole) => LENGTH + header,
            whole => LENGTH + whole,
        };
        self.head.reserve_exact(end - self.head.len());
        Ok(end - self.head.len())
    }

    /// Whether a frame of so many bytes, so many of them before its body, has its body in a file.
    fn goes_to_file(&self, header: usize, whole: usize) -> bool {
        let packed = self.head[LENGTH] != 0;
        !packed && !self.in_place && header < whole && whole - header >= mapped::LEAST
    }

    /// The frame, if it is all there. Otherwise the place for its body, if that is what comes next.
    fn complete(&mut self) -> Result<Option<Frame<Bytes>>, LandingError> {
        if let Some(body) = &self.body {
            return match body.came < body.length {
                true => Ok(None),
                false => self.landed().map(Some),
            };
        }
        let Some(total) = stream_length(&self.head)? else {
            return Ok(None);
        };
        let Some(header) = head_length(&self.head[LENGTH..]) else {
            return Ok(None);
        };
        let whole = total - LENGTH;
        if self.head.len() == total {
            self.in_place = false;
            let buffer = Bytes::from(std::mem::take(&mut self.head)).slice(LENGTH..);
            return whole_frame(buffer).map(Some);
        }
        if self.head.len() == LENGTH + header && self.goes_to_file(header, whole) {
            self.begin(header, whole)?;
        }
        Ok(None)
    }

    fn begin(&mut self, header: usize, whole: usize) -> Result<(), LandingError> {
        let length = whole - header;
        let head = &self.head[LENGTH..];
        // Looked at now, so that nothing of what is no frame is kept.
        let frame = decode_body_elsewhere(head, whole, |_, _| Bytes::new())?;
        let part = match &frame.messages[..] {
            [message] => part_of(message),
            _ => None,
        };
        let part = part.filter(|(name, offset)| {
            name.2 <= LARGEST
                && offset
                    .checked_add(length as u64)
                    .is_some_and(|end| end <= name.2)
        });
        let found = part.and_then(|(name, offset)| {
            let at = |one: &Object| one.name == name && one.next == offset;
            let at = self.objects.iter().position(at)?;
            Some(self.objects.remove(at))
        });
        let (file, start, object) = match (found, part) {
            (Some(object), _) => {
                let start = object.next - object.base;
                (Some(object.file), start, Some((object.name, object.base)))
            }
            (None, Some((name, offset))) if name.2 - offset > length as u64 => {
                let file = Growing::new((name.2 - offset) as usize);
                (file, 0, Some((name, offset)))
            }
            _ => (Growing::new(length), 0, None),
        };
        match file {
            Some(file) => {
                self.body = Some(Body {
                    file,
                    start,
                    length,
                    came: 0,
                    object,
                })
            }
            None => self.in_place = true,
        }
        Ok(())
    }

    fn landed(&mut self) -> Result<Frame<Bytes>, LandingError> {
        let (head, body) = (std::mem::take(&mut self.head), self.body.take());
        let Body {
            file,
            start,
            length,
            object,
            ..
        } = body.expect("it is called for a body");
        let head = &head[LENGTH..];
        let end = start as usize + length;
        let whole = file.part(start as usize..end);
        let frame = decode_body_elsewhere(head, head.len() + length, |from, to| {
            whole.slice(from - head.len()..to - head.len())
        })?;
        if let Some((name, base)) = object.filter(|(name, base)| base + (end as u64) < name.2) {
            if self.objects.len() == MOST_OBJECTS {
                self.objects.remove(0);
            }
            let next = base + end as u64;
            self.objects.push(Object {
                name,
                file,
                base,
                next,
            });
        }
        Ok(frame)
    }
}

fn whole_frame(buffer: Bytes) -> Result<Frame<Bytes>, LandingError> {
    let buffer = match buffer[0] {
        0 => buffer,
        _ => Bytes::from(unpack_remote(&buffer)?),
    };
    Ok(decode(&buffer, |start, end| buffer.slice(start..end))?)
}

/// Where a message's payload belongs.
fn part_of(message: &Message<Bytes>) -> Option<(Name, u64)> {
    match message {
        Message::Put {
            request,
            size,
            offset,
            ..
        } => Some(((true, *request, *size), *offset)),
        Message::Data {
            request,
            size,
            offset,
            ..
        } => Some(((false, *request, *size), *offset)),
        _ => None,
    }
}
