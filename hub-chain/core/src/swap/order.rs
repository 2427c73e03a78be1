//! From offer to acceptance, and what time does to an order.

use super::{DUE, Declared, HASHES, KeptOrder, OPEN_OF, ORDERS, OrderStatus};
use crate::{identity, link};
use tombolo_crypto::digest;
use tombolo_ledger::{Context, Principal, State};
use tombolo_swap::{
    htlc::{Clock, Profile, Terms, check_deadlines, latest},
    protocol::{Locking, Protocol},
};
use tombolo_types::{
    Refusal, UnixMillis, ensure,
    id::{IdentityId, OrderId},
    refuse,
    swap::{Account, Order},
};

/// The chain of each leg, as it declares itself and as the hub sees its clock.
type Chains = Vec<(Profile, Option<Clock>)>;

/// Offers an order.
///
/// # Errors
/// The first in the order of rule G1:
/// - `E_FORMAT`: see [`Terms::read`];
/// - `E_LIMIT`: too many legs, a window or a lock that is too long, too many open orders;
/// - `E_IDENT`: a party that is not active;
/// - `E_DENIED`: by another than the first party, or with an account that is not the party's;
/// - `E_NOTFOUND`: a chain that declares nothing, or a party without an account on a chain;
/// - `E_UNSUPPORTED`: a chain without hash locks, a height on a chain that the hub does not follow,
///   and what [`Terms::read`] says;
/// - `E_REPLAY`: the hash was taken before;
/// - `E_STATE`: deadlines too near to each other or to now;
/// - `E_TIMEOUT`: the window is over.
///
/// Req: PRJ-5-4, PRJ-5-5
pub(crate) fn offer(cx: &mut Context<'_, '_>, order: Order) -> Result<(), Refusal> {
    super::name(&mut cx.record, &order);
    let id = digest::order(cx.block.chain_id, &order);
    cx.record.remark = format!("order {id}");
    let terms = Terms::read(order.clone());
    if let Err(refusal) = &terms
        && refusal.class == tombolo_types::Class::Format
    {
        return Err(refusal.clone());
    }
    let chains = chains(cx, &order);
    first_of([
        terms.clone().map(drop),
        check_limits(cx, &order),
        check_open(cx, cx.signer_id()),
        check_parties(cx, &order),
        check_first(cx, &order),
        check_accounts(cx, &order),
        chains.clone().map(drop),
        check_hash(cx, &order),
        check_window(cx, &order),
    ])?;
    let (terms, chains) = (terms?, chains?);
    check_deadlines(&terms, &chains, &super::margins(cx.parameters), cx.block.time)?;
    let kept = KeptOrder {
        id,
        status: OrderStatus::Offered,
        accepted_by: vec![cx.signer_id()],
        height: cx.block.height,
        time: cx.block.time,
        lapses_at: lapses_at(cx, &terms, &chains),
        reports: Vec::new(),
        secret: None,
        salt: cx.salt,
        order,
    };
    HASHES.put(cx.state, &kept.order.hash, &id);
    DUE.put(cx.state, &(kept.order.accept_until, id), &());
    add_open(cx.state, cx.signer_id(), 1);
    ORDERS.put(cx.state, &id, &kept);
    Ok(())
}

/// Accepts an order; with the last acceptance its legs may be locked.
///
/// # Errors
/// The first in the order of rule G1: `E_LIMIT` for too many open orders; `E_IDENT`; `E_DENIED` for
/// who is none of the others; `E_NOTFOUND`; `E_REPLAY` where the signer has accepted; `E_STATE` where
/// it is closed, or its deadlines have come too near; `E_TIMEOUT` after the window.
///
/// Req: PRJ-5-5
pub(crate) fn accept(cx: &mut Context<'_, '_>, id: OrderId) -> Result<(), Refusal> {
    cx.record.remark = format!("order {id}");
    let signer = cx.signer_id();
    check_open(cx, signer)?;
    let mut kept = super::known(cx, id)?;
    first_of([
        check_parties(cx, &kept.order),
        check_other(&kept, signer),
        check_status(&kept, OrderStatus::Offered),
        check_window(cx, &kept.order),
    ])?;
    // What was far enough when it was offered may have come too near.
    let (terms, chains) = (Terms::read(kept.order.clone())?, chains(cx, &kept.order)?);
    check_deadlines(&terms, &chains, &super::margins(cx.parameters), cx.block.time)?;
    kept.accepted_by.push(signer);
    add_open(cx.state, signer, 1);
    if kept.accepted_by.len() == kept.order.parties.len() {
        kept.status = OrderStatus::Accepted;
        DUE.delete(cx.state, &(kept.order.accept_until, id));
        DUE.put(cx.state, &(kept.lapses_at, id), &());
        cx.record.remark = format!("order {id} is accepted by all; its legs may be locked");
    }
    ORDERS.put(cx.state, &id, &kept);
    Ok(())
}

