//! When this process hears of what: blocks of the chain, that they are final, and transactions that
//! wait for one.

use alloy::{
    eips::BlockNumberOrTag,
    primitives::B256,
    providers::{Provider as _, RootProvider},
};
use anyhow::Context as _;
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};
use tokio::{sync::watch, task::JoinSet};
use tokio_stream::StreamExt as _;
use tombolo_evm::Finality;

/// How long from one question to the next where a node does not tell by itself; what is found by
/// asking is heard of so much too late at the most.
pub(super) const ASK_EVERY: Duration = Duration::from_millis(50);

/// How a node says that there is something new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::bench) enum Hearing {
    /// By notifications, over a WebSocket.
    Told,
    /// By answers, each [`ASK_EVERY`].
    Asked,
}

impl Hearing {
    /// What the node at this address can do.
    pub(super) fn of(url: &str) -> Self {
        if url.starts_with("ws") { Self::Told } else { Self::Asked }
    }
}

/// Since when something was known.
struct Moments<K>(watch::Receiver<BTreeMap<K, Instant>>);

/// Tells of something now, unless it was told before.
fn tell<K: Ord>(to: &watch::Sender<BTreeMap<K, Instant>>, what: impl IntoIterator<Item = K>) {
    to.send_modify(|moments| {
        for key in what {
            moments.entry(key).or_insert_with(Instant::now);
        }
    });
}

impl<K: Ord + Copy> Moments<K> {
    /// Waits for the first, from this one on, that was told.
    async fn from(&self, key: K) -> anyhow::Result<Instant> {
        let first = |moments: &BTreeMap<K, Instant>| moments.range(key..).next().map(|it| *it.1);
        self.wait(first).await
    }

    async fn wait(
        &self,
        find: impl Fn(&BTreeMap<K, Instant>) -> Option<Instant>,
    ) -> anyhow::Result<Instant> {
        let mut moments = self.0.clone();
        let found = moments.wait_for(|moments| find(moments).is_some()).await;
        let found = found.context("the chain's node says nothing more")?;
        find(&found).context("what was told is gone")
    }
}

/// Follows the blocks of one node.
pub(super) struct Watch {
    blocks: Moments<u64>,
    finals: Finals,
    _tasks: JoinSet<anyhow::Result<()>>,
}

/// By what a block is known to be final.
enum Finals {
    /// By so many blocks on it.
    Depth(u64),
    /// By what the chain has marked so.
    Marked(Moments<u64>),
}

impl Watch {
    pub(super) async fn start(
        provider: &RootProvider,
        hearing: Hearing,
        finality: Finality,
    ) -> anyhow::Result<Self> {
        let mut tasks = JoinSet::new();
        let begin = provider.get_block_number().await?;
        let (to, blocks) = watch::channel(BTreeMap::from([(begin, Instant::now())]));
        let asked = provider.clone();
        match hearing {
            Hearing::Told => {
                let mut told = provider.subscribe_blocks().await.context("watching blocks")?;
                tasks.spawn(async move {
                    loop {
                        let block = told.recv().await.context("watching blocks")?;
                        tell(&to, [block.number]);
                    }
                });
            }
            Hearing::Asked => {
                tasks.spawn(async move {
                    loop {
                        tell(&to, [asked.get_block_number().await?]);
                        tokio::time::sleep(ASK_EVERY).await;
                    }
                });
            }
        }
        let finals = match finality {
            Finality::Depth(depth) => Finals::Depth(depth),
            Finality::Tag => {
                let (to, finals) = watch::channel(BTreeMap::new());
                let provider = provider.clone();
                // No node tells of this by itself.
                tasks.spawn(async move {
                    loop {
                        let marked = provider.get_block_by_number(BlockNumberOrTag::Finalized);
                        tell(&to, marked.await?.map(|block| block.header.number));
                        tokio::time::sleep(ASK_EVERY).await;
                    }
                });
                Finals::Marked(Moments(finals))
            }
        };
        Ok(Self { blocks: Moments(blocks), finals, _tasks: tasks })
    }

    /// The newest block that was heard of.
    pub(super) fn newest(&self) -> u64 {
        self.blocks.0.borrow().last_key_value().map_or(0, |(number, _)| *number)
    }

    /// Waits for a block above this one; gives the newest.
    pub(super) async fn above(&self, number: u64) -> anyhow::Result<u64> {
        self.blocks.from(number + 1).await?;
        Ok(self.newest())
    }

