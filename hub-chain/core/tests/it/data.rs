//! Shares over whole blocks: what is refused and in which order, and what becomes of the rest.

use crate::{
    harness::{PeerCall, bodies, deliver, identity, salt_of},
    world::{self, DEVICE, World, class, share},
};
use tombolo_hub::{data::CopyStatus, govern::Act, query};
use tombolo_ledger::{Call, lanes};
use tombolo_types::{
    Class, Hash, MessageNumber,
    id::{ChainId, IdentityId, SchemaId},
    lane::{DATA_LANE, RangeProof},
    message::{Body, DataClass, Refused, Share, Status},
};

const AIR_ONLY: &str = r#"permit (principal, action == Action::"share", resource in Type::"air");"#;

fn copy_status(world: &World, share: &Share) -> CopyStatus {
    query::item(&world.hub.store, share.data_id).unwrap().copies[0].1.status
}

/// Both hops under one global id. Req: Y4560-7.2.3-2, Y4560-6.3-3
#[test]
fn a_share_is_accepted_forwarded_and_completed() {
    let mut world = World::new();
    let sent = world.share(world.reading("s1"));
    world.send_share(sent.clone()).unwrap();
    let (a, b) = world.links();
    let first = world.hub.records_of("share").pop().unwrap();
    assert_eq!(
        (first.global_id, first.outcome, first.remark.as_str()),
        (sent.global_id, 0, "accepted")
    );
    assert_eq!((first.source_chain, first.destination_chain), (world.a.id, world.b.id));
    assert_eq!((first.link, first.mode, first.protocol.as_str()), (a, 1, "lane"));
    assert_eq!(
        (first.data_id, first.data_class, first.fingerprint),
        (sent.data_id, 1, sent.fingerprint)
    );
    assert_eq!(first.parties, vec![identity(DEVICE), identity(1)]);
    assert_eq!(first.relayer, identity(5));
    assert!(!first.policy_hash.is_zero() && !first.evidence.is_zero());
    assert_eq!(bodies(&world.hub, b, DATA_LANE, 0), vec![Body::Share(sent.clone())]);
    assert_eq!(copy_status(&world, &sent), CopyStatus::Accepted);

    world.hub_to_b(DATA_LANE);
    world.b_to_hub(DATA_LANE);
    world.hub.block(vec![]);
    let records = world.hub.records_of("share");
    assert_eq!(records.len(), 2);
    let second = &records[1];
    assert_eq!(
        (second.global_id, second.outcome, second.remark.as_str()),
        (sent.global_id, 0, "completed")
    );
    assert_eq!(
        (second.link, second.fingerprint, second.policy_hash),
        (b, sent.fingerprint, first.policy_hash)
    );
    assert_eq!(copy_status(&world, &sent), CopyStatus::Completed);
    assert_eq!(query::pending(&world.hub.store, b, Default::default(), 10), vec![]);
}

/// A refusal of the destination ends the second hop with that class, and the copy may be sent
/// again. Its answer is never overtaken by `completed`.
#[test]
fn a_refusal_at_the_destination_is_the_second_record() {
    let mut world = World::new();
    world.b.run(5, PeerCall::Refuse(Class::Unsupported as u8)).unwrap();
    let sent = world.share(world.reading("s1"));
    world.send_share(sent.clone()).unwrap();
    world.hub_to_b(DATA_LANE);
    world.b_to_hub(DATA_LANE);
    world.hub.block(vec![]);
    let outcomes: Vec<u8> =
        world.hub.records_of("share").iter().map(|found| found.outcome).collect();
    assert_eq!(outcomes, vec![0, Class::Unsupported as u8]);
    assert_eq!(copy_status(&world, &sent), CopyStatus::Refused);
    world.b.run(5, PeerCall::Refuse(0)).unwrap();
    world.send_share(sent.clone()).unwrap();
    assert_eq!(copy_status(&world, &sent), CopyStatus::Accepted);
}

