//! Tables of worker managers and their groups, with the orders in which groups are started, retired and looked at.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use slab::Slab;

use crate::scaling::{Scaler, ScalingConfig};
use crate::wire::{LinkId, ManagerInfo};

use super::breaker::Breaker;
use super::group::{Group, Places, State};

pub(super) type ManagerIndex = u32;
pub(super) type GroupIndex = u32;

#[derive(Debug)]
pub(super) struct Manager {
    pub id: Arc<str>,
    /// None: only nodes have named it, since this scheduler's start.
    pub info: Option<ManagerInfo>,
    pub link: Option<LinkId>,
    pub connected: bool,
    /// Since when nothing can be said to it.
    pub away_since: u64,
    /// It has told its status since its link began.
    pub heard: bool,
    /// Away for its lease, or for good: its nodes are told to exit.
    pub lost: bool,
    pub leaving: bool,
    pub trouble: String,
    pub breaker: Breaker,
    /// What starting takes, as measured; 0: not known.
    pub startup_us: u64,
    /// Groups that it should have, as was last decided.
    pub wanted: u32,
    /// The policy has no rule for it.
    pub unruled: bool,
    pub groups: BTreeMap<Arc<str>, GroupIndex>,
    /// Those that start, the newest first.
    starting: BTreeSet<(Reverse<u64>, GroupIndex)>,
    up: u32,
    busy: u32,
    /// Groups that are up with nothing at them: the least recently used first, then the newest.
    idle: BTreeSet<(u64, Reverse<u64>, GroupIndex)>,
    retiring: BTreeSet<GroupIndex>,
    lingering: u32,
}

impl Manager {
    /// Groups that are supply.
    pub fn counted(&self) -> u32 {
        self.starting.len() as u32 + self.up
    }

    pub fn starting(&self) -> impl Iterator<Item = GroupIndex> + '_ {
        self.starting.iter().map(|&(_, group)| group)
    }

    pub fn starting_len(&self) -> u32 {
        self.starting.len() as u32
    }

    pub fn up(&self) -> u32 {
        self.up
    }

    pub fn busy(&self) -> u32 {
        self.busy
    }

    pub fn idle(&self) -> impl Iterator<Item = GroupIndex> + '_ {
        self.idle.iter().map(|&(.., group)| group)
    }

    pub fn retiring(&self) -> impl Iterator<Item = GroupIndex> + '_ {
        self.retiring.iter().copied()
    }

    /// Units that may be there beside those that are supply.
    pub fn lingering(&self) -> u32 {
        self.lingering
    }

    /// It hears what it is told, and what it has is known.
    pub fn is_ready(&self) -> bool {
        self.connected && self.heard && !self.lost && !self.leaving
    }
}

#[derive(Debug)]
pub(super) struct Fleet {
    managers: Slab<Manager>,
    pub by_id: BTreeMap<Arc<str>, ManagerIndex>,
    pub by_link: BTreeMap<LinkId, ManagerIndex>,
    groups: Slab<Group>,
    /// Counts groups that became known.
    known: u64,
    /// Counts names of groups.
    pub named: u64,
    /// When groups that start have failed.
    deadlines: BTreeSet<(u64, GroupIndex)>,
    /// Groups that may have to move on.
    pub stirred: BTreeSet<GroupIndex>,
    pub scaler: Scaler,
    /// Something has changed since the policy was asked; and when it was.
    pub changed: bool,
    pub asked_at: Option<u64>,
    /// Elements pending and at nodes when that was last looked at.
    pub demand: (u64, u64),
    /// What the policy is to say in tests, by manager; and what it was told.
    #[cfg(test)]
    pub script: Option<BTreeMap<String, u32>>,
    #[cfg(test)]
    pub told: (
        Vec<crate::scaling::Demand>,
        Vec<crate::scaling::Supply>,
        Vec<crate::scaling::Given>,
    ),
}

