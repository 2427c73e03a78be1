//! A process that writes is killed at a moment it does not choose; another opens what it left.

use crate::open;
use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Command, Stdio},
};
use tombolo_types::store::{Batch, Store};

/// Names the folder to the child; without it the child's test does nothing.
const FOLDER: &str = "TOMBOLO_STORE_CRASH_FOLDER";
const ENTRIES: u32 = 60;
const NEWEST: &[u8] = b"newest";

fn key(batch: u32, entry: u32) -> Vec<u8> {
    [b"b".as_slice(), &batch.to_be_bytes(), &entry.to_be_bytes()].concat()
}

fn batch(number: u32) -> Batch {
    let value = number.to_be_bytes().repeat(25);
    let newest = (NEWEST.to_vec(), Some(number.to_be_bytes().to_vec()));
    (0..ENTRIES).map(|entry| (key(number, entry), Some(value.clone()))).chain([newest]).collect()
}

fn newest(store: &impl Store) -> u32 {
    store.get(NEWEST).unwrap().map_or(0, |bytes| u32::from_be_bytes(bytes.try_into().unwrap()))
}

/// The child: appends batches until it is killed, and says of each when it is acknowledged.
#[test]
fn child() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let store = open(Path::new(&folder));
    for number in newest(&store) + 1.. {
        store.apply(&batch(number)).unwrap();
        let mut out = std::io::stdout().lock();
        writeln!(out, "acknowledged {number}").and_then(|()| out.flush()).unwrap();
    }
}

/// Starts the child, kills it once `count` more batches are acknowledged, and returns the last
/// one of which it said so.
fn kill_after(folder: &Path, count: usize) -> u32 {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["crash::child", "--exact", "--nocapture", "--test-threads=1"])
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let mut acknowledged = lines.filter_map(|line| {
        // The test harness may have written the test's name without an end of line before it.
        line.rsplit_once("acknowledged ").map(|(_, number)| number.parse::<u32>().unwrap())
    });
    let mut last = acknowledged.by_ref().take(count).last().unwrap();
    child.kill().unwrap();
    // It went on while the signal was on its way.
    last = acknowledged.last().unwrap_or(last);
    child.wait().unwrap();
    last
}

/// Req: D35-7.2.1-1
#[test]
fn a58_after_kill_9_every_acknowledged_batch_is_there_and_none_is_torn() {
    let folder = tempfile::tempdir().unwrap();
    for round in 0..6 {
        let acknowledged = kill_after(folder.path(), 3 + 7 * round);
        // Opened at once: the lock of the killed process may still be held.
        let store = open(folder.path());
        let newest = newest(&store);
        assert!(
            newest >= acknowledged,
            "batch {acknowledged} was acknowledged, {newest} is newest"
        );
        assert!(newest <= acknowledged + 1, "one batch at most was on its way");
        for number in 1..=newest {
            for (key, value) in batch(number) {
                if key != NEWEST {
                    assert_eq!(store.get(&key).unwrap(), value, "batch {number} is torn");
                }
            }
        }
        let beyond = store.scan(b"b", &key(newest + 1, 0), 1).unwrap();
        assert_eq!(beyond, Vec::new(), "a batch after {newest} is torn");
    }
}
