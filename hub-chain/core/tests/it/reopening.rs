//! The hub's end of a lane that goes on in its next epoch: who decides it, and what becomes of shares
//! and announcements. docs/protocol.md section 14, decision record 0014.

use crate::{
    harness::{PeerCall, bodies, identity},
    world::{World, class},
};
use tombolo_hub::{data::CopyStatus, govern::Act, query};
use tombolo_ledger::lanes;
use tombolo_types::{
    Class, Epoch, Hash, LaneNumber,
    id::LinkId,
    lane::{CONTROL_LANE, DATA_LANE},
    message::{Body, CouncilAct, Share, Status},
};

fn act(world: &World, epoch: u32, received: u64) -> Act {
    let link = world.b.link();
    Act::ReopenLane { link, lane: DATA_LANE, epoch: Epoch(epoch), received }
}

fn status(world: &World, share: &Share) -> CopyStatus {
    query::item(&world.hub.store, share.data_id).unwrap().copies[0].1.status
}

/// Shares of A on their way to B.
fn forwarded(world: &mut World, names: &[&str]) -> Vec<Share> {
    let shares: Vec<Share> = names.iter().map(|name| world.share(world.reading(name))).collect();
    shares.iter().for_each(|share| world.send_share(share.clone()).unwrap());
    shares
}

/// Only a quorum, only while the link is frozen, and only into the next epoch. Attack: A12.
#[test]
fn a29_a_quorum_reopens_a_lane_of_a_frozen_link_only() {
    let mut world = World::new();
    forwarded(&mut world, &["one", "two"]);
    world.hub_to_b(DATA_LANE);
    let healthy = act(&world, 2, 2);
    assert_eq!(class(world.hub.enact(healthy)), Some(Class::State), "the link is open");
    world.freeze_b();
    assert_eq!(class(world.hub.propose(5, act(&world, 2, 2))), Some(Class::Denied));
    for (what, epoch, received) in
        [("the present epoch", 1, 2), ("an epoch too far", 3, 2), ("more than was sent", 2, 3)]
    {
        let refused = world.hub.enact(act(&world, epoch, received));
        assert_eq!(class(refused), Some(Class::State), "{what}");
    }
    let (lane, epoch, received) = (LaneNumber(2), Epoch(2), 0);
    let nowhere = Act::ReopenLane { link: world.b.link(), lane, epoch, received };
    assert_eq!(class(world.hub.enact(nowhere)), Some(Class::NotFound));
    let nowhere = Act::ReopenLane { link: LinkId([7; 32]), lane: DATA_LANE, epoch, received };
    assert_eq!(class(world.hub.enact(nowhere)), Some(Class::NotFound));
    assert_eq!(query::link(&world.hub.store, world.b.link()).unwrap().lanes[1].1.former, None);

    world.hub.enact(act(&world, 2, 1)).unwrap();
    let record = world.hub.records_of("link reopen-lane").pop().unwrap();
    assert_eq!((record.outcome, record.link, record.lane), (0, world.b.link(), DATA_LANE));
    assert_eq!(
        record.remark,
        "epoch 2 of lane 1; 1 of 2 messages are the gateway's, 0 of its own were taken"
    );
    let found = query::link(&world.hub.store, world.b.link()).unwrap();
    assert_eq!((found.status, found.lanes[1].1.epoch), ("frozen", Epoch(2)));
    assert_eq!(found.lanes[0].1.epoch, Epoch(1), "the other lane is as it was");
}

