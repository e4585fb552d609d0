//! How many groups each manager is to have: the scaling policy is told demand and supply, both of one moment, and its
//! answer becomes commands. What is retiring is taken back before anything is started; only groups with nothing at them
//! are retired.

use crate::scaling::{Demand, Desired, Given, Snapshot, Supply};
use crate::wire::Payload;

use super::breaker::Allowance;
use super::fleet::{GroupIndex, Manager, ManagerIndex};
use super::group::{State, Why};
use super::{Level, Scheduler};

/// The policy is not asked more often.
const PERIOD_US: u64 = 100_000;

impl<P: Payload> Scheduler<P> {
    /// Asks the policy, if something has changed or it wanted to be asked.
    pub(super) fn scale(&mut self) {
        let due = self.scaling_wakeup();
        if self.fleet.is_empty() || due.is_none_or(|at| at > self.now) {
            return;
        }
        self.fleet.asked_at = Some(self.now);
        self.fleet.changed = false;
        let demands = self.demands();
        let (managers, supplies) = self.supplies();
        let given = self.given_slots();
        let snapshot = Snapshot {
            now: self.now,
            demands: &demands,
            supplies: &supplies,
            given: &given,
        };
        let desired = self.desired(&snapshot);
        for (at, &manager) in managers.iter().enumerate() {
            self.note_unruled(manager, desired.unruled.contains(&at));
            if let Some(&wanted) = desired.groups.get(at) {
                self.adjust(manager, wanted);
            }
        }
    }

    /// Logged once, as long as the manager is here.
    fn note_unruled(&mut self, index: ManagerIndex, unruled: bool) {
        let manager = self.fleet.manager_mut(index);
        let before = std::mem::replace(&mut manager.unruled, unruled);
        if unruled && !before {
            let text = format!(
                "worker manager {} has no rule in the scaling policy: it is left as it is",
                manager.id
            );
            self.log(Level::Warning, text);
        }
    }

    #[cfg(not(test))]
    fn desired(&mut self, snapshot: &Snapshot<'_>) -> Desired {
        self.fleet.scaler.desired(snapshot)
    }

    #[cfg(test)]
    fn desired(&mut self, snapshot: &Snapshot<'_>) -> Desired {
        self.fleet.told = (
            snapshot.demands.to_vec(),
            snapshot.supplies.to_vec(),
            snapshot.given.to_vec(),
        );
        let mut desired = self.fleet.scaler.desired(snapshot);
        if let Some(script) = &self.fleet.script {
            let said = snapshot.supplies.iter().map(|supply| {
                let said = script.get(&supply.manager).copied();
                let said = said.unwrap_or(supply.least).min(supply.most);
                match supply.ready {
                    true => said.max(supply.least).max(supply.busy),
                    false => supply.groups,
                }
            });
            desired.groups = said.collect();
        }
        desired
    }

    /// Work has come or gone.
    pub(super) fn note_demand(&mut self) {
        let demand = (self.pending, self.assigned);
        if self.fleet.demand != demand {
            self.fleet.demand = demand;
            self.fleet.changed = true;
        }
    }

    /// When the policy is to be asked.
    pub(super) fn scaling_wakeup(&self) -> Option<u64> {
        if self.fleet.is_empty() || self.closing {
            return None;
        }
        let asked_at = self.fleet.asked_at.unwrap_or(0);
        // What failed starts held up is to be started.
        let paused = self.fleet.managers().filter_map(|(_, manager)| {
            let until = manager.breaker.until();
            (manager.is_ready() && asked_at < until).then_some(until)
        });
        let ready = self.fleet.asked_at.map_or(0, |at| at + PERIOD_US);
        let changed = self.fleet.changed.then_some(self.now);
        let wanted = [changed, self.fleet.scaler.next_wakeup()];
        let first = paused.chain(wanted.into_iter().flatten()).min()?;
        Some(first.max(ready).max(self.resync_until))
    }

    fn demands(&self) -> Vec<Demand> {
        let classes = self.classes.iter().map(|(_, class)| class);
        classes
            .filter(|class| class.runnable + class.assigned > 0)
            .map(|class| Demand {
                capabilities: class.capabilities.clone(),
                python_minor: class.python_minor,
                tasks: class.runnable + class.assigned,
                mean_us: class.mean_us(),
            })
            .collect()
    }

    fn supplies(&self) -> (Vec<ManagerIndex>, Vec<Supply>) {
        let there = self.fleet.managers();
        there
            .filter(|(_, manager)| !manager.lost && !manager.leaving)
            .filter_map(|(index, manager)| Some((index, self.supply(manager)?)))
            .unzip()
    }

