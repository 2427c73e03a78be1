//! Forks and expiry of light clients, with commits and shares under way: what was in flight is
//! neither lost nor done twice once the client is recovered.

use crate::{
    deeds::{data_id, reading, submit},
    node::common,
    stage::{Stage, class},
    world::{Place, RELAYERS, council, device_of, islet_call, members},
};
use tombolo_crypto::{digest, keccak256::keccak256};
use tombolo_hub::govern::Act;
use tombolo_islet_core::{CouncilOrder, IsletCall, ShareOrder, Standing, copy};
use tombolo_ledger::{
    Call,
    lanes::{self, LinkStatus},
};
use tombolo_relayer_core::{Ages, End, Step, plan::Blocker};
use tombolo_swap::two_phase::{Cause, Verdict};
use tombolo_types::{
    Class, Epoch, UnixMillis,
    council::{ActKind, Reopening},
    id::DataId,
    lane::DATA_LANE,
    message::DataClass,
};

const LONG_MS: u64 = 60_000;
const DAY_MS: u64 = 24 * 3_600_000;

/// An item on A that is to be shared with B, and that the hub has not heard of.
fn share_in_flight(stage: &mut Stage) -> DataId {
    let envelope = reading(stage.world.chain(Place::A), 1, "in flight", 1, DataClass::Open);
    let order =
        ShareOrder { destination: stage.world.chain(Place::B), not_after: UnixMillis::ZERO };
    stage.ask(Place::A, device_of(1), submit(&envelope, 1, Some(order))).unwrap();
    data_id(&envelope)
}

/// Two members of an islet's council announce an act.
fn announce(stage: &mut Stage, islet: Place, kind: ActKind, trust_epoch: u32, data: Vec<u8>) {
    let act = kind.number();
    let digest = digest::council_act(stage.world.chain(islet), act, trust_epoch, keccak256(&data));
    let signatures = council().iter().take(2).map(|member| member.sign(digest)).collect();
    let order = CouncilOrder { act, trust_epoch, data, signatures };
    stage.ask(islet, RELAYERS[0], islet_call(IsletCall::CouncilAct(order))).unwrap();
}

fn blocked(stage: &Stage, islet: Place) -> Vec<Step> {
    let steps = stage.look(islet).plan(&mut Ages::new());
    steps.into_iter().filter(|step| matches!(step, Step::Blocked { .. })).collect()
}

/// The validators of an islet certify two blocks at one height while a commit is prepared there
/// and a share is under way. The hub freezes that link, aborts, and takes nothing more from it;
/// the other participant is free in the next round. After a quorum has recovered the client the
/// share arrives, once.
///
/// Req: PRJ-4-2, PRJ-5-3
#[test]
fn a28_a_fork_freezes_the_link_and_what_was_in_flight_ends_once() {
    let mut stage = Stage::new();
    let item = stage.enter_deed();
    let xid = stage.begin_sale(item, LONG_MS);
    stage.relay(Place::A, End::Chain);
    stage.relay(Place::B, End::Chain);
    let shared = share_in_flight(&mut stage);
    let link = stage.world.link(Place::A);
    let evidence = stage.world.at(Place::A).fork();
    let report = common(&Call::Misbehaviour { link, evidence });
    stage.ask(Place::Hub, RELAYERS[0], report.clone()).unwrap();
    let status =
        |stage: &Stage| lanes::link(stage.world.at(Place::Hub).disk(), link).unwrap().status;
    assert_eq!(status(&stage), LinkStatus::Frozen);
    assert_eq!(class(stage.ask(Place::Hub, RELAYERS[1], report)), Some(Class::Replay));
    assert_eq!(stage.verdict(xid), Some(Verdict::Aborted(Cause::LinkFrozen { link })));
    let why = Blocker::LinkShut;
    assert_eq!(blocked(&stage, Place::A), vec![Step::Blocked { to: End::Hub, why }]);
    for _ in 0..3 {
        stage.relay(Place::A, End::Chain);
        stage.relay(Place::B, End::Chain);
        stage.relay(Place::A, End::Hub);
        stage.relay(Place::B, End::Hub);
    }
    assert_eq!((stage.locks(Place::A), stage.locks(Place::B)), (0, 0));
    assert_eq!(copy(stage.world.at(Place::B).disk(), shared), None);

    let anchor = stage.world.at(Place::A).anchor().encode();
    stage.enact(Act::RecoverClient { link, anchor }).unwrap();
    stage.settle();
    assert!(copy(stage.world.at(Place::B).disk(), shared).is_some());
    stage.assert_not_sold(item, xid, Cause::LinkFrozen { link });
    stage.finish();
}

/// Fifteen days without a relayer: every client has expired, both ends say so, and nothing that
/// was locked has been released. After quorum and councils have set new trusted headers the
/// commit ends and the share arrives.
///
/// Req: PRJ-5-2
#[test]
fn a29_expired_clients_are_recovered_without_loss() {
    let mut stage = Stage::new();
    let item = stage.enter_deed();
    let xid = stage.begin_sale(item, LONG_MS);
    stage.relay(Place::A, End::Chain);
    stage.relay(Place::B, End::Chain);
    let shared = share_in_flight(&mut stage);
    let later = stage.now.saturating_add(15 * DAY_MS);
    for place in Place::ALL {
        stage.block_at(place, later);
    }
    let why = Blocker::ClientExpired;
    let both = vec![Step::Blocked { to: End::Hub, why }, Step::Blocked { to: End::Chain, why }];
    for islet in Place::ISLETS {
        assert_eq!(blocked(&stage, islet), both);
    }
    assert_eq!(stage.verdict(xid), Some(Verdict::Aborted(Cause::Deadline)));
    assert_eq!(stage.standing(Place::A, item), Some(Standing::Locked(xid)));

    let hub = stage.world.at(Place::Hub).anchor().encode();
    for islet in Place::ISLETS {
        let link = stage.world.link(islet);
        announce(&mut stage, islet, ActKind::NewTrustedHeader, 1, hub.clone());
        let anchor = stage.world.at(islet).anchor().encode();
        stage.enact(Act::RecoverClient { link, anchor }).unwrap();
        stage.enact(Act::ApproveTrust { link, trust_epoch: 1 }).unwrap();
    }
    // The councils' delay.
    let later = stage.now.saturating_add(DAY_MS);
    for place in Place::ALL {
        stage.block_at(place, later);
    }
    stage.settle();
    stage.assert_not_sold(item, xid, Cause::Deadline);
    assert!(copy(stage.world.at(Place::B).disk(), shared).is_some());
    stage.finish();
}

