//! Sessions: one client's work in flight, found by its sequence numbers.

use std::collections::{BTreeMap, BTreeSet};

use crate::wire::{
    FunctionId, LinkId, ObjectKey, OutcomeKind, Payload, Segment, Sequence, SessionId, ValueId,
};

use super::arrays::{ArrayIndex, ClassIndex, FunctionIndex};
use super::graphs::Kept;
use super::values::ValueIndex;

/// Functions that a session may keep known; those past it are not taken, and what uses them is rejected.
pub(super) const MOST_FUNCTIONS: usize = 16_384;

#[derive(Debug)]
pub(super) struct Session<P> {
    pub id: SessionId,
    pub link: LinkId,
    pub connected: bool,
    /// Of its tasks; 0 outside of tasks. Those inside are never held back: their parents wait for them.
    pub depth: u16,
    /// The task that it is of, and the node that runs that.
    pub within: Option<(LinkId, (SessionId, Sequence))>,
    /// All elements below it were submitted.
    pub seen: Sequence,
    /// By first element.
    pub arrays: BTreeMap<Sequence, ArrayIndex>,
    pub functions: BTreeMap<FunctionId, FunctionIndex>,
    /// Objects that the client holds.
    pub held: BTreeSet<ObjectKey>,
    /// Elements whose value others need.
    pub kept: BTreeMap<Sequence, Kept>,
    /// Values that the client gives.
    pub told: BTreeMap<ValueId, ValueIndex>,
    /// Values to be asked for, after the outcomes of this turn: they may be among those.
    pub lacking: Vec<Sequence>,
    /// Outcomes of this turn.
    pub results: Vec<Segment<P>>,
    /// Payload bytes of results that the client is not known to have.
    pub backlog: u64,
    pub over_budget: bool,
    /// Elements of a former session of this number still run somewhere.
    pub haunted: bool,
    /// Its link is held.
    pub held_back: bool,
    /// Payloads and book-keeping of its work.
    pub bytes: u64,
    pub pending: u64,
    /// Classes in which it may have a lane.
    pub classes: BTreeSet<ClassIndex>,
    /// Its client wants what its tasks write.
    pub streams: bool,
}

impl<P: Payload> Session<P> {
    pub fn new(id: SessionId, link: LinkId) -> Self {
        Session {
            id,
            link,
            connected: true,
            depth: 0,
            within: None,
            seen: 0,
            arrays: BTreeMap::new(),
            functions: BTreeMap::new(),
            held: BTreeSet::new(),
            kept: BTreeMap::new(),
            told: BTreeMap::new(),
            lacking: Vec::new(),
            results: Vec::new(),
            backlog: 0,
            over_budget: false,
            haunted: false,
            held_back: false,
            bytes: 0,
            pending: 0,
            classes: BTreeSet::new(),
            streams: false,
        }
    }

    pub fn is_parked(&self) -> bool {
        self.over_budget || self.haunted
    }

    /// Queues an outcome for the client; verdicts on neighbours become one.
    pub fn push_result(&mut self, segment: Segment<P>) {
        let mergeable = segment.kind == OutcomeKind::Cancelled;
        if let Some(last) = self.results.last_mut().filter(|_| mergeable) {
            let follows = last.kind == OutcomeKind::Cancelled
                && last.first + u64::from(last.count) == segment.first;
            if let Some(count) = last.count.checked_add(segment.count).filter(|_| follows) {
                last.count = count;
                return;
            }
        }
        self.results.push(segment);
    }
}

/// What `Cancelled` says of a range.
pub(super) fn cancelled<P: Payload>(first: Sequence, count: u32) -> Segment<P> {
    Segment {
        first,
        count,
        kind: OutcomeKind::Cancelled,
        payload: P::from_vec(Vec::new()),
        failure: None,
        except: Vec::new(),
        busy_us: 0,
    }
}
