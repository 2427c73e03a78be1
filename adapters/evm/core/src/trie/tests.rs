use super::*;
use alloy_primitives::B256;
use alloy_trie::{
    HashBuilder, Nibbles,
    proof::{ProofRetainer, verify_proof},
};
use proptest::prelude::*;
use std::collections::BTreeMap;

/// A trie of already hashed keys, built by the library that Ethereum's Rust clients use.
struct Reference {
    root: Hash,
    proofs: BTreeMap<Hash, Vec<Vec<u8>>>,
}

fn build(entries: &BTreeMap<Hash, Vec<u8>>) -> Reference {
    let path = |key: &Hash| Nibbles::unpack(B256::from(key.0));
    let retained = ProofRetainer::from_iter(entries.keys().map(path));
    let mut builder = HashBuilder::default().with_proof_retainer(retained);
    for (key, value) in entries {
        builder.add_leaf(path(key), value);
    }
    let root = Hash(builder.root().0);
    let nodes = builder.take_proof_nodes();
    let proofs = entries.iter().map(|(key, value)| {
        // A node that stands in its parent is listed here too; neither verifier is given it twice.
        let proof: Vec<_> = nodes
            .matching_nodes_sorted(&path(key))
            .into_iter()
            .enumerate()
            .filter(|(position, (_, node))| *position == 0 || node.len() >= 32)
            .map(|(_, (_, node))| node)
            .collect();
        assert_eq!(
            verify_proof(B256::from(root.0), path(key), Some(value.clone()), &proof),
            Ok(())
        );
        (*key, proof.into_iter().map(|node| node.to_vec()).collect())
    });
    Reference { root, proofs: proofs.collect() }
}

fn walk_with(nodes: &[Vec<u8>], root: Hash, key: Hash) -> Result<Vec<u8>, TrieError> {
    let mut proof = Nodes::new(nodes);
    let value = walk(root, key, |needed| proof.take(needed))?.to_vec();
    proof.finish()?;
    Ok(value)
}

/// Keys that share long prefixes, so that nodes short enough to stand in their parents come up.
fn keys() -> impl Strategy<Value = BTreeMap<Hash, Vec<u8>>> {
    let key = (proptest::collection::vec(0u8..4, 4), 0usize..32).prop_map(|(tail, at)| {
        let mut key = [0x11; 32];
        for (offset, byte) in tail.into_iter().enumerate() {
            key[(at + offset).min(31)] = byte << 4 | byte;
        }
        Hash(key)
    });
    proptest::collection::btree_map(key, proptest::collection::vec(1u8.., 1..40), 1..24)
}

/// Keys as they are in a real trie: hashes.
fn hashed(count: u64) -> BTreeMap<Hash, Vec<u8>> {
    (0..count).map(|n| (keccak256(&n.to_be_bytes()), n.to_be_bytes().to_vec())).collect()
}

/// The proof of several keys at once, picked by the walk itself.
fn proof_of(trie: &Reference, keys: &[u64]) -> Vec<Vec<u8>> {
    let all = trie.proofs.values().flatten().cloned();
    let mut bag = Bag::new(all);
    for key in keys {
        bag.value(trie.root, &key.to_be_bytes()).unwrap();
    }
    bag.picked()
}

fn read_all(nodes: &[Vec<u8>], root: Hash, keys: &[u64]) -> Result<(), TrieError> {
    let mut proof = Nodes::new(nodes);
    for key in keys {
        assert_eq!(proof.value(root, &key.to_be_bytes())?, key.to_be_bytes());
    }
    proof.finish()
}

#[test]
fn one_proof_serves_several_keys_and_shares_their_nodes() {
    let trie = build(&hashed(200));
    let keys = [3, 77, 150, 3];
    let nodes = proof_of(&trie, &keys);
    assert_eq!(read_all(&nodes, trie.root, &keys), Ok(()));
    let apart: usize = keys[..3].iter().map(|key| proof_of(&trie, &[*key]).len()).sum();
    assert!(nodes.len() < apart);
}

/// Attack A02: each bit of each node.
#[test]
fn a02_every_flipped_bit_of_a_node_is_refused() {
    let trie = build(&hashed(40));
    let keys = [1, 2];
    let good = proof_of(&trie, &keys);
    for position in 0..good.len() {
        for bit in 0..good[position].len() * 8 {
            let mut nodes = good.clone();
            nodes[position][bit / 8] ^= 1 << (bit % 8);
            let refused = read_all(&nodes, trie.root, &keys).unwrap_err();
            assert!(matches!(refused, TrieError::Node { position: at, .. } if at == position));
        }
    }
}

#[test]
fn a02_nodes_dropped_doubled_moved_cut_or_added_are_refused() {
    let trie = build(&hashed(200));
    let keys = [1, 2, 9];
    let good = proof_of(&trie, &keys);
    let supplied = good.len();
    for position in 0..supplied {
        let mut dropped = good.clone();
        dropped.remove(position);
        let refused = read_all(&dropped, trie.root, &keys).unwrap_err();
        if position == supplied - 1 {
            assert!(matches!(refused, TrieError::Missing { .. }), "{refused}");
        } else {
            assert!(matches!(refused, TrieError::Node { position: at, .. } if at == position));
        }
        let mut doubled = good.clone();
        doubled.insert(position, good[position].clone());
        assert!(read_all(&doubled, trie.root, &keys).is_err());
        for other in position + 1..supplied {
            let mut moved = good.clone();
            moved.swap(position, other);
            let refused = read_all(&moved, trie.root, &keys).unwrap_err();
            assert!(matches!(refused, TrieError::Node { position: at, .. } if at == position));
        }
        for change in [0usize, 1] {
            let mut nodes = good.clone();
            if change == 0 {
                nodes[position].push(0x80);
            } else {
                nodes[position].pop();
            }
            assert!(matches!(
                read_all(&nodes, trie.root, &keys),
                Err(TrieError::Node { position: at, .. }) if at == position
            ));
        }
    }
    for surplus in [vec![], vec![0x80], good[0].clone()] {
        let mut more = good.clone();
        more.push(surplus);
        let refused = TrieError::Unused { unused: 1, supplied: supplied + 1 };
        assert_eq!(read_all(&more, trie.root, &keys), Err(refused));
    }
}

