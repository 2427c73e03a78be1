//! Orders of hash-timelock swaps and declared chains, as JSON.

use super::texts;
use crate::query::{cursor_of, found, id_of, paged};
use serde_json::{Value, json};
use tombolo_hub::swap::{self, Declared, KeptOrder, Reported};
use tombolo_ledger::Parameters;
use tombolo_swap::{
    htlc::{Expiry, Profile, Spending},
    protocol::{Locking, Protocol},
};
use tombolo_types::{Refusal, id::ChainId, store::View, swap::Deadline};

/// What everybody who reads of a swap must know.
const ASSURANCE: &str = "weaker than two-phase commit: nobody who follows the protocol is worse \
                         off; not all or nothing; reports are the parties' words";

/// Orders, a page at a time.
pub(super) fn orders(view: &dyn View, from: Option<&str>, limit: usize) -> Result<Value, Refusal> {
    let all = swap::orders(view, cursor_of(from)?, limit.saturating_add(1));
    Ok(paged(&all, limit, |it| it.id.to_string(), |it| order(view, it)))
}

/// One order.
pub(super) fn one(view: &dyn View, id: &str) -> Result<Value, Refusal> {
    Ok(order(view, &found(swap::order(view, id_of(id)?), "order", id)?))
}

/// The order that took a hash.
pub(super) fn of_hash(view: &dyn View, hash: &str) -> Result<Value, Refusal> {
    Ok(order(view, &found(swap::order_of_hash(view, id_of(hash)?), "order of hash", hash)?))
}

/// Chains that declare something, a page at a time.
pub(super) fn chains(view: &dyn View, from: Option<&str>, limit: usize) -> Result<Value, Refusal> {
    let all = swap::all_declared(view, cursor_of(from)?, limit.saturating_add(1));
    Ok(paged(&all, limit, |it| it.declaration.chain.to_string(), |it| declared(view, it)))
}

/// The strongest protocol over two chains, `<chain>-<chain>`.
pub(super) fn protocol(view: &dyn View, chains: &str) -> Result<Value, Refusal> {
    let chains = chains.split('-').map(id_of::<ChainId>).collect::<Result<Vec<_>, _>>()?;
    let chosen = swap::protocol_of(view, &chains)?;
    let assurance = match chosen {
        Protocol::TwoPhase => "all or nothing",
        Protocol::HashTimelock => ASSURANCE,
    };
    Ok(json!({ "protocol": chosen.name(), "assurance": assurance }))
}

fn order(view: &dyn View, it: &KeptOrder) -> Value {
    let margins = swap::margins(&Parameters::of(view));
    let legs = (0u32..).zip(&it.order.legs).map(|(number, leg)| {
        let reports = it.reports.iter().filter(|said| said.leg == number);
        let (clock, deadline) = match leg.deadline {
            Deadline::Height(height) => ("height", height.0),
            Deadline::Time(time) => ("time", time.0),
        };
        let mut value = json!({
            "chain": leg.chain.to_string(),
            "asset": leg.asset.to_string(),
            "amount": leg.amount.to_string(),
            "locker": leg.locker.to_string(),
            "recipient": leg.recipient.to_string(),
            "deadline": { "clock": clock, "value": deadline },
            "reports": reports.map(report).collect::<Vec<_>>(),
        });
        if let Some(found) = swap::declared(view, leg.chain) {
            value["profile"] = profile(&found.declaration.profile);
        }
        value
    });
    let mut value = json!({
        "order": it.id.to_string(),
        "hash": it.order.hash.to_string(),
        "global_id": tombolo_crypto::digest::swap(it.order.hash).to_string(),
        "protocol": Protocol::HashTimelock.name(),
        "assurance": ASSURANCE,
        "status": it.status.name(),
        "parties": texts(&it.order.parties),
        "accepted_by": texts(&it.accepted_by),
        "accept_until_ms": it.order.accept_until.0,
        "offered_ms": it.time.0,
        "height": it.height.0,
        "lapses_ms": it.lapses_at.0,
        "legs": legs.collect::<Vec<_>>(),
        "margins": { "relay_ms": margins.relay_ms, "outage_ms": margins.outage_ms },
        "encoded": format!("0x{}", hex::encode(it.order.encode())),
    });
    if let Some(secret) = it.secret {
        value["secret"] = format!("0x{}", hex::encode(secret.0)).into();
    }
    value
}

fn report(said: &Reported) -> Value {
    json!({
        "by": said.by.to_string(),
        "happened": said.happened.name(),
        "transaction": said.transaction.to_string(),
        "at_ms": said.at.0,
    })
}

fn declared(view: &dyn View, it: &Declared) -> Value {
    let locking = it.declaration.locking.iter().map(|can| match can {
        Locking::Provable => "provable",
        Locking::Hash => "hash",
    });
    let mut value = json!({
        "chain": it.declaration.chain.to_string(),
        "locking": locking.collect::<Vec<_>>(),
        "profile": profile(&it.declaration.profile),
        "height": it.height.0,
        "approvers": texts(&it.approvers),
    });
    if let Some(clock) = swap::clock_of(view, it.declaration.chain) {
        value["clock"] = json!({ "height": clock.height.0, "time_ms": clock.time.0 });
    }
    value
}

fn profile(it: &Profile) -> Value {
    json!({
        "block_ms_fastest": it.block_ms_fastest,
        "block_ms_slowest": it.block_ms_slowest,
        "time_lag_ms": it.time_lag_ms,
        "skew_ms": it.skew_ms,
        "inclusion_ms": it.inclusion_ms,
        "finality_ms": it.finality_ms,
        "expiry": match it.expiry {
            Expiry::Enforced => "enforced",
            Expiry::Open => "open",
        },
        "spending": match it.spending {
            Spending::Anybody => "anybody",
            Spending::ByTicket => "by ticket",
        },
    })
}
