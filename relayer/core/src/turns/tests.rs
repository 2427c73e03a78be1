use super::*;
use crate::{
    observe::{ClientSight, LaneSight, Standing},
    plan::{Ages, Pace, plan},
};
use proptest::prelude::*;
use tombolo_types::{
    Epoch, Hash, Height,
    id::{ChainId, LinkId},
    verifier::ClientStatus,
};

const DATA: LaneNumber = LaneNumber(1);
const NOW: UnixMillis = UnixMillis(5_000_000);
const PATIENCE_MS: u64 = 2_000;
const PACE: Pace = Pace {
    messages_max: 500,
    acknowledge_after_ms: 10_000,
    acknowledge_messages: 1_000,
    refresh_after_ms: 1_800_000,
    gather_ms: 50,
};

fn at(ms: u64) -> UnixMillis {
    NOW.saturating_add(ms)
}

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

/// The chain has sent `sent`, of which the hub has taken `received` and the chain knows `heard`.
fn sight(sent: u64, received: u64, heard: u64) -> LinkSight {
    LinkSight { link: LinkId([2; 32]), hub: end(0, 0, received), chain: end(sent, heard, 0) }
}

/// What a relayer carries to the hub at this sight.
fn carries(turns: &mut Turns, sight: &LinkSight, now: UnixMillis) -> Option<u64> {
    let steps = plan(sight, &PACE, &mut Ages::new(), now);
    turns.ours(sight, steps, now).into_iter().find_map(|step| match step {
        Step::Deliver { to: End::Hub, first, count, .. } => Some(first.0.saturating_add(count)),
        _ => None,
    })
}

#[test]
fn alone_nothing_waits() {
    let mut turns = Turns::new(PATIENCE_MS);
    assert_eq!(carries(&mut turns, &sight(5, 0, 0), at(0)), Some(5));
    turns.brings(End::Hub, DATA, 5, 0);
    assert_eq!(carries(&mut turns, &sight(9, 5, 0), at(10)), Some(9));
    turns.brings(End::Hub, DATA, 9, 0);
    turns.brings(End::Chain, DATA, 0, 9);
    assert_eq!(carries(&mut turns, &sight(9, 9, 9), at(20)), None);
    assert!(!turns.yields(End::Hub) && !turns.yields(End::Chain));
}

#[test]
fn an_acknowledgement_by_another_is_its_work_too() {
    let mut turns = Turns::new(PATIENCE_MS);
    assert_eq!(carries(&mut turns, &sight(9, 9, 0), at(0)), None);
    assert_eq!(carries(&mut turns, &sight(9, 9, 9), at(10)), None);
    assert!(!turns.yields(End::Hub) && turns.yields(End::Chain));
}

/// A restart has seen nothing, so what others took before it is no news.
#[test]
fn what_was_taken_before_the_first_look_is_nobody_elses_work() {
    let mut turns = Turns::new(PATIENCE_MS);
    assert_eq!(carries(&mut turns, &sight(70, 50, 0), at(0)), Some(70));
}

#[test]
fn who_sees_another_at_work_yields_that_end_for_as_long_as_its_patience() {
    for overtake in [false, true] {
        let mut turns = Turns::new(PATIENCE_MS);
        assert_eq!(carries(&mut turns, &sight(0, 0, 0), at(0)), None);
        if overtake {
            turns.overtaken(End::Hub);
        } else {
            assert_eq!(carries(&mut turns, &sight(3, 3, 0), at(50)), None);
        }
        assert!(turns.yields(End::Hub) && !turns.yields(End::Chain), "{overtake}");
        assert_eq!(carries(&mut turns, &sight(8, 3, 0), at(100)), None);
        // More comes meanwhile; the first that waits is what counts.
        assert_eq!(carries(&mut turns, &sight(9, 3, 0), at(1_500)), None);
        assert_eq!(carries(&mut turns, &sight(9, 3, 0), at(99 + PATIENCE_MS)), None);
        assert_eq!(carries(&mut turns, &sight(9, 3, 0), at(100 + PATIENCE_MS)), Some(9));
        assert!(!turns.yields(End::Hub), "who steps in goes on");
    }
}

/// Somebody brings one message just before patience runs out, again and again: the first to step in
/// does not fall for it twice within a minute.
#[test]
fn a22_who_brings_little_does_not_keep_others_from_bringing_all() {
    let mut turns = Turns::new(PATIENCE_MS);
    assert_eq!(carries(&mut turns, &sight(0, 0, 0), at(0)), None);
    assert_eq!(carries(&mut turns, &sight(100, 1, 0), at(10)), None);
    assert_eq!(carries(&mut turns, &sight(100, 2, 0), at(1_900)), None);
    assert_eq!(carries(&mut turns, &sight(100, 3, 0), at(10 + PATIENCE_MS)), Some(100));
    turns.brings(End::Hub, DATA, 100, 0);
    assert_eq!(carries(&mut turns, &sight(200, 101, 0), at(3_000)), Some(200));
    turns.brings(End::Hub, DATA, 200, 0);
    assert_eq!(carries(&mut turns, &sight(300, 201, 0), at(3_000 + FIRM_MS)), None);
}

