//! Two-phase commits under crashes, partitions, late votes and revocation. Each history is
//! written out; the checker looks at every block of it.

use crate::{
    deeds::{pay, reading, submit},
    node::CrashAt,
    random::Random,
    relay,
    stage::{Crash, PRICE, Stage, class},
    world::{MARGIN_MS, Place, RELAYERS, World, device_of, hub_call, identity, islet_call},
};
use tombolo_hub::{HubCall, govern::Act, query};
use tombolo_islet_core::{IsletCall, ShareOrder, Standing};
use tombolo_ledger::lanes::{self, LinkStatus};
use tombolo_relayer_core::{Ages, End};
use tombolo_swap::two_phase::{Cause, Counted, Phase, Verdict};
use tombolo_types::{
    Class, UnixMillis,
    id::DataId,
    lane::DATA_LANE,
    message::{DataClass, Status},
};

/// A minute: longer than any history here takes, unless it says so.
const LONG_MS: u64 = 60_000;

/// The coordinator dies in the block that takes the last vote, at every step of it. What was
/// decided is a function of the blocks: all learn one decision within two rounds of the relayer.
///
/// Req: Y4560-7.2.4-1, PRJ-5-2
#[test]
fn a39_coordinator_crash_between_prepare_and_decide() {
    for at in CrashAt::ALL {
        let mut stage = Stage::new();
        let item = stage.enter_deed();
        let xid = stage.begin_sale(item, LONG_MS);
        stage.relay(Place::A, End::Chain);
        stage.relay(Place::B, End::Chain);
        stage.relay(Place::A, End::Hub);
        assert_eq!(stage.phase(xid), Phase::Preparing);
        assert_eq!((stage.locks(Place::A), stage.locks(Place::B)), (1, 1));
        stage.crash = Some(Crash { after: stage.blocks, at });
        stage.relay(Place::B, End::Hub);
        let rounds = stage.settle();
        assert!(rounds <= 3, "{at:?}: {rounds} rounds");
        stage.assert_sold(item, xid);
        stage.finish();
    }
}

/// The coordinator is down from before the votes until after the deadline: it aborts in its first
/// block, and no participant has released anything before.
///
/// Req: PRJ-5-1, PRJ-5-3
#[test]
fn a39_a_coordinator_that_comes_back_after_the_deadline_aborts() {
    let mut stage = Stage::new();
    let item = stage.enter_deed();
    let xid = stage.begin_sale(item, LONG_MS);
    stage.relay(Place::A, End::Chain);
    stage.relay(Place::B, End::Chain);
    stage.world.at_mut(Place::Hub).kill();
    for _ in 0..20 {
        stage.now = stage.now.saturating_add(LONG_MS / 10);
        stage.block(Place::A);
        stage.block(Place::B);
        assert_eq!((stage.locks(Place::A), stage.locks(Place::B)), (1, 1));
    }
    stage.world.at_mut(Place::Hub).restart();
    stage.block(Place::Hub);
    assert_eq!(stage.verdict(xid), Some(Verdict::Aborted(Cause::Deadline)));
    stage.settle();
    stage.assert_not_sold(item, xid, Cause::Deadline);
    stage.finish();
}

/// A participant dies at every step of the block in which it says yes, and of the one in which it
/// takes the decision, for both decisions. The lock is there after every restart until the
/// decision is proved.
///
/// Req: PRJ-5-1, PRJ-5-2
#[test]
fn a40_participant_crash_after_yes() {
    for at in CrashAt::ALL {
        for in_decision in [false, true] {
            for commits in [true, false] {
                participant_dies(at, in_decision, commits);
            }
        }
    }
}

