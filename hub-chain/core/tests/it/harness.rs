//! A hub and toy chains in memory: real blocks, real certificates, real proofs, no consensus.

use borsh::{BorshDeserialize, BorshSerialize};
use std::collections::BTreeMap;
use tombolo_crypto::{
    client::LightClient,
    digest::{self, VoteKind},
    log::range_proof,
    secp256k1::SecretKey,
    tree,
};
use tombolo_ledger::{
    Arrival, Call, Cell, Context, Ledger, Machine, Outcome, Unheld, block,
    lanes::{self, LaneNodes, Link, LinkStatus, Room},
    records,
};
use tombolo_types::{
    Address, Class, Epoch, Hash, Height, LaneNumber, MessageNumber, Power, Refusal, Round,
    UnixMillis, Weight,
    header::{
        Anchor, Certificate, CommitSignature, Genesis, GenesisIdentity, GenesisParameter, Header,
        Validator, ValidatorSet,
    },
    id::{BlockId, ChainId, IdentityId, LinkId, TxId},
    lane::{DATA_LANE, Delivery, Direction, Message, RangeProof},
    message::{Body, Done, Hello, Role},
    record::Record,
    store::{Batch, Entry, View},
    transaction::{HeadProof, Misbehaviour, SignedTransaction, Transaction},
    verifier::{LinkTerms, Verifier},
};

pub(crate) const START: u64 = 1_700_000_000_000;
pub(crate) const GATEWAY: Address = Address([0x61; 20]);
pub(crate) const CODE: Hash = Hash([0x62; 32]);
pub(crate) const METHOD: &str = "did:tombolo";

pub(crate) fn key(number: u8) -> SecretKey {
    SecretKey::from_bytes([number; 32]).unwrap()
}

pub(crate) fn identity(number: u8) -> IdentityId {
    digest::identity_id(key(number).address())
}

/// State in memory.
#[derive(Default, Clone)]
pub(crate) struct Memory(pub(crate) BTreeMap<Vec<u8>, Vec<u8>>);

impl Memory {
    fn apply(&mut self, writes: &Batch) {
        for (key, value) in writes {
            match value {
                Some(value) => self.0.insert(key.clone(), value.clone()),
                None => self.0.remove(key),
            };
        }
    }
}

impl View for Memory {
    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.0.get(key).cloned()
    }

    fn scan(&self, prefix: &[u8], from: &[u8], limit: usize) -> Vec<Entry> {
        let start = if from > prefix { from } else { prefix };
        self.0
            .range(start.to_vec()..)
            .take_while(|(key, _)| key.starts_with(prefix))
            .take(limit)
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect()
    }
}

/// A chain of one validator.
pub(crate) struct Chain<M> {
    pub(crate) ledger: Ledger<M>,
    /// Executes what the other built, so that every block is checked to be deterministic.
    twin: Ledger<M>,
    pub(crate) store: Memory,
    pub(crate) id: ChainId,
    pub(crate) now: u64,
    validator: SecretKey,
    head: Option<(Header, Certificate)>,
    nonces: BTreeMap<IdentityId, u64>,
    salts: u64,
}

pub(crate) fn genesis_document(kind: &str, validator: u8, identities: &[(u8, u16)]) -> Genesis {
    Genesis {
        version: 1,
        kind: kind.into(),
        name: format!("{kind} {validator}"),
        time: UnixMillis(START),
        validators: ValidatorSet {
            first_height: Height(1),
            validators: vec![Validator { address: key(validator).address(), power: Power(1) }],
        },
        identities: identities
            .iter()
            .map(|(number, roles)| GenesisIdentity {
                key: key(*number).address(),
                roles: *roles,
                name: format!("party {number}"),
            })
            .collect(),
        balances: vec![],
        quorum: 1,
        council: vec![],
        council_threshold: 0,
        hub_anchor: vec![],
        parameters: vec![],
    }
}

impl<M: Machine + Default> Chain<M> {
    pub(crate) fn new(genesis: &Genesis, validator: u8) -> Self {
        let ledger = Ledger::new(M::default());
        let mut store = Memory::default();
        store.apply(&ledger.genesis(genesis).unwrap());
        Self {
            ledger,
            twin: Ledger::new(M::default()),
            store,
            id: digest::chain_id(genesis),
            now: START,
            validator: key(validator),
            head: None,
            nonces: BTreeMap::new(),
            salts: 0,
        }
    }

    pub(crate) fn anchor(&self) -> Anchor {
        let tip = block::tip(&self.store).unwrap();
        Anchor {
            chain_id: self.id,
            height: tip.height,
            block_id: tip.block_id,
            time: tip.time,
            validators: tombolo_ledger::validators::at(&self.store, tip.height.next()).unwrap(),
        }
    }

