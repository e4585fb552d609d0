//! Payloads: real bytes, few of them, that say which element they belong to, so that a mix-up shows.

use std::rc::Rc;

use scaler_engine::wire::{reference, FunctionId, ObjectKey, Payload, Sequence, SessionId};

use crate::random::mix;

#[derive(Clone, PartialEq, Eq)]
pub struct Data(Rc<[u8]>);

impl Payload for Data {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn from_vec(bytes: Vec<u8>) -> Self {
        Data(bytes.into())
    }

    fn as_reference(&self) -> Option<(ObjectKey, u64)> {
        let bytes: &[u8; 32] = self.bytes().try_into().ok()?;
        let session = u64::from_le_bytes(bytes[..8].try_into().ok()?);
        let hash = bytes[8..24].try_into().ok()?;
        Some((
            ObjectKey { session, hash },
            u64::from_le_bytes(bytes[24..].try_into().ok()?),
        ))
    }
}

impl std::fmt::Debug for Data {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "<{} bytes>", self.0.len())
    }
}

impl Data {
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    pub fn empty() -> Self {
        Data(Rc::from([].as_slice()))
    }

    /// Parts of at most `part` bytes with their offsets; one empty part where there is nothing.
    pub fn parts(&self, part: usize) -> Vec<(u64, Data)> {
        if self.0.is_empty() {
            return vec![(0, Data::empty())];
        }
        let offsets = (0..self.0.len()).step_by(part);
        offsets
            .map(|at| {
                (
                    at as u64,
                    Data(self.0[at..self.0.len().min(at + part)].into()),
                )
            })
            .collect()
    }

    /// A stand-in for blake3.
    pub fn hash(&self) -> [u8; 16] {
        let mut state = [0x243f_6a88_85a3_08d3u64, self.0.len() as u64];
        for chunk in self.0.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            state[0] = mix(state[0] ^ u64::from_le_bytes(word));
            state[1] = mix(state[1].wrapping_add(state[0]));
        }
        let mut hash = [0; 16];
        hash[..8].copy_from_slice(&state[0].to_le_bytes());
        hash[8..].copy_from_slice(&state[1].to_le_bytes());
        hash
    }

    /// The payload that names an object.
    pub fn reference(key: ObjectKey, size: u64) -> Data {
        Data::from_vec(reference(key, size))
    }
}

fn tagged(tag: &[u8; 4], session: SessionId, sequence: Sequence, length: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(length.max(20));
    bytes.extend_from_slice(tag);
    bytes.extend_from_slice(&session.to_le_bytes());
    bytes.extend_from_slice(&sequence.to_le_bytes());
    let mut filler = mix(session ^ sequence);
    while bytes.len() < length {
        bytes.push(filler as u8);
        filler = filler.rotate_right(8) ^ 0x55;
    }
    bytes
}

/// What an element is called with.
pub fn argument(session: SessionId, sequence: Sequence, length: usize) -> Vec<u8> {
    tagged(b"arg:", session, sequence, length)
}

/// What the function gives for an element.
pub fn value(session: SessionId, sequence: Sequence, length: usize) -> Vec<u8> {
    tagged(b"val:", session, sequence, length)
}

/// The name of a large value: one that no other object has, whatever its bytes. Equal bytes may just now be deleted.
pub fn own_name(executor: u64, chunk: u32, index: u32) -> [u8; 16] {
    let position = u64::from(chunk) << 32 | u64::from(index);
    Data::from_vec(tagged(b"nam:", executor, position, 0)).hash()
}

/// What an element raises.
pub fn exception(session: SessionId, sequence: Sequence) -> Vec<u8> {
    tagged(b"exc:", session, sequence, 0)
}

/// An object that several elements of `session` share.
pub fn shared_object(session: SessionId, number: u64, length: usize) -> Vec<u8> {
    tagged(b"obj:", session, number, length)
}

/// The same as its client stores it after it was let go of so often: under another name each time, for the deletion of
/// the one before may still be under way.
pub fn stored_again(mut object: Vec<u8>, dropped: u64) -> Data {
    if dropped > 0 {
        object.extend_from_slice(&dropped.to_le_bytes());
    }
    Data::from_vec(object)
}

pub fn function(session: SessionId, number: u64) -> (FunctionId, Data) {
    let data = Data::from_vec(tagged(b"fun:", session, number, 40));
    (data.hash(), data)
}

/// Elements one after the other behind the table of their ends: what `List` and `Table` look like here.
pub fn table(elements: &[Vec<u8>]) -> Data {
    let mut bytes = Vec::new();
    let mut end = 0u32;
    for element in elements {
        end += element.len() as u32;
        bytes.extend_from_slice(&end.to_le_bytes());
    }
    elements
        .iter()
        .for_each(|element| bytes.extend_from_slice(element));
    Data::from_vec(bytes)
}

/// Element `index` of a table of `count`.
pub fn table_entry(data: &Data, count: u32, index: u32) -> Option<&[u8]> {
    let end_of = |index: u32| {
        let at = index as usize * 4;
        let bytes = data.bytes().get(at..at + 4)?;
        Some(u32::from_le_bytes(bytes.try_into().ok()?) as usize)
    };
    let start = if index == 0 { 0 } else { end_of(index - 1)? };
    data.bytes()
        .get(count as usize * 4..)?
        .get(start..end_of(index)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_gives_back_its_elements() {
        let elements: Vec<_> = (0..5).map(|i| value(1, i, 20 + i as usize)).collect();
        let data = table(&elements);
        for (index, element) in elements.iter().enumerate() {
            assert_eq!(
                table_entry(&data, 5, index as u32),
                Some(element.as_slice())
            );
        }
        assert_eq!(table_entry(&data, 5, 5), None);
    }

    #[test]
    fn parts_cover_the_whole() {
        let data = Data::from_vec(value(1, 2, 2_500));
        let parts = data.parts(1_000);
        assert_eq!(
            parts
                .iter()
                .map(|(at, part)| (*at, part.len()))
                .collect::<Vec<_>>(),
            [(0, 1_000), (1_000, 1_000), (2_000, 500)]
        );
    }

    #[test]
    fn a_reference_names_its_object() {
        let key = ObjectKey {
            session: 4,
            hash: Data::from_vec(vec![1, 2]).hash(),
        };
        assert_eq!(Data::reference(key, 9).as_reference(), Some((key, 9)));
    }
}
