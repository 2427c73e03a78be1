//! What a consensus node serves to light clients: the JSON of the Beacon API, read.

use super::{
    BeaconAnchor, BeaconFork, BeaconHeader, Preset, SyncUpdate,
    serve::{Committee, ExecutionHeader, layout_of},
};
use serde::{Deserialize, Deserializer, de::Error};
use std::{fmt::Display, str::FromStr};
use tombolo_types::{Address, Hash};

/// The forks that a schedule may name, first to last, by the name in the node's own answers.
const FORKS: [&str; 7] = ["phase0", "altair", "bellatrix", "capella", "deneb", "electra", "fulu"];

/// A header of the consensus layer that a committee signed.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct AttestedHeader {
    /// The header.
    #[serde(with = "HeaderText")]
    pub beacon: BeaconHeader,
}

/// A header of the consensus layer, with that of the execution block in its body.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct LightClientHeader {
    /// The header.
    #[serde(with = "HeaderText")]
    pub beacon: BeaconHeader,
    /// The header of the execution block.
    #[serde(with = "ExecutionText")]
    pub execution: ExecutionHeader,
    /// The way from it to the body.
    #[serde(deserialize_with = "texts")]
    pub execution_branch: Vec<Hash>,
}

/// Who of a committee signed, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct SyncAggregate {
    /// A bit for each seat, the first is the lowest of the first byte.
    #[serde(deserialize_with = "bytes", rename = "sync_committee_bits")]
    pub bits: Vec<u8>,
    /// The aggregate signature.
    #[serde(deserialize_with = "bytes", rename = "sync_committee_signature")]
    pub signature: Vec<u8>,
}

/// `LightClientUpdate`, or `LightClientFinalityUpdate`, which names no next committee.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct LightClientUpdate {
    /// What the committee signed.
    pub attested_header: AttestedHeader,
    /// What is final in its state.
    pub finalized_header: LightClientHeader,
    /// The way from there to the attested state.
    #[serde(deserialize_with = "texts")]
    pub finality_branch: Vec<Hash>,
    /// Who signed.
    pub sync_aggregate: SyncAggregate,
    /// The slot of the block that carries the signature.
    #[serde(deserialize_with = "text")]
    pub signature_slot: u64,
    /// The committee of the next period.
    #[serde(default, deserialize_with = "committee")]
    pub next_sync_committee: Option<Committee>,
    /// The way from it to the attested state.
    #[serde(default, deserialize_with = "texts")]
    pub next_sync_committee_branch: Vec<Hash>,
}

impl LightClientUpdate {
    /// What the verifier takes, where `committee` signed it under the fork with this version.
    #[must_use]
    pub fn signed_by(&self, committee: &Committee, fork_version: u32) -> SyncUpdate {
        let SyncAggregate { bits, signature } = &self.sync_aggregate;
        let finalized = &self.finalized_header;
        let next = self.next_sync_committee.as_ref();
        SyncUpdate {
            attested: self.attested_header.beacon.clone(),
            finalized: finalized.beacon.clone(),
            finality_branch: self.finality_branch.clone(),
            execution: finalized.execution.field_roots(),
            execution_branch: finalized.execution_branch.clone(),
            next_committee: next.map_or(Hash::ZERO, Committee::root),
            next_committee_branch: self.next_sync_committee_branch.clone(),
            signature_slot: self.signature_slot,
            fork_version,
            signature: signature.clone(),
            keys_root: committee.keys_root(),
            aggregate_key: committee.aggregate_key.to_vec(),
            absent: committee.absent(bits),
        }
    }
}

/// `LightClientBootstrap`: where a client may start.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct LightClientBootstrap {
    /// The block.
    pub header: LightClientHeader,
    /// The committee of its period.
    #[serde(with = "CommitteeText")]
    pub current_sync_committee: Committee,
    /// The way from it to the state.
    #[serde(deserialize_with = "texts")]
    pub current_sync_committee_branch: Vec<Hash>,
}