impl Fleet {
    pub fn new(scaling: ScalingConfig) -> Self {
        Fleet {
            managers: Slab::new(),
            by_id: BTreeMap::new(),
            by_link: BTreeMap::new(),
            groups: Slab::new(),
            known: 0,
            named: 0,
            deadlines: BTreeSet::new(),
            stirred: BTreeSet::new(),
            scaler: Scaler::new(scaling),
            changed: false,
            asked_at: None,
            demand: (0, 0),
            #[cfg(test)]
            script: None,
            #[cfg(test)]
            told: Default::default(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.managers.is_empty()
    }

    pub fn manager(&self, index: ManagerIndex) -> &Manager {
        &self.managers[index as usize]
    }

    pub fn manager_mut(&mut self, index: ManagerIndex) -> &mut Manager {
        &mut self.managers[index as usize]
    }

    pub fn has_manager(&self, index: ManagerIndex) -> bool {
        self.managers.contains(index as usize)
    }

    /// By their ids' order.
    pub fn managers(&self) -> impl Iterator<Item = (ManagerIndex, &Manager)> {
        self.by_id
            .values()
            .map(|&index| (index, self.manager(index)))
    }

    pub fn group(&self, index: GroupIndex) -> &Group {
        &self.groups[index as usize]
    }

    /// To be put back where it belongs by [`Fleet::refresh`].
    pub fn group_mut(&mut self, index: GroupIndex) -> &mut Group {
        &mut self.groups[index as usize]
    }

    pub fn has_group(&self, index: GroupIndex) -> bool {
        self.groups.contains(index as usize)
    }

    pub fn find_group(&self, manager: ManagerIndex, id: &str) -> Option<GroupIndex> {
        self.manager(manager).groups.get(id).copied()
    }

    pub fn groups_of(&self, manager: ManagerIndex) -> Vec<GroupIndex> {
        self.manager(manager).groups.values().copied().collect()
    }

    pub fn add_manager(&mut self, id: &str, away_since: u64) -> ManagerIndex {
        let id: Arc<str> = Arc::from(id);
        let index = self.managers.insert(Manager {
            id: id.clone(),
            info: None,
            link: None,
            connected: false,
            away_since,
            heard: false,
            lost: false,
            leaving: false,
            trouble: String::new(),
            breaker: Breaker::default(),
            startup_us: 0,
            wanted: 0,
            unruled: false,
            groups: BTreeMap::new(),
            starting: BTreeSet::new(),
            up: 0,
            busy: 0,
            idle: BTreeSet::new(),
            retiring: BTreeSet::new(),
            lingering: 0,
        }) as ManagerIndex;
        self.by_id.insert(id, index);
        index
    }

    pub fn remove_manager(&mut self, index: ManagerIndex) {
        let manager = self.managers.remove(index as usize);
        debug_assert!(manager.groups.is_empty());
        self.by_id.remove(&manager.id);
        if let Some(link) = manager.link {
            self.by_link.remove(&link);
        }
    }

    pub fn add_group(
        &mut self,
        manager: ManagerIndex,
        id: &str,
        slots: u32,
        state: State,
        now: u64,
    ) -> GroupIndex {
        let id: Arc<str> = Arc::from(id);
        self.known += 1;
        let index = self.groups.insert(Group {
            state,
            since: now,
            ..Group::new(id.clone(), manager, slots, self.known)
        }) as GroupIndex;
        self.manager_mut(manager).groups.insert(id, index);
        self.refresh(index);
        index
    }

    /// Its nodes are gone, or belong to nobody from now on.
    pub fn remove_group(&mut self, index: GroupIndex) -> Group {
        self.set_places(index, Places::default());
        let group = self.groups.remove(index as usize);
        self.manager_mut(group.manager).groups.remove(&group.id);
        self.stirred.remove(&index);
        self.changed = true;
        group
    }

    pub fn set_state(&mut self, index: GroupIndex, state: State, now: u64) {
        let group = self.group_mut(index);
        if std::mem::discriminant(&group.state) != std::mem::discriminant(&state) {
            group.since = now;
        }
        if state == State::Ending && group.state != state {
            // Another command than before.
            group.said_at = None;
        }
        group.state = state;
        self.stirred.insert(index);
        self.changed = true;
        self.refresh(index);
    }

    /// A node of the group has something at it from now on, or nothing any more.
    pub fn occupy(&mut self, index: GroupIndex, occupied: bool, used: u64) {
        let group = self.group_mut(index);
        match occupied {
            true => group.occupied += 1,
            false => group.occupied -= 1,
        }
        group.used = group.used.max(used);
        if group.occupied == 0 && !group.counts() {
            self.stirred.insert(index);
        }
        self.changed = true;
        self.refresh(index);
    }

    /// Puts a group that changed where it belongs.
    pub fn refresh(&mut self, index: GroupIndex) {
        let places = self.group(index).places();
        self.set_places(index, places);
    }

    fn set_places(&mut self, index: GroupIndex, new: Places) {
        let group = &mut self.groups[index as usize];
        let old = std::mem::replace(&mut group.places, new);
        if old == new {
            return;
        }
        let manager = &mut self.managers[group.manager as usize];
        if let Some((number, deadline)) = old.starting {
            manager.starting.remove(&(number, index));
            self.deadlines.remove(&(deadline, index));
        }
        if let Some((number, deadline)) = new.starting {
            manager.starting.insert((number, index));
            self.deadlines.insert((deadline, index));
        }
        manager.up = manager.up + u32::from(new.up) - u32::from(old.up);
        manager.busy = manager.busy + u32::from(new.busy) - u32::from(old.busy);
        manager.lingering = manager.lingering + u32::from(new.lingering) - u32::from(old.lingering);
        if let Some((used, number)) = old.idle {
            manager.idle.remove(&(used, number, index));
        }
        if let Some((used, number)) = new.idle {
            manager.idle.insert((used, number, index));
        }
        if old.retiring {
            manager.retiring.remove(&index);
        }
        if new.retiring {
            manager.retiring.insert(index);
        }
    }

    /// The groups that should have come by now.
    pub fn overdue(&self, now: u64) -> Vec<GroupIndex> {
        let due = self.deadlines.iter().take_while(|&&(at, _)| at <= now);
        due.map(|&(_, group)| group).collect()
    }

    pub fn next_deadline(&self) -> Option<u64> {
        self.deadlines.first().map(|&(at, _)| at)
    }

    pub fn sanity_check(&self) {
        let (mut groups, mut starting) = (0, 0);
        assert_eq!(self.by_id.len(), self.managers.len());
        for (index, manager) in &self.managers {
            let index = index as ManagerIndex;
            assert_eq!(self.by_id.get(&manager.id), Some(&index));
            if let Some(link) = manager.link {
                assert_eq!(self.by_link.get(&link), Some(&index));
            }
            assert!(!manager.connected || manager.link.is_some());
            let own = || manager.groups.values().map(|&group| self.group(group));
            let count = |is: &dyn Fn(&Group) -> bool| own().filter(|group| is(group)).count();
            groups += manager.groups.len();
            starting += manager.starting.len();
            assert_eq!(
                manager.starting.len(),
                count(&|it| matches!(it.state, State::Starting { .. }))
            );
            assert_eq!(manager.up as usize, count(&|it| it.state == State::Up));
            assert_eq!(
                manager.busy as usize,
                count(&|it| it.state == State::Up && it.occupied > 0)
            );
            assert_eq!(manager.idle.len(), (manager.up - manager.busy) as usize);
            assert_eq!(
                manager.retiring.len(),
                count(&|it| matches!(it.state, State::Retiring(_)))
            );
            assert_eq!(
                manager.lingering as usize,
                count(&|it| !it.counts() && !it.is_over())
            );
        }
        assert_eq!(groups, self.groups.len());
        assert_eq!(starting, self.deadlines.len());
        for (index, group) in &self.groups {
            assert_eq!(
                group.places,
                group.places(),
                "group {} is where it belongs",
                group.id
            );
            let manager = self.manager(group.manager);
            assert_eq!(manager.groups.get(&group.id), Some(&(index as GroupIndex)));
        }
    }
}
