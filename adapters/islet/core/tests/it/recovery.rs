//! Expiry and freeze of the gateway's client, and the recovery council.

use crate::{
    harness::{Chain, Founding, delivery, key, rest},
    toy::{ToyCall, ToyHub, inbox},
    world::{
        ELSEWHERE, FUNDS, World, council, data_id, device, hub_key, move_out, neighbour, ordered,
        owner, pay, reading, relayer, submit,
    },
};
use tombolo_crypto::{client::LightClient, secp256k1::SecretKey};
use tombolo_islet_core::{
    CouncilOrder, IsletCall, ShareOrder, Standing, item, link_to_hub, pending_act,
};
use tombolo_ledger::{
    Call,
    lanes::{self, Lane, LinkStatus},
};
use tombolo_types::{
    Class, Hash, UnixMillis,
    action::Action,
    council::ActKind,
    header::Anchor,
    id::{ChainId, DataId, Xid},
    lane::{CONTROL_LANE, DATA_LANE},
    message::{Body, DataClass, Decision},
    transaction::{ClientUpdate, Misbehaviour},
    verifier::{ClientStatus, Verifier as _},
};

/// A minute of trust, ten seconds of delay.
const SHORT: [(&str, u64); 2] = [("council_delay_ms", 10_000), ("trusting_period_ms", 60_000)];

fn act_over(
    chain: ChainId,
    anchor: &Anchor,
    trust_epoch: u32,
    members: &[SecretKey],
) -> CouncilOrder {
    ordered(chain, ActKind::NewTrustedHeader, trust_epoch, anchor.encode(), members)
}

fn act(world: &World, trust_epoch: u32, members: &[SecretKey]) -> IsletCall {
    let anchor = world.hub.anchor();
    IsletCall::CouncilAct(act_over(world.islet.id, &anchor, trust_epoch, members))
}

/// A world with a lock of money and one of an item.
fn locked() -> (World, DataId, Xid) {
    let mut world = World::new(&SHORT);
    let envelope = reading(world.islet.id, "deed", 1, DataClass::Closed);
    world.call(&device(), submit(&envelope, &device())).unwrap();
    let id = data_id(&envelope);
    let actions = [
        Action::Pay(pay(&owner(), &neighbour(), 300)),
        Action::MoveOut(move_out(id, &owner(), ELSEWHERE)),
    ];
    let (xid, vote) = world.vote(1, &actions, &[(owner().address(), owner())]);
    assert!(vote.yes, "{}", vote.message);
    (world, id, xid)
}

fn assert_locked(world: &World, id: DataId, xid: Xid) {
    assert_eq!(item(&world.islet.state, id).unwrap().standing, Standing::Locked(xid));
    assert_eq!(world.funds(), (FUNDS - 300, FUNDS));
}

fn expire(world: &mut World) {
    world.islet.wait(120_000);
    world.hub.time = world.islet.time;
    world.hub.block(Vec::new());
}

fn freeze(world: &mut World) {
    let (header_a, certificate_a, header_b, certificate_b) = world.hub.forked();
    let set = world.hub.genesis.validators.clone();
    let evidence = Misbehaviour {
        header_a,
        certificate_a,
        validators_a: set.clone(),
        header_b,
        certificate_b,
        validators_b: set,
    };
    let link = world.link;
    let call = Call::Misbehaviour { link, evidence: evidence.encode() };
    world.islet.time = world.islet.time.max(world.hub.time);
    world.islet.run(&relayer(), call).unwrap();
    assert_eq!(link_to_hub(&world.islet.state).unwrap().status, LinkStatus::Frozen);
}

