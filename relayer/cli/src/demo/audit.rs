//! The auditor's part: take the records home, verify them there, find a changed byte.

use super::timeline::{Done, Timeline};
use crate::{audit::fetch_bundle, setup::Running};
use anyhow::{Context as _, bail, ensure};
use std::path::{Path, PathBuf};

/// Exports the hub's audit log and verifies it from the genesis hash alone.
pub(crate) async fn export(running: &Running, timeline: &mut Timeline) -> anyhow::Result<PathBuf> {
    let path = running.network.home.join("audit.bundle");
    timeline
        .step("export and verify the audit bundle", async {
            let bundle = fetch_bundle(&running.hub.client, 0, None).await?;
            std::fs::write(&path, bundle.encode())
                .with_context(|| format!("writing {}", path.display()))?;
            let report = tombolo_audit::verify(&std::fs::read(&path)?, running.hub.chain)?;
            ensure!(report.is_complete(), "the bundle leaves records out");
            let refused: u64 = report
                .outcomes
                .iter()
                .filter(|(class, _)| class.is_some())
                .map(|(_, count)| count)
                .sum();
            Ok(Done::so(format!(
                "{} records, {refused} of them refusals, complete up to height {}",
                report.count, report.height
            )))
        })
        .await?;
    Ok(path)
}

/// Flips one byte and shows that it is found, and where.
pub(crate) async fn tamper(
    running: &Running,
    bundle: &Path,
    timeline: &mut Timeline,
) -> anyhow::Result<()> {
    timeline
        .step("flip one byte of the bundle", async {
            let mut bytes = std::fs::read(bundle)?;
            // In the text of a record, somewhere in the middle.
            let half = bytes.len() / 2;
            let at = bytes[half..]
                .windows(5)
                .position(|window| window == b"share")
                .map_or(half, |position| half + position);
            bytes[at] ^= 1;
            match tombolo_audit::verify(&bytes, running.hub.chain) {
                Ok(_) => bail!("a changed byte was not found"),
                Err(fault) => Ok(Done::refused(fault.class(), fault.to_string())),
            }
        })
        .await
}