#[test]
fn an_acknowledgement_and_a_client_are_left_to_others_as_well() {
    let mut turns = Turns::new(PATIENCE_MS);
    turns.overtaken(End::Chain);
    let due = sight(2_000, 2_000, 0);
    let idle = |turns: &mut Turns, now| {
        let steps = plan(&due, &PACE, &mut Ages::new(), now);
        assert_eq!(steps.len(), 1);
        turns.ours(&due, steps, now).len()
    };
    assert_eq!(idle(&mut turns, at(0)), 0);
    assert_eq!(idle(&mut turns, at(PATIENCE_MS)), 1);

    let mut turns = Turns::new(PATIENCE_MS);
    turns.overtaken(End::Hub);
    let mut stale = sight(0, 0, 0);
    stale.hub.client.validators_root = Hash([8; 32]);
    let update = |turns: &mut Turns, now| {
        let steps = plan(&stale, &PACE, &mut Ages::new(), now);
        turns
            .ours(&stale, steps, now)
            .into_iter()
            .any(|step| matches!(step, Step::UpdateClient { at: End::Hub, .. }))
    };
    assert!(!update(&mut turns, at(0)));
    assert!(update(&mut turns, at(PATIENCE_MS)));
}

#[test]
fn what_is_remembered_is_bounded() {
    let mut turns = Turns::new(PATIENCE_MS);
    turns.overtaken(End::Hub);
    for size in 1..10_000 {
        let _ = carries(&mut turns, &sight(size, 0, 0), at(0));
    }
    assert!(turns.ends[&End::Hub].sizes[&DATA].len() <= SIZES_MAX);
}

/// One of several relayers beside the same two ledgers.
struct Relayer {
    turns: Turns,
    /// A delivery that is on its way: first, end, and the tick at which it is final.
    under_way: Option<(u64, u64, u64)>,
}

/// What a race comes to: transactions that brought something, and that brought nothing new.
#[derive(Default, Debug)]
struct Race {
    useful: u64,
    refused: u64,
    /// Messages that were in a block twice.
    twice: u64,
}

proptest! {
    /// Two relayers beside a ledger that takes messages all the time: everything is brought, few
    /// transactions are in vain, and when one dies the other goes on within its patience.
    #[test]
    fn a22_two_relayers_are_seldom_in_each_others_way(
        delays in prop::collection::vec((1u64..6, 1u64..6), 32),
        died in 300u64..700,
    ) {
        /// Milliseconds; a block under load.
        const TICK_MS: u64 = 50;
        const TICKS: u64 = 1_200;
        let mut relayers = [
            Relayer { turns: Turns::new(PATIENCE_MS), under_way: None },
            Relayer { turns: Turns::new(PATIENCE_MS * 3 / 2), under_way: None },
        ];
        let (mut sent, mut received, mut race) = (0u64, 0u64, Race::default());
        let mut most_waited = 0;
        for tick in 0..TICKS {
            sent += if tick < TICKS - 100 { 1 + tick % 3 } else { 0 };
            let now = at(tick * TICK_MS);
            let pause = delays[(tick % 32) as usize];
            // Who is faster differs from block to block.
            let order = if tick % 2 == 0 { [0, 1] } else { [1, 0] };
            for which in order {
                if which == 0 && tick >= died {
                    continue;
                }
                let relayer = &mut relayers[which];
                if let Some((first, end, ready)) = relayer.under_way {
                    if ready > tick {
                        continue;
                    }
                    relayer.under_way = None;
                    if end <= received {
                        race.refused += 1;
                        relayer.turns.overtaken(End::Hub);
                    } else {
                        race.useful += 1;
                        race.twice += received - first;
                        received = end;
                        relayer.turns.brings(End::Hub, DATA, end, 0);
                    }
                    continue;
                }
                let seen = sight(sent, received, received);
                if let Some(end) = carries(&mut relayer.turns, &seen, now) {
                    let delay = if which == 0 { pause.0 } else { pause.1 };
                    relayer.under_way = Some((received, end, tick + delay));
                }
            }
            most_waited = most_waited.max(sent - received);
        }
        prop_assert_eq!(received, sent);
        prop_assert!(race.refused * 20 < race.useful, "{:?}", race);
        prop_assert!(race.twice * 20 < sent, "{:?} of {}", race, sent);
        // At most three messages a tick: what came within the longer patience and two deliveries.
        let patience_ticks = PATIENCE_MS * 3 / 2 / TICK_MS + 12;
        prop_assert!(most_waited <= 3 * patience_ticks, "{} waited", most_waited);
    }
}
