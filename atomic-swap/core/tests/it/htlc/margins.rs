//! Deadline arithmetic over random chains: exact at the boundary, whatever the clocks.

use super::fixture::order_with;
use proptest::prelude::*;
use tombolo_swap::htlc::{
    Clock, Expiry, Margins, Profile, Spending, Terms, check_deadlines, check_gaps, earliest,
    gap_needs_ms, latest, lock_needs_ms,
};
use tombolo_types::{Class, Height, UnixMillis, swap::Deadline};

const HOUR_MS: u64 = 3_600_000;
const NOW: UnixMillis = UnixMillis(1_800_000_000_000);

prop_compose! {
    /// Blocks from 25 ms to an hour, clocks off by up to two hours, a median up to two hours behind.
    fn profiles()(
        fastest in 1u64..600_000,
        slower in 0u64..HOUR_MS,
        time_lag_ms in 0u64..2 * HOUR_MS,
        skew_ms in 0u64..=2 * HOUR_MS,
        inclusion_ms in 0u64..3 * HOUR_MS,
        finality_ms in 0u64..2 * HOUR_MS,
    ) -> Profile {
        Profile {
            block_ms_fastest: fastest,
            block_ms_slowest: fastest + slower,
            time_lag_ms, skew_ms, inclusion_ms, finality_ms,
            expiry: Expiry::Enforced,
            spending: Spending::Anybody,
        }
    }
}

prop_compose! {
    fn margins()(relay_ms in 0u64..HOUR_MS, outage_ms in 0u64..24 * HOUR_MS) -> Margins {
        Margins { relay_ms, outage_ms }
    }
}

prop_compose! {
    fn clocks()(height in 1u64..10_000_000, off in 0u64..4 * HOUR_MS) -> Clock {
        Clock { height: Height(height), time: UnixMillis(NOW.0 - 2 * HOUR_MS + off) }
    }
}

fn class(checked: Result<(), tombolo_types::Refusal>) -> Option<Class> {
    checked.err().map(|refusal| refusal.class)
}

/// The deadline of one kind that comes so long after what the chain's clock says.
fn deadline(by_height: bool, after: u64, clock: Clock) -> Deadline {
    if by_height {
        Deadline::Height(clock.height.saturating_add(after / 600_000))
    } else {
        Deadline::Time(clock.time.saturating_add(after))
    }
}

