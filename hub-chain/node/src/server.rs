//! The two listeners: gRPC for everybody, HTTP for whoever watches the node. All limits of the
//! interface stand here as one list; [`listener`](crate::listener) keeps those of connections.
//!
//! Attacks: A50, A51, A52 (nothing compressed is taken), A54.

use crate::listener::{BoundedListener, Bounds};
use axum::{Router, extract::State, http::StatusCode, routing::get};
use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use tokio_util::sync::CancellationToken;
use tombolo_proto::{
    limits::MESSAGE_BYTES_MAX,
    refusal_to_status,
    wire::ledger_server::{Ledger, LedgerServer},
};
use tombolo_types::{Class, Refusal};
use tonic::{Request, Status, service::InterceptorLayer, transport::Server};
use tower::{ServiceBuilder, limit::GlobalConcurrencyLimitLayer, load_shed::LoadShedLayer};

/// Connections of callers. A process may often open no more than 1,024 files, and the store and
/// the peers need theirs. Who calls keeps a connection, so it must speak soon and may last.
pub const CALLERS: Bounds =
    Bounds { connections_max: 512, greeting_time: Duration::from_secs(10), time_max: None };
/// Connections of whoever watches: pages are small, and a watcher connects again.
pub const WATCHERS: Bounds = Bounds {
    connections_max: 64,
    greeting_time: Duration::from_secs(5),
    time_max: Some(Duration::from_secs(20)),
};
/// Calls at a time, over all connections; more are refused at once.
const CALLS_MAX: usize = 4_096;
/// Calls at a time of one connection.
const CALLS_PER_CONNECTION_MAX: usize = 1_024;
/// Calls in a second of one connection, and how many it may save up.
const RATE_PER_SECOND: f64 = 5_000.0;
const RATE_BURST: f64 = 10_000.0;
/// Connections whose rate is remembered; above it the least recent half is forgotten.
const CONNECTIONS_REMEMBERED: usize = 8_192;
/// The longest call; a wait for a transaction's end is shorter.
const CALL_TIME: Duration = Duration::from_secs(15);
const KEEPALIVE: Duration = Duration::from_secs(20);
const HEADERS_BYTES_MAX: u32 = 16 * 1024;
const STREAM_WINDOW: u32 = 1024 * 1024;
const CONNECTION_WINDOW: u32 = 8 * 1024 * 1024;
const PENDING_RESETS_MAX: usize = 32;

/// Serves gRPC until `cancel`, then lets the calls under way end.
///
/// # Errors
/// What the transport says.
pub async fn serve_grpc<L: Ledger>(
    listener: BoundedListener,
    ledger: L,
    cancel: CancellationToken,
) -> Result<(), tonic::transport::Error> {
    let rates = Arc::new(Mutex::new(Rates::default()));
    let limits = ServiceBuilder::new()
        .layer(LoadShedLayer::new())
        .layer(GlobalConcurrencyLimitLayer::new(CALLS_MAX))
        .layer(InterceptorLayer::new(move |request| within_rate(&rates, request)))
        .into_inner();
    let service = LedgerServer::new(ledger)
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX);
    Server::builder()
        .accept_http1(false)
        .timeout(CALL_TIME)
        .load_shed(true)
        .concurrency_limit_per_connection(CALLS_PER_CONNECTION_MAX)
        .max_concurrent_streams(CALLS_PER_CONNECTION_MAX as u32)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .http2_max_header_list_size(HEADERS_BYTES_MAX)
        .http2_max_pending_accept_reset_streams(Some(PENDING_RESETS_MAX))
        .http2_max_local_error_reset_streams(Some(PENDING_RESETS_MAX))
        .http2_keepalive_interval(Some(KEEPALIVE))
        .http2_keepalive_timeout(Some(KEEPALIVE))
        .layer(limits)
        .add_service(service)
        .serve_with_incoming_shutdown(listener, cancel.cancelled_owned())
        .await
}

