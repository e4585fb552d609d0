//! Reads a message's fields: the mirror of [`crate::writer`]. Trusts nothing: every length is checked against what
//! is there before anything is allocated for it.

use rmp::Marker;

use crate::limits::{MAX_BLOCKS, MAX_DEPTH, MAX_NAMES};
use crate::writer::{Code, Record};
use crate::{Capabilities, DecodeError, FunctionId, ObjectKey, Problem};

/// A list grows past this only as its entries are really read.
const FIRST_CAPACITY: usize = 64;

pub(crate) struct Reader<'a, P> {
    frame: &'a [u8],
    /// Where the body ends, payloads that came in files included.
    total: usize,
    /// Where the next header byte is, and where the header ends.
    at: usize,
    end: usize,
    /// Where the next payload starts.
    body: usize,
    depth: u32,
    /// What is being read, for errors.
    pub place: &'static str,
    cut: &'a mut dyn FnMut(usize, usize) -> P,
}

type Read<T> = Result<T, DecodeError>;

impl<'a, P> Reader<'a, P> {
    /// `frame[start..end]` is the header; the body is from there to `total`, wherever its bytes are.
    pub fn new(
        frame: &'a [u8],
        start: usize,
        end: usize,
        total: usize,
        cut: &'a mut dyn FnMut(usize, usize) -> P,
    ) -> Self {
        Reader {
            frame,
            total,
            at: start,
            end,
            body: end,
            depth: 0,
            place: "header",
            cut,
        }
    }

    pub fn fail<T>(&self, problem: Problem) -> Read<T> {
        Err(DecodeError {
            place: self.place,
            at: self.at,
            problem,
        })
    }

    /// Header and payload bytes read so far.
    pub fn consumed(&self) -> usize {
        self.at + self.body - self.end
    }

    pub fn position(&self) -> usize {
        self.at
    }

    /// Back to a position in the header where no payload has been read since.
    pub fn rewind(&mut self, position: usize) {
        self.at = position;
    }

    /// Leaves out the rest of the frame.
    pub fn skip_rest(&mut self) {
        self.at = self.end;
        self.body = self.total;
    }

    pub fn finish(&mut self) -> Read<()> {
        self.place = "header";
        if self.at < self.end {
            return self.fail(Problem::Trailing {
                bytes: (self.end - self.at) as u64,
            });
        }
        self.place = "frame";
        self.at = self.body;
        if self.body < self.total {
            return self.fail(Problem::Trailing {
                bytes: (self.total - self.body) as u64,
            });
        }
        Ok(())
    }

