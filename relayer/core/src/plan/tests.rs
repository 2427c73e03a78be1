use super::*;
use crate::observe::ClientSight;
use proptest::prelude::*;
use tombolo_types::{
    Epoch, Hash,
    id::{ChainId, LinkId},
};

const PACE: Pace = Pace {
    messages_max: 100,
    acknowledge_after_ms: 10_000,
    acknowledge_messages: 50,
    refresh_after_ms: 1_800_000,
    gather_ms: 50,
};
const NOW: UnixMillis = UnixMillis(5_000_000);
const DATA: LaneNumber = LaneNumber(1);

fn end(size: u64, taken: u64, received: u64) -> EndSight {
    let lane =
        LaneSight { epoch: Epoch(1), size, taken, peer_epoch: Epoch(1), received, current_at: NOW };
    EndSight {
        chain: ChainId([1; 32]),
        height: Height(10),
        time: NOW,
        validators_root: Hash([7; 32]),
        standing: Standing::Open,
        client: ClientSight {
            height: Height(9),
            time: NOW,
            status: ClientStatus::Active,
            trusting_period_ms: 1_209_600_000,
            validators_root: Hash([7; 32]),
        },
        lanes: BTreeMap::from([(DATA, lane)]),
    }
}

fn sight(hub: EndSight, chain: EndSight) -> LinkSight {
    LinkSight { link: LinkId([2; 32]), hub, chain }
}

fn steps(sight: &LinkSight) -> Vec<Step> {
    plan(sight, &PACE, &mut Ages::new(), NOW)
}

fn deliver(to: End, first: u64, count: u64, size: u64) -> Step {
    Step::Deliver { to, lane: DATA, first: MessageNumber(first), count, size }
}

#[test]
fn at_rest_there_is_nothing_to_do() {
    assert_eq!(steps(&sight(end(3, 3, 4), end(4, 4, 3))), []);
}

/// Where to resume is read from the two ends; nothing is remembered. Req: PRJ-4-2
#[test]
fn a_backlog_is_brought_from_where_the_receiver_stands() {
    assert_eq!(steps(&sight(end(0, 0, 7), end(20, 7, 0))), [deliver(End::Hub, 7, 13, 20)]);
}

#[test]
fn one_batch_is_bounded_and_proved_against_the_whole() {
    assert_eq!(steps(&sight(end(0, 0, 0), end(25_000, 0, 0))), [deliver(End::Hub, 0, 100, 25_000)]);
}

#[test]
fn an_acknowledgement_alone_waits_until_it_is_old() {
    let sight = sight(end(5, 0, 0), end(0, 0, 5));
    let mut ages = Ages::new();
    assert_eq!(plan(&sight, &PACE, &mut ages, NOW), []);
    let late = NOW.saturating_add(PACE.acknowledge_after_ms);
    assert_eq!(plan(&sight, &PACE, &mut ages, late), [deliver(End::Hub, 0, 0, 0)]);
}

#[test]
fn many_acknowledgements_do_not_wait() {
    assert_eq!(steps(&sight(end(60, 0, 0), end(0, 0, 60))), [deliver(End::Hub, 0, 0, 0)]);
}

#[test]
fn a_change_of_validators_is_walked_before_anything_is_brought() {
    let mut chain = end(9, 0, 0);
    chain.validators_root = Hash([8; 32]);
    assert_eq!(
        steps(&sight(end(0, 0, 0), chain)),
        [Step::UpdateClient { at: End::Hub, from: Height(9) }]
    );
}

/// A29: a client is refreshed long before it expires, though nothing is sent.
#[test]
fn a29_a_client_is_refreshed_at_a_third_of_its_trusting_period() {
    let mut hub = end(0, 0, 0);
    hub.client.trusting_period_ms = 3_000;
    hub.client.time = UnixMillis(NOW.0 - 999);
    assert_eq!(steps(&sight(hub.clone(), end(0, 0, 0))), []);
    hub.client.time = UnixMillis(NOW.0 - 1_000);
    assert_eq!(
        steps(&sight(hub, end(0, 0, 0))),
        [Step::UpdateClient { at: End::Hub, from: Height(9) }]
    );
}

