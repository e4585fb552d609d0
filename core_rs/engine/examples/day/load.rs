//! The day's work: bursts of tasks, the same for every policy.

use crate::random::Random;

pub const DAY: u64 = 24 * 3_600;
const HOUR: u64 = 3_600;
const MINUTE: u64 = 60;

/// Tasks that come together. Times in seconds.
#[derive(Clone, Copy, Debug)]
pub struct Burst {
    pub at: u64,
    pub tasks: u64,
    pub seconds: u64,
}

/// Sorted by time.
pub fn day() -> Vec<Burst> {
    let mut random = Random(20);
    let mut bursts = vec![
        // The nightly batch.
        Burst {
            at: HOUR,
            tasks: 12_000,
            seconds: 20,
        },
        // A single long task in the evening.
        Burst {
            at: 20 * HOUR,
            tasks: 1,
            seconds: 2 * HOUR,
        },
    ];
    // Somebody tries something, all around the clock.
    for hour in 0..24 {
        let at = hour * HOUR + random.between(0, HOUR - 1);
        bursts.push(Burst {
            at,
            tasks: random.between(1, 3),
            seconds: 60,
        });
    }
    // A square wave over lunch: a few tasks every half minute, each gone at once.
    for turn in 0..80 {
        let at = 12 * HOUR + 30 * MINUTE + turn * 30;
        bursts.push(Burst {
            at,
            tasks: 60,
            seconds: 3,
        });
    }
    // The working day.
    let mut at = 8 * HOUR;
    while at < 18 * HOUR {
        let (tasks, seconds) = match random.between(0, 9) {
            0..=4 => (random.between(20, 80), random.between(2, 10)),
            5..=7 => (random.between(200, 1_500), random.between(3, 15)),
            _ => (random.between(10, 40), random.between(300, 900)),
        };
        bursts.push(Burst { at, tasks, seconds });
        at += random.between(7 * MINUTE, 25 * MINUTE);
    }
    bursts.sort_by_key(|burst| burst.at);
    bursts
}
