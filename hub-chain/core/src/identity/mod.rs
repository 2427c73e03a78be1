//! Identities: who they are, which keys speak for them, and how that came about.
//!
//! Every change is an [`Entry`] of the identity's history, which is never shortened: a record of
//! any age resolves to the party and the keys of its time. A change holds from the next height
//! on: the kit's table of principals is written at the beginning of the next block, and the
//! linked chains are told there (Spec: design, identity on gateways). Keys and accounts are
//! reserved at once, so that two changes of one block cannot take the same one.

mod binding;
mod change;

pub use binding::{Binding, account_on, accounts, identity_of_account};
pub(crate) use binding::{bind, bound_on, rebind};
pub use change::rotation_digest;
pub(crate) use change::{register, replace_keys, rotate_key, set_status, transfer};

use crate::{commit, govern::NewIdentity, link};
use borsh::{BorshDeserialize, BorshSerialize};
use tombolo_crypto::digest;
use tombolo_ledger::{Context, Principal, State, Table};
use tombolo_types::{
    Address, Height, Refusal, UnixMillis, ensure,
    header::Genesis,
    id::{ChainId, IdentityId, TxId},
    message::{Role, Status},
    refuse,
    store::View,
};

/// The longest name, in bytes.
pub const NAME_BYTES_MAX: usize = 64;
/// The most changes that an identity may make by itself; a quorum is not bound by it.
pub const OWN_CHANGES_MAX: u32 = 10_000;

/// What changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum What {
    /// The identity began.
    Registered,
    /// It became active, suspended or revoked.
    StatusChanged,
    /// The device got another owner.
    Transferred,
    /// It replaced a key itself.
    KeyRotated,
    /// A quorum replaced its keys.
    KeysReplaced,
    /// It bound an account.
    AccountBound,
    /// A quorum bound another account.
    AccountRebound,
}

/// One change of an identity. Req: Y4560-7.1.3-1, Y4560-7.1.3-2
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Entry {
    /// What changed.
    pub what: What,
    /// The height from which it holds.
    pub since: Height,
    /// Block time of the change.
    pub time: UnixMillis,
    /// The transaction; zero for genesis.
    pub tx_id: TxId,
    /// Who approved it; empty where the identity acted itself, or for genesis.
    pub approvers: Vec<IdentityId>,
    /// All of its standing from then on.
    pub standing: Principal,
    /// The account that was bound.
    pub account: Option<(ChainId, Address)>,
}

/// What is kept of an identity besides its standing.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Profile {
    /// For people.
    pub name: String,
    /// How many entries its history has.
    pub changes: u32,
    /// How many bindings it has made; the nonce of the next.
    pub bindings: u64,
}

const PROFILES: Table<IdentityId, Profile> = Table::new(*b"hI");
const HISTORY: Table<(IdentityId, u32), Entry> = Table::new(*b"hH");
const DEVICES: Table<(IdentityId, IdentityId), ()> = Table::new(*b"hD");
/// Whose every key is, or ever was: a key never changes hands.
const KEYS: Table<Address, IdentityId> = Table::new(*b"hK");
const STAKEHOLDERS: Table<IdentityId, ()> = Table::new(*b"hT");
/// Changed in the block before, applied at the beginning of the next; and whether the change ends
/// what the identity has begun.
const PENDING: Table<IdentityId, bool> = Table::new(*b"hN");

/// What is kept of an identity besides its standing.
pub fn profile(view: &dyn View, id: IdentityId) -> Option<Profile> {
    PROFILES.get(view, &id)
}

/// Every change of an identity, from the entry `from` on.
pub fn history(view: &dyn View, id: IdentityId, from: u32, limit: usize) -> Vec<Entry> {
    HISTORY.under_from(view, &id, &(id, from), limit).into_iter().map(|(_, entry)| entry).collect()
}

/// The identity as it stood at a height. Req: Y4560-7.1.3-2
pub fn resolve(view: &dyn View, id: IdentityId, height: Height) -> Option<Entry> {
    let entries = history(view, id, 0, usize::MAX);
    entries.into_iter().rev().find(|entry| entry.since <= height)
}

/// The identity as it stands once all changes so far hold.
pub fn newest(view: &dyn View, id: IdentityId) -> Option<Principal> {
    let last = PROFILES.get(view, &id)?.changes.checked_sub(1)?;
    HISTORY.get(view, &(id, last)).map(|entry| entry.standing)
}

/// The identity whose key this is or was.
pub fn identity_of_key(view: &dyn View, key: Address) -> Option<IdentityId> {
    KEYS.get(view, &key)
}

/// The devices of an owner, from `from` on. Req: Y4560-9.2-1
pub fn devices(
    view: &dyn View,
    owner: IdentityId,
    from: IdentityId,
    limit: usize,
) -> Vec<IdentityId> {
    DEVICES
        .under_from(view, &owner, &(owner, from), limit)
        .into_iter()
        .map(|((_, device), ())| device)
        .collect()
}

/// Every stakeholder whose newest standing is active.
pub fn active_stakeholders(view: &dyn View) -> Vec<IdentityId> {
    let all = STAKEHOLDERS.all(view, usize::MAX).into_iter().map(|(id, ())| id);
    all.filter(|id| newest(view, *id).is_some_and(|found| found.is_active())).collect()
}

