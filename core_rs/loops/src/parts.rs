//! The parts of a loop, and who of them gets what.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use mio::{Registry, Token};
use scaler_engine::acceptor::Origin;
use scaler_engine::manager::Manager;
use scaler_engine::store::FileDone;

use crate::connections::{Arrival, Connections, Key};
use crate::manager_part::ManagerPart;
use crate::node_part::NodePart;
use crate::object_folder::ObjectFolder;
use crate::offload_part::OffloadPart;
use crate::outward::OutwardLink;
use crate::reactor::Settings;
use crate::scheduler_part::{SchedulerPart, NODE_HERE};
use crate::shared::{Listening, Outward, Shared};
use crate::store_part::StorePart;

/// Whose connection it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// Somebody's with the scheduler.
    Scheduler,
    /// Somebody's with object storage.
    Store,
    Executor(u32),
    NodeToScheduler,
    NodeToStore,
    SchedulerToStore,
    ManagerToScheduler,
}

impl Owner {
    pub fn of(part: Listening) -> Owner {
        match part {
            Listening::Scheduler => Owner::Scheduler,
            Listening::Store => Owner::Store,
        }
    }
}

pub struct Parts {
    pub scheduler: Option<SchedulerPart>,
    pub node: Option<NodePart>,
    pub store: Option<StorePart>,
    pub manager: Option<ManagerPart>,
    pub offload: Option<OffloadPart>,
}

impl Parts {
    /// `objects`: where object storage has its files. `process`: the poll's token for a slot's process.
    pub fn new(
        settings: &Settings,
        objects: Option<ObjectFolder>,
        now: u64,
        shared: &Arc<Shared>,
        process: fn(usize) -> Token,
    ) -> io::Result<Parts> {
        let mut scheduler = settings
            .scheduler
            .as_ref()
            .map(|one| SchedulerPart::new(one, now, shared));
        let direct = scheduler.is_some();
        let mut node = settings
            .node
            .as_ref()
            .map(|one| NodePart::new(one, now, direct, shared, process));
        if let (Some(scheduler), Some(node), Some(settings)) =
            (&mut scheduler, &mut node, &settings.node)
        {
            scheduler
                .join_node_here(now, &settings.hello())
                .map_err(io::Error::other)?;
            node.engine.connected(now, true);
            node.engine.reset(now, Vec::new());
        }
        if let Some(link) = node.as_mut().and_then(|node| node.scheduler.as_mut()) {
            link.want();
        }
        let store = settings
            .store
            .as_ref()
            .map(|one| StorePart::new(one, objects, shared))
            .transpose()?;
        let manager = settings.manager.as_ref();
        let offload = manager.and_then(|one| one.offload.as_ref());
        let local = offload.is_some();
        Ok(Parts {
            scheduler,
            node,
            store,
            manager: manager.map(|one| ManagerPart::new(one, now, local, shared)),
            offload: offload.map(|one| OffloadPart::new(one, now, shared)),
        })
    }

    pub fn on_open(&mut self, now: u64, part: Listening, connection: Key, origin: Origin) {
        let accepting = match part {
            Listening::Scheduler => self.scheduler.as_mut().map(|part| &mut part.accepting),
            Listening::Store => self.store.as_mut().map(|part| &mut part.accepting),
        };
        if let Some(accepting) = accepting {
            accepting.on_open(now, connection, origin);
        }
    }

    /// The link that a connection of the host is for: one that lacks it, first of all one that asked.
    pub fn link_for(&mut self, link: Outward) -> Option<(Owner, &mut OutwardLink)> {
        let Parts {
            scheduler,
            node,
            manager,
            ..
        } = self;
        let mut links = Vec::with_capacity(4);
        if let Some(node) = node {
            links.push((Owner::NodeToStore, &mut node.store));
            links.extend(
                node.scheduler
                    .as_mut()
                    .map(|link| (Owner::NodeToScheduler, link)),
            );
        }
        links.extend(
            scheduler
                .as_mut()
                .map(|part| (Owner::SchedulerToStore, &mut part.store)),
        );
        links.extend(
            manager
                .as_mut()
                .and_then(|part| part.scheduler.as_mut())
                .map(|link| (Owner::ManagerToScheduler, link)),
        );
        let mut lacking = links
            .into_iter()
            .filter(|(_, one)| one.name() == link && one.lacks_connection());
        let first = lacking.next()?;
        if first.1.was_asked() {
            return Some(first);
        }
        Some(lacking.find(|(_, one)| one.was_asked()).unwrap_or(first))
    }

    fn link_of(&mut self, owner: Owner) -> Option<&mut OutwardLink> {
        match owner {
            Owner::NodeToScheduler => self.node.as_mut()?.scheduler.as_mut(),
            Owner::NodeToStore => self.node.as_mut().map(|node| &mut node.store),
            Owner::SchedulerToStore => self.scheduler.as_mut().map(|part| &mut part.store),
            Owner::ManagerToScheduler => self.manager.as_mut()?.scheduler.as_mut(),
            Owner::Scheduler | Owner::Store | Owner::Executor(_) => None,
        }
    }

