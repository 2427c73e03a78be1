//! The one who fills the index: behind the log, and again from its beginning where it must be.

use crate::index::{Index, discard};
use sqlx::SqlitePool;
use std::{path::PathBuf, sync::Arc, time::Duration};
use tokio::{
    sync::watch,
    task::JoinError,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;
use tombolo_types::{id::ChainId, record::SaltedRecord};

/// Records that are added at a time.
const BATCH: usize = 500;
/// After how long an index that broke is opened again.
const AGAIN: Duration = Duration::from_millis(if cfg!(test) { 10 } else { 10_000 });
/// SQLite's numbers for a file that is damaged, and for one that is no database.
const DAMAGED: [i32; 2] = [11, 26];

/// The audit log that is indexed.
pub trait Log: Send + Sync + 'static {
    /// The ledger.
    fn chain_id(&self) -> ChainId;

    /// The records from a position on, at most `limit`, without a gap; fewer only at the log's end.
    /// May block.
    fn read(&self, from: u64, limit: usize) -> Vec<(u64, SaltedRecord)>;
}

/// The index, as those see it who search.
#[derive(Clone, Debug)]
pub struct Explorer {
    pub(crate) state: watch::Receiver<State>,
}

#[derive(Clone, Debug)]
pub(crate) enum State {
    Opening,
    Filled { readers: SqlitePool, next: u64 },
    Broken { why: String },
}

/// The log itself could not be read: nothing that an index could mend.
#[derive(Debug, thiserror::Error)]
#[error("the audit log cannot be read: {0}")]
pub struct LogGone(#[from] JoinError);

enum Stopped {
    Index(sqlx::Error),
    Log(LogGone),
}

impl From<sqlx::Error> for Stopped {
    fn from(error: sqlx::Error) -> Self {
        Self::Index(error)
    }
}

impl Explorer {
    /// How many records are in the index; 0 while it is not open.
    #[must_use]
    pub fn indexed(&self) -> u64 {
        match &*self.state.borrow() {
            State::Filled { next, .. } => *next,
            State::Opening | State::Broken { .. } => 0,
        }
    }
}

/// The index of a log in a file. The future fills it, at once and after every change of `blocks`,
/// until `cancel`; it ends before that only where the log cannot be read. An index that breaks is
/// opened again after a while, and thrown away first where it is damaged.
pub fn start<T: Send + Sync + 'static>(
    file: PathBuf,
    log: Arc<impl Log>,
    blocks: watch::Receiver<T>,
    cancel: CancellationToken,
) -> (Explorer, impl Future<Output = Result<(), LogGone>> + Send) {
    let (sender, state) = watch::channel(State::Opening);
    let keeper = Keeper { file, log, state: sender, cancel };
    (Explorer { state }, keeper.keep(blocks))
}

struct Keeper<L> {
    file: PathBuf,
    log: Arc<L>,
    state: watch::Sender<State>,
    cancel: CancellationToken,
}

impl<L: Log> Keeper<L> {
    async fn keep<T>(self, mut blocks: watch::Receiver<T>) -> Result<(), LogGone> {
        loop {
            let error = match self.fill(&mut blocks).await {
                Ok(()) => return Ok(()),
                Err(Stopped::Log(gone)) => return Err(gone),
                Err(Stopped::Index(error)) => error,
            };
            tracing::error!(%error, file = %self.file.display(), "audit index broke");
            self.state.send_replace(State::Broken { why: error.to_string() });
            if is_damage(&error)
                && let Err(error) = discard(&self.file)
            {
                tracing::error!(%error, "damaged audit index cannot be removed");
            }
            let again = self.cancel.run_until_cancelled(sleep(AGAIN));
            if again.await.is_none() {
                return Ok(());
            }
        }
    }

    async fn fill<T>(&self, blocks: &mut watch::Receiver<T>) -> Result<(), Stopped> {
        let chain = self.log.chain_id();
        let mut index = Index::open(&self.file, chain).await?;
        if let Some(last) = index.next().checked_sub(1)
            && self.read(last, 1).await?.is_empty()
        {
            // The ledger was restored to an earlier state.
            tracing::info!(records = index.next(), "audit index holds more than the log");
            index.close().await;
            discard(&self.file).map_err(sqlx::Error::from)?;
            index = Index::open(&self.file, chain).await?;
        }
        let stopped = self.follow(&mut index, blocks).await;
        index.close().await;
        stopped
    }

    async fn follow<T>(
        &self,
        index: &mut Index,
        blocks: &mut watch::Receiver<T>,
    ) -> Result<(), Stopped> {
        loop {
            let begun = Instant::now();
            let records = self.read(index.next(), BATCH).await?;
            index.add(&records).await?;
            let (readers, next) = (index.readers().clone(), index.next());
            self.state.send_replace(State::Filled { readers, next });
            let behind = records.len() == BATCH;
            tokio::select! {
                () = self.cancel.cancelled() => return Ok(()),
                // Half of the time at most, so that a rebuild leaves the machine to the ledger.
                () = sleep(begun.elapsed()), if behind => {}
                changed = blocks.changed(), if !behind => if changed.is_err() {
                    // No block comes any more; the node is about to end.
                    self.cancel.cancelled().await;
                    return Ok(());
                },
            }
        }
    }

    async fn read(&self, from: u64, limit: usize) -> Result<Vec<(u64, SaltedRecord)>, Stopped> {
        let log = Arc::clone(&self.log);
        let read = tokio::task::spawn_blocking(move || log.read(from, limit));
        read.await.map_err(|error| Stopped::Log(error.into()))
    }
}

fn is_damage(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    // The lowest byte is the number, what lies above tells variants apart.
    let number = code.and_then(|code| code.parse::<i32>().ok()).map(|code| code & 0xff);
    number.is_some_and(|number| DAMAGED.contains(&number))
}
