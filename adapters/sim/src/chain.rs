//! The simulated chain: its blocks, their finality, and what waits.

use crate::random::Random;
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard},
};
use tokio::sync::watch;
use tombolo_adapter::Finality;
use tombolo_crypto::{
    digest::{self, VoteKind},
    secp256k1::SecretKey,
};
use tombolo_ledger::{
    BlockInfo, Call, Context, Executed, Ledger, Machine, Parameters, Principal, State, block,
    delivery, machine::blank_record, principal::Use, validators,
};
use tombolo_store::Memory;
use tombolo_types::{
    Address, Class, Hash, Height, Refusal, Round, UnixMillis,
    header::{Anchor, Certificate, CommitSignature, Genesis, Header, ValidatorSet},
    id::{BlockId, ChainId, IdentityId, TxId},
    lane::Delivery,
    store::{Batch, Store, View},
    transaction::{SignedTransaction, Transaction},
};

/// With [`Finality::Checkpoint`], every so many blocks all of them become final.
pub const CHECKPOINT_EVERY: u64 = 4;
/// More blocks than any transaction that is not dropped waits for: those of one finality, and
/// some for full blocks.
const BLOCKS_UNTIL_FINAL_MAX: u64 = 1_000;
/// How long a transaction of ours may wait, in simulated milliseconds.
const EXPIRY_MS: u64 = 600_000;

/// When blocks are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// An adapter that submits makes blocks until its transaction is final.
    OnDemand,
    /// Only [`SimChain::produce`] makes blocks.
    Manual,
}

/// How a simulated chain behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Repeats everything.
    pub seed: u64,
    /// When blocks are final.
    pub finality: Finality,
    /// When blocks are made.
    pub pace: Pace,
    /// The least time between two blocks, in simulated milliseconds; at least 1.
    pub block_ms: u64,
    /// How much longer it may be, by chance.
    pub jitter_ms: u64,
}

impl Settings {
    /// A chain that is final at once and makes blocks on demand.
    #[must_use]
    pub fn instant(seed: u64) -> Self {
        Self {
            seed,
            finality: Finality::Instant,
            pace: Pace::OnDemand,
            block_ms: 250,
            jitter_ms: 50,
        }
    }
}

/// A simulated chain that runs a machine `M`. Share it by `Arc`.
pub struct SimChain<M> {
    pub(crate) chain_id: ChainId,
    pub(crate) genesis: Genesis,
    pub(crate) settings: Settings,
    pub(crate) ledger: Ledger<M>,
    pub(crate) final_height: watch::Sender<Height>,
    inner: Mutex<Inner>,
}

pub(crate) struct Inner {
    /// Of all validators, present and future.
    pub(crate) keys: BTreeMap<Address, SecretKey>,
    pub(crate) random: Random,
    /// The state after the newest final block.
    pub(crate) kept: Memory,
    /// The state after the newest block.
    pub(crate) tip: Memory,
    /// Blocks above the final ones, oldest first.
    pub(crate) pending: VecDeque<Executed>,
    /// Height 1 stands first.
    pub(crate) finals: Vec<Final>,
    pub(crate) waiting: VecDeque<Waiting>,
    outcomes: BTreeMap<TxId, Ended>,
    /// Time that passes before the next block besides its own.
    idle_ms: u64,
}

/// A final header.
#[derive(Clone)]
pub(crate) struct Final {
    pub(crate) header: Header,
    pub(crate) certificate: Certificate,
}

/// A transaction that no block holds yet.
pub(crate) struct Waiting {
    pub(crate) id: TxId,
    pub(crate) signer: IdentityId,
    pub(crate) encoded: Vec<u8>,
}

impl Waiting {
    fn nonce(&self) -> u64 {
        let signed: SignedTransaction =
            borsh::from_slice(&self.encoded).expect("what waits was admitted");
        let transaction: Transaction =
            borsh::from_slice(&signed.body).expect("what waits was admitted");
        transaction.nonce
    }
}

/// How a transaction ended.
#[derive(Clone)]
pub(crate) enum Ended {
    /// In a final block, and refused there or not.
    Final(Height, Option<Refusal>),
    /// No block will hold it.
    Dropped(Refusal),
}

impl<M: Machine> SimChain<M> {
    /// A chain at its genesis, whose validators have `keys`.
    ///
    /// # Errors
    /// As [`Ledger::genesis`].
    pub fn new(
        machine: M,
        genesis: &Genesis,
        keys: &[SecretKey],
        settings: Settings,
    ) -> Result<Arc<Self>, Refusal> {
        let ledger = Ledger::new(machine);
        let writes = ledger.genesis(genesis)?;
        let (kept, tip) = (Memory::default(), Memory::default());
        write(&kept, &writes);
        write(&tip, &writes);
        let inner = Inner {
            keys: keys.iter().map(|key| (key.address(), key.clone())).collect(),
            random: Random::new(settings.seed),
            kept,
            tip,
            pending: VecDeque::new(),
            finals: Vec::new(),
            waiting: VecDeque::new(),
            outcomes: BTreeMap::new(),
            idle_ms: 0,
        };
        Ok(Arc::new(Self {
            chain_id: digest::chain_id(genesis),
            genesis: genesis.clone(),
            settings,
            ledger,
            final_height: watch::Sender::new(Height::ZERO),
            inner: Mutex::new(inner),
        }))
    }

