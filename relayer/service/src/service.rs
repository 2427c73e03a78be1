//! Settings, and the small web page that says how the relayer stands.

use crate::{
    metrics::Metrics,
    report::{LinkReport, Reports},
};
use axum::{Json, Router, http::StatusCode, routing::get, serve::Listener};
use std::{
    fmt::Debug,
    time::{SystemTime, UNIX_EPOCH},
};
use tokio_util::sync::CancellationToken;
use tombolo_relayer_core::{Pace, backoff::Backoff};
use tombolo_types::UnixMillis;

/// After how many messages their sender hears that they were taken, however little time has passed: a
/// quarter of what the gateway of an EVM chain keeps until it does, so that it need not stop.
const ACKNOWLEDGE_MESSAGES: u64 = 256;

/// How to go about all links.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Batches and acknowledgements.
    pub pace: Pace,
    /// Retries.
    pub backoff: Backoff,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            pace: Pace {
                messages_max: 500,
                acknowledge_after_ms: 10_000,
                acknowledge_messages: ACKNOWLEDGE_MESSAGES,
                refresh_after_ms: 1_800_000,
                gather_ms: 50,
            },
            backoff: Backoff { first_ms: 100, longest_ms: 10_000, alarm_after: 8 },
        }
    }
}

/// Serves `/metrics` (Prometheus), `/status` (JSON), `/alive` and `/ready` until cancelled. How many
/// may connect, and for how long, is the listener's matter.
///
/// # Errors
/// What the system says.
pub async fn serve_reports<L: Listener<Addr: Debug>>(
    listener: L,
    metrics: Metrics,
    reports: Reports,
    cancel: CancellationToken,
) -> anyhow::Result<()> {
    let status = reports.clone();
    let pages = Router::new()
        .route("/metrics", get(move || async move { metrics.page() }))
        .route("/status", get(move || async move { Json(status.all()) }))
        .route("/alive", get(|| async { "alive\n" }))
        .route(
            "/ready",
            get(move || async move {
                // Ready is: no link is blocked, and each was seen at both ends in the last turn.
                let waits =
                    |report: &LinkReport| report.failure.is_some() || !report.blocked.is_empty();
                match reports.all().iter().any(waits) {
                    false => (StatusCode::OK, "ready\n"),
                    true => (StatusCode::SERVICE_UNAVAILABLE, "a link fails or is blocked\n"),
                }
            }),
        );
    axum::serve(listener, pages).with_graceful_shutdown(cancel.cancelled_owned()).await?;
    Ok(())
}

/// The host's clock. It paces; it decides nothing.
pub(crate) fn now() -> UnixMillis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMillis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// Chance for jitter. Where the operating system gives none there is no jitter.
pub(crate) fn random() -> [u8; 8] {
    let mut bytes = [0; 8];
    let _ = getrandom::fill(&mut bytes);
    bytes
}
