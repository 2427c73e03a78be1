//! Merkle roots as SSZ defines them, over SHA-256.
//!
//! Only roots are computed here, and only of what has a fixed number of chunks: a page of code, in the
//! place of three crates with their own numbers, lists and bits. The vectors, from other
//! implementations, hold it to the specification.

use tombolo_crypto::keccak256::sha256;
use tombolo_types::Hash;

/// The node above two others.
pub(crate) fn node(left: Hash, right: Hash) -> Hash {
    let mut both = [0; 64];
    for (to, from) in both.as_chunks_mut().0.iter_mut().zip([left.0, right.0]) {
        *to = from;
    }
    sha256(&both)
}

/// The root of a tree of two to the power of `depth` chunks, of which those not given are zero. It
/// is the root of the first chunks alone where more are given.
pub(crate) fn root(chunks: impl IntoIterator<Item = Hash>, depth: u32) -> Hash {
    let mut row: Vec<Hash> = chunks.into_iter().collect();
    let mut filling = Hash::ZERO;
    for _ in 0..depth {
        row = row
            .chunks(2)
            .filter_map(|pair| match pair {
                [left, right] => Some(node(*left, *right)),
                [left] => Some(node(*left, filling)),
                _ => None,
            })
            .collect();
        filling = node(filling, filling);
    }
    row.first().copied().unwrap_or(filling)
}

/// A number, as a chunk.
pub(crate) fn number(number: u64) -> Hash {
    bytes(&number.to_le_bytes())
}

/// At most 32 bytes, as a chunk; more are cut.
pub(crate) fn bytes(bytes: &[u8]) -> Hash {
    let mut chunk = Hash::ZERO;
    for (to, from) in chunk.0.iter_mut().zip(bytes) {
        *to = *from;
    }
    chunk
}

/// The number that a chunk holds, if it holds one of 64 bits.
pub(crate) fn number_in(chunk: Hash) -> Option<u64> {
    let (low, high) = chunk.0.split_first_chunk::<8>()?;
    high.iter().all(|byte| *byte == 0).then(|| u64::from_le_bytes(*low))
}

/// Bytes of a fixed length, as the chunks that they fill.
pub(crate) fn chunks(content: &[u8]) -> impl Iterator<Item = Hash> {
    content.chunks(32).map(bytes)
}

/// The root of a public key.
pub(crate) fn key_root(key: &[u8; 48]) -> Hash {
    root(chunks(key), 1)
}

/// The root to which a branch leads from a node at a generalised index: 1 is the root, and below the
/// node n lie 2n and 2n + 1. `None` where the branch has another length than the way.
pub(crate) fn branch_root(leaf: Hash, branch: &[Hash], index: u64) -> Option<Hash> {
    if u32::try_from(branch.len()).ok() != index.checked_ilog2() {
        return None;
    }
    let mut at = index;
    let mut reached = leaf;
    for sibling in branch {
        reached = if at & 1 == 0 { node(reached, *sibling) } else { node(*sibling, reached) };
        at >>= 1;
    }
    Some(reached)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The specification's definition, word for word: pad with zero chunks, hash pairs.
    fn naive(chunks: &[Hash], depth: u32) -> Hash {
        let mut row = chunks.to_vec();
        row.resize(1 << depth, Hash::ZERO);
        while row.len() > 1 {
            row = row.chunks(2).map(|pair| node(pair[0], pair[1])).collect();
        }
        row[0]
    }

    fn sibling_path(chunks: &[Hash], depth: u32, at: usize) -> Vec<Hash> {
        let mut row = chunks.to_vec();
        row.resize(1 << depth, Hash::ZERO);
        let (mut at, mut path) = (at, Vec::new());
        while row.len() > 1 {
            path.push(row[at ^ 1]);
            row = row.chunks(2).map(|pair| node(pair[0], pair[1])).collect();
            at /= 2;
        }
        path
    }

    proptest! {
        #[test]
        fn roots_and_branches_are_those_of_the_definition(
            words in proptest::collection::vec(any::<[u8; 32]>(), 1..17),
            depth in 4u32..6,
            at in any::<prop::sample::Index>(),
            other in any::<prop::sample::Index>(),
        ) {
            let chunks: Vec<Hash> = words.into_iter().map(Hash).collect();
            prop_assert_eq!(root(chunks.clone(), depth), naive(&chunks, depth));
            let (at, other) = (at.index(chunks.len()), other.index(1 << depth));
            let path = sibling_path(&chunks, depth, at);
            let index = |at: usize| (1u64 << depth) + at as u64;
            prop_assert_eq!(branch_root(chunks[at], &path, index(at)), Some(naive(&chunks, depth)));
            // Attack A04: at another place the same leaf is another tree.
            let there = branch_root(chunks[at], &path, index(other));
            prop_assert!(other == at || there != Some(naive(&chunks, depth)) || chunks[at] == path[0]);
            prop_assert_eq!(branch_root(chunks[at], &path[1..], index(at)), None);
            prop_assert_eq!(branch_root(chunks[at], &path, 1), None);
            prop_assert_eq!(branch_root(chunks[at], &path, 0), None);
        }
    }

    #[test]
    fn a_number_in_a_chunk_has_one_spelling() {
        assert_eq!(number_in(number(7)), Some(7));
        assert_eq!(number_in(number(u64::MAX)), Some(u64::MAX));
        let mut dirty = number(7);
        dirty.0[8] = 1;
        assert_eq!(number_in(dirty), None);
    }
}
