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

#[test]
fn an_object_put_in_parts_comes_back_in_parts() {
    let mut rig = Rig::new(100, false);
    rig.part(CLIENT, 1, 5, 30, 0, 20);
    assert_eq!(rig.told(CLIENT), vec![]);
    rig.part(CLIENT, 1, 5, 30, 20, 10);
    assert_eq!(rig.told(CLIENT), vec![Message::Stored { request: 1 }]);
    rig.say(
        NODE,
        Message::Get {
            request: 8,
            key: key(5),
        },
    );
    assert_eq!(
        rig.told(NODE),
        vec![data(8, 30, 0, 20), data(8, 30, 20, 10)]
    );
}

#[test]
fn an_empty_object_is_an_object() {
    let mut rig = Rig::new(0, false);
    rig.put(5, 0);
    rig.say(
        CLIENT,
        Message::Get {
            request: 8,
            key: key(5),
        },
    );
    assert_eq!(
        rig.told(CLIENT),
        vec![Message::Stored { request: 5 }, data(8, 0, 0, 0)]
    );
}

#[test]
fn equal_objects_are_kept_once() {
    let mut rig = Rig::new(100, false);
    rig.part(CLIENT, 1, 5, 30, 0, 20);
    rig.part(NODE, 1, 5, 30, 0, 30);
    rig.part(CLIENT, 1, 5, 30, 20, 10);
    assert_eq!(rig.told(CLIENT), vec![Message::Stored { request: 1 }]);
    assert_eq!(
        rig.store.status(),
        StoreStatus {
            objects: 1,
            memory_bytes: 30,
            file_bytes: 0
        }
    );
}

#[test]
fn parts_that_do_not_fit_leave_nothing_behind() {
    for (size, offset, length) in [
        (30, 10, 10),
        (30, 20, 20),
        (30, 20, 0),
        (31, 20, 10),
        (30, u64::MAX, 10),
    ] {
        let mut rig = Rig::new(100, false);
        rig.part(CLIENT, 1, 5, 30, 0, 20);
        rig.part(CLIENT, 1, 5, size, offset, length);
        let told = rig.told(CLIENT);
        assert!(matches!(
            told[..],
            [Message::StoreError {
                request: 1,
                code: StoreErrorCode::Invalid,
                ..
            }]
        ));
        rig.part(CLIENT, 1, 5, 30, 20, 10);
        assert_eq!(rig.told(CLIENT), vec![], "it was answered");
        assert_eq!(rig.store.status(), StoreStatus::default());
    }
}

#[test]
fn an_object_over_the_limit_is_refused_and_the_others_stay() {
    let mut rig = Rig::new(100, false);
    rig.put(1, 60);
    rig.part(CLIENT, 2, 2, 60, 0, 30);
    let told = rig.told(CLIENT);
    assert!(
        matches!(
            told[1],
            Message::StoreError {
                request: 2,
                code: StoreErrorCode::Full,
                ..
            }
        ),
        "{told:?}"
    );
    rig.part(CLIENT, 2, 2, 60, 30, 30);
    assert_eq!(rig.told(CLIENT), vec![]);
    rig.say(
        CLIENT,
        Message::Get {
            request: 8,
            key: key(1),
        },
    );
    assert_eq!(rig.told(CLIENT), vec![data(8, 60, 0, 60)]);
}

#[test]
fn deleted_objects_make_room() {
    let mut rig = Rig::new(100, false);
    rig.put(1, 60);
    rig.say(
        SCHEDULER,
        Message::Delete {
            keys: vec![key(1), key(77)],
        },
    );
    rig.put(2, 60);
    assert_eq!(
        rig.store.status(),
        StoreStatus {
            objects: 1,
            memory_bytes: 60,
            file_bytes: 0
        }
    );
    rig.say(SCHEDULER, Message::DeleteSession { session: 9 });
    assert_eq!(rig.store.status(), StoreStatus::default());
}

