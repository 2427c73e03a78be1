//! What must not pass as a proof.

use super::*;

/// Both sides of a range proof as one list, to change them alike.
fn nodes_of(proof: &RangeProof) -> Vec<Hash> {
    [proof.left.clone(), proof.right.clone()].concat()
}

fn with_nodes(proof: &RangeProof, nodes: &[Hash]) -> RangeProof {
    let (left, right) = nodes.split_at(proof.left.len());
    RangeProof { left: left.to_vec(), right: right.to_vec() }
}

#[test]
fn a01_zero_and_empty_prove_nothing() {
    let all = leaves(6);
    let tiles = Tiles::of(&all);
    let proof = range_proof(&tiles, 2, 2, 6).unwrap();
    let zero_root = ProofError::Zero { what: "root" };
    assert_eq!(verify_range(2, &all[2..4], 6, Hash::ZERO, &proof).err(), Some(zero_root));
    let path = inclusion_proof(&tiles, 2, 6).unwrap();
    assert_eq!(verify_inclusion(all[2], 2, 6, &path, Hash::ZERO), Err(zero_root));
    assert_eq!(verify_consistency(0, Hash::ZERO, 6, root_of(&all), &[]), Err(zero_root));
    assert_eq!(verify_consistency(6, Hash::ZERO, 6, Hash::ZERO, &[]), Err(zero_root));

    let nothing = RangeProof { left: vec![], right: vec![] };
    assert_eq!(
        verify_range(2, &all[2..4], 6, root_of(&all), &nothing).err(),
        Some(ProofError::Count { side: "left", needed: 1, found: 0 })
    );
    assert_eq!(
        verify_range(0, &all[..4], 6, root_of(&all), &nothing).err(),
        Some(ProofError::Count { side: "right", needed: 1, found: 0 })
    );
    assert_eq!(
        verify_inclusion(all[2], 2, 6, &[], root_of(&all)),
        Err(ProofError::Count { side: "path", needed: 3, found: 0 })
    );
    assert_eq!(
        verify_consistency(2, root_of(&all[..2]), 6, root_of(&all), &[]),
        Err(ProofError::Count { side: "path", needed: 2, found: 0 })
    );
    let mut zero_node = proof.clone();
    zero_node.left[0] = Hash::ZERO;
    assert_eq!(
        verify_range(2, &all[2..4], 6, root_of(&all), &zero_node).err(),
        Some(ProofError::Zero { what: "left node" })
    );
    assert_eq!(
        verify_inclusion(Hash::ZERO, 0, 1, &[], Hash::ZERO),
        Err(ProofError::Zero { what: "root" })
    );
}

/// The empty log has one root, and no other log has it.
#[test]
fn a01_the_empty_log_is_named_and_not_zero() {
    let nothing = RangeProof { left: vec![], right: vec![] };
    assert!(verify_range(0, &[], 0, empty_root(), &nothing).is_ok());
    let expected = leaf(0);
    assert_eq!(
        verify_range(0, &[], 0, expected, &nothing).err(),
        Some(ProofError::Root { computed: empty_root(), expected })
    );
    assert_eq!(
        verify_consistency(0, empty_root(), 0, expected, &[]),
        Err(ProofError::Root { computed: expected, expected: empty_root() })
    );
    assert_eq!(
        verify_consistency(0, leaf(1), 3, expected, &[]),
        Err(ProofError::Root { computed: leaf(1), expected: empty_root() })
    );
}

#[test]
fn a04_index_at_or_above_size_is_refused() {
    let all = leaves(5);
    let root = root_of(&all);
    for (index, size) in [(1, 1), (5, 5), (6, 5), (0, 0), (u64::MAX, 5), (u64::MAX, u64::MAX >> 2)]
    {
        assert_eq!(
            verify_inclusion(all[0], index, size, &[], root),
            Err(ProofError::Index { position: index, size })
        );
    }
    assert_eq!(
        verify_inclusion(all[0], 0, u64::MAX, &[], root),
        Err(ProofError::Size { size: u64::MAX })
    );
}

