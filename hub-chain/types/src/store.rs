//! The ports through which state is read and kept. Several cores need them, so they stand here.

use std::collections::BTreeMap;

/// A key and its value.
pub type Entry = (Vec<u8>, Vec<u8>);
/// Writes that belong together: a value to set, or `None` to delete.
pub type Batch = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// State as replicated code reads it.
///
/// Reading cannot fail here. An implementation over a disk that cannot be read must not return:
/// a missing value and an unreadable one would lead nodes apart.
pub trait View {
    /// The value under `key`.
    fn get(&self, key: &[u8]) -> Option<Vec<u8>>;

    /// At most `limit` entries whose keys start with `prefix` and are not below `from`, ascending.
    fn scan(&self, prefix: &[u8], from: &[u8], limit: usize) -> Vec<Entry>;
}

/// What goes wrong in a store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The disk, or what stands for it, failed. Fatal: the process must stop before it signs.
    #[error("the store at {at} failed while {doing}: {why}")]
    Failed {
        /// Where the store lies.
        at: String,
        /// What was being done.
        doing: &'static str,
        /// What the layer below said.
        why: String,
    },
    /// Written by another version of this code.
    #[error("the store at {at} has schema version {found}, this program reads {expected}")]
    SchemaVersion {
        /// Where the store lies.
        at: String,
        /// What the store says.
        found: u32,
        /// What this code reads.
        expected: u32,
    },
    /// Held by another process.
    #[error("the store at {at} is in use by another process")]
    Locked {
        /// Where the store lies.
        at: String,
    },
}

/// A durable map with atomic batches.
pub trait Store: Send + Sync + 'static {
    /// The value under `key`.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// At most `limit` entries whose keys start with `prefix` and are not below `from`, ascending.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    fn scan(&self, prefix: &[u8], from: &[u8], limit: usize) -> Result<Vec<Entry>, StoreError>;

    /// Applies all writes or none, and returns once they would survive a crash.
    ///
    /// # Errors
    /// [`StoreError::Failed`]; then nothing may be assumed, and the process must stop.
    fn apply(&self, batch: &Batch) -> Result<(), StoreError>;

    /// Bytes on disk, or in memory for a store that has no disk.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    fn size_bytes(&self) -> Result<u64, StoreError>;
}
