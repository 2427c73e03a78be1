//! What an adapter of an EVM chain is told.

use crate::{sender::FeePolicy, transport::node_name};
use alloy::primitives::{Address, B256};
use std::fmt;
use tombolo_evm_core::{beacon::Beacon, clique::Clique, follow};
use tombolo_types::{Hash, id::ChainId};

/// The name of the hub's verifier of Clique chains.
pub const CLIQUE: &str = <Clique as follow::Consensus>::KIND;
/// The name of the hub's verifier of Ethereum's proof of stake.
pub const ETHEREUM: &str = <Beacon as follow::Consensus>::KIND;

/// When a block counts as final.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finality {
    /// Once the chain marks it, or a later one, `finalized`.
    Tag,
    /// Once so many blocks stand on it; 0 is at once.
    Depth(u64),
}

/// The RPC nodes of a chain.
#[derive(Clone, PartialEq, Eq)]
pub struct Rpc {
    /// `http://`, `https://`, `ws://` or `wss://`; one at least.
    pub urls: Vec<String>,
    /// How many of them must say the same.
    pub agree: usize,
    /// How often each is asked in a second, at the most.
    pub requests_per_second: u32,
    /// How long one answer may take, in milliseconds, connecting included; and for how long a node
    /// that lets a request wait in vain is left alone.
    pub answer_ms: u64,
    /// How often a request is repeated that a node was too busy for.
    pub retries: u32,
    /// The wait before the first repetition, in milliseconds; it doubles.
    pub retry_first_ms: u64,
}

impl Rpc {
    /// More than half of these nodes must agree.
    #[must_use]
    pub fn of(urls: Vec<String>) -> Self {
        let agree = urls.len() / 2 + 1;
        Self {
            urls,
            agree,
            requests_per_second: 500,
            answer_ms: 10_000,
            retries: 3,
            retry_first_ms: 200,
        }
    }
}

/// Without what else their addresses may hold.
impl fmt::Debug for Rpc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rpc")
            .field("urls", &self.urls.iter().map(|url| node_name(url)).collect::<Vec<_>>())
            .field("agree", &self.agree)
            .field("requests_per_second", &self.requests_per_second)
            .field("answer_ms", &self.answer_ms)
            .field("retries", &self.retries)
            .field("retry_first_ms", &self.retry_first_ms)
            .finish()
    }
}

/// How the chain's heads are proved to the hub.
#[derive(Clone, PartialEq, Eq)]
pub enum Proof {
    /// By nothing: nodes attest them.
    None,
    /// By the seals of a Clique chain.
    Clique,
    /// By the sync committees of the beacon node at this address.
    Beacon {
        /// Its REST interface, such as `http://127.0.0.1:9596`.
        url: String,
    },
}

/// Without what else the node's address may hold.
impl fmt::Debug for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::Clique => f.write_str("Clique"),
            Self::Beacon { url } => f.debug_struct("Beacon").field("url", &node_name(url)).finish(),
        }
    }
}

/// One gateway on one EVM chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The chain's EIP-155 id.
    pub evm_chain_id: u64,
    /// The hash of its block 0.
    pub genesis: B256,
    /// Its nodes.
    pub rpc: Rpc,
    /// When its blocks are final.
    pub finality: Finality,
    /// How its heads are proved.
    pub proof: Proof,
    /// The gateway contract.
    pub gateway: Address,
    /// The block in which it was created, or an earlier one.
    pub from_block: u64,
    /// What is paid for transactions.
    pub fees: FeePolicy,
}

impl Config {
    /// The chain's id.
    #[must_use]
    pub fn chain(&self) -> ChainId {
        follow::chain_id(self.evm_chain_id, Hash(self.genesis.0))
    }
}
