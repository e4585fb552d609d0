//! Random deeds: nothing is lost, nothing is counted twice.

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
            StoreOutput::WriteFile { file, .. } | StoreOutput::ReadFile { file, .. } if fails => {
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
