//! When to try again: exponential, jittered, with a budget and an end.

/// How long to wait between attempts, and how many there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The wait after the first failure, in milliseconds.
    pub first_ms: u64,
    /// The longest wait, in milliseconds.
    pub longest_ms: u64,
    /// Failures in a row after which the operator is called; trying goes on at the longest wait.
    pub alarm_after: u32,
}

impl Backoff {
    /// The wait after `failures` in a row, in milliseconds; `chance` is uniform over `u64`.
    ///
    /// Half of the wait is fixed and half is chance, so that relayers that failed together do not
    /// come back together. Rounds down.
    #[must_use]
    pub fn wait_ms(&self, failures: u32, chance: u64) -> u64 {
        let doublings = failures.saturating_sub(1).min(32);
        let full = self.first_ms.saturating_mul(1u64 << doublings).min(self.longest_ms);
        let half = full / 2;
        half.saturating_add(chance.checked_rem(half.saturating_add(1)).unwrap_or(0))
    }

    /// Whether so many failures in a row call for the operator.
    #[must_use]
    pub fn is_alarming(&self, failures: u32) -> bool {
        failures >= self.alarm_after
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BACKOFF: Backoff = Backoff { first_ms: 100, longest_ms: 10_000, alarm_after: 5 };

    #[test]
    fn waits_double_up_to_the_longest() {
        let full = |failures| BACKOFF.wait_ms(failures, 0) * 2;
        assert_eq!([full(1), full(2), full(3), full(20)], [100, 200, 400, 10_000]);
    }

    proptest! {
        #[test]
        fn a_wait_is_between_half_and_full(failures in 1u32.., chance: u64) {
            let wait = BACKOFF.wait_ms(failures, chance);
            let full = BACKOFF.wait_ms(failures, 0) * 2;
            prop_assert!(wait >= full / 2 && wait <= full);
        }
    }
}
