//! A contract that stores what it is told, for proofs of storage.

use crate::{Rpc, Sender, bytes, hash, quantity, text};
use serde_json::json;
use tombolo_types::{Address, Hash};

/// Stores words at slots: the call data are pairs of both. 25 bytes that run on every fork.
///
/// ```text
///     PUSH1 0                     i
///  2: JUMPDEST
///     CALLDATASIZE DUP2 LT ISZERO PUSH1 24 JUMPI        while i < size
///     DUP1 PUSH1 32 ADD CALLDATALOAD                    word
///     DUP2 CALLDATALOAD SSTORE                          slot
///     PUSH1 64 ADD PUSH1 2 JUMP
/// 24: JUMPDEST
/// ```
const RUNTIME: [u8; 25] = [
    0x60, 0x00, 0x5b, 0x36, 0x81, 0x10, 0x15, 0x60, 0x18, 0x57, 0x80, 0x60, 0x20, 0x01, 0x35, 0x81,
    0x35, 0x55, 0x60, 0x40, 0x01, 0x60, 0x02, 0x56, 0x5b,
];
/// Returns what follows it: `PUSH1 25 DUP1 PUSH1 11 PUSH1 0 CODECOPY PUSH1 0 RETURN`.
const CREATE: [u8; 11] = [0x60, 0x19, 0x80, 0x60, 0x0b, 0x60, 0x00, 0x39, 0x60, 0x00, 0xf3];

/// New words cost the more gas the newer the fork is; so many fit a transaction on each.
const WORDS_PER_CALL: usize = 32;

/// The contract, on one node.
#[derive(Debug)]
pub struct Writer {
    /// Where it is.
    pub address: Address,
}

impl Writer {
    /// Creates the contract.
    #[must_use]
    pub fn deploy(sender: &Sender) -> Self {
        let receipt = sender.send(None, &[&CREATE[..], &RUNTIME].concat());
        Self { address: text(&receipt["contractAddress"]).parse().expect("an address") }
    }

    /// Its code.
    #[must_use]
    pub fn code() -> &'static [u8] {
        &RUNTIME
    }

    /// Stores words at slots, some in each transaction; gives the number of the last block.
    ///
    /// # Panics
    /// Without a word.
    pub fn store(&self, sender: &Sender, words: &[(Hash, Hash)]) -> u64 {
        let mut block = None;
        for words in words.chunks(WORDS_PER_CALL) {
            let data: Vec<u8> =
                words.iter().flat_map(|(slot, word)| [slot.0, word.0].concat()).collect();
            block = Some(quantity(&sender.send(Some(self.address), &data)["blockNumber"]));
        }
        block.expect("there is a word to store")
    }

    /// The state root of a block, and all trie nodes on the way to the account and these slots.
    #[must_use]
    pub fn prove(&self, rpc: &Rpc, slots: &[Hash], block: u64) -> (Hash, Vec<Vec<u8>>) {
        let block = format!("{block:#x}");
        let slots: Vec<String> = slots.iter().map(Hash::to_string).collect();
        let proof = rpc.call("eth_getProof", json!([self.address.to_string(), slots, block]));
        let header = rpc.call("eth_getBlockByNumber", json!([block, false]));
        let of_slots = proof["storageProof"].as_array().into_iter().flatten();
        let lists =
            std::iter::once(&proof["accountProof"]).chain(of_slots.map(|slot| &slot["proof"]));
        let nodes =
            lists.flat_map(|list| list.as_array().into_iter().flatten()).map(bytes).collect();
        (hash(&header["stateRoot"]), nodes)
    }
}
