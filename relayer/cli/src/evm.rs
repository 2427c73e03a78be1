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

use crate::network::Network;
pub(crate) use config::{EvmEnd, RawEvm, RawProof};
pub(crate) use create::{BACKLOG_MAX, Created, Plan};
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
