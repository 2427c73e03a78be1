//! Processes of a network on this machine.

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use std::{
    fs::File,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::Path,
    process::Stdio,
    time::Duration,
};
use tokio::{process::Child, time::Instant};
use tombolo_node::listener::{BoundedListener, Bounds};

/// How long a process may take to end after it was asked to.
const GRACE: Duration = Duration::from_secs(8);

/// A process that ends with this one, however this one ends.
pub(crate) struct Process {
    name: String,
    child: Child,
}

/// Whether a process lives on after the one that started it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lives {
    /// It watches its standard input and ends when that closes.
    WithParent,
    /// It has its own process group and is ended by its number.
    Alone,
}

/// A port of this process, which keeps its bounds whoever connects. Attack: A54
pub(crate) async fn bind(
    what: &str,
    listen: SocketAddr,
    bounds: Bounds,
) -> anyhow::Result<BoundedListener> {
    let listener = tokio::net::TcpListener::bind(listen).await;
    let listener = listener.with_context(|| format!("{what} cannot listen at {listen}"))?;
    Ok(BoundedListener::new(listener, bounds))
}

impl Process {
    /// Starts this program again with other words; its stderr goes to `log`.
    pub(crate) fn start(
        name: &str,
        words: &[&str],
        log: &Path,
        lives: Lives,
    ) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("finding this program")?;
        let log = File::options()
            .create(true)
            .append(true)
            .open(log)
            .with_context(|| format!("opening {}", log.display()))?;
        let mut command = tokio::process::Command::new(program);
        command.args(words).stdout(Stdio::null()).stderr(log);
        match lives {
            Lives::WithParent => {
                command.arg("--exit-with-parent").stdin(Stdio::piped()).kill_on_drop(true);
            }
            Lives::Alone => {
                command.stdin(Stdio::null()).process_group(0);
            }
        }
        let child = command.spawn().with_context(|| format!("starting {name}"))?;
        Ok(Self { name: name.to_owned(), child })
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Its number, while it runs.
    pub(crate) fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Its exit status where it has ended.
    pub(crate) fn ended(&mut self) -> Option<std::process::ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Ends it at once, as a power cut would.
    pub(crate) async fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill().await.with_context(|| format!("killing {}", self.name))
    }

    /// Asks it to end, and ends it where it does not.
    pub(crate) async fn stop(&mut self) {
        if let Some(id) = self.id() {
            signal(id, Signal::TERM);
        }
        if tokio::time::timeout(GRACE, self.child.wait()).await.is_err() {
            let _ = self.child.kill().await;
        }
    }
}

fn signal(id: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(id).ok().and_then(Pid::from_raw) {
        // It may have ended by itself meanwhile.
        let _ = kill_process(pid, signal);
    }
}

/// Whether a process with this number runs and has `words` among its arguments: numbers are given
/// again, so the number alone says nothing.
pub(crate) fn is_running(id: u32, words: &str) -> bool {
    let exists = i32::try_from(id)
        .ok()
        .and_then(Pid::from_raw)
        .is_some_and(|pid| test_kill_process(pid).is_ok());
    let arguments = std::fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
    let ended = std::fs::read_to_string(format!("/proc/{id}/stat")).is_ok_and(|stat| {
        stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z'))
    });
    exists && !ended && String::from_utf8_lossy(&arguments).contains(words)
}

/// Asks a process that lives alone to end, and ends it where it does not.
pub(crate) async fn stop_by_id(id: u32, words: &str) {
    if !is_running(id, words) {
        return;
    }
    signal(id, Signal::TERM);
    let until = Instant::now() + GRACE;
    while is_running(id, words) {
        if Instant::now() > until {
            signal(id, Signal::KILL);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Ports that were free a moment ago.
pub(crate) fn free_ports(count: usize) -> anyhow::Result<Vec<SocketAddr>> {
    let held: Vec<TcpListener> = (0..count)
        .map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
        .collect::<Result<_, _>>()
        .context("finding free ports on loopback")?;
    held.iter().map(|listener| listener.local_addr().context("reading a port")).collect()
}
