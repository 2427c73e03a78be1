//! Journals on a real disk: torn, damaged, shared, and on a disk that fails.

use crate::world::{NOW, SECRET, opened_by, terms_at};
use std::{
    fs::{self, Permissions},
    io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};
use tombolo_swap::htlc::{Input, Role, Swap};
use tombolo_swap_service::{Journal, JournalError, Medium};
use tombolo_types::{Class, UnixMillis};

/// A folder that is removed at the end, and a file that is not there yet.
struct Place {
    _folder: tempfile::TempDir,
    path: PathBuf,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("one.journal");
        Self { _folder: folder, path }
    }

    fn write(&self, bytes: &[u8]) {
        fs::write(&self.path, bytes).unwrap();
        fs::set_permissions(&self.path, Permissions::from_mode(0o600)).unwrap();
    }
}

/// Three states, one after the other.
fn states() -> [Swap; 3] {
    let first = opened_by(Role::Party(0), &terms_at(NOW));
    let second = first.step(NOW, Input::Accepted).state;
    let third = second.step(NOW, Input::Shown(SECRET)).state;
    [first, second, third]
}

fn written(place: &Place) -> Vec<u8> {
    let [first, second, third] = states();
    let mut journal = Journal::create(&place.path, &first, NOW).unwrap();
    journal.append(&second, UnixMillis(NOW.0 + 1)).unwrap();
    journal.append(&third, UnixMillis(NOW.0 + 2)).unwrap();
    fs::read(&place.path).unwrap()
}

fn class(error: &JournalError) -> Class {
    error.class()
}

#[test]
fn what_was_appended_is_there_again() {
    let place = Place::new();
    written(&place);
    let [.., third] = states();
    let opened = Journal::open(&place.path).unwrap();
    assert_eq!((opened.swap, opened.since), (third.clone(), UnixMillis(NOW.0 + 2)));
    assert!(!opened.torn);
    assert_eq!(Journal::read(&place.path).unwrap(), (third, UnixMillis(NOW.0 + 2)));
    let mode = fs::metadata(&place.path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600, "the secret stands in it");
}

/// Cut at every byte, it holds the states of its whole lines, and goes on from there.
#[test]
fn a58_a_journal_that_is_cut_anywhere_holds_its_whole_lines() {
    let place = Place::new();
    let bytes = written(&place);
    let states = states();
    let ends: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at] == b'\n').collect();
    // Around every line break, and here and there within the lines.
    let near =
        |cut: &usize| ends.iter().any(|end| cut.abs_diff(*end) <= 2) || cut.is_multiple_of(41);
    for cut in (0..=bytes.len()).filter(near) {
        place.write(&bytes[..cut]);
        let whole = ends.iter().filter(|end| **end < cut).count();
        match Journal::open(&place.path) {
            Ok(mut opened) => {
                assert_eq!(opened.swap, states[whole - 1], "cut at {cut}");
                let at_an_end = cut == 0 || bytes[cut - 1] == b'\n';
                assert_eq!(opened.torn, !at_an_end, "cut at {cut}");
                opened.journal.append(&states[2], UnixMillis(9)).unwrap();
                drop(opened);
                let (swap, since) = Journal::read(&place.path).unwrap();
                assert_eq!((swap, since), (states[2].clone(), UnixMillis(9)), "cut at {cut}");
            }
            Err(JournalError::Empty { .. }) => assert_eq!(whole, 0, "cut at {cut}"),
            Err(other) => panic!("cut at {cut}: {other}"),
        }
    }
}

