//! The file of the index: opening it, and adding to it.

use crate::schema;
use sqlx::{
    ConnectOptions as _, Connection as _, QueryBuilder, Sqlite, SqliteConnection, SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use std::{
    collections::BTreeSet,
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};
use tombolo_types::{
    id::{ChainId, IdentityId},
    record::{Record, SaltedRecord},
};

/// Searches at a time; each has a connection and a thread.
const READERS_MAX: u32 = 2;
/// How long a search waits for its turn.
const TURN: Duration = Duration::from_secs(2);

/// The index, open for the one who fills it.
pub(crate) struct Index {
    writer: SqliteConnection,
    readers: SqlitePool,
    next: u64,
}

/// Positions and times as SQLite has them: signed. Neither reaches the limit in earnest.
pub(crate) fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// An id as the tables have it: none where it is zero.
fn blob(id: &[u8; 32]) -> Option<Vec<u8>> {
    (*id != [0; 32]).then(|| id.to_vec())
}

impl Index {
    /// Opens the index in a file, or begins it anew where it is of another ledger or version.
    pub(crate) async fn open(file: &Path, chain: ChainId) -> sqlx::Result<Self> {
        // A crash of the machine may lose the last additions, which are then made again; it does
        // not tear one. So nothing here waits for the disk.
        let options = SqliteConnectOptions::new()
            .filename(file)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Normal)
            .disable_statement_logging();
        let mut writer = options.connect().await?;
        let next = match schema::begin(&mut writer, chain).await? {
            Some(next) => next,
            None => {
                tracing::info!(file = %file.display(), "audit index is of another ledger or version");
                writer.close().await?;
                discard(file)?;
                writer = options.connect().await?;
                schema::begin(&mut writer, chain).await?.unwrap_or(0)
            }
        };
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS_MAX)
            .acquire_timeout(TURN)
            .connect_lazy_with(options.create_if_missing(false).read_only(true));
        Ok(Self { writer, readers, next: u64::try_from(next).unwrap_or(0) })
    }

    /// For searches.
    pub(crate) fn readers(&self) -> &SqlitePool {
        &self.readers
    }

    /// The position of the first record that is not in the index.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// Adds the records that follow; all of them or none.
    pub(crate) async fn add(&mut self, records: &[(u64, SaltedRecord)]) -> sqlx::Result<()> {
        let Some((last, _)) = records.last() else { return Ok(()) };
        let next = last.saturating_add(1);
        let mut at_once = self.writer.begin().await?;
        let mut rows = QueryBuilder::<Sqlite>::new("INSERT INTO record ");
        rows.push_values(records, |mut row, (position, salted)| {
            let record = &salted.record;
            row.push_bind(signed(*position))
                .push_bind(signed(record.time.0))
                .push_bind(blob(&record.global_id.0))
                .push_bind(blob(&record.tx_id.0))
                .push_bind(blob(&record.link.0))
                .push_bind(blob(&record.source_chain.0))
                .push_bind(blob(&record.destination_chain.0))
                .push_bind(blob(&record.data_id.0))
                .push_bind(i64::from(record.data_class))
                .push_bind(record.operation.clone())
                .push_bind(i64::from(record.outcome))
                .push_bind(i64::from(record.mode));
        });
        rows.build().persistent(false).execute(&mut *at_once).await?;
        let named: Vec<(IdentityId, u64)> = records
            .iter()
            .flat_map(|(position, salted)| {
                parties(&salted.record).into_iter().map(|identity| (identity, *position))
            })
            .collect();
        for named in named.chunks(PARTIES_AT_ONCE) {
            let mut rows = QueryBuilder::<Sqlite>::new("INSERT INTO party ");
            rows.push_values(named, |mut row, (identity, position)| {
                row.push_bind(identity.0.to_vec()).push_bind(signed(*position));
            });
            rows.build().persistent(false).execute(&mut *at_once).await?;
        }
        sqlx::query("UPDATE filled SET next = ?").bind(signed(next)).execute(&mut *at_once).await?;
        at_once.commit().await?;
        self.next = next;
        Ok(())
    }

    /// Ends the searches and closes the file.
    pub(crate) async fn close(self) {
        self.readers.close().await;
        if let Err(error) = self.writer.close().await {
            tracing::warn!(%error, "audit index was not closed; it is checked at the next start");
        }
    }
}

/// Rows of one statement; SQLite takes 32,766 values in one.
const PARTIES_AT_ONCE: usize = 4_096;

/// Everybody whom a filter by party finds in a record.
fn parties(record: &Record) -> BTreeSet<IdentityId> {
    let all = record.parties.iter().copied().chain([record.relayer]);
    all.filter(|identity| !identity.is_zero()).collect()
}

/// Removes the index. What was open of it goes on in files without a name.
pub(crate) fn discard(file: &Path) -> io::Result<()> {
    for end in ["", "-wal", "-shm"] {
        let mut name = OsString::from(file);
        name.push(end);
        match fs::remove_file(PathBuf::from(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}