    /// The chain.
    #[must_use]
    pub fn chain_id(&self) -> ChainId {
        self.chain_id
    }

    /// What a light client of this chain starts from: its genesis.
    #[must_use]
    pub fn anchor(&self) -> Anchor {
        Anchor {
            chain_id: self.chain_id,
            height: Height::ZERO,
            block_id: BlockId(self.chain_id.0),
            time: self.genesis.time,
            validators: self.genesis.validators.clone(),
        }
    }

    /// The time of the newest block, final or not.
    #[must_use]
    pub fn now(&self) -> UnixMillis {
        self.lock().tip().time
    }

    /// The newest final height.
    #[must_use]
    pub fn final_height(&self) -> Height {
        *self.final_height.borrow()
    }

    /// The id of each final block, from height 1 on.
    #[must_use]
    pub fn final_blocks(&self) -> Vec<BlockId> {
        self.lock().finals.iter().map(|block| digest::block_id(&block.header)).collect()
    }

    pub(crate) fn machine(&self) -> &M {
        self.ledger.machine()
    }

    /// Reads the state after the newest final block.
    pub fn read<T>(&self, read: impl FnOnce(&dyn View) -> T) -> T {
        read(&self.lock().kept)
    }

    /// Lets simulated time pass; the next block shows it.
    pub fn pass_ms(&self, ms: u64) {
        let mut inner = self.lock();
        inner.idle_ms = inner.idle_ms.saturating_add(ms);
    }

    /// Adds the key of somebody who may become a validator.
    pub fn add_key(&self, key: &SecretKey) {
        self.lock().keys.insert(key.address(), key.clone());
    }

    /// Signs a call with `key` and hands it in.
    ///
    /// # Errors
    /// As [`Ledger::admit`]; `E_REPLAY` for a delivery that raises nothing.
    pub fn submit(&self, key: &SecretKey, call: Call<M::Call>) -> Result<TxId, Refusal> {
        let mut inner = self.lock();
        let signer = digest::identity_id(key.address());
        let tip = inner.tip();
        let transaction = Transaction {
            chain_id: self.chain_id,
            signer,
            nonce_lane: 0,
            nonce: inner.next_nonce(signer),
            expires: tip.time.saturating_add(inner.idle_ms).saturating_add(EXPIRY_MS),
            salt: Hash(inner.random.bytes()),
            call: encode(&call),
        };
        let body = encode(&transaction);
        let id = digest::tx_id(&body);
        let encoded = encode(&SignedTransaction { signature: key.sign(id.into()), body });
        self.admit(&inner, id, &encoded)?;
        inner.waiting.push_back(Waiting { id, signer, encoded });
        Ok(id)
    }

    /// Whether a transaction may wait for a block: admissible, and of some use.
    fn admit(&self, inner: &Inner, id: TxId, encoded: &[u8]) -> Result<(), Refusal> {
        let admitted = self.ledger.admit(&inner.tip, inner.tip().time, encoded)?;
        let Call::Deliver(delivery) = admitted.call else { return Ok(()) };
        match self.try_delivery(inner, id, admitted.signer, &delivery) {
            Err(refusal) if refusal.class == Class::Replay => Err(refusal),
            // What is refused for another reason goes into a block and leaves a record there.
            _ => Ok(()),
        }
    }

    /// Takes a delivery on a copy of the state that is then thrown away.
    fn try_delivery(
        &self,
        inner: &Inner,
        tx_id: TxId,
        signer: Principal,
        delivery: &Delivery,
    ) -> Result<(), Refusal> {
        let tip = inner.tip();
        let time = tip.time.saturating_add(1);
        let block = BlockInfo { chain_id: self.chain_id, height: tip.height.next(), time };
        let mut state = State::new(&inner.tip);
        let mut cx = Context {
            state: &mut state,
            block,
            parameters: &Parameters::of(&inner.tip),
            tx_id,
            salt: Hash::ZERO,
            signer: Some(signer),
            record: blank_record(block, tx_id),
        };
        delivery::deliver(self.ledger.machine(), &mut cx, delivery)
    }

