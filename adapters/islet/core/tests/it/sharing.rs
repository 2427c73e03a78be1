//! Copies of open items, out and in.

use crate::{
    harness::{identity, relay},
    toy::inbox,
    world::{
        ELSEWHERE, World, data_id, device, neighbour, neighbours_device, other_relayer, owner,
        reading, shared, signed, submit,
    },
};
use tombolo_islet_core::{IsletCall, ShareOrder, copies, copy, identity_view_age_ms, item};
use tombolo_ledger::{Call, block::global_id, lanes};
use tombolo_types::{
    Class, UnixMillis,
    envelope::Envelope,
    id::{Fingerprint, TxId},
    lane::{CONTROL_LANE, DATA_LANE},
    message::{Body, DataClass, Share},
};

fn order() -> ShareOrder {
    ShareOrder { destination: ELSEWHERE, not_after: UnixMillis::ZERO }
}

fn away(local_id: &str, class: DataClass) -> Envelope {
    reading(ELSEWHERE, local_id, 1, class)
}

/// One device-signed transaction enters an item and sends it on its way.
///
/// Req: Y4560-6.3-3, Y4560-7.2.3-2
#[test]
fn one_transaction_of_a_device_enters_and_shares() {
    let mut world = World::new(&[]);
    let envelope = reading(world.islet.id, "kitchen", 1, DataClass::Open);
    let (bytes, signature) = signed(&envelope, &device());
    let share = Some(order());
    let call = IsletCall::Submit { envelope: bytes.clone(), signature, share };
    let transaction = world.islet.transaction(&device(), Call::Own(call));
    let outcomes = world.islet.block(vec![transaction]);
    assert_eq!(outcomes[0].refusal, None);
    let [Body::Share(sent)] = &world.answers()[..] else { panic!("not one share") };
    assert_eq!(sent.global_id, global_id(TxId(outcomes[0].id.0)));
    assert_eq!((sent.data_id, &sent.envelope), (data_id(&envelope), &bytes));
    assert_eq!((sent.source_chain, sent.destination_chain), (world.islet.id, ELSEWHERE));
    assert_eq!((sent.terms.as_str(), sent.owner), ("CC-BY-4.0", identity(&owner())));
    let record = world.islet.last_record("share");
    assert_eq!((record.lane, record.destination_chain), (DATA_LANE, ELSEWHERE));
    assert_eq!((record.link, record.mode, record.protocol.as_str()), (world.link, 1, "lane"));
}

/// Req: Y4560-6.3-2
#[test]
fn a46_a_closed_item_is_never_copied_out() {
    let mut world = World::new(&[]);
    let envelope = reading(world.islet.id, "kitchen", 1, DataClass::Closed);
    world.call(&device(), submit(&envelope, &device())).unwrap();
    let call = IsletCall::Share { data_id: data_id(&envelope), order: order() };
    for signer in [owner(), neighbour()] {
        assert_eq!(world.call(&signer, call.clone()).unwrap_err().class, Class::ClosedCopy);
    }
    assert_eq!(world.answers(), []);
}

#[test]
fn an_item_is_shared_by_its_owner_alone() {
    let mut world = World::new(&[]);
    let envelope = reading(world.islet.id, "kitchen", 1, DataClass::Open);
    world.call(&device(), submit(&envelope, &device())).unwrap();
    let call = IsletCall::Share { data_id: data_id(&envelope), order: order() };
    assert_eq!(world.call(&device(), call.clone()).unwrap_err().class, Class::Denied);
    assert_eq!(world.call(&neighbour(), call.clone()).unwrap_err().class, Class::Denied);
    let home = ShareOrder { destination: world.islet.id, ..order() };
    let to_itself = IsletCall::Share { data_id: data_id(&envelope), order: home };
    assert_eq!(world.call(&owner(), to_itself).unwrap_err().class, Class::Format);
    let nothing = IsletCall::Share { data_id: Default::default(), order: order() };
    assert_eq!(world.call(&owner(), nothing).unwrap_err().class, Class::NotFound);
    world.call(&owner(), call).unwrap();
    assert_eq!(world.answers().len(), 1);
}

