//! What the node counts, as Prometheus text, and whether it is alive and ready.

use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};
use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tombolo_types::{Class, UnixMillis, transaction::DecidedBlock};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ClassLabel {
    class: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LinkLabel {
    link: String,
}

/// Seconds. From one disk flush to ten.
const SECONDS: [f64; 12] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

/// The node's counters. Cheap to add to from any thread.
pub struct Metrics {
    registry: Mutex<Registry>,
    block_interval: Histogram,
    commit_flush: Histogram,
    transactions: Counter,
    refusals: Family<ClassLabel, Counter>,
    journal_dropped: Counter,
    pushes_dropped: Counter,
    height: Gauge,
    mempool: Gauge,
    mempool_bytes: Gauge,
    peers: Gauge,
    peers_dropped: Gauge,
    strangers_dropped: Gauge,
    turned_away: Gauge,
    handshakes_failed: Gauge,
    power_connected: Gauge,
    power_total: Gauge,
    rounds_repeated: Gauge,
    trust: Family<LinkLabel, Gauge>,
    store_bytes: Gauge,
    index_behind: Gauge,
    last_block_ms: AtomicU64,
}

impl Default for Metrics {
    fn default() -> Self {
        let seconds = || Histogram::new(SECONDS);
        let metrics = Self {
            registry: Mutex::default(),
            block_interval: seconds(),
            commit_flush: seconds(),
            transactions: Counter::default(),
            refusals: Family::default(),
            journal_dropped: Counter::default(),
            pushes_dropped: Counter::default(),
            height: Gauge::default(),
            mempool: Gauge::default(),
            mempool_bytes: Gauge::default(),
            peers: Gauge::default(),
            peers_dropped: Gauge::default(),
            strangers_dropped: Gauge::default(),
            turned_away: Gauge::default(),
            handshakes_failed: Gauge::default(),
            power_connected: Gauge::default(),
            power_total: Gauge::default(),
            rounds_repeated: Gauge::default(),
            trust: Family::default(),
            store_bytes: Gauge::default(),
            index_behind: Gauge::default(),
            last_block_ms: AtomicU64::new(0),
        };
        for class in Class::ALL {
            let _ = metrics.refusals.get_or_create(&ClassLabel { class: class.code() });
        }
        metrics.register();
        metrics
    }
}

/// What is read only when somebody asks for the metrics.
#[derive(Clone, Debug, Default)]
pub struct Sample {
    /// What the engine counts.
    pub engine: tombolo_engine::Metrics,
    /// Connections of callers and watchers that found no place.
    pub turned_away: u64,
    /// Milliseconds for which each link's client still trusts, by link.
    pub trust_ms: Vec<(String, u64)>,
    /// The store's size in bytes.
    pub store_bytes: u64,
    /// Records of the log that are not in the auditors' index.
    pub index_behind: u64,
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

impl Metrics {
    fn register(&self) {
        // Ordered by the operator's questions: is it running, does it take what is sent, what is
        // stuck, what runs out.
        let mut guard = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        let r = guard.sub_registry_with_prefix("node");
        r.register("block_height", "Newest final height", self.height.clone());
        let text = "Time between blocks, by their own times";
        r.register_with_unit("block_interval", text, Unit::Seconds, self.block_interval.clone());
        let text = "Time in which the store made a block durable";
        r.register_with_unit("commit_flush", text, Unit::Seconds, self.commit_flush.clone());
        r.register("peers_connected", "Peers that are connected", self.peers.clone());
        let text = "Connections to peers lost since the start";
        r.register("peers_dropped", text, self.peers_dropped.clone());
        let text = "Connections of others than the configured peers, closed since the start";
        r.register("strangers_dropped", text, self.strangers_dropped.clone());
        let text = "Connections to the consensus port that ended within the handshake";
        r.register("handshakes_failed", text, self.handshakes_failed.clone());
        let text = "Voting power that is connected, with one's own";
        r.register("power_connected", text, self.power_connected.clone());
        r.register("power", "Voting power of the whole set", self.power_total.clone());
        let text = "Rounds above the first since the start; each cost a time-out";
        r.register("rounds_repeated", text, self.rounds_repeated.clone());
        r.register("transactions", "Transactions in final blocks", self.transactions.clone());
        let text = "Connections of callers and watchers that found no place";
        r.register("connections_turned_away", text, self.turned_away.clone());
        let text = "Refusals at the door, by class";
        r.register("door_refusals", text, self.refusals.clone());
        r.register("mempool_transactions", "Transactions that wait", self.mempool.clone());
        let text = "Their bytes";
        r.register_with_unit("mempool", text, Unit::Bytes, self.mempool_bytes.clone());
        let text = "Lines that the journals had no time for";
        r.register("journal_dropped", text, self.journal_dropped.clone());
        let text = "Transactions not handed on because a peer was too slow";
        r.register("pushes_dropped", text, self.pushes_dropped.clone());
        let text = "Time for which a link's client still trusts without an update";
        r.register_with_unit("link_trust_left", text, Unit::Seconds, self.trust.clone());
        r.register_with_unit("store", "Size of the store", Unit::Bytes, self.store_bytes.clone());
        let text = "Records that the auditors' index does not hold yet";
        r.register("index_behind", text, self.index_behind.clone());
    }

    /// A block was kept, and the store took so long.
    pub fn committed(&self, decided: &DecidedBlock, took: Duration) {
        let time = decided.block.header.time;
        let before = self.last_block_ms.swap(time.0, Relaxed);
        if before > 0 {
            let interval = Duration::from_millis(time.since(UnixMillis(before)));
            self.block_interval.observe(interval.as_secs_f64());
        }
        self.commit_flush.observe(took.as_secs_f64());
        self.transactions.inc_by(decided.block.transactions.len() as u64);
        self.height.set(signed(decided.block.header.height.0));
    }

    /// The door refused something.
    pub fn refused(&self, class: Class) {
        self.refusals.get_or_create(&ClassLabel { class: class.code() }).inc();
    }

    /// A journal had no time for a line.
    pub fn journal_dropped(&self) {
        self.journal_dropped.inc();
    }

    /// A transaction was not handed on to a peer.
    pub fn push_dropped(&self) {
        self.pushes_dropped.inc();
    }

    /// The text of the metrics page.
    #[must_use]
    pub fn render(&self, sample: &Sample) -> String {
        let engine = &sample.engine;
        for (gauge, value) in [
            (&self.height, engine.height),
            (&self.mempool, engine.mempool_count),
            (&self.mempool_bytes, engine.mempool_bytes),
            (&self.peers, engine.peers_connected),
            (&self.peers_dropped, engine.peers_dropped_total),
            (&self.strangers_dropped, engine.strangers_dropped_total),
            (&self.handshakes_failed, engine.handshakes_failed_total),
            (&self.power_connected, engine.power_connected),
            (&self.power_total, engine.power_total),
            (&self.rounds_repeated, engine.rounds_repeated_total),
            (&self.turned_away, sample.turned_away),
            (&self.store_bytes, sample.store_bytes),
            (&self.index_behind, sample.index_behind),
        ] {
            gauge.set(signed(value));
        }
        self.trust.clear();
        for (link, left_ms) in &sample.trust_ms {
            let label = LinkLabel { link: link.clone() };
            self.trust.get_or_create(&label).set(signed(left_ms / 1_000));
        }
        let registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = encode(&mut text, &registry);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values_stand_on_the_page() {
        let metrics = Metrics::default();
        metrics.refused(Class::Auth);
        let sample = Sample {
            engine: tombolo_engine::Metrics { height: 7, mempool_count: 3, ..Default::default() },
            turned_away: 2,
            trust_ms: vec![("0xab".into(), 90_000)],
            store_bytes: 5,
            index_behind: 4,
        };
        let text = metrics.render(&sample);
        for line in [
            "node_block_height 7",
            "node_mempool_transactions 3",
            "node_door_refusals_total{class=\"E_AUTH\"} 1",
            "node_door_refusals_total{class=\"E_LIMIT\"} 0",
            "node_link_trust_left_seconds{link=\"0xab\"} 90",
            "node_connections_turned_away 2",
            "node_store_bytes 5",
            "node_index_behind 4",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is missing in\n{text}");
        }
    }
}
