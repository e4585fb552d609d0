//! Worker groups: started, up, retiring, ending.
//!
//! Theory of operation. A group is started by naming it to its manager, and is *up* when its node has come. A *retiring*
//! one gets nothing new; the book on its nodes is exact, so it is drained when nothing is at them, and only then its end
//! is commanded. It leaves the book when it was to end and its manager's account has it no more. Whatever happens only
//! notes which groups may have to move on; [`Scheduler::settle_groups`] moves them, once a turn, and stops nothing while
//! clients and nodes tell what a former scheduler knew.

use crate::wire::{Message, Payload, RefusalCode};

use super::arrays::NodeIndex;
use super::fleet::{GroupIndex, ManagerIndex};
use super::group::{State, Why};
use super::{Level, Scheduler, SchedulerOutput};

/// A group whose node leaves sooner than this has failed to start.
const MOMENT_US: u64 = 10_000_000;

impl<P: Payload> Scheduler<P> {
    /// Commands one more group.
    pub(super) fn start_group(&mut self, manager: ManagerIndex) {
        let now = self.now;
        let deadline = now + self.startup_of(manager);
        let known = self.fleet.manager(manager);
        let (id, slots) = (
            known.id.clone(),
            known.info.as_ref().map_or(1, |it| it.slots),
        );
        let name = loop {
            self.fleet.named += 1;
            let name = format!("{id}-{:08x}-{}", self.incarnation as u32, self.fleet.named);
            if self.fleet.find_group(manager, &name).is_none() {
                break name;
            }
        };
        let state = State::Starting { deadline };
        let group = self.fleet.add_group(manager, &name, slots, state, now);
        self.fleet.manager_mut(manager).breaker.started();
        self.say_start(group);
    }

    pub(super) fn say_start(&mut self, index: GroupIndex) {
        let (now, group) = (self.now, self.fleet.group(index));
        let manager = self.fleet.manager(group.manager);
        let (Some(link), Some(info)) = (manager.link, manager.info.as_ref()) else {
            return;
        };
        let message = Message::StartWorkerGroup {
            group: group.id.to_string(),
            slots: group.slots,
            capabilities: info.capabilities.clone(),
        };
        self.fleet.group_mut(index).said_at = Some(now);
        self.send(link, message);
    }

    /// Not in the resync time, in which nothing is stopped: a later status shows that it was not said.
    pub(super) fn say_shutdown(&mut self, index: GroupIndex) {
        let (now, group) = (self.now, self.fleet.group(index));
        let Some(link) = self.fleet.manager(group.manager).link else {
            return;
        };
        if now >= self.resync_until {
            let group = group.id.to_string();
            self.fleet.group_mut(index).said_at = Some(now);
            self.send(link, Message::ShutdownWorkerGroup { group });
        }
    }

    /// A node of a group has come. A group that nobody has told of is taken as it is; its manager's next status says
    /// whether that knows it.
    pub(super) fn attach(&mut self, node: NodeIndex, manager: ManagerIndex, id: &str) {
        let now = self.now;
        let known = self.fleet.find_group(manager, id);
        let index = known.unwrap_or_else(|| {
            let slots = self.nodes.get(node).slots;
            self.fleet.add_group(manager, id, slots, State::Up, now)
        });
        let of = self.fleet.manager(manager);
        let (lost, leaving) = (of.lost, of.leaving);
        let group = self.fleet.group_mut(index);
        group.nodes.insert(node);
        group.exit_told = false;
        if lost {
            group.exits = true;
        }
        match group.state {
            State::Starting { .. } => self.came(index),
            State::Up if lost => self.fleet.set_state(index, State::Retiring(Why::Lost), now),
            State::Up if leaving => self
                .fleet
                .set_state(index, State::Retiring(Why::Leaving), now),
            _ => {}
        }
        self.nodes.get_mut(node).group = Some(index);
        self.fleet.changed = true;
        self.regard_node(node);
        self.mark_nodes(index);
    }

