//! The object storage's process: `Acceptor`, `Store`, and a disk that takes its time.

use std::collections::BTreeMap;

use scaler_engine::acceptor::AcceptorEvent;
use scaler_engine::store::{FileDone, FileId, Store, StoreConfig, StoreOutput};

use scaler_engine::wire::{ObjectKey, SessionId};

use crate::context::Context;
use crate::data::Data;
use crate::inward::Inward;
use crate::network::{Arrival, Part, Wire};
use crate::queue::{Time, MILLISECOND};
use crate::story::About;

/// What is in the store's folder.
pub type Disk = BTreeMap<FileId, File>;

pub struct File {
    key: ObjectKey,
    size: u64,
    bytes: Vec<u8>,
}

pub struct StoreHost {
    inward: Inward,
    store: Store<Data>,
    writes_through: bool,
    files: Disk,
    /// What the disk will have done, and when.
    disk: BTreeMap<(Time, u64), FileDone<Data>>,
}

impl StoreHost {
    /// `files`: what an earlier one left.
    pub fn new(context: &mut Context, files: Disk) -> Self {
        let writes_through = context.profile.store_writes_through;
        let config = StoreConfig {
            memory_limit: context.profile.store_memory,
            spills: true,
            writes_through,
            ..StoreConfig::default()
        };
        let mut store = Store::new(config);
        for (&number, file) in &files {
            store.found(file.key, file.size, number);
        }
        StoreHost {
            inward: Inward::new(context),
            store,
            writes_through,
            files,
            disk: BTreeMap::new(),
        }
    }

    /// It was killed. What stays of its files.
    pub fn died(mut self) -> Disk {
        let kept = self.writes_through;
        self.files
            .retain(|_, file| kept && file.bytes.len() as u64 == file.size);
        self.files
    }

    pub fn arrival(&mut self, context: &mut Context, wire: Wire, arrival: &Arrival) {
        self.inward.arrival(context, wire, arrival);
    }

    pub fn turn(&mut self, context: &mut Context) {
        let now = context.now();
        self.inward.tick(now);
        self.store.tick(now);
        while let Some(event) = self.inward.event() {
            self.event(context, event);
        }
        while self
            .disk
            .first_key_value()
            .is_some_and(|((at, _), _)| *at <= now)
        {
            if let Some((_, done)) = self.disk.pop_first() {
                self.store.file_done(now, done);
            }
        }
        let mut outputs = Vec::new();
        loop {
            self.store.drain(&mut outputs);
            if outputs.is_empty() {
                break;
            }
            for output in outputs.drain(..) {
                self.output(context, output);
            }
        }
        self.inward.pump(context);
        self.store.sanity_check();
    }

    fn event(&mut self, context: &mut Context, event: AcceptorEvent<Data>) {
        match event {
            AcceptorEvent::Joined { link, hello, .. } => {
                self.store.joined(link, hello.role, hello.session)
            }
            AcceptorEvent::Resumed { .. } | AcceptorEvent::Disconnected { .. } => {}
            AcceptorEvent::Left { link, .. } => self.store.left(link),
            AcceptorEvent::Message { link, message } => {
                context
                    .story
                    .message(context.queue.now(), Part::Store, "takes", 0, &message);
                self.store.handle(context.queue.now(), link, message);
            }
            AcceptorEvent::Backlog { link, bytes } => self.store.backlog(link, bytes),
            AcceptorEvent::Log { text } => {
                context.tell(Part::Store, About::Part, || format!("log: {text}"))
            }
        }
    }

    fn output(&mut self, context: &mut Context, output: StoreOutput<Data>) {
        match output {
            StoreOutput::Send { link, message } => {
                context
                    .story
                    .message(context.queue.now(), Part::Store, "sends", 0, &message);
                self.inward.send(link, message);
            }
            StoreOutput::Hold { link, hold } => self.inward.acceptor.hold(link, hold),
            StoreOutput::End { link, code, reason } => {
                context.broken(format!("the store ends an honest link: {code:?} {reason}"));
                self.inward.end(link, code, reason);
            }
            StoreOutput::WriteFile {
                file,
                key,
                size,
                offset,
                payload,
            } => {
                let new = || File {
                    key,
                    size,
                    bytes: Vec::new(),
                };
                let bytes = &mut self.files.entry(file).or_insert_with(new).bytes;
                if bytes.len() as u64 != offset {
                    context.broken(format!(
                        "file {file} is written at {offset} and has {} bytes",
                        bytes.len()
                    ));
                }
                bytes.extend_from_slice(payload.bytes());
                let bytes = payload.bytes().len() as u64;
                self.later(context, FileDone::Written { file, bytes });
            }
            StoreOutput::ReadFile {
                file,
                offset,
                length,
            } => {
                let bytes = self.files.get(&file).map_or(&[][..], |file| &file.bytes);
                let from = (offset as usize).min(bytes.len());
                let upto = ((offset + length) as usize).min(bytes.len());
                let payload = scaler_engine::wire::Payload::from_vec(bytes[from..upto].to_vec());
                self.later(
                    context,
                    FileDone::Read {
                        file,
                        offset,
                        payload,
                    },
                );
            }
            StoreOutput::DeleteFile { file } => {
                self.files.remove(&file);
            }
        }
    }

    fn later(&mut self, context: &mut Context, done: FileDone<Data>) {
        let last = self.disk.last_key_value().map_or(0, |((at, _), _)| *at);
        let at = last.max(context.now() + context.random.between(1, 10 * MILLISECOND));
        let order = context.unique();
        self.disk.insert((at, order), done);
    }

    pub fn next_wakeup(&self) -> Option<Time> {
        let disk = self.disk.first_key_value().map(|((at, _), _)| *at);
        [disk, self.inward.next_wakeup(), self.store.next_wakeup()]
            .into_iter()
            .flatten()
            .min()
    }

    /// What it holds though nobody can want it. `forgotten`: sessions that no living scheduler ever heard of.
    pub fn left_over(&self, forgotten: &[SessionId]) -> Option<String> {
        let sessions: Vec<_> = self
            .store
            .sessions()
            .into_iter()
            .filter(|session| !forgotten.contains(session))
            .collect();
        let status = self.store.status();
        let files = self.files.len();
        let empty = !forgotten.is_empty() || (status == Default::default() && files == 0);
        (!sessions.is_empty() || !empty)
            .then(|| format!("objects of {sessions:x?}, {status:?}, {files} files"))
    }
}
