//! The ledger as the engine drives it.

use crate::{chain::Chain, telemetry};
use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use tombolo_crypto::digest;
use tombolo_engine::{Admitted, Application, Committed, Fatal, Timing, Tip, Verdict};
use tombolo_ledger::{
    Executed, Machine, Parameters,
    block::{self, InvalidBlock},
    records, validators,
};
use tombolo_types::{
    Class, Height, Refusal, UnixMillis,
    header::{Genesis, ValidatorSet},
    id::{ChainId, TxId},
    store::StoreError,
    transaction::{Block, DecidedBlock, SignedTransaction},
};
use tracing::field::{Empty, display};

/// Executed blocks that are kept until one of them is decided: one that is locked, the present
/// proposal, and one's own.
const HELD_MAX: usize = 3;

/// Why a ledger cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The document is not one for this kind of ledger.
    #[error("the genesis document does not start this ledger: {0}")]
    Genesis(Refusal),
    /// The store belongs to another network.
    #[error(
        "the store holds chain {found}, the genesis document starts {expected}; use this network's \
         document, or another home"
    )]
    OtherChain {
        /// The chain in the store.
        found: ChainId,
        /// The chain of the document.
        expected: ChainId,
    },
    /// State and blocks in the store disagree.
    #[error("the store says height {height}, but its block there {what}; restore it from a peer")]
    Torn {
        /// The newest height by the state.
        height: Height,
        /// What is wrong.
        what: &'static str,
    },
}

/// A block that has just been kept.
#[derive(Clone, Copy, Debug)]
pub struct Kept<'a> {
    /// The block.
    pub decided: &'a DecidedBlock,
    /// Its transactions, in order.
    pub transactions: &'a [TxId],
    /// How long the store took.
    pub flush: Duration,
}

/// Called after each commit, on the ledger's thread.
pub type OnCommit = Box<dyn FnMut(Kept<'_>) + Send>;

/// A ledger on its store, behind the engine's [`Application`].
pub struct LedgerApplication<M> {
    chain: Arc<Chain<M>>,
    chain_id: ChainId,
    tip: Tip,
    timing: Timing,
    held: VecDeque<Executed>,
    clock: fn() -> UnixMillis,
    on_commit: OnCommit,
}

/// The operator's clock, which decides only what this node's own door lets in.
fn system_clock() -> UnixMillis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMillis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

impl<M: Machine> LedgerApplication<M> {
    /// Opens the ledger in the chain's store; an empty store is given its first state.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(chain: Arc<Chain<M>>, genesis: &Genesis) -> Result<Self, OpenError> {
        let expected = digest::chain_id(genesis);
        if chain.tip().is_none() {
            let writes = chain.ledger().genesis(genesis).map_err(OpenError::Genesis)?;
            chain.keep_genesis(&writes)?;
        }
        let torn = |height, what| OpenError::Torn { height, what };
        let tip = chain.tip().ok_or(torn(Height::ZERO, "is missing"))?;
        if tip.chain_id != expected {
            return Err(OpenError::OtherChain { found: tip.chain_id, expected });
        }
        if tip.height > Height::ZERO {
            let (header, _) = chain.certified(tip.height)?.ok_or(torn(tip.height, "is missing"))?;
            if digest::block_id(&header) != tip.block_id {
                return Err(torn(tip.height, "is another one"));
            }
        }
        Ok(Self {
            timing: timing(&Parameters::of(chain.view())),
            tip: tip_of(&tip),
            chain_id: tip.chain_id,
            chain,
            held: VecDeque::new(),
            clock: system_clock,
            on_commit: Box::new(|_| {}),
        })
    }

    /// With another clock for the door, for tests.
    #[must_use]
    pub fn with_clock(mut self, clock: fn() -> UnixMillis) -> Self {
        self.clock = clock;
        self
    }

    /// With somebody who learns of each commit.
    #[must_use]
    pub fn with_on_commit(mut self, on_commit: OnCommit) -> Self {
        self.on_commit = on_commit;
        self
    }

    /// The ledger and its store.
    pub fn chain(&self) -> &Arc<Chain<M>> {
        &self.chain
    }

    /// The execution of exactly this block, if it is held.
    fn find(&self, block: &Block) -> Option<&Executed> {
        // The id covers the transactions only through their root, so they are compared as well.
        self.held.iter().find(|executed| executed.block == *block)
    }

    fn hold(&mut self, executed: Executed) {
        self.held.retain(|held| held.id != executed.id);
        if self.held.len() >= HELD_MAX {
            self.held.pop_front();
        }
        self.held.push_back(executed);
    }

    fn follow(&mut self, decided: &DecidedBlock) -> Result<Executed, Fatal> {
        if let Some(position) =
            self.held.iter().position(|executed| executed.block == decided.block)
            && let Some(executed) = self.held.remove(position)
        {
            return Ok(executed);
        }
        let view = self.chain.view();
        self.chain.ledger().execute(view, &decided.block).map_err(|why| {
            Fatal::new(format!(
                "block {} was decided, but this node cannot execute it: {why}; its program or its \
                 store differs from the others': compare versions, then restore it from a peer",
                decided.block.header.height
            ))
        })
    }
}

