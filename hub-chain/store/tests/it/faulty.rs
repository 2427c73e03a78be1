//! The faulty store fails as a disk would, and the same way for the same seed.

use proptest::prelude::*;
use tombolo_store::{Faults, Faulty, Memory};
use tombolo_types::store::{Batch, Store, StoreError};

fn batch(number: u16) -> Batch {
    let value = Some(number.to_be_bytes().to_vec());
    (0..4u8).map(|key| (vec![key], value.clone())).chain([(vec![9], Some(vec![0; 16]))]).collect()
}

/// What a run meets: for each call, whether it failed and why.
fn run(seed: u64, faults: Faults) -> Vec<Option<String>> {
    let store = Faulty::new(Memory::default(), seed, faults);
    let why = |error| match error {
        StoreError::Failed { why, .. } => why,
        other => panic!("{other:?}"),
    };
    (0..60)
        .flat_map(|number| [store.get(&[0]).map(drop).err(), store.apply(&batch(number)).err()])
        .map(|error| error.map(why))
        .collect()
}

fn faults() -> impl Strategy<Value = Faults> {
    (0..300u16, 0..60u16, 0..60u16, prop::option::of(0..2000u64)).prop_map(
        |(read_per_mille, before_write_per_mille, after_write_per_mille, capacity_bytes)| Faults {
            read_per_mille,
            before_write_per_mille,
            after_write_per_mille,
            capacity_bytes,
        },
    )
}

proptest! {
    #[test]
    fn the_same_seed_meets_the_same_faults(seed: u64, faults in faults()) {
        prop_assert_eq!(run(seed, faults), run(seed, faults));
    }

    /// What is left after the restart is the last acknowledged batch, or the one that failed.
    #[test]
    fn a59_a_failed_batch_is_there_whole_or_not_at_all(seed: u64, faults in faults()) {
        let store = Faulty::new(Memory::default(), seed, Faults { read_per_mille: 0, ..faults });
        let acknowledged = (0..60).take_while(|number| store.apply(&batch(*number)).is_ok()).count();
        let failed = acknowledged < 60;
        prop_assert_eq!(store.get(&[0]).is_err(), failed);
        prop_assert!(!failed || store.apply(&batch(0)).is_err());
        let left = store.into_inner().snapshot();
        let whole = |number: usize| -> bool {
            let entries = u16::try_from(number).ok().map(batch).unwrap();
            left == entries.into_iter().filter_map(|(key, value)| Some((key, value?))).collect()
        };
        let before = if acknowledged == 0 { left.is_empty() } else { whole(acknowledged - 1) };
        prop_assert!(before || (failed && whole(acknowledged)));
    }
}

#[test]
fn each_fault_is_named_and_writes_what_it_says() {
    let healthy = Faults::default();
    let table = [
        (
            "injected error before the write",
            false,
            Faults { before_write_per_mille: 1000, ..healthy },
        ),
        ("injected error after the write", true, Faults { after_write_per_mille: 1000, ..healthy }),
        (
            "no space left on device (injected)",
            false,
            Faults { capacity_bytes: Some(28), ..healthy },
        ),
    ];
    for (expected, written, faults) in table {
        let store = Faulty::new(Memory::default(), 3, faults);
        match store.apply(&batch(1)) {
            Err(StoreError::Failed { why, .. }) => assert_eq!(why, expected),
            other => panic!("{expected}: {other:?}"),
        }
        assert_eq!(!store.into_inner().snapshot().is_empty(), written, "{expected}");
    }
}

#[test]
fn a59_a_disk_holds_exactly_its_capacity() {
    let faults = Faults { capacity_bytes: Some(29), ..Faults::default() };
    let store = Faulty::new(Memory::default(), 3, faults);
    store.apply(&batch(1)).unwrap();
    assert!(store.apply(&[(vec![1], None)].into()).is_err());
}

#[test]
fn a_failed_read_leaves_the_store_usable() {
    let faults = Faults { read_per_mille: 500, ..Faults::default() };
    let store = Faulty::new(Memory::default(), 11, faults);
    store.apply(&batch(1)).unwrap();
    let answers: Vec<bool> = (0..50).map(|_| store.get(&[0]).is_ok()).collect();
    assert!(answers.contains(&true) && answers.contains(&false));
    store.apply(&batch(2)).unwrap();
}