    fn supply(&self, manager: &Manager) -> Option<Supply> {
        let info = manager.info.as_ref()?;
        Some(Supply {
            manager: info.id.clone(),
            most: info.most_groups,
            least: info.least_groups,
            slots: info.slots,
            capabilities: info.capabilities.clone(),
            python_minor: info.python_minor,
            startup_us: match manager.startup_us {
                0 => info.startup_us,
                measured => measured,
            },
            groups: self.counted(manager),
            busy: manager.busy(),
            ready: manager.is_ready() && !manager.breaker.refuses(self.now),
            cooldown_us: info.cooldown_us,
        })
    }

    /// Groups that are supply.
    fn counted(&self, manager: &Manager) -> u32 {
        #[cfg(feature = "planted")]
        if self.bugs.forget_starting {
            return manager.up();
        }
        manager.counted()
    }

    fn given_slots(&self) -> Vec<Given> {
        let signatures = self.nodes.signatures().map(|(_, signature)| signature);
        signatures
            .filter(|signature| signature.given > 0)
            .map(|signature| Given {
                capabilities: signature.capabilities.clone(),
                python_minor: signature.python_minor,
                slots: signature.given,
            })
            .collect()
    }

    /// A manager is to have so many groups.
    fn adjust(&mut self, index: ManagerIndex, wanted: u32) {
        let manager = self.fleet.manager_mut(index);
        manager.wanted = wanted;
        if !manager.is_ready() {
            return;
        }
        let counted = self.counted(self.fleet.manager(index));
        if wanted > counted {
            let back = self.take_back_retiring(index, wanted - counted);
            self.start_groups(index, wanted - counted - back);
        } else {
            self.retire_groups(index, counted - wanted);
        }
    }

    /// Gives how many.
    fn take_back_retiring(&mut self, index: ManagerIndex, most: u32) -> u32 {
        let retiring = self.fleet.manager(index).retiring();
        let mut back: Vec<GroupIndex> = retiring
            .filter(|&it| self.fleet.group(it).state == State::Retiring(Why::Policy))
            .collect();
        back.truncate(most as usize);
        for &group in &back {
            self.take_back(group);
        }
        back.len() as u32
    }

    /// As many as its limit and what failed lately allow.
    fn start_groups(&mut self, index: ManagerIndex, wanted: u32) {
        let manager = self.fleet.manager(index);
        let most = manager.info.as_ref().map_or(0, |info| info.most_groups);
        let room = most.saturating_sub(self.counted(manager) + manager.lingering());
        let allowed = match manager.breaker.allows(self.now) {
            Allowance::Any => u32::MAX,
            Allowance::One => 1,
            Allowance::Later(_) | Allowance::Probing => 0,
        };
        let starting = wanted.min(room).min(allowed);
        for _ in 0..starting {
            self.start_group(index);
        }
        if starting > 0 {
            self.tell_of_groups(index, starting, "start");
        }
    }

    fn tell_of_groups(&mut self, index: ManagerIndex, groups: u32, verb: &str) {
        let manager = self.fleet.manager(index);
        let most = manager.info.as_ref().map_or(0, |info| info.most_groups);
        let noun = if groups == 1 { "group" } else { "groups" };
        let text = format!(
            "worker manager {} is to {verb} {groups} {noun}, which makes {} of {most} at most",
            manager.id,
            manager.counted()
        );
        self.log(Level::Info, text);
    }

    /// Of those that start the newest, then those that are idle longest; none with anything at it, or whose node may have
    /// something that it told to a former scheduler.
    fn retire_groups(&mut self, index: ManagerIndex, excess: u32) {
        let manager = self.fleet.manager(index);
        let starting = manager.starting();
        let starting = starting.filter(|&group| !self.fleet.group(group).adopted);
        let starting: Vec<GroupIndex> = starting.take(excess as usize).collect();
        let idle = manager.idle().take(excess as usize - starting.len());
        let idle: Vec<GroupIndex> = idle.collect();
        #[cfg(feature = "planted")]
        let idle = match self.bugs.retire_busy {
            true => {
                let all = manager.groups.values().copied();
                let up = all.filter(|&it| self.fleet.group(it).state == State::Up);
                up.take(excess as usize - starting.len()).collect()
            }
            false => idle,
        };
        let ending = (starting.len() + idle.len()) as u32;
        for group in starting {
            self.end_group(group);
        }
        for group in idle {
            #[cfg(feature = "planted")]
            if self.bugs.retire_busy {
                self.end_group(group);
                continue;
            }
            self.retire(group, Why::Policy);
        }
        if ending > 0 {
            self.tell_of_groups(index, ending, "end");
        }
        self.settle_groups();
    }

    /// A manager of a fixed size that shows too few is served at once, also while the rest waits to be told.
    pub(super) fn start_least(&mut self, index: ManagerIndex) {
        let manager = self.fleet.manager(index);
        let least = manager.info.as_ref().map_or(0, |info| info.least_groups);
        let missing = least.saturating_sub(manager.counted());
        if manager.is_ready() && missing > 0 {
            self.start_groups(index, missing);
        }
    }
}
