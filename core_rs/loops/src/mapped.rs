//! Large payloads of one host: files in memory that every process maps and nobody copies.
//!
//! Such a payload is a `Bytes` like any other, so nothing above the sockets knows of it. What makes it one is that its
//! address lies in a mapping that this module made: `output` asks here, and sends the file instead of the bytes.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};

use bytes::Bytes;
use rustix::fs::{SealFlags, Stat};

use crate::copying;
use crate::linux::{has_own_pages, Mapping};
use crate::shared::lock;

/// Smaller payloads travel in their frames: making a file costs about as much as copying so much.
pub const LEAST: usize = 256 << 10;
/// What the kernel calls the file system of files in memory. Others may wait for a disk or a network, and fail there.
const TMPFS: i64 = 0x0102_1994;
/// Of the descriptors that a process may have, the part that may be such files.
const SHARE_OF_DESCRIPTORS: u64 = 4;

/// The kernel lets a process have 65,530 mappings, and most of these are for others.
const MOST_VIEWS: usize = 8_192;

static LIVE: AtomicUsize = AtomicUsize::new(0);
static VIEWS: AtomicUsize = AtomicUsize::new(0);
/// By the first address of their mappings.
static ALL: Mutex<BTreeMap<usize, Weak<Mapped>>> = Mutex::new(BTreeMap::new());
/// The writable mappings of this process: by first address, their length and their file, while that is open.
static OWN_VIEWS: Mutex<BTreeMap<usize, (usize, Weak<Mapped>)>> = Mutex::new(BTreeMap::new());

/// Device and number, which tell files apart while they are open.
pub type FileId = (u64, u64);

/// A file in memory that nobody can make shorter, and its mapping.
pub struct Mapped {
    mapping: Mapping,
    file: OwnedFd,
    id: FileId,
}

impl Mapped {
    /// `stat`: of the file, which is sealed against shrinking.
    fn new(file: OwnedFd, stat: &Stat, mapping: Mapping) -> Arc<Mapped> {
        let id = id(stat);
        let mapped = Arc::new(Mapped { mapping, file, id });
        LIVE.fetch_add(1, Ordering::Relaxed);
        lock(&ALL).insert(mapped.address(), Arc::downgrade(&mapped));
        mapped
    }

    /// One that this process made.
    pub(crate) fn own(file: OwnedFd) -> io::Result<Arc<Mapped>> {
        let stat = rustix::fs::fstat(&file)?;
        let mapping = map(&file, &stat)?;
        Ok(Mapped::new(file, &stat, mapping))
    }

