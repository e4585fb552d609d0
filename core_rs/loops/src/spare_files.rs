//! Makes the files of `mapped`. One that nobody uses any more is written anew, for most of what a large file costs is
//! getting its pages from the kernel.
//!
//! Who uses a file is the kernel's to know. What is handed out is a second opening of the file with a shared lock on it,
//! which every descriptor, every mapping and every message under way keeps alive, in whatever process, and which goes
//! with the last of them, however that ends. Whoever gets an exclusive lock on the first opening has it alone.
//!
//! What a file was written from may be kept beside it (`Source`): who gets the same bytes back, as a task's result, has
//! them here already. That is so until the file is written anew or let go of, a few seconds at most.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rustix::fs::{FallocateFlags, FlockOperation, MemfdFlags, Mode, OFlags, SealFlags};

use crate::copies::Owner;
use crate::copying;
use crate::mapped::{self, FileId, Mapped};
use crate::shared::lock;

/// Bytes of files, in use or not, that may come to be used again.
const MOST_KEPT: usize = 256 << 20;
const MOST_FILES: usize = 64;
/// How long memory is kept that nobody uses.
const IDLE: Duration = Duration::from_secs(1);
/// How long it is looked whether a file that is used is not any more.
const PATIENCE: Duration = Duration::from_secs(3);
const PAGE: usize = 4096;

static SPARE: Mutex<Spare> = Mutex::new(Spare {
    process: 0,
    kept: Vec::new(),
    watched: false,
});

struct Kept {
    file: OwnedFd,
    size: usize,
    since: Instant,
    id: FileId,
    given: Weak<Mapped>,
    /// Where in the file, and where in this process.
    sources: Vec<(u64, Source)>,
}

/// Memory that does not change.
pub struct Source {
    pub address: usize,
    pub length: usize,
    pub owner: Owner,
}

struct Spare {
    /// Whose they are. A child made by fork has the same openings, and so the same locks: it lets go of them.
    process: u32,
    /// The oldest first.
    kept: Vec<Kept>,
    /// A thread frees what stays unused.
    watched: bool,
}

/// A payload of these bytes in a file of its own. `None`: too small, or there may be no more files or memory; then the
/// bytes travel as they are.
pub fn share(parts: &[&[u8]]) -> Option<Bytes> {
    share_from(parts, Vec::new())
}

/// The same. `sources`: whose memory parts are, by number of the part.
pub fn share_from(parts: &[&[u8]], sources: Vec<(usize, Source)>) -> Option<Bytes> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    if length < mapped::LEAST || !mapped::has_room() {
        return None;
    }
    written(parts, length, sources).ok()
}

/// What this part of a file was written from.
pub fn source(file: FileId, offset: u64, length: usize) -> Option<Owner> {
    let mut spare = lock(&SPARE);
    spare.own();
    let kept = spare.kept.iter().find(|kept| kept.id == file)?;
    let mut sources = kept.sources.iter();
    let (_, source) = sources.find(|(at, source)| *at == offset && source.length == length)?;
    Some(Arc::clone(&source.owner))
}

/// The part of a file that was written from this memory, while somebody here has the file.
pub fn written_from(memory: &[u8]) -> Option<Bytes> {
    let address = memory.as_ptr() as usize;
    let mut spare = lock(&SPARE);
    spare.own();
    for kept in &spare.kept {
        for (at, source) in &kept.sources {
            let within = address.checked_sub(source.address);
            let fits = |within: &usize| within + memory.len() <= source.length;
            let Some(within) = within.filter(fits) else {
                continue;
            };
            let start = *at as usize + within;
            let mapped = kept.given.upgrade()?;
            drop(spare);
            return Some(mapped.part(start..start + memory.len()));
        }
    }
    None
}

/// Forgets what files were written from where nobody needs it.
pub fn forget_sources(is_unused: impl Fn(&Owner) -> bool) {
    for kept in &mut lock(&SPARE).kept {
        kept.sources.retain(|(_, source)| !is_unused(&source.owner));
    }
}

/// `payload` itself where it is in a file, otherwise a copy that is, if possible.
pub fn shared(payload: Bytes) -> Bytes {
    if payload.len() < mapped::LEAST || mapped::file_of(&payload).is_some() {
        return payload;
    }
    share(&[&payload]).unwrap_or(payload)
}

/// A file that is written bit by bit, and parts of which are given away meanwhile.
pub struct Growing {
    /// Given back when this goes.
    file: Option<OwnedFd>,
    size: usize,
    mapped: Arc<Mapped>,
}

impl Growing {
    /// `None` as of [`share`].
    pub fn new(length: usize) -> Option<Growing> {
        if length < mapped::LEAST || !mapped::has_room() {
            return None;
        }
        let size = length.next_multiple_of(PAGE);
        // A new one: what an old one has would be seen in the parts that are not there yet.
        let file = make(size).ok()?;
        let mapped = Mapped::own(hand_out(&file).ok()?).ok()?;
        let file = Some(file);
        Some(Growing { file, size, mapped })
    }

