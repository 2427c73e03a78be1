//! Verifiers of EVM heads, against vectors from real nodes, chains made here, and live nodes.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_possible_truncation
)]

mod beacon;
mod chain;
mod clique;
mod live;
mod maker;
mod recorded_beacon;
mod recorded_clique;
mod storage;
mod vectors;
mod world;
