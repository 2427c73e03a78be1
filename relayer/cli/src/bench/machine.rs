//! The machine on which it was measured, and what each process used of it. From `/proc`.

use crate::setup::Running;
use std::{fs, path::Path};

/// Ticks of `/proc/<pid>/stat` in a second: the same on every Linux that this runs on.
const TICKS_PER_SECOND: f64 = 100.0;

/// What numbers depend on.
pub(super) struct Machine {
    pub(super) cores: usize,
    pub(super) model: String,
    pub(super) memory_mib: u64,
    pub(super) kernel: String,
    /// The kind of file system on which the ledgers lay: it decides what a flush costs.
    pub(super) file_system: String,
}

impl Machine {
    pub(super) fn read(home: &Path) -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let or_unknown = |found: Option<&str>| found.unwrap_or("unknown").trim().to_owned();
        let (cpus, memory) = (read("/proc/cpuinfo"), read("/proc/meminfo"));
        Self {
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            model: or_unknown(value(&cpus, "model name")),
            memory_mib: kib(&memory, "MemTotal") / 1_024,
            kernel: or_unknown(read("/proc/sys/kernel/osrelease").lines().next()),
            file_system: or_unknown(file_system(&read("/proc/self/mounts"), home)),
        }
    }
}

/// What one process has used.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Usage {
    pub(super) process: String,
    id: u32,
    pub(super) cpu_seconds: f64,
    /// Resident memory now.
    pub(super) memory_mib: u64,
}

impl Usage {
    /// Of every part of the network, and of this process, which makes the load.
    pub(super) fn read(running: &Running) -> Vec<Self> {
        let parts = running.nodes.iter().chain([&running.relayer]);
        let parts = parts.filter_map(|part| Some((part.name().to_owned(), part.id()?)));
        let own = ("load (this process)".to_owned(), std::process::id());
        parts.chain([own]).map(|(process, id)| Self::of(process, id)).collect()
    }

    fn of(process: String, id: u32) -> Self {
        let read =
            |file: &str| fs::read_to_string(format!("/proc/{id}/{file}")).unwrap_or_default();
        Self {
            process,
            id,
            cpu_seconds: cpu_seconds(&read("stat")),
            memory_mib: kib(&read("status"), "VmRSS") / 1_024,
        }
    }

    /// What was used since; a process that was started again counts from its start.
    pub(super) fn since(running: &Running, before: &[Self]) -> Vec<Self> {
        let mut now = Self::read(running);
        for usage in &mut now {
            let same = before.iter().find(|before| before.id == usage.id);
            usage.cpu_seconds -= same.map_or(0.0, |before| before.cpu_seconds);
        }
        now
    }
}

/// The value after `name:` in a file of such lines.
fn value<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    text.lines().find_map(|line| {
        let (found, value) = line.split_once(':')?;
        (found.trim() == name).then_some(value.trim())
    })
}

fn kib(text: &str, name: &str) -> u64 {
    let number = value(text, name).and_then(|value| value.split_whitespace().next());
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// User and system time. The second field, the name, may hold anything, so it is skipped from its
/// end.
fn cpu_seconds(stat: &str) -> f64 {
    let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace();
    // The 14th and 15th of all fields, the first after the name being the third.
    fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>()
        / TICKS_PER_SECOND
}

/// The type of the mount with the longest path that leads to the folder.
fn file_system<'m>(mounts: &'m str, folder: &Path) -> Option<&'m str> {
    let leads = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ').skip(1);
        let (path, kind) = (words.next()?, words.next()?);
        folder.starts_with(path).then_some((path.len(), kind))
    });
    leads.max_by_key(|(length, _)| *length).map(|(_, kind)| kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_read_behind_any_name() {
        let stat = "7 (a) b (c)) S 1 7 7 0 -1 4194560 5 0 0 0 250 50 0 0 20 0 9 0 100 1 2";
        assert!((cpu_seconds(stat) - 3.0).abs() < 1e-9);
        assert!(cpu_seconds("").abs() < 1e-9);
    }

    #[test]
    fn lines_with_a_name_are_found() {
        let text = "Name:\ttombolo\nVmRSSx:\t 9 kB\nVmRSS:\t  2048 kB\n";
        assert_eq!((kib(text, "VmRSS"), kib(text, "VmSwap")), (2_048, 0));
        assert_eq!(value(text, "Name"), Some("tombolo"));
    }

    #[test]
    fn the_nearest_mount_names_the_file_system() {
        let mounts = "/dev/a / ext4 rw 0 0\ntmpfs /tmp tmpfs rw 0 0\n/dev/b /tm xfs rw 0 0\n";
        for (folder, kind) in [("/tmp/x/y", "tmpfs"), ("/tm", "xfs"), ("/tmpx", "ext4")] {
            assert_eq!(file_system(mounts, Path::new(folder)), Some(kind), "{folder}");
        }
    }

    #[test]
    fn this_process_uses_something() {
        let usage = Usage::of("own".into(), std::process::id());
        assert!(usage.memory_mib > 0);
    }
}
