//! Worker managers that join, lose their connection, come back, leave, and stay away for good.
//!
//! A manager is known by its id, whatever link it speaks by. Away for its lease it is *lost*: nobody can end what it
//! started but the nodes themselves, so its groups retire, and as each is drained its nodes are told to exit. A manager
//! that only nodes have named, since this scheduler's start, has the same time from the end of the resync.

use crate::wire::{Hello, LinkId, ManagerInfo, Message, Payload, RefusalCode};

use super::arrays::NodeIndex;
use super::fleet::{GroupIndex, ManagerIndex};
use super::group::{State, Why};
use super::members::MOST_SLOTS;
use super::{Level, Scheduler, SchedulerOutput};

/// More bytes in a manager's id make no name.
const LONGEST_ID: usize = 200;

impl<P: Payload> Scheduler<P> {
    pub(super) fn manager_joined(
        &mut self,
        link: LinkId,
        hello: &Hello,
        origin: &str,
    ) -> Result<(), (RefusalCode, String)> {
        let info = offered(hello)?;
        let index = match self.fleet.by_id.get(info.id.as_str()).copied() {
            Some(index) => index,
            None => self.fleet.add_manager(&info.id, self.now),
        };
        if self.fleet.manager(index).connected {
            let text = format!(
                "a worker manager {} is connected already: give this one another --worker-manager-id, or end the other one",
                info.id
            );
            return Err((RefusalCode::Duplicate, text));
        }
        if let Some(old) = self.fleet.manager(index).link {
            self.fleet.by_link.remove(&old);
            self.out.push(SchedulerOutput::End {
                link: old,
                code: RefusalCode::Duplicate,
                reason: "its worker manager goes on by another link".into(),
            });
        }
        let text = format!(
            "worker manager {} ({}) joined from {origin}: {} to {} groups of {} workers",
            info.id, info.driver, info.least_groups, info.most_groups, info.slots
        );
        self.log(Level::Info, text);
        self.fleet.by_link.insert(link, index);
        let manager = self.fleet.manager_mut(index);
        manager.info = Some(info);
        manager.link = Some(link);
        manager.connected = true;
        manager.heard = false;
        manager.lost = false;
        manager.leaving = false;
        manager.trouble.clear();
        self.begin_account(index);
        Ok(())
    }

    /// A link begins: nothing of what was said before is known to have come, and what it has comes with its status.
    fn begin_account(&mut self, index: ManagerIndex) {
        let now = self.now;
        for group in self.fleet.groups_of(index) {
            let known = self.fleet.group_mut(group);
            known.shown = false;
            known.said_at = None;
            match known.state {
                // The manager may have been away for all of that time.
                State::Starting { .. } => {
                    let deadline = now + self.startup_of(index);
                    self.fleet
                        .set_state(group, State::Starting { deadline }, now);
                }
                State::Retiring(Why::Lost | Why::Leaving) if !known.exit_told => {
                    known.exits = false;
                    self.fleet.set_state(group, State::Up, now);
                }
                _ => {}
            }
            self.mark_nodes(group);
        }
        self.fleet.changed = true;
    }

    /// How long a group of a manager may take to come.
    pub(super) fn startup_of(&self, index: ManagerIndex) -> u64 {
        let info = self.fleet.manager(index).info.as_ref();
        info.map_or(self.config.manager_lease_us, |info| info.startup_us)
    }

    fn lease_of(&self, index: ManagerIndex) -> u64 {
        let lease = self.fleet.manager(index).info.as_ref();
        match lease.map_or(0, |info| info.lease_us) {
            0 => self.config.manager_lease_us,
            lease => lease,
        }
    }

    pub(super) fn manager_connected(&mut self, index: ManagerIndex, connected: bool) {
        let now = self.now;
        let manager = self.fleet.manager_mut(index);
        if manager.connected && !connected {
            manager.away_since = now;
        }
        manager.connected = connected;
        self.fleet.changed = true;
    }

    /// Its link is gone; it may come back by another one.
    pub(super) fn manager_left(&mut self, link: LinkId, index: ManagerIndex) {
        self.manager_connected(index, false);
        self.fleet.by_link.remove(&link);
        let manager = self.fleet.manager_mut(index);
        manager.link = None;
        manager.heard = false;
        let id = manager.id.clone();
        self.log(Level::Warning, format!("worker manager {id} is away"));
    }

    pub(super) fn manager_says(
        &mut self,
        index: ManagerIndex,
        message: Message<P>,
    ) -> Result<(), String> {
        match message {
            Message::Heartbeat => Ok(()),
            Message::ManagerStatus(status) => self.manager_status(index, status),
            Message::Goodbye => {
                if let Some(link) = self.fleet.manager(index).link {
                    self.manager_left(link, index);
                }
                self.lose_manager(index, "it ended");
                Ok(())
            }
            Message::Shutdown { request } => {
                if let Some(link) = self.fleet.manager(index).link {
                    self.shutdown(link, request);
                }
                Ok(())
            }
            _ => Err("a worker manager does not say that".to_owned()),
        }
    }

