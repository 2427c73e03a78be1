//! Open data: entered on one ledger, copied to the other with its provenance.

use super::{
    measurements::{self, Measurement, Origin},
    timeline::{Done, Timeline},
};
use crate::{
    party::{Ledger, until},
    setup::{PATIENCE, Running, Schemas},
};
use anyhow::ensure;
use std::time::{Duration, Instant};
use tombolo_islet::signer::now;
use tombolo_types::{
    id::{ChainId, DataId},
    lane::DATA_LANE,
    message::DataClass,
};

/// Shares both series, each to the other's ledger.
pub(crate) async fn share_all(
    running: &Running,
    schemas: Schemas,
    most: Option<usize>,
    timeline: &mut Timeline,
) -> anyhow::Result<()> {
    let parties = &running.parties;
    let weather = measurements::weather()?;
    let (co2, gaps) = measurements::co2(now())?;
    let station = Origin {
        ledger: &running.seattle,
        owner: parties.city.identity(),
        device: &parties.weather_station,
        schema: schemas.weather,
        class: DataClass::Open,
    };
    let analyser = Origin {
        ledger: &running.mauna_loa,
        owner: parties.observatory.identity(),
        device: &parties.co2_analyser,
        schema: schemas.co2,
        class: DataClass::Open,
    };
    let most = most.unwrap_or(usize::MAX);
    let weather = &weather[..weather.len().min(most)];
    let co2 = &co2[..co2.len().min(most)];
    let count = weather.len() + co2.len();
    let began = Instant::now();
    timeline
        .step("enter and share two series of open data", async {
            let (one, other) = tokio::join!(
                enter(&station, weather, &running.mauna_loa),
                enter(&analyser, co2, &running.seattle),
            );
            one.and(other)?;
            Ok(Done::so(format!(
                "{} days of weather, {} weeks of CO2 ({gaps} weeks have no value and are left out)",
                weather.len(),
                co2.len()
            )))
        })
        .await?;
    timeline
        .step("copies arrive with provenance", async {
            let arrived = async {
                wait_for_copies(running, &running.mauna_loa, weather.len()).await?;
                wait_for_copies(running, &running.seattle, co2.len()).await
            };
            arrived.await?;
            let rate = count as f64 / began.elapsed().as_secs_f64();
            for (origin, series, to) in
                [(&station, weather, &running.mauna_loa), (&analyser, co2, &running.seattle)]
            {
                for measurement in [series.first(), series.last()].into_iter().flatten() {
                    check_copy(origin, measurement, to).await?;
                }
            }
            Ok(Done::so(format!("{count} copies, {rate:.0} a second from entry to copy")))
        })
        .await
}

async fn enter(origin: &Origin<'_>, series: &[Measurement], to: &Ledger) -> anyhow::Result<()> {
    for measurement in series {
        let envelope = origin.envelope(measurement)?;
        let call = origin.submission(&envelope, Some(to.chain));
        origin.device.submit(origin.ledger, call).await?;
    }
    Ok(())
}

/// Waits until an islet has taken so many messages of the hub's data lane: no refusal among them is
/// possible unnoticed, because [`check_copy`] and the audit look at what they did.
async fn wait_for_copies(running: &Running, islet: &Ledger, count: usize) -> anyhow::Result<()> {
    let link = tombolo_islet_core::hub_link_id(running.hub.chain, islet.chain);
    let count = u64::try_from(count)?;
    let what = format!("{count} copies on {}", islet.name);
    let patience = PATIENCE + Duration::from_millis(20 * count);
    until(&what, patience, || async move {
        let links = islet.client.links().await?.links;
        let link = links.into_iter().find(|view| view.id == link);
        let lane = link.and_then(|link| link.lanes.into_iter().find(|lane| lane.lane == DATA_LANE));
        Ok(lane.filter(|lane| lane.received >= count).map(|_| ()))
    })
    .await
}

async fn check_copy(
    origin: &Origin<'_>,
    measurement: &Measurement,
    at: &Ledger,
) -> anyhow::Result<()> {
    let id = origin.data_id(measurement);
    let (here, there) = (copy(at, id).await?, item(origin.ledger, id).await?);
    ensure!(
        here["fingerprint"] == there["fingerprint"] && !here["fingerprint"].is_null(),
        "the copy of {id} on {} differs from its source: {here} and {there}",
        at.name
    );
    let source: ChainId = here["source_chain"].as_str().unwrap_or_default().parse()?;
    ensure!(source == origin.ledger.chain, "the copy of {id} names {source} as its source");
    Ok(())
}

/// An item of an islet, as JSON.
pub(crate) async fn item(ledger: &Ledger, id: DataId) -> anyhow::Result<serde_json::Value> {
    let found = ledger.query(&format!("item/{id}")).await?;
    found.ok_or_else(|| anyhow::anyhow!("{} has no item {id}", ledger.name))
}

/// A copy on an islet, as JSON.
async fn copy(ledger: &Ledger, id: DataId) -> anyhow::Result<serde_json::Value> {
    let found = ledger.query(&format!("copy/{id}")).await?;
    found.ok_or_else(|| anyhow::anyhow!("{} has no copy of {id}", ledger.name))
}
