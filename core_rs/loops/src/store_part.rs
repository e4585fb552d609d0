//! An object storage in a loop: its engine, the links that come to it, its files.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use mio::Registry;
use scaler_engine::acceptor::{AcceptorEvent, AcceptorSettings, TicketKey};
use scaler_engine::store::{FileDone, Store, StoreConfig, StoreOutput, StoreStatus};
use scaler_wire::Message;

use crate::accepting::Accepting;
use crate::connections::Connections;
use crate::mapped;
use crate::object_file::Content;
use crate::object_folder::ObjectFolder;
use crate::shared::{Request, Shared};
use crate::spill::Spill;

/// Three quarters of a part.
const COPIED_BELOW: usize = 3 << 20;

#[derive(Clone, Debug)]
pub struct StoreSettings {
    pub memory_limit: u64,
    /// For what does not fit; `None`: nothing goes to files.
    pub directory: Option<PathBuf>,
    /// Everything goes to files, and the next storage finds it there.
    pub writes_through: bool,
    pub disk_limit: Option<u64>,
    pub session_quota: Option<u64>,
    pub acceptor: AcceptorSettings,
    pub incarnation: u64,
    pub ticket_key: Option<TicketKey>,
}

pub struct StorePart {
    engine: Store<Bytes>,
    pub accepting: Accepting,
    outputs: Vec<StoreOutput<Bytes>>,
    spill: Option<Spill>,
    shared: Arc<Shared>,
}

impl StorePart {
    /// `folder`: where it may have files.
    pub fn new(
        settings: &StoreSettings,
        folder: Option<ObjectFolder>,
        shared: &Arc<Shared>,
    ) -> io::Result<Self> {
        let mut engine = Store::new(StoreConfig {
            memory_limit: settings.memory_limit,
            spills: folder.is_some(),
            writes_through: folder.is_some() && settings.writes_through,
            disk_limit: settings.disk_limit,
            session_quota: settings.session_quota,
        });
        let spill = folder.map(|folder| begin(folder, &mut engine, shared));
        Ok(StorePart {
            engine,
            accepting: Accepting::new(
                settings.acceptor.clone(),
                settings.incarnation,
                settings.ticket_key,
            ),
            outputs: Vec::new(),
            spill: spill.transpose()?,
            shared: Arc::clone(shared),
        })
    }

    pub fn status(&self) -> StoreStatus {
        self.engine.status()
    }

    pub fn on_file(&mut self, now: u64, done: FileDone<Bytes>) {
        self.engine.file_done(now, done);
    }

    /// What the links brought.
    pub fn on_links(&mut self, now: u64) {
        while let Some(event) = self.accepting.poll_event() {
            match event {
                AcceptorEvent::Message { link, message } => {
                    self.engine
                        .handle(now, link, without_rest_of_frame(message))
                }
                AcceptorEvent::Backlog { link, bytes } => self.engine.backlog(link, bytes),
                AcceptorEvent::Joined { link, hello, .. } => {
                    self.engine.joined(link, hello.role, hello.session)
                }
                AcceptorEvent::Left { link, .. } => self.engine.left(link),
                AcceptorEvent::Resumed { .. } | AcceptorEvent::Disconnected { .. } => {}
                AcceptorEvent::Log { text } => self.shared.ask(Request::Log {
                    level: "warning",
                    text,
                }),
            }
        }
    }

    pub fn tick(&mut self, now: u64) {
        self.accepting.tick(now);
        self.engine.tick(now);
    }

    pub fn next_wakeup(&self) -> Option<u64> {
        [self.accepting.next_wakeup(), self.engine.next_wakeup()]
            .into_iter()
            .flatten()
            .min()
    }

    /// Does what the engine wants. False when there was nothing.
    pub fn drain(&mut self) -> bool {
        let mut outputs = std::mem::take(&mut self.outputs);
        self.engine.drain(&mut outputs);
        let moved = !outputs.is_empty();
        for output in outputs.drain(..) {
            match (output, &self.spill) {
                (StoreOutput::Send { link, message }, _) => self.accepting.send(link, message),
                (StoreOutput::Hold { link, hold }, _) => self.accepting.hold(link, hold),
                (StoreOutput::End { link, code, reason }, _) => {
                    self.accepting.end(link, code, reason)
                }
                (
                    StoreOutput::WriteFile {
                        file,
                        key,
                        size,
                        offset,
                        payload,
                    },
                    Some(spill),
                ) => spill.write(file, Content { key, size }, offset, payload),
                (
                    StoreOutput::ReadFile {
                        file,
                        offset,
                        length,
                    },
                    Some(spill),
                ) => spill.read(file, offset, length),
                (StoreOutput::DeleteFile { file }, Some(spill)) => spill.delete(file),
                // Only a store that was told that it may spill asks for files.
                (_, None) => {}
            }
        }
        self.outputs = outputs;
        moved
    }

    pub fn transmit<O: Copy>(
        &mut self,
        now: u64,
        connections: &mut Connections<O>,
        registry: &Registry,
    ) {
        self.accepting.transmit(now, connections, registry);
    }
}

/// A payload is a handle on its frame's buffer, and may keep four times its size alive (see `input`): too much for what
/// stays. A large part has its frame for itself, and is not worth a copy.
fn without_rest_of_frame(message: Message<Bytes>) -> Message<Bytes> {
    match message {
        Message::Put {
            request,
            key,
            size,
            offset,
            payload,
        } if keeps_too_much(&payload, size) => Message::Put {
            request,
            key,
            size,
            offset,
            payload: Bytes::copy_from_slice(&payload),
        },
        other => other,
    }
}

fn keeps_too_much(payload: &Bytes, size: u64) -> bool {
    match mapped::file_of(payload) {
        // A file of that one object is hardly larger than it.
        Some((file, _)) => file.length() as u64 > size + size / 2,
        None => payload.len() < COPIED_BELOW,
    }
}

/// With what an earlier storage left in the folder.
fn begin(
    folder: ObjectFolder,
    engine: &mut Store<Bytes>,
    shared: &Arc<Shared>,
) -> io::Result<Spill> {
    let (found, broken) = folder.found()?;
    for text in broken {
        let text = format!("an object's file is not whole, and goes: {text}");
        let level = "warning";
        shared.ask(Request::Log { level, text });
    }
    for one in &found {
        engine.found(one.content.key, one.content.size, one.file);
    }
    Spill::new(folder, found, Arc::clone(shared))
}

#[cfg(test)]
mod tests {
    use super::*;
    use scaler_wire::ObjectKey;

    /// A put whose payload is so much of a frame of 4 MiB.
    fn put(length: usize) -> (Bytes, Message<Bytes>) {
        let frame = Bytes::from(vec![7; 4 << 20]);
        let key = ObjectKey {
            session: 1,
            hash: [1; 16],
        };
        let message = Message::Put {
            request: 1,
            key,
            size: length as u64,
            offset: 0,
            payload: frame.slice(..length),
        };
        (frame, message)
    }

    #[test]
    fn a_stored_part_keeps_no_more_of_its_frame_alive_than_a_third_of_itself() {
        for (length, shared) in [(1 << 20, false), (3 << 20, true), (4 << 20, true)] {
            let (frame, message) = put(length);
            let kept = without_rest_of_frame(message);
            assert_eq!(!frame.is_unique(), shared, "{length} bytes");
            assert_eq!(kept, put(length).1);
        }
    }
}
