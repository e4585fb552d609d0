//! How jobs are called.
//!
//! The *root* of a name says which element it is, with its function and arguments: `<session>-<sequence>-<16 hex>`. So
//! a process that was started again knows the jobs of the one before it. What follows, the process and a count, makes
//! the name one that no other job has: infrastructures remember ended ones.

use crate::wire::{Payload, Sequence, SessionId};

use super::config::JobParts;

/// The first bytes of a digest of a payload.
pub type Digest<P> = fn(&P) -> u64;

pub(super) fn root<P: Payload>(
    parts: &JobParts<P>,
    function: &[u8; 16],
    digest: Digest<P>,
) -> String {
    let mut sum = Mixed::default();
    function.iter().for_each(|byte| sum.add(u64::from(*byte)));
    sum.add(parts.style as u64);
    sum.add(parts.form as u64);
    sum.add(u64::from(parts.index));
    sum.add(digest(&parts.payload));
    for taken in &parts.taken {
        sum.add(u64::from(taken.index));
        sum.add(digest(&taken.payload));
    }
    element_root(parts.session, parts.sequence, sum.0)
}

fn element_root(session: SessionId, sequence: Sequence, sum: u64) -> String {
    format!("{session:016x}-{sequence}-{sum:016x}")
}

pub(super) fn name(root: &str, run: u64, count: u64) -> String {
    format!("{root}-{run:x}-{count}")
}

/// The root of a name; `None`: it is no job's.
pub(super) fn root_of(name: &str) -> Option<&str> {
    let mut parts = name.rsplitn(3, '-');
    let (_count, _run) = (parts.next()?, parts.next()?);
    let root = parts.next()?;
    (root.split('-').count() == 3).then_some(root)
}

/// FNV-1a over words: what goes in are digests already.
struct Mixed(u64);

impl Default for Mixed {
    fn default() -> Self {
        Mixed(0xcbf2_9ce4_8422_2325)
    }
}

impl Mixed {
    fn add(&mut self, word: u64) {
        for byte in word.to_le_bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_its_root() {
        let root = element_root(7, 12, 99);
        assert_eq!(root_of(&name(&root, 3, 4)), Some(root.as_str()));
        assert_eq!(root_of("group-7"), None);
        assert_eq!(root_of("a-b-c-d"), None);
    }
}
