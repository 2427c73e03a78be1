//! What blocks, appends and deliveries cost.
//!
//! Each is measured as a proposer pays it: built from signed transactions over a state in memory,
//! certificates, range proofs and records included.
#![allow(
    missing_docs,
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_possible_truncation
)]

#[allow(dead_code)]
#[path = "../tests/it/toy.rs"]
mod toy;
#[allow(dead_code)]
#[path = "../tests/it/world.rs"]
mod world;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tombolo_ledger::{Call, Executed};
use tombolo_types::{UnixMillis, lane::DATA_LANE};
use toy::{TAKE, ToyCall};
use world::{Chain, World, call_of, delivery, owner, relayer};

fn build<const HUB: bool>(chain: &Chain<HUB>, transactions: &[Vec<u8>]) -> Executed {
    let time = chain.time.saturating_add(world::STEP_MS);
    let mut candidates = transactions.iter().cloned();
    let built =
        Chain::<HUB>::ledger().build(&chain.state, time, &mut candidates, &|| false).unwrap();
    assert_eq!(built.outcomes.len(), transactions.len());
    assert!(built.outcomes.iter().all(|outcome| outcome.refusal.is_none()));
    built
}

fn blocks(c: &mut Criterion) {
    let mut world = World::new();
    // A lane and a log that are not new.
    for _ in 0..5 {
        world.send(TAKE, 200);
    }
    let mut group = c.benchmark_group("block");
    group.sample_size(20);
    group.bench_function("build/idle", |b| b.iter(|| build(&world.hub, &[])));

    let append = Call::Own(ToyCall::Append {
        link: world.link,
        lane: DATA_LANE,
        what: TAKE,
        bytes: 300,
        not_after: UnixMillis::ZERO,
    });
    let appends = world.hub.series(&owner(), &vec![append; 200]);
    group.throughput(Throughput::Elements(200));
    group.bench_function("build/appends=200", |b| b.iter(|| build(&world.hub, &appends)));
    let block = build(&world.hub, &appends).block;
    group.bench_function("execute/appends=200", |b| {
        b.iter(|| Chain::<true>::ledger().execute(&world.hub.state, &block).unwrap());
    });
    group.finish();
}

fn deliveries(c: &mut Criterion) {
    let mut world = World::new();
    for _ in 0..5 {
        world.send(TAKE, 200);
    }
    for _ in 0..3 {
        world.hub.append(world.link, TAKE, 200);
    }
    let mut group = c.benchmark_group("delivery");
    group.sample_size(20);
    for count in [1u64, 50, 500] {
        let call = call_of(delivery(&world.hub, world.link, 1_000, count));
        let transactions = [world.chain.transaction(&relayer(), &call)];
        group.throughput(Throughput::Elements(count));
        group.bench_function(BenchmarkId::new("build/messages", count), |b| {
            b.iter(|| build(&world.chain, &transactions));
        });
    }
    group.finish();
}

criterion_group!(benches, blocks, deliveries);
criterion_main!(benches);
