//! The search: a filter in, positions out.

use crate::{
    index::signed,
    keep::{Explorer, State},
};
use sqlx::{QueryBuilder, Sqlite, SqlitePool};
use std::time::Duration;
use tokio::time::timeout;
use tombolo_types::{
    Class, UnixMillis,
    message::DataClass,
    record::{End, RecordFilter},
};

/// Positions that one statement searches. Whatever plan SQLite makes, it looks at no more rows than
/// these, so that a statement takes milliseconds.
const WINDOW: u64 = if cfg!(test) { 16 } else { 20_000 };
/// Positions that one call searches: a second or two where every row must be looked at.
const SEARCHED_MAX: u64 = 100 * WINDOW;
/// How long a search waits for records that are in the log and not yet in the index.
const CATCH_UP: Duration = Duration::from_secs(2);

/// A page of what was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Positions in the log, ascending.
    pub positions: Vec<u64>,
    /// Where to go on; `None` where the log was searched to its end, or to the end of the time
    /// asked for.
    pub next: Option<u64>,
}

/// Why a search has no answer. The ledger itself is not concerned.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FindError {
    /// The node has just started.
    #[error("the audit index is being opened; ask again")]
    Opening,
    /// The index cannot be kept.
    #[error("the audit index is broken ({why}); this node tries to mend it, ask another one")]
    Broken {
        /// What was said.
        why: String,
    },
    /// All readers are busy.
    #[error("other searches are under way; ask again later")]
    Busy,
    /// The index cannot be read.
    #[error("the audit index cannot be read; delete it and start the node again: {0}")]
    Read(#[source] sqlx::Error),
}

impl FindError {
    /// What the caller is told.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::Busy => Class::Limit,
            Self::Opening | Self::Broken { .. } | Self::Read(_) => Class::State,
        }
    }
}

impl From<sqlx::Error> for FindError {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::PoolTimedOut => Self::Busy,
            sqlx::Error::PoolClosed => Self::Opening,
            error => Self::Read(error),
        }
    }
}

impl Explorer {
    /// The first records from position `from` on that fit, at most `limit`. Waits a little for an
    /// index that has not yet the `log_size` records that the caller knows to be there. A zero id
    /// in the filter finds nothing: it stands for none.
    ///
    /// # Errors
    /// [`FindError`]: why there is no answer.
    pub async fn find(
        &self,
        filter: &RecordFilter,
        from: u64,
        limit: usize,
        log_size: u64,
    ) -> Result<Found, FindError> {
        let (readers, filled) = self.caught_up(log_size).await?;
        let start = match filter.since {
            Some(since) => first_since(&readers, since).await?.unwrap_or(filled).max(from),
            None => from,
        };
        let ended = match filter.until {
            Some(until) => first_since(&readers, until).await?,
            None => None,
        };
        let end = ended.unwrap_or(filled);
        let mut found = Found::default();
        let mut at = start;
        while at < end {
            let window = at..end.min(at.saturating_add(WINDOW));
            // One more than fits says where the next page begins.
            let wanted = limit.saturating_add(1).saturating_sub(found.positions.len());
            found.positions.extend(search(&readers, filter, window.clone(), wanted).await?);
            if found.positions.len() > limit {
                found.next = found.positions.pop();
                return Ok(found);
            }
            at = window.end;
            if at.saturating_sub(start) >= SEARCHED_MAX {
                break;
            }
        }
        let not_yet_filled = ended.is_none() && filled < log_size;
        found.next = (at < end || not_yet_filled).then_some(at);
        Ok(found)
    }

    async fn caught_up(&self, log_size: u64) -> Result<(SqlitePool, u64), FindError> {
        let mut state = self.state.clone();
        let is_ready = |state: &State| match state {
            State::Opening => false,
            State::Filled { next, .. } => *next >= log_size,
            State::Broken { .. } => true,
        };
        let state = match timeout(CATCH_UP, state.wait_for(is_ready)).await {
            Ok(Ok(state)) => state.clone(),
            // Late, or the node is stopping: what is there must do.
            _ => self.state.borrow().clone(),
        };
        match state {
            State::Opening => Err(FindError::Opening),
            State::Filled { readers, next } => Ok((readers, next)),
            State::Broken { why } => Err(FindError::Broken { why }),
        }
    }
}

/// The position of the first record that is not before a time: block times rise with the position.
async fn first_since(readers: &SqlitePool, since: UnixMillis) -> sqlx::Result<Option<u64>> {
    let first: Option<i64> = sqlx::query_scalar(
        "SELECT position FROM record WHERE time >= ? ORDER BY time, position LIMIT 1",
    )
    .bind(signed(since.0))
    .fetch_optional(readers)
    .await?;
    Ok(first.and_then(|first| u64::try_from(first).ok()))
}

async fn search(
    readers: &SqlitePool,
    filter: &RecordFilter,
    window: std::ops::Range<u64>,
    limit: usize,
) -> sqlx::Result<Vec<u64>> {
    let (start, end) = (signed(window.start), signed(window.end));
    let mut sql = QueryBuilder::<Sqlite>::new("SELECT position FROM record WHERE position >= ");
    sql.push_bind(start).push(" AND position < ").push_bind(end);
    let ids = [
        ("global_id", filter.global_id.map(|id| id.0)),
        ("tx_id", filter.tx_id.map(|id| id.0)),
        ("link", filter.link.map(|id| id.0)),
        ("data_id", filter.data_id.map(|id| id.0)),
    ];
    for (column, id) in ids {
        if let Some(id) = id {
            sql.push(format_args!(" AND {column} = ")).push_bind(id.to_vec());
        }
    }
    let numbers = [
        ("data_class", filter.data_class.map(DataClass::number)),
        ("mode", filter.mode),
        ("outcome", filter.end.and_then(outcome)),
    ];
    for (column, number) in numbers {
        if let Some(number) = number {
            sql.push(format_args!(" AND {column} = ")).push_bind(i64::from(number));
        }
    }
    if filter.end == Some(End::Refused) {
        sql.push(" AND outcome <> 0");
    }
    if let Some(name) = &filter.operation {
        sql.push(" AND operation = ").push_bind(name.clone());
    }
    if let Some(chain) = filter.chain {
        sql.push(" AND (source_chain = ").push_bind(chain.0.to_vec());
        sql.push(" OR destination_chain = ").push_bind(chain.0.to_vec()).push(")");
    }
    if let Some(party) = filter.party {
        sql.push(" AND position IN (SELECT position FROM party WHERE identity = ")
            .push_bind(party.0.to_vec());
        sql.push(" AND position >= ").push_bind(start);
        sql.push(" AND position < ").push_bind(end).push(")");
    }
    sql.push(" ORDER BY position LIMIT ").push_bind(i64::try_from(limit).unwrap_or(i64::MAX));
    let found: Vec<i64> = sql.build_query_scalar().persistent(false).fetch_all(readers).await?;
    Ok(found.into_iter().filter_map(|position| u64::try_from(position).ok()).collect())
}

/// The one outcome that is asked for.
fn outcome(end: End) -> Option<u8> {
    match end {
        End::Done => Some(0),
        End::Refused => None,
        End::RefusedAs(class) => Some(class as u8),
    }
}
