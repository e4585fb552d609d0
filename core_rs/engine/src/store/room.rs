//! Where there is room for an object, and for whom.

use super::puts::{Into, Writing};
use super::{FileId, Object, Store, StoreOutput};
use crate::wire::{ObjectKey, Payload, SessionId, StoreErrorCode};

/// Why there is no room: for a program, and for people.
type Refusal = (StoreErrorCode, String);

impl<P: Payload> Store<P> {
    /// A file of an earlier store, whole; before anything else. What it holds is here again.
    pub fn found(&mut self, key: ObjectKey, size: u64, file: FileId) {
        self.last_file = self.last_file.max(file);
        if self.objects.contains_key(&key) {
            return self.out.push(StoreOutput::DeleteFile { file });
        }
        *self.used.entry(key.session).or_default() += size;
        self.file_bytes += size;
        self.add(key, size, None, Some(file));
    }

    pub(super) fn add(
        &mut self,
        key: ObjectKey,
        size: u64,
        memory: Option<Vec<P>>,
        file: Option<FileId>,
    ) {
        self.last_object += 1;
        let object = Object {
            number: self.last_object,
            size,
            memory,
            file,
        };
        self.objects.insert(key, object);
        if let Some(file) = file {
            self.files.insert(file, key);
        }
    }

    /// Where an object of that size goes; that much is set aside.
    pub(super) fn room(&mut self, key: &ObjectKey, size: u64) -> Result<Into<P>, Refusal> {
        let known = self.objects.contains_key(key);
        if known && self.config.writes_through {
            return Ok(Into {
                memory: None,
                file: None,
            });
        }
        if !known {
            self.check_quota(key.session, size)?;
        }
        let fits = self.memory.saturating_add(size) <= self.config.memory_limit;
        let to_file = self.config.writes_through || !(fits || known);
        if to_file {
            self.check_disk(size)?;
        }
        // Also for one that is there: it may be deleted before this one is complete.
        let memory = fits.then(Vec::new);
        self.memory += memory.as_ref().map_or(0, |_| size);
        let file = to_file.then(|| self.new_file(size));
        Ok(Into { memory, file })
    }

    fn check_quota(&self, session: SessionId, size: u64) -> Result<(), Refusal> {
        let Some(quota) = self.config.session_quota else {
            return Ok(());
        };
        let used = self.used.get(&session).copied().unwrap_or_default();
        let text = if size > quota {
            format!("one client may have {quota} bytes there")
        } else if used.saturating_add(size) > quota {
            format!("one client may have {quota} bytes there, and this one has {used}")
        } else {
            return Ok(());
        };
        Err((StoreErrorCode::Quota, text))
    }

    fn check_disk(&self, size: u64) -> Result<(), Refusal> {
        if !self.config.spills {
            let (used, limit) = (self.memory, self.config.memory_limit);
            let text =
                format!("{used} of {limit} bytes are in use, and it has no directory for more");
            return Err((StoreErrorCode::Full, text));
        }
        match self.config.disk_limit {
            Some(limit) if self.file_bytes.saturating_add(size) > limit => {
                let used = self.file_bytes;
                let text = format!("{used} of {limit} bytes on its disk are in use");
                Err((StoreErrorCode::Full, text))
            }
            _ => Ok(()),
        }
    }

    fn new_file(&mut self, size: u64) -> Writing {
        self.last_file += 1;
        self.file_bytes += size;
        Writing {
            file: self.last_file,
            written: 0,
        }
    }

    /// A session has so many bytes less.
    pub(super) fn give_back(&mut self, session: SessionId, bytes: u64) {
        if let Some(used) = self.used.get_mut(&session) {
            *used -= bytes;
            if *used == 0 {
                self.used.remove(&session);
            }
        }
    }
}
