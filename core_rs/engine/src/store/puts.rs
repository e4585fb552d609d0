//! Objects that come in.

use std::collections::BTreeSet;

use super::{FileId, Object, Place, Store, StoreOutput};
use crate::wire::{LinkId, Message, ObjectKey, Payload, RefusalCode, StoreErrorCode};

/// Puts that one peer may have under way.
const MOST_PUTS: usize = 4_096;
/// No object is larger: sums of sizes stay far from overflow.
const LARGEST: u64 = 1 << 48;
/// With more unwritten than the first, writers are held; with less than the second, they go on.
const HOLD_ABOVE: u64 = 32 << 20;
const GO_ON_BELOW: u64 = 16 << 20;

/// An object of which parts have come.
pub(super) struct Put<P> {
    key: ObjectKey,
    size: u64,
    received: u64,
    into: Into<P>,
}

enum Into<P> {
    Memory(Vec<P>),
    File {
        file: FileId,
        written: u64,
    },
    /// The object is there already.
    Nothing,
}

impl<P> Put<P> {
    pub fn memory(&self) -> u64 {
        if matches!(self.into, Into::Memory(_)) {
            self.size
        } else {
            0
        }
    }

    pub fn file_bytes(&self) -> u64 {
        if matches!(self.into, Into::File { .. }) {
            self.size
        } else {
            0
        }
    }
}

impl<P: Payload> Store<P> {
    pub(super) fn put(
        &mut self,
        link: LinkId,
        request: u32,
        key: ObjectKey,
        size: u64,
        offset: u64,
        payload: P,
    ) {
        if offset == 0 && !self.begin_put(link, request, key, size) {
            return;
        }
        let Some(put) = self
            .peers
            .get_mut(&link)
            .and_then(|peer| peer.puts.get_mut(&request))
        else {
            // A later part of a put that failed: it was answered.
            return;
        };
        let length = payload.len() as u64;
        let fits = put.received == offset
            && length <= size.saturating_sub(offset)
            && (length > 0 || size == 0);
        if put.key != key || put.size != size || !fits {
            self.refuse_put(
                link,
                request,
                StoreErrorCode::Invalid,
                "parts out of order or of another size",
            );
            return;
        }
        put.received += length;
        let complete = put.received == size;
        match &mut put.into {
            Into::Memory(parts) => parts.push(payload),
            Into::File { file, .. } => {
                let file = *file;
                self.unwritten += length;
                self.out.push(StoreOutput::WriteFile {
                    file,
                    offset,
                    payload,
                });
                self.hold_if_behind(link);
                return;
            }
            Into::Nothing => {}
        }
        if complete {
            self.finish_put(link, request);
        }
    }

    /// Sets room aside. Returns whether parts may follow.
    fn begin_put(&mut self, link: LinkId, request: u32, key: ObjectKey, size: u64) -> bool {
        let Some(peer) = self.peers.get_mut(&link) else {
            return false;
        };
        let again = peer.puts.remove(&request);
        if peer.puts.len() >= MOST_PUTS {
            self.end(link, RefusalCode::Limit, "too many puts at a time");
            return false;
        }
        if let Some(again) = again {
            self.drop_put(again);
        }
        let (code, text) = if !self.may_touch(link, &key) {
            (StoreErrorCode::Invalid, "an object of another session")
        } else if size > LARGEST {
            (StoreErrorCode::Invalid, "no object may be so large")
        } else {
            let Some(into) = self.room(&key, size) else {
                self.store_error(link, request, StoreErrorCode::Full, &self.full(size));
                return false;
            };
            if let Some(peer) = self.peers.get_mut(&link) {
                if let Into::File { file, .. } = into {
                    self.writing.insert(file, (link, request));
                }
                peer.puts.insert(
                    request,
                    Put {
                        key,
                        size,
                        received: 0,
                        into,
                    },
                );
            }
            return true;
        };
        self.store_error(link, request, code, text);
        false
    }

