//! Data of several kinds of sources in one block.

use crate::{
    harness::{identity, rest},
    world::{
        ELSEWHERE, World, data_id, device, neighbour, neighbours_device, owner, reading, relayer,
        shared, submit,
    },
};
use tombolo_islet_core::{copies, items};
use tombolo_ledger::Call;
use tombolo_types::{
    Class,
    envelope::{Decimal, Envelope, Value},
    lane::DATA_LANE,
    message::{Body, DataClass},
};

/// A sensor, a party that writes with its own key, and another ledger: one block brings an item of
/// each, and a bad one of two of them. What is good is one set in one format; what is bad is
/// refused alone.
///
/// Req: D37-6.2.3-2
#[test]
fn a_batch_of_three_kinds_of_sources_is_one_uniform_set() {
    let mut world = World::new(&[]);
    let here = world.islet.id;
    let too_hot = |mut envelope: Envelope| {
        envelope.readings[0].value = Value::Number(Decimal::new(999, 0).unwrap());
        envelope
    };
    let by_sensor = reading(here, "sensor", 1, DataClass::Open);
    let by_hand =
        Envelope { device: identity(&owner()), ..reading(here, "by hand", 1, DataClass::Open) };
    let bad_sensor = too_hot(Envelope {
        owner: identity(&neighbour()),
        device: identity(&neighbours_device()),
        ..reading(here, "broken", 1, DataClass::Open)
    });
    let from_elsewhere = reading(ELSEWHERE, "elsewhere", 1, DataClass::Open);
    let bad_elsewhere = too_hot(reading(ELSEWHERE, "broken", 1, DataClass::Open));
    for envelope in [&bad_elsewhere, &from_elsewhere] {
        world.say(DATA_LANE, &Body::Share(shared(envelope, &device(), here)));
    }
    let delivery = rest(&world.hub, &world.islet, world.link, DATA_LANE);
    world.islet.time = world.islet.time.max(world.hub.time);
    let own = |key, envelope| Call::Own(submit(envelope, key));
    let batch = [
        (neighbours_device(), own(&neighbours_device(), &bad_sensor)),
        (device(), own(&device(), &by_sensor)),
        (relayer(), Call::Deliver(Box::new(delivery))),
        (owner(), own(&owner(), &by_hand)),
    ];
    let batch = batch.map(|(signer, call)| world.islet.transaction(&signer, call)).to_vec();
    let outcomes = world.islet.block(batch);
    let classes: Vec<_> =
        outcomes.iter().map(|it| it.refusal.as_ref().map(|refusal| refusal.class)).collect();
    assert_eq!(classes, [Some(Class::Format), None, None, None]);
    let shares = world.islet.records().into_iter().filter(|it| it.operation == "share");
    let shares: Vec<u8> = shares.map(|it| it.outcome).collect();
    assert_eq!(shares, [Class::Format as u8, 0]);

    // One set: every member is the same kind of envelope under the same structure.
    let kept = items(&world.islet.state, Default::default(), 9);
    let copied = copies(&world.islet.state, Default::default(), 9);
    let bytes = kept.iter().map(|it| &it.envelope).chain(copied.iter().map(|it| &it.envelope));
    let mut found: Vec<Envelope> =
        bytes.map(|bytes| Envelope::parse(bytes).unwrap().envelope().clone()).collect();
    let mut expected = vec![by_sensor, by_hand, from_elsewhere];
    found.sort_by_key(data_id);
    expected.sort_by_key(data_id);
    assert_eq!(found, expected);
    for envelope in &found {
        assert_eq!((envelope.version, envelope.schema), (found[0].version, found[0].schema));
        assert_eq!(envelope.readings[0].name, "temperature");
        assert!(matches!(envelope.readings[0].value, Value::Number(_)));
    }
}
