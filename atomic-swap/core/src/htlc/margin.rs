//! Deadline arithmetic: two clocks that nobody sets alike, and blocks that come when they come.
//!
//! All figures are worst cases that a chain's profile promises; a chain that breaks its promise
//! takes the parties' safety with it, so profiles are agreed and generous. Sums are held at the
//! maximum where they do not fit, and a need that large is never met.

use super::Terms;
use borsh::{BorshDeserialize, BorshSerialize};
use tombolo_types::{Height, Refusal, UnixMillis, ensure, refuse, swap::Deadline};

/// Where a chain's own clock stands: at its newest block, final or not.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    BorshSerialize,
    BorshDeserialize,
)]
pub struct Clock {
    /// That block's height.
    pub height: Height,
    /// The time by which the chain judges deadlines there; on a chain with a median rule, the
    /// median.
    pub time: UnixMillis,
}

/// Whether a deadline ends the claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, BorshSerialize, BorshDeserialize)]
pub enum Expiry {
    /// From the deadline on the chain refuses the secret.
    Enforced,
    /// A script cannot end its hash branch: from the deadline on either side may be first.
    Open,
}

/// Who can bring a claim or a refund.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, BorshSerialize, BorshDeserialize)]
pub enum Spending {
    /// Anybody; the lock names where it goes.
    Anybody,
    /// Who holds what the favoured side signed once the funding was known.
    ByTicket,
}

/// How a chain's clock runs and how long it takes, at the worst. All times in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, BorshSerialize, BorshDeserialize)]
pub struct Profile {
    /// The shortest mean time between blocks over the length of a lock.
    pub block_ms_fastest: u64,
    /// The longest.
    pub block_ms_slowest: u64,
    /// How far the time by which deadlines are judged lags behind that of the newest block: an
    /// hour or two where it is the median of eleven, else 0.
    pub time_lag_ms: u64,
    /// How far the chain's clock may be off, either way.
    pub skew_ms: u64,
    /// From handing a transaction in, while some block is the newest, until the clock of the block
    /// that holds it.
    pub inclusion_ms: u64,
    /// From there until that block cannot be taken back.
    pub finality_ms: u64,
    /// Whether a deadline ends the claim.
    pub expiry: Expiry,
    /// Who can end a lock.
    pub spending: Spending,
}

/// What lies between two chains, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, BorshSerialize, BorshDeserialize)]
pub struct Margins {
    /// How long news takes from a chain to a party that is up.
    pub relay_ms: u64,
    /// How long a party, and whoever watches for it, may be down.
    pub outage_ms: u64,
}

/// Whether the deadline has come by the chain's own clock: from that very height or millisecond on
/// the locker may take back.
#[must_use]
pub fn reached(deadline: Deadline, clock: Clock) -> bool {
    match deadline {
        Deadline::Height(height) => clock.height >= height,
        Deadline::Time(time) => clock.time >= time,
    }
}

/// When whatever was handed in before a deadline is in a block that cannot be taken back, or never
/// will be.
#[must_use]
pub fn settled_after(deadline: Deadline, profile: &Profile) -> Deadline {
    let settles_ms = profile.inclusion_ms.saturating_add(profile.finality_ms);
    match deadline {
        Deadline::Time(time) => Deadline::Time(time.saturating_add(settles_ms)),
        Deadline::Height(height) => {
            let blocks = settles_ms.checked_div(profile.block_ms_fastest).unwrap_or(u64::MAX);
            Deadline::Height(height.saturating_add(blocks))
        }
    }
}

/// No deadline comes before this: blocks as fast as they can be. One that has come is as old as the
/// newest block, or older. `None` for a height on a chain that nobody has looked at.
#[must_use]
pub fn earliest(deadline: Deadline, clock: Option<Clock>, profile: &Profile) -> Option<UnixMillis> {
    match deadline {
        Deadline::Time(time) => Some(time),
        Deadline::Height(height) => {
            let clock = clock?;
            let blocks = height.0.saturating_sub(clock.height.0);
            Some(clock.time.saturating_add(blocks.saturating_mul(profile.block_ms_fastest)))
        }
    }
}

