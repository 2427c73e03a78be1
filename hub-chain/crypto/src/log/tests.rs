use super::*;
use crate::keccak256::keccak256;
use proptest::prelude::*;
use std::collections::BTreeMap;
use tombolo_types::{Class, Refusal, lane::RangeProof};

mod attacks;

/// How far the exhaustive tests go.
const ALL: u64 = 70;

fn leaf(number: u64) -> Hash {
    keccak256(&number.to_be_bytes())
}

fn leaves(count: u64) -> Vec<Hash> {
    (0..count).map(leaf).collect()
}

/// Tiles in memory, written as a ledger writes them.
#[derive(Default)]
struct Tiles {
    size: u64,
    tiles: BTreeMap<(u32, u64), Vec<Hash>>,
}

impl Nodes for Tiles {
    fn tile(&self, level: u32, index: u64) -> Option<Vec<Hash>> {
        self.tiles.get(&(level, index)).cloned()
    }
}

impl Tiles {
    fn of(leaves: &[Hash]) -> Self {
        let mut tiles = Self::default();
        for leaf in leaves {
            for (level, index, content) in append_tiles(&tiles, tiles.size, *leaf) {
                tiles.tiles.insert((level, index), content);
            }
            tiles.size += 1;
        }
        tiles
    }
}

/// RFC 9162 as it is written there, over a `Vec`: slow and plain.
mod model {
    use super::*;

    fn split(count: usize) -> usize {
        let mut k = 1;
        while k * 2 < count {
            k *= 2;
        }
        k
    }

    pub(super) fn root(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => empty_root(),
            [leaf] => *leaf,
            _ => {
                let (left, right) = leaves.split_at(split(leaves.len()));
                node(root(left), root(right))
            }
        }
    }

    pub(super) fn path(index: usize, leaves: &[Hash]) -> Vec<Hash> {
        if leaves.len() == 1 {
            return vec![];
        }
        let k = split(leaves.len());
        let (left, right) = leaves.split_at(k);
        let (mut path, sibling) = if index < k {
            (path(index, left), root(right))
        } else {
            (path(index - k, right), root(left))
        };
        path.push(sibling);
        path
    }

    pub(super) fn subproof(m: usize, leaves: &[Hash], known: bool) -> Vec<Hash> {
        if m == leaves.len() {
            return if known { vec![] } else { vec![root(leaves)] };
        }
        let k = split(leaves.len());
        let (left, right) = leaves.split_at(k);
        let (mut proof, sibling) = if m <= k {
            (subproof(m, left, known), root(right))
        } else {
            (subproof(m - k, right, false), root(left))
        };
        proof.push(sibling);
        proof
    }

    /// The fewest nodes of the tree that make up the positions for which `wanted` holds.
    pub(super) fn cover(leaves: &[Hash], from: usize, wanted: &dyn Fn(usize) -> bool) -> Vec<Hash> {
        let positions = from..from + leaves.len();
        if positions.clone().all(wanted) {
            return if leaves.is_empty() { vec![] } else { vec![root(leaves)] };
        }
        if leaves.len() == 1 {
            return vec![];
        }
        let k = split(leaves.len());
        let (left, right) = leaves.split_at(k);
        [cover(left, from, wanted), cover(right, from + k, wanted)].concat()
    }
}

#[test]
fn roots_are_those_of_the_model_at_every_size() {
    let all = leaves(300);
    let mut log = Log::default();
    let tiles = Tiles::of(&all);
    for size in 0..=300u64 {
        let root = model::root(&all[..size as usize]);
        assert_eq!(log.root(), root, "size {size}");
        assert_eq!(root_at(&tiles, size), Some(root), "size {size}");
        assert_eq!(log_at(&tiles, size).as_ref(), Some(&log));
        assert_eq!(root_of(&all[..size as usize]), root);
        assert_eq!(log.peaks().len() as u32, size.count_ones());
        log.append(leaf(size));
    }
    assert_eq!(root_at(&tiles, 301), None);
}

#[test]
fn the_tag_of_nodes_is_that_of_every_preimage() {
    let (left, right) = (leaf(1), leaf(2));
    assert_eq!(node(left, right), Preimage::tagged("node").word(left).word(right).finish());
    assert_ne!(node(left, right), node(right, left));
    assert_eq!(root_of(&[]), Preimage::tagged("empty-log").finish());
}

#[test]
fn peaks_that_do_not_fit_the_size_are_no_log() {
    let log = Log::from_parts(5, vec![leaf(0), leaf(1)]).unwrap();
    assert_eq!(borsh::from_slice::<Log>(&borsh::to_vec(&log).unwrap()).unwrap(), log);
    assert_eq!(Log::from_parts(5, vec![leaf(0)]), None);
    assert_eq!(Log::from_parts(0, vec![leaf(0)]), None);
    assert_eq!(Log::from_parts(LOG_SIZE_MAX + 1, vec![leaf(0), leaf(1)]), None);
    let forged = borsh::to_vec(&(7u64, vec![leaf(0)])).unwrap();
    assert!(borsh::from_slice::<Log>(&forged).is_err());
}

