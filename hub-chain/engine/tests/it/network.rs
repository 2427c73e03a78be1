//! Several validators in one process, each with its own ledger, store, home and port.

use crate::toy::{Lie, Toy, ToyTransaction, key};
use std::{
    net::{SocketAddr, TcpListener},
    path::Path,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use tombolo_engine::{
    Application as _, EngineConfig, EngineError, EngineHandle, NoPush, Peer, mempool::Limits,
    peer_id, run,
};
use tombolo_store::Memory;
use tombolo_types::{Height, store::Store, transaction::Block};

/// Nothing here takes longer, also on a loaded machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(240);

pub(crate) fn home() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// How long it took.
pub(crate) async fn within(work: impl Future<Output = ()>) -> Duration {
    let start = Instant::now();
    work.await;
    start.elapsed()
}

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

pub(crate) struct Node {
    pub(crate) handle: EngineHandle,
    members: Vec<u8>,
}

impl Node {
    pub(crate) async fn alone(moniker: &str, home: &Path, store: &Arc<Memory>) -> Self {
        Self::try_alone(moniker, home, store).await.unwrap()
    }

    pub(crate) async fn try_alone(
        moniker: &str,
        home: &Path,
        store: &Arc<Memory>,
    ) -> Result<Self, EngineError> {
        Self::alone_with(moniker, home, store, |_| {}).await
    }

    pub(crate) async fn alone_with(
        moniker: &str,
        home: &Path,
        store: &Arc<Memory>,
        change: impl FnOnce(&mut Toy),
    ) -> Result<Self, EngineError> {
        let store = store.clone();
        Self::start(moniker, 1, &[1], home, free_address(), Vec::new(), store, change).await
    }

    pub(crate) async fn alone_on(
        moniker: &str,
        home: &Path,
        store: Arc<dyn Store>,
    ) -> Result<Self, EngineError> {
        Self::start(moniker, 1, &[1], home, free_address(), Vec::new(), store, |_| {}).await
    }

    #[allow(clippy::too_many_arguments)]
    async fn start(
        moniker: &str,
        n: u8,
        members: &[u8],
        home: &Path,
        listen: SocketAddr,
        peers: Vec<Peer>,
        store: Arc<dyn Store>,
        change: impl FnOnce(&mut Toy),
    ) -> Result<Self, EngineError> {
        let mut toy = Toy::open(store.clone(), members);
        change(&mut toy);
        let config = EngineConfig {
            home: home.to_owned(),
            key: key(n),
            listen,
            peers,
            moniker: moniker.to_owned(),
            mempool: Limits::default(),
        };
        let cancel = CancellationToken::new();
        let handle = run(Box::new(toy), config, store, Arc::new(NoPush), cancel).await?;
        Ok(Self { handle, members: members.to_vec() })
    }

    /// Waits until the tip is at `height` or above.
    pub(crate) async fn reach(&self, height: Height) {
        let mut tip = self.handle.tip();
        let reached = tip.wait_for(|tip| tip.height >= height);
        tokio::select! {
            reached = tokio::time::timeout(PATIENCE, reached) => {
                reached.expect("in time").expect("engine runs");
            }
            ended = self.handle.stopped() => panic!("engine ended: {ended:?}"),
        }
    }

    pub(crate) fn blocks(&self, store: &Arc<Memory>) -> Vec<Block> {
        let toy = Toy::open(store.clone(), &self.members);
        let decided = (1..=toy.tip().height.0).map(|h| toy.decided(Height(h)).unwrap().unwrap());
        decided.map(|decided| decided.block).collect()
    }
}

/// Everything that nodes of one network need before they start.
struct Network {
    name: &'static str,
    members: Vec<u8>,
    homes: Vec<TempDir>,
    stores: Vec<Arc<Memory>>,
    addresses: Vec<SocketAddr>,
}

impl Network {
    /// `count` nodes with keys 1, 2, …, of which `members` are the first validators.
    fn new(name: &'static str, count: u8, members: &[u8]) -> Self {
        Self {
            name,
            members: members.to_vec(),
            homes: (0..count).map(|_| home()).collect(),
            stores: (0..count).map(|_| Arc::default()).collect(),
            addresses: (0..count).map(|_| free_address()).collect(),
        }
    }

    async fn start(&self, n: u8) -> Node {
        self.start_with(n, |_| {}).await
    }

    async fn start_with(&self, n: u8, change: impl FnOnce(&mut Toy)) -> Node {
        self.start_as(n, n, change).await
    }

    /// The node `n` with the consensus key `key`.
    async fn start_as(&self, n: u8, key: u8, change: impl FnOnce(&mut Toy)) -> Node {
        let own = usize::from(n) - 1;
        let others = (0..self.homes.len()).filter(|other| *other != own);
        let peers = others.map(|other| Peer {
            address: self.addresses[other].to_string(),
            peer_id: peer_id(self.homes[other].path()).unwrap(),
        });
        let moniker = format!("{}-{n}", self.name);
        let (home, store) = (self.homes[own].path(), self.stores[own].clone());
        let peers = peers.collect();
        Node::start(&moniker, key, &self.members, home, self.addresses[own], peers, store, change)
            .await
            .unwrap()
    }

    /// The blocks up to `height` are the same everywhere.
    fn agree(&self, nodes: &[&Node], height: u64) {
        let chains: Vec<Vec<Block>> =
            nodes.iter().zip(&self.stores).map(|(node, store)| node.blocks(store)).collect();
        let height = height as usize;
        for chain in &chains {
            assert_eq!(chain[..height], chains[0][..height]);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_validators_agree_and_a_late_one_catches_up() {
    let network = Network::new("four", 4, &[1, 2, 3, 4]);
    let (a, b, c) = (network.start(1).await, network.start(2).await, network.start(3).await);
    for nonce in 0..20 {
        b.handle.submit(ToyTransaction::new(9, nonce).encode()).await.unwrap();
    }
    a.reach(Height(12)).await;
    let late = network.start(4).await;
    let height = a.handle.tip().borrow().height;
    late.reach(height.saturating_add(3)).await;
    for node in [&a, &b, &c] {
        node.reach(height.saturating_add(3)).await;
    }
    let metrics = late.handle.metrics();
    assert_eq!(metrics.power_total, 40);
    assert_eq!(metrics.evidence_total, 0);
    for node in [&a, &b, &c, &late] {
        node.handle.shutdown().await.unwrap();
    }
    network.agree(&[&a, &b, &c, &late], height.0 + 3);
    let taken: usize = a.blocks(&network.stores[0]).iter().map(|b| b.transactions.len()).sum();
    assert_eq!(taken, 20);
}

/// A node that is no member follows; a block makes it one, and with it the two outvote nobody:
/// both must sign from the next height on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_validator_set_changes_at_a_height() {
    let network = Network::new("grow", 2, &[1]);
    let (a, b) = (network.start(1).await, network.start(2).await);
    b.reach(Height(2)).await;
    let mut members: Vec<[u8; 20]> = [1, 2].map(|n| key(n).address().0).to_vec();
    members.sort_unstable();
    let mut change = ToyTransaction::new(7, 0);
    change.validators = Some(members);
    a.handle.submit(change.encode()).await.unwrap();
    let mut tip = a.handle.tip();
    tokio::time::timeout(PATIENCE, async {
        while a.handle.metrics().power_total != 20 {
            tip.changed().await.unwrap();
        }
    })
    .await
    .unwrap();
    let height = a.handle.tip().borrow().height.saturating_add(5);
    a.reach(height).await;
    b.reach(height).await;
    a.handle.shutdown().await.unwrap();
    b.handle.shutdown().await.unwrap();
    network.agree(&[&a, &b], height.0);
    let toy = Toy::open(network.stores[1].clone(), &[1]);
    let last = toy.decided(height).unwrap().unwrap();
    assert_eq!(last.certificate.signatures.len(), 2);
}

/// A late joiner hears of a node that serves nothing, or other blocks than it was asked for, and
/// of one that is honest. What a peer claims never gates progress: the joiner gets there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a30_lying_peers_do_not_stop_a_late_joiner() {
    for lie in [Lie::ServesNothing, Lie::ServesAnotherHeight, Lie::ServesAnotherBlock] {
        let network = Network::new(lie.name(), 3, &[1]);
        let honest = network.start(1).await;
        let liar = network.start_with(2, |toy| toy.lie = lie).await;
        liar.reach(Height(6)).await;
        let joiner = network.start(3).await;
        let height = honest.handle.tip().borrow().height.saturating_add(3);
        joiner.reach(height).await;
        for node in [&honest, &liar, &joiner] {
            node.handle.shutdown().await.unwrap();
        }
        let [of_honest, of_joiner] = [(&honest, 0), (&joiner, 2)]
            .map(|(node, n): (&Node, usize)| node.blocks(&network.stores[n]));
        let height = height.0 as usize;
        assert_eq!(of_honest[..height], of_joiner[..height], "{lie:?}");
    }
}

/// Each node of four dies without a goodbye while the others go on, comes back, and never signs
/// twice: nobody ever sees evidence.
#[test]
fn a13_killed_validators_come_back_and_never_sign_twice() {
    let network = Network::new("killed", 4, &[1, 2, 3, 4]);
    let runtime = || {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(1).enable_all().build().unwrap()
    };
    let start = |n| {
        let runtime = runtime();
        let node = runtime.block_on(network.start(n));
        (runtime, node)
    };
    let mut nodes: Vec<_> = (1..=4).map(start).collect();
    let mut height = Height(0);
    for victim in [2, 0, 3, 1] {
        let (runtime, node) = nodes.swap_remove(victim);
        height = height.saturating_add(3);
        runtime.block_on(node.reach(height));
        // All tasks stop at whatever they await.
        drop(node);
        runtime.shutdown_background();
        nodes.push(start(victim as u8 + 1));
        let last = nodes.len() - 1;
        nodes.swap(victim, last);
    }
    height = height.saturating_add(3);
    for (runtime, node) in &nodes {
        runtime.block_on(node.reach(height));
        assert_eq!(node.handle.metrics().evidence_total, 0);
    }
    for (runtime, node) in &nodes {
        runtime.block_on(node.handle.shutdown()).unwrap();
    }
    let nodes: Vec<&Node> = nodes.iter().map(|(_, node)| node).collect();
    network.agree(&nodes, height.0);
}

/// Req: D35-7.1.1-0, D35-7.1.1-0. With two of four gone the chain halts, does not fork, and does
/// not end the nodes that wait; with one back it goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_of_four_gone_halt_the_chain_and_it_resumes() {
    let network = Network::new("halt", 4, &[1, 2, 3, 4]);
    let impatient = |toy: &mut Toy| toy.timing.no_height_limit = Duration::from_secs(10);
    let mut nodes = Vec::new();
    for n in 1..=4 {
        nodes.push(network.start_with(n, impatient).await);
    }
    for node in &nodes {
        node.reach(Height(3)).await;
    }
    nodes[3].handle.shutdown().await.unwrap();
    let height = nodes[0].handle.tip().borrow().height;
    nodes[0].reach(height.saturating_add(3)).await;
    nodes[2].handle.shutdown().await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let halted = nodes[0].handle.tip().borrow().height;
    tokio::time::sleep(Duration::from_secs(12)).await;
    assert_eq!(nodes[0].handle.tip().borrow().height, halted);
    nodes[2] = network.start_with(3, impatient).await;
    for node in &nodes[..3] {
        node.reach(halted.saturating_add(3)).await;
        node.handle.shutdown().await.unwrap();
    }
    network.agree(&[&nodes[0], &nodes[1], &nodes[2]], halted.0 + 3);
}

/// Connected, and no block all the same: such a node must restart rather than hang. The other one
/// may lose it before its own patience ends; alone, it waits.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_height_while_connected_ends_the_engine() {
    let network = Network::new("stubborn", 2, &[1, 2]);
    let stubborn = |toy: &mut Toy| {
        toy.timing.no_height_limit = Duration::from_secs(3);
        toy.stubborn = true;
    };
    let (a, b) = (network.start_with(1, stubborn).await, network.start_with(2, stubborn).await);
    let first = async {
        tokio::select! {
            ended = a.handle.stopped() => ended,
            ended = b.handle.stopped() => ended,
        }
    };
    let error = tokio::time::timeout(PATIENCE, first).await.unwrap().unwrap_err();
    assert!(matches!(*error, EngineError::NoHeight { height: Height(0), .. }), "{error}");
    for node in [&a, &b] {
        if let Err(error) = node.handle.shutdown().await {
            assert!(matches!(*error, EngineError::NoHeight { .. }), "{error}");
        }
    }
}

