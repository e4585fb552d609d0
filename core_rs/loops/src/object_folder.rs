//! The folder of one object storage's files: whose it is, and what is in it at the start.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{flock, FlockOperation};
use scaler_engine::store::FileId;

use crate::linux;
use crate::object_file::{number, Content, ObjectFile};

const LOCK: &str = "lock";
/// The folder that stays, and the beginning of the names of those that go with their storage.
const KEPT: &str = "objects";
const PASSING: &str = "objects-";

/// A file that an earlier storage left.
pub struct Found {
    pub file: FileId,
    pub content: Content,
    pub sums: ObjectFile,
}

/// Below the directory that was given. Nobody else uses it while this lives.
pub struct ObjectFolder {
    pub path: PathBuf,
    kept: bool,
    _lock: File,
}

impl ObjectFolder {
    /// The one that stays after the storage's end, for the next one.
    pub fn kept(directory: &Path) -> io::Result<ObjectFolder> {
        let path = directory.join(KEPT);
        make(&path)?;
        let lock = lock(&path)?.ok_or_else(|| {
            let text = "another object storage uses it";
            io::Error::new(io::ErrorKind::ResourceBusy, text)
        })?;
        Ok(ObjectFolder {
            path,
            kept: true,
            _lock: lock,
        })
    }

    /// A new one, which goes with its storage; those of killed storages go now.
    pub fn passing(directory: &Path) -> io::Result<ObjectFolder> {
        make(directory)?;
        remove_left_over(directory);
        loop {
            let path = directory.join(format!("{PASSING}{:016x}", linux::random()));
            make(&path)?;
            // Another storage may take it for left over before it is locked.
            match lock(&path) {
                Ok(Some(lock)) if path.join(LOCK).exists() => {
                    return Ok(ObjectFolder {
                        path,
                        kept: false,
                        _lock: lock,
                    })
                }
                Err(error) if path.exists() => return Err(error),
                _ => {}
            }
        }
    }

    /// What is there and whole; the rest is removed. The second: what was wrong with what had been whole.
    pub fn found(&self) -> io::Result<(Vec<Found>, Vec<String>)> {
        let (mut found, mut broken) = (Vec::new(), Vec::new());
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            let name = entry.file_name();
            let path = entry.path();
            if name == LOCK {
                continue;
            }
            match name.to_str().and_then(number) {
                Some(file) => match ObjectFile::open(&path) {
                    Ok((content, sums)) => {
                        found.push(Found {
                            file,
                            content,
                            sums,
                        });
                        continue;
                    }
                    Err(error) => broken.push(format!("{}: {error}", path.display())),
                },
                None if path.extension().is_none_or(|ending| ending != "part") => continue,
                None => {}
            }
            fs::remove_file(&path)?;
        }
        found.sort_by_key(|each| each.file);
        Ok((found, broken))
    }
}

impl Drop for ObjectFolder {
    fn drop(&mut self) {
        if !self.kept {
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

fn make(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// `None`: a living process has it.
fn lock(folder: &Path) -> io::Result<Option<File>> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(folder.join(LOCK))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(file)),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Folders of storages that were killed.
fn remove_left_over(directory: &Path) {
    let Ok(entries) = fs::read_dir(directory) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let ours = name
            .to_str()
            .and_then(|name| name.strip_prefix(PASSING))
            .and_then(number);
        if ours.is_some() && matches!(lock(&entry.path()), Ok(Some(_))) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
