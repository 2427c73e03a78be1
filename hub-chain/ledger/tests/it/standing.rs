//! What a link takes while it is proposed, paused, frozen or closed; and what comes too late.

use crate::{
    toy::{ANSWERS, FREEZE, FROZE, HEARD, TAKE, TAKEN, ToyCall, request},
    world::{World, call_of, delivery, relayer},
};
use proptest::prelude::*;
use tombolo_crypto::client::LightClient;
use tombolo_ledger::{
    Call, State,
    lanes::{self, LinkStatus},
};
use tombolo_types::{
    Class, Hash, Refusal, UnixMillis,
    header::Anchor,
    id::LinkId,
    lane::{DATA_LANE, Direction, Message},
    message::{Body, Decision, Hello, Refused},
    verifier::Verifier as _,
};

fn encoded(body: &Body) -> Vec<u8> {
    Message::new(body, UnixMillis::ZERO, Hash([3; 32])).encode()
}

/// A hello, a request, a decision and an answer, in this order, on the hub's lane.
fn four_kinds() -> World {
    let mut world = World::new();
    let hello = Hello {
        version_min: 1,
        version_max: 1,
        chain: world.hub.id,
        mode: 1,
        gateway_code_hash: Hash::ZERO,
        identification_method: String::new(),
        policy_hash: Hash::ZERO,
        council: Vec::new(),
        council_threshold: 0,
        trusting_period_ms: 0,
        council_delay_ms: 0,
        weight_max: Default::default(),
        backlog_max: 0,
        anchor_height: Default::default(),
        anchor_id: Default::default(),
    };
    let refused = Refused { of: Default::default(), class: 5, message: String::new() };
    for body in [
        Body::Hello(hello),
        request(TAKE, 1),
        Body::Commit(Decision { xid: Default::default() }),
        Body::Refused(refused),
    ] {
        world.hub.append_raw(world.link, encoded(&body));
    }
    world
}

fn stand(world: &mut World, status: LinkStatus) {
    world.chain.call(ToyCall::Status { link: world.link, status }).unwrap();
}

/// Which of hello, request, decision and answer were taken.
fn taken(world: &World) -> [bool; 4] {
    let key = |number| (world.link, DATA_LANE, number);
    let request = |number| TAKEN.has(&world.chain.state, &key(number));
    [request(0), request(1), request(2), ANSWERS.has(&world.chain.state, &key(3))]
}

#[test]
fn a_link_takes_what_its_standing_allows() {
    let soon = UnixMillis(u64::MAX);
    let table = [
        (LinkStatus::Open, [true; 4]),
        (LinkStatus::Proposed, [true, false, true, true]),
        (LinkStatus::Paused { until: soon }, [true, false, true, true]),
        (LinkStatus::Paused { until: UnixMillis(1) }, [true; 4]),
    ];
    for (status, expected) in table {
        let mut world = four_kinds();
        stand(&mut world, status);
        world.bring_to_chain().unwrap();
        assert_eq!(taken(&world), expected, "{status:?}");
        let lane = world.chain.lane(world.link);
        assert_eq!(lane.received.size(), 4, "{status:?}: the lane goes on");
        assert_eq!(lane.sent.size(), u64::from(!expected[1]), "{status:?}: one answer");
    }
    for status in [LinkStatus::Frozen, LinkStatus::Closed] {
        let mut world = four_kinds();
        stand(&mut world, status);
        assert_eq!(world.bring_to_chain().unwrap_err().class, Class::State, "{status:?}");
        assert_eq!(world.chain.lane(world.link).received.size(), 0);
    }
}

/// A pause ends by itself in the very block whose time it names.
#[test]
fn a_pause_ends_at_its_time() {
    for (early, class) in [(1, Class::State as u8), (0, 0)] {
        let mut world = four_kinds();
        let until = world.chain.time.saturating_add(500 + early);
        stand(&mut world, LinkStatus::Paused { until });
        world.bring_to_chain().unwrap();
        let records = world.chain.records();
        assert_eq!(records[records.len() - 3].outcome, class, "{early} ms before the end");
    }
}

/// What freezes the link in the middle of a batch ends the batch: nothing after it is taken, so
/// that nothing is refused for the freeze's sake and all of it can come after a recovery.
#[test]
fn a_freeze_within_a_batch_ends_the_batch() {
    let mut world = World::new();
    world.hub.append(world.link, TAKE, 2);
    world.hub.append(world.link, FREEZE, 1);
    world.hub.append(world.link, TAKE, 3);
    world.bring_to_chain().unwrap();
    let lane = world.chain.lane(world.link);
    assert_eq!((lane.received.size(), lane.sent.size()), (3, 0));
    assert_eq!(world.bring_to_chain().unwrap_err().class, Class::State);
    stand(&mut world, LinkStatus::Open);
    world.bring_to_chain().unwrap();
    assert_eq!(world.chain.lane(world.link).received.size(), 6);
    for number in 0..6 {
        assert_eq!(TAKEN.get(&world.chain.state, &(world.link, DATA_LANE, number)), Some(1));
    }
}

