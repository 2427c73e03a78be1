//! Fungible assets away from home: how much of each is outstanding on each linked chain.
//!
//! A chain's gateway holds in escrow what left it and mints vouchers for what came. The hub counts
//! beside them, so that a chain whose gateway was deceived, or whose council took the law into its
//! own hands, can give away only what its own ledger holds. What a commit takes is taken from the
//! count at Begin and added where it appears, or given back, once that is decided.

use borsh::{BorshDeserialize, BorshSerialize};
use tombolo_ledger::{State, Table};
use tombolo_types::{
    Amount, Refusal,
    action::Action,
    ensure,
    id::{AssetId, ChainId},
    refuse,
    store::View,
};

/// An amount of an asset on its way between two chains.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Transfer {
    /// Where the asset is native.
    pub home: ChainId,
    /// Its id there.
    pub asset: AssetId,
    /// From where.
    pub from: ChainId,
    /// To where.
    pub to: ChainId,
    /// How much, in the asset's smallest unit.
    pub amount: Amount,
}

/// Vouchers on a chain: by chain, home and asset. Absent for none.
const OUTSTANDING: Table<(ChainId, ChainId, AssetId), Amount> = Table::new(*b"hQ");

impl Transfer {
    /// What an action on `chain` lets appear there; `None` for other actions. What leaves is the
    /// other end of the same transfer, and was checked to be as much.
    #[must_use]
    pub(crate) fn of(chain: ChainId, action: &Action) -> Option<Self> {
        let Action::TokenIn(into) = action else { return None };
        Some(Self {
            home: into.home,
            asset: into.asset,
            from: into.from_chain,
            to: chain,
            amount: into.amount,
        })
    }

    /// Takes the amount from what is outstanding where it leaves. What leaves its home is bounded by
    /// what the home ledger takes into escrow.
    ///
    /// # Errors
    /// `E_FUNDS` where less is outstanding; `E_FORMAT` where more would be than can be counted.
    pub(crate) fn take(&self, state: &mut State<'_>) -> Result<(), Refusal> {
        let here = outstanding(state, self.from, self.home, self.asset);
        if self.from != self.home {
            let Some(rest) = here.checked_sub(self.amount.0) else {
                refuse!(
                    Funds,
                    "{} of asset {} of chain {} are outstanding on chain {}, less than {}; no more \
                     can come from there",
                    here,
                    self.asset,
                    self.home,
                    self.from,
                    self.amount
                );
            };
            put(state, self.from, self, rest);
        }
        let there = outstanding(state, self.to, self.home, self.asset);
        ensure!(
            self.to == self.home || there.checked_add(self.amount.0).is_some(),
            Format,
            "more of asset {} would be outstanding on chain {} than 2^128 - 1",
            self.asset,
            self.to
        );
        Ok(())
    }

    /// Gives back what was taken: the commit is aborted.
    pub(crate) fn give_back(&self, state: &mut State<'_>) {
        self.add_to(state, self.from);
    }

    /// Counts what appears: the commit is decided.
    pub(crate) fn complete(&self, state: &mut State<'_>) {
        self.add_to(state, self.to);
    }

    /// All vouchers of one asset together are at most what its home has in escrow, which fits.
    fn add_to(&self, state: &mut State<'_>, chain: ChainId) {
        if chain != self.home {
            let here = outstanding(state, chain, self.home, self.asset);
            put(state, chain, self, here.saturating_add(self.amount.0));
        }
    }
}

/// How much of an asset of `home` is outstanding on `chain`.
pub fn outstanding(view: &dyn View, chain: ChainId, home: ChainId, asset: AssetId) -> Amount {
    OUTSTANDING.get(view, &(chain, home, asset)).unwrap_or_default()
}

/// All that is outstanding, ascending by chain, home and asset, from `from` on.
pub fn list(
    view: &dyn View,
    from: (ChainId, ChainId, AssetId),
    limit: usize,
) -> Vec<((ChainId, ChainId, AssetId), Amount)> {
    OUTSTANDING.range(view, &from, limit)
}

fn put(state: &mut State<'_>, chain: ChainId, transfer: &Transfer, amount: Amount) {
    let key = (chain, transfer.home, transfer.asset);
    match amount {
        Amount::ZERO => OUTSTANDING.delete(state, &key),
        amount => OUTSTANDING.put(state, &key, &amount),
    }
}
