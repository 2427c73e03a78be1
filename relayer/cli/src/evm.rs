//! EVM chains: the relayer's end of a link, and the commands that add a chain and link it.

mod add;
mod config;
mod create;
mod ends;
mod known;

pub(crate) use config::{EvmEnd, RawEvm};
pub(crate) use ends::Ends;

/// Chains beside the islets.
#[derive(clap::Subcommand)]
pub(crate) enum ChainCommand {
    /// Makes a chain known to a network.
    #[command(subcommand)]
    Add(AddCommand),
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
}

pub(crate) async fn run_chain(command: ChainCommand) -> anyhow::Result<()> {
    match command {
        ChainCommand::Add(AddCommand::Evm(arguments)) => add::run(arguments).await,
    }
}

pub(crate) async fn run_link(command: LinkCommand) -> anyhow::Result<()> {
    match command {
        LinkCommand::Create(arguments) => create::run(arguments).await,
    }
}
