//! The cool-down: a manager shrinks to the most that was wanted of it within that time, and never at first sight.

use std::collections::VecDeque;

/// What was wanted lately: values that fall, each with the time until which it held. The last one holds now.
#[derive(Clone, Debug)]
pub struct Window {
    wanted: VecDeque<(u64, u32)>,
}

const NOW: u64 = u64::MAX;

impl Window {
    /// groups: what is there at first sight; nothing is known of the time before.
    pub fn new(groups: u32) -> Self {
        Window {
            wanted: VecDeque::from([(NOW, groups)]),
        }
    }

    /// The most that was wanted since `now - cooldown`, `groups` being what is wanted now.
    pub fn most(&mut self, now: u64, groups: u32, cooldown: u64) -> u32 {
        let last = self.wanted.back().map_or(0, |&(_, last)| last);
        if groups < last {
            self.wanted.back_mut().expect("one holds now").0 = now;
        }
        while self.wanted.back().is_some_and(|&(_, last)| last <= groups) {
            self.wanted.pop_back();
        }
        self.wanted.push_back((NOW, groups));
        while self.changes_at(cooldown).is_some_and(|at| at <= now) {
            self.wanted.pop_front();
        }
        self.wanted[0].1
    }

    /// When less will do.
    pub fn changes_at(&self, cooldown: u64) -> Option<u64> {
        let &(until, _) = self.wanted.front()?;
        (until != NOW).then(|| until.saturating_add(cooldown))
    }
}
