//! The adapter of EVM chains: a gateway contract as one more ledger with lanes.
//!
//! What is decided is decided elsewhere: by the contract, by the hub's verifiers
//! (`tombolo-evm-core`), and, for the way a transaction gets into a block, by the pure [`sender`].
//! Here is what asks nodes and sends.
//!
//! Deliberately absent: keys at rest (the caller's), retries of a whole step (the relayer's), and
//! any belief in a single RPC node.

mod account;
mod adapter;
pub mod config;
mod consent;
pub mod contract;
mod convert;
pub mod deploy;
pub mod endpoints;
mod events;
pub mod htlc;
mod lanes;
mod prove;
mod refusal;
pub mod sender;
mod sets;
mod submit;
mod transport;

pub use account::account;
pub use adapter::{EvmAdapter, ItemStanding, ItemThere};
pub use config::{CLIQUE, Config, ETHEREUM, Finality, Proof, Rpc};
pub use consent::Consents;
pub use htlc::{EvmHtlc, HtlcConfig};
pub use tombolo_evm_core::follow::chain_id;
pub use transport::node_name;
