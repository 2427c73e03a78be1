//! Ethereum's proof of stake, followed by its sync committees (the light client protocol of the
//! consensus specifications, Capella to Electra).
//!
//! A client starts from a block root that its anchor is trusted for. Every period of slots has a
//! sync committee; more than two thirds of it sign a header whose state says what is final, and
//! which committee comes next. A committee is left only for the one that it named in a period that
//! it saw final. Nothing that is not final is ever kept, and no committee is kept but as its root.
//!
//! What is trusted: the root in the anchor, and each committee of the time in which it signs. A sync
//! committee is 512 validators drawn from all; what they sign *as* a committee is not slashed. Two
//! thirds of one, corrupted, can prove anything for its period (27 hours) and name its own
//! successors; what freezes the client then is the honest chain, once somebody shows it.
//!
//! Deliberately absent: optimistic heads; the forced update of the specification, which believes
//! without finality after a silence; execution blocks before Capella, of which a light client is told
//! nothing.

mod bls;
pub mod serve;
pub mod served;
mod spec;
mod ssz;
mod update;

pub use spec::{BeaconFork, FORKS_MAX, Layout, Preset};
pub use update::{AbsentKey, BeaconHeader, SyncUpdate};

use crate::{
    follow::{self, Block, Consensus, REMEMBERED_MAX, Setback},
    proof::AdvanceSize,
};
use borsh::{BorshDeserialize, BorshSerialize};
use spec::Spec;
use std::collections::VecDeque;
use tombolo_crypto::digest::Preimage;
use tombolo_types::{
    Class, Hash, Height, Refusal, UnixMillis, abi_struct, ensure, id::ChainId, refuse,
};
use update::{Finalized, Formed, execution_block};

/// The most updates in one advance: more periods than any sensible trusting period has.
pub const UPDATES_MAX: usize = 32;
/// What checking one update costs, in signature checks, besides its absent members; see
/// docs/benchmarks.md.
const CHECKS_PER_UPDATE: u64 = 48;
/// Bytes of an advance for which one more signature check is charged: an absent member has some 540,
/// and costs a quarter of one.
const BYTES_PER_CHECK: u64 = 2 * 1024;

abi_struct! {
    /// Where a client of a proof-of-stake chain starts: what never changes of the chain, a trusted
    /// block root, and what is proved under it.
    pub struct BeaconAnchor {
        /// The chain's EIP-155 id.
        pub evm_chain_id: u64,
        /// The hash of execution block 0.
        pub genesis: Hash,
        /// The second in which slot 0 begins.
        pub genesis_time: u64,
        /// Seconds of a slot.
        pub seconds_per_slot: u64,
        /// The root of the validators at the beginning.
        pub genesis_validators_root: Hash,
        /// The number of the [`Preset`].
        pub preset: u8,
        /// All forks from the first on, planned ones included.
        pub forks: Vec<BeaconFork>,
        /// The trusted root: that of a final block.
        pub root: Hash,
        /// The header with that root.
        pub header: BeaconHeader,
        /// The roots of all fields of its execution header, in order.
        pub execution: Vec<Hash>,
        /// The way from the execution header to the body.
        pub execution_branch: Vec<Hash>,
        /// The root of the sync committee of its period.
        pub committee: Hash,
        /// The way from it to the state.
        pub committee_branch: Vec<Hash>,
    }
}

abi_struct! {
    /// Updates, each good for a client that the ones before have moved.
    pub struct BeaconAdvance {
        /// Finality updates.
        pub updates: Vec<SyncUpdate>,
    }
}

/// The committees that a client knows, by their roots.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
struct Committees {
    /// The period of the present one.
    period: u64,
    /// The one before: what it signs counts as evidence alone.
    previous: Option<Hash>,
    current: Hash,
    /// The one after, once named.
    next: Option<Hash>,
}

