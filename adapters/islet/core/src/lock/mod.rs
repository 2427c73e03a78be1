//! The participant's side of two-phase commit: locks on items and balances.
//!
//! Prepare does all that can fail. What a lock holds stands complete in the state, so Commit and
//! Abort only put it where it belongs: neither reads, parses or computes anything that could fail.
//! What the recovery council gave up is remembered for ever, with what was held.

mod holds;

use crate::{
    gateway,
    item::{self, Item, Standing},
    token::Parcel,
};
use borsh::{BorshDeserialize, BorshSerialize};
use holds::Ledger;
use tombolo_crypto::digest;
use tombolo_ledger::{
    Arrival, Context, Table, Unheld,
    lanes::{self, Lane, Room},
};
use tombolo_swap::two_phase::{
    self, Begin, Outcome, Own, Participant, Request, Standing as Phase, Strange,
};
use tombolo_types::{
    Address, Amount, Class, Epoch, Height, MessageNumber, Refusal, UnixMillis,
    action::Action,
    ensure,
    id::{AssetId, ChainId, DataId, GlobalId, LinkId, Xid},
    lane::DATA_LANE,
    message::{Body, Done, Prepare, Refused},
    refuse,
    store::View,
};

/// What one action has locked, with all that its end needs.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Hold {
    /// An item is here, and gone at Commit.
    Leaves {
        /// The item.
        item: DataId,
        /// Where it appears.
        to: ChainId,
    },
    /// An id or the next version of an item is reserved, and live at Commit.
    Appears(Box<Item>),
    /// An amount is in escrow: the payee's at Commit, the payer's again at Abort.
    Pays {
        /// Who pays.
        from: Address,
        /// Who is paid.
        to: Address,
        /// What.
        asset: AssetId,
        /// How much, in its smallest unit.
        amount: Amount,
    },
    /// An amount is in escrow: gone at Commit, its account's again at Abort.
    Departs(Parcel),
    /// An amount is reserved: its account's at Commit.
    Arrives(Parcel),
}

/// What one two-phase commit holds here.
#[derive(Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Held {
    /// The block time of its Prepare.
    pub since: UnixMillis,
    /// The height of its Prepare.
    pub height: Height,
    /// Epoch and number of the Begin in the data lane, where it was begun here.
    pub begun: Option<(Epoch, MessageNumber)>,
    /// Whose accounts it takes from; each counts one open lock.
    pub accounts: Vec<Address>,
    /// In order of the actions.
    pub holds: Vec<Hold>,
}

/// A lock that was given up on the word of the recovery council, and no decision: a heuristic outcome.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Released {
    /// The trust epoch to which the act led.
    pub trust_epoch: u32,
    /// The block time of the release.
    pub time: UnixMillis,
    /// Its height.
    pub height: Height,
    /// What was locked, and went back.
    pub held: Held,
}

const LOCKS: Table<Xid, Held> = Table::new(*b"iL");
const PARTICIPANTS: Table<Xid, Participant> = Table::new(*b"iP");
/// What the recovery council released, for ever.
const RELEASED: Table<Xid, Released> = Table::new(*b"iY");
/// What is settled and may be forgotten from its deadline on.
const SETTLED: Table<(UnixMillis, Xid), ()> = Table::new(*b"iD");
/// What was begun here and is not decided, by epoch and number of its Begin in the data lane.
const BEGUN: Table<(u32, MessageNumber), Xid> = Table::new(*b"iQ");
/// How many two-phase commits and hash locks hold something of an account.
const OPEN: Table<Address, u64> = Table::new(*b"iO");

/// What is known of a two-phase commit.
pub(crate) fn participant(view: &dyn View, xid: Xid) -> Option<Participant> {
    PARTICIPANTS.get(view, &xid)
}

/// At most `limit` locks that the recovery council has released, from `from` on.
pub(crate) fn released(view: &dyn View, from: Xid, limit: usize) -> Vec<(Xid, Released)> {
    RELEASED.range(view, &from, limit)
}

