//! Checking proofs. Nothing here recurses, and nothing in a proof is left unused.

use super::{LOG_SIZE_MAX, Log, empty_root, fold, node, push};
use tombolo_types::{Class, Hash, Refusal, lane::RangeProof};

/// Why a proof is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProofError {
    /// The position is not below the size.
    #[error("position {position} is not below the log's size {size}")]
    Index {
        /// The position that was to be proved.
        position: u64,
        /// How many leaves the log has.
        size: u64,
    },
    /// The range ends after the log.
    #[error("a range of {count} leaves from {start} ends after the log's size {size}")]
    Range {
        /// The first position.
        start: u64,
        /// How many leaves were given.
        count: u64,
        /// How many leaves the log has.
        size: u64,
    },
    /// The older log is larger than the newer one.
    #[error("the older size {old} is above the newer size {new}")]
    Shrunk {
        /// The older size.
        old: u64,
        /// The newer size.
        new: u64,
    },
    /// No log has so many leaves.
    #[error("size {size} is above the largest possible size {LOG_SIZE_MAX}")]
    Size {
        /// The size claimed.
        size: u64,
    },
    /// More or fewer nodes than this proof has.
    #[error("the proof has {found} {side} nodes where {needed} are needed")]
    Count {
        /// Which nodes.
        side: &'static str,
        /// How many there must be.
        needed: u64,
        /// How many there are.
        found: u64,
    },
    /// A root, leaf or node is the zero word, which no hash is.
    #[error("the {what} is zero, which is no hash")]
    Zero {
        /// Which one.
        what: &'static str,
    },
    /// What is proved is not in this log.
    #[error("the proof leads to root {computed}, not to {expected}")]
    Root {
        /// Where the proof leads.
        computed: Hash,
        /// The root that is believed.
        expected: Hash,
    },
}

impl From<ProofError> for Refusal {
    fn from(error: ProofError) -> Self {
        Self::new(Class::Proof, format!("{error}; make a new proof against the head that is used"))
    }
}

/// The length of a slice as it is compared with sizes.
fn count_of(hashes: &[Hash]) -> u64 {
    u64::try_from(hashes.len()).unwrap_or(u64::MAX)
}

fn not_zero(what: &'static str, hashes: &[Hash]) -> Result<(), ProofError> {
    if hashes.iter().any(Hash::is_zero) {
        return Err(ProofError::Zero { what });
    }
    Ok(())
}

fn same_root(computed: Hash, expected: Hash) -> Result<(), ProofError> {
    if computed != expected {
        return Err(ProofError::Root { computed, expected });
    }
    Ok(())
}

/// Leaves that were proved to stand in a log, with what went before them.
///
/// Only [`verify_range`] makes one; no bytes spell it (attack A05):
/// ```compile_fail
/// let forged = tombolo_crypto::log::ProvenRange {
///     before: Default::default(), leaves: vec![], after: Default::default(), size: 0,
/// };
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProvenRange {
    before: Log,
    leaves: Vec<Hash>,
    after: Log,
    size: u64,
}

impl ProvenRange {
    /// The position of the first leaf.
    #[must_use]
    pub fn start(&self) -> u64 {
        self.before.size()
    }

    /// The position after the last leaf.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.after.size()
    }

    /// The size of the log in which the leaves stand.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The leaves, in order.
    #[must_use]
    pub fn leaves(&self) -> &[Hash] {
        &self.leaves
    }

    /// The log's first `n` leaves as a log of their own, for `n` from `start()` to `end()`.
    ///
    /// The receiver compares its root at `received` with the one it stored, and stores the log
    /// at the position where it stops.
    #[must_use]
    pub fn prefix_log_at(&self, n: u64) -> Option<Log> {
        if n == self.end() {
            return Some(self.after.clone());
        }
        let taken = usize::try_from(n.checked_sub(self.start())?).ok()?;
        let mut log = self.before.clone();
        for leaf in self.leaves.get(..taken)? {
            log.append(*leaf);
        }
        Some(log)
    }

    /// The root of the log's first `n` leaves, for `n` from `start()` to `end()`.
    #[must_use]
    pub fn prefix_root_at(&self, n: u64) -> Option<Hash> {
        self.prefix_log_at(n).map(|log| log.root())
    }
}

