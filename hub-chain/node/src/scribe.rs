//! The thread that keeps a journal, so that nobody waits for its disk.

use crate::journal::Journal;
use std::{
    io,
    path::Path,
    sync::mpsc::{SyncSender, sync_channel},
    thread::JoinHandle,
    time::{SystemTime, UNIX_EPOCH},
};
use tombolo_types::UnixMillis;

/// Lines that wait to be written. The disk is slower than a flood; what does not fit is counted and
/// not written, and the caller is answered all the same.
const QUEUE_MAX: usize = 1_024;

/// Something to be written down.
#[derive(Clone, Debug)]
pub struct Line<T> {
    /// When, by this node's clock.
    pub at: UnixMillis,
    /// The caller's network address.
    pub caller: String,
    /// What happened.
    pub what: T,
}

/// Hands lines to the thread of a journal, which ends with the last scribe.
pub struct Scribe<T>(SyncSender<Line<T>>);

impl<T> Clone for Scribe<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: Send + 'static> Scribe<T> {
    /// Opens the journal at `path`; `write` puts a line into it.
    ///
    /// # Errors
    /// Where the journal cannot be opened.
    pub fn open(
        path: &Path,
        mut write: impl FnMut(&mut Journal, Line<T>) -> io::Result<bool> + Send + 'static,
    ) -> io::Result<(Self, JoinHandle<io::Result<()>>)> {
        let mut journal = Journal::open(path)?;
        let (sender, lines) = sync_channel::<Line<T>>(QUEUE_MAX);
        let thread = std::thread::Builder::new().name("journal".into()).spawn(move || {
            while let Ok(line) = lines.recv() {
                write(&mut journal, line)?;
            }
            Ok(())
        })?;
        Ok((Self(sender), thread))
    }

    /// Hands a line on. Says whether there was room for it.
    #[must_use]
    pub fn write(&self, caller: String, what: T) -> bool {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let at = UnixMillis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX));
        self.0.try_send(Line { at, caller, what }).is_ok()
    }
}
