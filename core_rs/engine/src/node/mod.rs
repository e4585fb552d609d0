//! The agent's decisions: which elements run where, in which chunks, and what happens when something goes wrong.
//!
//! An element that was assigned is in exactly one place: in `queue`; in `parked` or `awaited` while objects that it
//! needs are not here; in a chunk of a slot; in `uploads` while its large value goes to storage. It leaves by one of
//! `Done`, `Lost` and `GaveBack`, once. `here` is the sum of these places.
//!
//! Chunks are handed out in *helpings* of a few milliseconds of work, of which an executor has two at most. What was
//! handed out and has not started can be taken back at any time by the shared line's `stop` word (`stops.rs`), and
//! is, when an element turns out to be long, when another slot is idle, or when the scheduler wants it.

mod assign;
mod away;
mod config;
mod deaths;
mod dispatch;
mod inputs;
mod looks;
mod nesting;
mod objects;
mod queue;
mod results;
mod sanity;
mod slot;
mod stops;
mod storage;
mod streaming;
#[cfg(test)]
mod tests;
mod times;
mod withdrawing;
mod work;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub use config::{JobOptions, Level, NodeConfig, NodeOutput};

use crate::ranges::RangeSet;
use crate::wire::{
    Failure, FailureCode, FunctionId, Message, NodeStatus, OutcomeKind, Payload, Range, Segment,
    Sequence, SessionId,
};
use away::StorageAway;
use inputs::Values;
use objects::Objects;
use queue::Queue;
use slot::{Life, Slot};
use storage::Upload;
use times::Times;
use withdrawing::Withdrawal;
use work::{Held, Piece};

/// A function that the scheduler told.
struct Function<P> {
    code: P,
    times: Times,
}

/// The scheduler wants elements back; some slots have yet to say what they have not started.
#[derive(Default)]
struct Reclaim {
    left: u64,
    awaiting: BTreeSet<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Draining {
    No,
    /// Asked by the scheduler, or by the machine (then the node ends by itself).
    Yes {
        ends: bool,
    },
    Drained {
        ends: bool,
    },
}

/// See the module's text and `ARCHITECTURE.md`.
pub struct Node<P: Payload> {
    config: NodeConfig,
    now: u64,
    functions: BTreeMap<FunctionId, Function<P>>,
    /// By session and first element; kept until the scheduler says otherwise.
    blocks: BTreeMap<(SessionId, Sequence), Arc<Held<P>>>,
    queue: Queue<P>,
    /// Lack objects that nobody fetches yet.
    parked: Queue<P>,
    /// Lack objects that are on their way.
    awaited: Queue<P>,
    slots: Vec<Slot<P>>,
    objects: Objects<P>,
    values: Values<P>,
    uploads: BTreeMap<u32, Upload<P>>,
    storage_away: StorageAway,
    last_request: u32,
    here: BTreeMap<SessionId, RangeSet>,
    arrivals: u64,
    reclaims: Vec<Reclaim>,
    withdrawals: Vec<Withdrawal>,
    draining: Draining,
    /// When the time of what still runs is over, for the machine goes.
    give_up_at: Option<u64>,
    /// Executors in a row that could not start.
    setup_failures: u32,
    /// Depths of elements that wait, as the scheduler was told last.
    told_waiting: Vec<u32>,
    next_heartbeat: u64,
    /// Sessions whose client wants what their tasks write.
    listening: BTreeSet<SessionId>,
    /// Since when the scheduler is away.
    away_since: Option<u64>,
    out: Vec<NodeOutput<P>>,
}

impl<P: Payload> Node<P> {
    pub fn new(config: NodeConfig, now: u64) -> Self {
        let slots = (0..config.slots).map(|_| Slot::new()).collect();
        let mut node = Node {
            objects: Objects::new(config.object_bytes),
            next_heartbeat: now + config.heartbeat_us,
            config,
            now,
            functions: BTreeMap::new(),
            blocks: BTreeMap::new(),
            queue: Queue::default(),
            parked: Queue::default(),
            awaited: Queue::default(),
            slots,
            values: Values::default(),
            uploads: BTreeMap::new(),
            storage_away: StorageAway::default(),
            last_request: 0,
            here: BTreeMap::new(),
            arrivals: 0,
            reclaims: Vec::new(),
            withdrawals: Vec::new(),
            draining: Draining::No,
            give_up_at: None,
            setup_failures: 0,
            told_waiting: Vec::new(),
            listening: BTreeSet::new(),
            away_since: Some(now),
            out: Vec::new(),
        };
        node.start_executors();
        node
    }