/// No deadline comes after this: blocks as slow as they may be, and the clock behind. `None` as for
/// [`earliest`].
#[must_use]
pub fn latest(deadline: Deadline, clock: Option<Clock>, profile: &Profile) -> Option<UnixMillis> {
    let by_blocks = match deadline {
        Deadline::Time(time) => time.saturating_add(profile.block_ms_slowest),
        Deadline::Height(height) => {
            let clock = clock?;
            let blocks = height.0.saturating_sub(clock.height.0);
            clock.time.saturating_add(blocks.saturating_mul(profile.block_ms_slowest))
        }
    };
    Some(by_blocks.saturating_add(profile.time_lag_ms))
}

fn sum(parts: impl IntoIterator<Item = u64>) -> u64 {
    parts.into_iter().fold(0, u64::saturating_add)
}

/// What must lie between the deadlines of two neighbours: from the last moment at which the second
/// lock can be claimed, whoever locked it must be able to claim the first.
///
/// On a chain that ends no claim that moment is when the refund is in, and the news that it is due
/// takes its time as the news of the claim does.
#[must_use]
pub fn gap_needs_ms(first: &Profile, second: &Profile, margins: &Margins) -> u64 {
    let refund_is_due_ms = match second.expiry {
        Expiry::Enforced => 0,
        Expiry::Open => margins.relay_ms,
    };
    sum([
        refund_is_due_ms,
        second.inclusion_ms,
        second.finality_ms,
        margins.relay_ms,
        margins.outage_ms,
        first.inclusion_ms,
        first.finality_ms,
        first.skew_ms,
        second.skew_ms,
    ])
}

/// What must be left to the deadline of the last lock when its claim is begun and so shows the
/// secret: also a party that breaks down between writing that down and doing it must still be in
/// time, for it cannot know afterwards whether the secret is out.
#[must_use]
pub fn reveal_needs_ms(last: &Profile, margins: &Margins) -> u64 {
    sum([margins.relay_ms, margins.outage_ms, last.inclusion_ms, last.finality_ms, last.skew_ms])
}

/// What must be left to the deadline of the last lock when the first of `remaining` is locked: all
/// of them become final, one after the other, and then the secret is shown.
#[must_use]
pub fn lock_needs_ms(remaining: &[Profile], margins: &Margins) -> u64 {
    let locks = remaining
        .iter()
        .map(|profile| sum([profile.inclusion_ms, profile.finality_ms, margins.relay_ms]));
    sum(locks.chain(remaining.last().map(|last| reveal_needs_ms(last, margins))))
}

/// Checks that deadlines fall along the legs with room between neighbours. `chains` holds for each
/// leg its chain's profile and, where it is known, its clock.
///
/// # Errors
/// - `E_UNSUPPORTED`: a height on a chain whose clock is not known;
/// - `E_STATE`: two neighbours are too near.
///
/// Req: PRJ-5-5, PRJ-5-8
pub fn check_gaps(
    terms: &Terms,
    chains: &[(Profile, Option<Clock>)],
    margins: &Margins,
) -> Result<(), Refusal> {
    let mut before: Option<(usize, &Profile, UnixMillis)> = None;
    for (leg, (lock, (profile, clock))) in terms.locks().iter().zip(chains).enumerate() {
        let comes = earliest(lock.deadline, *clock, profile);
        let over = latest(lock.deadline, *clock, profile);
        let (Some(comes), Some(over)) = (comes, over) else {
            refuse!(
                Unsupported,
                "leg {leg} ends at {}, and nobody here follows the blocks of chain {}; name a time",
                lock.deadline,
                lock.chain
            );
        };
        if let Some((first, first_profile, first_comes)) = before {
            let needs_ms = gap_needs_ms(first_profile, profile, margins);
            let gap_ms = first_comes.since(over);
            ensure!(
                gap_ms >= needs_ms,
                State,
                "leg {first} may end at {first_comes}, leg {leg} as late as {over}: the {gap_ms} ms \
                 between them are less than the {needs_ms} ms that a claim of leg {first} may take; \
                 let leg {first} end later"
            );
        }
        before = Some((leg, profile, comes));
    }
    Ok(())
}

