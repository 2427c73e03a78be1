//! A share: an open item, or a new version of one, on its way to another chain.
//! Req: Y4560-6.3-3

use super::{
    COPIES, Claim, CopyEntry, CopyStatus, Provenance, check_allowed, check_possible, forward,
    put_item,
};
use crate::{
    Hub,
    link::{self, HOUR_MS},
    policy::Operation,
};
use tombolo_ledger::{Arrival, Context, Table, lanes};
use tombolo_types::{
    Refusal, ensure,
    id::LinkId,
    message::{DataClass, Share},
    refuse,
};

/// How many items of a class came over a link in the hour that began then.
const PER_HOUR: Table<(LinkId, u8), (u64, u64)> = Table::new(*b"hW");

/// Takes a share and sends it on.
///
/// # Errors
/// The first of rule G1; the order stands in the provenance check, with the form of the
/// message, its size and the link's hourly limit before, and the destination after.
pub(crate) fn share(
    hub: &Hub,
    cx: &mut Context<'_, '_>,
    arrival: &Arrival,
    share: Share,
) -> Result<(), Refusal> {
    cx.record.global_id = share.global_id;
    cx.record.operation = "share".into();
    cx.record.source_height = share.source_height;
    cx.record.destination_chain = share.destination_chain;
    cx.record.data_id = share.data_id;
    cx.record.data_class = share.class;
    cx.record.fingerprint = share.fingerprint;
    cx.record.parties = vec![share.device, share.owner];
    check_form(cx, arrival, &share)?;
    check_limits(cx, arrival, &share)?;
    let claim = Claim {
        item: share.data_id,
        version: share.item_version,
        schema: share.schema,
        fingerprint: share.fingerprint,
        envelope: &share.envelope,
        device: share.device,
        signature: &share.signature,
        owner: share.owner,
        stated: Some((share.class, &share.terms)),
        source: arrival.chain,
        destination: share.destination_chain,
        principal: share.device,
        operation: Operation::Share,
    };
    let found = check_allowed(hub, cx, &claim, |_, _| Ok(()))?;
    let Some(destination) = link::current(cx.state, share.destination_chain) else {
        refuse!(NotFound, "no link leads to chain {}; open one first", share.destination_chain);
    };
    check_possible(cx, &claim, &found)?;
    let Provenance { item, known, ruling } = found;
    let copy = COPIES.get(cx.state, &(item.id, destination.chain));
    let is_there =
        |copy: &CopyEntry| copy.version == item.version && copy.status != CopyStatus::Refused;
    if let Some(copy) = copy.filter(is_there) {
        // A second identical copy is answered with the one that exists.
        cx.record.remark = format!("the copy exists as {}", copy.global_id);
        return Ok(());
    }
    link::ensure_open(&destination, cx.block.time)?;
    count(cx, arrival.link, item.class);
    if known.as_ref() != Some(&item) {
        put_item(cx.state, &item);
    }
    let entry = CopyEntry {
        version: item.version,
        global_id: share.global_id,
        status: CopyStatus::Accepted,
        time: cx.block.time,
    };
    COPIES.put(cx.state, &(item.id, destination.chain), &entry);
    forward::send(cx, arrival, destination.id, share, &ruling)?;
    cx.record.remark = "accepted".into();
    Ok(())
}

fn check_form(cx: &Context<'_, '_>, arrival: &Arrival, share: &Share) -> Result<(), Refusal> {
    ensure!(
        share.source_chain == arrival.chain,
        Format,
        "the message says it comes from chain {}, it came from {}",
        share.source_chain,
        arrival.chain
    );
    ensure!(
        share.destination_chain != share.source_chain
            && share.destination_chain != cx.block.chain_id,
        Format,
        "the destination {} is the source or the hub; nothing is to be sent",
        share.destination_chain
    );
    ensure!(
        DataClass::from_number(share.class).is_some(),
        Format,
        "class {} is neither open nor closed",
        share.class
    );
    Ok(())
}

fn check_limits(cx: &Context<'_, '_>, arrival: &Arrival, share: &Share) -> Result<(), Refusal> {
    let bytes = u64::try_from(share.envelope.len()).unwrap_or(u64::MAX);
    ensure!(
        bytes <= cx.parameters.open_body_bytes_max,
        Limit,
        "an envelope of {bytes} bytes is above {}; share its fingerprint from a content store",
        cx.parameters.open_body_bytes_max
    );
    let so_far = this_hour(cx, arrival.link, share.class).1;
    let unbounded = lanes::link(cx.state, arrival.link).is_some_and(|link| link.unbounded);
    let most = match unbounded {
        true => cx.parameters.unbounded_items_per_hour,
        false => cx.parameters.link_items_per_hour,
    };
    ensure!(
        so_far < most,
        Limit,
        "link {} has brought {so_far} items of this class in this hour, the most that it may",
        arrival.link
    );
    Ok(())
}

/// The present hour and the items of it.
fn this_hour(cx: &Context<'_, '_>, link: LinkId, class: u8) -> (u64, u64) {
    let hour = cx.block.time.0.div_euclid(HOUR_MS);
    match PER_HOUR.get(cx.state, &(link, class)) {
        Some((then, count)) if then == hour => (hour, count),
        _ => (hour, 0),
    }
}

fn count(cx: &mut Context<'_, '_>, link: LinkId, class: DataClass) {
    let (hour, count) = this_hour(cx, link, class.number());
    PER_HOUR.put(cx.state, &(link, class.number()), &(hour, count.saturating_add(1)));
}
