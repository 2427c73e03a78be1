//! The conformance suite and random histories, over all three stores.

use crate::open;
use proptest::{collection::vec, option, prelude::*};
use tombolo_store::{
    Faults, Faulty, Memory,
    suite::{Step, agrees_with_a_map, conformance},
};

#[test]
fn memory_conforms() {
    conformance(Memory::default);
}

#[test]
fn faulty_without_faults_conforms() {
    conformance(|| Faulty::new(Memory::default(), 1, Faults::default()));
}

#[test]
fn sled_conforms() {
    let folder = tempfile::tempdir().unwrap();
    let mut number = 0;
    conformance(|| {
        number += 1;
        open(&folder.path().join(number.to_string()))
    });
}

/// Few different bytes, so that keys meet, nest and border on each other.
fn key() -> impl Strategy<Value = Vec<u8>> {
    vec(prop_oneof![Just(0u8), Just(b'a'), Just(b'b'), Just(0xff)], 0..4)
}

fn step() -> impl Strategy<Value = Step> {
    let value = option::weighted(0.7, vec(any::<u8>(), 0..40));
    prop_oneof![
        4 => vec((key(), value), 0..12).prop_map(|batch| Step::Apply(batch.into_iter().collect())),
        2 => key().prop_map(Step::Get),
        3 => (key(), key(), 0..8usize)
            .prop_map(|(prefix, from, limit)| Step::Scan { prefix, from, limit }),
        1 => Just(Step::Reopen),
    ]
}

proptest! {
    #[test]
    fn memory_agrees_with_a_map(steps in vec(step(), 0..40)) {
        agrees_with_a_map(Memory::default(), |memory| Memory::from(memory.snapshot()), steps);
    }

    #[test]
    fn faulty_without_faults_agrees_with_a_map(steps in vec(step(), 0..40), seed: u64) {
        let wrap = |memory| Faulty::new(memory, seed, Faults::default());
        agrees_with_a_map(wrap(Memory::default()), |store| wrap(store.into_inner()), steps);
    }
}

proptest! {
    // Each case writes to the disk and opens the store several times.
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn sled_agrees_with_a_map(steps in vec(step(), 0..40)) {
        let folder = tempfile::tempdir().unwrap();
        let reopen = |store| {
            drop(store);
            open(folder.path())
        };
        agrees_with_a_map(open(folder.path()), reopen, steps);
    }
}
