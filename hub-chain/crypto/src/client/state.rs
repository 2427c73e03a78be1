//! What a light client knows, and when two headers contradict.

use crate::{certificate::CertifiedHeader, digest};
use borsh::{BorshDeserialize, BorshSerialize};
use std::fmt;
use tombolo_types::{
    Class, Hash, Height, Refusal, UnixMillis,
    header::{Anchor, ValidatorSet},
    id::{BlockId, ChainId},
    verifier::ClientStatus,
};

/// How many validator sets are held at most, the present one included. A chain changes its set by
/// vote and rarely; beyond this the oldest is forgotten before its trusting period ends.
pub const HELD_MAX: usize = 16;
/// How many of the newest accepted headers are remembered.
pub const RECENT_MAX: usize = 64;

/// What is remembered of a header that was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Accepted {
    /// Its height.
    pub height: Height,
    /// Its block.
    pub block_id: BlockId,
    /// Its time.
    pub time: UnixMillis,
    /// The validator set that certified it; zero for an anchor, whose set is not known.
    pub validators_root: Hash,
    /// The set that it names for the height after.
    pub next_validators_root: Hash,
}

impl Accepted {
    pub(super) fn of(certified: &CertifiedHeader) -> Self {
        let header = certified.header();
        Self {
            height: header.height,
            block_id: certified.block_id(),
            time: header.time,
            validators_root: header.validators_root,
            next_validators_root: header.next_validators_root,
        }
    }
}

/// A validator set that the client holds, or held.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Held {
    /// The root of the set.
    pub root: Hash,
    /// The set; it holds the first height that it certifies.
    pub set: ValidatorSet,
    /// The header under this set that names its successor, once seen: the last that the set
    /// certifies.
    pub last: Option<Accepted>,
    /// The newest header accepted under this set.
    pub newest: Option<Accepted>,
}

/// Since when, and by what, a client is frozen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Frozen {
    /// The verifier's own time of the freeze.
    pub at: UnixMillis,
    /// Keccak-256 of the bytes that showed the contradiction.
    pub evidence: Hash,
}

/// How two certified headers contradict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contradiction {
    /// Two blocks at one height.
    TwoBlocks {
        /// The one.
        one: Accepted,
        /// The other.
        other: Accepted,
    },
    /// The higher header's time is not after the lower one's.
    Time {
        /// The lower header.
        lower: Accepted,
        /// The higher header.
        higher: Accepted,
    },
    /// A set certified a header above the one in which it named its successor.
    AfterSuccession {
        /// The header that named the successor.
        last: Accepted,
        /// The header above it under the same set.
        above: Accepted,
    },
}

impl fmt::Display for Contradiction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TwoBlocks { one, other } => write!(
                f,
                "blocks {} and {} are both certified at height {}",
                one.block_id, other.block_id, one.height
            ),
            Self::Time { lower, higher } => write!(
                f,
                "time {} at height {} is not after time {} at height {}",
                higher.time, higher.height, lower.time, lower.height
            ),
            Self::AfterSuccession { last, above } => write!(
                f,
                "height {} is certified by the validator set {} that named its successor at \
                 height {}",
                above.height, last.validators_root, last.height
            ),
        }
    }
}

/// How two headers of one chain, each certified by a set of it, contradict; `None` where both can
/// stand on one chain.
pub(super) fn contradiction(a: &Accepted, b: &Accepted) -> Option<Contradiction> {
    let (lower, higher) = if a.height <= b.height { (a, b) } else { (b, a) };
    if lower.height == higher.height {
        let differ = lower.block_id != higher.block_id;
        return differ.then_some(Contradiction::TwoBlocks { one: *a, other: *b });
    }
    if higher.time <= lower.time {
        return Some(Contradiction::Time { lower: *lower, higher: *higher });
    }
    let same_set = lower.validators_root == higher.validators_root;
    let succeeded = lower.next_validators_root != lower.validators_root;
    (same_set && succeeded)
        .then_some(Contradiction::AfterSuccession { last: *lower, above: *higher })
}

