//! Memory of this process that holds the same bytes as a file: it was read from there, and cannot change.
//!
//! A value that such memory is part of need not be written into a file again: it is in one. Whose memory it is, is the
//! caller's to know: here it is kept until he says that nobody else has it.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;

use crate::shared::lock;

/// Keeps memory where it is, and as it is, while this or any clone of it lives.
pub type Owner = Arc<dyn Any + Send + Sync>;

struct Copy {
    /// In a file, and as long as the memory.
    bytes: Bytes,
    owner: Owner,
}

/// By the memory's address.
static COPIES: Mutex<BTreeMap<usize, Copy>> = Mutex::new(BTreeMap::new());

/// `memory` is the owner's, and holds what `bytes` do.
pub fn remember(memory: &[u8], bytes: Bytes, owner: Owner) {
    debug_assert_eq!(memory.len(), bytes.len());
    let copy = Copy { bytes, owner };
    lock(&COPIES).insert(memory.as_ptr() as usize, copy);
}

/// The part of a file that this memory, or what it is part of, was read from.
pub fn origin(memory: &[u8]) -> Option<Bytes> {
    let address = memory.as_ptr() as usize;
    let copies = lock(&COPIES);
    let (start, copy) = copies.range(..=address).next_back()?;
    let start = address - start;
    let end = start.checked_add(memory.len())?;
    (end <= copy.bytes.len()).then(|| copy.bytes.slice(start..end))
}

/// Forgets the memory of owners that nobody needs.
pub fn forget(is_unused: impl Fn(&Owner) -> bool) {
    // What goes may unmap files: not with the lock.
    let gone: Vec<Copy> = {
        let mut copies = lock(&COPIES);
        let unused: Vec<usize> = copies
            .iter()
            .filter(|(_, copy)| is_unused(&copy.owner))
            .map(|(address, _)| *address)
            .collect();
        unused
            .iter()
            .filter_map(|address| copies.remove(address))
            .collect()
    };
    drop(gone);
}
