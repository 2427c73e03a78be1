//! A disk that fails at every write in turn, before or after the bytes are down: the process ends,
//! comes back, and the swap ends as it would have.

use crate::world::{NOW, World, opened_by};
use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio_util::sync::CancellationToken;
use tombolo_swap::htlc::{Outcome, Role};
use tombolo_swap_service::{Ended, Home, JournalError, Medium, Opened, SwapTask};

/// When the disk fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fails {
    /// Nothing of the line is there.
    Before,
    /// A part of it is.
    Within,
    /// All of it is, and the system says that it is not.
    After,
}

/// A disk that fails at one line.
struct Faulty {
    inner: Box<dyn Medium>,
    left: Arc<AtomicUsize>,
    fails: Fails,
}

impl Medium for Faulty {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let now =
            self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |it| it.checked_sub(1));
        if now.is_ok() {
            return self.inner.append(bytes);
        }
        match self.fails {
            Fails::Before => {}
            Fails::Within => self.inner.append(&bytes[..bytes.len() / 2])?,
            Fails::After => self.inner.append(bytes)?,
        }
        self.inner.sync()?;
        Err(io::Error::other("the disk is gone"))
    }

    fn sync(&mut self) -> io::Result<()> {
        self.inner.sync()
    }
}

/// Runs a swap in which one party's disk fails at its `line`-th line; it is back after `down`. Gives
/// how both ended, and whether the disk ever failed.
async fn run(faulty: u8, line: usize, fails: Fails, down: Duration) -> ([Ended; 2], bool, World) {
    let world = World::new();
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let mut tasks = Vec::new();
    let left = Arc::new(AtomicUsize::new(line));
    for (number, folder) in (1u8..).zip(&folders) {
        let home = Home::new(folder.path()).unwrap();
        let role = Role::Party(u32::from(number) - 1);
        home.create(world.order, &opened_by(role, &world.terms), NOW).unwrap();
        let (order, around, doors) = (world.order, world.around(number), world.doors(number));
        let left = Arc::clone(&left);
        tasks.push(async move {
            let begin = |opened: Opened| {
                let task = SwapTask::new(order, opened, doors.clone(), around.clone());
                task.run(CancellationToken::new())
            };
            let mut opened = home.open(order).unwrap();
            if number == faulty {
                opened.journal = opened
                    .journal
                    .on(|inner| Box::new(Faulty { inner, left: Arc::clone(&left), fails }));
            }
            match begin(opened).await {
                Ok(ended) => (ended, false),
                Err(JournalError::Io { .. }) => {
                    tokio::time::sleep(down).await;
                    let opened = home.open(order).unwrap();
                    assert_eq!(opened.torn, fails == Fails::Within);
                    (begin(opened).await.unwrap(), true)
                }
                Err(other) => panic!("{other}"),
            }
        });
    }
    let second = tasks.pop().unwrap();
    let first = tasks.pop().unwrap();
    let ((first, one), (second, other)) = tokio::join!(first, second);
    ([first, second], one || other, world)
}

/// Req: PRJ-5-6, PRJ-5-7
#[tokio::test(start_paused = true)]
async fn a32_a_crash_at_every_line_of_the_journal_changes_nothing() {
    let completed = [Ended::Over(Outcome::Completed); 2];
    for faulty in [1, 2] {
        let mut lines = 0;
        loop {
            let mut failed = false;
            for fails in [Fails::Before, Fails::Within, Fails::After] {
                let down = Duration::from_millis(900);
                let (ended, did, world) = run(faulty, lines, fails, down).await;
                assert_eq!(ended, completed, "party {faulty}, line {lines}, {fails:?}");
                world.check_supply();
                failed |= did;
            }
            if !failed {
                break;
            }
            lines += 1;
        }
        // Accepted, begun to lock, begun to claim, over: at least these are lines.
        assert!(lines >= 4, "party {faulty} wrote only {lines} lines");
    }
}

/// Down for as long as the margins allow, at the worst line: still nobody loses.
///
/// Req: PRJ-5-6
#[tokio::test(start_paused = true)]
async fn a32_who_is_down_for_nine_tenths_of_the_outage_still_claims() {
    for faulty in [1, 2] {
        for line in 0..6 {
            let down = Duration::from_millis(4_500);
            let (ended, _, world) = run(faulty, line, Fails::After, down).await;
            let [first, second] = ended;
            assert_eq!(first, second, "party {faulty}, line {line}");
            assert_ne!(first, Ended::Over(Outcome::Lost));
            world.check_supply();
        }
    }
}
