//! What every store must do: one suite for all implementations, so that the fakes cannot drift
//! from the real one.
//!
//! The functions here panic where a store does not do it. They are for tests.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};
use tombolo_types::store::{Batch, Entry, Store};

/// Runs all that needs no history over stores that `open` makes; each must be empty.
pub fn conformance<S: Store>(mut open: impl FnMut() -> S) {
    an_empty_store_holds_nothing(&open());
    values_are_set_replaced_and_deleted(&open());
    odd_keys_and_values_are_kept(&open());
    scans_keep_to_prefix_start_and_limit(&open());
    readers_see_batches_whole(&open());
}

fn set(entries: &[(&[u8], &[u8])]) -> Batch {
    entries.iter().map(|(key, value)| (key.to_vec(), Some(value.to_vec()))).collect()
}

fn keys(entries: &[Entry]) -> Vec<&[u8]> {
    entries.iter().map(|(key, _)| key.as_slice()).collect()
}

fn an_empty_store_holds_nothing(store: &impl Store) {
    assert_eq!(store.get(b"a").unwrap(), None);
    assert_eq!(store.get(b"").unwrap(), None);
    assert_eq!(store.scan(b"", b"", usize::MAX).unwrap(), Vec::new());
    store.apply(&Batch::new()).unwrap();
    store.apply(&Batch::from([(b"absent".to_vec(), None)])).unwrap();
    assert_eq!(store.scan(b"", b"", usize::MAX).unwrap(), Vec::new());
}

fn values_are_set_replaced_and_deleted(store: &impl Store) {
    store.apply(&set(&[(b"a", b"1"), (b"b", b"2"), (b"c", b"3")])).unwrap();
    assert_eq!(store.get(b"b").unwrap(), Some(b"2".to_vec()));
    let second =
        [(b"a".to_vec(), None), (b"b".to_vec(), Some(b"4".to_vec())), (b"d".to_vec(), None)];
    store.apply(&second.into()).unwrap();
    let left = vec![(b"b".to_vec(), b"4".to_vec()), (b"c".to_vec(), b"3".to_vec())];
    assert_eq!(store.scan(b"", b"", usize::MAX).unwrap(), left);
    assert!(store.size_bytes().unwrap() > 0);
}

/// Among them a value as large as the largest block: stores keep such values apart.
fn odd_keys_and_values_are_kept(store: &impl Store) {
    let large = vec![0xa5; 2 * 1024 * 1024];
    let long_key = vec![7; 1024];
    let batch = set(&[(b"", b"empty key"), (b"e", b""), (&long_key, b"long"), (b"large", &large)]);
    store.apply(&batch).unwrap();
    for (key, value) in &batch {
        assert_eq!(&store.get(key).unwrap(), value);
    }
    assert_eq!(store.scan(b"", b"", usize::MAX).unwrap().len(), batch.len());
}

fn scans_keep_to_prefix_start_and_limit(store: &impl Store) {
    let all: [&[u8]; 7] = [b"a", b"b", b"b\0", b"ba", b"b\xff", b"c", b"\xff\xff"];
    store.apply(&all.map(|key| (key.to_vec(), Some(key.to_vec()))).into()).unwrap();
    #[allow(clippy::type_complexity)]
    let table: [(&str, &[u8], &[u8], usize, &[&[u8]]); 9] = [
        ("everything", b"", b"", 9, &all),
        ("a prefix, with itself and up to its last key", b"b", b"", 9, &all[1..5]),
        ("a start below the prefix", b"b", b"a", 9, &all[1..5]),
        ("a start that is there", b"b", b"ba", 9, &all[3..5]),
        ("a start that is not there", b"b", b"b\x01", 9, &all[3..5]),
        ("a start above the prefix", b"b", b"c", 9, &[]),
        ("a prefix of the highest bytes", b"\xff", b"", 9, &all[6..]),
        ("no more than the limit", b"b", b"", 2, &all[1..3]),
        ("a limit of nothing", b"", b"", 0, &[]),
    ];
    for (what, prefix, from, limit, expected) in table {
        assert_eq!(keys(&store.scan(prefix, from, limit).unwrap()), expected, "{what}");
    }
}

/// One thread replaces all entries again and again; another must never see two generations.
fn readers_see_batches_whole(store: &impl Store) {
    const GENERATIONS: u32 = 30;
    let generation = |number: u32| -> Batch {
        (0..40u8).map(|key| (vec![key], Some(number.to_be_bytes().to_vec()))).collect()
    };
    store.apply(&generation(0)).unwrap();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let seen = store.scan(b"", b"", usize::MAX).unwrap();
                assert_eq!(seen.len(), 40);
                assert!(seen.iter().all(|(_, value)| *value == seen[0].1), "a torn batch was seen");
            }
        });
        for number in 1..=GENERATIONS {
            store.apply(&generation(number)).unwrap();
        }
        done.store(true, Ordering::Relaxed);
    });
}

/// One thing done to a store, for histories drawn at random.
#[derive(Clone, Debug)]
pub enum Step {
    /// [`Store::apply`].
    Apply(Batch),
    /// [`Store::get`].
    Get(Vec<u8>),
    /// [`Store::scan`].
    Scan {
        /// What the keys start with.
        prefix: Vec<u8>,
        /// The lowest key.
        from: Vec<u8>,
        /// At most so many.
        limit: usize,
    },
    /// The process ends and starts again.
    Reopen,
}

/// Runs `steps` on `store` and on a plain map side by side; every answer must be the same.
///
/// `reopen` stands for the restart of the process.
pub fn agrees_with_a_map<S: Store>(mut store: S, mut reopen: impl FnMut(S) -> S, steps: Vec<Step>) {
    let mut model = BTreeMap::<Vec<u8>, Vec<u8>>::new();
    let expected = |model: &BTreeMap<Vec<u8>, Vec<u8>>, prefix: &[u8], from: &[u8], limit| {
        let inside = |key: &[u8]| key.starts_with(prefix) && key >= from;
        let entries = model.iter().filter(|(key, _)| inside(key));
        entries.take(limit).map(|(key, value)| (key.clone(), value.clone())).collect::<Vec<_>>()
    };
    for step in steps {
        match step {
            Step::Apply(batch) => {
                store.apply(&batch).unwrap();
                model.extend(batch.iter().filter_map(|(k, v)| Some((k.clone(), v.clone()?))));
                model.retain(|key, _| batch.get(key) != Some(&None));
            }
            Step::Get(key) => assert_eq!(store.get(&key).unwrap(), model.get(&key).cloned()),
            Step::Scan { prefix, from, limit } => assert_eq!(
                store.scan(&prefix, &from, limit).unwrap(),
                expected(&model, &prefix, &from, limit)
            ),
            Step::Reopen => store = reopen(store),
        }
    }
    let all = store.scan(b"", b"", usize::MAX).unwrap();
    assert_eq!(all, expected(&model, b"", b"", usize::MAX));
}
