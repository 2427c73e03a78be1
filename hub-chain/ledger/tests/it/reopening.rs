//! A lane that goes on in its next epoch: what is sent again, what is over, what passes between
//! two epochs.

mod histories;

use crate::{
    toy::{REFUSE, RESUMED, SEEN, TAKE, TAKEN, ToyCall},
    world::{Chain, World, call_of, delivery, owner, relayer},
};
use tombolo_crypto::client::LightClient;
use tombolo_ledger::{
    Call,
    lanes::{self, Link, LinkStatus, RESUMED_PER_BLOCK},
};
use tombolo_types::{
    Class, Epoch, Hash, LaneNumber, Refusal, UnixMillis,
    id::LinkId,
    lane::{DATA_LANE, Direction},
    verifier::Verifier as _,
};

/// What one end appends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A request that is taken.
    Asks,
    /// A request that is refused, and so answered.
    IsRefused,
    Decides,
}

/// Appends something, and gives the salt by which it is known on the other side.
fn append<const HUB: bool>(chain: &mut Chain<HUB>, link: LinkId, kind: Kind) -> Hash {
    let salt = chain.draft(&owner()).salt;
    let lane = DATA_LANE;
    let call = match kind {
        Kind::Decides => ToyCall::Decide { link, lane },
        Kind::Asks | Kind::IsRefused => {
            let what = if kind == Kind::Asks { TAKE } else { REFUSE };
            ToyCall::Append { link, lane, what, bytes: 8, not_after: UnixMillis::ZERO }
        }
    };
    chain.call(call).unwrap();
    salt
}

fn stand<const HUB: bool>(chain: &mut Chain<HUB>, link: LinkId, status: LinkStatus) {
    chain.call(ToyCall::Status { link, status }).unwrap();
}

fn reopen<const HUB: bool>(
    chain: &mut Chain<HUB>,
    link: LinkId,
    epoch: u32,
    received: u64,
) -> Result<(), Refusal> {
    let epoch = Epoch(epoch);
    chain.call(ToyCall::Reopen { link, lane: DATA_LANE, epoch, received })
}

/// Brings at most `count` messages, or an acknowledgement where there are none.
fn carry<const A: bool, const B: bool>(
    from: &Chain<A>,
    to: &mut Chain<B>,
    link: LinkId,
    count: u64,
) -> Result<(), Refusal> {
    let received = to.lane(link).received.size();
    let size = from.lane(link).sent.size();
    // Between two epochs a head alone is brought: of the messages there may be none any more.
    let (first, count) = match from.lane(link).epoch == to.lane(link).peer_epoch {
        true => (received.min(size), count.min(size - received.min(size))),
        false => (received, 0),
    };
    let transaction = to.transaction(&relayer(), &call_of(delivery(from, link, first, count)));
    match to.offer(vec![transaction]).outcomes.pop() {
        Some(outcome) => outcome.refusal.map_or(Ok(()), Err),
        None => Err(Refusal::new(Class::Replay, "left out by the proposer")),
    }
}

fn seen<const HUB: bool>(chain: &Chain<HUB>, salt: Hash, is_answer: bool) -> u64 {
    SEEN.get(&chain.state, &(salt, u8::from(is_answer))).unwrap_or(0)
}

/// Both ends frozen, as two ends are whose logs have parted.
fn freeze(world: &mut World) {
    stand(&mut world.hub, world.link, LinkStatus::Frozen);
    stand(&mut world.chain, world.link, LinkStatus::Frozen);
}

/// Both ends reopened at the true common points, and thawed.
fn reopen_both(world: &mut World, epoch: u32) {
    let link = world.link;
    let of_hub = world.chain.lane(link).received.size();
    let of_chain = world.hub.lane(link).received.size();
    reopen(&mut world.hub, link, epoch, of_hub).unwrap();
    reopen(&mut world.chain, link, epoch, of_chain).unwrap();
    stand(&mut world.hub, link, LinkStatus::Open);
    stand(&mut world.chain, link, LinkStatus::Open);
}

