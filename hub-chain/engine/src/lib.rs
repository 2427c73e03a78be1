//! Orders blocks: Malachite BFT consensus behind one small [`Application`] trait.
//!
//! The ledger never meets a type of the consensus library, and the library never meets a block:
//! it agrees on 32-byte block ids, and the blocks travel beside it (in parts). The same code runs
//! one validator or a hundred; [`Sequencer`] drives the same trait without threads, clock or
//! network, for simulation and tests.
//!
//! Invariants: at most one signature per height, round and step (see [`GuardError`]); a block is
//! durable before it is offered or voted for, and a decision before it is announced; nothing that
//! a peer merely claims moves this node; whatever breaks ends the engine, never hangs it.
//!
//! Deliberately absent: block time, roots and headers (the ledger's), and the transport of
//! transactions between nodes (the node's, through [`Push`]).

// The toy ledger of the integration tests serves the unit tests, too.
#[cfg(test)]
extern crate self as tombolo_engine;

pub mod application;
mod blocks;
mod codec;
mod config;
mod context;
mod desk;
mod driver;
mod gate;
mod guard;
pub mod identity;
mod ledger;
pub mod mempool;
mod metrics;
mod parts;
mod run;
mod sequencer;
mod signing;
mod supervise;

pub use application::{
    Admitted, Application, Committed, Fatal, NoPush, Push, Timing, Tip, Verdict,
};
pub use config::{EngineConfig, Peer};
pub use guard::GuardError;
pub use identity::{PeerId, peer_id};
pub use mempool::Mempool;
pub use metrics::Metrics;
pub use run::{EngineError, EngineHandle, run};
pub use sequencer::Sequencer;
