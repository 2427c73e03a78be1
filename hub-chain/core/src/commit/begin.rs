//! Begin: everything that the hub can refuse, before any chain locks anything.

use super::{
    BY_IDENTITY, BY_LINK, COMMITS, Commit, DEADLINES, OPEN_OF, UNFINISHED, add, drive, put_sent,
};
use crate::{
    Hub,
    asset::Transfer,
    data,
    grant::{self, GrantKey, Purpose},
    identity, link,
    policy::{self, Operation, Question, Ruling, Subject},
};
use tombolo_crypto::digest::{self, Preimage};
use tombolo_ledger::{
    Arrival, Context, Principal,
    lanes::{self, Room},
};
use tombolo_swap::two_phase::{Begin, Checked, Coordinator, Effect, Limits, check_begin};
use tombolo_types::{
    Hash, Refusal,
    action::{ACTIONS_MAX, Action, BRANCHES_MAX, MoveIn, Write},
    ensure,
    id::{ChainId, DataId, GlobalId, IdentityId, LinkId},
    lane::DATA_LANE,
    link_policy::{ASSETS, PolicyBit},
    message::{BeginRequest, Body, DataClass},
    refuse,
    store::View,
};

/// Who begins, and where.
struct Beginner {
    /// As the policies know it, and whom a revocation takes down: for an account of a chain the
    /// identity that it is bound to, or its own word where it is bound to none.
    principal: IdentityId,
    /// The link of the chain that has prepared its branch and sent the Begin.
    prepared: Option<LinkId>,
}

/// Begins a two-phase commit that a registered identity submits. Req: Y4560-7.2.4-1, PRJ-5-3
pub(crate) fn begin(hub: &Hub, cx: &mut Context<'_, '_>, begin: &Begin) -> Result<(), Refusal> {
    let signer = cx.signer_id();
    let own = |begin: &Begin| {
        ensure!(
            begin.terms.beginner == signer,
            Auth,
            "the terms name the beginner {}, the transaction is signed by {signer}",
            begin.terms.beginner
        );
        Ok(())
    };
    let by = Beginner { principal: signer, prepared: None };
    start(hub, cx, begin, &by, own)
}

/// Begins a two-phase commit that an account of a linked chain has begun there: its own branch is
/// prepared, and the request is its yes. A refusal goes back and frees what is locked for it.
pub(crate) fn begin_from_chain(
    hub: &Hub,
    cx: &mut Context<'_, '_>,
    arrival: &Arrival,
    request: &BeginRequest,
) -> Result<(), Refusal> {
    let begin = Begin::read(request)?;
    cx.record.global_id = GlobalId(digest::xid(&begin.terms).0);
    let own_branch = begin.branches.iter().position(|branch| branch.link == arrival.link);
    let Some(own_branch) = own_branch else {
        refuse!(Format, "no branch is for link {}, which sent the Begin", arrival.link);
    };
    // The beginner is an account from which the sender's own branch takes: whoever begins on a
    // chain has something locked there.
    let account = begin
        .authorisations
        .iter()
        .filter(|given| usize::try_from(given.branch) == Ok(own_branch))
        .map(|given| given.account)
        .find(|account| digest::account_beginner(arrival.link, *account) == begin.terms.beginner);
    let bound =
        account.and_then(|account| identity::identity_of_account(cx.state, arrival.chain, account));
    let own = |begin: &Begin| {
        ensure!(
            account.is_some(),
            Auth,
            "the beginner {} is no account of link {} from which its branch takes",
            begin.terms.beginner,
            arrival.link
        );
        Ok(())
    };
    let principal = bound.unwrap_or(begin.terms.beginner);
    let by = Beginner { principal, prepared: Some(arrival.link) };
    start(hub, cx, &begin, &by, own)
}

