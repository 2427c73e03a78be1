//! Ledgers in memory, with real certificates and real range proofs between them.
//!
//! [`Chain`] runs any machine with one validator and keeps its newest header and certificate;
//! [`delivery`] builds from one chain's state what a relayer would bring to the other.

use std::collections::BTreeMap;
use tombolo_crypto::{
    digest::{self, VoteKind},
    log::range_proof,
    secp256k1::SecretKey,
    tree::lane_path,
};
use tombolo_ledger::{
    Call, Executed, Ledger, Machine, Outcome,
    block::tip,
    lanes::{self, LaneNodes},
    principal::Use,
    records,
};
use tombolo_types::{
    Address, Hash, Height, LaneNumber, MessageNumber, Power, Refusal, Round, UnixMillis,
    header::{
        Anchor, Certificate, CommitSignature, Genesis, GenesisBalance, GenesisIdentity,
        GenesisParameter, HEADER_VERSION, Header, Validator, ValidatorSet,
    },
    id::{BlockId, ChainId, IdentityId, LinkId},
    lane::{Delivery, RangeProof},
    record::Record,
    store::{Batch, Entry, View},
    transaction::{Block, HeadProof, SignedTransaction, Transaction},
};

/// When all test chains begin.
pub(crate) const BEGIN: UnixMillis = UnixMillis(1_700_000_000_000);
/// Milliseconds between blocks.
pub(crate) const STEP_MS: u64 = 250;

/// A key that a small number stands for.
pub(crate) fn key(number: u8) -> SecretKey {
    SecretKey::from_bytes([number; 32]).unwrap()
}

