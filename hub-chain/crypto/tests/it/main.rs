//! The golden vectors of `tests/vectors`, one binary.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_possible_truncation
)]

mod council;
mod formats;
mod inputs;
mod proofs;
mod swap;
mod vectors;
