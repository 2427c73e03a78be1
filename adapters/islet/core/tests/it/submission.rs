//! Entering data items: the table of refusals, and versions.

use crate::{
    harness::identity,
    world::{
        ELSEWHERE, World, data_id, device, machine, neighbour, neighbours_device, owner, reading,
        relayer, signed, submit,
    },
};
use tombolo_crypto::{digest, secp256k1::SecretKey};
use tombolo_islet_core::{IsletCall, ShareOrder, Standing, item, past_versions};
use tombolo_types::{
    Class, UnixMillis,
    envelope::{Decimal, Envelope, Value},
    header::Signature,
    id::{IdentityId, SchemaId},
    message::{DataClass, IdentityUpdate, Status},
};

/// One submission that is refused, and why.
struct Row {
    what: &'static str,
    signer: SecretKey,
    call: IsletCall,
    class: Class,
}

fn changed(world: &World, change: impl FnOnce(&mut Envelope)) -> Envelope {
    let mut envelope = reading(world.islet.id, "kitchen", 1, DataClass::Open);
    change(&mut envelope);
    envelope
}

/// A submission whose bytes and signature a test has spoilt.
fn spoilt(
    envelope: &Envelope,
    key: &SecretKey,
    spoil: impl FnOnce(&mut Vec<u8>, &mut Signature),
) -> IsletCall {
    let (mut envelope, mut signature) = signed(envelope, key);
    spoil(&mut envelope, &mut signature);
    IsletCall::Submit { envelope, signature, share: None }
}

fn and_share(call: IsletCall) -> IsletCall {
    let IsletCall::Submit { envelope, signature, .. } = call else { panic!("no submission") };
    let share = ShareOrder { destination: ELSEWHERE, not_after: UnixMillis::ZERO };
    IsletCall::Submit { envelope, signature, share: Some(share) }
}

fn rows(world: &World) -> Vec<Row> {
    let good = changed(world, |_| {});
    let row = |what, call, class| Row { what, signer: device(), call, class };
    vec![
        row(
            "another version of the envelope",
            spoilt(&good, &device(), |bytes, _| bytes[2] = 2),
            Class::Version,
        ),
        row(
            "bytes after the envelope",
            spoilt(&good, &device(), |bytes, _| bytes.push(0)),
            Class::Format,
        ),
        row(
            "bytes cut off",
            spoilt(&good, &device(), |bytes, _| bytes.truncate(bytes.len() - 1)),
            Class::Format,
        ),
        row(
            "another home",
            submit(&changed(world, |envelope| envelope.home = ELSEWHERE), &device()),
            Class::Format,
        ),
        row(
            "an envelope above the maximum",
            spoilt(&good, &device(), |bytes, _| bytes.resize(16 * 1024 + 1, 0)),
            Class::Limit,
        ),
        row("signed by another key", submit(&good, &neighbours_device()), Class::Auth),
        row(
            "a signature that is none",
            spoilt(&good, &device(), |_, signature| signature.0[64] = 0),
            Class::Auth,
        ),
        row(
            "a device that nobody knows",
            submit(
                &changed(world, |envelope| envelope.device = identity(&crate::harness::key(99))),
                &crate::harness::key(99),
            ),
            Class::Ident,
        ),
        row(
            "closed, and to be shared",
            and_share(submit(
                &changed(world, |envelope| envelope.class = DataClass::Closed),
                &device(),
            )),
            Class::ClosedCopy,
        ),
        row(
            "a device of another owner",
            submit(
                &changed(world, |envelope| envelope.device = identity(&neighbours_device())),
                &neighbours_device(),
            ),
            Class::Denied,
        ),
        Row {
            what: "brought by neither device nor owner",
            signer: relayer(),
            call: submit(&good, &device()),
            class: Class::Denied,
        },
        row(
            "a device as its own owner",
            submit(&changed(world, |envelope| envelope.owner = identity(&device())), &device()),
            Class::Denied,
        ),
        Row {
            what: "an item of nobody, by one who has no owner",
            signer: owner(),
            call: submit(
                &changed(world, |envelope| {
                    envelope.owner = IdentityId::ZERO;
                    envelope.device = identity(&owner());
                }),
                &owner(),
            ),
            class: Class::Denied,
        },
        row(
            "an unknown schema",
            submit(&changed(world, |envelope| envelope.schema = SchemaId([3; 32])), &device()),
            Class::NotFound,
        ),
        row(
            "a gap sent as a number",
            submit(
                &changed(world, |envelope| {
                    envelope.readings[0].value = Value::Number(Decimal::new(-9_999, -2).unwrap());
                }),
                &device(),
            ),
            Class::Format,
        ),
        row(
            "a text in a number field",
            submit(
                &changed(world, |envelope| {
                    envelope.readings[0].value = Value::Text("warm".into());
                }),
                &device(),
            ),
            Class::Format,
        ),
        row(
            "a required reading missing",
            submit(&changed(world, |envelope| envelope.readings.clear()), &device()),
            Class::Format,
        ),
        row(
            "a new item that begins with version 2",
            submit(&changed(world, |envelope| envelope.item_version = 2), &device()),
            Class::State,
        ),
    ]
}

