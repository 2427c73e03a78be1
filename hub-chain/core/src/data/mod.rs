//! Data items: what the hub knows of each, and what it forwards.
//!
//! An id that the hub does not know is at home on the chain that first names it (Spec: design,
//! data id). The hub keeps no body: it keeps class, version and fingerprint, where the item lives
//! and where copies of it went.

mod forward;
mod provenance;
mod share;

pub use forward::Forward;
pub(crate) use forward::{begin_block, pending, take_back, take_refused, taken};
pub(crate) use provenance::{Claim, Provenance, check_allowed, check_possible};
pub(crate) use share::share;

use borsh::{BorshDeserialize, BorshSerialize};
use tombolo_ledger::{State, Table};
use tombolo_types::{
    Height, UnixMillis,
    id::{ChainId, DataId, Fingerprint, GlobalId, IdentityId, SchemaId, Xid},
    message::DataClass,
    store::View,
};

/// What the hub knows of a data item in its newest version.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Item {
    /// Unchanged on all chains. Req: Y4560-7.2.1-c
    pub id: DataId,
    /// Where it was first written.
    pub home: ChainId,
    /// Where it lives now.
    pub location: ChainId,
    /// Whose it is.
    pub owner: IdentityId,
    /// Open or closed; fixed for a version. Req: Y4560-6.3-1
    pub class: DataClass,
    /// Its structure.
    pub schema: SchemaId,
    /// From 1.
    pub version: u32,
    /// Of the newest version.
    pub fingerprint: Fingerprint,
    /// Terms of use and redistribution.
    pub terms: String,
    /// The hub height of the last change.
    pub height: Height,
}

/// How far a copy got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum CopyStatus {
    /// Sent on.
    Accepted,
    /// Taken at the destination, proved back.
    Completed,
    /// Refused there, or too late.
    Refused,
}

/// A copy of an open item on another chain. Req: Y4560-6.3-3
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct CopyEntry {
    /// Which version.
    pub version: u32,
    /// The operation that made it.
    pub global_id: GlobalId,
    /// How far it got.
    pub status: CopyStatus,
    /// When it was accepted.
    pub time: UnixMillis,
}

const ITEMS: Table<DataId, Item> = Table::new(*b"hO");
const COPIES: Table<(DataId, ChainId), CopyEntry> = Table::new(*b"ho");
/// Items in an undecided two-phase commit.
const LOCKS: Table<DataId, Xid> = Table::new(*b"hk");

/// What is known of an item.
pub fn item(view: &dyn View, id: DataId) -> Option<Item> {
    ITEMS.get(view, &id)
}

/// Items, from `from` on.
pub fn items(view: &dyn View, from: DataId, limit: usize) -> Vec<Item> {
    ITEMS.range(view, &from, limit).into_iter().map(|(_, item)| item).collect()
}

/// Where copies of an item went.
pub fn copies(view: &dyn View, id: DataId, limit: usize) -> Vec<(ChainId, CopyEntry)> {
    COPIES.under(view, &id, limit).into_iter().map(|((_, chain), copy)| (chain, copy)).collect()
}

/// The undecided commit in which an item is.
pub fn lock(view: &dyn View, id: DataId) -> Option<Xid> {
    LOCKS.get(view, &id)
}

pub(crate) fn put_lock(state: &mut State<'_>, id: DataId, xid: Xid) {
    LOCKS.put(state, &id, &xid);
}

pub(crate) fn free_lock(state: &mut State<'_>, id: DataId) {
    LOCKS.delete(state, &id);
}

pub(crate) fn put_item(state: &mut State<'_>, item: &Item) {
    ITEMS.put(state, &item.id, item);
}
