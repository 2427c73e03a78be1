//! What the engine counts, for the node's metrics page and for its own supervision.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use tombolo_types::{Address, Height};

use crate::context::ValidatorSet;

/// A snapshot of what the engine counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Metrics {
    /// The newest committed height.
    pub height: u64,
    /// The round that runs now.
    pub round: u64,
    /// Rounds above 0 since the start: each cost a time-out.
    pub rounds_repeated_total: u64,
    /// Transactions that wait.
    pub mempool_count: u64,
    /// Their bytes.
    pub mempool_bytes: u64,
    /// Peers that are configured.
    pub peers_configured: u64,
    /// Peers that are connected.
    pub peers_connected: u64,
    /// Connections to peers that were lost since the start.
    pub peers_dropped_total: u64,
    /// Connections of others than the configured peers that were closed since the start; those
    /// that ended within the handshake are counted apart.
    pub strangers_dropped_total: u64,
    /// Connections that came in and ended within the handshake, or were refused one, since the
    /// start of the process.
    pub handshakes_failed_total: u64,
    /// Voting power that is connected, with one's own.
    pub power_connected: u64,
    /// Voting power of the whole set.
    pub power_total: u64,
    /// Proofs seen that a validator signed two different votes or proposals.
    pub evidence_total: u64,
    /// Signatures that the guard withheld: this key has signed there before, or later.
    pub signatures_withheld_total: u64,
    /// Streams of blocks dropped as malformed or over a bound, and blocks refused.
    pub proposals_refused_total: u64,
}

/// The counters themselves.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    height: AtomicU64,
    round: AtomicU64,
    rounds_repeated: AtomicU64,
    mempool_count: AtomicU64,
    mempool_bytes: AtomicU64,
    peers_connected: AtomicU64,
    peers_dropped: AtomicU64,
    strangers_dropped: AtomicU64,
    handshakes_failed: AtomicU64,
    power_connected: AtomicU64,
    evidence: AtomicU64,
    withheld: AtomicU64,
    refused: AtomicU64,
    streams_dropped: AtomicU64,
    set: Mutex<Option<ValidatorSet>>,
}

impl Shared {
    pub(crate) fn snapshot(&self, peers_configured: usize) -> Metrics {
        let power_total = self.set().map_or(0, |set| set.power());
        Metrics {
            height: self.height.load(Relaxed),
            round: self.round.load(Relaxed),
            rounds_repeated_total: self.rounds_repeated.load(Relaxed),
            mempool_count: self.mempool_count.load(Relaxed),
            mempool_bytes: self.mempool_bytes.load(Relaxed),
            peers_configured: peers_configured as u64,
            peers_connected: self.peers_connected.load(Relaxed),
            peers_dropped_total: self.peers_dropped.load(Relaxed),
            strangers_dropped_total: self.strangers_dropped.load(Relaxed),
            handshakes_failed_total: self.handshakes_failed.load(Relaxed),
            power_connected: self.power_connected.load(Relaxed),
            power_total,
            evidence_total: self.evidence.load(Relaxed),
            signatures_withheld_total: self.withheld.load(Relaxed),
            proposals_refused_total: self.refused.load(Relaxed)
                + self.streams_dropped.load(Relaxed),
        }
    }

    pub(crate) fn set_height(&self, height: Height) {
        self.height.store(height.0, Relaxed);
    }

    pub(crate) fn set_round(&self, round: u32) {
        self.round.store(round.into(), Relaxed);
        if round > 0 {
            self.rounds_repeated.fetch_add(1, Relaxed);
        }
    }

    pub(crate) fn set_mempool(&self, count: usize, bytes: usize) {
        self.mempool_count.store(count as u64, Relaxed);
        self.mempool_bytes.store(bytes as u64, Relaxed);
    }

    pub(crate) fn set_streams_dropped(&self, dropped: u64) {
        self.streams_dropped.store(dropped, Relaxed);
    }

    pub(crate) fn count_withheld(&self) {
        self.withheld.fetch_add(1, Relaxed);
    }

    pub(crate) fn count_stranger(&self) {
        self.strangers_dropped.fetch_add(1, Relaxed);
    }

    pub(crate) fn set_handshakes_failed(&self, failed: u64) {
        self.handshakes_failed.store(failed, Relaxed);
    }

    pub(crate) fn count_refused(&self) {
        self.refused.fetch_add(1, Relaxed);
    }

    pub(crate) fn count_evidence(&self, found: usize) {
        self.evidence.fetch_add(found as u64, Relaxed);
    }

    pub(crate) fn set_power(&self, set: &ValidatorSet) {
        if let Ok(mut current) = self.set.lock() {
            *current = Some(set.clone());
        }
    }

    fn set(&self) -> Option<ValidatorSet> {
        self.set.lock().ok().and_then(|set| set.clone())
    }

    /// Takes the validators among the connected peers, this node among them. Says whether they
    /// hold more than two thirds of the power.
    pub(crate) fn set_connected(&self, peers: usize, validators: &[Address]) -> bool {
        let before = self.peers_connected.swap(peers as u64, Relaxed);
        self.peers_dropped.fetch_add(before.saturating_sub(peers as u64), Relaxed);
        let Some(set) = self.set() else { return false };
        let power = validators.iter().map(|address| set.power_of(*address)).sum::<u64>();
        self.power_connected.store(power, Relaxed);
        u128::from(power) * 3 > u128::from(set.power()) * 2
    }
}
