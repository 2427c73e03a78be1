//! Accounts on linked chains: each belongs to one identity, shown by signatures of both keys.

use super::{PROFILES, What, enter, known};
use crate::link;
use borsh::{BorshDeserialize, BorshSerialize};
use tombolo_crypto::{digest, secp256k1};
use tombolo_ledger::{Context, Principal, Table};
use tombolo_types::{
    Address, Class, Hash, Refusal, ensure,
    header::Signature,
    id::{ChainId, IdentityId},
    refuse,
    store::View,
};

/// Binds an account to the signer. Both sign
/// [`binding`](tombolo_crypto::digest::binding) with the number of the identity's bindings so far.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Binding {
    /// The account's chain.
    pub chain: ChainId,
    /// The account.
    pub account: Address,
    /// By a present key of the identity.
    pub identity_signature: Signature,
    /// By the account's key.
    pub account_signature: Signature,
}

const IDENTITY_OF: Table<(ChainId, Address), IdentityId> = Table::new(*b"hA");
const ACCOUNT_ON: Table<(IdentityId, ChainId), BoundAccount> = Table::new(*b"hB");

/// An account with what its key signed, which the account's chain checks for itself.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct BoundAccount {
    /// The account.
    pub(crate) account: Address,
    /// The number of the identity's bindings when this one was signed.
    pub(crate) nonce: u64,
    /// By the account's key.
    pub(crate) account_signature: Signature,
}

/// The identity to which an account is bound.
pub fn identity_of_account(
    view: &dyn View,
    chain: ChainId,
    account: Address,
) -> Option<IdentityId> {
    IDENTITY_OF.get(view, &(chain, account))
}

/// The account of an identity on a chain.
pub fn account_on(view: &dyn View, id: IdentityId, chain: ChainId) -> Option<Address> {
    bound_on(view, id, chain).map(|bound| bound.account)
}

/// The account of an identity on a chain, with its proof.
pub(crate) fn bound_on(view: &dyn View, id: IdentityId, chain: ChainId) -> Option<BoundAccount> {
    ACCOUNT_ON.get(view, &(id, chain))
}

/// All accounts of an identity: one for each chain at most. Req: Y4560-7.2.2-1
pub fn accounts(view: &dyn View, id: IdentityId, limit: usize) -> Vec<(ChainId, Address)> {
    ACCOUNT_ON
        .under(view, &id, limit)
        .into_iter()
        .map(|((_, chain), bound)| (chain, bound.account))
        .collect()
}

/// Binds an account to the signer. Req: Y4560-7.2.2-1. Attack: A47.
pub(crate) fn bind(cx: &mut Context<'_, '_>, binding: &Binding) -> Result<(), Refusal> {
    let Binding { chain, account, identity_signature, account_signature } = binding;
    let standing = known(cx.state, cx.signer_id())?;
    let id = standing.identity;
    let nonce = nonce(cx.state, id);
    let digest = digest::binding(cx.block.chain_id, *chain, *account, id, nonce);
    let key = secp256k1::recover(digest, identity_signature)?;
    ensure!(
        standing.keys.contains(&key),
        Auth,
        "the binding is signed by {key}, which is none of the present keys of {id}"
    );
    check_account_key(digest, account_signature, *account)?;
    if let Some(present) = account_on(cx.state, id, *chain) {
        ensure!(present != *account, Replay, "account {account} is bound to {id} already");
        refuse!(
            Quorum,
            "{id} has account {present} on chain {chain}; another one takes a quorum, propose it"
        );
    }
    check_free(cx, *chain, *account)?;
    let bound = BoundAccount { account: *account, nonce, account_signature: *account_signature };
    enter_account(cx, standing, *chain, &bound, &[])
}

/// Binds another account to an identity that has lost its own. Req: D35-8.1-2
pub(crate) fn rebind(
    cx: &mut Context<'_, '_>,
    id: IdentityId,
    chain: ChainId,
    account: Address,
    account_signature: &Signature,
    approvers: &[IdentityId],
) -> Result<(), Refusal> {
    let standing = known(cx.state, id)?;
    let nonce = nonce(cx.state, id);
    let digest = digest::binding(cx.block.chain_id, chain, account, id, nonce);
    check_account_key(digest, account_signature, account)?;
    check_free(cx, chain, account)?;
    if let Some(before) = account_on(cx.state, id, chain) {
        IDENTITY_OF.delete(cx.state, &(chain, before));
    }
    let bound = BoundAccount { account, nonce, account_signature: *account_signature };
    enter_account(cx, standing, chain, &bound, approvers)
}

/// The nonce of the identity's next binding.
fn nonce(view: &dyn View, id: IdentityId) -> u64 {
    PROFILES.get(view, &id).map_or(0, |profile| profile.bindings)
}

fn check_account_key(digest: Hash, signature: &Signature, account: Address) -> Result<(), Refusal> {
    secp256k1::verify(digest, signature, account).map_err(|error| {
        Refusal::new(
            Class::Auth,
            format!("the binding is not signed by the key of account {account}: {error}"),
        )
    })
}

fn check_free(cx: &Context<'_, '_>, chain: ChainId, account: Address) -> Result<(), Refusal> {
    ensure!(
        link::is_registered(cx.state, chain),
        NotFound,
        "no link to chain {chain} is registered; register it first"
    );
    if let Some(other) = IDENTITY_OF.get(cx.state, &(chain, account)) {
        refuse!(State, "account {account} on chain {chain} is bound to identity {other}");
    }
    Ok(())
}

fn enter_account(
    cx: &mut Context<'_, '_>,
    standing: Principal,
    chain: ChainId,
    bound: &BoundAccount,
    approvers: &[IdentityId],
) -> Result<(), Refusal> {
    let (id, account) = (standing.identity, bound.account);
    if let Some(mut profile) = PROFILES.get(cx.state, &id) {
        profile.bindings = profile.bindings.saturating_add(1);
        PROFILES.put(cx.state, &id, &profile);
    }
    IDENTITY_OF.put(cx.state, &(chain, account), &id);
    ACCOUNT_ON.put(cx.state, &(id, chain), bound);
    cx.record.destination_chain = chain;
    let what = if approvers.is_empty() { What::AccountBound } else { What::AccountRebound };
    enter(cx, what, standing, approvers, Some((chain, account)))
}
