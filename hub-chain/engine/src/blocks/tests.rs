//! Tests of the undecided blocks.

use super::*;
use tombolo_store::Memory;
use tombolo_types::{
    Hash, UnixMillis,
    header::{HEADER_VERSION, Header},
    id::ChainId,
};

pub(crate) fn block(height: u64, time: u64) -> Block {
    let header = Header {
        version: HEADER_VERSION,
        chain_id: ChainId([1; 32]),
        height: Height(height),
        time: UnixMillis(time),
        parent: BlockId::ZERO,
        transactions_root: Hash::ZERO,
        lanes_root: Hash::ZERO,
        log_root: Hash::ZERO,
        log_size: 0,
        writes_digest: Hash::ZERO,
        state_root: Hash::ZERO,
        validators_root: Hash::ZERO,
        next_validators_root: Hash::ZERO,
        extensions_root: Hash::ZERO,
        reserved: Hash::ZERO,
    };
    Block { header, transactions: vec![vec![7; 3]] }
}

fn held(round: u32, time: u64) -> Held {
    let block = block(5, time);
    Held {
        round,
        proposer: Address([round as u8 + 1; 20]),
        signature: Some(Signature([3; 65])),
        block_id: tombolo_crypto::digest::block_id(&block.header),
        block,
        told: true,
    }
}

fn load(store: &Arc<Memory>, height: u64) -> Blocks {
    Blocks::load(Arc::clone(store) as Arc<dyn Store>, Height(height)).unwrap()
}

#[test]
fn a_kept_block_survives_and_is_told_again() {
    let store = Arc::new(Memory::default());
    let kept = held(2, 10);
    load(&store, 5).put(kept.clone()).unwrap();
    let mut blocks = load(&store, 5);
    let expected = Held { told: false, ..kept };
    assert_eq!(blocks.of_turn(2, expected.proposer), Some(&expected));
    assert_eq!(blocks.of_turn(2, Address([9; 20])), None);
    assert_eq!(blocks.find(expected.block_id).cloned(), Some(expected));
}

#[test]
fn the_past_is_deleted_with_the_next_write() {
    let store = Arc::new(Memory::default());
    let mut blocks = load(&store, 5);
    blocks.put(held(0, 10)).unwrap();
    blocks.put(held(1, 11)).unwrap();
    assert_eq!(store.snapshot().len(), 2);
    blocks.start(Height(6));
    assert!(blocks.find(held(0, 10).block_id).is_none());
    assert_eq!(store.snapshot().len(), 2);
    let mut blocks = load(&store, 6);
    blocks.put(held(3, 12)).unwrap();
    assert_eq!(store.snapshot().len(), 1);
}

#[test]
fn of_too_many_the_one_longest_unused_goes() {
    let store = Arc::new(Memory::default());
    let mut blocks = load(&store, 5);
    blocks.put(held(0, 1)).unwrap();
    for round in 1..40 {
        blocks.put(held(round, u64::from(round) + 1)).unwrap();
        assert!(blocks.find(held(0, 1).block_id).is_some(), "used, so it stays");
    }
    assert_eq!(blocks.held.len(), BLOCKS_MAX);
    assert!(blocks.find(held(1, 2).block_id).is_none());
    assert_eq!(store.snapshot().len(), BLOCKS_MAX);
}

#[test]
fn foreign_keys_under_the_prefix_stop_the_start() {
    let store = Arc::new(Memory::default());
    store.apply(&Batch::from([(b"exyz".to_vec(), Some(Vec::new()))])).unwrap();
    assert!(Blocks::load(store, Height(5)).is_err_and(|fatal| fatal.to_string().contains("key")));
}
