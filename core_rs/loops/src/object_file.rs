//! One object in one file: its bytes, a sum of each part, and a tail that says what it is.
//!
//! ```text
//! 0      the object's bytes
//! size   16 bytes a part of 4 MiB: the beginning of its blake3
//! …      "SCLROBJ1" ‖ session u64 ‖ hash 16 ‖ size u64 ‖ blake3 of the sums and of this tail so far, 32
//! ```
//!
//! It is written under another name (`.part`) and gets its own once it is whole. What the machine's own death left
//! half-written is known by its length or its tail, and what changed later by the sum of its part: wrong bytes are
//! never handed out. Nothing waits for the disk (`fsync`): a process that dies takes no written byte with it.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use scaler_engine::store::{FileId, PART};
use scaler_wire::ObjectKey;

type Sum = [u8; SUM];

const SUM: usize = 16;
const MAGIC: &[u8; 8] = b"SCLROBJ1";
const TAIL: usize = 8 + 8 + 16 + 8 + 32;
const UNFINISHED: &str = "part";

/// What a file holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Content {
    pub key: ObjectKey,
    pub size: u64,
}

/// A whole file: what reads of it are compared with.
#[derive(Debug)]
pub struct ObjectFile {
    sums: Vec<Sum>,
}

/// A file of which parts have been written.
pub struct Unfinished {
    content: Content,
    written: u64,
    sums: Vec<Sum>,
    /// Of the part that the next byte belongs to.
    hasher: blake3::Hasher,
}

pub fn path(folder: &Path, file: FileId) -> PathBuf {
    folder.join(format!("{file:016x}"))
}

/// The number of the file of that name; `None`: it is no whole file.
pub fn number(name: &str) -> Option<FileId> {
    (name.len() == 16)
        .then(|| FileId::from_str_radix(name, 16).ok())
        .flatten()
}

pub fn delete(folder: &Path, file: FileId) {
    let path = path(folder, file);
    if fs::remove_file(&path).is_err() {
        let _ = fs::remove_file(path.with_extension(UNFINISHED));
    }
}

impl Unfinished {
    pub fn new(content: Content) -> Unfinished {
        Unfinished {
            content,
            written: 0,
            sums: Vec::new(),
            hasher: blake3::Hasher::new(),
        }
    }

    /// Appends bytes; with the last of them the file is whole and has its name.
    pub fn write(&mut self, path: &Path, bytes: &[u8]) -> io::Result<Option<ObjectFile>> {
        let unfinished = path.with_extension(UNFINISHED);
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(self.written == 0)
            .mode(0o600)
            .open(&unfinished)?;
        file.write_all_at(bytes, self.written)?;
        self.add(bytes);
        if self.written < self.content.size {
            return Ok(None);
        }
        if !self.written.is_multiple_of(PART) {
            self.end_part();
        }
        file.write_all_at(&tail(&self.sums, &self.content), self.written)?;
        fs::rename(unfinished, path)?;
        let sums = std::mem::take(&mut self.sums);
        Ok(Some(ObjectFile { sums }))
    }

    fn add(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let room = (PART - self.written % PART) as usize;
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.hasher.update(now);
            self.written += now.len() as u64;
            bytes = later;
            if self.written.is_multiple_of(PART) {
                self.end_part();
            }
        }
    }

    fn end_part(&mut self) {
        self.sums.push(short(&self.hasher.finalize()));
        self.hasher.reset();
    }
}

impl ObjectFile {
    /// What an earlier process wrote; an error where it is not whole.
    pub fn open(path: &Path) -> io::Result<(Content, ObjectFile)> {
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        let at = length
            .checked_sub(TAIL as u64)
            .ok_or_else(|| broken("it is cut off"))?;
        let mut tail_here = [0; TAIL];
        file.read_exact_at(&mut tail_here, at)?;
        let content = content(&tail_here).ok_or_else(|| broken("it has no tail"))?;
        let parts = content.size.div_ceil(PART);
        if length != content.size + parts * SUM as u64 + TAIL as u64 {
            return Err(broken("it is of another length"));
        }
        let mut bytes = vec![0; parts as usize * SUM];
        file.read_exact_at(&mut bytes, content.size)?;
        let sums: Vec<Sum> = bytes.chunks_exact(SUM).map(first).collect();
        if tail(&sums, &content)[bytes.len()..] != tail_here {
            return Err(broken("its tail does not belong to it"));
        }
        Ok((content, ObjectFile { sums }))
    }

    /// One part, whole: `offset` is where it begins.
    pub fn read(&self, path: &Path, offset: u64, length: u64) -> io::Result<Bytes> {
        let mut bytes = vec![0; length as usize];
        File::open(path)?.read_exact_at(&mut bytes, offset)?;
        let sum = self.sums.get((offset / PART) as usize);
        // An empty object has no parts.
        if length > 0 && sum != Some(&short(&blake3::hash(&bytes))) {
            return Err(broken("its bytes are not those that were written"));
        }
        Ok(bytes.into())
    }
}

fn short(hash: &blake3::Hash) -> Sum {
    first(hash.as_bytes())
}

fn first(bytes: &[u8]) -> Sum {
    let mut sum = [0; SUM];
    sum.copy_from_slice(&bytes[..SUM]);
    sum
}

/// All that comes after the object's bytes.
fn tail(sums: &[Sum], content: &Content) -> Vec<u8> {
    let mut bytes = sums.concat();
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&content.key.session.to_le_bytes());
    bytes.extend_from_slice(&content.key.hash);
    bytes.extend_from_slice(&content.size.to_le_bytes());
    let sum = blake3::hash(&bytes);
    bytes.extend_from_slice(sum.as_bytes());
    bytes
}

fn content(tail: &[u8; TAIL]) -> Option<Content> {
    let rest = tail.strip_prefix(MAGIC)?;
    let (session, rest) = rest.split_first_chunk()?;
    let (hash, rest) = rest.split_first_chunk()?;
    let (size, _) = rest.split_first_chunk()?;
    let key = ObjectKey {
        session: u64::from_le_bytes(*session),
        hash: *hash,
    };
    let size = u64::from_le_bytes(*size);
    // No sum of such sizes overflows.
    (size < 1 << 48).then_some(Content { key, size })
}

fn broken(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
