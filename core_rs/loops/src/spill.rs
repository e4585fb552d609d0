//! Files of object storage: a thread of their own, for a disk may take its time.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{channel, Receiver, Sender};
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};

use bytes::Bytes;
use scaler_engine::store::{FileDone, FileId};

use crate::linux;
use crate::shared::{Order, Shared};

enum Job {
    Write {
        file: FileId,
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

/// A folder of its own below the directory that was given; both the folder and its files go with the loop.
pub struct Spill {
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
    folder: PathBuf,
}

impl Spill {
    pub fn new(directory: &Path, shared: Arc<Shared>) -> io::Result<Spill> {
        let folder = directory.join(format!("objects-{:016x}", linux::random()));
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)?;
        let (jobs, waiting) = channel();
        let place = folder.clone();
        let thread = Builder::new()
            .name("object files".into())
            .spawn(move || work(&place, &waiting, &shared))?;
        Ok(Spill {
            jobs: Some(jobs),
            thread: Some(thread),
            folder,
        })
    }

    pub fn write(&self, file: FileId, offset: u64, payload: Bytes) {
        self.give(Job::Write {
            file,
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
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn work(folder: &Path, jobs: &Receiver<Job>, shared: &Shared) {
    for job in jobs {
        let done = match job {
            Job::Write {
                file,
                offset,
                payload,
            } => {
                let written = write(&path(folder, file), offset, &payload);
                answer(
                    file,
                    written.map(|()| FileDone::Written {
                        file,
                        bytes: payload.len() as u64,
                    }),
                )
            }
            Job::Read {
                file,
                offset,
                length,
            } => {
                let read = read(&path(folder, file), offset, length);
                answer(
                    file,
                    read.map(|payload| FileDone::Read {
                        file,
                        offset,
                        payload,
                    }),
                )
            }
            Job::Delete { file } => {
                let _ = fs::remove_file(path(folder, file));
                continue;
            }
        };
        if shared.tell(Order::StoreFile(done)).is_err() {
            return;
        }
    }
}

fn answer(file: FileId, done: io::Result<FileDone<Bytes>>) -> FileDone<Bytes> {
    done.unwrap_or_else(|error| FileDone::Failed {
        file,
        error: error.to_string(),
    })
}

fn path(folder: &Path, file: FileId) -> PathBuf {
    folder.join(format!("{file:x}"))
}

fn write(path: &Path, offset: u64, payload: &[u8]) -> io::Result<()> {
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)?;
    file.write_all_at(payload, offset)
}

fn read(path: &Path, offset: u64, length: u64) -> io::Result<Bytes> {
    let mut bytes = vec![0; length as usize];
    File::open(path)?.read_exact_at(&mut bytes, offset)?;
    Ok(bytes.into())
}
