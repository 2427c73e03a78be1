//! What a swap's machine knows and no chain can say, on disk before it is used.
//!
//! One file for each swap, one line for each state:
//!
//! ```text
//! <chain, 64 hexadecimal digits> 1 <host time, milliseconds> <Borsh of the state, hexadecimal>
//! ```
//!
//! `chain` is the Keccak-256 (kind `swap-journal`) over the chain of the line before, zero for the
//! first, and the rest of this line. A line is whole or it is not there: what follows the last line
//! break was torn by a crash before its state was used, and is cut off. Any other damage is not
//! repaired but refused (`E_TAMPER`), for a line that is lost may be the one that says that the
//! secret is out.
//!
//! The file is its owner's alone (mode 600): until it is shown the secret stands in it in clear.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{self, Read as _, Seek as _, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};
use tombolo_crypto::digest::Preimage;
use tombolo_swap::htlc::Swap;
use tombolo_types::{Class, Hash, UnixMillis};

/// The version of a line.
const VERSION: &str = "1";
/// Others may neither read nor write.
const MODE: u32 = 0o600;

/// Why a journal cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// The disk.
    #[error("{doing} {path}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// What it holds was not written by this program, or was damaged since.
    #[error("line {line} of {path}: {why}; restore the file, do not shorten it")]
    Tampered {
        /// Which file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What is wrong.
        why: String,
    },
    /// It holds no whole line: the process died before the swap was announced.
    #[error("{path} holds no state; the swap was never announced, the file can be removed")]
    Empty {
        /// Which file.
        path: PathBuf,
    },
    /// Another process has it.
    #[error("{path} is in use; the service that runs does what is to be done")]
    InUse {
        /// Which file.
        path: PathBuf,
    },
    /// Others could read the secret.
    #[error("{path} has mode {mode:o}, others can read it; make it 600")]
    Readable {
        /// Which file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// An earlier write failed; what is on disk is not known, so nothing more is tried.
    #[error("an earlier write to {path} failed; start again, which reads what is there")]
    Broken {
        /// Which file.
        path: PathBuf,
    },
}

impl JournalError {
    /// What the caller is told.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::Tampered { .. } => Class::Tamper,
            Self::Readable { .. } => Class::Auth,
            Self::Io { .. } | Self::Empty { .. } | Self::InUse { .. } | Self::Broken { .. } => {
                Class::State
            }
        }
    }
}

/// Where lines go: a file, or what a test puts in its place.
pub trait Medium: Send {
    /// Writes at the end.
    ///
    /// # Errors
    /// Then nothing is known about what was written.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Returns once everything that was appended survives a loss of power.
    ///
    /// # Errors
    /// Then nothing is known about what was written.
    fn sync(&mut self) -> io::Result<()>;
}

impl Medium for File {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_all()
    }
}

/// A journal that can be written.
pub struct Journal {
    path: PathBuf,
    medium: Box<dyn Medium>,
    chain: Hash,
    broken: bool,
}

/// A journal with what it holds.
pub struct Opened {
    /// To go on with.
    pub journal: Journal,
    /// The newest state.
    pub swap: Swap,
    /// Since when, by the host's clock.
    pub since: UnixMillis,
    /// A torn line was cut off.
    pub torn: bool,
}

/// What a journal's bytes come to.
struct Parsed {
    newest: Option<(Swap, UnixMillis)>,
    chain: Hash,
    whole_bytes: usize,
}

