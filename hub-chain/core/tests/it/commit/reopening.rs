//! Commits over a lane that was reopened, and releases against them.

use super::{begin_move, decisions, item_of, prepared, run, view, vote, vote_both, world, xid};
use crate::{harness::bodies, world::World};
use tombolo_crypto::keccak256::keccak256;
use tombolo_hub::{
    govern::Act,
    query::{self, Release},
};
use tombolo_swap::two_phase::Begin;
use tombolo_types::{
    Class, Hash, MessageNumber, UnixMillis,
    council::{self, ActKind},
    id::Xid,
    lane::{CONTROL_LANE, DATA_LANE},
    message::{Body, CouncilAct, Refused},
};

/// Committed; A has applied it, B has heard nothing.
fn committed() -> (World, Begin) {
    let (mut world, token) = world();
    let begin = begin_move(&world, &token);
    assert_eq!(run(&mut world, 1, &begin), None);
    world.hub_to_b(DATA_LANE);
    vote_both(&mut world, &begin, None, None);
    world.hub_to_a(DATA_LANE);
    world.a_to_hub(DATA_LANE);
    (world, begin)
}

/// A decision is never lost with an epoch: it goes again before anything else, and ends the commit.
///
/// Req: PRJ-5-2
#[test]
fn a_decision_that_the_participant_does_not_hold_goes_again() {
    let (mut world, begin) = committed();
    let (_, b) = world.links();
    world.freeze_b();
    world.reopen_b(DATA_LANE, 2);
    assert_eq!(view(&world, &begin).status, "committed");
    assert_eq!(decisions(&world, b), vec!["commit"]);
    assert_eq!(bodies(&world.hub, b, DATA_LANE, 0).len(), 1, "no Prepare goes again");
    // A refusal under the number that the Commit has now, of a message of the former epoch.
    let stale = Refused { of: MessageNumber(0), class: Class::State as u8, message: "no".into() };
    world.b.answer(&Body::Refused(stale), Hash([3; 32]));
    world.b_to_hub(DATA_LANE);
    world.hub_to_b(DATA_LANE);
    world.b_to_hub(DATA_LANE);
    assert_eq!(view(&world, &begin).status, "finished");
}

/// Done that the hub does not hold comes again under the number of the former epoch, and is known by
/// its xid.
#[test]
fn an_answer_to_the_former_epoch_is_known_by_its_xid() {
    let (mut world, begin) = committed();
    world.hub_to_b(DATA_LANE);
    world.freeze_b();
    world.reopen_b(DATA_LANE, 2);
    let (_, b) = world.links();
    assert_eq!(bodies(&world.hub, b, DATA_LANE, 0), vec![], "all was held");
    world.b_to_hub(DATA_LANE);
    assert_eq!(view(&world, &begin).status, "finished");
}

/// What was undecided when the link froze is aborted, whatever votes come again.
///
/// Attack: A42
#[test]
fn a42_a_vote_that_comes_again_after_the_freeze_counts_for_nothing() {
    let (mut world, token) = world();
    let begin = begin_move(&world, &token);
    assert_eq!(run(&mut world, 1, &begin), None);
    world.hub_to_b(DATA_LANE);
    let (a, b) = world.links();
    let (of_a, of_b) = (vote(&world, a, &begin, None), vote(&world, b, &begin, None));
    world.a.send(DATA_LANE, &of_a);
    world.a_to_hub(DATA_LANE);
    world.b.send(DATA_LANE, &of_b);
    world.freeze_b();
    world.reopen_b(DATA_LANE, 2);
    world.b_to_hub(DATA_LANE);
    assert_eq!(view(&world, &begin).status, "aborted");
    assert_eq!(decisions(&world, b), vec!["abort"]);
    assert_eq!(world.hub.records_of("vote").pop().unwrap().global_id.0, xid(&begin).0);
    world.hub_to_b(DATA_LANE);
    world.b_to_hub(DATA_LANE);
    world.hub_to_a(DATA_LANE);
    world.a_to_hub(DATA_LANE);
    assert_eq!(view(&world, &begin).status, "finished");
}

/// A Prepare that never arrived is not sent again: the deadline that it was meant for may be over.
#[test]
fn a_prepare_that_the_participant_does_not_hold_is_over() {
    let (mut world, token) = world();
    let begin = begin_move(&world, &token);
    assert_eq!(run(&mut world, 1, &begin), None);
    let (_, b) = world.links();
    assert_eq!(prepared(&world, b), MessageNumber(0));
    world.freeze_b();
    world.reopen_b(DATA_LANE, 2);
    assert_eq!(view(&world, &begin).status, "aborted");
    assert_eq!(decisions(&world, b), vec!["abort"]);
    assert_eq!(query::item(&world.hub.store, item_of(&token)), None, "nothing moved");
    world.hub_to_b(DATA_LANE);
    world.b_to_hub(DATA_LANE);
    assert_eq!(view(&world, &begin).awaited, vec![world.a.link()]);
}

/// A release is on record here for ever, beside the commit that it stands against, and changes
/// nothing of it.
#[test]
fn s4_an_announced_release_is_shown_with_the_commit_for_ever() {
    let (mut world, begin) = committed();
    let (a, b) = world.links();
    let xid = xid(&begin);
    let release = |xid| CouncilAct {
        act: ActKind::ReleaseLock.number(),
        trust_epoch: 1,
        holds_from: 9,
        subject: keccak256(&council::Release { link: b, xid }.encode()),
        signers: vec![],
    };
    assert_eq!(view(&world, &begin).releases, []);
    // The announcement is shown; of another commit it is not.
    for act in [release(xid), release(Xid([5; 32]))] {
        world.b.send(CONTROL_LANE, &Body::CouncilAct(act));
    }
    world.b_to_hub(CONTROL_LANE);
    let expected = |is_approved| Release { link: b, act: release(xid), is_approved };
    assert_eq!(view(&world, &begin).releases, [expected(false)]);
    assert_eq!(view(&world, &begin).status, "committed");
    world.b.send(CONTROL_LANE, &Body::CouncilAct(release(xid)));
    world.b_to_hub(CONTROL_LANE);
    let again = world.hub.records_of("council-act").pop().unwrap();
    assert_eq!(again.outcome, Class::Replay as u8);
    world.hub_to_b(DATA_LANE);
    world.b_to_hub(DATA_LANE);
    world.hub.enact(Act::ApproveTrust { link: b, trust_epoch: 1 }).unwrap();
    assert_eq!(view(&world, &begin).releases, [expected(true)]);
    let deadline = begin.terms.deadline;
    assert!(deadline > UnixMillis(world.hub.now));
    world.hub.block_after(60_000, vec![]);
    assert_eq!(query::commit(&world.hub.store, xid), None, "forgotten");
    assert_eq!(query::releases_of(&world.hub.store, xid), [expected(true)]);
    let first = (a.min(b), Hash::ZERO);
    assert_eq!(query::releases(&world.hub.store, first, 9).len(), 2);
}
