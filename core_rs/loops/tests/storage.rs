//! A loop with object storage in it, over real sockets.

mod harness;

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use harness::{
    noise, object_channel, object_channel_of, object_event, store_settings, Folder, RunningLoop,
};
use scaler_loops::object_channel::{ObjectChannel, ObjectEvent};
use scaler_loops::port::object_hash;
use scaler_loops::reactor::{Reactor, Settings};
use scaler_loops::shared::{Listening, Order};
use scaler_loops::store_part::StoreSettings;
use scaler_loops::wire::ObjectKey;

struct Storage {
    // Dropped in this order.
    running: RunningLoop,
    path: PathBuf,
    folder: Folder,
}

impl Storage {
    fn start(change: impl FnOnce(&mut StoreSettings, &Folder)) -> Storage {
        let folder = Folder::new();
        let mut settings = store_settings();
        change(&mut settings, &folder);
        let running = RunningLoop::start(Settings {
            store: Some(settings),
            ..Settings::default()
        });
        let path = running.listen(Listening::Store, &folder);
        Storage {
            running,
            path,
            folder,
        }
    }

    fn plain() -> Storage {
        Storage::start(|_, _| {})
    }

    /// One that keeps everything in files, and nothing in memory.
    fn writing_through() -> Storage {
        Storage::start(|settings, folder| write_through(settings, &folder.0))
    }

    fn files(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.folder.0.join("stored/objects")).unwrap();
        let paths = entries.map(|entry| entry.unwrap().path());
        paths.filter(|path| !path.ends_with("lock")).collect()
    }

    /// Another one in its place; in between, something happens.
    fn again(self, between: impl FnOnce(&Storage)) -> Storage {
        let mut next = self;
        next.running.stop();
        between(&next);
        let mut settings = store_settings();
        write_through(&mut settings, &next.folder.0);
        next.running = RunningLoop::start(Settings {
            store: Some(settings),
            ..Settings::default()
        });
        std::fs::remove_file(&next.path).unwrap();
        next.path = next.running.listen(Listening::Store, &next.folder);
        next
    }
}

fn write_through(settings: &mut StoreSettings, folder: &Path) {
    settings.memory_limit = 0;
    settings.directory = Some(folder.join("stored"));
    settings.writes_through = true;
}

fn put(channel: &mut ObjectChannel, data: &[u8]) -> [u8; 16] {
    let hash = object_hash(data);
    let request = channel.put(hash, vec![Bytes::copy_from_slice(data)]);
    object_event(channel, |event| match event {
        ObjectEvent::Stored { request: stored } => (*stored == request).then_some(()),
        ObjectEvent::StoreError { text, .. } => panic!("{text}"),
        _ => None,
    });
    hash
}

fn get(channel: &mut ObjectChannel, session: u64, hash: [u8; 16]) -> Option<Vec<u8>> {
    let request = channel.get(ObjectKey { session, hash });
    object_event(channel, |event| match event {
        ObjectEvent::Data {
            request: got,
            parts,
        } if *got == request => Some(Some(parts.concat())),
        ObjectEvent::Missing { request: got } if *got == request => Some(None),
        _ => None,
    })
}

fn serves(storage: &Storage) {
    let (mut channel, session) = object_channel(&storage.path);
    let data = noise(1 << 20);
    let hash = put(&mut channel, &data);
    assert_eq!(get(&mut channel, session, hash), Some(data));
}

#[test]
fn objects_come_back_whatever_their_size() {
    let storage = Storage::plain();
    let (mut channel, session) = object_channel(&storage.path);
    for size in [0, 1, 65_536, (4 << 20) - 1, 4 << 20, 10 << 20] {
        let data = noise(size);
        let hash = put(&mut channel, &data);
        assert!(
            get(&mut channel, session, hash) == Some(data),
            "of {size} bytes"
        );
    }
    assert_eq!(get(&mut channel, session, [1; 16]), None);
}

#[test]
fn what_does_not_fit_into_memory_goes_to_files_that_go_with_the_loop() {
    let storage = Storage::start(|settings, folder| {
        settings.memory_limit = 1 << 20;
        settings.directory = Some(folder.0.join("spilled"));
    });
    let (mut channel, session) = object_channel(&storage.path);
    let all: Vec<Vec<u8>> = (0..3).map(|_| noise(5 << 20)).collect();
    let hashes: Vec<_> = all.iter().map(|data| put(&mut channel, data)).collect();
    for (data, hash) in all.iter().zip(hashes) {
        assert!(get(&mut channel, session, hash).as_ref() == Some(data));
    }
    let spilled = storage.folder.0.join("spilled");
    assert_eq!(std::fs::read_dir(&spilled).unwrap().count(), 1);
    let Storage {
        running,
        folder: _folder,
        ..
    } = storage;
    drop(running);
    assert_eq!(std::fs::read_dir(&spilled).unwrap().count(), 0);
}