/// Each refusal leaves nothing but nonce and record.
///
/// Req: Y4560-7.2.1-a, Y4560-7.2.1-b, Y4560-7.2.1-d, Y4560-6.3-1, Y4560-6.3-2
#[test]
fn submissions_are_refused_with_the_class_that_applies() {
    let mut world = World::new(&[]);
    for Row { what, signer, call, class } in rows(&world) {
        let refusal = world.call(&signer, call).expect_err(what);
        assert_eq!(refusal.class, class, "{what}: {refusal}");
        assert!(tombolo_islet_core::items(&world.islet.state, Default::default(), 9).is_empty());
        let record = world.islet.records().pop().unwrap();
        assert_eq!(record.outcome, class as u8, "{what}");
    }
}

/// Of several faults the first in the order of rule G1 is named.
#[test]
fn of_several_faults_the_first_in_order_is_named() {
    let mut world = World::new(&[]);
    // All at once: unknown schema, another's device, closed and shared, wrong key.
    let mut envelope = changed(&world, |envelope| {
        envelope.schema = SchemaId([3; 32]);
        envelope.class = DataClass::Closed;
        envelope.device = identity(&neighbours_device());
    });
    let classes = [(Class::Auth, &neighbour()), (Class::ClosedCopy, &neighbours_device())];
    for (class, key) in classes {
        let refusal = world.call(&device(), and_share(submit(&envelope, key))).unwrap_err();
        assert_eq!(refusal.class, class, "{refusal}");
    }
    let alone = submit(&envelope, &neighbours_device());
    assert_eq!(world.call(&device(), alone).unwrap_err().class, Class::Denied);
    envelope.device = identity(&device());
    let mine = submit(&envelope, &device());
    assert_eq!(world.call(&device(), mine).unwrap_err().class, Class::NotFound);
}

/// Req: Y4560-7.2.1-1, Y4560-7.2.1-c
#[test]
fn an_item_is_kept_as_the_device_signed_it() {
    let mut world = World::new(&[]);
    let envelope = reading(world.islet.id, "kitchen", 1, DataClass::Open);
    let (bytes, signature) = signed(&envelope, &device());
    world.call(&device(), submit(&envelope, &device())).unwrap();
    let kept = item(&world.islet.state, data_id(&envelope)).unwrap();
    assert_eq!((&kept.envelope, kept.signature), (&bytes, signature));
    assert_eq!(kept.fingerprint, digest::fingerprint(&bytes));
    assert_eq!((kept.version, kept.class, kept.standing), (1, DataClass::Open, Standing::Live));
    assert_eq!((kept.owner, kept.holder), (identity(&owner()), owner().address()));
    let record = world.islet.last_record("submit");
    assert_eq!((record.data_id, record.fingerprint), (kept.id, kept.fingerprint));
    assert_eq!(record.parties, [identity(&device()), identity(&owner())]);
}