/// The beginning of a network, as a node's `/eth/v1/beacon/genesis` says.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct BeaconGenesis {
    /// The second in which slot 0 begins.
    #[serde(deserialize_with = "text")]
    pub genesis_time: u64,
    /// The root of the validators then.
    #[serde(deserialize_with = "text")]
    pub genesis_validators_root: Hash,
}

impl LightClientBootstrap {
    /// The anchor of a client that trusts the block with this root, on the chain with this EIP-155
    /// id whose execution block 0 has this hash.
    #[must_use]
    pub fn anchor(
        &self,
        root: Hash,
        (evm_chain_id, genesis): (u64, Hash),
        begun: &BeaconGenesis,
        schedule: &Schedule,
    ) -> BeaconAnchor {
        BeaconAnchor {
            evm_chain_id,
            genesis,
            genesis_time: begun.genesis_time,
            seconds_per_slot: schedule.seconds_per_slot,
            genesis_validators_root: begun.genesis_validators_root,
            preset: schedule.preset as u8,
            forks: schedule.forks.clone(),
            root,
            header: self.header.beacon.clone(),
            execution: self.header.execution.field_roots(),
            execution_branch: self.header.execution_branch.clone(),
            committee: self.current_sync_committee.root(),
            committee_branch: self.current_sync_committee_branch.clone(),
        }
    }
}

/// What a network is built with, as a node's `/eth/v1/config/spec` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// Its sizes.
    pub preset: Preset,
    /// Seconds of a slot.
    pub seconds_per_slot: u64,
    /// The forks, first to last; of several in one epoch the last.
    pub forks: Vec<BeaconFork>,
}

impl Schedule {
    /// Reads it from values by name.
    ///
    /// # Errors
    /// The name of the value that is missing or none.
    pub fn read<'a>(value: impl Fn(&str) -> Option<&'a str>) -> Result<Self, String> {
        let preset = match value("PRESET_BASE") {
            Some("mainnet") => Preset::Mainnet,
            Some("minimal") => Preset::Minimal,
            _ => return Err("PRESET_BASE".into()),
        };
        let number = |name: &str| value(name)?.parse::<u64>().ok();
        let seconds_per_slot = number("SECONDS_PER_SLOT").ok_or("SECONDS_PER_SLOT")?;
        let mut forks: Vec<BeaconFork> = Vec::new();
        for fork in FORKS {
            let (name, epoch) = match fork {
                "phase0" => ("GENESIS".to_owned(), Some(0)),
                _ => {
                    let name = fork.to_uppercase();
                    let epoch = number(&format!("{name}_FORK_EPOCH"));
                    (name, epoch)
                }
            };
            // Not planned, or not known to this node yet.
            let Some(epoch) = epoch.filter(|epoch| *epoch != u64::MAX) else { continue };
            let name = format!("{name}_FORK_VERSION");
            let version = value(&name).and_then(|text| unhex(text).ok());
            let version =
                version.and_then(|bytes| Some(u32::from_be_bytes(bytes.try_into().ok()?)));
            let (Some(version), Some(layout)) = (version, layout_of(fork)) else {
                return Err(name);
            };
            forks.retain(|before| before.epoch < epoch);
            forks.push(BeaconFork { epoch, version, layout: layout as u8 });
        }
        Ok(Self { preset, seconds_per_slot, forks })
    }

    /// The period of a slot.
    #[must_use]
    pub fn period_of(&self, slot: u64) -> u64 {
        slot / self.preset.slots_per_period()
    }

    /// The fork version under which a signature in `slot` is made: that of the slot before.
    #[must_use]
    pub fn version_at(&self, slot: u64) -> u32 {
        let epoch = slot.saturating_sub(1) / self.preset.slots_per_epoch();
        let fork = self.forks.iter().rfind(|fork| fork.epoch <= epoch);
        fork.map_or(0, |fork| fork.version)
    }
}