#[test]
fn a_lane_is_reopened_while_its_link_is_frozen_and_between_what_was_proved_and_sent() {
    let mut world = World::new();
    let link = world.link;
    for _ in 0..5 {
        append(&mut world.hub, link, Kind::Asks);
    }
    carry(&world.hub, &mut world.chain, link, 2).unwrap();
    carry(&world.chain, &mut world.hub, link, 0).unwrap();
    assert_eq!(world.hub.lane(link).taken, 2);
    let class = |result: Result<(), Refusal>| result.err().map(|refusal| refusal.class);
    for status in [
        LinkStatus::Open,
        LinkStatus::Paused { until: UnixMillis(u64::MAX) },
        LinkStatus::Proposed,
        LinkStatus::Closed,
    ] {
        stand(&mut world.hub, link, status);
        let refused = reopen(&mut world.hub, link, 2, 2);
        assert_eq!(class(refused), Some(Class::State), "{status:?}");
    }
    stand(&mut world.hub, link, LinkStatus::Frozen);
    for (what, epoch, received) in [
        ("the present epoch", 1, 2),
        ("an epoch too far", 3, 2),
        ("no epoch", 0, 2),
        ("less than is proved to be taken", 2, 1),
        ("more than was sent", 2, 6),
    ] {
        let refused = reopen(&mut world.hub, link, epoch, received);
        assert_eq!(class(refused), Some(Class::State), "{what}");
    }
    let nowhere = ToyCall::Reopen { link, lane: LaneNumber(2), epoch: Epoch(2), received: 0 };
    assert_eq!(class(world.hub.call(nowhere)), Some(Class::NotFound));
    let lane = world.hub.lane(link);
    assert_eq!((lane.epoch, lane.former), (Epoch(1), None));
    for received in [2, 5] {
        let mut hub = world.hub.clone();
        reopen(&mut hub, link, 2, received).unwrap();
        let lane = hub.lane(link);
        let former = lane.former.unwrap();
        assert_eq!((lane.epoch, lane.peer_epoch), (Epoch(2), Epoch(2)));
        assert_eq!((lane.sent.size(), lane.received.size(), lane.taken, lane.bytes), (0, 0, 0, 0));
        assert_eq!((former.epoch, former.sent.size(), former.held), (Epoch(1), 5, received));
        // One that still has something to send again is not reopened over it.
        assert_eq!(class(reopen(&mut hub, link, 3, 0)), None, "all is done one block later");
    }
}

/// Decisions and answers go again in their order, everything else goes back to who sent it.
#[test]
fn what_the_other_side_does_not_hold_is_sent_again_or_over() {
    let mut world = World::new();
    let link = world.link;
    let held = append(&mut world.hub, link, Kind::Decides);
    carry(&world.hub, &mut world.chain, link, 1).unwrap();
    let asked = append(&mut world.hub, link, Kind::Asks);
    let first = append(&mut world.hub, link, Kind::Decides);
    let second = append(&mut world.hub, link, Kind::Decides);
    // An answer of the chain's that the hub has not taken.
    let request = append(&mut world.chain, link, Kind::IsRefused);
    carry(&world.chain, &mut world.hub, link, 1).unwrap();
    freeze(&mut world);
    reopen_both(&mut world, 2);
    let resumed = |world: &World| -> Vec<(Hash, bool)> {
        RESUMED.all(&world.hub.state, 99).into_iter().map(|(_, entry)| entry).collect()
    };
    let expected = [(asked, false), (first, true), (second, true), (request, true)];
    assert_eq!(resumed(&world), expected);
    // Until all of a head of the new epoch is taken, an answer may be to a message of the former one.
    carry(&world.hub, &mut world.chain, link, 2).unwrap();
    assert!(world.chain.lane(link).awaits_former());
    carry(&world.hub, &mut world.chain, link, 9).unwrap();
    assert!(!world.chain.lane(link).awaits_former());
    for (salt, times) in [(held, 1), (asked, 0), (first, 1), (second, 1)] {
        assert_eq!(seen(&world.chain, salt, false), times);
    }
    assert_eq!(seen(&world.chain, request, true), 1);
    let taken: Vec<u64> = (0..3)
        .map(|number| TAKEN.get(&world.chain.state, &(link, DATA_LANE, number)).unwrap_or(0))
        .collect();
    // Number 0 was the decision that was held, and is now the first that goes again.
    assert_eq!(taken, [2, 1, 0], "two decisions, and an answer behind them");
}

/// A lane that has much to send again does it in pieces. Until then the ledger commits to the epoch
/// that ended, takes nothing, and accepts no new request; decisions are appended all the same.
#[test]
fn a_large_backlog_is_sent_again_over_several_blocks() {
    let mut world = World::new();
    let link = world.link;
    let count = 5 * RESUMED_PER_BLOCK + 10;
    let decide = ToyCall::Decide { link, lane: DATA_LANE };
    for calls in vec![Call::Own(decide.clone()); count as usize].chunks(500) {
        let series = world.hub.series(&owner(), calls);
        world.hub.block(series);
    }
    let root = world.hub.lane(link).sent.root();
    append(&mut world.chain, link, Kind::Asks);
    freeze(&mut world);
    let ask = ToyCall::Append { link, lane: DATA_LANE, what: TAKE, bytes: 1, not_after: LATE };
    let again = ToyCall::Reopen { link, lane: DATA_LANE, epoch: Epoch(3), received: 0 };
    reopen(&mut world.hub, link, 2, 0).unwrap();
    for call in [ask.clone(), again] {
        assert_eq!(world.hub.call(call).unwrap_err().class, Class::State);
    }
    stand(&mut world.hub, link, LinkStatus::Open);
    let taken = carry(&world.chain, &mut world.hub, link, 1);
    assert_eq!(taken.unwrap_err().class, Class::State);
    let lane = world.hub.lane(link);
    assert_eq!(lane.resuming().unwrap().next, 4 * RESUMED_PER_BLOCK);
    assert_eq!((lane.epoch, lane.sent.size()), (Epoch(2), 4 * RESUMED_PER_BLOCK));
    let direction = Direction::HubToChain;
    let leaf = lanes::leaf(&world.hub.link(link), DATA_LANE, &lane, direction);
    assert_eq!((leaf.epoch, leaf.size, leaf.root), (Epoch(1), count, root), "what ended");
    // One that is decided meanwhile waits for no one.
    world.hub.call(decide).unwrap();
    world.hub.block(Vec::new());
    assert_eq!(world.hub.lane(link).resuming(), None);
    world.hub.call(ask).unwrap();
    let lane = world.hub.lane(link);
    assert_eq!(lane.sent.size(), count + 2);
    let leaf = lanes::leaf(&world.hub.link(link), DATA_LANE, &lane, direction);
    assert_eq!((leaf.epoch, leaf.size), (Epoch(2), count + 2));
    assert_eq!(RESUMED.all(&world.hub.state, usize::MAX).len() as u64, count);
}

