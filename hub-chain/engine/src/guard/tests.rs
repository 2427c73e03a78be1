//! Tests of the guard.

use super::*;
use proptest::prelude::*;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

fn at(height: u64, round: u32, step: Step) -> Position {
    Position { height: Height(height), round: Round(round), step }
}

fn digest(n: u8) -> Hash {
    Hash([n; 32])
}

/// A disk that outlives its guards and tears the write at which it is told to crash.
#[derive(Clone, Default)]
struct Memory(Arc<Mutex<(Vec<u8>, Option<usize>)>>);

impl Memory {
    fn new() -> Self {
        Self(Arc::new(Mutex::new((vec![0; 2 * SLOTS as usize * SLOT], None))))
    }

    /// The next write keeps only this many bytes, and fails.
    fn tear(&self, keep: usize) {
        self.0.lock().unwrap().1 = Some(keep);
    }

    fn guard(&self) -> Guard {
        self.0.lock().unwrap().1 = None;
        Guard::on(Box::new(self.clone()), Path::new("memory")).unwrap()
    }
}

impl Disk for Memory {
    fn read(&self) -> io::Result<Vec<u8>> {
        Ok(self.0.lock().unwrap().0.clone())
    }

    fn write(&mut self, slot: &[u8; SLOT], offset: u64) -> io::Result<()> {
        let (bytes, torn) = &mut *self.0.lock().unwrap();
        let keep = torn.unwrap_or(SLOT).min(SLOT);
        let offset = offset as usize;
        bytes[offset..offset + keep].copy_from_slice(&slot[..keep]);
        if torn.is_some() { Err(io::Error::other("torn")) } else { Ok(()) }
    }
}

#[test]
fn a13_a_second_different_vote_is_refused() {
    let mut guard = Memory::new().guard();
    let position = at(5, 0, Step::Prevote);
    assert_eq!(guard.release(position, digest(1), false).unwrap(), Release::Sign);
    assert_eq!(guard.release(position, digest(1), false).unwrap(), Release::Sign);
    let refused = guard.release(position, digest(2), false);
    assert!(matches!(
        refused,
        Err(GuardError::SignedBefore { height: Height(5), round: Round(0) })
    ));
}

#[test]
fn a13_an_earlier_position_is_refused() {
    let memory = Memory::new();
    let mut guard = memory.guard();
    guard.release(at(5, 1, Step::Prevote), digest(1), false).unwrap();
    for earlier in [at(5, 1, Step::Propose), at(5, 0, Step::Precommit), at(4, 9, Step::Precommit)] {
        let refused = guard.release(earlier, digest(3), true);
        assert!(matches!(refused, Err(GuardError::Earlier { last_round: Round(1), .. })));
    }
    guard.release(at(6, 0, Step::Propose), digest(1), false).unwrap();
    let refused = memory.guard().release(at(5, 1, Step::Prevote), digest(1), false);
    assert!(matches!(refused, Err(GuardError::Earlier { last_height: Height(6), .. })));
}

/// A node that voted for no block, and after a crash would vote for one, repeats itself.
#[test]
fn a13_a_vote_for_no_block_is_repeated() {
    let memory = Memory::new();
    let position = at(5, 0, Step::Precommit);
    memory.guard().release(position, digest(1), true).unwrap();
    assert_eq!(memory.guard().release(position, digest(2), false).unwrap(), Release::Nil);
}

#[test]
fn a13_nothing_is_signed_after_a_failed_write() {
    let memory = Memory::new();
    let mut guard = memory.guard();
    memory.tear(20);
    for _ in 0..2 {
        let refused = guard.release(at(1, 0, Step::Propose), digest(1), false);
        assert!(matches!(refused, Err(GuardError::File { .. })));
    }
}

#[test]
fn a_height_of_many_rounds_goes_on() {
    let memory = Memory::new();
    let mut guard = memory.guard();
    for round in 0..200 {
        for step in [Step::Propose, Step::Prevote, Step::Precommit] {
            guard.release(at(3, round, step), digest(1), false).unwrap();
        }
        if round % 7 == 0 {
            guard = memory.guard();
        }
    }
    assert_eq!(guard.last(), Some(at(3, 199, Step::Precommit)));
    assert_eq!(memory.guard().last(), guard.last());
    assert!(matches!(
        guard.release(at(3, 0, Step::Prevote), digest(1), false),
        Err(GuardError::Earlier { .. })
    ));
}

#[test]
fn a13_the_file_is_for_one_process() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("signed.guard");
    let mut guard = Guard::open(&path).unwrap();
    guard.release(at(7, 2, Step::Precommit), digest(9), false).unwrap();
    assert!(matches!(Guard::open(&path), Err(GuardError::Locked { .. })));
    drop(guard);
    assert_eq!(Guard::open(&path).unwrap().last(), Some(at(7, 2, Step::Precommit)));
}

#[derive(Clone, Debug)]
enum Act {
    Sign {
        height: u64,
        round: u32,
        step: u8,
        choice: u8,
    },
    /// The process dies in the middle of the next write, this far into the slot.
    Tear {
        keep: usize,
        height: u64,
        round: u32,
        step: u8,
        choice: u8,
    },
    Restart,
}

fn act() -> impl Strategy<Value = Act> {
    let position = (1u64..6, 0u32..3, 0u8..3, 0u8..3);
    prop_oneof![
        6 => position.clone().prop_map(|(height, round, step, choice)| {
            Act::Sign { height, round, step, choice }
        }),
        2 => (0usize..=SLOT, position).prop_map(|(keep, (height, round, step, choice))| {
            Act::Tear { keep, height, round, step, choice }
        }),
        1 => Just(Act::Restart),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Over any schedule of requests, crashes and torn writes, at most one digest leaves for each
    /// position. Choice 0 is the vote for no block.
    #[test]
    fn a13_one_signature_per_position(acts in prop::collection::vec(act(), 1..60)) {
        let memory = Memory::new();
        let mut guard = memory.guard();
        let mut released: BTreeMap<Position, u8> = BTreeMap::new();
        for act in acts {
            let (height, round, step, choice, torn) = match act {
                Act::Restart => {
                    guard = memory.guard();
                    continue;
                }
                Act::Sign { height, round, step, choice } => (height, round, step, choice, None),
                Act::Tear { keep, height, round, step, choice } => {
                    (height, round, step, choice, Some(keep))
                }
            };
            if let Some(keep) = torn {
                memory.tear(keep);
            }
            let position = at(height, round, Step::from_number(step).unwrap());
            match guard.release(position, digest(choice), choice == 0) {
                Ok(release) => {
                    let leaves = if release == Release::Nil { 0 } else { choice };
                    prop_assert_eq!(*released.entry(position).or_insert(leaves), leaves);
                    let newest = released.keys().next_back().copied();
                    prop_assert!(guard.last() >= newest);
                }
                Err(_) if torn.is_some() => guard = memory.guard(),
                Err(_) => {}
            }
        }
    }

    /// A damaged file never panics, and what it gives is what was once written or nothing.
    #[test]
    fn a53_any_file_is_read(bytes in prop::collection::vec(any::<u8>(), 0..4 * SLOT)) {
        let (signed, area, next) = newest(&bytes);
        prop_assert!(signed.is_empty() && area == 0 && next == 0);
    }
}
