//! The gateway: how the islet is tied to its hub, and how fresh its view of identities is.

use crate::account;
use borsh::{BorshDeserialize, BorshSerialize};
use tombolo_crypto::{client, digest, digest::Preimage, keccak256::keccak256};
use tombolo_ledger::{
    Cell, Context,
    block::history,
    lanes::{self, Link, LinkStatus, Room},
};
use tombolo_types::{
    Address, Hash, Refusal, UnixMillis, Weight, ensure,
    header::{Anchor, Genesis},
    id::{ChainId, LinkId},
    lane::{CONTROL_LANE, Direction},
    message::{Body, Hello, PROTOCOL_VERSION},
    refuse,
    store::View,
    verifier::{LinkTerms, Verifier},
};

/// The kind that genesis names.
pub const KIND: &str = "islet";
/// Contract to contract: each side believes the other's own consensus. Spec: Y.4560 cl. 10.2
pub const MODE: u8 = 1;
/// How parties are identified; both ends of a link must say the same. Req: Y4560-10.2-1.4
pub const IDENTIFICATION_METHOD: &str = "tombolo-identity/1";
/// A gateway is built into its ledger, so there is never a second one.
pub const INCARNATION: u32 = 1;

/// Which way an islet's own messages go.
pub(crate) const DIRECTION: Direction = Direction::ChainToHub;

/// What the gateway was born with.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Gateway {
    /// Its address.
    pub address: Address,
    /// The link to the hub.
    pub link: LinkId,
    /// The hub.
    pub hub: ChainId,
    /// The recovery council, ascending.
    pub council: Vec<Address>,
    /// How many of it must agree.
    pub council_threshold: u32,
}

const GATEWAY: Cell<Gateway> = Cell::new(*b"iG");

/// The hash that stands for the gateway's code in its Hello. The code is the ledger's own, so its
/// name and version stand for it.
#[must_use]
pub fn code_hash() -> Hash {
    keccak256(b"tombolo-islet/1")
}

/// The address of the gateway of an islet: nobody holds a key to it.
#[must_use]
pub fn gateway_address(chain: ChainId) -> Address {
    let Hash(word) = Preimage::tagged("gateway").word(chain).finish();
    let (_, address) = word.split_at(12);
    // The last 20 of 32 bytes.
    Address(address.try_into().unwrap_or([0; 20]))
}

/// The link between a hub and an islet.
#[must_use]
pub fn hub_link_id(hub: ChainId, chain: ChainId) -> LinkId {
    digest::link_id(hub, chain, gateway_address(chain), INCARNATION)
}

/// The gateway; `None` before genesis.
pub fn gateway(view: &dyn View) -> Option<Gateway> {
    GATEWAY.get(view)
}

/// The link to the hub; `None` before genesis.
pub fn link_to_hub(view: &dyn View) -> Option<Link> {
    lanes::link(view, gateway(view)?.link)
}

/// Gateway and link, which are there from genesis on.
pub(crate) fn own(view: &dyn View) -> Result<(Gateway, Link), Refusal> {
    let Some(gateway) = gateway(view) else {
        refuse!(State, "this ledger has no gateway yet; it is before genesis");
    };
    let Some(link) = lanes::link(view, gateway.link) else {
        refuse!(State, "this ledger has no link to hub {}", gateway.hub);
    };
    Ok((gateway, link))
}

/// The age of this ledger's view of identities, in milliseconds at `now`: since the time of the
/// newest hub header whose control lane has been taken as a whole.
pub fn identity_view_age_ms(view: &dyn View, now: UnixMillis) -> u64 {
    let current_at = gateway(view)
        .and_then(|gateway| lanes::lane(view, gateway.link, CONTROL_LANE))
        .map_or(UnixMillis::ZERO, |lane| lane.current_at);
    now.since(current_at)
}

/// Refuses what would leave the ledger on a view of identities that is too old: a revocation may
/// be waiting on the lane. What stays here is not stopped.
pub(crate) fn ensure_fresh_view(cx: &Context<'_, '_>) -> Result<(), Refusal> {
    let age = identity_view_age_ms(cx.state, cx.block.time);
    ensure!(
        age <= cx.parameters.identity_view_ms,
        Ident,
        "this gateway's view of identities is {age} ms old, at most {} ms are allowed for what \
         leaves the ledger; let a relayer deliver the hub's control lane",
        cx.parameters.identity_view_ms
    );
    Ok(())
}

/// Refuses new requests unless the link takes them.
pub(crate) fn ensure_open(link: &Link, now: UnixMillis) -> Result<(), Refusal> {
    match link.status {
        LinkStatus::Open => Ok(()),
        LinkStatus::Paused { until } if until <= now => Ok(()),
        status => refuse!(State, "link {} is {status:?} and sends nothing new", link.id),
    }
}