#[test]
fn only_the_scheduler_deletes() {
    for message in [
        Message::Delete { keys: vec![key(1)] },
        Message::DeleteSession { session: 9 },
        Message::Drained,
    ] {
        let mut rig = Rig::new(100, false);
        rig.put(1, 60);
        rig.take();
        rig.say(CLIENT, message);
        assert!(matches!(
            rig.take()[..],
            [StoreOutput::End {
                link: CLIENT,
                code: RefusalCode::Malformed,
                ..
            }]
        ));
        assert_eq!(rig.store.status().objects, 1);
        rig.say(
            CLIENT,
            Message::Get {
                request: 1,
                key: key(1),
            },
        );
        assert_eq!(rig.take(), vec![], "nobody is there any more");
    }
}

#[test]
fn a_session_sees_its_own_objects_alone() {
    let mut rig = Rig::new(100, false);
    rig.put(1, 60);
    rig.store.joined(8, Role::Objects, 10);
    rig.say(
        8,
        Message::Get {
            request: 1,
            key: key(1),
        },
    );
    assert_eq!(rig.told(8), vec![Message::Missing { request: 1 }]);
    rig.part(8, 2, 2, 5, 0, 5);
    assert!(matches!(
        rig.told(8)[..],
        [Message::StoreError {
            code: StoreErrorCode::Invalid,
            ..
        }]
    ));
}

#[test]
fn a_peer_that_leaves_takes_its_half_done_puts_along() {
    let mut rig = Rig::new(100, false);
    rig.part(CLIENT, 1, 5, 90, 0, 20);
    rig.store.left(CLIENT);
    rig.absorb();
    assert_eq!(rig.store.status(), StoreStatus::default());
}

#[test]
fn a_put_begun_again_replaces_the_one_before() {
    let mut rig = Rig::new(100, false);
    rig.part(CLIENT, 1, 5, 90, 0, 20);
    rig.part(CLIENT, 1, 6, 90, 0, 90);
    assert_eq!(rig.told(CLIENT), vec![Message::Stored { request: 1 }]);
    assert_eq!(
        rig.store.status(),
        StoreStatus {
            objects: 1,
            memory_bytes: 90,
            file_bytes: 0
        }
    );
}

#[test]
fn a_getter_that_does_not_read_gets_no_further_parts() {
    let mut rig = Rig::new(u64::MAX, false);
    for part in 0..5 {
        rig.part(CLIENT, 1, 5, 5 * PART as u64, part * PART as u64, PART);
    }
    rig.say(
        NODE,
        Message::Get {
            request: 7,
            key: key(5),
        },
    );
    rig.say(
        NODE,
        Message::Get {
            request: 8,
            key: key(5),
        },
    );
    assert_eq!(rig.told(NODE).len(), 2);
    rig.store.backlog(NODE, PART as u64);
    rig.absorb();
    assert_eq!(
        rig.told(NODE),
        vec![data(7, 5 * PART as u64, 2 * PART as u64, PART)]
    );
    for _ in 0..7 {
        rig.store.backlog(NODE, PART as u64);
        rig.absorb();
    }
    let rest = rig.told(NODE);
    assert_eq!(rest.len(), 7);
    assert_eq!(rest[6], data(8, 5 * PART as u64, 4 * PART as u64, PART));
}

#[test]
fn an_object_deleted_while_it_is_read_ends_in_missing() {
    let mut rig = Rig::new(u64::MAX, false);
    for part in 0..5 {
        rig.part(CLIENT, 1, 5, 5 * PART as u64, part * PART as u64, PART);
    }
    rig.say(
        NODE,
        Message::Get {
            request: 7,
            key: key(5),
        },
    );
    rig.say(SCHEDULER, Message::Delete { keys: vec![key(5)] });
    rig.take();
    rig.store.backlog(NODE, 0);
    rig.absorb();
    assert_eq!(rig.told(NODE), vec![Message::Missing { request: 7 }]);
}

