//! The auditors' index: which records of a ledger's audit log fit a filter.
//!
//! A node fills it behind the tip, outside replicated state: consensus neither waits for it nor
//! stops with it. It holds positions and what is searched for, no record; what it finds is read
//! from the ledger itself and held against the filter again, so a damaged index can leave something
//! out but show nothing that is not there. It can be deleted at any time and is rebuilt from the
//! log's beginning.
//!
//! Invariants
//! - What stands in the index are the records `0 .. next` of one ledger, and `next` changes with
//!   them in one transaction.
//! - Pages ascend by position. The log only grows, so a position where a page ended stays a place
//!   to go on from, over restarts and rebuilds.
//! - One call searches a bounded number of positions and gives a bounded page.
//!
//! Deliberately absent: the records themselves, closed data (no record holds any), and any part in
//! what a ledger decides.

mod find;
mod index;
mod keep;
mod schema;

pub use find::{FindError, Found};
pub use keep::{Explorer, Log, LogGone, start};

#[cfg(test)]
mod tests;