    /// Makes one block of what waits, and gives its height.
    pub fn produce(&self) -> Height {
        let mut inner = self.lock();
        let parent = inner.tip();
        let jitter = inner.random.up_to(self.settings.jitter_ms);
        let wait = self.settings.block_ms.max(1) + jitter + std::mem::take(&mut inner.idle_ms);
        let time = parent.time.saturating_add(wait);
        let candidates: Vec<Waiting> = inner.waiting.drain(..).collect();
        let mut encoded = candidates.iter().map(|waiting| waiting.encoded.clone());
        let executed = self
            .ledger
            .build(&inner.tip, time, &mut encoded, &|| false)
            // It is refused only without a genesis or a later time; here are both.
            .expect("a block of a later time can be built");
        write(&inner.tip, &executed.writes);
        let included: BTreeSet<TxId> = executed.outcomes.iter().map(|done| done.id).collect();
        for waiting in candidates.into_iter().filter(|waiting| !included.contains(&waiting.id)) {
            match self.admit(&inner, waiting.id, &waiting.encoded) {
                Ok(()) => inner.waiting.push_back(waiting),
                Err(refusal) => {
                    inner.outcomes.insert(waiting.id, Ended::Dropped(refusal));
                }
            }
        }
        inner.pending.push_back(executed);
        let newest = inner.finalise(self.chain_id, self.settings.finality);
        drop(inner);
        if let Some(height) = newest {
            self.final_height.send_replace(height);
        }
        parent.height.next()
    }

    /// Makes blocks until what is there now is final.
    pub fn produce_until_final(&self) {
        let wanted = self.produce();
        for _ in 0..BLOCKS_UNTIL_FINAL_MAX {
            if self.final_height() >= wanted {
                return;
            }
            self.produce();
        }
        panic!("height {wanted} is not final after {BLOCKS_UNTIL_FINAL_MAX} blocks");
    }

    /// Ends all processes of the chain and starts them again: what is not final is forgotten.
    pub fn restart(&self) {
        let mut inner = self.lock();
        inner.pending.clear();
        inner.waiting.clear();
        inner.tip = Memory::from(inner.kept.snapshot());
    }

    pub(crate) fn ended(&self, id: TxId) -> Option<Ended> {
        self.lock().outcomes.get(&id).cloned()
    }

    // A panic while it was held is a fault of the simulation, and it ends here as well.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("nothing panicked while it held the chain")
    }
}

impl Inner {
    pub(crate) fn tip(&self) -> block::Tip {
        block::tip(&self.tip).expect("the chain has a genesis")
    }

    /// The first nonce that neither was used nor waits: after a gap that a dropped transaction
    /// left, the gap, as a node tells it.
    fn next_nonce(&self, signer: IdentityId) -> u64 {
        let of_signer = self.waiting.iter().filter(|waiting| waiting.signer == signer);
        let taken: BTreeSet<u64> = of_signer.map(Waiting::nonce).collect();
        let mut free = Use::of(&self.tip, signer).nonce(0);
        while taken.contains(&free) {
            free += 1;
        }
        free
    }

    /// Certifies what has become final, and gives the newest such height.
    fn finalise(&mut self, chain: ChainId, finality: Finality) -> Option<Height> {
        let tip = self.tip().height;
        let until = match finality {
            Finality::Instant => tip,
            Finality::Depth(depth) => tip.saturating_sub(depth.get()),
            Finality::Checkpoint => Height(tip.0 - tip.0 % CHECKPOINT_EVERY),
        };
        let mut newest = None;
        while self.pending.front().is_some_and(|block| block.block.header.height <= until) {
            let Some(executed) = self.pending.pop_front() else { break };
            let header = executed.block.header;
            write(&self.kept, &executed.writes);
            let certificate = self.certify(chain, &header, usize::MAX);
            newest = Some(header.height);
            for done in executed.outcomes {
                self.outcomes.insert(done.id, Ended::Final(header.height, done.refusal));
            }
            self.finals.push(Final { header, certificate });
        }
        newest
    }

    /// The set that certifies a final height.
    pub(crate) fn validators_at(&self, height: Height) -> ValidatorSet {
        validators::at(&self.kept, height).expect("every height from 1 on has a set")
    }

    /// Has at most `signers` validators of the header's height sign it.
    pub(crate) fn certify(&self, chain: ChainId, header: &Header, signers: usize) -> Certificate {
        let block_id = digest::block_id(header);
        let (height, round) = (header.height, Round::ZERO);
        let vote = digest::vote(VoteKind::Precommit, chain, height, round, Some(block_id));
        let set = self.validators_at(height);
        let signatures = set
            .validators
            .iter()
            .filter_map(|member| self.keys.get(&member.address))
            .take(signers)
            .map(|key| CommitSignature { signer: key.address(), signature: key.sign(vote) })
            .collect();
        Certificate { height, round, block_id, signatures }
    }
}

/// Memory takes every batch.
pub(crate) fn write(to: &Memory, batch: &Batch) {
    to.apply(batch).expect("memory does not fail");
}

/// Borsh fails only where the writer does, and a vector does not.
fn encode(value: &impl borsh::BorshSerialize) -> Vec<u8> {
    borsh::to_vec(value).expect("a vector takes all bytes")
}
