//! What an auditor takes home: a bundle of records that proves itself from the genesis hash alone.
//!
//! Offline verification starts from a chain id, walks every change of the validator set with more
//! than two thirds of each old set, believes the newest header, and checks that the records are the
//! contiguous range of its audit log that they claim to be.
//!
//! Invariant: the bundle has one spelling, and every byte of it is hashed, signed or compared. A
//! changed byte, a dropped, repeated or moved record, one bad or surplus signature: the bundle
//! fails.
//!
//! Deliberately absent: network, clocks, and any trust in who made the bundle.
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

mod verify;

pub use verify::{Fault, Report, Tampering, verify};

#[cfg(test)]
mod tests;
