//! What every Tombolo ledger has in common, hub and islet alike: state, transactions, lanes,
//! clients of other ledgers, audit log, and the execution of blocks.
//!
//! A ledger is this crate and a [`Machine`], which says what its own calls and messages do. All of
//! it is replicated code: the same block on the same state gives the same bytes on every node.
//!
//! Invariants
//! - A refused transaction uses its nonce and rate, leaves a record, and changes nothing else.
//! - A lane message is taken once, in order, and only under a proof ([`delivery`]).
//! - No answer and no decision is lost with the epoch of a lane that is reopened ([`lanes`]).
//! - A refused lane message never blocks its lane; a refused answer does not exist.
//! - Every write of a block enters the writes digest of its header.
//!
//! Deliberately absent: consensus, disks, clocks, and anything one kind of ledger alone has.
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

pub mod admission;
pub mod block;
pub mod delivery;
pub mod lanes;
pub mod machine;
pub mod parameters;
pub mod principal;
pub mod records;
pub mod state;
pub mod validators;

pub use block::{Executed, Ledger, Outcome, Tip};
pub use machine::{Arrival, BlockInfo, Call, Context, Machine, Unheld};
pub use parameters::Parameters;
pub use principal::Principal;
pub use state::{Cell, Key, State, Table};