/// After expiry nothing is believed; the council sets a new header, and all goes on with funds and
/// locks as they were.
#[test]
fn a29_an_expired_client_is_restored_by_the_council_with_funds_intact() {
    let (mut world, id, xid) = locked();
    world.say(DATA_LANE, &Body::Commit(Decision { xid }));
    expire(&mut world);
    let delivery = rest(&world.hub, &world.islet, world.link, DATA_LANE);
    let bring = Call::Deliver(Box::new(delivery));
    assert_eq!(world.islet.run(&relayer(), bring).unwrap_err().class, Class::Proof);
    assert_locked(&world, id, xid);

    let call = act(&world, 1, &council()[..2]);
    world.call(&relayer(), call).unwrap();
    let waiting = pending_act(&world.islet.state).unwrap();
    assert_eq!(waiting.holds_from, world.islet.time.saturating_add(10_000));
    // Announced under the present trust epoch, so the hub hears of it before it holds.
    world.relay_out(CONTROL_LANE);
    let Some(Body::CouncilAct(announced)) = inbox(&world.hub.state, world.link, CONTROL_LANE).pop()
    else {
        panic!("no announcement");
    };
    assert_eq!((announced.act, announced.trust_epoch), (ActKind::NewTrustedHeader.number(), 1));
    assert_eq!(announced.holds_from, waiting.holds_from.0);
    assert_eq!(announced.signers, waiting.signers);
    // Not yet.
    let delivery = rest(&world.hub, &world.islet, world.link, DATA_LANE);
    let bring = Call::Deliver(Box::new(delivery));
    assert_eq!(world.islet.run(&relayer(), bring).unwrap_err().class, Class::Proof);

    world.islet.wait(10_000);
    assert_eq!(pending_act(&world.islet.state), None);
    assert_eq!(link_to_hub(&world.islet.state).unwrap().trust_epoch, 1);
    assert_locked(&world, id, xid);
    world.hub.time = world.islet.time;
    world.hub.block(Vec::new());
    world.relay_in(DATA_LANE).unwrap();
    assert_eq!(
        item(&world.islet.state, id).unwrap().standing,
        Standing::Moved { to: ELSEWHERE, xid }
    );
    assert_eq!(world.funds(), (FUNDS - 300, FUNDS + 300));
    // The hub takes nothing under the new trust epoch before its own quorum approves.
    let answers = rest(&world.islet, &world.hub, world.link, DATA_LANE);
    world.hub.time = world.islet.time;
    let bring = Call::Deliver(Box::new(answers));
    assert_eq!(world.hub.run(&relayer(), bring.clone()).unwrap_err().class, Class::State);
    let approve = crate::toy::ToyCall::Approve { link: world.link, trust_epoch: 1 };
    world.hub.call(&crate::world::hub_key(), approve).unwrap();
    world.hub.run(&relayer(), bring).unwrap();
    assert!(matches!(world.answers().pop(), Some(Body::Done(_))));
}

/// A lane that contradicts itself freezes the link and leaves the light client well. The council
/// may thaw it, and the next true head does not freeze it again.
#[test]
fn a29_a_link_frozen_over_a_lane_is_recovered_while_its_client_is_well() {
    let (mut world, id, xid) = locked();
    let below = world.hub.anchor();
    let honest = lanes::lane(&world.hub.state, world.link, DATA_LANE).unwrap();
    let forge = |world: &mut World, lane: &Lane| {
        let forged = Box::new(lane.clone());
        let call = ToyCall::Forge { link: world.link, lane: DATA_LANE, forged };
        world.hub.time = world.hub.time.max(world.islet.time);
        world.hub.call(&hub_key(), call).unwrap();
    };
    // A false head with a larger log is believed; the true one after it contradicts it.
    let mut larger = honest.clone();
    (0..3).for_each(|_| larger.sent.append(Hash([1; 32])));
    let received = lanes::lane(&world.islet.state, world.link, DATA_LANE).unwrap().received.size();
    for (lane, status) in [(&larger, LinkStatus::Open), (&honest, LinkStatus::Frozen)] {
        forge(&mut world, lane);
        let head = delivery(&world.hub, world.link, DATA_LANE, received, 0);
        world.islet.time = world.islet.time.max(world.hub.time);
        world.islet.run(&relayer(), Call::Deliver(Box::new(head))).unwrap();
        assert_eq!(link_to_hub(&world.islet.state).unwrap().status, status);
    }
    let client = link_to_hub(&world.islet.state).unwrap().client;
    let view = LightClient.view(&client, world.islet.time).unwrap();
    assert_eq!(view.status, ClientStatus::Active);
    // What the client accepted stays true.
    let low = act_over(world.islet.id, &below, 1, &council()[..2]);
    let refusal = world.call(&relayer(), IsletCall::CouncilAct(low)).unwrap_err();
    assert_eq!(refusal.class, Class::Proof, "{refusal}");

    world.say(DATA_LANE, &Body::Commit(Decision { xid }));
    let call = act(&world, 1, &council()[..2]);
    world.call(&relayer(), call).unwrap();
    // Nobody outruns the act while it waits.
    world.hub.block(Vec::new());
    let (header, certificate) = world.hub.newest();
    let next_validators = world.hub.genesis.validators.clone();
    let update = ClientUpdate { header, certificate, next_validators }.encode();
    let call = Call::UpdateClient { link: world.link, update };
    assert_eq!(world.islet.run(&relayer(), call).unwrap_err().class, Class::State);
    world.islet.wait(10_000);
    assert_eq!(link_to_hub(&world.islet.state).unwrap().status, LinkStatus::Open);
    assert_locked(&world, id, xid);
    world.hub.time = world.islet.time;
    world.hub.block(Vec::new());
    world.relay_in(DATA_LANE).unwrap();
    assert_eq!(link_to_hub(&world.islet.state).unwrap().status, LinkStatus::Open);
    let moved = Standing::Moved { to: ELSEWHERE, xid };
    assert_eq!(item(&world.islet.state, id).unwrap().standing, moved);
}

