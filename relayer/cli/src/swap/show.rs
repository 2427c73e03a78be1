//! Where swaps stand, for people and programs.

use super::desk::Desk;
use crate::{
    audit::moment::{lasting, rfc3339},
    output,
};
use serde_json::{Value, json};
use tombolo_islet::signer::now;
use tombolo_swap::htlc::{Look, Role, Swap};
use tombolo_swap_service::{Doors, SwapReport, door::sights};
use tombolo_types::{UnixMillis, id::OrderId, swap::Order};

/// Where one swap stands, by its chains now.
pub(super) async fn report(
    desk: &Desk,
    doors: &Doors,
    order: OrderId,
    swap: &Swap,
    since: UnixMillis,
) -> anyhow::Result<SwapReport> {
    let doors = doors.of(swap.terms())?;
    let within = desk.settings().answer_within;
    let (sights, failures) = sights(&doors, swap.terms(), within).await;
    let look = Look { at: now(), sights };
    let mut report = SwapReport::of(order, swap, since, &look, &doors);
    report.failure =
        failures.first().map(|(_, error)| (error.class().code().to_owned(), error.to_string()));
    Ok(report)
}

/// Orders that the hub has for this party and that have no journal here.
pub(super) async fn offered(desk: &Desk) -> anyhow::Result<Vec<Value>> {
    let me = desk.party.identity().to_string();
    let here = desk.home.orders()?;
    let all = desk.book().all_shown().await?;
    let for_me = all.iter().filter(|it| {
        it.status == "offered"
            && it.parties.contains(&me)
            && !it.accepted_by.contains(&me)
            && it.id().is_some_and(|id| !here.contains(&id))
    });
    let found = for_me.map(|it| {
        let until = it.accept_until_ms;
        json!({ "order": it.id().map(|id| id.to_string()), "next": "accept", "until_ms": until })
    });
    Ok(found.collect())
}

/// Prints reports as lines.
pub(super) fn print(reports: &[SwapReport], offered: &[Value]) {
    for report in reports {
        let outcome = report.outcome.as_deref().unwrap_or(match report.accepted {
            true => "under way",
            false => "not accepted by all",
        });
        println!("{}  {}  {outcome}", report.order, report.role);
        for (number, leg) in report.legs.iter().enumerate() {
            println!(
                "  leg {number}  {:<10} {} of {:.10}… from {:.12}… to {:.12}…  until {}  {}",
                leg.chain,
                leg.amount,
                leg.asset,
                leg.locker,
                leg.recipient,
                leg.deadline,
                leg.standing
            );
        }
        if report.is_unfinished() {
            println!("  next:  {}", report.next);
        }
        if let Some((class, why)) = &report.waits_for {
            println!("  why:   {why} ({class})");
        }
        if let Some(from) = &report.refund_from {
            println!("  back:  from {from} on");
        }
        if let Some((class, why)) = &report.failure {
            println!("  fails: {why} ({class})");
        }
    }
    for order in offered {
        let until = UnixMillis(order["until_ms"].as_u64().unwrap_or_default());
        println!("{}  offered to this party", order["order"].as_str().unwrap_or_default());
        println!("  next:  accept, until {} (in {})", rfc3339(until), lasting(until.since(now())));
    }
}

/// Prints what an order says, before it is signed.
pub(super) fn order(id: OrderId, order: &Order, role: Role, is_json: bool) {
    let legs = order.legs.iter().map(|leg| {
        json!({
            "chain": leg.chain.to_string(),
            "asset": leg.asset.to_string(),
            "amount": leg.amount.to_string(),
            "locker": leg.locker.to_string(),
            "recipient": leg.recipient.to_string(),
            "deadline": leg.deadline.to_string(),
        })
    });
    let role = tombolo_swap_service::report::role_name(role);
    let value = json!({
        "order": id.to_string(),
        "role": role,
        "hash": order.hash.to_string(),
        "accept_until_ms": order.accept_until.0,
        "legs": legs.collect::<Vec<_>>(),
        "assurance": tombolo_swap_service::report::ASSURANCE,
    });
    if is_json {
        return output::json(&value);
    }
    println!("order {id}, as {role}, to be accepted until {}", rfc3339(order.accept_until));
    for (number, leg) in order.legs.iter().enumerate() {
        println!(
            "  leg {number}: {} of {} on chain {} from {} to {}, until {}",
            leg.amount, leg.asset, leg.chain, leg.locker, leg.recipient, leg.deadline
        );
    }
    println!("  {}", tombolo_swap_service::report::ASSURANCE);
}