#[test]
fn a01_empty_and_zero_prove_nothing() {
    let trie = build(&hashed(3));
    let zero = Hash::ZERO;
    let nothing = TrieError::Missing { needed: zero, supplied: 0 };
    assert_eq!(walk_with(&[], zero, zero), Err(nothing));
    // The root of the empty trie, with the node that it hashes.
    let empty = keccak256(&[0x80]);
    assert_eq!(
        walk_with(&[vec![0x80]], empty, zero),
        Err(TrieError::Rlp(RlpError::Kind { found: "string" }))
    );
    let nodes = proof_of(&trie, &[0]);
    assert!(matches!(walk_with(&nodes, zero, zero), Err(TrieError::Node { position: 0, .. })));
}

#[test]
fn a04_a_key_that_is_not_there_is_refused() {
    let trie = build(&hashed(50));
    for key in 50u64..90 {
        let mut bag = Bag::new(trie.proofs.values().flatten().cloned());
        let refused = bag.value(trie.root, &key.to_be_bytes()).unwrap_err();
        let key = keccak256(&key.to_be_bytes());
        assert_eq!(refused, TrieError::Absent { key, root: trie.root });
    }
}

/// A node as RLP of the items, and the trie of which it is the root.
fn forged(items: &[Vec<u8>]) -> (Hash, Vec<Vec<u8>>) {
    let mut node = Vec::new();
    let length = items.iter().map(Vec::len).sum();
    alloy_rlp::Header { list: true, payload_length: length }.encode(&mut node);
    node.extend(items.concat());
    (keccak256(&node), vec![node])
}

fn string(bytes: &[u8]) -> Vec<u8> {
    alloy_rlp::encode(bytes)
}

/// Attacks A02, A03: what no trie holds is refused even where its hash is right, so that no node can
/// be read in two ways.
#[test]
fn a03_a_node_that_no_trie_has_is_refused() {
    let key = Hash([0x11; 32]);
    let path = |first: u8, rest: &[u8]| string(&[&[first], rest].concat());
    let full = [0x11; 32];
    let empty = || vec![string(&[]); 16];
    let mut with_value = empty();
    with_value.push(string(&[1]));
    let mut long_child = empty();
    long_child[1] = string(&[7; 33]);
    long_child.push(string(&[]));
    let mut embedded = empty();
    embedded[1] = forged(&[path(0x31, &[0x11; 28]), string(&[1; 4])]).1.remove(0);
    embedded.push(string(&[]));
    let malformed = |what| TrieError::Malformed { what };
    let rows = [
        (vec![path(0x20, &full), string(&[5])], Ok(vec![5])),
        (vec![path(0x25, &full), string(&[5])], Err(malformed("an unknown kind of path"))),
        (vec![path(0x40, &full), string(&[5])], Err(malformed("an unknown kind of path"))),
        (vec![path(0x05, &full), string(&full)], Err(malformed("an unknown kind of path"))),
        (vec![string(&[]), string(&[5])], Err(malformed("an empty path"))),
        (vec![path(0x00, &[]), string(&full)], Err(malformed("an extension without a path"))),
        (vec![path(0x31, &full), string(&[5])], Err(malformed("a path longer than a key"))),
        (vec![path(0x20, &[0; 4096]), string(&[5])], Err(malformed("a path longer than a key"))),
        (vec![path(0x20, &full)], Err(malformed("neither two nor seventeen items"))),
        (vec![string(&[]); 18], Err(malformed("neither two nor seventeen items"))),
        (with_value, Err(malformed("a branch with a value of its own"))),
        (long_child, Err(malformed("a child that is no hash"))),
        (embedded, Err(malformed("an embedded node as long as a hash"))),
        (vec![path(0x20, &full), vec![0xc0]], Err(RlpError::Kind { found: "list" }.into())),
    ];
    for (items, expected) in rows {
        let (root, nodes) = forged(&items);
        assert_eq!(walk_with(&nodes, root, key), expected, "{items:02x?}");
    }
    // An extension that uses up the whole key, and a branch below it.
    let (below, mut branch) = forged(&[empty(), vec![string(&[])]].concat());
    let (root, mut nodes) = forged(&[path(0x00, &full), string(&below.0)]);
    nodes.append(&mut branch);
    let refused = walk_with(&nodes, root, key);
    assert_eq!(refused, Err(malformed("a branch below the longest path")));
}

proptest! {
    /// What the reference library proves is proved here, embedded nodes included, and nothing of it
    /// is left over.
    #[test]
    fn the_verdict_is_that_of_the_reference_library(entries in keys()) {
        let trie = build(&entries);
        for (key, value) in &entries {
            prop_assert_eq!(&walk_with(&trie.proofs[key], trie.root, *key).unwrap(), value);
        }
    }

    /// Attack A53: any bytes are an error, never a panic.
    #[test]
    fn a53_any_node_is_read_or_refused(node in proptest::collection::vec(any::<u8>(), 0..80)) {
        let _ = walk_with(std::slice::from_ref(&node), keccak256(&node), Hash([0x11; 32]));
    }
}