fn participant_dies(at: CrashAt, in_decision: bool, commits: bool) {
    let mut stage = Stage::new();
    let item = stage.enter_deed();
    let xid = stage.begin_sale(item, LONG_MS);
    if !in_decision {
        stage.crash = Some(Crash { after: stage.blocks, at });
    }
    // A relayer tries again where a process died with what it was told.
    stage.relay(Place::A, End::Chain);
    stage.relay(Place::A, End::Chain);
    assert_eq!(stage.standing(Place::A, item), Some(Standing::Locked(xid)));
    stage.relay(Place::B, End::Chain);
    if !commits {
        stage.ask(Place::Hub, 1, hub_call(HubCall::Withdraw { xid })).unwrap();
    }
    stage.relay(Place::A, End::Hub);
    stage.relay(Place::B, End::Hub);
    assert_eq!(stage.standing(Place::A, item), Some(Standing::Locked(xid)));
    if in_decision {
        stage.crash = Some(Crash { after: stage.blocks, at });
    }
    stage.relay(Place::A, End::Chain);
    stage.settle();
    if commits {
        stage.assert_sold(item, xid);
    } else {
        stage.assert_not_sold(item, xid, Cause::Withdrawn);
    }
    stage.finish();
}

/// One history from Begin to the end, and the same with a crash at every step of every block of
/// every ledger: the end is the same.
///
/// Req: PRJ-4-3, PRJ-5-2
#[test]
fn a41_crash_at_any_step_gives_the_same_end() {
    let mut ready = Stage::new();
    let item = ready.enter_deed();
    let xid = ready.begin_sale(item, LONG_MS);
    let from = ready.blocks;
    let mut smooth = ready.clone();
    smooth.settle();
    smooth.assert_sold(item, xid);
    for after in from..smooth.blocks {
        for at in CrashAt::ALL {
            let mut stage = ready.clone();
            stage.crash = Some(Crash { after, at });
            stage.settle();
            stage.assert_sold(item, xid);
            assert_eq!(stage.phase(xid), smooth.phase(xid), "{at:?} in block {after}");
        }
    }
}

/// Votes that are lost and brought again, twice and by two relayers, count once; one that comes in
/// a block at the deadline counts no more, one before it does.
///
/// Req: PRJ-5-1, PRJ-5-3
#[test]
fn a42_late_lost_duplicate_votes() {
    for late_ms in [0, 1, 5_000] {
        let (stage, item, xid) = vote_at_the_deadline(late_ms, false);
        stage.assert_not_sold(item, xid, Cause::Deadline);
        let commit = query::commit(stage.world.at(Place::Hub).disk(), xid);
        let late = |commit: query::CommitView| {
            commit.seats.iter().all(|seat| seat.ballot.unwrap().counted == Counted::TooLate)
        };
        assert!(commit.is_none_or(late));
    }
    let (stage, item, xid) = vote_at_the_deadline(1, true);
    stage.assert_sold(item, xid);
}

/// Both yes arrive by `ms` before or after the deadline, each three times.
fn vote_at_the_deadline(ms: u64, before: bool) -> (Stage, DataId, tombolo_types::id::Xid) {
    let mut stage = Stage::new();
    let item = stage.enter_deed();
    let xid = stage.begin_sale(item, LONG_MS);
    let deadline = query::commit(stage.world.at(Place::Hub).disk(), xid).unwrap().deadline;
    stage.relay(Place::A, End::Chain);
    stage.relay(Place::B, End::Chain);
    // Fetched by one relayer, which is lost with it; then fetched again by the others.
    drop(stage.carry(Place::A, End::Hub));
    for relayer in RELAYERS {
        for islet in Place::ISLETS {
            for call in stage.carry(islet, End::Hub) {
                stage.world.submit(Place::Hub, relayer, call).unwrap();
            }
        }
    }
    let at = if before { deadline.0 - ms } else { deadline.0 + ms };
    let made = stage.block_at(Place::Hub, UnixMillis(at)).unwrap();
    assert!(made.outcomes.iter().all(|outcome| outcome.refusal.is_none()));
    assert_eq!(made.outcomes.len(), 2, "the proposer leaves duplicates out");
    stage.settle();
    stage.finish();
    (stage, item, xid)
}

