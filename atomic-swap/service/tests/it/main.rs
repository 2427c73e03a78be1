//! The service against real islets in this process: real machines, real journals on a real disk,
//! virtual time.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod crashes;
mod journal;
mod keeper;
mod swaps;
mod world;
