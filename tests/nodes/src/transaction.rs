//! Transactions signed here, so that every kind of node takes them.

use crate::{Rpc, hash, process::wait_until, quantity};
use alloy_rlp::{Encodable as _, Header};
use serde_json::{Value, json};
use std::time::Duration;
use tombolo_crypto::{keccak256::keccak256, secp256k1::SecretKey};
use tombolo_types::{Address, Hash};

/// Gas of a transaction, and its price in wei.
#[derive(Clone, Copy)]
struct Gas {
    limit: u64,
    price: u64,
}

/// Below the limit of every block, and above every base fee of these networks.
const GAS: Gas = Gas { limit: 8_000_000, price: 20_000_000_000 };
/// The instruction that is none: it takes all gas that there is, and no time.
const INVALID: u8 = 0xfe;

/// An account that sends transactions to one node.
#[derive(Debug)]
pub struct Sender {
    rpc: Rpc,
    key: SecretKey,
    chain_id: u64,
}

impl Sender {
    /// The account of this key.
    #[must_use]
    pub fn new(rpc: &Rpc, key: SecretKey) -> Self {
        let chain_id = quantity(&rpc.call("eth_chainId", json!([])));
        Self { rpc: rpc.clone(), key, chain_id }
    }

    /// The address of the account.
    #[must_use]
    pub fn address(&self) -> Address {
        self.key.address()
    }

    /// The key of the account, in hexadecimal. It guards nothing.
    #[must_use]
    pub fn key(&self) -> String {
        hex::encode(self.key.to_bytes())
    }

    /// Sends a call, or creates a contract where there is no `to`; waits until it is in a block, and
    /// gives the receipt of its success.
    pub fn send(&self, to: Option<Address>, data: &[u8]) -> Value {
        self.include(to, data, 0)
    }

    /// As [`Self::send`], with so many wei.
    pub fn pay(&self, to: Address, data: &[u8], wei: u64) -> Value {
        self.include(Some(to), data, wei)
    }

    /// Sends calls of one contract with consecutive nonces, and gives the ids of their transactions
    /// at once.
    #[must_use]
    pub fn broadcast(&self, to: Address, calls: &[Vec<u8>]) -> Vec<Hash> {
        (self.nonce()..)
            .zip(calls)
            .map(|(nonce, call)| self.hand_in(&self.sign(nonce, Some(to), call, 0, GAS)))
            .collect()
    }

    /// Fills so many blocks: hands in transactions that take all gas of a block each, at this price
    /// in wei. Nothing that offers its sealer less gets into these blocks.
    pub fn fill_blocks(&self, blocks: usize, price: u64) {
        let newest = self.rpc.call("eth_getBlockByNumber", json!(["latest", false]));
        let gas = Gas { limit: quantity(&newest["gasLimit"]), price };
        for nonce in (self.nonce()..).take(blocks) {
            let _ = self.hand_in(&self.sign(nonce, None, &[INVALID], 0, gas));
        }
    }

    /// As [`Self::broadcast`]; waits until all are in blocks and have succeeded.
    pub fn send_all(&self, to: Address, calls: &[Vec<u8>]) {
        for id in self.broadcast(to, calls) {
            self.receipt(id);
        }
    }

    fn include(&self, to: Option<Address>, data: &[u8], wei: u64) -> Value {
        let id = self.hand_in(&self.sign(self.nonce(), to, data, wei, GAS));
        self.receipt(id)
    }

    fn nonce(&self) -> u64 {
        let pending = json!([self.address().to_string(), "pending"]);
        quantity(&self.rpc.call("eth_getTransactionCount", pending))
    }

    fn hand_in(&self, raw: &[u8]) -> Hash {
        let raw = format!("0x{}", hex::encode(raw));
        hash(&self.rpc.call("eth_sendRawTransaction", json!([raw])))
    }

    fn receipt(&self, id: Hash) -> Value {
        let receipt = wait_until("receipt", Duration::from_secs(60), || {
            let receipt = self.rpc.call("eth_getTransactionReceipt", json!([id.to_string()]));
            (!receipt.is_null()).then_some(receipt)
        });
        assert_eq!(receipt["status"], "0x1", "{receipt}");
        receipt
    }

    /// A legacy transaction with the chain id of EIP-155.
    fn sign(&self, nonce: u64, to: Option<Address>, data: &[u8], wei: u64, gas: Gas) -> Vec<u8> {
        let mut fields = Vec::new();
        nonce.encode(&mut fields);
        gas.price.encode(&mut fields);
        gas.limit.encode(&mut fields);
        to.as_ref().map_or(&[][..], |to| &to.0).encode(&mut fields);
        wei.encode(&mut fields);
        data.encode(&mut fields);
        let mut unsigned = fields.clone();
        self.chain_id.encode(&mut unsigned);
        0u64.encode(&mut unsigned);
        0u64.encode(&mut unsigned);
        let signature = self.key.sign(keccak256(&list(unsigned)));
        let (r, rest) = signature.0.split_at(32);
        let (s, v) = rest.split_at(32);
        (u64::from(v[0]) - 27 + 35 + 2 * self.chain_id).encode(&mut fields);
        for number in [r, s] {
            let zeros = number.iter().take_while(|byte| **byte == 0).count();
            number[zeros..].encode(&mut fields);
        }
        list(fields)
    }
}

fn list(payload: Vec<u8>) -> Vec<u8> {
    let mut whole = Vec::new();
    Header { list: true, payload_length: payload.len() }.encode(&mut whole);
    whole.extend(payload);
    whole
}