/// Ten minutes without the hub: nothing that was prepared is released, and nothing that is locked
/// can be used. Two rounds after the partition all is over.
///
/// Req: PRJ-5-1, Y4560-7.2.4-1
#[test]
fn a43_partition_while_prepared_releases_nothing() {
    for is_decided in [false, true] {
        let mut stage = Stage::new();
        let item = stage.enter_deed();
        let xid = stage.begin_sale(item, LONG_MS);
        stage.relay(Place::A, End::Chain);
        stage.relay(Place::B, End::Chain);
        if is_decided {
            stage.relay(Place::A, End::Hub);
            stage.relay(Place::B, End::Hub);
            assert_eq!(stage.verdict(xid), Some(Verdict::Committed));
        }
        for _ in 0..60 {
            stage.now = stage.now.saturating_add(10_000);
            for place in Place::ALL {
                stage.block(place);
            }
            assert_eq!(stage.standing(Place::A, item), Some(Standing::Locked(xid)));
            assert_eq!(stage.balance(Place::B, 2), 1_000 - PRICE);
        }
        let envelope = reading(stage.world.chain(Place::A), 1, "deed", 2, DataClass::Closed);
        let write = submit(&envelope, 1, None);
        assert_eq!(class(stage.ask(Place::A, device_of(1), write)), Some(Class::State));
        let rounds = stage.settle();
        assert!(rounds <= 3, "{rounds} rounds after the partition");
        if is_decided {
            stage.assert_sold(item, xid);
        } else {
            stage.assert_not_sold(item, xid, Cause::Deadline);
        }
        stage.finish();
    }
}

/// Commits that take from the same accounts in opposite orders, under every order of delivery:
/// each is decided before its deadline, and who failed succeeds when it tries again.
///
/// Req: PRJ-5-1
#[test]
fn a44_crossing_locks_end_before_their_deadline() {
    for seed in 0..20 {
        let mut random = Random::new(seed);
        let mut stage = Stage::new();
        // Each pair wants all that the two payers have, so at most one can hold both.
        let one = [(Place::A, vec![pay(1, 3, 900)]), (Place::B, vec![pay(2, 3, 900)])];
        let other = [(Place::B, vec![pay(2, 3, 800)]), (Place::A, vec![pay(1, 3, 800)])];
        let begun = [stage.begin(1, 20_000, &one), stage.begin(2, 20_000, &other)];
        // A payment on the ledger itself crosses both.
        let crossing = islet_call(IsletCall::Pay {
            to: crate::world::account(3),
            asset: crate::world::ASSET,
            amount: tombolo_types::Amount(150),
        });
        let place = *random.pick(&Place::ISLETS);
        let payer = if place == Place::A { 1 } else { 2 };
        let _ = stage.ask(place, payer, crossing);
        for _ in 0..40 {
            let (islet, end) =
                (*random.pick(&Place::ISLETS), *random.pick(&[End::Hub, End::Chain]));
            stage.relay(islet, end);
        }
        for xid in begun {
            assert!(stage.verdict(xid).is_some(), "seed {seed}: {xid} is undecided");
            assert_ne!(stage.verdict(xid), Some(Verdict::Aborted(Cause::Deadline)), "seed {seed}");
        }
        stage.settle();
        let again = [(Place::B, vec![pay(2, 1, 50)]), (Place::A, vec![pay(1, 2, 50)])];
        let xid = stage.begin(2, 20_000, &again);
        stage.settle();
        assert_eq!(stage.verdict(xid), Some(Verdict::Committed), "seed {seed}");
        stage.finish();
    }
}