/// A closed link is not frozen any more: the way back through recovery stays shut.
#[test]
fn a_closed_link_stays_closed() {
    let mut world = World::new();
    stand(&mut world, LinkStatus::Closed);
    let link = world.link;
    for call in [
        Call::UpdateClient { link, update: Vec::new() },
        Call::Misbehaviour { link, evidence: Vec::new() },
    ] {
        assert_eq!(world.chain.run(&relayer(), call).unwrap_err().class, Class::State);
    }
    assert_eq!(world.chain.link(link).status, LinkStatus::Closed);
    assert_eq!(FROZE.get(&world.chain.state, &link), None);
}

/// Sends a request that is good until `offset` ms after the block that takes it; gives whether it
/// was taken and whether it came back as refused for lateness.
fn in_time(not_after: impl Fn(u64) -> u64) -> (bool, bool) {
    let mut world = World::new();
    // One block for the append on the hub, then the block of the chain that takes it.
    let taken_at = world.chain.time.0 + 250;
    let call = ToyCall::Append {
        link: world.link,
        lane: DATA_LANE,
        what: TAKE,
        bytes: 1,
        not_after: UnixMillis(not_after(taken_at)),
    };
    world.hub.call(call).unwrap();
    world.bring_to_chain().unwrap();
    assert_eq!(world.chain.time.0, taken_at);
    world.chain.block(Vec::new());
    world.bring_to_hub().unwrap();
    let key = (world.link, DATA_LANE, 0);
    let answer = ANSWERS.get(&world.hub.state, &key);
    assert!(answer.is_none_or(|(of, class)| (of, class) == (0, Class::Timeout as u8)));
    assert_eq!(HEARD.get(&world.hub.state, &key), Some(1), "taken, as a message, in any case");
    (TAKEN.has(&world.chain.state, &key), answer.is_some())
}

#[test]
fn a20_a_request_is_good_up_to_its_limit() {
    type Limit = fn(u64) -> u64;
    let table: [(&str, Limit, bool); 5] = [
        ("one before the limit", |at| at + 1, true),
        ("at the limit", |at| at, true),
        ("one after the limit", |at| at - 1, false),
        ("no limit", |_| 0, true),
        ("for ever", |_| u64::MAX, true),
    ];
    for (what, not_after, taken) in table {
        assert_eq!(in_time(not_after), (taken, !taken), "{what}");
    }
    assert_eq!(in_time(|_| 1), (false, true));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever the limit, a request is either taken or comes back as refused, never both and
    /// never neither. A header of the receiver with a later time and less received excludes both.
    #[test]
    fn a20_taken_and_refused_exclude_each_other(offset in -3i64..4, any in any::<u64>()) {
        let (taken, refused) = in_time(|at| at.saturating_add_signed(offset));
        prop_assert_ne!(taken, refused);
        let (taken, refused) = in_time(|_| any);
        prop_assert_ne!(taken, refused);
    }
}

/// Late and on a paused link: the standing is named first (rule G1).
#[test]
fn a_paused_link_is_named_before_lateness() {
    let mut world = World::new();
    let call = ToyCall::Append {
        link: world.link,
        lane: DATA_LANE,
        what: TAKE,
        bytes: 1,
        not_after: UnixMillis(1),
    };
    world.hub.call(call).unwrap();
    stand(&mut world, LinkStatus::Paused { until: UnixMillis(u64::MAX) });
    world.chain.run(&relayer(), call_of(delivery(&world.hub, world.link, 0, 1))).unwrap();
    assert_eq!(world.chain.last_record().outcome, Class::State as u8);
}

/// A council's act raises the trust epoch; nothing is taken under it until it is approved here.
#[test]
fn nothing_is_taken_under_a_trust_epoch_that_is_not_approved() {
    let mut world = World::new();
    world.hub.append(world.link, TAKE, 1);
    let mut raised = world.hub.link(world.link);
    raised.trust_epoch = 1;
    world.hub.call(ToyCall::PutLink(Box::new(raised))).unwrap();
    assert_eq!(world.bring_to_chain().unwrap_err().class, Class::State);
    let mut approved = world.chain.link(world.link);
    approved.peer_trust_epoch = 1;
    world.chain.call(ToyCall::PutLink(Box::new(approved))).unwrap();
    world.bring_to_chain().unwrap();
    assert_eq!(world.chain.lane(world.link).received.size(), 1);
}

