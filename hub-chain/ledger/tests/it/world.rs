//! Two chains in memory, and what a relayer brings from one to the other.

use crate::toy::{Toy, ToyCall};
use std::collections::BTreeMap;
use tombolo_crypto::{
    client::{self, LightClient},
    digest::{self, VoteKind},
    log::range_proof,
    secp256k1::SecretKey,
    tree::lane_path,
};
use tombolo_ledger::{
    Call, Executed, Ledger, Outcome,
    block::tip,
    lanes::{self, Lane, LaneNodes, Link, LinkStatus},
    principal::Use,
    records,
};
use tombolo_types::{
    Address, Class, Hash, Height, LaneNumber, MessageNumber, Power, Refusal, Round, UnixMillis,
    Weight,
    header::{
        Anchor, Certificate, CommitSignature, Genesis, GenesisIdentity, GenesisParameter,
        HEADER_VERSION, Header, Validator, ValidatorSet,
    },
    id::{ChainId, IdentityId, LinkId},
    lane::{DATA_LANE, Delivery, RangeProof},
    record::Record,
    store::{Batch, Entry, View},
    transaction::{Block, HeadProof, SignedTransaction, Transaction},
    verifier::{LinkTerms, Verifier},
};

pub(crate) const BEGIN: UnixMillis = UnixMillis(1_700_000_000_000);
pub(crate) const STEP_MS: u64 = 250;
const PERIOD_MS: u64 = 1_209_600_000;

pub(crate) fn key(number: u8) -> SecretKey {
    SecretKey::from_bytes([number; 32]).unwrap()
}

/// The one who makes a ledger's own calls.
pub(crate) fn owner() -> SecretKey {
    key(1)
}

pub(crate) fn relayer() -> SecretKey {
    key(2)
}

pub(crate) fn other_relayer() -> SecretKey {
    key(3)
}

pub(crate) fn identity(key: &SecretKey) -> IdentityId {
    digest::identity_id(key.address())
}

/// State in memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Memory(pub(crate) BTreeMap<Vec<u8>, Vec<u8>>);

impl Memory {
    pub(crate) fn apply(&mut self, writes: &Batch) {
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
        self.0
            .range(prefix.max(from).to_vec()..)
            .take_while(|(key, _)| key.starts_with(prefix))
            .take(limit)
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect()
    }
}

/// Not random, but another one for each transaction of a signer, so that no two messages are equal.
fn salt_of(nonce: u64) -> Hash {
    Hash([nonce.to_le_bytes()[0].wrapping_add(1); 32])
}

/// What is signed, before it is.
pub(crate) struct Draft {
    pub(crate) chain_id: ChainId,
    pub(crate) signer: IdentityId,
    pub(crate) nonce_lane: u8,
    pub(crate) nonce: u64,
    pub(crate) expires: UnixMillis,
    pub(crate) salt: Hash,
}

impl Draft {
    pub(crate) fn sign(self, key: &SecretKey, call: &Call<ToyCall>) -> Vec<u8> {
        let body = borsh::to_vec(&Transaction {
            chain_id: self.chain_id,
            signer: self.signer,
            nonce_lane: self.nonce_lane,
            nonce: self.nonce,
            expires: self.expires,
            salt: self.salt,
            call: borsh::to_vec(call).unwrap(),
        })
        .unwrap();
        let signature = key.sign(digest::tx_id(&body).into());
        borsh::to_vec(&SignedTransaction { body, signature }).unwrap()
    }
}

/// A toy ledger with one validator.
#[derive(Clone)]
pub(crate) struct Chain<const HUB: bool> {
    pub(crate) state: Memory,
    pub(crate) id: ChainId,
    pub(crate) genesis: Genesis,
    pub(crate) time: UnixMillis,
    pub(crate) validator: u8,
    pub(crate) newest: Option<(Header, Certificate)>,
}

pub(crate) fn set_of(first_height: u64, validator: u8) -> ValidatorSet {
    ValidatorSet {
        first_height: Height(first_height),
        validators: vec![Validator { address: key(validator).address(), power: Power(1) }],
    }
}

pub(crate) fn genesis_of(
    kind: &str,
    name: &str,
    validator: u8,
    parameters: &[(&str, u64)],
) -> Genesis {
    let mut parameters = parameters.to_vec();
    parameters.sort_unstable();
    Genesis {
        version: HEADER_VERSION,
        kind: kind.into(),
        name: name.into(),
        time: BEGIN,
        validators: set_of(1, validator),
        identities: [owner(), relayer(), other_relayer()]
            .iter()
            .map(|key| GenesisIdentity { key: key.address(), roles: 63, name: String::new() })
            .collect(),
        balances: Vec::new(),
        quorum: 1,
        council: Vec::new(),
        council_threshold: 0,
        hub_anchor: Vec::new(),
        parameters: parameters
            .into_iter()
            .map(|(name, value)| GenesisParameter { name: name.into(), value })
            .collect(),
    }
}

