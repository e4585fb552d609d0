//! A value's bytes where other processes of this host reach them, copying no more than what is in no file yet.
//!
//! Such a value is in pieces: parts of files that are there already (arguments, mostly, that are part of a result), and
//! between these what was made here.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::copies;
use crate::mapped::{self, FileId, LEAST};
use crate::spare_files::{self, Source};

/// The parts one after the other. `sources`: whose memory parts are, by number of the part, in their order; who asks for
/// the same bytes soon may have that. `None`: too small, or nothing of it can be in a file.
pub fn gather(parts: &[&[u8]], sources: Vec<(usize, Source)>) -> Option<Vec<Bytes>> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    if length < LEAST {
        return None;
    }
    let mut found: Vec<Option<Bytes>> = parts.iter().map(|part| in_file(part)).collect();
    leave_what_wastes(&mut found);
    if found.iter().all(Option::is_none) {
        return Some(vec![spare_files::share_from(parts, sources)?]);
    }
    let (mut pieces, mut here) = (Vec::new(), Vec::new());
    for (part, found) in parts.iter().zip(found) {
        match found {
            Some(bytes) => {
                pieces.extend(made_here(&mut here));
                pieces.push(bytes);
            }
            None => here.push(*part),
        }
    }
    pieces.extend(made_here(&mut here));
    Some(mapped::joined(pieces))
}

fn made_here(parts: &mut Vec<&[u8]>) -> Option<Bytes> {
    let bytes = spare_files::share(parts).unwrap_or_else(|| Bytes::from(parts.concat()));
    parts.clear();
    (!bytes.is_empty()).then_some(bytes)
}

/// Where a part lies already.
fn in_file(part: &[u8]) -> Option<Bytes> {
    if part.len() < LEAST {
        return None;
    }
    mapped::unwritten(part)
        .or_else(|| copies::origin(part))
        .or_else(|| spare_files::written_from(part))
}

/// A file stays whole for any part of it: of one that is more than half as large again as what is used, that is copied.
fn leave_what_wastes(found: &mut [Option<Bytes>]) {
    let mut used: BTreeMap<FileId, (usize, usize)> = BTreeMap::new();
    let files: Vec<Option<FileId>> = found
        .iter()
        .map(|bytes| {
            let bytes = bytes.as_ref()?;
            let (file, _) = mapped::file_of(bytes)?;
            used.entry(file.id()).or_insert((0, file.length())).0 += bytes.len();
            Some(file.id())
        })
        .collect();
    for (bytes, file) in found.iter_mut().zip(files) {
        let enough = |(used, length): &(usize, usize)| length - used.min(length) <= used / 2;
        if !file.and_then(|file| used.get(&file)).is_some_and(enough) {
            *bytes = None;
        }
    }
}