#[test]
fn a_get_of_one_that_went_does_not_go_on_with_another_of_its_name() {
    let mut rig = Rig::new(u64::MAX, false);
    for part in 0..5 {
        rig.part(CLIENT, 1, 5, 5 * PART as u64, part * PART as u64, PART);
    }
    get(&mut rig, NODE, 7, 5);
    rig.say(SCHEDULER, Message::Delete { keys: vec![key(5)] });
    rig.put(5, 20);
    rig.take();
    rig.store.backlog(NODE, 0);
    rig.absorb();
    assert_eq!(rig.told(NODE), vec![Message::Missing { request: 7 }]);
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

#[test]
fn a_file_is_read_once_for_all_who_wait() {
    let mut rig = written();
    rig.say(
        NODE,
        Message::Get {
            request: 7,
            key: key(2),
        },
    );
    rig.say(
        CLIENT,
        Message::Get {
            request: 8,
            key: key(2),
        },
    );
    assert_eq!(
        rig.take(),
        vec![StoreOutput::ReadFile {
            file: 1,
            offset: 0,
            length: 50
        }]
    );
    rig.done(FileDone::Read {
        file: 1,
        offset: 0,
        payload: Bytes(50),
    });
    let send = |link, request| StoreOutput::Send {
        link,
        message: data(request, 50, 0, 50),
    };
    assert_eq!(rig.take(), vec![send(NODE, 7), send(CLIENT, 8)]);
}

#[test]
fn a_write_that_fails_keeps_nothing() {
    let mut rig = spilled();
    rig.take();
    rig.done(FileDone::Failed {
        file: 1,
        error: "no space left".into(),
    });
    let out = rig.take();
    assert!(out.contains(&StoreOutput::DeleteFile { file: 1 }));
    let full = |output: &StoreOutput<Bytes>| {
        matches!(
            output,
            StoreOutput::Send {
                link: CLIENT,
                message: Message::StoreError {
                    request: 2,
                    code: StoreErrorCode::Full,
                    ..
                },
            }
        )
    };
    assert!(out.iter().any(full), "{out:?}");
    rig.done(FileDone::Written { file: 1, bytes: 20 });
    assert_eq!(
        rig.store.status(),
        StoreStatus {
            objects: 1,
            memory_bytes: 90,
            file_bytes: 0
        }
    );
}

#[test]
fn a_file_that_cannot_be_read_is_a_missing_object() {
    for done in [
        FileDone::Failed {
            file: 1,
            error: "input/output error".into(),
        },
        FileDone::Read {
            file: 1,
            offset: 0,
            payload: Bytes(49),
        },
    ] {
        let mut rig = written();
        rig.say(
            NODE,
            Message::Get {
                request: 7,
                key: key(2),
            },
        );
        rig.done(done);
        assert_eq!(rig.told(NODE), vec![Message::Missing { request: 7 }]);
        assert_eq!(rig.store.status().objects, 1);
    }
}

#[test]
fn a_deleted_objects_file_goes() {
    let mut rig = written();
    rig.say(
        NODE,
        Message::Get {
            request: 7,
            key: key(2),
        },
    );
    rig.take();
    rig.say(SCHEDULER, Message::Delete { keys: vec![key(2)] });
    let missing = StoreOutput::Send {
        link: NODE,
        message: Message::Missing { request: 7 },
    };
    assert_eq!(
        rig.take(),
        vec![StoreOutput::DeleteFile { file: 1 }, missing]
    );
    rig.done(FileDone::Read {
        file: 1,
        offset: 0,
        payload: Bytes(50),
    });
    assert_eq!(rig.take(), vec![]);
}

#[test]
fn a_writer_faster_than_the_disk_is_held() {
    let mut rig = Rig::new(0, true);
    let size = 20 * PART as u64;
    for part in 0..9 {
        rig.part(CLIENT, 1, 5, size, part * PART as u64, PART);
    }
    assert!(rig.take().contains(&StoreOutput::Hold {
        link: CLIENT,
        hold: true
    }));
    for _ in 0..6 {
        rig.done(FileDone::Written {
            file: 1,
            bytes: PART as u64,
        });
    }
    assert_eq!(
        rig.take(),
        vec![StoreOutput::Hold {
            link: CLIENT,
            hold: false
        }]
    );
}

mod histories {
    use super::*;
    use proptest::prelude::*;

    #[derive(Clone, Debug)]
    enum Deed {
        Put {
            link: LinkId,
            request: u32,
            byte: u8,
            size: u64,
            offset: u64,
            length: usize,
        },
        Get {
            link: LinkId,
            request: u32,
            byte: u8,
        },
        Delete {
            byte: u8,
        },
        Rejoin {
            link: LinkId,
        },
        Backlog {
            link: LinkId,
            bytes: u64,
        },
        Disk {
            fails: bool,
        },
    }

    fn deed() -> impl Strategy<Value = Deed> {
        let link = || 1u64..3;
        let put = (link(), 0u32..3, 0u8..4, 0u64..40, 0u64..40, 0usize..30);
        prop_oneof![
            6 => put.prop_map(|(link, request, byte, size, offset, length)| {
                Deed::Put { link, request, byte, size, offset: offset / 20 * 20, length }
            }),
            3 => (link(), 0u32..3, 0u8..4).prop_map(|(link, request, byte)| Deed::Get { link, request, byte }),
            1 => (0u8..4).prop_map(|byte| Deed::Delete { byte }),
            1 => link().prop_map(|link| Deed::Rejoin { link }),
            1 => (link(), 0u64..20_000_000).prop_map(|(link, bytes)| Deed::Backlog { link, bytes }),
            3 => prop::bool::weighted(0.1).prop_map(|fails| Deed::Disk { fails }),
        ]
    }

    /// Does what the store asked of the disk, in order.
    fn disk(rig: &mut Rig, fails: bool) {
        for output in rig.take() {
            let done = match output {
                StoreOutput::WriteFile { file, .. } | StoreOutput::ReadFile { file, .. }
                    if fails =>
                {
                    FileDone::Failed {
                        file,
                        error: "disk".into(),
                    }
                }
                StoreOutput::WriteFile { file, payload, .. } => FileDone::Written {
                    file,
                    bytes: payload.0 as u64,
                },
                StoreOutput::ReadFile {
                    file,
                    offset,
                    length,
                } => FileDone::Read {
                    file,
                    offset,
                    payload: Bytes(length as usize),
                },
                _ => continue,
            };
            rig.done(done);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(96))]

        /// Whatever is said and however the disk does: the books are sane, memory stays within its limit, and when all
        /// peers have gone and all is deleted nothing is left.
        #[test]
        fn nothing_is_left_over(
            deeds in prop::collection::vec(deed(), 1..100),
            spills in any::<bool>(),
            writes_through in any::<bool>(),
            disk_limit in prop::option::of(50u64..100),
            session_quota in prop::option::of(30u64..100),
        ) {
            let writes_through = spills && writes_through;
            let config = StoreConfig { memory_limit: 60, spills, writes_through, disk_limit, session_quota };
            let mut rig = Rig::of(config);
            for deed in deeds {
                match deed {
                    Deed::Put { link, request, byte, size, offset, length } => {
                        rig.part(link, request, byte, size, offset, length);
                    }
                    Deed::Get { link, request, byte } => rig.say(link, Message::Get { request, key: key(byte) }),
                    Deed::Delete { byte } => rig.say(SCHEDULER, Message::Delete { keys: vec![key(byte)] }),
                    Deed::Rejoin { link } => rig.store.joined(link, Role::Objects, 0),
                    Deed::Backlog { link, bytes } => rig.store.backlog(link, bytes),
                    Deed::Disk { fails } => disk(&mut rig, fails),
                }
                rig.absorb();
                let status = rig.store.status();
                prop_assert!(status.memory_bytes <= 60);
                prop_assert!(status.file_bytes <= disk_limit.unwrap_or(u64::MAX));
                prop_assert!(rig.store.used.values().all(|used| *used <= session_quota.unwrap_or(u64::MAX)));
            }
            disk(&mut rig, false);
            rig.store.left(1);
            rig.store.left(2);
            rig.say(SCHEDULER, Message::DeleteSession { session: 9 });
            prop_assert_eq!(rig.store.status(), StoreStatus::default());
            prop_assert_eq!(rig.store.unwritten, 0);
            prop_assert_eq!(rig.store.used.len(), 0);
        }
    }
}

