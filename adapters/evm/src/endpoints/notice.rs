//! Noticing that there is a new block: one asks, and all that wait are told.

use super::{Endpoints, SeenBlock};
use std::time::Duration;
use tokio::{
    sync::{Mutex, watch},
    time::Instant,
};
use tombolo_adapter::AdapterError;
use tombolo_types::UnixMillis;

/// How long from one question to the next, at the least and at the most; in between it is this part
/// of the time between two blocks.
const ASK_EVERY: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(250));
const PART_OF_INTERVAL: u32 = 20;
/// A node that has shown no other block for so long is compared with the others.
const STILL: Duration = Duration::from_secs(2);

/// The newest block of a node that answers, final or not, as far as it was noticed.
pub(super) struct Notice {
    newest: watch::Sender<Noticed>,
    /// Held by the one who asks for all.
    asking: Mutex<Option<Asked>>,
}

/// When it was last asked.
#[derive(Clone, Copy)]
struct Asked {
    at: Instant,
    /// Since when there was no other block, or no comparison with the other nodes.
    still_since: Instant,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Noticed {
    number: u64,
    time: UnixMillis,
    /// The time to it from the block that was noticed before, for each block; zero where unknown.
    interval: Duration,
}

impl Notice {
    pub(super) fn new() -> Self {
        Self { newest: watch::Sender::new(Noticed::default()), asking: Mutex::default() }
    }

    /// A node that answers has shown its newest block.
    pub(super) fn seen(&self, block: &SeenBlock) {
        self.newest.send_if_modified(|noticed| noticed.advance(block.number, block.time));
    }
}

impl Noticed {
    /// Whether this is another block.
    fn advance(&mut self, number: u64, time: UnixMillis) -> bool {
        if number == self.number {
            return false;
        }
        let blocks = u32::try_from(number.saturating_sub(self.number)).unwrap_or(u32::MAX);
        let known = self.number > 0 && blocks > 0;
        self.interval = match known {
            true => Duration::from_millis(time.since(self.time)) / blocks,
            false => self.interval,
        };
        (self.number, self.time) = (number, time);
        true
    }

    fn ask_every(&self) -> Duration {
        let (least, most) = ASK_EVERY;
        match self.interval {
            Duration::ZERO => most,
            interval => (interval / PART_OF_INTERVAL).clamp(least, most),
        }
    }
}

impl Endpoints {
    /// The number of the newest block that was noticed; to be taken before one looks for something,
    /// and given to [`Self::other_block`] where it is not there.
    #[must_use]
    pub fn noticed(&self) -> u64 {
        self.notice.newest.borrow().number
    }

    /// Waits until the newest block of a node that answers is another than `number`, at the most for
    /// `within`. Any number may wait; one of them asks. Safe to cancel.
    ///
    /// # Errors
    /// [`AdapterError::NoAnswer`].
    pub async fn other_block(&self, number: u64, within: Duration) -> Result<(), AdapterError> {
        let mut newest = self.notice.newest.subscribe();
        let other = async {
            while newest.borrow_and_update().number == number {
                // The sender lives as long as this does, so a change is all that can come.
                tokio::select! {
                    _ = newest.changed() => {}
                    asked = self.ask_for_block() => asked?,
                }
            }
            Ok(())
        };
        tokio::time::timeout(within, other).await.unwrap_or(Ok(()))
    }

    /// Asks once it is time to.
    async fn ask_for_block(&self) -> Result<(), AdapterError> {
        let mut asked = self.notice.asking.lock().await;
        let Noticed { number, .. } = *self.notice.newest.borrow();
        let every = self.notice.newest.borrow().ask_every();
        if let Some(last) = *asked {
            tokio::time::sleep_until(last.at + every).await;
        }
        let at = Instant::now();
        let still_since = asked.map_or(at, |last| last.still_since);
        *asked = Some(Asked { at, still_since });
        if self.tip().await?.number != number {
            *asked = Some(Asked { at, still_since: at });
        } else if at.duration_since(still_since) >= STILL {
            *asked = Some(Asked { at, still_since: at });
            // Either no node has another block, or this one has fallen behind: then another is asked
            // from now on. Too few to agree are no matter here.
            let _ = self.final_height().await;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Blocks of a chain at these numbers and times, in seconds.
    fn noticed(blocks: &[(u64, u64)]) -> Noticed {
        let mut noticed = Noticed::default();
        for (number, seconds) in blocks {
            noticed.advance(*number, UnixMillis(seconds * 1_000));
        }
        noticed
    }

    #[test]
    fn a_chain_is_asked_the_more_often_the_faster_it_is() {
        for (blocks, ms) in [
            (&[][..], 250),
            (&[(7, 100)], 250),
            (&[(7, 100), (8, 101)], 50),
            (&[(7, 100), (7, 200)], 250),
            (&[(7, 100), (9, 102)], 50),
            (&[(7, 100), (8, 112)], 250),
            (&[(7, 100), (17, 101)], 20),
            // Blocks that were taken back say nothing of the time between them.
            (&[(7, 100), (8, 101), (6, 99)], 50),
        ] {
            let found = noticed(blocks).ask_every();
            assert_eq!(found, Duration::from_millis(ms), "{blocks:?}");
        }
    }

    #[test]
    fn a_block_that_goes_back_is_another_block() {
        let mut noticed = noticed(&[(7, 100)]);
        assert!(!noticed.advance(7, UnixMillis(100_000)));
        assert!(noticed.advance(6, UnixMillis(99_000)));
        assert_eq!(noticed.number, 6);
    }
}
