//! The ledger kit under test: two toy ledgers over states in memory, with real keys, certificates,
//! light clients and range proofs between them.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_possible_truncation
)]

mod admission;
mod blocks;
mod contradictions;
mod delivering;
mod exactly_once;
mod parameters;
mod poison;
mod records;
mod reopening;
mod room;
mod standing;
mod state;
mod toy;
mod world;
