//! Making proofs from stored tiles, at any size up to the present one.
//!
//! A tile of level `l` holds up to sixteen roots of complete trees of `16^l` leaves; level 0 holds
//! the leaves. Tiles are only ever appended to, so a tile read today serves every older size, too.

use super::{Log, empty_root, fold, node, verify::next_tree};
use tombolo_types::{Hash, lane::RangeProof};

/// The height of a tile: each level skips four levels of the tree.
pub const TILE_HEIGHT: u32 = 4;
/// How many hashes a full tile holds.
pub const TILE_WIDTH: usize = 16;

/// Where the tiles of a log lie.
pub trait Nodes {
    /// The hashes of a tile that are there: sixteen, fewer in the last tile of a level, `None`
    /// where there is no such tile.
    fn tile(&self, level: u32, index: u64) -> Option<Vec<Hash>>;
}

/// The tiles that change when `leaf` is appended to a log of `size_before` leaves, each as level,
/// index and new content.
///
/// One tile nearly always, one more per level at which a tile becomes full. `nodes` must hold what
/// the appends before have written.
#[must_use]
pub fn append_tiles(
    nodes: &impl Nodes,
    size_before: u64,
    leaf: Hash,
) -> Vec<(u32, u64, Vec<Hash>)> {
    let mut changed = Vec::new();
    let mut carry = leaf;
    let mut position = size_before;
    for level in 0u32.. {
        let index = position >> TILE_HEIGHT;
        let offset = offset_in_tile(position);
        let mut tile = match offset {
            0 => Vec::new(),
            _ => nodes.tile(level, index).unwrap_or_default(),
        };
        tile.truncate(offset);
        tile.push(carry);
        let full = row_root(&tile).filter(|_| tile.len() == TILE_WIDTH);
        changed.push((level, index, tile));
        let Some(root) = full else { break };
        carry = root;
        position = index;
    }
    changed
}

/// The position of a hash within its tile.
fn offset_in_tile(position: u64) -> usize {
    usize::from(position.to_le_bytes()[0] & 0x0f)
}

/// The root over a complete row of hashes; `None` unless their number is a power of two.
fn row_root(row: &[Hash]) -> Option<Hash> {
    if !row.len().is_power_of_two() {
        return None;
    }
    let mut row = row.to_vec();
    while row.len() > 1 {
        row = row
            .chunks_exact(2)
            .filter_map(|pair| match pair {
                [left, right] => Some(node(*left, *right)),
                _ => None,
            })
            .collect();
    }
    row.first().copied()
}

/// The root of the complete tree of `1 << height` leaves that begins at `position`.
fn tree_root(nodes: &impl Nodes, position: u64, height: u32) -> Option<Hash> {
    let level = height.checked_div(TILE_HEIGHT)?;
    let within = height.checked_rem(TILE_HEIGHT)?;
    let first = position.checked_shr(level.checked_mul(TILE_HEIGHT)?)?;
    let from = offset_in_tile(first);
    let until = from.checked_add(1usize.checked_shl(within)?)?;
    row_root(nodes.tile(level, first >> TILE_HEIGHT)?.get(from..until)?)
}

/// The roots of the complete trees that make up `start..end`, in order, where `start` is a
/// multiple of the smallest power of two that is at least their number.
fn trees(nodes: &impl Nodes, start: u64, end: u64) -> Option<Vec<Hash>> {
    let mut roots = Vec::new();
    let mut position = start;
    while position < end {
        let height = end.checked_sub(position)?.checked_ilog2()?;
        roots.push(tree_root(nodes, position, height)?);
        position = position.checked_add(1u64.checked_shl(height)?)?;
    }
    Some(roots)
}

/// The root over the leaves `start..end`, of which there is at least one; `start` as for [`trees`].
fn subtree_root(nodes: &impl Nodes, start: u64, end: u64) -> Option<Hash> {
    fold(&trees(nodes, start, end)?)
}

/// The log as it was when it had `size` leaves; `None` where it has not so many yet.
pub fn log_at(nodes: &impl Nodes, size: u64) -> Option<Log> {
    Log::from_parts(size, trees(nodes, 0, size)?)
}

/// The root that the log had when it had `size` leaves; `None` where it has not so many yet.
pub fn root_at(nodes: &impl Nodes, size: u64) -> Option<Hash> {
    if size == 0 {
        return Some(empty_root());
    }
    subtree_root(nodes, 0, size)
}

/// A proof for [`verify_range`](super::verify_range): that the `count` leaves from `start` stand
/// in the log as it was when it had `size` leaves.
///
/// `None` where the range ends after `size`, or the log has not so many leaves yet.
pub fn range_proof(nodes: &impl Nodes, start: u64, count: u64, size: u64) -> Option<RangeProof> {
    let mut position = start.checked_add(count).filter(|end| *end <= size)?;
    let left = trees(nodes, 0, start)?;
    let mut right = Vec::new();
    while position < size {
        let Some(height) = next_tree(position, size) else {
            right.push(subtree_root(nodes, position, size)?);
            break;
        };
        right.push(tree_root(nodes, position, height)?);
        position = position.checked_add(1u64.checked_shl(height)?)?;
    }
    Some(RangeProof { left, right })
}

/// The largest power of two below `width`, which is at least 2: where RFC 9162 splits a tree.
fn split(width: u64) -> Option<u64> {
    1u64.checked_shl(width.checked_sub(1)?.checked_ilog2()?)
}

/// A proof for [`verify_inclusion`](super::verify_inclusion): the siblings from the leaf up.
///
/// `None` where `index` is not below `size`, or the log has not so many leaves yet.
pub fn inclusion_proof(nodes: &impl Nodes, index: u64, size: u64) -> Option<Vec<Hash>> {
    if index >= size {
        return None;
    }
    let (mut from, mut until) = (0u64, size);
    let mut path = Vec::new();
    while until.checked_sub(from)? > 1 {
        let middle = from.checked_add(split(until.checked_sub(from)?)?)?;
        if index < middle {
            path.push(subtree_root(nodes, middle, until)?);
            until = middle;
        } else {
            path.push(subtree_root(nodes, from, middle)?);
            from = middle;
        }
    }
    path.reverse();
    Some(path)
}

/// A proof for [`verify_consistency`](super::verify_consistency): that the log of `new` leaves
/// begins with the log of `old` leaves (RFC 9162, section 2.1.4.1).
///
/// `None` where `old` is above `new`, or the log has not so many leaves yet.
pub fn consistency_proof(nodes: &impl Nodes, old: u64, new: u64) -> Option<Vec<Hash>> {
    if old > new {
        return None;
    }
    root_at(nodes, new)?;
    if old == 0 {
        return Some(Vec::new());
    }
    let (mut from, mut until) = (0u64, new);
    let mut path = Vec::new();
    while until != old {
        let middle = from.checked_add(split(until.checked_sub(from)?)?)?;
        if old <= middle {
            path.push(subtree_root(nodes, middle, until)?);
            until = middle;
        } else {
            path.push(subtree_root(nodes, from, middle)?);
            from = middle;
        }
    }
    // Where the way down never turned right, the node reached is the old root, which is known.
    if from != 0 {
        path.push(subtree_root(nodes, from, until)?);
    }
    path.reverse();
    Some(path)
}
