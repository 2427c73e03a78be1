//! Runs consensus over a ledger, and watches it: whatever breaks ends the engine, and the caller
//! must then end the process.

use arc_malachitebft_app_channel::{
    Channels, ConsensusContext, EngineBuilder, EngineHandle as Consensus, NetworkContext,
    NetworkIdentity, NetworkRequest, RequestContext, Signer as _, SyncContext, WalContext,
    app::{
        config::{
            ConsensusConfig, DiscoveryConfig, GossipSubConfig, NodeConfig, P2pConfig,
            PubSubProtocol, ValueSyncConfig,
        },
        types::codec::Codec as _,
        wal,
    },
};
use std::{
    fs, io,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    thread::JoinHandle,
    time::Duration,
};
use tokio::{
    sync::{broadcast, mpsc, watch},
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tombolo_crypto::secp256k1::SecretKey;
use tombolo_types::{Address, Height, Refusal, id::TxId, store::Store};

use crate::{
    application::{Application, Fatal, Push, Tip},
    blocks::Blocks,
    codec::TomboloCodec,
    context::{Context, Voter},
    desk::Desk,
    driver::Driver,
    guard::{Guard, GuardError},
    identity::{self, IdentityError, PeerId},
    ledger::Ledger,
    mempool::{Limits, Mempool},
    metrics::{Metrics, Shared},
    signing::{Checker, Keys},
};

/// How long a lock that a killed process still holds is waited for.
const LOCK_PATIENCE: Duration = Duration::from_secs(5);
/// How often a lock is tried.
const LOCK_INTERVAL: Duration = Duration::from_millis(100);
/// How often the connections are counted.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);
/// How long the parts of the engine may take to stop.
const STOP_PATIENCE: Duration = Duration::from_secs(10);
/// Committed heights that a slow listener may lag behind before it misses some.
const COMMITTED_MAX: usize = 1024;
/// Requests to the library that may wait; only the watch below makes any.
const REQUESTS_MAX: usize = 16;
/// Connections from one address: more than a network on one machine needs.
const CONNECTIONS_PER_IP: usize = 256;

/// Another node that this one connects to. Nobody else is let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// `host:port`, the host a name or an address.
    pub address: String,
    /// The name of its connection key: whoever answers there with another is not it.
    pub peer_id: PeerId,
}

/// What the engine needs to know.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// The folder for the consensus log, the guard of the signing key and the connection key.
    pub home: PathBuf,
    /// The consensus key. A node whose key is in no validator set follows and serves.
    pub key: SecretKey,
    /// Where peers connect to, over TCP; port 0 chooses one.
    pub listen: SocketAddr,
    /// All other nodes of the network that this one talks to.
    pub peers: Vec<Peer>,
    /// A name for logs and metrics; unique within a process.
    pub moniker: String,
    /// The bounds of the mempool.
    pub mempool: Limits,
}

/// Why the engine did not start, or ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// The ledger, its store or the consensus task broke.
    #[error(transparent)]
    Fatal(#[from] Fatal),
    /// The guard of the signing key.
    #[error(transparent)]
    Guard(#[from] GuardError),
    /// The connection key.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// A file of the home cannot be used.
    #[error("{} cannot be used: {source}", path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The store is older than what was signed or logged: a restored copy, or a lost disk. Voting
    /// from there could contradict votes that are out already.
    #[error(
        "the ledger is at height {tip}, but this key took part in height {seen}: the data folder \
         is older than the signatures in {}; start the node with another key until it has caught \
         up from its peers to height {seen}, then with this one",
        home.display()
    )]
    Behind {
        /// The ledger's height.
        tip: Height,
        /// The height of the log or the guard.
        seen: Height,
        /// The home.
        home: PathBuf,
    },
    /// An address that is none.
    #[error("`{address}` is not host:port")]
    Address {
        /// What was given.
        address: String,
    },
    /// The consensus library did not start.
    #[error("consensus did not start: {why}")]
    Start {
        /// What it said.
        why: String,
    },
    /// The consensus library stopped on its own.
    #[error("consensus stopped by itself; its last log lines say why")]
    Stopped,
    /// The task that answers consensus panicked.
    #[error("the task that answers consensus panicked: {why}")]
    Panicked {
        /// What it said.
        why: String,
    },
    /// Connected to more than two thirds of the power, and yet no block.
    #[error(
        "no block after height {height} for {waited:?}, though validators with more than two \
         thirds of the power are connected; the process must restart"
    )]
    NoHeight {
        /// The newest height.
        height: Height,
        /// For how long.
        waited: Duration,
    },
}

