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

use crate::linux::Mapping;
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

/// A file in memory that nobody can make shorter, and its mapping.
pub struct Mapped {
    mapping: Mapping,
    file: OwnedFd,
    /// Device and number.
    id: (u64, u64),
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
        read_all(self.file(), buffer, offset)
    }

    /// The whole file, writable for whoever has this mapping alone.
    pub fn copy_on_write(&self) -> io::Result<OwnView> {
        let own = OwnView(Mapping::copy_on_write(self.file(), self.length())?);
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

/// One payload of neighbouring parts of a file: `None` where they are not.
pub fn joined(parts: &[Bytes]) -> Option<Bytes> {
    let (first, _) = (parts.first()?, parts.get(1).or(parts.first())?);
    let (mapped, offset) = file_of(first)?;
    let start = offset as usize;
    let mut end = start;
    for part in parts {
        if part.as_ptr() as usize != mapped.address() + end {
            return None;
        }
        end += part.len();
    }
    (end <= mapped.length()).then(|| mapped.part(start..end))
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
        read_all(file.as_fd(), &mut copy, offset)?;
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

fn id(stat: &Stat) -> (u64, u64) {
    (stat.st_dev, stat.st_ino)
}

fn read_all(file: BorrowedFd<'_>, buffer: &mut [u8], mut offset: u64) -> io::Result<()> {
    let mut done = 0;
    while done < buffer.len() {
        match rustix::io::pread(file, &mut buffer[done..], offset) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => (done, offset) = (done + count, offset + count as u64),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn invalid(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}
