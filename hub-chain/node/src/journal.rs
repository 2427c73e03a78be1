//! Journals of what strangers do here and no block holds: refusals at the door, and what auditors
//! ask.
//!
//! Not replicated: each node keeps its own. Each line holds the hash of the line before, so that a
//! removed or changed line is found. Strangers write only so many lines in a second; what they
//! cause beyond is counted in the next line.
//!
//! Property S12: an entry here for every refusal that entered no block.

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;
use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
};
use tombolo_crypto::keccak256::keccak256_concat;
use tombolo_types::{Hash, Refusal, UnixMillis, id::TxId};

/// A journal that has grown to this is put aside, over the one put aside before.
pub const JOURNAL_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Lines in a second that strangers may cause, and how many they may save up.
const STRANGERS_PER_SECOND: u64 = 10;
const STRANGERS_BURST: u64 = 100;
/// The longest sentence that is kept.
const MESSAGE_BYTES_MAX: usize = 512;

/// One line about something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry<T> {
    /// From 0, over all files.
    pub number: u64,
    /// This node's clock.
    pub time_ms: u64,
    /// The caller's network address.
    pub caller: String,
    /// What happened.
    #[serde(flatten)]
    pub what: T,
    /// What strangers caused since the line before that is not written.
    pub suppressed: u64,
    /// The hash of the line before; zero for the first.
    pub previous: String,
}

/// A refusal at the door.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// As in `E_AUTH`.
    pub class: String,
    /// The sentence.
    pub message: String,
    /// The transaction, where it could be read.
    pub tx_id: Option<String>,
}

impl Refused {
    /// A refusal as it is written.
    #[must_use]
    pub fn new(refusal: &Refusal, tx_id: Option<TxId>) -> Self {
        let message = &refusal.message;
        Self {
            class: refusal.class.to_string(),
            message: message[..message.floor_char_boundary(MESSAGE_BYTES_MAX)].to_owned(),
            tx_id: tx_id.map(|id| id.to_string()),
        }
    }
}

/// A query of audit records. Req: PRJ-4-5
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// What was asked for; nothing in it is everything.
    pub filter: Value,
    /// How many records were given.
    pub records: u64,
    /// The class of refusal, where the query was refused.
    pub class: Option<String>,
}

/// Who causes a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writer {
    /// An identity that is known here, by its signature: writes every line.
    Known,
    /// Anybody: writes so many lines in a second.
    Stranger,
}

/// The journal in a folder.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    bytes: u64,
    number: u64,
    previous: Hash,
    suppressed: u64,
    allowance: u64,
    refilled: UnixMillis,
}

fn line_hash(line: &[u8]) -> Hash {
    keccak256_concat([b"tombolo/1/journal".as_slice(), line])
}

impl Journal {
    /// Opens the journal at `path`, or begins one. A last line that a crash cut short is closed
    /// and left standing.
    ///
    /// # Errors
    /// What the system says.
    pub fn open(path: &Path) -> io::Result<Self> {
        let mut journal = Self {
            path: path.to_owned(),
            file: OpenOptions::new().create(true).append(true).open(path)?,
            bytes: 0,
            number: 0,
            previous: Hash::ZERO,
            suppressed: 0,
            allowance: STRANGERS_BURST,
            refilled: UnixMillis::ZERO,
        };
        journal.bytes = journal.file.metadata()?.len();
        // After a rotation the chain goes on from the file that was put aside.
        for path in [journal.aside(), path.to_owned()] {
            let Ok(file) = File::open(path) else { continue };
            for line in BufReader::new(file).split(b'\n') {
                let line = line?;
                let entry: Result<Entry<Value>, _> = serde_json::from_slice(&line);
                journal.number = entry.map_or(journal.number, |entry| entry.number + 1);
                journal.previous = line_hash(&line);
            }
        }
        if journal.bytes > 0 && !fs::read(path)?.ends_with(b"\n") {
            journal.file.write_all(b"\n")?;
            journal.bytes += 1;
        }
        Ok(journal)
    }

    fn aside(&self) -> PathBuf {
        self.path.with_extension("old")
    }

    /// Writes something down, or only counts it where strangers write too much. Says whether it
    /// was written.
    ///
    /// # Errors
    /// What the system says.
    pub fn write<T: Serialize>(
        &mut self,
        at: UnixMillis,
        caller: &str,
        writer: Writer,
        what: &T,
    ) -> io::Result<bool> {
        if writer == Writer::Stranger && !self.allow(at) {
            self.suppressed += 1;
            return Ok(false);
        }
        let entry = Entry {
            number: self.number,
            time_ms: at.0,
            caller: caller.to_owned(),
            what,
            suppressed: std::mem::take(&mut self.suppressed),
            previous: self.previous.to_string(),
        };
        let mut line = serde_json::to_vec(&entry)?;
        self.previous = line_hash(&line);
        self.number += 1;
        line.push(b'\n');
        if self.bytes + line.len() as u64 > JOURNAL_BYTES_MAX {
            self.rotate()?;
        }
        self.file.write_all(&line)?;
        self.bytes += line.len() as u64;
        Ok(true)
    }

    fn rotate(&mut self) -> io::Result<()> {
        fs::rename(&self.path, self.aside())?;
        self.file = OpenOptions::new().create(true).append(true).open(&self.path)?;
        self.bytes = 0;
        Ok(())
    }

