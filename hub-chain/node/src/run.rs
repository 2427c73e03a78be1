//! Wiring: from a configuration to a node that runs, and from any part that ends to an exit.

use crate::{
    api::{Alarm, Api, Finished, Parts},
    application::{LedgerApplication, OpenError},
    chain::{Chain, STORE_SCHEMA},
    config::Config,
    door::Door,
    home::{self, GenesisError},
    keys::{KeyError, Keystore},
    listener::BoundedListener,
    metrics::{Metrics, Sample},
    push::Pusher,
    query::Queries,
    query_journal::QueryJournal,
    server::{self, Health},
};
use std::{
    io,
    net::SocketAddr,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread::JoinHandle,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::{
    net::TcpListener,
    sync::{broadcast, mpsc},
    task::JoinSet,
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tombolo_engine::{EngineConfig, EngineError, EngineHandle, mempool::Limits};
use tombolo_explorer::Explorer;
use tombolo_ledger::{Machine, Parameters, block, records};
use tombolo_proto::ClientError;
use tombolo_store::Sled;
use tombolo_types::{
    UnixMillis,
    id::ChainId,
    store::{Store, StoreError},
};

/// How long calls under way may take to end when the node stops.
const DRAIN: Duration = Duration::from_secs(5);
/// Blocks of which a slow waiter may lag behind before it reads the store instead.
const FINISHED_MAX: usize = 256;

/// Why a node did not start, or ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Exit {
    /// The genesis document.
    #[error(transparent)]
    Genesis(#[from] GenesisError),
    /// The consensus key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The ledger's store.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A listener.
    #[error("cannot listen at {address} for {what}: {source}")]
    Listen {
        /// For what.
        what: &'static str,
        /// Where.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The journal of the door, or that of queries.
    #[error("a journal of this node cannot be kept: {0}")]
    Journal(io::Error),
    /// A peer's address.
    #[error(transparent)]
    Peer(#[from] ClientError),
    /// The engine did not start, or ended.
    #[error("consensus ended: {0}")]
    Engine(Arc<EngineError>),
    /// Another part ended unasked.
    #[error("{part} ended: {why}")]
    Part {
        /// Which.
        part: &'static str,
        /// Why.
        why: String,
    },
}

impl From<StoreError> for Exit {
    fn from(error: StoreError) -> Self {
        Self::Open(error.into())
    }
}

/// One kind of ledger with what it shows of its own.
pub struct Kind<M> {
    /// What the ledger does.
    pub machine: M,
    /// What it shows.
    pub queries: Arc<dyn Queries>,
}

/// A node that runs. It ends when its token is cancelled or a part breaks; see [`Node::ended`].
pub struct Node {
    chain_id: ChainId,
    grpc: SocketAddr,
    metrics: Option<SocketAddr>,
    engine: EngineHandle,
    parts: JoinSet<(&'static str, Result<(), String>)>,
    alarms: mpsc::Receiver<(&'static str, String)>,
    journals: [JoinHandle<io::Result<()>>; 2],
    tasks: TaskTracker,
    front: CancellationToken,
    cancel: CancellationToken,
}

/// Runs a node until `cancel`.
///
/// # Errors
/// [`Exit`]: why it did not start, or which part ended. The process must then end with status 1.
pub async fn run<M: Machine>(
    kind: Kind<M>,
    config: Config,
    cancel: CancellationToken,
) -> Result<(), Exit> {
    start(kind, config, cancel).await?.ended().await
}

/// Starts a node.
///
/// # Errors
/// [`Exit`] where it does not start; nothing of it is left running then.
pub async fn start<M: Machine>(
    kind: Kind<M>,
    config: Config,
    cancel: CancellationToken,
) -> Result<Node, Exit> {
    let grpc = listen("gRPC", config.grpc_listen).await?;
    let http = match config.metrics_listen {
        Some(address) => Some(listen("metrics", address).await?),
        None => None,
    };
    let metrics = Arc::new(Metrics::default());
    let (finished, _) = broadcast::channel(FINISHED_MAX);
    let Kind { machine, queries } = kind;
    let opened = {
        let (config, metrics, finished) = (config.clone(), Arc::clone(&metrics), finished.clone());
        tokio::task::spawn_blocking(move || open(machine, &config, metrics, finished))
    };
    let panicked =
        |error: tokio::task::JoinError| Exit::Part { part: "opening", why: error.to_string() };
    let Opened { chain, application, key } = opened.await.map_err(panicked)??;
    let chain_id = chain.tip().map_or(ChainId::ZERO, |tip| tip.chain_id);

    let (tasks, front) = (TaskTracker::new(), CancellationToken::new());
    // Where the start fails from here on, what has been spawned ends with it.
    let spawned = front.clone().drop_guard();
    let pusher = Pusher::start(&config.push_to, Arc::clone(&metrics), &tasks, &front)?;
    let engine_config = EngineConfig {
        home: home::engine_folder(&config.home),
        key,
        listen: config.p2p_listen,
        peers: config.peers.clone(),
        moniker: config.moniker.clone(),
        mempool: Limits::default(),
    };
    let engine = tombolo_engine::run(
        Box::new(application),
        engine_config,
        Arc::clone(chain.store()),
        Arc::new(pusher),
        // Its own: it stops after the calls under way have ended.
        CancellationToken::new(),
    )
    .await
    .map_err(|error| Exit::Engine(Arc::new(error)))?;

    let opened = open_journals(&config.home, &chain, &engine, &metrics);
    let (door, asked, journals) = match opened {
        Ok(opened) => opened,
        Err(error) => {
            let _ = engine.shutdown().await;
            return Err(Exit::Journal(error));
        }
    };
    let (explorer, index) = tombolo_explorer::start(
        home::index_file(&config.home),
        Arc::clone(&chain),
        engine.tip(),
        front.clone(),
    );
    let (alarm, alarms) = Alarm::new();
    let grpc_address = address_of(&grpc, config.grpc_listen);
    let metrics_address =
        http.as_ref().zip(config.metrics_listen).map(|(it, at)| address_of(it, at));
    let api = Api::new(Parts {
        chain: Arc::clone(&chain),
        engine: engine.clone(),
        queries,
        explorer: explorer.clone(),
        asked,
        door,
        finished,
        tasks: tasks.clone(),
        cancel: front.clone(),
        alarm,
    });
    let mut parts = JoinSet::new();
    let grpc = BoundedListener::new(grpc, server::CALLERS);
    let mut turned_away = vec![grpc.turned_away()];
    let served = server::serve_grpc(grpc, api, front.clone());
    parts.spawn(async move { ("index", index.await.map_err(|error| error.to_string())) });
    parts.spawn(async move { ("gRPC", served.await.map_err(|error| error.to_string())) });
    if let Some(http) = http {
        let http = BoundedListener::new(http, server::WATCHERS);
        turned_away.push(http.turned_away());
        let health = Arc::new(NodeHealth {
            chain,
            engine: engine.clone(),
            explorer,
            metrics,
            turned_away,
            height: AtomicU64::new(0),
            since_ms: AtomicU64::new(now().0),
        });
        let served = server::serve_http(http, health, front.clone());
        parts.spawn(async move { ("metrics", served.await.map_err(|error| error.to_string())) });
    }
    spawned.disarm();
    tracing::info!(%chain_id, grpc = %grpc_address, "node started");
    Ok(Node {
        chain_id,
        grpc: grpc_address,
        metrics: metrics_address,
        engine,
        parts,
        alarms,
        journals,
        tasks,
        front,
        cancel,
    })
}

type Journals = (Door, QueryJournal, [JoinHandle<io::Result<()>>; 2]);

fn open_journals<M: Machine>(
    home: &Path,
    chain: &Arc<Chain<M>>,
    engine: &EngineHandle,
    metrics: &Arc<Metrics>,
) -> io::Result<Journals> {
    let (door, first) = Door::open(
        &home::door_journal(home),
        Arc::clone(chain),
        engine.clone(),
        Arc::clone(metrics),
    )?;
    let (asked, second) = QueryJournal::open(&home::query_journal(home), Arc::clone(metrics))?;
    Ok((door, asked, [first, second]))
}

async fn listen(what: &'static str, address: SocketAddr) -> Result<TcpListener, Exit> {
    TcpListener::bind(address).await.map_err(|source| Exit::Listen { what, address, source })
}

fn address_of(listener: &TcpListener, asked: SocketAddr) -> SocketAddr {
    listener.local_addr().unwrap_or(asked)
}

fn now() -> UnixMillis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMillis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

struct Opened<M> {
    chain: Arc<Chain<M>>,
    application: LedgerApplication<M>,
    key: tombolo_crypto::secp256k1::SecretKey,
}

/// All that blocks: the key's derivation, and the store.
fn open<M: Machine>(
    machine: M,
    config: &Config,
    metrics: Arc<Metrics>,
    finished: broadcast::Sender<Finished>,
) -> Result<Opened<M>, Exit> {
    let genesis = home::read_genesis(&config.genesis)?;
    let key = Keystore::new(config.keystore()).load(&config.key, &config.passphrase.read()?)?;
    let folder = home::ledger_folder(&config.home);
    let store: Arc<dyn Store> =
        Arc::new(Sled::open(folder, config.store_cache_bytes, STORE_SCHEMA)?);
    let chain = Arc::new(Chain::new(machine, store));
    let application = LedgerApplication::open(Arc::clone(&chain), &genesis)?;
    let application = application.with_on_commit(Box::new(move |kept| {
        metrics.committed(kept.decided, kept.flush);
        // Nobody may be waiting.
        let _ = finished.send(Arc::new(kept.transactions.iter().copied().collect()));
    }));
    Ok(Opened { chain, application, key })
}

impl Node {
    /// The ledger.
    #[must_use]
    pub fn chain_id(&self) -> ChainId {
        self.chain_id
    }

    /// Where gRPC is served.
    #[must_use]
    pub fn grpc(&self) -> SocketAddr {
        self.grpc
    }

    /// Where metrics are served.
    #[must_use]
    pub fn metrics(&self) -> Option<SocketAddr> {
        self.metrics
    }

    /// Waits for the end, and ends all parts: first no new calls, then those under way, then the
    /// engine, which closes its files.
    ///
    /// # Errors
    /// The first part that ended unasked.
    pub async fn ended(mut self) -> Result<(), Exit> {
        let cause = tokio::select! {
            () = self.cancel.cancelled() => None,
            ended = self.engine.stopped() => Some(match ended {
                Ok(()) => Exit::Part { part: "consensus", why: "it was told to".to_owned() },
                Err(error) => Exit::Engine(error),
            }),
            Some((part, why)) = self.alarms.recv() => Some(Exit::Part { part, why }),
            Some(ended) = self.parts.join_next() => Some(match ended {
                Ok((part, Ok(()))) => Exit::Part { part, why: "it stopped by itself".to_owned() },
                Ok((part, Err(why))) => Exit::Part { part, why },
                Err(error) => Exit::Part { part: "a listener", why: error.to_string() },
            }),
        };
        self.front.cancel();
        self.tasks.close();
        let drained = timeout(DRAIN, async {
            while self.parts.join_next().await.is_some() {}
            self.tasks.wait().await;
        });
        if drained.await.is_err() {
            tracing::warn!(calls = self.tasks.len(), "calls were cut off");
            self.parts.shutdown().await;
        }
        let stopped = self.engine.shutdown().await;
        // Who writes journals is gone with the interface: their threads have ended or are about to.
        let journals = tokio::task::spawn_blocking(move || self.journals.map(JoinHandle::join));
        let journals = timeout(DRAIN, journals).await;
        tracing::info!("node stopped");
        if let Some(cause) = cause {
            return Err(cause);
        }
        for kept in journals.into_iter().flatten().flatten() {
            if let Ok(Err(error)) = kept {
                return Err(Exit::Journal(error));
            }
        }
        stopped.map_err(Exit::Engine)
    }
}

/// Answers the HTTP listener.
struct NodeHealth<M> {
    chain: Arc<Chain<M>>,
    engine: EngineHandle,
    explorer: Explorer,
    metrics: Arc<Metrics>,
    turned_away: Vec<Arc<AtomicU64>>,
    height: AtomicU64,
    since_ms: AtomicU64,
}

impl<M: Machine> Health for NodeHealth<M> {
    fn metrics(&self) -> String {
        let links = self.chain.links().links.into_iter();
        let now = block::tip(self.chain.view()).map_or(UnixMillis::ZERO, |tip| tip.time);
        let left = |view: tombolo_proto::view::LinkView| {
            let until = view.client.newest_time.saturating_add(view.client.trusting_period_ms);
            (view.id.to_string(), until.since(now))
        };
        let log_size = records::log(self.chain.view()).size();
        let sample = Sample {
            engine: self.engine.metrics(),
            index_behind: log_size.saturating_sub(self.explorer.indexed()),
            turned_away: self.turned_away.iter().map(|count| count.load(Relaxed)).sum(),
            trust_ms: links.map(left).collect(),
            // Only a number for people; a store that cannot be read shows elsewhere.
            store_bytes: self.chain.store().size_bytes().unwrap_or_default(),
        };
        self.metrics.render(&sample)
    }

    /// Ready is a node whose height moved within the limit after which it would stop.
    fn ready(&self) -> Result<(), String> {
        let height = self.engine.tip().borrow().height.0;
        let now = now();
        if self.height.swap(height, Relaxed) != height {
            self.since_ms.store(now.0, Relaxed);
        }
        let waited = now.since(UnixMillis(self.since_ms.load(Relaxed)));
        let limit = Parameters::of(self.chain.view()).no_height_limit_ms;
        if height == 0 {
            return Err("there is no block yet".to_owned());
        }
        if waited > limit {
            return Err(format!("no block after height {height} for {waited} ms"));
        }
        Ok(())
    }
}