/// At most `limit` two-phase commits that hold something, from `from` on.
pub(crate) fn list(view: &dyn View, from: Xid, limit: usize) -> Vec<(Xid, Held)> {
    LOCKS.range(view, &from, limit)
}

/// How many two-phase commits and hash locks hold something of an account.
pub(crate) fn open(view: &dyn View, account: Address) -> u64 {
    OPEN.get(view, &account).unwrap_or_default()
}

/// Counts one more open lock of an account (attack A34).
///
/// # Errors
/// `E_LIMIT` where it has as many as it may.
pub(crate) fn count_open(cx: &mut Context<'_, '_>, account: Address) -> Result<(), Refusal> {
    let open = open(cx.state, account);
    ensure!(
        open < cx.parameters.open_locks_max,
        Limit,
        "account {account} has {open} open locks, at most {} are allowed; wait until some end",
        cx.parameters.open_locks_max
    );
    OPEN.put(cx.state, &account, &open.saturating_add(1));
    Ok(())
}

/// Counts one open lock less.
pub(crate) fn discount_open(cx: &mut Context<'_, '_>, account: Address) {
    match open(cx.state, account).saturating_sub(1) {
        0 => OPEN.delete(cx.state, &account),
        open => OPEN.put(cx.state, &account, &open),
    }
}

/// Takes a Prepare and votes.
///
/// # Errors
/// Where it cannot be read: there is no xid to vote on.
pub(crate) fn prepare(
    cx: &mut Context<'_, '_>,
    arrival: &Arrival,
    prepare: &Prepare,
) -> Result<(), Refusal> {
    cx.record.protocol = "2pc".into();
    let request = Request::read(prepare)?;
    let xid = request.xid();
    cx.record.global_id = GlobalId(xid.0);
    note_action(cx, request.actions());
    let (gateway, _) = gateway::own(cx.state)?;
    let own = Own { hub: gateway.hub, link: gateway.link };
    let known = participant(cx.state, xid);
    let now = cx.block.time;
    let answered = two_phase::prepare(known.as_ref(), &request, own, now, &mut Ledger { cx });
    if let Some(state) = answered.state {
        keep(cx, xid, state);
    }
    match &answered.reply {
        two_phase::Reply::Yes => cx.record.remark = "voted yes".into(),
        two_phase::Reply::No(refusal) => {
            cx.record.outcome = refusal.class as u8;
            cx.record.remark = format!("voted no: {}", refusal.message);
        }
    }
    let vote = Body::Vote(answered.reply.vote(arrival.number, xid));
    answer(cx, arrival, &vote)
}

