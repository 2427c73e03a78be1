//! The check that a hub makes before a two-phase commit begins.

use super::{
    authorisation::{check_no_surplus, check_none_missing},
    pairing::{Moves, Transfers},
};
use crate::deadline;
use borsh::{BorshDeserialize, BorshSerialize};
use std::collections::BTreeSet;
use tombolo_crypto::digest;
use tombolo_types::{
    Refusal, UnixMillis,
    action::{Action, Authorisation, Branch, Terms},
    ensure,
    id::{ChainId, LinkId, Xid},
    message::{BeginRequest, Prepare},
};

/// What a beginner submits: the terms, all bodies, all consents.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Begin {
    /// All that the xid is made of.
    pub terms: Terms,
    /// The branches whose hashes the terms hold, in the same order.
    pub branches: Vec<Branch>,
    /// One for each account from which a branch takes, and no other.
    pub authorisations: Vec<Authorisation>,
}

impl Begin {
    /// Reads what came from a chain.
    ///
    /// # Errors
    /// `E_FORMAT` where terms or a branch are not canonical.
    pub fn read(request: &BeginRequest) -> Result<Self, Refusal> {
        let branches = request.branches.iter().map(|branch| Branch::decode(branch));
        Ok(Self {
            terms: Terms::decode(&request.terms)?,
            branches: branches.collect::<Result<_, _>>()?,
            authorisations: request.authorisations.clone(),
        })
    }

    /// As it goes from a chain to the hub.
    #[must_use]
    pub fn request(&self) -> BeginRequest {
        BeginRequest {
            terms: self.terms.encode(),
            branches: self.branches.iter().map(Branch::encode).collect(),
            authorisations: self.authorisations.clone(),
        }
    }

    /// The Prepare for the branch at this position, or `None` where there is none.
    #[must_use]
    pub fn prepare(&self, index: u32) -> Option<Prepare> {
        let branch = self.branches.get(usize::try_from(index).ok()?)?;
        let of_branch = |given: &&Authorisation| given.branch == index;
        Some(Prepare {
            terms: self.terms.encode(),
            index,
            branch: branch.encode(),
            authorisations: self.authorisations.iter().filter(of_branch).cloned().collect(),
        })
    }
}

/// What a hub allows. All are parameters of the ledger except the finality, which is that of the
/// slowest participant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most branches of one transaction.
    pub branches_max: u32,
    /// The most actions of one branch.
    pub actions_max: u32,
    /// How far ahead a deadline may lie, in milliseconds.
    pub deadline_max_ms: u64,
    /// How long the slowest participant takes to make a block final, in milliseconds.
    pub slowest_finality_ms: u64,
    /// How long a relayer may take for both ways together, in milliseconds.
    pub relay_margin_ms: u64,
}

/// A transaction that may begin.
///
/// Only [`check_begin`] makes one, and nobody changes one (attack A05):
/// ```compile_fail
/// use tombolo_swap::two_phase::Checked;
/// fn forge(checked: Checked, xid: tombolo_types::id::Xid) -> Checked {
///     Checked { xid, ..checked }
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    xid: Xid,
    begin: Begin,
    actions: Vec<Vec<Action>>,
}

impl Checked {
    /// What the transaction is known by.
    #[must_use]
    pub fn xid(&self) -> Xid {
        self.xid
    }

    /// The terms.
    #[must_use]
    pub fn terms(&self) -> &Terms {
        &self.begin.terms
    }

    /// The participants, in the order of the branches; distinct.
    pub fn links(&self) -> impl Iterator<Item = LinkId> {
        self.begin.branches.iter().map(|branch| branch.link)
    }

    /// Each participant with what it shall do.
    pub fn branches(&self) -> impl Iterator<Item = (LinkId, &[Action])> {
        self.links().zip(self.actions.iter().map(Vec::as_slice))
    }

    /// The request to the participant at this position, or `None` where there is none.
    #[must_use]
    pub fn prepare(&self, index: u32) -> Option<Prepare> {
        self.begin.prepare(index)
    }
}