#[test]
fn what_was_written_through_is_there_after_the_storage() {
    let storage = Storage::writing_through();
    let (mut channel, session) = object_channel(&storage.path);
    let all: Vec<Vec<u8>> = [0, 1, 70_000, 4 << 20, (9 << 20) + 5].map(noise).into();
    let hashes: Vec<_> = all.iter().map(|data| put(&mut channel, data)).collect();
    let storage = storage.again(|_| {});
    let (mut channel, _) = object_channel_of(&storage.path, session);
    for (data, hash) in all.iter().zip(&hashes) {
        assert!(get(&mut channel, session, *hash).as_ref() == Some(data));
    }
    // One that its client puts again is the one that is there.
    assert_eq!(put(&mut channel, &all[2]), hashes[2]);
    assert_eq!(storage.files().len(), all.len());
}

/// What is left of an object of two parts and a bit when its only file is changed behind the storage's back, while it
/// runs or between two.
fn after(change: impl Fn(&Path), while_it_runs: bool) -> (Option<Vec<u8>>, bool) {
    let storage = Storage::writing_through();
    let (mut channel, session) = object_channel(&storage.path);
    let data = noise((9 << 20) + 5);
    let hash = put(&mut channel, &data);
    let change = |storage: &Storage| change(&storage.files()[0]);
    let storage = if while_it_runs {
        change(&storage);
        storage
    } else {
        storage.again(change)
    };
    let (mut channel, _) = object_channel_of(&storage.path, session);
    let got = get(&mut channel, session, hash);
    assert!(got.is_none() || got.as_ref() == Some(&data), "wrong bytes");
    serves(&storage);
    (got, storage.files().len() > 1)
}

#[test]
fn a_file_of_which_a_byte_changed_is_a_missing_object() {
    for at in [0, 5 << 20, (9 << 20) + 4] {
        let flip = |path: &Path| {
            let mut bytes = std::fs::read(path).unwrap();
            bytes[at] ^= 1;
            std::fs::write(path, bytes).unwrap();
        };
        for while_it_runs in [true, false] {
            assert_eq!(after(flip, while_it_runs), (None, false), "byte {at}");
        }
    }
}

#[test]
fn a_file_that_is_cut_off_is_a_missing_object() {
    for length in [0, 71, 4 << 20, (9 << 20) + 5, (9 << 20) + 6] {
        let cut = |path: &Path| {
            let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
            file.set_len(length).unwrap();
        };
        assert_eq!(after(cut, false), (None, false), "at {length}");
        if length < 9 << 20 {
            assert_eq!(after(cut, true), (None, false), "at {length}");
        }
    }
}

#[test]
fn a_file_that_goes_is_a_missing_object() {
    let go = |path: &Path| std::fs::remove_file(path).unwrap();
    assert_eq!(after(go, true), (None, false));
    assert_eq!(after(go, false), (None, false));
}

#[test]
fn a_file_that_never_became_whole_goes_and_strange_files_stay() {
    let storage = Storage::writing_through();
    let (mut channel, session) = object_channel(&storage.path);
    let whole = put(&mut channel, &noise(5 << 20));
    let hash = object_hash(b"half");
    let storage = storage.again(|storage| {
        let file = &storage.files()[0];
        std::fs::write(file.with_file_name("00000000000000ff.part"), b"half").unwrap();
        std::fs::write(file.with_file_name("00000000000000fe"), b"half").unwrap();
        std::fs::write(file.with_file_name("notes.txt"), b"somebody's").unwrap();
    });
    let (mut channel, _) = object_channel_of(&storage.path, session);
    assert_eq!(get(&mut channel, session, hash), None);
    assert!(get(&mut channel, session, whole).is_some());
    let mut names: Vec<_> = storage.files();
    names.sort();
    assert_eq!(names.len(), 2);
    assert!(names[1].ends_with("notes.txt"));
}

#[test]
fn a_folder_has_one_storage_at_a_time() {
    let storage = Storage::writing_through();
    let mut settings = store_settings();
    write_through(&mut settings, &storage.folder.0);
    let settings = Settings {
        store: Some(settings),
        ..Settings::default()
    };
    let error = Reactor::new(settings.clone())
        .err()
        .expect("it is taken")
        .to_string();
    assert!(error.contains("another object storage"), "{error}");
    let Storage {
        running,
        folder: _folder,
        ..
    } = storage;
    drop(running);
    assert!(Reactor::new(settings).is_ok());
}

#[test]
fn folders_of_killed_storages_go_and_those_of_living_ones_stay() {
    let storage = Storage::start(|settings, folder| {
        settings.memory_limit = 0;
        settings.directory = Some(folder.0.clone());
    });
    let (mut channel, session) = object_channel(&storage.path);
    let data = noise(1 << 20);
    let hash = put(&mut channel, &data);
    let left = storage.folder.0.join("objects-00000000000000aa");
    let strange = storage.folder.0.join("objects-of-mine");
    for each in [&left, &strange] {
        std::fs::create_dir(each).unwrap();
        std::fs::write(each.join("1"), b"bytes").unwrap();
    }
    let mut settings = store_settings();
    settings.directory = Some(storage.folder.0.clone());
    let other = Reactor::new(Settings {
        store: Some(settings),
        ..Settings::default()
    });
    assert!(other.is_ok());
    assert!(!left.exists() && strange.exists());
    assert_eq!(get(&mut channel, session, hash), Some(data));
}