/// Recovers the chain's client of the hub at an anchor, as a quorum or a council would.
fn recover(world: &mut World, anchor: &Anchor) -> Result<(), Refusal> {
    let mut link = world.chain.link(world.link);
    let now = world.chain.time;
    let anchor = LightClient.recover(&link.client, &anchor.encode(), now)?;
    let mut state = State::new(&world.chain.state);
    lanes::recover_link(&mut state, &mut link, anchor, LinkStatus::Open);
    let writes = state.into_writes();
    world.chain.state.apply(&writes);
    Ok(())
}

/// A false hub proved a lane, and the true one contradicts it: by a smaller log above, or by
/// another header at the same height. Once recovered at a true header, the link takes the true
/// lane and does not freeze again: not for a smaller log above the false head, nor for a larger
/// one below it.
#[test]
fn a29_a_thawed_link_takes_the_true_lane_after_a_false_head() {
    for client_frozen in [false, true] {
        let mut world = World::new();
        world.send(TAKE, 5);
        // An acknowledgement, so that a head without messages raises something.
        world.chain.append(world.link, TAKE, 1);
        world.bring_to_hub().unwrap();
        let mut lying = world.hub.clone();
        if !client_frozen {
            lying.append(world.link, TAKE, 4);
        }
        lying.block(Vec::new());
        lying.block(Vec::new());
        let false_head = delivery(&lying, world.link, 5, 0);
        world.chain.run(&relayer(), call_of(false_head)).unwrap();
        let proved_size = if client_frozen { 5 } else { 9 };
        assert_eq!(world.chain.lane(world.link).proved_size, proved_size);

        world.hub.append(world.link, TAKE, 2);
        let below = world.hub.clone();
        let height = world.chain.link(world.link).peer_height;
        let until = if client_frozen { height } else { height.next() };
        while world.hub.anchor().height < until {
            world.hub.block(Vec::new());
        }
        world.bring_to_chain().unwrap();
        assert_eq!(world.chain.link(world.link).status, LinkStatus::Frozen);
        assert_eq!(world.chain.lane(world.link).received.size(), 5);

        let lower = recover(&mut world, &below.anchor());
        if client_frozen {
            assert_eq!(lower, Ok(()));
            world.hub = below;
        } else {
            assert_eq!(lower.unwrap_err().class, Class::Proof);
            let anchor = world.hub.anchor();
            recover(&mut world, &anchor).unwrap();
        }
        world.bring_to_chain().unwrap();
        assert_eq!(world.chain.link(world.link).status, LinkStatus::Open, "{client_frozen}");
        assert_eq!(world.chain.lane(world.link).received.size(), 7);
    }
}

/// A link that names a verifier which this ledger has not takes nothing, and no link opens twice.
#[test]
fn a_link_needs_its_verifier_and_opens_once() {
    let mut world = World::new();
    world.hub.append(world.link, TAKE, 1);
    let mut other = world.chain.link(world.link);
    let again = world.chain.call(ToyCall::OpenLink(Box::new(other.clone()))).unwrap_err();
    assert_eq!(again.class, Class::State);
    other.verifier = "oracle".into();
    world.chain.call(ToyCall::PutLink(Box::new(other))).unwrap();
    assert_eq!(world.bring_to_chain().unwrap_err().class, Class::Unsupported);
    let update = Call::UpdateClient { link: world.link, update: Vec::new() };
    assert_eq!(world.chain.run(&relayer(), update).unwrap_err().class, Class::Unsupported);
}

/// Every lane's leaf stands in the lanes root at the position at which the lane was opened.
#[test]
fn all_lanes_of_all_links_are_under_the_lanes_root() {
    let mut world = World::new();
    let anchor = world.hub.anchor();
    for number in 1..=4 {
        world.chain.open(LinkId([number; 32]), &anchor);
        world.chain.append(world.link, TAKE, 1);
    }
    let hashes = lanes::leaf_hashes(&world.chain.state);
    assert_eq!(hashes.len(), 10);
    let (header, _) = world.chain.newest.clone().unwrap();
    assert_eq!(header.lanes_root, tombolo_crypto::tree::lanes_root(&hashes));
    let mut seen = Vec::new();
    for link in lanes::links(&world.chain.state) {
        for (number, lane) in lanes::lanes(&world.chain.state, link.id) {
            let leaf = lanes::leaf(&link, number, &lane, Direction::ChainToHub);
            let hash = tombolo_crypto::digest::lane_leaf(&leaf);
            assert_eq!(hashes[lane.position as usize], hash);
            seen.push(lane.position);
        }
    }
    seen.sort_unstable();
    assert_eq!(seen, (0..10).collect::<Vec<_>>());
    // A block in which no lane changes keeps the root.
    world.chain.block(Vec::new());
    assert_eq!(world.chain.newest.as_ref().unwrap().0.lanes_root, header.lanes_root);
}
