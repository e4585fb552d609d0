//! A store at work: what its peers say, and what its disk does.

mod files;
mod forsaken;
mod histories;
mod memory;
mod not_there_yet;
mod quota;
mod written_through;

use super::*;
use crate::wire::StoreErrorCode;

/// A payload that is only a length.
#[derive(Clone, Debug, PartialEq)]
struct Bytes(usize);

impl Payload for Bytes {
    fn len(&self) -> usize {
        self.0
    }

    fn from_vec(bytes: Vec<u8>) -> Self {
        Bytes(bytes.len())
    }
}

const CLIENT: LinkId = 1;
const NODE: LinkId = 2;
const SCHEDULER: LinkId = 3;
const PART: usize = 4 << 20;

fn key(byte: u8) -> ObjectKey {
    ObjectKey {
        session: 9,
        hash: [byte; 16],
    }
}

struct Rig {
    store: Store<Bytes>,
    out: Vec<StoreOutput<Bytes>>,
}

impl Rig {
    fn new(memory_limit: u64, spills: bool) -> Self {
        Rig::of(StoreConfig {
            memory_limit,
            spills,
            ..StoreConfig::default()
        })
    }

    /// A store that keeps everything in files, too.
    fn writing_through(memory_limit: u64) -> Self {
        Rig::of(StoreConfig {
            memory_limit,
            spills: true,
            writes_through: true,
            ..StoreConfig::default()
        })
    }

    fn of(config: StoreConfig) -> Self {
        let mut store = Store::new(config);
        store.joined(CLIENT, Role::Objects, 9);
        store.joined(NODE, Role::Objects, 0);
        store.joined(SCHEDULER, Role::Scheduler, 0);
        Rig { store, out: vec![] }
    }

    fn say(&mut self, link: LinkId, message: Message<Bytes>) {
        self.store.handle(0, link, message);
        self.absorb();
    }

    fn absorb(&mut self) {
        self.store.drain(&mut self.out);
        self.store.sanity_check();
    }

    fn part(
        &mut self,
        link: LinkId,
        request: u32,
        byte: u8,
        size: u64,
        offset: u64,
        length: usize,
    ) {
        self.say(
            link,
            Message::Put {
                request,
                key: key(byte),
                size,
                offset,
                payload: Bytes(length),
            },
        );
    }

    fn put(&mut self, byte: u8, size: usize) {
        self.part(CLIENT, byte.into(), byte, size as u64, 0, size);
    }

    fn done(&mut self, done: FileDone<Bytes>) {
        self.store.file_done(0, done);
        self.absorb();
    }

    fn take(&mut self) -> Vec<StoreOutput<Bytes>> {
        std::mem::take(&mut self.out)
    }

    /// What a link was told.
    fn told(&mut self, to: LinkId) -> Vec<Message<Bytes>> {
        let message = |output| match output {
            StoreOutput::Send { link, message } if link == to => Some(message),
            _ => None,
        };
        self.take().into_iter().filter_map(message).collect()
    }
}

fn data(request: u32, size: u64, offset: u64, length: usize) -> Message<Bytes> {
    Message::Data {
        request,
        size,
        offset,
        payload: Bytes(length),
    }
}

/// A store whose memory is taken, with an object on disk as file 1.
fn spilled() -> Rig {
    let mut rig = Rig::new(100, true);
    rig.put(1, 90);
    rig.part(CLIENT, 2, 2, 50, 0, 30);
    rig.part(CLIENT, 2, 2, 50, 30, 20);
    rig
}

#[test]
fn what_does_not_fit_into_memory_goes_to_a_file() {
    let mut rig = spilled();
    let writes: Vec<_> = rig
        .take()
        .into_iter()
        .filter(|output| matches!(output, StoreOutput::WriteFile { .. }))
        .collect();
    let write = |offset, length| StoreOutput::WriteFile {
        file: 1,
        key: key(2),
        size: 50,
        offset,
        payload: Bytes(length),
    };
    assert_eq!(writes, vec![write(0, 30), write(30, 20)]);
    rig.done(FileDone::Written { file: 1, bytes: 30 });
    assert_eq!(rig.told(CLIENT), vec![]);
    rig.done(FileDone::Written { file: 1, bytes: 20 });
    assert_eq!(rig.told(CLIENT), vec![Message::Stored { request: 2 }]);
    assert_eq!(
        rig.store.status(),
        StoreStatus {
            objects: 2,
            memory_bytes: 90,
            file_bytes: 50
        }
    );
}

fn written() -> Rig {
    let mut rig = spilled();
    rig.done(FileDone::Written { file: 1, bytes: 50 });
    rig.take();
    rig
}

fn get(rig: &mut Rig, link: LinkId, request: u32, byte: u8) {
    let key = key(byte);
    rig.say(link, Message::Get { request, key });
}

/// What a put was refused with.
fn refusal(told: &[Message<Bytes>]) -> (StoreErrorCode, &str) {
    match told {
        [Message::StoreError { code, text, .. }] => (*code, text),
        other => panic!("{other:?}"),
    }
}

fn with_quota(session_quota: u64) -> Rig {
    Rig::of(StoreConfig {
        memory_limit: 100,
        spills: true,
        session_quota: Some(session_quota),
        ..StoreConfig::default()
    })
}