#[test]
fn a04_a_range_that_ends_after_the_log_is_refused() {
    let all = leaves(5);
    let proof = RangeProof { left: vec![], right: vec![] };
    for (start, count, size) in [(0, 5, 4), (4, 2, 5), (6, 0, 5), (u64::MAX, 1, 5)] {
        assert_eq!(
            verify_range(start, &all[..count as usize], size, root_of(&all), &proof).err(),
            Some(ProofError::Range { start, count, size })
        );
    }
    assert_eq!(
        verify_range(0, &all, u64::MAX, root_of(&all), &proof).err(),
        Some(ProofError::Size { size: u64::MAX })
    );
    assert_eq!(
        verify_consistency(6, root_of(&all), 5, root_of(&all), &[]),
        Err(ProofError::Shrunk { old: 6, new: 5 })
    );
}

/// Leaves left over, left out, doubled or swapped never pass, at any position.
#[test]
fn a04_duplicate_missing_and_leftover_leaves_are_refused() {
    let all = leaves(24);
    let tiles = Tiles::of(&all);
    for size in 2..=24u64 {
        let root = root_of(&all[..size as usize]);
        for start in 0..size {
            for end in start + 1..=size {
                let range = &all[start as usize..end as usize];
                let proof = range_proof(&tiles, start, end - start, size).unwrap();
                let more = [range, &[leaf(end)]].concat();
                let fewer = &range[..range.len() - 1];
                let mut doubled = range.to_vec();
                doubled[0] = *range.last().unwrap();
                let mut swapped = range.to_vec();
                swapped.reverse();
                for wrong in [&more, fewer, &doubled, &swapped] {
                    let accepted = verify_range(start, wrong, size, root, &proof).is_ok();
                    assert_eq!(accepted, wrong == range, "{start}..{end} of {size}");
                }
            }
        }
    }
}

/// Zero leaves prove a prefix and nothing more.
#[test]
fn a04_a_range_without_leaves_proves_a_prefix_only() {
    let all = leaves(13);
    let tiles = Tiles::of(&all);
    for start in 0..=13u64 {
        let proof = range_proof(&tiles, start, 0, 13).unwrap();
        let proven = verify_range(start, &[], 13, root_of(&all), &proof).unwrap();
        assert_eq!(proven.leaves(), &[]);
        assert_eq!(proven.prefix_root_at(start), Some(root_of(&all[..start as usize])));
        assert_eq!(proven.prefix_root_at(start + 1), None);
    }
    assert_eq!(
        verify_range(0, &[Hash::ZERO], 1, leaf(0), &RangeProof { left: vec![], right: vec![] }),
        Err(ProofError::Zero { what: "leaf" })
    );
}

/// A proof is good for its own range only. (The size is bound by what states the root: a lane leaf
/// and a header each hold both.)
#[test]
fn a06_a_proof_of_one_range_serves_no_other() {
    let all = leaves(11);
    let tiles = Tiles::of(&all);
    let ranges = |size: u64| (0..=size).flat_map(move |s| (s..=size).map(move |e| (s, e)));
    for size in 1..=11u64 {
        let root = root_of(&all[..size as usize]);
        for (start, end) in ranges(size) {
            let proof = range_proof(&tiles, start, end - start, size).unwrap();
            for (other_start, other_end) in ranges(size) {
                let range = &all[other_start as usize..other_end as usize];
                assert_eq!(
                    verify_range(other_start, range, size, root, &proof).is_ok(),
                    (start, end) == (other_start, other_end),
                    "{start}..{end} as {other_start}..{other_end} of {size}"
                );
            }
        }
    }
}

#[test]
fn a06_a_path_of_one_leaf_serves_no_other() {
    let all = leaves(17);
    let tiles = Tiles::of(&all);
    let root = root_of(&all);
    for index in 0..17u64 {
        let path = inclusion_proof(&tiles, index, 17).unwrap();
        for (other, at) in (0..17u64).flat_map(|other| (0..17u64).map(move |at| (other, at))) {
            let accepted = verify_inclusion(leaf(other), at, 17, &path, root).is_ok();
            assert_eq!(accepted, other == index && at == index, "{index}: {other} at {at}");
        }
    }
}

