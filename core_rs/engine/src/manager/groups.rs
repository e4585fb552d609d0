//! All groups, by number and name, and what is to be done for which of them: derived from each group by [`Groups::change`].

use std::collections::{BTreeMap, BTreeSet};

use super::config::{Entry, EntryState};
use super::group::{Group, Phase};

/// Of a group, in the order in which they became known.
pub(super) type Number = u64;

/// A group with what was last written of it.
struct Kept {
    group: Group,
    written: Option<(EntryState, String)>,
}

/// Where a group stands in the indexes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Place {
    fresh: Option<u64>,
    again: Option<u64>,
    doomed: Option<u64>,
    occupies: bool,
    struggles: bool,
}

impl Place {
    fn of(group: &Group) -> Place {
        let (occupies, struggles) = (group.occupies(), group.struggles());
        let mut place = Place {
            occupies,
            struggles,
            ..Place::default()
        };
        match group.phase {
            Phase::Waiting { at } if occupies => place.again = Some(at),
            Phase::Waiting { at } => place.fresh = Some(at),
            Phase::Doomed { at } => place.doomed = Some(at),
            _ => {}
        }
        place
    }
}

/// Groups by the time from which on something is to be done for them.
pub(super) type Queue = BTreeSet<(u64, Number)>;

#[derive(Default)]
pub(super) struct Groups {
    all: BTreeMap<Number, Kept>,
    by_name: BTreeMap<String, Number>,
    last: Number,
    /// To be started for the first time; for each there has to be room.
    pub fresh: Queue,
    /// To be started again: they have their room.
    pub again: Queue,
    /// To be ended.
    pub doomed: Queue,
    /// Units that are there, or may be.
    pub occupied: u32,
    /// Groups that do not come up.
    pub struggling: u32,
    /// The ledger lacks what these have become.
    unwritten: BTreeSet<Number>,
    /// And these have gone.
    forgotten: Vec<Entry>,
    /// What is to be reported has changed.
    pub changed: bool,
}

impl Groups {
    pub fn len(&self) -> usize {
        self.all.len()
    }

    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub fn number_of(&self, name: &str) -> Option<Number> {
        self.by_name.get(name).copied()
    }

    pub fn get(&self, number: Number) -> Option<&Group> {
        self.all.get(&number).map(|kept| &kept.group)
    }

    pub fn iter(&self) -> impl Iterator<Item = (Number, &Group)> {
        self.all.iter().map(|(number, kept)| (*number, &kept.group))
    }

    pub fn numbers(&self) -> Vec<Number> {
        self.all.keys().copied().collect()
    }

    /// A name that is not known yet.
    pub fn add(&mut self, group: Group) -> Number {
        self.insert(group, None)
    }

    /// As the ledger has it.
    pub fn restore(&mut self, group: Group, entry: (EntryState, String)) {
        self.insert(group, Some(entry));
    }

    fn insert(&mut self, group: Group, written: Option<(EntryState, String)>) -> Number {
        self.last += 1;
        let number = self.last;
        let name = self.by_name.insert(group.name.clone(), number);
        assert!(name.is_none(), "{} is known already", group.name);
        self.move_to(number, Place::default(), Place::of(&group));
        self.all.insert(number, Kept { group, written });
        self.note_written(number);
        self.changed = true;
        number
    }

    /// Whatever `change` does to the group, all that is derived from it follows.
    pub fn change(&mut self, number: Number, change: impl FnOnce(&mut Group)) {
        let Some(kept) = self.all.get_mut(&number) else {
            return;
        };
        let (place, report) = (Place::of(&kept.group), kept.group.report());
        change(&mut kept.group);
        let moved = Place::of(&kept.group);
        self.changed |= report != kept.group.report();
        self.move_to(number, place, moved);
        self.note_written(number);
    }

    /// A heartbeat that began at that time showed it, unchanged or not.
    pub fn shown(&mut self, number: Number, began: u64) {
        if let Some(kept) = self.all.get_mut(&number) {
            kept.group.shown_at = began;
        }
    }

    pub fn forget(&mut self, number: Number) {
        let Some(kept) = self.all.remove(&number) else {
            return;
        };
        self.move_to(number, Place::of(&kept.group), Place::default());
        self.by_name.remove(&kept.group.name);
        self.unwritten.remove(&number);
        self.forgotten.push(kept.group.entry(EntryState::Forgotten));
        self.changed = true;
    }

    /// What the ledger has to be told, and groups of it whose intent is among that.
    pub fn take_unwritten(&mut self) -> (Vec<Entry>, Vec<Number>) {
        let mut entries = std::mem::take(&mut self.forgotten);
        let mut intents = Vec::new();
        for number in std::mem::take(&mut self.unwritten) {
            let kept = self.all.get_mut(&number).expect("unwritten are known");
            let state = kept.group.entry_state();
            kept.written = Some((state, kept.group.infrastructure.clone()));
            entries.push(kept.group.entry(state));
            if kept.group.phase == Phase::Recording {
                intents.push(number);
            }
        }
        (entries, intents)
    }

    fn note_written(&mut self, number: Number) {
        let kept = &self.all[&number];
        let is = (kept.group.entry_state(), &kept.group.infrastructure);
        let was = kept.written.as_ref();
        if was.is_some_and(|(state, infrastructure)| (*state, infrastructure) == is) {
            self.unwritten.remove(&number);
        } else {
            self.unwritten.insert(number);
        }
    }

    fn move_to(&mut self, number: Number, from: Place, to: Place) {
        for (queue, from, to) in [
            (&mut self.fresh, from.fresh, to.fresh),
            (&mut self.again, from.again, to.again),
            (&mut self.doomed, from.doomed, to.doomed),
        ] {
            if from == to {
                continue;
            }
            if let Some(at) = from {
                queue.remove(&(at, number));
            }
            if let Some(at) = to {
                queue.insert((at, number));
            }
        }
        self.occupied = self.occupied + u32::from(to.occupies) - u32::from(from.occupies);
        self.struggling = self.struggling + u32::from(to.struggles) - u32::from(from.struggles);
    }

    /// Panics where an index says something else than the groups.
    pub fn sanity_check(&self) {
        let mut places = Groups::default();
        for (number, group) in self.iter() {
            assert_eq!(self.by_name.get(&group.name), Some(&number), "names");
            places.move_to(number, Place::default(), Place::of(group));
        }
        assert_eq!(self.by_name.len(), self.all.len(), "names of nobody");
        assert_eq!(places.fresh, self.fresh, "groups to start");
        assert_eq!(places.again, self.again, "groups to start again");
        assert_eq!(places.doomed, self.doomed, "groups to end");
        assert_eq!(places.occupied, self.occupied, "units that may be there");
        assert_eq!(places.struggling, self.struggling, "groups that struggle");
        for (number, kept) in &self.all {
            let is = (kept.group.entry_state(), kept.group.infrastructure.clone());
            assert_eq!(
                kept.written.as_ref() != Some(&is),
                self.unwritten.contains(number),
                "what the ledger lacks"
            );
        }
    }
}