/// The destination has proved that it took the share, but its refusal has not come yet: nothing is
/// said to be completed.
#[test]
fn a_refusal_on_its_way_is_not_overtaken() {
    let mut world = World::new();
    world.b.run(5, PeerCall::Refuse(Class::Unsupported as u8)).unwrap();
    let sent = world.share(world.reading("s1"));
    world.send_share(sent.clone()).unwrap();
    world.hub_to_b(DATA_LANE);
    let (_, b) = world.links();
    let mut without_answers = world.b.delivery(b, DATA_LANE, 0);
    without_answers.messages.clear();
    without_answers.range = RangeProof { left: vec![], right: vec![] };
    world.hub.now = world.hub.now.max(world.b.now);
    let first = world.hub.sign(5, Call::Deliver(Box::new(without_answers)));
    assert_eq!(class(world.hub.one(first)), None);
    world.hub.block(vec![]);
    assert_eq!(copy_status(&world, &sent), CopyStatus::Accepted);
    world.b.block(vec![]);
    world.b_to_hub(DATA_LANE);
    world.hub.block(vec![]);
    assert_eq!(copy_status(&world, &sent), CopyStatus::Refused);
    assert_eq!(world.hub.records_of("share").len(), 2);
}

/// Req: Y4560-10.1-d.1
#[test]
fn a_share_that_comes_too_late_at_the_destination_is_a_timeout() {
    let mut world = World::new();
    let sent = world.share(world.reading("s1"));
    let until = world.hub.now + 20_000;
    world.a.send_until(DATA_LANE, &Body::Share(sent.clone()), until);
    world.a_to_hub(DATA_LANE);
    assert_eq!(copy_status(&world, &sent), CopyStatus::Accepted);
    world.b.block_after(60_000, vec![]);
    world.hub_to_b(DATA_LANE);
    world.b_to_hub(DATA_LANE);
    let outcomes: Vec<u8> =
        world.hub.records_of("share").iter().map(|found| found.outcome).collect();
    assert_eq!(outcomes, vec![0, Class::Timeout as u8]);
}

/// Req: Y4560-6.3-3
#[test]
fn a_second_identical_copy_is_answered_with_the_first() {
    let mut world = World::new();
    let sent = world.share(world.reading("s1"));
    world.send_share(sent.clone()).unwrap();
    world.send_share(sent.clone()).unwrap();
    let record = world.hub.records_of("share").pop().unwrap();
    assert_eq!(record.remark, format!("the copy exists as {}", sent.global_id));
    let (_, b) = world.links();
    assert_eq!(bodies(&world.hub, b, DATA_LANE, 0).len(), 1);
}

/// Req: Y4560-7.2.1-c
#[test]
fn versions_rise_and_never_change_their_content() {
    let mut world = World::new();
    let version = |world: &World, number: u32, salt: u8| {
        let mut reading = world.reading("s1");
        reading.item_version = number;
        reading.salt = [salt; 32];
        world.share(reading)
    };
    for (what, number, salt, expected) in [
        ("the first that the hub sees", 2, 1, None),
        ("other content", 2, 2, Some(Class::Replay)),
        ("an older version", 1, 1, Some(Class::State)),
        ("a later version", 5, 1, None),
        ("the version before", 2, 1, Some(Class::State)),
    ] {
        let sent = version(&world, number, salt);
        assert_eq!(class(world.send_share(sent)), expected, "{what}");
    }
}

/// One message with every fault at once; repaired one by one it gives each class in the order of
/// rule G1. Req: Y4560-7.1.5-1, Y4560-10.1-c.2
#[test]
fn the_first_class_of_the_order_is_given() {
    let mut world = World::bare(vec![]);
    world.hub.enact(world::set_policy("air", AIR_ONLY)).unwrap();
    world.hub.enact(Act::RegisterIdentity(world::device(21, 1))).unwrap();
    world.hub.enact(Act::SetStatus { identity: identity(21), status: Status::Suspended }).unwrap();
    let stranger = ChainId([0x77; 32]);
    let mut reading = world.reading("bad");
    reading.class = DataClass::Closed;
    reading.device = identity(21);
    reading.schema = world.water;
    let mut message = share(reading.clone(), world.b.id, stranger, 99);
    message.fingerprint.0[0] ^= 1;
    // 1: it says it comes from elsewhere.
    assert_eq!(class(world.send_share(message)), Some(Class::Format));
    // 2: signed by a key of nobody.
    let remake = |world: &World, reading: &tombolo_types::envelope::Envelope, signer: u8, to| {
        let mut message = share(reading.clone(), world.a.id, to, signer);
        message.fingerprint.0[0] ^= 1;
        message
    };
    let message = remake(&world, &reading, 99, stranger);
    assert_eq!(class(world.send_share(message)), Some(Class::Auth));
    // 3: by a suspended device.
    let message = remake(&world, &reading, 21, stranger);
    assert_eq!(class(world.send_share(message)), Some(Class::Ident));
    // 4: closed.
    reading.device = identity(DEVICE);
    let message = remake(&world, &reading, DEVICE, stranger);
    assert_eq!(class(world.send_share(message)), Some(Class::ClosedCopy));
    // 5: of a type that no policy covers.
    reading.class = DataClass::Open;
    let message = remake(&world, &reading, DEVICE, stranger);
    assert_eq!(class(world.send_share(message)), Some(Class::Policy));
    // 6: to a chain without a link. Req: Y4560-7.1.4-1
    reading.schema = world.air;
    let message = remake(&world, &reading, DEVICE, stranger);
    assert_eq!(class(world.send_share(message)), Some(Class::NotFound));
    // 7: with another fingerprint than its content.
    let message = remake(&world, &reading, DEVICE, world.b.id);
    assert_eq!(class(world.send_share(message)), Some(Class::Tamper));
    // 8: as it should be.
    let message = share(reading, world.a.id, world.b.id, DEVICE);
    assert_eq!(class(world.send_share(message)), None);
}

