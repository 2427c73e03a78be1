//! Shares: exactly once under racing relayers, and one of taken and refused at every boundary.

use crate::{
    deeds::{data_id, reading, submit},
    run::{Faults, Run},
    stage::Stage,
    world::{Place, device_of},
};
use tombolo_hub::{data::CopyStatus, query};
use tombolo_islet_core::{ShareOrder, copy};
use tombolo_relayer_core::End;
use tombolo_types::{UnixMillis, id::DataId, message::DataClass};

/// Three relayers race with everything doubled, delayed and handed in again: every message is
/// taken once, leaves one record, and is answered once.
///
/// Req: PRJ-4-2
#[test]
fn a18_exactly_once_under_duplicate_relayers() {
    let faults = Faults {
        relayers: 3,
        doubled: 500,
        replayed: 500,
        delay_ms: 600,
        deed_ms: 300,
        ..Faults::NONE
    };
    for seed in 1_800..1_803 {
        let mut run = Run::new(seed, faults).gently();
        run.pass(20_000);
        run.finish();
        let count = |what: &str| run.checker.seen.get(what).copied().unwrap_or(0);
        assert!(count("Hub took share 0") > 5, "nothing was shared: {:?}", run.checker.seen);
    }
}

/// Two relayers die again and again between looking, fetching and submitting, and remember
/// nothing: what the receivers' counters say is enough to go on from.
///
/// Req: PRJ-4-2
#[test]
fn a41_relayers_that_die_between_any_two_steps_deliver_once() {
    let faults = Faults { relayers: 2, relayer_crash: 300, deed_ms: 300, ..Faults::NONE };
    for seed in 4_100..4_102 {
        let mut run = Run::new(seed, faults).gently();
        run.pass(15_000);
        run.finish();
    }
}

/// Where a share stands that was to be taken until a time.
#[derive(Debug, PartialEq, Eq)]
enum Ended {
    Taken,
    TimedOut,
}

/// Shares an item from A to B with a limit, and lets the hub, then B, take it at given times.
fn share_until(not_after: u64, hub_at: u64, there_at: u64) -> Ended {
    let mut stage = Stage::new();
    let at = |offset: u64| UnixMillis(stage.now.0 + offset);
    let limit = match not_after {
        0 | u64::MAX => UnixMillis(not_after),
        offset => at(offset),
    };
    let (hub_at, there_at) = (at(hub_at), at(there_at));
    let envelope = reading(stage.world.chain(Place::A), 1, "timed", 1, DataClass::Open);
    let order = ShareOrder { destination: stage.world.chain(Place::B), not_after: limit };
    stage.ask(Place::A, device_of(1), submit(&envelope, 1, Some(order))).unwrap();
    for (islet, end, place, time) in
        [(Place::A, End::Hub, Place::Hub, hub_at), (Place::B, End::Chain, Place::B, there_at)]
    {
        for call in stage.carry(islet, end) {
            stage.world.submit(place, crate::world::RELAYERS[0], call).unwrap();
        }
        stage.block_at(place, time).unwrap();
    }
    stage.settle();
    stage.finish();
    end_of(&stage, data_id(&envelope))
}

/// Exactly one of the two, and all three ledgers agree on which.
fn end_of(stage: &Stage, id: DataId) -> Ended {
    let is_there = copy(stage.world.at(Place::B).disk(), id).is_some();
    let known = query::item(stage.world.at(Place::Hub).disk(), id);
    let status = known.and_then(|item| item.copies.first().map(|(_, copy)| copy.status));
    match (is_there, status) {
        (true, Some(CopyStatus::Completed)) => Ended::Taken,
        (false, None | Some(CopyStatus::Refused)) => Ended::TimedOut,
        other => panic!("neither taken nor refused: {other:?}"),
    }
}

/// At the limit, one before and one after it, on either hop, and for limits that are none or
/// never: exactly one of taken and timed out.
///
/// Req: PRJ-4-2
#[test]
fn a20_at_the_limit_a_share_is_either_taken_or_timed_out() {
    const LIMIT: u64 = 5_000;
    for (hub_at, there_at, expected) in [
        (LIMIT - 1, LIMIT, Ended::Taken),
        (LIMIT, LIMIT, Ended::Taken),
        (LIMIT + 1, LIMIT + 2, Ended::TimedOut),
        (LIMIT - 10, LIMIT - 1, Ended::Taken),
        (LIMIT - 10, LIMIT, Ended::Taken),
        (LIMIT - 10, LIMIT + 1, Ended::TimedOut),
    ] {
        assert_eq!(share_until(LIMIT, hub_at, there_at), expected, "{hub_at}, {there_at}");
    }
    for never in [0, u64::MAX] {
        assert_eq!(share_until(never, 1_000, 2_000), Ended::Taken);
    }
}