    /// Where an object of that size can go; `None`: nowhere.
    fn room(&mut self, key: &ObjectKey, size: u64) -> Option<Into<P>> {
        if self.memory.saturating_add(size) <= self.config.memory_limit {
            // Also for one that is there: it may be deleted before this one is complete.
            self.memory += size;
            return Some(Into::Memory(Vec::new()));
        }
        if self.objects.contains_key(key) {
            return Some(Into::Nothing);
        }
        if !self.config.spills {
            return None;
        }
        self.last_file += 1;
        self.file_bytes += size;
        Some(Into::File {
            file: self.last_file,
            written: 0,
        })
    }

    fn full(&self, size: u64) -> String {
        let limit = self.config.memory_limit;
        format!(
            "an object of {size} bytes does not fit: {} of {limit} bytes are in use",
            self.memory
        )
    }

    /// All parts are here, and on disk where they belong there.
    fn finish_put(&mut self, link: LinkId, request: u32) {
        let Some(put) = self
            .peers
            .get_mut(&link)
            .and_then(|peer| peer.puts.remove(&request))
        else {
            return;
        };
        if let Into::File { file, .. } = put.into {
            self.writing.remove(&file);
        }
        let put_key = put.key;
        if self.objects.contains_key(&put.key) {
            // Somebody else was faster.
            self.drop_put(put);
        } else {
            let place = match put.into {
                Into::Memory(parts) => Some(Place::Memory(parts)),
                Into::File { file, .. } => {
                    self.files.insert(file, put.key);
                    Some(Place::File(file))
                }
                Into::Nothing => None,
            };
            let Some(place) = place else {
                // It was there when the put began and was deleted meanwhile: its bytes are gone.
                return self.store_error(
                    link,
                    request,
                    StoreErrorCode::Invalid,
                    "the object was deleted meanwhile",
                );
            };
            self.objects.insert(
                put.key,
                Object {
                    size: put.size,
                    place,
                },
            );
        }
        self.send(link, Message::Stored { request });
        self.absent_came(&put_key);
    }

    pub(super) fn written(&mut self, file: FileId, bytes: u64) {
        let Some(&(link, request)) = self.writing.get(&file) else {
            return;
        };
        let Some(put) = self
            .peers
            .get_mut(&link)
            .and_then(|peer| peer.puts.get_mut(&request))
        else {
            return;
        };
        let Into::File { written, .. } = &mut put.into else {
            return;
        };
        let bytes = bytes.min(put.received - *written);
        *written += bytes;
        self.unwritten -= bytes;
        if *written >= put.size {
            self.finish_put(link, request);
        }
    }

    pub(super) fn put_failed(&mut self, link: LinkId, request: u32, error: &str) {
        self.refuse_put(
            link,
            request,
            StoreErrorCode::Full,
            &format!("it could not be written to disk: {error}"),
        );
    }

    fn refuse_put(&mut self, link: LinkId, request: u32, code: StoreErrorCode, text: &str) {
        if let Some(put) = self
            .peers
            .get_mut(&link)
            .and_then(|peer| peer.puts.remove(&request))
        {
            self.drop_put(put);
        }
        self.store_error(link, request, code, text);
    }

    pub(super) fn drop_put(&mut self, put: Put<P>) {
        self.memory -= put.memory();
        self.file_bytes -= put.file_bytes();
        if let Into::File { file, written } = put.into {
            self.writing.remove(&file);
            self.unwritten -= put.received - written;
            self.out.push(StoreOutput::DeleteFile { file });
        }
    }

    fn store_error(&mut self, link: LinkId, request: u32, code: StoreErrorCode, text: &str) {
        self.send(
            link,
            Message::StoreError {
                request,
                code,
                text: text.into(),
            },
        );
    }

    fn hold_if_behind(&mut self, link: LinkId) {
        let Some(peer) = self.peers.get_mut(&link) else {
            return;
        };
        if self.unwritten > HOLD_ABOVE && !peer.held {
            peer.held = true;
            self.out.push(StoreOutput::Hold { link, hold: true });
        }
    }

    pub(super) fn release_held(&mut self) {
        if self.unwritten >= GO_ON_BELOW {
            return;
        }
        let held: BTreeSet<LinkId> = self
            .peers
            .iter()
            .filter(|(_, peer)| peer.held)
            .map(|(&link, _)| link)
            .collect();
        for link in held {
            if let Some(peer) = self.peers.get_mut(&link) {
                peer.held = false;
            }
            self.out.push(StoreOutput::Hold { link, hold: false });
        }
    }
}
