//! Hands transactions that were let in here to the other validators' doors, so that whoever
//! proposes next has them.

use crate::{metrics::Metrics, telemetry};
use std::sync::Arc;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tombolo_engine::Push;
use tombolo_proto::{ClientError, LedgerClient};

/// Transactions that wait for one peer. A peer that is slower misses some, and gets them in a
/// block; nobody waits for it.
const QUEUE_MAX: usize = 1_024;

/// The queues to all peers.
pub(crate) struct Pusher {
    peers: Vec<Sender<Vec<u8>>>,
    metrics: Arc<Metrics>,
}

impl Pusher {
    /// Queues to the nodes at these addresses, each worked off by a task of `tasks` until `cancel`.
    ///
    /// # Errors
    /// [`ClientError::Address`].
    pub(crate) fn start(
        addresses: &[String],
        metrics: Arc<Metrics>,
        tasks: &TaskTracker,
        cancel: &CancellationToken,
    ) -> Result<Self, ClientError> {
        let mut peers = Vec::new();
        for address in addresses {
            let client = LedgerClient::new(address)?.with_trace(telemetry::trace_parent);
            let (sender, queue) = channel(QUEUE_MAX);
            peers.push(sender);
            tasks.spawn(cancel.clone().run_until_cancelled_owned(work_off(client, queue)));
        }
        Ok(Self { peers, metrics })
    }
}

async fn work_off(client: LedgerClient, mut queue: Receiver<Vec<u8>>) {
    let mut reachable = true;
    while let Some(transaction) = queue.recv().await {
        let pushed = client.push(transaction).await;
        match pushed {
            Err(error) if error.is_transient() => {
                if reachable {
                    tracing::warn!(peer = client.address(), %error, "peer takes no transactions");
                }
                reachable = false;
            }
            // What a peer refuses it has, or will not take from anybody.
            Ok(()) | Err(_) => reachable = true,
        }
    }
}

impl Push for Pusher {
    fn push(&self, transaction: &[u8]) {
        for peer in &self.peers {
            if peer.try_send(transaction.to_vec()).is_err() {
                self.metrics.push_dropped();
            }
        }
    }
}
