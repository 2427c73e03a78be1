//! The islet under a toy hub, with real certificates and real proofs between them.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_possible_truncation
)]

mod harness;
mod hash_locks;
mod toy;
mod world;

mod batch;
mod begin;
mod conservation;
mod council;
mod identities;
mod linking;
mod recovery;
mod sharing;
mod submission;
mod tokens;
mod two_phase;
