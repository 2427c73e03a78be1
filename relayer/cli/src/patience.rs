//! Saying that something that takes minutes goes on.

use std::{future::Future, pin::pin, time::Duration};
use tokio::time::{Instant, sleep_until};

/// When it is said for the first time, and how often from then on.
const SAID: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(30));

/// Waits for something, and says on standard error every half a minute that it does. What is waited
/// for is what shall be, as in `the gateway stands in a final block`.
pub(crate) async fn patiently<T>(what: &str, work: impl Future<Output = T>) -> T {
    saying(work, |waited| {
        eprintln!("  waited {} s until {what}; going on", waited.as_secs());
    })
    .await
}

async fn saying<T>(work: impl Future<Output = T>, say: impl Fn(Duration)) -> T {
    let (mut work, begun, mut next) = (pin!(work), Instant::now(), SAID.0);
    loop {
        tokio::select! {
            biased;
            done = &mut work => return done,
            () = sleep_until(begun + next) => {
                say(next);
                next += SAID.1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    #[tokio::test(start_paused = true)]
    async fn what_takes_long_is_said_to_go_on_and_what_does_not_is_not() {
        for (takes, expected) in [(9, &[][..]), (39, &[10]), (75, &[10, 40, 70])] {
            let said = RefCell::new(Vec::new());
            let work = tokio::time::sleep(Duration::from_secs(takes));
            saying(work, |waited| said.borrow_mut().push(waited.as_secs())).await;
            assert_eq!(said.into_inner(), expected, "{takes} s");
        }
    }
}
