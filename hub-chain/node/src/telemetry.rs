//! Logs to stderr, spans to a collector where one is configured, and the trace context that calls
//! carry (W3C `traceparent` in gRPC metadata).

use crate::config::{Config, LogFormat};
use opentelemetry::{
    KeyValue,
    propagation::{Extractor, Injector, TextMapPropagator as _},
    trace::{TraceContextExt as _, TracerProvider as _},
};
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::{Resource, propagation::TraceContextPropagator, trace::SdkTracerProvider};
use std::time::Duration;
use tonic::{Request, metadata::MetadataMap};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::{
    EnvFilter, Layer as _, fmt, layer::SubscriberExt as _, util::SubscriberInitExt as _,
};

/// The environment variable whose filter goes before the configured one.
pub const LOG_VARIABLE: &str = "TOMBOLO_LOG";
/// The metadata key of a W3C trace context.
const TRACE_PARENT: &str = "traceparent";
/// How long one batch of spans may take to be sent.
const EXPORT_TIME: Duration = Duration::from_secs(5);

/// Why nothing is logged.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TelemetryError {
    /// The filter is none.
    #[error("`{filter}` is no filter of logs: {why}")]
    Filter {
        /// What was given.
        filter: String,
        /// What is wrong.
        why: String,
    },
    /// The collector's address is none.
    #[error("spans cannot be sent to {endpoint}: {why}")]
    Endpoint {
        /// The address.
        endpoint: String,
        /// What is wrong.
        why: String,
    },
    /// Logging has been started before.
    #[error("logging has been started already: {0}")]
    Started(String),
}

/// Logging that has been started for the process.
#[must_use = "spans that wait are lost unless `stop` is called"]
pub struct Telemetry(Option<SdkTracerProvider>);

impl Telemetry {
    /// Sends the spans that wait. Blocks, for at most as long as one batch may take.
    pub fn stop(self) {
        if let Some(Err(error)) = self.0.map(|provider| provider.shutdown()) {
            tracing::warn!(%error, "last spans were not sent");
        }
    }
}

/// Starts logging for the process as a node's configuration says: to stderr, because results go
/// to stdout. Must be called within an async runtime where a collector is configured.
///
/// # Errors
/// [`TelemetryError`].
pub fn start(config: &Config) -> Result<Telemetry, TelemetryError> {
    let text = std::env::var(LOG_VARIABLE).unwrap_or_else(|_| config.log.clone());
    let filter = EnvFilter::try_new(&text)
        .map_err(|error| TelemetryError::Filter { filter: text, why: error.to_string() })?;
    let lines = fmt::layer().with_writer(std::io::stderr);
    let lines = match config.log_format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    let provider = config
        .otlp_endpoint
        .as_deref()
        .map(|endpoint| provider(endpoint, &config.moniker))
        .transpose()?;
    let spans = provider
        .as_ref()
        .map(|provider| tracing_opentelemetry::layer().with_tracer(provider.tracer("tombolo")));
    tracing_subscriber::registry()
        .with(filter)
        .with(lines)
        .with(spans)
        .try_init()
        .map_err(|error| TelemetryError::Started(error.to_string()))?;
    Ok(Telemetry(provider))
}

fn provider(endpoint: &str, moniker: &str) -> Result<SdkTracerProvider, TelemetryError> {
    let exporter = SpanExporter::builder()
        .with_tonic()
        .with_endpoint(endpoint)
        .with_timeout(EXPORT_TIME)
        .build()
        .map_err(|error| TelemetryError::Endpoint {
            endpoint: endpoint.to_owned(),
            why: error.to_string(),
        })?;
    let resource = Resource::builder()
        .with_service_name("tombolo-node")
        .with_attribute(KeyValue::new("service.instance.id", moniker.to_owned()))
        .build();
    Ok(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build())
}

/// What a caller sends along.
struct Metadata<'a>(&'a MetadataMap);

impl Extractor for Metadata<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        vec![TRACE_PARENT]
    }
}

/// Makes the caller's span the parent of the present one, and notes its trace, so that both ends'
/// logs can be joined. A context that is none is passed over.
pub(crate) fn follow<T>(request: &Request<T>) {
    let context = TraceContextPropagator::new().extract(&Metadata(request.metadata()));
    let trace = context.span().span_context().trace_id();
    if trace != opentelemetry::TraceId::INVALID {
        let span = Span::current();
        span.record("trace", tracing::field::display(trace));
        // Fails only where no spans are collected; then there is nothing to join.
        let _ = span.set_parent(context);
    }
}

/// What is sent along.
#[derive(Default)]
struct Parent(Option<String>);

impl Injector for Parent {
    fn set(&mut self, key: &str, value: String) {
        if key == TRACE_PARENT {
            self.0 = Some(value);
        }
    }
}

/// The present span as a `traceparent`, for a client's calls
/// ([`LedgerClient::with_trace`](tombolo_proto::LedgerClient::with_trace)); `None` where spans are
/// not collected.
#[must_use]
pub fn trace_parent() -> Option<String> {
    let mut parent = Parent::default();
    TraceContextPropagator::new().inject_context(&Span::current().context(), &mut parent);
    parent.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing_subscriber::Registry;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    fn call(parent: &str) -> Request<()> {
        let mut request = Request::new(());
        request.metadata_mut().insert(TRACE_PARENT, parent.parse().unwrap());
        request
    }

    /// The trace that a call with this context leads to.
    fn trace_after(parent: &str) -> Option<String> {
        let provider = SdkTracerProvider::builder().build();
        let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
        tracing::subscriber::with_default(Registry::default().with(layer), || {
            let span = tracing::info_span!("node.test", trace = tracing::field::Empty);
            let _entered = span.enter();
            follow(&call(parent));
            trace_parent().map(|parent| parent[3..35].to_owned())
        })
    }

    #[test]
    fn a_trace_goes_in_and_on() {
        let parent = format!("00-{TRACE}-00f067aa0ba902b7-01");
        assert_eq!(trace_after(&parent).as_deref(), Some(TRACE));
    }

    #[test]
    fn a53_a_context_that_is_none_is_passed_over() {
        for bad in [
            "",
            "00",
            "00-zz",
            "00-0-0-0",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        ] {
            assert_ne!(trace_after(bad).as_deref(), Some(TRACE), "{bad}");
        }
    }

    #[test]
    fn without_a_collector_nothing_is_sent_along() {
        assert_eq!(trace_parent(), None);
    }
}
