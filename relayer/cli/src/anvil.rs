//! anvil, Foundry's development node of Ethereum: where it is, and how it runs beside the others.

use crate::{
    evm::{Known, RawEvm, RawProof},
    party::until,
    process::{Lives, Process, free_ports},
    setup::{PATIENCE, Running},
};
use anyhow::{Context as _, bail, ensure};
use rustix::process::{Signal, set_parent_process_death_signal};
use std::{
    ffi::OsString,
    os::unix::process::{CommandExt as _, parent_id},
    path::{Path, PathBuf},
};
use tombolo_crypto::secp256k1::SecretKey;
use tombolo_types::Hash;

/// The first of the keys that anvil gives funds to: published, guards nothing.
const KEY: &str = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";
/// What it gives each of its accounts where it is measured, in ether.
const BALANCE: &str = "1000000000";
/// Where `tests/nodes/foundry.sh` puts it, below the cache of nodes.
const CACHED: &str = "foundry-1.7.1/bin/anvil";

/// Where an anvil is: the named one, else that of the cache of nodes, else the first on the path.
///
/// # Errors
/// Says how to get one where there is none.
pub(crate) fn find(named: Option<&Path>) -> anyhow::Result<PathBuf> {
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

/// Starts one beside the network's parts, on loopback, with a block each second; it ends with this
/// process. Makes it known to the network as `name`; the relayer's account there is one that holds
/// funds.
///
/// With `gas_limit` it is fit to be measured: see [`Arguments`].
pub(crate) async fn start(
    running: &mut Running,
    program: &Path,
    name: &str,
    gas_limit: Option<u64>,
) -> anyhow::Result<Known> {
    let listens = free_ports(1)?.into_iter().next().context("there is no free port")?;
    let process = start_process(program, listens.port(), &running.network.home, gas_limit)?;
    running.nodes.push(process);
    let evm = RawEvm {
        name: name.into(),
        rpc: vec![format!("http://{listens}")],
        account: name.into(),
        finality_depth: Some(0),
        proof: Some(RawProof::None),
        ..RawEvm::default()
    };
    let known = Known { clique_period: None, clique_epoch: None, evm, htlc: None };
    let answers = || async {
        let mut known = known.clone();
        known.identify().await?;
        Ok(Some(known))
    };
    let log = log_of(&running.network.home);
    let known = until("anvil answers", PATIENCE, answers).await;
    let known = known.with_context(|| format!("what it says is in {}", log.display()))?;
    known.add(&running.network, &key()?)?;
    Ok(known)
}

/// The key of the account with funds.
pub(crate) fn key() -> anyhow::Result<SecretKey> {
    let key: Hash = KEY.parse()?;
    Ok(SecretKey::from_bytes(key.0)?)
}

/// What it says.
pub(crate) fn log_of(home: &Path) -> PathBuf {
    home.join("logs").join("anvil.log")
}

fn start_process(
    program: &Path,
    port: u16,
    home: &Path,
    gas_limit: Option<u64>,
) -> anyhow::Result<Process> {
    let program = program.to_str().context("the path of anvil is not UTF-8")?;
    let accounts = home.join("anvil.json");
    let accounts = accounts.to_str().context("the folder's path is not UTF-8")?;
    let (port, parent) = (port.to_string(), std::process::id().to_string());
    let gas = gas_limit.map(|gas| gas.to_string());
    let mut words = vec!["anvil", program, &port, accounts, &parent];
    if let Some(gas) = &gas {
        words.extend(["--gas-limit", gas]);
    }
    Process::start("anvil", &words, &log_of(home), Lives::WithParent)
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
    /// How much gas its blocks shall hold. With this it says each request on a line, knows the limit
    /// of EIP-7825 for a transaction, and gives accounts more than any load spends.
    #[arg(long)]
    gas_limit: Option<u64>,
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
    command.args(["--block-time", "1", "--config-out"]).arg(&arguments.accounts);
    match arguments.gas_limit {
        Some(gas) => {
            let gas = gas.to_string();
            command.args(["--enable-tx-gas-limit", "--gas-limit", &gas, "--balance", BALANCE])
        }
        None => command.arg("--silent"),
    };
    // Where the errors of all parts go.
    command.stdout(std::io::stderr());
    // Where this succeeds it does not come back.
    let error = command.exec();
    Err(error).with_context(|| format!("running {}", arguments.program.display()))
}
