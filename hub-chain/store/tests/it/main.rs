//! What must hold of every store, and of what a crash leaves.

mod corruption;
mod crash;
mod faulty;
mod model;
mod sled;

use tombolo_store::Sled;

/// Small: the tests keep little, and many stores are open at once.
const CACHE_BYTES: u64 = 4 * 1024 * 1024;
const SCHEMA: u32 = 1;

fn open(path: &std::path::Path) -> Sled {
    Sled::open(path, CACHE_BYTES, SCHEMA).unwrap()
}