impl Committees {
    fn of(&self, period: u64) -> Option<Hash> {
        if period == self.period {
            Some(self.current)
        } else if Some(period) == self.period.checked_add(1) {
            self.next
        } else if Some(period) == self.period.checked_sub(1) {
            self.previous
        } else {
            None
        }
    }
}

/// How far a client has followed a proof-of-stake chain.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Beacon {
    spec: Spec,
    committees: Committees,
    /// The newest final headers, ascending by slot; one at least.
    finalized: VecDeque<Finalized>,
}

/// The root that stands for a period's sync committee. The period is part of it, because a committee
/// may serve twice.
#[must_use]
pub fn validators_root(period: u64, committee: Hash) -> Hash {
    Preimage::tagged("sync-committee").number(period).word(committee).finish()
}

/// How two final headers contradict.
fn contradiction(a: &Finalized, b: &Finalized) -> Option<String> {
    if a.root == b.root {
        return None;
    }
    let (lower, higher) = if a.slot <= b.slot { (a, b) } else { (b, a) };
    let one_checkpoint = a.epoch.is_some() && a.epoch == b.epoch;
    let epochs_fall = lower.epoch.zip(higher.epoch).is_some_and(|(low, high)| low > high);
    let rises = lower.slot < higher.slot
        && lower.block.height < higher.block.height
        && lower.block.time < higher.block.time;
    (one_checkpoint || epochs_fall || !rises).then(|| {
        format!(
            "the headers {} of slot {} with block {} and {} of slot {} with block {} are both final",
            lower.root,
            lower.slot,
            lower.block.height,
            higher.root,
            higher.slot,
            higher.block.height
        )
    })
}

impl Beacon {
    fn newest(&self) -> Result<&Finalized, Refusal> {
        self.finalized.back().ok_or_else(|| {
            Refusal::new(Class::Format, "the client remembers no final header".to_owned())
        })
    }

    /// Takes one update; gives the block that it proves final.
    fn take(&mut self, update: &Formed, now: UnixMillis) -> Result<Block, Setback> {
        let signed = self.spec.period_of(update.signature_slot);
        let present = self.committees.period;
        let Some(committee) = self.committees.of(signed) else {
            let sentence = format!(
                "slot {} is of period {signed}, the client stands in period {present} and knows no \
                 committee for it; bring the update of period {present} first",
                update.signature_slot
            );
            return Err(Refusal::new(Class::Proof, sentence).into());
        };
        let finalized = update.finalized;
        let period = self.spec.period_of(finalized.slot);
        let attested = self.spec.period_of(update.attested.slot);
        if update.next_committee.is_some() && attested != period {
            let sentence = format!(
                "the next committee is named in period {attested}, of which nothing is final yet; \
                 bring an update that finalises a slot of the same period"
            );
            return Err(Refusal::new(Class::Proof, sentence).into());
        }
        update.verify(committee, &self.spec, now)?;
        if let Some(what) = self.finalized.iter().find_map(|known| contradiction(known, &finalized))
        {
            return Err(Setback::Contradiction(what));
        }
        let named = update.next_committee.map(|named| (period.saturating_add(1), named));
        if let Some((of, named)) = named
            && let Some(known) = self.committees.of(of)
            && known != named
        {
            let what = format!("period {of} has the sync committees {known} and {named}");
            return Err(Setback::Contradiction(what));
        }
        if signed < present {
            let known = self.finalized.iter().any(|known| known.root == finalized.root);
            if !known {
                let sentence = format!(
                    "slot {} is signed by the committee of period {signed}, which the client has \
                     left; prove by one of period {present}",
                    update.signature_slot
                );
                return Err(Refusal::new(Class::Proof, sentence).into());
            }
        }
        self.accept(finalized, period, named)?;
        Ok(finalized.block)
    }

