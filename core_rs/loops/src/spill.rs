//! Files of object storage: a thread of their own, for a disk may take its time.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{channel, Receiver, Sender};
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use bytes::Bytes;
use scaler_engine::store::{FileDone, FileId};

use crate::object_file::{delete, path, Content, ObjectFile, Unfinished};
use crate::object_folder::{Found, ObjectFolder};
use crate::shared::{Order, Request, Shared};

/// A disk that fails is said that seldom.
const SILENCE: Duration = Duration::from_secs(60);

enum Job {
    Write {
        file: FileId,
        content: Content,
        offset: u64,
        payload: Bytes,
    },
    Read {
        file: FileId,
        offset: u64,
        length: u64,
    },
    Delete {
        file: FileId,
    },
}

/// The jobs are done in order. At the end those that were given are done first.
pub struct Spill {
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
    _folder: ObjectFolder,
}

impl Spill {
    /// `found`: what is in the folder already.
    pub fn new(folder: ObjectFolder, found: Vec<Found>, shared: Arc<Shared>) -> io::Result<Spill> {
        let (jobs, waiting) = channel();
        let mut disk = Disk {
            folder: folder.path.clone(),
            unfinished: BTreeMap::new(),
            whole: found.into_iter().map(|one| (one.file, one.sums)).collect(),
            said: None,
            shared,
        };
        let thread = Builder::new()
            .name("object files".into())
            .spawn(move || disk.work(&waiting))?;
        Ok(Spill {
            jobs: Some(jobs),
            thread: Some(thread),
            _folder: folder,
        })
    }

    pub fn write(&self, file: FileId, content: Content, offset: u64, payload: Bytes) {
        self.give(Job::Write {
            file,
            content,
            offset,
            payload,
        });
    }

    pub fn read(&self, file: FileId, offset: u64, length: u64) {
        self.give(Job::Read {
            file,
            offset,
            length,
        });
    }

    pub fn delete(&self, file: FileId) {
        self.give(Job::Delete { file });
    }

    fn give(&self, job: Job) {
        if let Some(jobs) = &self.jobs {
            // The thread ends with this sender, not before.
            let _ = jobs.send(job);
        }
    }
}

impl Drop for Spill {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What the thread has.
struct Disk {
    folder: PathBuf,
    unfinished: BTreeMap<FileId, Unfinished>,
    whole: BTreeMap<FileId, ObjectFile>,
    /// When it last said that the disk fails.
    said: Option<Instant>,
    shared: Arc<Shared>,
}

impl Disk {
    fn work(&mut self, jobs: &Receiver<Job>) {
        for job in jobs {
            let (file, done) = match job {
                Job::Write {
                    file,
                    content,
                    offset,
                    payload,
                } => (file, self.write(file, content, offset, &payload)),
                Job::Read {
                    file,
                    offset,
                    length,
                } => (file, self.read(file, offset, length)),
                Job::Delete { file } => {
                    self.unfinished.remove(&file);
                    self.whole.remove(&file);
                    delete(&self.folder, file);
                    continue;
                }
            };
            let done = done.unwrap_or_else(|error| self.failed(file, &error));
            // After the loop's end nobody hears it; what was accepted is done all the same.
            let _ = self.shared.tell(Order::StoreFile(done));
        }
    }

    fn write(
        &mut self,
        file: FileId,
        content: Content,
        offset: u64,
        payload: &[u8],
    ) -> io::Result<FileDone<Bytes>> {
        if offset == 0 {
            self.unfinished.insert(file, Unfinished::new(content));
        }
        let gone = || io::Error::other("an earlier write failed");
        let unfinished = self.unfinished.get_mut(&file).ok_or_else(gone)?;
        if let Some(whole) = unfinished.write(&path(&self.folder, file), payload)? {
            self.unfinished.remove(&file);
            self.whole.insert(file, whole);
        }
        let bytes = payload.len() as u64;
        Ok(FileDone::Written { file, bytes })
    }

    fn read(&self, file: FileId, offset: u64, length: u64) -> io::Result<FileDone<Bytes>> {
        let gone = || io::Error::from(io::ErrorKind::NotFound);
        let whole = self.whole.get(&file).ok_or_else(gone)?;
        let payload = whole.read(&path(&self.folder, file), offset, length)?;
        Ok(FileDone::Read {
            file,
            offset,
            payload,
        })
    }

    fn failed(&mut self, file: FileId, error: &io::Error) -> FileDone<Bytes> {
        self.unfinished.remove(&file);
        if self.said.is_none_or(|at| at.elapsed() > SILENCE) {
            self.said = Some(Instant::now());
            self.say(&path(&self.folder, file), error);
        }
        let error = error.to_string();
        FileDone::Failed { file, error }
    }

    fn say(&self, path: &Path, error: &io::Error) {
        let text = format!(
            "objects' files fail: {}: {error}; whoever puts or gets one is told",
            path.display()
        );
        self.shared.ask(Request::Log {
            level: "error",
            text,
        });
    }
}
