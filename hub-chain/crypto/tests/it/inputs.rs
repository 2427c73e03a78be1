//! The inputs of the vectors, and how they are written.

use serde_json::{Value, json};
use tombolo_crypto::{
    digest::{self, VoteKind},
    keccak256::keccak256,
    secp256k1::SecretKey,
};
use tombolo_types::{
    Hash, Height, Power, Round, UnixMillis,
    header::{
        Certificate, CommitSignature, Genesis, GenesisBalance, GenesisIdentity, GenesisParameter,
        Header, Validator, ValidatorSet,
    },
    id::ChainId,
};

pub(crate) fn hex(bytes: impl AsRef<[u8]>) -> Value {
    json!(format!("0x{}", hex::encode(bytes)))
}

pub(crate) fn hashes(hashes: &[Hash]) -> Value {
    hashes.iter().map(hex).collect()
}

pub(crate) fn bytes_of(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().unwrap().strip_prefix("0x").unwrap()).unwrap()
}

pub(crate) fn hash_of(value: &Value) -> Hash {
    value.as_str().unwrap().parse().unwrap()
}

pub(crate) fn hashes_of(value: &Value) -> Vec<Hash> {
    value.as_array().unwrap().iter().map(hash_of).collect()
}

/// A word that a name stands for: its Keccak-256.
pub(crate) fn word(name: &str) -> Hash {
    keccak256(name.as_bytes())
}

/// Test keys: every byte is the number. They guard nothing.
pub(crate) fn key(number: u8) -> SecretKey {
    SecretKey::from_bytes([number; 32]).unwrap()
}

pub(crate) fn set(first_height: u64, members: &[(u8, u64)]) -> ValidatorSet {
    let mut validators: Vec<Validator> = members
        .iter()
        .map(|(number, power)| Validator { address: key(*number).address(), power: Power(*power) })
        .collect();
    validators.sort_by_key(|validator| validator.address);
    ValidatorSet { first_height: Height(first_height), validators }
}

pub(crate) fn set_json(set: &ValidatorSet) -> Value {
    let members: Vec<Value> = set
        .validators
        .iter()
        .map(|member| json!({ "address": hex(member.address), "power": member.power.0 }))
        .collect();
    json!({ "first_height": set.first_height.0, "validators": members })
}

/// The set of the vectors' chain: keys 1 to 4.
pub(crate) fn first_set() -> ValidatorSet {
    set(1, &[(1, 10), (2, 20), (3, 30), (4, 40)])
}

pub(crate) fn genesis_document() -> Genesis {
    Genesis {
        version: 1,
        kind: "hub".to_owned(),
        name: "vectors".to_owned(),
        time: UnixMillis(1_760_000_000_000),
        validators: first_set(),
        identities: vec![GenesisIdentity {
            key: key(5).address(),
            roles: 3,
            name: "an operator".to_owned(),
        }],
        balances: vec![GenesisBalance {
            account: key(6).address(),
            asset: word("an asset").into(),
            amount: tombolo_types::Amount(u128::from(u64::MAX) + 1),
        }],
        quorum: 2,
        council: vec![key(7).address(), key(8).address(), key(9).address()],
        council_threshold: 2,
        hub_anchor: vec![],
        parameters: vec![GenesisParameter { name: "block_rest_ms".to_owned(), value: 250 }],
    }
}

pub(crate) fn chain() -> ChainId {
    digest::chain_id(&genesis_document())
}

pub(crate) fn header_at(height: u64, set: &ValidatorSet, next: &ValidatorSet) -> Header {
    Header {
        version: 1,
        chain_id: chain(),
        height: Height(height),
        time: UnixMillis(1_760_000_000_000 + height * 250),
        parent: word("parent").into(),
        transactions_root: word("transactions root"),
        lanes_root: word("lanes root"),
        log_root: word("log root"),
        log_size: 12_345,
        writes_digest: word("writes digest"),
        state_root: Hash::ZERO,
        validators_root: digest::validators_root(set),
        next_validators_root: digest::validators_root(next),
        extensions_root: Hash::ZERO,
        reserved: Hash::ZERO,
    }
}

pub(crate) fn header_json(header: &Header) -> Value {
    json!({
        "version": header.version,
        "chain_id": hex(header.chain_id),
        "height": header.height.0,
        "time": header.time.0,
        "parent": hex(header.parent),
        "transactions_root": hex(header.transactions_root),
        "lanes_root": hex(header.lanes_root),
        "log_root": hex(header.log_root),
        "log_size": header.log_size,
        "writes_digest": hex(header.writes_digest),
        "state_root": hex(header.state_root),
        "validators_root": hex(header.validators_root),
        "next_validators_root": hex(header.next_validators_root),
        "extensions_root": hex(header.extensions_root),
        "reserved": hex(header.reserved),
    })
}

/// A certificate of the header by these keys.
pub(crate) fn certificate_of(header: &Header, round: u32, signers: &[u8]) -> Certificate {
    let block_id = digest::block_id(header);
    let (height, round) = (header.height, Round(round));
    let digest = digest::vote(VoteKind::Precommit, header.chain_id, height, round, Some(block_id));
    let mut signatures: Vec<CommitSignature> = signers
        .iter()
        .map(|number| CommitSignature {
            signer: key(*number).address(),
            signature: key(*number).sign(digest),
        })
        .collect();
    signatures.sort_by_key(|commit| commit.signer);
    Certificate { height, round, block_id, signatures }
}
