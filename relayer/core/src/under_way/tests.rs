use super::*;
use proptest::prelude::*;
use tombolo_types::Height;

const PACE: Pace = Pace {
    messages_max: 100,
    acknowledge_after_ms: 10_000,
    acknowledge_messages: 50,
    refresh_after_ms: 1_800_000,
    gather_ms: 50,
};
const NOW: UnixMillis = UnixMillis(5_000_000);
const CONTROL: LaneNumber = LaneNumber(0);
const DATA: LaneNumber = LaneNumber(1);
const MOST: u32 = 8;

fn at(ms: u64) -> UnixMillis {
    NOW.saturating_add(ms)
}

fn deliver(lane: LaneNumber, first: u64, count: u64, size: u64) -> Step {
    Step::Deliver { to: End::Chain, lane, first: MessageNumber(first), count, size }
}

/// What is taken of one step to the chain.
fn beside(under_way: &UnderWay, step: Step, now: UnixMillis) -> Option<Step> {
    under_way.beside(vec![step], &PACE, now).pop()
}

/// Hands in a delivery that brings `brought` of `asked` messages.
fn hand_in(under_way: &mut UnderWay, first: u64, brought: u64, asked: u64) -> HandedIn {
    under_way.delivers(End::Chain, (DATA, MessageNumber(first)), (brought, asked), NOW)
}

/// As many as are allowed to the chain after enough of them have ended well.
fn wide() -> UnderWay {
    let mut under_way = UnderWay::new(1, MOST);
    for first in 0..3 {
        let one = hand_in(&mut under_way, first, 1, 1);
        under_way.ended(End::Chain, one, true);
    }
    under_way
}

#[test]
fn where_nothing_is_under_way_every_step_is_taken() {
    let under_way = UnderWay::new(1, 1);
    let update = Step::UpdateClient { at: End::Hub, from: Height(1) };
    let steps = vec![update, deliver(DATA, 3, 1, 4)];
    assert_eq!(under_way.beside(steps.clone(), &PACE, NOW), steps);
    // Two for one end go one after the other.
    let steps = vec![deliver(CONTROL, 0, 1, 1), deliver(DATA, 3, 1, 4)];
    assert_eq!(under_way.beside(steps.clone(), &PACE, NOW), steps[..1]);
}

#[test]
fn the_next_begins_where_the_last_one_ends() {
    let mut under_way = wide();
    hand_in(&mut under_way, 10, 90, 100);
    let planned = deliver(DATA, 10, 100, 400);
    let next = deliver(DATA, 100, 100, 400);
    assert_eq!(beside(&under_way, planned.clone(), NOW), Some(next));
    hand_in(&mut under_way, 100, 90, 100);
    let next = deliver(DATA, 190, 100, 400);
    assert_eq!(beside(&under_way, planned, NOW), Some(next));
    // Another lane begins where it stands, and the other end is another matter.
    let control = deliver(CONTROL, 5, 100, 200);
    assert_eq!(beside(&under_way, control.clone(), NOW), Some(control));
    assert!(!under_way.any(End::Hub) && under_way.any(End::Chain));
}

#[test]
fn how_many_follow_doubles_with_each_that_ends_well_and_one_that_does_not_ends_that() {
    let mut under_way = UnderWay::new(1, MOST);
    let mut widths = Vec::new();
    let mut first = 0;
    for well in [true, true, true, true, true, false, true, true] {
        let mut all = Vec::new();
        while let Some(Step::Deliver { first, .. }) =
            beside(&under_way, deliver(DATA, first, 100, 100_000), NOW)
        {
            all.push(hand_in(&mut under_way, first.0, 100, 100));
        }
        widths.push(all.len());
        for one in all {
            under_way.ended(End::Chain, one, well);
            first += 100;
        }
    }
    assert_eq!(widths, [1, 2, 8, 8, 8, 8, 1, 2]);
}

/// A lost delivery takes those behind it along: nothing follows before all of them have ended, and
/// then all begins from what the receiver has taken.
#[test]
fn nothing_follows_what_may_be_lost() {
    let mut under_way = wide();
    let all: Vec<_> = (0..3).map(|it| hand_in(&mut under_way, it * 100, 100, 100)).collect();
    under_way.ended(End::Chain, all[0], false);
    let planned = deliver(DATA, 0, 100, 1_000);
    for one in &all[1..] {
        assert_eq!(beside(&under_way, planned.clone(), at(60_000)), None);
        under_way.ended(End::Chain, *one, true);
    }
    assert_eq!(beside(&under_way, planned.clone(), NOW), Some(planned.clone()));
    hand_in(&mut under_way, 0, 100, 100);
    assert_eq!(beside(&under_way, planned, at(60_000)), None, "one at a time again");
}

#[test]
fn what_could_not_be_handed_in_counts_as_lost() {
    let mut under_way = wide();
    let one = hand_in(&mut under_way, 0, 100, 100);
    under_way.failed(End::Chain);
    let planned = deliver(DATA, 0, 100, 1_000);
    assert_eq!(beside(&under_way, planned.clone(), at(60_000)), None);
    under_way.ended(End::Chain, one, true);
    assert_eq!(beside(&under_way, planned.clone(), NOW), Some(planned));
}

