//! Elements that wait, in the order in which they are to run.

use std::collections::BTreeMap;

use super::work::Piece;
use crate::wire::{Sequence, SessionId};

/// Deeper first, larger priority first, then as they came.
type Key = (
    std::cmp::Reverse<u16>,
    std::cmp::Reverse<i32>,
    u64,
    Sequence,
);

fn key<P>(piece: &Piece<P>) -> Key {
    let work = &piece.work;
    (
        std::cmp::Reverse(work.depth),
        std::cmp::Reverse(work.priority),
        work.arrival,
        piece.first,
    )
}

pub(super) struct Queue<P> {
    pieces: BTreeMap<Key, Piece<P>>,
    /// Where the piece that starts at an element is.
    places: BTreeMap<(SessionId, Sequence), Key>,
    elements: u64,
}

impl<P> Default for Queue<P> {
    fn default() -> Self {
        Queue {
            pieces: BTreeMap::new(),
            places: BTreeMap::new(),
            elements: 0,
        }
    }
}

impl<P> Queue<P> {
    pub fn elements(&self) -> u64 {
        self.elements
    }

    pub fn pieces(&self) -> usize {
        self.pieces.len()
    }

    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    pub fn first(&self) -> Option<&Piece<P>> {
        self.pieces.first_key_value().map(|(_, piece)| piece)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Piece<P>> {
        self.pieces.values()
    }

    /// Adds a piece; neighbours that belong together become one again.
    pub fn push(&mut self, mut piece: Piece<P>) {
        let session = piece.session();
        let before = self
            .places
            .range(..(session, piece.first))
            .next_back()
            .map(|(_, &key)| key);
        if let Some(key) = before.filter(|key| self.pieces[key].joins(&piece)) {
            let mut joined = self.take(&key);
            joined.count += piece.count;
            piece = joined;
        }
        let after = self.places.get(&(session, piece.end())).copied();
        if let Some(key) = after.filter(|key| piece.joins(&self.pieces[key])) {
            piece.count += self.take(&key).count;
        }
        self.elements += u64::from(piece.count);
        self.places.insert((session, piece.first), key(&piece));
        self.pieces.insert(key(&piece), piece);
    }

    /// Up to `most` elements of the piece that is next.
    pub fn pop_first(&mut self, most: u32) -> Option<Piece<P>> {
        let key = *self.pieces.first_key_value()?.0;
        let piece = self.take(&key);
        if piece.count <= most {
            return Some(piece);
        }
        let middle = piece.first + u64::from(most);
        self.push(piece.part(middle, piece.end()));
        Some(piece.part(piece.first, middle))
    }

    /// Up to `most` elements of the piece that is last.
    pub fn pop_last(&mut self, most: u32) -> Option<Piece<P>> {
        let key = *self.pieces.last_key_value()?.0;
        let piece = self.take(&key);
        if piece.count <= most {
            return Some(piece);
        }
        let middle = piece.end() - u64::from(most);
        self.push(piece.part(piece.first, middle));
        Some(piece.part(middle, piece.end()))
    }

    /// Takes out the elements `start .. end` of a session.
    pub fn remove(&mut self, session: SessionId, start: Sequence, end: Sequence) -> Vec<Piece<P>> {
        let before = self.places.range(..=(session, start)).next_back();
        let from = before
            .map_or((session, start), |(&place, _)| place)
            .max((session, 0));
        let keys: Vec<Key> = self
            .places
            .range(from..(session, end).max(from))
            .map(|(_, &key)| key)
            .collect();
        let mut removed = Vec::new();
        for key in keys {
            if self.pieces[&key].end() <= start {
                continue;
            }
            let piece = self.take(&key);
            let (from, upto) = (piece.first.max(start), piece.end().min(end));
            if piece.first < from {
                self.push(piece.part(piece.first, from));
            }
            if upto < piece.end() {
                self.push(piece.part(upto, piece.end()));
            }
            removed.push(piece.part(from, upto));
        }
        removed
    }

    pub fn clear(&mut self) -> Vec<Piece<P>> {
        self.elements = 0;
        self.places.clear();
        std::mem::take(&mut self.pieces).into_values().collect()
    }

    fn take(&mut self, key: &Key) -> Piece<P> {
        let piece = self.pieces.remove(key).expect("a place names a piece");
        self.places.remove(&(piece.session(), piece.first));
        self.elements -= u64::from(piece.count);
        piece
    }
}
