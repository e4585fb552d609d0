//! Writes a message's fields. Each method is named after how a field lies in msgpack; [`crate::table`] says which
//! field is written by which.

use rmp::encode;

use crate::{FunctionId, Message, ObjectKey, Payload};

/// Writing to a `Vec` cannot fail.
const INFALLIBLE: &str = "a Vec takes all bytes";

pub(crate) struct Writer<'a, P> {
    pub head: &'a mut Vec<u8>,
    pub payloads: &'a mut Vec<P>,
    pub body: usize,
}

/// A struct whose fields are written one after the other.
pub(crate) trait Record<P>: Sized {
    const FIELDS: u32;
    fn write(&self, out: &mut Writer<'_, P>);
    fn read(input: &mut crate::reader::Reader<'_, P>) -> Result<Self, crate::DecodeError>;
}

impl<P, R: Record<P>> Record<P> for Box<R> {
    const FIELDS: u32 = R::FIELDS;

    fn write(&self, out: &mut Writer<'_, P>) {
        (**self).write(out);
    }

    fn read(input: &mut crate::reader::Reader<'_, P>) -> Result<Self, crate::DecodeError> {
        R::read(input).map(Box::new)
    }
}

/// An enum without data, written as its number.
pub(crate) trait Code: Copy {
    const NAME: &'static str;
    fn code(self) -> u8;
    fn from_code(code: u64) -> Option<Self>;
}

impl<P: Payload> Writer<'_, P> {
    pub fn array(&mut self, entries: usize) {
        let entries = u32::try_from(entries).expect("a frame holds fewer");
        encode::write_array_len(self.head, entries).expect(INFALLIBLE);
    }

    pub fn unsigned(&mut self, value: u64) {
        encode::write_uint(self.head, value).expect(INFALLIBLE);
    }

    pub fn signed(&mut self, value: i64) {
        encode::write_sint(self.head, value).expect(INFALLIBLE);
    }

    pub fn nil(&mut self) {
        encode::write_nil(self.head).expect(INFALLIBLE);
    }

    pub fn u8(&mut self, value: &u8) {
        self.unsigned(u64::from(*value));
    }

    pub fn u16(&mut self, value: &u16) {
        self.unsigned(u64::from(*value));
    }

    pub fn u32(&mut self, value: &u32) {
        self.unsigned(u64::from(*value));
    }

    pub fn u64(&mut self, value: &u64) {
        self.unsigned(*value);
    }

    pub fn i32(&mut self, value: &i32) {
        self.signed(i64::from(*value));
    }

    pub fn i64(&mut self, value: &i64) {
        self.signed(*value);
    }

    pub fn bool(&mut self, value: &bool) {
        encode::write_bool(self.head, *value).expect(INFALLIBLE);
    }

    pub fn text(&mut self, value: &str) {
        encode::write_str(self.head, value).expect(INFALLIBLE);
    }

    pub fn bytes(&mut self, value: &[u8]) {
        encode::write_bin(self.head, value).expect(INFALLIBLE);
    }

    pub fn hash(&mut self, value: &FunctionId) {
        self.bytes(value);
    }

    pub fn key(&mut self, value: &ObjectKey) {
        self.array(2);
        self.unsigned(value.session);
        self.bytes(&value.hash);
    }

    pub fn code(&mut self, value: &impl Code) {
        self.unsigned(u64::from(value.code()));
    }

    /// The header has the length, the body the bytes.
    pub fn payload(&mut self, value: &P) {
        self.unsigned(value.len() as u64);
        self.body += value.len();
        self.payloads.push(value.clone());
    }

    pub fn maybe_u64(&mut self, value: &Option<u64>) {
        match value {
            Some(value) => self.unsigned(*value),
            None => self.nil(),
        }
    }

    pub fn maybe_payload(&mut self, value: &Option<P>) {
        match value {
            Some(value) => self.payload(value),
            None => self.nil(),
        }
    }

    pub fn record<R: Record<P>>(&mut self, value: &R) {
        self.array(R::FIELDS as usize);
        value.write(self);
    }

    /// How many fields a record has.
    pub fn fields_of<R: Record<P>>(&self, _: &R) -> usize {
        R::FIELDS as usize
    }

    pub fn maybe_record<R: Record<P>>(&mut self, value: &Option<R>) {
        match value {
            Some(value) => self.record(value),
            None => self.nil(),
        }
    }

    pub fn blocks<R: Record<P>>(&mut self, values: &[R]) {
        self.records(values);
    }

    pub fn records<R: Record<P>>(&mut self, values: &[R]) {
        self.array(values.len());
        values.iter().for_each(|value| self.record(value));
    }

    pub fn u32s(&mut self, values: &[u32]) {
        self.array(values.len());
        values.iter().for_each(|value| self.u32(value));
    }

    pub fn u64s(&mut self, values: &[u64]) {
        self.array(values.len());
        values.iter().for_each(|value| self.u64(value));
    }

    pub fn spans(&mut self, values: &[(u32, u32)]) {
        self.array(values.len());
        for (offset, count) in values {
            self.array(2);
            self.u32(offset);
            self.u32(count);
        }
    }

    pub fn keys(&mut self, values: &[ObjectKey]) {
        self.array(values.len());
        values.iter().for_each(|value| self.key(value));
    }

    pub fn texts(&mut self, values: &[String]) {
        self.array(values.len());
        values.iter().for_each(|value| self.text(value));
    }

    pub fn properties(&mut self, values: &[(String, String)]) {
        self.array(values.len());
        for (name, value) in values {
            self.array(2);
            self.text(name);
            self.text(value);
        }
    }

    pub fn capabilities(&mut self, values: &[(String, i64)]) {
        self.array(values.len());
        for (name, amount) in values {
            self.array(2);
            self.text(name);
            self.i64(amount);
        }
    }

    pub fn message(&mut self, message: &Message<P>) {
        crate::table::write(message, self);
    }
}
