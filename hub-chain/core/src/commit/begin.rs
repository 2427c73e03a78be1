//! Begin: everything that the hub can refuse, before any chain locks anything.

use super::{BY_IDENTITY, BY_LINK, COMMITS, Commit, DEADLINES, OPEN_OF, SENT, UNFINISHED, add};
use crate::{
    Hub, data,
    grant::{self, GrantKey, Purpose},
    identity, link,
    policy::{self, Operation, Question, Ruling, Subject},
};
use tombolo_crypto::digest::{self, Preimage};
use tombolo_ledger::{
    Context, Principal,
    lanes::{self, Room},
};
use tombolo_swap::two_phase::{Begin, Checked, Coordinator, Effect, Limits, check_begin};
use tombolo_types::{
    Hash, Refusal,
    action::{ACTIONS_MAX, Action, BRANCHES_MAX, MoveIn, Write},
    ensure,
    id::{ChainId, DataId, IdentityId, LinkId},
    lane::DATA_LANE,
    message::{Body, DataClass},
    refuse,
};

/// Begins a two-phase commit. Req: Y4560-7.2.4-1, PRJ-5-3
pub(crate) fn begin(hub: &Hub, cx: &mut Context<'_, '_>, begin: &Begin) -> Result<(), Refusal> {
    cx.record.protocol = "2pc".into();
    let checked = check(cx, begin)?;
    check_parties(cx, begin)?;
    let xid = checked.xid();
    cx.record.remark = format!("xid {xid}");
    let mut plan = Plan { beginner: begin.terms.beginner, ..Plan::default() };
    // The body of an item stands in its MoveIn alone, so it is judged there, for both ends.
    for (id, actions) in checked.branches() {
        let Some(chain) = link::chain_of(cx.state, id) else {
            refuse!(NotFound, "no open link {id} leads to a participant");
        };
        for action in actions {
            plan.add(hub, cx, chain, action)?;
        }
    }
    ensure!(COMMITS.get(cx.state, &xid).is_none(), Replay, "{xid} has begun already");
    for id in checked.links() {
        if let Some(found) = lanes::link(cx.state, id) {
            link::ensure_open(&found, cx.block.time)?;
        }
    }
    keep(cx, begin, &checked, plan)
}

/// The machine's own check and the hub's own limits; the first class of rule G1 is given.
fn check(cx: &Context<'_, '_>, begin: &Begin) -> Result<Checked, Refusal> {
    let bound = |max: usize| u32::try_from(max).unwrap_or(u32::MAX);
    let limits = Limits {
        branches_max: bound(BRANCHES_MAX),
        actions_max: bound(ACTIONS_MAX),
        deadline_max_ms: cx.parameters.commit_deadline_max_ms,
        slowest_finality_ms: cx.parameters.finality_ms,
        relay_margin_ms: cx.parameters.relay_margin_ms,
    };
    let chain_of = |id| link::chain_of(cx.state, id);
    let checked = check_begin(begin, cx.block.chain_id, cx.block.time, &limits, chain_of);
    match (checked, check_beginner(cx, begin)) {
        (checked, Ok(())) => checked,
        (Err(theirs), Err(own)) if theirs.class < own.class => Err(theirs),
        (_, Err(own)) => Err(own),
    }
}

fn check_beginner(cx: &Context<'_, '_>, begin: &Begin) -> Result<(), Refusal> {
    let (beginner, signer) = (begin.terms.beginner, cx.signer_id());
    let open = OPEN_OF.get(cx.state, &signer).unwrap_or(0);
    ensure!(
        open < cx.parameters.open_locks_max,
        Limit,
        "identity {signer} has {open} undecided commits, the most that it may"
    );
    ensure!(
        beginner == signer,
        Auth,
        "the terms name the beginner {beginner}, the transaction is signed by {signer}"
    );
    Ok(())
}

