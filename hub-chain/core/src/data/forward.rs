//! The second hop: what becomes of a share after the hub has taken it.
//!
//! `completed` means taken at the destination and proved back, together with everything that the
//! destination had said by then: a refusal that is still on its way must not be overtaken.

use super::{COPIES, CopyStatus};
use crate::policy::Ruling;
use borsh::{BorshDeserialize, BorshSerialize};
use tombolo_ledger::{
    Arrival, Context, Table, Unheld,
    lanes::{self, Room},
};
use tombolo_types::{
    Class, Epoch, Hash, Height, MessageNumber, Refusal,
    id::{ChainId, DataId, Fingerprint, GlobalId, IdentityId, LinkId},
    lane::DATA_LANE,
    message::{Body, Refused, Share, class_of},
    record::Record,
    store::View,
};

/// Completions recorded in one block.
const COMPLETED_PER_BLOCK: usize = 4_000;

/// A share on its second hop.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Forward {
    /// The operation on all ledgers.
    pub global_id: GlobalId,
    /// The item.
    pub data_id: DataId,
    /// Its version.
    pub version: u32,
    /// Open, in number.
    pub class: u8,
    /// Its fingerprint.
    pub fingerprint: Fingerprint,
    /// Who signed and who owns it.
    pub parties: Vec<IdentityId>,
    /// Where it came from.
    pub source: ChainId,
    /// The height there.
    pub source_height: Height,
    /// The policies that were asked.
    pub policy_hash: Hash,
    /// Digest of the decision.
    pub evidence: Hash,
    /// Salts the second record, too.
    pub salt: Hash,
}

/// By link, epoch and number in its data lane.
const FORWARDS: Table<(LinkId, u32, MessageNumber), Forward> = Table::new(*b"hF");
/// Links whose chain has taken something that is not yet recorded.
const TAKEN: Table<LinkId, ()> = Table::new(*b"hf");

/// Shares on their way over a link.
pub(crate) fn pending(
    view: &dyn View,
    link: LinkId,
    (epoch, number): (Epoch, MessageNumber),
    limit: usize,
) -> Vec<((Epoch, MessageNumber), Forward)> {
    let found = FORWARDS.under_from(view, &link, &(link, epoch.0, number), limit);
    let named = found.into_iter().map(|((_, epoch, number), it)| ((Epoch(epoch), number), it));
    named.collect()
}

/// Sends a share on.
///
/// # Errors
/// `E_LIMIT` where the destination's lane is full.
pub(super) fn send(
    cx: &mut Context<'_, '_>,
    arrival: &Arrival,
    to: LinkId,
    share: Share,
    ruling: &Ruling,
) -> Result<(), Refusal> {
    let forward = Forward {
        global_id: share.global_id,
        data_id: share.data_id,
        version: share.item_version,
        class: share.class,
        fingerprint: share.fingerprint,
        parties: vec![share.device, share.owner],
        source: share.source_chain,
        source_height: share.source_height,
        policy_hash: ruling.policy_hash,
        evidence: ruling.evidence(),
        salt: arrival.salt,
    };
    let number = crate::link::send(
        cx,
        (to, DATA_LANE),
        &Body::Share(share),
        arrival.not_after,
        arrival.salt,
        Room::Ask,
    )?;
    if let Some(lane) = lanes::lane(cx.state, to, DATA_LANE) {
        FORWARDS.put(cx.state, &(to, lane.epoch.0, number), &forward);
    }
    Ok(())
}

/// Remembers that a chain has taken something.
pub(crate) fn taken(cx: &mut Context<'_, '_>, link: LinkId) {
    TAKEN.put(cx.state, &link, &());
}

