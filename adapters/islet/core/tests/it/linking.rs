//! Hello both ways, and what comes before it.

use crate::{
    toy::inbox,
    world::{World, council, person, relayer},
};
use tombolo_islet_core::{code_hash, gateway, gateway_address, hub_link_id, link_to_hub};
use tombolo_ledger::lanes::LinkStatus;
use tombolo_types::{
    Class, Height,
    id::{BlockId, ChainId},
    lane::CONTROL_LANE,
    message::{Body, Hello},
};

/// The first message says who speaks, how, and from which point of the hub it trusts.
///
/// Req: Y4560-10.2-1.4
#[test]
fn the_gateway_says_hello_at_genesis() {
    let mut world = World::unlinked(&[]);
    world.relay_out(CONTROL_LANE);
    let [Body::Hello(hello)] = &inbox(&world.hub.state, world.link, CONTROL_LANE)[..] else {
        panic!("the first message is no Hello");
    };
    assert_eq!((hello.chain, hello.mode), (world.islet.id, 1));
    assert_eq!(hello.gateway_code_hash, code_hash());
    assert_eq!(hello.identification_method, "tombolo-identity/1");
    assert_eq!(hello.anchor_height, Height::ZERO);
    assert_eq!(hello.anchor_id, BlockId(world.hub.id.0));
    let members: Vec<_> = council().iter().map(|key| key.address()).collect();
    assert_eq!((&hello.council, hello.council_threshold), (&members, 2));
    let born = gateway(&world.islet.state).unwrap();
    assert_eq!(born.address, gateway_address(world.islet.id));
    assert_eq!(born.link, hub_link_id(world.hub.id, world.islet.id));
}

#[test]
fn nothing_is_taken_before_the_hub_says_hello() {
    let mut world = World::unlinked(&[]);
    let update = person(&crate::world::owner(), Default::default());
    world.say(CONTROL_LANE, &Body::IdentityUpdate(update));
    world.relay_in(CONTROL_LANE).unwrap();
    assert_eq!(world.islet.last_record("identity-update").outcome, Class::State as u8);
    assert_eq!(link_to_hub(&world.islet.state).unwrap().status, LinkStatus::Proposed);
}

#[test]
fn a_hello_that_does_not_suit_opens_nothing() {
    type Change = fn(&mut Hello);
    let rows: [(Class, Change); 6] = [
        (Class::Version, |hello| hello.version_min = 2),
        (Class::Version, |hello| hello.version_max = 0),
        (Class::Format, |hello| hello.chain = ChainId([1; 32])),
        (Class::IdMethod, |hello| hello.identification_method = "x509".into()),
        (Class::State, |hello| hello.mode = 2),
        (Class::Proof, |hello| hello.anchor_id = BlockId([1; 32])),
    ];
    let mut world = World::unlinked(&[]);
    for (class, change) in rows {
        let mut hello = world.hello();
        change(&mut hello);
        world.say(CONTROL_LANE, &Body::Hello(hello));
        world.relay_in(CONTROL_LANE).unwrap();
        assert_eq!(world.islet.last_record("hello").outcome, class as u8);
        assert_eq!(link_to_hub(&world.islet.state).unwrap().status, LinkStatus::Proposed);
    }
    let hello = Body::Hello(world.hello());
    world.say(CONTROL_LANE, &hello);
    world.say(CONTROL_LANE, &hello);
    world.relay_in(CONTROL_LANE).unwrap();
    let link = link_to_hub(&world.islet.state).unwrap();
    assert_eq!((link.status, link.peer_weight_max.0), (LinkStatus::Open, 64));
    // A second Hello is refused, and changes nothing.
    assert_eq!(world.islet.last_record("hello").outcome, Class::State as u8);
}

/// A proof of the hub's lane opens the door; a key that nobody knows is not even asked for one.
#[test]
fn deliveries_are_open_to_any_registered_key_and_to_no_other() {
    let mut world = World::new(&[]);
    world.say(CONTROL_LANE, &Body::IdentityUpdate(person(&relayer(), Default::default())));
    let delivery = crate::harness::rest(&world.hub, &world.islet, world.link, CONTROL_LANE);
    let call = tombolo_ledger::Call::Deliver(Box::new(delivery));
    let stranger = world.islet.at_the_door(&crate::harness::key(99), call.clone());
    assert_eq!(stranger.unwrap_err().class, Class::Ident);
    world.islet.time = world.hub.time;
    world.islet.run(&crate::world::device(), call).unwrap();
}