    /// A message of the scheduler.
    pub fn handle(&mut self, now: u64, message: Message<P>) {
        self.now = now;
        match message {
            Message::Function { id, payload } => self.function(id, payload),
            Message::ForgetFunction { id } => self.forget_function(id),
            Message::Assign(assign) => self.assign(assign),
            Message::DropBlocks { session, blocks } => self.drop_blocks(session, &blocks),
            Message::Value {
                id,
                count,
                form,
                payload,
            } => self.value(id, count, form, payload),
            Message::DropValues { ids } => self.drop_values(&ids),
            Message::Reclaim { count } => self.reclaim(count),
            Message::CancelElements { range } => self.cancel(range),
            Message::Withdraw { request, range } => self.withdraw(request, range),
            Message::Listen { session, on } => self.listen(session, on),
            Message::Drain => self.drain_for(false),
            Message::Exit { reason } => self.out.push(NodeOutput::Exit { reason }),
            Message::Heartbeat => {}
            _ => self.log(
                Level::Error,
                "the scheduler sent what is not for nodes".into(),
            ),
        }
        self.settle();
    }

    /// The link to the scheduler is up, or not.
    pub fn connected(&mut self, now: u64, connected: bool) {
        self.now = now;
        self.away_since = match (connected, self.away_since) {
            (true, _) => None,
            (false, since) => since.or(Some(now)),
        };
    }

    /// The scheduler forgot everything, or meets this node for the first time: it is told what is in executors and, again,
    /// the outcomes that it never acknowledged. What has not reached an executor is dropped; the client sends it again.
    pub fn reset(&mut self, now: u64, unacknowledged: Vec<Message<P>>) {
        self.now = now;
        let unsent = self.take_outcomes(unacknowledged);
        self.reclaims.clear();
        self.withdrawals.clear();
        for piece in [
            self.queue.clear(),
            self.awaited.clear(),
            self.parked.clear(),
        ]
        .into_iter()
        .flatten()
        {
            self.leave(&piece);
        }
        self.functions.clear();
        self.blocks.clear();
        self.listen_to_nobody();
        self.drop_all_values();
        if let Draining::Drained { ends } = self.draining {
            self.draining = Draining::Yes { ends };
        }
        let ranges = self.held_ranges();
        self.out
            .push(NodeOutput::ToScheduler(Message::Holding { ranges }));
        self.told_waiting.clear();
        self.out.extend(unsent);
        self.status();
        self.settle();
    }

    /// The machine asks for an end: what runs is finished, the rest given back, then `Exit`.
    pub fn drain_slots(&mut self, now: u64) {
        self.now = now;
        let limit = self.config.drain_limit_us;
        self.give_up_at = self
            .give_up_at
            .or_else(|| (limit > 0).then(|| now.saturating_add(limit)));
        self.drain_for(true);
        self.settle();
    }

    pub fn tick(&mut self, now: u64) {
        self.now = now;
        self.start_executors();
        self.give_up_storage();
        self.look_where_due();
        self.end_idle();
        if now >= self.next_heartbeat {
            self.next_heartbeat = now + self.config.heartbeat_us;
            if self.away_since.is_none() {
                self.status();
            }
            self.look_everywhere();
        }
        if self.give_up_at.is_some_and(|at| now >= at) {
            self.give_up_at = None;
            self.give_up_slots(now);
        }
        if self.death_at().is_some_and(|at| now >= at) {
            self.away_since = None;
            let away = self.config.death_timeout_us / 1_000_000;
            self.out.push(NodeOutput::Exit {
                reason: format!("no scheduler for {away} s"),
            });
        }
        self.settle();
    }