/// A copy carries its provenance; the same once more is answered as the one that is here.
///
/// Req: Y4560-6.3-3
#[test]
fn a_copy_comes_with_provenance_and_twice_is_once() {
    let mut world = World::new(&[]);
    let envelope = away("cellar", DataClass::Open);
    let share = shared(&envelope, &device(), world.islet.id);
    assert_eq!(world.ask(&Body::Share(share.clone())), []);
    let kept = copy(&world.islet.state, data_id(&envelope)).unwrap();
    assert_eq!((kept.fingerprint, &kept.envelope), (share.fingerprint, &share.envelope));
    let provenance = &kept.provenance;
    assert_eq!(provenance.source_chain, ELSEWHERE);
    assert_eq!(provenance.source_height, share.source_height);
    assert_eq!((provenance.global_id, provenance.terms.as_str()), (share.global_id, "CC-BY-4.0"));
    let again = Share { global_id: tombolo_types::id::GlobalId([0x62; 32]), ..share };
    assert_eq!(world.ask(&Body::Share(again)), []);
    assert_eq!(copies(&world.islet.state, Default::default(), 9), [kept]);
    let record = world.islet.last_record("share");
    assert_eq!((record.outcome, record.remark.as_str()), (0, "existing copy of version 1"));
}

#[test]
fn a_newer_version_takes_the_place_of_the_copy_and_an_older_one_does_not() {
    let mut world = World::new(&[]);
    let first = away("cellar", DataClass::Open);
    let second = Envelope { item_version: 2, ..first.clone() };
    world.ask(&Body::Share(shared(&second, &device(), world.islet.id)));
    assert_eq!(copy(&world.islet.state, data_id(&first)).unwrap().version, 2);
    let answers = world.ask(&Body::Share(shared(&first, &device(), world.islet.id)));
    assert_refused(&answers, Class::Replay);
    let other = Envelope { salt: [8; 32], ..second };
    let answers = world.ask(&Body::Share(shared(&other, &device(), world.islet.id)));
    assert_refused(&answers, Class::Replay);
}

fn assert_refused(answers: &[Body], class: Class) {
    match answers.last() {
        Some(Body::Refused(refused)) => {
            assert_eq!(refused.class, class as u8, "{}", refused.message);
        }
        other => panic!("not refused but {other:?}"),
    }
}

/// Each lie in a share is refused with its class, and the lane goes on.
///
/// Req: Y4560-7.1.5-2, Y4560-7.2.5-1
#[test]
fn a46_a_share_that_lies_is_refused_and_blocks_nothing() {
    type Lie = fn(&mut Share);
    let lies: [(Class, Lie); 11] = [
        (Class::Format, |share| share.destination_chain = ELSEWHERE),
        (Class::Format, |share| share.class = 3),
        (Class::Format, |share| share.envelope.push(0)),
        (Class::ClosedCopy, |share| share.class = DataClass::Closed.number()),
        (Class::ClosedCopy, |share| {
            // The message says open, the envelope closed.
            let closed = away("cellar", DataClass::Closed);
            share.envelope = signed(&closed, &device()).0;
        }),
        (Class::Auth, |share| {
            share.signature = signed(&away("attic", DataClass::Open), &device()).1;
        }),
        (Class::Auth, |share| {
            share.signature = signed(&away("cellar", DataClass::Open), &neighbours_device()).1;
        }),
        (Class::Tamper, |share| share.fingerprint = Fingerprint([1; 32])),
        (Class::Tamper, |share| share.data_id = Default::default()),
        (Class::Tamper, |share| share.item_version = 2),
        (Class::Tamper, |share| share.terms = "none".into()),
    ];
    let mut world = World::new(&[]);
    for (position, (class, lie)) in lies.into_iter().enumerate() {
        let mut share = shared(&away("cellar", DataClass::Open), &device(), world.islet.id);
        lie(&mut share);
        let answers = world.ask(&Body::Share(share));
        assert_refused(&answers, class);
        assert_eq!(answers.len(), position + 1);
        assert!(copies(&world.islet.state, Default::default(), 9).is_empty());
    }
    let honest = shared(&away("cellar", DataClass::Open), &device(), world.islet.id);
    world.ask(&Body::Share(honest));
    assert_eq!(copies(&world.islet.state, Default::default(), 9).len(), 1);
}

/// What is copied here is written where it lives, and nowhere else.
#[test]
fn a46_a_copy_is_not_writable() {
    let mut world = World::new(&[]);
    let envelope = away("cellar", DataClass::Open);
    world.ask(&Body::Share(shared(&envelope, &device(), world.islet.id)));
    let next = Envelope { item_version: 2, ..envelope.clone() };
    assert_eq!(world.call(&device(), submit(&next, &device())).unwrap_err().class, Class::Denied);
    let share = IsletCall::Share { data_id: data_id(&envelope), order: order() };
    assert_eq!(world.call(&owner(), share).unwrap_err().class, Class::Denied);
    assert_eq!(item(&world.islet.state, data_id(&envelope)), None);
}