fn timing(parameters: &Parameters) -> Timing {
    let ms = Duration::from_millis;
    Timing {
        propose: ms(parameters.propose_timeout_ms),
        prevote: ms(parameters.prevote_timeout_ms),
        precommit: ms(parameters.precommit_timeout_ms),
        block_at_rest: ms(parameters.block_at_rest_ms),
        block_under_load: ms(parameters.block_under_load_ms),
        no_height_limit: ms(parameters.no_height_limit_ms),
        proposer_ahead: ms(parameters.proposer_ahead_ms),
    }
}

fn refusal_of(invalid: InvalidBlock) -> Refusal {
    let message = invalid.to_string();
    let class = match invalid {
        InvalidBlock::Inadmissible { refusal, .. } => refusal.class,
        InvalidBlock::TooLarge { .. } => Class::Limit,
        InvalidBlock::NotNext { .. } => Class::State,
        _ => Class::Proof,
    };
    Refusal::new(class, message)
}

impl<M: Machine> LedgerApplication<M> {
    /// Leaves a span for every record from this position on, in the trace of its operation.
    fn trace(&self, from: u64) {
        for (position, salted) in records::range(self.chain.view(), from, usize::MAX) {
            let record = &salted.record;
            let span = tracing::info_span!(
                "node.operation.record",
                global_id = %record.global_id,
                operation = record.operation,
                class = Class::from_number(record.outcome).map_or("done", Class::code),
                height = record.height.0,
                record = position,
                link = Empty,
                chain.source = Empty,
                chain.destination = Empty,
                lane = Empty,
                number = Empty,
            );
            if !record.link.is_zero() {
                span.record("link", display(record.link));
                span.record("chain.source", display(record.source_chain));
                span.record("chain.destination", display(record.destination_chain));
                span.record("lane", record.lane.0);
                span.record("number", record.number.0);
            }
            telemetry::join(&span, record.global_id);
        }
    }
}

impl<M: Machine> Application for LedgerApplication<M> {
    fn chain_id(&self) -> ChainId {
        self.chain_id
    }

    fn tip(&self) -> Tip {
        self.tip
    }

    fn validators(&self, height: Height) -> Option<ValidatorSet> {
        let known = height > Height::ZERO && height <= self.tip.height.next();
        known.then(|| validators::at(self.chain.view(), height)).flatten()
    }

    fn timing(&self) -> Timing {
        self.timing
    }

