//! Merkle-Patricia proofs of what stands in a trie of 32-byte keys.
//!
//! A proof is a set of nodes for any number of keys. Its nodes stand in the order in which the walk
//! to the keys first asks for each, so there is exactly one proof for one question: a node that is
//! missing, repeated, moved or never asked for is refused, and every byte of it is hashed.
//!
//! Deliberately absent: proofs that a key is *not* there. Nothing that must be proved is ever zero
//! (docs/adr/0008), and zero is what absence means.

use crate::rlp::{self, RlpError};
use alloy_rlp::EMPTY_LIST_CODE;
use std::collections::BTreeMap;
use tombolo_crypto::keccak256::keccak256;
use tombolo_types::{Class, Hash, Refusal};

#[cfg(test)]
mod tests;

/// Why a trie proof is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TrieError {
    /// The next node is not the one that the walk needs.
    #[error("trie node {position} has hash {found}, the walk needs {needed} there")]
    Node {
        /// Which of the nodes supplied, from 0.
        position: usize,
        /// Its hash.
        found: Hash,
        /// The hash that the walk needs.
        needed: Hash,
    },
    /// There are no nodes left.
    #[error("the walk needs trie node {needed}, and all {supplied} supplied nodes are used")]
    Missing {
        /// The hash that the walk needs.
        needed: Hash,
        /// How many nodes were supplied.
        supplied: usize,
    },
    /// Nodes that no key leads to.
    #[error("{unused} of {supplied} trie nodes are not used")]
    Unused {
        /// How many.
        unused: usize,
        /// How many nodes were supplied.
        supplied: usize,
    },
    /// A node that is not RLP.
    #[error("a trie node is malformed: {0}")]
    Rlp(#[from] RlpError),
    /// A node that no trie of 32-byte keys has.
    #[error("a trie node is malformed: {what}")]
    Malformed {
        /// What is wrong with it.
        what: &'static str,
    },
    /// The key is not in the trie.
    #[error("key {key} is not in the trie {root}")]
    Absent {
        /// The key, as it is hashed.
        key: Hash,
        /// The root of the trie.
        root: Hash,
    },
}

impl From<TrieError> for Refusal {
    fn from(error: TrieError) -> Self {
        Self::new(
            Class::Proof,
            format!("{error}; prove the slots that the leaf selects, in their order, at one block"),
        )
    }
}

/// The nodes of a proof, being used up.
#[derive(Debug)]
pub struct Nodes<'a> {
    supplied: &'a [Vec<u8>],
    next: usize,
    used: BTreeMap<Hash, &'a [u8]>,
}

impl<'a> Nodes<'a> {
    /// Nodes that were supplied, none of them used yet.
    #[must_use]
    pub fn new(supplied: &'a [Vec<u8>]) -> Self {
        Self { supplied, next: 0, used: BTreeMap::new() }
    }

    /// The value of `key`, before hashing, in the trie with this root.
    ///
    /// # Errors
    /// [`TrieError`].
    pub fn value(&mut self, root: Hash, key: &[u8]) -> Result<&'a [u8], TrieError> {
        walk(root, keccak256(key), |needed| self.take(needed))
    }

    /// Ends the proof.
    ///
    /// # Errors
    /// [`TrieError::Unused`].
    pub fn finish(self) -> Result<(), TrieError> {
        match self.supplied.len().saturating_sub(self.next) {
            0 => Ok(()),
            unused => Err(TrieError::Unused { unused, supplied: self.supplied.len() }),
        }
    }

    /// The node with this hash: one that was used before, else the next.
    fn take(&mut self, needed: Hash) -> Result<&'a [u8], TrieError> {
        if let Some(node) = self.used.get(&needed) {
            return Ok(node);
        }
        let position = self.next;
        let supplied = self.supplied.len();
        let node = self.supplied.get(position).ok_or(TrieError::Missing { needed, supplied })?;
        let found = keccak256(node);
        if found != needed {
            return Err(TrieError::Node { position, found, needed });
        }
        self.next = position.saturating_add(1);
        self.used.insert(needed, node);
        Ok(node)
    }
}

/// A prover's nodes in any order, from which the proof is picked by the verifier's own walk.
#[derive(Debug, Default)]
pub struct Bag {
    nodes: BTreeMap<Hash, Vec<u8>>,
    picked: Vec<Hash>,
}

impl Bag {
    /// Nodes as a chain's node gives them, key by key.
    #[must_use]
    pub fn new(nodes: impl IntoIterator<Item = Vec<u8>>) -> Self {
        let nodes = nodes.into_iter().map(|node| (keccak256(&node), node)).collect();
        Self { nodes, picked: Vec::new() }
    }

    /// As [`Nodes::value`]; remembers what the walk asked for.
    ///
    /// # Errors
    /// [`TrieError`].
    pub fn value(&mut self, root: Hash, key: &[u8]) -> Result<&[u8], TrieError> {
        let supplied = self.nodes.len();
        walk(root, keccak256(key), |needed| {
            let node = self.nodes.get(&needed).ok_or(TrieError::Missing { needed, supplied })?;
            if !self.picked.contains(&needed) {
                self.picked.push(needed);
            }
            Ok(node.as_slice())
        })
    }

