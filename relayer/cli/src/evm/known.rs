//! EVM chains that a network knows: one file for each, written by `chain add`.

use super::{RawEvm, config::RawProof};
use crate::{
    faults::Faults,
    network::{Network, RELAYER, write_private},
};
use anyhow::{Context as _, bail, ensure};
use serde::{Deserialize, Serialize};
use std::{fs, path::PathBuf};
use tombolo_crypto::{keccak256::keccak256, secp256k1::SecretKey};
use tombolo_evm::{EvmAdapter, Finality, Rpc, account, deploy::Deployer, endpoints::Endpoints};
use tombolo_evm_core::{beacon::BeaconAnchor, clique::CliqueAnchor};
use tombolo_types::id::ChainId;

/// A chain that a network knows, linked or not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Known {
    /// The period of a Clique chain, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) clique_period: Option<u64>,
    /// Blocks between two checkpoints of a Clique chain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) clique_epoch: Option<u64>,
    /// As the relayer's configuration has it; without a gateway before `link create`.
    pub(crate) evm: RawEvm,
    /// What swaps take; there since `swap deploy`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) htlc: Option<Htlc>,
}

/// A contract of hash-timelocks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Htlc {
    /// Where it stands.
    pub(crate) contract: String,
    /// The block in which it was created, or an earlier one.
    pub(crate) from_block: u64,
}

fn path(network: &Network, name: &str) -> anyhow::Result<PathBuf> {
    let suits = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit();
    ensure!(
        !name.is_empty() && name.chars().all(|letter| suits(letter) || letter == '-'),
        "`{name}` is no name of a chain: lower case letters, digits and `-`"
    );
    ensure!(
        network.parts.iter().all(|part| part.name != name),
        "the network has a part named {name} already; take another name"
    );
    Ok(network.home.join("chains").join(format!("{name}.toml")))
}

impl Known {
    /// Reads what `chain add` wrote.
    pub(crate) fn read(network: &Network, name: &str) -> anyhow::Result<Self> {
        let path = path(network, name)?;
        let text = fs::read_to_string(&path).with_context(|| {
            format!("the network does not know {name}; `tombolo chain add evm` comes first")
        })?;
        toml::from_str(&text).with_context(|| format!("reading {}", path.display()))
    }

    /// Whether the network knows a chain of this name.
    pub(crate) fn exists(network: &Network, name: &str) -> anyhow::Result<bool> {
        Ok(path(network, name)?.exists())
    }

    /// Writes it down.
    pub(crate) fn write(&self, network: &Network) -> anyhow::Result<()> {
        let path = path(network, &self.evm.name)?;
        fs::create_dir_all(network.home.join("chains"))?;
        write_private(&path, &toml::to_string(self)?)
    }

    /// Asks the chain's nodes which chain they serve.
    pub(crate) async fn identify(&mut self) -> anyhow::Result<()> {
        let rpc = Rpc::of(self.evm.rpc.clone());
        let endpoints = Endpoints::new(ChainId::ZERO, &rpc, self.finality())?;
        let (evm_chain_id, genesis) = endpoints.identify().await?;
        self.evm.evm_chain_id = evm_chain_id;
        self.evm.genesis = genesis.to_string();
        Ok(())
    }

    /// Adds the chain to a network, with the key of the account that pays there.
    pub(crate) fn add(&self, network: &Network, key: &SecretKey) -> anyhow::Result<()> {
        network.keep_key(RELAYER, &self.evm.account, key)?;
        self.write(network)
    }

    /// The chain's id.
    pub(crate) fn chain(&self) -> anyhow::Result<ChainId> {
        Ok(tombolo_evm::chain_id(self.evm.evm_chain_id, self.evm.genesis.parse()?))
    }

    /// What creates contracts on the chain for an account; checks that its nodes serve the chain.
    pub(crate) async fn deployer(&self, key: &SecretKey) -> anyhow::Result<Deployer> {
        let genesis = self.evm.genesis.parse().context("reading the chain's genesis")?;
        let chain = (self.evm.evm_chain_id, genesis);
        let rpc = Rpc::of(self.evm.rpc.clone());
        let fees = self.evm.fees();
        Ok(Deployer::connect(chain, &rpc, self.finality(), fees, account(key)?).await?)
    }

    /// What speaks to the chain's gateway for an account.
    pub(crate) async fn adapter(&self, key: &SecretKey) -> anyhow::Result<EvmAdapter> {
        let mut faults = Faults::default();
        let end = self.evm.check("evm", &mut faults);
        faults.refuse()?;
        Ok(EvmAdapter::connect(end.adapter, account(key)?).await?)
    }

    pub(crate) fn finality(&self) -> Finality {
        self.evm.finality_depth.map_or(Finality::Tag, Finality::Depth)
    }

    pub(crate) fn proof(&self) -> RawProof {
        self.evm.proof.unwrap_or(RawProof::None)
    }

    /// The name of the hub's verifier that follows the chain, with what it starts from; `None` for
    /// a chain whose heads are not proved.
    pub(crate) async fn verifier(
        &self,
        deployer: &Deployer,
    ) -> anyhow::Result<Option<(&'static str, Vec<u8>)>> {
        Ok(match (self.proof(), self.clique_period, self.clique_epoch, &self.evm.beacon) {
            (RawProof::None, ..) => None,
            (RawProof::Clique, Some(period), Some(epoch), _) => {
                let anchor = deployer.clique_anchor(period, epoch).await?;
                Some((tombolo_evm::CLIQUE, anchor.encode()))
            }
            (RawProof::Beacon, _, _, Some(url)) => {
                Some((tombolo_evm::ETHEREUM, deployer.beacon_anchor(url).await?.encode()))
            }
            (RawProof::Clique | RawProof::Beacon, ..) => {
                bail!("{} lacks what its proof needs; add it again", self.evm.name)
            }
        })
    }
}

/// The block from which a verifier follows a chain, for whoever compares it.
pub(crate) fn start_of(kind: &str, anchor: &[u8]) -> anyhow::Result<String> {
    if kind == tombolo_evm::CLIQUE {
        let anchor = CliqueAnchor::decode(anchor)?;
        return Ok(format!("block {}", keccak256(&anchor.header)));
    }
    let anchor = BeaconAnchor::decode(anchor)?;
    Ok(format!("block root {} of slot {}", anchor.root, anchor.header.slot))
}
