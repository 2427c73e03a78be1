//! `tombolo devnet share`: readings of the network's weather station, shared with another ledger.

use super::Place;
use crate::{
    demo::measurements::{self, Origin},
    evm::chain_of,
    network::{HUB, Network, SEATTLE},
    output,
    party::{Ledger, until},
    setup::Parties,
};
use anyhow::{Context as _, bail};
use serde_json::json;
use std::time::Duration;
use tombolo_islet::signer::now;
use tombolo_proto::view::RecordQuery;
use tombolo_types::{
    Class, Refusal,
    id::{ChainId, DataId},
    lane::DATA_LANE,
    message::DataClass,
    record::{Record, RecordFilter},
};

/// A chain may be slow to include.
const TAKEN_WITHIN: Duration = Duration::from_secs(120);

#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    place: Place,
    /// The ledger that gets copies: an islet, or a chain that was added and linked.
    #[arg(long)]
    to: String,
    /// How many readings.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    count: u16,
}

/// Enters the readings at Seattle, and waits until the other ledger has taken their copies.
pub(crate) async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let network = Network::open(&arguments.place.home)?;
    let destination = match network.ledger(&arguments.to) {
        Ok(ledger) => ledger.chain,
        Err(_) => chain_of(&network, &arguments.to)?,
    };
    let (hub, seattle) = (network.ledger(HUB)?, network.ledger(SEATTLE)?);
    let parties = Parties::of(&network)?;
    let origin = Origin {
        ledger: &seattle,
        owner: parties.city.identity(),
        device: &parties.weather_station,
        schema: weather(&hub).await?,
        class: DataClass::Open,
    };
    // Each is a new item: the real readings come again under the time at which they are sent.
    let sent = now();
    for (number, mut reading) in
        (0..arguments.count).zip(measurements::weather()?.into_iter().cycle())
    {
        reading.local_id = format!("{}/{sent}-{number}", reading.local_id);
        let call = origin.submission(&origin.envelope(&reading)?, Some(destination));
        let done = origin.device.call(&seattle, call).await?;
        let id = origin.data_id(&reading);
        let record = taken(&hub, id, destination).await?;
        if arguments.place.json {
            output::json(&json!({
                "data_id": id.to_string(), "tx_id": done.id.to_string(),
                "global_id": record.global_id.to_string(), "to": arguments.to,
            }));
        } else {
            println!("{} has a copy of {id} ({})", arguments.to, reading.local_id);
        }
    }
    Ok(())
}

/// Waits until the hub has passed the item on and knows that the other ledger took it.
async fn taken(hub: &Ledger, id: DataId, destination: ChainId) -> anyhow::Result<Record> {
    let record = until("the hub has a record of the share", TAKEN_WITHIN, || async move {
        let filter = RecordFilter { data_id: Some(id), ..RecordFilter::default() };
        let found = hub.client.find_records(RecordQuery { filter, from: 0, limit: 1 }).await?;
        Ok(found.records.into_iter().next().map(|(_, salted)| salted.record))
    })
    .await?;
    if let Some(class) = Class::from_number(record.outcome) {
        return Err(Refusal::new(class, format!("the hub: {}", record.remark)).into());
    }
    let lane = || async move {
        let links = hub.client.links().await?.links;
        let link = links.into_iter().find(|view| view.chain_id == destination);
        let lane = link.and_then(|link| link.lanes.into_iter().find(|it| it.lane == DATA_LANE));
        lane.context("the hub has no link to that ledger")
    };
    let size = lane().await?.size;
    until("the other ledger takes the copy", TAKEN_WITHIN, || async move {
        Ok((lane().await?.taken >= size).then_some(()))
    })
    .await?;
    Ok(record)
}

/// The structure of the station's readings.
async fn weather(hub: &Ledger) -> anyhow::Result<tombolo_types::id::SchemaId> {
    let schemas = hub.query("schemas").await?.unwrap_or_default();
    for entry in schemas["entries"].as_array().into_iter().flatten() {
        if entry["name"] == "weather" {
            return Ok(entry["schema"].as_str().unwrap_or_default().parse()?);
        }
    }
    bail!("the hub knows no structure named weather; `tombolo devnet up` registers it")
}
