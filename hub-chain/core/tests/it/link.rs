//! Links over whole blocks: order of opening, Hello, pause, recovery, announcements.

use crate::{
    harness::{Chain, Peer, START, bodies, deliver, identity},
    world::{self, World, class, new_link},
};
use tombolo_hub::{
    Hub, HubCall,
    govern::{Act, NewLink},
    query,
};
use tombolo_ledger::Call;
use tombolo_types::{
    Class, Hash, Height, UnixMillis,
    header::Anchor,
    id::{BlockId, LinkId},
    lane::{CONTROL_LANE, DATA_LANE},
    message::{Body, Hello},
};

fn start() -> (Chain<Hub>, Chain<Peer>, Anchor) {
    let mut hub = world::hub(vec![]);
    hub.block(vec![]);
    let anchor = hub.anchor();
    let mut peer = world::peer(&anchor, 110);
    peer.block(vec![]);
    (hub, peer, anchor)
}

fn say(hub: &mut Chain<Hub>, peer: &mut Chain<Peer>, hello: Hello) -> Option<Class> {
    peer.send(CONTROL_LANE, &Body::Hello(hello));
    let link = peer.link();
    deliver(peer, hub, link, CONTROL_LANE).unwrap();
    let record = hub.records_of("hello").pop().unwrap();
    Class::from_number(record.outcome)
}

/// Req: Y4560-10.2-0, Y4560-10.2-1.1
#[test]
fn what_cannot_be_a_link_is_refused_at_registration() {
    let (mut hub, peer, _) = start();
    let good = new_link(&peer);
    let change = |change: &dyn Fn(&mut NewLink)| {
        let mut link = good.clone();
        change(&mut link);
        Act::RegisterLink(Box::new(link))
    };
    let own = hub.anchor();
    let shared = {
        let mut anchor = peer.anchor();
        anchor.validators.validators = own.validators.validators.clone();
        anchor.encode()
    };
    for (what, act, expected) in [
        ("mode 0", change(&|link| link.mode = 0), Class::Format),
        ("its own consensus in mode 2", change(&|link| link.mode = 2), Class::Unsupported),
        ("its own consensus in mode 3", change(&|link| link.mode = 3), Class::Unsupported),
        ("unknown verifier", change(&|link| link.verifier = "bitcoin".into()), Class::Unsupported),
        ("no anchor", change(&|link| link.anchor = vec![]), Class::Format),
        ("another chain", change(&|link| link.chain.0[0] ^= 1), Class::Format),
        ("a shared node", change(&|link| link.anchor = shared.clone()), Class::State),
    ] {
        assert_eq!(class(hub.enact(act)), Some(expected), "{what}");
    }
    hub.enact(change(&|_| {})).unwrap();
    let id = peer.link();
    let found = query::link(&hub.store, id).unwrap();
    assert_eq!((found.status, found.link.mode), ("proposed", 1));
    assert_eq!(class(hub.enact(change(&|_| {}))), Some(Class::State), "registered twice");
    assert_eq!(class(hub.enact(Act::OpenLink { link: id })), Some(Class::State), "no Hello yet");
    let unknown = Act::OpenLink { link: LinkId([1; 32]) };
    assert_eq!(class(hub.enact(unknown)), Some(Class::NotFound));
}

/// Req: Y4560-10.2-1.2, Y4560-10.2-1.4
#[test]
fn hello_must_be_what_was_registered() {
    type Change = fn(&mut Hello);
    let cases: [(&str, Change, Option<Class>); 9] = [
        ("as registered", |_| {}, None),
        ("a later version only", |hello| hello.version_min = 2, Some(Class::Version)),
        ("another chain", |hello| hello.chain.0[0] ^= 1, Some(Class::Format)),
        ("another mode", |hello| hello.mode = 2, Some(Class::State)),
        ("other code", |hello| hello.gateway_code_hash = Hash([1; 32]), Some(Class::State)),
        (
            "another method",
            |hello| hello.identification_method = "X.509".into(),
            Some(Class::IdMethod),
        ),
        ("a fork of the hub", |hello| hello.anchor_id = BlockId([1; 32]), Some(Class::Proof)),
        ("the hub's future", |hello| hello.anchor_height.0 += 1_000, Some(Class::Proof)),
        (
            "a minority council",
            |hello| {
                hello.council = vec![tombolo_types::Address([1; 20]); 2];
                hello.council_threshold = 1;
            },
            Some(Class::Format),
        ),
    ];
    for (what, change, expected) in cases {
        let (mut hub, mut peer, anchor) = start();
        hub.enact(Act::RegisterLink(Box::new(new_link(&peer)))).unwrap();
        let mut hello = peer.hello(&anchor);
        change(&mut hello);
        let said = say(&mut hub, &mut peer, hello);
        assert_eq!(said, expected, "{what}");
        let opened = hub.enact(Act::OpenLink { link: peer.link() });
        assert_eq!(class(opened), expected.map(|_| Class::State), "{what}");
    }
}

