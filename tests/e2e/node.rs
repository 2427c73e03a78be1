//! Real nodes of Ethereum, and what a network is told of each kind.

use crate::evm::{ANVIL_KEY, GETH_KEY};
use tombolo_test_nodes::{Anvil, Beacon, Clique, Rpc, Sender};

/// The nodes of one chain.
pub(crate) enum Node {
    /// anvil, which makes a block of each transaction.
    Instant(Anvil),
    /// anvil, which makes a block each second.
    Anvil(Anvil),
    /// Three geths that seal a block each second.
    Clique(Clique),
    /// Proof of stake, with slots of two seconds.
    Beacon(Beacon),
}

impl Node {
    /// `None`, said loudly, where there is no anvil.
    pub(crate) fn instant(evm_chain_id: u64) -> Option<Self> {
        Anvil::start(&["--chain-id", &evm_chain_id.to_string()]).map(Self::Instant)
    }

    /// `None`, said loudly, where there is no anvil.
    pub(crate) fn anvil(evm_chain_id: u64) -> Option<Self> {
        let chain_id = evm_chain_id.to_string();
        Anvil::start(&["--block-time", "1", "--chain-id", &chain_id]).map(Self::Anvil)
    }

    /// `None`, said loudly, where there is no geth that seals Clique.
    pub(crate) fn clique(evm_chain_id: u64) -> Option<Self> {
        Clique::start_as(evm_chain_id, 1, 30_000).map(Self::Clique)
    }

    pub(crate) fn rpc(&self) -> &Rpc {
        match self {
            Self::Instant(node) | Self::Anvil(node) => &node.rpc,
            Self::Clique(network) => network.rpc(),
            Self::Beacon(network) => &network.execution,
        }
    }

    /// An account with funds.
    pub(crate) fn sender(&self) -> Sender {
        match self {
            Self::Instant(node) | Self::Anvil(node) => node.sender(),
            Self::Clique(network) => network.sender(),
            Self::Beacon(network) => network.sender(),
        }
    }

    /// Whose key pays.
    pub(crate) fn key(&self) -> &'static str {
        match self {
            Self::Instant(_) | Self::Anvil(_) => ANVIL_KEY,
            Self::Clique(_) | Self::Beacon(_) => GETH_KEY,
        }
    }

    /// How the chain is added: when a block is final, and what proves it.
    pub(crate) fn words_to_add(&self) -> Vec<&str> {
        match self {
            Self::Instant(_) => vec!["--proof", "none", "--finality-depth", "0"],
            Self::Anvil(_) => vec!["--proof", "none", "--finality-depth", "1"],
            Self::Clique(_) => {
                let proof = ["--proof", "clique", "--clique-period", "1"];
                [&proof[..], &["--finality-depth", "2"]].concat()
            }
            Self::Beacon(network) => vec!["--proof", "beacon", "--beacon", network.consensus.url()],
        }
    }

    /// The mode of its link: 1 where its heads are proved.
    pub(crate) fn mode(&self) -> &'static str {
        match self {
            Self::Instant(_) | Self::Anvil(_) => "2",
            Self::Clique(_) | Self::Beacon(_) => "1",
        }
    }
}