/// A changed byte within a whole line is found, and the line is named.
#[test]
fn a_changed_byte_is_found_and_its_line_is_named() {
    let place = Place::new();
    let bytes = written(&place);
    for at in (0..bytes.len()).step_by(7) {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        place.write(&changed);
        let line = bytes[..at].iter().filter(|byte| **byte == b'\n').count() + 1;
        match Journal::open(&place.path).map(|_| ()) {
            Err(JournalError::Tampered { line: found, .. }) => {
                // Where a line break was changed, two lines have become one.
                assert!(found == line, "byte {at}: line {found}, not {line}");
            }
            // The last line break was changed: the line counts as torn.
            Ok(()) => assert_eq!(at, bytes.len() - 1),
            Err(other) => panic!("byte {at}: {other}"),
        }
    }
    // A line that is missing in the middle, and one that stands twice.
    let lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
    for order in [&[0usize, 2][..], &[0, 1, 1, 2], &[1, 2], &[0, 2, 1]] {
        place.write(&order.iter().flat_map(|line| lines[*line].to_vec()).collect::<Vec<u8>>());
        let error = Journal::open(&place.path).map(|_| ()).unwrap_err();
        assert_eq!(class(&error), Class::Tamper, "{order:?}");
    }
}

#[test]
fn a_journal_has_one_writer_and_no_strange_reader() {
    let place = Place::new();
    let [first, ..] = states();
    let journal = Journal::create(&place.path, &first, NOW).unwrap();
    let again = Journal::open(&place.path).map(|_| ()).unwrap_err();
    assert!(matches!(again, JournalError::InUse { .. }), "{again}");
    let create = Journal::create(&place.path, &first, NOW).map(|_| ()).unwrap_err();
    assert!(matches!(create, JournalError::Io { .. }), "{create}");
    assert!(Journal::read(&place.path).is_ok(), "reading is free");
    drop(journal);
    fs::set_permissions(&place.path, Permissions::from_mode(0o640)).unwrap();
    let readable = Journal::open(&place.path).map(|_| ()).unwrap_err();
    assert!(matches!(readable, JournalError::Readable { mode: 0o640, .. }), "{readable}");
    assert_eq!(class(&readable), Class::Auth);
}

/// A disk on which the n-th operation fails: writing, or flushing what was written.
struct Faulty {
    inner: Box<dyn Medium>,
    left: Arc<AtomicUsize>,
    log: Arc<Mutex<Vec<&'static str>>>,
}

impl Faulty {
    fn fails(&self, what: &'static str) -> io::Result<()> {
        self.log.lock().unwrap().push(what);
        match self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1))
        {
            Ok(_) => Ok(()),
            Err(_) => Err(io::Error::other("the disk is gone")),
        }
    }
}

impl Medium for Faulty {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.fails("append")?;
        self.inner.append(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.fails("sync")?;
        self.inner.sync()
    }
}

/// After a failed write or flush nothing is tried again in this process: what the disk holds is not
/// known. What is there is read at the next start.
#[test]
fn a59_after_a_failed_write_nothing_is_tried_again() {
    let [first, second, third] = states();
    for (left, tried) in [(0, vec!["append"]), (1, vec!["append", "sync"])] {
        let place = Place::new();
        let log = Arc::new(Mutex::new(Vec::new()));
        let faulty = |inner| -> Box<dyn Medium> {
            let left = Arc::new(AtomicUsize::new(left));
            Box::new(Faulty { inner, left, log: Arc::clone(&log) })
        };
        let mut journal = Journal::create(&place.path, &first, NOW).unwrap().on(faulty);
        let error = journal.append(&second, NOW).unwrap_err();
        assert!(matches!(error, JournalError::Io { .. }), "{error}");
        let error = journal.append(&third, NOW).unwrap_err();
        assert!(matches!(error, JournalError::Broken { .. }), "{error}");
        assert_eq!(*log.lock().unwrap(), tried);
        drop(journal);
        let kept = Journal::open(&place.path).unwrap().swap;
        assert!(kept == first || kept == second);
    }
}

/// Bytes of strangers are never read as a state.
#[test]
fn a53_what_is_no_journal_is_refused() {
    let place = Place::new();
    let lines: [&[u8]; 6] = [
        b"\n",
        b"hello\n",
        b"0 1 2 3\n",
        b"\xff\xfe\n",
        &[b'0'; 200_000],
        b"0000000000000000000000000000000000000000000000000000000000000000 1 0 \n",
    ];
    for line in lines {
        place.write(line);
        let error = Journal::open(&place.path).map(|_| ()).unwrap_err();
        assert!([Class::Tamper, Class::State].contains(&class(&error)), "{error}");
    }
    assert!(Journal::open(Path::new("/nowhere/at/all")).is_err());
}
