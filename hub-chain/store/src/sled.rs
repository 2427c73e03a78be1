//! The store on disk.

use std::{
    fs::{self, File, OpenOptions},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    sync::{RwLock, RwLockReadGuard},
    thread,
    time::{Duration, Instant},
};
use tombolo_types::store::{Batch, Entry, Store, StoreError};

/// How long [`Sled::open`] waits for a lock. The kernel holds the lock of a killed process until
/// it has torn the process down, which takes a moment with a large cache.
pub const LOCK_WAIT: Duration = Duration::from_secs(5);
const LOCK_RETRY: Duration = Duration::from_millis(50);
/// What sled 0.34 says where another process holds its file; it has no variant of its own for it.
const LOCK_MESSAGE: &str = "could not acquire lock on";
/// The tree that holds the state; sled's default tree holds only [`SCHEMA_KEY`].
const STATE_TREE: &[u8] = b"state";
const SCHEMA_KEY: &[u8] = b"schema_version";
/// In the state tree: how many batches there have been. Callers' keys stand behind [`ENTRY`].
const COUNT_KEY: &[u8] = &[0];
const ENTRY: u8 = 1;
/// The file that says how many batches have been acknowledged.
const COUNT_FILE: &str = "acknowledged";

/// A [`Store`] in a folder, over sled 0.34.
///
/// Sled keeps the file consistent and its batches atomic. This type adds what sled leaves open:
/// - **Durability.** Sled ends a flush with `sync_file_range` on Linux, which empties no disk
///   cache and writes no metadata, and it does not sync the files that it makes for values above
///   about 128 KiB. So each batch is followed by an fsync of what was written.
/// - **Nothing is seen before it is durable.** Readers wait while a batch is written and synced.
/// - **A failed write is the last one.** After a failed fsync the kernel may have dropped the
///   dirty pages and a second fsync would succeed without them, so nothing is tried again.
/// - **No silent way back.** At the first damaged byte sled cuts its log and opens with an earlier
///   state, and a validator would sign again what it has signed. So each batch carries its number,
///   a file beside sled's holds the last one acknowledged, and a store that has less is refused.
///   That file is not synced with each batch: after the loss of power it may be behind, which
///   only makes the check weaker for the batches since.
#[derive(Debug)]
pub struct Sled {
    at: PathBuf,
    database: ::sled::Db,
    state: ::sled::Tree,
    files: RwLock<Files>,
}

/// What must be synced besides sled's own log, and whether any of it has failed.
#[derive(Debug)]
struct Files {
    log: File,
    acknowledged: File,
    /// How many batches have been applied.
    count: u64,
    /// The number of the newest value file that was synced; sled numbers them upwards.
    synced: i64,
    broken: bool,
}

impl Sled {
    /// Opens the store in the folder `path`, or creates it with `schema_version`.
    ///
    /// `cache_bytes` is what sled aims at; it has been measured to use several times as much
    /// (ADR 0004).
    ///
    /// # Errors
    /// [`StoreError::SchemaVersion`] where it was written under another version,
    /// [`StoreError::Locked`] where another process still holds it after [`LOCK_WAIT`],
    /// [`StoreError::Failed`] otherwise.
    pub fn open(
        path: impl AsRef<Path>,
        cache_bytes: u64,
        schema_version: u32,
    ) -> Result<Self, StoreError> {
        let at = path.as_ref().to_owned();
        let failed = |error: ::sled::Error| failed(&at, "opening", &error);
        let database = open_when_unlocked(&at, cache_bytes)?;
        let state = database.open_tree(STATE_TREE).map_err(failed)?;
        check_schema(&at, &database, &state, schema_version)?;
        let count = state.get(COUNT_KEY).map_err(failed)?.map_or(0, |count| number(&count));
        let acknowledged = open_acknowledged(&at, count)?;
        let log = File::open(at.join("db")).map_err(|error| failed(error.into()))?;
        let mut files = Files { log, acknowledged, count, synced: -1, broken: false };
        // A killed process may have left a batch that is readable and not yet durable.
        sync(&at, &database, &mut files).map_err(failed)?;
        Ok(Self { at: at.clone(), database, state, files: RwLock::new(files) })
    }

    /// Waits until no batch is being written, and keeps the next one out.
    fn reading(&self) -> Result<RwLockReadGuard<'_, Files>, StoreError> {
        let files = self.files.read().map_err(|_| self.broken("reading"))?;
        if files.broken {
            return Err(self.broken("reading"));
        }
        Ok(files)
    }

    fn broken(&self, doing: &'static str) -> StoreError {
        StoreError::Failed {
            at: self.at.display().to_string(),
            doing,
            why: "an earlier write failed; what is on disk is known again once the process has \
                  been started anew"
                .to_owned(),
        }
    }
}

fn open_when_unlocked(at: &Path, cache_bytes: u64) -> Result<::sled::Db, StoreError> {
    // Without the background thread: every batch is flushed when it is written.
    let config = ::sled::Config::new().path(at).cache_capacity(cache_bytes).flush_every_ms(None);
    let deadline = Instant::now() + LOCK_WAIT;
    loop {
        match config.open() {
            Ok(database) => return Ok(database),
            Err(error) if !is_lock(&error) => return Err(failed(at, "opening", &error)),
            Err(_) if Instant::now() >= deadline => {
                return Err(StoreError::Locked { at: at.display().to_string() });
            }
            Err(_) => thread::sleep(LOCK_RETRY),
        }
    }
}

