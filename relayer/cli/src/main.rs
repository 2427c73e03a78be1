//! `tombolo`: the one command. It composes the other crates and holds no logic of its own.

mod anvil;
mod audit;
mod bench;
mod demo;
mod devnet;
mod evm;
mod explain;
mod faults;
mod key;
mod network;
mod node;
mod output;
mod party;
mod patience;
mod process;
mod relayer;
mod relayer_config;
mod setup;
mod swap;
mod tx;

use clap::{CommandFactory as _, Parser, Subcommand};
use std::process::ExitCode;

/// A cross-chain relay and interoperability hub for IoT ledgers.
#[derive(Parser)]
#[command(
    name = "tombolo",
    version,
    after_help = "Example: tombolo demo      # two ledgers, a hub, a relayer, on real measurements"
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Shows everything once: two ledgers, a hub and an untrusted relayer on real measurements.
    Demo(demo::Arguments),
    /// Starts, stops and shows the same network to play with.
    #[command(subcommand)]
    Devnet(devnet::Command),
    /// Runs a node of the hub.
    #[command(subcommand)]
    Hub(node::Command),
    /// Runs a node of an islet, the embedded IoT ledger.
    #[command(subcommand)]
    Islet(node::Command),
    /// Adds chains beside the islets.
    #[command(subcommand)]
    Chain(evm::ChainCommand),
    /// Links chains that were added to the hub.
    #[command(subcommand)]
    Link(evm::LinkCommand),
    /// Runs and shows a relayer.
    #[command(subcommand)]
    Relayer(relayer::Command),
    /// Drafts, signs and begins two-phase commits.
    #[command(subcommand)]
    Tx(tx::Command),
    /// Offers, accepts, shows and carries out hash-timelock swaps.
    #[command(subcommand)]
    Swap(swap::Command),
    /// Queries, exports and verifies audit records.
    #[command(subcommand)]
    Audit(audit::Command),
    /// Says where an operation stands, what keeps it, since when, and what to do.
    Explain(explain::Arguments),
    /// Measures shares and two-phase commits per second on a network of its own.
    Bench(bench::Arguments),
    /// Makes and lists encrypted keys.
    #[command(subcommand)]
    Key(key::Command),
    /// Becomes anvil, for the demonstration and for measurements.
    #[command(hide = true)]
    Anvil(anvil::Arguments),
    /// Prints a completion script for a shell.
    Completions {
        /// For which shell.
        shell: clap_complete::Shell,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return output::failed(&error.into()),
    };
    let done = runtime.block_on(run(arguments.command));
    // What a cancelled task still holds must not keep the process.
    runtime.shutdown_timeout(std::time::Duration::from_secs(5));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => output::failed(&error),
    }
}

async fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Demo(arguments) => demo::run(arguments).await,
        Command::Devnet(command) => devnet::run(command).await,
        Command::Hub(command) => node::run(node::Kind::Hub, command).await,
        Command::Islet(command) => node::run(node::Kind::Islet, command).await,
        Command::Chain(command) => evm::run_chain(command).await,
        Command::Link(command) => evm::run_link(command).await,
        Command::Relayer(command) => relayer::run(command).await,
        Command::Tx(command) => tx::run(command).await,
        Command::Swap(command) => swap::run(command).await,
        Command::Audit(command) => audit::run(command).await,
        Command::Explain(arguments) => explain::run(arguments).await,
        Command::Bench(arguments) => bench::run(arguments).await,
        Command::Key(command) => key::run(command),
        Command::Anvil(arguments) => anvil::become_anvil(&arguments),
        Command::Completions { shell } => {
            clap_complete::generate(
                shell,
                &mut Arguments::command(),
                "tombolo",
                &mut std::io::stdout(),
            );
            Ok(())
        }
    }
}
