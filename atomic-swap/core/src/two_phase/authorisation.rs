//! Which accounts a branch takes from, and whether exactly those are authorised.
//!
//! Hub and gateway ask the same question; only the gateway, which knows the keys, also checks the
//! signatures.

use std::collections::BTreeSet;
use tombolo_types::{
    Address, Refusal,
    action::{Action, Authorisation},
    ensure,
};

/// The accounts from which the actions take, in ascending order.
fn takers(actions: &[Action]) -> BTreeSet<Address> {
    actions.iter().filter_map(Action::takes_from).collect()
}

/// Checks that no authorisation of this branch is there twice or for nothing.
///
/// # Errors
/// `E_FORMAT`: a surplus signature says nothing that is used, and would let the same transaction
/// be spelled in many ways.
pub(super) fn check_no_surplus(
    index: u32,
    actions: &[Action],
    authorisations: &[&Authorisation],
) -> Result<(), Refusal> {
    let takers = takers(actions);
    let mut seen = BTreeSet::new();
    for authorisation in authorisations {
        let account = authorisation.account;
        ensure!(
            takers.contains(&account),
            Format,
            "branch {index} takes nothing from account {account}, which authorises it; leave the \
             authorisation out"
        );
        ensure!(
            seen.insert(account),
            Format,
            "account {account} authorises branch {index} twice; leave one authorisation out"
        );
    }
    Ok(())
}

/// Checks that every account from which this branch takes is among the authorisations.
///
/// # Errors
/// `E_AUTH` for the lowest account that is not.
pub(super) fn check_none_missing(
    index: u32,
    actions: &[Action],
    authorisations: &[&Authorisation],
) -> Result<(), Refusal> {
    for account in takers(actions) {
        ensure!(
            authorisations.iter().any(|given| given.account == account),
            Auth,
            "branch {index} takes from account {account}, which does not authorise it; let its \
             owner sign"
        );
    }
    Ok(())
}