impl<const HUB: bool> Chain<HUB> {
    pub(crate) fn new(name: &str, validator: u8, parameters: &[(&str, u64)]) -> Self {
        let kind = if HUB { "toy-hub" } else { "toy-chain" };
        let genesis = genesis_of(kind, name, validator, parameters);
        let mut state = Memory::default();
        state.apply(&Self::ledger().genesis(&genesis).unwrap());
        let id = digest::chain_id(&genesis);
        Self { state, id, genesis, time: BEGIN, validator, newest: None }
    }

    pub(crate) fn ledger() -> Ledger<Toy<HUB>> {
        Ledger::new(Toy)
    }

    pub(crate) fn anchor(&self) -> Anchor {
        let tip = tip(&self.state).unwrap();
        Anchor {
            chain_id: self.id,
            height: tip.height,
            block_id: tip.block_id,
            time: tip.time,
            validators: self.genesis.validators.clone(),
        }
    }

    /// The signer's next transaction.
    pub(crate) fn draft(&self, signer: &SecretKey) -> Draft {
        let signer = identity(signer);
        let nonce = Use::of(&self.state, signer).nonce(0);
        Draft {
            chain_id: self.id,
            signer,
            nonce_lane: 0,
            nonce,
            expires: self.time.saturating_add(60_000),
            salt: salt_of(nonce),
        }
    }

    pub(crate) fn transaction(&self, signer: &SecretKey, call: &Call<ToyCall>) -> Vec<u8> {
        self.draft(signer).sign(signer, call)
    }

    /// Calls of one signer in a row.
    pub(crate) fn series(&self, signer: &SecretKey, calls: &[Call<ToyCall>]) -> Vec<Vec<u8>> {
        (self.draft(signer).nonce..)
            .zip(calls)
            .map(|(nonce, call)| {
                Draft { nonce, salt: salt_of(nonce), ..self.draft(signer) }.sign(signer, call)
            })
            .collect()
    }

    /// Builds the next block, has a second node execute it from bytes, and keeps it.
    pub(crate) fn offer(&mut self, candidates: Vec<Vec<u8>>) -> Executed {
        self.time = self.time.saturating_add(STEP_MS);
        let ledger = Self::ledger();
        let built =
            ledger.build(&self.state, self.time, &mut candidates.into_iter(), &|| false).unwrap();
        let bytes = borsh::to_vec(&built.block).unwrap();
        let received: Block = borsh::from_slice(&bytes).unwrap();
        assert_eq!(ledger.execute(&self.state, &received).as_ref(), Ok(&built));
        self.state.apply(&built.writes);
        let header = built.block.header.clone();
        let certificate = certify(&header, self.validator);
        self.newest = Some((header, certificate));
        built
    }

    /// The next block of exactly these transactions.
    pub(crate) fn block(&mut self, transactions: Vec<Vec<u8>>) -> Vec<Outcome> {
        let count = transactions.len();
        let built = self.offer(transactions);
        assert_eq!(built.outcomes.len(), count, "a candidate was left out");
        built.outcomes
    }

    pub(crate) fn run(&mut self, signer: &SecretKey, call: Call<ToyCall>) -> Result<(), Refusal> {
        let transaction = self.transaction(signer, &call);
        let outcomes = self.block(vec![transaction]);
        outcomes[0].refusal.clone().map_or(Ok(()), Err)
    }

    pub(crate) fn call(&mut self, call: ToyCall) -> Result<(), Refusal> {
        self.run(&owner(), Call::Own(call))
    }

    /// Appends requests of one kind.
    pub(crate) fn append(&mut self, link: LinkId, what: u8, count: u64) {
        let call = Call::Own(ToyCall::Append {
            link,
            lane: DATA_LANE,
            what,
            bytes: 8,
            not_after: UnixMillis::ZERO,
        });
        let calls = vec![call; count as usize];
        for outcome in self.block(self.series(&owner(), &calls)) {
            assert_eq!(outcome.refusal, None);
        }
    }

    pub(crate) fn append_raw(&mut self, link: LinkId, bytes: Vec<u8>) {
        self.call(ToyCall::AppendRaw { link, lane: DATA_LANE, bytes }).unwrap();
    }

    /// What the door says of a call.
    pub(crate) fn at_the_door(
        &self,
        signer: &SecretKey,
        call: &Call<ToyCall>,
    ) -> Result<(), Class> {
        let transaction = self.transaction(signer, call);
        Self::ledger()
            .admit(&self.state, self.time, &transaction)
            .map(|_| ())
            .map_err(|refusal| refusal.class)
    }

    pub(crate) fn lane(&self, link: LinkId) -> Lane {
        lanes::lane(&self.state, link, DATA_LANE).unwrap()
    }

    pub(crate) fn link(&self, link: LinkId) -> Link {
        lanes::link(&self.state, link).unwrap()
    }

    pub(crate) fn records(&self) -> Vec<Record> {
        records::range(&self.state, 0, usize::MAX)
            .into_iter()
            .map(|(_, salted)| salted.record)
            .collect()
    }

    pub(crate) fn last_record(&self) -> Record {
        self.records().pop().unwrap()
    }

