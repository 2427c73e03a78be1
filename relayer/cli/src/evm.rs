//! EVM chains: the relayer's end of a link, and the commands that add a chain and link it.

mod add;
mod config;
mod create;
pub(crate) mod declare;
mod doctor;
mod ends;
mod known;
mod metadata;
mod nodes;
mod prove;

use crate::{
    network::Network,
    setup::{Parties, Running},
};
pub(crate) use add::{Heads, read_key};
pub(crate) use config::{EvmEnd, RawEvm, RawProof};
use create::Plan;
pub(crate) use create::{BACKLOG_MAX, Created};
pub(crate) use ends::Ends;
pub(crate) use known::{Htlc, Known};
use tombolo_types::id::ChainId;

/// Chains beside the islets.
#[derive(clap::Subcommand)]
pub(crate) enum ChainCommand {
    /// Makes a chain known to a network.
    #[command(subcommand)]
    Add(AddCommand),
    /// Has a quorum declare how a chain, or an islet, can lock and how its blocks come at the worst:
    /// nobody can offer a swap there before.
    ///
    /// What is not said is taken from what is usual on an islet, with proof of stake, or with Clique
    /// by its period; the blocks of any other chain must be described. Parties stake their funds on
    /// it: be generous.
    Declare(declare::Arguments),
    /// Says what keeps a chain from being used, and what to do about each fault.
    Doctor(doctor::Arguments),
}

#[derive(clap::Subcommand)]
pub(crate) enum AddCommand {
    /// An EVM chain, by its nodes.
    Evm(add::Arguments),
}

/// Links to chains that were added.
#[derive(clap::Subcommand)]
pub(crate) enum LinkCommand {
    /// Creates a gateway on a chain, registers the link to it, has it served and opens it.
    Create(create::Arguments),
    /// Proves, on its owner's machine, the two keys of a node of mode 3.
    Prove(prove::Arguments),
    /// Shows what the two ledgers of a link say of the items that concern both.
    Metadata(metadata::Arguments),
}

pub(crate) async fn run_chain(command: ChainCommand) -> anyhow::Result<()> {
    match command {
        ChainCommand::Add(AddCommand::Evm(arguments)) => add::run(arguments).await,
        ChainCommand::Declare(arguments) => declare::run(arguments).await,
        ChainCommand::Doctor(arguments) => doctor::run(arguments).await,
    }
}

pub(crate) async fn run_link(command: LinkCommand) -> anyhow::Result<()> {
    match command {
        LinkCommand::Create(arguments) => create::run(arguments).await,
        LinkCommand::Prove(arguments) => prove::run(&arguments),
        LinkCommand::Metadata(arguments) => metadata::run(arguments).await,
    }
}

/// The id of an EVM chain that a network knows.
pub(crate) fn chain_of(network: &Network, name: &str) -> anyhow::Result<ChainId> {
    Known::read(network, name)?.chain()
}

/// Links a chain, in mode 1 or 2, to a network whose parts this process has started; the relayer is
/// started anew.
pub(crate) async fn link(running: &mut Running, known: Known, mode: u8) -> anyhow::Result<Created> {
    let mut plan = Plan::unshared(running.network.clone(), known, mode).await?;
    let link = plan.create().await?;
    running.relayer.stop().await;
    running.start_relayer().await?;
    plan.open(link.link).await?;
    // The plan has signed for the same parties: their next nonces are asked for anew.
    running.parties = Parties::of(&running.network)?;
    Ok(link)
}
