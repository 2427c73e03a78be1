//! The emergency brake: one validator or operator stops new requests over one link, for a while.

use super::find;
use tombolo_ledger::{
    Context, Table,
    lanes::{self, LinkStatus},
    validators,
};
use tombolo_types::{
    Refusal, ensure,
    id::{IdentityId, LinkId},
    message::Role,
};

/// Who has paused a link and may not do so again before a quorum allows it.
const PAUSED_BY: Table<(LinkId, IdentityId), ()> = Table::new(*b"hU");

/// Pauses a link. Allowed are operators, and identities with a key that certifies the next block.
/// Decisions and answers of two-phase commits pass all the same.
pub(crate) fn pause(cx: &mut Context<'_, '_>, id: LinkId) -> Result<(), Refusal> {
    let set = validators::at(cx.state, cx.block.height);
    let allowed = cx.signer.as_ref().is_some_and(|signer| {
        let certifies = |key| set.as_ref().is_some_and(|set| set.power_of(key).is_some());
        signer.is(Role::Operator) || signer.keys.iter().copied().any(certifies)
    });
    let signer = cx.signer_id();
    ensure!(allowed, Denied, "identity {signer} is neither operator nor validator");
    ensure!(
        !PAUSED_BY.has(cx.state, &(id, signer)),
        Denied,
        "identity {signer} has paused link {id} before; a quorum must allow it again"
    );
    let (mut link, _) = find(cx, id)?;
    let now = cx.block.time;
    let is_running = match link.status {
        LinkStatus::Open => true,
        LinkStatus::Paused { until } => until <= now,
        LinkStatus::Proposed | LinkStatus::Frozen | LinkStatus::Closed => false,
    };
    ensure!(
        is_running,
        State,
        "link {id} is {}; nothing to pause",
        super::status_name(link.status)
    );
    let until = now.saturating_add(cx.parameters.pause_ms);
    link.status = LinkStatus::Paused { until };
    lanes::put_link(cx.state, &link);
    PAUSED_BY.put(cx.state, &(id, signer), &());
    cx.record.remark = format!("paused until {until}");
    Ok(())
}

/// Lets an identity pause a link once more.
pub(crate) fn allow_pause(
    cx: &mut Context<'_, '_>,
    id: LinkId,
    identity: IdentityId,
) -> Result<(), Refusal> {
    find(cx, id)?;
    ensure!(
        PAUSED_BY.has(cx.state, &(id, identity)),
        NotFound,
        "identity {identity} has not paused link {id}"
    );
    PAUSED_BY.delete(cx.state, &(id, identity));
    Ok(())
}
