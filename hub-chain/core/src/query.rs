//! What shells may ask of the state. Everything is paged and plain; nothing here changes state.

use crate::{
    commit::{self, Commit},
    data::{self, CopyEntry, Forward, Item},
    govern::{self, Proposal},
    grant::{self, Given},
    identity::{self, Entry},
    link::{self, Registration},
    policy, schema,
};
use tombolo_ledger::{
    Principal,
    lanes::{self, Lane, Link},
};
use tombolo_swap::two_phase::{Phase, Progress, Seat};
use tombolo_types::{
    Address, Epoch, Hash, Height, LaneNumber, MessageNumber, Refusal, UnixMillis,
    id::{ChainId, DataId, IdentityId, LinkId, SchemaId, Xid},
    message::CouncilAct,
    refuse,
    schema::Schema,
    store::View,
};

/// The most entries of one page.
pub const PAGE_MAX: usize = 1_000;

fn page(limit: usize) -> usize {
    limit.min(PAGE_MAX)
}

/// An identity with all that is known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityView {
    /// Its standing in force.
    pub standing: Principal,
    /// For people.
    pub name: String,
    /// Its account on each chain where it has one.
    pub accounts: Vec<(ChainId, Address)>,
    /// How many changes its history has.
    pub changes: u32,
    /// The nonce of the next binding.
    pub bindings: u64,
}

/// An identity. Req: Y4560-7.2.2-1
pub fn identity(view: &dyn View, id: IdentityId) -> Option<IdentityView> {
    let profile = identity::profile(view, id)?;
    // One that was registered in the newest block is not in force yet.
    let standing = Principal::of(view, id).or_else(|| identity::newest(view, id))?;
    Some(IdentityView {
        standing,
        name: profile.name,
        accounts: identity::accounts(view, id, PAGE_MAX),
        changes: profile.changes,
        bindings: profile.bindings,
    })
}

/// Identities, from `from` on.
pub fn identities(view: &dyn View, from: IdentityId, limit: usize) -> Vec<IdentityView> {
    let found = Principal::list(view, from, page(limit));
    found.into_iter().filter_map(|principal| identity(view, principal.identity)).collect()
}

/// The changes of an identity with their approvers. Req: Y4560-7.1.3-1
pub fn identity_history(view: &dyn View, id: IdentityId, from: u32, limit: usize) -> Vec<Entry> {
    identity::history(view, id, from, page(limit))
}

/// An identity as it stood at a height. Req: Y4560-7.1.3-2
pub fn identity_at(view: &dyn View, id: IdentityId, height: Height) -> Option<Entry> {
    identity::resolve(view, id, height)
}

/// The account of an identity on a chain.
///
/// # Errors
/// `E_NOTFOUND` where none is bound. Req: Y4560-7.2.2-1
pub fn resolve_account(
    view: &dyn View,
    id: IdentityId,
    chain: ChainId,
) -> Result<Address, Refusal> {
    match identity::account_on(view, id, chain) {
        Some(account) => Ok(account),
        None => refuse!(NotFound, "identity {id} has bound no account on chain {chain}"),
    }
}

/// The identity of an account.
pub fn identity_of_account(
    view: &dyn View,
    chain: ChainId,
    account: Address,
) -> Option<IdentityId> {
    identity::identity_of_account(view, chain, account)
}

/// The devices of an owner. Req: Y4560-9.2-1
pub fn devices(
    view: &dyn View,
    owner: IdentityId,
    from: IdentityId,
    limit: usize,
) -> Vec<IdentityId> {
    identity::devices(view, owner, from, page(limit))
}

/// A link with its registration and lanes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkView {
    /// Status, client, accepted header.
    pub link: Link,
    /// `proposed`, `open`, `paused`, `frozen` or `closed`.
    pub status: &'static str,
    /// What was approved, what the gateway said, what its council announced.
    pub registration: Registration,
    /// Its lanes.
    pub lanes: Vec<(LaneNumber, Lane)>,
}

/// A link.
pub fn link(view: &dyn View, id: LinkId) -> Option<LinkView> {
    let found = lanes::link(view, id)?;
    Some(LinkView {
        status: link::status_name(found.status),
        registration: link::registration(view, id)?,
        lanes: lanes::lanes(view, id),
        link: found,
    })
}

/// All links, closed ones included.
pub fn links(view: &dyn View) -> Vec<LinkView> {
    lanes::links(view).into_iter().filter_map(|found| link(view, found.id)).collect()
}

/// The link that leads to a chain.
pub fn link_to(view: &dyn View, chain: ChainId) -> Option<LinkView> {
    link::current(view, chain).and_then(|found| link(view, found.id))
}

/// Schemas, from `from` on.
pub fn schemas(view: &dyn View, from: SchemaId, limit: usize) -> Vec<(SchemaId, Schema)> {
    schema::list(view, from, page(limit))
}

/// The policies in force with the hash of the set.
pub fn policies(view: &dyn View) -> (Hash, Vec<(String, String)>) {
    (policy::set_hash(view), policy::list(view, usize::MAX))
}

/// The grants for an item; just expired ones may be among them.
pub fn grants(view: &dyn View, item: DataId, limit: usize) -> Vec<Given> {
    grant::of_item(view, item, page(limit))
}

/// An item with its copies and its lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ItemView {
    /// What is known of it.
    pub item: Item,
    /// Where copies went.
    pub copies: Vec<(ChainId, CopyEntry)>,
    /// The undecided commit that holds it.
    pub locked_by: Option<Xid>,
}

