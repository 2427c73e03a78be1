//! A hub, an islet and the parties on them.

use crate::{
    harness::{BEGIN, Chain, Founding, identity, key, relay, rest},
    toy::{ToyCall, ToyHub, inbox},
};
use std::sync::LazyLock;
use tombolo_crypto::{client::LightClient, digest, keccak256::keccak256, secp256k1::SecretKey};
use tombolo_islet_core::{
    CouncilOrder, IDENTIFICATION_METHOD, Islet, IsletCall, MODE, code_hash, gateway_address,
    hub_link_id,
};
use tombolo_ledger::{
    Call,
    lanes::{Link, LinkStatus},
};
use tombolo_types::{
    Address, Amount, Hash, Height, LaneNumber, Refusal, UnixMillis, Weight,
    action::{Action, Authorisation, Branch, MoveIn, MoveOut, Pay, Terms, Write},
    council::ActKind,
    envelope::{
        Decimal, ENVELOPE_VERSION, Envelope, HashAlgorithm, Reading, SignatureAlgorithm, Value,
    },
    header::{GenesisBalance, Signature},
    id::{AssetId, ChainId, DataId, IdentityId, LinkId, SchemaId, Xid},
    lane::{CONTROL_LANE, DATA_LANE},
    message::{
        Body, DataClass, Decision, Hello, IdentityUpdate, Prepare, Role, SchemaUpdate, Share,
        Status, Vote,
    },
    schema::{Field, FieldKind, Schema},
    verifier::{LinkTerms, Verifier as _},
};

pub(crate) const ASSET: AssetId = AssetId([0xa5; 32]);
/// What each of two accounts holds at genesis.
pub(crate) const FUNDS: u128 = 1_000;
/// Another chain of the hub's, known by its id alone.
pub(crate) const ELSEWHERE: ChainId = ChainId([0xe1; 32]);

pub(crate) fn hub_key() -> SecretKey {
    key(1)
}
pub(crate) fn relayer() -> SecretKey {
    key(2)
}
pub(crate) fn other_relayer() -> SecretKey {
    key(3)
}
/// A stakeholder with an account and a device.
pub(crate) fn owner() -> SecretKey {
    key(10)
}
pub(crate) fn device() -> SecretKey {
    key(11)
}
/// A second stakeholder, with an account and a device.
pub(crate) fn neighbour() -> SecretKey {
    key(12)
}
pub(crate) fn neighbours_device() -> SecretKey {
    key(13)
}
pub(crate) fn council() -> Vec<SecretKey> {
    let mut members = vec![key(20), key(21), key(22)];
    members.sort_by_key(SecretKey::address);
    members
}

/// An act of a council, signed by these members.
pub(crate) fn ordered(
    chain: ChainId,
    act: ActKind,
    trust_epoch: u32,
    data: Vec<u8>,
    members: &[SecretKey],
) -> CouncilOrder {
    let digest = digest::council_act(chain, act.number(), trust_epoch, keccak256(&data));
    let signatures = members.iter().map(|member| member.sign(digest)).collect();
    CouncilOrder { act: act.number(), trust_epoch, data, signatures }
}

/// The structure of the test readings.
pub(crate) fn schema() -> (SchemaId, Vec<u8>) {
    let schema = Schema {
        name: "air".into(),
        version: 1,
        fields: vec![Field {
            name: "temperature".into(),
            kind: FieldKind::Number,
            unit: "Cel".into(),
            minimum: Decimal::new(-50, 0),
            maximum: Decimal::new(60, 0),
            length_max: 0,
            required: true,
            decimals: None,
        }],
    };
    let definition = schema.encode().unwrap();
    (digest::schema_id(&definition), definition)
}

/// An envelope of one reading, to be changed by a test.
pub(crate) fn reading(home: ChainId, local_id: &str, version: u32, class: DataClass) -> Envelope {
    Envelope {
        version: ENVELOPE_VERSION,
        home,
        owner: identity(&owner()),
        local_id: local_id.into(),
        item_version: version,
        class,
        schema: schema().0,
        device: identity(&device()),
        terms: "CC-BY-4.0".into(),
        policy_hash: Hash::ZERO,
        hash_algorithm: HashAlgorithm::Keccak256,
        signature_algorithm: SignatureAlgorithm::Secp256k1,
        salt: [5; 32],
        time: BEGIN,
        readings: vec![Reading {
            name: "temperature".into(),
            at: BEGIN,
            value: Value::Number(Decimal::new(215, -1).unwrap()),
        }],
        extensions: std::collections::BTreeMap::new(),
    }
}

