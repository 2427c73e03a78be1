//! A delivery is believed as a whole or not at all, whichever byte of it is wrong.

use crate::{
    toy::{TAKE, ToyCall},
    world::{Chain, Memory, World, call_of, delivery, delivery_on, relayer},
};
use proptest::prelude::*;
use std::sync::LazyLock;
use tombolo_ledger::{Call, delivery::DELIVERY_MESSAGES_MAX};
use tombolo_types::{
    Class, Epoch, Hash, Height, LaneNumber, MessageNumber, Refusal,
    id::{BlockId, LinkId},
    lane::{CONTROL_LANE, Delivery},
};

/// A hub with nine messages for a chain that has taken three.
static BASE: LazyLock<World> = LazyLock::new(|| {
    let mut world = World::new();
    world.hub.append(world.link, TAKE, 9);
    let early = delivery(&world.hub, world.link, 0, 3);
    world.chain.run(&relayer(), call_of(early)).unwrap();
    world
});

/// Keys that differ, besides those that every block and every refused transaction changes: tip,
/// history, the use of nonce and rate, the log, and the toy's own entry per block.
pub(crate) fn changed(before: &Memory, after: &Memory) -> Vec<String> {
    const ALWAYS: [&[u8]; 7] = [b"skX", b"skH", b"skU", b"skL", b"skR", b"skT", b"stB"];
    let keys = before.0.keys().chain(after.0.keys());
    keys.filter(|key| before.0.get(*key) != after.0.get(*key))
        .filter(|key| !ALWAYS.contains(&&key[..3]))
        .map(|key| String::from_utf8_lossy(&key[..3]).into_owned())
        .collect()
}

/// The class with which a delivery is refused; asserts that the refusal changed nothing else.
fn refused(delivery: Delivery) -> Class {
    let mut chain: Chain<false> = BASE.chain.clone();
    let log = chain.records().len();
    let refusal: Refusal = chain.run(&relayer(), call_of(delivery)).unwrap_err();
    assert_eq!(changed(&BASE.chain.state, &chain.state), Vec::<String>::new());
    let record = chain.last_record();
    assert_eq!((record.outcome, record.remark), (refusal.class as u8, refusal.message));
    assert_eq!((record.operation.as_str(), chain.records().len()), ("deliver", log + 1));
    refusal.class
}

fn good() -> Delivery {
    delivery(&BASE.hub, BASE.link, 3, 4)
}

#[test]
fn a_good_delivery_is_taken() {
    let mut chain = BASE.chain.clone();
    chain.run(&relayer(), call_of(good())).unwrap();
    assert_eq!(chain.lane(BASE.link).received.size(), 7);
}

