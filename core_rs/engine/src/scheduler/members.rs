//! Who is there: peers that join, lose their connection, come back, leave.

use std::sync::Arc;

use crate::wire::{Hello, LinkId, Message, NodeInfo, NodeStatus, Payload, RefusalCode, SessionId};

use super::arrays::{NodeIndex, SessionIndex};
use super::nodes::NodeOrigin;
use super::sessions::Session;
use super::{Level, Scheduler, SchedulerOutput};

/// A node of more slots is a mistake.
pub(super) const MOST_SLOTS: u32 = 65_536;
/// More elements waiting at a slot help nobody.
const MOST_QUEUED: u32 = 1 << 20;

impl<P: Payload> Scheduler<P> {
    /// A link begins from nothing: its peer tells its whole state. `origin`: where it comes from, for people.
    pub fn joined(
        &mut self,
        now: u64,
        link: LinkId,
        hello: &Hello,
        origin: &str,
    ) -> Result<(), (RefusalCode, String)> {
        use crate::wire::Role;
        self.now = now;
        if self.closing {
            return Err((RefusalCode::Closing, "the cluster ends".into()));
        }
        self.left(now, link);
        match (hello.role, &hello.node) {
            (Role::Client, _) => self.client_joined(link, hello.session),
            (Role::Node, Some(info)) => self.node_joined(link, info, hello.incarnation, origin),
            (Role::Node, None) => Err((
                RefusalCode::Malformed,
                "a node that does not say what it offers".into(),
            )),
            (Role::Manager, _) => self.manager_joined(link, hello, origin),
            (Role::Objects | Role::Scheduler, _) => Err((
                RefusalCode::Malformed,
                "this is a scheduler, not an object storage".into(),
            )),
        }
    }

    fn client_joined(&mut self, link: LinkId, id: SessionId) -> Result<(), (RefusalCode, String)> {
        if let Some(known) = self.session_of(id) {
            let session = &self.sessions[known as usize];
            if session.connected {
                return Err((
                    RefusalCode::Duplicate,
                    format!("session {id:016x} is connected already"),
                ));
            }
            // Its client lost its link and begins anew: what runs is kept for what it will tell.
            let old = session.link;
            self.by_client.remove(&old);
            self.end_link_quietly(old);
            self.orphan_session(known);
        }
        self.ended.forget(id);
        let mut session = Session::new(id, link);
        session.haunted = self.ghosts.contains_key(&id);
        let index = self.sessions.insert(session) as SessionIndex;
        self.by_session.insert(id, index);
        self.by_client.insert(link, index);
        Ok(())
    }

    fn end_link_quietly(&mut self, link: LinkId) {
        self.out.push(SchedulerOutput::End {
            link,
            code: RefusalCode::Duplicate,
            reason: "its session goes on by another link".into(),
        });
    }

    fn node_joined(
        &mut self,
        link: LinkId,
        info: &NodeInfo,
        spoke_to: u64,
        origin: &str,
    ) -> Result<(), (RefusalCode, String)> {
        if info.slots == 0 || info.slots > MOST_SLOTS {
            let text = format!(
                "a node of {} slots: 1 to {MOST_SLOTS} make sense",
                info.slots
            );
            return Err((RefusalCode::Limit, text));
        }
        if info.offload {
            self.offload_joined(info)?;
        }
        let mut capabilities = info.capabilities.clone();
        capabilities.sort();
        capabilities.dedup_by(|a, b| a.0 == b.0);
        let offer = NodeOrigin {
            link,
            name: Arc::from(info.name.as_str()),
            slots: info.slots,
            queue_size: info.queue_size.clamp(1, MOST_QUEUED),
            offload: info.offload,
        };
        let (node, fresh) = self.nodes.add(offer, capabilities, info.python_minor);
        if let Some(number) = fresh {
            let signature = self.nodes.signature(number);
            for (_, class) in self.classes.iter_mut() {
                if signature.satisfies(&class.capabilities, class.python_minor) {
                    class.signatures.push(number);
                }
            }
        }
        self.nodes.get_mut(node).progress_at = self.now;
        self.nodes.get_mut(node).resumed = spoke_to != 0;
        self.group_joined(node, &info.manager, &info.group);
        self.fleet.changed = true;
        self.touch(node);
        self.tell_who_listens(link);
        let text = format!(
            "node {} with {} slots joined from {origin}",
            info.name, info.slots
        );
        self.log(Level::Info, text);
        Ok(())
    }

