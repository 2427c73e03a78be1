//! The wire: what a ledger offers over gRPC, and a client for it.
//!
//! Wire types stop at the door. [`wire`] is generated from `tombolo/ledger/v1/ledger.proto`;
//! [`view`] holds the same things as values that cannot be invalid, with conversions both ways;
//! [`status`] is the one table from classes of refusal to gRPC status codes; [`client`] is what
//! relayer, adapters and command line talk through.
//!
//! Invariant: a refusal crosses the wire unchanged; the client rebuilds its class and sentence.

pub mod client;
pub mod limits;
pub mod status;
pub mod view;

/// The generated types and stubs.
#[allow(missing_docs, unreachable_pub, clippy::all)]
pub mod wire {
    tonic::include_proto!("tombolo.ledger.v1");
}

pub use client::{ClientError, LedgerClient};
pub use status::{refusal_to_status, status_to_refusal};
