//! The recovery council: a new point of the same hub to trust, a lane's next epoch, the release of a
//! lock. docs/protocol.md section 14, decision record 0014.
//!
//! Its members are keys of this chain's stakeholders, named at genesis. An act is announced on the
//! control lane when its delay starts, holds once the delay is over, and raises the trust epoch,
//! so that the hub takes nothing under it before its own quorum approves. What hangs on the link
//! stays locked throughout, but for what a release names.

use crate::{call::CouncilOrder, gateway, lock};
use borsh::{BorshDeserialize, BorshSerialize};
use tombolo_crypto::{client, digest, keccak256::keccak256, secp256k1};
use tombolo_ledger::{
    Cell, Context,
    lanes::{self, LinkStatus, Room},
};
use tombolo_swap::two_phase::Standing;
use tombolo_types::{
    Address, Hash, Refusal, UnixMillis,
    council::{ActKind, Release, Reopening},
    ensure,
    header::Anchor,
    id::{GlobalId, LinkId},
    message::{Body, CouncilAct},
    refuse,
    store::View,
    verifier::{ClientStatus, Verifier},
};

/// An act that was announced and does not hold yet.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct PendingAct {
    /// Which.
    pub act: ActKind,
    /// What it sets, encoded.
    pub data: Vec<u8>,
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

/// What an act sets.
enum Subject {
    Anchor(Anchor),
    Reopening(Reopening),
    Release(Release),
}

impl Subject {
    /// # Errors
    /// `E_FORMAT` where it is not canonical, `E_UNSUPPORTED` for an act that a gateway of mode 1
    /// does not know.
    fn read(act: u8, data: &[u8]) -> Result<(ActKind, Self), Refusal> {
        let Some(kind) = ActKind::from_number(act) else {
            refuse!(Unsupported, "a recovery council has no act {act}");
        };
        let subject = match kind {
            ActKind::NewTrustedHeader => Self::Anchor(Anchor::decode(data)?),
            ActKind::ReopenLane => Self::Reopening(Reopening::decode(data)?),
            ActKind::ReleaseLock => Self::Release(Release::decode(data)?),
            ActKind::NodeKeys => {
                refuse!(
                    Unsupported,
                    "a gateway of mode 1 follows no nodes, and has no keys of them"
                )
            }
        };
        Ok((kind, subject))
    }

    fn describe(&self) -> String {
        match self {
            Self::Anchor(it) => format!("trusted header {}", it.height),
            Self::Reopening(it) => format!(
                "epoch {} of lane {}, of which the hub holds {}",
                it.epoch, it.lane, it.received
            ),
            Self::Release(it) => format!("release of {}", it.xid),
        }
    }
}

/// Announces an act and starts its delay.
///
/// # Errors
/// `E_FORMAT`, `E_UNSUPPORTED`; `E_AUTH` for a signature that is none, or of nobody in the council;
/// `E_QUORUM`; `E_STATE` where another act waits or the trust epoch is not the next; and as
/// [`check`].
pub(crate) fn announce(
    cx: &mut Context<'_, '_>,
    order: CouncilOrder,
    verifier: &dyn Verifier,
) -> Result<(), Refusal> {
    cx.record.operation = "council-act".into();
    let (gateway, link) = gateway::own(cx.state)?;
    link.name_in(&mut cx.record);
    let subject = keccak256(&order.data);
    cx.record.evidence = subject;
    let read = Subject::read(order.act, &order.data);
    let digest = digest::council_act(cx.block.chain_id, order.act, order.trust_epoch, subject);
    let (kind, set, signers) = match (read, signers(digest, &order, &gateway.council)) {
        (Ok((kind, set)), Ok(signers)) => (kind, set, signers),
        (Err(act), Err(signatures)) if signatures.class < act.class => return Err(signatures),
        (Err(refusal), _) | (_, Err(refusal)) => return Err(refusal),
    };
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
    // The same is checked again once the delay is over; here it saves a council the wait.
    check(cx, &set, order.trust_epoch, verifier)?;
    let holds_from = cx.block.time.saturating_add(cx.parameters.council_delay_ms);
    let announcement = Body::CouncilAct(CouncilAct {
        act: kind.number(),
        trust_epoch: order.trust_epoch,
        holds_from: holds_from.0,
        subject,
        signers: signers.clone(),
    });
    // One act at a time, and it mends the lane: a full lane must not keep it out.
    gateway::append(cx, &announcement, UnixMillis::ZERO, cx.salt, Room::Reserved)?;
    cx.record.remark = format!("{} announced, from {holds_from} on", set.describe());
    let CouncilOrder { trust_epoch, data, .. } = order;
    let act = PendingAct { act: kind, data, trust_epoch, holds_from, signers, salt: cx.salt };
    PENDING.put(cx.state, &Some(act));
    Ok(())
}

/// The members who signed, ascending and none twice.
fn signers(
    digest: Hash,
    order: &CouncilOrder,
    council: &[Address],
) -> Result<Vec<Address>, Refusal> {
    ensure!(
        order.signatures.len() <= council.len(),
        Format,
        "{} signatures of a council of {}",
        order.signatures.len(),
        council.len()
    );
    let mut signers: Vec<Address> = Vec::new();
    for signature in &order.signatures {
        let signer = secp256k1::recover(digest, signature)?;
        ensure!(
            council.contains(&signer),
            Auth,
            "{signer} is no member of this ledger's recovery council"
        );
        ensure!(
            signers.last().is_none_or(|last| *last < signer),
            Format,
            "the signature of {signer} does not stand in ascending order of signer, or twice"
        );
        signers.push(signer);
    }
    Ok(signers)
}

