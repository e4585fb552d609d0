//! Values of which parts lie in files already.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use scaler_loops::copies::{self, Owner};
use scaler_loops::gather::gather;
use scaler_loops::mapped::{self, FileId, LEAST};
use scaler_loops::spare_files::{self, share, Source};

/// Files and copies belong to the whole process.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn noise(length: usize, seed: u8) -> Vec<u8> {
    (0..length)
        .map(|at| (at / 251 + at % 251) as u8 ^ seed)
        .collect()
}

fn file(bytes: &Bytes) -> FileId {
    mapped::file_of(bytes).expect("in a file").0.id()
}

fn owner(bytes: &Arc<Vec<u8>>) -> Owner {
    Arc::clone(bytes) as Owner
}

#[test]
fn what_lies_in_a_file_stays_there() {
    let _alone = alone();
    let (one, other) = (
        share(&[&noise(LEAST, 1)]).unwrap(),
        share(&[&noise(2 * LEAST, 2)]).unwrap(),
    );
    let new = noise(LEAST, 3);
    let parts = [&b"head"[..], &one, &new, &other, b"tail"];
    let pieces = gather(&parts, Vec::new()).unwrap();
    assert_eq!(pieces.concat(), parts.concat());
    let lengths: Vec<usize> = pieces.iter().map(Bytes::len).collect();
    assert_eq!(lengths, [4, LEAST, LEAST, 2 * LEAST, 4]);
    assert_eq!(
        (file(&pieces[1]), file(&pieces[3])),
        (file(&one), file(&other))
    );
    assert_ne!(file(&pieces[2]), file(&one));
}

#[test]
fn what_is_new_is_in_one_file() {
    let _alone = alone();
    let parts = [noise(LEAST, 1), noise(10, 2), noise(LEAST, 3)];
    let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
    let pieces = gather(&parts, Vec::new()).unwrap();
    assert_eq!(pieces.len(), 1);
    assert_eq!(pieces[0], parts.concat());
    assert!(gather(&[b"small"], Vec::new()).is_none());
}

#[test]
fn a_mapping_that_was_written_is_in_no_file() {
    let _alone = alone();
    let length = 600 * 4096;
    let bytes = share(&[&noise(length, 1)]).unwrap();
    let (mapped, _) = mapped::file_of(&bytes).unwrap();
    for at in [0, length / 2, length - 1] {
        let own = mapped.copy_on_write().unwrap();
        let memory = || unsafe { std::slice::from_raw_parts(own.start(), length) };
        let whole = mapped::unwritten(memory()).expect("nobody wrote");
        assert_eq!(file(&whole), mapped.id());
        assert_eq!(whole, bytes);
        let part = mapped::unwritten(&memory()[100..100 + LEAST]).unwrap();
        assert_eq!(part, bytes[100..100 + LEAST]);
        // SAFETY: inside of a mapping of our own, of which nobody has a reference now.
        unsafe { *own.start().add(at) ^= 1 };
        assert!(mapped::unwritten(memory()).is_none());
        let elsewhere = if at < length / 2 { length - LEAST } else { 0 };
        assert!(mapped::unwritten(&memory()[elsewhere..elsewhere + LEAST]).is_some());
    }
    assert_eq!(bytes, noise(length, 1));
}

#[test]
fn a_small_part_of_a_file_does_not_keep_it() {
    let _alone = alone();
    let large = share(&[&noise(8 * LEAST, 1)]).unwrap();
    let pieces = gather(&[&large[..2 * LEAST]], Vec::new()).unwrap();
    assert_ne!(file(&pieces[0]), file(&large));
    let pieces = gather(&[&large[..7 * LEAST]], Vec::new()).unwrap();
    assert_eq!(file(&pieces[0]), file(&large));
}

#[test]
fn a_copy_is_known_until_it_is_forgotten() {
    let _alone = alone();
    let bytes = share(&[&noise(2 * LEAST, 1)]).unwrap();
    let copy = Arc::new(bytes.to_vec());
    copies::remember(&copy, bytes.clone(), owner(&copy));
    assert_eq!(copies::origin(&copy[7..]), Some(bytes.slice(7..)));
    copies::forget(|owner| Arc::strong_count(owner) < 2);
    assert_eq!(copies::origin(&copy), Some(bytes.clone()));
    copies::forget(|_| true);
    assert_eq!(copies::origin(&copy), None);
    assert_eq!(Arc::strong_count(&copy), 1);
}

#[test]
fn what_a_file_was_written_from_is_known_until_it_is_written_anew() {
    let _alone = alone();
    let memory = Arc::new(noise(2 * LEAST, 1));
    let source = || Source {
        address: memory.as_ptr() as usize,
        length: memory.len(),
        owner: owner(&memory),
    };
    let parts: [&[u8]; 2] = [b"head", &memory];
    let bytes = gather(&parts, vec![(1, source())]).unwrap().remove(0);
    let id = file(&bytes);
    assert!(spare_files::source(id, 4, memory.len()).is_some());
    assert!(spare_files::source(id, 4, memory.len() - 1).is_none());
    assert!(spare_files::source(id, 0, memory.len()).is_none());
    let found = spare_files::written_from(&memory[1..]).unwrap();
    assert_eq!((file(&found), &found[..]), (id, &memory[1..]));
    drop((bytes, found));
    assert!(
        spare_files::written_from(&memory).is_none(),
        "nobody has the file"
    );
    let anew = share(&[b"HEAD", &noise(2 * LEAST, 2)]).unwrap();
    assert_eq!(file(&anew), id, "the same file");
    assert!(spare_files::source(id, 4, memory.len()).is_none());
    assert_eq!(Arc::strong_count(&memory), 1);
}
