//! Keys, validator sets and certified headers for the tests of this crate.

use crate::{
    digest::{self, VoteKind},
    keccak256::keccak256,
    secp256k1::SecretKey,
};
use tombolo_types::{
    Hash, Height, Power, Round, UnixMillis,
    header::{Certificate, CommitSignature, HEADER_VERSION, Header, Validator, ValidatorSet},
    id::{BlockId, ChainId},
};

pub(crate) fn key(number: u8) -> SecretKey {
    SecretKey::from_bytes([number; 32]).unwrap()
}

/// A set of the keys with these numbers and powers.
pub(crate) fn set(first_height: u64, members: &[(u8, u64)]) -> ValidatorSet {
    let mut validators: Vec<Validator> = members
        .iter()
        .map(|(number, power)| Validator { address: key(*number).address(), power: Power(*power) })
        .collect();
    validators.sort_by_key(|validator| validator.address);
    ValidatorSet { first_height: Height(first_height), validators }
}

pub(crate) fn chain() -> ChainId {
    keccak256(b"a chain").into()
}

/// A certificate of a block by the keys with these numbers.
pub(crate) fn certificate(
    chain: ChainId,
    height: Height,
    round: Round,
    block_id: BlockId,
    signers: &[u8],
) -> Certificate {
    let digest = digest::vote(VoteKind::Precommit, chain, height, round, Some(block_id));
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

/// A header under `set` that names `next`.
pub(crate) fn header(height: u64, time: u64, set: &ValidatorSet, next: &ValidatorSet) -> Header {
    Header {
        version: HEADER_VERSION,
        chain_id: chain(),
        height: Height(height),
        time: UnixMillis(time),
        parent: keccak256(b"parent").into(),
        transactions_root: keccak256(b"transactions"),
        lanes_root: keccak256(b"lanes"),
        log_root: keccak256(b"log"),
        log_size: 3,
        writes_digest: keccak256(b"writes"),
        state_root: Hash::ZERO,
        validators_root: digest::validators_root(set),
        next_validators_root: digest::validators_root(next),
        extensions_root: Hash::ZERO,
        reserved: Hash::ZERO,
    }
}

/// The header's certificate in round 0 by the keys with these numbers.
pub(crate) fn certified(header: &Header, signers: &[u8]) -> Certificate {
    certificate(header.chain_id, header.height, Round(0), digest::block_id(header), signers)
}