/// A proposer whose clock is wrong costs a round, and its times enter no block.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a61_a_proposer_ahead_of_time_is_passed_over() {
    let network = Network::new("ahead", 4, &[1, 2, 3, 4]);
    let hasty = network.start_with(1, |toy| toy.ahead_ms = 3_600_000).await;
    let mut nodes = vec![hasty];
    for n in 2..=4 {
        nodes.push(network.start(n).await);
    }
    nodes[1].reach(Height(8)).await;
    let limit = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64 + 500;
    let time = nodes[1].handle.tip().borrow().time;
    assert!(time.0 <= limit);
    assert!(nodes[1].handle.metrics().rounds_repeated_total > 0);
    for node in &nodes {
        node.handle.shutdown().await.unwrap();
    }
}

/// Two machines with one key and homes of their own: no guard can know, but all others see it,
/// and the chain goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a13_two_machines_with_one_key_are_seen() {
    let network = Network::new("twins", 5, &[1, 2, 3, 4]);
    let mut nodes = Vec::new();
    for n in 1..=4 {
        nodes.push(network.start(n).await);
    }
    nodes.push(network.start_as(5, 4, |_| {}).await);
    let seen = async {
        while nodes[..3].iter().all(|node| node.handle.metrics().evidence_total == 0) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, seen).await.unwrap();
    let height = nodes[0].handle.tip().borrow().height;
    nodes[0].reach(height.saturating_add(3)).await;
    for node in &nodes {
        node.handle.shutdown().await.unwrap();
    }
}
