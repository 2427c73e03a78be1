//! The one trait between the engine and a ledger. No type of the consensus library passes it.

use std::{fmt, time::Duration};
use tombolo_types::{
    Height, Refusal, UnixMillis,
    header::ValidatorSet,
    id::{BlockId, ChainId, IdentityId, TxId},
    store::StoreError,
    transaction::{Block, DecidedBlock},
};

/// The newest committed block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tip {
    /// 0 at genesis.
    pub height: Height,
    /// The block there; at height 0 the chain id stands for it.
    pub block_id: BlockId,
    /// Its time; at height 0 that of the genesis document.
    pub time: UnixMillis,
}

/// What a ledger says of a block that somebody proposed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may be voted for. The result is kept under the block's id.
    Valid,
    /// It may not, now or ever.
    Invalid(Refusal),
}

/// What the engine and its users learn of a committed block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The ledger's new tip.
    pub tip: Tip,
    /// Its transactions, in order: they leave the mempool.
    pub transactions: Vec<TxId>,
}

/// What the door says of a transaction that it lets in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admitted {
    /// The transaction's id.
    pub id: TxId,
    /// On whose quota it waits.
    pub identity: IdentityId,
    /// The block time from which it may not enter a block.
    pub expires: UnixMillis,
}

/// The engine's parameters, as the ledger's state has them after the tip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// How long a round waits for its proposal.
    pub propose: Duration,
    /// How long it waits for stray prevotes once two thirds are there.
    pub prevote: Duration,
    /// How long it waits for stray precommits once two thirds are there.
    pub precommit: Duration,
    /// Age of a height before the next starts, when there is nothing to do.
    pub block_at_rest: Duration,
    /// Age of a height before the next starts, when there is work.
    pub block_under_load: Duration,
    /// A node that is connected to more than two thirds of the power and sees no new height for
    /// so long stops.
    pub no_height_limit: Duration,
    /// How far a block's time may lie ahead of a validator's own clock.
    pub proposer_ahead: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            propose: Duration::from_millis(500),
            prevote: Duration::from_millis(200),
            precommit: Duration::from_millis(200),
            block_at_rest: Duration::from_millis(250),
            block_under_load: Duration::from_millis(25),
            no_height_limit: Duration::from_secs(60),
            proposer_ahead: Duration::from_millis(500),
        }
    }
}

impl Timing {
    /// The nearest timing under which a chain can live. Parameters are voted for, and a vote may
    /// be mistaken: it must never be able to halt the chain, for then no vote could mend it.
    #[must_use]
    pub fn bounded(self) -> Self {
        let timeout = |value: Duration| value.clamp(TIMEOUT_MIN, TIMEOUT_MAX);
        let block_at_rest = self.block_at_rest.min(BLOCK_MAX);
        Self {
            propose: timeout(self.propose),
            prevote: timeout(self.prevote),
            precommit: timeout(self.precommit),
            block_at_rest,
            block_under_load: self.block_under_load.min(block_at_rest),
            no_height_limit: self.no_height_limit.clamp(2 * block_at_rest + NO_HEIGHT_MIN, DAY),
            proposer_ahead: self.proposer_ahead.clamp(TIMEOUT_MIN, DAY),
        }
    }
}

/// No time-out is shorter: an answer has to come back within it.
const TIMEOUT_MIN: Duration = Duration::from_millis(20);
/// No time-out is longer, nor grows longer with the round.
pub(crate) const TIMEOUT_MAX: Duration = Duration::from_secs(30);
/// No block waits longer for the next.
const BLOCK_MAX: Duration = Duration::from_secs(60);
/// Besides two blocks, a stalled node waits at least so long before it gives up.
const NO_HEIGHT_MIN: Duration = Duration::from_secs(2);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A broken invariant or an unusable disk. The process must stop before it signs anything more.
#[derive(Debug)]
pub struct Fatal(String);

