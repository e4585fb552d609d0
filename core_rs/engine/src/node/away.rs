//! An object storage that stays away: what needs it does not wait for ever.

use super::Node;
use crate::wire::{FailureCode, Payload};

/// Whether storage is there, and until when what needs it waits.
#[derive(Debug, Default)]
pub(super) struct StorageAway {
    connected: bool,
    /// Something needs it, and it is not there.
    pub due: Option<u64>,
}

impl<P: Payload> Node<P> {
    /// The link to object storage is up, or not. May be told any number of times.
    pub fn store_connected(&mut self, now: u64, connected: bool) {
        self.now = now;
        self.storage_away.connected = connected;
        self.watch_storage();
    }

    pub(super) fn watch_storage(&mut self) {
        let needed = !(self.uploads.is_empty() && self.awaited.is_empty());
        let away = &mut self.storage_away;
        away.due = match away.due {
            _ if away.connected || !needed || self.config.storage_timeout_us == 0 => None,
            None => Some(self.now + self.config.storage_timeout_us),
            due => due,
        };
    }

    /// All that needs it fails, once it has been away for too long.
    pub(super) fn give_up_storage(&mut self) {
        if self.storage_away.due.is_none_or(|at| self.now < at) {
            return;
        }
        self.storage_away.due = None;
        let seconds = self.config.storage_timeout_us / 1_000_000;
        let detail = format!("the worker has found no object storage for {seconds} s");
        for (_, upload) in std::mem::take(&mut self.uploads) {
            let failure = self.failure(FailureCode::ObjectStorage, 1, 0, detail.clone());
            self.done_failed(&upload.piece, failure);
        }
        for (request, _) in self.objects.ask_again() {
            self.not_fetched(request, FailureCode::ObjectStorage, detail.clone());
        }
    }
}