    /// Moves to a header that contradicts nothing, and to what it names; a lower one moves nothing.
    fn accept(
        &mut self,
        finalized: Finalized,
        period: u64,
        named: Option<(u64, Hash)>,
    ) -> Result<(), Refusal> {
        if finalized.slot > self.newest()?.slot {
            self.finalized.push_back(finalized);
            if self.finalized.len() > REMEMBERED_MAX {
                self.finalized.pop_front();
            }
        }
        if period > self.committees.period {
            // Only the next committee can have signed this, so it is known.
            let Some(current) = self.committees.next else {
                refuse!(Proof, "period {period} is final and its committee was never named");
            };
            let previous = Some(self.committees.current);
            self.committees = Committees { period, previous, current, next: None };
        }
        if let Some((of, named)) = named
            && Some(of) == self.committees.period.checked_add(1)
        {
            self.committees.next = Some(named);
        }
        Ok(())
    }
}

impl Consensus for Beacon {
    const KIND: &'static str = "ethereum";
    type Advance = Vec<Formed>;

    fn start(anchor: &[u8]) -> Result<(ChainId, Self), Refusal> {
        let anchor = BeaconAnchor::decode(anchor)?;
        let spec = Spec::new(
            anchor.preset,
            anchor.genesis_time,
            anchor.seconds_per_slot,
            anchor.genesis_validators_root,
            &anchor.forks,
        )?;
        ensure!(!anchor.genesis.is_zero(), Format, "the anchor's genesis hash is zero");
        let header = &anchor.header;
        let Some(fork) = spec.fork_at(header.slot) else {
            refuse!(Version, "slot {} has no fork in the schedule", header.slot);
        };
        let block = execution_block(header, fork, &anchor.execution, &anchor.execution_branch)?;
        ensure!(
            header.root() == anchor.root,
            Proof,
            "the anchor's header has root {}, the trusted root is {}",
            header.root(),
            anchor.root
        );
        let index = fork.layout.committee_index();
        ensure!(
            ssz::branch_root(anchor.committee, &anchor.committee_branch, index)
                == Some(header.state_root),
            Proof,
            "the sync committee {} is not that of the anchor's state {}",
            anchor.committee,
            header.state_root
        );
        let finalized = Finalized { epoch: None, slot: header.slot, root: anchor.root, block };
        let committees = Committees {
            period: spec.period_of(header.slot),
            previous: None,
            current: anchor.committee,
            next: None,
        };
        let chain_id = follow::chain_id(anchor.evm_chain_id, anchor.genesis);
        Ok((chain_id, Self { spec, committees, finalized: VecDeque::from([finalized]) }))
    }

    fn remembered(&self) -> impl DoubleEndedIterator<Item = &Block> {
        self.finalized.iter().map(|finalized| &finalized.block)
    }

    /// The committee of the period in which the newest final slot lies, and that period's first
    /// *slot*: committees change by slots, not by blocks.
    fn set(&self) -> (Hash, Height) {
        let Committees { period, current, .. } = self.committees;
        let first = period.saturating_mul(self.spec.preset.slots_per_period().get());
        (validators_root(period, current), Height(first))
    }

    fn read(&self, advance: &[u8]) -> Result<Self::Advance, Refusal> {
        let BeaconAdvance { updates } = BeaconAdvance::decode(advance)?;
        ensure!(
            updates.len() <= UPDATES_MAX,
            Limit,
            "{} updates in one advance are above {UPDATES_MAX}",
            updates.len()
        );
        updates.into_iter().map(|update| Formed::of(update, &self.spec)).collect()
    }

    fn advance(&mut self, updates: &Self::Advance, now: UnixMillis) -> Result<Vec<Block>, Setback> {
        updates.iter().map(|update| self.take(update, now)).collect()
    }

    fn weight(advance: AdvanceSize) -> u64 {
        let most = u64::try_from(UPDATES_MAX).unwrap_or(u64::MAX);
        let updates = advance.items.min(most).saturating_mul(CHECKS_PER_UPDATE);
        updates.saturating_add(advance.bytes / BYTES_PER_CHECK)
    }
}
