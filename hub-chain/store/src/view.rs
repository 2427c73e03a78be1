//! State as replicated code reads it, over a store that can fail.

use std::sync::Arc;
use tombolo_types::store::{Entry, Store, StoreError, View};

/// A [`View`] of a [`Store`].
///
/// A read that fails does not return: `fatal`, given by the shell, ends the process. Returning
/// "nothing there" instead would lead this node apart from the others, and it would then sign
/// what it believes (attack A59).
#[derive(Clone)]
pub struct StoreView {
    store: Arc<dyn Store>,
    fatal: fn(StoreError) -> !,
}

impl StoreView {
    /// A view of `store` that hands what cannot be read to `fatal`.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, fatal: fn(StoreError) -> !) -> Self {
        Self { store, fatal }
    }
}

impl View for StoreView {
    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        match self.store.get(key) {
            Ok(value) => value,
            Err(error) => (self.fatal)(error),
        }
    }

    fn scan(&self, prefix: &[u8], from: &[u8], limit: usize) -> Vec<Entry> {
        match self.store.scan(prefix, from, limit) {
            Ok(entries) => entries,
            Err(error) => (self.fatal)(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Faults, Faulty, Memory};

    fn stop(error: StoreError) -> ! {
        panic!("stopped: {error}")
    }

    #[test]
    fn reads_what_the_store_holds() {
        let store = Memory::default();
        store.apply(&[(b"a".to_vec(), Some(b"1".to_vec()))].into()).unwrap();
        let view = StoreView::new(Arc::new(store), stop);
        assert_eq!(view.get(b"a"), Some(b"1".to_vec()));
        assert_eq!(view.get(b"b"), None);
        assert_eq!(view.scan(b"", b"", 9), vec![(b"a".to_vec(), b"1".to_vec())]);
    }

    fn unreadable() -> StoreView {
        let faults = Faults { read_per_mille: 1000, ..Faults::default() };
        StoreView::new(Arc::new(Faulty::new(Memory::default(), 7, faults)), stop)
    }

    #[test]
    #[should_panic(expected = "stopped: the store at memory failed while reading")]
    fn a59_an_unreadable_value_stops_the_process() {
        unreadable().get(b"a");
    }

    #[test]
    #[should_panic(expected = "stopped: the store at memory failed while reading")]
    fn a59_an_unreadable_range_stops_the_process() {
        unreadable().scan(b"", b"", 1);
    }
}
