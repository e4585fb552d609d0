//! Questions of clients, and the end of the cluster.

use std::fmt::Write;

use crate::wire::{Capabilities, LinkId, Message, Payload, QueryKind, Sequence};

use super::arrays::SessionIndex;
use super::fleet::GroupIndex;
use super::{Level, Scheduler, SchedulerOutput};

impl<P: Payload> Scheduler<P> {
    pub(super) fn query(
        &mut self,
        owner: SessionIndex,
        request: u32,
        kind: QueryKind,
        first: Sequence,
    ) {
        let text = match kind {
            QueryKind::Explain => self.explain(owner, first),
            QueryKind::State => self.state(owner, first).to_owned(),
            QueryKind::Status => self.status(),
        };
        let link = self.sessions[owner as usize].link;
        self.send(
            link,
            Message::Answer {
                request,
                ok: true,
                text,
            },
        );
    }

    /// `queued`, `assigned`, `running` or `done`. A task at a node that has a slot for each of its tasks runs.
    fn state(&self, owner: SessionIndex, sequence: Sequence) -> &'static str {
        let end = sequence.saturating_add(1);
        let Some(&index) = self.arrays_in(owner, sequence, end).first() else {
            return match sequence < self.sessions[owner as usize].seen {
                true => "done",
                false => "queued",
            };
        };
        let array = &self.arrays[index];
        let offset = (sequence - array.first) as u32;
        match array.node_of(offset) {
            Some(node) => {
                let node = self.nodes.get(node);
                let reported = node.started.contains(&(array.session_id, sequence));
                match node.unstarted() == 0 || reported {
                    true => "running",
                    false => "assigned",
                }
            }
            None if array.pending.contains(offset.into()) || array.is_blocked(offset) => "queued",
            None => "done",
        }
    }

    /// One line of JSON: counts of what is here.
    pub fn status(&self) -> String {
        let slots: u64 = self
            .nodes
            .iter()
            .map(|(_, node)| u64::from(node.slots))
            .sum();
        let free: u64 = self
            .nodes
            .iter()
            .filter(|(_, node)| node.accepts())
            .map(|(_, node)| u64::from(node.free()))
            .sum();
        let mut text = format!(
            "{{\"nodes\":{},\"slots\":{slots},\"free\":{free},\"sessions\":{},\"queued\":{},\"assigned\":{},\
             \"arrays\":{},\"objects\":{},\"bytes\":{},\"classes\":[",
            self.nodes.len(),
            self.sessions.len(),
            self.pending,
            self.assigned,
            self.arrays.len(),
            self.objects.len(),
            self.bytes,
        );
        for (position, (index, class)) in self.classes.iter().enumerate() {
            if position > 0 {
                text.push(',');
            }
            let placeable = self.why_unplaceable(index).is_none();
            text.push_str("{\"capabilities\":{");
            push_capabilities(&mut text, &class.capabilities);
            let _ = write!(
                text,
                "}},\"python_minor\":{},\"queued\":{},\"placeable\":{placeable}}}",
                class.python_minor,
                class.pending()
            );
        }
        text.push_str("],\"workers\":[");
        for (position, (_, node)) in self.nodes.iter().enumerate() {
            if position > 0 {
                text.push(',');
            }
            text.push_str("{\"name\":");
            push_text(&mut text, &node.name);
            text.push_str(",\"capabilities\":{");
            push_capabilities(
                &mut text,
                &self.nodes.signature(node.signature).capabilities,
            );
            let _ = write!(
                text,
                "}},\"slots\":{},\"assigned\":{},\"rss_bytes\":{},\"connected\":{},\"accepts\":{}}}",
                node.slots,
                node.assigned,
                node.status.rss_bytes,
                node.connected,
                node.accepts()
            );
        }
        text.push_str("],\"managers\":[");
        self.push_managers(&mut text);
        text.push_str("]}");
        text
    }

    fn push_managers(&self, text: &mut String) {
        for (position, (index, manager)) in self.fleet.managers().enumerate() {
            if position > 0 {
                text.push(',');
            }
            text.push_str("{\"id\":");
            push_text(text, &manager.id);
            if let Some(info) = &manager.info {
                text.push_str(",\"driver\":");
                push_text(text, &info.driver);
                let _ = write!(
                    text,
                    ",\"least\":{},\"most\":{},\"slots\":{},\"capabilities\":{{",
                    info.least_groups, info.most_groups, info.slots
                );
                push_capabilities(text, &info.capabilities);
                text.push('}');
            }
            let _ = write!(
                text,
                ",\"connected\":{},\"leaving\":{},\"failures\":{},\"wanted\":{},\"starting\":{},\"up\":{},\"busy\":{},\"trouble\":",
                manager.connected,
                manager.leaving,
                manager.breaker.failures(),
                manager.wanted,
                manager.starting_len(),
                manager.up(),
                manager.busy()
            );
            push_text(text, &manager.trouble);
            text.push_str(",\"failure\":");
            push_text(text, manager.breaker.reason());
            text.push_str(",\"groups\":[");
            for (position, group) in self.fleet.groups_of(index).into_iter().enumerate() {
                if position > 0 {
                    text.push(',');
                }
                self.push_group(text, group);
            }
            text.push_str("]}");
        }
    }

    fn push_group(&self, text: &mut String, index: GroupIndex) {
        let group = self.fleet.group(index);
        text.push_str("{\"id\":");
        push_text(text, &group.id);
        let _ = write!(
            text,
            ",\"state\":\"{}\",\"seconds\":{},\"slots\":{},\"nodes\":{},\"occupied\":{}",
            group.state.name(),
            self.now.saturating_sub(group.since) / 1_000_000,
            group.slots,
            group.nodes.len(),
            group.occupied
        );
        if let Some(report) = &group.report {
            text.push_str(",\"infrastructure\":");
            push_text(text, &report.infrastructure);
            text.push_str(",\"detail\":");
            push_text(text, &report.detail);
        }
        text.push('}');
    }

    pub(super) fn shutdown(&mut self, link: LinkId, request: u32) {
        if self.config.protected {
            let text = "the scheduler is protected: it ends only where it was started".to_owned();
            return self.send(
                link,
                Message::Answer {
                    request,
                    ok: false,
                    text,
                },
            );
        }
        self.send(
            link,
            Message::Answer {
                request,
                ok: true,
                text: String::new(),
            },
        );
        self.close("a client shut the cluster down");
    }

    /// Ends the cluster: clients and nodes are told, then the loop.
    pub fn close(&mut self, reason: &str) {
        if self.closing {
            return;
        }
        self.closing = true;
        let clients: Vec<LinkId> = self.by_client.keys().copied().collect();
        for link in clients {
            let reason = reason.to_owned();
            self.send(link, Message::Closing { reason });
        }
        let nodes: Vec<LinkId> = self.nodes.iter().map(|(_, node)| node.link).collect();
        for link in nodes {
            let reason = reason.to_owned();
            self.send(link, Message::Exit { reason });
        }
        self.close_managers(reason);
        self.log(Level::Info, format!("the cluster ends: {reason}"));
        self.out.push(SchedulerOutput::Exit {
            reason: reason.to_owned(),
        });
    }

    /// Tells a node to finish what runs and give the rest back; nothing is placed on it any more.
    pub fn drain_node(&mut self, now: u64, link: LinkId) {
        self.now = now;
        if let Some(node) = self.nodes.by_link(link) {
            self.nodes.get_mut(node).draining = true;
            self.touch(node);
            self.send(link, Message::Drain);
        }
    }
}

fn push_capabilities(text: &mut String, capabilities: &Capabilities) {
    for (position, (name, amount)) in capabilities.iter().enumerate() {
        if position > 0 {
            text.push(',');
        }
        push_text(text, name);
        let _ = write!(text, ":{amount}");
    }
}

/// A string of JSON.
fn push_text(text: &mut String, value: &str) {
    text.push('"');
    for character in value.chars() {
        match character {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            control if (control as u32) < 0x20 => {
                let _ = write!(text, "\\u{:04x}", control as u32);
            }
            other => text.push(other),
        }
    }
    text.push('"');
}
