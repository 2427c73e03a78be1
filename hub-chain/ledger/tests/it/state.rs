//! State beside a naive map.

use crate::world::Memory;
use proptest::prelude::*;
use std::collections::BTreeMap;
use tombolo_ledger::{State, Table};
use tombolo_types::{Hash, store::View};

#[derive(Clone, Debug)]
enum Step {
    Put(Vec<u8>, u8),
    Delete(Vec<u8>),
    Mark,
    RollBack,
    Scan(Vec<u8>, Vec<u8>, usize),
}

/// Short keys over few letters, so that they meet, and prefixes of each other stand among them.
fn key() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop_oneof![Just(0u8), Just(1), Just(0xff)], 0..4)
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (key(), any::<u8>()).prop_map(|(key, value)| Step::Put(key, value)),
        3 => key().prop_map(Step::Delete),
        1 => Just(Step::Mark),
        1 => Just(Step::RollBack),
        3 => (key(), key(), prop_oneof![0usize..6, Just(usize::MAX)])
            .prop_map(|(prefix, from, limit)| Step::Scan(prefix, from, limit)),
    ]
}

type Map = BTreeMap<Vec<u8>, Vec<u8>>;

proptest! {
    #[test]
    fn state_is_a_map_that_can_go_back(
        base in prop::collection::btree_map(key(), prop::collection::vec(any::<u8>(), 1), 0..12),
        steps in prop::collection::vec(step(), 0..40),
    ) {
        let memory = Memory(base.clone());
        let mut state = State::new(&memory);
        let mut model: Map = base.clone();
        let mut marks = vec![(state.mark(), model.clone(), state.digest(Hash::ZERO))];
        for step in steps {
            match step {
                Step::Put(key, value) => {
                    state.write(key.clone(), Some(vec![value]));
                    model.insert(key, vec![value]);
                }
                Step::Delete(key) => {
                    state.write(key.clone(), None);
                    model.remove(&key);
                }
                Step::Mark => marks.push((state.mark(), model.clone(), state.digest(Hash::ZERO))),
                Step::RollBack => {
                    let (mark, then, digest) = marks.pop().unwrap();
                    state.roll_back(mark);
                    model = then;
                    // Not only what is read, but every write that enters the digest.
                    prop_assert_eq!(state.digest(Hash::ZERO), digest);
                    marks.push((mark, model.clone(), digest));
                }
                Step::Scan(prefix, from, limit) => {
                    let expected: Vec<_> = model
                        .iter()
                        .filter(|(key, _)| key.starts_with(&prefix) && **key >= from)
                        .take(limit)
                        .map(|(key, value)| (key.clone(), value.clone()))
                        .collect();
                    prop_assert_eq!(state.scan(&prefix, &from, limit), expected);
                }
            }
            for key in base.keys().chain(model.keys()) {
                prop_assert_eq!(state.get(key), model.get(key).cloned());
            }
        }
        let mut kept = memory.clone();
        kept.apply(&state.into_writes());
        prop_assert_eq!(kept.0, model);
    }

    /// Keys of tables sort as their values do, and are read as they were written.
    #[test]
    fn tables_keep_the_order_of_their_keys(
        keys in prop::collection::btree_set((any::<u64>(), any::<u32>()), 0..20),
        from in any::<u64>(),
        limit in 0usize..30,
    ) {
        const TABLE: Table<(u64, u32), u8> = Table::new(*b"tx");
        const NEXT: Table<(u64, u32), u8> = Table::new(*b"ty");
        let memory = Memory::default();
        let mut state = State::new(&memory);
        for key in &keys {
            TABLE.put(&mut state, key, &1);
            NEXT.put(&mut state, key, &2);
        }
        let expected: Vec<_> =
            keys.iter().filter(|key| **key >= (from, 0)).take(limit).map(|key| (*key, 1)).collect();
        prop_assert_eq!(TABLE.range(&state, &(from, 0), limit), expected);
        let all: Vec<_> = keys.iter().map(|key| (*key, 1)).collect();
        prop_assert_eq!(TABLE.all(&state, usize::MAX), all);
        for (first, _) in &keys {
            let under: Vec<_> =
                keys.iter().filter(|key| key.0 == *first).map(|key| (*key, 1)).collect();
            prop_assert_eq!(TABLE.under(&state, first, usize::MAX), under);
        }
    }
}

/// Setting, deleting and leaving alone are three different digests, and so is the order of chains.
#[test]
fn the_digest_tells_what_was_written() {
    let memory = Memory::default();
    let digest = |writes: &[(&[u8], Option<&[u8]>)], previous| {
        let mut state = State::new(&memory);
        for (key, value) in writes {
            state.write(key.to_vec(), value.map(<[u8]>::to_vec));
        }
        state.digest(previous)
    };
    let digests = [
        digest(&[], Hash::ZERO),
        digest(&[], Hash([1; 32])),
        digest(&[(b"a", None)], Hash::ZERO),
        digest(&[(b"a", Some(b""))], Hash::ZERO),
        digest(&[(b"a", Some(b"b"))], Hash::ZERO),
        digest(&[(b"ab", Some(b""))], Hash::ZERO),
        digest(&[(b"a", None), (b"b", None)], Hash::ZERO),
    ];
    for (position, one) in digests.iter().enumerate() {
        assert!(!digests[..position].contains(one), "{position}");
    }
    let forth = digest(&[(b"a", None), (b"b", None)], Hash::ZERO);
    assert_eq!(forth, digest(&[(b"b", None), (b"a", None)], Hash::ZERO));
}
