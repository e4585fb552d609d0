//! Objects that come in.

use std::collections::BTreeSet;

use super::{FileId, Store, StoreOutput};
use crate::wire::{LinkId, Message, ObjectKey, Payload, RefusalCode, StoreErrorCode};

/// Puts that one peer may have under way.
const MOST_PUTS: usize = 4_096;
/// No object is that large: sums of sizes stay far from overflow.
const LARGER: u64 = 1 << 48;
/// With more unwritten than the first, writers are held; with less than the second, they go on.
const HOLD_ABOVE: u64 = 32 << 20;
const GO_ON_BELOW: u64 = 16 << 20;

/// An object of which parts have come.
pub(super) struct Put<P> {
    pub key: ObjectKey,
    pub size: u64,
    received: u64,
    /// Its session is charged for it: the object was not there when it began.
    pub charged: bool,
    pub into: Into<P>,
}

/// Where its bytes go: into memory, a file, or both. Neither: the object is there already.
#[derive(Debug, Default)]
pub(super) struct Into<P> {
    pub memory: Option<Vec<P>>,
    pub file: Option<Writing>,
}

#[derive(Debug)]
pub(super) struct Writing {
    pub file: FileId,
    pub written: u64,
}

impl<P> Put<P> {
    pub fn memory_bytes(&self) -> u64 {
        self.into.memory.as_ref().map_or(0, |_| self.size)
    }

    pub fn file_bytes(&self) -> u64 {
        self.into.file.as_ref().map_or(0, |_| self.size)
    }

    pub fn charge(&self) -> u64 {
        match self.charged {
            true => self.size,
            false => 0,
        }
    }

    fn is_complete(&self) -> bool {
        let written = self.into.file.as_ref().map_or(self.size, |to| to.written);
        self.received == self.size && written == self.size
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
        if let Some(parts) = &mut put.into.memory {
            parts.push(payload.clone());
        }
        match &put.into.file {
            Some(to) => {
                let file = to.file;
                self.unwritten += length;
                self.out.push(StoreOutput::WriteFile {
                    file,
                    key,
                    size,
                    offset,
                    payload,
                });
                self.hold_if_behind(link);
            }
            // One that is written to a file is complete once that is confirmed.
            None if put.is_complete() => self.finish_put(link, request),
            None => {}
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
        let room = match size {
            _ if !self.may_touch(link, &key) => Err((
                StoreErrorCode::Invalid,
                "an object of another session".into(),
            )),
            LARGER.. => Err((StoreErrorCode::Invalid, "no object may be so large".into())),
            _ => self.room(&key, size),
        };
        let into = match room {
            Ok(into) => into,
            Err((code, text)) => {
                self.store_error(link, request, code, &text);
                return false;
            }
        };
        let put = Put {
            key,
            size,
            received: 0,
            charged: !self.objects.contains_key(&key),
            into,
        };
        *self.used.entry(key.session).or_default() += put.charge();
        if let Some(to) = &put.into.file {
            self.writing.insert(to.file, (link, request));
        }
        if let Some(peer) = self.peers.get_mut(&link) {
            peer.puts.insert(request, put);
        }
        true
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
        if let Some(to) = &put.into.file {
            self.writing.remove(&to.file);
        }
        let key = put.key;
        if self.objects.contains_key(&key) {
            // Somebody else was faster.
            self.drop_put(put);
        } else if put.into.memory.is_none() && put.into.file.is_none() {
            // It was there when the put began and was deleted meanwhile: its bytes are gone.
            let text = "the object was deleted meanwhile";
            return self.store_error(link, request, StoreErrorCode::Invalid, text);
        } else {
            self.keep(put);
        }
        self.send(link, Message::Stored { request });
        self.absent_came(&key);
    }

    fn keep(&mut self, put: Put<P>) {
        *self.used.entry(put.key.session).or_default() += put.size - put.charge();
        let file = put.into.file.map(|to| to.file);
        self.add(put.key, put.size, put.into.memory, file);
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
        let Some(to) = &mut put.into.file else {
            return;
        };
        let bytes = bytes.min(put.received - to.written);
        to.written += bytes;
        self.unwritten -= bytes;
        if put.is_complete() {
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
        self.memory -= put.memory_bytes();
        self.file_bytes -= put.file_bytes();
        self.give_back(put.key.session, put.charge());
        if let Some(Writing { file, written }) = put.into.file {
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