/// Begins a two-phase commit here: this ledger locks its own branch, and the request that goes to
/// the hub is its yes.
///
/// # Errors
/// `E_AUTH` where the signer's account is not the beginner that the terms name, or not one from
/// which the branch takes; `E_FORMAT` without a branch for this ledger; `E_REPLAY` for an xid that
/// is known; `E_STATE`, `E_LIMIT` of the lane; and all for which Prepare would be voted down.
pub(crate) fn begin(cx: &mut Context<'_, '_>, begin: &Begin) -> Result<(), Refusal> {
    cx.record.operation = "begin".into();
    cx.record.protocol = "2pc".into();
    let (gateway, link) = gateway::own(cx.state)?;
    let own = Own { hub: gateway.hub, link: gateway.link };
    let mut branches = (0u32..).zip(&begin.branches);
    let Some((index, _)) = branches.find(|(_, branch)| branch.link == own.link) else {
        refuse!(Format, "no branch is for link {}; begin on the hub", own.link);
    };
    let Some(prepare) = begin.prepare(index) else {
        refuse!(Format, "there is no branch {index}");
    };
    let request = Request::read(&prepare)?;
    let xid = request.xid();
    cx.record.global_id = GlobalId(xid.0);
    note_action(cx, request.actions());
    let account = cx.signer.as_ref().map_or(Address::ZERO, |signer| signer.account);
    let is_beginner = begin.terms.beginner == digest::account_beginner(own.link, account);
    ensure!(
        is_beginner && request.actions().iter().any(|action| action.takes_from() == Some(account)),
        Auth,
        "the terms name another beginner than account {account}, which must be the signer's and \
         one from which branch {index} takes"
    );
    gateway::ensure_fresh_view(cx)?;
    // What the hub is asked once must never be asked again: the refusal of the second would free
    // what the first holds.
    ensure!(
        participant(cx.state, xid).is_none(),
        Replay,
        "{xid} is known here; begin again with another salt"
    );
    gateway::ensure_open(&link, cx.block.time)?;
    let lane = data_lane(cx.state, own.link)?;
    // A refusal that is still on its way names a number of that epoch, and frees what was begun
    // under it; it must never meet another Begin under the same number.
    ensure!(
        !lane.awaits_former(),
        State,
        "lane {DATA_LANE} was reopened into epoch {}, and the hub's answers to the one before have \
         not come; begin a little later",
        lane.epoch
    );
    let now = cx.block.time;
    let answered = two_phase::prepare(None, &request, own, now, &mut Ledger { cx });
    if let two_phase::Reply::No(refusal) = answered.reply {
        return Err(refusal);
    }
    if let Some(state) = answered.state {
        keep(cx, xid, state);
    }
    let number = lanes::append(
        cx.state,
        gateway::DIRECTION,
        own.link,
        DATA_LANE,
        &Body::Begin(begin.request()),
        begin.terms.deadline,
        cx.salt,
        Room::Ask,
    )?;
    BEGUN.put(cx.state, &(lane.epoch.0, number), &xid);
    if let Some(mut held) = LOCKS.get(cx.state, &xid) {
        held.begun = Some((lane.epoch, number));
        LOCKS.put(cx.state, &xid, &held);
    }
    cx.record.remark = "prepared; the hub is asked to begin".into();
    Ok(())
}

fn data_lane(view: &dyn View, link: LinkId) -> Result<Lane, Refusal> {
    match lanes::lane(view, link, DATA_LANE) {
        Some(lane) => Ok(lane),
        None => refuse!(NotFound, "link {link} has no lane {DATA_LANE}"),
    }
}

/// What was begun under the number that an answer names. Until all answers to an epoch that ended
/// have come, nothing is begun in the present one, so that the number is of the newest before it.
fn begun(view: &dyn View, arrival: &Arrival, of: MessageNumber) -> Option<Xid> {
    let lane = data_lane(view, arrival.link).ok().filter(|_| arrival.lane == DATA_LANE)?;
    match lane.awaits_former() {
        false => BEGUN.get(view, &(lane.epoch.0, of)),
        true => (1..lane.epoch.0).rev().find_map(|epoch| BEGUN.get(view, &(epoch, of))),
    }
}

/// Takes the hub's refusal of a Begin: it has nothing of it and never will, so what is locked is
/// freed. False where the refused message was no Begin that is open.
pub(crate) fn take_refused(cx: &mut Context<'_, '_>, arrival: &Arrival, refused: &Refused) -> bool {
    let Some(xid) = begun(cx.state, arrival, refused.of) else { return false };
    cx.record.protocol = "2pc".into();
    cx.record.global_id = GlobalId(xid.0);
    note_held(cx, xid);
    let known = participant(cx.state, xid);
    let applied = two_phase::decide(known.as_ref(), xid, Outcome::Abort, &mut Ledger { cx });
    if let Some(state) = applied.state {
        keep(cx, xid, state);
    }
    true
}

