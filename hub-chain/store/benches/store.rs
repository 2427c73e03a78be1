//! What a block costs in the store: batches with their sync, reads, and opening again.
//!
//! Entries are as long as typical state: keys of 32 bytes, values of 100. Memory and disk are
//! printed beside the times; both grow with what lies in the store.

use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use std::{fs, hint::black_box, path::Path, time::Duration};
use tombolo_store::{Memory, Sled};
use tombolo_types::store::{Batch, Store};

const CACHE_BYTES: u64 = 64 * 1024 * 1024;
const KEYS: u64 = 100_000;
const LOAD_BATCH: u64 = 1_000;
const VALUE: [u8; 100] = [0x5a; 100];

fn open(path: &Path) -> Sled {
    Sled::open(path, CACHE_BYTES, 1).unwrap()
}

/// Spread over the whole key space, as hashes are, and the same in every run.
fn key(number: u64) -> Vec<u8> {
    let spread = number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes();
    spread.repeat(4)
}

fn batch(numbers: impl Iterator<Item = u64>) -> Batch {
    numbers.map(|number| (key(number), Some(VALUE.to_vec()))).collect()
}

/// In MiB; what the process holds in memory now.
fn resident_mib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) / 1024
}

fn report(when: &str, store: &impl Store) {
    let disk_mib = store.size_bytes().unwrap() / (1024 * 1024);
    println!("store {when}: disk {disk_mib} MiB, resident {} MiB", resident_mib());
}

fn apply(c: &mut Criterion, store: &impl Store, name: &str) {
    let mut group = c.benchmark_group(format!("{name}::apply"));
    let mut next = 0;
    for entries in [10, 100, 1_000] {
        group.bench_function(BenchmarkId::from_parameter(format!("entries={entries}")), |bench| {
            let existing = || {
                next = (next + entries) % KEYS;
                batch((next..next + entries).map(|number| number % KEYS))
            };
            bench.iter_batched(
                existing,
                |batch| store.apply(&batch).unwrap(),
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

fn get(c: &mut Criterion, store: &impl Store, name: &str) {
    let mut number = 0;
    c.bench_function(&format!("{name}::get/keys={KEYS}"), |bench| {
        bench.iter(|| {
            number = (number + 7919) % KEYS;
            black_box(store.get(&key(number)).unwrap())
        });
    });
}

fn load(store: &impl Store) {
    for first in (0..KEYS).step_by(LOAD_BATCH as usize) {
        store.apply(&batch(first..first + LOAD_BATCH)).unwrap();
    }
}

/// Sled without what [`Sled`] adds to it, to show the price of that.
fn sled_alone(c: &mut Criterion) {
    let folder = tempfile::tempdir().unwrap();
    let config = sled::Config::new().path(folder.path()).cache_capacity(CACHE_BYTES);
    let raw = config.flush_every_ms(None).open().unwrap();
    let write = |numbers: std::ops::Range<u64>| {
        let mut writes = sled::Batch::default();
        numbers.for_each(|number| writes.insert(key(number % KEYS), VALUE.as_slice()));
        raw.apply_batch(writes).and_then(|()| raw.flush()).unwrap();
    };
    (0..KEYS).step_by(LOAD_BATCH as usize).for_each(|first| write(first..first + LOAD_BATCH));
    let mut next = 0;
    c.bench_function("sled_alone::apply/entries=100", |bench| {
        bench.iter(|| {
            next = (next + 100) % KEYS;
            write(next..next + 100);
        });
    });
}

fn stores(c: &mut Criterion) {
    let memory = Memory::default();
    load(&memory);
    apply(c, &memory, "memory");
    get(c, &memory, "memory");
    drop(memory);

    let folder = tempfile::tempdir().unwrap();
    println!("store before: resident {} MiB", resident_mib());
    let sled = open(folder.path());
    load(&sled);
    report("loaded", &sled);
    apply(c, &sled, "sled");
    get(c, &sled, "sled");
    report("after the updates", &sled);
    drop(sled);
    c.bench_function(&format!("sled::reopen/keys={KEYS}"), |bench| {
        bench.iter(|| black_box(open(folder.path())));
    });
    report("opened again", &open(folder.path()));
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(4));
    targets = stores, sled_alone
}
criterion_main!(benches);