    /// A node that offloads is called like its manager, of which there is one. One that was started again takes the place
    /// of the one before at once: what that had is for others, and first of all for this one, which may find it running.
    fn offload_joined(&mut self, info: &NodeInfo) -> Result<(), (RefusalCode, String)> {
        let before = {
            let mut nodes = self.nodes.iter();
            let before = nodes.find(|(_, node)| node.offload && *node.name == *info.name);
            before.map(|(index, node)| (index, node.connected, node.link))
        };
        let Some((index, connected, link)) = before else {
            return Ok(());
        };
        if connected {
            let text = format!(
                "a worker manager {} is connected already: give this one another --worker-manager-id, or end the other one",
                info.name
            );
            return Err((RefusalCode::Duplicate, text));
        }
        self.out.push(SchedulerOutput::End {
            link,
            code: RefusalCode::Duplicate,
            reason: "its worker manager goes on by another link".into(),
        });
        self.node_left(index);
        Ok(())
    }

    /// The peer's connection is gone; it may come back.
    pub fn disconnected(&mut self, now: u64, link: LinkId) {
        self.set_connected(now, link, false);
    }

    /// It is back, and nothing was lost.
    pub fn resumed(&mut self, now: u64, link: LinkId) {
        self.set_connected(now, link, true);
    }

    fn set_connected(&mut self, now: u64, link: LinkId, connected: bool) {
        self.now = now;
        if let Some(node) = self.nodes.by_link(link) {
            self.nodes.get_mut(node).connected = connected;
            if let Some(group) = self.nodes.get(node).group {
                self.fleet.stirred.insert(group);
            }
            self.touch(node);
        } else if let Some(&session) = self.by_client.get(&link) {
            self.sessions[session as usize].connected = connected;
        } else if let Some(&manager) = self.fleet.by_link.get(&link) {
            self.manager_connected(manager, connected);
        }
    }

    /// The peer is gone for good: its goodbye, or silence past its lease.
    pub fn left(&mut self, now: u64, link: LinkId) {
        self.now = now;
        if let Some(node) = self.nodes.by_link(link) {
            self.node_left(node);
        } else if let Some(session) = self.by_client.remove(&link) {
            self.end_session(session);
        } else if let Some(&manager) = self.fleet.by_link.get(&link) {
            self.manager_left(link, manager);
        }
    }

    /// The peer broke the rules.
    pub(super) fn end_link(&mut self, link: LinkId, code: RefusalCode, reason: String) {
        self.log(Level::Error, format!("link {link:016x} ends: {reason}"));
        self.out.push(SchedulerOutput::End { link, code, reason });
        let now = self.now;
        self.left(now, link);
    }

    pub(super) fn node_left(&mut self, index: NodeIndex) {
        self.node_died(index);
        self.withdrawn_by_death(index);
        let node = self.nodes.get(index);
        if let Some(group) = node.group {
            self.detach(index, group, node.occupied);
        }
        self.fleet.changed = true;
        let (node, gone) = self.nodes.remove(index);
        self.functions
            .forget_node(index, node.functions.into_iter());
        self.values.forget_node(index, &node.values);
        if let Some(number) = gone {
            for (_, class) in self.classes.iter_mut() {
                class.signatures.retain(|&signature| signature != number);
            }
        }
        self.log(Level::Info, format!("node {} left", node.name));
    }

    pub(super) fn node_status(&mut self, index: NodeIndex, status: NodeStatus) {
        let node = self.nodes.get_mut(index);
        node.introduced = true;
        node.reluctant = false;
        node.started = status
            .started
            .iter()
            .filter(|range| range.count == 1)
            .map(|range| (range.session, range.first))
            .collect();
        let ends = status.draining;
        node.status = status;
        if ends {
            self.node_ends(index);
        }
    }