/// Req: Y4560-7.2.5-1
#[test]
fn a06_every_field_of_the_leaf_is_bound_to_its_proof() {
    type Change = (&'static str, fn(&mut Delivery), Class);
    let table: [Change; 12] = [
        ("link", |it| it.leaf.link = LinkId([1; 32]), Class::NotFound),
        ("direction", |it| it.leaf.direction = 1, Class::State),
        ("lane", |it| it.leaf.lane = CONTROL_LANE, Class::Proof),
        ("epoch", |it| it.leaf.epoch = Epoch(2), Class::Proof),
        ("size", |it| it.leaf.size += 1, Class::Proof),
        ("root", |it| it.leaf.root = Hash([1; 32]), Class::Proof),
        ("peer epoch", |it| it.leaf.peer_epoch = Epoch(2), Class::Proof),
        ("received", |it| it.leaf.received += 1, Class::Proof),
        ("received root", |it| it.leaf.received_root = Hash([1; 32]), Class::Proof),
        ("peer height", |it| it.leaf.peer_height = Height(1), Class::Proof),
        ("peer id", |it| it.leaf.peer_id = BlockId([1; 32]), Class::Proof),
        ("trust epoch", |it| it.leaf.trust_epoch += 1, Class::Proof),
    ];
    for (field, change, class) in table {
        let mut delivery = good();
        change(&mut delivery);
        assert_eq!(refused(delivery), class, "{field}");
    }
}

#[test]
fn a04_positions_gaps_and_counts_must_fit() {
    type Change = (&'static str, fn(&mut Delivery), Class);
    let table: [Change; 12] = [
        ("a gap", |it| it.first = MessageNumber(4), Class::State),
        ("far beyond", |it| it.first = MessageNumber(u64::MAX), Class::State),
        ("one before", |it| it.first = MessageNumber(2), Class::Proof),
        ("a message less", |it| drop(it.messages.pop()), Class::Proof),
        ("a message twice", |it| it.messages.push(it.messages[3].clone()), Class::Proof),
        ("messages swapped", |it| it.messages.swap(0, 1), Class::Proof),
        ("more than the log", |it| it.messages.extend(vec![vec![7]; 3]), Class::Proof),
        ("a node more", |it| it.range.right.push(Hash([1; 32])), Class::Proof),
        ("a node less", |it| it.range.left.truncate(1), Class::Proof),
        ("no message, yet a range", |it| it.messages.clear(), Class::Format),
        (
            "too many messages",
            |it| it.messages = vec![Vec::new(); DELIVERY_MESSAGES_MAX + 1],
            Class::Limit,
        ),
        ("an unknown lane", |it| it.leaf.lane = LaneNumber(2), Class::NotFound),
    ];
    for (what, change, class) in table {
        let mut delivery = good();
        change(&mut delivery);
        assert_eq!(refused(delivery), class, "{what}");
    }
}

#[test]
fn a01_nothing_zero_or_empty_is_a_proof() {
    type Change = (&'static str, fn(&mut Delivery), Class);
    let table: [Change; 5] = [
        ("no head proof", |it| it.head_proof.clear(), Class::Format),
        ("a head proof of zeros", |it| it.head_proof.fill(0), Class::Format),
        ("the zero root", |it| it.leaf.root = Hash::ZERO, Class::Proof),
        ("the zero block", |it| it.leaf.peer_id = BlockId::ZERO, Class::Proof),
        ("no nodes", |it| (it.range.left.clear(), it.range.right.clear()).0, Class::Proof),
    ];
    for (what, change, class) in table {
        let mut delivery = good();
        change(&mut delivery);
        assert_eq!(refused(delivery), class, "{what}");
    }
}

/// A delivery for one link is none for another between the same ledgers.
#[test]
fn a17_a_delivery_for_another_link_is_refused() {
    let mut world = BASE.clone();
    let second = LinkId([5; 32]);
    world.chain.open(second, &world.hub.anchor());
    let mut elsewhere = delivery(&world.hub, world.link, 0, 3);
    elsewhere.leaf.link = second;
    let refusal = world.chain.run(&relayer(), call_of(elsewhere)).unwrap_err();
    assert_eq!(refusal.class, Class::Proof);
    assert_eq!(world.chain.lane(second).received.size(), 0);
}

/// A leaf made under a view of this ledger that is not its own history is not believed.
#[test]
fn a06_a_view_of_another_history_is_refused() {
    let mut world = BASE.clone();
    // The chain forks before the hub's next block: the hub follows a branch, we stand on another.
    let mut branch = world.chain.clone();
    branch.time = branch.time.saturating_add(1);
    branch.block(Vec::new());
    let head = delivery(&branch, world.link, 0, 0);
    world.hub.run(&relayer(), call_of(head)).unwrap();
    world.chain.block(Vec::new());
    let refusal = world.bring_to_chain().unwrap_err();
    assert_eq!(refusal.class, Class::Proof);
    assert!(refusal.message.contains("not in this ledger's history"), "{}", refusal.message);
}

/// Any number of deliveries is proved by one head, also one below the newest.
#[test]
fn a_lower_head_serves_its_proof_and_moves_nothing() {
    let mut world = BASE.clone();
    let old = good();
    world.hub.append(world.link, TAKE, 2);
    let newer = delivery(&world.hub, world.link, 3, 1);
    world.chain.run(&relayer(), call_of(newer)).unwrap();
    let before = world.chain.link(world.link);
    world.chain.run(&relayer(), call_of(old)).unwrap();
    let after = world.chain.link(world.link);
    assert_eq!(world.chain.lane(world.link).received.size(), 7);
    assert_eq!((before.client, before.peer_height), (after.client, after.peer_height));
}

/// A message's record names the height that proved it, also where that is not the newest.
#[test]
fn the_source_height_is_that_of_the_proving_header() {
    let mut world = BASE.clone();
    let old = good();
    let height = world.hub.newest.as_ref().unwrap().0.height;
    world.hub.append(world.link, TAKE, 1);
    world.chain.run(&relayer(), call_of(delivery(&world.hub, world.link, 3, 1))).unwrap();
    world.chain.run(&relayer(), call_of(old)).unwrap();
    assert_eq!(world.chain.last_record().source_height, height);
}

/// The door lets an empty delivery renew the control lane, but not as often as anybody likes.
#[test]
fn the_door_lets_the_control_lane_be_renewed() {
    let mut world = World::with(&[("identity_view_ms", 60_000)]);
    let lane = |world: &World| {
        tombolo_ledger::lanes::lane(&world.chain.state, world.link, CONTROL_LANE).unwrap()
    };
    world.hub.block(Vec::new());
    let first = call_of(delivery_on(&world.hub, world.link, CONTROL_LANE, 0, 0));
    assert_eq!(world.chain.at_the_door(&relayer(), &first), Ok(()));
    world.chain.run(&relayer(), first).unwrap();
    assert_eq!(lane(&world).current_at, world.hub.time);
    world.hub.block(Vec::new());
    let soon = call_of(delivery_on(&world.hub, world.link, CONTROL_LANE, 0, 0));
    assert_eq!(world.chain.at_the_door(&relayer(), &soon), Err(Class::Replay));
    world.chain.time = world.chain.time.saturating_add(15_000);
    world.hub.time = world.chain.time;
    world.hub.block(Vec::new());
    world.chain.block(Vec::new());
    let later = call_of(delivery_on(&world.hub, world.link, CONTROL_LANE, 0, 0));
    assert_eq!(world.chain.at_the_door(&relayer(), &later), Ok(()));
    let data = call_of(delivery(&world.hub, world.link, 0, 0));
    assert_eq!(world.chain.at_the_door(&relayer(), &data), Err(Class::Replay));
}

proptest! {
    /// Any byte of an encoded delivery: what still decodes is refused, what does not never enters.
    #[test]
    fn a06_no_byte_of_a_delivery_may_change(at in any::<prop::sample::Index>(), flip in 1u8..) {
        let mut bytes = borsh::to_vec(&call_of(good())).unwrap();
        let position = 1 + at.index(bytes.len() - 1);
        bytes[position] ^= flip;
        if let Ok(Call::<ToyCall>::Deliver(delivery)) = borsh::from_slice(&bytes) {
            let class = refused(*delivery);
            prop_assert!(
                matches!(
                    class,
                    Class::Proof | Class::State | Class::Format | Class::NotFound | Class::Version
                ),
                "byte {position}: {class}"
            );
        }
    }
}
