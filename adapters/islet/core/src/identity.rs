//! Identities as the hub says they stand, and the accounts bound to them.
//!
//! Keys and status are the hub's word. A binding is not: the account's own key has signed it, and
//! that signature is checked here, so that a hub that colludes cannot bind what is not its own.
//!
//! The hub's word wins over genesis, too. Were a genesis key exempt, an operator's or relayer's
//! key that is lost could never be revoked here. Only the account of a genesis identity stays
//! where the hub binds none: it is the address of the identity's own first key, so the binding
//! proves itself.

use crate::gateway;
use tombolo_crypto::{digest, secp256k1};
use tombolo_ledger::{Context, Principal, Table, principal::KEYS_MAX};
use tombolo_types::{
    Address, Class, Height, Refusal, ensure,
    header::Signature,
    id::IdentityId,
    message::{IdentityUpdate, Status},
    refuse,
    store::View,
};

/// Whose account it is.
const ACCOUNTS: Table<Address, IdentityId> = Table::new(*b"iA");
/// Every key that an identity has or had here, with the hub height from which it had it: items
/// outlive keys. Req: Y4560-7.1.3-2
const KEYS: Table<(IdentityId, Address), Height> = Table::new(*b"iK");

/// The newest nonce of an identity's bindings here, so that a former binding does not come back.
const NONCES: Table<IdentityId, u64> = Table::new(*b"iE");

/// Binds an account that proves itself, at genesis.
pub(crate) fn bind_at_genesis(cx: &mut Context<'_, '_>, key: Address) {
    ACCOUNTS.put(cx.state, &key, &digest::identity_id(key));
}

/// The identity to which an account is bound.
pub(crate) fn of_account(view: &dyn View, account: Address) -> Option<IdentityId> {
    ACCOUNTS.get(view, &account)
}

/// The keys that sign for an account besides its own: those of the active identity it is bound to.
pub(crate) fn keys_of_account(view: &dyn View, account: Address) -> Vec<Address> {
    of_account(view, account)
        .and_then(|identity| Principal::of(view, identity))
        .filter(|principal| principal.is_active() && principal.account == account)
        .map_or_else(Vec::new, |principal| principal.keys)
}

/// Whether the key is, or ever was, one of an identity known here; `None` where it is not known.
pub(crate) fn ever_had(view: &dyn View, identity: IdentityId, key: Address) -> Option<bool> {
    let principal = Principal::of(view, identity)?;
    Some(principal.keys.contains(&key) || KEYS.has(view, &(identity, key)))
}

/// Takes the present standing of an identity from the hub.
pub(crate) fn take_update(
    cx: &mut Context<'_, '_>,
    update: &IdentityUpdate,
) -> Result<(), Refusal> {
    let identity = update.identity;
    cx.record.parties = vec![identity];
    let Some(status) = Status::from_number(update.status) else {
        refuse!(Format, "identity {identity} has status {}, which is none", update.status);
    };
    ensure!(!identity.is_zero(), Format, "the zero identity is nobody's");
    ensure!(
        update.keys.iter().all(|key| !key.is_zero()),
        Format,
        "identity {identity} has the zero address as a key"
    );
    ensure!(
        update.keys.len() <= KEYS_MAX,
        Limit,
        "identity {identity} has {} keys, at most {KEYS_MAX} are kept",
        update.keys.len()
    );
    let known = Principal::of(cx.state, identity);
    let was_revoked = known.as_ref().is_some_and(|known| known.status == Status::Revoked);
    ensure!(
        !was_revoked || status == Status::Revoked,
        State,
        "identity {identity} was revoked, which is for ever; register a new one"
    );
    check_binding(cx, update)?;
    let account = bind(cx, update, known.as_ref());
    for key in &update.keys {
        if !KEYS.has(cx.state, &(identity, *key)) {
            KEYS.put(cx.state, &(identity, *key), &update.since);
        }
    }
    // The keys that genesis gave were held from the beginning.
    for key in known.iter().flat_map(|known| &known.keys) {
        if !KEYS.has(cx.state, &(identity, *key)) {
            KEYS.put(cx.state, &(identity, *key), &Height::ZERO);
        }
    }
    Principal {
        identity,
        roles: update.roles,
        status,
        owner: update.owner,
        keys: update.keys.clone(),
        account,
    }
    .put(cx.state);
    cx.record.remark = format!("{} from hub height {}", status.name(), update.since);
    Ok(())
}

/// Refuses a binding that the account's key has not signed, or one older than the newest taken.
///
/// Req: Y4560-7.2.2-1. Attack: A47.
fn check_binding(cx: &mut Context<'_, '_>, update: &IdentityUpdate) -> Result<(), Refusal> {
    let IdentityUpdate { identity, account, binding_nonce: nonce, account_signature, .. } = update;
    if account.is_zero() {
        ensure!(
            *nonce == 0 && *account_signature == Signature::NONE,
            Format,
            "identity {identity} has no account, yet binding nonce {nonce} or a signature of one"
        );
        return Ok(());
    }
    let (gateway, _) = gateway::own(cx.state)?;
    let digest = digest::binding(gateway.hub, cx.block.chain_id, *account, *identity, *nonce);
    secp256k1::verify(digest, account_signature, *account).map_err(|error| {
        Refusal::new(
            Class::Auth,
            format!(
                "the binding of account {account} to identity {identity} is not signed by the \
                 account's key: {error}"
            ),
        )
    })?;
    let newest = NONCES.get(cx.state, identity).unwrap_or(0);
    ensure!(
        *nonce >= newest,
        Replay,
        "binding {nonce} of identity {identity} is older than {newest}, which was taken"
    );
    NONCES.put(cx.state, identity, nonce);
    Ok(())
}

/// The account from now on. An account has one identity: whoever had it before loses it.
fn bind(cx: &mut Context<'_, '_>, update: &IdentityUpdate, known: Option<&Principal>) -> Address {
    let before = known.map_or(Address::ZERO, |known| known.account);
    let proves_itself = digest::identity_id(before) == update.identity
        && of_account(cx.state, before) == Some(update.identity);
    let account = match update.account {
        Address::ZERO if proves_itself => before,
        account => account,
    };
    if account == before {
        return account;
    }
    if !before.is_zero() {
        ACCOUNTS.delete(cx.state, &before);
    }
    if !account.is_zero() {
        if let Some(other) = of_account(cx.state, account)
            && let Some(mut other) = Principal::of(cx.state, other)
        {
            other.account = Address::ZERO;
            other.put(cx.state);
        }
        ACCOUNTS.put(cx.state, &account, &update.identity);
    }
    account
}