fn get(rig: &mut Rig, link: LinkId, request: u32, byte: u8) {
    let key = key(byte);
    rig.say(link, Message::Get { request, key });
}

#[test]
fn a_get_that_comes_before_its_object_waits_for_it() {
    let mut rig = Rig::new(100, false);
    get(&mut rig, NODE, 7, 5);
    rig.part(CLIENT, 1, 5, 30, 0, 20);
    assert_eq!(rig.told(NODE), vec![]);
    rig.part(CLIENT, 1, 5, 30, 20, 10);
    let parts = vec![data(7, 30, 0, 20), data(7, 30, 20, 10)];
    assert_eq!(rig.told(NODE), parts);
    assert_eq!(rig.store.absent.next_wakeup(), None);
}

#[test]
fn an_object_that_does_not_come_is_missing_in_the_end() {
    let mut rig = Rig::new(100, false);
    get(&mut rig, NODE, 7, 5);
    let end = rig.store.absent.next_wakeup().expect("its patience ends");
    rig.store.tick(end - 1);
    rig.absorb();
    assert_eq!(rig.told(NODE), vec![]);
    rig.store.tick(end);
    rig.absorb();
    assert_eq!(rig.told(NODE), vec![Message::Missing { request: 7 }]);
}

#[test]
fn an_object_that_was_waited_for_in_vain_is_not_waited_for_again_until_it_comes() {
    let mut rig = Rig::new(100, false);
    get(&mut rig, NODE, 7, 5);
    rig.store.tick(absent::PATIENCE_US);
    rig.absorb();
    rig.take();
    get(&mut rig, NODE, 8, 5);
    assert_eq!(rig.told(NODE), vec![Message::Missing { request: 8 }]);
    rig.put(5, 20);
    get(&mut rig, NODE, 9, 5);
    assert_eq!(rig.told(NODE), vec![data(9, 20, 0, 20)]);
}

