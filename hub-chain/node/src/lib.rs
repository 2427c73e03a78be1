//! The daemon around a ledger, hub and islet alike: store, engine, interface, keys, metrics.
//!
//! [`run::run`] wires a [`run::Kind`] of ledger by a [`config::Config`]; all else is its parts. The
//! pure ledger decides; the engine orders; this crate moves bytes between them, disk and network.
//!
//! Invariants
//! - A block, its state and its receipts are one atomic, durable write; nothing is announced before.
//! - What a caller is shown of lanes is one consistent cut ([`chain::Chain::at_one_block`]).
//! - Every listener, queue and page is bounded; the limits of the interface stand in [`server`] as
//!   one list.
//! - A part that ends unasked ends the node, with its name and reason.
//!
//! Deliberately absent: signals and process exit (the command line's), and anything that one kind
//! of ledger alone has, but for its queries.

pub mod api;
pub mod application;
pub mod chain;
pub mod config;
pub mod door;
pub mod home;
pub mod hub;
pub mod journal;
pub mod keys;
pub mod listener;
pub mod metrics;
mod push;
pub mod query;
pub mod query_journal;
mod read;
pub mod run;
pub mod scribe;
pub mod server;
pub mod telemetry;
pub mod waiting;

pub use config::{Config, ConfigError, RawConfig, RawKey, RawPeer};
pub use home::{peer_id, read_genesis, write_genesis, write_key};
pub use keys::{Cost, KeyError, Keystore, Passphrase, PassphraseSource};
pub use query::{NoQueries, Queries};
pub use run::{Exit, Kind, Node, run, start};
