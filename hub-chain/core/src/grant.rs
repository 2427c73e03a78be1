//! Grants: an owner's signed, expiring word that somebody may have one closed item.
//! Req: Y4560-3.1.6

use borsh::{BorshDeserialize, BorshSerialize};
use tombolo_ledger::{Context, State, Table};
use tombolo_types::{
    Height, Refusal, UnixMillis, ensure,
    id::{DataId, IdentityId},
    refuse,
    store::View,
};

/// The furthest expiry of a grant, in milliseconds: a year.
pub const GRANT_MS_MAX: u64 = 366 * 24 * 60 * 60 * 1_000;
/// The most grants that one identity gives at a time; bounds the state.
pub const GRANTS_OF_ONE_MAX: u64 = 10_000;
/// Expired grants forgotten in one block.
const FORGOTTEN_PER_BLOCK: usize = 64;

/// What a grant is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum Purpose {
    /// The item becomes the grantee's, on another chain.
    Move = 1,
    /// The grantee may read the item.
    Disclose = 2,
}

impl Purpose {
    /// The name that policies and people see.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Move => "move",
            Self::Disclose => "disclose",
        }
    }
}

/// Which grant; one giver has at most one of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub struct GrantKey {
    /// The item.
    pub item: DataId,
    /// Who may have it.
    pub grantee: IdentityId,
    /// What for.
    pub purpose: Purpose,
}

/// A grant as its giver signs it, in a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Grant {
    /// Which.
    pub key: GrantKey,
    /// From when on it holds no more.
    pub expires: UnixMillis,
}

/// A grant that was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Given {
    /// Who gave it. It counts only while this is the item's owner.
    pub giver: IdentityId,
    /// What was granted.
    pub grant: Grant,
    /// When.
    pub height: Height,
}

type Key = (DataId, IdentityId, IdentityId, u8);

const GRANTS: Table<Key, Given> = Table::new(*b"hG");
const BY_EXPIRY: Table<(UnixMillis, DataId, IdentityId, IdentityId, u8), ()> = Table::new(*b"hE");
/// How many grants an identity has given that are kept.
const COUNT: Table<IdentityId, u64> = Table::new(*b"he");

fn key(giver: IdentityId, key: &GrantKey) -> Key {
    (key.item, giver, key.grantee, key.purpose as u8)
}

/// All grants for an item, from whoever gave them; just expired ones may be among them.
pub fn of_item(view: &dyn View, item: DataId, limit: usize) -> Vec<Given> {
    GRANTS.under(view, &item, limit).into_iter().map(|(_, given)| given).collect()
}

/// Whether `giver` has granted this and it holds at `now`.
pub fn holds(view: &dyn View, giver: IdentityId, wanted: &GrantKey, now: UnixMillis) -> bool {
    GRANTS.get(view, &key(giver, wanted)).is_some_and(|given| now < given.grant.expires)
}

/// Gives a grant, or sets another expiry.
///
/// An item that the hub does not know yet may be granted: whether the giver owns it is asked
/// when the grant is used.
pub(crate) fn give(cx: &mut Context<'_, '_>, grant: &Grant) -> Result<(), Refusal> {
    let giver = cx.signer_id();
    record(cx, &grant.key);
    ensure!(!grant.key.grantee.is_zero(), Format, "a grant names its grantee");
    let ahead = grant.expires.since(cx.block.time);
    ensure!(
        ahead <= GRANT_MS_MAX,
        Format,
        "a grant expires within {GRANT_MS_MAX} ms, not within {ahead}"
    );
    let key = key(giver, &grant.key);
    let present = GRANTS.get(cx.state, &key);
    let count = COUNT.get(cx.state, &giver).unwrap_or(0);
    ensure!(
        present.is_some() || count < GRANTS_OF_ONE_MAX,
        Limit,
        "identity {giver} has given {count} grants, the most that it may; revoke some"
    );
    ensure!(ahead > 0, Timeout, "the grant expired at {}, it is {}", grant.expires, cx.block.time);
    let given = Given { giver, grant: *grant, height: cx.block.height };
    if let Some(present) = present {
        forget(cx.state, &present);
    }
    let count = COUNT.get(cx.state, &giver).unwrap_or(0);
    COUNT.put(cx.state, &giver, &count.saturating_add(1));
    BY_EXPIRY.put(cx.state, &expiry(&given), &());
    GRANTS.put(cx.state, &key, &given);
    Ok(())
}

/// Takes a grant back; the next use fails.
pub(crate) fn revoke(cx: &mut Context<'_, '_>, wanted: &GrantKey) -> Result<(), Refusal> {
    let giver = cx.signer_id();
    record(cx, wanted);
    let Some(given) = GRANTS.get(cx.state, &key(giver, wanted)) else {
        refuse!(
            NotFound,
            "identity {giver} has granted no {} of item {} to {}",
            wanted.purpose.name(),
            wanted.item,
            wanted.grantee
        );
    };
    forget(cx.state, &given);
    Ok(())
}

/// Forgets grants that have expired.
pub(crate) fn begin_block(cx: &mut Context<'_, '_>) {
    for ((expires, item, giver, grantee, purpose), ()) in
        BY_EXPIRY.all(cx.state, FORGOTTEN_PER_BLOCK)
    {
        if expires > cx.block.time {
            break;
        }
        if let Some(given) = GRANTS.get(cx.state, &(item, giver, grantee, purpose)) {
            forget(cx.state, &given);
        }
    }
}

fn expiry(given: &Given) -> (UnixMillis, DataId, IdentityId, IdentityId, u8) {
    let (item, giver, grantee, purpose) = key(given.giver, &given.grant.key);
    (given.grant.expires, item, giver, grantee, purpose)
}

fn forget(state: &mut State<'_>, given: &Given) {
    GRANTS.delete(state, &key(given.giver, &given.grant.key));
    BY_EXPIRY.delete(state, &expiry(given));
    match COUNT.get(state, &given.giver).unwrap_or(0) {
        0 | 1 => COUNT.delete(state, &given.giver),
        count => COUNT.put(state, &given.giver, &count.saturating_sub(1)),
    }
}

fn record(cx: &mut Context<'_, '_>, key: &GrantKey) {
    cx.record.data_id = key.item;
    cx.record.parties.push(key.grantee);
    cx.record.remark = key.purpose.name().into();
}