#[test]
fn where_its_client_has_long_been_quiet_nobody_waits_long() {
    let mut rig = Rig::new(100, false);
    let later = 2 * absent::PATIENCE_US;
    rig.store.tick(later);
    let key = key(5);
    let get = |request| Message::Get { request, key };
    rig.store.handle(later, NODE, get(7));
    assert_eq!(rig.store.absent.next_wakeup(), Some(later + 1_000_000));
    rig.store.joined(CLIENT, Role::Objects, 9);
    rig.store.tick(later + 1_000_000);
    rig.store.handle(later + 1_000_000, NODE, get(8));
    let end = later + 1_000_000 + absent::PATIENCE_US;
    assert_ne!(
        rig.store.absent.next_wakeup(),
        Some(end),
        "it was waited for in vain"
    );
    rig.put(5, 20);
    assert_eq!(rig.store.absent.next_wakeup(), None);
}

#[test]
fn while_its_client_puts_others_an_absent_object_is_waited_for() {
    let mut rig = Rig::new(100, false);
    get(&mut rig, NODE, 7, 5);
    rig.part(CLIENT, 1, 4, 30, 0, 20);
    rig.store.tick(absent::PATIENCE_US);
    rig.absorb();
    assert_eq!(rig.told(NODE), vec![]);
    rig.part(CLIENT, 1, 4, 30, 20, 10);
    rig.store.tick(2 * absent::PATIENCE_US);
    rig.absorb();
    assert_eq!(rig.told(NODE), vec![Message::Missing { request: 7 }]);
}

#[test]
fn a_client_learns_at_once_that_an_object_is_missing() {
    let mut rig = Rig::new(100, false);
    get(&mut rig, CLIENT, 7, 5);
    assert_eq!(rig.told(CLIENT), vec![Message::Missing { request: 7 }]);
}

#[test]
fn nobody_waits_for_objects_of_a_session_that_is_over() {
    let mut rig = Rig::new(100, false);
    get(&mut rig, NODE, 7, 5);
    rig.say(SCHEDULER, Message::DeleteSession { session: 9 });
    assert_eq!(rig.told(NODE), vec![Message::Missing { request: 7 }]);
    assert_eq!(rig.store.absent.next_wakeup(), None);
}