    fn take(&mut self, bytes: usize) -> Read<&'a [u8]> {
        if bytes > self.end - self.at {
            return self.fail(Problem::Short);
        }
        let taken = &self.frame[self.at..self.at + bytes];
        self.at += bytes;
        Ok(taken)
    }

    fn number<const N: usize>(&mut self) -> Read<[u8; N]> {
        Ok(self.take(N)?.try_into().expect("take gives what was asked"))
    }

    fn marker(&mut self) -> Read<Marker> {
        Ok(Marker::from_u8(self.take(1)?[0]))
    }

    fn wrong<T>(&mut self, expected: &'static str, found: Marker) -> Read<T> {
        self.at -= 1;
        self.fail(Problem::Type {
            expected,
            found: found.to_u8(),
        })
    }

    fn integer<T: TryFrom<i128>>(&mut self, expected: &'static str) -> Read<T> {
        let value = match self.marker()? {
            Marker::FixPos(value) => i128::from(value),
            Marker::FixNeg(value) => i128::from(value),
            Marker::U8 => i128::from(u8::from_be_bytes(self.number()?)),
            Marker::U16 => i128::from(u16::from_be_bytes(self.number()?)),
            Marker::U32 => i128::from(u32::from_be_bytes(self.number()?)),
            Marker::U64 => i128::from(u64::from_be_bytes(self.number()?)),
            Marker::I8 => i128::from(i8::from_be_bytes(self.number()?)),
            Marker::I16 => i128::from(i16::from_be_bytes(self.number()?)),
            Marker::I32 => i128::from(i32::from_be_bytes(self.number()?)),
            Marker::I64 => i128::from(i64::from_be_bytes(self.number()?)),
            found => return self.wrong(expected, found),
        };
        match T::try_from(value) {
            Ok(value) => Ok(value),
            Err(_) => self.fail(Problem::Range { expected }),
        }
    }

    /// Length of an array, which cannot have more entries than bytes are left.
    pub fn array(&mut self) -> Read<usize> {
        let entries = match self.marker()? {
            Marker::FixArray(entries) => usize::from(entries),
            Marker::Array16 => usize::from(u16::from_be_bytes(self.number()?)),
            Marker::Array32 => u32::from_be_bytes(self.number()?) as usize,
            found => return self.wrong("an array", found),
        };
        if entries > self.end - self.at {
            return self.fail(Problem::Short);
        }
        Ok(entries)
    }

    pub fn expect(&self, entries: usize, expected: usize) -> Read<()> {
        if entries == expected {
            return Ok(());
        }
        self.fail(Problem::Entries {
            entries: entries as u64,
            expected: expected as u64,
        })
    }

    pub fn list<T>(
        &mut self,
        limit: usize,
        mut entry: impl FnMut(&mut Self) -> Read<T>,
    ) -> Read<Vec<T>> {
        let entries = self.array()?;
        if entries > limit {
            return self.fail(Problem::TooMany {
                entries: entries as u64,
                limit: limit as u64,
            });
        }
        let mut list = Vec::with_capacity(entries.min(FIRST_CAPACITY));
        for _ in 0..entries {
            list.push(entry(self)?);
        }
        Ok(list)
    }

    fn nil(&mut self) -> bool {
        let nil = self.at < self.end && self.frame[self.at] == Marker::Null.to_u8();
        self.at += usize::from(nil);
        nil
    }

    pub fn u8(&mut self) -> Read<u8> {
        self.integer("u8")
    }

    pub fn u16(&mut self) -> Read<u16> {
        self.integer("u16")
    }

    pub fn u32(&mut self) -> Read<u32> {
        self.integer("u32")
    }

    pub fn u64(&mut self) -> Read<u64> {
        self.integer("u64")
    }

    pub fn i32(&mut self) -> Read<i32> {
        self.integer("i32")
    }

    pub fn i64(&mut self) -> Read<i64> {
        self.integer("i64")
    }

    pub fn bool(&mut self) -> Read<bool> {
        match self.marker()? {
            Marker::True => Ok(true),
            Marker::False => Ok(false),
            found => self.wrong("a boolean", found),
        }
    }

    pub fn text(&mut self) -> Read<String> {
        let bytes = match self.marker()? {
            Marker::FixStr(bytes) => usize::from(bytes),
            Marker::Str8 => usize::from(u8::from_be_bytes(self.number()?)),
            Marker::Str16 => usize::from(u16::from_be_bytes(self.number()?)),
            Marker::Str32 => u32::from_be_bytes(self.number()?) as usize,
            found => return self.wrong("text", found),
        };
        match std::str::from_utf8(self.take(bytes)?) {
            Ok(text) => Ok(text.to_owned()),
            Err(_) => self.fail(Problem::Utf8),
        }
    }

    fn raw(&mut self) -> Read<&'a [u8]> {
        let bytes = match self.marker()? {
            Marker::Bin8 => usize::from(u8::from_be_bytes(self.number()?)),
            Marker::Bin16 => usize::from(u16::from_be_bytes(self.number()?)),
            Marker::Bin32 => u32::from_be_bytes(self.number()?) as usize,
            found => return self.wrong("bytes", found),
        };
        self.take(bytes)
    }

    pub fn bytes(&mut self) -> Read<Vec<u8>> {
        self.raw().map(<[u8]>::to_vec)
    }

    pub fn hash(&mut self) -> Read<FunctionId> {
        let raw = self.raw()?;
        match raw.try_into() {
            Ok(hash) => Ok(hash),
            Err(_) => self.fail(Problem::Length {
                bytes: raw.len() as u64,
                expected: 16,
            }),
        }
    }

    pub fn key(&mut self) -> Read<ObjectKey> {
        let entries = self.array()?;
        self.expect(entries, 2)?;
        Ok(ObjectKey {
            session: self.u64()?,
            hash: self.hash()?,
        })
    }

    pub fn code<T: Code>(&mut self) -> Read<T> {
        let code = self.u64()?;
        match T::from_code(code) {
            Some(value) => Ok(value),
            None => self.fail(Problem::Code {
                what: T::NAME,
                code,
            }),
        }
    }

    pub fn payload(&mut self) -> Read<P> {
        let bytes = self.u64()?;
        let there = (self.total - self.body) as u64;
        if bytes > there {
            return self.fail(Problem::TooLarge {
                bytes,
                limit: there,
            });
        }
        let start = self.body;
        self.body += bytes as usize;
        Ok((self.cut)(start, self.body))
    }

    pub fn maybe_u64(&mut self) -> Read<Option<u64>> {
        if self.nil() {
            return Ok(None);
        }
        self.u64().map(Some)
    }

    pub fn maybe_payload(&mut self) -> Read<Option<P>> {
        if self.nil() {
            return Ok(None);
        }
        self.payload().map(Some)
    }

    pub fn record<R: Record<P>>(&mut self) -> Read<R> {
        let entries = self.array()?;
        self.expect(entries, R::FIELDS as usize)?;
        if self.depth == MAX_DEPTH {
            return self.fail(Problem::Depth);
        }
        self.depth += 1;
        let record = R::read(self)?;
        self.depth -= 1;
        Ok(record)
    }

    pub fn maybe_record<R: Record<P>>(&mut self) -> Read<Option<R>> {
        if self.nil() {
            return Ok(None);
        }
        self.record().map(Some)
    }

    pub fn blocks<R: Record<P>>(&mut self) -> Read<Vec<R>> {
        self.list(MAX_BLOCKS, Self::record)
    }

    pub fn records<R: Record<P>>(&mut self) -> Read<Vec<R>> {
        self.list(usize::MAX, Self::record)
    }

    pub fn u32s(&mut self) -> Read<Vec<u32>> {
        self.list(usize::MAX, Self::u32)
    }

    pub fn u64s(&mut self) -> Read<Vec<u64>> {
        self.list(usize::MAX, Self::u64)
    }

    pub fn spans(&mut self) -> Read<Vec<(u32, u32)>> {
        self.list(usize::MAX, |input| {
            let entries = input.array()?;
            input.expect(entries, 2)?;
            Ok((input.u32()?, input.u32()?))
        })
    }

    pub fn keys(&mut self) -> Read<Vec<ObjectKey>> {
        self.list(usize::MAX, Self::key)
    }

    pub fn texts(&mut self) -> Read<Vec<String>> {
        self.list(MAX_NAMES, Self::text)
    }

    pub fn properties(&mut self) -> Read<Vec<(String, String)>> {
        self.list(MAX_NAMES, |input| {
            let entries = input.array()?;
            input.expect(entries, 2)?;
            Ok((input.text()?, input.text()?))
        })
    }

    pub fn capabilities(&mut self) -> Read<Capabilities> {
        self.list(MAX_NAMES, |input| {
            let entries = input.array()?;
            input.expect(entries, 2)?;
            Ok((input.text()?, input.i64()?))
        })
    }
}
