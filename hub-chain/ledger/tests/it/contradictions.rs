//! A ledger that contradicts itself freezes its link, and the evidence stays.

use crate::{
    toy::{FROZE, TAKE, ToyCall},
    world::{Chain, World, call_of, certify, delivery, relayer, set_of},
};
use tombolo_crypto::log::Log;
use tombolo_ledger::{
    Call,
    lanes::{Lane, LinkStatus},
};
use tombolo_types::{
    Class, Hash, Height,
    lane::{DATA_LANE, Delivery},
    transaction::{ClientUpdate, Misbehaviour},
};

/// A hub that sent nine messages, of which five were taken and nothing was sent back.
fn base() -> World {
    let mut world = World::new();
    world.hub.append(world.link, TAKE, 9);
    let five = delivery(&world.hub, world.link, 0, 5);
    world.chain.run(&relayer(), call_of(five)).unwrap();
    world
}

fn forge(hub: &mut Chain<true>, world: &World, change: impl FnOnce(&mut Lane)) {
    let mut forged = hub.lane(world.link);
    change(&mut forged);
    let call = ToyCall::Forge { link: world.link, lane: DATA_LANE, forged: Box::new(forged) };
    hub.call(call).unwrap();
}

/// The delivery is no refusal: it freezes the link, says so in the record, and ends all deliveries.
fn freezes(world: &mut World, delivery: Delivery, what: &str) {
    let (before, records) = (world.chain.lane(world.link), world.chain.records().len());
    world.chain.run(&relayer(), call_of(delivery)).unwrap();
    let link = world.chain.link(world.link);
    assert_eq!(link.status, LinkStatus::Frozen, "{what}");
    assert_eq!(FROZE.get(&world.chain.state, &world.link), Some(1), "{what}");
    assert_eq!(world.chain.lane(world.link), before, "{what}: nothing was taken");
    let record = world.chain.last_record();
    assert_eq!((record.operation.as_str(), record.outcome), ("freeze", 0), "{what}");
    assert!(!record.remark.is_empty(), "{what}");
    assert_eq!(world.chain.records().len(), records + 1, "{what}: one record");
    // Also an honest message does not come through any more.
    let honest = base();
    let call = call_of(crate::world::delivery(&honest.hub, world.link, 5, 4));
    assert_eq!(world.chain.run(&relayer(), call).unwrap_err().class, Class::State, "{what}");
}

fn log_of(leaves: u8) -> Log {
    let mut log = Log::default();
    (0..leaves).for_each(|leaf| log.append(Hash([leaf + 1; 32])));
    log
}