/// Takes a decision. It cannot be refused; Done is the answer in every case. Req: PRJ-5-2
pub(crate) fn decide(
    cx: &mut Context<'_, '_>,
    arrival: &Arrival,
    xid: Xid,
    decision: Outcome,
) -> Result<(), Refusal> {
    cx.record.protocol = "2pc".into();
    cx.record.global_id = GlobalId(xid.0);
    note_held(cx, xid);
    let known = participant(cx.state, xid);
    let applied = two_phase::decide(known.as_ref(), xid, decision, &mut Ledger { cx });
    if let Some(state) = applied.state {
        keep(cx, xid, state);
    }
    if applied.strange == Some(Strange::CommitAfterRelease) {
        // Twice is once: a good copy may have come back since the first.
        let is_first =
            known.is_some_and(|it| matches!(it.standing(), Phase::Released { decided: None, .. }));
        let disputed = if is_first { dispute(cx, xid) } else { 0 };
        cx.record.outcome = Class::State as u8;
        cx.record.remark = format!(
            "heuristic outcome: the recovery council has released what was locked; nothing was \
             applied, {disputed} items are disputed"
        );
        return answer(cx, arrival, &Body::Done(Done { of: arrival.number, xid }));
    }
    cx.record.remark = match (applied.strange, applied.state.map(|state| state.standing())) {
        (Some(strange), _) => format!("broken invariant: {strange:?}; nothing was applied"),
        (None, Some(standing)) => format!("{standing:?}").to_lowercase(),
        (None, None) => "not known here".into(),
    };
    answer(cx, arrival, &Body::Done(Done { of: arrival.number, xid }))
}

/// Gives up what is locked for an xid, on the word of the recovery council.
///
/// # Errors
/// `E_STATE` where nothing is locked for it.
pub(crate) fn release(cx: &mut Context<'_, '_>, xid: Xid, trust_epoch: u32) -> Result<(), Refusal> {
    cx.record.protocol = "2pc".into();
    note_held(cx, xid);
    let (known, held) = (participant(cx.state, xid), LOCKS.get(cx.state, &xid));
    let (Some(known), Some(held)) = (known, held) else {
        refuse!(State, "{xid} holds no lock here that could be released");
    };
    let state = two_phase::release(&known, xid, trust_epoch, &mut Ledger { cx })?;
    keep(cx, xid, state);
    cx.record.remark = format!("heuristic outcome: {}", describe(&held));
    let (time, height) = (cx.block.time, cx.block.height);
    RELEASED.put(cx.state, &xid, &Released { trust_epoch, time, height, held });
    Ok(())
}

/// Takes back a Begin that the hub does not hold, as was said when its lane was reopened. That is
/// the council's word and no proof, so it is a release.
pub(crate) fn unheld(cx: &mut Context<'_, '_>, unheld: &Unheld) {
    let key = (unheld.epoch.0, unheld.number);
    let Some((xid, link)) = BEGUN.get(cx.state, &key).zip(gateway::link_to_hub(cx.state)) else {
        return;
    };
    let mut record = cx.blank_record();
    record.operation = "begin".into();
    record.outcome = Class::State as u8;
    record.global_id = GlobalId(xid.0);
    record.lane = unheld.lane;
    record.number = unheld.number;
    link.name_in(&mut record);
    std::mem::swap(&mut cx.record, &mut record);
    // What is begun and not decided holds a lock.
    let _ = release(cx, xid, link.trust_epoch);
    std::mem::swap(&mut cx.record, &mut record);
    cx.append_record(record, unheld.salt);
}

/// Says what a release gives back; an amount is the chain's own loss, should the hub commit.
fn describe(held: &Held) -> String {
    let holds: Vec<String> = held
        .holds
        .iter()
        .map(|hold| match hold {
            Hold::Leaves { item, .. } => format!("item {item} stays"),
            Hold::Appears(item) => format!("item {} does not appear", item.id),
            Hold::Pays { from, asset, amount, .. } => {
                format!("{amount} of asset {asset} go back to {from}")
            }
            Hold::Departs(it) => {
                format!("{} of asset {} go back to {}", it.amount, it.asset, it.account)
            }
            Hold::Arrives(it) => format!("{} of asset {} do not come", it.amount, it.asset),
        })
        .collect();
    holds.join(", ")
}

