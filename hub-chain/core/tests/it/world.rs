//! A hub with three stakeholders and two linked chains, and what tests do with it.

use crate::harness::{
    CODE, Chain, GATEWAY, METHOD, Memory, Peer, PeerCall, deliver, genesis_document, identity, key,
    parameter, roles,
};
use tombolo_crypto::digest;
use tombolo_hub::{
    Hub, HubCall,
    govern::{Act, NewIdentity, NewLink},
    policy::SHARE_OPEN_DATA,
};
use tombolo_ledger::{
    Call,
    lanes::{self, LinkStatus},
};
use tombolo_types::{
    Epoch, Hash, LaneNumber, Refusal, UnixMillis,
    envelope::{
        Canonical, ENVELOPE_VERSION, Envelope, HashAlgorithm, Reading, SignatureAlgorithm, Value,
    },
    header::{Anchor, GenesisParameter},
    id::{ChainId, GlobalId, IdentityId, LinkId, SchemaId, TxId},
    lane::{CONTROL_LANE, DATA_LANE},
    message::{Body, DataClass, Role, Share},
    schema::{Field, FieldKind, Schema},
};

/// The device that signs readings; its owner is stakeholder 1.
pub(crate) const DEVICE: u8 = 20;

pub(crate) struct World {
    pub(crate) hub: Chain<Hub>,
    pub(crate) a: Chain<Peer>,
    pub(crate) b: Chain<Peer>,
    pub(crate) air: SchemaId,
    pub(crate) water: SchemaId,
}

pub(crate) fn hub(parameters: Vec<GenesisParameter>) -> Chain<Hub> {
    let mut genesis = genesis_document(
        "hub",
        100,
        &[
            (1, roles(&[Role::Stakeholder])),
            (2, roles(&[Role::Stakeholder])),
            (3, roles(&[Role::Stakeholder])),
            (4, roles(&[Role::Operator])),
            (5, roles(&[Role::Relayer])),
        ],
    );
    genesis.quorum = 2;
    genesis.parameters = parameters;
    Chain::new(&genesis, 100)
}

pub(crate) fn peer(hub: &Anchor, validator: u8) -> Chain<Peer> {
    let mut genesis = genesis_document("peer", validator, &[(5, roles(&[Role::Relayer]))]);
    genesis.hub_anchor = hub.encode();
    Chain::new(&genesis, validator)
}

pub(crate) fn schema(name: &str) -> Vec<u8> {
    let field = Field {
        name: "value".into(),
        kind: FieldKind::Text,
        unit: String::new(),
        minimum: None,
        maximum: None,
        length_max: 64,
        required: true,
        decimals: None,
    };
    Schema { name: name.into(), version: 1, fields: vec![field] }.encode().unwrap()
}

impl Chain<Hub> {
    pub(crate) fn propose(&mut self, signer: u8, act: Act) -> Result<Hash, Refusal> {
        self.run(signer, HubCall::Propose(Box::new(act))).map(Hash::from_tx)
    }

    /// Proposes as 1 and approves as 2, which is a quorum.
    pub(crate) fn enact(&mut self, act: Act) -> Result<TxId, Refusal> {
        let proposal = self.propose(1, act)?;
        self.run(2, HubCall::Approve { proposal })
    }
}

/// The id of a proposal is that of its transaction.
trait FromTx {
    fn from_tx(id: TxId) -> Self;
}

impl FromTx for Hash {
    fn from_tx(id: TxId) -> Self {
        id.into()
    }
}

pub(crate) fn new_link(peer: &Chain<Peer>) -> NewLink {
    NewLink {
        chain: peer.id,
        gateway: GATEWAY,
        incarnation: 1,
        mode: 1,
        verifier: "tombolo".into(),
        anchor: peer.anchor().encode(),
        code_hash: CODE,
        identification_method: METHOD.into(),
        nodes: Vec::new(),
    }
}

