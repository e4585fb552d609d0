//! Sets of u64 as runs `start .. end`.

use std::collections::BTreeMap;

#[derive(Clone, Debug, Default, PartialEq)]
pub struct RangeSet {
    /// Start to end of each run; runs neither overlap nor touch.
    runs: BTreeMap<u64, u64>,
    len: u64,
}

impl RangeSet {
    pub fn new() -> Self {
        RangeSet::default()
    }

    /// Members, not runs.
    pub fn len(&self) -> u64 {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn contains(&self, member: u64) -> bool {
        self.runs
            .range(..=member)
            .next_back()
            .is_some_and(|(_, &end)| member < end)
    }

    pub fn insert(&mut self, start: u64, end: u64) {
        if start >= end {
            return;
        }
        let (mut from, mut upto) = (start, end);
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

    pub fn remove(&mut self, start: u64, end: u64) {
        while let Some((&first, &last)) = self.runs.range(..end).next_back() {
            if last <= start || start >= end {
                break;
            }
            self.runs.remove(&first);
            self.len -= last - first;
            if last > end {
                self.runs.insert(end, last);
                self.len += last - end;
            }
            if first < start {
                self.runs.insert(first, start);
                self.len += start - first;
            }
        }
    }

    /// The members among `start .. end`, as runs.
    pub fn overlap(&self, start: u64, end: u64) -> impl Iterator<Item = (u64, u64)> + '_ {
        let before = self
            .runs
            .range(..=start)
            .next_back()
            .map_or(start, |(&first, _)| first);
        let clip = move |(&first, &last): (&u64, &u64)| (first.max(start), last.min(end));
        self.runs
            .range(before..end.max(before))
            .map(clip)
            .filter(|(first, last)| first < last)
    }

    pub fn iter(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.runs.iter().map(|(&first, &last)| (first, last))
    }
}