/// Every field that the message repeats must be that of the envelope. Req: Y4560-7.2.5-1
#[test]
fn a_message_that_differs_from_its_envelope_is_refused() {
    let mut world = World::new();
    type Change = fn(&mut Share);
    let cases: [(&str, Change, Class); 13] = [
        ("item", |it| it.data_id.0[0] ^= 1, Class::Format),
        ("version", |it| it.item_version += 1, Class::Format),
        ("class", |it| it.class = 3, Class::Format),
        ("another class", |it| it.class = 2, Class::Format),
        ("terms", |it| it.terms.push('x'), Class::Format),
        ("device", |it| it.device = IdentityId([1; 32]), Class::Format),
        ("schema", |it| it.schema = SchemaId([1; 32]), Class::Format),
        ("source", |it| it.source_chain = ChainId([1; 32]), Class::Format),
        ("to itself", |it| it.destination_chain = it.source_chain, Class::Format),
        ("trailing byte", |it| it.envelope.push(0), Class::Format),
        ("owner", |it| it.owner = IdentityId([1; 32]), Class::Format),
        ("signature", |it| it.signature.0[0] ^= 1, Class::Auth),
        ("fingerprint", |it| it.fingerprint.0[0] ^= 1, Class::Tamper),
    ];
    for (what, change, expected) in cases {
        let mut sent = world.share(world.reading("s1"));
        change(&mut sent);
        assert_eq!(class(world.send_share(sent)), Some(expected), "{what}");
    }
    let (_, b) = world.links();
    assert_eq!(bodies(&world.hub, b, DATA_LANE, 0), vec![]);
}

#[test]
fn an_unknown_schema_and_what_the_schema_forbids_are_refused() {
    let mut world = World::new();
    let mut unknown = world.reading("s1");
    unknown.schema = SchemaId([5; 32]);
    let mut empty = world.reading("s1");
    empty.readings.clear();
    for (reading, expected) in [(unknown, Class::NotFound), (empty, Class::Format)] {
        let sent = world.share(reading);
        assert_eq!(class(world.send_share(sent)), Some(expected));
    }
}

#[test]
fn a_link_brings_so_many_items_in_an_hour() {
    let mut world = World::with(world::tight());
    for (number, expected) in [(1, None), (2, None), (3, Some(Class::Limit))] {
        let sent = world.share(world.reading(&format!("s{number}")));
        assert_eq!(class(world.send_share(sent)), expected, "item {number}");
    }
    world.hub.block_after(3_600_000, vec![]);
    world.a.block_after(3_600_000, vec![]);
    let sent = world.share(world.reading("s3"));
    assert_eq!(class(world.send_share(sent)), None);
}

/// An item lives on one chain; another cannot speak for it.
#[test]
fn a_chain_cannot_share_what_lives_elsewhere() {
    let mut world = World::new();
    let sent = share(world.reading("s1"), world.b.id, world.a.id, DEVICE);
    world.b.send(DATA_LANE, &Body::Share(sent));
    world.b_to_hub(DATA_LANE);
    let record = world.hub.records_of("share").pop().unwrap();
    assert_eq!(record.outcome, Class::State as u8);
}

