//! The network of the demonstration, to play with.

mod share;

use crate::{
    network::{HUB, MAUNA_LOA, Network, SEATTLE, coin},
    output,
    process::{Lives, is_running, stop_by_id},
    relayer,
    setup::Running,
};
use anyhow::Context as _;
use serde_json::json;
use std::path::PathBuf;
use tombolo_crypto::digest::identity_id;

#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Makes the network where there is none, and starts it.
    #[command(
        after_help = "Example: tombolo devnet up --home net && tombolo devnet status --home net"
    )]
    Up(Up),
    /// Stops it. The folder stays; `up` goes on from there.
    Down(Place),
    /// Shows its parts and links.
    Status(Place),
    /// Shares real readings of the weather station at Seattle with another ledger.
    #[command(after_help = "Example: tombolo devnet share --home net --to mauna-loa --count 10")]
    Share(share::Arguments),
}

#[derive(clap::Args)]
pub(crate) struct Up {
    #[command(flatten)]
    place: Place,
    /// How many validators the hub has, a process for each; an islet has one. Chosen when the
    /// network is made. Default: 1. From 4 on the hub goes on while one of them is away.
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=16))]
    validators: Option<u8>,
}

#[derive(clap::Args)]
pub(crate) struct Place {
    /// The network's folder.
    #[arg(long, default_value = "tombolo-devnet")]
    home: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Up(arguments) => up(&arguments).await,
        Command::Down(place) => down(&place).await,
        Command::Status(place) => status(&place).await,
        Command::Share(arguments) => share::run(&arguments).await,
    }
}

async fn up(Up { place, validators }: &Up) -> anyhow::Result<()> {
    let is_new = !place.home.join("network.json").exists();
    let mut network = if is_new {
        Network::create(&place.home, validators.unwrap_or(1).into())?
    } else {
        Network::open(&place.home)?
    };
    let home = network.home.to_string_lossy().into_owned();
    let hubs = network.parts.iter().filter(|part| part.kind == "hub").count();
    if let Some(wanted) = validators {
        anyhow::ensure!(
            hubs == usize::from(*wanted),
            "the hub in {home} has {hubs} validators, which only a vote changes; leave \
             --validators out, or take another --home"
        );
    }
    for part in &network.parts {
        let runs = part.process.is_some_and(|id| is_running(id, &home));
        anyhow::ensure!(!runs, "{} runs already; `tombolo devnet down` first", part.name);
    }
    eprintln!("starting hub (validators: {hubs}), {SEATTLE}, {MAUNA_LOA} and relayer in {home}");
    let running = Running::start(network.clone(), Lives::Alone).await?;
    for part in &mut network.parts {
        let process = running.nodes.iter().chain([&running.relayer]);
        part.process =
            process.filter(|process| process.name() == part.name).find_map(|process| process.id());
    }
    network.save()?;
    if is_new {
        eprintln!("registering devices, structures and policies, opening links");
        running.register_devices().await?;
        running.register_schemas().await?;
        running.set_policies().await?;
        running.open_link(&running.seattle).await?;
        running.open_link(&running.mauna_loa).await?;
        running.declare(&running.seattle).await?;
        running.declare(&running.mauna_loa).await?;
    }
    status(place).await
}

async fn down(place: &Place) -> anyhow::Result<()> {
    let mut network = Network::open(&place.home)?;
    let home = network.home.to_string_lossy().into_owned();
    // The relayer first: it would only complain about the others.
    for part in network.parts.iter_mut().rev() {
        if let Some(id) = part.process.take() {
            stop_by_id(id, &home).await;
        }
    }
    network.save()?;
    if place.json {
        output::json(&json!({ "home": home, "running": false }));
    } else {
        println!("stopped");
    }
    Ok(())
}

async fn status(place: &Place) -> anyhow::Result<()> {
    let network = Network::open(&place.home)?;
    let home = network.home.to_string_lossy().into_owned();
    let mut parts = Vec::new();
    for part in &network.parts {
        let runs = part.process.is_some_and(|id| is_running(id, &home));
        let height = match network.ledger(&part.name) {
            Ok(ledger) if runs => ledger.client.status().await.ok().map(|status| status.height.0),
            _ => None,
        };
        parts.push(json!({
            "name": part.name, "kind": part.kind, "running": runs, "process": part.process,
            "serves": part.serves.to_string(), "metrics": part.metrics, "chain": part.chain,
            "height": height,
        }));
    }
    let all = parts.iter().all(|part| part["running"] == true);
    let parties: Vec<_> = network.stakeholders()?.collect();
    if place.json {
        let parties = parties.iter().map(|(name, account)| {
            let identity = identity_id(*account).to_string();
            json!({ "name": name, "identity": identity, "account": account.to_string() })
        });
        output::json(&json!({
            "home": home, "running": all, "parts": parts, "parties": parties.collect::<Vec<_>>(),
            "coin": coin().to_string(),
        }));
    } else {
        println!("{home}");
        for part in &parts {
            let text = |key: &str| part[key].as_str().unwrap_or("-").to_owned();
            let state = if part["running"] == true { "running" } else { "stopped" };
            println!(
                "  {:<10} {:<8} {:<21} height {:<8} {}",
                text("name"),
                state,
                text("serves"),
                part["height"],
                text("chain")
            );
        }
        println!("\nparties, and their coin {}:", coin());
        for (name, account) in &parties {
            println!("  {name:<12} {}  account {account}", identity_id(*account));
        }
        if all {
            let hub = network.part(HUB)?.serves;
            let page = network.part("relayer")?.serves;
            println!("\nask it:");
            println!("  tombolo relayer status --status {page}");
            println!("  tombolo audit query --node http://{hub}");
        }
    }
    let relayer = network.part("relayer")?.serves;
    if all && !place.json {
        let reports = relayer::reports(relayer).await.context("asking the relayer")?;
        println!("\n{} links served", reports.len());
    }
    anyhow::ensure!(all, "not every part runs");
    Ok(())
}
