//! The relayer's daemon: watches both ends of each link, plans by `tombolo-relayer-core`, carries.
//!
//! Nothing here decides what is true and nothing is kept on disk: a restart reads from both ends
//! where to go on. One task per link; what goes wrong on one link, or in one lane message, never
//! holds up another. Every wait on the world has a limit, and every retry a growing, jittered wait.
//!
//! Deliberately absent: any knowledge of a kind of ledger; adapters bring it.

pub mod attest;
mod carry;
mod flights;
pub mod link;
pub mod metrics;
pub mod report;
pub mod service;
mod trust;

pub use link::{Chain, Endpoint, LinkTask};
pub use metrics::Metrics;
pub use report::{LinkReport, Reports};
pub use service::{Settings, serve_reports};
pub use tombolo_relayer_core::End;