/// An inner node is not accepted in a leaf's place under the size that the root's owner states.
#[test]
fn a03_an_inner_node_is_no_leaf() {
    let all = leaves(4);
    let root = root_of(&all);
    let inner = [node(all[0], all[1]), node(all[2], all[3])];
    assert_eq!(
        verify_inclusion(inner[0], 0, 4, &[inner[1]], root),
        Err(ProofError::Count { side: "path", needed: 2, found: 1 })
    );
    let none = RangeProof { left: vec![], right: vec![] };
    assert_eq!(
        verify_range(0, &inner, 4, root, &none),
        Err(ProofError::Count { side: "right", needed: 1, found: 0 })
    );
}

/// Req: PRJ-4-1
///
/// Attack A02: every bit of leaves, nodes and root counts, and so does their number.
#[test]
fn a02_flipped_cut_and_extended_proofs_are_refused() {
    let all = leaves(7);
    let tiles = Tiles::of(&all);
    for size in 1..=7u64 {
        let root = root_of(&all[..size as usize]);
        for (start, end) in (0..=size).flat_map(|s| (s..=size).map(move |e| (s, e))) {
            let range = &all[start as usize..end as usize];
            let proof = range_proof(&tiles, start, end - start, size).unwrap();
            let refused = |leaves: &[Hash], root: Hash, proof: &RangeProof| {
                assert!(verify_range(start, leaves, size, root, proof).is_err());
            };
            flip_each_bit(&nodes_of(&proof), |nodes| {
                refused(range, root, &with_nodes(&proof, nodes));
            });
            flip_each_bit(range, |leaves| refused(leaves, root, &proof));
            flip_each_bit(&[root], |root| refused(range, root[0], &proof));
            for side in 0..2 {
                let changed = |change: &dyn Fn(&mut Vec<Hash>)| {
                    let mut proof = proof.clone();
                    change(if side == 0 { &mut proof.left } else { &mut proof.right });
                    proof
                };
                refused(range, root, &changed(&|nodes| nodes.push(leaf(99))));
                refused(range, root, &changed(&|nodes| nodes.insert(0, leaf(99))));
                let cut = changed(&|nodes| nodes.truncate(nodes.len().saturating_sub(1)));
                if cut != proof {
                    refused(range, root, &cut);
                }
            }
        }
    }
}

#[test]
fn a02_flipped_cut_and_extended_paths_are_refused() {
    let all = leaves(13);
    let tiles = Tiles::of(&all);
    let root = root_of(&all);
    for index in 0..13u64 {
        let path = inclusion_proof(&tiles, index, 13).unwrap();
        let refused = |path: &[Hash]| {
            assert!(verify_inclusion(leaf(index), index, 13, path, root).is_err());
        };
        flip_each_bit(&path, refused);
        refused(&path[1..]);
        refused(&[path.as_slice(), &[leaf(99)]].concat());
    }
    for old in 1..13u64 {
        let old_root = root_of(&all[..old as usize]);
        let path = consistency_proof(&tiles, old, 13).unwrap();
        let refused = |path: &[Hash]| {
            assert!(verify_consistency(old, old_root, 13, root, path).is_err());
        };
        flip_each_bit(&path, refused);
        refused(&path[1..]);
        refused(&[path.as_slice(), &[leaf(99)]].concat());
        flip_each_bit(&[old_root, root], |roots| {
            assert!(verify_consistency(old, roots[0], 13, roots[1], &path).is_err());
        });
    }
}

fn flip_each_bit(hashes: &[Hash], mut each: impl FnMut(&[Hash])) {
    let mut flipped = hashes.to_vec();
    for bit in 0..hashes.len() * 256 {
        flipped[bit / 256].0[bit % 256 / 8] ^= 1 << (bit % 8);
        each(&flipped);
        flipped[bit / 256].0[bit % 256 / 8] ^= 1 << (bit % 8);
    }
}
