//! Links: the hub's relation to each chain, from registration to its end.
//!
//! Order (Spec: design, section 2): a quorum registers chain, gateway and trusted header; the
//! gateway's Hello is proved under it and checked against what was registered; a quorum opens;
//! then the hub says Hello and sends schemas and identities.

mod agreed;
mod announce;
mod hello;
mod nodes;
mod pause;

pub use agreed::link_policy;
pub(crate) use agreed::{HOUR_MS, count_amount, ensure_listed, set_limit, set_policy};
pub use announce::UPDATES_PER_BLOCK;
pub(crate) use announce::{begin_block, owe_identity, owe_schema};
pub use hello::{release, releases};
pub(crate) use hello::{take_council_act, take_hello};
pub(crate) use nodes::rotate as rotate_nodes;
pub(crate) use pause::{allow_pause, pause};

use crate::{Hub, commit, data, govern::NewLink, policy};
use borsh::{BorshDeserialize, BorshSerialize};
use tombolo_crypto::digest;
use tombolo_ledger::{
    Arrival, Context, Machine as _, Table, Unheld,
    lanes::{self, Link, LinkStatus, Room},
    validators,
};
use tombolo_types::{
    Address, Epoch, Hash, Height, LaneNumber, MessageNumber, Refusal, UnixMillis, Weight,
    attested::SharedNode,
    ensure,
    id::{ChainId, IdentityId, LinkId},
    lane::{CONTROL_LANE, Direction},
    message::{Body, CouncilAct, Hello, PROTOCOL_VERSION, Refused, class_of},
    refuse,
    store::View,
    verifier::{ClientStatus, LinkTerms},
};

/// The longest name of an identification method, in bytes.
pub const METHOD_BYTES_MAX: usize = 64;

/// What is kept of a link besides its lanes.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Registration {
    /// The gateway's address.
    pub gateway: Address,
    /// Which attempt with this gateway.
    pub incarnation: u32,
    /// Hash of the gateway's code that was approved.
    pub code_hash: Hash,
    /// How the chain identifies parties.
    pub identification_method: String,
    /// When it was registered.
    pub height: Height,
    /// Who approved the registration.
    pub approvers: Vec<IdentityId>,
    /// Whether a quorum has ever opened it.
    pub opened: bool,
    /// What the gateway said first.
    pub hello: Option<Hello>,
    /// Acts of the chain's recovery council that were announced and not approved yet.
    pub announced: Vec<CouncilAct>,
    /// Who serves the link in modes 2 and 3.
    pub nodes: Vec<SharedNode>,
}

const REGISTRATIONS: Table<LinkId, Registration> = Table::new(*b"hL");
const BY_CHAIN: Table<(ChainId, LinkId), ()> = Table::new(*b"hC");

/// What is kept of a link besides its lanes.
pub fn registration(view: &dyn View, id: LinkId) -> Option<Registration> {
    REGISTRATIONS.get(view, &id)
}

/// Whether any link to the chain was ever registered.
pub fn is_registered(view: &dyn View, chain: ChainId) -> bool {
    !BY_CHAIN.under(view, &chain, 1).is_empty()
}

/// All links to a chain, closed ones included.
pub fn links_to(view: &dyn View, chain: ChainId) -> Vec<Link> {
    let found = BY_CHAIN.under(view, &chain, usize::MAX);
    found.into_iter().filter_map(|((_, id), ())| lanes::link(view, id)).collect()
}

/// Whether new requests go over the link at block time `now`.
#[must_use]
pub fn is_open(link: &Link, now: UnixMillis) -> bool {
    match link.status {
        LinkStatus::Open => true,
        LinkStatus::Paused { until } => until <= now,
        LinkStatus::Proposed | LinkStatus::Frozen | LinkStatus::Closed => false,
    }
}

/// Whether a quorum has opened the link and none has closed it.
fn is_current(view: &dyn View, link: &Link) -> bool {
    link.status != LinkStatus::Closed
        && REGISTRATIONS.get(view, &link.id).is_some_and(|found| found.opened)
}

/// The link that leads to a chain, whatever its standing; one at a time.
pub fn current(view: &dyn View, chain: ChainId) -> Option<Link> {
    links_to(view, chain).into_iter().find(|link| is_current(view, link))
}