/// The hub has committed what was released here: its decision stands, so whatever the branch named
/// here is accepted nowhere until the good copy comes back. Gives how many items there are.
fn dispute(cx: &mut Context<'_, '_>, xid: Xid) -> usize {
    let holds = RELEASED.get(cx.state, &xid).map_or_else(Vec::new, |it| it.held.holds);
    let mut count = 0usize;
    for hold in holds {
        let (id, appears) = match hold {
            Hold::Leaves { item, .. } => (item, None),
            Hold::Appears(item) => (item.id, Some(item)),
            Hold::Pays { .. } | Hold::Departs(_) | Hold::Arrives(_) => continue,
        };
        let here = item::item(cx.state, id);
        let here = here.filter(|item| !matches!(item.standing, Standing::Moved { .. }));
        // What would have come stands here as disputed, too, where nothing stands in its place: it
        // may be all that there is to settle with.
        let Some(mut item) = here.or(appears.map(|item| *item)) else { continue };
        if item.since == Height::ZERO {
            item.since = cx.block.height;
        }
        item.standing = Standing::Disputed(xid);
        item::put(cx, &item);
        count = count.saturating_add(1);
    }
    count
}

/// Room for an answer was reserved by the request, so this does not fail on a link that is there.
fn answer(cx: &mut Context<'_, '_>, arrival: &Arrival, body: &Body) -> Result<(), Refusal> {
    lanes::append(
        cx.state,
        gateway::DIRECTION,
        arrival.link,
        arrival.lane,
        body,
        UnixMillis::ZERO,
        arrival.salt,
        Room::Reserved,
    )
    .map(|_| ())
}

fn keep(cx: &mut Context<'_, '_>, xid: Xid, state: Participant) {
    PARTICIPANTS.put(cx.state, &xid, &state);
    // What the council released is remembered for ever.
    if !matches!(state.standing(), Phase::Prepared | Phase::Released { .. }) {
        SETTLED.put(cx.state, &(state.deadline(), xid), &());
    }
}

/// Forgets what is settled and past its deadline, at most `aborts_per_block` of them. Nothing
/// that holds a lock is among them: no time releases a lock.
pub(crate) fn forget(cx: &mut Context<'_, '_>) {
    let budget = usize::try_from(cx.parameters.aborts_per_block).unwrap_or(usize::MAX);
    for ((deadline, xid), ()) in SETTLED.all(cx.state, budget) {
        if deadline > cx.block.time {
            break;
        }
        let now = cx.block.time;
        if participant(cx.state, xid).is_none_or(|state| state.forgettable(now)) {
            PARTICIPANTS.delete(cx.state, &xid);
            SETTLED.delete(cx.state, &(deadline, xid));
        }
    }
}

/// Names the first item of the actions in the record.
fn note_action(cx: &mut Context<'_, '_>, actions: &[Action]) {
    let found = actions.iter().find_map(|action| match action {
        Action::MoveOut(action) => Some((action.item, None)),
        Action::MoveIn(action) => Some((action.item, Some(action.fingerprint))),
        Action::Write(action) => Some((action.item, Some(action.fingerprint))),
        Action::Pay(_) | Action::Call(_) | Action::TokenOut(_) | Action::TokenIn(_) => None,
    });
    if let Some((id, fingerprint)) = found {
        note_item(cx, id);
        cx.record.fingerprint = fingerprint.unwrap_or(cx.record.fingerprint);
    }
}

/// Names the first item that is held in the record.
fn note_held(cx: &mut Context<'_, '_>, xid: Xid) {
    let held = LOCKS.get(cx.state, &xid).unwrap_or_default();
    for hold in &held.holds {
        match hold {
            Hold::Leaves { item, .. } => return note_item(cx, *item),
            Hold::Appears(item) => {
                cx.record.data_id = item.id;
                cx.record.data_class = item.class.number();
                cx.record.fingerprint = item.fingerprint;
                cx.record.parties = vec![item.owner];
                return;
            }
            Hold::Pays { .. } | Hold::Departs(_) | Hold::Arrives(_) => {}
        }
    }
}

fn note_item(cx: &mut Context<'_, '_>, id: DataId) {
    cx.record.data_id = id;
    if let Some(item) = item::item(cx.state, id) {
        cx.record.data_class = item.class.number();
        cx.record.fingerprint = item.fingerprint;
        cx.record.parties = vec![item.owner];
    }
}

/// Says that an answer came that nobody asked for.
pub(crate) fn note_unasked(cx: &mut Context<'_, '_>, name: &str) {
    cx.record.outcome = Class::Unsupported as u8;
    cx.record.remark = format!("this ledger asks for no {name}");
}
