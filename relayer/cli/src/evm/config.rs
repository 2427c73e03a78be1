//! An EVM chain in the relayer's configuration.

use crate::faults::Faults;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use tombolo_evm::{Config, Finality, Proof, Rpc, node_name, sender::FeePolicy};
use tombolo_types::id::ChainId;

/// A gateway on an EVM chain, as it is written. Only [`EvmEnd`] is used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawEvm {
    /// A name for logs, metrics and commands.
    pub(crate) name: String,
    /// Its nodes: `http://`, `https://`, `ws://` or `wss://`. More than half must agree.
    pub(crate) rpc: Vec<String>,
    /// The chain's EIP-155 id.
    pub(crate) evm_chain_id: u64,
    /// The hash of its block 0.
    pub(crate) genesis: String,
    /// The gateway contract.
    pub(crate) gateway: String,
    /// The block in which the gateway was created, or an earlier one.
    pub(crate) from_block: u64,
    /// The name of the key, in the relayer's keystore, of the account that pays.
    pub(crate) account: String,
    /// Blocks on top that make a block final. Left out, the chain says itself what is final.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) finality_depth: Option<u64>,
    /// How its heads are proved to the hub.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) proof: Option<RawProof>,
    /// The REST interface of a consensus node, for `proof = "beacon"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) beacon: Option<String>,
    /// The most that is ever paid for one gas, in gwei.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) max_fee_gwei: Option<u64>,
    /// Where this relayer attests as one of the nodes of a link in mode 3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) node_listen: Option<String>,
    /// The other nodes of a link in mode 3.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) nodes: Vec<String>,
}

/// How an EVM chain's heads are proved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RawProof {
    /// Not at all: nodes attest them.
    None,
    /// By the seals of a Clique chain.
    Clique,
    /// By Ethereum's sync committees.
    Beacon,
}

/// A gateway on an EVM chain.
#[derive(Clone, Debug)]
pub(crate) struct EvmEnd {
    pub(crate) name: String,
    pub(crate) account: String,
    pub(crate) adapter: Config,
    pub(crate) node_listen: Option<SocketAddr>,
    pub(crate) nodes: Vec<String>,
}

impl EvmEnd {
    pub(crate) fn chain(&self) -> ChainId {
        self.adapter.chain()
    }
}

impl RawEvm {
    /// What is paid for transactions.
    pub(crate) fn fees(&self) -> FeePolicy {
        let mut fees = FeePolicy::default();
        if let Some(most) = self.max_fee_gwei {
            fees.max = u128::from(most) * 1_000_000_000;
        }
        fees
    }

    /// Checks it.
    pub(crate) fn check(&self, at: &str, faults: &mut Faults) -> EvmEnd {
        let mut wrong = |key: &str, value: &str, expected: &str| {
            faults.add(&format!("{at}.{key}"), value, expected);
        };
        if self.name.is_empty() {
            wrong("name", "", "a name");
        }
        if self.account.is_empty() {
            wrong("account", "", "the name of a key in the relayer's keystore");
        }
        let schemes = ["http://", "https://", "ws://", "wss://"];
        for url in &self.rpc {
            if !schemes.iter().any(|scheme| url.starts_with(scheme)) {
                wrong("rpc", &node_name(url), "http://host:port or ws://host:port");
            }
        }
        if self.rpc.is_empty() {
            wrong("rpc", "", "at least one node");
        }
        let genesis = self.genesis.parse().unwrap_or_else(|_| {
            wrong("genesis", &self.genesis, "32 bytes in hexadecimal");
            Default::default()
        });
        let gateway = self.gateway.parse().unwrap_or_else(|_| {
            wrong("gateway", &self.gateway, "an address; `tombolo link create` makes a gateway");
            Default::default()
        });
        let node_listen = self.node_listen.as_deref().and_then(|value| {
            let parsed = value.parse().ok();
            if parsed.is_none() {
                wrong("node_listen", value, "an IP address and a port, such as 127.0.0.1:7500");
            }
            parsed
        });
        let proof = match (self.proof.unwrap_or(RawProof::None), &self.beacon) {
            (RawProof::None, _) => Proof::None,
            (RawProof::Clique, _) => Proof::Clique,
            (RawProof::Beacon, Some(url)) => Proof::Beacon { url: url.clone() },
            (RawProof::Beacon, None) => {
                wrong("beacon", "", "the REST interface of a consensus node");
                Proof::None
            }
        };
        let fees = self.fees();
        if fees.max < fees.tip {
            wrong("max_fee_gwei", &self.max_fee_gwei.unwrap_or_default().to_string(), "1 or more");
        }
        EvmEnd {
            name: self.name.clone(),
            account: self.account.clone(),
            node_listen,
            nodes: self.nodes.clone(),
            adapter: Config {
                evm_chain_id: self.evm_chain_id,
                genesis,
                rpc: Rpc::of(self.rpc.clone()),
                finality: self.finality_depth.map_or(Finality::Tag, Finality::Depth),
                proof,
                gateway,
                from_block: self.from_block,
                fees,
            },
        }
    }
}