const LATE: UnixMillis = UnixMillis(u64::MAX);

/// A client as a quorum or council sets it anew, at the other ledger's newest block.
fn recover<const A: bool, const B: bool>(chain: &mut Chain<A>, other: &Chain<B>, link: LinkId) {
    let anchor = other.anchor();
    let client = LightClient.recover(&chain.link(link).client, &anchor.encode(), chain.time);
    let recovered = Link {
        status: LinkStatus::Open,
        client: client.unwrap().client,
        peer_height: anchor.height,
        peer_id: anchor.block_id,
        peer_time: anchor.time,
        ..chain.link(link)
    };
    chain.call(ToyCall::PutLink(Box::new(recovered))).unwrap();
}

/// Where one end took what the other's log does not hold, a thawed link freezes again at the next
/// true head; reopened at the last message that both hold, it goes on. What was taken stays taken.
/// The other end, which has seen nothing wrong, freezes once it is shown the next epoch.
#[test]
fn a29_logs_that_have_parted_go_on_in_the_next_epoch() {
    let mut world = World::new();
    let link = world.link;
    let held = append(&mut world.hub, link, Kind::Decides);
    carry(&world.hub, &mut world.chain, link, 1).unwrap();
    let honest = world.hub.clone();
    // A lie that more than two thirds of the hub certify, and nobody else sees; under another
    // nonce, and so another salt, than the truth.
    stand(&mut world.hub, link, LinkStatus::Open);
    let lie = append(&mut world.hub, link, Kind::Asks);
    carry(&world.hub, &mut world.chain, link, 1).unwrap();
    let lied = world.hub.newest.clone().unwrap().0;
    world.hub = honest;
    let truth = append(&mut world.hub, link, Kind::Decides);
    while world.hub.newest.as_ref().unwrap().0.height <= lied.height {
        world.hub.block(Vec::new());
    }
    for _ in 0..2 {
        let thawed = carry(&world.hub, &mut world.chain, link, 1);
        assert_eq!((thawed, world.chain.link(link).status), (Ok(()), LinkStatus::Frozen));
        // A new trusted header alone mends nothing.
        recover(&mut world.chain, &world.hub, link);
        world.hub.block(Vec::new());
    }
    carry(&world.hub, &mut world.chain, link, 1).unwrap();
    reopen(&mut world.chain, link, 2, 0).unwrap();
    recover(&mut world.chain, &world.hub, link);
    let back = carry(&world.hub, &mut world.chain, link, 1);
    assert_eq!(back.unwrap_err().class, Class::State, "an epoch that is over");
    assert_eq!(world.hub.link(link).status, LinkStatus::Open);
    let shown = call_of(delivery(&world.chain, link, 0, 0));
    assert_eq!(world.hub.at_the_door(&relayer(), &shown), Ok(()));
    world.hub.run(&relayer(), shown.clone()).unwrap();
    assert_eq!(world.hub.link(link).status, LinkStatus::Frozen, "an epoch to come");
    assert!(world.hub.last_record().remark.contains("reopened"));
    assert_eq!(world.hub.run(&relayer(), shown).unwrap_err().class, Class::State);

    reopen(&mut world.hub, link, 2, 1).unwrap();
    stand(&mut world.hub, link, LinkStatus::Open);
    carry(&world.hub, &mut world.chain, link, 1).unwrap();
    carry(&world.chain, &mut world.hub, link, 0).unwrap();
    for salt in [held, lie, truth] {
        assert_eq!(seen(&world.chain, salt, false), 1);
    }
    // Disputed is what lies between this and the common point in the hub's record: the lie.
    assert_eq!(world.chain.lane(link).former.unwrap().received.size(), 2);
    assert_eq!(world.hub.lane(link).former.unwrap().held, 1);
    for status in [world.hub.link(link).status, world.chain.link(link).status] {
        assert_eq!(status, LinkStatus::Open);
    }
}
