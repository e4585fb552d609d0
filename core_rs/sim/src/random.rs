//! The one source of chance: xoshiro256**, seeded by splitmix64. Written here so that no crate's change of mind changes a history.

/// A stream of numbers that depends on its seed alone.
#[derive(Clone, Debug)]
pub struct Random {
    state: [u64; 4],
}

fn splitmix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mix(*state)
}

/// A number's bits, well stirred; also the hash of everything in this crate that needs one.
pub fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

impl Random {
    pub fn new(seed: u64) -> Self {
        let mut state = seed;
        Random {
            state: std::array::from_fn(|_| splitmix(&mut state)),
        }
    }

    /// A stream of its own for one purpose: draws for one purpose do not move those for another.
    pub fn stream(seed: u64, purpose: &str) -> Self {
        let label = purpose
            .bytes()
            .fold(0u64, |hash, byte| mix(hash ^ u64::from(byte)));
        Random::new(mix(seed).wrapping_add(label))
    }

    pub fn number(&mut self) -> u64 {
        let [a, b, c, d] = self.state;
        let result = b.wrapping_mul(5).rotate_left(7).wrapping_mul(9);
        let (c, d) = (c ^ a, d ^ b);
        self.state = [a ^ d, b ^ c, c ^ (b << 17), d.rotate_left(45)];
        result
    }

    /// 0 .. `bound`, which must not be 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        assert!(bound > 0, "nothing is below 0");
        ((u128::from(self.number()) * u128::from(bound)) >> 64) as u64
    }

    /// `low ..= high`.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    pub fn index(&mut self, length: usize) -> usize {
        self.below(length as u64) as usize
    }

    /// True `of_thousand` times in 1,000.
    pub fn chance(&mut self, of_thousand: u64) -> bool {
        self.below(1000) < of_thousand
    }

    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.index(items.len())]
    }

    /// `low ..= high`, each order of magnitude as likely as the next.
    pub fn spread(&mut self, low: u64, high: u64) -> u64 {
        assert!(0 < low && low <= high);
        let steps = 64 - (high / low).leading_zeros() as u64;
        let scale = low.saturating_mul(1 << self.below(steps));
        self.between(scale, scale.saturating_mul(2).max(scale))
            .min(high)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_seeds_give_equal_streams_and_others_do_not() {
        let draw = |seed| {
            let mut random = Random::new(seed);
            (0..8).map(|_| random.number()).collect::<Vec<_>>()
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
    }

    #[test]
    fn draws_stay_in_their_bounds() {
        let mut random = Random::new(1);
        for _ in 0..10_000 {
            assert!(random.below(3) < 3);
            assert!((5..=9).contains(&random.between(5, 9)));
            assert!((10..=5_000).contains(&random.spread(10, 5_000)));
        }
    }

    #[test]
    fn streams_of_one_seed_differ_by_purpose() {
        assert_ne!(
            Random::stream(1, "faults").number(),
            Random::stream(1, "work").number()
        );
    }
}