/// Registers, greets and opens.
pub(crate) fn link(hub: &mut Chain<Hub>, peer: &mut Chain<Peer>, anchor: &Anchor) {
    hub.enact(Act::RegisterLink(Box::new(new_link(peer)))).unwrap();
    let hello = Body::Hello(peer.hello(anchor));
    peer.send(CONTROL_LANE, &hello);
    let id = peer.link();
    deliver(peer, hub, id, CONTROL_LANE).unwrap();
    hub.enact(Act::OpenLink { link: id }).unwrap();
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(vec![])
    }

    /// Both chains linked, the device registered, two schemas, open data may be shared.
    pub(crate) fn with(parameters: Vec<GenesisParameter>) -> Self {
        let mut world = Self::bare(parameters);
        world.hub.enact(set_policy("open", SHARE_OPEN_DATA)).unwrap();
        world
    }

    /// As [`World::with`], without any policy.
    pub(crate) fn bare(parameters: Vec<GenesisParameter>) -> Self {
        let mut hub = hub(parameters);
        hub.block(vec![]);
        let anchor = hub.anchor();
        let (mut a, mut b) = (peer(&anchor, 110), peer(&anchor, 111));
        a.block(vec![]);
        b.block(vec![]);
        link(&mut hub, &mut a, &anchor);
        link(&mut hub, &mut b, &anchor);
        hub.enact(Act::RegisterIdentity(device(DEVICE, 1))).unwrap();
        let (air, water) = (schema("air"), schema("water"));
        hub.enact(Act::SetSchema { definition: air.clone() }).unwrap();
        hub.enact(Act::SetSchema { definition: water.clone() }).unwrap();
        Self { hub, a, b, air: digest::schema_id(&air), water: digest::schema_id(&water) }
    }

    /// A reading of the device, at home on chain A.
    pub(crate) fn reading(&self, local_id: &str) -> Envelope {
        Envelope {
            version: ENVELOPE_VERSION,
            home: self.a.id,
            owner: identity(1),
            local_id: local_id.into(),
            item_version: 1,
            class: DataClass::Open,
            schema: self.air,
            device: identity(DEVICE),
            terms: "CC-BY-4.0".into(),
            policy_hash: Hash::ZERO,
            hash_algorithm: HashAlgorithm::Keccak256,
            signature_algorithm: SignatureAlgorithm::Secp256k1,
            salt: [7; 32],
            time: UnixMillis(1_000),
            readings: vec![Reading {
                name: "value".into(),
                at: UnixMillis(1_000),
                value: Value::Text("clean".into()),
            }],
            extensions: Default::default(),
        }
    }

    /// A share of the envelope from A to B, signed by the device.
    pub(crate) fn share(&self, envelope: Envelope) -> Share {
        share(envelope, self.a.id, self.b.id, DEVICE)
    }

    /// Sends a share from A and gives the class with which the hub refuses it.
    pub(crate) fn send_share(&mut self, share: Share) -> Result<(), Refusal> {
        self.send_data(Body::Share(share))
    }

    /// Sends a message from A on the data lane, and gives the hub's refusal.
    pub(crate) fn send_data(&mut self, body: Body) -> Result<(), Refusal> {
        self.a.send(DATA_LANE, &body);
        let link = self.a.link();
        deliver(&mut self.a, &mut self.hub, link, DATA_LANE).unwrap();
        let record = self.hub.records_of(body.name()).pop().unwrap();
        match tombolo_types::Class::from_number(record.outcome) {
            None => Ok(()),
            Some(class) => Err(Refusal::new(class, record.remark)),
        }
    }

    /// Everything of a lane, both ways, between the hub and one chain.
    pub(crate) fn hub_to_a(&mut self, lane: LaneNumber) {
        let link = self.a.link();
        deliver(&mut self.hub, &mut self.a, link, lane).unwrap();
    }

    pub(crate) fn hub_to_b(&mut self, lane: LaneNumber) {
        let link = self.b.link();
        deliver(&mut self.hub, &mut self.b, link, lane).unwrap();
    }

    pub(crate) fn a_to_hub(&mut self, lane: LaneNumber) {
        let link = self.a.link();
        deliver(&mut self.a, &mut self.hub, link, lane).unwrap();
    }

    pub(crate) fn b_to_hub(&mut self, lane: LaneNumber) {
        let link = self.b.link();
        deliver(&mut self.b, &mut self.hub, link, lane).unwrap();
    }

    /// Shows the hub that B contradicts itself: the link between them stands still at both ends.
    pub(crate) fn freeze_b(&mut self) {
        let link = self.b.link();
        let evidence = self.b.equivocation();
        self.hub.now = self.hub.now.max(self.b.now);
        let shown = self.hub.sign(5, Call::Misbehaviour { link, evidence });
        self.hub.one(shown).unwrap();
        self.b.run(5, PeerCall::Stand(LinkStatus::Frozen)).unwrap();
    }

    /// How many messages of a lane each end has taken from the other: hub, B.
    pub(crate) fn taken(&self, lane: LaneNumber) -> (u64, u64) {
        let link = self.b.link();
        let of = |view: &Memory| lanes::lane(view, link, lane).unwrap().received.size();
        (of(&self.hub.store), of(&self.b.store))
    }

    /// Reopens both ends of a lane between the hub and B where they agree, and thaws both.
    pub(crate) fn reopen_b(&mut self, lane: LaneNumber, epoch: u32) {
        let (link, epoch) = (self.b.link(), Epoch(epoch));
        let (by_hub, by_b) = self.taken(lane);
        self.b.run(5, PeerCall::Reopen { lane, epoch, received: by_hub }).unwrap();
        self.hub.enact(Act::ReopenLane { link, lane, epoch, received: by_b }).unwrap();
        self.b.run(5, PeerCall::Stand(LinkStatus::Open)).unwrap();
        self.hub.now = self.hub.now.max(self.b.now);
        let anchor = self.b.anchor().encode();
        self.hub.enact(Act::RecoverClient { link, anchor }).unwrap();
    }

    pub(crate) fn links(&self) -> (LinkId, LinkId) {
        (self.a.link(), self.b.link())
    }
}