/// Everybody whose account is taken from is active. A commit that began a block earlier would be
/// aborted for the same reason, and the participant may not have heard yet. Attack: A48.
fn check_parties(cx: &Context<'_, '_>, begin: &Begin) -> Result<(), Refusal> {
    for party in parties(cx, begin) {
        if let Some(standing) = Principal::of(cx.state, party) {
            ensure!(
                standing.is_active(),
                Ident,
                "{party}, from whose account is taken, is {}; nothing begins that takes from it",
                standing.status.name()
            );
        }
    }
    Ok(())
}

/// What the data actions of a commit come to.
#[derive(Default)]
struct Plan {
    beginner: IdentityId,
    items: Vec<data::Item>,
    policy_hash: Hash,
    evidence: Vec<Hash>,
}

impl Plan {
    fn add(
        &mut self,
        hub: &Hub,
        cx: &mut Context<'_, '_>,
        chain: ChainId,
        action: &Action,
    ) -> Result<(), Refusal> {
        match action {
            Action::MoveIn(into) => self.add_move(hub, cx, chain, into),
            Action::Write(write) => self.add_write(hub, cx, chain, write),
            Action::Call(call) => {
                let subject = Subject::Contract { chain, address: call.contract };
                let ends = (cx.block.chain_id, chain);
                let question = Question::of(
                    (cx.state, cx.block.time),
                    self.beginner,
                    Operation::Call,
                    subject,
                    ends,
                );
                let ruling = policy::ask(hub, cx, &question)?;
                self.note(&ruling);
                Ok(())
            }
            // A MoveOut is judged with its MoveIn; a payment is its payer's own to authorise.
            Action::MoveOut(_) | Action::Pay(_) => Ok(()),
        }
    }

    /// An item that would be touched twice within one commit.
    fn check_once(&self, id: DataId) -> Result<(), Refusal> {
        ensure!(
            self.items.iter().all(|item| item.id != id),
            State,
            "item {id} stands twice in this commit; do one after the other"
        );
        Ok(())
    }

    /// Attack: A45. Req: Y4560-6.3-2, Y4560-10.1-c.2
    fn add_move(
        &mut self,
        hub: &Hub,
        cx: &mut Context<'_, '_>,
        chain: ChainId,
        into: &MoveIn,
    ) -> Result<(), Refusal> {
        let claim = data::Claim {
            item: into.item,
            version: into.item_version,
            schema: into.schema,
            fingerprint: into.fingerprint,
            envelope: &into.envelope,
            device: into.device,
            signature: &into.signature,
            owner: into.owner,
            stated: None,
            source: into.from_chain,
            destination: chain,
            principal: self.beginner,
            operation: Operation::Move,
        };
        let wanted = GrantKey { item: into.item, grantee: into.owner, purpose: Purpose::Move };
        let granted = |cx: &Context<'_, '_>, owner: IdentityId| {
            ensure!(
                grant::holds(cx.state, owner, &wanted, cx.block.time),
                Denied,
                "owner {owner} has granted {} no move of item {}, or the grant has expired",
                wanted.grantee,
                wanted.item
            );
            Ok(())
        };
        let mut found = data::check_allowed(hub, cx, &claim, granted)?;
        data::check_possible(cx, &claim, &found)?;
        ensure!(
            found.item.class == DataClass::Closed,
            State,
            "item {} is open; share it, only closed items move",
            into.item
        );
        self.check_once(into.item)?;
        self.note(&found.ruling);
        found.item.location = chain;
        found.item.owner = into.owner;
        self.items.push(found.item);
        Ok(())
    }