/// Checks that `leaves` stand at `start` and after in the log of `size` leaves under `root`.
///
/// The left nodes are the peaks of the first `start` leaves, the highest first. The right nodes
/// follow from the end of the range: from position `p`, while a complete tree of `lowbit(p)`
/// leaves fits below `size`, its root; then, where leaves remain, one root over all that remain
/// (at `p = 0` that is the whole log). So the number of nodes follows from start, count and size,
/// each node is used once, and no shorter proof serves a receiver that knows only a prefix root.
/// A range without leaves is allowed and proves a prefix; a range that is the whole log has no
/// nodes.
///
/// # Errors
/// [`ProofError`] for all else, be it one node more.
pub fn verify_range(
    start: u64,
    leaves: &[Hash],
    size: u64,
    root: Hash,
    proof: &RangeProof,
) -> Result<ProvenRange, ProofError> {
    check_size(size)?;
    let count = count_of(leaves);
    let end = start.checked_add(count).filter(|end| *end <= size).ok_or(ProofError::Range {
        start,
        count,
        size,
    })?;
    not_zero("root", &[root])?;
    not_zero("leaf", leaves)?;
    not_zero("left node", &proof.left)?;
    not_zero("right node", &proof.right)?;
    let before = Log::from_parts(start, proof.left.clone()).ok_or(ProofError::Count {
        side: "left",
        needed: u64::from(start.count_ones()),
        found: count_of(&proof.left),
    })?;
    let mut after = before.clone();
    for leaf in leaves {
        after.append(*leaf);
    }
    let needed = right_nodes(end, size);
    if count_of(&proof.right) != needed {
        let found = count_of(&proof.right);
        return Err(ProofError::Count { side: "right", needed, found });
    }
    same_root(complete(&after, size, &proof.right), root)?;
    debug_assert_eq!(after.size(), end);
    Ok(ProvenRange { before, leaves: leaves.to_vec(), after, size })
}

fn check_size(size: u64) -> Result<(), ProofError> {
    if size > LOG_SIZE_MAX {
        return Err(ProofError::Size { size });
    }
    Ok(())
}

/// The height of the complete tree that comes next from `position` in a log of `size` leaves, or
/// `None` where what remains is ragged.
pub(super) fn next_tree(position: u64, size: u64) -> Option<u32> {
    let height = position.trailing_zeros();
    let width = 1u64.checked_shl(height)?;
    (width <= size.saturating_sub(position)).then_some(height)
}

/// How many right nodes complete a log of `size` leaves from `position`.
fn right_nodes(mut position: u64, size: u64) -> u64 {
    let mut nodes = 0u64;
    while position < size {
        nodes = nodes.saturating_add(1);
        let Some(height) = next_tree(position, size) else { break };
        position = position.saturating_add(1u64.checked_shl(height).unwrap_or(0));
    }
    nodes
}

/// The root of the log of `size` leaves that begins as `prefix` and goes on with `right`, of which
/// there are as many as [`right_nodes`] says.
fn complete(prefix: &Log, size: u64, right: &[Hash]) -> Hash {
    let mut peaks = prefix.peaks().to_vec();
    let mut position = prefix.size();
    for tree in right {
        match next_tree(position, size) {
            Some(height) => {
                push(&mut peaks, position, height, *tree);
                position = position.saturating_add(1u64.checked_shl(height).unwrap_or(0));
            }
            // The ragged rest stands to the right of all peaks.
            None => peaks.push(*tree),
        }
    }
    fold(&peaks).unwrap_or_else(empty_root)
}