impl Fatal {
    /// A fault that says what broke, where, and what the operator can do.
    pub fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

impl fmt::Display for Fatal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Fatal {}

impl From<StoreError> for Fatal {
    fn from(error: StoreError) -> Self {
        Self(error.to_string())
    }
}

impl From<std::io::Error> for Fatal {
    fn from(error: std::io::Error) -> Self {
        Self(error.to_string())
    }
}

/// The replicated ledger as the engine sees it.
///
/// All calls come from one thread of its own, so they may block; none comes from the async
/// runtime. A [`Fatal`] ends the engine, and the caller of [`run`](crate::run) must then end
/// the process.
pub trait Application: Send + 'static {
    /// The ledger.
    fn chain_id(&self) -> ChainId;

    /// The newest committed block.
    fn tip(&self) -> Tip;

    /// The set that certifies the block at `height`: for every height from 1 to the one after the
    /// tip, however old; `None` above.
    fn validators(&self, height: Height) -> Option<ValidatorSet>;

    /// The engine's parameters; the engine holds them within [`Timing::bounded`].
    fn timing(&self) -> Timing;

    /// The block at `height` with a certificate, or `None` where it is pruned or not yet decided.
    ///
    /// # Errors
    /// [`Fatal`] where the store cannot be read.
    fn decided(&self, height: Height) -> Result<Option<DecidedBlock>, Fatal>;

    /// The lowest height from which on every block up to the tip is kept; 1 without pruning.
    fn height_min(&self) -> Height {
        Height(1)
    }

    /// Builds a block of `time` on the tip, out of `candidates` in their order. Inadmissible ones
    /// are left out. Stops at the byte or weight limit, or as soon as `stop` says so. The result is
    /// kept under the block's id, so that committing it needs no second execution.
    ///
    /// `time` is greater than the tip's.
    ///
    /// # Errors
    /// [`Fatal`] where the ledger can no longer be trusted.
    fn build(
        &mut self,
        time: UnixMillis,
        candidates: &mut dyn Iterator<Item = Vec<u8>>,
        stop: &dyn Fn() -> bool,
    ) -> Result<Block, Fatal>;

    /// Executes a block that somebody proposed on the tip, and keeps the result under its id.
    /// A verdict never changes for the same tip; the block's time is not held against any clock
    /// here, only against the parent's. The block may be anything that decodes.
    ///
    /// # Errors
    /// [`Fatal`] where the ledger can no longer be trusted.
    fn check(&mut self, block: &Block) -> Result<Verdict, Fatal>;

    /// Makes a block final: state, block and certificate in one atomic, durable write. Executes
    /// the block first where no result is held under its id. Committing the tip once more changes
    /// nothing.
    ///
    /// # Errors
    /// [`Fatal`] where the block does not follow the tip, its roots differ from those of the
    /// execution, or the write fails.
    fn commit(&mut self, decided: &DecidedBlock) -> Result<Committed, Fatal>;

    /// The door: whether a transaction could enter the next block. Cheap; changes no agreed state.
    ///
    /// # Errors
    /// The one [`Refusal`] that the caller is told.
    fn admit(&mut self, transaction: &[u8]) -> Result<Admitted, Refusal>;
}

/// Hands a transaction that was let in here to the other validators' doors.
pub trait Push: Send + Sync + 'static {
    /// Must not block: it queues, or drops, and returns.
    fn push(&self, transaction: &[u8]);
}

/// Pushes nothing: for a network of one node.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoPush;

impl Push for NoPush {
    fn push(&self, _: &[u8]) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_default_is_within_bounds() {
        assert_eq!(Timing::default().bounded(), Timing::default());
    }

    proptest! {
        #[test]
        fn a62_any_vote_leaves_a_timing_that_works(ms in prop::array::uniform7(any::<u64>())) {
            let [propose, prevote, precommit, block_at_rest, block_under_load, no_height_limit, proposer_ahead] =
                ms.map(|ms| Duration::from_millis(ms >> (ms % 64)));
            let timing = Timing {
                propose, prevote, precommit, block_at_rest, block_under_load, no_height_limit,
                proposer_ahead,
            }
            .bounded();
            prop_assert_eq!(timing.bounded(), timing);
            prop_assert!(timing.propose >= TIMEOUT_MIN && timing.propose <= TIMEOUT_MAX);
            prop_assert!(timing.block_under_load <= timing.block_at_rest);
            prop_assert!(timing.no_height_limit > 2 * timing.block_at_rest);
            prop_assert!(timing.proposer_ahead > Duration::ZERO);
        }
    }
}
