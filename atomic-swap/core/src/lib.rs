//! Two-phase commit over ledgers: the machines of coordinator and participant.
//!
//! The hub drives a [`two_phase::Coordinator`], every gateway keeps a [`two_phase::Participant`]
//! per transaction. Both are pure: time is the ledger's own block time, what shall happen is
//! returned, and the caller writes state and effects in the one block that caused them.
//!
//! Invariants, in the words of the checker in `tests/it`:
//! - S1 agreement: no participant commits what another aborts;
//! - S2 validity: commit only if every yes stood on the hub before the deadline; abort only for a
//!   reason that is written down;
//! - S3 irrevocability: a decision is written once and applied at most once;
//! - S4 stability: who voted yes keeps its lock until a proved decision, or the recovery
//!   council's recorded release;
//! - S5 single copy: a closed item has at most one live copy over all ledgers.
//!
//! Deliberately absent: proofs (what arrives here was proved by the lane), the locks themselves
//! (a gateway offers them as [`two_phase::Locks`]), transactions that begin on a chain, and
//! hash-timelock swaps.

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

pub mod deadline;
pub mod two_phase;