/// Every range of every log up to 70 leaves: the proof is the model's, it is accepted, and all
/// prefixes are known.
#[test]
fn ranges_of_every_size_exhaustively() {
    let all = leaves(ALL);
    let tiles = Tiles::of(&all);
    let roots: Vec<Hash> = (0..=ALL as usize).map(|n| model::root(&all[..n])).collect();
    for size in 0..=ALL {
        let log = &all[..size as usize];
        for start in 0..=size {
            for end in start..=size {
                let proof = range_proof(&tiles, start, end - start, size).unwrap();
                let range = &all[start as usize..end as usize];
                let proven =
                    verify_range(start, range, size, roots[size as usize], &proof).unwrap();
                assert_eq!((proven.start(), proven.end(), proven.size()), (start, end, size));
                assert_eq!(proven.prefix_root_at(start), Some(roots[start as usize]));
                assert_eq!(proven.prefix_root_at(end), Some(roots[end as usize]));
                if (start + end) % 5 == 0 {
                    let right = model::cover(log, 0, &|position| position as u64 >= end);
                    assert_eq!(proof.right, right, "{start}..{end} of {size}");
                    let left = model::cover(log, 0, &|position| (position as u64) < start);
                    // A prefix that is the whole log is given by its peaks all the same.
                    assert!(start == size || proof.left == left, "{start}..{end} of {size}");
                }
            }
        }
    }
}

#[test]
fn prefixes_are_known_within_the_range_and_nowhere_else() {
    let all = leaves(40);
    let tiles = Tiles::of(&all);
    let proof = range_proof(&tiles, 11, 9, 40).unwrap();
    let proven = verify_range(11, &all[11..20], 40, root_of(&all), &proof).unwrap();
    assert_eq!(proven.leaves(), &all[11..20]);
    for n in 0..=41u64 {
        let expected = (11..=20).contains(&n).then(|| root_of(&all[..n as usize]));
        assert_eq!(proven.prefix_root_at(n), expected, "prefix {n}");
        assert_eq!(proven.prefix_log_at(n).map(|log| log.size()), expected.map(|_| n));
    }
}

#[test]
fn inclusion_of_every_size_exhaustively() {
    let all = leaves(ALL);
    let tiles = Tiles::of(&all);
    for size in 1..=ALL {
        let log = &all[..size as usize];
        let root = model::root(log);
        for index in 0..size {
            let path = inclusion_proof(&tiles, index, size).unwrap();
            assert_eq!(path, model::path(index as usize, log), "{index} of {size}");
            assert_eq!(verify_inclusion(leaf(index), index, size, &path, root), Ok(()));
            assert_eq!(crate::tree::lane_path(log, index as usize), path);
        }
        assert_eq!(inclusion_proof(&tiles, size, size), None);
        assert_eq!(crate::tree::lane_path(log, size as usize), vec![]);
    }
}

#[test]
fn consistency_of_every_size_exhaustively() {
    let all = leaves(ALL);
    let tiles = Tiles::of(&all);
    for new in 0..=ALL {
        let new_root = model::root(&all[..new as usize]);
        for old in 0..=new {
            let old_root = model::root(&all[..old as usize]);
            let path = consistency_proof(&tiles, old, new).unwrap();
            if old > 0 {
                let expected = model::subproof(old as usize, &all[..new as usize], true);
                assert_eq!(path, expected, "{old} to {new}");
            }
            assert_eq!(verify_consistency(old, old_root, new, new_root, &path), Ok(()));
        }
        assert_eq!(consistency_proof(&tiles, new + 1, new), None);
    }
    assert_eq!(consistency_proof(&tiles, 3, ALL + 1), None);
}

#[test]
fn a_refused_proof_has_class_proof() {
    assert_eq!(Refusal::from(ProofError::Size { size: 1 << 63 }).class, Class::Proof);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn proofs_at_any_size_of_the_past(sizes in (1u64..3000).prop_flat_map(|now| {
        (Just(now), 0..=now).prop_flat_map(|(now, size)| {
            (Just(now), Just(size), 0..=size).prop_flat_map(|(now, size, end)| {
                (Just(now), Just(size), 0..=end, Just(end))
            })
        })
    })) {
        let (now, size, start, end) = sizes;
        let all = leaves(now);
        let tiles = Tiles::of(&all);
        let root = model::root(&all[..size as usize]);
        prop_assert_eq!(root_at(&tiles, size), Some(root));
        let range = &all[start as usize..end as usize];
        let proof = range_proof(&tiles, start, end - start, size).unwrap();
        let proven = verify_range(start, range, size, root, &proof).unwrap();
        prop_assert_eq!(proven.prefix_log_at(end), log_at(&tiles, end));
        let old = root_at(&tiles, start).unwrap();
        let path = consistency_proof(&tiles, start, size).unwrap();
        prop_assert_eq!(verify_consistency(start, old, size, root, &path), Ok(()));
        if start < size {
            let path = inclusion_proof(&tiles, start, size).unwrap();
            prop_assert_eq!(&path, &model::path(start as usize, &all[..size as usize]));
            prop_assert_eq!(verify_inclusion(leaf(start), start, size, &path, root), Ok(()));
        }
    }

    /// No bytes make the verifiers panic or loop.
    #[test]
    fn a02_noise_is_refused(
        numbers in any::<[u64; 3]>(),
        nodes in proptest::collection::vec(any::<[u8; 32]>().prop_map(Hash), 0..70),
        cut in 0usize..70,
        root in any::<[u8; 32]>().prop_map(Hash),
    ) {
        let (left, right) = nodes.split_at(cut.min(nodes.len()));
        let proof = RangeProof { left: left.to_vec(), right: right.to_vec() };
        let [start, size, other] = numbers;
        prop_assert!(verify_range(start, &nodes, size, root, &proof).is_err());
        prop_assert!(verify_inclusion(root, other, size, &nodes, root).is_err());
        prop_assert!(verify_consistency(start, root, size, root, &nodes).is_err());
    }
}
