//! What the engine does with the ledger, message by message. All of it runs on the ledger's own
//! thread, so it may block: on execution, and on the flush that must come before an answer.

use arc_malachitebft_app_channel::app::{
    engine::host::SyncedValueOutcome,
    types::{
        ProposedValue,
        core::{
            CommitCertificate, ExtendedCommitCertificate, ExtendedCommitSignature, HeightParams,
            LinearTimeouts, Round, Validity,
        },
        sync::RawDecidedValue,
    },
};
use std::{
    ops::RangeInclusive,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use tokio::sync::{broadcast, watch};
use tombolo_crypto::digest;
use tombolo_types::{
    Address, Height, Refusal, UnixMillis,
    header::{Certificate, CommitSignature},
    id::{BlockId, ChainId, TxId},
    transaction::{Block, DecidedBlock},
};

use crate::{
    application::{Application, Fatal, Push, TIMEOUT_MAX, Timing, Tip, Verdict},
    blocks::{Blocks, Held},
    codec::SYNC_BLOCKS_MAX,
    context::{Context, Level, ValidatorSet, Value, Voter},
    mempool::Mempool,
    metrics::Shared,
    parts::{Assembled, BLOCK_ENCODED_MAX},
    signing::{Keys, parts_digest, signed_by},
};

/// Blocks of the height after the coming one that are kept until it begins: a peer may be a
/// little ahead.
const EARLY_MAX: usize = 4;
/// The most bytes of blocks in one answer of the sync protocol; the library allows 10 MiB.
const SYNC_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Empty blocks after work until the chain rests. What another ledger answers comes a few of its
/// blocks later; a chain that rests after one empty block is asleep whenever an answer comes.
pub(crate) const BLOCKS_UNTIL_REST: u32 = 10;

/// The ledger, and what belongs to it.
pub(crate) struct Desk {
    pub(crate) application: Box<dyn Application>,
    pub(crate) blocks: Blocks,
    pub(crate) mempool: Mempool,
    pub(crate) keys: Keys,
    pub(crate) push: Arc<dyn Push>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) tip: watch::Sender<Tip>,
    pub(crate) committed: broadcast::Sender<Height>,
    /// Empty blocks since the last that held a transaction.
    pub(crate) empty_in_a_row: u32,
    pub(crate) early: Vec<Assembled>,
}

