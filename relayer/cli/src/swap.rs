//! Hash-timelock swaps: offers, accepts and shows them, and runs a party or a watcher.

mod book;
pub(crate) mod config;
pub(crate) mod deploy;
pub(crate) mod desk;
pub(crate) mod evm;
pub(crate) mod offer;
mod show;

use crate::process::{Lives, bind};
use anyhow::Context as _;
use config::{Config, EXAMPLE};
use desk::Desk;
use std::{path::PathBuf, sync::Arc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tombolo_node::{server::WATCHERS, telemetry};
use tombolo_swap_service::{Keeper, Metrics, Reports, Surroundings, Wanted, serve_reports};
use tombolo_types::{id::OrderId, swap::Secret};

/// The series of nonces on which the running service signs; people's commands use the first.
const SERVICE_NONCES: u8 = 1;

#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Runs the party: locks, claims and gives back under every order that was offered or accepted
    /// here, until it is stopped.
    #[command(after_help = "Example: tombolo swap start --config swap.toml")]
    Start {
        #[command(flatten)]
        place: Place,
        /// End when standard input closes.
        #[arg(long, hide = true)]
        exit_with_parent: bool,
    },
    /// Creates the contract of hash-timelocks on an EVM chain that was added to a network.
    Deploy(deploy::Arguments),
    /// Offers a swap to another party. Weaker than two-phase commit: not all or nothing.
    #[command(
        after_help = "Example: tombolo swap offer --config swap.toml --to 0x2b… --give 300 --give-asset 0x4c… --give-on seattle --take 200 --take-asset 0x4c… --take-on mauna-loa"
    )]
    Offer {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        proposal: Box<offer::Proposal>,
        #[command(flatten)]
        printing: Printing,
        /// Show the order and sign nothing.
        #[arg(long)]
        dry_run: bool,
    },
    /// Accepts an offer: every word of it, which its id covers.
    #[command(after_help = "Example: tombolo swap accept 0x7d… --config swap.toml --dry-run")]
    Accept {
        #[command(flatten)]
        one: One,
        /// Show the order and sign nothing.
        #[arg(long)]
        dry_run: bool,
    },
    /// Takes an offer back, until the other party has accepted.
    Withdraw(One),
    /// Shows where a swap stands and its next allowed step.
    Status(One),
    /// Claims by hand, with all else that is due. For who runs no service, and for those who are
    /// absent: the recipient of a lock gets it, whoever claims.
    Claim {
        #[command(flatten)]
        one: One,
        /// The secret, where neither the hub nor a chain shows it.
        #[arg(long, value_name = "HEX", value_parser = secret)]
        secret: Option<Secret>,
    },
    /// Gives a lock back to its locker by hand, from its deadline on.
    Refund(One),
    /// Shows all swaps of this folder, and offers that wait to be accepted.
    List {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        printing: Printing,
        /// Only those that are not over, each with its next allowed step; exits 1 where there is one.
        #[arg(long)]
        stuck: bool,
    },
    /// Checks, shows or explains a configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
}

/// Whose command it is.
#[derive(clap::Args)]
pub(crate) struct Place {
    /// The configuration; see `tombolo swap config example`.
    #[arg(long)]
    config: PathBuf,
}

