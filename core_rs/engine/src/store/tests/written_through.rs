//! Every object in a file, and what the next store finds.

use super::*;

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
