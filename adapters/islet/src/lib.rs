//! The islet's shell: its daemon, the door for SenML, and the adapter through which relayers use
//! every ledger of this engine.
//!
//! The ledger itself is `tombolo-islet-core`. Nothing here decides what is true.

pub mod adapter;
pub mod daemon;
pub mod hash_lock;
pub mod senml;
pub mod signer;
