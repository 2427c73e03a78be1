//! A ledger that notes, refuses, opens links and speaks over them; and who signs for it.

use borsh::{BorshDeserialize, BorshSerialize};
use tombolo_crypto::{client::LightClient, digest, secp256k1::SecretKey};
use tombolo_ledger::{
    Arrival, Call, Context, Machine, Unheld,
    lanes::{self, Link, LinkStatus, Room},
};
use tombolo_types::{
    Address, Hash, Height, LaneNumber, Power, Refusal, UnixMillis, Weight,
    header::{Anchor, Genesis, GenesisIdentity, HEADER_VERSION, Validator, ValidatorSet},
    id::{BlockId, ChainId, IdentityId, LinkId, SchemaId},
    lane::{DATA_LANE, Direction},
    message::{Body, Role, SchemaUpdate},
    refuse,
    transaction::{SignedTransaction, Transaction},
    verifier::{LinkTerms, Verifier},
};

pub(crate) const START: UnixMillis = UnixMillis(1_700_000_000_000);
pub(crate) const LINK: LinkId = LinkId([0x11; 32]);

#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) enum ToyCall {
    /// Leaves a record.
    Note(String),
    /// Is refused in the block.
    Fail,
    /// Opens [`LINK`].
    Open,
    /// Appends a message of so many bytes to its data lane.
    Say(u32),
}

pub(crate) struct Toy;

impl Machine for Toy {
    const KIND: &'static str = "toy";
    const DIRECTION: Direction = Direction::HubToChain;
    type Call = ToyCall;

    fn genesis(&self, _: &mut Context<'_, '_>, _: &Genesis) -> Result<(), Refusal> {
        Ok(())
    }

    fn begin_block(&self, _: &mut Context<'_, '_>) {}

    fn weight(&self, _: &ToyCall) -> u64 {
        1
    }

    fn call(&self, cx: &mut Context<'_, '_>, call: ToyCall) -> Result<(), Refusal> {
        match call {
            ToyCall::Note(text) => {
                cx.record.operation = "note".into();
                cx.record.remark = text;
                Ok(())
            }
            ToyCall::Fail => refuse!(Denied, "this toy denies what it is asked to deny"),
            ToyCall::Open => lanes::open_link(cx.state, &link(cx.block.time)),
            ToyCall::Say(bytes) => {
                let definition = vec![7; bytes as usize];
                let body = Body::SchemaUpdate(SchemaUpdate { schema: SchemaId::ZERO, definition });
                let (salt, never) = (cx.salt, UnixMillis::ZERO);
                let direction = Self::DIRECTION;
                lanes::append(cx.state, direction, LINK, DATA_LANE, &body, never, salt, Room::Ask)
                    .map(|_| ())
            }
        }
    }

    fn request(&self, _: &mut Context<'_, '_>, _: &Arrival, _: Body) -> Result<(), Refusal> {
        refuse!(Unsupported, "toys take no requests");
    }

    fn answer(&self, _: &mut Context<'_, '_>, _: &Arrival, _: Body) {}

    fn taken(&self, _: &mut Context<'_, '_>, _: LinkId, _: LaneNumber, _: u64, _: u64) {}

    fn frozen(&self, _: &mut Context<'_, '_>, _: LinkId) {}

    fn reopened(&self, _: &mut Context<'_, '_>, _: &Unheld, _: Body) {}

    fn verifier(&self, kind: &str) -> Option<&dyn Verifier> {
        (kind == LightClient.kind()).then_some(&LightClient)
    }
}

/// The terms of the toy's one link.
pub(crate) fn terms() -> LinkTerms {
    LinkTerms { link: LINK, gateway: Address([7; 20]), mode: 1, trusting_period_ms: 3_600_000 }
}

fn link(now: UnixMillis) -> Link {
    let chain = ChainId([0x22; 32]);
    let anchor = Anchor {
        chain_id: chain,
        height: Height::ZERO,
        block_id: BlockId(chain.0),
        time: now,
        validators: set(&key(9)),
    };
    let client = LightClient.start(&anchor.encode(), &terms(), now).unwrap();
    Link {
        id: LINK,
        chain,
        mode: 1,
        status: LinkStatus::Open,
        verifier: LightClient.kind().into(),
        client,
        peer_height: Height::ZERO,
        peer_id: BlockId(chain.0),
        peer_time: now,
        trust_epoch: 0,
        peer_trust_epoch: 0,
        peer_weight_max: Weight(64),
        greeted: true,
        policy_hash: Hash::ZERO,
        unbounded: false,
    }
}

pub(crate) fn key(number: u8) -> SecretKey {
    SecretKey::from_bytes([number; 32]).unwrap()
}

fn set(key: &SecretKey) -> ValidatorSet {
    let validators = vec![Validator { address: key.address(), power: Power(10) }];
    ValidatorSet { first_height: Height(1), validators }
}

/// A network of one validator, key 1, with identities of keys 2 to 4.
pub(crate) fn genesis(time: UnixMillis) -> Genesis {
    let identity = |number| GenesisIdentity {
        key: key(number).address(),
        roles: Role::Stakeholder.bit(),
        name: format!("party {number}"),
    };
    Genesis {
        version: HEADER_VERSION,
        kind: Toy::KIND.into(),
        name: "toys".into(),
        time,
        validators: set(&key(1)),
        identities: (2..5).map(identity).collect(),
        balances: Vec::new(),
        quorum: 1,
        council: Vec::new(),
        council_threshold: 0,
        hub_anchor: Vec::new(),
        parameters: Vec::new(),
    }
}

/// One of the parties, counting its own nonces.
pub(crate) struct Party {
    key: SecretKey,
    chain: ChainId,
    pub(crate) nonce: u64,
}

impl Party {
    pub(crate) fn new(number: u8, chain: ChainId) -> Self {
        Self { key: key(number), chain, nonce: 0 }
    }

    pub(crate) fn identity(&self) -> IdentityId {
        digest::identity_id(self.key.address())
    }

    pub(crate) fn sign(&mut self, now: UnixMillis, call: ToyCall) -> Vec<u8> {
        let transaction = Transaction {
            chain_id: self.chain,
            signer: self.identity(),
            nonce_lane: 0,
            nonce: self.nonce,
            expires: now.saturating_add(60_000),
            salt: Hash([self.nonce as u8; 32]),
            call: borsh::to_vec(&Call::Own(call)).unwrap(),
        };
        self.nonce += 1;
        let body = borsh::to_vec(&transaction).unwrap();
        let signature = self.key.sign(digest::tx_id(&body).into());
        borsh::to_vec(&SignedTransaction { body, signature }).unwrap()
    }
}