    /// When each manager that is away is lost.
    pub(super) fn leases(&self) -> impl Iterator<Item = (u64, ManagerIndex)> + '_ {
        let away = self.fleet.managers();
        let away = away.filter(|(_, it)| !it.connected && !it.lost);
        away.map(|(index, manager)| (manager.away_since + self.lease_of(index), index))
    }

    /// When something of managers and groups is due.
    pub(super) fn fleet_wakeup(&self) -> Option<u64> {
        if self.fleet.is_empty() || self.closing {
            return None;
        }
        let lease = self.leases().map(|(at, _)| at).min();
        let all = [lease, self.fleet.next_deadline(), self.scaling_wakeup()];
        all.into_iter().flatten().min()
    }

    pub(super) fn end_leases(&mut self) {
        let due: Vec<ManagerIndex> = self
            .leases()
            .filter(|&(at, _)| at <= self.now)
            .map(|(_, index)| index)
            .collect();
        for index in due {
            let seconds = self.lease_of(index) / 1_000_000;
            self.lose_manager(index, &format!("it was silent for {seconds} s"));
        }
    }

    fn lose_manager(&mut self, index: ManagerIndex, why: &str) {
        let now = self.now;
        let manager = self.fleet.manager_mut(index);
        manager.lost = true;
        let (id, groups) = (manager.id.clone(), manager.groups.len());
        if groups > 0 {
            let text = format!(
                "worker manager {id} is gone ({why}): its {groups} groups get nothing new and end when they are idle"
            );
            self.log(Level::Warning, text);
        }
        for group in self.fleet.groups_of(index) {
            self.lose_group(group, now);
        }
        self.forget_manager(index);
    }

    /// Nobody can end it but itself.
    fn lose_group(&mut self, index: GroupIndex, now: u64) {
        let group = self.fleet.group_mut(index);
        group.exits = true;
        if group.nodes.is_empty() {
            // Should it come all the same, its node says whose it is.
            self.fleet.remove_group(index);
            return;
        }
        match group.state {
            State::Ending => {
                self.fleet.stirred.insert(index);
            }
            _ => self.fleet.set_state(index, State::Retiring(Why::Lost), now),
        }
        self.mark_nodes(index);
    }

    /// Forgets a manager of which nothing is left.
    pub(super) fn forget_manager(&mut self, index: ManagerIndex) {
        let manager = self.fleet.manager(index);
        let gone = manager.lost || manager.info.is_none();
        if gone && manager.link.is_none() && manager.groups.is_empty() {
            self.fleet.remove_manager(index);
        }
    }

    /// The manager and group that a node names, if it names both.
    pub(super) fn group_joined(&mut self, node: NodeIndex, manager: &str, group: &str) {
        if manager.is_empty() || group.is_empty() || self.nodes.get(node).offload {
            return;
        }
        let known = self.fleet.by_id.get(manager).copied();
        let index = known.unwrap_or_else(|| {
            let since = self.now.max(self.resync_until);
            self.fleet.add_manager(manager, since)
        });
        self.attach(node, index, group);
    }

    /// Tells managers of the cluster's end: they end their units.
    pub(super) fn close_managers(&mut self, reason: &str) {
        let links: Vec<LinkId> = self.fleet.by_link.keys().copied().collect();
        for link in links {
            let reason = reason.to_owned();
            self.send(link, Message::Exit { reason });
        }
    }
}

/// What a manager's hello offers, in order.
fn offered(hello: &Hello) -> Result<ManagerInfo, (RefusalCode, String)> {
    let malformed = |text: String| Err((RefusalCode::Malformed, text));
    let Some(info) = &hello.manager else {
        return malformed("a worker manager that does not say what it offers".into());
    };
    if info.id.is_empty() || info.id.len() > LONGEST_ID {
        return malformed(format!(
            "a worker manager's id has 1 to {LONGEST_ID} bytes, not {}",
            info.id.len()
        ));
    }
    if info.slots == 0 || info.slots > MOST_SLOTS {
        let text = format!(
            "a worker manager {} with groups of {} workers: 1 to {MOST_SLOTS} make sense",
            info.id, info.slots
        );
        return Err((RefusalCode::Limit, text));
    }
    if info.least_groups > info.most_groups {
        return malformed(format!(
            "a worker manager {} that has at least {} groups, and at most {}",
            info.id, info.least_groups, info.most_groups
        ));
    }
    let mut info = ManagerInfo::clone(info);
    info.capabilities.sort();
    info.capabilities.dedup_by(|a, b| a.0 == b.0);
    Ok(info)
}
