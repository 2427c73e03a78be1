//! What is refused, and how.

use super::{
    measurements::{self, Measurement, Origin},
    timeline::{Done, Timeline},
};
use crate::{
    party::{Final, until},
    setup::{PATIENCE, Running, Schemas},
};
use anyhow::{Context as _, bail};
use tombolo_hub::govern::Act;
use tombolo_islet::signer::now;
use tombolo_types::{
    Class,
    envelope::Value,
    message::{DataClass, Status},
};

/// A step that must be refused with `class`.
pub(crate) fn expect(done: Final, class: Class) -> anyhow::Result<Done> {
    match &done.refusal {
        Some(refusal) if refusal.class == class => {
            Ok(Done::refused(class, refusal.message.clone()).by(&done))
        }
        Some(refusal) => bail!("refused with {refusal}, not with {class}"),
        None => bail!("it was accepted, {class} was due"),
    }
}

/// A gap sent as a number, and a device that was revoked.
pub(crate) async fn show(
    running: &Running,
    schemas: Schemas,
    timeline: &mut Timeline,
) -> anyhow::Result<()> {
    let parties = &running.parties;
    timeline
        .step("a gap sent as a number", async {
            let origin = Origin {
                ledger: &running.mauna_loa,
                owner: parties.observatory.identity(),
                device: &parties.co2_analyser,
                schema: schemas.co2,
                class: DataClass::Open,
            };
            let gap = Measurement {
                local_id: "air/19580510".into(),
                at: now(),
                values: vec![
                    ("co2", measurements::number("-99.99")?),
                    ("week", Value::Text("19580510".into())),
                ],
            };
            let call = origin.submission(&origin.envelope(&gap)?, Some(running.seattle.chain));
            expect(origin.device.attempt(origin.ledger, call).await?, Class::Format)
        })
        .await?;
    timeline
        .step("revoke the old station by quorum", async {
            let identity = parties.old_station.identity();
            let done = running.govern(Act::SetStatus { identity, status: Status::Revoked }).await?;
            let link = tombolo_islet_core::hub_link_id(running.hub.chain, running.seattle.chain);
            // From the next block on; then every gateway hears of it.
            until("seattle hears of the revocation", PATIENCE, || async {
                let status = running.hub.query(&format!("identity/{identity}")).await?;
                let revoked =
                    status.context("the hub does not know the device")?["status"] == "revoked";
                if !revoked {
                    return Ok(None);
                }
                running.control_lane_taken(&running.seattle, link).await
            })
            .await?;
            Ok(Done::so("known on every gateway").by(&done))
        })
        .await?;
    timeline
        .step("a revoked device enters data", async {
            let origin = Origin {
                ledger: &running.seattle,
                owner: parties.city.identity(),
                device: &parties.old_station,
                schema: schemas.weather,
                class: DataClass::Open,
            };
            let weather = measurements::weather()?;
            let mut reading = weather.into_iter().next().context("there is no weather")?;
            reading.local_id = "old/1".into();
            let call = origin.submission(&origin.envelope(&reading)?, None);
            expect(origin.device.attempt(origin.ledger, call).await?, Class::Ident)
        })
        .await
}
