//! What always holds.

use std::collections::BTreeMap;

use super::{Life, Node};
use crate::ranges::RangeSet;
use crate::wire::{ObjectKey, Payload, SessionId};

impl<P: Payload> Node<P> {
    /// Panics where the node's books contradict each other.
    pub fn sanity_check(&self) {
        let mut here: BTreeMap<SessionId, RangeSet> = BTreeMap::new();
        let mut users: BTreeMap<ObjectKey, u64> = BTreeMap::new();
        let mut note = |piece: &super::Piece<P>, start: u64, end: u64| {
            let session = here.entry(piece.session()).or_default();
            assert!(
                session.overlap(start, end).next().is_none(),
                "elements {start}..{end} are in two places"
            );
            session.insert(start, end);
            for (key, _) in piece.objects.iter() {
                *users.entry(*key).or_default() += end - start;
            }
        };
        for piece in self
            .queue
            .iter()
            .chain(self.parked.iter())
            .chain(self.awaited.iter())
        {
            note(piece, piece.first, piece.end());
        }
        for upload in self.uploads.values() {
            note(&upload.piece, upload.piece.first, upload.piece.end());
        }
        for slot in &self.slots {
            let busy = !slot.chunks.is_empty();
            assert!(
                !busy || matches!(slot.life, Life::Ready | Life::Recycling | Life::Killed(_)),
                "chunks of nobody"
            );
            for chunk in &slot.chunks {
                for (start, end) in chunk.open(0, chunk.cut) {
                    note(&chunk.piece, chunk.sequence(start), chunk.sequence(end));
                }
            }
        }
        assert_eq!(here, self.here, "elements here");
        self.objects.sanity_check();
        for key in self.objects.keys() {
            assert_eq!(
                self.objects.users(key),
                users.remove(key).unwrap_or(0),
                "users of an object"
            );
        }
        assert!(users.is_empty(), "elements need objects that nobody knows");
    }
}
