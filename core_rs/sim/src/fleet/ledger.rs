//! A manager's durable storage: what was written, in order, and what a crash leaves of it.

use std::collections::{BTreeMap, VecDeque};

use scaler_engine::manager::{Entry, EntryState, RecordNumber};

use crate::queue::{Time, MILLISECOND};
use crate::random::Random;

#[derive(Debug, Default)]
pub struct Ledger {
    durable: BTreeMap<String, Entry>,
    /// Being written: when that is done.
    writing: VecDeque<(Time, RecordNumber, Vec<Entry>)>,
}

impl Ledger {
    pub fn write(
        &mut self,
        now: Time,
        number: RecordNumber,
        entries: Vec<Entry>,
        random: &mut Random,
    ) {
        let most = *random.pick(&[200, 2 * MILLISECOND, 50 * MILLISECOND]);
        let after = self.writing.back().map_or(now, |(at, ..)| *at);
        let at = after.max(now) + random.below(most);
        self.writing.push_back((at, number, entries));
    }

    /// The next record that is there for good by now.
    pub fn done(&mut self, now: Time) -> Option<RecordNumber> {
        if self.writing.front().is_none_or(|(at, ..)| *at > now) {
            return None;
        }
        let (_, number, entries) = self.writing.pop_front()?;
        self.keep(entries);
        Some(number)
    }

    fn keep(&mut self, entries: Vec<Entry>) {
        for entry in entries {
            if entry.state == EntryState::Forgotten {
                self.durable.remove(&entry.group);
            } else {
                self.durable.insert(entry.group.clone(), entry);
            }
        }
    }

    /// Of what was being written a crash leaves the first so many records.
    pub fn crashed(mut self, random: &mut Random) -> Ledger {
        let kept = random.below(self.writing.len() as u64 + 1) as usize;
        let writing = std::mem::take(&mut self.writing);
        writing
            .into_iter()
            .take(kept)
            .for_each(|(.., entries)| self.keep(entries));
        self
    }

    pub fn entries(&self) -> Vec<Entry> {
        self.durable.values().cloned().collect()
    }

    pub fn entry(&self, group: &str) -> Option<&Entry> {
        self.durable.get(group)
    }

    pub fn is_written(&self) -> bool {
        self.writing.is_empty()
    }

    pub fn next_wakeup(&self) -> Option<Time> {
        self.writing.front().map(|(at, ..)| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::SECOND;

    fn entry(group: &str, state: EntryState) -> Entry {
        Entry {
            group: group.into(),
            slots: 1,
            capabilities: Vec::new(),
            state,
            infrastructure: String::new(),
        }
    }

    #[test]
    fn a_record_is_durable_once_it_is_done_and_not_before() {
        let mut random = Random::new(1);
        let mut ledger = Ledger::default();
        ledger.write(0, 1, vec![entry("a", EntryState::Intended)], &mut random);
        assert!(ledger.entry("a").is_none());
        assert_eq!(ledger.done(SECOND), Some(1));
        assert!(ledger.entry("a").is_some());
        ledger.write(
            SECOND,
            2,
            vec![entry("a", EntryState::Forgotten)],
            &mut random,
        );
        assert_eq!(ledger.done(2 * SECOND), Some(2));
        assert!(ledger.entries().is_empty());
    }

    #[test]
    fn a_crash_leaves_a_beginning_of_what_was_being_written() {
        let mut left = std::collections::BTreeSet::new();
        for seed in 0..50 {
            let mut random = Random::new(seed);
            let mut ledger = Ledger::default();
            for (number, group) in ["a", "b"].into_iter().enumerate() {
                let entries = vec![entry(group, EntryState::Intended)];
                ledger.write(0, number as u64 + 1, entries, &mut random);
            }
            let groups = ledger.crashed(&mut random).entries().into_iter();
            left.insert(groups.map(|entry| entry.group).collect::<String>());
        }
        assert_eq!(left.into_iter().collect::<Vec<_>>(), ["", "a", "ab"]);
    }
}
