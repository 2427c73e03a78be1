//! Proposals and approvals: the one way to whatever takes a quorum.
//!
//! Stakeholders propose and approve; the approval that reaches the quorum of genesis carries the
//! act out in its own block. An act that fails then takes the approval back with it, so that the
//! proposal stays as it was. No lane message leads here. Attacks: A12, A15.

mod act;
mod carry_out;

pub use act::{Act, DEVICES_MAX, NewDevice, NewIdentity, NewLink};

use crate::{Hub, identity};
use borsh::{BorshDeserialize, BorshSerialize};
use tombolo_ledger::{Context, Principal, State, Table, block};
use tombolo_types::{
    Hash, Height, Refusal, UnixMillis, ensure, header::Genesis, id::IdentityId, message::Role,
    refuse, store::View,
};

/// How long a proposal may be approved, in milliseconds: seven days.
pub const PROPOSAL_MS: u64 = 7 * 24 * 60 * 60 * 1_000;
/// The most proposals that are open at a time; bounds the state.
pub const PROPOSALS_MAX: usize = 1_000;
/// The most proposals that one identity may have open, so that one cannot shut out the others.
pub const PROPOSALS_OF_ONE_MAX: usize = 100;
/// Expired proposals forgotten in one block.
const FORGOTTEN_PER_BLOCK: usize = 16;

/// An act that awaits its quorum.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Proposal {
    /// What it would do.
    pub act: Act,
    /// Who proposed it; the first approval.
    pub proposer: IdentityId,
    /// Who has approved it, in order.
    pub approvals: Vec<IdentityId>,
    /// When it was proposed.
    pub proposed: UnixMillis,
    /// The height at which it was proposed.
    pub height: Height,
    /// From when on it can be approved no more.
    pub expires: UnixMillis,
}

const PROPOSALS: Table<Hash, Proposal> = Table::new(*b"hP");
const BY_EXPIRY: Table<(UnixMillis, Hash), ()> = Table::new(*b"hp");
const BY_PROPOSER: Table<(IdentityId, Hash), ()> = Table::new(*b"hq");

/// A proposal that is open.
pub fn proposal(view: &dyn View, id: Hash) -> Option<Proposal> {
    PROPOSALS.get(view, &id)
}

/// At most `limit` open proposals, from `from` on.
pub fn proposals(view: &dyn View, from: Hash, limit: usize) -> Vec<(Hash, Proposal)> {
    PROPOSALS.range(view, &from, limit)
}

/// How many stakeholders must approve.
pub fn quorum(view: &dyn View) -> u32 {
    // A hub without genesis has no stakeholder either: nothing is ever reached.
    block::genesis(view).map_or(u32::MAX, |genesis| genesis.quorum)
}

/// Checks that the stakeholders of genesis can reach its quorum.
pub(crate) fn check_genesis(view: &dyn View, genesis: &Genesis) -> Result<(), Refusal> {
    let stakeholders = identity::active_stakeholders(view).len();
    ensure!(
        genesis.quorum > 0 && usize::try_from(genesis.quorum).is_ok_and(|q| q <= stakeholders),
        Format,
        "genesis asks for {} approvals and names {stakeholders} stakeholders",
        genesis.quorum
    );
    Ok(())
}

/// Forgets proposals whose time has passed.
pub(crate) fn begin_block(cx: &mut Context<'_, '_>) {
    for ((expires, id), ()) in BY_EXPIRY.all(cx.state, FORGOTTEN_PER_BLOCK) {
        if expires > cx.block.time {
            break;
        }
        if let Some(proposal) = PROPOSALS.get(cx.state, &id) {
            forget(cx.state, id, &proposal);
        }
    }
}

fn forget(state: &mut State<'_>, id: Hash, proposal: &Proposal) {
    PROPOSALS.delete(state, &id);
    BY_EXPIRY.delete(state, &(proposal.expires, id));
    BY_PROPOSER.delete(state, &(proposal.proposer, id));
}

fn put(state: &mut State<'_>, id: Hash, proposal: &Proposal) {
    PROPOSALS.put(state, &id, proposal);
    BY_EXPIRY.put(state, &(proposal.expires, id), &());
    BY_PROPOSER.put(state, &(proposal.proposer, id), &());
}

/// The signer, where it is a stakeholder.
fn stakeholder(cx: &Context<'_, '_>) -> Result<IdentityId, Refusal> {
    match &cx.signer {
        Some(signer) if signer.is(Role::Stakeholder) => Ok(signer.identity),
        _ => refuse!(
            Denied,
            "identity {} is no stakeholder; only stakeholders propose and approve",
            cx.signer_id()
        ),
    }
}

