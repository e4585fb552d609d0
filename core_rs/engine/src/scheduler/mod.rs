//! The scheduler: which element of whose work is where, and what becomes of it.
//!
//! Theory of operation. A client's submission becomes an *array* ([`arrays`]); its elements are pending, in spans at
//! nodes, or done, and nowhere else ([`Scheduler::sanity_check`] says so after every step of the tests). Pending arrays
//! queue by *class*, nodes with room by *signature* ([`classes`], [`nodes`]). Inputs only move elements between places
//! and note what is owed to whom; [`Scheduler::drain`] then does one placement pass for the whole turn ([`placement`]),
//! takes back what waits behind others while slots are idle ([`stealing`]), and writes out what came of it ([`flush`]).
//!
//! The book on a node is exact: links are ordered, and every element that leaves a node is named by the node. What a
//! node says of elements that it cannot have ends its link.

mod accept;
mod arena;
mod arrays;
mod book;
mod breaker;
mod cancel;
mod check;
mod classes;
mod config;
mod ended;
mod excess;
mod explain;
mod fleet;
mod flush;
mod functions;
mod graphs;
mod group;
mod groups;
mod leftover;
mod losses;
mod managers;
mod members;
mod nesting;
mod nodes;
mod objects;
mod options;
mod outcomes;
mod placement;
mod pressure;
mod prospects;
mod query;
mod reports;
mod resync;
mod sanity;
mod sessions;
mod stealing;
mod streaming;
mod supplying;
#[cfg(test)]
mod tests;
mod values;
mod withdrawing;

use std::collections::{BTreeMap, BTreeSet};

use slab::Slab;

use crate::wire::{LinkId, Message, Payload, RefusalCode, SessionId};

use arena::Arena;
use arrays::{Array, ArrayIndex, NodeIndex, SessionIndex};
use classes::Classes;
use ended::Ended;
use fleet::Fleet;
use functions::Functions;
use graphs::Consequences;
use nesting::Nesting;
use nodes::Nodes;
use objects::Objects;
use options::OptionsTable;
use resync::Orphans;
use sessions::Session;
use values::Values;
use withdrawing::Withdrawals;

#[cfg(feature = "planted")]
pub use config::Bugs;
pub use config::{Allocate, Level, SchedulerConfig, SchedulerOutput};

/// See the module's text.
#[derive(Debug)]
pub struct Scheduler<P> {
    config: SchedulerConfig,
    incarnation: u64,
    now: u64,
    /// Nothing is placed before this.
    resync_until: u64,

    sessions: Slab<Session<P>>,
    by_session: BTreeMap<SessionId, SessionIndex>,
    by_client: BTreeMap<LinkId, SessionIndex>,
    /// Worker managers and their groups.
    fleet: Fleet,
    arrays: Arena<Array<P>>,
    /// Done in this turn; their numbers are free at its end.
    finished: Vec<ArrayIndex>,
    functions: Functions<P>,
    options: OptionsTable,
    classes: Classes,
    nodes: Nodes,
    objects: Objects,
    values: Values<P>,
    consequences: Consequences,
    nesting: Nesting,
    orphans: BTreeMap<SessionId, Orphans<P>>,
    /// Elements that sessions left behind at nodes.
    ghosts: BTreeMap<SessionId, u64>,
    ended: Ended,
    withdrawals: Withdrawals,

    /// Counts submissions.
    order: u64,
    /// Counts assignments.
    used: u64,
    /// Payloads and book-keeping of all sessions' work.
    bytes: u64,
    /// Elements pending, and at nodes.
    pending: u64,
    assigned: u64,
    /// Nodes that changed since they were last put where they belong.
    touched: Vec<NodeIndex>,
    /// Nodes that may have to be told something at the end of the turn.
    stirred: BTreeSet<NodeIndex>,
    /// Sessions with outcomes of this turn.
    answered: BTreeSet<SessionIndex>,
    /// When somebody idle may take back from somebody laden.
    steal_at: Option<u64>,
    /// When classes that nobody can serve are to be logged.
    complain_at: Option<u64>,
    /// Sessions that are not listened to.
    held_back: u32,
    closing: bool,
    out: Vec<SchedulerOutput<P>>,
    #[cfg(feature = "planted")]
    bugs: Bugs,
}

impl<P: Payload> Scheduler<P> {
    pub fn new(config: SchedulerConfig, incarnation: u64, now: u64) -> Self {
        Scheduler {
            resync_until: now + config.resync_us,
            fleet: Fleet::new(config.scaling.clone()),
            config,
            incarnation,
            now,
            sessions: Slab::new(),
            by_session: BTreeMap::new(),
            by_client: BTreeMap::new(),
            arrays: Arena::default(),
            finished: Vec::new(),
            functions: Functions::default(),
            options: OptionsTable::default(),
            classes: Classes::default(),
            nodes: Nodes::default(),
            objects: Objects::default(),
            values: Values::default(),
            consequences: Consequences::default(),
            nesting: Nesting::default(),
            orphans: BTreeMap::new(),
            ghosts: BTreeMap::new(),
            ended: Ended::default(),
            withdrawals: Withdrawals::default(),
            order: 0,
            used: 0,
            bytes: 0,
            pending: 0,
            assigned: 0,
            touched: Vec::new(),
            stirred: BTreeSet::new(),
            answered: BTreeSet::new(),
            steal_at: None,
            complain_at: None,
            held_back: 0,
            closing: false,
            out: Vec::new(),
            #[cfg(feature = "planted")]
            bugs: Bugs::default(),
        }
    }

