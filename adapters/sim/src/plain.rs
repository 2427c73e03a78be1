//! The least machine that has links: it sends what it is told to and takes whatever comes.

use borsh::{BorshDeserialize, BorshSerialize};
use tombolo_crypto::client::LightClient;
use tombolo_ledger::{
    Arrival, Context, Machine, Unheld,
    lanes::{self, Link, LinkStatus, Room},
    validators,
};
use tombolo_types::{
    Address, Hash, LaneNumber, Refusal, UnixMillis, Weight,
    header::{
        Anchor, Genesis, GenesisIdentity, GenesisParameter, HEADER_VERSION, Validator, ValidatorSet,
    },
    id::LinkId,
    lane::Direction,
    message::{Body, Role},
    verifier::{LinkTerms, Verifier},
};

/// What a plain chain can be told.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum PlainCall {
    /// Opens a link in mode 1, with a light client of the other chain.
    Open {
        /// Its id.
        link: LinkId,
        /// The encoded [`Anchor`] of the other chain.
        anchor: Vec<u8>,
        /// For how long its headers are trusted, in milliseconds.
        trusting_period_ms: u64,
    },
    /// Sends one message of an encoded body over a lane.
    Send {
        /// The link.
        link: LinkId,
        /// The lane.
        lane: LaneNumber,
        /// The kind of the body.
        kind: u16,
        /// The body's ABI encoding.
        body: Vec<u8>,
    },
    /// Has other validators certify from the next block on.
    Validators(Vec<Validator>),
}

/// A machine without a purpose of its own. `HUB` says which end of its links it is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Plain<const HUB: bool>;

/// A [`Plain`] machine that stands for the hub.
pub type PlainHub = Plain<true>;
/// A [`Plain`] machine that stands for a linked chain.
pub type PlainChain = Plain<false>;

static VERIFIER: LightClient = LightClient;

/// A genesis for a chain that runs `M`, with `relayers` as its identities and whatever else is
/// not given left empty.
#[must_use]
pub fn genesis<M: Machine>(
    name: &str,
    time: UnixMillis,
    validators: ValidatorSet,
    relayers: &[Address],
    parameters: Vec<GenesisParameter>,
) -> Genesis {
    let identity = |key: &Address| GenesisIdentity {
        key: *key,
        roles: Role::Relayer.bit(),
        name: format!("relayer of {name}"),
    };
    Genesis {
        version: HEADER_VERSION,
        kind: M::KIND.to_owned(),
        name: name.to_owned(),
        time,
        validators,
        identities: relayers.iter().map(identity).collect(),
        balances: Vec::new(),
        quorum: 1,
        council: Vec::new(),
        council_threshold: 0,
        hub_anchor: Vec::new(),
        parameters,
    }
}

impl<const HUB: bool> Machine for Plain<HUB> {
    const KIND: &'static str = if HUB { "sim-hub" } else { "sim-chain" };
    const DIRECTION: Direction = if HUB { Direction::HubToChain } else { Direction::ChainToHub };
    type Call = PlainCall;

    fn genesis(&self, _: &mut Context<'_, '_>, _: &Genesis) -> Result<(), Refusal> {
        Ok(())
    }

    fn begin_block(&self, _: &mut Context<'_, '_>) {}

    fn weight(&self, _: &PlainCall) -> u64 {
        1
    }

    fn call(&self, cx: &mut Context<'_, '_>, call: PlainCall) -> Result<(), Refusal> {
        match call {
            PlainCall::Open { link, anchor, trusting_period_ms } => {
                let terms = LinkTerms { link, gateway: Address::ZERO, mode: 1, trusting_period_ms };
                let client = VERIFIER.start(&anchor, &terms, cx.block.time)?;
                let anchor = Anchor::decode(&anchor)?;
                let link = Link {
                    id: link,
                    chain: anchor.chain_id,
                    mode: 1,
                    status: LinkStatus::Open,
                    verifier: VERIFIER.kind().to_owned(),
                    client,
                    peer_height: anchor.height,
                    peer_id: anchor.block_id,
                    peer_time: anchor.time,
                    trust_epoch: 0,
                    peer_trust_epoch: 0,
                    peer_weight_max: Weight(64),
                    greeted: true,
                    policy_hash: Hash::ZERO,
                    unbounded: false,
                };
                lanes::open_link(cx.state, &link)
            }
            PlainCall::Send { link, lane, kind, body } => {
                let Some(body) = Body::decode(kind, &body)? else {
                    tombolo_types::refuse!(Version, "there is no message kind {kind}");
                };
                let never = UnixMillis::ZERO;
                let (state, salt) = (&mut *cx.state, cx.salt);
                lanes::append(state, Self::DIRECTION, link, lane, &body, never, salt, Room::Ask)
                    .map(drop)
            }
            PlainCall::Validators(mut members) => {
                members.sort_by_key(|member| member.address);
                let set =
                    ValidatorSet { first_height: cx.block.height.next(), validators: members };
                validators::put(cx.state, &set, cx.block.height)
            }
        }
    }

    fn request(&self, _: &mut Context<'_, '_>, _: &Arrival, _: Body) -> Result<(), Refusal> {
        Ok(())
    }

    fn answer(&self, _: &mut Context<'_, '_>, _: &Arrival, _: Body) {}

    fn taken(&self, _: &mut Context<'_, '_>, _: LinkId, _: LaneNumber, _: u64, _: u64) {}

    fn frozen(&self, _: &mut Context<'_, '_>, _: LinkId) {}

    fn reopened(&self, _: &mut Context<'_, '_>, _: &Unheld, _: Body) {}

    fn verifier(&self, kind: &str) -> Option<&dyn Verifier> {
        (kind == VERIFIER.kind()).then_some(&VERIFIER as &dyn Verifier)
    }
}

/// A number as a 32-byte word, for ids that need only be different.
pub(crate) fn word(number: u64) -> Hash {
    let mut word = [0; 32];
    word[24..].copy_from_slice(&number.to_be_bytes());
    Hash(word)
}
