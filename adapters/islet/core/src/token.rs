//! Fungible assets that cross ledgers: in escrow at home, as vouchers elsewhere.
//!
//! At home what has left lies in escrow and only what lies there can come back. Away from home a
//! voucher stands for the asset; it is an asset of this ledger like any other, minted when it comes
//! and burnt when it leaves. Req: Y4560-6.3-2

use crate::{account, gateway};
use borsh::{BorshDeserialize, BorshSerialize};
use tombolo_crypto::digest;
use tombolo_ledger::{Context, Table};
use tombolo_types::{
    Address, Amount, Refusal,
    action::{TokenIn, TokenOut},
    ensure,
    id::{AssetId, ChainId},
    refuse,
    store::View,
};

/// What has left and may come back, by asset of this ledger.
const ESCROW: Table<AssetId, Amount> = Table::new(*b"iX");
/// How much of a voucher there is, that which is on its way in included.
const VOUCHERS: Table<AssetId, Amount> = Table::new(*b"iU");

/// An amount as this ledger knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Parcel {
    /// The asset here: itself at home, else its voucher.
    pub asset: AssetId,
    /// Whether this is its home.
    pub at_home: bool,
    /// The account from which it goes, or to which it comes.
    pub account: Address,
    /// How much, in the asset's smallest unit.
    pub amount: Amount,
}

impl Parcel {
    fn of(
        cx: &Context<'_, '_>,
        (home, asset): (ChainId, AssetId),
        account: Address,
        amount: Amount,
    ) -> Self {
        let at_home = home == cx.block.chain_id;
        let asset = if at_home { asset } else { digest::voucher(home, asset) };
        Self { asset, at_home, account, amount }
    }

    /// It is the account's, from now on or again.
    pub(crate) fn credit(&self, cx: &mut Context<'_, '_>) {
        account::credit(cx, self.account, self.asset, self.amount);
    }

    /// It is elsewhere, from now on or still: in escrow at home, and else it is not.
    pub(crate) fn retire(&self, cx: &mut Context<'_, '_>) {
        if self.at_home {
            // The supply at home fits, and what is in escrow is part of it.
            let there = escrow(cx.state, self.asset).saturating_add(self.amount.0);
            ESCROW.put(cx.state, &self.asset, &there);
        } else {
            // What is burnt was counted when it was minted.
            let rest = Amount(vouchers(cx.state, self.asset).0.saturating_sub(self.amount.0));
            put(cx, &VOUCHERS, self.asset, rest);
        }
    }
}

fn put(cx: &mut Context<'_, '_>, table: &Table<AssetId, Amount>, asset: AssetId, amount: Amount) {
    match amount {
        Amount::ZERO => table.delete(cx.state, &asset),
        amount => table.put(cx.state, &asset, &amount),
    }
}

/// How much of an asset of this ledger has left it.
pub(crate) fn escrow(view: &dyn View, asset: AssetId) -> Amount {
    ESCROW.get(view, &asset).unwrap_or_default()
}

/// How much of a voucher there is here.
pub(crate) fn vouchers(view: &dyn View, asset: AssetId) -> Amount {
    VOUCHERS.get(view, &asset).unwrap_or_default()
}

/// Takes what shall leave out of its account.
///
/// # Errors
/// `E_FORMAT`, `E_IDENT` on a view of identities that is too old, `E_FUNDS`.
pub(crate) fn export(cx: &mut Context<'_, '_>, action: &TokenOut) -> Result<Parcel, Refusal> {
    let TokenOut { home, asset, from, amount, to_chain } = *action;
    ensure!(
        to_chain != cx.block.chain_id,
        Format,
        "asset {asset} would move to chain {to_chain}, on which it is; pay instead"
    );
    ensure!(amount.0 > 0, Format, "0 of asset {asset} are nothing to move; leave it out");
    gateway::ensure_fresh_view(cx)?;
    let parcel = Parcel::of(cx, (home, asset), from, amount);
    account::debit(cx, from, parcel.asset, amount)?;
    Ok(parcel)
}

/// Reserves what shall come: out of escrow, or room among the vouchers.
///
/// # Errors
/// `E_FORMAT`, `E_FUNDS` where less is in escrow, `E_LIMIT` where there would be more vouchers
/// than can be counted.
pub(crate) fn import(cx: &mut Context<'_, '_>, action: &TokenIn) -> Result<Parcel, Refusal> {
    let TokenIn { home, asset, from_chain, to, amount } = *action;
    ensure!(
        from_chain != cx.block.chain_id,
        Format,
        "asset {asset} would move from chain {from_chain}, which is this one"
    );
    account::check_payment(to, amount)?;
    let parcel = Parcel::of(cx, (home, asset), to, amount);
    if parcel.at_home {
        let there = escrow(cx.state, asset);
        let Some(rest) = there.checked_sub(amount.0) else {
            refuse!(
                Funds,
                "{there} of asset {asset} have left this ledger, so {amount} cannot come back"
            );
        };
        put(cx, &ESCROW, asset, rest);
    } else {
        let Some(sum) = vouchers(cx.state, parcel.asset).checked_add(amount.0) else {
            refuse!(Limit, "there would be more than 2^128 - 1 of voucher {}", parcel.asset);
        };
        put(cx, &VOUCHERS, parcel.asset, sum);
    }
    Ok(parcel)
}