/// Req: Y4560-7.2.1-c
#[test]
fn the_same_again_is_a_replay_and_other_content_needs_the_next_version() {
    let mut world = World::new(&[]);
    let first = reading(world.islet.id, "kitchen", 1, DataClass::Open);
    world.call(&device(), submit(&first, &device())).unwrap();
    let again = world.call(&device(), submit(&first, &device()));
    assert_eq!(again.unwrap_err().class, Class::Replay);
    let mut other = first.clone();
    other.salt = [6; 32];
    let other_content = world.call(&device(), submit(&other, &device()));
    assert_eq!(other_content.unwrap_err().class, Class::Replay);
    other.item_version = 3;
    assert_eq!(world.call(&device(), submit(&other, &device())).unwrap_err().class, Class::State);
    other.item_version = 2;
    world.call(&owner(), submit(&other, &device())).unwrap();
    let id = data_id(&first);
    assert_eq!(item(&world.islet.state, id).unwrap().version, 2);
    let past = past_versions(&world.islet.state, id, 0, 9);
    assert_eq!(past.len(), 1);
    assert_eq!((past[0].version, past[0].standing), (1, Standing::Superseded));
}

/// Class is fixed per version: closing is a new version, opening needs the owner's own signature.
///
/// Req: Y4560-6.3-1
#[test]
fn a46_the_class_changes_only_as_it_may() {
    let mut world = World::new(&[]);
    let mut envelope = reading(world.islet.id, "kitchen", 1, DataClass::Open);
    world.call(&device(), submit(&envelope, &device())).unwrap();
    envelope.class = DataClass::Closed;
    let same_version = world.call(&device(), submit(&envelope, &device()));
    assert_eq!(same_version.unwrap_err().class, Class::Replay);
    envelope.item_version = 2;
    world.call(&device(), submit(&envelope, &device())).unwrap();
    envelope.class = DataClass::Open;
    envelope.item_version = 3;
    let by_device = world.call(&device(), submit(&envelope, &device()));
    assert_eq!(by_device.unwrap_err().class, Class::Auth);
    envelope.device = identity(&owner());
    let carried_by_device = world.call(&device(), submit(&envelope, &owner()));
    assert_eq!(carried_by_device.unwrap_err().class, Class::Denied);
    world.call(&owner(), submit(&envelope, &owner())).unwrap();
    let opened = world.islet.last_record("submit");
    assert_eq!((opened.data_class, opened.outcome), (DataClass::Open.number(), 0));
}

/// Req: Y4560-9.2-2
#[test]
fn a_suspended_or_revoked_device_enters_nothing() {
    for status in [Status::Suspended, Status::Revoked] {
        let mut world = World::new(&[]);
        let update = IdentityUpdate { status: status.number(), ..machine(&device(), &owner()) };
        world.update(update);
        let envelope = reading(world.islet.id, "kitchen", 1, DataClass::Open);
        // Its own transaction may not even enter a block; its owner's is refused in it.
        let call = submit(&envelope, &device());
        let door = world.islet.at_the_door(&device(), tombolo_ledger::Call::Own(call.clone()));
        assert_eq!(door.unwrap_err().class, Class::Ident);
        assert_eq!(world.call(&owner(), call).unwrap_err().class, Class::Ident);
    }
}

/// A closed value stands in no refusal and no record, whatever is wrong with it.
///
/// Req: Y4560-8.4-2
#[test]
fn a46_a_closed_value_appears_in_no_refusal_and_no_record() {
    let canary = Value::Number(Decimal::new(-7_777_777, -3).unwrap());
    let mut shown = Vec::new();
    for class in [DataClass::Closed, DataClass::Open] {
        let mut world = World::new(&[]);
        let envelope = changed(&world, |envelope| {
            envelope.class = class;
            envelope.readings[0].value = canary.clone();
        });
        let refusal = world.call(&device(), submit(&envelope, &device())).unwrap_err();
        let records = format!("{:?}", world.islet.records());
        shown.push((refusal.message.contains("7777"), records.contains("7777.777")));
    }
    // Of the open one it may be told, which shows that the search finds it.
    assert_eq!(shown, [(false, false), (true, true)]);
}