    fn add_write(
        &mut self,
        hub: &Hub,
        cx: &mut Context<'_, '_>,
        chain: ChainId,
        write: &Write,
    ) -> Result<(), Refusal> {
        let claim = data::Claim {
            item: write.item,
            version: write.item_version,
            schema: write.schema,
            fingerprint: write.fingerprint,
            envelope: &write.envelope,
            device: write.device,
            signature: &write.signature,
            owner: write.owner,
            stated: None,
            source: chain,
            destination: chain,
            principal: self.beginner,
            operation: Operation::Write,
        };
        let found = data::check_allowed(hub, cx, &claim, |_, _| Ok(()))?;
        data::check_possible(cx, &claim, &found)?;
        if let Some(known) = &found.known {
            ensure!(
                Some(write.item_version) == known.version.checked_add(1),
                State,
                "item {} is in version {}, a write makes the one after and not {}",
                write.item,
                known.version,
                write.item_version
            );
        }
        self.check_once(write.item)?;
        self.note(&found.ruling);
        self.items.push(found.item);
        Ok(())
    }

    fn note(&mut self, ruling: &Ruling) {
        self.policy_hash = ruling.policy_hash;
        self.evidence.push(ruling.evidence());
    }

    /// One digest over all that the policies said.
    fn evidence(&self) -> Hash {
        match self.evidence.as_slice() {
            [] => Hash::ZERO,
            [one] => *one,
            many => {
                many.iter().fold(Preimage::tagged("rulings"), |all, one| all.word(*one)).finish()
            }
        }
    }
}

/// Whose accounts are taken from, the beginner first.
fn parties(cx: &Context<'_, '_>, begin: &Begin) -> Vec<IdentityId> {
    let mut parties = vec![begin.terms.beginner];
    for given in &begin.authorisations {
        let branch = usize::try_from(given.branch).ok().and_then(|at| begin.branches.get(at));
        let chain = branch.and_then(|branch| link::chain_of(cx.state, branch.link));
        let found =
            chain.and_then(|chain| identity::identity_of_account(cx.state, chain, given.account));
        if let Some(found) = found.filter(|found| !parties.contains(found)) {
            parties.push(found);
        }
    }
    parties
}

/// Writes the new commit with its queues, and sends every Prepare.
fn keep(
    cx: &mut Context<'_, '_>,
    begin: &Begin,
    checked: &Checked,
    plan: Plan,
) -> Result<(), Refusal> {
    let xid = checked.xid();
    let deadline = checked.terms().deadline;
    let step = Coordinator::begin(checked);
    let commit = Commit {
        coordinator: step.state,
        global_id: cx.record.global_id,
        parties: parties(cx, begin),
        height: cx.block.height,
        time: cx.block.time,
        locked: plan.items.iter().map(|item| item.id).collect(),
        policy_hash: plan.policy_hash,
        evidence: plan.evidence(),
        items: plan.items,
        salt: cx.salt,
    };
    cx.record.parties.clone_from(&commit.parties);
    cx.record.policy_hash = commit.policy_hash;
    cx.record.evidence = commit.evidence;
    for item in &commit.locked {
        data::put_lock(cx.state, *item, xid);
    }
    for id in checked.links() {
        BY_LINK.put(cx.state, &(id, xid), &());
        add(cx.state, &UNFINISHED, &id, 1);
    }
    for party in &commit.parties {
        BY_IDENTITY.put(cx.state, &(*party, xid), &());
    }
    add(cx.state, &OPEN_OF, &checked.terms().beginner, 1);
    DEADLINES.put(cx.state, &(deadline, xid), &());
    COMMITS.put(cx.state, &xid, &commit);
    for effect in step.effects {
        if let Effect::SendPrepare { link, index } = effect {
            send_prepare(cx, checked, link, index)?;
        }
    }
    Ok(())
}

fn send_prepare(
    cx: &mut Context<'_, '_>,
    checked: &Checked,
    to: LinkId,
    index: u32,
) -> Result<(), Refusal> {
    let Some(prepare) = checked.prepare(index) else {
        refuse!(Format, "there is no branch {index}");
    };
    let deadline = checked.terms().deadline;
    let salt = digest::authorisation(checked.xid());
    let body = Body::Prepare(prepare);
    let number = link::send(cx, (to, DATA_LANE), &body, deadline, salt, Room::Ask)?;
    SENT.put(cx.state, &(to, number.0), &checked.xid());
    Ok(())
}
