//! What a gateway says first, and what its recovery council does later.

use super::{REGISTRATIONS, find};
use tombolo_crypto::keccak256::keccak256;
use tombolo_ledger::{Arrival, Context, Table, block, lanes};
use tombolo_types::{
    Hash, MessageNumber, Refusal,
    council::{ActKind, Release},
    ensure,
    id::{LinkId, Xid},
    message::{CouncilAct, Hello, PROTOCOL_VERSION},
    store::View,
};

/// The most announced acts of a council that await approval.
const ANNOUNCED_MAX: usize = 16;

/// Releases that councils have announced, by link and subject, for ever: what was released against a
/// decision of the hub is disputed as long as anybody may ask.
const RELEASES: Table<(LinkId, Hash), CouncilAct> = Table::new(*b"hc");

/// The release of what a commit holds behind a link, where its chain's council has announced one.
pub fn release(view: &dyn View, link: LinkId, xid: Xid) -> Option<CouncilAct> {
    RELEASES.get(view, &(link, keccak256(&Release { link, xid }.encode())))
}

/// At most `limit` announced releases, from link and subject `from` on.
pub fn releases(
    view: &dyn View,
    from: (LinkId, Hash),
    limit: usize,
) -> Vec<((LinkId, Hash), CouncilAct)> {
    RELEASES.range(view, &from, limit)
}

/// Takes a gateway's Hello, once, and only as it was registered. Req: Y4560-10.2-1.4
pub(crate) fn take_hello(
    cx: &mut Context<'_, '_>,
    arrival: &Arrival,
    hello: Hello,
) -> Result<(), Refusal> {
    let (mut link, mut registration) = find(cx, arrival.link)?;
    cx.record.destination_chain = cx.block.chain_id;
    ensure!(
        (hello.version_min..=hello.version_max).contains(&PROTOCOL_VERSION),
        Version,
        "the gateway speaks versions {} to {}, the hub speaks {PROTOCOL_VERSION}",
        hello.version_min,
        hello.version_max
    );
    ensure!(
        hello.chain == link.chain,
        Format,
        "the gateway says it is on chain {}, link {} leads to chain {}",
        hello.chain,
        link.id,
        link.chain
    );
    ensure!(
        hello.council.is_empty()
            || u64::from(hello.council_threshold).saturating_mul(2) > hello.council.len() as u64,
        Format,
        "{} of {} council members may act, which is not more than half",
        hello.council_threshold,
        hello.council.len()
    );
    ensure!(
        hello.identification_method == registration.identification_method,
        IdMethod,
        "the gateway identifies parties by another method than `{}`, which was registered",
        registration.identification_method
    );
    ensure!(!link.greeted, Replay, "the gateway of link {} has said Hello already", link.id);
    ensure!(
        arrival.number == MessageNumber(0),
        State,
        "Hello is the first message of a gateway, this is number {}; register another incarnation",
        arrival.number
    );
    ensure!(
        hello.mode == link.mode,
        State,
        "the gateway says mode {}, link {} was registered for mode {}",
        hello.mode,
        link.id,
        link.mode
    );
    // Where the proof holds the code's hash, what the gateway says of itself is not asked.
    let code_hash = arrival.code_hash.unwrap_or(hello.gateway_code_hash);
    ensure!(
        code_hash == registration.code_hash,
        State,
        "the gateway's code has hash {code_hash}, {} was registered",
        registration.code_hash
    );
    ensure!(
        block::history(cx.state, hello.anchor_height) == Some(hello.anchor_id),
        Proof,
        "the gateway trusts block {} at height {}, which is not in this hub's history",
        hello.anchor_id,
        hello.anchor_height
    );
    link.greeted = true;
    link.peer_weight_max = hello.weight_max;
    lanes::put_link(cx.state, &link);
    cx.record.remark = "the link may be opened by a quorum".into();
    registration.hello = Some(hello);
    REGISTRATIONS.put(cx.state, &link.id, &registration);
    Ok(())
}

/// Keeps what a chain's recovery council announces. The hub takes nothing under the new trust
/// epoch before a quorum approves it.
pub(crate) fn take_council_act(
    cx: &mut Context<'_, '_>,
    arrival: &Arrival,
    act: CouncilAct,
) -> Result<(), Refusal> {
    let (link, mut registration) = find(cx, arrival.link)?;
    cx.record.destination_chain = cx.block.chain_id;
    cx.record.evidence = act.subject;
    let is_release = act.act == ActKind::ReleaseLock.number();
    // A release is kept whatever else waits.
    ensure!(
        is_release || registration.announced.len() < ANNOUNCED_MAX,
        Limit,
        "{ANNOUNCED_MAX} acts of the council of link {} await approval",
        link.id
    );
    let is_approved = act.trust_epoch <= link.peer_trust_epoch;
    let is_known = match is_release {
        true => RELEASES.has(cx.state, &(link.id, act.subject)),
        false => is_approved || registration.announced.contains(&act),
    };
    ensure!(!is_known, Replay, "this act of the council of link {} was announced already", link.id);
    let name = ActKind::from_number(act.act).map_or("unknown", ActKind::name);
    cx.record.remark = format!(
        "act {} ({name}) leads to trust epoch {} from {} on; {}",
        act.act,
        act.trust_epoch,
        act.holds_from,
        if is_approved { "a quorum has approved it" } else { "a quorum must approve it" }
    );
    if is_release {
        RELEASES.put(cx.state, &(link.id, act.subject), &act);
    }
    if !is_approved && registration.announced.len() < ANNOUNCED_MAX {
        registration.announced.push(act);
    }
    REGISTRATIONS.put(cx.state, &link.id, &registration);
    Ok(())
}