fn check_schema(
    at: &Path,
    database: &::sled::Db,
    state: &::sled::Tree,
    expected: u32,
) -> Result<(), StoreError> {
    let failed = |error: ::sled::Error| failed(at, "checking the schema version", &error);
    let found = match database.get(SCHEMA_KEY).map_err(failed)? {
        Some(bytes) => <[u8; 4]>::try_from(bytes.as_ref()).map_or(0, u32::from_be_bytes),
        // A crash between creation and the first flush leaves an empty store: it is new.
        None if state.is_empty() => {
            database.insert(SCHEMA_KEY, &expected.to_be_bytes()).map_err(failed)?;
            expected
        }
        None => 0,
    };
    if found != expected {
        return Err(StoreError::SchemaVersion { at: at.display().to_string(), found, expected });
    }
    Ok(())
}

/// Opens the file of acknowledged batches and holds it against the `count` that the tree has.
fn open_acknowledged(at: &Path, count: u64) -> Result<File, StoreError> {
    let path = at.join(COUNT_FILE);
    let failed = |why: String| StoreError::Failed {
        at: at.display().to_string(),
        doing: "checking that no acknowledged batch is missing",
        why,
    };
    let open = || -> std::io::Result<(File, Vec<u8>)> {
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path)?;
        let mut found = fs::read(&path)?;
        if found.is_empty() && count == 0 {
            found = 0u64.to_be_bytes().to_vec();
            file.write_all_at(&found, 0)?;
            file.sync_all()?;
            // The names of the folder and of the files in it must survive as well.
            let above = at.parent().filter(|above| !above.as_os_str().is_empty());
            for folder in [at, above.unwrap_or(Path::new("."))] {
                File::open(folder)?.sync_all()?;
            }
        }
        Ok((file, found))
    };
    let (file, found) = open().map_err(|error| failed(error.to_string()))?;
    if found.len() != 8 || number(&found) > count {
        return Err(failed(format!(
            "the store holds {count} batches, and the file {COUNT_FILE} says {}: files were \
             damaged, or replaced by older ones. Move this folder away and let the node fetch its \
             blocks from others; do not let it sign before it has them",
            if found.len() == 8 { number(&found).to_string() } else { "nothing".to_owned() },
        )));
    }
    Ok(file)
}

/// A number as it is stored; what is no number is the largest one, which no check accepts.
fn number(bytes: &[u8]) -> u64 {
    bytes.try_into().map_or(u64::MAX, u64::from_be_bytes)
}

/// Makes all that sled was given survive the loss of power.
fn sync(at: &Path, database: &::sled::Db, files: &mut Files) -> Result<(), ::sled::Error> {
    database.flush()?;
    let folder = at.join("blobs");
    let synced = files.synced;
    for file in fs::read_dir(&folder)? {
        let file = file?;
        let number = file.file_name().to_str().and_then(|name| name.parse::<i64>().ok());
        let Some(number) = number.filter(|number| *number > synced) else { continue };
        match File::open(file.path()) {
            Ok(value) => value.sync_all()?,
            // Sled collects a value file once nothing refers to it.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
        files.synced = files.synced.max(number);
    }
    if files.synced > synced {
        File::open(&folder)?.sync_all()?;
    }
    Ok(files.log.sync_data()?)
}

fn entry_key(key: &[u8]) -> Vec<u8> {
    [&[ENTRY], key].concat()
}

fn is_lock(error: &::sled::Error) -> bool {
    matches!(error, ::sled::Error::Io(error) if error.to_string().starts_with(LOCK_MESSAGE))
}

fn failed(at: &Path, doing: &'static str, error: &::sled::Error) -> StoreError {
    StoreError::Failed { at: at.display().to_string(), doing, why: error.to_string() }
}

impl Store for Sled {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let _whole = self.reading()?;
        let value =
            self.state.get(entry_key(key)).map_err(|error| failed(&self.at, "reading", &error))?;
        Ok(value.map(|value| value.to_vec()))
    }

    fn scan(&self, prefix: &[u8], from: &[u8], limit: usize) -> Result<Vec<Entry>, StoreError> {
        let _whole = self.reading()?;
        let mut found = Vec::new();
        for entry in self.state.range(entry_key(prefix.max(from))..).take(limit) {
            let (key, value) = entry.map_err(|error| failed(&self.at, "scanning", &error))?;
            let key = &key[1..];
            if !key.starts_with(prefix) {
                break;
            }
            found.push((key.to_vec(), value.to_vec()));
        }
        Ok(found)
    }

    fn apply(&self, batch: &Batch) -> Result<(), StoreError> {
        let mut files = self.files.write().map_err(|_| self.broken("writing"))?;
        if files.broken {
            return Err(self.broken("writing"));
        }
        if batch.is_empty() {
            return Ok(());
        }
        let mut writes = ::sled::Batch::default();
        for (key, value) in batch {
            match value {
                Some(value) => writes.insert(entry_key(key), value.as_slice()),
                None => writes.remove(entry_key(key)),
            }
        }
        let count = files.count.saturating_add(1);
        writes.insert(COUNT_KEY, &count.to_be_bytes());
        let write = |files: &mut Files| {
            self.state.apply_batch(writes)?;
            sync(&self.at, &self.database, files)?;
            files.acknowledged.write_all_at(&count.to_be_bytes(), 0)?;
            files.count = count;
            Ok(())
        };
        write(&mut files).map_err(|error| {
            files.broken = true;
            failed(&self.at, "writing", &error)
        })
    }

    fn size_bytes(&self) -> Result<u64, StoreError> {
        let _whole = self.reading()?;
        self.database.size_on_disk().map_err(|error| failed(&self.at, "measuring", &error))
    }
}
