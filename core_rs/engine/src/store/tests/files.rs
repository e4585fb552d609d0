//! Objects that memory has no room for.

use super::*;

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
