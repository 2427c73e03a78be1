//! What is counted, in the order of an operator's questions: is it running, do deliveries succeed,
//! what is stuck.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};
use std::sync::Arc;
use tombolo_adapter::ClientView;
use tombolo_relayer_core::{End, LinkSight};
use tombolo_types::{Class, UnixMillis};

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct LinkEnd {
    link: String,
    end: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct LinkClass {
    link: String,
    class: &'static str,
}

/// The relayer's counters. Cheap to clone.
#[derive(Clone)]
pub struct Metrics {
    registry: Arc<Registry>,
    messages: Family<LinkEnd, Counter>,
    deliveries: Family<LinkEnd, Counter>,
    updates: Family<LinkEnd, Counter>,
    refused: Family<LinkClass, Counter>,
    failed: Family<LinkClass, Counter>,
    backlog: Family<LinkEnd, Gauge>,
    height: Family<LinkEnd, Gauge>,
    trust_left: Family<LinkEnd, Gauge>,
    age: Histogram,
}

impl Default for Metrics {
    fn default() -> Self {
        /// From a fast loopback network to a minute.
        const AGE_SECONDS: [f64; 10] = [0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 2.0, 5.0, 15.0, 60.0];
        let metrics = Self {
            registry: Arc::default(),
            messages: Family::default(),
            deliveries: Family::default(),
            updates: Family::default(),
            refused: Family::default(),
            failed: Family::default(),
            backlog: Family::default(),
            height: Family::default(),
            trust_left: Family::default(),
            age: Histogram::new(AGE_SECONDS),
        };
        let mut registry = Registry::with_prefix("relayer");
        registry.register(
            "messages_delivered",
            "Lane messages brought to an end",
            metrics.messages.clone(),
        );
        registry.register("deliveries", "Deliveries that became final", metrics.deliveries.clone());
        registry.register(
            "client_updates",
            "Clients moved without messages",
            metrics.updates.clone(),
        );
        registry.register(
            "steps_refused",
            "Steps that were not needed any more",
            metrics.refused.clone(),
        );
        registry.register(
            "steps_failed",
            "Steps that failed and are tried again",
            metrics.failed.clone(),
        );
        registry.register(
            "backlog_messages",
            "Messages that wait for an end",
            metrics.backlog.clone(),
        );
        registry.register("chain_height", "Newest final height seen", metrics.height.clone());
        registry.register(
            "client_trust_left_seconds",
            "Time until an end's client expires",
            metrics.trust_left.clone(),
        );
        registry.register(
            "delivery_age_seconds",
            "From the source's block to the delivery's finality",
            metrics.age.clone(),
        );
        Self { registry: Arc::new(registry), ..metrics }
    }
}

impl Metrics {
    pub(crate) fn seen(&self, link: &str, sight: &LinkSight) {
        for end in [End::Hub, End::Chain] {
            let labels = LinkEnd { link: link.to_owned(), end: end.name() };
            let here = sight.end(end);
            self.height.get_or_create(&labels).set(signed(here.height.0));
            self.backlog.get_or_create(&labels).set(signed(sight.backlog(end.other())));
        }
    }

    pub(crate) fn client_seen(&self, link: &str, end: End, client: &ClientView, now: UnixMillis) {
        let labels = LinkEnd { link: link.to_owned(), end: end.name() };
        let expires = client.newest_time.saturating_add(client.trusting_period_ms);
        self.trust_left.get_or_create(&labels).set(signed(expires.since(now) / 1_000));
    }

    pub(crate) fn delivered(&self, link: &str, to: End, messages: u64, age_ms: u64) {
        let labels = LinkEnd { link: link.to_owned(), end: to.name() };
        self.messages.get_or_create(&labels).inc_by(messages);
        self.deliveries.get_or_create(&labels).inc();
        self.age.observe(std::time::Duration::from_millis(age_ms).as_secs_f64());
    }

    pub(crate) fn updated(&self, link: &str, at: End) {
        self.updates.get_or_create(&LinkEnd { link: link.to_owned(), end: at.name() }).inc();
    }

    pub(crate) fn refused(&self, link: &str, class: Class) {
        self.refused.get_or_create(&LinkClass { link: link.to_owned(), class: class.code() }).inc();
    }

    pub(crate) fn failed(&self, link: &str, class: Class) {
        self.failed.get_or_create(&LinkClass { link: link.to_owned(), class: class.code() }).inc();
    }

    /// The page in the text format of Prometheus.
    #[must_use]
    pub fn page(&self) -> String {
        let mut page = String::new();
        // Writing to a string cannot fail.
        let _ = prometheus_client::encoding::text::encode(&mut page, &self.registry);
        page
    }
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