/// Where several faults are in one Hello, the first class of rule G1 is given.
#[test]
fn hello_gives_the_first_class() {
    let (mut hub, mut peer, anchor) = start();
    hub.enact(Act::RegisterLink(Box::new(new_link(&peer)))).unwrap();
    let mut hello = peer.hello(&anchor);
    hello.version_min = 2;
    hello.identification_method = "X.509".into();
    hello.gateway_code_hash = Hash([1; 32]);
    assert_eq!(say(&mut hub, &mut peer, hello.clone()), Some(Class::Version));
    hello.version_min = 1;
    assert_eq!(say(&mut hub, &mut peer, hello.clone()), Some(Class::IdMethod));
    hello.identification_method = crate::harness::METHOD.into();
    // Its place as the first message is lost.
    assert_eq!(say(&mut hub, &mut peer, hello), Some(Class::State));
}

#[test]
fn nothing_is_taken_before_the_link_is_open_and_then_everything_is_announced() {
    let (mut hub, mut peer, anchor) = start();
    hub.enact(Act::SetSchema { definition: world::schema("air") }).unwrap();
    hub.enact(Act::RegisterLink(Box::new(new_link(&peer)))).unwrap();
    let hello = peer.hello(&anchor);
    assert_eq!(say(&mut hub, &mut peer, hello.clone()), None);
    assert_eq!(say(&mut hub, &mut peer, hello), Some(Class::Replay));
    let id = peer.link();
    assert_eq!(bodies(&hub, id, CONTROL_LANE, 0).len(), 1, "only the answer to the second");
    hub.enact(Act::OpenLink { link: id }).unwrap();
    hub.block(vec![]);
    let told = bodies(&hub, id, CONTROL_LANE, 1);
    let names: Vec<&str> = told.iter().map(Body::name).collect();
    assert_eq!(names[..2], ["hello", "schema-update"]);
    assert_eq!(names[2..], ["identity-update"; 5]);
    let Body::Hello(own) = &told[0] else { panic!() };
    assert_eq!((own.chain, own.mode), (hub.id, 1));
    assert_eq!(class(hub.enact(Act::OpenLink { link: id })), Some(Class::Replay));
    assert_eq!(query::link_to(&hub.store, peer.id).unwrap().status, "open");
}

#[test]
fn a_pause_stops_requests_ends_by_itself_and_is_not_repeated() {
    let mut world = World::new();
    let (a, _) = world.links();
    assert_eq!(class(world.hub.run(5, HubCall::Pause { link: a })), Some(Class::Denied));
    world.hub.run(4, HubCall::Pause { link: a }).unwrap();
    assert_eq!(query::link(&world.hub.store, a).unwrap().status, "paused");
    let share = world.share(world.reading("paused"));
    assert_eq!(class(world.send_share(share.clone())), Some(Class::State));
    world.hub.block_after(3_600_000, vec![]);
    world.a.block_after(3_600_000, vec![]);
    world.send_share(share).unwrap();
    assert_eq!(class(world.hub.run(4, HubCall::Pause { link: a })), Some(Class::Denied));
    let allow = Act::AllowPause { link: a, identity: identity(4) };
    world.hub.enact(allow.clone()).unwrap();
    assert_eq!(class(world.hub.enact(allow)), Some(Class::NotFound));
    world.hub.run(4, HubCall::Pause { link: a }).unwrap();
    // A quorum ends it early.
    world.hub.enact(Act::OpenLink { link: a }).unwrap();
    assert_eq!(query::link(&world.hub.store, a).unwrap().status, "open");
}

#[test]
fn a_closed_link_takes_nothing_and_another_incarnation_may_follow() {
    let mut world = World::new();
    let (a, _) = world.links();
    let mut second = new_link(&world.a);
    second.incarnation = 2;
    world.hub.enact(Act::RegisterLink(Box::new(second))).unwrap();
    world.hub.enact(Act::CloseLink { link: a }).unwrap();
    assert_eq!(class(world.hub.enact(Act::CloseLink { link: a })), Some(Class::Replay));
    world.a.send(DATA_LANE, &Body::Share(world.share(world.reading("closed"))));
    let result = deliver(&mut world.a, &mut world.hub, a, DATA_LANE);
    assert_eq!(class(result), Some(Class::State));
    assert_eq!(query::link_to(&world.hub.store, world.a.id), None);
}