pub(crate) fn data_id(envelope: &Envelope) -> DataId {
    digest::data_id(envelope.home, envelope.owner, &envelope.local_id)
}

/// The bytes of an envelope and a key's signature over them.
pub(crate) fn signed(envelope: &Envelope, key: &SecretKey) -> (Vec<u8>, Signature) {
    let bytes = envelope.clone().canonical().unwrap().into_bytes();
    let signature = key.sign(digest::envelope(&bytes));
    (bytes, signature)
}

pub(crate) fn submit(envelope: &Envelope, key: &SecretKey) -> IsletCall {
    let (envelope, signature) = signed(envelope, key);
    IsletCall::Submit { envelope, signature, share: None }
}

/// The message that brings a copy of an item that lives elsewhere.
pub(crate) fn shared(envelope: &Envelope, key: &SecretKey, to: ChainId) -> Share {
    let (bytes, signature) = signed(envelope, key);
    Share {
        global_id: tombolo_types::id::GlobalId([0x61; 32]),
        source_chain: envelope.home,
        source_height: Height(7),
        destination_chain: to,
        data_id: data_id(envelope),
        item_version: envelope.item_version,
        class: envelope.class.number(),
        schema: envelope.schema,
        fingerprint: digest::fingerprint(&bytes),
        owner: envelope.owner,
        terms: envelope.terms.clone(),
        envelope: bytes,
        device: envelope.device,
        signature,
    }
}

pub(crate) fn move_in(
    envelope: &Envelope,
    key: &SecretKey,
    from: ChainId,
    holder: &SecretKey,
) -> MoveIn {
    let (bytes, signature) = signed(envelope, key);
    MoveIn {
        item: data_id(envelope),
        from_chain: from,
        item_version: envelope.item_version,
        schema: envelope.schema,
        fingerprint: digest::fingerprint(&bytes),
        owner: identity(holder),
        holder: holder.address(),
        envelope: bytes,
        device: envelope.device,
        signature,
    }
}

pub(crate) fn move_out(item: DataId, from: &SecretKey, to_chain: ChainId) -> MoveOut {
    MoveOut { item, from: from.address(), to_chain }
}

pub(crate) fn write(envelope: &Envelope, key: &SecretKey, holder: &SecretKey) -> Write {
    let (bytes, signature) = signed(envelope, key);
    Write {
        item: data_id(envelope),
        item_version: envelope.item_version,
        schema: envelope.schema,
        fingerprint: digest::fingerprint(&bytes),
        owner: envelope.owner,
        holder: holder.address(),
        envelope: bytes,
        device: envelope.device,
        signature,
    }
}

pub(crate) fn pay(from: &SecretKey, to: &SecretKey, amount: u128) -> Pay {
    Pay { from: from.address(), to: to.address(), asset: ASSET, amount: Amount(amount) }
}

/// A Prepare of one branch, authorised by these keys for the accounts of the first of each pair.
pub(crate) fn prepare(
    hub: ChainId,
    link: LinkId,
    salt: u8,
    deadline: UnixMillis,
    actions: &[Action],
    authorised: &[(Address, SecretKey)],
) -> (Xid, Prepare) {
    let branch = Branch::new(link, actions);
    let terms = Terms {
        hub,
        beginner: identity(&owner()),
        salt: Hash([salt; 32]),
        deadline,
        // Another participant's branch comes first; here its hash alone is known.
        branches: vec![Hash([0xbb; 32]), digest::branch(&branch)],
    };
    let xid = digest::xid(&terms);
    let authorisations = authorised
        .iter()
        .map(|(account, key)| Authorisation {
            branch: 1,
            account: *account,
            signature: key.sign(digest::authorisation(xid)),
        })
        .collect();
    let prepare =
        Prepare { terms: terms.encode(), index: 1, branch: branch.encode(), authorisations };
    (xid, prepare)
}

/// A hub and an islet that is linked to it.
pub(crate) struct World {
    pub(crate) hub: Chain<ToyHub>,
    pub(crate) islet: Chain<Islet>,
    pub(crate) link: LinkId,
}

