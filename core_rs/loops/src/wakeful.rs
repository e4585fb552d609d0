//! Whether who waits for an answer sleeps meanwhile.
//!
//! To put a core to sleep and to wake it costs tens of microseconds, more than all else in a round trip. So a caller
//! that waits for one short task stays awake, where a core is left for those who serve him: what he uses is what the
//! task takes anyway, and whoever else has something to do goes first.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::OnceLock;
use std::thread;

/// Who waits longer than this, usually, sleeps at once; and nobody stays awake for longer.
const LONGEST_US: u64 = 400;
/// The share of the last wait in what is usual, one in so many.
const WEIGHT: u64 = 4;

/// What one waiting end of a link has seen and expects.
#[derive(Debug)]
pub struct Wakeful {
    usual_us: AtomicU64,
    /// Elements without an outcome, questions without an answer.
    expected: AtomicU64,
}

impl Default for Wakeful {
    fn default() -> Self {
        Wakeful {
            usual_us: AtomicU64::new(LONGEST_US),
            expected: AtomicU64::new(0),
        }
    }
}

impl Wakeful {
    pub fn expect(&self, things: u64) {
        self.expected.store(things, Relaxed);
    }

    /// Until when to stay awake, if at all.
    pub fn until(&self, now: u64) -> Option<u64> {
        // With more under way the cores have something to do.
        let alone = self.expected.load(Relaxed) == 1 && has_cores();
        (alone && self.usual_us.load(Relaxed) < LONGEST_US).then(|| now + LONGEST_US)
    }

    /// A wait has taken so long.
    pub fn waited(&self, us: u64) {
        let usual = self.usual_us.load(Relaxed);
        let last = us.min(2 * LONGEST_US);
        self.usual_us
            .store(((WEIGHT - 1) * usual + last) / WEIGHT, Relaxed);
    }
}

fn has_cores() -> bool {
    static CORES: OnceLock<usize> = OnceLock::new();
    *CORES.get_or_init(|| thread::available_parallelism().map_or(1, usize::from)) > 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(waits: &[u64]) -> Wakeful {
        let wakeful = Wakeful::default();
        wakeful.expect(1);
        waits.iter().for_each(|&us| wakeful.waited(us));
        wakeful
    }

    #[test]
    fn who_has_not_waited_yet_sleeps() {
        assert_eq!(after(&[]).until(1_000), None);
    }

    #[test]
    fn short_waits_are_waited_for_awake_and_not_for_ever() {
        let end = has_cores().then_some(1_000 + LONGEST_US);
        assert_eq!(after(&[50]).until(1_000), end);
    }

    #[test]
    fn who_expects_several_sleeps() {
        let wakeful = after(&[50]);
        for elements in [0, 2, 1_000] {
            wakeful.expect(elements);
            assert_eq!(wakeful.until(1_000), None);
        }
    }

    #[test]
    fn tasks_that_turn_out_long_are_slept_for_after_a_few() {
        let mut waits = vec![50; 100];
        waits.extend([1_000_000; 3]);
        assert_eq!(after(&waits).until(1_000), None);
    }

    #[test]
    fn one_long_task_among_short_ones_changes_little() {
        let mut waits = vec![50; 100];
        waits.push(1_000_000);
        assert_eq!(after(&waits).until(1_000).is_some(), has_cores());
    }
}
