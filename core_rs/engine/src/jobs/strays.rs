//! Jobs that the infrastructure shows and nobody here named: of a process before this one, mostly.

use std::collections::BTreeMap;

use crate::wire::{GroupReport, GroupState, Message, Payload};

use super::{names, Jobs};

#[derive(Debug)]
pub(super) struct Stray {
    pub state: GroupState,
    pub detail: String,
    /// It waits so long for its element.
    until: u64,
}

#[derive(Debug, Default)]
pub(super) struct Strays(BTreeMap<String, Stray>);

impl Strays {
    /// What a new account is compared with: what is not in it is gone.
    pub fn take(&mut self) -> Strays {
        std::mem::take(self)
    }

    /// In an account. `before`: as the one before had it; `until`: how long it waits if it is new.
    pub fn report(&mut self, report: GroupReport, before: &Strays, until: u64) {
        let known = before.0.get(&report.group);
        let stray = Stray {
            state: report.state,
            detail: report.detail,
            until: known.map_or(until, |known| known.until),
        };
        self.0.insert(report.group, stray);
    }

    /// All of them wait until then.
    pub fn put_off(&mut self, until: u64) {
        self.0.values_mut().for_each(|stray| stray.until = until);
    }

    /// The job of a root that is nearest to an outcome, if one will have one.
    pub fn claim(&mut self, root: &str) -> Option<(String, Stray)> {
        let from = self.0.range(root.to_owned()..);
        let of_root = from
            .take_while(|(id, _)| id.starts_with(root))
            .filter(|(id, stray)| names::root_of(id) == Some(root) && worth(stray.state) > 0);
        let nearest = of_root.max_by_key(|(_, stray)| worth(stray.state));
        let id = nearest.map(|(id, _)| id.clone())?;
        self.0.remove_entry(&id)
    }

    /// Takes out those for which nobody waits: what will have no outcome at once, others when their time is over.
    fn over(&mut self, now: u64, waited: bool) -> Vec<String> {
        let over = |stray: &Stray| worth(stray.state) == 0 || (waited && stray.until <= now);
        let over = self.0.iter().filter(|(_, stray)| over(stray));
        let names: Vec<String> = over.map(|(id, _)| id.clone()).collect();
        names.iter().for_each(|id| {
            self.0.remove(id);
        });
        names
    }

    pub fn wakeup(&self) -> Option<u64> {
        self.0.values().map(|stray| stray.until).min()
    }
}

impl<P: Payload> Jobs<P> {
    pub(super) fn end_strays(&mut self) {
        // Without a scheduler no element can come.
        for group in self.strays.over(self.now, self.connected) {
            self.log(format!("{group}: nobody waits for this job, and it ends"));
            self.tell_manager(Message::ShutdownWorkerGroup { group });
        }
    }
}

/// How near a job is to an outcome; 0: it will have none.
fn worth(state: GroupState) -> u8 {
    match state {
        GroupState::Succeeded => 4,
        GroupState::Running => 3,
        GroupState::Pending => 2,
        GroupState::Wanted => 1,
        GroupState::Ending | GroupState::Failed | GroupState::Gone => 0,
    }
}
