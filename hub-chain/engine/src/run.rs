//! Runs consensus over a ledger, and watches it: whatever breaks ends the engine, and the caller
//! must then end the process.

use arc_malachitebft_app_channel::{
    Channels, ConsensusContext, EngineBuilder, EngineHandle as Consensus, NetworkIdentity,
    RequestContext, Signer as _, SyncContext, WalContext,
    app::{config::NodeConfig as _, metrics::SharedRegistry, types::codec::Codec as _, wal},
    spawn::spawn_network_actor,
};
use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    sync::{broadcast, watch},
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;
use tombolo_types::{Height, Refusal, id::TxId, store::Store};

use crate::{
    application::{Application, Fatal, Push, Tip},
    blocks::Blocks,
    codec::TomboloCodec,
    config::{EngineConfig, settings},
    context::{Context, Voter},
    desk::Desk,
    driver::Driver,
    gate,
    guard::{Guard, GuardError},
    identity::{self, IdentityError},
    ledger::Ledger,
    mempool::Mempool,
    metrics::{Metrics, Shared},
    signing::{Checker, Keys},
    supervise::{Engine, Watch},
};

/// How long a lock that a killed process still holds is waited for.
const LOCK_PATIENCE: Duration = Duration::from_secs(5);
/// How often a lock is tried.
const LOCK_INTERVAL: Duration = Duration::from_millis(100);
/// Committed heights that a slow listener may lag behind before it misses some.
const COMMITTED_MAX: usize = 1024;
/// Requests to the library that may wait; only the watch below makes any.
const REQUESTS_MAX: usize = 16;

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
        "the ledger is at height {tip}, but this node has signed or logged height {seen}: its \
         ledger folder is older than that; let a node with another key and another home catch up \
         from the peers to height {seen} and put its ledger folder in place of this one's, but \
         keep {} as it is, or this node could sign against itself",
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
        empty_in_a_row: crate::desk::BLOCKS_UNTIL_REST,
        early: Vec::new(),
    };
    let patience = desk.application.timing().bounded().no_height_limit;
    let (ledger, thread) = Ledger::spawn(desk).map_err(Fatal::from)?;
    let started = start(&config, keys.clone(), log, Arc::clone(&shared)).await;
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

/// The height whose messages the consensus log holds. The library's error does not tell a lock
/// from other faults, so all are tried again.
async fn log_height(path: &Path) -> Result<Height, EngineError> {
    let until = Instant::now() + LOCK_PATIENCE;
    loop {
        match wal::Log::open(path) {
            Ok(log) => return Ok(Height(log.sequence())),
            Err(_) if Instant::now() < until => sleep(LOCK_INTERVAL).await,
            Err(source) => return Err(EngineError::File { path: path.to_owned(), source }),
        }
    }
}

async fn start(
    config: &EngineConfig,
    keys: Keys,
    log: PathBuf,
    shared: Arc<Shared>,
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
    let (network, parts) = spawn_network_actor(
        identity,
        settings.consensus(),
        settings.value_sync(),
        &SharedRegistry::global().with_moniker(&config.moniker),
        TomboloCodec,
    )
    .await
    .map_err(|error| failed(&format!("{error:#}")))?;
    let peers = config.peers.iter().map(|peer| peer.peer_id.of_library()).collect();
    let network = gate::put_before(network, peers, shared).await.map_err(|e| failed(&e))?;
    EngineBuilder::new(Context, settings)
        .with_default_wal(WalContext::new(log, TomboloCodec))
        .with_custom_network(network, parts)
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
