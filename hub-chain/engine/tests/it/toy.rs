//! A ledger small enough to be read at a glance, which keeps all rules of `Application`.

use borsh::{BorshDeserialize, BorshSerialize};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tombolo_crypto::{digest, keccak256::keccak256_concat, secp256k1::SecretKey};
use tombolo_engine::{Admitted, Application, Committed, Fatal, Timing, Tip, Verdict};
use tombolo_types::{
    Hash, Height, Power, Refusal, UnixMillis, ensure,
    header::{HEADER_VERSION, Header, Validator, ValidatorSet},
    id::{BlockId, ChainId, IdentityId, TxId},
    store::{Batch, Store},
    transaction::{Block, DecidedBlock},
};

/// What the toy's users can ask.
#[derive(Clone, Debug, BorshSerialize, BorshDeserialize)]
pub(crate) struct ToyTransaction {
    pub(crate) identity: u8,
    pub(crate) nonce: u64,
    /// The validators from the next height on.
    pub(crate) validators: Option<Vec<[u8; 20]>>,
    pub(crate) filling: Vec<u8>,
}

impl ToyTransaction {
    pub(crate) fn new(identity: u8, nonce: u64) -> Self {
        Self { identity, nonce, validators: None, filling: Vec::new() }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        borsh::to_vec(self).unwrap()
    }
}

#[derive(Clone)]
struct State {
    tip: Tip,
    digest: Hash,
    nonces: BTreeMap<u8, u64>,
    /// By first height.
    sets: BTreeMap<u64, ValidatorSet>,
}

/// What a node tells peers that want its blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lie {
    None,
    ServesNothing,
    ServesAnotherHeight,
    ServesAnotherBlock,
}

/// How a ledger breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Break {
    Fatal,
    Panic,
}

impl Lie {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::None => "honest",
            Self::ServesNothing => "serves-nothing",
            Self::ServesAnotherHeight => "serves-another-height",
            Self::ServesAnotherBlock => "serves-another-block",
        }
    }
}

pub(crate) struct Toy {
    store: Arc<dyn Store>,
    chain: ChainId,
    state: State,
    overlays: BTreeMap<BlockId, State>,
    pub(crate) timing: Timing,
    pub(crate) transactions_max: usize,
    pub(crate) lie: Lie,
    /// How much later than asked its blocks are.
    pub(crate) ahead_ms: u64,
    /// It calls every block invalid.
    pub(crate) stubborn: bool,
    /// The height at which it breaks.
    pub(crate) breaks_at: Option<(Height, Break)>,
}

pub(crate) fn key(n: u8) -> SecretKey {
    SecretKey::from_bytes([n; 32]).unwrap()
}

pub(crate) fn set(first_height: u64, members: &[u8]) -> ValidatorSet {
    let mut validators: Vec<Validator> = members
        .iter()
        .map(|n| Validator { address: key(*n).address(), power: Power(10) })
        .collect();
    validators.sort_by_key(|validator| validator.address);
    ValidatorSet { first_height: Height(first_height), validators }
}

impl Toy {
    /// Opens the ledger that is in the store, or begins it with these validators.
    pub(crate) fn open(store: Arc<dyn Store>, members: &[u8]) -> Self {
        let first = set(1, members);
        let chain: ChainId = digest::validators_root(&first).into();
        let genesis = State {
            tip: Tip { height: Height(0), block_id: BlockId(chain.0), time: UnixMillis(1_000) },
            digest: Hash::ZERO,
            nonces: BTreeMap::new(),
            sets: BTreeMap::from([(1, first)]),
        };
        let mut toy = Self {
            store,
            chain,
            state: genesis,
            overlays: BTreeMap::new(),
            // On a loaded machine, less would only cost rounds.
            timing: Timing { propose: Duration::from_secs(1), ..Timing::default() },
            transactions_max: 1_000,
            lie: Lie::None,
            ahead_ms: 0,
            stubborn: false,
            breaks_at: None,
        };
        while let Some(decided) = toy.decided(toy.state.tip.height.next()).unwrap() {
            toy.state = toy.execute(&decided.block).unwrap();
        }
        toy
    }