/// Checks an order that is about to be made: gaps, and that those who come last still have time
/// where everything begins at `now`.
///
/// # Errors
/// As [`check_gaps`], and `E_STATE` where what is left after `now` does not suffice for every lock
/// and the claim.
///
/// Req: PRJ-5-5
pub fn check_deadlines(
    terms: &Terms,
    chains: &[(Profile, Option<Clock>)],
    margins: &Margins,
    now: UnixMillis,
) -> Result<(), Refusal> {
    check_gaps(terms, chains, margins)?;
    let (Some(lock), Some((profile, clock))) = (terms.locks().last(), chains.last()) else {
        refuse!(Format, "an order has at least one leg");
    };
    let comes = earliest(lock.deadline, *clock, profile).unwrap_or_default();
    let profiles: Vec<Profile> = chains.iter().map(|(profile, _)| *profile).collect();
    let needs_ms = lock_needs_ms(&profiles, margins);
    let left_ms = comes.since(now);
    ensure!(
        left_ms >= needs_ms,
        State,
        "the last leg may end {left_ms} ms after {now}, less than the {needs_ms} ms that locking \
         every leg and claiming the last one may take; let all legs end later"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROFILE: Profile = Profile {
        block_ms_fastest: 10,
        block_ms_slowest: 100,
        time_lag_ms: 7,
        skew_ms: 3,
        inclusion_ms: 200,
        finality_ms: 50,
        expiry: Expiry::Enforced,
        spending: Spending::Anybody,
    };
    const CLOCK: Clock = Clock { height: Height(1_000), time: UnixMillis(1_000_000) };

    /// Req: PRJ-5-8
    #[test]
    fn a_deadline_lies_between_its_earliest_and_its_latest() {
        let table = [
            (Deadline::Time(UnixMillis(1_000_500)), 1_000_500, 1_000_607),
            (Deadline::Height(Height(1_005)), 1_000_050, 1_000_507),
            (Deadline::Height(Height(1_000)), 1_000_000, 1_000_007),
            (Deadline::Height(Height(1)), 1_000_000, 1_000_007),
            (Deadline::Height(Height::MAX), u64::MAX, u64::MAX),
        ];
        for (deadline, from, until) in table {
            let found = (
                earliest(deadline, Some(CLOCK), &PROFILE).map(|time| time.0),
                latest(deadline, Some(CLOCK), &PROFILE).map(|time| time.0),
            );
            assert_eq!(found, (Some(from), Some(until)), "{deadline}");
        }
        assert_eq!(earliest(Deadline::Height(Height(1)), None, &PROFILE), None);
        assert_eq!(latest(Deadline::Height(Height(1)), None, &PROFILE), None);
        let time = Deadline::Time(UnixMillis(5));
        assert_eq!(earliest(time, None, &PROFILE), Some(UnixMillis(5)));
    }

    #[test]
    fn a20_a_deadline_is_reached_in_its_own_block() {
        let table = [
            (Deadline::Height(Height(999)), true),
            (Deadline::Height(Height(1_000)), true),
            (Deadline::Height(Height(1_001)), false),
            (Deadline::Height(Height(0)), true),
            (Deadline::Height(Height::MAX), false),
            (Deadline::Time(UnixMillis(999_999)), true),
            (Deadline::Time(UnixMillis(1_000_000)), true),
            (Deadline::Time(UnixMillis(1_000_001)), false),
            (Deadline::Time(UnixMillis(0)), true),
            (Deadline::Time(UnixMillis::MAX), false),
        ];
        for (deadline, expected) in table {
            assert_eq!(reached(deadline, CLOCK), expected, "{deadline}");
        }
    }

    #[test]
    fn needs_add_up() {
        let margins = Margins { relay_ms: 1_000, outage_ms: 10_000 };
        assert_eq!(gap_needs_ms(&PROFILE, &PROFILE, &margins), 250 + 11_000 + 250 + 6);
        let script = Profile { expiry: Expiry::Open, ..PROFILE };
        assert_eq!(gap_needs_ms(&PROFILE, &script, &margins), 250 + 12_000 + 250 + 6);
        assert_eq!(gap_needs_ms(&script, &PROFILE, &margins), 250 + 11_000 + 250 + 6);
        assert_eq!(reveal_needs_ms(&PROFILE, &margins), 11_253);
        assert_eq!(lock_needs_ms(&[PROFILE], &margins), 1_250 + 11_253);
        assert_eq!(lock_needs_ms(&[PROFILE; 2], &margins), 2 * 1_250 + 11_253);
        let settled = settled_after(Deadline::Time(UnixMillis(5)), &PROFILE);
        assert_eq!(settled, Deadline::Time(UnixMillis(255)));
        let settled = settled_after(Deadline::Height(Height(5)), &PROFILE);
        assert_eq!(settled, Deadline::Height(Height(30)));
        let absurd = Profile { inclusion_ms: u64::MAX, ..PROFILE };
        assert_eq!(gap_needs_ms(&absurd, &PROFILE, &margins), u64::MAX);
    }
}