    /// It finishes what it has and ends: its group is not there for long.
    pub(super) fn node_ends(&mut self, index: NodeIndex) {
        if let Some(group) = self.nodes.get(index).group {
            self.fleet.stirred.insert(group);
        }
        self.fleet.changed = true;
    }

    /// Everything of a session goes: what is pending at once, what is at nodes when they answer.
    pub(super) fn end_session(&mut self, index: SessionIndex) {
        let id = self.sessions[index as usize].id;
        let spans = self.abandon_work(index);
        for (node, first, end) in spans {
            self.haunt(node, id, first, end);
        }
        self.forget_session(index);
        self.forget_objects(id);
        self.delete_objects_of(id);
        self.ended.note(self.now, id);
    }

    /// Takes all elements of a session out of their places; gives those that are at nodes.
    pub(super) fn abandon_work(&mut self, index: SessionIndex) -> Vec<(NodeIndex, u64, u64)> {
        let arrays: Vec<_> = self.sessions[index as usize]
            .arrays
            .values()
            .copied()
            .collect();
        let mut at_nodes = Vec::new();
        self.forget_graph(index);
        for array in arrays {
            let (first, count) = (self.arrays[array].first, self.arrays[array].count);
            let mut runs = self.take_unassigned(array, 0, count);
            for span in self.take_from_nodes(array, None, 0, count) {
                let sequences = (first + u64::from(span.start), first + u64::from(span.end));
                at_nodes.push((span.node, sequences.0, sequences.1));
                runs.push((span.start, span.end));
            }
            for (start, end) in runs {
                self.finish(array, start, end);
            }
        }
        at_nodes
    }

    pub(super) fn forget_session(&mut self, index: SessionIndex) {
        let session = self.sessions.remove(index as usize);
        debug_assert!(session.arrays.is_empty());
        self.withdrawals.forget(session.id);
        if session.streams {
            self.tell_nodes_to_listen(session.id, false);
        }
        self.by_session.remove(&session.id);
        self.answered.remove(&index);
        self.leave_task(index, session.within);
        for &function in session.functions.values() {
            self.forget_known(function);
        }
        let bytes = session.bytes;
        self.bytes -= bytes;
        for key in &session.held {
            self.drop_hold(*key);
        }
        if session.held_back {
            self.held_back -= 1;
            self.out.push(SchedulerOutput::Hold {
                link: session.link,
                hold: false,
            });
        }
    }

    /// Elements at a node whose session is over: the node is told, and answers.
    pub(super) fn haunt(&mut self, index: NodeIndex, session: SessionId, first: u64, end: u64) {
        let node = self.nodes.get_mut(index);
        let link = node.link;
        let ghosts = node.ghosts.entry(session).or_default();
        let before = ghosts.len();
        ghosts.insert(first, end);
        let added = ghosts.len() - before;
        node.assigned += added as u32;
        *self.ghosts.entry(session).or_default() += added;
        self.touch(index);
        if let Some(owner) = self.session_of(session) {
            self.sessions[owner as usize].haunted = true;
            self.settle_lanes(owner);
        }
        let range = crate::wire::Range {
            session,
            first,
            count: end - first,
        };
        self.send(link, Message::CancelElements { range });
    }

    /// A node answered for elements of a session that is over. Gives how many of them it had.
    pub(super) fn lay_ghosts(
        &mut self,
        index: NodeIndex,
        session: SessionId,
        first: u64,
        end: u64,
    ) -> u64 {
        let node = self.nodes.get_mut(index);
        let Some(ghosts) = node.ghosts.get_mut(&session) else {
            return 0;
        };
        let before = ghosts.len();
        ghosts.remove(first, end);
        let laid = before - ghosts.len();
        if ghosts.is_empty() {
            node.ghosts.remove(&session);
        }
        node.assigned -= laid as u32;
        self.touch(index);
        self.ghosts_gone(session, laid);
        laid
    }

    pub(super) fn ghosts_gone(&mut self, session: SessionId, gone: u64) {
        let Some(count) = self.ghosts.get_mut(&session) else {
            return;
        };
        *count -= gone;
        if *count == 0 {
            self.ghosts.remove(&session);
            if let Some(index) = self.session_of(session) {
                self.sessions[index as usize].haunted = false;
                self.settle_lanes(index);
            }
        }
    }
}