#[test]
fn a28_a_lane_that_contradicts_itself_freezes_its_link() {
    type Forgery = (&'static str, fn(&mut Lane));
    let table: [Forgery; 5] = [
        ("the size falls", |lane| lane.sent = log_of(8)),
        ("the size falls below what was taken", |lane| lane.sent = log_of(2)),
        ("more taken than was sent", |lane| lane.received = log_of(1)),
        ("another root of as many as were taken", |lane| {
            lane.sent = log_of(5);
        }),
        ("an empty log", |lane| lane.sent = Log::default()),
    ];
    for (what, change) in table {
        let mut world = base();
        let mut hub = world.hub.clone();
        forge(&mut hub, &world, change);
        let head = delivery(&hub, world.link, 0, 0);
        freezes(&mut world, head, what);
    }
}

/// The hub takes back what it had said to have taken.
#[test]
fn a28_a_received_that_falls_freezes() {
    let mut world = base();
    world.chain.append(world.link, TAKE, 3);
    world.bring_to_hub().unwrap();
    let head = delivery(&world.hub, world.link, 5, 0);
    world.chain.run(&relayer(), call_of(head)).unwrap();
    let mut hub = world.hub.clone();
    forge(&mut hub, &world, |lane| lane.received = Log::default());
    let head = delivery(&hub, world.link, 0, 0);
    freezes(&mut world, head, "received falls");
}

/// The root of what the other side took is not that of what was sent.
#[test]
fn a28_another_root_of_what_was_sent_freezes() {
    let mut world = base();
    world.chain.append(world.link, TAKE, 3);
    world.bring_to_hub().unwrap();
    let mut hub = world.hub.clone();
    forge(&mut hub, &world, |lane| lane.received = log_of(3));
    let head = delivery(&hub, world.link, 0, 0);
    freezes(&mut world, head, "another root");
}

/// A larger log under a lower height, brought after the higher one.
#[test]
fn a28_a_lower_head_with_a_larger_log_freezes() {
    let mut world = base();
    let mut hub = world.hub.clone();
    hub.append(world.link, TAKE, 2);
    let larger = delivery(&hub, world.link, 5, 1);
    forge(&mut hub, &world, |lane| *lane = base().hub.lane(world.link));
    let smaller = delivery(&hub, world.link, 5, 1);
    world.chain.run(&relayer(), call_of(smaller)).unwrap();
    freezes(&mut world, larger, "a lower head with a larger log");
}

/// The log was written anew: the messages that come do not follow those that were taken.
#[test]
fn a28_a_prefix_written_anew_freezes() {
    let fresh = || {
        // The same hub in another history: other messages, as many blocks.
        let mut world = World::new();
        world.hub.append(world.link, TAKE, 9);
        world
    };
    for (first, count) in [(5, 4), (3, 6), (0, 9), (0, 5)] {
        let mut world = fresh();
        let mut hub = world.hub.clone();
        let five = delivery(&world.hub, world.link, 0, 5);
        world.chain.run(&relayer(), call_of(five)).unwrap();
        let empty = World::new().hub.lane(world.link);
        forge(&mut hub, &world, |lane| *lane = empty);
        hub.append(world.link, TAKE, 9);
        let anew = delivery(&hub, world.link, first, count);
        freezes(&mut world, anew, &format!("{count} from {first}"));
    }
}

/// Two headers at one height, each certified: by delivery, by update, and as evidence.
#[test]
fn a28_two_headers_at_one_height_freeze() {
    let world = base();
    let (header, certificate) = world.hub.newest.clone().unwrap();
    let mut fork = header.clone();
    fork.writes_digest = Hash([0xee; 32]);
    let fork_certificate = certify(&fork, world.hub.validator);

    let mut by_delivery = world.clone();
    let mut forked = world.hub.clone();
    forked.newest = Some((fork.clone(), fork_certificate.clone()));
    let head = delivery(&forked, world.link, 5, 2);
    freezes(&mut by_delivery, head, "by delivery");
    assert_ne!(by_delivery.chain.link(world.link).client, world.chain.link(world.link).client);

    let update = ClientUpdate {
        header: fork.clone(),
        certificate: fork_certificate.clone(),
        next_validators: set_of(1, 11),
    };
    let mut by_update = world.clone();
    let call = Call::UpdateClient { link: world.link, update: update.encode() };
    by_update.chain.run(&relayer(), call).unwrap();
    assert_eq!(by_update.chain.link(world.link).status, LinkStatus::Frozen);

    let evidence = Misbehaviour {
        header_a: header,
        certificate_a: certificate,
        validators_a: set_of(1, 11),
        header_b: fork,
        certificate_b: fork_certificate,
        validators_b: set_of(1, 11),
    };
    let call = || Call::Misbehaviour { link: world.link, evidence: evidence.encode() };
    let mut by_evidence = world.clone();
    by_evidence.chain.run(&relayer(), call()).unwrap();
    assert_eq!(by_evidence.chain.link(world.link).status, LinkStatus::Frozen);
    assert_eq!(by_evidence.chain.last_record().operation, "freeze");
    let again = by_evidence.chain.run(&relayer(), call()).unwrap_err();
    assert_eq!(again.class, Class::Replay);
}

/// Evidence that shows nothing is refused and changes nothing.
#[test]
fn a28_no_evidence_freezes_nothing() {
    let mut world = base();
    let (header, certificate) = world.hub.newest.clone().unwrap();
    let twice = Misbehaviour {
        header_a: header.clone(),
        certificate_a: certificate.clone(),
        validators_a: set_of(1, 11),
        header_b: header,
        certificate_b: certificate,
        validators_b: set_of(1, 11),
    };
    for (evidence, class) in [(twice.encode(), Class::Proof), (Vec::new(), Class::Format)] {
        let call = Call::Misbehaviour { link: world.link, evidence };
        assert_eq!(world.chain.run(&relayer(), call).unwrap_err().class, class);
        assert_eq!(world.chain.link(world.link).status, LinkStatus::Open);
    }
}

/// The client follows a change of validators by one update, and does not follow the old set.
#[test]
fn a_client_follows_a_change_of_validators() {
    let mut world = base();
    let at = world.hub.newest.as_ref().unwrap().0.height.0 + 2;
    world.hub.call(ToyCall::SetValidators(set_of(at, 21))).unwrap();
    let (header, certificate) = world.hub.newest.clone().unwrap();
    assert_ne!(header.next_validators_root, header.validators_root);
    world.hub.validator = 21;
    world.hub.block(Vec::new());
    // Certified by a set that the client does not know yet.
    assert_eq!(world.bring_to_chain().unwrap_err().class, Class::Proof);
    let update = |next| ClientUpdate {
        header: header.clone(),
        certificate: certificate.clone(),
        next_validators: next,
    };
    let call = |next| Call::UpdateClient { link: world.link, update: update(next).encode() };
    let wrong = world.chain.run(&relayer(), call(set_of(at, 22))).unwrap_err();
    assert_eq!(wrong.class, Class::Proof);
    world.chain.run(&relayer(), call(set_of(at, 21))).unwrap();
    assert_eq!(world.chain.link(world.link).peer_height, header.height);
    let again = world.chain.run(&relayer(), call(set_of(at, 21))).unwrap_err();
    assert!(matches!(again.class, Class::Replay | Class::Proof), "{again}");
    world.bring_to_chain().unwrap();
    assert_eq!(world.chain.lane(world.link).received.size(), 9);
    assert!(world.chain.link(world.link).peer_height >= Height(at));
}

/// A delivery that brings nothing but a contradiction is not dropped at the door as a repetition.
#[test]
fn a28_the_door_lets_a_contradiction_in() {
    let mut world = base();
    let mut hub = world.hub.clone();
    forge(&mut hub, &world, |lane| lane.sent = log_of(5));
    let head = delivery(&hub, world.link, 0, 0);
    let call = call_of(head.clone());
    assert_eq!(world.chain.at_the_door(&relayer(), &call), Ok(()));
    freezes(&mut world, head, "through the door");
}
