//! `tombolo demo`: everything once, on real measurements, in a minute.

mod audit;
mod calibration;
mod ethereum;
pub(crate) mod measurements;
mod refusals;
mod sharing;
mod story;
mod timeline;

use crate::{anvil, network::Network, output, process::Lives, setup::Running};
use anyhow::Context as _;
use serde_json::json;
use std::path::PathBuf;
use timeline::Timeline;

#[derive(clap::Args)]
#[command(after_help = "Example: tombolo demo --keep --home demo")]
pub(crate) struct Arguments {
    /// Print one JSON object as the last line on stdout. It names the audit bundle, so the folder
    /// stays.
    #[arg(long)]
    json: bool,
    /// Leave the folder when done.
    #[arg(long)]
    keep: bool,
    /// The folder for everything that it makes. Default: a fresh temporary one.
    #[arg(long)]
    home: Option<PathBuf>,
    /// How many measurements of each series to share; all of them by default.
    #[arg(long)]
    measurements: Option<usize>,
    /// What to show besides.
    #[arg(long, value_enum)]
    with: Option<With>,
    /// With `evm`: where anvil is. Default: where `tests/nodes/foundry.sh` has put it, else on the
    /// path.
    #[arg(long, value_name = "PATH", requires = "with")]
    anvil: Option<PathBuf>,
}

/// What the demonstration shows besides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum With {
    /// A node of Ethereum: a two-phase commit and a hash-timelock swap with an islet.
    Evm,
}

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    // Before there is anything to undo.
    let anvil = match arguments.with {
        Some(With::Evm) => Some(anvil::find(arguments.anvil.as_deref())?),
        None => None,
    };
    let fresh = match &arguments.home {
        Some(_) => None,
        None => Some(tempfile::Builder::new().prefix("tombolo-demo-").tempdir()?),
    };
    let home = match (&arguments.home, &fresh) {
        (Some(home), _) => home.clone(),
        (None, Some(fresh)) => fresh.path().to_owned(),
        (None, None) => anyhow::bail!("there is no folder"),
    };
    let mut timeline = Timeline::new();
    let network = Network::create(&home, 1)?;
    let interrupted = crate::node::until_asked_to_end(Lives::Alone);
    let mut running = None;
    let told = {
        let wanted = story::Wanted { measurements: arguments.measurements, anvil };
        let story = story::tell(network, wanted, &mut running, &mut timeline);
        tokio::select! {
            told = story => told,
            () = interrupted.cancelled() => Err(anyhow::anyhow!("interrupted")),
        }
    };
    if let Some(running) = running.as_mut() {
        Running::stop(running).await;
    }
    let kept = arguments.keep || arguments.json || arguments.home.is_some() || told.is_err();
    let home = match fresh {
        Some(fresh) if kept => fresh.keep(),
        _ => home,
    };
    timeline.print(!arguments.json);
    if arguments.json {
        let told = told.as_ref().ok();
        output::json(&json!({
            "ok": told.is_some(),
            "seconds": timeline.seconds(),
            "steps": timeline.steps(),
            "genesis": told.map(|told| told.genesis.to_string()),
            "bundle": told.map(|told| told.bundle.clone()),
            "home": home,
        }));
    } else if let Ok(told) = &told {
        println!(
            "\n{} steps in {:.1} s, all as expected",
            timeline.steps().len(),
            timeline.seconds()
        );
        if kept {
            println!("\nsee for yourself, without network:");
            println!("  tombolo audit verify {} --genesis {}", told.bundle.display(), told.genesis);
        }
    }
    if kept {
        eprintln!("everything lies in {}", home.display());
    }
    told.map(|_| ()).context("the demonstration did not go as it should")
}
