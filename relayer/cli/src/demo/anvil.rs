//! anvil, Foundry's development node of Ethereum: where it is, and how it runs beside the others.

use crate::process::{Lives, Process};
use anyhow::{Context as _, bail, ensure};
use rustix::process::{Signal, set_parent_process_death_signal};
use std::{
    ffi::OsString,
    os::unix::process::{CommandExt as _, parent_id},
    path::{Path, PathBuf},
};

/// The first of the keys that anvil gives funds to: published, guards nothing.
pub(super) const KEY: &str = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";
/// Where `tests/nodes/foundry.sh` puts it, below the cache of nodes.
const CACHED: &str = "foundry-1.7.1/bin/anvil";

/// Where an anvil is: the named one, else that of the cache of nodes, else the first on the path.
///
/// # Errors
/// Says how to get one where there is none.
pub(super) fn find(named: Option<&Path>) -> anyhow::Result<PathBuf> {
    const GET: &str =
        "get it by `tests/nodes/foundry.sh` (Node.js 20 with npm), or say where it is by --anvil";
    if let Some(path) = named {
        return match path.is_file() {
            true => Ok(std::path::absolute(path)?),
            false => bail!("there is no anvil at {}; {GET}", path.display()),
        };
    }
    let variable = |name| std::env::var_os(name).filter(|it: &OsString| !it.is_empty());
    let cache = variable("TOMBOLO_NODES").map(PathBuf::from);
    let home = || Some(PathBuf::from(variable("HOME")?).join(".cache/tombolo/nodes"));
    let cached = cache.or_else(home).map(|cache| cache.join(CACHED));
    let path = variable("PATH").unwrap_or_default();
    let named = std::env::split_paths(&path).map(|folder| folder.join("anvil"));
    let found = cached.into_iter().chain(named).find(|place| place.is_file());
    found.with_context(|| format!("there is no anvil on this machine; {GET}"))
}

/// Starts one on loopback that makes a block each second, and ends with this process.
pub(super) fn start(program: &Path, port: u16, home: &Path) -> anyhow::Result<Process> {
    let program = program.to_str().context("the path of anvil is not UTF-8")?;
    let accounts = home.join("anvil.json");
    let accounts = accounts.to_str().context("the folder's path is not UTF-8")?;
    let log = home.join("logs").join("anvil.log");
    let (port, parent) = (port.to_string(), std::process::id().to_string());
    let words = ["anvil", program, &port, accounts, &parent];
    Process::start("anvil", &words, &log, Lives::WithParent)
}

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Where anvil is.
    program: PathBuf,
    /// The port of loopback on which it shall listen.
    port: u16,
    /// The file into which it shall write which accounts it gives funds to.
    accounts: PathBuf,
    /// The process that has started this one.
    parent: u32,
    /// End when the process ends that has started this one.
    #[arg(long)]
    exit_with_parent: bool,
}

/// Becomes anvil, which does not know to end with its parent: the kernel ends it.
pub(crate) fn become_anvil(arguments: &Arguments) -> anyhow::Result<()> {
    if arguments.exit_with_parent {
        set_parent_process_death_signal(Some(Signal::TERM)).context("asking to end in time")?;
        // It may have ended before that was asked.
        ensure!(parent_id() == arguments.parent, "who has started this has ended");
    }
    let mut command = std::process::Command::new(&arguments.program);
    command.args(["--host", "127.0.0.1", "--port", &arguments.port.to_string()]);
    command.args(["--block-time", "1", "--silent", "--config-out"]).arg(&arguments.accounts);
    // Where this succeeds it does not come back.
    let error = command.exec();
    Err(error).with_context(|| format!("running {}", arguments.program.display()))
}