/// Records what was taken and can be refused no more.
pub(crate) fn begin_block(cx: &mut Context<'_, '_>) {
    let mut budget = COMPLETED_PER_BLOCK;
    for (link, ()) in TAKEN.all(cx.state, usize::MAX) {
        let Some(lane) = lanes::lane(cx.state, link, DATA_LANE) else { continue };
        // The chain sends its answers to an epoch that ended again before it takes anything of the
        // next: once something of that is freed, all of them have come.
        let is_over = |epoch: u32, number: MessageNumber| match epoch < lane.epoch.0 {
            true => lane.freed > 0,
            false => number.0 < lane.freed,
        };
        let first = FORWARDS.under(cx.state, &link, 1);
        let due = match first.first().map(|((_, epoch, number), _)| (*epoch, *number)) {
            Some((epoch, number)) if epoch == lane.epoch.0 => lane.freed.saturating_sub(number.0),
            Some(_) if lane.freed > 0 => u64::MAX,
            Some(_) | None => 0,
        };
        let due = usize::try_from(due).unwrap_or(usize::MAX).min(budget);
        for ((_, epoch, number), forward) in FORWARDS.under(cx.state, &link, due) {
            if !is_over(epoch, number) {
                break;
            }
            budget = budget.saturating_sub(1);
            FORWARDS.delete(cx.state, &(link, epoch, number));
            end(cx, link, number, &forward, CopyStatus::Completed, (0, "completed".into()));
        }
        if lane.freed >= lane.taken && budget > 0 {
            TAKEN.delete(cx.state, &link);
        }
    }
}

/// Takes a refusal of a forwarded share; false where the number was none.
pub(crate) fn take_refused(cx: &mut Context<'_, '_>, arrival: &Arrival, refused: &Refused) -> bool {
    if arrival.lane != DATA_LANE {
        return false;
    }
    let Some((key, forward)) = refused_one(cx.state, arrival, refused.of) else { return false };
    FORWARDS.delete(cx.state, &key);
    cx.record.global_id = forward.global_id;
    cx.record.data_id = forward.data_id;
    let class = class_of(refused.class);
    let outcome = (class as u8, refused.message.clone());
    end(cx, arrival.link, refused.of, &forward, CopyStatus::Refused, outcome);
    true
}

/// The share under a number that an answer with its salt is to, of the newest epoch that has one: an
/// answer to an epoch that ended may come in any later one.
fn refused_one(
    view: &dyn View,
    arrival: &Arrival,
    of: MessageNumber,
) -> Option<((LinkId, u32, MessageNumber), Forward)> {
    let lane = lanes::lane(view, arrival.link, DATA_LANE)?;
    let ((_, oldest, _), _) = FORWARDS.under(view, &arrival.link, 1).pop()?;
    (oldest..=lane.epoch.0).rev().find_map(|epoch| {
        let key = (arrival.link, epoch, of);
        let found = FORWARDS.get(view, &key).filter(|forward| forward.salt == arrival.salt)?;
        Some((key, found))
    })
}

/// Ends a share that the destination does not hold, as was said when its lane was reopened.
pub(crate) fn take_back(cx: &mut Context<'_, '_>, unheld: &Unheld) {
    let key = (unheld.link, unheld.epoch.0, unheld.number);
    let Some(forward) = FORWARDS.get(cx.state, &key) else { return };
    FORWARDS.delete(cx.state, &key);
    let why = "the lane was reopened before the chain had taken it; share again".into();
    let outcome = (Class::State as u8, why);
    end(cx, unheld.link, unheld.number, &forward, CopyStatus::Refused, outcome);
}

/// Leaves the second record, under the same global id.
fn end(
    cx: &mut Context<'_, '_>,
    link: LinkId,
    number: MessageNumber,
    forward: &Forward,
    status: CopyStatus,
    (outcome, remark): (u8, String),
) {
    let Some(found) = lanes::link(cx.state, link) else { return };
    let key = (forward.data_id, found.chain);
    if let Some(mut copy) = COPIES.get(cx.state, &key)
        && copy.global_id == forward.global_id
    {
        copy.status = status;
        COPIES.put(cx.state, &key, &copy);
    }
    let mut record = Record {
        global_id: forward.global_id,
        operation: "share".into(),
        outcome,
        remark,
        lane: DATA_LANE,
        number,
        source_chain: forward.source,
        source_height: forward.source_height,
        destination_chain: found.chain,
        data_id: forward.data_id,
        data_class: forward.class,
        fingerprint: forward.fingerprint,
        parties: forward.parties.clone(),
        policy_hash: forward.policy_hash,
        protocol: "lane".into(),
        relayer: cx.signer_id(),
        evidence: forward.evidence,
        ..cx.blank_record()
    };
    found.name_in(&mut record);
    cx.append_record(record, forward.salt);
}