/// The operator's clock, which decides only what this node itself proposes and votes for.
fn now() -> UnixMillis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMillis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl Desk {
    fn chain(&self) -> ChainId {
        self.keys.chain
    }

    fn timing(&self) -> Timing {
        self.application.timing().bounded()
    }

    fn validators(&self, height: Height) -> Result<ValidatorSet, Fatal> {
        let set = self.application.validators(height).ok_or_else(|| {
            Fatal::new(format!("the ledger does not know the validators of height {height}"))
        })?;
        set.check().map_err(|fault| {
            Fatal::new(format!("the validators of height {height} are no set: {fault}"))
        })?;
        Ok((&set).into())
    }

    /// The height that comes, and how it is to be run.
    pub(crate) fn next_height(&mut self) -> Result<(Level, HeightParams<Context>), Fatal> {
        let height = self.application.tip().height.next();
        let set = self.validators(height)?;
        self.shared.set_power(&set);
        let timing = self.timing();
        let work = self.empty_in_a_row < BLOCKS_UNTIL_REST || self.mempool.count() > 0;
        let target = if work { timing.block_under_load } else { timing.block_at_rest };
        let timeouts = LinearTimeouts {
            propose: timing.propose,
            propose_delta: timing.propose / 2,
            prevote: timing.prevote,
            prevote_delta: timing.prevote / 2,
            precommit: timing.precommit,
            precommit_delta: timing.precommit / 2,
            rebroadcast: timing.propose + timing.prevote + timing.precommit,
            max_timeout: TIMEOUT_MAX,
        };
        Ok((height.into(), HeightParams::new(set, timeouts, Some(target))))
    }

    /// Blocks that consensus does not know of yet: kept over a crash, early by height, or early
    /// by their time.
    pub(crate) fn started_round(
        &mut self,
        height: Height,
    ) -> Result<Vec<ProposedValue<Context>>, Fatal> {
        if height != self.application.tip().height.next() {
            return Ok(Vec::new());
        }
        let mut values = Vec::new();
        for assembled in std::mem::take(&mut self.early) {
            if assembled.height == height {
                values.extend(self.receive(assembled)?);
            }
        }
        let latest = self.latest_time();
        for held in self.blocks.iter_mut() {
            if held.told || held.block.header.time > latest {
                continue;
            }
            if self.application.check(&held.block)? == Verdict::Valid {
                held.told = true;
                values.push(proposed(height, held, Validity::Valid));
            }
        }
        Ok(values)
    }

    /// The latest block time that this node votes for now.
    fn latest_time(&self) -> UnixMillis {
        now().saturating_add(millis(self.timing().proposer_ahead))
    }

    /// The block to propose. The same turn always gets the same block, also after a crash.
    pub(crate) fn propose(
        &mut self,
        height: Height,
        round: u32,
        deadline: Instant,
    ) -> Result<(Value, Option<Assembled>), Fatal> {
        let tip = self.application.tip();
        if height != tip.height.next() {
            return Err(Fatal::new(format!(
                "consensus wants a block of height {height}, but the tip is {}",
                tip.height
            )));
        }
        let me = self.keys.address();
        if let Some(held) = self.blocks.of_turn(round, me) {
            return Ok((Value(held.block_id), held.to_assembled()));
        }
        let time = now().max(tip.time.saturating_add(1));
        let mut offered = Vec::new();
        let mut candidates = self.mempool.candidates().map(|(id, bytes)| {
            offered.push(id);
            bytes
        });
        let stop = || Instant::now() >= deadline;
        let block = self.application.build(time, &mut candidates, &stop)?;
        drop(candidates);
        self.mempool.offered(&offered);
        let block_id = digest::block_id(&block.header);
        let signature = Some(self.keys.sign_parts(height, round, block_id));
        let held = Held { round, proposer: me, signature, block_id, block, told: true };
        let assembled = held.to_assembled();
        self.blocks.put(held)?;
        Ok((Value(block_id), assembled))
    }

    /// Judges a block that came in parts. `None` where consensus shall not hear of it, or not yet.
    pub(crate) fn receive(
        &mut self,
        assembled: Assembled,
    ) -> Result<Option<ProposedValue<Context>>, Fatal> {
        let Assembled { height, round, proposer, .. } = assembled;
        let coming = self.application.tip().height.next();
        if height == coming.next() && self.early.len() < EARLY_MAX {
            self.early.push(assembled);
            return Ok(None);
        }
        if height != coming {
            return Ok(None);
        }
        let set = self.validators(height)?;
        let turn = set.proposer(height, round).map(address_of);
        let Ok(block) = borsh::from_slice::<Block>(&assembled.block) else {
            self.shared.count_refused();
            return Ok(None);
        };
        let block_id = digest::block_id(&block.header);
        let signed = parts_digest(self.chain(), height, round, block_id);
        if turn != Some(proposer)
            || block.header.height != height
            || !signed_by(proposer, signed, &assembled.signature)
        {
            self.shared.count_refused();
            return Ok(None);
        }
        let latest = self.latest_time();
        if let Some(held) = self.blocks.find(block_id) {
            let known = held.told.then(|| proposed(height, held, Validity::Valid));
            if known.is_some() || held.block.header.time > latest {
                return Ok(known);
            }
        }
        let told = block.header.time <= latest;
        let signature = Some(assembled.signature);
        let held = Held { round, proposer, signature, block_id, block, told };
        if let Verdict::Invalid(why) = self.application.check(&held.block)? {
            self.shared.count_refused();
            tracing::warn!(%height, round, %proposer, %block_id, %why, "proposed block is invalid");
            return Ok(Some(proposed(height, &held, Validity::Invalid)));
        }
        let value = told.then(|| proposed(height, &held, Validity::Valid));
        self.blocks.put(held)?;
        Ok(value)
    }

    /// The original parts of a block, to be streamed again.
    pub(crate) fn restream(&mut self, block_id: BlockId) -> Option<Assembled> {
        self.blocks.find(block_id)?.to_assembled()
    }

    /// Makes a block final. `false` where the block is not here: then the height starts again, and
    /// sync brings it.
    pub(crate) fn decide(&mut self, decided: &CommitCertificate<Context>) -> Result<bool, Fatal> {
        let height = Height::from(decided.height);
        if self.application.tip().height >= height {
            return Ok(true);
        }
        let Some(held) = self.blocks.find(decided.value_id) else {
            tracing::error!(%height, block_id = %decided.value_id, "decided block is not here");
            return Ok(false);
        };
        let block = held.block.clone();
        self.empty_in_a_row =
            if block.transactions.is_empty() { self.empty_in_a_row.saturating_add(1) } else { 0 };
        let certificate = to_certificate(decided)?;
        let committed = self.application.commit(&DecidedBlock { block, certificate })?;
        let application = &mut self.application;
        self.mempool.committed(&committed.transactions, committed.tip.time, |transaction| {
            application.admit(transaction).is_ok()
        });
        self.blocks.start(committed.tip.height.next());
        self.count_mempool();
        self.shared.set_height(committed.tip.height);
        self.tip.send_replace(committed.tip);
        // Nobody may be listening.
        let _ = self.committed.send(committed.tip.height);
        Ok(true)
    }

    /// Judges a block that came by sync under a verified certificate. It is not held against the
    /// clock. Whether it is the certified one is for the library to compare, by the id given back.
    pub(crate) fn synced(
        &mut self,
        height: Height,
        round: Round,
        proposer: Voter,
        bytes: &[u8],
    ) -> Result<SyncedValueOutcome<Context>, Fatal> {
        let block = borsh::from_slice::<Block>(bytes);
        let (Ok(block), true) = (block, bytes.len() <= BLOCK_ENCODED_MAX) else {
            return Ok(SyncedValueOutcome::PeerFault);
        };
        let Some(number) = round.as_u32().filter(|_| block.header.height == height) else {
            return Ok(SyncedValueOutcome::PeerFault);
        };
        if height != self.application.tip().height.next() {
            return Ok(SyncedValueOutcome::LocalTransientError);
        }
        let block_id = digest::block_id(&block.header);
        if let Some(held) = self.blocks.find(block_id).filter(|held| held.told) {
            let mut value = proposed(height, held, Validity::Valid);
            value.round = round;
            return Ok(SyncedValueOutcome::Verdict(value));
        }
        let held = Held {
            round: number,
            proposer: proposer.0,
            signature: None,
            block_id,
            block,
            told: true,
        };
        let validity = match self.application.check(&held.block)? {
            Verdict::Valid => Validity::Valid,
            Verdict::Invalid(why) => {
                tracing::warn!(%height, %block_id, %why, "synced block is invalid");
                Validity::Invalid
            }
        };
        let value = proposed(height, &held, validity);
        if validity.is_valid() {
            self.blocks.put(held)?;
        }
        Ok(SyncedValueOutcome::Verdict(value))
    }

    /// Blocks for a peer: as many of the range as there are, without a gap, up to a size.
    pub(crate) fn history(
        &self,
        range: &RangeInclusive<Level>,
    ) -> Result<Vec<RawDecidedValue<Context>>, Fatal> {
        let first = range.start().0.max(self.application.height_min().0);
        let last = range.end().0.min(self.application.tip().height.0);
        if first != range.start().0 {
            return Ok(Vec::new());
        }
        let (mut values, mut bytes) = (Vec::new(), 0);
        for height in (first..=last).take(SYNC_BLOCKS_MAX) {
            let Some(decided) = self.application.decided(Height(height))? else { break };
            let block = borsh::to_vec(&decided.block)?;
            bytes += block.len();
            if bytes > SYNC_BYTES_MAX && !values.is_empty() {
                break;
            }
            values.push(RawDecidedValue::new(block.into(), from_certificate(&decided.certificate)));
        }
        Ok(values)
    }

    /// The lowest height from which on peers can be served.
    pub(crate) fn history_min(&self) -> Level {
        self.application.height_min().into()
    }

    /// The door and the mempool. What is new is handed on to peers where it came from a client.
    pub(crate) fn submit(&mut self, transaction: Vec<u8>, push: bool) -> Result<TxId, Refusal> {
        let admitted = self.application.admit(&transaction)?;
        let copy = push.then(|| transaction.clone());
        if self.mempool.insert(admitted, transaction)? {
            self.count_mempool();
            if let Some(transaction) = copy {
                self.push.push(&transaction);
            }
        }
        Ok(admitted.id)
    }

    fn count_mempool(&self) {
        self.shared.set_mempool(self.mempool.count(), self.mempool.bytes());
    }
}