impl Journal {
    /// Begins a journal. When this returns the state is on disk, and so is the file's name.
    ///
    /// # Errors
    /// [`JournalError::Io`], also where there is such a file.
    pub fn create(path: &Path, swap: &Swap, at: UnixMillis) -> Result<Self, JournalError> {
        let failed = |doing| io_error(path, doing);
        let mut options = OpenOptions::new();
        let file = options.append(true).create_new(true).mode(MODE).open(path);
        let file = file.map_err(failed("making"))?;
        lock(path, &file)?;
        let mut journal = Self {
            path: path.to_owned(),
            medium: Box::new(file),
            chain: Hash::ZERO,
            broken: false,
        };
        journal.append(swap, at)?;
        let folder = path.parent().unwrap_or(Path::new("."));
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed("flushing"))?;
        Ok(journal)
    }

    /// Opens a journal to go on with it. A torn line at its end is cut off.
    ///
    /// # Errors
    /// Any [`JournalError`].
    pub fn open(path: &Path) -> Result<Opened, JournalError> {
        let failed = |doing| io_error(path, doing);
        let file = OpenOptions::new().read(true).append(true).open(path);
        let mut file = file.map_err(failed("opening"))?;
        lock(path, &file)?;
        let bytes = read_all(path, &mut file)?;
        let parsed = parse(path, &bytes)?;
        let torn = parsed.whole_bytes < bytes.len();
        if torn {
            let whole = u64::try_from(parsed.whole_bytes).unwrap_or(u64::MAX);
            file.set_len(whole).map_err(failed("cutting a torn line off"))?;
            file.sync_all().map_err(failed("flushing"))?;
        }
        let Some((swap, since)) = parsed.newest else {
            return Err(JournalError::Empty { path: path.to_owned() });
        };
        let medium = Box::new(file);
        let journal = Self { path: path.to_owned(), medium, chain: parsed.chain, broken: false };
        Ok(Opened { journal, swap, since, torn })
    }

    /// The newest state and since when it holds, also while another process writes.
    ///
    /// # Errors
    /// As [`Journal::open`], but [`JournalError::InUse`].
    pub fn read(path: &Path) -> Result<(Swap, UnixMillis), JournalError> {
        let mut file = File::open(path).map_err(io_error(path, "opening"))?;
        let bytes = read_all(path, &mut file)?;
        let newest = parse(path, &bytes)?.newest;
        newest.ok_or_else(|| JournalError::Empty { path: path.to_owned() })
    }

    /// The same journal on another medium; for tests that make it fail.
    #[must_use]
    pub fn on(self, wrap: impl FnOnce(Box<dyn Medium>) -> Box<dyn Medium>) -> Self {
        Self { medium: wrap(self.medium), ..self }
    }

    /// Appends a state. When this returns it is on disk.
    ///
    /// # Errors
    /// [`JournalError::Io`]; from then on [`JournalError::Broken`], for nobody knows what a disk that
    /// has failed once still holds.
    pub fn append(&mut self, swap: &Swap, at: UnixMillis) -> Result<(), JournalError> {
        if self.broken {
            return Err(JournalError::Broken { path: self.path.clone() });
        }
        // Writing to a vector cannot fail.
        let state = borsh::to_vec(swap).unwrap_or_default();
        let rest = format!("{VERSION} {at} {}", hex::encode(state));
        let chain = next(self.chain, &rest);
        let line = format!("{} {rest}\n", hex::encode(chain.0));
        let written = self.medium.append(line.as_bytes()).and_then(|()| self.medium.sync());
        if let Err(source) = written {
            self.broken = true;
            return Err(io_error(&self.path, "appending to")(source));
        }
        self.chain = chain;
        Ok(())
    }
}

fn next(chain: Hash, rest: &str) -> Hash {
    Preimage::tagged("swap-journal").word(chain).bytes(rest.as_bytes()).finish()
}

fn io_error(path: &Path, doing: &'static str) -> impl FnOnce(io::Error) -> JournalError {
    let path = path.to_owned();
    move |source| JournalError::Io { path, doing, source }
}

fn lock(path: &Path, file: &File) -> Result<(), JournalError> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(JournalError::InUse { path: path.to_owned() }),
        Err(TryLockError::Error(source)) => Err(io_error(path, "locking")(source)),
    }
}

fn read_all(path: &Path, file: &mut File) -> Result<Vec<u8>, JournalError> {
    let metadata = file.metadata().map_err(io_error(path, "looking at"))?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(JournalError::Readable { path: path.to_owned(), mode });
    }
    let mut bytes = Vec::new();
    file.rewind().map_err(io_error(path, "reading"))?;
    file.read_to_end(&mut bytes).map_err(io_error(path, "reading"))?;
    Ok(bytes)
}

fn parse(path: &Path, bytes: &[u8]) -> Result<Parsed, JournalError> {
    let whole_bytes = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
    let mut parsed = Parsed { newest: None, chain: Hash::ZERO, whole_bytes };
    let whole = bytes.get(..whole_bytes).unwrap_or_default();
    for (line, text) in (1..).zip(whole.split_inclusive(|byte| *byte == b'\n')) {
        let tampered =
            |why: &str| JournalError::Tampered { path: path.to_owned(), line, why: why.to_owned() };
        let text = std::str::from_utf8(text).map_err(|_| tampered("it is no text"))?;
        let text = text.trim_end_matches('\n');
        let (chain, rest) = text.split_once(' ').ok_or_else(|| tampered("it has no fields"))?;
        parsed.chain = next(parsed.chain, rest);
        if chain != hex::encode(parsed.chain.0) {
            return Err(tampered("its hash is not that of what it says and what stands before it"));
        }
        let fields: Vec<&str> = rest.split(' ').collect();
        let &[VERSION, at, state] = fields.as_slice() else {
            return Err(tampered("it is of another version"));
        };
        let at = at.parse().map_err(|_| tampered("its time is no number"))?;
        let state = hex::decode(state).map_err(|_| tampered("its state is not hexadecimal"))?;
        let swap = borsh::from_slice(&state).map_err(|_| tampered("its state cannot be read"))?;
        parsed.newest = Some((swap, UnixMillis(at)));
    }
    Ok(parsed)
}
