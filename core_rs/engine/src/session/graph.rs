//! What the client knows of elements that need others: values kept for those that may have to be told them again, and
//! what follows from an outcome.
//!
//! An element whose value the client does not want has its outcome with the last of those that take it. One that needs
//! an element without a value falls with it. The scheduler follows the same rules and says neither.

use std::collections::BTreeMap;

use smallvec::SmallVec;

use crate::wire::{Form, GivenValue, Graph, Need, ObjectKey, Payload, Sequence, WANTED};

/// The value of an element: entry `index` of a payload.
#[derive(Clone, Debug)]
pub(super) struct Value<P> {
    pub count: u32,
    pub form: Form,
    pub payload: P,
    pub index: u32,
}

impl<P: Payload> Value<P> {
    /// The object that holds it.
    pub fn object(&self) -> Option<ObjectKey> {
        let reference = self.payload.as_reference();
        let reference = reference.filter(|_| self.form == Form::Reference);
        reference.map(|(key, _)| key)
    }
}

/// An element whose value others need.
#[derive(Debug)]
struct Kept<P> {
    /// Submitted elements without an outcome that need it.
    dependents: SmallVec<[Sequence; 2]>,
    /// Of those that were announced: how many have no outcome, submitted or not. 0 where none were.
    announced: u32,
    /// Dependents that were not.
    others: u32,
    /// The client wants its value.
    wanted: bool,
    value: Option<Value<P>>,
}

#[derive(Debug)]
pub(super) struct Graphs<P> {
    kept: BTreeMap<Sequence, Kept<P>>,
    last_value: u64,
}

/// What follows from an element's end.
#[derive(Debug)]
pub(super) struct Ended<P> {
    /// Nobody needs it any more, and the client does not want it.
    pub unneeded: Option<Sequence>,
    /// A value that is let go of.
    pub value: Option<Value<P>>,
}

impl<P> Default for Graphs<P> {
    fn default() -> Self {
        Graphs {
            kept: BTreeMap::new(),
            last_value: 0,
        }
    }
}

impl<P: Payload> Graphs<P> {
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// Whether its value is, or will be, there for one more element.
    pub fn has_value(&self, sequence: Sequence) -> bool {
        let kept = self.kept.get(&sequence);
        kept.is_some_and(|kept| kept.value.is_some())
    }

    /// Whether its client wants its value.
    pub fn is_wanted(&self, sequence: Sequence) -> bool {
        self.kept.get(&sequence).is_none_or(|kept| kept.wanted)
    }

    /// Elements from `first` on were submitted.
    pub fn submitted(&mut self, first: Sequence, graph: &Graph) {
        for (offset, &uses) in graph.uses.iter().enumerate() {
            if uses & !WANTED > 0 {
                let kept = Kept {
                    dependents: SmallVec::new(),
                    announced: uses & !WANTED,
                    others: 0,
                    wanted: uses & WANTED != 0,
                    value: None,
                };
                self.kept.insert(first + offset as u64, kept);
            }
        }
        for need in &graph.needs {
            let kept = self.kept.entry(need.on).or_insert_with(|| Kept {
                dependents: SmallVec::new(),
                announced: 0,
                others: 0,
                wanted: true,
                value: None,
            });
            kept.dependents.push(first + u64::from(need.element));
            kept.others += u32::from(!need.announced);
        }
    }

    /// The elements among `start .. end` whose value others need and lack.
    pub fn without_value(&self, start: Sequence, end: Sequence) -> Vec<Sequence> {
        let kept = self.kept.range(start..end);
        let without = kept.filter(|(_, kept)| kept.value.is_none());
        without.map(|(&sequence, _)| sequence).collect()
    }

    pub fn keep(&mut self, sequence: Sequence, value: Value<P>) {
        if let Some(kept) = self.kept.get_mut(&sequence) {
            kept.value = Some(value);
        }
    }

    /// It ends without a value: gives those that fall with it.
    pub fn fall(&mut self, sequence: Sequence) -> SmallVec<[Sequence; 2]> {
        let kept = self.kept.remove(&sequence);
        kept.map_or_else(SmallVec::new, |kept| kept.dependents)
    }

    /// `dependent`, which has this need, has its outcome.
    pub fn let_go(&mut self, need: &Need, dependent: Sequence) -> Ended<P> {
        let mut ended = Ended {
            unneeded: None,
            value: None,
        };
        let on = need.on;
        let Some(kept) = self.kept.get_mut(&on) else {
            return ended;
        };
        let at = kept.dependents.iter().position(|&it| it == dependent);
        if let Some(at) = at {
            kept.dependents.swap_remove(at);
        }
        if need.announced {
            kept.announced = kept.announced.saturating_sub(1);
        } else {
            kept.others = kept.others.saturating_sub(1);
        }
        if kept.announced > 0 || !kept.dependents.is_empty() {
            return ended;
        }
        if let Some(kept) = self.kept.remove(&on) {
            ended.unneeded = (!kept.wanted).then_some(on);
            ended.value = kept.value;
        }
        ended
    }

    /// What a submission that is said again says of uses: all that are unfinished, or yet to come, are announced then.
    pub fn uses(&self, first: Sequence, uses: &[u32]) -> Vec<u32> {
        let now = |offset: usize| {
            let kept = self.kept.get(&(first + offset as u64));
            let uses = kept.map_or(0, |kept| kept.announced + kept.others);
            match kept {
                Some(kept) if uses > 0 && kept.wanted => uses | WANTED,
                _ => uses,
            }
        };
        (0..uses.len()).map(now).collect()
    }

    /// The value for the scheduler that lacks it, under a number of its own.
    pub fn give(&mut self, on: Sequence) -> (GivenValue, Option<Value<P>>) {
        let value = self.kept.get(&on).and_then(|kept| kept.value.clone());
        let mut given = GivenValue {
            on,
            value: 0,
            index: 0,
        };
        if let Some(value) = &value {
            self.last_value += 1;
            given.value = self.last_value;
            given.index = value.index;
        }
        (given, value)
    }

    pub fn bytes(&self) -> usize {
        let values = self.kept.values().filter_map(|kept| kept.value.as_ref());
        values.map(|value| value.payload.len()).sum()
    }
}