#[test]
fn a_folder_that_cannot_be_is_an_error_at_the_start() {
    let folder = Folder::new();
    std::fs::write(folder.0.join("file"), b"").unwrap();
    let mut settings = store_settings();
    settings.directory = Some(folder.0.join("file"));
    let settings = Settings {
        store: Some(settings),
        ..Settings::default()
    };
    assert!(Reactor::new(settings).is_err());
}

#[test]
fn a_socket_that_breaks_loses_nothing() {
    let storage = Storage::plain();
    let (mut channel, session) = object_channel(&storage.path);
    let data = noise(9 << 20);
    let hash = object_hash(&data);
    let request = channel.put(hash, vec![Bytes::copy_from_slice(&data)]);
    channel.detach();
    channel.attach(harness::connect(&storage.path)).unwrap();
    object_event(&mut channel, |event| match event {
        ObjectEvent::Stored { request: stored } => (*stored == request).then_some(()),
        _ => None,
    });
    assert!(get(&mut channel, session, hash) == Some(data));
}

#[test]
fn noise_ends_its_own_connection_and_nothing_else() {
    let storage = Storage::plain();
    let (mut honest, session) = object_channel(&storage.path);
    let hash = put(&mut honest, b"before");
    for length in [1, 3, 4, 5, 16, 100, 5_000, 100_000] {
        let mut stranger = UnixStream::connect(&storage.path).unwrap();
        let mut bytes = noise(length);
        if length == 5_000 {
            // A frame of its length, and noise in it.
            bytes[..4].copy_from_slice(&(5_000u32 - 4).to_le_bytes());
        }
        // It may be hung up on while it still writes.
        let _ = stranger.write_all(&bytes);
        let _ = stranger.shutdown(std::net::Shutdown::Write);
        let _ = stranger.read_to_end(&mut Vec::new());
        assert_eq!(
            get(&mut honest, session, hash).as_deref(),
            Some(&b"before"[..])
        );
    }
}

#[test]
fn half_a_handshake_is_waited_for_without_holding_anyone_up() {
    let storage = Storage::plain();
    let mut halves = Vec::new();
    for _ in 0..20 {
        let mut stranger = UnixStream::connect(&storage.path).unwrap();
        stranger.write_all(&[200, 0, 0]).unwrap();
        halves.push(stranger);
    }
    serves(&storage);
}

#[test]
fn a_flood_of_connections_does_not_keep_honest_peers_from_being_served() {
    let storage = Storage::plain();
    let (mut honest, session) = object_channel(&storage.path);
    let hash = put(&mut honest, b"before");
    let mut flood = Vec::new();
    for count in 0..400 {
        flood.push(UnixStream::connect(&storage.path).unwrap());
        if count % 50 == 0 {
            assert_eq!(
                get(&mut honest, session, hash).as_deref(),
                Some(&b"before"[..])
            );
        }
    }
    drop(flood);
    serves(&storage);
}

#[test]
fn a_peer_that_does_not_read_does_not_block_others() {
    let storage = Storage::plain();
    let (mut deaf, session) = object_channel(&storage.path);
    let hash = put(&mut deaf, &noise(8 << 20));
    // Far more than sockets and credit hold; nobody reads it.
    for _ in 0..50 {
        deaf.get(ObjectKey { session, hash });
    }
    for _ in 0..5 {
        serves(&storage);
    }
    // And it is served as soon as it reads.
    let mut got = 0;
    while got < 50 {
        got += object_event(&mut deaf, |event| match event {
            ObjectEvent::Data { parts, .. } => {
                assert_eq!(parts.iter().map(Bytes::len).sum::<usize>(), 8 << 20);
                Some(1)
            }
            _ => None,
        });
    }
}

#[test]
fn a_bridged_connection_needs_a_ticket_where_there_are_keys() {
    let storage = Storage::start(|settings, _| settings.ticket_key = Some([7; 32]));
    let (ours, theirs) = UnixStream::pair().unwrap();
    storage.running.tell(Order::Adopt {
        part: Listening::Store,
        socket: theirs.into(),
        address: "192.0.2.1".into(),
    });
    let hello = harness::hello(scaler_loops::wire::Role::Objects);
    let mut channel = ObjectChannel::new(hello, 1).unwrap();
    channel.attach(ours.into()).unwrap();
    let text = object_event(&mut channel, |event| match event {
        ObjectEvent::Refused { text, .. } => Some(text.clone()),
        _ => None,
    });
    assert!(text.contains("ticket"), "{text}");
    serves(&storage);
}