    /// A link as it stands once both sides have agreed.
    pub(crate) fn open(&mut self, id: LinkId, peer: &Anchor) {
        let link = Link {
            id,
            chain: peer.chain_id,
            mode: 1,
            status: LinkStatus::Open,
            verifier: client::KIND.into(),
            client: LightClient.start(&peer.encode(), &terms(id), self.time).unwrap(),
            peer_height: peer.height,
            peer_id: peer.block_id,
            peer_time: peer.time,
            trust_epoch: 0,
            peer_trust_epoch: 0,
            peer_weight_max: Weight(64),
            greeted: true,
            policy_hash: Hash::ZERO,
            unbounded: false,
        };
        self.call(ToyCall::OpenLink(Box::new(link))).unwrap();
    }
}

fn terms(link: LinkId) -> LinkTerms {
    LinkTerms { link, gateway: Address([7; 20]), mode: 1, trusting_period_ms: PERIOD_MS }
}

pub(crate) fn certify(header: &Header, validator: u8) -> Certificate {
    let block_id = digest::block_id(header);
    let (height, round) = (header.height, Round(0));
    let vote = digest::vote(VoteKind::Precommit, header.chain_id, height, round, Some(block_id));
    let signer = key(validator);
    Certificate {
        height,
        round,
        block_id,
        signatures: vec![CommitSignature {
            signer: signer.address(),
            signature: signer.sign(vote),
        }],
    }
}

/// What brings `count` messages of a lane from number `first` on, under the newest header.
pub(crate) fn delivery_on<const HUB: bool>(
    from: &Chain<HUB>,
    link: LinkId,
    number: LaneNumber,
    first: u64,
    count: u64,
) -> Delivery {
    let (header, certificate) = from.newest.clone().unwrap();
    let lane = lanes::lane(&from.state, link, number).unwrap();
    let direction = if HUB {
        tombolo_types::lane::Direction::HubToChain
    } else {
        tombolo_types::lane::Direction::ChainToHub
    };
    let leaf = lanes::leaf(&from.link(link), number, &lane, direction);
    let hashes = lanes::leaf_hashes(&from.state);
    let head_proof = HeadProof {
        header,
        certificate,
        index: lane.position,
        count: hashes.len() as u64,
        path: lane_path(&hashes, lane.position as usize),
    };
    let range = if count == 0 {
        RangeProof { left: Vec::new(), right: Vec::new() }
    } else {
        let nodes = LaneNodes { view: &from.state, link, lane: number, epoch: lane.epoch };
        range_proof(&nodes, first, count, leaf.size).unwrap()
    };
    let first = MessageNumber(first);
    let messages = lanes::bodies(&from.state, link, number, lane.epoch, first, count as usize);
    assert_eq!(messages.len() as u64, count, "bodies are kept until they are taken");
    Delivery { leaf, head_proof: head_proof.encode(), first, messages, range }
}

pub(crate) fn delivery<const HUB: bool>(
    from: &Chain<HUB>,
    link: LinkId,
    first: u64,
    count: u64,
) -> Delivery {
    delivery_on(from, link, DATA_LANE, first, count)
}

pub(crate) fn call_of(delivery: Delivery) -> Call<ToyCall> {
    Call::Deliver(Box::new(delivery))
}

/// Brings all that the receiver lacks of the data lane.
pub(crate) fn relay<const A: bool, const B: bool>(
    from: &Chain<A>,
    to: &mut Chain<B>,
    link: LinkId,
) -> Result<(), Refusal> {
    let received = to.lane(link).received.size();
    let count = from.lane(link).sent.size() - received;
    to.run(&relayer(), call_of(delivery(from, link, received, count)))
}

/// A hub and a chain with one open link.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) hub: Chain<true>,
    pub(crate) chain: Chain<false>,
    pub(crate) link: LinkId,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(&[])
    }

    pub(crate) fn with(parameters: &[(&str, u64)]) -> Self {
        let mut parameters = parameters.to_vec();
        parameters.extend([("rate_burst", 10_000_000), ("rate_per_second", 1_000_000)]);
        let mut hub = Chain::new("hub", 11, &parameters);
        let mut chain = Chain::new("chain", 12, &parameters);
        let link = digest::link_id(hub.id, chain.id, Address::ZERO, 0);
        let (of_hub, of_chain) = (hub.anchor(), chain.anchor());
        hub.open(link, &of_chain);
        chain.open(link, &of_hub);
        Self { hub, chain, link }
    }

    /// Appends requests on the hub and brings them to the chain.
    pub(crate) fn send(&mut self, what: u8, count: u64) {
        self.hub.append(self.link, what, count);
        self.bring_to_chain().unwrap();
    }

    pub(crate) fn bring_to_chain(&mut self) -> Result<(), Refusal> {
        relay(&self.hub, &mut self.chain, self.link)
    }

    pub(crate) fn bring_to_hub(&mut self) -> Result<(), Refusal> {
        relay(&self.chain, &mut self.hub, self.link)
    }
}