/// The chain behind a link that was opened and not closed.
pub fn chain_of(view: &dyn View, id: LinkId) -> Option<ChainId> {
    lanes::link(view, id).filter(|link| is_current(view, link)).map(|link| link.chain)
}

/// Refuses a link that takes no new request now.
///
/// # Errors
/// `E_STATE`.
pub fn ensure_open(link: &Link, now: UnixMillis) -> Result<(), Refusal> {
    ensure!(
        is_open(link, now),
        State,
        "link {} to chain {} is {}; nothing new goes over it",
        link.id,
        link.chain,
        status_name(link.status)
    );
    Ok(())
}

/// A link's standing as people see it.
#[must_use]
pub fn status_name(status: LinkStatus) -> &'static str {
    match status {
        LinkStatus::Proposed => "proposed",
        LinkStatus::Open => "open",
        LinkStatus::Paused { .. } => "paused",
        LinkStatus::Frozen => "frozen",
        LinkStatus::Closed => "closed",
    }
}

/// Appends a message to one of the hub's lanes.
pub(crate) fn send(
    cx: &mut Context<'_, '_>,
    (link, lane): (LinkId, LaneNumber),
    body: &Body,
    not_after: UnixMillis,
    salt: Hash,
    room: Room,
) -> Result<MessageNumber, Refusal> {
    lanes::append(cx.state, Direction::HubToChain, link, lane, body, not_after, salt, room)
}

/// Refuses what cannot be a link, whatever the state.
///
/// # Errors
/// `E_FORMAT`, `E_UNSUPPORTED`.
pub(crate) fn check_form(hub: &Hub, new: &NewLink) -> Result<(), Refusal> {
    ensure!(
        (1..=3).contains(&new.mode),
        Format,
        "mode {} is none; deployment modes are 1, 2 and 3",
        new.mode
    );
    ensure!(!new.gateway.is_zero(), Format, "the zero address is no gateway");
    ensure!(new.incarnation > 0, Format, "incarnations are counted from 1");
    let method = &new.identification_method;
    ensure!(
        (1..=METHOD_BYTES_MAX).contains(&method.len()) && method.is_ascii(),
        Format,
        "an identification method is 1 to {METHOD_BYTES_MAX} ASCII characters"
    );
    let Some(verifier) = hub.verifier(&new.verifier) else {
        refuse!(Unsupported, "this hub has no verifier named {}", new.verifier);
    };
    ensure!(
        verifier.modes().contains(&new.mode),
        Unsupported,
        "verifier {} does not serve mode {}",
        new.verifier,
        new.mode
    );
    nodes::check_form(new.mode, &new.nodes)
}

/// Registers a link. Req: Y4560-10.2-1.1, Y4560-10.2-1.2
pub(crate) fn register(
    hub: &Hub,
    cx: &mut Context<'_, '_>,
    new: &NewLink,
    approvers: &[IdentityId],
) -> Result<(), Refusal> {
    let Some(verifier) = hub.verifier(&new.verifier) else {
        refuse!(Unsupported, "this hub has no verifier named {}", new.verifier);
    };
    let chain = new.chain;
    let id = digest::link_id(cx.block.chain_id, chain, new.gateway, new.incarnation);
    let terms = LinkTerms {
        link: id,
        gateway: new.gateway,
        mode: new.mode,
        trusting_period_ms: cx.parameters.trusting_period_ms,
    };
    let client = verifier.start(&new.anchor, &terms, cx.block.time)?;
    let anchor = verifier.view(&client, cx.block.time)?;
    ensure!(
        anchor.chain == chain && chain != cx.block.chain_id,
        Format,
        "the anchor is of chain {}, the link is to chain {chain}, this hub is {}",
        anchor.chain,
        cx.block.chain_id
    );
    let members = verifier.members(&client)?;
    match new.mode {
        1 => check_disjoint(cx, chain, &members)?,
        _ => {
            nodes::check_proofs(cx, id, &new.nodes)?;
            ensure!(
                members == nodes::keys(&new.nodes),
                Format,
                "the anchor names other keys than those of the link's nodes"
            );
        }
    }
    let unbounded = !verifier.is_bounded(&client)?;
    let link = Link {
        id,
        chain,
        mode: new.mode,
        status: LinkStatus::Proposed,
        verifier: new.verifier.clone(),
        client,
        peer_height: anchor.height,
        peer_id: anchor.block_id,
        peer_time: anchor.newest_time,
        trust_epoch: 0,
        peer_trust_epoch: 0,
        peer_weight_max: Weight::ZERO,
        greeted: false,
        policy_hash: Hash::ZERO,
        unbounded,
    };
    lanes::open_link(cx.state, &link)?;
    let registration = Registration {
        gateway: new.gateway,
        incarnation: new.incarnation,
        code_hash: new.code_hash,
        identification_method: new.identification_method.clone(),
        height: cx.block.height,
        approvers: approvers.to_vec(),
        opened: false,
        hello: None,
        announced: Vec::new(),
        nodes: new.nodes.clone(),
    };
    REGISTRATIONS.put(cx.state, &id, &registration);
    BY_CHAIN.put(cx.state, &(chain, id), &());
    record_link(cx, &link);
    Ok(())
}

