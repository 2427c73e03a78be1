//! The small web page that says how the swaps stand.

use crate::{metrics::Metrics, report::Reports};
use axum::{Json, Router, http::StatusCode, routing::get, serve::Listener};
use std::fmt::Debug;
use tokio_util::sync::CancellationToken;

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
                // Ready is: nothing failed in the last turn of any swap.
                match reports.all().iter().all(|report| report.failure.is_none()) {
                    true => (StatusCode::OK, "ready\n"),
                    false => (StatusCode::SERVICE_UNAVAILABLE, "a swap is stuck\n"),
                }
            }),
        );
    axum::serve(listener, pages).with_graceful_shutdown(cancel.cancelled_owned()).await?;
    Ok(())
}
