//! The story, step by step.

use super::{
    audit,
    calibration::{self, Calibration},
    ethereum, refusals, sharing,
    timeline::{Done, Timeline},
};
use crate::{network::Network, process::Lives, setup::Running};
use std::path::PathBuf;
use tombolo_types::id::ChainId;

/// What the demonstration leaves behind.
pub(crate) struct Told {
    pub(crate) genesis: ChainId,
    pub(crate) bundle: PathBuf,
}

/// What is to be told.
pub(crate) struct Wanted {
    /// How many measurements of each series; all where it is not said.
    pub(crate) measurements: Option<usize>,
    /// Where anvil is, where Ethereum belongs to the story.
    pub(crate) anvil: Option<PathBuf>,
}

/// Tells it. `slot` holds what runs, so that the caller can end it whatever happens here.
pub(crate) async fn tell(
    network: Network,
    wanted: Wanted,
    slot: &mut Option<Running>,
    timeline: &mut Timeline,
) -> anyhow::Result<Told> {
    timeline
        .step("start hub, two islets and a relayer", async {
            let running = Running::start(network, Lives::WithParent).await?;
            let outcome = format!("4 processes on loopback, hub {}", running.hub.chain);
            *slot = Some(running);
            Ok(Done::so(outcome))
        })
        .await?;
    let Some(running) = slot.as_mut() else { anyhow::bail!("nothing runs") };
    let schemas = set_up(running, timeline).await?;
    sharing::share_all(running, schemas, wanted.measurements, timeline).await?;
    refusals::show(running, schemas, timeline).await?;
    let certificate = Calibration::enter(running, schemas, timeline).await?;
    calibration::refused_ways(running, &certificate, timeline).await?;
    calibration::aborted(running, &certificate, timeline).await?;
    calibration::moved_through_a_crash(running, &certificate, timeline).await?;
    if let Some(anvil) = &wanted.anvil {
        ethereum::show(running, anvil, timeline).await?;
    }
    let bundle = audit::export(running, timeline).await?;
    audit::tamper(running, &bundle, timeline).await?;
    Ok(Told { genesis: running.hub.chain, bundle })
}

async fn set_up(
    running: &Running,
    timeline: &mut Timeline,
) -> anyhow::Result<crate::setup::Schemas> {
    timeline
        .step("register three devices by quorum", async {
            let done = running.register_devices().await?;
            Ok(Done::so("proposed by the city, approved by the observatory").by(&done))
        })
        .await?;
    let mut schemas = None;
    timeline
        .step("register structures and policies by quorum", async {
            schemas = Some(running.register_schemas().await?);
            running.set_policies().await?;
            Ok(Done::so("weather, co2, calibration; closed data denied by default"))
        })
        .await?;
    for islet in [&running.seattle, &running.mauna_loa] {
        timeline
            .step(&format!("link {} to the hub, contract to contract", islet.name), async {
                let link = running.open_link(islet).await?;
                Ok(Done::so("each follows the other by light client; nobody else is trusted")
                    .under(link))
            })
            .await?;
    }
    schemas.ok_or_else(|| anyhow::anyhow!("no structure was registered"))
}