/// How the engine ended: `None` while it runs.
type Outcome = Option<Result<(), Arc<EngineError>>>;

/// A running engine. Copies are the same engine; it ends when it is told to or when something
/// breaks, not when the last copy goes.
#[derive(Clone)]
pub struct EngineHandle {
    ledger: Ledger,
    shared: Arc<Shared>,
    peers: usize,
    tip: watch::Receiver<Tip>,
    committed: broadcast::Sender<Height>,
    outcome: watch::Receiver<Outcome>,
    cancel: CancellationToken,
}

impl EngineHandle {
    /// Hands in a client's transaction; where it is new, it is pushed to the peers.
    ///
    /// # Errors
    /// What the door refuses; `E_LIMIT` where too much waits; `E_STATE` while stopping.
    pub async fn submit(&self, transaction: Vec<u8>) -> Result<TxId, Refusal> {
        self.ledger.submit(transaction, true).await
    }

    /// Hands in a transaction that a peer pushed; it goes no further.
    ///
    /// # Errors
    /// As [`submit`](Self::submit).
    pub async fn receive(&self, transaction: Vec<u8>) -> Result<TxId, Refusal> {
        self.ledger.submit(transaction, false).await
    }

    /// The newest committed block, as it changes.
    #[must_use]
    pub fn tip(&self) -> watch::Receiver<Tip> {
        self.tip.clone()
    }

    /// Every committed height from now on. A listener that lags far behind is told so, and reads
    /// on from the ledger.
    #[must_use]
    pub fn committed(&self) -> broadcast::Receiver<Height> {
        self.committed.subscribe()
    }

    /// What the engine counts.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        self.shared.snapshot(self.peers)
    }

    /// Waits for the end.
    ///
    /// # Errors
    /// Why the engine ended, where it was not told to. The process must then end, too.
    pub async fn stopped(&self) -> Result<(), Arc<EngineError>> {
        let mut outcome = self.outcome.clone();
        match outcome.wait_for(Option::is_some).await {
            Ok(ended) => ended.clone().unwrap_or(Ok(())),
            Err(_) => Err(Arc::new(EngineError::Stopped)),
        }
    }

    /// Stops the engine, and waits until its files are closed.
    ///
    /// # Errors
    /// Why the engine had ended before.
    pub async fn shutdown(&self) -> Result<(), Arc<EngineError>> {
        self.cancel.cancel();
        self.stopped().await
    }
}