#[derive(Deserialize)]
#[serde(remote = "BeaconHeader")]
struct HeaderText {
    #[serde(deserialize_with = "text")]
    slot: u64,
    #[serde(deserialize_with = "text")]
    proposer_index: u64,
    #[serde(deserialize_with = "text")]
    parent_root: Hash,
    #[serde(deserialize_with = "text")]
    state_root: Hash,
    #[serde(deserialize_with = "text")]
    body_root: Hash,
}

#[derive(Deserialize)]
#[serde(remote = "ExecutionHeader")]
struct ExecutionText {
    #[serde(deserialize_with = "text")]
    parent_hash: Hash,
    #[serde(deserialize_with = "text")]
    fee_recipient: Address,
    #[serde(deserialize_with = "text")]
    state_root: Hash,
    #[serde(deserialize_with = "text")]
    receipts_root: Hash,
    #[serde(deserialize_with = "bytes")]
    logs_bloom: Vec<u8>,
    #[serde(deserialize_with = "text")]
    prev_randao: Hash,
    #[serde(deserialize_with = "text")]
    block_number: u64,
    #[serde(deserialize_with = "text")]
    gas_limit: u64,
    #[serde(deserialize_with = "text")]
    gas_used: u64,
    #[serde(deserialize_with = "text")]
    timestamp: u64,
    #[serde(deserialize_with = "bytes")]
    extra_data: Vec<u8>,
    #[serde(deserialize_with = "wide")]
    base_fee_per_gas: [u8; 32],
    #[serde(deserialize_with = "text")]
    block_hash: Hash,
    #[serde(deserialize_with = "text")]
    transactions_root: Hash,
    #[serde(deserialize_with = "text")]
    withdrawals_root: Hash,
    #[serde(default, deserialize_with = "known")]
    blob_gas_used: Option<u64>,
    #[serde(default, deserialize_with = "known")]
    excess_blob_gas: Option<u64>,
}

#[derive(Deserialize)]
#[serde(remote = "Committee")]
struct CommitteeText {
    #[serde(deserialize_with = "keys", rename = "pubkeys")]
    keys: Vec<[u8; 48]>,
    #[serde(deserialize_with = "key", rename = "aggregate_pubkey")]
    aggregate_key: [u8; 48],
}

fn committee<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Committee>, D::Error> {
    CommitteeText::deserialize(from).map(Some)
}

/// Numbers and words of a fixed length stand as texts.
fn text<'de, T: FromStr<Err: Display>, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
    String::deserialize(from)?.parse().map_err(D::Error::custom)
}

fn texts<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Hash>, D::Error> {
    let texts = Vec::<String>::deserialize(from)?;
    texts.iter().map(|text| text.parse().map_err(D::Error::custom)).collect()
}

fn known<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    text(from).map(Some)
}

fn bytes<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
    unhex(&String::deserialize(from)?).map_err(D::Error::custom)
}

fn key<'de, D: Deserializer<'de>>(from: D) -> Result<[u8; 48], D::Error> {
    key_in(&String::deserialize(from)?)
}

fn keys<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<[u8; 48]>, D::Error> {
    Vec::<String>::deserialize(from)?.iter().map(|text| key_in(text)).collect()
}

fn key_in<E: Error>(text: &str) -> Result<[u8; 48], E> {
    let bytes = unhex(text).map_err(E::custom)?;
    bytes.try_into().map_err(|_| E::custom(format!("{text} is no public key of 48 bytes")))
}

/// A number of 256 bits in decimal, big-endian.
fn wide<'de, D: Deserializer<'de>>(from: D) -> Result<[u8; 32], D::Error> {
    let number: alloy_primitives::U256 = text(from)?;
    Ok(number.to_be_bytes())
}

fn unhex(text: &str) -> Result<Vec<u8>, hex::FromHexError> {
    hex::decode(text.strip_prefix("0x").unwrap_or(text))
}
