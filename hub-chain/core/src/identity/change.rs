//! The changes of standing: by a quorum, but for the rotation of one's own key.

use super::{
    DEVICES, KEYS, PROFILES, Profile, STAKEHOLDERS, What, active_stakeholders, check_form,
    check_owner, enter, known, take_key,
};
use crate::govern::{self, NewIdentity};
use tombolo_crypto::{
    digest::{self, Preimage},
    secp256k1,
};
use tombolo_ledger::{Context, Principal, principal::KEYS_MAX};
use tombolo_types::{
    Address, Hash, Refusal, ensure,
    header::Signature,
    id::{ChainId, IdentityId},
    message::{Role, Status},
    refuse,
};

/// What a new key signs to be taken by an identity of a hub.
///
/// `changes` is the length of the identity's history, so that no proof serves twice.
#[must_use]
pub fn rotation_digest(hub: ChainId, identity: IdentityId, new: Address, changes: u32) -> Hash {
    Preimage::tagged("rotation").word(hub).word(identity).address(new).number(changes).finish()
}

/// Registers an identity. Req: Y4560-7.1.3-1, Y4560-9.2-1
pub(crate) fn register(
    cx: &mut Context<'_, '_>,
    new: &NewIdentity,
    approvers: &[IdentityId],
) -> Result<IdentityId, Refusal> {
    check_form(new)?;
    let id = digest::identity_id(new.key);
    let is_device = Role::Device.is_in(new.roles);
    if is_device {
        check_owner(cx.state, new.owner)?;
    }
    ensure!(PROFILES.get(cx.state, &id).is_none(), State, "identity {id} is registered already");
    if let Some(other) = KEYS.get(cx.state, &new.key) {
        refuse!(State, "key {} is or was one of identity {other}; take a fresh one", new.key);
    }
    take_key(cx.state, new.key, id)?;
    PROFILES.put(cx.state, &id, &Profile { name: new.name.clone(), changes: 0, bindings: 0 });
    if is_device {
        DEVICES.put(cx.state, &(new.owner, id), &());
    }
    if Role::Stakeholder.is_in(new.roles) {
        STAKEHOLDERS.put(cx.state, &id, &());
    }
    let standing = Principal {
        identity: id,
        roles: new.roles,
        status: Status::Active,
        owner: new.owner,
        keys: vec![new.key],
        account: Address::ZERO,
    };
    enter(cx, What::Registered, standing, approvers, None)?;
    Ok(id)
}

/// Changes the status of an identity. Req: Y4560-9.2-2. Attack: A48.
pub(crate) fn set_status(
    cx: &mut Context<'_, '_>,
    id: IdentityId,
    status: Status,
    approvers: &[IdentityId],
) -> Result<(), Refusal> {
    let mut standing = known(cx.state, id)?;
    ensure!(standing.status != status, Replay, "identity {id} is {} already", status.name());
    ensure!(
        standing.status != Status::Revoked,
        State,
        "identity {id} is revoked, which is for ever; register another one"
    );
    if standing.is(Role::Stakeholder) && status != Status::Active {
        let left = active_stakeholders(cx.state).into_iter().filter(|other| *other != id).count();
        let quorum = govern::quorum(cx.state);
        ensure!(
            usize::try_from(quorum).is_ok_and(|quorum| left >= quorum),
            State,
            "without {id} there are {left} active stakeholders, fewer than the quorum of {quorum}; \
             nothing could be approved any more"
        );
    }
    standing.status = status;
    cx.record.remark = format!("{} from height {} on", status.name(), cx.block.height.next());
    enter(cx, What::StatusChanged, standing, approvers, None)
}

/// Gives a device to another owner. Req: Y4560-9.2-2
pub(crate) fn transfer(
    cx: &mut Context<'_, '_>,
    device: IdentityId,
    owner: IdentityId,
    approvers: &[IdentityId],
) -> Result<(), Refusal> {
    check_owner(cx.state, owner)?;
    let mut standing = known(cx.state, device)?;
    ensure!(standing.owner != owner, Replay, "device {device} is owned by {owner} already");
    ensure!(standing.is(Role::Device), State, "identity {device} is no device; it has no owner");
    DEVICES.delete(cx.state, &(standing.owner, device));
    DEVICES.put(cx.state, &(owner, device), &());
    cx.record.parties.push(standing.owner);
    cx.record.parties.push(owner);
    standing.owner = owner;
    enter(cx, What::Transferred, standing, approvers, None)
}

/// Replaces all keys of an identity that has lost its own.
pub(crate) fn replace_keys(
    cx: &mut Context<'_, '_>,
    id: IdentityId,
    keys: Vec<Address>,
    approvers: &[IdentityId],
) -> Result<(), Refusal> {
    ensure!(!keys.is_empty(), Format, "an identity without a key could do nothing; name one");
    let ascending = keys.windows(2).all(|pair| matches!(pair, [a, b] if a < b));
    ensure!(ascending, Format, "the keys do not stand in ascending order, none twice");
    ensure!(
        keys.len() <= KEYS_MAX,
        Limit,
        "{} keys are more than the {KEYS_MAX} that an identity may have",
        keys.len()
    );
    let mut standing = known(cx.state, id)?;
    for key in &keys {
        take_key(cx.state, *key, id)?;
    }
    standing.keys = keys;
    enter(cx, What::KeysReplaced, standing, approvers, None)
}

/// Replaces one of the signer's own keys. Req: Y4560-7.1.3-2
pub(crate) fn rotate_key(
    cx: &mut Context<'_, '_>,
    old: Address,
    new: Address,
    proof: &Signature,
) -> Result<(), Refusal> {
    let id = cx.signer_id();
    let mut standing = known(cx.state, id)?;
    let changes = PROFILES.get(cx.state, &id).map_or(0, |profile| profile.changes);
    secp256k1::verify(rotation_digest(cx.block.chain_id, id, new, changes), proof, new)?;
    ensure!(!standing.keys.contains(&new), Replay, "key {new} is one of {id} already");
    let Some(place) = standing.keys.iter_mut().find(|key| **key == old) else {
        refuse!(State, "key {old} is none of the present keys of {id}");
    };
    *place = new;
    take_key(cx.state, new, id)?;
    enter(cx, What::KeyRotated, standing, &[], None)
}