    fn came(&mut self, index: GroupIndex) {
        let now = self.now;
        let group = self.fleet.group(index);
        let (manager, took) = (group.manager, now - group.since);
        let of = self.fleet.manager_mut(manager);
        of.startup_us = match of.startup_us {
            0 => took,
            average => average - average / 4 + took / 4,
        };
        let before = of.breaker.failures();
        of.breaker.succeeded();
        self.fleet.group_mut(index).failures_before = before;
        self.fleet.set_state(index, State::Up, now);
    }

    /// Notes on a group's nodes what became of it.
    pub(super) fn mark_nodes(&mut self, index: GroupIndex) {
        let group = self.fleet.group(index);
        let retiring = !group.counts();
        let manager = self.fleet.manager(group.manager);
        let supplied = manager.info.is_some() && !manager.lost;
        let nodes: Vec<NodeIndex> = group.nodes.iter().copied().collect();
        for index in nodes {
            let node = self.nodes.get_mut(index);
            node.retiring = retiring;
            node.supplied = supplied;
            self.nodes.refresh(index);
        }
    }

    /// Whether something is at a node may have changed.
    pub(super) fn regard_node(&mut self, index: NodeIndex) {
        let node = self.nodes.get_mut(index);
        let Some(group) = node.group else {
            return;
        };
        let occupied = node.is_occupied();
        if std::mem::replace(&mut node.occupied, occupied) != occupied {
            let used = node.used;
            self.fleet.occupy(group, occupied, used);
        }
    }

    /// The node is gone, and its book with it.
    pub(super) fn detach(&mut self, index: NodeIndex, group: GroupIndex, occupied: bool) {
        self.fleet.group_mut(group).nodes.remove(&index);
        if occupied {
            self.fleet.occupy(group, false, 0);
        }
        self.fleet.stirred.insert(group);
        self.fleet.changed = true;
    }

    /// It gets nothing new, and ends when nothing is at its nodes.
    pub(super) fn retire(&mut self, index: GroupIndex, why: Why) {
        let now = self.now;
        self.fleet.set_state(index, State::Retiring(why), now);
        self.mark_nodes(index);
    }

    pub(super) fn take_back(&mut self, index: GroupIndex) {
        let now = self.now;
        self.fleet.set_state(index, State::Up, now);
        self.mark_nodes(index);
    }

    /// It is to end.
    pub(super) fn end_group(&mut self, index: GroupIndex) {
        self.ends(index);
        self.say_shutdown(index);
    }

    /// It ends, whoever wanted that.
    pub(super) fn ends(&mut self, index: GroupIndex) {
        let now = self.now;
        let group = self.fleet.group(index);
        if matches!(group.state, State::Starting { .. }) {
            let manager = group.manager;
            self.fleet.manager_mut(manager).breaker.abandoned();
        }
        self.fleet.set_state(index, State::Ending, now);
        self.mark_nodes(index);
    }

    /// A group that was to start will not come.
    pub(super) fn start_failed(&mut self, index: GroupIndex, reason: String) {
        let now = self.now;
        let group = self.fleet.group(index);
        let (id, of) = (group.id.clone(), group.manager);
        let manager = self.fleet.manager_mut(of);
        let name = manager.id.clone();
        manager.breaker.failed(now, reason.clone());
        self.end_group(index);
        let text = format!("worker group {id} of worker manager {name} failed to start: {reason}");
        self.log(Level::Error, text);
        self.tell_of_breaker(of);
    }

    fn tell_of_breaker(&mut self, manager: ManagerIndex) {
        let manager = self.fleet.manager(manager);
        let breaker = &manager.breaker;
        if breaker.is_open() {
            let text = format!(
                "{} starts of worker manager {} failed in a row: one group is tried in {} s",
                breaker.failures(),
                manager.id,
                breaker.until().saturating_sub(self.now).div_ceil(1_000_000),
            );
            self.log(Level::Error, text);
        }
    }