/// An islet's ledger forks: the hub has taken a share that the chain, as it goes on, does not hold. The
/// hub freezes. A new trusted header would not do; a quorum reopens the hub's end of the lane, which
/// freezes the islet's as a relayer shows it, and the islet's council reopens that. Then what waits
/// arrives, the decision of a commit above all, and what the chain sent besides is over.
///
/// Req: PRJ-5-2
#[test]
fn a29_a_link_whose_logs_have_parted_goes_on_in_the_next_epoch() {
    let mut stage = Stage::new();
    let item = stage.enter_deed();
    let xid = stage.begin_sale(item, LONG_MS);
    stage.relay(Place::A, End::Chain);
    stage.relay(Place::B, End::Chain);
    let link = stage.world.link(Place::A);
    let evidence = stage.world.at(Place::A).fork();
    let report = common(&Call::Misbehaviour { link, evidence });
    stage.ask(Place::Hub, RELAYERS[0], report).unwrap();
    let lost = share_in_flight(&mut stage);
    let status = |stage: &Stage, place: Place| {
        lanes::link(stage.world.at(place).disk(), link).unwrap().status
    };
    let lane = |stage: &Stage, place: Place| {
        lanes::lane(stage.world.at(place).disk(), link, DATA_LANE).unwrap()
    };
    // A hears of the abort before its own end stands still, B whenever it likes.
    stage.block(Place::Hub);
    stage.relay(Place::A, End::Chain);
    assert_eq!(stage.locks(Place::A), 0);

    let received = lane(&stage, Place::A).received.size();
    let epoch = Epoch(2);
    let reopen = Act::ReopenLane { link, lane: DATA_LANE, epoch, received };
    stage.enact(reopen).unwrap();
    stage.block(Place::Hub);
    let anchor = stage.world.at(Place::A).anchor().encode();
    stage.enact(Act::RecoverClient { link, anchor }).unwrap();
    assert_eq!(status(&stage, Place::A), LinkStatus::Open);
    // The planner shows the next epoch to the end that lags behind, and says what the other waits for.
    let waits = Step::Blocked { to: End::Hub, why: Blocker::EpochDiffers };
    assert_eq!(blocked(&stage, Place::A), vec![waits]);
    stage.relay(Place::A, End::Chain);
    assert_eq!(status(&stage, Place::A), LinkStatus::Frozen);

    // What the hub holds of the chain's log in the epoch that ended: Begin nothing, one vote, no share.
    let hub_holds = lane(&stage, Place::Hub).former.unwrap().received.size();
    let peer_epoch = epoch;
    let it = Reopening { link, lane: DATA_LANE, epoch, peer_epoch, received: hub_holds };
    announce(&mut stage, Place::A, ActKind::ReopenLane, 1, it.encode());
    let later = stage.now.saturating_add(DAY_MS);
    for place in Place::ALL {
        stage.block_at(place, later);
    }
    assert_eq!((lane(&stage, Place::A).epoch, lane(&stage, Place::A).peer_epoch), (epoch, epoch));
    let hub = stage.world.at(Place::Hub).anchor().encode();
    announce(&mut stage, Place::A, ActKind::NewTrustedHeader, 2, hub);
    let later = stage.now.saturating_add(DAY_MS);
    for place in Place::ALL {
        stage.block_at(place, later);
    }
    stage.enact(Act::ApproveTrust { link, trust_epoch: 2 }).unwrap();
    stage.settle();
    stage.assert_not_sold(item, xid, Cause::LinkFrozen { link });
    assert_eq!(copy(stage.world.at(Place::B).disk(), lost), None);

    // Traffic goes on: the next sale is agreed, and what was lost is shared again.
    let order =
        ShareOrder { destination: stage.world.chain(Place::B), not_after: UnixMillis::ZERO };
    let share = IsletCall::Share { data_id: lost, order };
    stage.ask(Place::A, 1, islet_call(share)).unwrap();
    let xid = stage.begin_sale(item, LONG_MS);
    stage.settle();
    stage.assert_sold(item, xid);
    assert!(copy(stage.world.at(Place::B).disk(), lost).is_some());
    stage.finish();
}

/// The hub changes its validators twice while nobody relays: a relayer walks both changes, and
/// what waited arrives.
///
/// Req: PRJ-4-2
#[test]
fn a28_changes_of_validators_are_walked_one_by_one() {
    let mut stage = Stage::new();
    let item = stage.enter_deed();
    let xid = stage.begin_sale(item, LONG_MS);
    for without in [[0, 1], [2, 3]] {
        let validators = members(Place::Hub, without);
        stage.enact(Act::SetValidators { validators }).unwrap();
        for _ in 0..3 {
            stage.block(Place::Hub);
        }
    }
    stage.settle();
    stage.assert_sold(item, xid);
    stage.finish();
}