#[derive(clap::Args)]
pub(crate) struct Printing {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// One swap.
#[derive(clap::Args)]
pub(crate) struct One {
    /// The order's id.
    order: OrderId,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    printing: Printing,
}

#[derive(clap::Subcommand)]
pub(crate) enum ConfigCommand {
    /// Checks a file and reports all faults together.
    Check {
        /// The file.
        config: PathBuf,
    },
    /// Shows what is in force, defaults included, without secrets.
    Show {
        /// The file.
        config: PathBuf,
    },
    /// Prints a commented example.
    Example,
}

fn secret(text: &str) -> Result<Secret, String> {
    let found = book::bytes(text).and_then(|bytes| Secret::of(&bytes));
    found.ok_or_else(|| "expected exactly 32 bytes in hexadecimal".into())
}

pub(crate) async fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Start { place, exit_with_parent } => {
            let lives = if exit_with_parent { Lives::WithParent } else { Lives::Alone };
            start(Config::read(&place.config)?, crate::node::until_asked_to_end(lives)).await
        }
        Command::Deploy(arguments) => deploy::run(arguments).await,
        Command::Offer { place, proposal, printing, dry_run } => {
            let (id, order, role) = Desk::open(&place)?.offer(&proposal, dry_run).await?;
            show::order(id, &order, role, printing.json);
            Ok(())
        }
        Command::Accept { one, dry_run } => {
            let (id, order, role) = Desk::open(&one.place)?.accept(one.order, dry_run).await?;
            show::order(id, &order, role, one.printing.json);
            Ok(())
        }
        Command::Withdraw(one) => {
            Desk::open(&one.place)?.withdraw(one.order, one.printing.json).await
        }
        Command::Status(one) => Desk::open(&one.place)?.status(one.order, one.printing.json).await,
        Command::Claim { one, secret } => {
            let desk = Desk::open(&one.place)?;
            desk.act(one.order, Wanted::Claim, secret, one.printing.json).await
        }
        Command::Refund(one) => {
            let desk = Desk::open(&one.place)?;
            desk.act(one.order, Wanted::Refund, None, one.printing.json).await
        }
        Command::List { place, printing, stuck } => {
            Desk::open(&place)?.list(stuck, printing.json).await
        }
        Command::Config(ConfigCommand::Check { config }) => {
            Config::read(&config)?;
            println!("{}: good", config.display());
            Ok(())
        }
        Command::Config(ConfigCommand::Show { config }) => {
            println!("{:#?}", Config::read(&config)?);
            Ok(())
        }
        Command::Config(ConfigCommand::Example) => {
            print!("{EXAMPLE}");
            Ok(())
        }
    }
}

async fn start(config: Config, cancel: CancellationToken) -> anyhow::Result<()> {
    let telemetry = telemetry::start(telemetry::Settings {
        service: "tombolo-swap",
        instance: &config.key,
        log: &config.log,
        format: config.log_format,
        otlp_endpoint: None,
    })?;
    let ended = serve(config, cancel).await;
    tokio::task::spawn_blocking(|| telemetry.stop()).await?;
    ended
}

async fn serve(config: Config, cancel: CancellationToken) -> anyhow::Result<()> {
    let desk = Desk::of(config, SERVICE_NONCES)?;
    let doors = desk.doors(SERVICE_NONCES).await?;
    let (metrics, reports) = (Metrics::default(), Reports::default());
    let around = Surroundings {
        me: desk.party.identity(),
        hub: desk.hub.chain,
        book: Arc::new(desk.book()),
        settings: desk.settings(),
        metrics: metrics.clone(),
        reports: reports.clone(),
    };
    let mut tasks: JoinSet<anyhow::Result<()>> = JoinSet::new();
    if let Some(listen) = desk.config.status_listen {
        let listener = bind("the status page", listen, WATCHERS).await?;
        tasks.spawn(serve_reports(listener, metrics, reports, cancel.child_token()));
    }
    let keeper = Keeper::new(desk.home, doors, around, desk.config.watch);
    let keeping = cancel.child_token();
    // Nobody is waited for: what can be done on one chain is done though the other, or the hub, is
    // gone.
    tracing::info!(chains = desk.config.chains.len(), "party started");
    tasks.spawn(async move { keeper.run(keeping).await.context("reading the folder of swaps") });
    // Any part that ends unasked ends the party.
    let mut result = Ok(());
    while let Some(ended) = tasks.join_next().await {
        result = result.and(ended.context("a task of the party broke").and_then(|ended| ended));
        cancel.cancel();
    }
    tracing::info!("party stopped");
    result
}