/// What the chain took stays taken: it is completed, or refused, by answers that come again. What it
/// did not take is over for its sender, who may share again.
#[test]
fn shares_of_an_epoch_that_ended_are_completed_refused_or_over() {
    let mut world = World::new();
    let shares = forwarded(&mut world, &["done", "refused", "lost"]);
    // Two are taken, one of them is refused, and the hub hears of neither.
    let delivery = |world: &World, count| {
        let mut all = world.hub.delivery(world.b.link(), DATA_LANE, 0);
        let link = world.b.link();
        let nodes =
            lanes::LaneNodes { view: &world.hub.store, link, lane: DATA_LANE, epoch: Epoch(1) };
        all.messages.truncate(count);
        all.range = tombolo_crypto::log::range_proof(&nodes, 0, count as u64, 3).unwrap();
        all
    };
    for (count, class) in [(1, 0), (2, Class::Unsupported as u8)] {
        world.b.run(5, PeerCall::Refuse(class)).unwrap();
        world.b.now = world.b.now.max(world.hub.now);
        let call = tombolo_ledger::Call::Deliver(Box::new(delivery(&world, count)));
        let transaction = world.b.sign(5, call);
        world.b.one(transaction).unwrap();
    }
    assert_eq!(world.taken(DATA_LANE), (0, 2));
    world.freeze_b();
    world.reopen_b(DATA_LANE, 2);
    let lost = world.hub.records_of("share").pop().unwrap();
    assert_eq!((lost.outcome, lost.data_id), (Class::State as u8, shares[2].data_id));
    assert_eq!(status(&world, &shares[2]), CopyStatus::Refused);
    for share in &shares[..2] {
        assert_eq!(status(&world, share), CopyStatus::Accepted);
    }
    // B's answer comes again, under a number that is no share's of this epoch.
    world.b.run(5, PeerCall::Refuse(0)).unwrap();
    forwarded(&mut world, &["another", "third", "fourth"]);
    world.b_to_hub(DATA_LANE);
    assert_eq!(status(&world, &shares[1]), CopyStatus::Refused);
    assert_eq!(status(&world, &shares[0]), CopyStatus::Accepted, "more may be said of it");
    // Once something of this epoch is acknowledged all has been said.
    world.hub_to_b(DATA_LANE);
    world.b_to_hub(DATA_LANE);
    world.hub.block(vec![]);
    assert_eq!(status(&world, &shares[0]), CopyStatus::Completed);
    assert_eq!(query::pending(&world.hub.store, world.b.link(), Default::default(), 9), vec![]);
    // The one that was lost may be shared again.
    world.send_share(shares[2].clone()).unwrap();
    assert_eq!(status(&world, &shares[2]), CopyStatus::Accepted);
}

/// A chain is told the newest standing, not that of then, and before anything counts as fresh.
#[test]
fn announcements_that_the_chain_does_not_hold_are_told_anew() {
    let mut world = World::new();
    world.hub_to_b(CONTROL_LANE);
    world.b_to_hub(CONTROL_LANE);
    let device = identity(crate::world::DEVICE);
    for status in [Status::Suspended, Status::Active, Status::Revoked] {
        world.hub.enact(Act::SetStatus { identity: device, status }).unwrap();
        world.hub.block(vec![]);
    }
    let definition = crate::world::schema("late");
    world.hub.enact(Act::SetSchema { definition: definition.clone() }).unwrap();
    world.freeze_b();
    world.reopen_b(CONTROL_LANE, 2);
    let told = bodies(&world.hub, world.b.link(), CONTROL_LANE, 0);
    let [Body::SchemaUpdate(schema), Body::IdentityUpdate(update)] = &told[..] else {
        panic!("{told:?}")
    };
    assert_eq!(schema.definition, definition);
    assert_eq!((update.identity, update.status), (device, Status::Revoked.number()));
    world.hub_to_b(CONTROL_LANE);
}

/// Acts of a council that the hub did not hold are announced once, also where they come twice.
#[test]
fn an_act_of_a_council_is_announced_once() {
    let mut world = World::new();
    let act = |act, trust_epoch| CouncilAct {
        act,
        trust_epoch,
        holds_from: 7,
        subject: Hash([act; 32]),
        signers: vec![],
    };
    let outcome = |world: &mut World, act: &CouncilAct| {
        world.b.send(CONTROL_LANE, &Body::CouncilAct(act.clone()));
        world.b_to_hub(CONTROL_LANE);
        world.hub.records_of("council-act").pop().unwrap()
    };
    let announced = |world: &World| {
        query::link(&world.hub.store, world.b.link()).unwrap().registration.announced
    };
    let first = outcome(&mut world, &act(3, 1));
    assert_eq!((first.outcome, first.evidence), (0, Hash([3; 32])));
    assert_eq!(
        first.remark,
        "act 3 (reopening of a lane) leads to trust epoch 1 from 7 on; a quorum must approve it"
    );
    assert_eq!(outcome(&mut world, &act(3, 1)).outcome, Class::Replay as u8);
    assert_eq!(announced(&world), [act(3, 1)]);
    let link = world.b.link();
    world.hub.enact(Act::ApproveTrust { link, trust_epoch: 1 }).unwrap();
    assert_eq!(announced(&world), []);
    // The gateway's own trust epoch has not risen here; a head under it would be refused.
    let refused = crate::harness::deliver(&mut world.b, &mut world.hub, link, CONTROL_LANE);
    assert_eq!(class(refused), Some(Class::State));
}
