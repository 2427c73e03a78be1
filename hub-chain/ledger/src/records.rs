//! The audit log: one leaf for every record.

use crate::state::{Cell, State, Table};
use tombolo_crypto::{
    digest,
    log::{Log, Nodes, append_tiles},
};
use tombolo_types::{Hash, record::SaltedRecord, store::View};

const LOG: Cell<Log> = Cell::new(*b"kL");
const RECORDS: Table<u64, SaltedRecord> = Table::new(*b"kR");
const TILES: Table<(u32, u64), Vec<Hash>> = Table::new(*b"kT");

/// The log so far: size and peaks.
pub fn log(view: &dyn View) -> Log {
    LOG.get(view).unwrap_or_default()
}

/// Appends a record and gives its position.
pub fn append(state: &mut State<'_>, record: &SaltedRecord) -> u64 {
    let mut log = log(state);
    let position = log.size();
    let leaf = digest::record_leaf(position, digest::record_root(record));
    for (level, index, tile) in append_tiles(&RecordNodes(&*state), position, leaf) {
        TILES.put(state, &(level, index), &tile);
    }
    log.append(leaf);
    LOG.put(state, &log);
    RECORDS.put(state, &position, record);
    position
}

/// At most `limit` records, from position `from` on.
pub fn range(view: &dyn View, from: u64, limit: usize) -> Vec<(u64, SaltedRecord)> {
    RECORDS.range(view, &from, limit)
}

/// The nodes of the audit log, for proofs.
pub struct RecordNodes<'v>(pub &'v dyn View);

impl Nodes for RecordNodes<'_> {
    fn tile(&self, level: u32, index: u64) -> Option<Vec<Hash>> {
        TILES.get(self.0, &(level, index))
    }
}
