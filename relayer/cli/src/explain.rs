//! Where an operation stands, what keeps it, since when, and what to do.

mod facts;
mod story;

use crate::{
    audit::moment::{lasting, rfc3339},
    output, relayer,
};
use anyhow::Context as _;
use facts::{Facts, RelayerFacts};
use std::net::SocketAddr;
use story::{State, Story};
use tombolo_proto::client::LedgerClient;
use tombolo_types::{Class, Hash, Refusal};

#[derive(clap::Args)]
#[command(
    after_help = "Example: tombolo explain 0x4c1f… --hub http://127.0.0.1:7001 --islet http://127.0.0.1:7003 --relayer 127.0.0.1:7400"
)]
pub(crate) struct Arguments {
    /// A global id, the xid of a two-phase commit, or the id of a transaction.
    id: Hash,
    /// A node of the hub.
    #[arg(long, value_name = "URL")]
    hub: String,
    /// A node of a linked islet; give one for each that may hold the operation.
    #[arg(long, value_name = "URL")]
    islet: Vec<String>,
    /// The status page of a relayer.
    #[arg(long, value_name = "HOST:PORT")]
    relayer: Option<SocketAddr>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Exits 1 where nobody asked knows the operation, and where nothing but an act of an operator, a
/// quorum or a council lets it go on.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let hub = LedgerClient::new(&arguments.hub).context("reading --hub")?;
    let islets = arguments.islet.iter().map(|url| LedgerClient::new(url));
    let islets = islets.collect::<Result<Vec<_>, _>>().context("reading --islet")?;
    let relayer = match arguments.relayer {
        None => RelayerFacts::NotAsked,
        Some(status) => match relayer::reports(status).await {
            Ok(reports) => RelayerFacts::Reports(reports),
            Err(_) => RelayerFacts::Silent(status),
        },
    };
    let facts = Facts::fetch(arguments.id, &hub, &islets, relayer).await?;
    let story = story::tell(&facts)?;
    if arguments.json {
        output::json(&story.to_json(arguments.id));
    } else {
        print(arguments.id, &story, &facts);
    }
    match story.state {
        State::Done | State::Refused | State::Waiting => Ok(()),
        State::Blocked => Err(Refusal::new(
            Class::State,
            format!("the {} {} cannot go on by itself: {}", story.what, arguments.id, story.why),
        )
        .into()),
    }
}

fn print(id: Hash, story: &Story, facts: &Facts) {
    println!("{} {id}: {}", story.what, story.step);
    println!("  where: {}", story.place);
    println!("  why:   {}", story.why);
    if let Some(since) = story.since {
        println!("  since: {} ({} ago)", rfc3339(since), lasting(facts.now.since(since)));
    }
    println!("  do:    {}", story.remedy);
}