/// An item moves there and back while ledgers die in the middle, whichever end applies first: at
/// no cut there are two live copies, and never none that anybody holds.
///
/// Req: Y4560-6.3-2, PRJ-5-2
#[test]
fn a45_one_live_copy_under_crash() {
    for first in Place::ISLETS {
        for at in CrashAt::ALL {
            let mut stage = Stage::new();
            let item = stage.enter_deed();
            let xid = stage.begin_sale(item, LONG_MS);
            stage.relay(Place::A, End::Chain);
            stage.relay(Place::B, End::Chain);
            stage.relay(Place::A, End::Hub);
            stage.relay(Place::B, End::Hub);
            assert_eq!(stage.verdict(xid), Some(Verdict::Committed));
            stage.crash = Some(Crash { after: stage.blocks, at });
            stage.relay(first, End::Chain);
            stage.relay(first, End::Chain);
            let live = |place| u8::from(stage.standing(place, item) == Some(Standing::Live));
            assert_eq!(live(Place::A), 0);
            assert_eq!(live(Place::B), u8::from(first == Place::B));
            stage.settle();
            stage.assert_sold(item, xid);
            // The item cannot be sold a second time from where it was.
            let share = ShareOrder {
                destination: stage.world.chain(Place::B),
                not_after: UnixMillis::ZERO,
            };
            let call = islet_call(IsletCall::Share { data_id: item, order: share });
            assert_eq!(class(stage.ask(Place::A, 1, call)), Some(Class::ClosedCopy));
            stage.finish();
        }
    }
}

/// All validators of a participant put back a disk of before it gave an item away. Nothing that
/// the hub says is taken there any more, for the hub follows blocks that this ledger does not
/// know; and the first message that it sends contradicts what the hub took: its link freezes, and
/// the item that lives again there goes nowhere.
///
/// Req: Y4560-6.3-2
#[test]
fn a45_a_rolled_back_participant_is_fenced() {
    let mut stage = Stage::new();
    let item = stage.enter_deed();
    stage.settle();
    let before = tombolo_store::Memory::from(stage.world.at(Place::A).disk().snapshot());
    let xid = stage.begin_sale(item, LONG_MS);
    stage.settle();
    stage.assert_sold(item, xid);
    let hub = |world: &World| lanes::link(world.at(Place::Hub).disk(), world.link(Place::A));
    let link = stage.world.link(Place::A);
    let taken = |world: &World, place| {
        lanes::lane(world.at(place).disk(), link, DATA_LANE).unwrap().received.size()
    };
    // What the checker holds against a ledger is just what follows, so it looks away.
    let mut world = stage.world;
    world.at_mut(Place::A).roll_back(before);
    let had = (taken(&world, Place::A), taken(&world, Place::Hub));
    for number in 0..4 {
        let id = format!("after {number}");
        let envelope = reading(world.chain(Place::A), 1, &id, 1, DataClass::Open);
        let order = ShareOrder { destination: world.chain(Place::B), not_after: UnixMillis::ZERO };
        // The gateway believes its old view of identities to be fresh, so it sends.
        world.run(Place::A, device_of(1), submit(&envelope, 1, Some(order))).unwrap();
    }
    let look = relay::look(&world, Place::A).unwrap();
    for step in look.plan(&mut Ages::new()) {
        let Some((to, call)) = look.fetch(&world, &step) else { continue };
        let result = world.run(to, RELAYERS[0], call);
        if to == Place::A {
            assert_eq!(class(result), Some(Class::Proof));
        }
    }
    assert_eq!(hub(&world).unwrap().status, LinkStatus::Frozen);
    assert_eq!((taken(&world, Place::A), taken(&world, Place::Hub)), had);
    let known = query::item(world.at(Place::Hub).disk(), item).unwrap();
    assert_eq!(known.item.location, world.chain(Place::B));
}

