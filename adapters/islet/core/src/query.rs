//! What shells read: items, copies, accounts, locks, pending acts. All lists are paged.

use crate::{HashLock, Held, Item, ItemCopy, PendingAct, Released};
use crate::{
    account as accounts, council, hash_lock as hashed, identity, item as store, lock,
    schema as registry, token,
};
use tombolo_swap::two_phase::Participant;
use tombolo_types::{
    Address, Amount, UnixMillis,
    id::{AssetId, DataId, IdentityId, SchemaId, SecretHash, Xid},
    store::View,
};

/// An account as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Its address.
    pub address: Address,
    /// The identity to which it is bound.
    pub identity: Option<IdentityId>,
    /// What it holds, without what is in escrow.
    pub balances: Vec<(AssetId, Amount)>,
    /// How many two-phase commits and hash locks hold something of it.
    pub open_locks: u64,
}

/// What one account holds of one asset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holding {
    /// The account.
    pub account: Address,
    /// The asset.
    pub asset: AssetId,
    /// In its smallest unit, without what is in escrow.
    pub amount: Amount,
}

/// A two-phase commit that holds something here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lock {
    /// Which.
    pub xid: Xid,
    /// Its deadline; it passes on the hub, and releases nothing here.
    pub deadline: UnixMillis,
    /// What it holds, and since when.
    pub held: Held,
}

/// The present version of an item, also where it has moved away.
pub fn item(view: &dyn View, id: DataId) -> Option<Item> {
    store::item(view, id)
}

/// At most `limit` items, from `from` on, ascending by id.
pub fn items(view: &dyn View, from: DataId, limit: usize) -> Vec<Item> {
    store::items(view, from, limit)
}

/// At most `limit` superseded versions of an item, from version `from` on.
pub fn past_versions(view: &dyn View, id: DataId, from: u32, limit: usize) -> Vec<Item> {
    store::past_versions(view, id, from, limit)
}

/// A copy of another chain's open item.
pub fn copy(view: &dyn View, id: DataId) -> Option<ItemCopy> {
    store::copy(view, id)
}

/// At most `limit` copies, from `from` on, ascending by id.
pub fn copies(view: &dyn View, from: DataId, limit: usize) -> Vec<ItemCopy> {
    store::copies(view, from, limit)
}

/// An account; one that holds nothing and is bound to nobody is empty.
pub fn account(view: &dyn View, address: Address) -> Account {
    Account {
        address,
        identity: identity::of_account(view, address),
        balances: accounts::of_account(view, address),
        open_locks: lock::open(view, address),
    }
}

/// What an account holds of an asset, without what is in escrow.
pub fn balance(view: &dyn View, account: Address, asset: AssetId) -> Amount {
    accounts::balance(view, account, asset)
}

/// How much of an asset of this ledger is in escrow, because it has left.
pub fn escrow(view: &dyn View, asset: AssetId) -> Amount {
    token::escrow(view, asset)
}

/// How much of a voucher there is, that which is on its way in included.
pub fn vouchers(view: &dyn View, asset: AssetId) -> Amount {
    token::vouchers(view, asset)
}

/// At most `limit` holdings, from account and asset `from` on.
pub fn holdings(view: &dyn View, from: (Address, AssetId), limit: usize) -> Vec<Holding> {
    accounts::list(view, from, limit)
        .into_iter()
        .map(|((account, asset), amount)| Holding { account, asset, amount })
        .collect()
}

/// At most `limit` two-phase commits that hold something, from `from` on.
pub fn locks(view: &dyn View, from: Xid, limit: usize) -> Vec<Lock> {
    lock::list(view, from, limit)
        .into_iter()
        .map(|(xid, held)| Lock {
            xid,
            deadline: lock::participant(view, xid)
                .map_or(UnixMillis::ZERO, |participant| participant.deadline()),
            held,
        })
        .collect()
}

/// At most `limit` locks that the recovery council has released, from `from` on.
pub fn released(view: &dyn View, from: Xid, limit: usize) -> Vec<(Xid, Released)> {
    lock::released(view, from, limit)
}

/// A hash lock, open or remembered.
pub fn hash_lock(view: &dyn View, hash: SecretHash, locker: Address) -> Option<HashLock> {
    hashed::lock_of(view, hash, locker)
}

/// At most `limit` hash locks under one hash, open or remembered, ascending by locker.
pub fn hash_locks_under(view: &dyn View, hash: SecretHash, limit: usize) -> Vec<HashLock> {
    hashed::under(view, hash, limit)
}

/// At most `limit` hash locks, open or remembered, from a hash and locker on.
pub fn hash_locks(view: &dyn View, from: (SecretHash, Address), limit: usize) -> Vec<HashLock> {
    hashed::list(view, from, limit)
}

/// What this ledger knows of a two-phase commit.
pub fn participant(view: &dyn View, xid: Xid) -> Option<Participant> {
    lock::participant(view, xid)
}

/// The council's act that waits for its delay, where there is one.
pub fn pending_act(view: &dyn View) -> Option<PendingAct> {
    council::pending(view)
}

/// A schema's canonical definition.
pub fn schema_definition(view: &dyn View, schema: SchemaId) -> Option<Vec<u8>> {
    registry::definition(view, schema)
}

/// At most `limit` schemas with their definitions, from `from` on.
pub fn schemas(view: &dyn View, from: SchemaId, limit: usize) -> Vec<(SchemaId, Vec<u8>)> {
    registry::list(view, from, limit)
}
