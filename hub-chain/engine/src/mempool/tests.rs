//! Tests of the mempool.

use super::*;
use proptest::prelude::*;
use tombolo_types::Class;

fn admitted(identity: u8, n: u64) -> Admitted {
    let mut id = TxId([identity; 32]);
    id.0[..8].copy_from_slice(&n.to_be_bytes());
    Admitted { id, identity: IdentityId([identity; 32]), expires: UnixMillis(1_000) }
}

fn small() -> Limits {
    Limits {
        count_max: 800,
        bytes_max: 80_000,
        identity_count_max: 100,
        identity_bytes_max: 10_000,
    }
}

fn class(result: Result<bool, Refusal>) -> Option<Class> {
    result.err().map(|refusal| refusal.class)
}

#[test]
fn order_of_arrival_and_no_duplicates() {
    let mut mempool = Mempool::new(small());
    for n in [3, 1, 2] {
        assert_eq!(mempool.insert(admitted(1, n), vec![n as u8]), Ok(true));
    }
    assert_eq!(mempool.insert(admitted(1, 1), vec![1]), Ok(false));
    let bytes: Vec<Vec<u8>> = mempool.candidates().map(|(_, bytes)| bytes).collect();
    assert_eq!(bytes, [[3], [1], [2]]);
    assert_eq!((mempool.count(), mempool.bytes()), (3, 3));
}

#[test]
fn a50_one_identity_floods_and_others_still_enter() {
    let mut mempool = Mempool::new(small());
    let flood: Vec<_> = (0..500).map(|n| mempool.insert(admitted(1, n), vec![0; 100])).collect();
    assert_eq!(flood.iter().filter(|taken| taken.is_ok()).count(), 100);
    assert_eq!(class(flood[499].clone()), Some(Class::Limit));
    assert_eq!(mempool.bytes(), 10_000);
    for n in 0..100 {
        assert_eq!(mempool.insert(admitted(2, n), vec![0; 100]), Ok(true));
    }
}

#[test]
fn a50_one_identity_floods_with_the_largest() {
    let mut mempool = Mempool::new(small());
    assert_eq!(mempool.insert(admitted(1, 0), vec![0; 9_000]), Ok(true));
    assert_eq!(class(mempool.insert(admitted(1, 1), vec![0; 1_001])), Some(Class::Limit));
    assert_eq!(mempool.insert(admitted(1, 2), vec![0; 1_000]), Ok(true));
}

/// Many identities together fill all but the last eighth, which is for those that have little.
#[test]
fn a50_many_flood_and_a_newcomer_still_enters() {
    let mut mempool = Mempool::new(small());
    for identity in 1..=20 {
        for n in 0..100 {
            let _ = mempool.insert(admitted(identity, n), vec![0; 10]);
        }
    }
    assert!(mempool.count() < 800);
    assert_eq!(class(mempool.insert(admitted(1, 900), vec![0; 10])), Some(Class::Limit));
    assert_eq!(mempool.insert(admitted(200, 0), vec![0; 10]), Ok(true));
}

#[test]
fn a_block_removes_what_it_took_and_what_expired() {
    let mut mempool = Mempool::new(small());
    for n in 0..4 {
        mempool.insert(admitted(1, n), vec![0]).unwrap();
    }
    let mut late = admitted(1, 9);
    late.expires = UnixMillis(2_000);
    mempool.insert(late, vec![9]).unwrap();
    mempool.committed(&[admitted(1, 0).id], UnixMillis(999), |_| unreachable!("none was offered"));
    assert_eq!(mempool.count(), 4);
    mempool.committed(&[], UnixMillis(1_000), |_| unreachable!("none was offered"));
    assert_eq!(mempool.candidates().map(|(id, _)| id).collect::<Vec<_>>(), [late.id]);
}

#[test]
fn what_a_block_left_out_is_shown_to_the_door_once() {
    let mut mempool = Mempool::new(small());
    for n in 0..3u8 {
        mempool.insert(admitted(1, n.into()), vec![n]).unwrap();
    }
    mempool.offered(&[admitted(1, 0).id, admitted(1, 1).id]);
    let mut asked = Vec::new();
    mempool.committed(&[], UnixMillis(1), |bytes| {
        asked.push(bytes[0]);
        bytes[0] == 1
    });
    assert_eq!(asked, [0, 1]);
    assert!(!mempool.contains(admitted(1, 0).id) && mempool.contains(admitted(1, 1).id));
    mempool.committed(&[], UnixMillis(1), |_| unreachable!("none was offered again"));
    assert_eq!(mempool.count(), 2);
}

proptest! {
    /// The sums are always those of the entries, and never above the bounds.
    #[test]
    fn a50_bounds_hold_over_any_history(
        acts in prop::collection::vec((0u8..6, 0u64..50, 0usize..3_000, any::<bool>()), 1..300),
    ) {
        let limits = Limits {
            count_max: 64, bytes_max: 20_000, identity_count_max: 20, identity_bytes_max: 8_000,
        };
        let mut mempool = Mempool::new(limits);
        for (identity, n, size, take) in acts {
            if take {
                mempool.committed(&[admitted(identity, n).id], UnixMillis(1), |_| true);
            } else {
                let _ = mempool.insert(admitted(identity, n), vec![0; size]);
            }
            let bytes: usize = mempool.candidates().map(|(_, bytes)| bytes.len()).sum();
            prop_assert_eq!(mempool.bytes(), bytes);
            prop_assert_eq!(mempool.count(), mempool.arrival_of.len());
            prop_assert!(bytes <= limits.bytes_max && mempool.count() <= limits.count_max);
            let counted: usize = mempool.usage_of.values().map(|usage| usage.count).sum();
            prop_assert_eq!(counted, mempool.count());
            let bounded = mempool.usage_of.values().all(|usage| {
                usage.count <= limits.identity_count_max && usage.bytes <= limits.identity_bytes_max
            });
            prop_assert!(bounded);
        }
    }
}
