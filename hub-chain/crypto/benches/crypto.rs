//! What gates acceptance, measured.

#![allow(clippy::arithmetic_side_effects, clippy::expect_used)]
#![allow(missing_docs)]

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use std::{collections::BTreeMap, hint::black_box};
use tombolo_crypto::{
    certificate,
    digest::{self, VoteKind},
    keccak256::keccak256,
    log::{Log, Nodes, append_tiles, node, range_proof, verify_range},
    secp256k1::{SecretKey, recover},
};
use tombolo_types::{
    Hash, Height, Power, Round,
    header::{Certificate, CommitSignature, Validator, ValidatorSet},
    id::{BlockId, ChainId},
};

const LOG_SIZE: u64 = 25_000;

fn key(number: u8) -> SecretKey {
    SecretKey::from_bytes([number; 32]).expect("a number from 1 to 254 repeated is a key")
}

fn leaf(number: u64) -> Hash {
    keccak256(&number.to_be_bytes())
}

#[derive(Default)]
struct Tiles(BTreeMap<(u32, u64), Vec<Hash>>);

impl Nodes for Tiles {
    fn tile(&self, level: u32, index: u64) -> Option<Vec<Hash>> {
        self.0.get(&(level, index)).cloned()
    }
}

fn signatures(c: &mut Criterion) {
    let digest = keccak256(b"digest");
    let signature = key(1).sign(digest);
    c.bench_function("secp256k1::recover", |b| b.iter(|| recover(black_box(digest), &signature)));
    c.bench_function("secp256k1::sign", |b| {
        let key = key(1);
        b.iter(|| key.sign(black_box(digest)));
    });
}

fn logs(c: &mut Criterion) {
    let (left, right) = (leaf(1), leaf(2));
    c.bench_function("log::node", |b| b.iter(|| node(black_box(left), black_box(right))));
    let mut log = Log::default();
    let mut tiles = Tiles::default();
    for number in 0..LOG_SIZE {
        for (level, index, content) in append_tiles(&tiles, number, leaf(number)) {
            tiles.0.insert((level, index), content);
        }
        log.append(leaf(number));
    }
    c.bench_function(format!("log::append/size={LOG_SIZE}").as_str(), |b| {
        let mut log = log.clone();
        b.iter(|| log.append(black_box(left)));
    });
    c.bench_function(format!("log::append_tiles/size={LOG_SIZE}").as_str(), |b| {
        b.iter(|| append_tiles(&tiles, LOG_SIZE, black_box(left)));
    });
    let mut group = c.benchmark_group("log::verify_range");
    for count in [1u64, 50, 1000] {
        let start = 20_000;
        let leaves: Vec<Hash> = (start..start + count).map(leaf).collect();
        let proof = range_proof(&tiles, start, count, LOG_SIZE).expect("the range is in the log");
        group.bench_function(BenchmarkId::from_parameter(format!("count={count}")), |b| {
            b.iter(|| verify_range(start, black_box(&leaves), LOG_SIZE, log.root(), &proof));
        });
    }
    group.finish();
}

fn certificates(c: &mut Criterion) {
    let chain = ChainId::from(keccak256(b"chain"));
    let block_id = BlockId::from(keccak256(b"block"));
    let (height, round) = (Height(7), Round(0));
    let digest = digest::vote(VoteKind::Precommit, chain, height, round, Some(block_id));
    let mut group = c.benchmark_group("certificate::verify");
    for members in [4u8, 20] {
        let mut keys: Vec<SecretKey> = (1..=members).map(key).collect();
        keys.sort_by_key(SecretKey::address);
        let validators =
            keys.iter().map(|key| Validator { address: key.address(), power: Power(1) }).collect();
        let set = ValidatorSet { first_height: Height(1), validators };
        let signatures = keys
            .iter()
            .take(usize::from(members) * 2 / 3 + 1)
            .map(|key| CommitSignature { signer: key.address(), signature: key.sign(digest) })
            .collect();
        let certificate = Certificate { height, round, block_id, signatures };
        group.bench_function(BenchmarkId::from_parameter(format!("members={members}")), |b| {
            b.iter(|| certificate::verify(black_box(&certificate), chain, &set));
        });
    }
    group.finish();
}

criterion_group!(benches, signatures, logs, certificates);
criterion_main!(benches);
