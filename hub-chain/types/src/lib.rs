//! The words of Tombolo: identifiers, numbers, classes of refusal, and what crosses ledgers.
//!
//! Everything here is a value. Nothing hashes, signs, stores or talks; that is for the crates
//! that stand on this one. What crosses ledgers is ABI-encoded ([`abi`]) so that a contract reads
//! it without a decoder; what stays inside a ledger is Borsh; what a device signs is
//! deterministic CBOR.
//!
//! Invariant: every decoder here has one spelling per value. `decode(bytes) == Ok(v)` implies
//! `encode(v) == bytes`.

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

pub mod abi;
pub mod action;
pub mod attested;
pub mod bundle;
mod cbor;
pub mod class;
#[cfg(test)]
mod codec_tests;
pub mod council;
pub mod envelope;
pub mod header;
pub mod id;
pub mod lane;
pub mod link_policy;
pub mod message;
pub mod number;
pub mod record;
pub mod schema;
pub mod store;
pub mod swap;
pub mod transaction;
pub mod verifier;

pub use class::{Class, Refusal};
pub use id::{Address, Hash};
pub use number::{
    Amount, Epoch, Height, LaneNumber, MessageNumber, Power, Round, UnixMillis, Weight,
};
