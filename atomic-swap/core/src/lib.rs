//! What binds an exchange over several ledgers: two-phase commit and hash-timelock.
//!
//! [`protocol::choose`] says which of the two the chains of an exchange can take part in.
//!
//! **Two-phase commit.** The hub drives a [`two_phase::Coordinator`], every gateway keeps a [`two_phase::Participant`]
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
//! **Hash-timelock** ([`htlc`]) is weaker: each party, or a watcher for it, keeps a [`htlc::Swap`].
//! - S11: a lock is claimed or refunded, never both; a party who follows the protocol and looks at
//!   the chains once within the margin is never worse off.
//!
//! Deliberately absent: proofs (what arrives here was proved by the lane), the locks themselves
//! (a gateway offers them as [`two_phase::Locks`]), transactions that begin on a chain, and rings
//! of more than two parties.

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
pub mod htlc;
pub mod protocol;
pub mod two_phase;
