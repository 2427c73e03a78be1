//! What a chain can do and how its clock runs, as a quorum has agreed.

use borsh::{BorshDeserialize, BorshSerialize};
use std::collections::BTreeSet;
use tombolo_ledger::{Context, Table};
use tombolo_swap::{htlc::Profile, protocol::Locking};
use tombolo_types::{
    Height, Refusal, ensure,
    id::{ChainId, IdentityId},
    store::View,
};

/// No figure of a profile is longer, in milliseconds: ninety days.
const LONGEST_MS: u64 = 90 * 24 * 60 * 60 * 1_000;

/// What a chain declares: how it can lock, and within which bounds its clock and blocks stay.
///
/// Parties stake their funds on these bounds, so they take a quorum. A chain need not be linked.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ChainDeclaration {
    /// The chain.
    pub chain: ChainId,
    /// How it can lock; empty takes back what was declared.
    pub locking: BTreeSet<Locking>,
    /// Its worst cases.
    pub profile: Profile,
}

/// A declaration in force.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Declared {
    /// What holds.
    pub declaration: ChainDeclaration,
    /// Since when.
    pub height: Height,
    /// Who approved it.
    pub approvers: Vec<IdentityId>,
}

const DECLARED: Table<ChainId, Declared> = Table::new(*b"h5");

pub(super) fn declared(view: &dyn View, chain: ChainId) -> Option<Declared> {
    DECLARED.get(view, &chain)
}

pub(super) fn all(view: &dyn View, from: ChainId, limit: usize) -> Vec<Declared> {
    DECLARED.range(view, &from, limit).into_iter().map(|(_, declared)| declared).collect()
}

/// Refuses a profile that no chain can have.
///
/// # Errors
/// `E_FORMAT`.
pub(crate) fn check_form(new: &ChainDeclaration) -> Result<(), Refusal> {
    let Profile { block_ms_fastest, block_ms_slowest, inclusion_ms, .. } = new.profile;
    ensure!(!new.chain.is_zero(), Format, "the declaration names no chain");
    ensure!(
        0 < block_ms_fastest && block_ms_fastest <= block_ms_slowest,
        Format,
        "blocks come every {block_ms_fastest} ms at the fastest and {block_ms_slowest} ms at the \
         slowest; the first must be above 0 and not above the second"
    );
    ensure!(
        block_ms_slowest <= inclusion_ms,
        Format,
        "a transaction is in a block after {inclusion_ms} ms, and a block may take \
         {block_ms_slowest} ms; name a longer inclusion"
    );
    let Profile { time_lag_ms, skew_ms, finality_ms, .. } = new.profile;
    for (what, ms) in [
        ("inclusion", inclusion_ms),
        ("time lag", time_lag_ms),
        ("skew", skew_ms),
        ("finality", finality_ms),
    ] {
        ensure!(ms <= LONGEST_MS, Format, "{what}: {ms} ms are above {LONGEST_MS} ms");
    }
    Ok(())
}

/// Puts a declaration in force. Orders that are open keep to what they were checked by.
pub(crate) fn declare(
    cx: &mut Context<'_, '_>,
    declaration: ChainDeclaration,
    approvers: &[IdentityId],
) {
    let chain = declaration.chain;
    cx.record.destination_chain = chain;
    cx.record.remark =
        format!("chain {chain} can lock by {:?}", declaration.locking).to_lowercase();
    let (height, approvers) = (cx.block.height, approvers.to_vec());
    DECLARED.put(cx.state, &chain, &Declared { declaration, height, approvers });
}