    fn decided(&self, height: Height) -> Result<Option<DecidedBlock>, Fatal> {
        let Some((header, certificate)) = self.chain.certified(height)? else { return Ok(None) };
        let Some(transactions) = self.chain.transactions(height)? else { return Ok(None) };
        Ok(Some(DecidedBlock { block: Block { header, transactions }, certificate }))
    }

    fn build(
        &mut self,
        time: UnixMillis,
        candidates: &mut dyn Iterator<Item = Vec<u8>>,
        stop: &dyn Fn() -> bool,
    ) -> Result<Block, Fatal> {
        let built = self.chain.ledger().build(self.chain.view(), time, candidates, stop);
        let executed = built.map_err(|why| Fatal::new(why.to_string()))?;
        let block = executed.block.clone();
        self.hold(executed);
        Ok(block)
    }

    fn check(&mut self, block: &Block) -> Result<Verdict, Fatal> {
        if self.find(block).is_some() {
            return Ok(Verdict::Valid);
        }
        match self.chain.ledger().execute(self.chain.view(), block) {
            Ok(executed) => {
                self.hold(executed);
                Ok(Verdict::Valid)
            }
            Err(invalid) => Ok(Verdict::Invalid(refusal_of(invalid))),
        }
    }

    fn commit(&mut self, decided: &DecidedBlock) -> Result<Committed, Fatal> {
        let header = &decided.block.header;
        let id = digest::block_id(header);
        if (header.height, id) == (self.tip.height, self.tip.block_id) {
            let transactions = ids(&decided.block);
            return Ok(Committed { tip: self.tip, transactions });
        }
        if header.height != self.tip.height.next() {
            return Err(Fatal::new(format!(
                "block {} was decided, but this node is at height {}",
                header.height, self.tip.height
            )));
        }
        let executed = self.follow(decided)?;
        let transactions: Vec<TxId> = executed.outcomes.iter().map(|outcome| outcome.id).collect();
        let recorded = records::log(self.chain.view()).size();
        let started = Instant::now();
        self.chain.keep_block(executed, decided)?;
        let flush = started.elapsed();
        if telemetry::is_collected() {
            self.trace(recorded);
        }
        self.held.clear();
        self.tip = Tip { height: header.height, block_id: id, time: header.time };
        self.timing = timing(&Parameters::of(self.chain.view()));
        self.chain.waiting().committed(&transactions, header.time);
        (self.on_commit)(Kept { decided, transactions: &transactions, flush });
        Ok(Committed { tip: self.tip, transactions })
    }

    fn admit(&mut self, transaction: &[u8]) -> Result<Admitted, Refusal> {
        let view = self.chain.view();
        let admitted = self.chain.ledger().admit(view, (self.clock)(), transaction);
        match admitted {
            Ok(admitted) => {
                self.chain.waiting().add(admitted.id, &admitted.transaction);
                Ok(Admitted {
                    id: admitted.id,
                    identity: admitted.signer.identity,
                    expires: admitted.transaction.expires,
                })
            }
            Err(refusal) => {
                // What waited is asked for again after a block, and then waits no more. A class
                // below means that the signature was good, so nobody else can say so.
                if !matches!(refusal.class, Class::Format | Class::Auth)
                    && let Some(id) = tx_id(transaction)
                {
                    self.chain.waiting().remove(id);
                }
                Err(refusal)
            }
        }
    }
}

/// The id of an encoded transaction, if it is one.
pub(crate) fn tx_id(transaction: &[u8]) -> Option<TxId> {
    let signed: SignedTransaction = borsh::from_slice(transaction).ok()?;
    Some(digest::tx_id(&signed.body))
}

fn ids(block: &Block) -> Vec<TxId> {
    block.transactions.iter().filter_map(|transaction| tx_id(transaction)).collect()
}

/// The newest block of a chain that has been opened, as the engine knows it.
pub(crate) fn tip_of(tip: &block::Tip) -> Tip {
    Tip { height: tip.height, block_id: tip.block_id, time: tip.time }
}