/// Req: PRJ-4-3
#[test]
fn a20_a_share_is_good_until_its_time_and_not_after() {
    for (late_ms, refused) in [(-1i64, false), (0, false), (1, true)] {
        let mut world = World::new(&[]);
        let share = shared(&away("cellar", DataClass::Open), &device(), world.islet.id);
        let until = world.islet.time.saturating_add(10_000);
        world.say_until(DATA_LANE, &Body::Share(share), until);
        let at = until.0.checked_add_signed(late_ms).unwrap();
        world.islet.time = UnixMillis(at - crate::harness::STEP_MS);
        world.relay_in(DATA_LANE).unwrap();
        assert_eq!(world.islet.time, UnixMillis(at));
        assert_eq!(copies(&world.islet.state, Default::default(), 9).is_empty(), refused);
        if refused {
            assert_refused(&world.answers(), Class::Timeout);
        } else {
            assert_eq!(world.answers(), []);
        }
    }
}

/// One message, one effect: two relayers, duplicates and overlaps change nothing.
///
/// Req: PRJ-4-2
#[test]
fn a18_the_same_message_is_not_taken_twice() {
    let mut world = World::new(&[]);
    for local_id in ["attic", "cellar", "garden"] {
        let share = shared(&away(local_id, DataClass::Open), &device(), world.islet.id);
        world.say(DATA_LANE, &Body::Share(share));
    }
    let two = crate::harness::delivery(&world.hub, world.link, DATA_LANE, 0, 2);
    let all = crate::harness::delivery(&world.hub, world.link, DATA_LANE, 0, 3);
    world.islet.time = world.hub.time;
    let bring = |world: &mut World, delivery: &tombolo_types::lane::Delivery| {
        world.islet.run(&other_relayer(), Call::Deliver(Box::new(delivery.clone())))
    };
    bring(&mut world, &two).unwrap();
    assert_eq!(copies(&world.islet.state, Default::default(), 9).len(), 2);
    let before = world.islet.records().len();
    bring(&mut world, &all).unwrap();
    assert_eq!(copies(&world.islet.state, Default::default(), 9).len(), 3);
    assert_eq!(world.islet.records().len(), before + 1, "one new message, one new record");
    for delivery in [&two, &all] {
        let call = Call::Deliver(Box::new(delivery.clone()));
        let transaction = world.islet.transaction(&other_relayer(), call);
        let now = world.islet.time.saturating_add(1);
        let built = world.islet.ledger.build(
            &world.islet.state,
            now,
            &mut std::iter::once(transaction),
            &|| false,
        );
        assert!(built.unwrap().outcomes.is_empty(), "what raises nothing enters no block");
    }
    assert_eq!(lanes::lane(&world.islet.state, world.link, DATA_LANE).unwrap().received.size(), 3);
}

/// A view of identities that is too old stops what leaves, and nothing else.
#[test]
fn a_stale_view_of_identities_stops_what_leaves() {
    let mut world = World::new(&[("identity_view_ms", 60_000)]);
    let envelope = reading(world.islet.id, "kitchen", 1, DataClass::Open);
    let control = lanes::lane(&world.islet.state, world.link, CONTROL_LANE).unwrap();
    let age = |world: &World| identity_view_age_ms(&world.islet.state, world.islet.time);
    assert_eq!(age(&world), world.islet.time.since(control.current_at));
    world.islet.wait(60_001);
    world.call(&device(), submit(&envelope, &device())).unwrap();
    let call = IsletCall::Share { data_id: data_id(&envelope), order: order() };
    assert_eq!(world.call(&owner(), call.clone()).unwrap_err().class, Class::Ident);
    // A message on the data lane moves the client, and says nothing of the control lane.
    world.hub.time = world.islet.time;
    world.hub.block(Vec::new());
    let share = shared(&away("cellar", DataClass::Open), &device(), world.islet.id);
    world.ask(&Body::Share(share));
    assert_eq!(world.call(&owner(), call.clone()).unwrap_err().class, Class::Ident);
    // The same header then renews the view, though the client stays where it is.
    relay(&world.hub, &mut world.islet, world.link, CONTROL_LANE, &other_relayer()).unwrap();
    assert!(age(&world) < 60_000);
    world.call(&owner(), call).unwrap();
}

/// What the hub refuses is told, and the item stays as it was.
#[test]
fn a_refusal_of_the_hub_is_recorded() {
    let mut world = World::new(&[]);
    let envelope = reading(world.islet.id, "kitchen", 1, DataClass::Open);
    world.call(&device(), submit(&envelope, &device())).unwrap();
    let refused = Body::Refused(tombolo_types::message::Refused {
        of: tombolo_types::MessageNumber(0),
        class: Class::NotFound as u8,
        message: "chain is not registered".into(),
    });
    assert_eq!(world.ask(&refused), [], "answers are never answered");
    let record = world.islet.last_record("refused");
    assert_eq!(record.outcome, Class::NotFound as u8);
    assert_eq!(record.remark, "message 0 was refused there: chain is not registered");
    assert_eq!(inbox(&world.hub.state, world.link, DATA_LANE), []);
}