    /// The nodes asked for, in the order in which each was first asked for.
    #[must_use]
    pub fn picked(mut self) -> Vec<Vec<u8>> {
        self.picked.iter().filter_map(|hash| self.nodes.remove(hash)).collect()
    }
}

/// The digits of a key, four bits each.
const DIGITS: usize = 64;

enum Node<'a> {
    Branch { children: Vec<&'a [u8]> },
    Extension { path: Vec<u8>, child: &'a [u8] },
    Leaf { path: Vec<u8>, value: &'a [u8] },
}

/// Walks from the root to the value of `key`, which is hashed already. Each step uses up a digit at least, so there are at
/// most as many as a key has.
fn walk<'a>(
    root: Hash,
    key: Hash,
    mut node_of: impl FnMut(Hash) -> Result<&'a [u8], TrieError>,
) -> Result<&'a [u8], TrieError> {
    let absent = TrieError::Absent { key, root };
    let digits: Vec<u8> = key.0.iter().flat_map(|byte| [byte >> 4, byte & 0x0f]).collect();
    let mut rest = digits.as_slice();
    let mut node = node_of(root)?;
    loop {
        let child = match read(node)? {
            Node::Branch { children } => {
                let Some((digit, behind)) = rest.split_first() else {
                    return Err(TrieError::Malformed { what: "a branch below the longest path" });
                };
                rest = behind;
                children.get(usize::from(*digit)).copied().unwrap_or_default()
            }
            Node::Extension { path, child } => {
                rest = rest.strip_prefix(path.as_slice()).ok_or(absent.clone())?;
                child
            }
            Node::Leaf { path, value } if path == rest => return Ok(value),
            Node::Leaf { .. } => return Err(absent),
        };
        node = match reference(child)? {
            Reference::None => return Err(absent),
            Reference::Hashed(hash) => node_of(hash)?,
            Reference::Embedded(node) => node,
        };
    }
}

/// Reads a node of two or seventeen items.
fn read(node: &[u8]) -> Result<Node<'_>, TrieError> {
    let items = rlp::list(node)?;
    match items.as_slice() {
        [children @ .., value] if children.len() == 16 => {
            if !rlp::string(value)?.is_empty() {
                return Err(TrieError::Malformed { what: "a branch with a value of its own" });
            }
            Ok(Node::Branch { children: children.to_vec() })
        }
        [path, second] => match read_path(rlp::string(path)?)? {
            (true, path) => Ok(Node::Leaf { path, value: rlp::string(second)? }),
            (false, path) if path.is_empty() => {
                Err(TrieError::Malformed { what: "an extension without a path" })
            }
            (false, path) => Ok(Node::Extension { path, child: second }),
        },
        _ => Err(TrieError::Malformed { what: "neither two nor seventeen items" }),
    }
}

/// The digits of a compact path, and whether it is a leaf's. The first four bits say which, and
/// whether the number of digits is odd; where it is even, four zero bits fill up.
fn read_path(compact: &[u8]) -> Result<(bool, Vec<u8>), TrieError> {
    let Some((first, rest)) = compact.split_first() else {
        return Err(TrieError::Malformed { what: "an empty path" });
    };
    let (leaf, odd) = match (first >> 4, first & 0x0f) {
        (0, 0) => (false, None),
        (1, digit) => (false, Some(digit)),
        (2, 0) => (true, None),
        (3, digit) => (true, Some(digit)),
        _ => return Err(TrieError::Malformed { what: "an unknown kind of path" }),
    };
    let digits = rest.iter().flat_map(|byte| [byte >> 4, byte & 0x0f]);
    let path: Vec<u8> = odd.into_iter().chain(digits).take(DIGITS.saturating_add(1)).collect();
    if path.len() > DIGITS {
        return Err(TrieError::Malformed { what: "a path longer than a key" });
    }
    Ok((leaf, path))
}

enum Reference<'a> {
    None,
    Hashed(Hash),
    Embedded(&'a [u8]),
}

/// Where a child stands: a node shorter than a hash stands in its parent itself, and no other may.
fn reference(item: &[u8]) -> Result<Reference<'_>, TrieError> {
    let is_list = item.first().is_some_and(|first| *first >= EMPTY_LIST_CODE);
    if is_list {
        if item.len() >= 32 {
            return Err(TrieError::Malformed { what: "an embedded node as long as a hash" });
        }
        return Ok(Reference::Embedded(item));
    }
    match rlp::string(item)? {
        [] => Ok(Reference::None),
        hash => match hash.try_into() {
            Ok(hash) => Ok(Reference::Hashed(Hash(hash))),
            Err(_) => Err(TrieError::Malformed { what: "a child that is no hash" }),
        },
    }
}
