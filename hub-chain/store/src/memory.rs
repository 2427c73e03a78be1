//! A store without a disk, for tests and simulation.

use std::{
    collections::BTreeMap,
    ops::Bound,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard},
};
use tombolo_types::store::{Batch, Entry, Store, StoreError, View};

/// A [`Store`] in memory. Clones share their contents, as handles of one disk would.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    entries: Arc<RwLock<BTreeMap<Vec<u8>, Vec<u8>>>>,
}

impl Memory {
    /// All entries as they stand now.
    #[must_use]
    pub fn snapshot(&self) -> BTreeMap<Vec<u8>, Vec<u8>> {
        self.read().clone()
    }

    // A poisoned lock is read all the same: a writer can only have panicked between two map
    // operations because memory ran out, and then the process is gone.
    fn read(&self) -> RwLockReadGuard<'_, BTreeMap<Vec<u8>, Vec<u8>>> {
        self.entries.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl From<BTreeMap<Vec<u8>, Vec<u8>>> for Memory {
    fn from(entries: BTreeMap<Vec<u8>, Vec<u8>>) -> Self {
        Self { entries: Arc::new(RwLock::new(entries)) }
    }
}

impl View for Memory {
    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.read().get(key).cloned()
    }

    fn scan(&self, prefix: &[u8], from: &[u8], limit: usize) -> Vec<Entry> {
        let first = Bound::Included(prefix.max(from));
        self.read()
            .range::<[u8], _>((first, Bound::Unbounded))
            .take_while(|(key, _)| key.starts_with(prefix))
            .take(limit)
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect()
    }
}

impl Store for Memory {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(View::get(self, key))
    }

    fn scan(&self, prefix: &[u8], from: &[u8], limit: usize) -> Result<Vec<Entry>, StoreError> {
        Ok(View::scan(self, prefix, from, limit))
    }

    fn apply(&self, batch: &Batch) -> Result<(), StoreError> {
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        for (key, value) in batch {
            match value {
                Some(value) => entries.insert(key.clone(), value.clone()),
                None => entries.remove(key),
            };
        }
        Ok(())
    }

    fn size_bytes(&self) -> Result<u64, StoreError> {
        Ok(self.read().iter().map(|(key, value)| (key.len() + value.len()) as u64).sum())
    }
}