/// Takes an offer back.
///
/// # Errors
/// `E_DENIED` for another than the first party; `E_NOTFOUND`; `E_STATE` once all have accepted, or
/// where it is closed.
pub(crate) fn withdraw(cx: &mut Context<'_, '_>, id: OrderId) -> Result<(), Refusal> {
    let kept = super::known(cx, id)?;
    cx.record.remark = format!("order {id}");
    first_of([check_first(cx, &kept.order), check_status(&kept, OrderStatus::Offered)])?;
    DUE.delete(cx.state, &(kept.order.accept_until, id));
    close(cx, kept, OrderStatus::Withdrawn);
    Ok(())
}

/// Lets offers expire and accepted orders lapse, and forgets closed ones; within the budget of a
/// block.
pub(crate) fn begin_block(cx: &mut Context<'_, '_>) {
    let budget = usize::try_from(cx.parameters.aborts_per_block).unwrap_or(usize::MAX);
    for ((due, id), ()) in DUE.all(cx.state, budget) {
        if due > cx.block.time {
            break;
        }
        DUE.delete(cx.state, &(due, id));
        let Some(kept) = ORDERS.get(cx.state, &id) else { continue };
        let (operation, status) = match kept.status {
            OrderStatus::Offered => ("swap expire", OrderStatus::Expired),
            OrderStatus::Accepted => ("swap lapse", OrderStatus::Lapsed),
            OrderStatus::Withdrawn
            | OrderStatus::Expired
            | OrderStatus::Settled
            | OrderStatus::Lapsed => {
                ORDERS.delete(cx.state, &id);
                HASHES.delete(cx.state, &kept.order.hash);
                continue;
            }
        };
        let mut record = cx.blank_record();
        record.operation = operation.into();
        record.protocol = Protocol::HashTimelock.name().into();
        record.remark = format!("order {id} has {}", status.name());
        super::name(&mut record, &kept.order);
        cx.append_record(record, kept.salt);
        close(cx, kept, status);
    }
}

/// Closes an order: its parties have room again, its hash stays taken for as long as a lock under it
/// may be remembered elsewhere.
pub(super) fn close(cx: &mut Context<'_, '_>, kept: KeptOrder, status: OrderStatus) {
    for party in &kept.accepted_by {
        add_open(cx.state, *party, -1);
    }
    let forget_at = kept.lapses_at.saturating_add(cx.parameters.swap_deadline_max_ms);
    DUE.put(cx.state, &(forget_at, kept.id), &());
    ORDERS.put(cx.state, &kept.id, &KeptOrder { status, ..kept.clone() });
}

/// No longer due as an accepted order; called before it is closed for another reason.
pub(super) fn not_due(cx: &mut Context<'_, '_>, kept: &KeptOrder) {
    DUE.delete(cx.state, &(kept.lapses_at, kept.id));
}

/// The refusal with the lowest class, where there is one. Req: G1
fn first_of(checks: impl IntoIterator<Item = Result<(), Refusal>>) -> Result<(), Refusal> {
    let refusals = checks.into_iter().filter_map(Result::err);
    refusals.min_by_key(|refusal| refusal.class).map_or(Ok(()), Err)
}

fn check_limits(cx: &Context<'_, '_>, order: &Order) -> Result<(), Refusal> {
    let (now, parameters) = (cx.block.time, cx.parameters);
    ensure!(
        order.accept_until.since(now) <= parameters.swap_window_max_ms,
        Limit,
        "the order may be accepted until {}, more than {} ms after block time {now}; a long window \
         is a free option",
        order.accept_until,
        parameters.swap_window_max_ms
    );
    for (number, leg) in order.legs.iter().enumerate() {
        let profile = super::declared(cx.state, leg.chain).map(|found| found.declaration.profile);
        let clock = super::clock_of(cx.state, leg.chain);
        let over = profile.and_then(|profile| latest(leg.deadline, clock, &profile));
        let lasts_ms = over.map_or(0, |over| over.since(now));
        ensure!(
            lasts_ms <= parameters.swap_deadline_max_ms,
            Limit,
            "leg {number} may last {lasts_ms} ms, at most {} are allowed; let it end earlier",
            parameters.swap_deadline_max_ms
        );
    }
    Ok(())
}

/// Attack: A34.
fn check_open(cx: &Context<'_, '_>, party: IdentityId) -> Result<(), Refusal> {
    let (open, most) = (super::open_of(cx.state, party), cx.parameters.swap_orders_max);
    ensure!(
        open < most,
        Limit,
        "{party} has {open} open orders, at most {most} are allowed; wait until some end"
    );
    Ok(())
}