/// An item.
pub fn item(view: &dyn View, id: DataId) -> Option<ItemView> {
    Some(ItemView {
        item: data::item(view, id)?,
        copies: data::copies(view, id, PAGE_MAX),
        locked_by: data::lock(view, id),
    })
}

/// Items, from `from` on.
pub fn items(view: &dyn View, from: DataId, limit: usize) -> Vec<ItemView> {
    let found = data::items(view, from, page(limit));
    found.into_iter().filter_map(|found| item(view, found.id)).collect()
}

/// Shares that the destination behind a link has not taken, or may still refuse; by epoch and number.
pub fn pending(
    view: &dyn View,
    link: LinkId,
    from: (Epoch, MessageNumber),
    limit: usize,
) -> Vec<((Epoch, MessageNumber), Forward)> {
    data::pending(view, link, from, page(limit))
}

/// A release that a chain's council has announced. Against it the hub's decision stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    /// Behind which link.
    pub link: LinkId,
    /// What was announced.
    pub act: CouncilAct,
    /// Whether a quorum of the hub has approved the trust epoch to which it leads.
    pub is_approved: bool,
}

fn release((link, act): (LinkId, CouncilAct), view: &dyn View) -> Release {
    let approved = lanes::link(view, link).map_or(0, |link| link.peer_trust_epoch);
    Release { link, is_approved: act.trust_epoch <= approved, act }
}

/// What councils have announced to release of a commit, also of one that is forgotten.
pub fn releases_of(view: &dyn View, xid: Xid) -> Vec<Release> {
    let links = lanes::links(view).into_iter();
    let found = links.filter_map(|it| Some((it.id, link::release(view, it.id, xid)?)));
    found.map(|it| release(it, view)).collect()
}

/// At most `limit` announced releases, from link and subject `from` on.
pub fn releases(view: &dyn View, from: (LinkId, Hash), limit: usize) -> Vec<Release> {
    let found = link::releases(view, from, page(limit)).into_iter();
    found.map(|((link, _), act)| release((link, act), view)).collect()
}

/// Where a two-phase commit stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitView {
    /// Which.
    pub xid: Xid,
    /// Preparing, decided or finished, and how.
    pub phase: Phase,
    /// `preparing`, `committed`, `aborted` or `finished`.
    pub status: &'static str,
    /// When an undecided one is aborted.
    pub deadline: UnixMillis,
    /// Since when it has run.
    pub since: UnixMillis,
    /// Every participant with its vote and how far it was told.
    pub seats: Vec<Seat>,
    /// Whose vote or whose Done is awaited.
    pub awaited: Vec<LinkId>,
    /// Whose it is.
    pub parties: Vec<IdentityId>,
    /// What councils have announced to release of it.
    pub releases: Vec<Release>,
}

fn commit_view(view: &dyn View, commit: &Commit) -> CommitView {
    let coordinator = &commit.coordinator;
    let phase = coordinator.phase();
    let is_awaited = |seat: &&Seat| match phase {
        Phase::Preparing => seat.ballot.is_none(),
        Phase::Decided(_) => seat.progress != Progress::Done,
        Phase::Finished(_) => false,
    };
    CommitView {
        xid: coordinator.xid(),
        phase,
        status: match phase {
            Phase::Preparing => "preparing",
            Phase::Decided(verdict) => match verdict.outcome() {
                tombolo_swap::two_phase::Outcome::Commit => "committed",
                tombolo_swap::two_phase::Outcome::Abort => "aborted",
            },
            Phase::Finished(_) => "finished",
        },
        deadline: coordinator.terms().deadline,
        since: commit.time,
        awaited: coordinator.seats().iter().filter(is_awaited).map(|seat| seat.link).collect(),
        seats: coordinator.seats().to_vec(),
        parties: commit.parties.clone(),
        releases: releases_of(view, coordinator.xid()),
    }
}

/// A commit that is not forgotten.
pub fn commit(view: &dyn View, xid: Xid) -> Option<CommitView> {
    commit::commit(view, xid).map(|commit| commit_view(view, &commit))
}

/// Commits that are not forgotten, from `from` on.
pub fn commits(view: &dyn View, from: Xid, limit: usize) -> Vec<CommitView> {
    let found = commit::commits(view, from, page(limit));
    found.iter().map(|(_, commit)| commit_view(view, commit)).collect()
}

/// A proposal with what it still takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProposalView {
    /// Which: the id of the proposing transaction.
    pub id: Hash,
    /// The act, its proposer and approvals.
    pub proposal: Proposal,
    /// How many approvals it takes.
    pub quorum: u32,
}

/// A proposal that is open.
///
/// # Errors
/// `E_NOTFOUND` where it is carried out, expired, or never was.
pub fn proposal(view: &dyn View, id: Hash) -> Result<ProposalView, Refusal> {
    match govern::proposal(view, id) {
        Some(proposal) => Ok(ProposalView { id, proposal, quorum: govern::quorum(view) }),
        None => refuse!(NotFound, "there is no open proposal {id}; it may be carried out"),
    }
}

/// Open proposals, from `from` on.
pub fn proposals(view: &dyn View, from: Hash, limit: usize) -> Vec<ProposalView> {
    let quorum = govern::quorum(view);
    let found = govern::proposals(view, from, page(limit));
    found.into_iter().map(|(id, proposal)| ProposalView { id, proposal, quorum }).collect()
}