    /// The nonce that is due from this identity.
    pub(crate) fn nonce_of(&self, identity: u8) -> u64 {
        self.state.nonces.get(&identity).copied().unwrap_or(0)
    }

    fn key_of(height: Height) -> Vec<u8> {
        [b"b".as_slice(), &height.0.to_be_bytes()].concat()
    }

    /// The state after a transaction, or why it may not enter a block.
    fn apply(state: &mut State, bytes: &[u8]) -> Result<(), Refusal> {
        let transaction = ToyTransaction::try_from_slice(bytes)
            .map_err(|error| Refusal::new(tombolo_types::Class::Format, error.to_string()))?;
        let ToyTransaction { identity, nonce, validators, .. } = transaction;
        let due = state.nonces.entry(identity).or_default();
        ensure!(nonce == *due, Replay, "nonce {nonce} of {identity}, due is {due}");
        *due += 1;
        if let Some(addresses) = validators {
            let first_height = state.tip.height.0 + 2;
            let validators = addresses
                .into_iter()
                .map(|address| Validator {
                    address: tombolo_types::Address(address),
                    power: Power(10),
                })
                .collect();
            let set = ValidatorSet { first_height: Height(first_height), validators };
            ensure!(set.check().is_ok(), Format, "not a validator set");
            state.sets.insert(first_height, set);
        }
        Ok(())
    }

    fn set_at(state: &State, height: u64) -> &ValidatorSet {
        state.sets.range(..=height).next_back().unwrap().1
    }

    /// The header that these transactions give at this time, and the state after it.
    fn seal(
        &self,
        mut state: State,
        time: UnixMillis,
        transactions: &[Vec<u8>],
    ) -> (Header, State) {
        let parent = self.state.tip;
        let height = parent.height.next();
        let root = keccak256_concat(transactions.iter().map(Vec::as_slice));
        let writes_digest = keccak256_concat([parent.block_id.as_ref(), root.as_ref()]);
        let header = Header {
            version: HEADER_VERSION,
            chain_id: self.chain,
            height,
            time,
            parent: parent.block_id,
            transactions_root: root,
            lanes_root: Hash::ZERO,
            log_root: Hash::ZERO,
            log_size: 0,
            writes_digest,
            state_root: Hash::ZERO,
            validators_root: digest::validators_root(Self::set_at(&state, height.0)),
            next_validators_root: digest::validators_root(Self::set_at(&state, height.0 + 1)),
            extensions_root: Hash::ZERO,
            reserved: Hash::ZERO,
        };
        state.digest = writes_digest;
        state.tip = Tip { height, block_id: digest::block_id(&header), time };
        (header, state)
    }

    fn execute(&self, block: &Block) -> Result<State, Refusal> {
        let mut state = self.state.clone();
        let parent = state.tip.time;
        let time = block.header.time;
        ensure!(time > parent, Format, "time {time} is not after {parent}");
        for transaction in &block.transactions {
            Self::apply(&mut state, transaction)?;
        }
        let (header, state) = self.seal(state, time, &block.transactions);
        ensure!(header == block.header, Proof, "the header differs from the execution's");
        Ok(state)
    }
}

impl Application for Toy {
    fn chain_id(&self) -> ChainId {
        self.chain
    }

    fn tip(&self) -> Tip {
        self.state.tip
    }

    fn validators(&self, height: Height) -> Option<ValidatorSet> {
        let known = (1..=self.state.tip.height.0 + 1).contains(&height.0);
        known.then(|| Self::set_at(&self.state, height.0).clone())
    }

    fn timing(&self) -> Timing {
        self.timing
    }

    fn decided(&self, height: Height) -> Result<Option<DecidedBlock>, Fatal> {
        let read = |height| -> Result<Option<DecidedBlock>, Fatal> {
            let bytes = self.store.get(&Self::key_of(height))?;
            Ok(bytes.map(|bytes| borsh::from_slice(&bytes).unwrap()))
        };
        match self.lie {
            Lie::None => read(height),
            Lie::ServesNothing => Ok(None),
            Lie::ServesAnotherHeight => read(height.next()),
            Lie::ServesAnotherBlock => Ok(read(height)?.map(|mut decided| {
                decided.block.header.time = decided.block.header.time.saturating_add(1);
                decided
            })),
        }
    }