#[test]
fn a_peer_that_left_waits_for_nothing() {
    let mut rig = Rig::new(100, false);
    get(&mut rig, NODE, 7, 5);
    rig.store.left(NODE);
    rig.put(5, 20);
    assert_eq!(rig.store.absent.next_wakeup(), None);
    assert_eq!(rig.told(NODE), vec![]);
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

#[test]
fn an_object_larger_than_the_quota_is_refused_to_its_putter_alone() {
    let mut rig = with_quota(40);
    rig.put(1, 30);
    rig.take();
    rig.put(2, 41);
    let told = rig.told(CLIENT);
    let text = "one client may have 40 bytes there";
    assert_eq!(refusal(&told), (StoreErrorCode::Quota, text));
    rig.put(3, 11);
    let told = rig.told(CLIENT);
    let text = "one client may have 40 bytes there, and this one has 30";
    assert_eq!(refusal(&told), (StoreErrorCode::Quota, text));
    rig.put(4, 10);
    assert_eq!(rig.told(CLIENT), vec![Message::Stored { request: 4 }]);
    get(&mut rig, CLIENT, 8, 1);
    assert_eq!(rig.told(CLIENT), vec![data(8, 30, 0, 30)]);
}

#[test]
fn a_quota_is_a_sessions_own() {
    let mut rig = with_quota(40);
    rig.put(1, 40);
    rig.store.joined(8, Role::Objects, 10);
    rig.take();
    let key = ObjectKey {
        session: 10,
        hash: [1; 16],
    };
    let (request, size, offset, payload) = (3, 40, 0, Bytes(40));
    rig.say(
        8,
        Message::Put {
            request,
            key,
            size,
            offset,
            payload,
        },
    );
    assert_eq!(rig.told(8), vec![Message::Stored { request: 3 }]);
}

#[test]
fn an_object_that_is_there_already_needs_no_quota() {
    let mut rig = with_quota(40);
    rig.put(1, 40);
    rig.put(1, 40);
    let stored = Message::Stored { request: 1 };
    assert_eq!(rig.told(CLIENT), vec![stored.clone(), stored]);
    rig.say(SCHEDULER, Message::Delete { keys: vec![key(1)] });
    rig.put(2, 40);
    assert!(rig.told(CLIENT).contains(&Message::Stored { request: 2 }));
}

#[test]
fn a_half_done_put_of_one_that_left_counts_no_more() {
    let mut rig = with_quota(40);
    rig.part(CLIENT, 1, 1, 40, 0, 20);
    rig.store.joined(CLIENT, Role::Objects, 9);
    rig.put(2, 40);
    assert_eq!(rig.told(CLIENT), vec![Message::Stored { request: 2 }]);
}

#[test]
fn what_does_not_fit_on_the_disk_is_refused_and_the_others_stay() {
    let mut rig = Rig::of(StoreConfig {
        memory_limit: 100,
        spills: true,
        disk_limit: Some(50),
        ..StoreConfig::default()
    });
    rig.put(1, 100);
    rig.part(CLIENT, 2, 2, 40, 0, 20);
    rig.take();
    rig.put(3, 11);
    let told = rig.told(CLIENT);
    let text = "40 of 50 bytes on its disk are in use";
    assert_eq!(refusal(&told), (StoreErrorCode::Full, text));
    rig.part(CLIENT, 2, 2, 40, 20, 20);
    rig.done(FileDone::Written { file: 1, bytes: 40 });
    assert!(rig.told(CLIENT).contains(&Message::Stored { request: 2 }));
}

#[test]
fn written_through_an_object_is_stored_once_its_file_is_whole() {
    let mut rig = Rig::writing_through(100);
    rig.part(CLIENT, 2, 2, 50, 0, 30);
    rig.part(CLIENT, 2, 2, 50, 30, 20);
    rig.done(FileDone::Written { file: 1, bytes: 30 });
    assert_eq!(rig.told(CLIENT), vec![]);
    rig.done(FileDone::Written { file: 1, bytes: 20 });
    assert_eq!(rig.told(CLIENT), vec![Message::Stored { request: 2 }]);
    get(&mut rig, NODE, 7, 2);
    let from_memory = vec![data(7, 50, 0, 30), data(7, 50, 30, 20)];
    assert_eq!(rig.told(NODE), from_memory);
    let (memory_bytes, file_bytes) = (50, 50);
    assert_eq!(
        rig.store.status(),
        StoreStatus {
            objects: 1,
            memory_bytes,
            file_bytes
        }
    );
    rig.say(SCHEDULER, Message::Delete { keys: vec![key(2)] });
    assert_eq!(rig.take(), vec![StoreOutput::DeleteFile { file: 1 }]);
    assert_eq!(rig.store.status(), StoreStatus::default());
}

#[test]
fn written_through_an_empty_object_has_a_file_as_well() {
    let mut rig = Rig::writing_through(0);
    rig.put(5, 0);
    assert!(matches!(
        rig.take()[..],
        [StoreOutput::WriteFile { size: 0, .. }]
    ));
    rig.done(FileDone::Written { file: 1, bytes: 0 });
    assert_eq!(rig.told(CLIENT), vec![Message::Stored { request: 5 }]);
}

#[test]
fn written_through_what_the_disk_does_not_take_is_refused() {
    let mut rig = Rig::writing_through(100);
    rig.put(2, 50);
    rig.take();
    let error = "No space left on device".into();
    rig.done(FileDone::Failed { file: 1, error });
    let told = rig.told(CLIENT);
    assert_eq!(refusal(&told).0, StoreErrorCode::Full);
    assert!(refusal(&told).1.contains("No space left"), "{told:?}");
    assert_eq!(rig.store.status(), StoreStatus::default());
    assert!(rig.store.used.is_empty());
}

#[test]
fn what_an_earlier_store_wrote_is_here_again() {
    let mut rig = Rig::writing_through(100);
    rig.store.found(key(1), 60, 7);
    rig.absorb();
    get(&mut rig, NODE, 8, 1);
    let read = StoreOutput::ReadFile {
        file: 7,
        offset: 0,
        length: 60,
    };
    assert_eq!(rig.take(), vec![read]);
    rig.done(FileDone::Read {
        file: 7,
        offset: 0,
        payload: Bytes(60),
    });
    assert_eq!(rig.told(NODE), vec![data(8, 60, 0, 60)]);
    rig.put(2, 10);
    let new =
        |output: &StoreOutput<Bytes>| matches!(output, StoreOutput::WriteFile { file: 8, .. });
    assert!(rig.take().iter().any(new), "no file's number comes again");
}

#[test]
fn one_that_is_put_again_though_it_was_found_is_written_once() {
    let mut rig = Rig::writing_through(100);
    rig.store.found(key(1), 60, 7);
    rig.part(CLIENT, 3, 1, 60, 0, 30);
    rig.part(CLIENT, 3, 1, 60, 30, 30);
    assert_eq!(
        rig.take(),
        vec![StoreOutput::Send {
            link: CLIENT,
            message: Message::Stored { request: 3 }
        }]
    );
}

#[test]
fn of_two_files_of_one_object_one_goes() {
    let mut rig = Rig::writing_through(100);
    rig.store.found(key(1), 60, 7);
    rig.store.found(key(1), 60, 9);
    rig.absorb();
    assert_eq!(rig.take(), vec![StoreOutput::DeleteFile { file: 9 }]);
    assert_eq!(rig.store.status().file_bytes, 60);
}

/// What the store asks a scheduler, and when, after one came.
fn asked(rig: &mut Rig, now: u64) -> Vec<Message<Bytes>> {
    rig.store.tick(now);
    rig.absorb();
    rig.told(SCHEDULER)
}

#[test]
fn the_scheduler_is_asked_of_the_sessions_that_have_objects() {
    let mut rig = Rig::new(100, false);
    rig.put(1, 60);
    rig.store.found(
        ObjectKey {
            session: 4,
            hash: [1; 16],
        },
        20,
        7,
    );
    assert_eq!(asked(&mut rig, 9_999_999), vec![]);
    let ask = |session| Message::DeleteSession { session };
    assert_eq!(asked(&mut rig, 10_000_000), vec![ask(4), ask(9)]);
    assert_eq!(rig.store.next_wakeup(), Some(610_000_000));
    rig.say(SCHEDULER, ask(4));
    assert_eq!(asked(&mut rig, 610_000_000), vec![ask(9)]);
}

#[test]
fn of_two_schedulers_none_is_asked_for_each_has_its_own_sessions() {
    let mut rig = Rig::new(100, false);
    rig.put(1, 60);
    rig.store.joined(8, Role::Scheduler, 0);
    assert_eq!(asked(&mut rig, 10_000_000), vec![]);
    rig.store.left(8);
    assert_eq!(asked(&mut rig, 20_000_000).len(), 1);
    rig.store.left(SCHEDULER);
    assert_eq!(asked(&mut rig, 620_000_000), vec![]);
    assert_eq!(rig.store.next_wakeup(), None);
}