/// Proposes an act. Req: Y4560-7.1.3-1
pub(crate) fn propose(hub: &Hub, cx: &mut Context<'_, '_>, act: Act) -> Result<(), Refusal> {
    carry_out::check_form(hub, &act)?;
    let open_of_one = BY_PROPOSER.under(cx.state, &cx.signer_id(), PROPOSALS_OF_ONE_MAX).len();
    ensure!(
        open_of_one < PROPOSALS_OF_ONE_MAX,
        Limit,
        "identity {} has {open_of_one} open proposals, the most that one may have; wait until \
         some are decided",
        cx.signer_id()
    );
    let open = BY_EXPIRY.all(cx.state, PROPOSALS_MAX).len();
    ensure!(
        open < PROPOSALS_MAX,
        Limit,
        "{open} proposals are open, the most that may be; wait until some are decided"
    );
    let proposer = stakeholder(cx)?;
    let id = Hash(cx.tx_id.0);
    let proposal = Proposal {
        act,
        proposer,
        approvals: vec![proposer],
        proposed: cx.block.time,
        height: cx.block.height,
        expires: cx.block.time.saturating_add(PROPOSAL_MS),
    };
    settle(hub, cx, id, proposal)
}

/// Approves a proposal.
pub(crate) fn approve(hub: &Hub, cx: &mut Context<'_, '_>, id: Hash) -> Result<(), Refusal> {
    let approver = stakeholder(cx)?;
    let mut proposal = open(cx, id)?;
    ensure!(
        !proposal.approvals.contains(&approver),
        Replay,
        "identity {approver} has approved proposal {id} already"
    );
    ensure_in_time(cx, id, &proposal)?;
    proposal.approvals.push(approver);
    settle(hub, cx, id, proposal)
}

/// Carries out a proposal that has its quorum without another approval, for instance once an
/// approver who was suspended is active again.
pub(crate) fn execute(hub: &Hub, cx: &mut Context<'_, '_>, id: Hash) -> Result<(), Refusal> {
    stakeholder(cx)?;
    let proposal = PROPOSALS.get(cx.state, &id);
    if let Some(proposal) = &proposal {
        let (counted, quorum) = (valid_approvals(cx.state, proposal).len(), quorum(cx.state));
        ensure!(
            reaches(counted, quorum),
            Quorum,
            "proposal {id} has {counted} of {quorum} approvals; let other stakeholders approve it"
        );
    }
    let proposal = open(cx, id)?;
    ensure_in_time(cx, id, &proposal)?;
    settle(hub, cx, id, proposal)
}

fn open(cx: &Context<'_, '_>, id: Hash) -> Result<Proposal, Refusal> {
    match PROPOSALS.get(cx.state, &id) {
        Some(proposal) => Ok(proposal),
        None => {
            refuse!(NotFound, "there is no open proposal {id}; it may be carried out or expired")
        }
    }
}

fn ensure_in_time(cx: &Context<'_, '_>, id: Hash, proposal: &Proposal) -> Result<(), Refusal> {
    ensure!(
        cx.block.time < proposal.expires,
        Timeout,
        "proposal {id} expired at {}, it is {}; propose it again",
        proposal.expires,
        cx.block.time
    );
    Ok(())
}

/// Approvals of those who are still active stakeholders.
fn valid_approvals(view: &dyn View, proposal: &Proposal) -> Vec<IdentityId> {
    let counts = |id: &IdentityId| {
        Principal::of(view, *id)
            .is_some_and(|found| found.is_active() && found.is(Role::Stakeholder))
    };
    proposal.approvals.iter().copied().filter(counts).collect()
}

fn reaches(approvals: usize, quorum: u32) -> bool {
    usize::try_from(quorum).is_ok_and(|quorum| approvals >= quorum)
}

/// Carries the proposal out where it has its quorum, else keeps it.
fn settle(
    hub: &Hub,
    cx: &mut Context<'_, '_>,
    id: Hash,
    proposal: Proposal,
) -> Result<(), Refusal> {
    let approvals = valid_approvals(cx.state, &proposal);
    let quorum = quorum(cx.state);
    let name = proposal.act.name();
    for approver in &proposal.approvals {
        if !cx.record.parties.contains(approver) {
            cx.record.parties.push(*approver);
        }
    }
    cx.record.global_id = tombolo_types::id::GlobalId(id.0);
    if !reaches(approvals.len(), quorum) {
        cx.record.remark = format!("{name}: pending, {} of {quorum} approvals", approvals.len());
        put(cx.state, id, &proposal);
        return Ok(());
    }
    forget(cx.state, id, &proposal);
    cx.record.operation = name.into();
    cx.record.remark = format!("carried out with {} of {quorum} approvals", approvals.len());
    carry_out::carry_out(hub, cx, proposal.act, &approvals)
}
