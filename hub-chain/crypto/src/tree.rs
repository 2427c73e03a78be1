//! The Merkle tree over a block's lane leaves (in order of opening), and over its transactions.
//!
//! The shape is that of [`crate::log`]: a tree is a log that was written in one go.

use crate::log::{self, ProofError};
use tombolo_types::Hash;

/// The root over all lane leaves; with no lanes, that of the empty log.
#[must_use]
pub fn lanes_root(leaves: &[Hash]) -> Hash {
    log::root_of(leaves)
}

/// The siblings of the leaf at `index`, from the leaf up; empty where there is no such leaf.
#[must_use]
pub fn lane_path(leaves: &[Hash], index: usize) -> Vec<Hash> {
    let mut path = Vec::new();
    let mut row = leaves.to_vec();
    let mut index = if index < leaves.len() { index } else { return path };
    while row.len() > 1 {
        path.extend(row.get(index ^ 1));
        // A node that is last in its row and has no sibling rises as it is.
        row = row
            .chunks(2)
            .filter_map(|pair| match pair {
                [left, right] => Some(log::node(*left, *right)),
                [alone] => Some(*alone),
                _ => None,
            })
            .collect();
        index >>= 1;
    }
    path
}

/// Checks that `leaf` stands at `index` among `count` leaves under `root`.
///
/// # Errors
/// [`ProofError`].
pub fn verify_path(
    leaf: Hash,
    index: u64,
    count: u64,
    path: &[Hash],
    root: Hash,
) -> Result<(), ProofError> {
    log::verify_inclusion(leaf, index, count, path, root)
}
