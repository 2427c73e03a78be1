//! What leaves must appear, and what appears must leave: items one by one, assets by amount.

use std::collections::{BTreeMap, BTreeSet};
use tombolo_types::{
    Refusal,
    action::{Action, Branch},
    ensure,
    id::{AssetId, ChainId, DataId, LinkId},
    refuse,
};

/// Where in the transaction something happens to an item, and the other chain that is named.
#[derive(Clone, Copy)]
struct End {
    branch: usize,
    other: ChainId,
}

/// What happens to one item.
#[derive(Default)]
struct Moved {
    leaves: Vec<End>,
    appears: Vec<End>,
    /// Branches; several writes in one are for its gateway to judge.
    written: BTreeSet<usize>,
}

/// What happens to each item over all branches. Attack: A45.
pub(super) struct Moves(BTreeMap<DataId, Moved>);

impl Moves {
    pub(super) fn of(actions: &[Vec<Action>]) -> Self {
        let mut moves: BTreeMap<DataId, Moved> = BTreeMap::new();
        for (branch, actions) in actions.iter().enumerate() {
            for action in actions {
                match action {
                    Action::MoveOut(out) => {
                        let end = End { branch, other: out.to_chain };
                        moves.entry(out.item).or_default().leaves.push(end);
                    }
                    Action::MoveIn(into) => {
                        let end = End { branch, other: into.from_chain };
                        moves.entry(into.item).or_default().appears.push(end);
                    }
                    Action::Write(write) => {
                        moves.entry(write.item).or_default().written.insert(branch);
                    }
                    Action::Pay(_) | Action::Call(_) | Action::TokenOut(_) | Action::TokenIn(_) => {
                    }
                }
            }
        }
        Self(moves)
    }

    /// `E_FORMAT`: an item that leaves must leave once and appear in another branch, each end
    /// must name the other's chain, nothing else may happen to it, and what stays lives on one chain.
    pub(super) fn check_paired(
        &self,
        branches: &[Branch],
        chain_of: &impl Fn(LinkId) -> Option<ChainId>,
    ) -> Result<(), Refusal> {
        let is_chain_of = |branch: usize, chain: ChainId| {
            // A link that is not known is refused with its own class later.
            let known = branches.get(branch).and_then(|branch| chain_of(branch.link));
            known.is_none_or(|known| known == chain)
        };
        for (item, moved) in &self.0 {
            let stays = moved.leaves.is_empty() && moved.appears.is_empty();
            ensure!(
                stays || moved.written.is_empty(),
                Format,
                "item {item} is both moved and written; do one after the other"
            );
            ensure!(
                moved.written.len() <= 1,
                Format,
                "item {item} is written in {} branches, but it lives on one chain",
                moved.written.len()
            );
            ensure!(
                moved.leaves.len() <= 1,
                Format,
                "item {item} leaves {} chains, but it lives on one",
                moved.leaves.len()
            );
            let Some(out) = moved.leaves.first() else { continue };
            ensure!(
                !moved.appears.is_empty(),
                Format,
                "item {item} leaves in branch {} and appears in none; add its MoveIn",
                out.branch
            );
            // More than one is a copy, and refused as such whatever the ends name.
            let [into] = moved.appears.as_slice() else { continue };
            ensure!(
                into.branch != out.branch
                    && is_chain_of(into.branch, out.other)
                    && is_chain_of(out.branch, into.other),
                Format,
                "item {item} leaves in branch {} for chain {} and appears in branch {} from chain \
                 {}; each must name the other's chain",
                out.branch,
                out.other,
                into.branch,
                into.other
            );
        }
        Ok(())
    }

    /// `E_CLOSED_COPY`: an item appears at most as often as it vanishes, and that is once.
    pub(super) fn check_no_copy(&self) -> Result<(), Refusal> {
        for (item, moved) in &self.0 {
            ensure!(
                moved.appears.len() <= moved.leaves.len(),
                ClosedCopy,
                "item {item} appears {} times and vanishes {} times; a closed item is never copied",
                moved.appears.len(),
                moved.leaves.len()
            );
        }
        Ok(())
    }
}

/// One asset on its way from one chain to another.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Route {
    home: ChainId,
    asset: AssetId,
    from: ChainId,
    to: ChainId,
}

/// Amounts over all actions of one route.
#[derive(Clone, Copy, Default)]
struct Flow {
    leaves: u128,
    appears: u128,
}

/// What moves of each fungible asset. Attack: A45.
pub(super) struct Transfers(BTreeMap<Route, Flow>);

impl Transfers {
    /// `E_FORMAT`: an asset that stays where it is, or a sum beyond 2^128.
    ///
    /// A link that is not known gives no chain, and so no route; it is refused with its own class
    /// later, whatever moves over it.
    pub(super) fn of(
        branches: &[Branch],
        actions: &[Vec<Action>],
        chain_of: &impl Fn(LinkId) -> Option<ChainId>,
    ) -> Result<Self, Refusal> {
        let mut flows: BTreeMap<Route, Flow> = BTreeMap::new();
        let chains: Option<Vec<ChainId>> =
            branches.iter().map(|branch| chain_of(branch.link)).collect();
        let Some(chains) = chains else { return Ok(Self(flows)) };
        for (here, actions) in chains.into_iter().zip(actions) {
            for action in actions {
                let (route, leaves, appears) = match action {
                    Action::TokenOut(out) => {
                        let (home, asset, to) = (out.home, out.asset, out.to_chain);
                        (Route { home, asset, from: here, to }, out.amount.0, 0)
                    }
                    Action::TokenIn(into) => {
                        let (home, asset, from) = (into.home, into.asset, into.from_chain);
                        (Route { home, asset, from, to: here }, 0, into.amount.0)
                    }
                    Action::MoveOut(_)
                    | Action::MoveIn(_)
                    | Action::Write(_)
                    | Action::Pay(_)
                    | Action::Call(_) => continue,
                };
                ensure!(
                    route.from != route.to,
                    Format,
                    "asset {} would move from chain {here} to itself; pay there",
                    route.asset
                );
                let flow = flows.entry(route).or_default();
                let sums = flow.leaves.checked_add(leaves).zip(flow.appears.checked_add(appears));
                let Some((leaves, appears)) = sums else {
                    refuse!(Format, "the amounts of asset {} add up to 2^128 or more", route.asset);
                };
                *flow = Flow { leaves, appears };
            }
        }
        Ok(Self(flows))
    }

    /// `E_FORMAT`: as much must appear as leaves.
    pub(super) fn check_none_lost(&self) -> Result<(), Refusal> {
        for (route, flow) in &self.0 {
            ensure!(
                flow.leaves <= flow.appears,
                Format,
                "{} of asset {} leave chain {} for chain {}, where {} appear; let as much appear",
                flow.leaves,
                route.asset,
                route.from,
                route.to,
                flow.appears
            );
        }
        Ok(())
    }

    /// `E_CLOSED_COPY`: no more may appear than leaves. Req: Y4560-6.3-2
    pub(super) fn check_none_made(&self) -> Result<(), Refusal> {
        for (route, flow) in &self.0 {
            ensure!(
                flow.appears <= flow.leaves,
                ClosedCopy,
                "{} of asset {} appear on chain {} and {} leave chain {}; a token is never copied",
                flow.appears,
                route.asset,
                route.to,
                flow.leaves,
                route.from
            );
        }
        Ok(())
    }
}