/// What a gateway knows of identities must not grow old while nobody changes any, nor while data
/// lanes keep the client fresh.
#[test]
fn an_idle_control_lane_is_renewed() {
    let (mut hub, mut chain) = (end(0, 0, 0), end(0, 0, 0));
    let lane = LaneSight { size: 3, taken: 3, received: 3, ..hub.lanes[&DATA] };
    hub.lanes.insert(CONTROL_LANE, lane);
    chain
        .lanes
        .insert(CONTROL_LANE, LaneSight { current_at: UnixMillis(NOW.0 - 1_799_999), ..lane });
    assert_eq!(steps(&sight(hub.clone(), chain.clone())), []);
    chain
        .lanes
        .insert(CONTROL_LANE, LaneSight { current_at: UnixMillis(NOW.0 - 1_800_000), ..lane });
    let renewal = Step::Deliver {
        to: End::Chain,
        lane: CONTROL_LANE,
        first: MessageNumber(3),
        count: 0,
        size: 3,
    };
    assert_eq!(steps(&sight(hub, chain)), [renewal]);
}

#[test]
fn what_blocks_one_end_does_not_stop_the_other() {
    let mut hub = end(4, 0, 0);
    for (status, why) in [
        (ClientStatus::Expired, Blocker::ClientExpired),
        (ClientStatus::Frozen, Blocker::ClientFrozen),
    ] {
        hub.client.status = status;
        assert_eq!(
            steps(&sight(hub.clone(), end(6, 0, 0))),
            [Step::Blocked { to: End::Hub, why }, deliver(End::Chain, 0, 4, 4)]
        );
    }
}

/// The end that lags behind is shown the new epoch, which freezes it; the other one waits for it.
#[test]
fn a_reopened_lane_is_shown_to_the_other_end() {
    let mut chain = end(4, 0, 9);
    let lane = chain.lanes.get_mut(&DATA).unwrap();
    (lane.epoch, lane.peer_epoch, lane.received) = (Epoch(2), Epoch(2), 0);
    let blocked = Step::Blocked { to: End::Chain, why: Blocker::EpochDiffers };
    assert_eq!(
        steps(&sight(end(9, 9, 7), chain.clone())),
        [deliver(End::Hub, 7, 0, 4), blocked.clone()]
    );
    let frozen = EndSight { standing: Standing::Shut, ..end(9, 9, 7) };
    let shut = Step::Blocked { to: End::Hub, why: Blocker::LinkShut };
    assert_eq!(steps(&sight(frozen, chain)), [shut, blocked]);
}

#[test]
fn before_a_link_is_open_only_the_control_lane_moves() {
    let mut hub = end(0, 0, 0);
    hub.standing = Standing::Proposed;
    let mut chain = end(5, 0, 0);
    let lane = chain.lanes[&DATA];
    hub.lanes.insert(LaneNumber(0), LaneSight { size: 0, ..lane });
    chain.lanes.insert(LaneNumber(0), LaneSight { size: 1, ..lane });
    let control = Step::Deliver {
        to: End::Hub,
        lane: LaneNumber(0),
        first: MessageNumber(0),
        count: 1,
        size: 1,
    };
    assert_eq!(steps(&sight(hub, chain)), [control]);
}

proptest! {
    /// Carrying out the plan again and again ends with nothing waiting, from any start.
    /// Req: PRJ-4-2
    #[test]
    fn following_the_plan_empties_every_lane(
        hub_size in 0u64..1_000, hub_received in 0u64..1_000,
        chain_size in 0u64..1_000, chain_received in 0u64..1_000,
    ) {
        let hub_received = hub_received.min(chain_size);
        let chain_received = chain_received.min(hub_size);
        let mut sight = sight(
            end(hub_size, 0, hub_received),
            end(chain_size, 0, chain_received),
        );
        let (mut ages, mut now) = (Ages::new(), NOW);
        for _ in 0..64 {
            for step in plan(&sight, &PACE, &mut ages, now) {
                let Step::Deliver { to, lane, first, count, .. } = step else {
                    panic!("only deliveries are due, not {step:?}");
                };
                let from = sight.end(to.other()).lanes[&lane];
                let end = match to { End::Hub => &mut sight.hub, End::Chain => &mut sight.chain };
                let lane = end.lanes.get_mut(&lane).unwrap();
                prop_assert_eq!(first.0, lane.received);
                lane.received += count;
                lane.taken = from.received;
            }
            now = now.saturating_add(PACE.acknowledge_after_ms);
        }
        prop_assert_eq!(sight.backlog(End::Hub) + sight.backlog(End::Chain), 0);
        prop_assert_eq!(plan(&sight, &PACE, &mut ages, now), []);
    }
}