    /// Groups whose node has not come in time.
    pub(super) fn end_overdue(&mut self) {
        for index in self.fleet.overdue(self.now) {
            let group = self.fleet.group(index);
            let manager = self.fleet.manager(group.manager);
            if !manager.is_ready() || self.now < self.resync_until {
                // Nothing can be said to it, or it has not told how it is.
                let deadline = self.now + self.startup_of(group.manager);
                let now = self.now;
                self.fleet
                    .set_state(index, State::Starting { deadline }, now);
                continue;
            }
            let reason = self.why_it_did_not_come(index);
            self.start_failed(index, reason);
        }
    }

    /// Moves on what may have to, once a turn.
    pub(super) fn settle_groups(&mut self) {
        if self.fleet.stirred.is_empty() || self.now < self.resync_until || self.closing {
            return;
        }
        while let Some(index) = self.fleet.stirred.pop_first() {
            if self.fleet.has_group(index) {
                self.settle_group(index);
            }
        }
    }

    fn settle_group(&mut self, index: GroupIndex) {
        if self.fleet.group(index).is_over() {
            self.bury_nodes(index);
        }
        let group = self.fleet.group(index);
        let (manager, empty, drained) =
            (group.manager, group.nodes.is_empty(), group.occupied == 0);
        match group.state {
            State::Starting { .. } => {}
            State::Up if empty => self.lost_its_node(index),
            State::Up => {
                let mut nodes = group.nodes.iter();
                if group.is_over() || nodes.all(|&node| self.nodes.get(node).ends()) {
                    self.retire(index, Why::Over);
                }
            }
            State::Retiring(_) if drained => self.end_group(index),
            State::Retiring(_) => {}
            State::Ending => self.end_nodes(index),
        }
        self.forget_manager_if_known(manager);
    }

    fn forget_manager_if_known(&mut self, manager: ManagerIndex) {
        if self.fleet.has_manager(manager) {
            self.forget_manager(manager);
        }
    }

    /// Nodes without a connection whose unit has ended will not come back: what they had goes elsewhere at once.
    fn bury_nodes(&mut self, index: GroupIndex) {
        let nodes: Vec<NodeIndex> = self.fleet.group(index).nodes.iter().copied().collect();
        for node in nodes {
            let (link, connected) = (self.nodes.get(node).link, self.nodes.get(node).connected);
            if !connected {
                self.node_left(node);
                self.out.push(SchedulerOutput::End {
                    link,
                    code: RefusalCode::Closing,
                    reason: "its unit has ended, says its worker manager".into(),
                });
            }
        }
    }

    fn lost_its_node(&mut self, index: GroupIndex) {
        let now = self.now;
        let group = self.fleet.group(index);
        let (id, of, before) = (group.id.clone(), group.manager, group.failures_before);
        let soon = now - group.since < MOMENT_US;
        let why = group.report.as_ref().filter(|it| it.is_over());
        let why = why.map_or(String::new(), |it| format!(": {}", it.detail));
        self.log(
            Level::Warning,
            format!("worker group {id} has lost its node{why}; it is ended, and replaced if it is needed"),
        );
        if soon && self.fleet.manager(of).info.is_some() {
            let reason = format!("{id} left as soon as it had come{why}");
            let manager = self.fleet.manager_mut(of);
            manager.breaker.relapsed(now, before, reason);
            self.tell_of_breaker(of);
        }
        self.end_group(index);
    }

    /// Of a group that is to end: its nodes are told, where its manager cannot end them; and it is forgotten with the
    /// last of them, where its manager does not have it.
    fn end_nodes(&mut self, index: GroupIndex) {
        let group = self.fleet.group_mut(index);
        if group.exits && group.occupied == 0 && !group.nodes.is_empty() && !group.exit_told {
            group.exit_told = true;
            let links = group.nodes.iter().map(|&node| self.nodes.get(node).link);
            let links: Vec<_> = links.collect();
            for link in links {
                let reason = "nobody else could end this worker".to_owned();
                self.send(link, Message::Exit { reason });
            }
        }
        let group = self.fleet.group(index);
        let manager = self.fleet.manager(group.manager);
        let unknown = group.exits || manager.lost || manager.info.is_none();
        if group.nodes.is_empty() && unknown {
            self.fleet.remove_group(index);
        }
    }
}
