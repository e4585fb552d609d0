//! Storage of many equal things by number. Grows a chunk at a time (a vector that doubles would hold, for a moment,
//! three times what is needed), and gives empty chunks back.

use std::collections::BTreeSet;

/// Entries of a chunk.
const CHUNK: usize = 256;
const NONE: u32 = u32::MAX;

#[derive(Debug)]
enum Entry<T> {
    Full(T),
    /// The next vacant entry of the chunk.
    Vacant(u32),
}

#[derive(Debug)]
struct Chunk<T> {
    /// Empty while nothing lives here.
    entries: Vec<Entry<T>>,
    vacant: u32,
    live: u32,
}

#[derive(Debug)]
pub(super) struct Arena<T> {
    chunks: Vec<Chunk<T>>,
    /// Chunks with room.
    open: BTreeSet<u32>,
    len: usize,
}

impl<T> Default for Arena<T> {
    fn default() -> Self {
        Arena {
            chunks: Vec::new(),
            open: BTreeSet::new(),
            len: 0,
        }
    }
}

impl<T> Arena<T> {
    pub fn len(&self) -> usize {
        self.len
    }

    /// Stores a value under a number that no living value has.
    pub fn insert(&mut self, value: T) -> u32 {
        let number = match self.open.first() {
            Some(&number) => number,
            None => {
                self.chunks.push(Chunk {
                    entries: Vec::new(),
                    vacant: NONE,
                    live: 0,
                });
                let number = self.chunks.len() as u32 - 1;
                self.open.insert(number);
                number
            }
        };
        let chunk = &mut self.chunks[number as usize];
        let at = if chunk.vacant == NONE {
            if chunk.entries.capacity() == 0 {
                chunk.entries.reserve_exact(CHUNK);
            }
            chunk.entries.push(Entry::Full(value));
            chunk.entries.len() as u32 - 1
        } else {
            let at = chunk.vacant;
            let entry = &mut chunk.entries[at as usize];
            if let Entry::Vacant(next) = *entry {
                chunk.vacant = next;
            }
            *entry = Entry::Full(value);
            at
        };
        chunk.live += 1;
        self.len += 1;
        if chunk.live as usize == CHUNK {
            self.open.remove(&number);
        }
        number * CHUNK as u32 + at
    }

    pub fn get(&self, index: u32) -> Option<&T> {
        let chunk = self.chunks.get(index as usize / CHUNK)?;
        match chunk.entries.get(index as usize % CHUNK)? {
            Entry::Full(value) => Some(value),
            Entry::Vacant(_) => None,
        }
    }

    pub fn get_mut(&mut self, index: u32) -> Option<&mut T> {
        let chunk = self.chunks.get_mut(index as usize / CHUNK)?;
        match chunk.entries.get_mut(index as usize % CHUNK)? {
            Entry::Full(value) => Some(value),
            Entry::Vacant(_) => None,
        }
    }

    pub fn remove(&mut self, index: u32) -> Option<T> {
        let number = index / CHUNK as u32;
        let chunk = self.chunks.get_mut(number as usize)?;
        let entry = chunk.entries.get_mut(index as usize % CHUNK)?;
        if matches!(entry, Entry::Vacant(_)) {
            return None;
        }
        let old = std::mem::replace(entry, Entry::Vacant(chunk.vacant));
        chunk.vacant = index % CHUNK as u32;
        chunk.live -= 1;
        self.len -= 1;
        if chunk.live == 0 {
            chunk.entries = Vec::new();
            chunk.vacant = NONE;
        }
        self.open.insert(number);
        match old {
            Entry::Full(value) => Some(value),
            Entry::Vacant(_) => None,
        }
    }

    /// By number.
    #[cfg(test)]
    pub fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        self.chunks.iter().enumerate().flat_map(|(number, chunk)| {
            chunk
                .entries
                .iter()
                .enumerate()
                .filter_map(move |(at, entry)| match entry {
                    Entry::Full(value) => Some(((number * CHUNK + at) as u32, value)),
                    Entry::Vacant(_) => None,
                })
        })
    }
}

impl<T> std::ops::Index<u32> for Arena<T> {
    type Output = T;
    fn index(&self, index: u32) -> &T {
        self.get(index).expect("a number names a living value")
    }
}

impl<T> std::ops::IndexMut<u32> for Arena<T> {
    fn index_mut(&mut self, index: u32) -> &mut T {
        self.get_mut(index).expect("a number names a living value")
    }
}

#[cfg(test)]
mod tests {
    use super::{Arena, CHUNK};

    #[test]
    fn numbers_are_reused_and_empty_chunks_given_back() {
        let mut arena = Arena::default();
        let numbers: Vec<u32> = (0..3 * CHUNK).map(|value| arena.insert(value)).collect();
        for &number in &numbers[CHUNK..] {
            assert_eq!(arena.remove(number), Some(number as usize));
            assert_eq!(arena.remove(number), None);
        }
        assert_eq!(arena.len(), CHUNK);
        assert_eq!(arena.chunks[1].entries.capacity(), 0);
        let again: Vec<u32> = (0..CHUNK).map(|value| arena.insert(value)).collect();
        assert_eq!(again, numbers[CHUNK..2 * CHUNK]);
        assert_eq!(arena.iter().count(), 2 * CHUNK);
        assert_eq!(arena.get(numbers[2 * CHUNK]), None);
    }
}
