//! Watches over a running engine: whatever ends, all ends, in order.

use arc_malachitebft_app_channel::{EngineHandle as Consensus, NetworkRequest};
use std::{sync::Arc, thread::JoinHandle, time::Duration};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tombolo_types::Address;

use crate::{
    application::{Fatal, Tip},
    gate,
    ledger::Ledger,
    metrics::Shared,
    run::EngineError,
    signing::Keys,
};

/// How often the connections are counted.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);
/// How long the parts of the engine may take to stop.
const STOP_PATIENCE: Duration = Duration::from_secs(10);

/// What must be running, and the order to stop.
pub(crate) struct Engine {
    pub(crate) ledger: Ledger,
    pub(crate) thread: JoinHandle<()>,
    pub(crate) keys: Keys,
    pub(crate) consensus: Consensus,
    pub(crate) cancel: CancellationToken,
    pub(crate) watch: Watch,
}

impl Engine {
    /// Runs until told to stop or until a part ends; then stops all parts.
    pub(crate) async fn supervise(
        self,
        driver: impl Future<Output = Fatal> + Send + 'static,
    ) -> Result<(), EngineError> {
        let Self { ledger, thread, keys, mut consensus, cancel, watch } = self;
        let mut driver = tokio::spawn(driver);
        let result = tokio::select! {
            () = cancel.cancelled() => Ok(()),
            ended = &mut driver => Err(match ended {
                Ok(fatal) => EngineError::Fatal(fatal),
                Err(error) => EngineError::Panicked { why: error.to_string() },
            }),
            _ = &mut consensus.handle => Err(EngineError::Stopped),
            error = watch.run() => Err(error),
        };
        keys.retire();
        consensus.actor.get_cell().stop_children(Some("the engine stops".into()));
        consensus.actor.stop(Some("the engine stops".into()));
        if timeout(STOP_PATIENCE, &mut consensus.handle).await.is_err() {
            tracing::error!("consensus does not stop; the process must be ended");
        }
        driver.abort();
        ledger.close();
        // Joining blocks; what the thread does now ends with a commit at the latest.
        let joined = tokio::task::spawn_blocking(move || thread.join());
        if timeout(STOP_PATIENCE, joined).await.is_err() {
            tracing::error!("the ledger's thread does not stop; the process must be ended");
        }
        result
    }
}

/// Looks after progress.
pub(crate) struct Watch {
    pub(crate) me: Address,
    pub(crate) shared: Arc<Shared>,
    pub(crate) network: mpsc::Sender<NetworkRequest>,
    pub(crate) tip: watch::Receiver<Tip>,
    pub(crate) patience: Duration,
}

impl Watch {
    /// Ends when there was no new height for too long. The time counts only while more than two
    /// thirds of the power is connected: else waiting is right, and a restart would not help.
    async fn run(mut self) -> EngineError {
        let mut since = Instant::now();
        let mut height = self.tip.borrow_and_update().height;
        loop {
            sleep(WATCH_INTERVAL).await;
            let current = self.tip.borrow_and_update().height;
            let connected = self.connected().await;
            self.shared.set_handshakes_failed(gate::handshakes_failed());
            if current != height || !connected {
                (height, since) = (current, Instant::now());
            } else if since.elapsed() > self.patience {
                return EngineError::NoHeight { height, waited: since.elapsed() };
            }
        }
    }

    /// Counts the connections; whether they and this node hold more than two thirds.
    async fn connected(&self) -> bool {
        let asked = NetworkRequest::dump_state(&self.network);
        let dump = match timeout(WATCH_INTERVAL, asked).await {
            Ok(Ok(Some(dump))) => dump,
            // The network does not answer: what is known of it stays, and the time counts on.
            _ => return true,
        };
        // A stranger stands among the peers until its connection is closed.
        let peers: Vec<_> =
            dump.peers.values().filter(|peer| peer.peer_type.is_persistent()).collect();
        let keys = peers.iter().filter_map(|peer| peer.consensus_public_key.as_deref());
        let mut validators: Vec<Address> =
            keys.filter_map(|key| key.try_into().ok().map(Address)).collect();
        validators.push(self.me);
        validators.sort_unstable();
        validators.dedup();
        self.shared.set_connected(peers.len(), &validators)
    }
}