    pub fn next_wakeup(&self) -> Option<u64> {
        let slots = self.slots.iter().filter_map(|slot| self.slot_wakeup(slot));
        slots
            .chain([self.next_heartbeat])
            .chain(self.death_at())
            .chain(self.give_up_at)
            .chain(self.idle_wakeup())
            .chain(self.storage_away.due)
            .min()
    }

    pub fn drain(&mut self, out: &mut Vec<NodeOutput<P>>) {
        out.append(&mut self.out);
    }

    /// Whether it has yet to answer for an element.
    pub fn has(&self, session: SessionId, sequence: Sequence) -> bool {
        let here = self.here.get(&session);
        here.is_some_and(|here| here.contains(sequence))
    }

    /// Elements here, wherever.
    pub fn elements(&self) -> u64 {
        self.here.values().map(RangeSet::len).sum()
    }

    /// For people who wonder why it does nothing: its queues, then each slot.
    pub fn describe(&self) -> String {
        use std::fmt::Write;
        let mut text = format!(
            "queue {}, parked {}, awaited {}, uploads {}, reclaims {}, {:?}",
            self.queue.elements(),
            self.parked.elements(),
            self.awaited.elements(),
            self.uploads.len(),
            self.reclaims.len(),
            self.draining,
        );
        for slot in &self.slots {
            let (life, chunks, stop) = (&slot.life, slot.chunks.len(), slot.stop);
            let (asks, waiting) = (&slot.asks, slot.waiting);
            let _ = write!(text, "; {life:?} {chunks} {stop:?} {asks:?} {waiting:?}");
        }
        text
    }

    /// Whatever an input changed, this goes on from there.
    fn settle(&mut self) {
        self.give_back_children();
        self.fetch_objects();
        self.make_room();
        self.hand_out();
        self.end_drain();
        self.tell_waiting();
        self.watch_storage();
    }

    fn death_at(&self) -> Option<u64> {
        let since = self
            .away_since
            .filter(|_| self.config.death_timeout_us > 0)?;
        Some(since + self.config.death_timeout_us)
    }

    fn slot_wakeup(&self, slot: &Slot<P>) -> Option<u64> {
        let start = match slot.life {
            Life::Down { until } if self.takes_work() => Some(until),
            _ => None,
        };
        let interrupted = slot.chunks.iter().filter_map(|chunk| chunk.interrupted);
        let kill = interrupted.map(|(_, at)| at).min();
        let watched = [slot.look_at, kill]
            .into_iter()
            .flatten()
            .min()
            .filter(|_| slot.is_watched());
        [start, watched].into_iter().flatten().min()
    }

    /// `Done` and `Lost` messages that a scheduler which forgot has not seen: those under way, then those not yet sent.
    fn take_outcomes(&mut self, unacknowledged: Vec<Message<P>>) -> Vec<NodeOutput<P>> {
        let outcome =
            |message: &Message<P>| matches!(message, Message::Done { .. } | Message::Lost { .. });
        let mut outcomes: Vec<_> = unacknowledged
            .into_iter()
            .filter(outcome)
            .map(NodeOutput::ToScheduler)
            .collect();
        for output in std::mem::take(&mut self.out) {
            match output {
                NodeOutput::ToScheduler(message) if outcome(&message) => {
                    outcomes.push(NodeOutput::ToScheduler(message));
                }
                NodeOutput::ToScheduler(_) => {}
                other => self.out.push(other),
            }
        }
        outcomes
    }

    fn held_ranges(&self) -> Vec<Range> {
        let range = |session, (first, end): (u64, u64)| Range {
            session,
            first,
            count: end - first,
        };
        let sessions = self.here.iter();
        sessions
            .flat_map(|(&session, here)| here.iter().map(move |run| range(session, run)))
            .collect()
    }

    fn status(&mut self) {
        let status = NodeStatus {
            slots: (self.slots.iter().filter(|slot| slot.is_up()).count() as u32)
                .min(self.config.slots),
            queued: (self.queue.elements() + self.parked.elements() + self.awaited.elements())
                as u32,
            running: self
                .slots
                .iter()
                .filter(|slot| !slot.chunks.is_empty())
                .count() as u32,
            rss_bytes: self.slots.iter().map(|slot| slot.rss_bytes).sum(),
            draining: self.draining != Draining::No,
            started: self.started(),
        };
        self.out
            .push(NodeOutput::ToScheduler(Message::NodeStatus(status)));
    }

