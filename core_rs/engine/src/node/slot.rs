//! One slot and the executor in it, as far as the node knows.

use std::collections::{BTreeSet, VecDeque};

use super::work::Piece;
use crate::ranges::RangeSet;
use crate::wire::{FunctionId, ObjectKey, Sequence, SessionId, ValueId};

/// Chunk and index in one number, as on the shared line.
pub(super) type Position = u64;

/// The shared line's word for "nothing must stop".
pub const NO_STOP: Position = u64::MAX;

pub(super) fn position(chunk: u32, index: u32) -> Position {
    u64::from(chunk) << 32 | u64::from(index)
}

/// Why the node killed an executor.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kill {
    /// The element there ran out of time.
    Timeout(Position),
    /// An element there was cancelled and did not end.
    Cancel,
    Memory,
    /// It said what an executor never says.
    Nonsense,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Life {
    /// No executor; one is to be started then.
    Down {
        until: u64,
    },
    Starting,
    Ready,
    /// Told to end; another one follows.
    Recycling,
    Killed(Kill),
    /// Its set-up failed; it has yet to end, and the next one is to be started then.
    Failed {
        until: u64,
    },
}

/// A question about the shared line that the loop has yet to answer. Answers come in the order of the questions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Ask {
    Look,
    /// Elements at or past it were forbidden to start.
    Stop(Position),
    /// The ban was lifted; the answer says nothing.
    Lift,
}

/// A chunk that an executor has and has not ended.
#[derive(Debug)]
pub(super) struct Running<P> {
    pub id: u32,
    /// Chunks handed out together have the same number.
    pub helping: u32,
    pub piece: Piece<P>,
    /// Elements from this index on are no longer the chunk's.
    pub cut: u32,
    /// Indices with an outcome.
    pub reported: RangeSet,
    /// Indices that are to be cancelled.
    pub cancelled: RangeSet,
    /// The element that was told to break off, and when the executor is killed if it does not.
    pub interrupted: Option<(u32, u64)>,
}

impl<P> Running<P> {
    pub fn new(id: u32, helping: u32, piece: Piece<P>) -> Self {
        Running {
            id,
            helping,
            cut: piece.count,
            piece,
            reported: RangeSet::new(),
            cancelled: RangeSet::new(),
            interrupted: None,
        }
    }

    pub fn position(&self, index: u32) -> Position {
        position(self.id, index)
    }

    pub fn sequence(&self, index: u32) -> Sequence {
        self.piece.first + u64::from(index)
    }

    pub fn is_reported(&self, index: u32) -> bool {
        self.reported.contains(u64::from(index))
    }

    pub fn is_cancelled(&self, index: u32) -> bool {
        self.cancelled.contains(u64::from(index))
    }

    /// Runs of indices among `start .. end` that have no outcome.
    pub fn open(&self, start: u32, end: u32) -> Vec<(u32, u32)> {
        let mut open = Vec::new();
        let mut at = u64::from(start);
        let end = u64::from(end).max(at);
        for (from, upto) in self.reported.overlap(at, end) {
            if at < from {
                open.push((at as u32, from as u32));
            }
            at = upto;
        }
        if at < end {
            open.push((at as u32, end as u32));
        }
        open
    }

    /// Elements without an outcome.
    pub fn left(&self) -> u64 {
        u64::from(self.cut) - self.reported.len().min(u64::from(self.cut))
    }

    /// The index of `position` where it lies in this chunk.
    pub fn index_of(&self, position: Position) -> Option<u32> {
        let index = position as u32;
        (position >> 32 == u64::from(self.id) && index < self.piece.count).then_some(index)
    }
}

/// A large value that an executor is sending.
#[derive(Debug)]
pub(super) struct Incoming<P> {
    pub chunk: u32,
    pub index: u32,
    pub hash: [u8; 16],
    pub size: u64,
    pub received: u64,
    pub parts: Vec<P>,
}

#[derive(Debug)]
pub(super) struct Slot<P> {
    pub life: Life,
    /// The first one runs.
    pub chunks: VecDeque<Running<P>>,
    pub last_chunk: u32,
    pub last_helping: u32,
    /// Furthest position that the executor can be at.
    pub furthest: Position,
    pub functions: BTreeSet<FunctionId>,
    pub objects: BTreeSet<ObjectKey>,
    /// By the node's number.
    pub values: BTreeSet<ValueId>,
    /// Block of the chunk that was sent last.
    pub last_block: Option<(SessionId, Sequence)>,
    /// Elements that this executor was given.
    pub given: u64,
    /// What the shared line's `stop` word forbids.
    pub stop: Option<Position>,
    pub asks: VecDeque<Ask>,
    pub look_at: Option<u64>,
    /// Where the executor was seen last.
    pub seen: Option<Position>,
    /// When the running chunk was handed out or last gave a result.
    pub heard_at: u64,
    pub incoming: Option<Incoming<P>>,
    pub rss_bytes: u64,
    /// As first measured.
    pub base_rss: Option<u64>,
    /// People were told that its memory runs out.
    pub warned: bool,
    /// Executors in a row that ended with work before they began any of it.
    pub barren: u32,
}

impl<P> Slot<P> {
    pub fn new() -> Self {
        Slot {
            life: Life::Down { until: 0 },
            chunks: VecDeque::new(),
            last_chunk: 0,
            last_helping: 0,
            furthest: 0,
            functions: BTreeSet::new(),
            objects: BTreeSet::new(),
            values: BTreeSet::new(),
            last_block: None,
            given: 0,
            stop: None,
            asks: VecDeque::new(),
            look_at: None,
            seen: None,
            heard_at: 0,
            incoming: None,
            rss_bytes: 0,
            base_rss: None,
            warned: false,
            barren: 0,
        }
    }

    /// Forgets all of an executor that has ended; its chunks are the caller's to settle.
    pub fn emptied(&mut self, life: Life) -> VecDeque<Running<P>> {
        let barren = self.barren;
        let old = std::mem::replace(
            self,
            Slot {
                life,
                barren,
                ..Slot::new()
            },
        );
        old.chunks
    }

    /// Chunks may be handed to it.
    pub fn takes_chunks(&self) -> bool {
        self.life == Life::Ready && self.stop.is_none()
    }

    pub fn is_idle(&self) -> bool {
        self.life == Life::Ready && self.chunks.is_empty() && self.stop.is_none()
    }

    /// Helpings that are not done: 0, 1 or 2.
    pub fn helpings(&self) -> u32 {
        match (self.chunks.front(), self.chunks.back()) {
            (Some(first), Some(last)) => 1 + u32::from(first.helping != last.helping),
            _ => 0,
        }
    }

    pub fn chunk(&mut self, id: u32) -> Option<&mut Running<P>> {
        self.chunks.iter_mut().find(|chunk| chunk.id == id)
    }

    /// Where the second helping begins.
    pub fn second_helping(&self) -> Option<Position> {
        let first = self.chunks.front()?.helping;
        self.chunks
            .iter()
            .find(|chunk| chunk.helping != first)
            .map(|chunk| chunk.position(0))
    }

    /// Its elements' times are kept; those of a killed one are over.
    pub fn is_watched(&self) -> bool {
        matches!(self.life, Life::Ready | Life::Recycling)
    }

    pub fn is_up(&self) -> bool {
        matches!(self.life, Life::Ready | Life::Starting)
    }
}
