//! Decisions as tables, histories against naive models, and the checkers.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_possible_truncation
)]

mod begin;
mod coordinator;
mod fixture;
mod histories;
mod htlc;
mod model;
mod participant;