    /// Elements that were seen to run and have no outcome, one a range.
    fn started(&self) -> Vec<Range> {
        let seen = |slot: &Slot<P>| {
            let position = slot.seen?;
            let chunk = slot
                .chunks
                .iter()
                .find(|it| it.index_of(position).is_some())?;
            let index = chunk.index_of(position)?;
            let open = !chunk.is_reported(index) && index < chunk.cut;
            open.then(|| Range {
                session: chunk.piece.session(),
                first: chunk.sequence(index),
                count: 1,
            })
        };
        self.slots.iter().filter_map(seen).collect()
    }

    fn log(&mut self, level: Level, text: String) {
        self.out.push(NodeOutput::Log { level, text });
    }

    fn send(&mut self, slot: u32, message: Message<P>) {
        self.out.push(NodeOutput::ToExecutor { slot, message });
    }

    /// The piece's elements are no longer the node's.
    fn leave(&mut self, piece: &Piece<P>) {
        self.forget_elements(piece.session(), piece.first, piece.end());
        let evicted = self.objects.release(piece);
        self.forget_objects(&evicted);
    }

    fn forget_elements(&mut self, session: SessionId, first: Sequence, end: Sequence) {
        if let Some(here) = self.here.get_mut(&session) {
            here.remove(first, end);
            if here.is_empty() {
                self.here.remove(&session);
            }
        }
    }

    fn done(&mut self, piece: &Piece<P>, kind: OutcomeKind, payload: P, busy_us: u64) {
        self.leave(piece);
        let mut segment = segment(piece.first, piece.count, kind, payload, None);
        segment.busy_us = busy_us;
        self.tell_done(piece.session(), segment);
    }

    fn done_cancelled(&mut self, piece: &Piece<P>) {
        self.done(piece, OutcomeKind::Cancelled, P::from_vec(Vec::new()), 0);
    }

    fn done_failed(&mut self, piece: &Piece<P>, failure: Failure) {
        self.leave(piece);
        self.tell_failure(piece.session(), piece.first, piece.count, failure);
    }

    fn tell_failure(&mut self, session: SessionId, first: Sequence, count: u32, failure: Failure) {
        let empty = P::from_vec(Vec::new());
        self.tell_done(
            session,
            segment(first, count, OutcomeKind::Failure, empty, Some(failure)),
        );
    }

    fn tell_done(&mut self, session: SessionId, segment: Segment<P>) {
        self.out
            .push(NodeOutput::ToScheduler(Message::Done { session, segment }));
    }

    fn failure(&self, code: FailureCode, attempts: u32, status: i32, detail: String) -> Failure {
        Failure {
            code,
            attempts,
            status,
            nodes: vec![self.config.name.clone()],
            detail,
        }
    }

    fn give_back(&mut self, pieces: &[Piece<P>]) {
        let ranges = self.leave_all(pieces);
        self.out
            .push(NodeOutput::ToScheduler(Message::GaveBack { ranges }));
    }

    /// These are no longer the node's: as ranges.
    fn leave_all(&mut self, pieces: &[Piece<P>]) -> Vec<Range> {
        let mut ranges: Vec<Range> = Vec::new();
        for piece in pieces {
            self.leave(piece);
            match ranges.last_mut() {
                Some(last)
                    if last.session == piece.session()
                        && last.first + last.count == piece.first =>
                {
                    last.count += u64::from(piece.count);
                }
                _ => ranges.push(Range {
                    session: piece.session(),
                    first: piece.first,
                    count: piece.count.into(),
                }),
            }
        }
        ranges
    }
}

fn segment<P>(
    first: Sequence,
    count: u32,
    kind: OutcomeKind,
    payload: P,
    failure: Option<Failure>,
) -> Segment<P> {
    Segment {
        first,
        count,
        kind,
        payload,
        failure,
        except: Vec::new(),
        busy_us: 0,
    }
}