/// The identity whose first key this is.
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

    /// All of it as bytes, as a disk would hold it.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        borsh::to_vec(&self.0).unwrap()
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Self {
        Self(borsh::from_slice(bytes).unwrap())
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

/// What a genesis document names, in few words.
#[derive(Clone, Default)]
pub(crate) struct Founding {
    pub(crate) identities: Vec<(Address, u16)>,
    pub(crate) balances: Vec<GenesisBalance>,
    pub(crate) council: Vec<Address>,
    pub(crate) council_threshold: u32,
    pub(crate) hub_anchor: Vec<u8>,
    pub(crate) parameters: Vec<(&'static str, u64)>,
}

/// A ledger with one validator.
pub(crate) struct Chain<M> {
    pub(crate) ledger: Ledger<M>,
    pub(crate) state: Memory,
    pub(crate) id: ChainId,
    pub(crate) genesis: Genesis,
    pub(crate) time: UnixMillis,
    pub(crate) validator: SecretKey,
    newest: Option<(Header, Certificate)>,
}

impl<M: Machine> Chain<M> {
    pub(crate) fn new(machine: M, name: &str, validator: u8, founding: Founding) -> Self {
        let validator = key(validator);
        let mut parameters = founding.parameters;
        parameters.sort_unstable();
        let genesis = Genesis {
            version: HEADER_VERSION,
            kind: M::KIND.into(),
            name: name.into(),
            time: BEGIN,
            validators: ValidatorSet {
                first_height: Height(1),
                validators: vec![Validator { address: validator.address(), power: Power(1) }],
            },
            identities: founding
                .identities
                .into_iter()
                .map(|(key, roles)| GenesisIdentity { key, roles, name: String::new() })
                .collect(),
            balances: founding.balances,
            quorum: 1,
            council: founding.council,
            council_threshold: founding.council_threshold,
            hub_anchor: founding.hub_anchor,
            parameters: parameters
                .into_iter()
                .map(|(name, value)| GenesisParameter { name: name.into(), value })
                .collect(),
        };
        let ledger = Ledger::new(machine);
        let mut state = Memory::default();
        state.apply(&ledger.genesis(&genesis).unwrap());
        let id = digest::chain_id(&genesis);
        Self { ledger, state, id, genesis, time: BEGIN, validator, newest: None }
    }

    /// Where another ledger's client may start: the newest block.
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

    /// A transaction by the first key of an identity, with its next nonce.
    pub(crate) fn transaction(&self, signer: &SecretKey, call: Call<M::Call>) -> Vec<u8> {
        self.transaction_as(signer, identity(signer), call)
    }

    /// A transaction by any key on behalf of an identity.
    pub(crate) fn transaction_as(
        &self,
        key: &SecretKey,
        signer: IdentityId,
        call: Call<M::Call>,
    ) -> Vec<u8> {
        let body = borsh::to_vec(&Transaction {
            chain_id: self.id,
            signer,
            nonce_lane: 0,
            nonce: Use::of(&self.state, signer).nonce(0),
            expires: self.time.saturating_add(60_000),
            salt: Hash([9; 32]),
            call: borsh::to_vec(&call).unwrap(),
        })
        .unwrap();
        let signature = key.sign(digest::tx_id(&body).into());
        borsh::to_vec(&SignedTransaction { body, signature }).unwrap()
    }

    /// The next block. A second node executes it too, and comes to the same writes.
    pub(crate) fn block(&mut self, transactions: Vec<Vec<u8>>) -> Vec<Outcome> {
        self.time = self.time.saturating_add(STEP_MS);
        let count = transactions.len();
        let built = self
            .ledger
            .build(&self.state, self.time, &mut transactions.into_iter(), &|| false)
            .unwrap();
        assert_eq!(built.block.transactions.len(), count, "a candidate was left out");
        assert_eq!(self.ledger.execute(&self.state, &built.block).as_ref(), Ok(&built));
        self.keep(built)
    }

    fn keep(&mut self, built: Executed) -> Vec<Outcome> {
        self.state.apply(&built.writes);
        let Block { header, .. } = built.block;
        let certificate = certify(&header, &self.validator);
        self.newest = Some((header, certificate));
        built.outcomes
    }

    /// One call in a block of its own.
    pub(crate) fn run(&mut self, signer: &SecretKey, call: Call<M::Call>) -> Result<(), Refusal> {
        let transaction = self.transaction(signer, call);
        let outcomes = self.block(vec![transaction]);
        outcomes[0].refusal.clone().map_or(Ok(()), Err)
    }

    /// One call of the machine's own in a block of its own.
    pub(crate) fn call(&mut self, signer: &SecretKey, call: M::Call) -> Result<(), Refusal> {
        self.run(signer, Call::Own(call))
    }

    /// What a relayer hears from the door: a call that may not even enter a block.
    pub(crate) fn at_the_door(
        &self,
        signer: &SecretKey,
        call: Call<M::Call>,
    ) -> Result<(), Refusal> {
        let transaction = self.transaction(signer, call);
        self.ledger.admit(&self.state, self.time, &transaction).map(|_| ())
    }

    /// Lets time pass, and makes a block then.
    pub(crate) fn wait(&mut self, ms: u64) {
        self.time = self.time.saturating_add(ms);
        self.block(Vec::new());
    }

    /// Stops the process and starts it from what the disk holds.
    pub(crate) fn crash(&mut self) {
        self.state = Memory::from_bytes(&self.state.to_bytes());
    }

    /// All records, in order.
    pub(crate) fn records(&self) -> Vec<Record> {
        records::range(&self.state, 0, usize::MAX)
            .into_iter()
            .map(|(_, salted)| salted.record)
            .collect()
    }

    /// The last record of an operation.
    pub(crate) fn last_record(&self, operation: &str) -> Record {
        let records = self.records();
        let found = records.iter().rev().find(|record| record.operation == operation);
        found.unwrap_or_else(|| panic!("no record of {operation}")).clone()
    }

    /// The chain as it stands, with the proof that it stands so.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let (header, certificate) = self.newest.clone().expect("a chain with a block");
        Snapshot { state: self.state.clone(), header, certificate }
    }

    /// The newest header with its certificate.
    pub(crate) fn newest(&self) -> (Header, Certificate) {
        self.newest.clone().unwrap()
    }

    /// Another header at the newest height, certified as well: a contradiction.
    pub(crate) fn forked(&self) -> (Header, Certificate, Header, Certificate) {
        let (header, certificate) = self.newest.clone().unwrap();
        let other = Header { writes_digest: Hash([0xee; 32]), ..header.clone() };
        let other_certificate = certify(&other, &self.validator);
        (header, certificate, other, other_certificate)
    }
}

/// The certificate of a one-validator chain.
pub(crate) fn certify(header: &Header, validator: &SecretKey) -> Certificate {
    let block_id: BlockId = digest::block_id(header);
    let (height, round) = (header.height, Round(0));
    let vote = digest::vote(VoteKind::Precommit, header.chain_id, height, round, Some(block_id));
    Certificate {
        height,
        round,
        block_id,
        signatures: vec![CommitSignature {
            signer: validator.address(),
            signature: validator.sign(vote),
        }],
    }
}

/// A chain as it stood when it made a header.
#[derive(Clone)]
pub(crate) struct Snapshot {
    pub(crate) state: Memory,
    pub(crate) header: Header,
    pub(crate) certificate: Certificate,
}

/// What brings `count` messages of a lane from number `first` on, proved under the newest header.
pub(crate) fn delivery<M: Machine>(
    from: &Chain<M>,
    link: LinkId,
    number: LaneNumber,
    first: u64,
    count: u64,
) -> Delivery {
    delivery_at::<M>(&from.snapshot(), link, number, first, count)
}

/// What brings messages under an older header.
pub(crate) fn delivery_at<M: Machine>(
    from: &Snapshot,
    link: LinkId,
    number: LaneNumber,
    first: u64,
    count: u64,
) -> Delivery {
    let link_there = lanes::link(&from.state, link).unwrap();
    let lane = lanes::lane(&from.state, link, number).unwrap();
    let leaf = lanes::leaf(&link_there, number, &lane, M::DIRECTION);
    let hashes = lanes::leaf_hashes(&from.state);
    let index = usize::try_from(lane.position).unwrap();
    let head_proof = HeadProof {
        header: from.header.clone(),
        certificate: from.certificate.clone(),
        index: lane.position,
        count: hashes.len() as u64,
        path: lane_path(&hashes, index),
    };
    let range = if count == 0 {
        RangeProof { left: Vec::new(), right: Vec::new() }
    } else {
        let nodes = LaneNodes { view: &from.state, link, lane: number, epoch: lane.epoch };
        range_proof(&nodes, first, count, leaf.size).unwrap()
    };
    let limit = usize::try_from(count).unwrap();
    let messages =
        lanes::bodies(&from.state, link, number, lane.epoch, MessageNumber(first), limit);
    assert_eq!(messages.len(), limit, "bodies are kept until they are taken");
    Delivery { leaf, head_proof: head_proof.encode(), first: MessageNumber(first), messages, range }
}

/// What brings everything of a lane that the receiver lacks.
pub(crate) fn rest<A: Machine, B: Machine>(
    from: &Chain<A>,
    to: &Chain<B>,
    link: LinkId,
    number: LaneNumber,
) -> Delivery {
    let received = lanes::lane(&to.state, link, number).unwrap().received.size();
    let size = lanes::lane(&from.state, link, number).unwrap().sent.size();
    delivery(from, link, number, received, size - received)
}

/// Relays everything of a lane, in a block of its own on the receiver.
pub(crate) fn relay<A: Machine, B: Machine>(
    from: &Chain<A>,
    to: &mut Chain<B>,
    link: LinkId,
    number: LaneNumber,
    relayer: &SecretKey,
) -> Result<(), Refusal> {
    let delivery = rest(from, to, link, number);
    to.time = to.time.max(from.time);
    to.run(relayer, Call::Deliver(Box::new(delivery)))
}
