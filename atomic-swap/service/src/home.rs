//! The folder that holds the journals, one for each order.

use crate::journal::{Journal, JournalError, Opened};
use std::{
    fs, io,
    path::{Path, PathBuf},
};
use tombolo_swap::htlc::Swap;
use tombolo_types::{UnixMillis, id::OrderId};

const ENDING: &str = "journal";

/// A party's folder of swaps.
#[derive(Clone, Debug)]
pub struct Home {
    folder: PathBuf,
}

impl Home {
    /// The folder, which is made where it is not there.
    ///
    /// # Errors
    /// Where it cannot be made.
    pub fn new(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        Ok(Self { folder: folder.to_owned() })
    }

    /// Begins the journal of an order; on disk when this returns.
    ///
    /// # Errors
    /// As [`Journal::create`].
    pub fn create(
        &self,
        order: OrderId,
        swap: &Swap,
        at: UnixMillis,
    ) -> Result<Journal, JournalError> {
        Journal::create(&self.path(order), swap, at)
    }

    /// Opens the journal of an order.
    ///
    /// # Errors
    /// As [`Journal::open`].
    pub fn open(&self, order: OrderId) -> Result<Opened, JournalError> {
        Journal::open(&self.path(order))
    }

    /// What the journal of an order says, while another process may write it; `None` where there is
    /// none.
    ///
    /// # Errors
    /// As [`Journal::read`].
    pub fn read(&self, order: OrderId) -> Result<Option<(Swap, UnixMillis)>, JournalError> {
        let path = self.path(order);
        if path.exists() { Journal::read(&path).map(Some) } else { Ok(None) }
    }

    /// Removes the journal of an order that was never announced.
    ///
    /// # Errors
    /// Where it cannot be removed.
    pub fn remove(&self, order: OrderId) -> io::Result<()> {
        fs::remove_file(self.path(order))
    }

    /// The orders that have a journal here, ascending.
    ///
    /// # Errors
    /// Where the folder cannot be read.
    pub fn orders(&self) -> io::Result<Vec<OrderId>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            let name = path.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
            if path.extension().is_some_and(|ending| ending == ENDING)
                && let Ok(order) = name.parse()
            {
                found.push(order);
            }
        }
        found.sort_unstable();
        Ok(found)
    }

    fn path(&self, order: OrderId) -> PathBuf {
        self.folder.join(format!("{order}.{ENDING}"))
    }
}
