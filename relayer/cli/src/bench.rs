//! Measures the network of the demonstration: shares and two-phase commits per second, and with
//! `--with evm` what passes between it and an EVM chain, started for it or running already.
//!
//! Real processes on loopback, real disks, real signatures; the load is made by this process and
//! counted in the result. Nothing here judges a number: a measurement is no test.

mod commit;
mod evm;
mod load;
mod machine;
mod report;
mod share;

use crate::{network::Network, node::until_asked_to_end, output, process::Lives, setup::Running};
use anyhow::Context as _;
use evm::{Choice, Harbour};
use load::{Load, Measured};
use report::Report;
use std::{path::PathBuf, time::Duration};
use tokio_util::sync::CancellationToken;

#[derive(clap::Args)]
#[command(after_help = "Example: tombolo bench --shares 20000 --commits 500 > results.md
         tombolo bench --with evm --shares 0 --commits 0
         tombolo bench --with evm --shares 0 --commits 0 --evm-rpc ws://127.0.0.1:8546 --evm-key-file key.hex --proof clique --clique-period 1 --finality-depth 2")]
pub(crate) struct Arguments {
    /// How many new open items are submitted and shared; 0 leaves this out.
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    shares: u32,
    /// How many two-phase commits over both islets are begun; 0 leaves this out.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(0..=100_000))]
    commits: u32,
    /// How many shares may be under way at a time.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    shares_in_flight: u32,
    /// How many two-phase commits may be under way at a time.
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=500))]
    commits_in_flight: u32,
    /// How long each of the two may take, in seconds; what is finished by then counts.
    #[arg(long, default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    seconds_max: u64,
    /// Measure shares to and from a chain of this kind, too.
    #[arg(long, value_enum)]
    with: Option<With>,
    #[command(flatten)]
    evm: evm::Arguments,
    /// A folder for the network; it is kept. Default: one that is deleted at the end.
    #[arg(long)]
    home: Option<PathBuf>,
    /// Print JSON instead of Markdown.
    #[arg(long)]
    json: bool,
}

/// A kind of chain beside the islets.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum With {
    /// anvil, linked in mode 2, or the chain of `--evm-rpc`.
    Evm,
}

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let cancel = until_asked_to_end(Lives::Alone);
    // Before anything is started.
    let chain = match arguments.with {
        Some(With::Evm) => Some(arguments.evm.choose()?),
        None => None,
    };
    let temporary = match &arguments.home {
        Some(_) => None,
        None => Some(
            tempfile::Builder::new()
                .prefix("tombolo-bench-")
                .tempdir()
                .context("making a folder for the network; name one with --home")?,
        ),
    };
    let home = match (&arguments.home, &temporary) {
        (Some(home), _) => home.clone(),
        (None, Some(folder)) => folder.path().join("network"),
        (None, None) => anyhow::bail!("there is no folder for the network"),
    };
    eprintln!("starting hub, two islets and a relayer in {}", home.display());
    let mut running = Running::start(Network::create(&home, 1)?, Lives::WithParent).await?;
    let measured = measure(&mut running, &arguments, chain, &cancel).await;
    running.stop().await;
    let report = measured?;
    if arguments.json {
        output::json(&report.to_json());
    } else {
        print!("{}", report.to_markdown());
    }
    Ok(())
}

async fn measure(
    running: &mut Running,
    arguments: &Arguments,
    chain: Option<Choice>,
    cancel: &CancellationToken,
) -> anyhow::Result<Report> {
    let work = async {
        eprintln!("registering devices, a structure and a policy, opening links");
        running.register_devices().await?;
        let schema = share::set_up(running).await?;
        let links = [
            running.open_link(&running.seattle).await?,
            running.open_link(&running.mauna_loa).await?,
        ];
        let load = |what: &'static str, count, in_flight| Load {
            what,
            count,
            in_flight,
            within: Duration::from_secs(arguments.seconds_max),
        };
        let mut phases: Vec<Measured> = Vec::new();
        if arguments.shares > 0 {
            let load = load("shares", arguments.shares, arguments.shares_in_flight);
            phases.push(share::measure(running, &load, schema).await?);
        }
        if arguments.commits > 0 {
            let load = load("two-phase commits", arguments.commits, arguments.commits_in_flight);
            phases.push(commit::measure(running, &load, links).await?);
        }
        let chain = match chain {
            None => None,
            Some(choice) => {
                let within = Duration::from_secs(arguments.seconds_max);
                let evm = &arguments.evm;
                let harbour = Harbour::open(running, (choice, evm), schema, within).await?;
                let (quiet, measured) = harbour.measure(running, evm, within).await?;
                phases.extend(measured);
                Some(harbour.report(quiet))
            }
        };
        let machine = machine::Machine::read(&running.network.home);
        anyhow::Ok(Report { machine, phases, chain })
    };
    tokio::select! {
        done = work => done,
        () = cancel.cancelled() => anyhow::bail!("asked to end before all was measured"),
    }
}