impl World {
    /// Both chains and the hub's half of the link; the islet has not heard of the hub yet.
    pub(crate) fn unlinked(parameters: &[(&'static str, u64)]) -> Self {
        let relayers = vec![
            (relayer().address(), Role::Relayer.bit()),
            (other_relayer().address(), Role::Relayer.bit()),
        ];
        let mut at_hub = relayers.clone();
        at_hub.push((hub_key().address(), Role::Operator.bit()));
        let hub = Founding { identities: at_hub, ..Founding::default() };
        let mut hub = Chain::new(ToyHub, "hub", 100, hub);
        let holder = |key: SecretKey| GenesisBalance {
            account: key.address(),
            asset: ASSET,
            amount: Amount(FUNDS),
        };
        let founding = Founding {
            identities: relayers,
            balances: vec![holder(owner()), holder(neighbour())],
            council: council().iter().map(SecretKey::address).collect(),
            council_threshold: 2,
            hub_anchor: hub.anchor().encode(),
            parameters: parameters.to_vec(),
        };
        let mut islet = Chain::new(Islet, "islet", 101, founding);
        let link = hub_link_id(hub.id, islet.id);
        let anchor = islet.anchor();
        let terms = LinkTerms {
            link,
            gateway: gateway_address(islet.id),
            mode: MODE,
            trusting_period_ms: 1_209_600_000,
        };
        let opened = Link {
            id: link,
            chain: islet.id,
            mode: MODE,
            status: LinkStatus::Open,
            verifier: "tombolo".into(),
            client: LightClient.start(&anchor.encode(), &terms, BEGIN).unwrap(),
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
        hub.call(&hub_key(), ToyCall::Open(Box::new(opened))).unwrap();
        islet.block(Vec::new());
        Self { hub, islet, link }
    }

    /// Linked, with all parties and the schema known to the islet.
    pub(crate) fn new(parameters: &[(&'static str, u64)]) -> Self {
        let mut world = Self::unlinked(parameters);
        world.relay_out(CONTROL_LANE);
        let hello = world.hello();
        world.say(CONTROL_LANE, &Body::Hello(hello));
        for update in [
            person(&owner(), owner().address()),
            person(&neighbour(), neighbour().address()),
            machine(&device(), &owner()),
            machine(&neighbours_device(), &neighbour()),
        ] {
            let update = bound(world.hub.id, world.islet.id, update);
            world.say(CONTROL_LANE, &Body::IdentityUpdate(update));
        }
        let (schema, definition) = schema();
        world.say(CONTROL_LANE, &Body::SchemaUpdate(SchemaUpdate { schema, definition }));
        world.relay_in(CONTROL_LANE).unwrap();
        world
    }

    /// The hub's Hello as the islet expects it.
    pub(crate) fn hello(&self) -> Hello {
        Hello {
            version_min: 1,
            version_max: 1,
            chain: self.hub.id,
            mode: MODE,
            gateway_code_hash: code_hash(),
            identification_method: IDENTIFICATION_METHOD.into(),
            policy_hash: Hash::ZERO,
            council: Vec::new(),
            council_threshold: 0,
            trusting_period_ms: 1_209_600_000,
            council_delay_ms: 0,
            weight_max: Weight(64),
            backlog_max: 100_000,
            anchor_height: Height::ZERO,
            anchor_id: tombolo_types::id::BlockId(self.islet.id.0),
        }
    }

    /// Appends a message of the hub's to a lane.
    pub(crate) fn say(&mut self, lane: LaneNumber, body: &Body) {
        self.say_until(lane, body, UnixMillis::ZERO);
    }

    /// Appends a message that is good until a block time of the islet's.
    pub(crate) fn say_until(&mut self, lane: LaneNumber, body: &Body, not_after: UnixMillis) {
        let (kind, bytes) = (body.kind(), body.encode());
        let call = ToyCall::Append { link: self.link, lane, kind, body: bytes, not_after };
        self.hub.time = self.hub.time.max(self.islet.time);
        self.hub.call(&hub_key(), call).unwrap();
    }

    /// Relays a lane to the islet.
    pub(crate) fn relay_in(&mut self, lane: LaneNumber) -> Result<(), Refusal> {
        relay(&self.hub, &mut self.islet, self.link, lane, &relayer())
    }

    /// Relays a lane to the hub.
    pub(crate) fn relay_out(&mut self, lane: LaneNumber) {
        self.hub.time = self.hub.time.max(self.islet.time);
        relay(&self.islet, &mut self.hub, self.link, lane, &relayer()).unwrap();
    }

    /// Sends a message to the islet on the data lane, and gives the islet's answers so far.
    pub(crate) fn ask(&mut self, body: &Body) -> Vec<Body> {
        self.say(DATA_LANE, body);
        self.relay_in(DATA_LANE).unwrap();
        self.answers()
    }

    /// All that the islet has sent on the data lane.
    pub(crate) fn answers(&mut self) -> Vec<Body> {
        let fresh = rest(&self.islet, &self.hub, self.link, DATA_LANE);
        if !fresh.messages.is_empty() {
            self.relay_out(DATA_LANE);
        }
        inbox(&self.hub.state, self.link, DATA_LANE)
    }

    /// Asks the islet to prepare, and gives its vote.
    pub(crate) fn vote(
        &mut self,
        salt: u8,
        actions: &[Action],
        authorised: &[(Address, SecretKey)],
    ) -> (Xid, Vote) {
        let deadline = self.islet.time.saturating_add(60_000);
        let (xid, prepare) = prepare(self.hub.id, self.link, salt, deadline, actions, authorised);
        match self.ask(&Body::Prepare(prepare)).pop() {
            Some(Body::Vote(vote)) => (xid, vote),
            other => panic!("no vote but {other:?}"),
        }
    }

    /// Sends a decision, and checks that it is answered with Done.
    pub(crate) fn decide(&mut self, xid: Xid, commit: bool) {
        let decision = Decision { xid };
        let body = if commit { Body::Commit(decision) } else { Body::Abort(decision) };
        match self.ask(&body).pop() {
            Some(Body::Done(done)) => assert_eq!(done.xid, xid),
            other => panic!("no Done but {other:?}"),
        }
    }

    /// Runs a call on the islet.
    pub(crate) fn call(&mut self, signer: &SecretKey, call: IsletCall) -> Result<(), Refusal> {
        self.islet.run(signer, Call::Own(call))
    }

    /// Lets the hub say how an identity stands now, and the islet hear it.
    pub(crate) fn update(&mut self, update: IdentityUpdate) {
        let update = bound(self.hub.id, self.islet.id, update);
        self.say_update(update);
    }

    /// The same with the proof of its account as it is.
    pub(crate) fn say_update(&mut self, update: IdentityUpdate) {
        self.say(CONTROL_LANE, &Body::IdentityUpdate(update));
        self.relay_in(CONTROL_LANE).unwrap();
    }

    /// The funds of owner and neighbour.
    pub(crate) fn funds(&self) -> (u128, u128) {
        let of =
            |key: SecretKey| tombolo_islet_core::balance(&self.islet.state, key.address(), ASSET).0;
        (of(owner()), of(neighbour()))
    }
}

/// A stakeholder with an account on the islet.
pub(crate) fn person(key: &SecretKey, account: Address) -> IdentityUpdate {
    IdentityUpdate {
        identity: identity(key),
        roles: Role::Stakeholder.bit(),
        status: Status::Active.number(),
        owner: IdentityId::ZERO,
        keys: vec![key.address()],
        account,
        binding_nonce: 0,
        account_signature: Signature::NONE,
        since: Height(1),
    }
}

/// The update with its account's own signature over the binding; every account here is that of a
/// numbered key.
pub(crate) fn bound(hub: ChainId, islet: ChainId, update: IdentityUpdate) -> IdentityUpdate {
    static KEYS: LazyLock<Vec<(Address, SecretKey)>> =
        LazyLock::new(|| (1..100).map(key).map(|key| (key.address(), key)).collect());
    let holder = KEYS.iter().find(|(account, _)| *account == update.account);
    let IdentityUpdate { account, identity, binding_nonce, .. } = update;
    let digest = digest::binding(hub, islet, account, identity, binding_nonce);
    let account_signature = holder.map_or(Signature::NONE, |(_, key)| key.sign(digest));
    IdentityUpdate { account_signature, ..update }
}

/// A device of an owner.
pub(crate) fn machine(key: &SecretKey, owner: &SecretKey) -> IdentityUpdate {
    IdentityUpdate {
        roles: Role::Device.bit(),
        owner: identity(owner),
        ..person(key, Address::ZERO)
    }
}