/// Refuses an act that cannot hold as things stand.
///
/// # Errors
/// `E_FORMAT` for another link; `E_NOTFOUND` for a lane that there is not; `E_STATE` where the trust
/// epoch is not the next, there is nothing to recover, the link of the lane is not frozen or the
/// numbers do not follow, the client is not dead for long enough, or nothing is locked; `E_PROOF`
/// for an anchor that the client cannot be recovered at.
fn check(
    cx: &Context<'_, '_>,
    set: &Subject,
    trust_epoch: u32,
    verifier: &dyn Verifier,
) -> Result<(), Refusal> {
    let (gateway, link) = gateway::own(cx.state)?;
    ensure!(
        Some(trust_epoch) == link.trust_epoch.checked_add(1),
        State,
        "trust epoch {trust_epoch} does not follow the present, {}",
        link.trust_epoch
    );
    let now = cx.block.time;
    match set {
        Subject::Anchor(anchor) => {
            let status = verifier.view(&link.client, now)?.status;
            // A lane that contradicts itself freezes the link and leaves the client well.
            ensure!(
                link.status == LinkStatus::Frozen
                    || matches!(status, ClientStatus::Expired | ClientStatus::Frozen),
                State,
                "the link to hub {} is {:?} and its client is {status:?}; a council acts only once \
                 the link is frozen, or the client expired or frozen",
                gateway.hub,
                link.status
            );
            verifier.recover(&link.client, &anchor.encode(), now).map(drop)
        }
        Subject::Reopening(it) => {
            ensure_own(it.link, link.id)?;
            let (_, lane) =
                lanes::check_reopening(cx.state, it.link, it.lane, it.epoch, it.received)?;
            ensure!(
                Some(it.peer_epoch.0) == lane.peer_epoch.0.checked_add(1),
                State,
                "the hub is in epoch {} of lane {}; {} is not the next",
                lane.peer_epoch,
                it.lane,
                it.peer_epoch
            );
            Ok(())
        }
        Subject::Release(it) => {
            ensure_own(it.link, link.id)?;
            let dead = client::dead_since(&link.client, now)?;
            let period = cx.parameters.release_period_ms;
            ensure!(
                dead.is_some_and(|since| since.saturating_add(period) <= now),
                State,
                "a lock is released only once the client of hub {} has been expired or frozen for \
                 {period} ms",
                gateway.hub
            );
            let known = lock::participant(cx.state, it.xid);
            ensure!(
                known.is_some_and(|known| known.standing() == Standing::Prepared),
                State,
                "{} holds no lock here that could be released",
                it.xid
            );
            Ok(())
        }
    }
}

fn ensure_own(named: LinkId, own: LinkId) -> Result<(), Refusal> {
    ensure!(named == own, Format, "the act is for link {named}, this gateway's is {own}");
    Ok(())
}

/// Lets an act hold whose delay is over. One that cannot hold any more, because its anchor has grown
/// too old or its client lives again, is dropped with a record of its refusal.
pub(crate) fn take_effect(cx: &mut Context<'_, '_>, verifier: &dyn Verifier) {
    let Some(act) = pending(cx.state).filter(|act| act.holds_from <= cx.block.time) else {
        return;
    };
    PENDING.put(cx.state, &None);
    let mut record = cx.blank_record();
    record.operation = "council-act".into();
    record.evidence = keccak256(&act.data);
    if let Some(link) = gateway::link_to_hub(cx.state) {
        link.name_in(&mut record);
    }
    std::mem::swap(&mut cx.record, &mut record);
    if let Err(refusal) = hold(cx, &act, verifier) {
        cx.record.outcome = refusal.class as u8;
        cx.record.remark = refusal.message;
    }
    std::mem::swap(&mut cx.record, &mut record);
    cx.append_record(record, act.salt);
}

fn hold(
    cx: &mut Context<'_, '_>,
    act: &PendingAct,
    verifier: &dyn Verifier,
) -> Result<(), Refusal> {
    let (_, set) = Subject::read(act.act.number(), &act.data)?;
    check(cx, &set, act.trust_epoch, verifier)?;
    cx.record.remark = format!("{} holds", set.describe());
    let (_, mut link) = gateway::own(cx.state)?;
    link.trust_epoch = act.trust_epoch;
    match set {
        Subject::Anchor(_) => {
            let anchor = verifier.recover(&link.client, &act.data, cx.block.time)?;
            let thawed = if link.greeted { LinkStatus::Open } else { LinkStatus::Proposed };
            lanes::recover_link(cx.state, &mut link, anchor, thawed);
            Ok(())
        }
        Subject::Reopening(it) => {
            let taken = lanes::reopen(cx.state, it.link, it.lane, it.epoch, it.received)?;
            cx.record.lane = it.lane;
            cx.record.remark = format!(
                "{}; {} of {} messages are the hub's, {} of its own were taken",
                cx.record.remark,
                it.received,
                taken.sent.size(),
                taken.received.size()
            );
            lanes::put_link(cx.state, &link);
            Ok(())
        }
        Subject::Release(it) => {
            lock::release(cx, it.xid, act.trust_epoch)?;
            cx.record.global_id = GlobalId(it.xid.0);
            lanes::put_link(cx.state, &link);
            Ok(())
        }
    }
}