/// Refuses what no identity may be, whatever the state.
///
/// # Errors
/// `E_FORMAT`.
pub(crate) fn check_form(new: &NewIdentity) -> Result<(), Refusal> {
    let known = Role::ALL.iter().fold(0, |bits, role| bits | role.bit());
    ensure!(
        new.roles != 0 && new.roles & !known == 0,
        Format,
        "roles {:#x} are none, or hold unknown bits beside {known:#x}",
        new.roles
    );
    let is_device = Role::Device.is_in(new.roles);
    ensure!(
        !is_device || new.roles == Role::Device.bit(),
        Format,
        "a device is nothing besides, its roles are {:#x}",
        new.roles
    );
    ensure!(
        is_device != new.owner.is_zero(),
        Format,
        "a device names its owner and nobody else does; the owner is {}",
        new.owner
    );
    ensure!(!new.key.is_zero(), Format, "the zero address is nobody's key");
    let printable = new.name.bytes().all(|byte| (0x20..0x7f).contains(&byte));
    ensure!(
        printable && (1..=NAME_BYTES_MAX).contains(&new.name.len()),
        Format,
        "a name is 1 to {NAME_BYTES_MAX} printable ASCII characters"
    );
    Ok(())
}

/// Lays the identities of genesis into the tables of this module; the kit has its own already.
pub(crate) fn genesis(cx: &mut Context<'_, '_>, genesis: &Genesis) -> Result<(), Refusal> {
    for found in &genesis.identities {
        let new = NewIdentity {
            key: found.key,
            roles: found.roles,
            name: found.name.clone(),
            owner: IdentityId::ZERO,
        };
        check_form(&new)?;
        let id = digest::identity_id(found.key);
        ensure!(
            PROFILES.get(cx.state, &id).is_none(),
            Format,
            "genesis names the key {} twice",
            found.key
        );
        let Some(mut standing) = Principal::of(cx.state, id) else {
            refuse!(Format, "genesis identity {id} was not laid");
        };
        // Accounts are bound per chain; a hub holds none itself.
        standing.account = Address::ZERO;
        standing.put(cx.state);
        KEYS.put(cx.state, &found.key, &id);
        let entry = Entry {
            what: What::Registered,
            since: Height::ZERO,
            time: cx.block.time,
            tx_id: TxId::ZERO,
            approvers: Vec::new(),
            standing,
            account: None,
        };
        if Role::Stakeholder.is_in(found.roles) {
            STAKEHOLDERS.put(cx.state, &id, &());
        }
        HISTORY.put(cx.state, &(id, 0), &entry);
        let profile = Profile { name: new.name, changes: 1, bindings: 0 };
        PROFILES.put(cx.state, &id, &profile);
    }
    Ok(())
}

/// Applies the changes of the block before: keys and standing, undecided commits, linked chains.
pub(crate) fn begin_block(cx: &mut Context<'_, '_>) {
    for (id, ends) in PENDING.all(cx.state, usize::MAX) {
        PENDING.delete(cx.state, &id);
        let Some(standing) = newest(cx.state, id) else { continue };
        standing.put(cx.state);
        if ends {
            commit::doom_identity(cx.state, id);
        }
        link::owe_identity(cx.state, id);
    }
}

/// Adds an entry to the history of `standing`'s identity; it holds from the next height on.
fn enter(
    cx: &mut Context<'_, '_>,
    what: What,
    standing: Principal,
    approvers: &[IdentityId],
    account: Option<(ChainId, Address)>,
) -> Result<(), Refusal> {
    let id = standing.identity;
    let Some(mut profile) = PROFILES.get(cx.state, &id) else {
        refuse!(NotFound, "identity {id} is not known");
    };
    ensure!(
        !approvers.is_empty() || profile.changes < OWN_CHANGES_MAX,
        Limit,
        "identity {id} has made {OWN_CHANGES_MAX} changes; further ones take a quorum"
    );
    // Suspended, revoked, or robbed of its keys. Who rotates a key of its own goes on.
    let ends = standing.status != Status::Active || what == What::KeysReplaced;
    let ends = ends || PENDING.get(cx.state, &id).unwrap_or(false);
    let position = profile.changes;
    profile.changes = position.saturating_add(1);
    let entry = Entry {
        what,
        since: cx.block.height.next(),
        time: cx.block.time,
        tx_id: cx.tx_id,
        approvers: approvers.to_vec(),
        standing,
        account,
    };
    PROFILES.put(cx.state, &id, &profile);
    HISTORY.put(cx.state, &(id, position), &entry);
    PENDING.put(cx.state, &id, &ends);
    if !cx.record.parties.contains(&id) {
        cx.record.parties.push(id);
    }
    Ok(())
}

/// Takes a key for an identity; a key never changes hands.
fn take_key(state: &mut State<'_>, key: Address, id: IdentityId) -> Result<(), Refusal> {
    ensure!(!key.is_zero(), Format, "the zero address is nobody's key");
    if let Some(other) = KEYS.get(state, &key) {
        ensure!(
            other == id,
            State,
            "key {key} is or was one of identity {other}; a key never changes hands"
        );
    }
    KEYS.put(state, &key, &id);
    Ok(())
}

/// The newest standing of an identity that must exist.
fn known(view: &dyn View, id: IdentityId) -> Result<Principal, Refusal> {
    match newest(view, id) {
        Some(standing) => Ok(standing),
        None => refuse!(NotFound, "identity {id} is not known; register it first"),
    }
}

/// Checks that `owner` may own devices.
fn check_owner(view: &dyn View, owner: IdentityId) -> Result<(), Refusal> {
    let Some(standing) = newest(view, owner) else {
        refuse!(Ident, "the owner {owner} is not known; register it first");
    };
    ensure!(
        standing.status == Status::Active,
        Ident,
        "the owner {owner} is {}",
        standing.status.name()
    );
    ensure!(
        standing.is(Role::Stakeholder),
        Denied,
        "the owner {owner} is no stakeholder; only stakeholders own devices"
    );
    Ok(())
}