/// Starts consensus over `application`. `store` is where blocks are kept until they are decided;
/// it may be the ledger's own, for the engine keeps to the prefix `e`. Ends when `cancel` does.
///
/// # Errors
/// [`EngineError`] where it does not start.
pub async fn run(
    application: Box<dyn Application>,
    config: EngineConfig,
    store: Arc<dyn Store>,
    push: Arc<dyn Push>,
    cancel: CancellationToken,
) -> Result<EngineHandle, EngineError> {
    let tip = application.tip();
    let chain = application.chain_id();
    let log = config.home.join("consensus.log");
    fs::create_dir_all(&config.home)
        .map_err(|source| EngineError::File { path: config.home.clone(), source })?;
    let guard = open_guard(&config.home.join("signed.guard")).await?;
    let logged = log_height(&log).await?;
    let signed = guard.last().map_or(Height(0), |position| position.height);
    let seen = logged.max(signed);
    if seen > tip.height.next() {
        return Err(EngineError::Behind { tip: tip.height, seen, home: config.home });
    }

    let shared = Arc::new(Shared::default());
    shared.set_height(tip.height);
    let (tip_sender, tip) = watch::channel(tip);
    let (committed, _) = broadcast::channel(COMMITTED_MAX);
    let keys = Keys {
        chain,
        key: config.key.clone(),
        guard: Arc::new(Mutex::new(guard)),
        shared: Arc::clone(&shared),
    };
    let blocks = Blocks::load(store, tip.borrow().height.next())?;
    let desk = Desk {
        application,
        blocks,
        mempool: Mempool::new(config.mempool),
        keys: keys.clone(),
        push,
        shared: Arc::clone(&shared),
        tip: tip_sender,
        committed: committed.clone(),
        busy: false,
        early: Vec::new(),
    };
    let patience = desk.application.timing().bounded().no_height_limit;
    let (ledger, thread) = Ledger::spawn(desk).map_err(Fatal::from)?;
    let started = start(&config, keys.clone(), log).await;
    let (channels, consensus) = match started {
        Ok(started) => started,
        Err(error) => {
            ledger.close();
            return Err(error);
        }
    };
    let driver = Driver::new(ledger.clone(), Arc::clone(&shared), channels.network);
    let (ended, outcome) = watch::channel(None);
    let engine = Engine {
        ledger: ledger.clone(),
        thread,
        keys,
        consensus,
        cancel: cancel.clone(),
        watch: Watch {
            me: config.key.address(),
            shared: Arc::clone(&shared),
            network: channels.net_requests,
            tip: tip.clone(),
            patience,
        },
    };
    // Held by its own `outcome`: whoever waits on the handle learns of its end.
    tokio::spawn(async move {
        let result = engine.supervise(driver.run(channels.consensus)).await;
        if let Err(error) = &result {
            tracing::error!(%error, "engine ended");
        }
        ended.send_replace(Some(result.map_err(Arc::new)));
    });
    Ok(EngineHandle { ledger, shared, peers: config.peers.len(), tip, committed, outcome, cancel })
}

/// Right after a kill, the lock of the dead process may last a moment.
async fn open_guard(path: &Path) -> Result<Guard, GuardError> {
    let until = Instant::now() + LOCK_PATIENCE;
    loop {
        match Guard::open(path) {
            Err(GuardError::Locked { .. }) if Instant::now() < until => sleep(LOCK_INTERVAL).await,
            opened => return opened,
        }
    }
}

/// The height whose messages the consensus log holds.
async fn log_height(path: &Path) -> Result<Height, EngineError> {
    let until = Instant::now() + LOCK_PATIENCE;
    loop {
        match wal::Log::open(path) {
            Ok(log) => return Ok(Height(log.sequence())),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && Instant::now() < until => {
                sleep(LOCK_INTERVAL).await;
            }
            Err(source) => return Err(EngineError::File { path: path.to_owned(), source }),
        }
    }
}

/// The library's view of the configuration.
struct Settings {
    moniker: String,
    consensus: ConsensusConfig,
    sync: ValueSyncConfig,
}

impl NodeConfig for Settings {
    fn moniker(&self) -> &str {
        &self.moniker
    }

    fn consensus(&self) -> &ConsensusConfig {
        &self.consensus
    }

    fn consensus_mut(&mut self) -> &mut ConsensusConfig {
        &mut self.consensus
    }

    fn value_sync(&self) -> &ValueSyncConfig {
        &self.sync
    }

    fn value_sync_mut(&mut self) -> &mut ValueSyncConfig {
        &mut self.sync
    }
}

/// `/ip4/…/tcp/…`, or `/dns/…` for a name.
fn multiaddr(address: &str) -> Option<String> {
    let (host, port) = address.rsplit_once(':')?;
    let port: u16 = port.parse().ok()?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let kind = match host.parse() {
        Ok(IpAddr::V4(_)) => "ip4",
        Ok(IpAddr::V6(_)) => "ip6",
        Err(_) if host.is_empty() || host.contains('/') => return None,
        Err(_) => "dns",
    };
    Some(format!("/{kind}/{host}/tcp/{port}"))
}