    pub(crate) fn height(&self) -> Height {
        block::tip(&self.store).unwrap().height
    }

    /// Signs a transaction of party `signer`.
    pub(crate) fn sign(&mut self, signer: u8, call: Call<M::Call>) -> Vec<u8> {
        self.sign_as(identity(signer), &key(signer), call)
    }

    pub(crate) fn sign_as(
        &mut self,
        signer: IdentityId,
        key: &SecretKey,
        call: Call<M::Call>,
    ) -> Vec<u8> {
        let nonce = self.nonces.entry(signer).or_default();
        self.salts += 1;
        let mut salt = [0; 32];
        salt[..8].copy_from_slice(&self.salts.to_be_bytes());
        let transaction = Transaction {
            chain_id: self.id,
            signer,
            nonce_lane: 0,
            nonce: *nonce,
            expires: UnixMillis(self.now + 60_000),
            salt: Hash(salt),
            call: borsh::to_vec(&call).unwrap(),
        };
        *nonce += 1;
        let body = borsh::to_vec(&transaction).unwrap();
        let signature = key.sign(digest::tx_id(&body).into());
        borsh::to_vec(&SignedTransaction { body, signature }).unwrap()
    }

    /// Makes the next block, one second later; every transaction must be admissible.
    pub(crate) fn block(&mut self, transactions: Vec<Vec<u8>>) -> Vec<Outcome> {
        self.block_after(1_000, transactions)
    }

    pub(crate) fn block_after(&mut self, ms: u64, transactions: Vec<Vec<u8>>) -> Vec<Outcome> {
        let wanted = transactions.len();
        self.now += ms;
        let time = UnixMillis(self.now);
        let built =
            self.ledger.build(&self.store, time, &mut transactions.into_iter(), &|| false).unwrap();
        assert_eq!(built.outcomes.len(), wanted, "a transaction was not admitted");
        let executed = self.twin.execute(&self.store, &built.block).unwrap();
        assert_eq!(executed, built, "two nodes differ");
        self.store.apply(&built.writes);
        let header = built.block.header;
        let certificate = self.certify(&header, built.id);
        self.head = Some((header, certificate));
        built.outcomes
    }

    fn certify(&self, header: &Header, id: BlockId) -> Certificate {
        let digest = digest::vote(VoteKind::Precommit, self.id, header.height, Round(0), Some(id));
        Certificate {
            height: header.height,
            round: Round(0),
            block_id: id,
            signatures: vec![CommitSignature {
                signer: self.validator.address(),
                signature: self.validator.sign(digest),
            }],
        }
    }

    /// Evidence that this chain's validator certified two blocks at one height.
    pub(crate) fn equivocation(&self) -> Vec<u8> {
        let (header_a, certificate_a) = self.head.clone().unwrap();
        let header_b = Header { log_size: header_a.log_size + 1, ..header_a.clone() };
        let certificate_b = self.certify(&header_b, digest::block_id(&header_b));
        let set = tombolo_ledger::validators::at(&self.store, header_a.height).unwrap();
        Misbehaviour {
            header_a,
            certificate_a,
            validators_a: set.clone(),
            header_b,
            certificate_b,
            validators_b: set,
        }
        .encode()
    }

    /// Runs one call of a party in a block of its own, and gives how it ended.
    pub(crate) fn run(&mut self, signer: u8, call: M::Call) -> Result<TxId, Refusal> {
        let transaction = self.sign(signer, Call::Own(call));
        self.one(transaction)
    }

    pub(crate) fn one(&mut self, transaction: Vec<u8>) -> Result<TxId, Refusal> {
        let outcome = self.block(vec![transaction]).remove(0);
        match outcome.refusal {
            None => Ok(outcome.id),
            Some(refusal) => Err(refusal),
        }
    }

    /// What the door says of a transaction; its nonce is given back.
    pub(crate) fn admission(&mut self, signer: u8, call: M::Call) -> Result<(), Refusal> {
        let transaction = self.sign(signer, Call::Own(call));
        *self.nonces.get_mut(&identity(signer)).unwrap() -= 1;
        let now = UnixMillis(self.now + 1);
        self.ledger.admit(&self.store, now, &transaction).map(drop)
    }

    pub(crate) fn records(&self) -> Vec<Record> {
        let all = records::range(&self.store, 0, usize::MAX);
        all.into_iter().map(|(_, salted)| salted.record).collect()
    }

    pub(crate) fn last_record(&self) -> Record {
        self.records().pop().unwrap()
    }

