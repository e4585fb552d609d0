//! Options, kept once for all arrays that have the same.

use std::collections::HashMap;
use std::sync::Arc;

use slab::Slab;

use crate::wire::Options;

use super::arrays::{ClassIndex, OptionsIndex};

#[derive(Debug)]
pub(super) struct Kept {
    pub options: Arc<Options>,
    pub class: ClassIndex,
    arrays: u32,
}

#[derive(Debug, Default)]
pub(super) struct OptionsTable {
    kept: Slab<Kept>,
    /// For look-ups only: nothing iterates it.
    by_value: HashMap<Arc<Options>, OptionsIndex>,
}

impl OptionsTable {
    pub fn get(&self, index: OptionsIndex) -> &Kept {
        &self.kept[index as usize]
    }

    pub fn find(&self, options: &Options) -> Option<OptionsIndex> {
        self.by_value.get(options).copied()
    }

    pub fn add(&mut self, options: Options, class: ClassIndex) -> OptionsIndex {
        let options = Arc::new(options);
        let index = self.kept.insert(Kept {
            options: options.clone(),
            class,
            arrays: 0,
        }) as OptionsIndex;
        self.by_value.insert(options, index);
        index
    }

    pub fn retain(&mut self, index: OptionsIndex) {
        self.kept[index as usize].arrays += 1;
    }

    /// One array less; gives the class when it was the last.
    pub fn release(&mut self, index: OptionsIndex) -> Option<ClassIndex> {
        let kept = &mut self.kept[index as usize];
        kept.arrays -= 1;
        if kept.arrays > 0 {
            return None;
        }
        let kept = self.kept.remove(index as usize);
        self.by_value.remove(&kept.options);
        Some(kept.class)
    }

    pub fn iter(&self) -> impl Iterator<Item = (OptionsIndex, &Kept)> {
        self.kept.iter().map(|(index, kept)| (index as u32, kept))
    }

    pub fn uses(&self, index: OptionsIndex) -> u32 {
        self.kept[index as usize].arrays
    }
}
