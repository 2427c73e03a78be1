//! What is counted, in the order of an operator's questions: is it running, do deeds succeed, what
//! is stuck.

use prometheus_client::{
    encoding::{EncodeLabelSet, text},
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};
use std::sync::Arc;
use tombolo_swap::htlc::Outcome;
use tombolo_types::Class;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Chain {
    chain: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Deed {
    deed: &'static str,
    class: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Kind {
    kind: &'static str,
}

/// The service's counters. Cheap to clone.
#[derive(Clone)]
pub struct Metrics {
    registry: Arc<Registry>,
    unfinished: Gauge,
    looks: Counter,
    blind: Family<Chain, Counter>,
    deeds: Family<Deed, Counter>,
    alarms: Family<Kind, Counter>,
    outcomes: Family<Kind, Counter>,
}

impl Default for Metrics {
    fn default() -> Self {
        let metrics = Self {
            registry: Arc::default(),
            unfinished: Gauge::default(),
            looks: Counter::default(),
            blind: Family::default(),
            deeds: Family::default(),
            alarms: Family::default(),
            outcomes: Family::default(),
        };
        let mut registry = Registry::with_prefix("swap");
        registry.register("unfinished", "Swaps that are not over", metrics.unfinished.clone());
        registry.register("looks", "Looks at the chains of a swap", metrics.looks.clone());
        registry.register(
            "looks_blind",
            "Looks to which a chain gave no answer",
            metrics.blind.clone(),
        );
        registry.register(
            "deeds",
            "Locks, claims, refunds and tickets, by how they ended",
            metrics.deeds.clone(),
        );
        registry.register("alarms", "What an operator must look at now", metrics.alarms.clone());
        registry.register("outcomes", "Swaps that are over, by how", metrics.outcomes.clone());
        Self { registry: Arc::new(registry), ..metrics }
    }
}

impl Metrics {
    pub(crate) fn began(&self) {
        self.unfinished.inc();
    }

    pub(crate) fn ended(&self, outcome: Option<Outcome>) {
        self.unfinished.dec();
        if let Some(outcome) = outcome {
            self.outcomes.get_or_create(&Kind { kind: outcome_name(outcome) }).inc();
        }
    }

    pub(crate) fn looked(&self) {
        self.looks.inc();
    }

    pub(crate) fn blind(&self, chain: &str) {
        self.blind.get_or_create(&Chain { chain: chain.to_owned() }).inc();
    }

    pub(crate) fn done(&self, deed: &'static str, class: Option<Class>) {
        let class = class.map_or("done", Class::code);
        self.deeds.get_or_create(&Deed { deed, class }).inc();
    }

    pub(crate) fn alarm(&self, kind: &'static str) {
        self.alarms.get_or_create(&Kind { kind }).inc();
    }

    /// The page in the text format of Prometheus.
    #[must_use]
    pub fn page(&self) -> String {
        let mut page = String::new();
        // Writing to a string cannot fail.
        let _ = text::encode(&mut page, &self.registry);
        page
    }
}

/// An outcome as people and metrics see it.
#[must_use]
pub fn outcome_name(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Completed => "completed",
        Outcome::Undone => "undone",
        Outcome::Lost => "lost",
        Outcome::Watched => "watched",
    }
}
