//! Accounts and what they hold. Nothing is minted after genesis and nothing is burnt.

use std::collections::BTreeMap;
use tombolo_ledger::{Context, Table};
use tombolo_types::{
    Address, Amount, Refusal, ensure, header::Genesis, id::AssetId, refuse, store::View,
};

/// What an account holds; absent for nothing.
const BALANCES: Table<(Address, AssetId), Amount> = Table::new(*b"iB");

/// Lays the first balances, and binds the accounts of the first identities.
pub(crate) fn lay(cx: &mut Context<'_, '_>, genesis: &Genesis) -> Result<(), Refusal> {
    let mut supply: BTreeMap<AssetId, Amount> = BTreeMap::new();
    for given in &genesis.balances {
        ensure!(
            !given.account.is_zero() && !given.asset.is_zero() && given.amount.0 > 0,
            Format,
            "the balance {} of asset {} for account {} is nothing; leave it out",
            given.amount,
            given.asset,
            given.account
        );
        let sum = supply.entry(given.asset).or_default();
        // Every later sum of balances is at most the supply, so no credit can overflow.
        let Some(more) = sum.checked_add(given.amount.0) else {
            refuse!(Format, "the balances of asset {} add up to more than 2^128 - 1", given.asset);
        };
        *sum = more;
        credit(cx, given.account, given.asset, given.amount);
    }
    for identity in &genesis.identities {
        crate::identity::bind_at_genesis(cx, identity.key);
    }
    Ok(())
}

/// What an account holds of an asset.
pub(crate) fn balance(view: &dyn View, account: Address, asset: AssetId) -> Amount {
    BALANCES.get(view, &(account, asset)).unwrap_or_default()
}

/// Adds to an account. The supply of each asset fits, so the sum does, too.
pub(crate) fn credit(cx: &mut Context<'_, '_>, account: Address, asset: AssetId, amount: Amount) {
    let sum = balance(cx.state, account, asset).saturating_add(amount.0);
    set(cx, account, asset, sum);
}

/// Takes from an account.
///
/// # Errors
/// `E_FUNDS` where it holds less.
pub(crate) fn debit(
    cx: &mut Context<'_, '_>,
    account: Address,
    asset: AssetId,
    amount: Amount,
) -> Result<(), Refusal> {
    let held = balance(cx.state, account, asset);
    let Some(rest) = held.checked_sub(amount.0) else {
        refuse!(
            Funds,
            "account {account} holds {held} of asset {asset}, less than {amount}; pay less or wait \
             for what is in escrow"
        );
    };
    set(cx, account, asset, rest);
    Ok(())
}

fn set(cx: &mut Context<'_, '_>, account: Address, asset: AssetId, amount: Amount) {
    match amount {
        Amount::ZERO => BALANCES.delete(cx.state, &(account, asset)),
        amount => BALANCES.put(cx.state, &(account, asset), &amount),
    }
}

/// `E_FORMAT` for a payment of nothing or to nobody.
pub(crate) fn check_payment(to: Address, amount: Amount) -> Result<(), Refusal> {
    ensure!(amount.0 > 0, Format, "a payment of 0 to {to} pays nothing; leave it out");
    ensure!(
        !to.is_zero(),
        Format,
        "a payment of {amount} to the zero address is lost; name a payee"
    );
    Ok(())
}

/// Pays from the signer's account.
///
/// # Errors
/// `E_FORMAT`, `E_NOTFOUND` where the signer has no account here, `E_FUNDS`.
pub(crate) fn pay(
    cx: &mut Context<'_, '_>,
    to: Address,
    asset: AssetId,
    amount: Amount,
) -> Result<(), Refusal> {
    cx.record.operation = "pay".into();
    check_payment(to, amount)?;
    let from = cx.signer.as_ref().map_or(Address::ZERO, |signer| signer.account);
    ensure!(
        !from.is_zero(),
        NotFound,
        "identity {} has no account on this ledger; bind one on the hub",
        cx.signer_id()
    );
    if let Some(payee) = crate::identity::of_account(cx.state, to) {
        cx.record.parties.push(payee);
    }
    debit(cx, from, asset, amount)?;
    credit(cx, to, asset, amount);
    Ok(())
}

/// All holdings of one account.
pub(crate) fn of_account(view: &dyn View, account: Address) -> Vec<(AssetId, Amount)> {
    BALANCES
        .under(view, &account, usize::MAX)
        .into_iter()
        .map(|((_, asset), amount)| (asset, amount))
        .collect()
}

/// At most `limit` holdings, from account and asset `from` on.
pub(crate) fn list(
    view: &dyn View,
    from: (Address, AssetId),
    limit: usize,
) -> Vec<((Address, AssetId), Amount)> {
    BALANCES.range(view, &from, limit)
}
