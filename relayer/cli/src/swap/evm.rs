//! EVM chains in a party's configuration.

use crate::faults::Faults;
use alloy_primitives::{Address, B256};
use serde::{Deserialize, Serialize};
use tombolo_evm::{Finality, HtlcConfig, Rpc, node_name, sender::FeePolicy};

const WEI_PER_GWEI: u128 = 1_000_000_000;

/// A contract of hash-timelocks on an EVM chain, as it is written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawEvm {
    /// A name for logs and commands.
    pub(crate) name: String,
    /// The chain's EIP-155 id.
    pub(crate) evm_chain_id: u64,
    /// The hash of its block 0.
    pub(crate) genesis: String,
    /// Its nodes. More than half must agree.
    pub(crate) rpc: Vec<String>,
    /// How many blocks on top make one final.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) finality_depth: Option<u64>,
    /// The contract.
    pub(crate) contract: String,
    /// The block in which it was created, or an earlier one.
    #[serde(default)]
    pub(crate) from_block: u64,
    /// The most that is ever paid for one gas, in gwei.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) max_fee_gwei: Option<u64>,
}

/// Checks one.
pub(super) fn check(key: &str, raw: &RawEvm, faults: &mut Faults) -> Option<HtlcConfig> {
    if raw.name.is_empty() {
        faults.add(&format!("{key}.name"), "", "a name");
    }
    if raw.evm_chain_id == 0 {
        faults.add(&format!("{key}.evm_chain_id"), "0", "the chain's EIP-155 id");
    }
    let schemes = ["http://", "https://", "ws://", "wss://"];
    for url in &raw.rpc {
        if !schemes.iter().any(|scheme| url.starts_with(scheme)) {
            faults.add(
                &format!("{key}.rpc"),
                &node_name(url),
                "http://host:port, or https, ws, wss",
            );
        }
    }
    if raw.rpc.is_empty() {
        faults.add(&format!("{key}.rpc"), "", "at least one node");
    }
    let mut fees = FeePolicy::default();
    if let Some(gwei) = raw.max_fee_gwei {
        fees.max = u128::from(gwei).saturating_mul(WEI_PER_GWEI);
        if fees.max < fees.tip {
            faults.add(&format!("{key}.max_fee_gwei"), &gwei.to_string(), "1 or more");
        }
    }
    let genesis = raw.genesis.parse::<B256>().ok();
    if genesis.is_none() {
        faults.add(&format!("{key}.genesis"), &raw.genesis, "32 bytes in hexadecimal");
    }
    let contract = raw.contract.parse::<Address>().ok();
    if contract.is_none() {
        faults.add(&format!("{key}.contract"), &raw.contract, "20 bytes in hexadecimal");
    }
    Some(HtlcConfig {
        evm_chain_id: raw.evm_chain_id,
        genesis: genesis?,
        rpc: Rpc::of(raw.rpc.clone()),
        finality: raw.finality_depth.map_or(Finality::Tag, Finality::Depth),
        contract: contract?,
        from_block: raw.from_block,
        fees,
    })
}
