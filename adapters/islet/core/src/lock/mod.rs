//! The participant's side of two-phase commit: locks on items and balances.
//!
//! Prepare does all that can fail. What a lock holds stands complete in the state, so Commit and
//! Abort only put it where it belongs: neither reads, parses or computes anything that could fail.

mod holds;

use crate::{
    gateway,
    item::{self, Item},
    token::Parcel,
};
use borsh::{BorshDeserialize, BorshSerialize};
use holds::Ledger;
use tombolo_crypto::digest;
use tombolo_ledger::{
    Arrival, Context, Table,
    lanes::{self, Room},
};
use tombolo_swap::two_phase::{self, Begin, Outcome, Own, Participant, Request, Standing as Phase};
use tombolo_types::{
    Address, Amount, Class, Height, MessageNumber, Refusal, UnixMillis,
    action::Action,
    ensure,
    id::{AssetId, ChainId, DataId, GlobalId, Xid},
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
    /// The number of the Begin in the data lane, where it was begun here.
    pub begun: Option<MessageNumber>,
    /// Whose accounts it takes from; each counts one open lock.
    pub accounts: Vec<Address>,
    /// In order of the actions.
    pub holds: Vec<Hold>,
}

const LOCKS: Table<Xid, Held> = Table::new(*b"iL");
const PARTICIPANTS: Table<Xid, Participant> = Table::new(*b"iP");
/// What is settled and may be forgotten from its deadline on.
const SETTLED: Table<(UnixMillis, Xid), ()> = Table::new(*b"iD");
/// What was begun here and is not decided, by the number of its Begin in the data lane.
const BEGUN: Table<MessageNumber, Xid> = Table::new(*b"iQ");
/// How many two-phase commits and hash locks hold something of an account.
const OPEN: Table<Address, u64> = Table::new(*b"iO");

/// What is known of a two-phase commit.
pub(crate) fn participant(view: &dyn View, xid: Xid) -> Option<Participant> {
    PARTICIPANTS.get(view, &xid)
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
    BEGUN.put(cx.state, &number, &xid);
    if let Some(mut held) = LOCKS.get(cx.state, &xid) {
        held.begun = Some(number);
        LOCKS.put(cx.state, &xid, &held);
    }
    cx.record.remark = "prepared; the hub is asked to begin".into();
    Ok(())
}

/// Takes the hub's refusal of a Begin: it has nothing of it and never will, so what is locked is
/// freed. False where the refused message was no Begin that is open.
pub(crate) fn take_refused(cx: &mut Context<'_, '_>, arrival: &Arrival, refused: &Refused) -> bool {
    let begun = BEGUN.get(cx.state, &refused.of).filter(|_| arrival.lane == DATA_LANE);
    let Some(xid) = begun else { return false };
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
    cx.record.remark = match (applied.strange, applied.state.map(|state| state.standing())) {
        (Some(strange), _) => format!("broken invariant: {strange:?}; nothing was applied"),
        (None, Some(standing)) => format!("{standing:?}").to_lowercase(),
        (None, None) => "not known here".into(),
    };
    answer(cx, arrival, &Body::Done(Done { of: arrival.number, xid }))
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
    if !matches!(state.standing(), Phase::Prepared) {
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