    pub fn on_arrival(&mut self, now: u64, key: Key, owner: Owner, arrival: Arrival) {
        match owner {
            Owner::Scheduler => {
                if let Some(part) = &mut self.scheduler {
                    part.accepting.on_arrival(now, key, arrival);
                }
            }
            Owner::Store => {
                if let Some(part) = &mut self.store {
                    part.accepting.on_arrival(now, key, arrival);
                }
            }
            Owner::Executor(slot) => {
                if let Some(node) = &mut self.node {
                    node.on_executor(now, slot, key, arrival);
                }
            }
            Owner::NodeToScheduler
            | Owner::NodeToStore
            | Owner::SchedulerToStore
            | Owner::ManagerToScheduler => {
                self.on_outward(now, key, owner, arrival);
            }
        }
    }

    fn on_outward(&mut self, now: u64, key: Key, owner: Owner, arrival: Arrival) {
        let Some(link) = self.link_of(owner) else {
            return;
        };
        match arrival {
            Arrival::Frame(frame) => link.on_frame(now, frame),
            Arrival::Malformed(_) => link.on_malformed(),
            Arrival::Closed => link.on_close(now, key),
        }
        if let (Owner::NodeToScheduler, Some(node)) = (owner, &mut self.node) {
            node.on_link_changed(now);
        }
        if let (Owner::ManagerToScheduler, Some(manager)) = (owner, &mut self.manager) {
            manager.on_link_changed(now);
        }
    }

    /// Where there is a manager.
    pub fn with_manager(&mut self, act: impl FnOnce(&mut Manager<Bytes>)) {
        if let Some(manager) = &mut self.manager {
            act(&mut manager.engine);
        }
    }

    /// Where the manager's units are the node's jobs.
    pub fn with_offload(
        &mut self,
        act: impl FnOnce(&mut OffloadPart, &mut NodePart, &mut ManagerPart),
    ) -> bool {
        let parts = (&mut self.offload, &mut self.node, &mut self.manager);
        let (Some(offload), Some(node), Some(manager)) = parts else {
            return false;
        };
        act(offload, node, manager);
        true
    }

    pub fn on_file(&mut self, now: u64, done: FileDone<Bytes>) {
        if let Some(store) = &mut self.store {
            store.on_file(now, done);
        }
    }

    pub fn tick(&mut self, now: u64) {
        if let Some(scheduler) = &mut self.scheduler {
            scheduler.tick(now);
        }
        if let Some(node) = &mut self.node {
            node.tick(now);
        }
        if let Some(store) = &mut self.store {
            store.tick(now);
        }
        if let Some(manager) = &mut self.manager {
            manager.tick(now);
        }
        self.with_offload(|offload, node, _| offload.tick(now, node));
    }

    pub fn next_wakeup(&self) -> Option<u64> {
        let scheduler = self.scheduler.as_ref().and_then(SchedulerPart::next_wakeup);
        let node = self.node.as_ref().and_then(NodePart::next_wakeup);
        let store = self.store.as_ref().and_then(StorePart::next_wakeup);
        let manager = self.manager.as_ref().and_then(ManagerPart::next_wakeup);
        let offload = self.offload.as_ref().and_then(OffloadPart::next_wakeup);
        [scheduler, node, store, manager, offload]
            .into_iter()
            .flatten()
            .min()
    }

    /// Lets the machines talk to each other until nothing moves.
    pub fn settle(&mut self, now: u64, connections: &mut Connections<Owner>) {
        loop {
            let mut moved = false;
            if let Some(scheduler) = &mut self.scheduler {
                scheduler.on_links(now);
                let node = &mut self.node;
                moved |= scheduler.drain(|message| {
                    if let Some(node) = node {
                        node.engine.handle(now, message);
                    }
                });
            }
            if let Some(node) = &mut self.node {
                node.on_links(now);
                let scheduler = &mut self.scheduler;
                moved |= node.drain(now, connections, |message| {
                    if let Some(scheduler) = scheduler {
                        scheduler.engine.handle(now, NODE_HERE, message);
                    }
                });
            }
            if let Some(store) = &mut self.store {
                store.on_links(now);
                moved |= store.drain();
            }
            let offloads = self.with_offload(|offload, node, manager| {
                moved |= offload.settle(now, node, manager);
            });
            if let Some(manager) = self.manager.as_mut().filter(|_| !offloads) {
                manager.on_links(now);
                moved |= manager.drain(now, |_| {});
            }
            if !moved {
                return;
            }
        }
    }

    /// Queues what may leave; true when a connection was closed and the parts have more to say.
    pub fn transmit(
        &mut self,
        now: u64,
        connections: &mut Connections<Owner>,
        registry: &Registry,
    ) -> bool {
        let mut closed = false;
        if let Some(scheduler) = &mut self.scheduler {
            closed |= scheduler.transmit(now, connections, registry);
        }
        if let Some(node) = &mut self.node {
            closed |= node.transmit(now, connections, registry);
        }
        if let Some(store) = &mut self.store {
            store.transmit(now, connections, registry);
        }
        if let Some(manager) = &mut self.manager {
            closed |= manager.transmit(now, connections, registry);
        }
        closed
    }

    /// Tells the host of parts that have come to their end, after a turn's writes.
    pub fn end_if_done(&mut self, now: u64) {
        if let Some(scheduler) = &mut self.scheduler {
            scheduler.end_if_done();
        }
        if let Some(node) = &mut self.node {
            node.end_if_done(now);
        }
        if let Some(manager) = &mut self.manager {
            let node = self.node.as_ref().and_then(|node| node.scheduler.as_ref());
            manager.end_if_done(now, node);
        }
    }
}