    /// Waits until a block is final; gives the moment when that was heard of.
    pub(super) async fn is_final(&self, number: u64) -> anyhow::Result<Instant> {
        match &self.finals {
            Finals::Depth(depth) => self.blocks.from(number + depth).await,
            Finals::Marked(finals) => finals.from(number).await,
        }
    }
}

/// Follows what waits at one node for a block.
pub(super) struct Pool {
    transactions: Moments<B256>,
    _tasks: JoinSet<anyhow::Result<()>>,
}

impl Pool {
    pub(super) async fn start(provider: &RootProvider, hearing: Hearing) -> anyhow::Result<Self> {
        let mut tasks = JoinSet::new();
        let (to, transactions) = watch::channel(BTreeMap::new());
        let watching = "watching transactions that wait for a block";
        match hearing {
            Hearing::Told => {
                let told = provider.subscribe_pending_transactions().await;
                let mut told = told.context(watching)?;
                tasks.spawn(async move {
                    loop {
                        tell(&to, [told.recv().await.context(watching)?]);
                    }
                });
            }
            Hearing::Asked => {
                let asked = provider.watch_pending_transactions().await.context(watching)?;
                let mut answers = asked.with_poll_interval(ASK_EVERY).into_stream();
                tasks.spawn(async move {
                    while let Some(hashes) = answers.next().await {
                        tell(&to, hashes);
                    }
                    anyhow::bail!("the node's answers about its pool have ended")
                });
            }
        }
        Ok(Self { transactions: Moments(transactions), _tasks: tasks })
    }

    /// Waits until the node has taken a transaction to put it into a block; gives the moment.
    pub(super) async fn has(&self, hash: B256) -> anyhow::Result<Instant> {
        self.transactions.wait(|moments| moments.get(&hash).copied()).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A watch, with what tells it of blocks and of what the chain marks as final.
    struct Told {
        watch: Watch,
        blocks: watch::Sender<BTreeMap<u64, Instant>>,
        marked: watch::Sender<BTreeMap<u64, Instant>>,
    }

    impl Told {
        fn new(finality: Finality) -> Self {
            let (blocks, told) = watch::channel(BTreeMap::new());
            let (marked, finals) = watch::channel(BTreeMap::new());
            let finals = match finality {
                Finality::Depth(depth) => Finals::Depth(depth),
                Finality::Tag => Finals::Marked(Moments(finals)),
            };
            let watch = Watch { blocks: Moments(told), finals, _tasks: JoinSet::new() };
            Self { watch, blocks, marked }
        }

        fn when(&self, of: &watch::Sender<BTreeMap<u64, Instant>>, number: u64) -> Instant {
            of.borrow()[&number]
        }

        async fn is_not_final(&self, number: u64) -> bool {
            tokio::time::timeout(Duration::ZERO, self.watch.is_final(number)).await.is_err()
        }
    }

    #[tokio::test]
    async fn a_block_is_final_since_so_many_stand_on_it() {
        let told = Told::new(Finality::Depth(2));
        for number in [5, 6, 9, 6] {
            tell(&told.blocks, [number]);
        }
        assert_eq!(told.watch.newest(), 9);
        assert_eq!(told.watch.above(6).await.unwrap(), 9);
        assert_eq!(told.watch.is_final(4).await.unwrap(), told.when(&told.blocks, 6));
        // What was not heard of was there with the next.
        assert_eq!(told.watch.is_final(5).await.unwrap(), told.when(&told.blocks, 9));
        assert!(told.is_not_final(8).await);
    }

    #[tokio::test]
    async fn a_block_is_final_since_the_chain_has_marked_a_later_one() {
        let told = Told::new(Finality::Tag);
        tell(&told.blocks, [40]);
        assert!(told.is_not_final(8).await);
        tell(&told.marked, [16]);
        assert_eq!(told.watch.is_final(8).await.unwrap(), told.when(&told.marked, 16));
        assert!(told.is_not_final(17).await);
    }

    #[tokio::test]
    async fn a_node_that_says_nothing_more_is_not_waited_for() {
        let told = Told::new(Finality::Depth(0));
        drop(told.blocks);
        let ended = told.watch.above(0).await.unwrap_err();
        assert_eq!(ended.to_string(), "the chain's node says nothing more");
    }
}