    /// Records of one operation, in order.
    pub(crate) fn records_of(&self, operation: &str) -> Vec<Record> {
        self.records().into_iter().filter(|record| record.operation == operation).collect()
    }

    /// All messages of a lane from `received` on, proved under the newest header.
    pub(crate) fn delivery(&self, link: LinkId, number: LaneNumber, received: u64) -> Delivery {
        let found = lanes::link(&self.store, link).unwrap();
        let lane = lanes::lane(&self.store, link, number).unwrap();
        let (header, certificate) = self.head.clone().unwrap();
        let leaves = lanes::leaf_hashes(&self.store);
        let path = tree::lane_path(&leaves, usize::try_from(lane.position).unwrap());
        let proof = HeadProof {
            header,
            certificate,
            index: lane.position,
            count: leaves.len() as u64,
            path,
        };
        let messages = lanes::bodies(
            &self.store,
            link,
            number,
            lane.epoch,
            MessageNumber(received),
            usize::MAX,
        );
        let nodes = LaneNodes { view: &self.store, link, lane: number, epoch: lane.epoch };
        let count = messages.len() as u64;
        let range = match count {
            0 => RangeProof { left: vec![], right: vec![] },
            _ => range_proof(&nodes, received, count, lane.sent.size()).unwrap(),
        };
        Delivery {
            leaf: lanes::leaf(&found, number, &lane, M::DIRECTION),
            head_proof: proof.encode(),
            first: MessageNumber(received),
            messages,
            range,
        }
    }
}

/// Brings everything of one lane from one chain to another, as the relayer 5.
pub(crate) fn deliver<A: Machine + Default, B: Machine + Default>(
    from: &mut Chain<A>,
    to: &mut Chain<B>,
    link: LinkId,
    lane: LaneNumber,
) -> Result<TxId, Refusal> {
    let received = lanes::lane(&to.store, link, lane).unwrap().received.size();
    let delivery = from.delivery(link, lane, received);
    to.now = to.now.max(from.now);
    let transaction = to.sign(5, Call::Deliver(Box::new(delivery)));
    to.one(transaction)
}

/// A chain with a gateway that sends whatever it is told to.
#[derive(Default)]
pub(crate) struct Peer {
    client: LightClient,
}

/// What the toy gateway does when told.
#[derive(Clone, Debug, BorshSerialize, BorshDeserialize)]
pub(crate) enum PeerCall {
    /// Appends a message, of any kind and form.
    Send { lane: LaneNumber, kind: u16, not_after: UnixMillis, salt: Option<Hash>, body: Vec<u8> },
    /// Sets where its link stands.
    Stand(LinkStatus),
    /// Reopens its end of a lane.
    Reopen { lane: LaneNumber, epoch: Epoch, received: u64 },
    /// From now on refuses shares with the class, or takes them again with 0.
    Refuse(u8),
}

const REFUSES: Cell<u8> = Cell::new(*b"tR");

impl Machine for Peer {
    const KIND: &'static str = "peer";
    const DIRECTION: Direction = Direction::ChainToHub;
    type Call = PeerCall;

