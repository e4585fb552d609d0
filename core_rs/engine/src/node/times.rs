//! How long a function's elements take, as measured.

const NANOSECONDS: u64 = 1_000;
/// What an element costs at least, whatever was measured.
const FLOOR_NS: u64 = 100;

#[derive(Clone, Debug, Default)]
pub(super) struct Times {
    /// Moving average of an element, nanoseconds; `None` before the first outcome.
    average_ns: Option<u64>,
    elements: u64,
}

impl Times {
    pub fn measured(&mut self, elements: u32, busy_us: u64) {
        let sample =
            (busy_us.saturating_mul(NANOSECONDS) / u64::from(elements.max(1))).max(FLOOR_NS);
        self.average_ns = Some(match self.average_ns {
            None => sample,
            // The first calls import and warm up: what comes after tells more.
            Some(average) if sample < average => (average + sample) / 2,
            Some(average) => (average / 4 * 3).saturating_add(sample / 4),
        });
        self.elements = self.elements.saturating_add(u64::from(elements));
    }

    pub fn element_ns(&self) -> Option<u64> {
        self.average_ns
    }

    /// Most elements of it in one helping: little is known of a function that hardly ran.
    pub fn most(&self) -> u64 {
        self.elements.saturating_mul(2).saturating_add(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_first_call_is_soon_forgotten() {
        let mut times = Times::default();
        times.measured(1, 50_000);
        for _ in 0..12 {
            times.measured(4, 40);
        }
        assert!(
            times.element_ns().is_some_and(|ns| ns < 30_000),
            "{times:?}"
        );
    }

    #[test]
    fn helpings_grow_with_what_was_measured() {
        let mut times = Times::default();
        assert_eq!(times.most(), 1);
        times.measured(1, 10);
        assert_eq!(times.most(), 3);
        times.measured(3, 10);
        assert_eq!(times.most(), 9);
    }
}
