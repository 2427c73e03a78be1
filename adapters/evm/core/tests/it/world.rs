//! A world state for tests: accounts and storage, hashed by the library that Ethereum's Rust
//! clients use.

use alloy_primitives::{B256, U256};
use alloy_trie::{HashBuilder, Nibbles, TrieAccount, proof::ProofRetainer};
use std::collections::BTreeMap;
use tombolo_crypto::{
    keccak256::keccak256,
    log::{Log, empty_root},
};
use tombolo_evm_core::storage::{
    client_block_slot, client_slot, lane_slot, peak_slot, received_slot,
};
use tombolo_types::{
    Address, Epoch, Hash, Height, LaneNumber,
    id::LinkId,
    lane::{Direction, LaneLeaf},
};

/// The gateway of these tests.
pub(crate) const GATEWAY: Address = Address([0x6a; 20]);
/// Another contract, whose storage says something else.
pub(crate) const STRANGER: Address = Address([0x57; 20]);
/// The link of these tests.
pub(crate) const LINK: LinkId = LinkId([9; 32]);

/// The hash of an account's code in these tests.
pub(crate) fn code_hash(account: Address) -> Hash {
    keccak256(&account.0)
}

/// What one contract stores.
pub(crate) type Slots = BTreeMap<Hash, Hash>;

/// A trie of values by their keys before hashing: its root, and all nodes on the way to them.
fn trie(entries: &BTreeMap<Vec<u8>, Vec<u8>>) -> (Hash, Vec<Vec<u8>>) {
    let hashed: BTreeMap<Hash, &Vec<u8>> =
        entries.iter().map(|(key, value)| (keccak256(key), value)).collect();
    let path = |key: &Hash| Nibbles::unpack(B256::from(key.0));
    let retained = ProofRetainer::from_iter(hashed.keys().map(path));
    let mut builder = HashBuilder::default().with_proof_retainer(retained);
    for (key, value) in &hashed {
        builder.add_leaf(path(key), value);
    }
    let root = Hash(builder.root().0);
    let nodes = builder.take_proof_nodes().into_nodes_sorted();
    (root, nodes.into_iter().map(|(_, node)| node.to_vec()).collect())
}

/// A state with these contracts among some accounts: its root, and all nodes.
pub(crate) fn world(contracts: &[(Address, &Slots)]) -> (Hash, Vec<Vec<u8>>) {
    let mut accounts: BTreeMap<Vec<u8>, Vec<u8>> = (0..40u8)
        .map(|n| (vec![n; 20], alloy_rlp::encode(TrieAccount { nonce: 7, ..Default::default() })))
        .collect();
    let mut all = Vec::new();
    for (address, slots) in contracts {
        let entries = slots
            .iter()
            .map(|(slot, word)| (slot.0.to_vec(), alloy_rlp::encode(U256::from_be_bytes(word.0))))
            .collect();
        let (storage_root, mut nodes) = trie(&entries);
        all.append(&mut nodes);
        let account = TrieAccount {
            nonce: 1,
            balance: U256::from(1_000_000_007u64),
            storage_root: B256::from(storage_root.0),
            code_hash: B256::from(code_hash(*address).0),
        };
        accounts.insert(address.0.to_vec(), alloy_rlp::encode(account));
    }
    let (root, nodes) = trie(&accounts);
    all.extend(nodes);
    (root, all)
}

/// A word made of big-endian parts.
pub(crate) fn word(parts: &[&[u8]]) -> Hash {
    Hash(parts.concat().try_into().unwrap())
}

/// What a gateway stores for one lane with `size` messages sent and `received` taken, beside much
/// that is its own.
pub(crate) fn slots(lane: LaneNumber, size: u64, received: u64) -> Slots {
    let log = log(size);
    let mut slots: Slots = (0..100u64)
        .map(|n| (keccak256(&n.to_be_bytes()), keccak256(&(n + 1).to_be_bytes())))
        .collect();
    slots.insert(
        lane_slot(lane),
        word(&[
            &3u32.to_be_bytes(),
            &size.to_be_bytes(),
            &2u32.to_be_bytes(),
            &received.to_be_bytes(),
            &77u64.to_be_bytes(),
        ]),
    );
    if received > 0 {
        slots.insert(received_slot(lane), received_root(received));
    }
    let mut peaks = log.peaks().iter();
    for height in (0..62).rev().filter(|height| size >> height & 1 == 1) {
        slots.insert(peak_slot(lane, height), *peaks.next().unwrap());
    }
    slots.insert(
        client_slot(),
        word(&[
            &5u64.to_be_bytes(),
            &1_700_000_000_000u64.to_be_bytes(),
            &4u32.to_be_bytes(),
            &[0xee; 12],
        ]),
    );
    slots.insert(client_block_slot(), keccak256(b"block of the hub"));
    slots
}

/// The log of a lane's messages.
pub(crate) fn log(size: u64) -> Log {
    let mut log = Log::default();
    for number in 0..size {
        log.append(keccak256(&number.to_be_bytes()));
    }
    log
}

fn received_root(received: u64) -> Hash {
    if received == 0 { empty_root() } else { keccak256(&received.to_le_bytes()) }
}

/// The leaf that [`slots`] add up to.
pub(crate) fn leaf(lane: LaneNumber, size: u64, received: u64) -> LaneLeaf {
    LaneLeaf {
        link: LINK,
        direction: Direction::ChainToHub as u8,
        lane,
        epoch: Epoch(3),
        size,
        root: log(size).root(),
        peer_epoch: Epoch(2),
        received,
        received_root: received_root(received),
        peer_height: Height(5),
        peer_id: keccak256(b"block of the hub").into(),
        trust_epoch: 4,
    }
}