/// In mode 1 no node serves both ledgers. Req: Y4560-10.2-1.1
fn check_disjoint(
    cx: &Context<'_, '_>,
    chain: ChainId,
    members: &[Address],
) -> Result<(), Refusal> {
    let Some(own) = validators::at(cx.state, cx.block.height) else { return Ok(()) };
    for member in members {
        ensure!(
            own.power_of(*member).is_none(),
            State,
            "{member} certifies both the hub and chain {chain}; in mode 1 no node serves both"
        );
    }
    Ok(())
}

fn record_link(cx: &mut Context<'_, '_>, link: &Link) {
    link.name_in(&mut cx.record);
    cx.record.destination_chain = link.chain;
}

/// A registered link with what is kept of it; names it in the record.
fn find(cx: &mut Context<'_, '_>, id: LinkId) -> Result<(Link, Registration), Refusal> {
    let found = lanes::link(cx.state, id).zip(REGISTRATIONS.get(cx.state, &id));
    let Some((link, registration)) = found else {
        refuse!(NotFound, "link {id} is not registered");
    };
    record_link(cx, &link);
    Ok((link, registration))
}

/// Opens a link whose gateway has said Hello, or ends a pause.
pub(crate) fn open(cx: &mut Context<'_, '_>, id: LinkId) -> Result<(), Refusal> {
    let (mut link, mut registration) = find(cx, id)?;
    match link.status {
        LinkStatus::Open => refuse!(Replay, "link {id} is open already"),
        LinkStatus::Paused { .. } => {
            link.status = LinkStatus::Open;
            lanes::put_link(cx.state, &link);
            return Ok(());
        }
        LinkStatus::Proposed => {}
        LinkStatus::Frozen => refuse!(State, "link {id} is frozen; recover its client first"),
        LinkStatus::Closed => refuse!(State, "link {id} is closed; register another incarnation"),
    }
    ensure!(
        link.greeted,
        State,
        "the gateway of link {id} has not said Hello yet; deliver it first"
    );
    agreed::ensure_policy(cx, &link)?;
    if let Some(other) = current(cx.state, link.chain) {
        refuse!(State, "link {} leads to chain {} already; close it first", other.id, link.chain);
    }
    link.status = LinkStatus::Open;
    lanes::put_link(cx.state, &link);
    registration.opened = true;
    REGISTRATIONS.put(cx.state, &id, &registration);
    let hello = own_hello(cx, &link, &registration);
    let salt = cx.salt;
    send(cx, (id, CONTROL_LANE), &hello, UnixMillis::ZERO, salt, Room::Reserved)?;
    announce::owe_everything(cx.state, id);
    Ok(())
}

fn own_hello(cx: &Context<'_, '_>, link: &Link, registration: &Registration) -> Body {
    Body::Hello(Hello {
        version_min: PROTOCOL_VERSION,
        version_max: PROTOCOL_VERSION,
        chain: cx.block.chain_id,
        mode: link.mode,
        // The hub has no gateway: its own ledger holds the lanes.
        gateway_code_hash: Hash::ZERO,
        identification_method: registration.identification_method.clone(),
        policy_hash: match link.mode {
            3 => link.policy_hash,
            _ => policy::set_hash(cx.state),
        },
        council: Vec::new(),
        council_threshold: 0,
        trusting_period_ms: cx.parameters.trusting_period_ms,
        council_delay_ms: cx.parameters.council_delay_ms,
        weight_max: Weight(cx.parameters.message_weight_max),
        backlog_max: cx.parameters.lane_backlog_max,
        anchor_height: link.peer_height,
        anchor_id: link.peer_id,
    })
}

