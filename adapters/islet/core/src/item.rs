//! Data items that live here, and copies of items that live elsewhere.

use borsh::{BorshDeserialize, BorshSerialize};
use tombolo_ledger::{Context, Table};
use tombolo_types::{
    Address, Height, Refusal,
    header::Signature,
    id::{ChainId, DataId, Fingerprint, GlobalId, IdentityId, SchemaId, Xid},
    message::DataClass,
    refuse,
    store::View,
};

/// Where an item stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Standing {
    /// It is here, and free.
    Live,
    /// It is here, and waits for the decision of a two-phase commit.
    Locked(Xid),
    /// It went to another chain; id and fingerprint alone stay here.
    Moved {
        /// Where it went.
        to: ChainId,
        /// By which two-phase commit.
        xid: Xid,
    },
    /// A newer version took its place.
    Superseded,
    /// The recovery council released it and the hub committed: the copy that the hub's decision
    /// names is the good one, and this one can be read and is accepted nowhere.
    Disputed(Xid),
}

/// One version of a data item. Req: Y4560-7.2.1-c
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Item {
    /// Unchanged on all chains and in all versions.
    pub id: DataId,
    /// From 1.
    pub version: u32,
    /// Fixed for this version. Req: Y4560-6.3-1
    pub class: DataClass,
    /// The chain on which it was first written.
    pub home: ChainId,
    /// The party that owns it now; the envelope names the first owner.
    pub owner: IdentityId,
    /// The account that was to give it away when this version came; zero where there was none. The
    /// owner's present account goes before it, so that an account bound anew loses nothing.
    pub holder: Address,
    /// Structure of the envelope.
    pub schema: SchemaId,
    /// Fingerprint of the envelope.
    pub fingerprint: Fingerprint,
    /// The canonical envelope; empty once the item has moved away.
    pub envelope: Vec<u8>,
    /// Who signed the envelope.
    pub device: IdentityId,
    /// Its signature.
    pub signature: Signature,
    /// Where it stands.
    pub standing: Standing,
    /// The height here from which this version stands.
    pub since: Height,
}

/// A copy of an open item that lives on another chain. Req: Y4560-6.3-3
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ItemCopy {
    /// The item.
    pub id: DataId,
    /// The version that was copied.
    pub version: u32,
    /// The party that owns the item.
    pub owner: IdentityId,
    /// Structure of the envelope.
    pub schema: SchemaId,
    /// Fingerprint of the envelope.
    pub fingerprint: Fingerprint,
    /// The canonical envelope.
    pub envelope: Vec<u8>,
    /// Who signed the envelope.
    pub device: IdentityId,
    /// Its signature.
    pub signature: Signature,
    /// Where it came from.
    pub provenance: Provenance,
}

/// Where a copy came from, and on what terms. Req: Y4560-6.3-3
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Provenance {
    /// Where the item lives.
    pub source_chain: ChainId,
    /// The height there at which the sharing began.
    pub source_height: Height,
    /// The height of the hub under which the copy came.
    pub hub_height: Height,
    /// The sharing, as every ledger knows it.
    pub global_id: GlobalId,
    /// Terms of use and redistribution.
    pub terms: String,
    /// The height here at which it came.
    pub since: Height,
}

const ITEMS: Table<DataId, Item> = Table::new(*b"iI");
/// Versions before the present one.
const VERSIONS: Table<(DataId, u32), Item> = Table::new(*b"iV");
const COPIES: Table<DataId, ItemCopy> = Table::new(*b"iC");
/// Ids of items that appear here once a two-phase commit is committed.
const RESERVED: Table<DataId, Xid> = Table::new(*b"iR");

/// The present version of an item, wherever it is now.
pub(crate) fn item(view: &dyn View, id: DataId) -> Option<Item> {
    ITEMS.get(view, &id)
}

/// Keeps an item as it is.
pub(crate) fn put(cx: &mut Context<'_, '_>, item: &Item) {
    ITEMS.put(cx.state, &item.id, item);
}

/// Makes this the present version from this block on; the one before it is superseded, or stays
/// disputed.
pub(crate) fn put_version(cx: &mut Context<'_, '_>, mut next: Item) {
    if let Some(mut before) = item(cx.state, next.id)
        && !matches!(before.standing, Standing::Moved { .. })
    {
        if !matches!(before.standing, Standing::Disputed(_)) {
            before.standing = Standing::Superseded;
        }
        VERSIONS.put(cx.state, &(before.id, before.version), &before);
    }
    next.since = cx.block.height;
    ITEMS.put(cx.state, &next.id, &next);
}

/// At most `limit` items, from `from` on.
pub(crate) fn items(view: &dyn View, from: DataId, limit: usize) -> Vec<Item> {
    ITEMS.range(view, &from, limit).into_iter().map(|(_, item)| item).collect()
}

/// At most `limit` versions before the present one, from version `from` on.
pub(crate) fn past_versions(view: &dyn View, id: DataId, from: u32, limit: usize) -> Vec<Item> {
    VERSIONS.under_from(view, &id, &(id, from), limit).into_iter().map(|(_, item)| item).collect()
}

/// A copy.
pub(crate) fn copy(view: &dyn View, id: DataId) -> Option<ItemCopy> {
    COPIES.get(view, &id)
}

/// Keeps a copy in place of an older one.
pub(crate) fn put_copy(cx: &mut Context<'_, '_>, copy: &ItemCopy) {
    COPIES.put(cx.state, &copy.id, copy);
}

/// At most `limit` copies, from `from` on.
pub(crate) fn copies(view: &dyn View, from: DataId, limit: usize) -> Vec<ItemCopy> {
    COPIES.range(view, &from, limit).into_iter().map(|(_, copy)| copy).collect()
}

/// Keeps an id for an item that a two-phase commit may bring.
pub(crate) fn reserve(cx: &mut Context<'_, '_>, id: DataId, xid: Xid) {
    RESERVED.put(cx.state, &id, &xid);
}

/// Frees a reserved id.
pub(crate) fn free(cx: &mut Context<'_, '_>, id: DataId) {
    RESERVED.delete(cx.state, &id);
}

/// `E_STATE` while a two-phase commit keeps the id. Req: PRJ-5-1
pub(crate) fn ensure_not_reserved(view: &dyn View, id: DataId) -> Result<(), Refusal> {
    match RESERVED.get(view, &id) {
        None => Ok(()),
        Some(xid) => refuse!(State, "item {id} is locked by {xid}; wait for its decision"),
    }
}

impl Item {
    /// `E_STATE` unless the item is here and free. Req: PRJ-5-1
    pub(crate) fn ensure_live(&self) -> Result<(), Refusal> {
        let why = match self.standing {
            Standing::Live => return Ok(()),
            Standing::Locked(xid) => format!("is locked by {xid}; wait for its decision"),
            Standing::Moved { to, xid } => format!("moved to chain {to} by {xid}; look there"),
            Standing::Superseded => "has a newer version; use that".to_owned(),
            Standing::Disputed(xid) => format!(
                "is disputed: the recovery council released it, and the hub committed {xid}; the \
                 good copy is where that put it"
            ),
        };
        Err(Refusal::new(tombolo_types::Class::State, format!("item {} {why}", self.id)))
    }
}
