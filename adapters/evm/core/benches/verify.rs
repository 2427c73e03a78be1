//! What a hub spends on a head of an EVM chain, measured.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unwrap_used
)]
#![allow(dead_code, missing_docs)]

#[path = "../tests/it/chain.rs"]
mod chain;
#[path = "../tests/it/maker.rs"]
mod maker;
#[path = "../tests/it/world.rs"]
mod world;

use chain::{CLIQUE, Chain, terms, update};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use maker::{Final, Keys, Maker};
use std::hint::black_box;
use tombolo_crypto::secp256k1::SecretKey;
use tombolo_evm_core::{
    beacon::{Beacon, BeaconAdvance, Preset},
    follow::EvmVerifier,
    proof::EvmUpdate,
    storage::{pick_nodes, prove_lane},
};
use tombolo_types::{Height, LaneNumber, UnixMillis, verifier::Verifier as _};
use world::{GATEWAY, LINK, slots};

const LANE: LaneNumber = LaneNumber(1);

/// The unit of weight.
fn signature(c: &mut Criterion) {
    let key = SecretKey::from_bytes([1; 32]).unwrap();
    let digest = tombolo_crypto::keccak256::keccak256(b"digest");
    let signature = key.sign(digest);
    c.bench_function("secp256k1::recover", |b| {
        b.iter(|| tombolo_crypto::secp256k1::recover(black_box(digest), &signature))
    });
}

fn storage_head(c: &mut Criterion) {
    let mut group = c.benchmark_group("storage::prove_lane");
    for size in [1u64, 1023] {
        let (root, all) = world::world(&[(GATEWAY, &slots(LANE, size, 1000))]);
        let nodes = pick_nodes(all, root, GATEWAY, LANE).unwrap();
        let bytes: usize = nodes.iter().map(Vec::len).sum();
        let name = format!("peaks={}/bytes={bytes}", size.count_ones());
        group.bench_function(BenchmarkId::from_parameter(name), |b| {
            b.iter(|| prove_lane(black_box(&nodes), root, GATEWAY, LINK, LANE).unwrap())
        });
    }
    group.finish();
}

fn clique_batch(c: &mut Criterion) {
    let mut group = c.benchmark_group("clique::update");
    for count in [3u64, 66, 400] {
        let mut chain = Chain::new(&[1, 2, 3], 30_000);
        for number in 0..count {
            chain.add(1 + (number % 3) as u8, None);
        }
        let client = chain.client();
        let (advance, now) = (chain.after(0), chain.now());
        let weight = {
            let bytes = EvmUpdate { height: Height(1), advance: advance.clone() }.encode();
            CLIQUE.weight(&bytes)
        };
        let name = format!("headers={count}/weight={weight}");
        group.bench_function(BenchmarkId::from_parameter(name), |b| {
            b.iter(|| update(black_box(&client), now, count - 2, advance.clone()).unwrap())
        });
    }
    group.finish();
}

fn sync_update(c: &mut Criterion) {
    const BEACON: EvmVerifier<Beacon> = EvmVerifier::new();
    let late = UnixMillis(1_700_100_000_000);
    let maker = Maker::of(Preset::Mainnet, 4);
    let keys = Keys::new(1, maker.size());
    let checkpoint = |epoch| Final::checkpoint(Preset::Mainnet, epoch);
    let anchor = maker.anchor(&checkpoint(1), &keys).encode();
    let client = BEACON.start(&anchor, &terms(), late).unwrap();
    let next = Keys::new(2, maker.size()).committee.root();
    let mut group = c.benchmark_group("beacon::update/seats=512");
    for absent in [0usize, 10, 170] {
        let seats: Vec<_> = (0..absent).map(|seat| seat * 3).collect();
        let of = checkpoint(2);
        let updates = vec![maker.update(&of, &keys, &seats, Some(next))];
        let bytes =
            EvmUpdate { height: Height(of.height), advance: BeaconAdvance { updates }.encode() }
                .encode();
        let (length, weight) = (bytes.len(), BEACON.weight(&bytes));
        let name = format!("absent={absent}/bytes={length}/weight={weight}");
        group.bench_function(BenchmarkId::from_parameter(name), |b| {
            b.iter(|| BEACON.update(black_box(&client), late, &bytes).unwrap())
        });
    }
    group.finish();
}

criterion_group!(benches, signature, storage_head, clique_batch, sync_update);
criterion_main!(benches);
