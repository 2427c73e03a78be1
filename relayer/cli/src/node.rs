//! Runs a node of a hub or an islet.

use crate::process::Lives;
use std::path::PathBuf;
use tokio::{
    io::AsyncReadExt as _,
    signal::unix::{SignalKind, signal},
};
use tokio_util::sync::CancellationToken;
use tombolo_node::config;

/// Which ledger a node runs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Hub,
    Islet,
}

#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Runs the node until it is stopped.
    #[command(after_help = "Example: tombolo hub start --config node.toml")]
    Start {
        /// The configuration; see `config example`.
        #[arg(long)]
        config: PathBuf,
        /// End when standard input closes.
        #[arg(long, hide = true)]
        exit_with_parent: bool,
    },
    /// Checks, shows or explains a configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
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

pub(crate) async fn run(kind: Kind, command: Command) -> anyhow::Result<()> {
    match command {
        Command::Start { config, exit_with_parent } => {
            let config = config::load(&config)?;
            let lives = if exit_with_parent { Lives::WithParent } else { Lives::Alone };
            let telemetry = tombolo_node::telemetry::start(config.telemetry())?;
            let cancel = until_asked_to_end(lives);
            let ended = match kind {
                Kind::Hub => tombolo_node::hub::run(config, cancel).await,
                Kind::Islet => tombolo_islet::daemon::run(config, cancel).await,
            };
            // The last spans say why it ended; sending them blocks.
            tokio::task::spawn_blocking(|| telemetry.stop()).await?;
            ended?;
        }
        Command::Config(ConfigCommand::Check { config }) => {
            config::load(&config)?;
            println!("{}: good", config.display());
        }
        Command::Config(ConfigCommand::Show { config }) => {
            print!("{}", config::show(&config::load(&config)?))
        }
        Command::Config(ConfigCommand::Example) => print!("{}", config::EXAMPLE),
    }
    Ok(())
}

/// A token that is cancelled by SIGTERM, SIGINT, or the end of the parent where that counts.
pub(crate) fn until_asked_to_end(lives: Lives) -> CancellationToken {
    let cancel = CancellationToken::new();
    let asked = cancel.clone();
    tokio::spawn(async move {
        let parent = async {
            if lives == Lives::Alone {
                std::future::pending::<()>().await;
            }
            // Nobody writes here: reading ends when the parent does.
            let mut nothing = Vec::new();
            let _ = tokio::io::stdin().read_to_end(&mut nothing).await;
        };
        let (Ok(mut terminate), Ok(mut interrupt)) =
            (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
        else {
            return;
        };
        tokio::select! {
            () = parent => {}
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        asked.cancel();
    });
    cancel
}
