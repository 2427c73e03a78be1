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
const ONE: Most = Most { in_no_block: 1, not_final: 1 };
const MOST: Most = Most { in_no_block: 8, not_final: 20 };

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
    let mut under_way = UnderWay::new(ONE, MOST);
    for first in 0..3 {
        let one = hand_in(&mut under_way, first, 1, 1);
        under_way.ended(End::Chain, one, true);
    }
    under_way
}

#[test]
fn where_nothing_is_under_way_every_step_is_taken() {
    let under_way = UnderWay::new(ONE, ONE);
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
    let mut under_way = UnderWay::new(ONE, MOST);
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

/// What stands in a block leaves its place to another before it is final, up to a bound.
#[test]
fn what_stands_in_a_block_makes_room() {
    let mut under_way = UnderWay::new(ONE, MOST);
    let mut widths = Vec::new();
    for _ in 0..6 {
        let mut all = Vec::new();
        while let Some(Step::Deliver { first, .. }) =
            beside(&under_way, deliver(DATA, 0, 100, 100_000), NOW)
        {
            all.push(hand_in(&mut under_way, first.0, 100, 100));
        }
        widths.push(all.len());
        all.iter().for_each(|one| under_way.in_block(End::Chain, *one));
    }
    assert_eq!(widths, [1, 2, 8, 8, 1, 0], "twenty are not final");
    under_way.ended(End::Chain, HandedIn::Delivery { lane: DATA, upto: MessageNumber(100) }, true);
    let next = deliver(DATA, 2_000, 100, 100_000);
    assert_eq!(beside(&under_way, deliver(DATA, 100, 100, 100_000), NOW), Some(next));
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

/// Those before a lost one are none of its business: what follows begins behind them.
#[test]
fn what_stands_before_a_lost_one_stays() {
    let mut under_way = wide();
    let all: Vec<_> = (0..3).map(|it| hand_in(&mut under_way, it * 100, 100, 100)).collect();
    under_way.in_block(End::Chain, all[0]);
    under_way.ended(End::Chain, all[1], false);
    let planned = deliver(DATA, 0, 100, 1_000);
    assert_eq!(beside(&under_way, planned.clone(), at(60_000)), None, "the third is in doubt");
    under_way.ended(End::Chain, all[2], false);
    let behind = deliver(DATA, 100, 100, 1_000);
    assert_eq!(beside(&under_way, planned.clone(), NOW), Some(behind));
    hand_in(&mut under_way, 100, 100, 100);
    assert_eq!(beside(&under_way, planned, at(60_000)), None, "one at a time again");
}

#[test]
fn what_could_not_be_handed_in_comes_again_behind_the_others_one_at_a_time() {
    let mut under_way = wide();
    let one = hand_in(&mut under_way, 0, 100, 100);
    under_way.failed(End::Chain);
    let planned = deliver(DATA, 0, 100, 1_000);
    assert_eq!(beside(&under_way, planned.clone(), at(60_000)), None);
    under_way.in_block(End::Chain, one);
    let behind = deliver(DATA, 100, 100, 1_000);
    assert_eq!(beside(&under_way, planned, NOW), Some(behind));
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

/// On a chain that takes long to finalise crumbs wait the longer the more of them wait for that.
#[test]
fn few_messages_gather_longer_the_more_is_not_final() {
    let mut under_way = wide();
    for first in 0..4 {
        let one = hand_in(&mut under_way, first, 1, 1);
        under_way.in_block(End::Chain, one);
    }
    assert_eq!(beside(&under_way, deliver(DATA, 0, 5, 5), at(199)), None);
    assert!(beside(&under_way, deliver(DATA, 0, 5, 5), at(200)).is_some());
    hand_in(&mut under_way, 4, 1, 1);
    hand_in(&mut under_way, 5, 1, 1);
    assert_eq!(beside(&under_way, deliver(DATA, 0, 7, 7), at(399)), None);
    assert!(beside(&under_way, deliver(DATA, 0, 7, 7), at(400)).is_some());
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
fn nothing_is_handed_in_beside_an_update_of_the_client() {
    let mut under_way = wide();
    let update = Step::UpdateClient { at: End::Chain, from: Height(1) };
    let one = hand_in(&mut under_way, 0, 100, 100);
    assert_eq!(beside(&under_way, update.clone(), at(60_000)), None);
    under_way.in_block(End::Chain, one);
    assert_eq!(beside(&under_way, update.clone(), NOW), Some(update));
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
    /// The oldest that stands in no block enters one, where it counts or does not.
    Enter {
        lost: bool,
    },
    /// The oldest that stands in a block is final, or its block has gone and it counts no more.
    Settle {
        lost: bool,
    },
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        (1u64..300).prop_map(Event::Send),
        (0u64..500).prop_map(Event::Pass),
        any::<bool>().prop_map(|lost| Event::Enter { lost }),
        any::<bool>().prop_map(|lost| Event::Settle { lost }),
    ]
}

/// A delivery on its way.
struct Flying {
    what: HandedIn,
    first: u64,
    count: u64,
    /// Nothing before it was lost since it was handed in.
    sure: bool,
}

impl Flying {
    fn end(&self) -> u64 {
        self.first + self.count
    }

    fn joins(&self, received: u64) -> bool {
        self.first <= received && received < self.end()
    }
}

/// A receiver that takes only what joins on to what it has, and what is on its way to it.
#[derive(Default)]
struct Receiver {
    /// What it has taken in final blocks.
    received: u64,
    in_blocks: VecDeque<Flying>,
    in_no_block: VecDeque<Flying>,
}

impl Receiver {
    /// What it has taken in its newest block.
    fn at_newest(&self) -> u64 {
        let took = |received, one: &Flying| if one.joins(received) { one.end() } else { received };
        self.in_blocks.iter().fold(self.received, took)
    }

    fn enter(&mut self, under_way: &mut UnderWay, lost: bool) -> Result<(), TestCaseError> {
        let Some(one) = self.in_no_block.pop_front() else { return Ok(()) };
        let newest = self.at_newest();
        let joins = one.joins(newest);
        prop_assert!(joins || !one.sure, "brought {} to one that has {newest}", one.first);
        if joins && !lost {
            under_way.in_block(End::Chain, one.what);
            self.in_blocks.push_back(one);
        } else {
            under_way.ended(End::Chain, one.what, false);
            self.in_no_block.iter_mut().for_each(|behind| behind.sure = false);
        }
        Ok(())
    }

    fn settle(&mut self, under_way: &mut UnderWay, lost: bool) {
        let Some(one) = self.in_blocks.pop_front() else { return };
        let well = !lost && one.joins(self.received);
        under_way.ended(End::Chain, one.what, well);
        if well {
            self.received = one.end();
        } else {
            let behind = self.in_blocks.iter_mut().chain(&mut self.in_no_block);
            behind.for_each(|behind| behind.sure = false);
        }
    }
}

proptest! {
    /// Whatever is lost, whatever is sent: a receiver that takes only what joins on has taken
    /// everything in the end, and as long as nothing is lost nothing that is handed in is refused.
    #[test]
    fn everything_arrives_and_nothing_is_brought_twice(
        events in proptest::collection::vec(event(), 1..80),
        in_no_block in 1u32..6,
        more in 0u32..6,
    ) {
        let most = Most { in_no_block, not_final: in_no_block + more };
        let (mut under_way, mut now) = (UnderWay::new(ONE, most), NOW);
        let (mut size, mut receiver) = (0u64, Receiver::default());
        let quiet =
            [Event::Pass(60_000), Event::Enter { lost: false }, Event::Settle { lost: false }];
        let end = std::iter::repeat_n(quiet, 600).flatten();
        for event in events.into_iter().chain(end) {
            match event {
                Event::Send(more) => size += more,
                Event::Pass(ms) => now = now.saturating_add(ms),
                Event::Enter { lost } => receiver.enter(&mut under_way, lost)?,
                Event::Settle { lost } => receiver.settle(&mut under_way, lost),
            }
            let received = receiver.received;
            let waiting = size - received;
            let planned = deliver(DATA, received, waiting.min(100), size);
            if waiting > 0
                && let Some(Step::Deliver { first, count, .. }) = beside(&under_way, planned, now)
            {
                let brought = count.min(90);
                let from = (DATA, first);
                let what = under_way.delivers(End::Chain, from, (brought, count), now);
                let one = Flying { what, first: first.0, count: brought, sure: true };
                receiver.in_no_block.push_back(one);
                let waiting = receiver.in_no_block.len();
                prop_assert!(waiting <= most.in_no_block as usize);
                prop_assert!(waiting + receiver.in_blocks.len() <= most.not_final as usize);
            }
        }
        prop_assert_eq!(receiver.received, size);
    }
}
