//! A log that lost its end or had bytes changed: the last state or a refusal, nothing else.
//!
//! Sled alone opens such a log with an earlier state and says nothing.

use crate::{CACHE_BYTES, SCHEMA, open};
use std::{collections::BTreeSet, fs, panic, path::Path};
use tombolo_store::Sled;
use tombolo_types::store::{Batch, Store, StoreError};

const BATCHES: u32 = 12;

fn batch(number: u32) -> Batch {
    let value = number.to_be_bytes().repeat(20);
    (0..30u8).map(|key| (vec![key], Some(value.clone()))).collect()
}

/// Opens a copy of `folder` in which `damage` has been done to the log, and says which batch it
/// holds; `None` where it refuses.
fn newest_after(folder: &Path, damage: impl FnOnce(&mut Vec<u8>)) -> Option<u32> {
    let copy = tempfile::tempdir().unwrap();
    fs::create_dir(copy.path().join("blobs")).unwrap();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_file() {
            fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
        }
    }
    let mut log = fs::read(folder.join("db")).unwrap();
    damage(&mut log);
    fs::write(copy.path().join("db"), log).unwrap();
    // Sled panics at some of what it cannot read; in a node that ends the process too.
    let read = panic::catch_unwind(|| {
        let store = Sled::open(copy.path(), CACHE_BYTES, SCHEMA).ok()?;
        store.scan(b"", b"", usize::MAX).ok()
    });
    let found = read.ok().flatten()?;
    let number =
        found.first().map_or(0, |(_, value)| u32::from_be_bytes(value[..4].try_into().unwrap()));
    let expected = if number == 0 { Batch::new() } else { batch(number) };
    assert_eq!(found.into_iter().map(|(k, v)| (k, Some(v))).collect::<Batch>(), expected, "torn");
    Some(number)
}

#[test]
fn a58_a_log_that_lost_acknowledged_batches_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    (1..=BATCHES).for_each(|number| store.apply(&batch(number)).unwrap());
    // Copied while it is open, as a crash would leave it.
    assert_eq!(newest_after(folder.path(), |_| {}), Some(BATCHES));
    let mut outcomes = BTreeSet::new();
    for cut in spread_over(folder.path()) {
        outcomes.insert(newest_after(folder.path(), |log| log.truncate(cut)));
    }
    assert!(outcomes.contains(&None), "cuts took nothing away");
    outcomes.remove(&None);
    outcomes.remove(&Some(BATCHES));
    assert_eq!(outcomes, BTreeSet::new(), "back to an earlier batch without a word");
}

#[test]
fn a58_a_changed_byte_changes_nothing_or_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    (1..=BATCHES).for_each(|number| store.apply(&batch(number)).unwrap());
    for at in spread_over(folder.path()) {
        eprintln!("{at} {:?}", newest_after(folder.path(), |log| log[at] ^= 0x10));
    }
}

/// Places over all of the log that is written, most of them not at a border of anything.
fn spread_over(folder: &Path) -> impl Iterator<Item = usize> {
    let log = fs::read(folder.join("db")).unwrap();
    let end = log.iter().rposition(|byte| *byte != 0).unwrap();
    (0..end).rev().step_by(end / 60 + 1)
}

#[test]
fn a58_an_older_copy_of_the_files_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    store.apply(&batch(1)).unwrap();
    let older = fs::read(folder.path().join("db")).unwrap();
    store.apply(&batch(2)).unwrap();
    assert_eq!(newest_after(folder.path(), |log| *log = older), None);
}

#[test]
fn a58_a_missing_or_damaged_count_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    open(folder.path()).apply(&batch(1)).unwrap();
    let count = folder.path().join("acknowledged");
    let whole = fs::read(&count).unwrap();
    for damaged in [None, Some(&whole[..7]), Some(&[0xff; 8][..])] {
        match damaged {
            Some(bytes) => fs::write(&count, bytes).unwrap(),
            None => fs::remove_file(&count).unwrap(),
        }
        let opened = Sled::open(folder.path(), CACHE_BYTES, SCHEMA);
        assert!(
            matches!(
                &opened,
                Err(StoreError::Failed {
                    doing: "checking that no acknowledged batch is missing",
                    ..
                })
            ),
            "{damaged:?}: {opened:?}"
        );
    }
    fs::write(&count, whole).unwrap();
    open(folder.path());
}