    pub fn file(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    pub fn id(&self) -> FileId {
        self.id
    }

    /// Bytes of the whole file.
    pub fn length(&self) -> usize {
        self.mapping.as_slice().len()
    }

    /// The payload that is this part of it.
    pub fn part(self: &Arc<Self>, range: Range<usize>) -> Bytes {
        Bytes::from_owner(Owner(Arc::clone(self))).slice(range)
    }

    /// Reads without touching the mapping: its pages need no entries in this process then.
    pub fn read(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        copying::read(self.file(), buffer, offset)
    }

    /// The whole file, writable for whoever has this mapping alone.
    pub fn copy_on_write(self: &Arc<Self>) -> io::Result<OwnView> {
        let own = OwnView(Mapping::copy_on_write(self.file(), self.length())?);
        let (start, length) = (own.start() as usize, self.length());
        lock(&OWN_VIEWS).insert(start, (length, Arc::downgrade(self)));
        if VIEWS.fetch_add(1, Ordering::Relaxed) >= MOST_VIEWS {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        Ok(own)
    }

    fn address(&self) -> usize {
        self.mapping.as_slice().as_ptr() as usize
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        lock(&ALL).remove(&self.address());
        LIVE.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A mapping whose changes nobody else sees.
pub struct OwnView(Mapping);

impl std::ops::Deref for OwnView {
    type Target = Mapping;

    fn deref(&self) -> &Mapping {
        &self.0
    }
}

impl Drop for OwnView {
    fn drop(&mut self) {
        // Before it is unmapped: something else may lie there then.
        lock(&OWN_VIEWS).remove(&(self.start() as usize));
        VIEWS.fetch_sub(1, Ordering::Relaxed);
    }
}

struct Owner(Arc<Mapped>);

impl AsRef<[u8]> for Owner {
    fn as_ref(&self) -> &[u8] {
        self.0.mapping.as_slice()
    }
}

/// The file that a payload lies in, and where.
pub fn file_of(payload: &[u8]) -> Option<(Arc<Mapped>, u64)> {
    if payload.len() < LEAST {
        return None;
    }
    let address = payload.as_ptr() as usize;
    let all = lock(&ALL);
    let (start, mapped) = all.range(..=address).next_back()?;
    let (start, mapped) = (*start, mapped.upgrade()?);
    drop(all);
    let offset = address - start;
    (offset + payload.len() <= mapped.length()).then_some((mapped, offset as u64))
}

/// The part of a file that these bytes are: they lie in a mapping of it, and nobody has written there.
pub fn unwritten(bytes: &[u8]) -> Option<Bytes> {
    if let Some((mapped, offset)) = file_of(bytes) {
        let start = offset as usize;
        return Some(mapped.part(start..start + bytes.len()));
    }
    if bytes.len() < LEAST {
        return None;
    }
    let address = bytes.as_ptr() as usize;
    let views = lock(&OWN_VIEWS);
    let (start, (length, mapped)) = views.range(..=address).next_back()?;
    let offset = address - start;
    let within = offset + bytes.len() <= *length;
    let mapped = mapped.upgrade().filter(|_| within)?;
    drop(views);
    // Pages that were written are this process's own.
    has_own_pages(bytes)
        .is_ok_and(|own| !own)
        .then(|| mapped.part(offset..offset + bytes.len()))
}

/// Parts of an object, those that are neighbours in a file made one.
pub fn joined(parts: Vec<Bytes>) -> Vec<Bytes> {
    let mut joined: Vec<Bytes> = Vec::with_capacity(parts.len());
    let mut last: Option<(Arc<Mapped>, usize)> = None;
    for part in parts {
        let lies = file_of(&part).map(|(mapped, offset)| (mapped, offset as usize));
        if let (Some((mapped, start)), Some((other, at)), Some(before)) =
            (&last, &lies, joined.last_mut())
        {
            if mapped.id == other.id && start + before.len() == *at {
                *before = mapped.part(*start..at + part.len());
                continue;
            }
        }
        joined.push(part);
        last = lies;
    }
    joined
}

/// Whether this process may have one more such file.
pub fn has_room() -> bool {
    static MOST: OnceLock<u64> = OnceLock::new();
    let most = *MOST.get_or_init(|| {
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
        limit.current.unwrap_or(u64::MAX) / SHARE_OF_DESCRIPTORS
    });
    (LIVE.load(Ordering::Relaxed) as u64) < most
}

/// How many such files this process has.
pub fn live() -> usize {
    LIVE.load(Ordering::Relaxed)
}

/// What a peer's descriptors are turned into. Parts of one file mostly come one after the other, and share a mapping.
#[derive(Default)]
pub struct Incoming {
    last: Weak<Mapped>,
}

impl Incoming {
    /// The payload that the peer says is there. Nothing that it says is believed: what is mapped cannot get shorter,
    /// and everything else is copied.
    pub fn payload(&mut self, file: OwnedFd, offset: u64, length: usize) -> io::Result<Bytes> {
        let stat = rustix::fs::fstat(&file)?;
        let end = offset.checked_add(length as u64);
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        if rustix::fs::fstatfs(&file)?.f_type as i64 != TMPFS {
            return Err(invalid("not a file in memory"));
        }
        if length == 0 || end.is_none_or(|end| end > size) {
            return Err(invalid("a file that is shorter than its payload"));
        }
        let range = offset as usize..offset as usize + length;
        if let Some(last) = self.last.upgrade().filter(|last| last.id == id(&stat)) {
            return match range.end <= last.length() {
                true => Ok(last.part(range)),
                false => Err(invalid("a file that grew")),
            };
        }
        let sealed =
            rustix::fs::fcntl_get_seals(&file).is_ok_and(|seals| seals.contains(SealFlags::SHRINK));
        // A process may have only so many mappings, too.
        let mapping = (sealed && has_room()).then(|| map(&file, &stat).ok());
        if let Some(mapping) = mapping.flatten() {
            let mapped = Mapped::new(file, &stat, mapping);
            self.last = Arc::downgrade(&mapped);
            return Ok(mapped.part(range));
        }
        let mut copy = vec![0; length];
        copying::read(file.as_fd(), &mut copy, offset)?;
        Ok(Bytes::from(copy))
    }
}

impl std::fmt::Debug for Incoming {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        to.write_str("Incoming")
    }
}

fn map(file: &OwnedFd, stat: &Stat) -> io::Result<Mapping> {
    let length = usize::try_from(stat.st_size).map_err(|_| invalid("no such size"))?;
    Mapping::read_only(file.as_fd(), length)
}

fn id(stat: &Stat) -> FileId {
    (stat.st_dev, stat.st_ino)
}

fn invalid(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}
