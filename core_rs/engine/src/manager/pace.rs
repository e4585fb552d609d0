//! When a call may leave: back-off with jitter for what failed, and a slower pace for all where the infrastructure is
//! asked too much.

const MILLISECOND: u64 = 1_000;
const SECOND: u64 = 1_000_000;

/// After the first failure, and at most.
const FIRST_DELAY_US: u64 = SECOND;
const MOST_DELAY_US: u64 = 60 * SECOND;
/// Longer than this nobody is believed to want to be left alone.
const MOST_RETRY_AFTER_US: u64 = 15 * 60 * SECOND;
/// Time between calls once one was throttled; below the least there is none.
const FIRST_INTERVAL_US: u64 = 500 * MILLISECOND;
const LEAST_INTERVAL_US: u64 = 100 * MILLISECOND;
const MOST_INTERVAL_US: u64 = 30 * SECOND;

/// Numbers that depend on a seed alone (splitmix64).
#[derive(Debug)]
struct Random(u64);

impl Random {
    fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let value = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        value ^ (value >> 31)
    }

    /// 0 ..= `most`.
    fn up_to(&mut self, most: u64) -> u64 {
        ((u128::from(self.number()) * (u128::from(most) + 1)) >> 64) as u64
    }
}

#[derive(Debug)]
pub(super) struct Pace {
    random: Random,
    /// Nothing leaves before this.
    closed_until: u64,
    /// Throttled answers in a row.
    throttled: u32,
    /// Between two calls that change something.
    interval_us: u64,
    next_at: u64,
}

impl Pace {
    pub fn new(seed: u64) -> Self {
        Pace {
            random: Random(seed),
            closed_until: 0,
            throttled: 0,
            interval_us: 0,
            next_at: 0,
        }
    }

    /// How long to wait after so many failures in a row: doubled with each, between half and whole of that.
    pub fn delay(&mut self, failures: u32) -> u64 {
        let Some(doublings) = failures.checked_sub(1) else {
            return 0;
        };
        let whole = (FIRST_DELAY_US << doublings.min(16)).min(MOST_DELAY_US);
        whole / 2 + self.random.up_to(whole / 2)
    }

    /// The infrastructure had too much. `retry_after_us`: what it said, or 0.
    pub fn slow_down(&mut self, now: u64, retry_after_us: u64) {
        self.throttled = self.throttled.saturating_add(1);
        let wait = self.delay(self.throttled);
        // All that were throttled at once would otherwise come back at once.
        let asked = retry_after_us.min(MOST_RETRY_AFTER_US);
        let wait = wait.max(asked.saturating_add(self.random.up_to(asked / 8)));
        self.closed_until = self.closed_until.max(now.saturating_add(wait));
        self.interval_us = (self.interval_us * 2).clamp(FIRST_INTERVAL_US, MOST_INTERVAL_US);
    }

    /// A call went well.
    pub fn ease(&mut self) {
        self.throttled = 0;
        self.interval_us /= 2;
        if self.interval_us < LEAST_INTERVAL_US {
            self.interval_us = 0;
        }
    }

    /// A call that changes something leaves.
    pub fn left(&mut self, now: u64) {
        self.next_at = now.saturating_add(self.interval_us);
    }

    /// From when on a call that changes something may leave.
    pub fn opens_at(&self) -> u64 {
        self.closed_until.max(self.next_at)
    }

    /// From when on one that only looks may.
    pub fn looks_at(&self) -> u64 {
        self.closed_until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_doubles_up_to_a_minute_and_differs_by_chance() {
        let mut pace = Pace::new(7);
        assert_eq!(pace.delay(0), 0);
        for (failures, whole) in [(1, 1), (2, 2), (3, 4), (7, 60), (1_000_000, 60)] {
            let whole = whole * SECOND;
            let delays: Vec<u64> = (0..100).map(|_| pace.delay(failures)).collect();
            assert!(delays.iter().all(|it| (whole / 2..=whole).contains(it)));
            assert!(delays.iter().any(|it| *it != delays[0]));
        }
    }

    #[test]
    fn equal_seeds_give_equal_patience() {
        let draw = |seed| {
            let mut pace = Pace::new(seed);
            (1..20).map(|it| pace.delay(it)).collect::<Vec<_>>()
        };
        assert_eq!(draw(3), draw(3));
        assert_ne!(draw(3), draw(4));
    }

    #[test]
    fn throttling_closes_for_as_long_as_was_asked_and_spreads_what_comes_after() {
        let mut pace = Pace::new(1);
        pace.slow_down(100, 5 * SECOND);
        assert!(pace.opens_at() >= 100 + 5 * SECOND);
        assert!(pace.looks_at() <= 100 + 6 * SECOND);
        let now = pace.opens_at();
        pace.left(now);
        assert!(pace.opens_at() > now, "calls leave one by one");
        for _ in 0..10 {
            pace.ease();
        }
        pace.left(now);
        assert_eq!(pace.opens_at(), now, "and again as before once all is well");
    }

    #[test]
    fn nobody_is_left_alone_for_ever() {
        let mut pace = Pace::new(1);
        pace.slow_down(0, u64::MAX);
        assert!(pace.opens_at() <= 2 * MOST_RETRY_AFTER_US);
    }
}
