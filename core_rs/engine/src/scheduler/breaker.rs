//! When a manager whose groups fail to start is asked again: later after each failure, and after several in a row only
//! for one group at a time.

const FIRST_PAUSE_US: u64 = 1_000_000;
const LONGEST_PAUSE_US: u64 = 60_000_000;
/// Failures in a row that open the breaker.
const MOST_FAILURES: u32 = 5;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Breaker {
    /// In a row.
    failures: u32,
    /// Nothing is started before.
    until: u64,
    /// The one group that is tried has been started.
    probing: bool,
    /// What the last failure was, for people.
    reason: String,
}

/// How many groups may be started now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Allowance {
    Any,
    One,
    /// None before this.
    Later(u64),
    /// None until the one that is tried has come or failed.
    Probing,
}

impl Breaker {
    pub fn allows(&self, now: u64) -> Allowance {
        if self.probing {
            Allowance::Probing
        } else if now < self.until {
            Allowance::Later(self.until)
        } else if self.is_open() {
            Allowance::One
        } else {
            Allowance::Any
        }
    }

    /// Others are to be asked for what this manager would have been.
    pub fn refuses(&self, now: u64) -> bool {
        self.is_open() && (self.probing || now < self.until)
    }

    pub fn is_open(&self) -> bool {
        self.failures >= MOST_FAILURES
    }

    pub fn failures(&self) -> u32 {
        self.failures
    }

    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// When it lets something through again.
    pub fn until(&self) -> u64 {
        self.until
    }

    pub fn started(&mut self) {
        self.probing |= self.is_open();
    }

    /// A group that was starting was ended before anybody knew whether it would come.
    pub fn abandoned(&mut self) {
        self.probing = false;
    }

    pub fn failed(&mut self, now: u64, reason: String) {
        self.failures = self.failures.saturating_add(1);
        self.reason = reason;
        self.probing = false;
        let pause = match self.is_open() {
            true => LONGEST_PAUSE_US,
            false => (FIRST_PAUSE_US << (self.failures - 1)).min(LONGEST_PAUSE_US),
        };
        self.until = now + pause;
    }

    /// A group that was up for a moment only: it failed as well, after `before` others.
    pub fn relapsed(&mut self, now: u64, before: u32, reason: String) {
        self.failures = self.failures.max(before);
        self.failed(now, reason);
    }

    pub fn succeeded(&mut self) {
        *self = Breaker::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;

    fn fail(breaker: &mut Breaker, now: u64) {
        breaker.failed(now, "no capacity".into());
    }

    #[test]
    fn each_failure_doubles_the_pause() {
        let mut breaker = Breaker::default();
        assert_eq!(breaker.allows(0), Allowance::Any);
        for pause in [1, 2, 4, 8] {
            fail(&mut breaker, 0);
            assert_eq!(breaker.allows(0), Allowance::Later(pause * SECOND));
            assert!(!breaker.refuses(0));
            assert_eq!(breaker.allows(pause * SECOND), Allowance::Any);
        }
    }

    #[test]
    fn after_five_failures_one_group_is_tried_each_minute() {
        let mut breaker = Breaker::default();
        (0..5).for_each(|_| fail(&mut breaker, 0));
        assert!(breaker.refuses(0));
        assert_eq!(breaker.allows(0), Allowance::Later(60 * SECOND));
        assert_eq!(breaker.allows(60 * SECOND), Allowance::One);
        assert!(!breaker.refuses(60 * SECOND));
        breaker.started();
        assert_eq!(breaker.allows(60 * SECOND), Allowance::Probing);
        assert!(breaker.refuses(60 * SECOND));
        fail(&mut breaker, 61 * SECOND);
        assert_eq!(breaker.allows(61 * SECOND), Allowance::Later(121 * SECOND));
        breaker.started();
        breaker.succeeded();
        assert_eq!(breaker.allows(61 * SECOND), Allowance::Any);
    }

    #[test]
    fn groups_that_come_and_go_at_once_open_it_too() {
        let mut breaker = Breaker::default();
        for _ in 0..5 {
            let before = breaker.failures();
            breaker.succeeded();
            breaker.relapsed(0, before, "it left at once".into());
        }
        assert!(breaker.is_open());
    }

    #[test]
    fn a_probe_that_is_given_up_may_be_made_again() {
        let mut breaker = Breaker::default();
        (0..5).for_each(|_| fail(&mut breaker, 0));
        breaker.started();
        breaker.abandoned();
        assert_eq!(breaker.allows(60 * SECOND), Allowance::One);
    }
}