    /// Drawn at its start; told to peers in the welcome.
    pub fn incarnation(&self) -> u64 {
        self.incarnation
    }

    #[cfg(feature = "planted")]
    pub fn plant(&mut self, bugs: Bugs) {
        self.bugs = bugs;
    }

    /// A message of a peer that joined.
    pub fn handle(&mut self, now: u64, link: LinkId, message: Message<P>) {
        self.now = now;
        let handled = if let Some(&session) = self.by_client.get(&link) {
            self.client_says(session, message)
        } else if let Some(node) = self.nodes.by_link(link) {
            self.node_says(node, message)
        } else if let Some(&manager) = self.fleet.by_link.get(&link) {
            self.manager_says(manager, message)
        } else {
            // It left, or was ended, with this under way.
            Ok(())
        };
        if let Err(reason) = handled {
            self.end_link(link, RefusalCode::Malformed, reason);
        }
    }

    fn client_says(&mut self, session: SessionIndex, message: Message<P>) -> Result<(), String> {
        match message {
            Message::Submit(submit) => self.submit(session, submit)?,
            Message::Function { id, payload } => self.function(session, id, payload),
            Message::ForgetFunction { id } => self.forget_function(session, id),
            Message::Cancel { first, count } => self.cancel(session, first, count),
            Message::Query {
                request,
                kind,
                first,
            } => self.query(session, request, kind, first),
            Message::Clear => self.clear(session),
            Message::Goodbye => {
                let link = self.sessions[session as usize].link;
                self.end_session(session);
                self.by_client.remove(&link);
            }
            Message::Shutdown { request } => {
                let link = self.sessions[session as usize].link;
                self.shutdown(link, request);
            }
            Message::Within {
                node,
                session: id,
                sequence,
            } => self.within(session, node, (id, sequence))?,
            Message::HoldObject { key, size } => self.hold_object(session, key, size),
            Message::ReleaseObject { key } => self.release_object(session, key),
            Message::StreamOutput => self.stream_output(session),
            Message::CancelUnstarted {
                request,
                first,
                count,
            } => self.cancel_unstarted(session, request, first, count),
            Message::Value {
                id,
                count,
                form,
                payload,
            } => self.value_told(session, id, count, form, payload)?,
            Message::DropValues { ids } => self.values_dropped(session, &ids),
            Message::Given { given } => self.given(session, &given)?,
            Message::Heartbeat => {}
            _ => return Err("a client does not say that".into()),
        }
        Ok(())
    }

    fn node_says(&mut self, node: NodeIndex, message: Message<P>) -> Result<(), String> {
        match message {
            Message::Done { session, segment } => self.done(node, session, segment)?,
            Message::GaveBack { ranges } => self.gave_back(node, &ranges)?,
            Message::Withdrawn { request, ranges } => self.withdrawn(node, request, &ranges)?,
            Message::Lost {
                session,
                sequence,
                cause,
                status,
                detail,
            } => self.lost(node, session, sequence, cause, (status, detail))?,
            Message::Holding { ranges } => self.holding(node, &ranges)?,
            Message::NodeStatus(status) => self.node_status(node, status),
            Message::Waiting { depths } => self.node_waits(node, &depths)?,
            Message::Output {
                session,
                lines,
                dropped,
                payload,
            } => {
                self.output(session, lines, dropped, payload);
                return Ok(());
            }
            Message::Drained => {
                self.nodes.get_mut(node).draining = true;
                self.node_ends(node);
            }
            Message::Heartbeat => {}
            _ => return Err("a node does not say that".into()),
        }
        self.touch(node);
        Ok(())
    }

    /// Does what is due.
    pub fn tick(&mut self, now: u64) {
        self.now = now;
        self.end_orphans();
        self.delete_late_objects();
        if !self.closing {
            self.end_leases();
            self.end_overdue();
        }
        self.complain();
    }

    /// When `tick` and `drain` are to be called next, if nothing comes before.
    pub fn next_wakeup(&self) -> Option<u64> {
        let resync = (self.now < self.resync_until).then_some(self.resync_until);
        let orphans = self.orphans.values().map(|orphans| orphans.until).min();
        let objects = self.objects.next_wakeup();
        let ended = self.ended.next_wakeup();
        let fleet = self.fleet_wakeup();
        let others = [self.steal_at, self.complain_at, fleet];
        [resync, orphans, objects, ended]
            .into_iter()
            .chain(others)
            .flatten()
            .min()
    }

    /// Places what can be placed, once for all that was handled since, and gives what the loop has to do.
    pub fn drain(&mut self, out: &mut Vec<SchedulerOutput<P>>) {
        self.settle_graphs();
        self.settle_nesting();
        self.refresh_touched();
        self.settle_groups();
        self.refresh_touched();
        if self.now >= self.resync_until && !self.closing {
            self.place();
            self.steal();
            self.note_demand();
            self.scale();
            self.refresh_touched();
        }
        self.hold_back();
        self.flush();
        out.append(&mut self.out);
    }

    fn send(&mut self, link: LinkId, message: Message<P>) {
        self.out.push(SchedulerOutput::Send { link, message });
    }

    fn log(&mut self, level: Level, text: String) {
        self.out.push(SchedulerOutput::Log { level, text });
    }

    fn touch(&mut self, node: NodeIndex) {
        if self.touched.last() != Some(&node) {
            self.touched.push(node);
            self.stirred.insert(node);
        }
    }

    fn refresh_touched(&mut self) {
        for node in std::mem::take(&mut self.touched) {
            if self.nodes.contains(node) {
                self.nodes.refresh(node);
                self.regard_node(node);
            }
        }
    }
}