fn check_parties(cx: &Context<'_, '_>, order: &Order) -> Result<(), Refusal> {
    for party in &order.parties {
        let active = Principal::of(cx.state, *party).is_some_and(|party| party.is_active());
        ensure!(active, Ident, "party {party} is unknown here, or not active");
    }
    Ok(())
}

fn check_first(cx: &Context<'_, '_>, order: &Order) -> Result<(), Refusal> {
    let signer = cx.signer_id();
    ensure!(
        order.parties.first() == Some(&signer),
        Denied,
        "the order's first party is another than {signer}"
    );
    Ok(())
}

fn check_other(kept: &KeptOrder, signer: IdentityId) -> Result<(), Refusal> {
    ensure!(kept.order.parties.contains(&signer), Denied, "{signer} is no party of {}", kept.id);
    ensure!(!kept.accepted_by.contains(&signer), Replay, "{signer} has accepted {}", kept.id);
    Ok(())
}

fn check_status(kept: &KeptOrder, wanted: OrderStatus) -> Result<(), Refusal> {
    ensure!(
        kept.status == wanted,
        State,
        "order {} is {}, not {}",
        kept.id,
        kept.status.name(),
        wanted.name()
    );
    Ok(())
}

/// Whoever locks or receives on a linked chain does so with the account that is bound to it. On a
/// chain to which no link leads accounts cannot be bound; there the parties' acceptance of the order
/// is all that names them.
fn check_accounts(cx: &Context<'_, '_>, order: &Order) -> Result<(), Refusal> {
    let parties = order.parties.iter();
    let next = parties.clone().cycle().skip(1);
    let mut missing = Ok(());
    for (leg, (locker, recipient)) in order.legs.iter().zip(parties.zip(next)) {
        for (party, named) in [(locker, &leg.locker), (recipient, &leg.recipient)] {
            match identity::account_on(cx.state, *party, leg.chain).map(Account::from) {
                Some(bound) => ensure!(
                    bound == *named,
                    Denied,
                    "account {named} on chain {} is not that of {party}",
                    leg.chain
                ),
                None if !link::is_registered(cx.state, leg.chain) => {}
                None => {
                    missing = missing.and_then(|()| {
                        refuse!(NotFound, "{party} has bound no account on chain {}", leg.chain)
                    });
                }
            }
        }
    }
    missing
}

/// Req: PRJ-5-4
fn chains(cx: &Context<'_, '_>, order: &Order) -> Result<Chains, Refusal> {
    let found = order.legs.iter().map(|leg| match super::declared(cx.state, leg.chain) {
        Some(Declared { declaration, .. }) => Ok(declaration),
        None => {
            refuse!(NotFound, "chain {} declares nothing here; have a quorum declare it", leg.chain)
        }
    });
    let found = found.collect::<Result<Vec<_>, _>>()?;
    for declaration in &found {
        ensure!(
            declaration.locking.contains(&Locking::Hash),
            Unsupported,
            "chain {} has no hash locks; nothing can be swapped there",
            declaration.chain
        );
    }
    let clock = |chain| super::clock_of(cx.state, chain);
    Ok(found.into_iter().map(|found| (found.profile, clock(found.chain))).collect())
}

/// Attack: A38.
fn check_hash(cx: &Context<'_, '_>, order: &Order) -> Result<(), Refusal> {
    if let Some(taken) = HASHES.get(cx.state, &order.hash) {
        refuse!(Replay, "hash {} was taken by order {taken}; take a new secret", order.hash);
    }
    Ok(())
}

fn check_window(cx: &Context<'_, '_>, order: &Order) -> Result<(), Refusal> {
    let now = cx.block.time;
    ensure!(
        order.accept_until > now,
        Timeout,
        "the order could be accepted until {}, block time is {now}; make another",
        order.accept_until
    );
    Ok(())
}

/// When every leg is over at the latest, and whoever was down has come back and seen it.
fn lapses_at(cx: &Context<'_, '_>, terms: &Terms, chains: &Chains) -> UnixMillis {
    let margins = super::margins(cx.parameters);
    let over = terms.locks().iter().zip(chains).map(|(lock, (profile, clock))| {
        let over = latest(lock.deadline, *clock, profile).unwrap_or(UnixMillis::MAX);
        over.saturating_add(profile.skew_ms)
            .saturating_add(profile.inclusion_ms)
            .saturating_add(profile.finality_ms)
    });
    over.max()
        .unwrap_or_default()
        .saturating_add(margins.relay_ms)
        .saturating_add(margins.outage_ms)
}

fn add_open(state: &mut State<'_>, party: IdentityId, change: i64) {
    match super::open_of(state, party).saturating_add_signed(change) {
        0 => OPEN_OF.delete(state, &party),
        open => OPEN_OF.put(state, &party, &open),
    }
}
