//! Sets of u64 as runs `start .. end`: what most sets are, none or one run, is stored in place.

use std::collections::BTreeMap;

/// `start`, `end`.
type Run = (u64, u64);

#[derive(Clone, Debug, Default)]
pub struct RangeSet {
    runs: Runs,
}

#[derive(Clone, Debug)]
enum Runs {
    /// `start == end`: empty.
    One { start: u64, end: u64 },
    /// At least two runs when it was made.
    Many(Box<Tree>),
}

#[derive(Clone, Debug, Default)]
struct Tree {
    /// Start to end of each run; runs neither overlap nor touch.
    runs: BTreeMap<u64, u64>,
    len: u64,
}

impl Default for Runs {
    fn default() -> Self {
        Runs::One { start: 0, end: 0 }
    }
}

impl PartialEq for RangeSet {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().eq(other.iter())
    }
}

impl Eq for RangeSet {}

impl RangeSet {
    pub fn new() -> Self {
        RangeSet::default()
    }

    /// The members `start .. end`.
    pub fn of(start: u64, end: u64) -> Self {
        let mut set = RangeSet::new();
        set.insert(start, end);
        set
    }

    /// Members, not runs.
    pub fn len(&self) -> u64 {
        match &self.runs {
            Runs::One { start, end } => end - start,
            Runs::Many(tree) => tree.len,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn contains(&self, member: u64) -> bool {
        match &self.runs {
            Runs::One { start, end } => (*start..*end).contains(&member),
            Runs::Many(tree) => tree
                .runs
                .range(..=member)
                .next_back()
                .is_some_and(|(_, &end)| member < end),
        }
    }

    /// The smallest member.
    pub fn first(&self) -> Option<u64> {
        self.iter().next().map(|(start, _)| start)
    }

    pub fn insert(&mut self, from: u64, upto: u64) {
        if from >= upto {
            return;
        }
        if let Runs::One { start, end } = &mut self.runs {
            if start == end {
                (*start, *end) = (from, upto);
                return;
            }
            if from <= *end && *start <= upto {
                (*start, *end) = (from.min(*start), upto.max(*end));
                return;
            }
        }
        self.tree().insert(from, upto);
    }

    pub fn remove(&mut self, from: u64, upto: u64) {
        if from >= upto {
            return;
        }
        match &mut self.runs {
            Runs::One { start, end } if upto <= *start || *end <= from => {}
            Runs::One { start, end } if from <= *start => *start = upto.min(*end),
            Runs::One { start: _, end } if *end <= upto => *end = from,
            _ => {
                let tree = self.tree();
                tree.remove(from, upto);
                if tree.runs.len() <= 1 {
                    let (start, end) = tree.runs.pop_first().unwrap_or_default();
                    self.runs = Runs::One { start, end };
                }
            }
        }
    }

    /// Takes out up to `most` of the smallest members, all of one run.
    pub fn take_first(&mut self, most: u64) -> Option<(u64, u64)> {
        let (start, end) = self.iter().next()?;
        let end = end.min(start.saturating_add(most));
        self.remove(start, end);
        (start < end).then_some((start, end))
    }

    /// Takes out up to `most` of the largest members, all of one run.
    pub fn take_last(&mut self, most: u64) -> Option<(u64, u64)> {
        let (start, end) = match &self.runs {
            Runs::One { start, end } => (*start, *end),
            Runs::Many(tree) => tree.runs.last_key_value().map(|(&s, &e)| (s, e))?,
        };
        let start = start.max(end.saturating_sub(most));
        self.remove(start, end);
        (start < end).then_some((start, end))
    }

    /// The members among `from .. upto`, as runs.
    pub fn overlap(&self, from: u64, upto: u64) -> impl Iterator<Item = (u64, u64)> + '_ {
        let (one, tree) = self.parts();
        let many = tree.into_iter().flat_map(move |runs| {
            let before = runs.range(..=from).next_back().map_or(from, |(&s, _)| s);
            runs.range(before..upto.max(before)).map(|(&s, &e)| (s, e))
        });
        one.into_iter()
            .chain(many)
            .map(move |(start, end)| (start.max(from), end.min(upto)))
            .filter(|(start, end)| start < end)
    }

    pub fn iter(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        let (one, tree) = self.parts();
        let many = tree.into_iter().flatten().map(|(&s, &e)| (s, e));
        one.into_iter().chain(many)
    }

    fn parts(&self) -> (Option<Run>, Option<&BTreeMap<u64, u64>>) {
        match &self.runs {
            Runs::One { start, end } => ((start < end).then_some((*start, *end)), None),
            Runs::Many(tree) => (None, Some(&tree.runs)),
        }
    }

    fn tree(&mut self) -> &mut Tree {
        if let Runs::One { start, end } = self.runs {
            let mut tree = Tree::default();
            tree.insert(start, end);
            self.runs = Runs::Many(Box::new(tree));
        }
        match &mut self.runs {
            Runs::Many(tree) => tree,
            Runs::One { .. } => unreachable!("it was made a tree above"),
        }
    }
}

impl Tree {
    fn insert(&mut self, mut from: u64, mut upto: u64) {
        if from >= upto {
            return;
        }
        while let Some((&first, &last)) = self.runs.range(..=upto).next_back() {
            if last < from {
                break;
            }
            self.runs.remove(&first);
            self.len -= last - first;
            from = from.min(first);
            upto = upto.max(last);
        }
        self.runs.insert(from, upto);
        self.len += upto - from;
    }

    fn remove(&mut self, from: u64, upto: u64) {
        while let Some((&first, &last)) = self.runs.range(..upto).next_back() {
            if last <= from {
                break;
            }
            self.runs.remove(&first);
            self.len -= last - first;
            if last > upto {
                self.runs.insert(upto, last);
                self.len += last - upto;
            }
            if first < from {
                self.runs.insert(first, from);
                self.len += from - first;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::RangeSet;

    #[test]
    fn one_run_takes_24_bytes() {
        assert_eq!(std::mem::size_of::<RangeSet>(), 24);
    }

    #[test]
    fn takes_from_both_ends_within_a_run() {
        let mut set = RangeSet::of(0, 10);
        set.insert(20, 30);
        assert_eq!(set.take_first(3), Some((0, 3)));
        assert_eq!(set.take_last(100), Some((20, 30)));
        assert_eq!(set.take_last(2), Some((8, 10)));
        assert_eq!(set.take_first(100), Some((3, 8)));
        assert_eq!(set.take_first(1), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn behaves_like_a_set_of_numbers(
            steps in prop::collection::vec((any::<bool>(), 0u64..60, 0u64..20), 0..60),
        ) {
            let (mut set, mut model) = (RangeSet::new(), BTreeSet::new());
            for (insert, start, count) in steps {
                if insert {
                    set.insert(start, start + count);
                    model.extend(start..start + count);
                } else {
                    set.remove(start, start + count);
                    model.retain(|member| !(start..start + count).contains(member));
                }
                prop_assert_eq!(set.len(), model.len() as u64);
                let members: Vec<u64> = set.iter().flat_map(|(start, end)| start..end).collect();
                prop_assert_eq!(members, model.iter().copied().collect::<Vec<_>>());
                let inside: Vec<u64> =
                    set.overlap(10, 40).flat_map(|(start, end)| start..end).collect();
                prop_assert_eq!(inside, model.range(10..40).copied().collect::<Vec<_>>());
                let runs: Vec<_> = set.iter().collect();
                prop_assert!(runs.windows(2).all(|pair| pair[0].1 < pair[1].0));
                prop_assert!((0..80).all(|member| set.contains(member) == model.contains(&member)));
            }
        }
    }
}
