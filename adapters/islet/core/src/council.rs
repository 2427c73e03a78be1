//! The recovery council's first power: a new point of the same hub to trust.
//!
//! Its members are keys of this chain's stakeholders, named at genesis. An act is announced on the
//! control lane when its delay starts, holds once the delay is over, and raises the trust epoch,
//! so that the hub takes nothing under it before its own quorum approves. What hangs on the link
//! stays locked throughout.

use crate::{call::NewTrustedHeader, gateway};
use borsh::{BorshDeserialize, BorshSerialize};
use std::collections::BTreeSet;
use tombolo_crypto::{digest, keccak256::keccak256, secp256k1};
use tombolo_ledger::{
    Cell, Context,
    lanes::{self, LinkStatus, Room},
};
use tombolo_types::{
    Address, Hash, Height, Refusal, UnixMillis, ensure,
    header::Anchor,
    message::{Body, CouncilAct},
    refuse,
    store::View,
    verifier::{ClientStatus, Verifier},
};

/// The number of the act that sets a new trusted header.
pub const NEW_TRUSTED_HEADER: u8 = 1;

/// An act that was announced and does not hold yet.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct PendingAct {
    /// The encoded anchor.
    pub anchor: Vec<u8>,
    /// The trust epoch to which it leads.
    pub trust_epoch: u32,
    /// The block time from which it holds.
    pub holds_from: UnixMillis,
    /// Who agreed, in ascending order.
    pub signers: Vec<Address>,
    /// Salts its records.
    pub salt: Hash,
}

const PENDING: Cell<Option<PendingAct>> = Cell::new(*b"iN");

/// The act that waits, where there is one.
pub(crate) fn pending(view: &dyn View) -> Option<PendingAct> {
    PENDING.get(view).flatten()
}

/// Announces a new trusted header and starts its delay.
///
/// # Errors
/// `E_FORMAT`; `E_AUTH` for a signature that is none, or of nobody in the council; `E_QUORUM`;
/// `E_STATE` where another act waits, the trust epoch is not the next, or neither the link is
/// frozen nor its client expired or frozen; `E_PROOF` for an anchor that the client cannot be
/// recovered at.
pub(crate) fn announce(
    cx: &mut Context<'_, '_>,
    act: NewTrustedHeader,
    verifier: &dyn Verifier,
) -> Result<(), Refusal> {
    cx.record.operation = "council-act".into();
    let (gateway, link) = gateway::own(cx.state)?;
    cx.record.link = link.id;
    cx.record.mode = link.mode;
    let anchor = Anchor::decode(&act.anchor)?;
    let subject = keccak256(&act.anchor);
    cx.record.evidence = subject;
    let digest =
        digest::council_act(cx.block.chain_id, NEW_TRUSTED_HEADER, act.trust_epoch, subject);
    let signers = signers(digest, &act, &gateway.council)?;
    let agreed = u32::try_from(signers.len()).unwrap_or(u32::MAX);
    ensure!(
        agreed >= gateway.council_threshold,
        Quorum,
        "{agreed} members of the council signed, {} must",
        gateway.council_threshold
    );
    if let Some(waiting) = pending(cx.state) {
        refuse!(State, "an act of the council waits until {}; one at a time", waiting.holds_from);
    }
    ensure!(
        Some(act.trust_epoch) == link.trust_epoch.checked_add(1),
        State,
        "trust epoch {} does not follow the present, {}",
        act.trust_epoch,
        link.trust_epoch
    );
    let now = cx.block.time;
    let status = verifier.view(&link.client, now)?.status;
    // A lane that contradicts itself freezes the link and leaves the client well.
    ensure!(
        link.status == LinkStatus::Frozen
            || matches!(status, ClientStatus::Expired | ClientStatus::Frozen),
        State,
        "the link to hub {} is {:?} and its client is {status:?}; a council acts only once the \
         link is frozen, or the client expired or frozen",
        gateway.hub,
        link.status
    );
    // The same check is made again once the delay is over; here it saves a council the wait.
    verifier.recover(&link.client, &act.anchor, now)?;
    let holds_from = now.saturating_add(cx.parameters.council_delay_ms);
    let announcement = Body::CouncilAct(CouncilAct {
        act: NEW_TRUSTED_HEADER,
        trust_epoch: act.trust_epoch,
        holds_from: holds_from.0,
        subject,
        signers: signers.clone(),
    });
    // One act at a time, and it mends the lane: a full lane must not keep it out.
    gateway::append(cx, &announcement, UnixMillis::ZERO, cx.salt, Room::Reserved)?;
    cx.record.remark = format!("trusted header {} announced, from {holds_from} on", anchor.height);
    let NewTrustedHeader { anchor, trust_epoch, .. } = act;
    let act = PendingAct { anchor, trust_epoch, holds_from, signers, salt: cx.salt };
    PENDING.put(cx.state, &Some(act));
    Ok(())
}

/// The members who signed, ascending and none twice.
fn signers(
    digest: Hash,
    act: &NewTrustedHeader,
    council: &[Address],
) -> Result<Vec<Address>, Refusal> {
    ensure!(
        act.signatures.len() <= council.len(),
        Format,
        "{} signatures of a council of {}",
        act.signatures.len(),
        council.len()
    );
    let mut seen = BTreeSet::new();
    let mut signers = Vec::new();
    for signature in &act.signatures {
        let signer = secp256k1::recover(digest, signature)?;
        ensure!(
            council.contains(&signer),
            Auth,
            "{signer} is no member of this ledger's recovery council"
        );
        ensure!(
            seen.last().is_none_or(|last| *last < signer),
            Format,
            "the signature of {signer} does not stand in ascending order of signer, or twice"
        );
        seen.insert(signer);
        signers.push(signer);
    }
    Ok(signers)
}

/// Lets an act hold whose delay is over. One that the client cannot start from any more, because
/// its anchor has grown too old, is dropped with a record of its refusal.
pub(crate) fn take_effect(cx: &mut Context<'_, '_>, verifier: &dyn Verifier) {
    let Some(act) = pending(cx.state).filter(|act| act.holds_from <= cx.block.time) else {
        return;
    };
    PENDING.put(cx.state, &None);
    let mut record = cx.blank_record();
    record.operation = "council-act".into();
    record.evidence = keccak256(&act.anchor);
    match renew(cx, &act, verifier) {
        Ok(height) => record.remark = format!("trusted header {height} holds"),
        Err(refusal) => {
            record.outcome = refusal.class as u8;
            record.remark = refusal.message;
        }
    }
    if let Some(link) = gateway::link_to_hub(cx.state) {
        record.link = link.id;
        record.mode = link.mode;
    }
    cx.append_record(record, act.salt);
}

fn renew(
    cx: &mut Context<'_, '_>,
    act: &PendingAct,
    verifier: &dyn Verifier,
) -> Result<Height, Refusal> {
    let (_, mut link) = gateway::own(cx.state)?;
    let anchor = verifier.recover(&link.client, &act.anchor, cx.block.time)?;
    let height = anchor.height;
    link.trust_epoch = act.trust_epoch;
    let thawed = if link.greeted { LinkStatus::Open } else { LinkStatus::Proposed };
    lanes::recover_link(cx.state, &mut link, anchor, thawed);
    Ok(height)
}
