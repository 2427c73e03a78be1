//! The islet: a small IoT ledger with a gateway to the hub, on the engine that the hub runs on.
//!
//! It holds accounts with balances, amounts under hash locks, data items that devices signed, and
//! copies of other ledgers' open items. Its gateway is part of the ledger: lanes both ways, a light client of the hub, and
//! the participant's side of two-phase commit.
//!
//! Invariants, each held by a test in `tests/it`:
//! - What is taken into escrow is paid, has left, or is given back: the sum of an asset is that of
//!   genesis, and that of a voucher what came of it.
//! - A hash lock is claimed or refunded, once, and by its deadline it is known which.
//! - A closed item leaves only by a commit, and is never live here and elsewhere.
//! - A copy is never written here; a closed item is never copied.
//! - Who voted yes keeps every lock until a proved decision. No time, no freeze and no local key
//!   releases one; the recovery council alone can, while the hub is as good as gone, and then it is
//!   on record for ever.
//! - What leaves the ledger leaves under a view of identities that is fresh enough.
//!
//! Deliberately absent: contracts (`Call`), and node keys, which a gateway of mode 1 does not follow.
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

mod account;
mod call;
mod council;
mod entry;
mod gateway;
mod hash_lock;
mod identity;
mod item;
mod lock;
mod machine;
mod query;
mod schema;
mod share;
mod submit;
mod token;

pub use call::{CouncilOrder, IsletCall, ShareOrder};
pub use council::PendingAct;
pub use gateway::{
    Gateway, IDENTIFICATION_METHOD, INCARNATION, KIND, MODE, code_hash, gateway, gateway_address,
    hub_link_id, identity_view_age_ms, link_to_hub,
};
pub use hash_lock::{HashLock, HashLockStanding, NewHashLock};
pub use item::{Item, ItemCopy, Provenance, Standing};
pub use lock::{Held, Hold, Released};
pub use machine::Islet;
pub use query::{
    Account, Holding, Lock, account, balance, copies, copy, escrow, hash_lock, hash_locks,
    hash_locks_under, holdings, item, items, locks, participant, past_versions, pending_act,
    released, schema_definition, schemas, vouchers,
};
pub use token::Parcel;