/// What each connection may still call.
#[derive(Default)]
struct Rates {
    buckets: HashMap<SocketAddr, Bucket>,
}

struct Bucket {
    left: f64,
    at: Instant,
}

impl Rates {
    fn take(&mut self, caller: SocketAddr, now: Instant) -> bool {
        if self.buckets.len() >= CONNECTIONS_REMEMBERED && !self.buckets.contains_key(&caller) {
            let mut times: Vec<_> = self.buckets.values().map(|bucket| bucket.at).collect();
            let (_, middle, _) = times.select_nth_unstable(CONNECTIONS_REMEMBERED / 2);
            let middle = *middle;
            self.buckets.retain(|_, bucket| bucket.at > middle);
        }
        let full = || Bucket { left: RATE_BURST, at: now };
        let bucket = self.buckets.entry(caller).or_insert_with(full);
        let regained = now.saturating_duration_since(bucket.at).as_secs_f64() * RATE_PER_SECOND;
        bucket.left = (bucket.left + regained).min(RATE_BURST);
        bucket.at = now;
        let allowed = bucket.left >= 1.0;
        if allowed {
            bucket.left -= 1.0;
        }
        allowed
    }
}

fn within_rate(rates: &Mutex<Rates>, request: Request<()>) -> Result<Request<()>, Status> {
    let Some(caller) = request.remote_addr() else { return Ok(request) };
    let mut rates = rates.lock().unwrap_or_else(PoisonError::into_inner);
    if rates.take(caller, Instant::now()) {
        return Ok(request);
    }
    Err(refusal_to_status(&Refusal::new(
        Class::Limit,
        format!("this connection calls more than {RATE_PER_SECOND} times a second; slow down"),
    )))
}

/// What the HTTP listener shows.
pub trait Health: Send + Sync + 'static {
    /// The metrics page. May block on the store.
    fn metrics(&self) -> String;

    /// Whether the node serves what it should; else why not.
    ///
    /// # Errors
    /// One sentence.
    fn ready(&self) -> Result<(), String>;
}

/// Serves `/metrics`, `/alive` and `/ready` until `cancel`.
///
/// # Errors
/// What the system says.
pub async fn serve_http(
    listener: BoundedListener,
    health: Arc<dyn Health>,
    cancel: CancellationToken,
) -> std::io::Result<()> {
    let router = Router::new()
        .route("/metrics", get(metrics))
        .route("/alive", get(|| async { "alive\n" }))
        .route("/ready", get(ready))
        .with_state(health);
    axum::serve(listener, router).with_graceful_shutdown(cancel.cancelled_owned()).await
}

async fn metrics(State(health): State<Arc<dyn Health>>) -> Result<String, StatusCode> {
    let page = tokio::task::spawn_blocking(move || health.metrics()).await;
    page.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
}

async fn ready(State(health): State<Arc<dyn Health>>) -> (StatusCode, String) {
    match health.ready() {
        Ok(()) => (StatusCode::OK, "ready\n".to_owned()),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a50_a_connection_has_its_own_rate() {
        let mut rates = Rates::default();
        let (one, other) =
            (SocketAddr::from(([127, 0, 0, 1], 1)), SocketAddr::from(([127, 0, 0, 1], 2)));
        let now = Instant::now();
        let taken = (0..20_000).filter(|_| rates.take(one, now)).count();
        assert_eq!(taken as f64, RATE_BURST);
        assert!(rates.take(other, now));
        let later = now + Duration::from_millis(10);
        let taken = (0..20_000).filter(|_| rates.take(one, later)).count();
        assert_eq!(taken, 50);
    }

    #[test]
    fn a50_the_memory_of_rates_is_bounded() {
        let mut rates = Rates::default();
        let start = Instant::now();
        for number in 0..100_000u32 {
            let caller = SocketAddr::from((number.to_be_bytes(), 1));
            assert!(rates.take(caller, start + Duration::from_micros(number.into())));
            assert!(rates.buckets.len() <= CONNECTIONS_REMEMBERED);
        }
    }
}