/// What is not full waits behind others, twice as long behind each more; what is full does not.
#[test]
fn few_messages_gather_while_others_are_under_way() {
    let mut under_way = wide();
    hand_in(&mut under_way, 0, 90, 100);
    let few = |size| deliver(DATA, 0, 100, size);
    assert_eq!(beside(&under_way, few(100), at(49)), None);
    assert_eq!(beside(&under_way, few(100), at(50)), Some(deliver(DATA, 90, 10, 100)));
    assert_eq!(beside(&under_way, few(180), NOW), Some(deliver(DATA, 90, 90, 180)));
    hand_in(&mut under_way, 90, 10, 10);
    assert_eq!(beside(&under_way, few(110), at(99)), None);
    assert_eq!(beside(&under_way, few(110), at(100)), Some(deliver(DATA, 100, 10, 110)));
    assert_eq!(beside(&under_way, few(100), at(60_000)), None, "nothing is left to bring");
}

/// One delivery of large messages does not make every later one a full one.
#[test]
fn how_many_messages_fill_a_delivery_is_learnt_both_ways() {
    let mut under_way = wide();
    for (first, brought, asked) in [(0, 1, 30), (1, 20, 20)] {
        let one = hand_in(&mut under_way, first, brought, asked);
        under_way.ended(End::Chain, one, true);
    }
    hand_in(&mut under_way, 21, 1, 1);
    assert_eq!(beside(&under_way, deliver(DATA, 21, 100, 41), NOW), None);
    assert!(beside(&under_way, deliver(DATA, 21, 100, 42), NOW).is_some());
}

#[test]
fn an_update_of_the_client_goes_alone() {
    let mut under_way = wide();
    let update = Step::UpdateClient { at: End::Chain, from: Height(1) };
    let one = hand_in(&mut under_way, 0, 100, 100);
    assert_eq!(beside(&under_way, update, at(60_000)), None);
    under_way.ended(End::Chain, one, true);
    under_way.updates(End::Chain, NOW);
    assert_eq!(beside(&under_way, deliver(DATA, 0, 100, 1_000), at(60_000)), None);
    under_way.ended(End::Chain, HandedIn::Update, true);
    assert!(beside(&under_way, deliver(DATA, 0, 100, 1_000), NOW).is_some());
}

#[test]
fn an_acknowledgement_alone_does_not_follow_what_brings_it() {
    let mut under_way = wide();
    hand_in(&mut under_way, 0, 100, 100);
    assert_eq!(beside(&under_way, deliver(DATA, 0, 0, 100), NOW), None);
    let other = deliver(CONTROL, 0, 0, 7);
    assert_eq!(beside(&under_way, other.clone(), NOW), Some(other));
}

/// What happens at an end.
#[derive(Clone, Copy, Debug)]
enum Event {
    Send(u64),
    Pass(u64),
    Land { lost: bool },
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        (1u64..300).prop_map(Event::Send),
        (0u64..500).prop_map(Event::Pass),
        any::<bool>().prop_map(|lost| Event::Land { lost }),
    ]
}

proptest! {
    /// Whatever is lost, whatever is sent: a receiver that takes only what joins on has taken
    /// everything in the end, and as long as nothing is lost nothing that is handed in is refused.
    #[test]
    fn everything_arrives_and_nothing_is_brought_twice(
        events in proptest::collection::vec(event(), 1..80),
        most in 1u32..6,
    ) {
        let (mut under_way, mut now) = (UnderWay::new(1, most), NOW);
        let (mut size, mut received, mut loss) = (0u64, 0u64, false);
        let mut flying: VecDeque<(HandedIn, u64, u64)> = VecDeque::new();
        let quiet = [Event::Pass(60_000), Event::Land { lost: false }];
        let end = std::iter::repeat_n(quiet, 600).flatten();
        for event in events.into_iter().chain(end) {
            match event {
                Event::Send(more) => size += more,
                Event::Pass(ms) => now = now.saturating_add(ms),
                Event::Land { lost } => {
                    if let Some((what, first, count)) = flying.pop_front() {
                        let joins = first <= received && received < first + count;
                        prop_assert!(joins || loss, "brought {first} to one that has {received}");
                        let well = !lost && joins;
                        received = if well { first + count } else { received };
                        loss |= lost;
                        under_way.ended(End::Chain, what, well);
                        loss &= under_way.any(End::Chain);
                    }
                }
            }
            let waiting = size - received;
            let planned = deliver(DATA, received, waiting.min(100), size);
            if waiting > 0
                && let Some(Step::Deliver { first, count, .. }) = beside(&under_way, planned, now)
            {
                let brought = count.min(90);
                let from = (DATA, first);
                let what = under_way.delivers(End::Chain, from, (brought, count), now);
                flying.push_back((what, first.0, brought));
                prop_assert!(flying.len() <= most as usize);
            }
        }
        prop_assert_eq!(received, size);
    }
}
