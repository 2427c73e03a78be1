//! The small web page that says how the swaps stand.

use crate::{metrics::Metrics, report::Reports};
use axum::{Json, Router, http::StatusCode, routing::get};
use std::net::SocketAddr;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Serves `/metrics` (Prometheus), `/status` (JSON), `/alive` and `/ready` until cancelled.
///
/// # Errors
/// Where the port cannot be bound.
pub async fn serve_reports(
    listen: SocketAddr,
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
    let listener = TcpListener::bind(listen)
        .await
        .map_err(|error| anyhow::anyhow!("the status page cannot listen at {listen}: {error}"))?;
    axum::serve(listener, pages).with_graceful_shutdown(cancel.cancelled_owned()).await?;
    Ok(())
}
