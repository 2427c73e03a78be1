//! The hub's ledger: what a Tombolo hub adds to the ledger that all share.
//!
//! One module per concept, each with its tables (first letter `h`), its calls and its rules:
//! [`govern`] (proposals and approvals), [`identity`], [`link`], [`schema`], [`policy`],
//! [`grant`], [`data`], [`asset`], [`commit`] (the coordinator of two-phase commits) and [`swap`]
//! (orders of hash-timelock swaps, mirrored for audit); [`query`] is the read side for shells.
//!
//! Invariants
//! - A lane message reaches `data`, `commit` and the link's own standing, and nothing else: no
//!   variant of a message leads to [`govern`] (attack A12).
//! - Nothing of closed class is forwarded as a copy, grant or not.
//! - A decision is state before it is sent, and no limit or pause holds one back.
//! - What is not allowed by a policy that covers its type does not pass (fail closed).
//!
//! Deliberately absent: funds (accounts live on the linked chains; the hub holds none of a swap
//! either), markets.
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

pub mod asset;
pub mod call;
pub mod commit;
pub mod data;
pub mod govern;
pub mod grant;
mod hub;
pub mod identity;
pub mod link;
pub mod policy;
pub mod query;
pub mod schema;
pub mod swap;

pub use call::HubCall;
pub use hub::Hub;
