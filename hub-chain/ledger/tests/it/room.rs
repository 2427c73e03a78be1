//! What a lane may hold, and when room is free again.

use crate::{
    toy::{REENTER, REFUSE, TAKE, ToyCall},
    world::{Chain, World, call_of, delivery, relayer},
};
use proptest::prelude::*;
use tombolo_ledger::lanes;
use tombolo_types::{Class, LaneNumber, MessageNumber, UnixMillis, id::LinkId, lane::DATA_LANE};

fn append(world: &World, bytes: u32) -> ToyCall {
    ToyCall::Append {
        link: world.link,
        lane: DATA_LANE,
        what: TAKE,
        bytes,
        not_after: UnixMillis::ZERO,
    }
}

fn bodies<const HUB: bool>(chain: &Chain<HUB>, link: LinkId) -> usize {
    let epoch = chain.lane(link).epoch;
    lanes::bodies(&chain.state, link, DATA_LANE, epoch, MessageNumber(0), usize::MAX).len()
}

#[test]
fn a_full_lane_refuses_requests_until_some_are_taken_back() {
    let mut world = World::with(&[("lane_backlog_max", 100)]);
    world.hub.append(world.link, TAKE, 100);
    assert_eq!(world.hub.call(append(&world, 1)).unwrap_err().class, Class::Limit);
    // A decision has its room reserved.
    let decide = ToyCall::Decide { link: world.link, lane: DATA_LANE };
    world.hub.call(decide).unwrap();
    world.bring_to_chain().unwrap();
    // Taken there is not yet free here: it must be proved back.
    assert_eq!(world.hub.call(append(&world, 1)).unwrap_err().class, Class::Limit);
    assert_eq!(bodies(&world.hub, world.link), 101);
    world.bring_to_hub().unwrap();
    assert_eq!(bodies(&world.hub, world.link), 0);
    assert_eq!(world.hub.lane(world.link).bytes, 0);
    world.hub.append(world.link, TAKE, 100);
    assert_eq!(world.hub.call(append(&world, 1)).unwrap_err().class, Class::Limit);
}

#[test]
fn a_lane_holds_so_many_bytes() {
    let mut world = World::with(&[("lane_backlog_bytes_max", 1_048_576)]);
    for _ in 0..18 {
        world.hub.call(append(&world, 60_000)).unwrap();
    }
    assert_eq!(world.hub.call(append(&world, 1)).unwrap_err().class, Class::Limit);
}

#[test]
fn a_message_has_limits_of_its_own() {
    let mut world = World::new();
    assert_eq!(world.hub.call(append(&world, 66_000)).unwrap_err().class, Class::Limit);
    let nowhere = ToyCall::Append {
        link: world.link,
        lane: LaneNumber(2),
        what: TAKE,
        bytes: 1,
        not_after: UnixMillis::ZERO,
    };
    assert_eq!(world.hub.call(nowhere).unwrap_err().class, Class::NotFound);
    assert_eq!(world.hub.lane(world.link).sent.size(), 0);
}

/// Room is free only once the answers that the other side had given have come, too.
#[test]
fn room_waits_for_the_answers() {
    let mut world = World::new();
    world.send(REFUSE, 4);
    world.chain.append(world.link, TAKE, 1);
    let link = world.link;
    // The four answers and the request of the chain: brought one by one under one head.
    for (brought, taken, freed) in [(1, 4, 0), (2, 4, 0), (3, 4, 0), (4, 4, 0), (5, 4, 4)] {
        let call = call_of(delivery(&world.chain, link, brought - 1, 1));
        world.hub.run(&relayer(), call).unwrap();
        let lane = world.hub.lane(link);
        assert_eq!((lane.taken, lane.freed), (taken, freed), "after {brought}");
        assert_eq!(bodies(&world.hub, link), 0, "bodies go as soon as they are taken");
    }
}

