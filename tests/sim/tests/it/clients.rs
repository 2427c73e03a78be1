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
use tombolo_islet_core::{
    IsletCall, NEW_TRUSTED_HEADER, NewTrustedHeader, ShareOrder, Standing, copy,
};
use tombolo_ledger::{
    Call,
    lanes::{self, LinkStatus},
};
use tombolo_relayer_core::{Ages, End, Step, plan::Blocker};
use tombolo_swap::two_phase::{Cause, Verdict};
use tombolo_types::{Class, UnixMillis, id::DataId, message::DataClass};

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
        let subject = keccak256(&hub);
        let chain = stage.world.chain(islet);
        let digest = digest::council_act(chain, NEW_TRUSTED_HEADER, 1, subject);
        let signatures = council().iter().take(2).map(|member| member.sign(digest)).collect();
        let act = NewTrustedHeader { anchor: hub.clone(), trust_epoch: 1, signatures };
        let act = islet_call(IsletCall::NewTrustedHeader(act));
        stage.ask(islet, RELAYERS[0], act).unwrap();
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