fn address_of(validator: &crate::context::Validator) -> Address {
    use arc_malachitebft_app_channel::app::types::core::Validator as _;
    validator.address().0
}

fn proposed(height: Height, held: &Held, validity: Validity) -> ProposedValue<Context> {
    ProposedValue {
        height: height.into(),
        round: Round::new(held.round),
        valid_round: Round::Nil,
        proposer: Voter(held.proposer),
        value: Value(held.block_id),
        validity,
    }
}

fn to_certificate(decided: &CommitCertificate<Context>) -> Result<Certificate, Fatal> {
    let round = decided.round.as_u32().ok_or_else(|| Fatal::new("decided in no round"))?;
    let mut signatures: Vec<CommitSignature> = decided
        .commit_signatures
        .iter()
        .map(|signed| CommitSignature { signer: signed.address.0, signature: signed.signature })
        .collect();
    signatures.sort_by_key(|signed| signed.signer);
    Ok(Certificate {
        height: decided.height.into(),
        round: tombolo_types::Round(round),
        block_id: decided.value_id,
        signatures,
    })
}

fn from_certificate(certificate: &Certificate) -> ExtendedCommitCertificate<Context> {
    let signatures = certificate.signatures.iter();
    ExtendedCommitCertificate {
        height: certificate.height.into(),
        round: Round::new(certificate.round.0),
        value_id: certificate.block_id,
        commit_signatures: signatures
            .map(|signed| {
                ExtendedCommitSignature::new(Voter(signed.signer), signed.signature, None)
            })
            .collect(),
    }
}

#[cfg(test)]
pub(crate) mod tests;