/// Ties a new islet to its hub, and says Hello.
pub(crate) fn lay(
    cx: &mut Context<'_, '_>,
    genesis: &Genesis,
    verifier: &dyn Verifier,
) -> Result<(), Refusal> {
    check_council(&genesis.council, genesis.council_threshold)?;
    let anchor = Anchor::decode(&genesis.hub_anchor)?;
    let trusting_period_ms = cx.parameters.trusting_period_ms;
    let chain = cx.block.chain_id;
    let (address, link) = (gateway_address(chain), hub_link_id(anchor.chain_id, chain));
    let terms = LinkTerms { link, gateway: address, mode: MODE, trusting_period_ms };
    let client = verifier.start(&genesis.hub_anchor, &terms, cx.block.time)?;
    let gateway = Gateway {
        address,
        link,
        hub: anchor.chain_id,
        council: genesis.council.clone(),
        council_threshold: genesis.council_threshold,
    };
    let link = Link {
        id: gateway.link,
        chain: anchor.chain_id,
        mode: MODE,
        status: LinkStatus::Proposed,
        verifier: client::KIND.to_owned(),
        client,
        peer_height: anchor.height,
        peer_id: anchor.block_id,
        peer_time: anchor.time,
        trust_epoch: 0,
        peer_trust_epoch: 0,
        peer_weight_max: Weight::ZERO,
        greeted: false,
        policy_hash: Hash::ZERO,
        unbounded: false,
    };
    lanes::open_link(cx.state, &link)?;
    GATEWAY.put(cx.state, &gateway);
    let hello = Body::Hello(Hello {
        version_min: PROTOCOL_VERSION,
        version_max: PROTOCOL_VERSION,
        chain,
        mode: MODE,
        gateway_code_hash: code_hash(),
        identification_method: IDENTIFICATION_METHOD.to_owned(),
        policy_hash: Hash::ZERO,
        council: gateway.council,
        council_threshold: gateway.council_threshold,
        trusting_period_ms,
        council_delay_ms: cx.parameters.council_delay_ms,
        weight_max: Weight(cx.parameters.message_weight_max),
        backlog_max: cx.parameters.lane_backlog_max,
        anchor_height: anchor.height,
        anchor_id: anchor.block_id,
    });
    // What the hub takes is not known before its own Hello; ours must go first.
    let salt = Hash::from(chain);
    append(cx, &hello, UnixMillis::ZERO, salt, Room::Reserved)?;
    account::lay(cx, genesis)
}

/// `E_FORMAT` unless twice the threshold exceeds the number of members: two groups that may both
/// act would let a council contradict itself.
fn check_council(council: &[Address], threshold: u32) -> Result<(), Refusal> {
    let mut before = Address::ZERO;
    for member in council {
        ensure!(
            *member > before,
            Format,
            "council member {member} does not stand in ascending order after {before}, or twice"
        );
        before = *member;
    }
    let members = u64::try_from(council.len()).unwrap_or(u64::MAX);
    let threshold = u64::from(threshold);
    ensure!(
        threshold <= members && threshold.saturating_mul(2) > members,
        Format,
        "a threshold of {threshold} among {members} council members is not more than half of them"
    );
    Ok(())
}

/// Appends to the control lane.
pub(crate) fn append(
    cx: &mut Context<'_, '_>,
    body: &Body,
    not_after: UnixMillis,
    salt: Hash,
    room: Room,
) -> Result<(), Refusal> {
    let Some(gateway) = gateway(cx.state) else {
        refuse!(State, "this ledger has no gateway yet; it is before genesis");
    };
    lanes::append(cx.state, DIRECTION, gateway.link, CONTROL_LANE, body, not_after, salt, room)
        .map(|_| ())
}

/// Takes the hub's Hello: the link opens.
pub(crate) fn take_hello(cx: &mut Context<'_, '_>, hello: &Hello) -> Result<(), Refusal> {
    let (gateway, mut link) = own(cx.state)?;
    ensure!(
        (hello.version_min..=hello.version_max).contains(&PROTOCOL_VERSION),
        Version,
        "the hub speaks protocol versions {} to {}, this gateway speaks {PROTOCOL_VERSION}",
        hello.version_min,
        hello.version_max
    );
    ensure!(
        hello.chain == gateway.hub,
        Format,
        "the Hello names chain {}, the link leads to hub {}",
        hello.chain,
        gateway.hub
    );
    ensure!(
        hello.identification_method == IDENTIFICATION_METHOD,
        IdMethod,
        "the hub identifies parties by {}, this ledger by {IDENTIFICATION_METHOD}",
        hello.identification_method
    );
    ensure!(
        hello.mode == link.mode,
        State,
        "the hub opens link {} in mode {}, this gateway is of mode {}",
        link.id,
        hello.mode,
        link.mode
    );
    ensure!(!link.greeted, State, "the hub has said Hello on link {} before", link.id);
    let ours = history(cx.state, hello.anchor_height);
    ensure!(
        ours == Some(hello.anchor_id),
        Proof,
        "the hub trusts block {} at height {} of this ledger, which is not in its history",
        hello.anchor_id,
        hello.anchor_height
    );
    link.greeted = true;
    link.peer_weight_max = hello.weight_max;
    if link.status == LinkStatus::Proposed {
        link.status = LinkStatus::Open;
    }
    lanes::put_link(cx.state, &link);
    Ok(())
}