    fn genesis(&self, cx: &mut Context<'_, '_>, genesis: &Genesis) -> Result<(), Refusal> {
        let anchor = Anchor::decode(&genesis.hub_anchor)?;
        let id = digest::link_id(anchor.chain_id, cx.block.chain_id, GATEWAY, 1);
        let terms = LinkTerms { link: id, gateway: GATEWAY, mode: 1, trusting_period_ms: 1 << 40 };
        let link = Link {
            id,
            chain: anchor.chain_id,
            mode: 1,
            status: LinkStatus::Open,
            verifier: "tombolo".into(),
            client: self.client.start(&genesis.hub_anchor, &terms, cx.block.time)?,
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

    fn begin_block(&self, _: &mut Context<'_, '_>) {}

    fn weight(&self, _: &PeerCall) -> u64 {
        1
    }

    fn call(&self, cx: &mut Context<'_, '_>, call: PeerCall) -> Result<(), Refusal> {
        match call {
            PeerCall::Refuse(class) => REFUSES.put(cx.state, &class),
            PeerCall::Send { lane, kind, not_after, salt, body } => {
                let link = lanes::links(cx.state)[0].id;
                let body = Body::decode(kind, &body)?.unwrap();
                let (own, room, salt) = (Self::DIRECTION, Room::Reserved, salt.unwrap_or(cx.salt));
                lanes::append(cx.state, own, link, lane, &body, not_after, salt, room)?;
            }
            PeerCall::Stand(status) => {
                let link = lanes::links(cx.state)[0].clone();
                lanes::put_link(cx.state, &Link { status, ..link });
            }
            PeerCall::Reopen { lane, epoch, received } => {
                let link = lanes::links(cx.state)[0].id;
                lanes::reopen(cx.state, link, lane, epoch, received)?;
            }
        }
        Ok(())
    }

    fn request(
        &self,
        cx: &mut Context<'_, '_>,
        arrival: &Arrival,
        body: Body,
    ) -> Result<(), Refusal> {
        match body {
            Body::Share(_) => match REFUSES.get(cx.state).unwrap_or(0) {
                0 => Ok(()),
                class => Err(Refusal::new(Class::from_number(class).unwrap(), "told to")),
            },
            Body::Commit(decision) | Body::Abort(decision) => {
                let done = Body::Done(Done { of: arrival.number, xid: decision.xid });
                let (own, room) = (Self::DIRECTION, Room::Reserved);
                let (link, lane, salt) = (arrival.link, arrival.lane, arrival.salt);
                lanes::append(cx.state, own, link, lane, &done, UnixMillis(0), salt, room)?;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn answer(&self, _: &mut Context<'_, '_>, _: &Arrival, _: Body) {}

    fn taken(&self, _: &mut Context<'_, '_>, _: LinkId, _: LaneNumber, _: u64, _: u64) {}

    fn frozen(&self, _: &mut Context<'_, '_>, _: LinkId) {}

    fn reopened(&self, _: &mut Context<'_, '_>, _: &Unheld, _: Body) {}

    fn verifier(&self, _: &str) -> Option<&dyn Verifier> {
        Some(&self.client)
    }
}

impl Chain<Peer> {
    pub(crate) fn link(&self) -> LinkId {
        lanes::links(&self.store)[0].id
    }

    /// Appends a message in a block of its own.
    pub(crate) fn send(&mut self, lane: LaneNumber, body: &Body) {
        self.send_until(lane, body, 0);
    }

    pub(crate) fn send_until(&mut self, lane: LaneNumber, body: &Body, not_after: u64) {
        let not_after = UnixMillis(not_after);
        let (kind, body, salt) = (body.kind(), body.encode(), None);
        self.run(5, PeerCall::Send { lane, kind, not_after, salt, body }).unwrap();
    }

    /// Appends an answer on the data lane, with the salt of its request.
    pub(crate) fn answer(&mut self, body: &Body, salt: Hash) {
        let (lane, kind, not_after) = (DATA_LANE, body.kind(), UnixMillis::ZERO);
        let (body, salt) = (body.encode(), Some(salt));
        self.run(5, PeerCall::Send { lane, kind, not_after, salt, body }).unwrap();
    }

    /// The bodies that the hub has sent on a lane and this chain has taken or not.
    pub(crate) fn hello(&self, hub: &Anchor) -> Hello {
        Hello {
            version_min: 1,
            version_max: 1,
            chain: self.id,
            mode: 1,
            gateway_code_hash: CODE,
            identification_method: METHOD.into(),
            policy_hash: Hash::ZERO,
            council: vec![],
            council_threshold: 0,
            trusting_period_ms: 1 << 40,
            council_delay_ms: 0,
            weight_max: Weight(64),
            backlog_max: 1_000,
            anchor_height: hub.height,
            anchor_id: hub.block_id,
        }
    }
}

pub(crate) fn parameter(name: &str, value: u64) -> GenesisParameter {
    GenesisParameter { name: name.into(), value }
}

/// The bodies of a lane that are kept, from `from` on.
pub(crate) fn bodies<M: Machine>(
    chain: &Chain<M>,
    link: LinkId,
    lane: LaneNumber,
    from: u64,
) -> Vec<Body> {
    let epoch = lanes::lane(&chain.store, link, lane).unwrap().epoch;
    lanes::bodies(&chain.store, link, lane, epoch, MessageNumber(from), usize::MAX)
        .iter()
        .map(|bytes| Message::decode(bytes).unwrap())
        .map(|message| Body::decode(message.kind, &message.body).unwrap().unwrap())
        .collect()
}

/// The salt of a message in a data lane that is kept, which its answer carries.
pub(crate) fn salt_of<M: Machine>(chain: &Chain<M>, link: LinkId, number: MessageNumber) -> Hash {
    let epoch = lanes::lane(&chain.store, link, DATA_LANE).unwrap().epoch;
    let body = lanes::bodies(&chain.store, link, DATA_LANE, epoch, number, 1);
    Message::decode(&body[0]).unwrap().salt
}

pub(crate) fn roles(of: &[Role]) -> u16 {
    of.iter().fold(0, |bits, role| bits | role.bit())
}