    fn allow(&mut self, now: UnixMillis) -> bool {
        let regained = now.since(self.refilled).saturating_mul(STRANGERS_PER_SECOND) / 1_000;
        if regained > 0 {
            self.allowance = self.allowance.saturating_add(regained).min(STRANGERS_BURST);
            self.refilled = now;
        }
        let allowed = self.allowance > 0;
        self.allowance = self.allowance.saturating_sub(1);
        allowed
    }
}

/// Reads a journal and checks that no line was changed or removed after its first.
///
/// # Errors
/// The number of the first line that does not follow the one before, counted from 1 in this file.
pub fn verify<T: DeserializeOwned>(text: &[u8]) -> Result<Vec<Entry<T>>, usize> {
    let mut previous = None;
    let mut entries = Vec::new();
    for (position, line) in text.split(|byte| *byte == b'\n').enumerate() {
        if line.is_empty() {
            continue;
        }
        let entry: Entry<T> = serde_json::from_slice(line).map_err(|_| position + 1)?;
        if previous.is_some_and(|hash: Hash| hash.to_string() != entry.previous) {
            return Err(position + 1);
        }
        previous = Some(line_hash(line));
        entries.push(entry);
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tombolo_types::Class;

    /// Writes a refusal at a time, by the identity that is known or by a stranger.
    fn write(journal: &mut Journal, at: u64, writer: Writer) -> bool {
        let refusal = Refusal::new(Class::Auth, format!("the signature is wrong at {at}"));
        let refused = Refused::new(&refusal, Some(TxId([7; 32])));
        journal.write(UnixMillis(at), "127.0.0.1:9", writer, &refused).unwrap()
    }

    fn read(text: &[u8]) -> Result<Vec<Entry<Refused>>, usize> {
        verify(text)
    }

    #[test]
    fn lines_chain_over_a_restart_and_a_changed_one_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("door.journal");
        for at in 0..3 {
            let mut journal = Journal::open(&path).unwrap();
            assert!(write(&mut journal, at, Writer::Known));
        }
        let text = fs::read_to_string(&path).unwrap();
        let numbers: Vec<_> =
            read(text.as_bytes()).unwrap().iter().map(|entry| entry.number).collect();
        assert_eq!(numbers, [0, 1, 2]);
        assert_eq!(read(text.replace("at 1", "at 7").as_bytes()), Err(3));
        let removed: String =
            text.lines().filter(|line| !line.contains("at 1")).collect::<Vec<_>>().join("\n");
        assert_eq!(read(removed.as_bytes()), Err(2));
    }

    #[test]
    fn a50_strangers_cannot_fill_the_journal() {
        let folder = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(&folder.path().join("door.journal")).unwrap();
        let written = (0..1_000).filter(|_| write(&mut journal, 1, Writer::Stranger)).count();
        assert_eq!(written as u64, STRANGERS_BURST);
        assert!(write(&mut journal, 2, Writer::Known));
        assert!(write(&mut journal, 2_000, Writer::Stranger));
        let text = fs::read(folder.path().join("door.journal")).unwrap();
        let entries = read(&text).unwrap();
        assert_eq!(entries[entries.len() - 2].suppressed, 1_000 - STRANGERS_BURST);
    }

    /// However much auditors ask, the journal of queries is as bounded as that of the door.
    #[test]
    fn a50_auditors_cannot_fill_the_journal() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("queries.journal");
        let mut journal = Journal::open(&path).unwrap();
        let filter = serde_json::json!({ "operation": "share" });
        let asked = Asked { filter, records: 500, class: None };
        let mut ask = |at| journal.write(UnixMillis(at), "127.0.0.1:9", Writer::Stranger, &asked);
        let written = (0..500).filter(|_| ask(1).unwrap()).count();
        assert_eq!(written as u64, STRANGERS_BURST);
        assert!(ask(2_000).unwrap());
        let entries: Vec<Entry<Asked>> = verify(&fs::read(&path).unwrap()).unwrap();
        assert_eq!(entries.last().unwrap().suppressed, 500 - STRANGERS_BURST);
        assert_eq!(entries[0].what, asked);
    }

    #[test]
    fn a_full_journal_is_put_aside_and_the_chain_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("door.journal");
        let mut journal = Journal::open(&path).unwrap();
        write(&mut journal, 0, Writer::Known);
        journal.bytes = JOURNAL_BYTES_MAX;
        write(&mut journal, 1, Writer::Known);
        let mut both = fs::read(path.with_extension("old")).unwrap();
        both.extend(fs::read(&path).unwrap());
        assert_eq!(read(&both).unwrap().len(), 2);
        assert_eq!(Journal::open(&path).unwrap().number, 2);
    }

    #[test]
    fn a58_a_line_that_a_crash_cut_short_does_not_swallow_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("door.journal");
        write(&mut Journal::open(&path).unwrap(), 0, Writer::Known);
        let text = fs::read(&path).unwrap();
        fs::write(&path, &text[..text.len() / 2]).unwrap();
        write(&mut Journal::open(&path).unwrap(), 1, Writer::Known);
        assert_eq!(read(&fs::read(&path).unwrap()), Err(1));
        let last = fs::read_to_string(&path).unwrap();
        assert!(serde_json::from_str::<Entry<Refused>>(last.lines().last().unwrap()).is_ok());
    }
}
