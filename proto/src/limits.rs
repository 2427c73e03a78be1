//! The limits that the interface publishes. Servers enforce them, clients stay below.

use std::time::Duration;

/// The largest gRPC message, either way, in bytes.
pub const MESSAGE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// The most entries of one page.
pub const PAGE_ENTRIES_MAX: usize = 500;
/// The entries of a page for which nobody named a number.
pub const PAGE_ENTRIES_DEFAULT: usize = 100;
/// The most bytes of one page's content.
pub const PAGE_BYTES_MAX: usize = 1024 * 1024;
/// The most lane messages in one answer; as many as one delivery takes.
pub const MESSAGES_MAX: usize = 1_000;
/// The longest range of records for which one proof is made.
pub const LOG_PROOF_RECORDS_MAX: u64 = 1_000_000;
/// The longest path or cursor of a query, in bytes.
pub const QUERY_TEXT_BYTES_MAX: usize = 512;
/// The longest time that a server waits for a transaction's end.
pub const TRANSACTION_WAIT_MAX: Duration = Duration::from_secs(10);
/// The longest sentence of a refusal on the wire, in bytes; a longer one is cut. Trailers have a
/// limit of their own in HTTP/2, and the sentence stands in them twice.
pub const REFUSAL_BYTES_MAX: usize = 2_048;
