//! Runs the command, one network at a time.

use serde_json::Value;
use std::{
    path::Path,
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};
use tokio::sync::{Mutex, MutexGuard};

/// Networks share two cores: one test at a time starts one.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::const_new(());
    ONE.blocking_lock()
}

/// Runs what waits for a network.
pub(crate) fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Runtime::new().expect("a runtime").block_on(work)
}

/// The command with these words.
pub(crate) fn command(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tombolo"));
    command.args(words).stdin(Stdio::null());
    command
}

/// Runs it to its end.
pub(crate) fn tombolo(words: &[&str]) -> Output {
    command(words).output().expect("the command runs")
}

/// Runs it; it must succeed. Gives what it printed on stdout.
pub(crate) fn good(words: &[&str]) -> String {
    let output = tombolo(words);
    assert!(
        output.status.success(),
        "tombolo {} failed:\n{}",
        words.join(" "),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("stdout is text")
}

/// Runs it; it must be refused with exit status 1 and one error object. Gives the object.
pub(crate) fn refused(words: &[&str]) -> Value {
    let output = tombolo(words);
    assert_eq!(output.status.code(), Some(1), "tombolo {}", words.join(" "));
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().last().unwrap_or_default();
    serde_json::from_str(last).unwrap_or_else(|_| panic!("no error object but: {said}"))
}

/// The last line of stdout as JSON.
pub(crate) fn last_json(stdout: &str) -> Value {
    serde_json::from_str(stdout.lines().last().unwrap_or_default()).expect("the last line is JSON")
}

/// Processes that have this folder among their words.
pub(crate) fn processes_of(home: &Path) -> Vec<u32> {
    let home = home.to_string_lossy();
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").expect("there is /proc").flatten() {
        let Some(id) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let words = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        if String::from_utf8_lossy(&words).contains(&*home) {
            found.push(id);
        }
    }
    found
}

/// Kills what still runs in a home when a test ends, however it ends.
pub(crate) struct Killed<'h>(pub(crate) &'h Path);

impl Drop for Killed<'_> {
    fn drop(&mut self) {
        for id in processes_of(self.0) {
            let _ = Command::new("kill").args(["-9", &id.to_string()]).status();
        }
    }
}

/// Waits for something that must become so.
pub(crate) fn eventually<T>(what: &str, within: Duration, mut ask: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + within;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < end, "{what}: not so after {within:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