/// A light client: all it knows of the chain it follows.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ClientState {
    /// The chain.
    pub chain_id: ChainId,
    /// For how long after the newest accepted header's time it trusts, in milliseconds.
    pub trusting_period_ms: u64,
    /// The newest accepted header, or the anchor.
    pub newest: Accepted,
    /// The set held now.
    pub current: Held,
    /// The sets left within the trusting period, oldest first; at most [`HELD_MAX`] less 1.
    pub left: Vec<Held>,
    /// The newest accepted headers, ascending by height; at most [`RECENT_MAX`].
    pub recent: Vec<Accepted>,
    /// Set once headers contradicted.
    pub frozen: Option<Frozen>,
}

impl ClientState {
    /// A client that knows nothing but its anchor, which must have been checked.
    pub(super) fn new(anchor: &Anchor, trusting_period_ms: u64) -> Self {
        let root = digest::validators_root(&anchor.validators);
        // Where the set begins only after the anchor, another set certified the anchor.
        let certified_it = anchor.validators.first_height <= anchor.height;
        let newest = Accepted {
            height: anchor.height,
            block_id: anchor.block_id,
            time: anchor.time,
            validators_root: if certified_it { root } else { Hash::ZERO },
            next_validators_root: root,
        };
        Self {
            chain_id: anchor.chain_id,
            trusting_period_ms,
            newest,
            current: Held { root, set: anchor.validators.clone(), last: None, newest: None },
            left: Vec::new(),
            recent: vec![newest],
            frozen: None,
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
            Refusal::new(
                Class::Format,
                format!("{bytes} bytes are not a client of kind `{}`: {error}", super::KIND),
            )
        })
    }

    /// Where the client stands at `now`.
    #[must_use]
    pub fn status(&self, now: UnixMillis) -> ClientStatus {
        match self.frozen {
            Some(_) => ClientStatus::Frozen,
            None => ClientStatus::by_age(self.newest.time, now, self.trusting_period_ms),
        }
    }

    /// The set with this root, if it is held at `now` or was left within the trusting period.
    pub(super) fn held(&self, root: Hash, now: UnixMillis) -> Option<&Held> {
        self.all_held(now).find(|held| held.root == root)
    }

    fn all_held(&self, now: UnixMillis) -> impl Iterator<Item = &Held> {
        let left = self.left.iter().filter(move |held| self.is_trusted(held, now));
        std::iter::once(&self.current).chain(left)
    }

    /// Whether less than the trusting period has passed since the set named its successor.
    fn is_trusted(&self, held: &Held, now: UnixMillis) -> bool {
        held.last.is_none_or(|last| now.since(last.time) < self.trusting_period_ms)
    }

    /// How a certified header contradicts what was accepted; `None` where it does not.
    pub(super) fn contradiction(
        &self,
        certified: &CertifiedHeader,
        now: UnixMillis,
    ) -> Option<Contradiction> {
        let seen = Accepted::of(certified);
        let by_set = self.all_held(now).flat_map(|held| held.last.iter().chain(&held.newest));
        std::iter::once(&self.newest)
            .chain(&self.recent)
            .chain(by_set)
            .find_map(|known| contradiction(known, &seen))
    }

    /// Takes a header under the set held now, which contradicts nothing. A header that is not
    /// above the newest one changes nothing; says whether the client moved.
    pub(super) fn accept(&mut self, certified: &CertifiedHeader) -> bool {
        let accepted = Accepted::of(certified);
        if accepted.height <= self.newest.height {
            return false;
        }
        self.newest = accepted;
        self.current.newest = Some(accepted);
        if accepted.next_validators_root != accepted.validators_root {
            self.current.last = Some(accepted);
        }
        self.recent.push(accepted);
        forget_oldest(&mut self.recent, RECENT_MAX);
        true
    }

    /// Leaves the set held now through a header under it, for the set that the header names.
    pub(super) fn leave(&mut self, through: &CertifiedHeader, next: ValidatorSet, now: UnixMillis) {
        let root = through.header().next_validators_root;
        let next = Held { root, set: next, last: None, newest: None };
        let mut before = std::mem::replace(&mut self.current, next);
        before.last = Some(Accepted::of(through));
        let mut left = std::mem::take(&mut self.left);
        left.retain(|held| self.is_trusted(held, now));
        left.push(before);
        forget_oldest(&mut left, HELD_MAX.saturating_sub(1));
        self.left = left;
    }
}

fn forget_oldest<T>(items: &mut Vec<T>, most: usize) {
    let surplus = items.len().saturating_sub(most);
    items.drain(..surplus);
}
