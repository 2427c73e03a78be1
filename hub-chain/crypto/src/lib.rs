//! Hashes, signatures, Merkle logs and the light client: every check that gates acceptance.
//!
//! One hash function, Keccak-256, and one way to make a preimage ([`digest::Preimage`]): a domain
//! tag and 32-byte words, so that no two kinds of thing ever share one. One Merkle log ([`log`])
//! serves lanes and audit log alike. The same code runs on hub, islet, relayer and auditor.
//!
//! Invariants: a verdict depends on nothing but its arguments; what was verified is a type with
//! private fields ([`log::ProvenRange`], [`certificate::CertifiedHeader`]), which no bytes can
//! spell; every proof has one accepted form.
//!
//! Deliberately absent: encryption, key storage, randomness.

#![cfg_attr(
    test,
    allow(
        clippy::arithmetic_side_effects,
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::cast_possible_truncation
    )
)]

pub mod attested;
pub mod certificate;
pub mod client;
pub mod digest;
#[cfg(test)]
mod fixture;
pub mod keccak256;
pub mod log;
pub mod secp256k1;
pub mod tree;
