//! What each act does once it has its quorum. Every value is validated as if hostile (A62).

use super::{Act, DEVICES_MAX, NewDevice, NewIdentity};
use crate::{Hub, identity, link, policy, schema, swap};
use tombolo_ledger::{Context, validators};
use tombolo_types::{
    Refusal, ensure,
    header::{Validator, ValidatorSet},
    id::IdentityId,
    message::Role,
};

/// Checks what can be seen of an act before anybody approves it.
///
/// # Errors
/// As carrying it out, for the form alone.
pub(super) fn check_form(hub: &Hub, act: &Act) -> Result<(), Refusal> {
    match act {
        Act::RegisterIdentity(new) => identity::check_form(new),
        Act::RegisterDevices(devices) => {
            ensure!(!devices.is_empty(), Format, "the batch holds no device");
            ensure!(
                devices.len() <= DEVICES_MAX,
                Limit,
                "the batch holds {} devices, at most {DEVICES_MAX} are allowed; split it",
                devices.len()
            );
            Ok(())
        }
        Act::RegisterLink(new) => link::check_form(hub, new),
        Act::DeclareChain(new) => swap::check_form(new),
        _ => Ok(()),
    }
}

pub(super) fn carry_out(
    hub: &Hub,
    cx: &mut Context<'_, '_>,
    act: Act,
    approvers: &[IdentityId],
) -> Result<(), Refusal> {
    check_form(hub, &act)?;
    match act {
        Act::RegisterIdentity(new) => identity::register(cx, &new, approvers).map(drop),
        Act::RegisterDevices(devices) => register_devices(cx, devices, approvers),
        Act::SetStatus { identity, status } => {
            identity::set_status(cx, identity, status, approvers)
        }
        Act::TransferDevice { device, owner } => identity::transfer(cx, device, owner, approvers),
        Act::ReplaceKeys { identity, keys } => {
            identity::replace_keys(cx, identity, keys, approvers)
        }
        Act::Rebind { identity, chain, account, account_signature } => {
            identity::rebind(cx, identity, chain, account, &account_signature, approvers)
        }
        Act::RegisterLink(new) => link::register(hub, cx, &new, approvers),
        Act::OpenLink { link } => link::open(cx, link),
        Act::CloseLink { link } => link::close(cx, link),
        Act::ApproveTrust { link, trust_epoch } => link::approve_trust(cx, link, trust_epoch),
        Act::RecoverClient { link, anchor } => link::recover(hub, cx, link, &anchor),
        Act::ReopenLane { link, lane, epoch, received } => {
            link::reopen(cx, link, lane, epoch, received)
        }
        Act::RotateNodes { link, nodes, threshold } => {
            link::rotate_nodes(hub, cx, link, nodes, threshold)
        }
        Act::SetLinkPolicy { link, policy, signatures } => {
            link::set_policy(cx, link, policy, &signatures)
        }
        Act::SetAssetLimit { link, home, asset, per_hour } => {
            link::set_limit(cx, link, (home, asset), per_hour)
        }
        Act::AllowPause { link, identity } => link::allow_pause(cx, link, identity),
        Act::SetSchema { definition } => schema::set(cx, &definition),
        Act::SetPolicy { id, text } => policy::set(cx, &id, &text),
        Act::RemovePolicy { id } => policy::remove(cx, &id),
        Act::SetValidators { validators } => set_validators(cx, validators),
        Act::SetParameter { name, value } => {
            let mut parameters = tombolo_ledger::Parameters::of(cx.state);
            parameters.set(&name, value)?;
            cx.record.remark = format!("{name} = {value} from the next block on");
            parameters.put(cx.state);
            Ok(())
        }
        Act::DeclareChain(new) => {
            swap::declare(cx, *new, approvers);
            Ok(())
        }
    }
}

/// Registers what can be registered; every device that cannot leaves a record with its class.
fn register_devices(
    cx: &mut Context<'_, '_>,
    devices: Vec<NewDevice>,
    approvers: &[IdentityId],
) -> Result<(), Refusal> {
    let (mut done, mut refused) = (0u32, 0u32);
    for NewDevice { key, name, owner } in devices {
        let new = NewIdentity { key, roles: Role::Device.bit(), name, owner };
        let mark = cx.state.mark();
        match identity::register(cx, &new, approvers) {
            Ok(_) => done = done.saturating_add(1),
            Err(refusal) => {
                cx.state.roll_back(mark);
                refused = refused.saturating_add(1);
                let mut record = cx.blank_record();
                record.global_id = cx.record.global_id;
                record.operation = "identity register".into();
                record.outcome = refusal.class as u8;
                record.remark = refusal.message;
                record.parties = vec![tombolo_crypto::digest::identity_id(key), owner];
                let salt = cx.salt;
                cx.append_record(record, salt);
            }
        }
    }
    cx.record.remark = format!("{done} devices registered, {refused} refused");
    Ok(())
}

/// The new set certifies from two heights on: one for its root to stand in a header as the next.
fn set_validators(cx: &mut Context<'_, '_>, members: Vec<Validator>) -> Result<(), Refusal> {
    let set = ValidatorSet { first_height: cx.block.height.next().next(), validators: members };
    validators::put(cx.state, &set, cx.block.height)?;
    cx.record.remark =
        format!("{} validators from height {} on", set.validators.len(), set.first_height);
    Ok(())
}
