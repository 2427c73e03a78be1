//! What the chain's node tells this process, and when: blocks, and transactions that wait for one.

use alloy::{
    primitives::B256,
    providers::{Provider as _, RootProvider},
};
use anyhow::Context as _;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};
use tokio::{sync::watch, task::JoinSet};

/// When this process heard of what.
#[derive(Default)]
struct Heard {
    blocks: BTreeMap<u64, Instant>,
    transactions: BTreeMap<B256, Instant>,
}

/// Follows one node by its notifications.
pub(super) struct Watch {
    heard: Arc<Mutex<Heard>>,
    newest: watch::Receiver<u64>,
    _tasks: JoinSet<anyhow::Result<()>>,
}

impl Watch {
    pub(super) async fn start(provider: &RootProvider) -> anyhow::Result<Self> {
        let heard = Arc::new(Mutex::new(Heard::default()));
        let mut blocks = provider.subscribe_blocks().await.context("watching blocks")?;
        let pending = provider.subscribe_pending_transactions().await;
        let mut pending = pending.context("watching transactions")?;
        let (announce, newest) = watch::channel(provider.get_block_number().await?);
        let mut tasks = JoinSet::new();
        let kept = Arc::clone(&heard);
        tasks.spawn(async move {
            loop {
                let block = blocks.recv().await.context("watching blocks")?;
                lock(&kept).blocks.insert(block.number, Instant::now());
                announce.send_replace(block.number);
            }
        });
        let kept = Arc::clone(&heard);
        tasks.spawn(async move {
            loop {
                let hash = pending.recv().await.context("watching transactions")?;
                lock(&kept).transactions.entry(hash).or_insert_with(Instant::now);
            }
        });
        Ok(Self { heard, newest, _tasks: tasks })
    }

    /// The newest block that was announced.
    pub(super) fn newest(&self) -> u64 {
        *self.newest.borrow()
    }

    /// Waits for a block above this one; gives the newest.
    pub(super) async fn above(&self, number: u64) -> anyhow::Result<u64> {
        let found = self.newest.clone().wait_for(|newest| *newest > number).await.map(|it| *it);
        found.context("the chain's node says nothing more")
    }

    /// When a block was announced.
    pub(super) fn block(&self, number: u64) -> Option<Instant> {
        lock(&self.heard).blocks.get(&number).copied()
    }

    /// When the node took a transaction to put it into a block.
    pub(super) fn transaction(&self, hash: B256) -> Option<Instant> {
        lock(&self.heard).transactions.get(&hash).copied()
    }
}

fn lock(heard: &Mutex<Heard>) -> MutexGuard<'_, Heard> {
    heard.lock().unwrap_or_else(PoisonError::into_inner)
}