    fn build(
        &mut self,
        time: UnixMillis,
        candidates: &mut dyn Iterator<Item = Vec<u8>>,
        stop: &dyn Fn() -> bool,
    ) -> Result<Block, Fatal> {
        let time = time.saturating_add(self.ahead_ms);
        let mut state = self.state.clone();
        let mut transactions = Vec::new();
        while transactions.len() < self.transactions_max && !stop() {
            let Some(candidate) = candidates.next() else { break };
            if Self::apply(&mut state, &candidate).is_ok() {
                transactions.push(candidate);
            }
        }
        let (header, state) = self.seal(state, time, &transactions);
        self.overlays.insert(state.tip.block_id, state);
        Ok(Block { header, transactions })
    }

    fn check(&mut self, block: &Block) -> Result<Verdict, Fatal> {
        if self.stubborn {
            return Ok(Verdict::Invalid(Refusal::new(tombolo_types::Class::State, "stubborn")));
        }
        Ok(match self.execute(block) {
            Ok(state) => {
                self.overlays.insert(state.tip.block_id, state);
                Verdict::Valid
            }
            Err(why) => Verdict::Invalid(why),
        })
    }

    fn commit(&mut self, decided: &DecidedBlock) -> Result<Committed, Fatal> {
        match self.breaks_at.filter(|(height, _)| *height == decided.certificate.height) {
            Some((_, Break::Fatal)) => return Err(Fatal::new("the disk is gone")),
            Some((_, Break::Panic)) => panic!("a broken invariant"),
            None => {}
        }
        let block_id = digest::block_id(&decided.block.header);
        let set = self.validators(decided.block.header.height).unwrap();
        certificate_holds(self.chain, decided, &set);
        let state = match self.overlays.remove(&block_id) {
            Some(state) => state,
            None => self
                .execute(&decided.block)
                .map_err(|why| Fatal::new(format!("decided block {block_id}: {why}")))?,
        };
        let key = Self::key_of(decided.block.header.height);
        self.store.apply(&Batch::from([(key, Some(borsh::to_vec(decided).unwrap()))]))?;
        self.state = state;
        self.overlays.clear();
        let transactions = decided.block.transactions.iter().map(|bytes| tx_id(bytes)).collect();
        Ok(Committed { tip: self.state.tip, transactions })
    }

    fn admit(&mut self, transaction: &[u8]) -> Result<Admitted, Refusal> {
        let decoded = ToyTransaction::try_from_slice(transaction)
            .map_err(|error| Refusal::new(tombolo_types::Class::Format, error.to_string()))?;
        let due = self.nonce_of(decoded.identity);
        ensure!(decoded.nonce >= due, Replay, "nonce {} is used", decoded.nonce);
        let identity = IdentityId([decoded.identity; 32]);
        Ok(Admitted { id: tx_id(transaction), identity, expires: UnixMillis::MAX })
    }
}

pub(crate) fn tx_id(bytes: &[u8]) -> TxId {
    digest::tx_id(bytes)
}

/// Every certificate that reaches a ledger is one that anybody would accept.
fn certificate_holds(chain: ChainId, decided: &DecidedBlock, set: &ValidatorSet) {
    let certificate = &decided.certificate;
    let block_id = digest::block_id(&decided.block.header);
    assert_eq!(certificate.block_id, block_id);
    assert_eq!(certificate.height, decided.block.header.height);
    let digest = digest::vote(
        digest::VoteKind::Precommit,
        chain,
        certificate.height,
        certificate.round,
        Some(block_id),
    );
    assert!(certificate.signatures.is_sorted_by(|a, b| a.signer < b.signer));
    let mut power = 0;
    for signed in &certificate.signatures {
        let signer = tombolo_crypto::secp256k1::recover(digest, &signed.signature).unwrap();
        assert_eq!(signer, signed.signer);
        power += set.power_of(signer).unwrap().0;
    }
    assert!(power * 3 > set.check().unwrap().0 * 2);
}
