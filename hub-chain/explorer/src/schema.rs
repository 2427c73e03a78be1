//! The tables.

use sqlx::{QueryBuilder, Sqlite, SqliteConnection, Transaction};
use tombolo_types::id::ChainId;

/// Of the tables below; an index of another version is built anew.
pub(crate) const VERSION: i64 = 1;

/// A zero id is NULL and in no index: most records have no item, many no link. `record` has no index over what has few values (link, mode, class, end): these are searched in
/// the order of positions, a window at a time.
const TABLES: &str = "
CREATE TABLE filled (
    only INTEGER PRIMARY KEY CHECK (only = 0),
    chain BLOB NOT NULL,
    next INTEGER NOT NULL
);
CREATE TABLE record (
    position INTEGER PRIMARY KEY,
    time INTEGER NOT NULL,
    global_id BLOB,
    tx_id BLOB,
    link BLOB,
    source_chain BLOB,
    destination_chain BLOB,
    data_id BLOB,
    data_class INTEGER NOT NULL,
    operation TEXT NOT NULL,
    outcome INTEGER NOT NULL,
    mode INTEGER NOT NULL
);
CREATE INDEX record_time ON record (time);
CREATE INDEX record_global_id ON record (global_id) WHERE global_id IS NOT NULL;
CREATE INDEX record_tx_id ON record (tx_id) WHERE tx_id IS NOT NULL;
CREATE INDEX record_data_id ON record (data_id) WHERE data_id IS NOT NULL;
CREATE TABLE party (
    identity BLOB NOT NULL,
    position INTEGER NOT NULL,
    PRIMARY KEY (identity, position)
) WITHOUT ROWID;
";

/// The position up to which the file holds the records of this ledger: 0 for a new file, which gets
/// its tables; `None` for what is of another ledger or version.
pub(crate) async fn begin(
    connection: &mut SqliteConnection,
    chain: ChainId,
) -> sqlx::Result<Option<i64>> {
    let mut at_once = sqlx::Connection::begin(connection).await?;
    let version: i64 = sqlx::query_scalar("PRAGMA user_version").fetch_one(&mut *at_once).await?;
    if version == 0 {
        create(&mut at_once, chain).await?;
        at_once.commit().await?;
        return Ok(Some(0));
    }
    if version != VERSION {
        return Ok(None);
    }
    let (found, next): (Vec<u8>, i64) =
        sqlx::query_as("SELECT chain, next FROM filled").fetch_one(&mut *at_once).await?;
    Ok((found == chain.0).then_some(next))
}

async fn create(at_once: &mut Transaction<'_, Sqlite>, chain: ChainId) -> sqlx::Result<()> {
    sqlx::raw_sql(TABLES).execute(&mut **at_once).await?;
    sqlx::query("INSERT INTO filled (only, chain, next) VALUES (0, ?, 0)")
        .bind(&chain.0[..])
        .execute(&mut **at_once)
        .await?;
    // A pragma takes no bound value.
    let mut version = QueryBuilder::<Sqlite>::new("PRAGMA user_version = ");
    version.push(VERSION).build().execute(&mut **at_once).await?;
    Ok(())
}
