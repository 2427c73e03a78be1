//! The hub's rules over whole blocks: real transactions, certificates and lane proofs.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_possible_truncation
)]

mod commit;
mod data;
mod govern;
mod harness;
mod identity;
mod link;
mod modes;
mod policy;
mod privilege;
mod reopening;
mod swap;
mod world;
