//! Logs to stderr, spans to a collector where one is configured, and the trace context that calls
//! carry (W3C `traceparent` in gRPC metadata).

use crate::config::LogFormat;
use opentelemetry::{
    KeyValue,
    propagation::{Extractor, Injector, TextMapPropagator as _},
    trace::{
        SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState,
        TracerProvider as _,
    },
};
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::{Resource, propagation::TraceContextPropagator, trace::SdkTracerProvider};
use std::{
    io::IsTerminal as _,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::Duration,
};
use tombolo_types::id::GlobalId;
use tonic::{Request, metadata::MetadataMap};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::{
    EnvFilter, Layer as _, filter::ParseError, fmt, layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};

/// The environment variable whose filter goes before the configured one.
pub const LOG_VARIABLE: &str = "TOMBOLO_LOG";
/// A library that names its peers by their whole address, password included, in what it says for
/// debugging: whatever is asked for, it says no more than this.
const SECRETIVE: &str = "alloy_transport_http=info";
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

/// What a process logs, and where its spans go.
#[derive(Clone, Copy, Debug)]
pub struct Settings<'c> {
    /// The service that spans name, e.g. `tombolo-node`.
    pub service: &'static str,
    /// Which of its processes.
    pub instance: &'c str,
    /// A filter of `tracing`.
    pub log: &'c str,
    /// How logs are written.
    pub format: LogFormat,
    /// Where spans are collected, where they are.
    pub otlp_endpoint: Option<&'c str>,
}

/// Whether this process sends spans anywhere. Set once, before anything runs.
static COLLECTED: AtomicBool = AtomicBool::new(false);

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

/// Starts logging for the process: to stderr, because results go to stdout. Must be called within an async runtime where a collector is configured.
///
/// # Errors
/// [`TelemetryError`].
pub fn start(settings: Settings<'_>) -> Result<Telemetry, TelemetryError> {
    let text = std::env::var(LOG_VARIABLE).unwrap_or_else(|_| settings.log.to_owned());
    let filter = EnvFilter::try_new(&text)
        .map_err(|error| TelemetryError::Filter { filter: text.clone(), why: error.to_string() })?;
    let secretive = SECRETIVE.parse();
    let secretive = secretive.map_err(|error: ParseError| TelemetryError::Filter {
        filter: SECRETIVE.into(),
        why: error.to_string(),
    })?;
    let filter = filter.add_directive(secretive);
    // Colours are for people; in a file or a pipe they would stand between words.
    let colours = std::io::stderr().is_terminal();
    let lines = fmt::layer().with_writer(std::io::stderr).with_ansi(colours);
    let lines = match settings.format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    let provider = settings
        .otlp_endpoint
        .map(|endpoint| provider(endpoint, settings.service, settings.instance))
        .transpose()?;
    COLLECTED.store(provider.is_some(), Relaxed);
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

fn provider(
    endpoint: &str,
    service: &'static str,
    instance: &str,
) -> Result<SdkTracerProvider, TelemetryError> {
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
        .with_service_name(service)
        .with_attribute(KeyValue::new("service.instance.id", instance.to_owned()))
        .build();
    Ok(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build())
}

/// Whether spans are collected at all; where not, none need be made.
#[must_use]
pub fn is_collected() -> bool {
    COLLECTED.load(Relaxed)
}

/// Puts `span`, which nobody has entered yet, into the trace of an operation.
///
/// An operation passes over ledgers and relayers in messages that have no room for a trace context.
/// Its global id is known everywhere, so the trace is named after it: all hops meet in one trace,
/// whoever made their spans.
pub fn join(span: &Span, operation: GlobalId) {
    let mut trace = [0; 16];
    let mut root = [0; 8];
    for (to, from) in trace.iter_mut().chain(&mut root).zip(operation.0) {
        *to = from;
    }
    let context = SpanContext::new(
        TraceId::from_bytes(trace),
        SpanId::from_bytes(root),
        TraceFlags::SAMPLED,
        true,
        TraceState::default(),
    );
    // Fails only where no spans are collected; then there is nothing to join.
    let _ = span.set_parent(opentelemetry::Context::new().with_remote_span_context(context));
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

/// Makes the caller's span the parent of `span`, which nobody has entered yet, and notes its trace
/// there, so that both ends' logs can be joined. A context that is none is passed over.
pub(crate) fn follow<T>(span: Span, request: &Request<T>) -> Span {
    let context = TraceContextPropagator::new().extract(&Metadata(request.metadata()));
    let trace = context.span().span_context().trace_id();
    if trace != opentelemetry::TraceId::INVALID {
        span.record("trace", tracing::field::display(trace));
        // Fails only where no spans are collected; then there is nothing to join.
        let _ = span.set_parent(context);
    }
    span
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
            let _entered = follow(span, &call(parent)).entered();
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