fn start(
    hub: &Hub,
    cx: &mut Context<'_, '_>,
    begin: &Begin,
    by: &Beginner,
    own: impl Fn(&Begin) -> Result<(), Refusal>,
) -> Result<(), Refusal> {
    cx.record.protocol = "2pc".into();
    let checked = check(cx, begin, own)?;
    check_parties(cx, begin, by)?;
    let xid = checked.xid();
    cx.record.global_id = GlobalId(xid.0);
    let mut plan = Plan { beginner: by.principal, ..Plan::default() };
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
    for transfer in &plan.transfers {
        let asset = (transfer.home, transfer.asset);
        link::count_amount(cx, transfer.from, asset, transfer.amount, cx.block.time)?;
        transfer.take(cx.state)?;
    }
    keep(cx, begin, &checked, by, plan)
}

/// The machine's own check and the hub's own limits; the first class of rule G1 is given.
fn check(
    cx: &Context<'_, '_>,
    begin: &Begin,
    own: impl Fn(&Begin) -> Result<(), Refusal>,
) -> Result<Checked, Refusal> {
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
    match (checked, check_open_locks(cx, begin).and_then(|()| own(begin))) {
        (checked, Ok(())) => checked,
        (Err(theirs), Err(own)) if theirs.class < own.class => Err(theirs),
        (_, Err(own)) => Err(own),
    }
}

fn check_open_locks(cx: &Context<'_, '_>, begin: &Begin) -> Result<(), Refusal> {
    let beginner = begin.terms.beginner;
    let open = OPEN_OF.get(cx.state, &beginner).unwrap_or(0);
    ensure!(
        open < cx.parameters.open_locks_max,
        Limit,
        "beginner {beginner} has {open} undecided commits, the most that it may"
    );
    Ok(())
}

/// Everybody whose account is taken from is active. A commit that began a block earlier would be
/// aborted for the same reason, and the participant may not have heard yet. Attack: A48.
fn check_parties(cx: &Context<'_, '_>, begin: &Begin, by: &Beginner) -> Result<(), Refusal> {
    for party in parties(cx, begin, by) {
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
    transfers: Vec<Transfer>,
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
                self.ask(hub, cx, Operation::Call, subject, (cx.block.chain_id, chain))
            }
            Action::TokenIn(into) => {
                let subject = Subject::Asset { home: into.home, id: into.asset };
                let ends = [into.from_chain, chain];
                link::ensure_listed(cx.state, ends, ASSETS, PolicyBit::Transfer)?;
                self.ask(hub, cx, Operation::Transfer, subject, (into.from_chain, chain))?;
                self.transfers.extend(Transfer::of(chain, action));
                Ok(())
            }
            // What leaves is judged with what appears; a payment is its payer's own to authorise.
            Action::MoveOut(_) | Action::TokenOut(_) | Action::Pay(_) => Ok(()),
        }
    }

    fn ask(
        &mut self,
        hub: &Hub,
        cx: &mut Context<'_, '_>,
        operation: Operation,
        subject: Subject,
        ends: (ChainId, ChainId),
    ) -> Result<(), Refusal> {
        let now = (&*cx.state as &dyn View, cx.block.time);
        let question = Question::of(now, self.beginner, operation, subject, ends);
        let ruling = policy::ask(hub, cx, &question)?;
        self.note(&ruling);
        Ok(())
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
fn parties(cx: &Context<'_, '_>, begin: &Begin, by: &Beginner) -> Vec<IdentityId> {
    let mut parties = vec![by.principal];
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
    by: &Beginner,
    plan: Plan,
) -> Result<(), Refusal> {
    let xid = checked.xid();
    let deadline = checked.terms().deadline;
    let step = match by.prepared {
        None => Coordinator::begin(checked),
        Some(link) => Coordinator::begin_prepared(checked, link, cx.block.time),
    };
    let commit = Commit {
        coordinator: step.state.clone(),
        parties: parties(cx, begin, by),
        height: cx.block.height,
        time: cx.block.time,
        locked: plan.items.iter().map(|item| item.id).collect(),
        policy_hash: plan.policy_hash,
        evidence: plan.evidence(),
        transfers: plan.transfers,
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
    for effect in &step.effects {
        if let Effect::SendPrepare { link, index } = effect {
            send_prepare(cx, checked, *link, *index)?;
        }
    }
    // Where the beginner's own chain is the only participant, all have said yes already.
    drive::follow(cx, commit, step)
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
    put_sent(cx.state, to, number, checked.xid());
    Ok(())
}
