//! When an acceptor's links need attention: at most one acknowledgement and one lease a link, whose times the link's
//! entry holds too.

use std::collections::BTreeSet;

use crate::wire::LinkId;

#[derive(Debug, Default)]
pub(super) struct Timers {
    acknowledgements: BTreeSet<(u64, LinkId)>,
    leases: BTreeSet<(u64, LinkId)>,
}

impl Timers {
    /// `current`: the entry's own record of the timer.
    pub fn set_acknowledgement(
        &mut self,
        link: LinkId,
        current: &mut Option<u64>,
        at: Option<u64>,
    ) {
        set(&mut self.acknowledgements, link, current, at);
    }

    pub fn set_lease(&mut self, link: LinkId, current: &mut Option<u64>, at: Option<u64>) {
        set(&mut self.leases, link, current, at);
    }

    pub fn pop_acknowledgement(&mut self, now: u64) -> Option<LinkId> {
        pop(&mut self.acknowledgements, now)
    }

    pub fn pop_lease(&mut self, now: u64) -> Option<LinkId> {
        pop(&mut self.leases, now)
    }

    pub fn next(&self) -> Option<u64> {
        [&self.acknowledgements, &self.leases]
            .into_iter()
            .filter_map(|timers| timers.first())
            .map(|(at, _)| *at)
            .min()
    }
}

fn set(
    timers: &mut BTreeSet<(u64, LinkId)>,
    link: LinkId,
    current: &mut Option<u64>,
    at: Option<u64>,
) {
    if *current == at {
        return;
    }
    if let Some(old) = current.take() {
        timers.remove(&(old, link));
    }
    if let Some(at) = at {
        timers.insert((at, link));
        *current = Some(at);
    }
}

fn pop(timers: &mut BTreeSet<(u64, LinkId)>, now: u64) -> Option<LinkId> {
    let (at, link) = timers.first().copied().filter(|(at, _)| *at <= now)?;
    timers.remove(&(at, link));
    Some(link)
}
