//! What a party of a hash-timelock swap runs: it looks at all chains, asks the machine of
//! `tombolo-swap`, writes down, and acts; also as a watcher in favour of whoever is absent.
//!
//! Nothing here decides. The one rule of this crate is the order: a state is on disk before any
//! effect of it is carried out ([`journal`]). Then a process that dies at any line comes back to the
//! same end, for the next look leads to the same step.
//!
//! **Weaker than two-phase commit**: a party whose chains cannot be seen, by itself or a watcher,
//! for longer than the agreed outage may lose.
//!
//! Deliberately absent: any knowledge of a kind of chain (adapters bring it, as [`HtlcChain`]) and
//! of the hub's interface ([`OrderBook`]); belief in an order: the machine checks every lock against
//! the terms that both parties accepted.

pub mod book;
pub mod door;
pub mod hand;
pub mod home;
pub mod journal;
pub mod keeper;
pub mod metrics;
pub mod report;
pub mod service;
pub mod task;

pub use book::{Entry, OrderBook, Said};
pub use door::{Door, Doors};
pub use hand::{DoneByHand, Hand, HandError, Wanted};
pub use home::Home;
pub use journal::{Journal, JournalError, Medium, Opened};
pub use keeper::{Keeper, Watch};
pub use metrics::Metrics;
pub use report::{Reports, SwapReport};
pub use service::serve_reports;
pub use task::{Ended, Settings, Surroundings, SwapTask};
pub use tombolo_adapter::HtlcChain;