/// Req: Y4560-6.3-1, Y4560-6.3-2
#[test]
fn a46_classes_change_only_as_allowed() {
    let mut world = World::new();
    let version = |world: &World, number: u32, class: DataClass, signer: u8| {
        let mut reading = world.reading("s1");
        reading.item_version = number;
        reading.class = class;
        reading.device = identity(signer);
        share(reading, world.a.id, world.b.id, signer)
    };
    let canary = "clean";
    for (what, number, data_class, signer, expected) in [
        ("a closed item is not copied", 1, DataClass::Closed, DEVICE, Some(Class::ClosedCopy)),
        ("an open one is", 1, DataClass::Open, DEVICE, None),
        ("not closed within its version", 1, DataClass::Closed, DEVICE, Some(Class::ClosedCopy)),
        ("nor copied as a closed next one", 2, DataClass::Closed, DEVICE, Some(Class::ClosedCopy)),
        ("an open next one", 2, DataClass::Open, 1, None),
    ] {
        let sent = version(&world, number, data_class, signer);
        assert_eq!(class(world.send_share(sent)), expected, "{what}");
    }
    // No refusal of closed data repeats its content.
    for record in world.hub.records() {
        assert!(!record.remark.contains(canary), "{}", record.remark);
    }
}

/// A second refusal of one message, or one of a message that was never sent, finds nothing.
#[test]
fn a16_an_answer_finds_its_request_once() {
    let mut world = World::new();
    let sent = world.share(world.reading("s1"));
    world.send_share(sent.clone()).unwrap();
    world.hub_to_b(DATA_LANE);
    let refused = |of| {
        Body::Refused(Refused {
            of: MessageNumber(of),
            class: Class::State as u8,
            message: "no".into(),
        })
    };
    let salt = salt_of(&world.hub, world.b.link(), MessageNumber(0));
    // To the right number with another salt first: of another epoch's message, as far as can be told.
    world.b.answer(&refused(0), Hash([3; 32]));
    for of in [0, 0, 7, u64::MAX] {
        world.b.answer(&refused(of), salt);
    }
    world.b_to_hub(DATA_LANE);
    let outcomes: Vec<u8> =
        world.hub.records_of("share").iter().map(|found| found.outcome).collect();
    assert_eq!(outcomes, vec![0, Class::State as u8], "one end, once");
    assert_eq!(world.hub.records_of("refused").len(), 5);
    assert_eq!(copy_status(&world, &sent), CopyStatus::Refused);
}

/// Duplicates of one delivery, overlapping batches, two in one block: one effect for each number.
#[test]
fn a18_one_effect_for_each_message() {
    let mut world = World::new();
    let (a, b) = world.links();
    for name in ["s1", "s2", "s3"] {
        let sent = world.share(world.reading(name));
        world.a.send(DATA_LANE, &Body::Share(sent));
    }
    let all = world.a.delivery(a, DATA_LANE, 0);
    world.hub.now = world.hub.now.max(world.a.now);
    let first = world.hub.sign(5, Call::Deliver(Box::new(all.clone())));
    assert_eq!(class(world.hub.one(first)), None);
    // The same again raises nothing: the proposer leaves it out.
    let again = world.hub.sign(5, Call::Deliver(Box::new(all)));
    let time = tombolo_types::UnixMillis(world.hub.now + 500);
    let mut candidates = vec![again].into_iter();
    let built = world.hub.ledger.build(&world.hub.store, time, &mut candidates, &|| false).unwrap();
    assert_eq!(built.outcomes, vec![]);
    assert_eq!(bodies(&world.hub, b, DATA_LANE, 0).len(), 3);
    assert_eq!(world.hub.records_of("share").len(), 3);
    let lane = lanes::lane(&world.hub.store, a, DATA_LANE).unwrap();
    assert_eq!(lane.received.size(), 3);
}

#[test]
fn a18_an_overlapping_batch_brings_only_what_is_new() {
    let mut world = World::new();
    let (a, b) = world.links();
    let first = world.share(world.reading("s1"));
    world.send_share(first).unwrap();
    let second = world.share(world.reading("s2"));
    world.a.send(DATA_LANE, &Body::Share(second));
    let lane = lanes::lane(&world.hub.store, a, DATA_LANE).unwrap();
    assert_eq!(lane.received.size(), 1);
    deliver(&mut world.a, &mut world.hub, a, DATA_LANE).unwrap();
    assert_eq!(bodies(&world.hub, b, DATA_LANE, 0).len(), 2);
}
