//! Deadline arithmetic of a two-phase commit.
//!
//! One deadline is read by several clocks: the hub's block time decides, a participant's block
//! time only bounds what it remembers and when it stops to promise. Nothing is released by it.

use tombolo_types::{Refusal, UnixMillis, ensure};

/// Whether the deadline has come: from the very millisecond on, by the block time of the ledger
/// that asks. No yes counts from then on.
#[must_use]
pub fn passed(deadline: UnixMillis, at: UnixMillis) -> bool {
    at >= deadline
}

/// The shortest time, in milliseconds, that a deadline must leave: Prepare must become final on
/// the way out and the vote on the way back, and a relayer must carry both.
///
/// Held at the maximum where it does not fit, so that absurd parameters refuse instead of allow.
#[must_use]
pub fn shortest_ms(slowest_finality_ms: u64, relay_margin_ms: u64) -> u64 {
    slowest_finality_ms.saturating_mul(2).saturating_add(relay_margin_ms)
}

/// Checks that locks cannot be asked for longer than agreed.
///
/// # Errors
/// `E_LIMIT` where the deadline lies more than `longest_ms` after `now`.
pub fn check_not_too_far(
    deadline: UnixMillis,
    now: UnixMillis,
    longest_ms: u64,
) -> Result<(), Refusal> {
    let ahead_ms = deadline.since(now);
    ensure!(
        ahead_ms <= longest_ms,
        Limit,
        "the deadline {deadline} is {ahead_ms} ms after block time {now}, more than the longest \
         of {longest_ms} ms; choose an earlier one"
    );
    Ok(())
}

/// Checks that a deadline to come leaves time to prepare and vote. One that has passed is not
/// judged here, see [`check_not_passed`].
///
/// # Errors
/// `E_STATE` where less than `shortest_ms` is left.
pub fn check_not_too_near(
    deadline: UnixMillis,
    now: UnixMillis,
    shortest_ms: u64,
) -> Result<(), Refusal> {
    let ahead_ms = deadline.since(now);
    ensure!(
        passed(deadline, now) || ahead_ms >= shortest_ms,
        State,
        "the deadline {deadline} leaves {ahead_ms} ms after block time {now}, less than the \
         {shortest_ms} ms that the slowest participant needs; choose a later one"
    );
    Ok(())
}

/// Checks that the deadline is still to come.
///
/// # Errors
/// `E_TIMEOUT` where it has passed.
pub fn check_not_passed(deadline: UnixMillis, now: UnixMillis) -> Result<(), Refusal> {
    ensure!(
        !passed(deadline, now),
        Timeout,
        "the deadline {deadline} has passed at block time {now}; begin again with a later one"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tombolo_types::Class;

    const NOW: UnixMillis = UnixMillis(1_000);

    #[test]
    fn a_deadline_has_come_in_its_own_millisecond() {
        for (at, expected) in [(999, false), (1_000, true), (1_001, true)] {
            assert_eq!(passed(NOW, UnixMillis(at)), expected, "at {at}");
        }
    }

    #[test]
    fn twice_the_finality_and_the_relay_margin_must_be_left() {
        let shortest = shortest_ms(100, 50);
        assert_eq!(shortest, 250);
        for (deadline, class) in [
            (1_249, Some(Class::State)),
            (1_250, None),
            (1_001, Some(Class::State)),
            (1_000, None),
            (0, None),
        ] {
            let found = check_not_too_near(UnixMillis(deadline), NOW, shortest);
            assert_eq!(found.err().map(|refusal| refusal.class), class, "deadline {deadline}");
        }
    }

    #[test]
    fn absurd_parameters_refuse() {
        let shortest = shortest_ms(u64::MAX, u64::MAX);
        assert_eq!(shortest, u64::MAX);
        let found = check_not_too_near(UnixMillis(u64::MAX), NOW, shortest);
        assert_eq!(found.unwrap_err().class, Class::State);
    }

    #[test]
    fn the_longest_deadline_is_allowed_and_one_more_is_not() {
        assert_eq!(check_not_too_far(UnixMillis(1_500), NOW, 500), Ok(()));
        let found = check_not_too_far(UnixMillis(1_501), NOW, 500);
        assert_eq!(found.unwrap_err().class, Class::Limit);
        assert_eq!(check_not_too_far(UnixMillis(0), NOW, 500), Ok(()));
    }

    #[test]
    fn a_passed_deadline_is_a_timeout() {
        assert_eq!(check_not_passed(UnixMillis(1_001), NOW), Ok(()));
        assert_eq!(check_not_passed(NOW, NOW).unwrap_err().class, Class::Timeout);
    }
}