/// Ends a link. One with unfinished commits stays: their participants must still be told.
pub(crate) fn close(cx: &mut Context<'_, '_>, id: LinkId) -> Result<(), Refusal> {
    let (mut link, _) = find(cx, id)?;
    ensure!(link.status != LinkStatus::Closed, Replay, "link {id} is closed already");
    ensure!(
        !commit::has_unfinished(cx.state, id),
        State,
        "two-phase commits over link {id} are not finished; wait for them, or pause the link"
    );
    link.status = LinkStatus::Closed;
    lanes::put_link(cx.state, &link);
    Ok(())
}

/// Accepts what a gateway's recovery council has done.
pub(crate) fn approve_trust(
    cx: &mut Context<'_, '_>,
    id: LinkId,
    trust_epoch: u32,
) -> Result<(), Refusal> {
    let (mut link, mut registration) = find(cx, id)?;
    ensure!(
        trust_epoch > link.peer_trust_epoch,
        State,
        "trust epoch {trust_epoch} of link {id} is not above {}, which is approved",
        link.peer_trust_epoch
    );
    link.peer_trust_epoch = trust_epoch;
    registration.announced.retain(|act| act.trust_epoch > trust_epoch);
    lanes::put_link(cx.state, &link);
    REGISTRATIONS.put(cx.state, &id, &registration);
    Ok(())
}

/// Sets a new trusted header after expiry or a freeze, and thaws the link.
pub(crate) fn recover(
    hub: &Hub,
    cx: &mut Context<'_, '_>,
    id: LinkId,
    anchor: &[u8],
) -> Result<(), Refusal> {
    let (mut link, registration) = find(cx, id)?;
    let Some(verifier) = hub.verifier(&link.verifier) else {
        refuse!(Unsupported, "this hub has no verifier named {}", link.verifier);
    };
    let status = verifier.view(&link.client, cx.block.time)?.status;
    let is_frozen = link.status == LinkStatus::Frozen;
    ensure!(
        is_frozen || matches!(status, ClientStatus::Expired | ClientStatus::Frozen),
        State,
        "link {id} is {} and its client accepts proofs; there is nothing to recover",
        status_name(link.status)
    );
    ensure!(link.status != LinkStatus::Closed, State, "link {id} is closed");
    let anchor = verifier.recover(&link.client, anchor, cx.block.time)?;
    let thawed = if registration.opened { LinkStatus::Open } else { LinkStatus::Proposed };
    lanes::recover_link(cx.state, &mut link, anchor, thawed);
    Ok(())
}

/// Ends the epoch of a lane, both ways, and begins the next. What the gateway does not hold of it goes
/// again or back to its sender; the link stays frozen until its client is recovered.
pub(crate) fn reopen(
    cx: &mut Context<'_, '_>,
    id: LinkId,
    lane: LaneNumber,
    epoch: Epoch,
    received: u64,
) -> Result<(), Refusal> {
    find(cx, id)?;
    let ended = lanes::reopen(cx.state, id, lane, epoch, received)?;
    cx.record.lane = lane;
    cx.record.remark = format!(
        "epoch {epoch} of lane {lane}; {received} of {} messages are the gateway's, {} of its own \
         were taken",
        ended.sent.size(),
        ended.received.size()
    );
    Ok(())
}

/// Learns what became of a message of a lane that was reopened.
pub(crate) fn reopened(cx: &mut Context<'_, '_>, unheld: &Unheld, body: Body) {
    match body {
        Body::Share(_) => data::take_back(cx, unheld),
        Body::Prepare(_) | Body::Commit(_) | Body::Abort(_) => commit::reopened(cx, unheld),
        // The newest standing is told, not the one of then.
        Body::IdentityUpdate(update) => announce::owe_again(cx.state, unheld.link, update.identity),
        Body::SchemaUpdate(update) => {
            announce::owe_schema_again(cx.state, unheld.link, update.schema)
        }
        // The rest goes again as it was.
        _ => {}
    }
}

/// Notes in the record that a gateway refused one of the hub's announcements.
pub(crate) fn take_refused(cx: &mut Context<'_, '_>, arrival: &Arrival, refused: &Refused) {
    cx.record.remark = format!(
        "the gateway refused message {} of lane {}: {}",
        refused.of,
        arrival.lane,
        class_of(refused.class)
    );
}
