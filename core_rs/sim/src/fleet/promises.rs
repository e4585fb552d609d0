//! What schedulers have said about groups, and the promises about units checked against it.

use std::collections::{BTreeMap, BTreeSet};

use scaler_engine::wire::{GroupReport, GroupState, ManagerStatus, Message};

use crate::context::Context;
use crate::data::Data;

#[derive(Debug, Default)]
pub struct Groups {
    /// The manager that was told to start a group.
    named: BTreeMap<String, usize>,
    /// Groups that are to end: by the word of any scheduler, and of the one that lives.
    ended: BTreeSet<String>,
    ended_now: BTreeSet<String>,
    /// By manager: groups that it said last are there or come, and those named since; without those that are to end.
    wanted: BTreeMap<usize, BTreeSet<String>>,
    /// Groups that were reported to be over, or to end: a manager that starts again may take them for living at first.
    over: BTreeSet<String>,
    /// Nodes that came from a group's unit.
    nodes: BTreeMap<String, Vec<usize>>,
    /// Managers that said last that they end all that they have.
    leaving: BTreeSet<usize>,
}

impl Groups {
    pub fn is_named(&self, manager: usize, group: &str) -> bool {
        self.named.get(group) == Some(&manager)
    }

    pub fn is_ended(&self, group: &str) -> bool {
        self.ended.contains(group)
    }

    pub fn came_up(&mut self, group: &str, node: usize) {
        self.nodes.entry(group.into()).or_default().push(node);
    }

    fn note_status(&mut self, manager: usize, status: &ManagerStatus) {
        let (living, over): (Vec<_>, Vec<_>) = status.groups.iter().partition(|it| is_live(it));
        let names = |reports: Vec<&GroupReport>| {
            let names = reports.into_iter().map(|report| report.group.clone());
            names.collect::<BTreeSet<_>>()
        };
        self.over.extend(names(over));
        let mut wanted = names(living);
        wanted.retain(|group| {
            let over = self.over.contains(group) || self.ended_now.contains(group);
            self.is_named(manager, group) && !over
        });
        self.wanted.insert(manager, wanted);
        if status.leaving {
            self.leaving.insert(manager);
        } else {
            self.leaving.remove(&manager);
        }
    }

    pub fn scheduler_died(&mut self) {
        self.ended_now.clear();
        self.wanted.clear();
    }
}

fn is_live(report: &GroupReport) -> bool {
    matches!(
        report.state,
        GroupState::Wanted | GroupState::Pending | GroupState::Running
    )
}

/// The scheduler tells a manager something.
pub fn commanded(context: &mut Context, manager: usize, message: &Message<Data>) {
    match message {
        Message::StartWorkerGroup { group, .. } => {
            let known = context.groups.named.insert(group.clone(), manager);
            if known.is_some_and(|before| before != manager) {
                context.broken(format!(
                    "group {group} is named for {known:?} and for {manager}"
                ));
            }
            let most = context.profile.fleet.managers[manager].most;
            let wanted = context.groups.wanted.entry(manager).or_default();
            wanted.insert(group.clone());
            if wanted.len() as u32 > most {
                let text = format!("{wanted:?} are wanted of manager {manager}, {most} allowed");
                context.broken(text);
            }
            if context.groups.ended_now.contains(group) {
                context.broken(format!("group {group} is named after it was told to end"));
            }
        }
        Message::ShutdownWorkerGroup { group } => told_to_end(context, manager, group),
        _ => {}
    }
}

fn told_to_end(context: &mut Context, manager: usize, group: &str) {
    let groups = &mut context.groups;
    // It is said again until its effect shows: the first time counts.
    if !groups.ended_now.insert(group.into()) {
        return;
    }
    groups.ended.insert(group.into());
    groups.wanted.entry(manager).or_default().remove(group);
    if groups.leaving.contains(&manager) {
        return;
    }
    for node in groups.nodes.get(group).cloned().unwrap_or_default() {
        is_idle(context, node, "the scheduler ends its group");
    }
}

/// A manager tells the scheduler something.
pub fn reported(context: &mut Context, manager: usize, message: &Message<Data>) {
    if let Message::ManagerStatus(status) = message {
        context.groups.note_status(manager, status);
    }
}

/// Nobody may end a node in which something runs that is still wanted.
pub fn is_idle(context: &mut Context, node: usize, what: &str) {
    if let Some(element) = context.oracle.busy(node) {
        let now = context.now();
        let text = format!("it runs on node {node}, and {what}");
        context.oracle.broken_for(now, element, text);
    }
}
