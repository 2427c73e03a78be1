//! What a client of attested heads knows, and when two statements contradict.

use crate::{client::Frozen, keccak256::keccak256};
use borsh::{BorshDeserialize, BorshSerialize};
use std::{cmp::Ordering, collections::BTreeSet};
use tombolo_types::{
    Address, Class, Height, Refusal, UnixMillis,
    attested::{AttestedAnchor, AttestedProof},
    id::{BlockId, ChainId, LinkId},
    lane::LaneLeaf,
    verifier::{ClientStatus, LinkTerms},
};

/// How many of the newest accepted blocks are remembered.
pub const RECENT_MAX: usize = 64;

/// A block as nodes attest it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Block {
    /// Its height.
    pub height: Height,
    /// Its id.
    pub block_id: BlockId,
    /// Its time.
    pub time: UnixMillis,
}

impl Block {
    pub(super) fn of(proof: &AttestedProof) -> Self {
        Self { height: proof.height, block_id: proof.block_id, time: proof.time }
    }

    /// Whether the two cannot stand on one chain. Blocks that follow each other may share a time: it
    /// is in whole seconds on many chains, some of which make several blocks in one.
    fn contradicts(&self, other: &Self) -> bool {
        match self.height.cmp(&other.height) {
            Ordering::Equal => self != other,
            Ordering::Less => other.time < self.time,
            Ordering::Greater => self.time < other.time,
        }
    }
}

/// The verifier that bounds a trusted node, and its client.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Bound {
    /// Which verifier.
    pub kind: String,
    /// Its client.
    pub client: Vec<u8>,
}

/// A client of attested heads.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct AttestedState {
    /// The link that it serves.
    pub link: LinkId,
    /// The gateway on the chain, for the bound.
    pub gateway: Address,
    /// 2 or 3.
    pub mode: u8,
    /// The chain.
    pub chain: ChainId,
    /// For how long after the newest accepted block's time it trusts, in milliseconds.
    pub trusting_period_ms: u64,
    /// The present keys, ascending.
    pub keys: Vec<Address>,
    /// How many of them must agree.
    pub threshold: u32,
    /// Raised by every rotation.
    pub key_epoch: u32,
    /// Keys whose word does not count, ascending.
    pub suspended: Vec<Address>,
    /// The newest accepted block, or the anchor.
    pub newest: Block,
    /// The newest accepted blocks, ascending by height; at most [`RECENT_MAX`].
    pub recent: Vec<Block>,
    /// Set once statements contradicted.
    pub frozen: Option<Frozen>,
    /// What bounds the trusted node.
    pub bound: Option<Bound>,
}

impl AttestedState {
    pub(super) fn new(
        anchor: &AttestedAnchor,
        terms: LinkTerms,
        bound: Option<(String, Vec<u8>)>,
    ) -> Self {
        let newest = Block { height: anchor.height, block_id: anchor.block_id, time: anchor.time };
        Self {
            link: terms.link,
            gateway: terms.gateway,
            mode: terms.mode,
            chain: anchor.chain,
            trusting_period_ms: terms.trusting_period_ms,
            keys: anchor.keys.clone(),
            threshold: anchor.threshold,
            key_epoch: 0,
            suspended: Vec::new(),
            newest,
            recent: vec![newest],
            frozen: None,
            bound: bound.map(|(kind, client)| Bound { kind, client }),
        }
    }

