//! Sessions of tasks: each ends with the task that it is of, more precisely when the node that ran the task does not
//! have it any more. And slots that tasks which wait have given back.

use std::collections::{BTreeMap, BTreeSet};

use crate::wire::{LinkId, Payload, RefusalCode, Sequence, SessionId};

use super::arrays::{NodeIndex, SessionIndex};
use super::nodes::Node;
use super::{Scheduler, SchedulerOutput};

/// A task: its session and number.
type Task = (SessionId, Sequence);

#[derive(Debug, Default)]
pub(super) struct Nesting {
    by_task: BTreeMap<Task, Vec<SessionIndex>>,
    /// Tasks that may have left their nodes.
    disturbed: BTreeSet<Task>,
    /// Tasks that no node has told yet, to a scheduler that forgot.
    awaited: BTreeSet<Task>,
}

impl Nesting {
    /// These elements of a session leave a node, or change hands.
    pub fn disturb(&mut self, id: SessionId, first: Sequence, end: Sequence) {
        if !self.by_task.is_empty() {
            let tasks = self.by_task.range((id, first)..(id, end));
            self.disturbed.extend(tasks.map(|(&task, _)| task));
        }
    }
}

impl<P: Payload> Scheduler<P> {
    /// The session is that of a task at a node.
    pub(super) fn within(
        &mut self,
        index: SessionIndex,
        node: LinkId,
        task: Task,
    ) -> Result<(), String> {
        let session = &mut self.sessions[index as usize];
        if session.within.is_some() {
            return Err("a session that is within two tasks".into());
        }
        session.within = Some((node, task));
        self.nesting.by_task.entry(task).or_default().push(index);
        self.nesting.disturbed.insert(task);
        Ok(())
    }

    pub(super) fn leave_task(&mut self, index: SessionIndex, within: Option<(LinkId, Task)>) {
        let Some((_, task)) = within else {
            return;
        };
        if let Some(sessions) = self.nesting.by_task.get_mut(&task) {
            sessions.retain(|&other| other != index);
            if sessions.is_empty() {
                self.nesting.by_task.remove(&task);
            }
        }
    }

    /// Ends the sessions of tasks that are not where they were, and those of the tasks in them.
    pub(super) fn settle_nesting(&mut self) {
        if self.now >= self.resync_until {
            let awaited = std::mem::take(&mut self.nesting.awaited);
            self.nesting.disturbed.extend(awaited);
        }
        while let Some(task) = self.nesting.disturbed.pop_first() {
            let sessions = self.nesting.by_task.get(&task).cloned();
            for index in sessions.unwrap_or_default() {
                let session = &self.sessions[index as usize];
                let (link, within) = (session.link, session.within);
                if within.is_none_or(|(node, task)| self.is_at(node, task)) {
                    continue;
                }
                if self.now < self.resync_until {
                    self.nesting.awaited.insert(task);
                    continue;
                }
                self.end_session(index);
                self.by_client.remove(&link);
                self.out.push(SchedulerOutput::End {
                    link,
                    code: RefusalCode::Closing,
                    reason: "the task that it is of is over".into(),
                });
            }
        }
    }

    fn is_at(&self, link: LinkId, (id, sequence): Task) -> bool {
        let Some(index) = self.nodes.by_link(link) else {
            return false;
        };
        let node = self.nodes.get(index);
        if node
            .orphans
            .get(&id)
            .is_some_and(|it| it.contains(sequence))
        {
            return true;
        }
        let owner = self.session_of(id);
        let end = sequence.saturating_add(1);
        let arrays = owner.map(|owner| self.arrays_in(owner, sequence, end));
        arrays.into_iter().flatten().any(|array| {
            let array = &self.arrays[array];
            array.node_of((sequence - array.first) as u32) == Some(index)
        })
    }

    /// These wait at a node for others.
    pub(super) fn node_waits(&mut self, index: NodeIndex, depths: &[u32]) -> Result<(), String> {
        if depths.windows(2).any(|pair| pair[0] > pair[1]) {
            return Err("depths that do not ascend".into());
        }
        #[cfg(feature = "planted")]
        let depths = if self.bugs.ignore_waiting {
            &[]
        } else {
            depths
        };
        let node = self.nodes.get_mut(index);
        node.waiting = depths
            .iter()
            .map(|&depth| depth.min(u16::MAX.into()) as u16)
            .collect();
        Ok(())
    }

    /// Every session of a task ends with it.
    pub(super) fn check_nesting(&self) {
        let nesting = &self.nesting;
        for (task, sessions) in &nesting.by_task {
            for &index in sessions {
                let within = self.sessions[index as usize].within;
                assert_eq!(within.map(|(_, task)| task), Some(*task));
                let here = within.is_some_and(|(node, task)| self.is_at(node, task));
                let looked_at = nesting.disturbed.contains(task) || nesting.awaited.contains(task);
                assert!(here || looked_at, "the session of a task that is over");
            }
        }
    }
}

impl Node {
    /// How many elements of this depth it could begin, in free slots and in those that shallower ones gave back.
    pub fn free_for(&self, depth: u16) -> u32 {
        self.free().max(self.given_back(depth))
    }

    pub fn given_back(&self, depth: u16) -> u32 {
        let shallower = self.waiting.partition_point(|&waits| waits < depth);
        if shallower == 0 {
            return 0;
        }
        let here: u32 = self.deep.range(depth..).map(|(_, count)| count).sum();
        let waiting = (self.waiting.len() - shallower) as u32;
        (shallower as u32).saturating_sub(here.saturating_sub(waiting))
    }

    /// The least depth of elements that it could begin in a slot that was given back.
    pub fn opens_at(&self) -> Option<u16> {
        let mut last = None;
        for &waits in &self.waiting {
            let depth = waits.saturating_add(1);
            if last != Some(depth) && self.given_back(depth) > 0 {
                return Some(depth);
            }
            last = Some(depth);
        }
        None
    }

    /// Notes elements of a depth that come, or go.
    pub fn count_deep(&mut self, depth: u16, more: u32, less: u32) {
        if depth == 0 {
            return;
        }
        let count = self.deep.entry(depth).or_default();
        *count = *count + more - less;
        if *count == 0 {
            self.deep.remove(&depth);
        }
    }
}
