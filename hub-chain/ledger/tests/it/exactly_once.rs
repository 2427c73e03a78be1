//! Each message is taken once and in order, however many bring it and in whatever pieces.

use crate::{
    toy::{HEARD, REENTER, TAKE, TAKEN, ToyCall},
    world::{Chain, World, call_of, delivery, other_relayer, relayer},
};
use proptest::prelude::*;
use tombolo_ledger::Call;
use tombolo_types::{Class, lane::DATA_LANE};

#[derive(Clone, Debug)]
enum Step {
    Append(u64),
    /// One block with these deliveries: first and count, as shares of what there is.
    Block(Vec<(u8, u8, bool, bool)>),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let delivery = (0u8..=10, 0u8..=10, any::<bool>(), any::<bool>());
    let step = prop_oneof![
        (1u64..6).prop_map(Step::Append),
        prop::collection::vec(delivery, 1..4).prop_map(Step::Block),
    ];
    prop::collection::vec(step, 1..10)
}

fn calls_of(
    hub: &Chain<true>,
    old: &Chain<true>,
    world: &World,
    picks: &[(u8, u8, bool, bool)],
) -> Vec<(bool, Call<ToyCall>, u64, u64)> {
    picks
        .iter()
        .map(|(first, count, by_other, old_head)| {
            let source = if *old_head { old } else { hub };
            let size = source.lane(world.link).sent.size();
            let first = size * u64::from(*first) / 10;
            let count = (size - first) * u64::from(*count) / 10;
            (*by_other, call_of(delivery(source, world.link, first, count)), first, count)
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Two relayers bring pieces that overlap, repeat, leave gaps, and are proved under old heads.
    #[test]
    fn a18_every_message_is_taken_once(steps in steps()) {
        let mut world = World::new();
        let mut old = world.hub.clone();
        let mut received = 0u64;
        for step in steps {
            match step {
                Step::Append(count) => {
                    old = world.hub.clone();
                    world.hub.append(world.link, TAKE, count);
                }
                Step::Block(picks) => {
                    let picked = calls_of(&world.hub, &old, &world, &picks);
                    let mut candidates = Vec::new();
                    for by_other in [false, true] {
                        let who = if by_other { other_relayer() } else { relayer() };
                        let calls: Vec<_> = picked
                            .iter()
                            .filter(|(by, ..)| *by == by_other)
                            .map(|(_, call, ..)| call.clone())
                            .collect();
                        candidates.extend(world.chain.series(&who, &calls));
                    }
                    // A left-out delivery makes its successors inadmissible: nonces are exact.
                    let included = world.chain.offer(candidates.clone()).block.transactions;
                    let mut ordered = picked.clone();
                    ordered.sort_by_key(|(by, ..)| *by);
                    for ((_, _, first, count), candidate) in ordered.iter().zip(&candidates) {
                        if included.contains(candidate) && *count > 0 && *first <= received {
                            received = received.max(first + count);
                        }
                    }
                }
            }
            let lane = world.chain.lane(world.link);
            prop_assert_eq!(lane.received.size(), received);
            for number in 0..world.hub.lane(world.link).sent.size() {
                let taken = TAKEN.get(&world.chain.state, &(world.link, DATA_LANE, number));
                prop_assert_eq!(taken, (number < received).then_some(1), "message {}", number);
            }
        }
        // Whatever went before, the rest can be brought.
        let size = world.hub.lane(world.link).sent.size();
        if size > received {
            world.bring_to_chain().unwrap();
        }
        prop_assert_eq!(world.chain.lane(world.link).received.root(), world.hub.lane(world.link).sent.root());
    }
}

/// A machine that appends to the very lane from which it takes keeps all counters right.
#[test]
fn a16_a_machine_that_reenters_keeps_the_counters() {
    let mut world = World::new();
    world.send(REENTER, 5);
    let lane = world.chain.lane(world.link);
    assert_eq!((lane.received.size(), lane.sent.size()), (5, 5));
    world.bring_to_hub().unwrap();
    let lane = world.hub.lane(world.link);
    assert_eq!((lane.received.size(), lane.taken, lane.freed), (5, 5, 5));
    for number in 0..5 {
        let key = (world.link, DATA_LANE, number);
        assert_eq!(TAKEN.get(&world.chain.state, &key), Some(1));
        assert_eq!(TAKEN.get(&world.hub.state, &key), Some(1));
        assert_eq!(HEARD.get(&world.hub.state, &key), Some(1));
    }
}

/// Brought twice in one block by two relayers: the proposer drops the second.
#[test]
fn a18_the_proposer_leaves_a_repeated_delivery_out() {
    let mut world = World::new();
    world.hub.append(world.link, TAKE, 3);
    let call = call_of(delivery(&world.hub, world.link, 0, 3));
    let candidates = vec![
        world.chain.transaction(&relayer(), &call),
        world.chain.transaction(&other_relayer(), &call),
    ];
    let built = world.chain.offer(candidates);
    assert_eq!(built.outcomes.len(), 1);
    assert_eq!(built.outcomes[0].refusal, None);
    // The one left out has used neither nonce nor rate, and the door refuses it from now on.
    assert_eq!(world.chain.draft(&other_relayer()).nonce, 0);
    assert_eq!(world.chain.at_the_door(&other_relayer(), &call), Err(Class::Replay));
}

/// A front-runner who brings one message of a batch cannot make the batch fail.
#[test]
fn a22_a_front_runner_cannot_revert_a_batch() {
    let mut world = World::new();
    world.hub.append(world.link, TAKE, 6);
    let one = call_of(delivery(&world.hub, world.link, 0, 1));
    let all = call_of(delivery(&world.hub, world.link, 0, 6));
    let outcomes = world.chain.block(vec![
        world.chain.transaction(&other_relayer(), &one),
        world.chain.transaction(&relayer(), &all),
    ]);
    assert!(outcomes.iter().all(|outcome| outcome.refusal.is_none()));
    assert_eq!(world.chain.lane(world.link).received.size(), 6);
}