    /// Where nobody has been given anything yet.
    pub fn write(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        debug_assert!(offset + bytes.len() as u64 <= self.size as u64);
        self.file
            .as_ref()
            .map_or(Ok(()), |file| copying::write(file.as_fd(), bytes, offset))
    }

    /// What was written there.
    pub fn part(&self, range: std::ops::Range<usize>) -> Bytes {
        self.mapped.part(range)
    }
}

impl Drop for Growing {
    fn drop(&mut self) {
        if let Some(file) = self.file.take() {
            keep(Kept {
                file,
                size: self.size,
                since: Instant::now(),
                id: self.mapped.id(),
                given: Arc::downgrade(&self.mapped),
                sources: Vec::new(),
            });
        }
    }
}

fn written(parts: &[&[u8]], length: usize, sources: Vec<(usize, Source)>) -> io::Result<Bytes> {
    let size = length.next_multiple_of(PAGE);
    let (file, size, used) = match take(size) {
        Some((file, size)) => (file, size, true),
        None => (make(size)?, size, false),
    };
    let (mut offset, mut placed) = (0, Vec::with_capacity(sources.len()));
    let mut sources = sources.into_iter().peekable();
    for (number, part) in parts.iter().enumerate() {
        copying::write(file.as_fd(), part, offset)?;
        let source = sources.next_if(|(of, _)| *of == number);
        placed.extend(source.map(|(_, source)| (offset, source)));
        offset += part.len() as u64;
    }
    if used {
        forget_rest(&file, offset, size as u64)?;
    }
    let given = hand_out(&file)?;
    let mapped: Arc<Mapped> = Mapped::own(given)?;
    keep(Kept {
        file,
        size,
        since: Instant::now(),
        id: mapped.id(),
        given: Arc::downgrade(&mapped),
        sources: placed,
    });
    Ok(mapped.part(0..length))
}

fn make(size: usize) -> io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let file = rustix::fs::memfd_create("scaler-object", flags)?;
    rustix::fs::ftruncate(&file, size as u64)?;
    rustix::fs::fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
    Ok(file)
}

/// What was there before belongs to whoever had it, and the memory to nobody.
fn forget_rest(file: &OwnedFd, from: u64, size: u64) -> io::Result<()> {
    let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    match size - from {
        0 => Ok(()),
        rest => Ok(rustix::fs::fallocate(file, flags, from, rest)?),
    }
}

/// The opening that others get.
fn hand_out(file: &OwnedFd) -> io::Result<OwnedFd> {
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    let given = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    rustix::fs::flock(file, FlockOperation::Unlock)?;
    rustix::fs::flock(&given, FlockOperation::NonBlockingLockShared)?;
    Ok(given)
}

fn is_unused(kept: &Kept) -> bool {
    // Quicker than to ask the kernel, and mostly so.
    if kept.given.strong_count() > 0 {
        return false;
    }
    rustix::fs::flock(kept.file.as_fd(), FlockOperation::NonBlockingLockExclusive).is_ok()
}

/// One that is large enough and hardly larger, locked.
fn take(size: usize) -> Option<(OwnedFd, usize)> {
    let mut spare = lock(&SPARE);
    spare.own();
    let fits = |kept: &Kept| kept.size >= size && kept.size - size <= size / 4;
    let at = spare
        .kept
        .iter()
        .position(|kept| fits(kept) && is_unused(kept))?;
    let kept = spare.kept.remove(at);
    Some((kept.file, kept.size))
}

fn keep(kept: Kept) {
    let mut spare = lock(&SPARE);
    spare.own();
    spare.kept.push(kept);
    let bytes = |kept: &[Kept]| kept.iter().map(|one| one.size).sum::<usize>();
    while bytes(&spare.kept) > MOST_KEPT || spare.kept.len() > MOST_FILES {
        spare.kept.remove(0);
    }
    if !spare.watched && !spare.kept.is_empty() {
        let thread = std::thread::Builder::new().name("scaler-spare".into());
        spare.watched = thread.spawn(watch).is_ok();
        if !spare.watched {
            spare.kept.clear();
        }
    }
}

/// Frees what nobody has used for a while, until nothing is kept.
fn watch() {
    loop {
        std::thread::sleep(IDLE);
        let mut spare = lock(&SPARE);
        spare.kept.retain(|kept| {
            let age = kept.since.elapsed();
            let free = age > IDLE && is_unused(kept);
            !free && age < PATIENCE
        });
        if spare.kept.is_empty() {
            spare.watched = false;
            return;
        }
    }
}

impl Spare {
    fn own(&mut self) {
        let process = std::process::id();
        if self.process != process {
            self.process = process;
            self.kept.clear();
            self.watched = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_growing_file_has_nothing_of_old_ones_where_it_is_not_written() {
        const LENGTH: usize = 3 * mapped::LEAST;
        for _ in 0..20 {
            drop(share(&[&vec![7; LENGTH]]).unwrap());
            let new = Growing::new(LENGTH).unwrap();
            new.write(&[8; PAGE], 0).unwrap();
            let whole = new.part(0..LENGTH);
            assert!(whole[..PAGE].iter().all(|&byte| byte == 8));
            assert!(whole[PAGE..].iter().all(|&byte| byte == 0));
        }
    }
}
