//! From what both ends of a link say to what shall be sent.
//!
//! A relayer holds no truth: sizes and counters stand on the two ledgers. This crate compares them
//! and names the next steps; the same sight gives the same steps, whoever runs it and whatever it
//! did before. What it remembers ([`Ages`], [`Turns`], [`UnderWay`]) only paces what is sent and keeps
//! relayers out of each other's way, and may be lost.
//!
//! Deliberately absent: fetching, proving, submitting, retrying; and any knowledge of a kind of
//! ledger.
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

pub mod backoff;
pub mod observe;
pub mod plan;
pub mod turns;
pub mod under_way;

pub use observe::{ClientSight, End, LaneSight, LinkSight, Standing};
pub use plan::{Ages, Pace, Step, plan};
pub use turns::Turns;
pub use under_way::UnderWay;