/// Checks that `leaf` stands at `index` in the log of `size` leaves under `root` (RFC 9162,
/// section 2.1.3.2). The path goes from the leaf up.
///
/// # Errors
/// [`ProofError`].
pub fn verify_inclusion(
    leaf: Hash,
    index: u64,
    size: u64,
    path: &[Hash],
    root: Hash,
) -> Result<(), ProofError> {
    check_size(size)?;
    let last = size
        .checked_sub(1)
        .filter(|last| index <= *last)
        .ok_or(ProofError::Index { position: index, size })?;
    not_zero("root", &[root])?;
    not_zero("leaf", &[leaf])?;
    not_zero("node", path)?;
    let needed = path_nodes(index, last);
    if count_of(path) != needed {
        return Err(ProofError::Count { side: "path", needed, found: count_of(path) });
    }
    let computed = climb(index, last, path, leaf, |computed, sibling, side| match side {
        Side::Left => node(sibling, computed),
        Side::Right => node(computed, sibling),
    });
    same_root(computed, root)
}

/// Where a sibling stands.
#[derive(Clone, Copy)]
enum Side {
    Left,
    Right,
}

/// How many siblings lie between position `index` and the root, where `last` is the last position.
fn path_nodes(index: u64, last: u64) -> u64 {
    let (mut index, mut last, mut nodes) = (index, last, 0u64);
    while last > 0 {
        // A node that is last in its row and a left child has no sibling: it rises as it is.
        if index & 1 == 1 || index < last {
            nodes = nodes.saturating_add(1);
        }
        index >>= 1;
        last >>= 1;
    }
    nodes
}

/// Climbs from position `index` to the root, meeting each sibling once.
fn climb<T>(
    index: u64,
    last: u64,
    path: &[Hash],
    from: T,
    mut meet: impl FnMut(T, Hash, Side) -> T,
) -> T {
    let (mut index, mut last, mut reached) = (index, last, from);
    for sibling in path {
        while index & 1 == 0 && index == last && last > 0 {
            index >>= 1;
            last >>= 1;
        }
        let side = if index & 1 == 1 { Side::Left } else { Side::Right };
        reached = meet(reached, *sibling, side);
        index >>= 1;
        last >>= 1;
    }
    reached
}

/// Checks that the log of `new_size` leaves under `new_root` begins with the log of `old_size`
/// leaves under `old_root` (RFC 9162, section 2.1.4.2).
///
/// Between equal sizes, and from the empty log, the path is empty.
///
/// # Errors
/// [`ProofError`].
pub fn verify_consistency(
    old_size: u64,
    old_root: Hash,
    new_size: u64,
    new_root: Hash,
    path: &[Hash],
) -> Result<(), ProofError> {
    check_size(new_size)?;
    if old_size > new_size {
        return Err(ProofError::Shrunk { old: old_size, new: new_size });
    }
    not_zero("root", &[old_root, new_root])?;
    not_zero("node", path)?;
    if old_size == 0 || old_size == new_size {
        let found = count_of(path);
        if found != 0 {
            return Err(ProofError::Count { side: "path", needed: 0, found });
        }
        if new_size == 0 {
            same_root(new_root, empty_root())?;
        }
        return same_root(old_root, if old_size == 0 { empty_root() } else { new_root });
    }
    // The smallest peak of the old log is the node from which both roots are reached. It is the
    // old root itself where the old log is one complete tree; then the path leaves it out.
    let height = old_size.trailing_zeros();
    let index = old_size.saturating_sub(1).checked_shr(height).unwrap_or(0);
    let last = new_size.saturating_sub(1).checked_shr(height).unwrap_or(0);
    let whole = old_size.is_power_of_two();
    let needed = path_nodes(index, last).saturating_add(u64::from(!whole));
    let (first, rest) = match path.split_first() {
        _ if count_of(path) != needed => None,
        _ if whole => Some((old_root, path)),
        Some((first, rest)) => Some((*first, rest)),
        None => None,
    }
    .ok_or(ProofError::Count { side: "path", needed, found: count_of(path) })?;
    let (old, new) =
        climb(index, last, rest, (first, first), |(old, new), sibling, side| match side {
            Side::Left => (node(sibling, old), node(sibling, new)),
            Side::Right => (old, node(new, sibling)),
        });
    same_root(old, old_root)?;
    same_root(new, new_root)
}
