//! What only a store on disk can get wrong.

use crate::{CACHE_BYTES, SCHEMA, open};
use std::{
    fs,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};
use tombolo_store::{LOCK_WAIT, Sled};
use tombolo_types::store::{Store, StoreError};

#[test]
fn another_schema_version_is_refused_and_leaves_the_store_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    open(folder.path()).apply(&[(b"a".to_vec(), Some(b"1".to_vec()))].into()).unwrap();
    for expected in [0, SCHEMA + 1] {
        match Sled::open(folder.path(), CACHE_BYTES, expected) {
            Err(StoreError::SchemaVersion { found: SCHEMA, expected: said, .. }) => {
                assert_eq!(said, expected);
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(open(folder.path()).get(b"a").unwrap(), Some(b"1".to_vec()));
}

/// Such a store is not ours, and to read it as if it were could be worse than not to start.
#[test]
fn a_store_with_state_and_no_schema_version_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let raw = sled::open(folder.path()).unwrap();
    raw.open_tree("state").unwrap().insert("a", "1").unwrap();
    drop(raw);
    let opened = Sled::open(folder.path(), CACHE_BYTES, SCHEMA);
    assert!(
        matches!(opened, Err(StoreError::SchemaVersion { found: 0, expected: SCHEMA, .. })),
        "{opened:?}"
    );
}

#[test]
fn a_store_in_use_is_waited_for_and_then_refused() {
    let folder = tempfile::tempdir().unwrap();
    let first = open(folder.path());
    let before = Instant::now();
    let second = Sled::open(folder.path(), CACHE_BYTES, SCHEMA);
    assert!(matches!(second, Err(StoreError::Locked { .. })), "{second:?}");
    assert!(before.elapsed() >= LOCK_WAIT);
    drop(first);
    open(folder.path());
}

#[test]
fn a58_the_lock_of_a_process_that_is_just_ending_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let ending = open(folder.path());
    let (started, start) = mpsc::channel();
    let end = thread::spawn(move || {
        start.recv().unwrap();
        thread::sleep(Duration::from_millis(300));
        drop(ending);
    });
    started.send(()).unwrap();
    open(folder.path());
    end.join().unwrap();
}

#[test]
fn a59_a_place_that_cannot_be_written_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    fs::write(&path, b"in the way").unwrap();
    match Sled::open(&path, CACHE_BYTES, SCHEMA) {
        Err(StoreError::Failed { at, doing: "opening", .. }) => {
            assert_eq!(at, path.display().to_string());
        }
        other => panic!("{other:?}"),
    }
}

/// The folder of value files is taken away, so that the sync after a batch fails; then it is put
/// back, and the store must not go on as if nothing had been.
#[test]
fn a59_after_a_failed_sync_nothing_is_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let batch = [(b"a".to_vec(), Some(b"1".to_vec()))].into();
    let store = open(folder.path());
    let (values, away) = (folder.path().join("blobs"), folder.path().join("away"));
    fs::rename(&values, &away).unwrap();
    assert!(matches!(store.apply(&batch), Err(StoreError::Failed { doing: "writing", .. })));
    fs::rename(&away, &values).unwrap();
    for refused in [
        store.apply(&batch),
        store.get(b"a").map(drop),
        store.scan(b"", b"", 1).map(drop),
        store.size_bytes().map(drop),
    ] {
        match refused {
            Err(StoreError::Failed { why, .. }) => assert!(why.starts_with("an earlier write")),
            other => panic!("{other:?}"),
        }
    }
    drop(store);
    let found = open(folder.path()).get(b"a").unwrap();
    assert!(found.is_none() || found == Some(b"1".to_vec()), "all or nothing, not {found:?}");
}
