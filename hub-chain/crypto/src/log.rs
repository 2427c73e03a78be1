//! The one Merkle log: lanes and audit log alike.
//!
//! Shape: RFC 9162 (a tree of `n` leaves splits at the largest power of two below `n`), with
//! Keccak-256 and domain tags. Leaves are hashes already, made under their own tags, so that a
//! node can never be read as a leaf. The empty log has a root of its own.
//!
//! A log is known by its *peaks*: the roots of the complete trees that its size is made of, the
//! highest first. All proofs are iterative, and each has exactly one accepted form.

mod produce;
mod verify;

#[cfg(test)]
mod tests;

pub use produce::{
    Nodes, TILE_HEIGHT, TILE_WIDTH, append_tiles, consistency_proof, inclusion_proof, log_at,
    range_proof, root_at,
};
pub use verify::{ProofError, ProvenRange, verify_consistency, verify_inclusion, verify_range};

use crate::{
    digest::Preimage,
    keccak256::{keccak256, keccak256_concat},
};
use borsh::{BorshDeserialize, BorshSerialize, io};
use std::sync::LazyLock;
use tombolo_types::Hash;

/// The largest number of leaves a log may have; positions then never overflow.
pub const LOG_SIZE_MAX: u64 = 1 << 62;

/// The tag of inner nodes, hashed once so that a node costs one Keccak of 96 bytes.
static NODE_TAG: LazyLock<Hash> =
    LazyLock::new(|| keccak256_concat([b"tombolo/1/".as_slice(), b"node"]));

static EMPTY_ROOT: LazyLock<Hash> = LazyLock::new(|| Preimage::tagged("empty-log").finish());

/// The root of the log without leaves.
#[must_use]
pub fn empty_root() -> Hash {
    *EMPTY_ROOT
}

/// The node above two others.
#[must_use]
pub fn node(left: Hash, right: Hash) -> Hash {
    let mut preimage = [0; 96];
    for (to, from) in preimage.as_chunks_mut().0.iter_mut().zip([NODE_TAG.0, left.0, right.0]) {
        *to = from;
    }
    keccak256(&preimage)
}

/// The root over these leaves.
#[must_use]
pub fn root_of(leaves: &[Hash]) -> Hash {
    let mut log = Log::default();
    for leaf in leaves {
        log.append(*leaf);
    }
    log.root()
}

/// Peaks folded right to left into a root; `None` where there are none.
fn fold(peaks: &[Hash]) -> Option<Hash> {
    peaks.iter().rev().copied().reduce(|right, left| node(left, right))
}

/// Adds a complete tree of `1 << height` leaves to the peaks of a log of `position` leaves, which
/// must be a multiple of that: like adding one to a binary counter, each carry is a node.
fn push(peaks: &mut Vec<Hash>, position: u64, height: u32, tree: Hash) {
    let mut carry = tree;
    let mut counter = position.checked_shr(height).unwrap_or(0);
    while counter & 1 == 1 {
        let Some(left) = peaks.pop() else { break };
        carry = node(left, carry);
        counter >>= 1;
    }
    peaks.push(carry);
}

/// An append-only log, as the ledger that appends keeps it.
#[derive(Clone, Debug, Default, PartialEq, Eq, BorshSerialize)]
pub struct Log {
    size: u64,
    peaks: Vec<Hash>,
}

impl BorshDeserialize for Log {
    fn deserialize_reader<R: io::Read>(reader: &mut R) -> io::Result<Self> {
        let (size, peaks) = BorshDeserialize::deserialize_reader(reader)?;
        Self::from_parts(size, peaks)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "peaks do not fit the size"))
    }
}

impl Log {
    /// A log of `size` leaves with these peaks, the highest first; `None` unless there are as many
    /// as `size` has one-bits, or where `size` is above [`LOG_SIZE_MAX`].
    #[must_use]
    pub fn from_parts(size: u64, peaks: Vec<Hash>) -> Option<Self> {
        let fits = u64::try_from(peaks.len()) == Ok(u64::from(size.count_ones()));
        (fits && size <= LOG_SIZE_MAX).then_some(Self { size, peaks })
    }

    /// Appends a leaf; it gets the number `size()` had before.
    pub fn append(&mut self, leaf: Hash) {
        push(&mut self.peaks, self.size, 0, leaf);
        // One by one nobody gets from `LOG_SIZE_MAX` to the end of a `u64`.
        self.size = self.size.saturating_add(1);
    }

    /// The root over all leaves so far.
    #[must_use]
    pub fn root(&self) -> Hash {
        fold(&self.peaks).unwrap_or_else(empty_root)
    }

    /// How many leaves there are.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The roots of the complete trees that the size is made of, the highest first.
    #[must_use]
    pub fn peaks(&self) -> &[Hash] {
        &self.peaks
    }
}