    /// As it is kept in replicated state.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        // Borsh fails only where the writer fails or a collection has 2^32 items; here neither is.
        borsh::to_vec(self).unwrap_or_default()
    }

    /// Reads what [`Self::encode`] gives.
    ///
    /// # Errors
    /// `E_FORMAT` for other bytes.
    pub fn decode(client: &[u8]) -> Result<Self, Refusal> {
        borsh::from_slice(client).map_err(|error| {
            let bytes = client.len();
            let message =
                format!("{bytes} bytes are not a client of kind `{}`: {error}", super::KIND);
            Refusal::new(Class::Format, message)
        })
    }

    /// What it was told of its link.
    pub(super) fn terms(&self) -> LinkTerms {
        LinkTerms {
            link: self.link,
            gateway: self.gateway,
            mode: self.mode,
            trusting_period_ms: self.trusting_period_ms,
        }
    }

    pub(super) fn threshold(&self) -> usize {
        usize::try_from(self.threshold).unwrap_or(usize::MAX)
    }

    /// Where the client stands at `now`.
    #[must_use]
    pub fn status(&self, now: UnixMillis) -> ClientStatus {
        let age = u128::from(now.since(self.newest.time));
        let period = u128::from(self.trusting_period_ms);
        if self.frozen.is_some() {
            ClientStatus::Frozen
        } else if age >= period {
            ClientStatus::Expired
        } else if age.saturating_mul(3) > period.saturating_mul(2) {
            ClientStatus::Expiring
        } else {
            ClientStatus::Active
        }
    }

    /// Whether a signature of this key counts.
    pub(super) fn counts(&self, key: Address) -> bool {
        self.keys.binary_search(&key).is_ok() && self.suspended.binary_search(&key).is_err()
    }

    /// How a block contradicts what was accepted; `None` where it does not.
    pub(super) fn contradiction(&self, block: &Block) -> Option<String> {
        let known = self.recent.iter().find(|known| known.contradicts(block))?;
        Some(format!(
            "block {} at height {} and time {} cannot stand on one chain with block {} at height \
             {} and time {}",
            block.block_id, block.height, block.time, known.block_id, known.height, known.time
        ))
    }

    /// Takes a block that contradicts nothing; one that is not above the newest changes nothing.
    pub(super) fn accept(&mut self, block: Block) {
        if block.height > self.newest.height {
            self.newest = block;
            self.recent.push(block);
            let surplus = self.recent.len().saturating_sub(RECENT_MAX);
            self.recent.drain(..surplus);
        }
    }

    /// Keeps what the bound's verifier made of its client.
    pub(super) fn rebind(&mut self, client: Vec<u8>) {
        if let Some(bound) = &mut self.bound {
            bound.client = client;
        }
    }

    pub(super) fn freeze(&mut self, now: UnixMillis, evidence: &[u8]) {
        self.frozen = Some(Frozen { at: now, evidence: keccak256(evidence) });
    }

    pub(super) fn suspend(&mut self, keys: &BTreeSet<Address>) {
        let all: BTreeSet<Address> = self.suspended.iter().chain(keys).copied().collect();
        self.suspended = all.into_iter().collect();
    }

    pub(super) fn rotate(&mut self, keys: Vec<Address>, threshold: u32) {
        self.keys = keys;
        self.threshold = threshold;
        self.key_epoch = self.key_epoch.saturating_add(1);
        self.suspended.clear();
    }
}

/// Whether two statements cannot both be true.
///
/// Of one lane in one epoch there is one leaf at a height, one root at a size, and neither size nor
/// received falls while the height rises.
pub(super) fn statements_contradict(
    (leaf_a, a): (&LaneLeaf, Block),
    (leaf_b, b): (&LaneLeaf, Block),
) -> bool {
    if a.contradicts(&b) {
        return true;
    }
    let lane =
        |leaf: &LaneLeaf| (leaf.link, leaf.direction, leaf.lane, leaf.epoch, leaf.peer_epoch);
    if lane(leaf_a) != lane(leaf_b) {
        return false;
    }
    let (lower, higher) = if a.height <= b.height { (leaf_a, leaf_b) } else { (leaf_b, leaf_a) };
    (a.height == b.height && leaf_a != leaf_b)
        || (leaf_a.size == leaf_b.size && leaf_a.root != leaf_b.root)
        || (leaf_a.received == leaf_b.received && leaf_a.received_root != leaf_b.received_root)
        || higher.size < lower.size
        || higher.received < lower.received
}
