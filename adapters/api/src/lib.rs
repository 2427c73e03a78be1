//! What Tombolo needs of a ledger of any kind: small ports, and one suite that tests them.
//!
//! - [`Declare`]: what the chain is and what it can do.
//! - [`Source`]: what it has sent, with proofs, and when there is more.
//! - [`Sink`]: what it takes.
//! - [`Query`]: what became of a transaction.
//! - [`HtlcChain`]: hash locks, for parties of a swap and their watchers; not for relayers.
//!
//! One adapter per kind of chain implements them, never one per pair of chains. An adapter decides
//! nothing: all that it says is proved to the verifier of the other side, or asked again. It holds
//! no state that a restart could miss. What a chain does not offer is not declared, and asking for
//! it is refused with `E_UNSUPPORTED`.
//!
//! The suite (module `suite`, behind the feature of that name) runs over every adapter, the
//! simulated one included, so that the fake cannot drift from the real ones.
//!
//! Deliberately absent: keys and their storage, retries (the caller's, by [`Remedy`]), and what
//! chains without contracts need instead of lanes (witnessing, anchoring).
//!
//! Req: PRJ-14-1

pub mod descriptor;
pub mod error;
pub mod hash_lock;
pub mod query;
pub mod sink;
pub mod source;
#[cfg(feature = "suite")]
pub mod suite;

pub use descriptor::{Ability, Consensus, Declare, Descriptor, Finality, Limits, Privacy};
pub use error::{AdapterError, Remedy};
pub use hash_lock::HtlcChain;
pub use query::{Query, TransactionStatus};
pub use sink::{Landing, Settling, Sink, SubmitOutcome};
pub use source::{ChainHead, LinkHead, ProvedLeaf, Source, Standing, confirm_by_header};
pub use tombolo_types::verifier::ClientView;