/// The key of a party is revoked while its commit is prepared on both ledgers: it is aborted, and
/// what was decided before is not undone. In the next block nothing of that key passes anywhere on
/// the hub, and on an islet from the block on that takes the news.
///
/// Req: PRJ-4-2, PRJ-5-3
#[test]
fn a48_revocation_in_flight() {
    let mut stage = Stage::new();
    let done = stage.begin(3, LONG_MS, &[(Place::A, vec![pay(3, 1, 10)])]);
    stage.settle();
    assert_eq!(stage.verdict(done), Some(Verdict::Committed));
    let branches = [(Place::A, vec![pay(3, 1, 10)]), (Place::B, vec![pay(1, 3, 10)])];
    let undecided = stage.begin(3, LONG_MS, &branches);
    stage.relay(Place::A, End::Chain);
    stage.relay(Place::B, End::Chain);
    let envelope = reading(stage.world.chain(Place::A), 3, "late", 1, DataClass::Open);
    let order =
        ShareOrder { destination: stage.world.chain(Place::B), not_after: UnixMillis::ZERO };
    let share = submit(&envelope, 3, Some(order));
    stage.ask(Place::A, device_of(3), share).unwrap();

    let revoke = Act::SetStatus { identity: identity(3), status: Status::Revoked };
    stage.enact(revoke).unwrap();
    // The votes come in the very block from which the revocation holds: too late.
    stage.relay(Place::A, End::Hub);
    stage.relay(Place::B, End::Hub);
    assert_eq!(stage.verdict(undecided), Some(Verdict::Aborted(Cause::Revoked)));
    let withdraw = hub_call(HubCall::Withdraw { xid: undecided });
    assert_eq!(class(stage.ask(Place::Hub, 3, withdraw)), Some(Class::Ident));
    stage.settle();
    assert_eq!(stage.verdict(done), Some(Verdict::Committed));
    assert_eq!((stage.balance(Place::A, 3), stage.balance(Place::B, 3)), (990, 1_000));
    // What the hub judged after the revocation did not pass, and the islet has heard of it.
    let copies = tombolo_islet_core::copies(stage.world.at(Place::B).disk(), DataId::ZERO, 10);
    assert_eq!(copies, Vec::new());
    let pay = islet_call(IsletCall::Pay {
        to: crate::world::account(1),
        asset: crate::world::ASSET,
        amount: tombolo_types::Amount(1),
    });
    assert_eq!(class(stage.ask(Place::A, 3, pay)), Some(Class::Ident));
    stage.finish();
}

/// A commit that takes from an account whose identity has lost its standing cannot begin, whoever
/// begins it: one that had begun a block earlier would have been aborted, and the islet may not
/// have heard yet.
///
/// Req: PRJ-5-3
#[test]
fn a48_a_commit_that_takes_from_the_revoked_does_not_begin() {
    let mut stage = Stage::new();
    let revoke = Act::SetStatus { identity: identity(3), status: Status::Revoked };
    stage.enact(revoke).unwrap();
    stage.block(Place::Hub);
    let branches = [(Place::A, vec![pay(3, 1, 10)])];
    let deadline = stage.now.saturating_add(LONG_MS);
    let (_, call) = crate::deeds::begin(&stage.world, 1, [7; 32], deadline, &branches);
    assert_eq!(class(stage.ask(Place::Hub, 1, call)), Some(Class::Ident));
    stage.settle();
    assert_eq!(stage.balance(Place::A, 3), 1_000);
    stage.finish();
}

/// A Begin whose deadline leaves less than the margin never locks anything.
///
/// Req: PRJ-5-3
#[test]
fn l1_a_deadline_within_the_margin_is_refused() {
    let mut stage = Stage::new();
    let branches = [(Place::A, vec![pay(1, 2, 10)])];
    for (within_ms, expected) in [(MARGIN_MS, Some(Class::State)), (MARGIN_MS + 1_000, None)] {
        let deadline = stage.now.saturating_add(within_ms);
        let salt = [7; 32];
        let (_, call) = crate::deeds::begin(&stage.world, 1, salt, deadline, &branches);
        assert_eq!(class(stage.ask(Place::Hub, 1, call)), expected);
    }
    stage.settle();
    stage.finish();
}
