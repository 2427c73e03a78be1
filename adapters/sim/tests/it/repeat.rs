//! One seed repeats everything.

use crate::depth;
use proptest::prelude::*;
use tombolo_sim::{Dropped, Pair, Settings, open_pair};
use tombolo_types::id::BlockId;

/// What may happen to a chain.
#[derive(Clone, Copy, Debug)]
enum Step {
    Send(u64),
    Produce,
    Reorganise(u64, bool),
    Pass(u64),
    Validators,
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1..4u64).prop_map(Step::Send),
        6 => Just(Step::Produce),
        2 => (1..5u64, any::<bool>()).prop_map(|(depth, lost)| Step::Reorganise(depth, lost)),
        1 => (1..5_000u64).prop_map(Step::Pass),
        1 => Just(Step::Validators),
        1 => Just(Step::Restart),
    ]
}

fn run(seed: u64, steps: &[Step]) -> Vec<BlockId> {
    let mut pair: Pair = open_pair(seed, Settings::instant(seed), depth(seed, 2)).unwrap();
    let chain = pair.chain.clone();
    let mut finals = chain.final_blocks();
    for step in steps {
        match *step {
            Step::Send(count) => pair.send(&chain, count).unwrap(),
            Step::Produce => drop(chain.produce()),
            Step::Reorganise(depth, true) => drop(chain.reorganise(depth, Dropped::Lost)),
            Step::Reorganise(depth, false) => drop(chain.reorganise(depth, Dropped::Wait)),
            Step::Pass(ms) => chain.pass_ms(ms),
            Step::Validators => pair.change_validators(&chain).unwrap(),
            Step::Restart => chain.restart(),
        }
        let now = chain.final_blocks();
        assert!(now.starts_with(&finals), "a final block went away");
        finals = now;
    }
    finals
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Req: PRJ-14-2
    #[test]
    fn the_same_seed_and_calls_give_the_same_blocks(
        seed: u64,
        steps in prop::collection::vec(step(), 0..30),
    ) {
        prop_assert_eq!(run(seed, &steps), run(seed, &steps));
    }
}

/// Req: PRJ-14-2
#[test]
fn another_seed_gives_other_blocks() {
    let steps = [Step::Send(1), Step::Produce, Step::Produce, Step::Produce];
    let (one, other) = (run(1, &steps), run(2, &steps));
    assert_eq!(one.len(), other.len());
    assert!(one.iter().all(|block| !other.contains(block)));
}