/// A frozen link takes nothing and releases nothing; the council may thaw it.
#[test]
fn a43_a_frozen_link_keeps_its_locks_until_the_decision_comes() {
    let (mut world, id, xid) = locked();
    world.say(DATA_LANE, &Body::Abort(Decision { xid }));
    freeze(&mut world);
    assert_locked(&world, id, xid);
    let delivery = rest(&world.hub, &world.islet, world.link, DATA_LANE);
    let bring = Call::Deliver(Box::new(delivery));
    assert_eq!(world.islet.run(&relayer(), bring).unwrap_err().class, Class::State);
    world.islet.wait(50_000);
    assert_locked(&world, id, xid);
    let envelope = reading(world.islet.id, "kitchen", 1, DataClass::Open);
    world.call(&device(), submit(&envelope, &device())).unwrap();
    let order = ShareOrder { destination: ELSEWHERE, not_after: UnixMillis::ZERO };
    let share = IsletCall::Share { data_id: data_id(&envelope), order };
    assert_eq!(world.call(&owner(), share).unwrap_err().class, Class::State);

    world.hub.time = world.islet.time;
    world.hub.block(Vec::new());
    let call = act(&world, 1, &council()[1..]);
    world.call(&relayer(), call).unwrap();
    world.islet.wait(10_000);
    assert_eq!(link_to_hub(&world.islet.state).unwrap().status, LinkStatus::Open);
    assert_locked(&world, id, xid);
    world.hub.time = world.islet.time;
    world.hub.block(Vec::new());
    world.relay_in(DATA_LANE).unwrap();
    assert_eq!(item(&world.islet.state, id).unwrap().standing, Standing::Live);
    assert_eq!(world.funds(), (FUNDS, FUNDS));
}

#[test]
fn acts_are_refused_with_the_class_that_applies() {
    let mut world = World::new(&SHORT);
    let members = council();
    // Nothing to recover from.
    let healthy = act(&world, 1, &members[..2]);
    assert_eq!(world.call(&relayer(), healthy).unwrap_err().class, Class::State);
    expire(&mut world);
    let chain = world.islet.id;
    let anchor = world.hub.anchor();
    let another = Chain::new(ToyHub, "another", 102, Founding::default()).anchor();
    let stale = Anchor { time: UnixMillis(anchor.time.0 - 100_000), ..anchor.clone() };
    let twice = [members[0].clone(), members[0].clone()];
    let descending = [members[1].clone(), members[0].clone()];
    let stranger = [members[0].clone(), key(99)];
    let rows = [
        ("one of two", act_over(chain, &anchor, 1, &members[..1]), Class::Quorum),
        ("nobody", act_over(chain, &anchor, 1, &[]), Class::Quorum),
        ("one twice", act_over(chain, &anchor, 1, &twice), Class::Format),
        ("not ascending", act_over(chain, &anchor, 1, &descending), Class::Format),
        ("a stranger", act_over(chain, &anchor, 1, &stranger), Class::Auth),
        ("signed for another chain", act_over(ELSEWHERE, &anchor, 1, &members[..2]), Class::Auth),
        ("a later trust epoch", act_over(chain, &anchor, 2, &members[..2]), Class::State),
        ("another hub", act_over(chain, &another, 1, &members[..2]), Class::Proof),
        ("an old header", act_over(chain, &stale, 1, &members[..2]), Class::Proof),
    ];
    for (what, act, class) in rows {
        let refusal = world.call(&relayer(), IsletCall::CouncilAct(act)).expect_err(what);
        assert_eq!(refusal.class, class, "{what}: {refusal}");
        assert_eq!(pending_act(&world.islet.state), None, "{what}");
    }
    let mut spoilt = act_over(chain, &anchor, 1, &members[..2]);
    spoilt.data.push(0);
    let refusal = world.call(&relayer(), IsletCall::CouncilAct(spoilt)).unwrap_err();
    assert_eq!(refusal.class, Class::Format);
    let good = act(&world, 1, &members);
    world.call(&relayer(), good.clone()).unwrap();
    // One at a time.
    assert_eq!(world.call(&relayer(), good).unwrap_err().class, Class::State);
}

/// An anchor that grew too old during the delay is dropped, with a record, and the council may act
/// again.
#[test]
fn an_act_that_comes_too_late_is_dropped_and_recorded() {
    let mut world = World::new(&SHORT);
    expire(&mut world);
    let call = act(&world, 1, &council()[..2]);
    world.call(&relayer(), call).unwrap();
    world.islet.wait(120_000);
    assert_eq!(pending_act(&world.islet.state), None);
    assert_eq!(link_to_hub(&world.islet.state).unwrap().trust_epoch, 0);
    let record = world.islet.last_record("council-act");
    assert_eq!(record.outcome, Class::Proof as u8);
    world.hub.time = world.islet.time;
    world.hub.block(Vec::new());
    let again = act(&world, 1, &council()[..2]);
    world.call(&relayer(), again).unwrap();
    world.islet.wait(10_000);
    assert_eq!(link_to_hub(&world.islet.state).unwrap().trust_epoch, 1);
}
