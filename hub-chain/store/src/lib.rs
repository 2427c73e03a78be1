//! The durable map under a node: [`Sled`], and its twins for tests, [`Memory`] and [`Faulty`].
//!
//! All three implement the port [`tombolo_types::store::Store`] and pass one conformance suite
//! (the `suite` module, behind the feature of that name).
//!
//! Invariants of every implementation here:
//! - a batch is seen whole or not at all, by readers in other threads and after a crash;
//! - [`Store::apply`](tombolo_types::store::Store::apply) returns once the batch would survive the
//!   loss of power, and no reader sees it earlier;
//! - after a failed write every later call fails: what the disk then holds is unknown until it is
//!   opened anew.
//!
//! Deliberately absent: several tables, iterators that outlive a call, transactions that read,
//! and migration. A store of another schema version is refused at [`Sled::open`].
//!
//! Req: D35-7.2.1-1

mod faulty;
mod memory;
mod sled;
#[cfg(feature = "suite")]
pub mod suite;
mod view;

pub use self::faulty::{Faults, Faulty};
pub use self::memory::Memory;
pub use self::sled::{LOCK_WAIT, Sled};
pub use self::view::StoreView;
