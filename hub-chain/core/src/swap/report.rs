//! What parties say became of a leg. The hub cannot see it, and does not pretend to.

use super::{KeptOrder, ORDERS, OrderStatus, order};
use borsh::{BorshDeserialize, BorshSerialize};
use tombolo_crypto::digest;
use tombolo_ledger::Context;
use tombolo_types::{
    Hash, Refusal, UnixMillis, ensure,
    id::{IdentityId, OrderId},
    refuse,
    swap::{SECRET_BYTES, Secret},
};

/// What became of a leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Happened {
    /// It is locked.
    Locked,
    /// Its recipient has it.
    Claimed,
    /// Its locker has it again.
    Refunded,
    /// It was never locked, and cannot be any more.
    Never,
}

impl Happened {
    /// As people see it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Locked => "locked",
            Self::Claimed => "claimed",
            Self::Refunded => "refunded",
            Self::Never => "never locked",
        }
    }
}

/// A report of one leg.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct SwapReport {
    /// Of which order.
    pub order: OrderId,
    /// Of which leg.
    pub leg: u32,
    /// What happened.
    pub happened: Happened,
    /// The secret of a claimed leg, exactly 32 bytes; else empty.
    pub secret: Vec<u8>,
    /// Where it can be looked up, in the chain's own words; zero where there is no such thing.
    pub transaction: Hash,
}

/// A report that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Reported {
    /// Who said so.
    pub by: IdentityId,
    /// Of which leg.
    pub leg: u32,
    /// What.
    pub happened: Happened,
    /// Where it can be looked up.
    pub transaction: Hash,
    /// The hub's block time then.
    pub at: UnixMillis,
}

/// Takes a report. It is mirrored, not believed: only the secret of a claim proves itself, and so
/// anybody may bring that.
///
/// # Errors
/// The first in the order of rule G1: `E_FORMAT` for a leg that there is not, or a secret where none
/// belongs; `E_DENIED` for who is no party, unless the secret is brought; `E_NOTFOUND`; `E_REPLAY`
/// where the same was said, or the secret is known and the bringer no party; `E_STATE` before the
/// order is accepted, or against what the same party said of how it ended; `E_PROOF` for a claim
/// without its secret.
pub(crate) fn report(cx: &mut Context<'_, '_>, said: &SwapReport) -> Result<(), Refusal> {
    let claimed = said.happened == Happened::Claimed;
    ensure!(
        claimed || said.secret.is_empty(),
        Format,
        "a leg that was {} shows no secret; leave it out",
        said.happened.name()
    );
    let mut kept = super::known(cx, said.order)?;
    let by = cx.signer_id();
    let party = kept.order.parties.contains(&by);
    ensure!(
        usize::try_from(said.leg).is_ok_and(|leg| leg < kept.order.legs.len()),
        Format,
        "order {} has no leg {}",
        kept.id,
        said.leg
    );
    ensure!(party || claimed, Denied, "{by} is no party of order {}", kept.id);
    check_new(&kept, by, party, said)?;
    ensure!(
        matches!(kept.status, OrderStatus::Accepted | OrderStatus::Settled | OrderStatus::Lapsed),
        State,
        "order {} is {}; nothing is locked under it",
        kept.id,
        kept.status.name()
    );
    check_end(&kept, by, said)?;
    if claimed {
        kept.secret = Some(read_secret(&kept, &said.secret)?);
    }
    if party {
        kept.reports.retain(|before| (before.by, before.leg) != (by, said.leg));
        kept.reports.push(Reported {
            by,
            leg: said.leg,
            happened: said.happened,
            transaction: said.transaction,
            at: cx.block.time,
        });
    }
    let proved = if claimed { "; the secret is proved, the claim is not" } else { "" };
    cx.record.remark = format!(
        "order {}: {by} reports leg {} {}{proved}",
        kept.id,
        said.leg,
        said.happened.name()
    );
    if kept.status == OrderStatus::Accepted && is_settled(&kept) {
        cx.record.remark.push_str("; all parties say the same of every leg");
        order::not_due(cx, &kept);
        order::close(cx, kept, OrderStatus::Settled);
    } else {
        ORDERS.put(cx.state, &kept.id.clone(), &kept);
    }
    Ok(())
}

fn check_new(
    kept: &KeptOrder,
    by: IdentityId,
    party: bool,
    said: &SwapReport,
) -> Result<(), Refusal> {
    let before = said_before(kept, by, said.leg);
    let again = if party { before == Some(said.happened) } else { kept.secret.is_some() };
    ensure!(
        !again,
        Replay,
        "of leg {} of order {} this is known: {}",
        said.leg,
        kept.id,
        said.happened.name()
    );
    Ok(())
}

/// Nobody takes back how a leg ended.
fn check_end(kept: &KeptOrder, by: IdentityId, said: &SwapReport) -> Result<(), Refusal> {
    match said_before(kept, by, said.leg) {
        None | Some(Happened::Locked) => Ok(()),
        Some(ended) => {
            refuse!(State, "{by} has reported leg {} {}; that stands", said.leg, ended.name())
        }
    }
}

fn said_before(kept: &KeptOrder, by: IdentityId, leg: u32) -> Option<Happened> {
    let of = kept.reports.iter().find(|before| (before.by, before.leg) == (by, leg));
    of.map(|before| before.happened)
}

fn read_secret(kept: &KeptOrder, bytes: &[u8]) -> Result<Secret, Refusal> {
    let Some(secret) = Secret::of(bytes) else {
        refuse!(Proof, "a secret has {SECRET_BYTES} bytes, this one {}", bytes.len());
    };
    ensure!(
        digest::secret_hash(&secret) == kept.order.hash,
        Proof,
        "the secret does not hash to {} with SHA-256",
        kept.order.hash
    );
    Ok(secret)
}

/// Whether every party has said how every leg ended, and all the same.
fn is_settled(kept: &KeptOrder) -> bool {
    (0u32..).zip(&kept.order.legs).all(|(leg, _)| {
        let mut said = kept.order.parties.iter().map(|party| said_before(kept, *party, leg));
        match said.next().flatten() {
            None | Some(Happened::Locked) => false,
            end => said.all(|other| other == end),
        }
    })
}