/// Checks a Begin as the hub `hub` at block time `now`; `chain_of` gives the ledger behind a link
/// that is open.
///
/// One branch is enough: two parties may settle on one distant chain with the hub as coordinator,
/// every rule holds for it too, and who computes branches needs no special case.
/// Signatures are left to the gateways, which know the accounts' keys and must check them anyway.
///
/// # Errors
/// Where several apply, the first in the order of rule G1:
/// - `E_FORMAT`: another hub, no branch, an empty or unreadable one, a link twice, other than one
///   branch per hash, an amount of zero, a surplus authorisation, moves that do not match,
///   an item written on two chains;
/// - `E_LIMIT`: too many branches or actions, or a deadline too far away;
/// - `E_AUTH`: an account from which is taken has not authorised it;
/// - `E_CLOSED_COPY`: a closed item would appear without vanishing elsewhere;
/// - `E_NOTFOUND`: a link that is not open or not known;
/// - `E_STATE`: the deadline leaves less than twice the finality and the relay margin;
/// - `E_TIMEOUT`: the deadline has passed;
/// - `E_TAMPER`: a branch is not the one whose hash the terms hold.
///
/// Req: PRJ-5-1, PRJ-5-3
pub fn check_begin(
    begin: &Begin,
    hub: ChainId,
    now: UnixMillis,
    limits: &Limits,
    chain_of: impl Fn(LinkId) -> Option<ChainId>,
) -> Result<Checked, Refusal> {
    let Begin { terms, branches, authorisations } = begin;
    check_shape(begin, hub)?;
    let actions = branches.iter().map(read_actions).collect::<Result<Vec<_>, _>>()?;
    let moves = Moves::of(&actions);
    moves.check_paired(branches, &chain_of)?;
    let transfers = Transfers::of(branches, &actions, &chain_of)?;
    transfers.check_none_lost()?;
    for (index, actions, given) in per_branch(&actions, authorisations) {
        check_no_surplus(index, actions, &given)?;
    }

    check_limits(begin, limits)?;
    deadline::check_not_too_far(terms.deadline, now, limits.deadline_max_ms)?;
    for (index, actions, given) in per_branch(&actions, authorisations) {
        check_none_missing(index, actions, &given)?;
    }
    moves.check_no_copy()?;
    transfers.check_none_made()?;
    for branch in branches {
        ensure!(
            chain_of(branch.link).is_some(),
            NotFound,
            "no open link {} leads to a participant; open it first",
            branch.link
        );
    }
    let shortest_ms = deadline::shortest_ms(limits.slowest_finality_ms, limits.relay_margin_ms);
    deadline::check_not_too_near(terms.deadline, now, shortest_ms)?;
    deadline::check_not_passed(terms.deadline, now)?;
    for (index, (branch, named)) in branches.iter().zip(&terms.branches).enumerate() {
        let found = digest::branch(branch);
        ensure!(
            found == *named,
            Tamper,
            "branch {index} has hash {found}, the terms name {named}; send the branch that was \
             agreed"
        );
    }

    Ok(Checked { xid: digest::xid(terms), begin: begin.clone(), actions })
}

/// `E_FORMAT`: what can be seen without reading an action.
fn check_shape(begin: &Begin, hub: ChainId) -> Result<(), Refusal> {
    let Begin { terms, branches, authorisations } = begin;
    ensure!(
        terms.hub == hub,
        Format,
        "the terms name hub {}, this is {hub}; submit there",
        terms.hub
    );
    ensure!(!branches.is_empty(), Format, "there is no branch; name at least one participant");
    ensure!(
        branches.len() == terms.branches.len(),
        Format,
        "there are {} branches, the terms name {}; send each of them once",
        branches.len(),
        terms.branches.len()
    );
    let mut links = BTreeSet::new();
    for (index, branch) in branches.iter().enumerate() {
        ensure!(
            links.insert(branch.link),
            Format,
            "branch {index} is the second on link {}; put all its actions into one branch",
            branch.link
        );
        ensure!(!branch.actions.is_empty(), Format, "branch {index} has no action; leave it out");
    }
    for given in authorisations {
        let exists = usize::try_from(given.branch).is_ok_and(|index| index < branches.len());
        ensure!(
            exists,
            Format,
            "account {} authorises branch {}, but there are {} branches",
            given.account,
            given.branch,
            branches.len()
        );
    }
    Ok(())
}

/// The actions of a branch, each of which does something.
fn read_actions(branch: &Branch) -> Result<Vec<Action>, Refusal> {
    let actions = branch.actions()?;
    for action in &actions {
        let amount = match action {
            Action::Pay(pay) => pay.amount,
            Action::TokenOut(out) => out.amount,
            Action::TokenIn(into) => into.amount,
            Action::MoveOut(_) | Action::MoveIn(_) | Action::Write(_) | Action::Call(_) => continue,
        };
        ensure!(
            amount.0 != 0,
            Format,
            "an amount that is paid or moved on link {} is 0; leave it out",
            branch.link
        );
    }
    Ok(actions)
}

/// `E_LIMIT`: how many.
fn check_limits(begin: &Begin, limits: &Limits) -> Result<(), Refusal> {
    let exceeds = |count: usize, max: u32| u32::try_from(count).map_or(true, |count| count > max);
    ensure!(
        !exceeds(begin.branches.len(), limits.branches_max),
        Limit,
        "there are {} branches, more than {}; split the transaction",
        begin.branches.len(),
        limits.branches_max
    );
    for (index, branch) in begin.branches.iter().enumerate() {
        ensure!(
            !exceeds(branch.actions.len(), limits.actions_max),
            Limit,
            "branch {index} has {} actions, more than {}; split the transaction",
            branch.actions.len(),
            limits.actions_max
        );
    }
    Ok(())
}

/// Each branch with its position and the authorisations that name it.
fn per_branch<'a>(
    actions: &'a [Vec<Action>],
    authorisations: &'a [Authorisation],
) -> impl Iterator<Item = (u32, &'a [Action], Vec<&'a Authorisation>)> {
    (0u32..).zip(actions).map(|(index, actions)| {
        let given = authorisations.iter().filter(|given| given.branch == index).collect();
        (index, actions.as_slice(), given)
    })
}