pub(crate) fn set_policy(id: &str, text: &str) -> Act {
    Act::SetPolicy { id: id.into(), text: text.into() }
}

pub(crate) fn device(number: u8, owner: u8) -> NewIdentity {
    NewIdentity {
        key: key(number).address(),
        roles: Role::Device.bit(),
        name: format!("device {number}"),
        owner: identity(owner),
    }
}

pub(crate) fn canonical(envelope: Envelope) -> Canonical {
    envelope.canonical().unwrap()
}

pub(crate) fn share(
    envelope: Envelope,
    source_chain: ChainId,
    destination_chain: ChainId,
    signer: u8,
) -> Share {
    let canonical = canonical(envelope);
    let envelope = canonical.envelope();
    let bytes = canonical.bytes();
    Share {
        global_id: GlobalId(digest::fingerprint(bytes).0),
        source_chain,
        source_height: tombolo_types::Height(1),
        destination_chain,
        data_id: digest::data_id(envelope.home, envelope.owner, &envelope.local_id),
        item_version: envelope.item_version,
        class: envelope.class.number(),
        schema: envelope.schema,
        fingerprint: digest::fingerprint(bytes),
        owner: envelope.owner,
        terms: envelope.terms.clone(),
        envelope: bytes.to_vec(),
        device: envelope.device,
        signature: key(signer).sign(digest::envelope(bytes)),
    }
}

pub(crate) fn tight() -> Vec<GenesisParameter> {
    vec![parameter("link_items_per_hour", 2)]
}

pub(crate) fn class<T: std::fmt::Debug>(
    result: Result<T, Refusal>,
) -> Option<tombolo_types::Class> {
    result.err().map(|refusal| refusal.class)
}

pub(crate) fn id_of(number: u8) -> IdentityId {
    identity(number)
}