proptest! {
    /// One millisecond decides, and a first deadline by time is refused exactly below the bound.
    ///
    /// Req: PRJ-5-5, PRJ-5-8
    #[test]
    fn a31_deadlines_are_refused_exactly_below_the_bound(
        first in profiles(), second in profiles(), margins in margins(),
        clocks in (clocks(), clocks()), by_height: bool, after in 0u64..1_000 * HOUR_MS,
    ) {
        let second_deadline = deadline(by_height, after, clocks.1);
        let over = latest(second_deadline, Some(clocks.1), &second).unwrap();
        let bound = over.0 + gap_needs_ms(&first, &second, &margins);
        let chains = [(first, Some(clocks.0)), (second, Some(clocks.1))];
        for (first_deadline, expected) in
            [(bound - 1, Some(Class::State)), (bound, None), (bound + 1, None)]
        {
            let first_deadline = Deadline::Time(UnixMillis(first_deadline));
            let terms = Terms::read(order_with([first_deadline, second_deadline])).unwrap();
            prop_assert_eq!(class(check_gaps(&terms, &chains, &margins)), expected);
        }
    }

    /// As above, where the first deadline is a height: the lowest that is allowed is the first
    /// whose fastest blocks come late enough.
    ///
    /// Req: PRJ-5-5, PRJ-5-8
    #[test]
    fn a31_heights_are_refused_exactly_below_the_bound(
        first in profiles(), second in profiles(), margins in margins(),
        clocks in (clocks(), clocks()), by_height: bool, after in 0u64..1_000 * HOUR_MS,
    ) {
        let second_deadline = deadline(by_height, after, clocks.1);
        let over = latest(second_deadline, Some(clocks.1), &second).unwrap();
        let bound = over.0 + gap_needs_ms(&first, &second, &margins);
        let blocks = bound.saturating_sub(clocks.0.time.0).div_ceil(first.block_ms_fastest).max(1);
        let chains = [(first, Some(clocks.0)), (second, Some(clocks.1))];
        for (blocks, expected) in [(blocks - 1, Some(Class::State)), (blocks, None)] {
            let first_deadline = Deadline::Height(clocks.0.height.saturating_add(blocks));
            let terms = Terms::read(order_with([first_deadline, second_deadline])).unwrap();
            prop_assert_eq!(class(check_gaps(&terms, &chains, &margins)), expected);
        }
    }

    /// What must follow must fit, to the millisecond.
    ///
    /// Req: PRJ-5-5
    #[test]
    fn a31_the_last_deadline_is_refused_exactly_below_the_bound(
        first in profiles(), second in profiles(), margins in margins(), clocks in (clocks(), clocks()),
    ) {
        let bound = NOW.0 + lock_needs_ms(&[first, second], &margins);
        let chains = [(first, Some(clocks.0)), (second, Some(clocks.1))];
        for (last, expected) in [(bound - 1, Some(Class::State)), (bound, None)] {
            let last = UnixMillis(last);
            let far = last.saturating_add(1_000 * HOUR_MS);
            let terms =
                Terms::read(order_with([Deadline::Time(far), Deadline::Time(last)])).unwrap();
            prop_assert_eq!(class(check_deadlines(&terms, &chains, &margins, NOW)), expected);
        }
    }

    /// Equal deadlines, and any at all that fall the wrong way, are refused on every pair of chains.
    #[test]
    fn a31_equal_and_inverted_deadlines_are_refused(
        first in profiles(), second in profiles(), margins in margins(), clocks in (clocks(), clocks()),
        after in 0u64..1_000 * HOUR_MS, earlier in 0u64..1_000 * HOUR_MS,
    ) {
        let second_deadline = NOW.saturating_add(after);
        let first_deadline = second_deadline.saturating_sub(earlier);
        let terms = Terms::read(order_with([
            Deadline::Time(first_deadline), Deadline::Time(second_deadline),
        ])).unwrap();
        let chains = [(first, Some(clocks.0)), (second, Some(clocks.1))];
        prop_assert_eq!(class(check_gaps(&terms, &chains, &margins)), Some(Class::State));
    }

    /// Whatever blocks do within the profile, and however the clock is off, a deadline comes
    /// between its earliest and its latest, skew aside. Req: PRJ-5-8
    #[test]
    fn a33_deadlines_come_between_their_bounds(
        profile in profiles(), clock in clocks(), blocks in 1u64..200, after in 1u64..200 * HOUR_MS,
        pace in 0u64..=1_000, lag in 0u64..=1_000,
    ) {
        let spread = profile.block_ms_slowest - profile.block_ms_fastest;
        let share = |of: u64, part: u64| of * part / 1_000;
        let interval = profile.block_ms_fastest + share(spread, pace);
        let lag_ms = share(profile.time_lag_ms, lag);
        // A height is reached with its block.
        let comes = clock.time.0 + blocks * interval;
        let height = Deadline::Height(clock.height.saturating_add(blocks));
        prop_assert!(earliest(height, Some(clock), &profile).unwrap().0 <= comes);
        prop_assert!(latest(height, Some(clock), &profile).unwrap().0 >= comes);
        // A time is reached with the first block whose median is not before it.
        let blocks = (after + lag_ms).div_ceil(interval);
        let comes = clock.time.0 + blocks * interval;
        let time = Deadline::Time(clock.time.saturating_add(after));
        prop_assert!(earliest(time, Some(clock), &profile).unwrap().0 <= comes);
        prop_assert!(latest(time, Some(clock), &profile).unwrap().0 >= comes);
    }

    /// Nothing overflows into an allowance.
    #[test]
    fn a20_absurd_deadlines_and_profiles_are_refused(
        first in profiles(), second in profiles(), margins in margins(), clock in clocks(),
    ) {
        let far = |by_height| match by_height {
            true => Deadline::Height(Height::MAX),
            false => Deadline::Time(UnixMillis::MAX),
        };
        let chains = [(first, Some(clock)), (second, Some(clock))];
        for (a, b) in [(true, true), (true, false), (false, true), (false, false)] {
            let terms = Terms::read(order_with([far(a), far(b)])).unwrap();
            prop_assert_eq!(class(check_gaps(&terms, &chains, &margins)), Some(Class::State));
        }
        let never = Profile { finality_ms: u64::MAX, ..second };
        let near = Deadline::Time(NOW.saturating_add(1));
        let terms = Terms::read(order_with([far(false), near])).unwrap();
        let chains = [(first, Some(clock)), (never, Some(clock))];
        prop_assert_eq!(
            class(check_deadlines(&terms, &chains, &margins, NOW)), Some(Class::State)
        );
    }
}

/// A height on a chain that nobody follows cannot be compared with anything.
#[test]
fn a_height_without_a_clock_is_unsupported() {
    let profile = super::fixture::PROFILE;
    let deadlines = [Deadline::Height(Height(9)), Deadline::Time(NOW)];
    let terms = Terms::read(order_with(deadlines)).unwrap();
    let margins = super::fixture::MARGINS;
    let checked = check_gaps(&terms, &[(profile, None), (profile, None)], &margins);
    assert_eq!(class(checked), Some(Class::Unsupported));
}