/// The other side's log and what it has taken rise between two heads, and no room is lost.
#[test]
fn room_is_not_lost_between_two_heads() {
    let mut world = World::new();
    let link = world.link;
    world.send(TAKE, 1);
    world.chain.append(link, TAKE, 10);
    let head = delivery(&world.chain, link, 0, 5);
    world.hub.run(&relayer(), call_of(head)).unwrap();
    assert_eq!(world.hub.lane(link).freed, 0);
    world.send(TAKE, 7);
    let newer = delivery(&world.chain, link, 5, 5);
    world.hub.run(&relayer(), call_of(newer)).unwrap();
    let lane = world.hub.lane(link);
    assert_eq!((lane.taken, lane.freed, lane.mark), (8, 8, None));
}

/// An acknowledgement alone is a delivery, and so small that nobody answers it with another.
#[test]
fn an_acknowledgement_alone_frees_bodies() {
    let mut world = World::new();
    world.send(TAKE, 3);
    let empty = call_of(delivery(&world.chain, world.link, 0, 0));
    assert_eq!(world.hub.at_the_door(&relayer(), &empty), Ok(()));
    world.hub.run(&relayer(), empty).unwrap();
    assert_eq!(bodies(&world.hub, world.link), 0);
    assert_eq!(world.hub.lane(world.link).freed, 3);
    let again = call_of(delivery(&world.chain, world.link, 0, 0));
    assert_eq!(world.hub.at_the_door(&relayer(), &again), Err(Class::Replay));
    let back = call_of(delivery(&world.hub, world.link, 3, 0));
    assert_eq!(world.chain.at_the_door(&relayer(), &back), Err(Class::Replay));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Over random traffic both ways: counters never pass each other, bodies are there exactly
    /// until they are taken, and once all is quiet all room is free.
    #[test]
    fn counters_never_pass_each_other(
        steps in prop::collection::vec((0u8..5, 0u64..4, 0u64..8), 1..14)
    ) {
        let mut world = World::new();
        let link = world.link;
        for (step, count, limit) in steps {
            match step {
                0 => world.hub.append(link, [TAKE, REFUSE, REENTER][count as usize % 3], count),
                1 => world.chain.append(link, TAKE, count),
                2 | 3 => {
                    let first = world.hub.lane(link).received.size();
                    let count = limit.min(world.chain.lane(link).sent.size() - first);
                    let call = call_of(delivery(&world.chain, link, first, count));
                    let candidate = world.hub.transaction(&relayer(), &call);
                    world.hub.offer(vec![candidate]);
                }
                _ => {
                    let first = world.chain.lane(link).received.size();
                    let count = limit.min(world.hub.lane(link).sent.size() - first);
                    let call = call_of(delivery(&world.hub, link, first, count));
                    let candidate = world.chain.transaction(&relayer(), &call);
                    world.chain.offer(vec![candidate]);
                }
            }
            let (hub, chain) = (world.hub.lane(link), world.chain.lane(link));
            for (ours, theirs, kept) in [
                (&hub, &chain, bodies(&world.hub, link)),
                (&chain, &hub, bodies(&world.chain, link)),
            ] {
                prop_assert!(ours.freed <= ours.taken);
                prop_assert!(ours.taken <= theirs.received.size());
                prop_assert!(theirs.received.size() <= ours.sent.size());
                prop_assert_eq!(kept as u64, ours.sent.size() - ours.taken);
                prop_assert_eq!(ours.freed < ours.taken, ours.mark.is_some());
            }
        }
        for _ in 0..4 {
            let first = world.chain.lane(link).received.size();
            let count = world.hub.lane(link).sent.size() - first;
            let call = call_of(delivery(&world.hub, link, first, count));
            let candidate = world.chain.transaction(&relayer(), &call);
            world.chain.offer(vec![candidate]);
            let first = world.hub.lane(link).received.size();
            let count = world.chain.lane(link).sent.size() - first;
            let call = call_of(delivery(&world.chain, link, first, count));
            let candidate = world.hub.transaction(&relayer(), &call);
            world.hub.offer(vec![candidate]);
        }
        for lane in [world.hub.lane(link), world.chain.lane(link)] {
            prop_assert_eq!((lane.freed, lane.bytes), (lane.sent.size(), 0));
        }
    }
}