/// What a recovery council did is taken only once a quorum approves its trust epoch.
#[test]
fn a_trust_epoch_rises_by_quorum_only() {
    let mut world = World::new();
    let (a, _) = world.links();
    let approve = |trust_epoch| Act::ApproveTrust { link: a, trust_epoch };
    assert_eq!(class(world.hub.enact(approve(0))), Some(Class::State));
    world.hub.enact(approve(2)).unwrap();
    world.a.send(DATA_LANE, &Body::Share(world.share(world.reading("old"))));
    let result = deliver(&mut world.a, &mut world.hub, a, DATA_LANE);
    assert_eq!(class(result), Some(Class::State), "the gateway is still in epoch 0");
}

/// Only an expired client is recovered, and only to a header of the same chain.
#[test]
fn a_client_is_recovered_after_expiry_only() {
    let mut world = World::new();
    let (a, b) = world.links();
    let recover = |link, anchor: &Anchor| Act::RecoverClient { link, anchor: anchor.encode() };
    let now = world.a.anchor();
    assert_eq!(class(world.hub.enact(recover(a, &now))), Some(Class::State));
    let gone = 1_209_600_000;
    world.hub.block_after(gone, vec![]);
    world.a.block_after(gone, vec![]);
    world.b.block_after(gone, vec![]);
    let (of_a, of_b) = (world.a.anchor(), world.b.anchor());
    assert_eq!(class(world.hub.enact(recover(a, &of_b))), Some(Class::Proof));
    world.a.send(DATA_LANE, &Body::Share(world.share(world.reading("late"))));
    let result = deliver(&mut world.a, &mut world.hub, a, DATA_LANE);
    assert_eq!(class(result), Some(Class::Proof), "the client has expired");
    world.hub.enact(recover(a, &of_a)).unwrap();
    deliver(&mut world.a, &mut world.hub, a, DATA_LANE).unwrap();
    assert_eq!(query::link(&world.hub.store, b).unwrap().status, "open");
}

/// An expired client goes on above what it accepted; one that saw a contradiction may go below.
#[test]
fn a29_a_recovery_keeps_what_was_accepted_unless_the_client_is_frozen() {
    let mut world = World::new();
    let (a, _) = world.links();
    let recover = |anchor: &Anchor| Act::RecoverClient { link: a, anchor: anchor.encode() };
    let before = query::link(&world.hub.store, a).unwrap().link;
    let gone = 1_209_600_000;
    world.hub.block_after(gone, vec![]);
    world.a.block_after(gone, vec![]);
    let good = world.a.anchor();
    let lower = Height(before.peer_height.0 - 1);
    for (what, anchor, words) in [
        ("lower", Anchor { height: lower, ..good.clone() }, "is below"),
        ("another block", Anchor { height: before.peer_height, ..good.clone() }, "was accepted"),
        ("not later", Anchor { time: UnixMillis(START), ..good.clone() }, "is not after"),
    ] {
        let refusal = world.hub.enact(recover(&anchor)).unwrap_err();
        assert_eq!(refusal.class, Class::Proof, "{what}");
        assert!(refusal.message.contains(words), "{what}: {refusal}");
    }
    world.hub.enact(recover(&good)).unwrap();
    let after = query::link(&world.hub.store, a).unwrap().link;
    assert_eq!(
        (after.peer_height, after.peer_id, after.peer_time),
        (good.height, good.block_id, good.time)
    );

    // The client follows the chain further, and sees it contradict itself there.
    let earlier = world.a.anchor();
    world.a.send(DATA_LANE, &Body::Share(world.share(world.reading("higher"))));
    deliver(&mut world.a, &mut world.hub, a, DATA_LANE).unwrap();
    let evidence = world.a.equivocation();
    let shown = world.hub.sign(5, Call::Misbehaviour { link: a, evidence });
    world.hub.one(shown).unwrap();
    assert_eq!(query::link(&world.hub.store, a).unwrap().status, "frozen");
    world.hub.enact(recover(&earlier)).unwrap();
    let thawed = query::link(&world.hub.store, a).unwrap();
    assert_eq!((thawed.status, thawed.link.peer_height), ("open", earlier.height));
    world.a.send(DATA_LANE, &Body::Share(world.share(world.reading("later"))));
    deliver(&mut world.a, &mut world.hub, a, DATA_LANE).unwrap();
}