fn settings(config: &EngineConfig) -> Result<Settings, EngineError> {
    let invalid = |address: &str| EngineError::Address { address: address.to_owned() };
    let mut persistent_peers = Vec::new();
    for peer in &config.peers {
        let address = multiaddr(&peer.address).ok_or_else(|| invalid(&peer.address))?;
        let pinned = format!("{address}/p2p/{}", peer.peer_id);
        persistent_peers.push(pinned.parse().map_err(|_| invalid(&peer.address))?);
    }
    let listen = config.listen.to_string();
    let listen_addr = multiaddr(&listen).and_then(|address| address.parse().ok());
    // Six peers in the mesh as upstream has it; the configured ones always get everything.
    let gossip = GossipSubConfig::new(6, 12, 4, 2, false, true, true);
    let p2p = P2pConfig {
        listen_addr: listen_addr.ok_or_else(|| invalid(&listen))?,
        persistent_peers,
        persistent_peers_only: true,
        discovery: DiscoveryConfig {
            enabled: false,
            max_connections_per_ip: CONNECTIONS_PER_IP,
            ..DiscoveryConfig::default()
        },
        protocol: PubSubProtocol::GossipSub(gossip),
        ..P2pConfig::default()
    };
    Ok(Settings {
        moniker: config.moniker.clone(),
        // The default payload, proposal and parts, is the only one that asks the ledger.
        consensus: ConsensusConfig { p2p, ..ConsensusConfig::default() },
        sync: ValueSyncConfig {
            status_update_interval: Duration::from_secs(1),
            ..ValueSyncConfig::default()
        },
    })
}

async fn start(
    config: &EngineConfig,
    keys: Keys,
    log: PathBuf,
) -> Result<(Channels<Context>, Consensus), EngineError> {
    let failed = |why: &dyn std::fmt::Display| EngineError::Start { why: why.to_string() };
    let settings = settings(config)?;
    let keypair = identity::keypair(&config.home)?;
    let address = keys.address();
    let peer = keypair.public().to_peer_id().to_bytes();
    let proof =
        keys.sign_validator_proof(address.0.to_vec(), peer).await.map_err(|e| failed(&e))?;
    let proof = TomboloCodec.encode(&proof).map_err(|e| failed(&e))?;
    let identity =
        NetworkIdentity::new_validator(config.moniker.clone(), keypair, address.to_string(), proof);
    let checker = Checker { chain: keys.chain };
    EngineBuilder::new(Context, settings)
        .with_default_wal(WalContext::new(log, TomboloCodec))
        .with_default_network(NetworkContext::new(identity, TomboloCodec))
        .with_default_sync(SyncContext::new(TomboloCodec))
        .with_default_consensus(ConsensusContext::new_validator(
            Voter(address),
            Box::new(checker),
            Box::new(keys),
        ))
        .with_default_request(RequestContext::new(REQUESTS_MAX))
        .build()
        .await
        .map_err(|error| failed(&format!("{error:#}")))
}

/// What must be running, and the order to stop.
struct Engine {
    ledger: Ledger,
    thread: JoinHandle<()>,
    keys: Keys,
    consensus: Consensus,
    cancel: CancellationToken,
    watch: Watch,
}

impl Engine {
    /// Runs until told to stop or until a part ends; then stops all parts.
    async fn supervise(
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
struct Watch {
    me: Address,
    shared: Arc<Shared>,
    network: mpsc::Sender<NetworkRequest>,
    tip: watch::Receiver<Tip>,
    patience: Duration,
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
        let keys = dump.peers.values().filter_map(|peer| peer.consensus_public_key.as_deref());
        let mut validators: Vec<Address> =
            keys.filter_map(|key| key.try_into().ok().map(Address)).collect();
        validators.push(self.me);
        validators.sort_unstable();
        validators.dedup();
        self.shared.set_connected(dump.peers.len(), &validators)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_peers() {
        for (text, expected) in [
            ("127.0.0.1:26656", Some("/ip4/127.0.0.1/tcp/26656")),
            ("[::1]:7", Some("/ip6/::1/tcp/7")),
            ("hub-2.example:26656", Some("/dns/hub-2.example/tcp/26656")),
            ("127.0.0.1", None),
            (":1", None),
            ("a/b:1", None),
            ("a:65536", None),
        ] {
            assert_eq!(multiaddr(text).as_deref(), expected, "{text}");
        }
    }
}
