//! Runs and shows a relayer.

use crate::{
    evm::Ends,
    key, output,
    party::until,
    process::{Lives, bind},
    relayer_config::{Config, EXAMPLE, End},
};
use anyhow::Context as _;
use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};
use tokio::task::JoinSet;
use tokio_stream::StreamExt as _;
use tokio_util::sync::CancellationToken;
use tombolo_adapter::AdapterError;
use tombolo_crypto::secp256k1::SecretKey;
use tombolo_islet::{adapter::LedgerAdapter, signer::Signer};
use tombolo_node::{keys::Keystore, server::WATCHERS, telemetry};
use tombolo_proto::{
    client::LedgerClient,
    view::{LinkStatus, LinkView},
};
use tombolo_relayer::{Endpoint, LinkReport, LinkTask, Metrics, Reports, serve_reports};
use tombolo_types::{
    Class,
    id::{ChainId, LinkId},
    transaction::NONCE_LANES,
};

#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Serves the links of the configured chains until it is stopped.
    #[command(after_help = "Example: tombolo relayer start --config relayer.toml")]
    Start {
        /// The configuration; see `tombolo relayer config example`.
        #[arg(long)]
        config: PathBuf,
        /// End when standard input closes.
        #[arg(long, hide = true)]
        exit_with_parent: bool,
    },
    /// Shows each link: heights, lag, what waits, what blocks.
    Status(Page),
    /// Shows only what waits or is blocked; exits 1 where something is.
    Pending(Page),
    /// Shows the links that are served.
    Links(Page),
    /// Lists the keys of a relayer.
    Keys(key::Store),
    /// Checks, shows or explains a configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
}

/// Where a running relayer is asked.
#[derive(clap::Args)]
pub(crate) struct Page {
    /// The relayer's `status_listen`.
    #[arg(long, default_value = "127.0.0.1:7400")]
    status: SocketAddr,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(clap::Subcommand)]
pub(crate) enum ConfigCommand {
    /// Checks a file and reports all faults together.
    Check {
        /// The file.
        config: PathBuf,
    },
    /// Shows what is in force, defaults included, without secrets.
    Show {
        /// The file.
        config: PathBuf,
    },
    /// Prints a commented example.
    Example,
}

pub(crate) async fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Start { config, exit_with_parent } => {
            let lives = if exit_with_parent { Lives::WithParent } else { Lives::Alone };
            start(read(&config)?, crate::node::until_asked_to_end(lives)).await
        }
        Command::Status(page) => show(&page, |_| true).await.map(|_| ()),
        Command::Links(page) => show(&page, |_| true).await.map(|_| ()),
        Command::Pending(page) => {
            let shown = show(&page, is_pending).await?;
            anyhow::ensure!(shown == 0, "{shown} links have work waiting or are blocked");
            Ok(())
        }
        Command::Keys(store) => crate::key::run(crate::key::Command::List { store }),
        Command::Config(ConfigCommand::Check { config }) => {
            read(&config)?;
            println!("{}: good", config.display());
            Ok(())
        }
        Command::Config(ConfigCommand::Show { config }) => {
            println!("{:#?}", Shown(read(&config)?));
            Ok(())
        }
        Command::Config(ConfigCommand::Example) => {
            print!("{EXAMPLE}");
            Ok(())
        }
    }
}

/// A configuration without where its secrets lie.
struct Shown(Config);

impl std::fmt::Debug for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Relayer")
            .field("home", &self.0.home)
            .field("key", &self.0.key)
            .field("status_listen", &self.0.status_listen)
            .field("log", &self.0.log)
            .field("settings", &self.0.settings)
            .field("hub", &self.0.hub)
            .field("chains", &self.0.chains)
            .field("evm", &self.0.evm)
            .finish_non_exhaustive()
    }
}

fn read(path: &std::path::Path) -> anyhow::Result<Config> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("the configuration {} cannot be read", path.display()))?;
    Config::check(&text)
}

async fn start(config: Config, cancel: CancellationToken) -> anyhow::Result<()> {
    let telemetry = telemetry::start(telemetry::Settings {
        service: "tombolo-relayer",
        instance: &config.key,
        log: &config.log,
        format: config.log_format,
        otlp_endpoint: config.otlp_endpoint.as_deref(),
    })?;
    let ended = serve(config, cancel).await;
    // The last spans say why it ended; sending them blocks.
    tokio::task::spawn_blocking(|| telemetry.stop()).await?;
    ended
}

async fn serve(config: Config, cancel: CancellationToken) -> anyhow::Result<()> {
    let (keys, passphrase) = (Keystore::new(config.home.join("keys")), config.passphrase.read()?);
    let key = keys.load(&config.key, &passphrase)?;
    let mut accounts = BTreeMap::new();
    for end in &config.evm {
        accounts.insert(end.chain(), keys.load(&end.account, &passphrase)?);
    }
    let (metrics, reports) = (Metrics::default(), Reports::default());
    let service = Service { config, key, accounts, metrics, reports };
    service.check_chains(&cancel).await?;
    let mut tasks = JoinSet::new();
    if let Some(listen) = service.config.status_listen {
        let (metrics, reports) = (service.metrics.clone(), service.reports.clone());
        let listener = bind("the status page", listen, WATCHERS).await?;
        tasks.spawn(serve_reports(listener, metrics, reports, cancel.child_token()));
    }
    let serving = cancel.child_token();
    tasks.spawn(async move { service.serve(serving).await });
    // Any part that ends unasked ends the relayer.
    let mut result = Ok(());
    while let Some(ended) = tasks.join_next().await {
        result = result.and(ended.context("a task of the relayer broke").and_then(|ended| ended));
        cancel.cancel();
    }
    tracing::info!("relayer stopped");
    result
}

struct Service {
    config: Config,
    key: SecretKey,
    /// The keys of the accounts that pay on EVM chains.
    accounts: BTreeMap<ChainId, SecretKey>,
    metrics: Metrics,
    reports: Reports,
}

impl Service {
    /// Refuses to serve a node of another chain than the configuration says.
    async fn check_chains(&self, cancel: &CancellationToken) -> anyhow::Result<()> {
        for end in self.config.chains.iter().chain([&self.config.hub]) {
            let client = LedgerClient::new(&end.grpc)?;
            let patience = Duration::from_secs(60);
            let what = format!("{} answers at {}", end.name, end.grpc);
            let answer = until(&what, patience, || async { Ok(Some(client.status().await?)) });
            let status = tokio::select! {
                () = cancel.cancelled() => return Ok(()),
                status = answer => status?,
            };
            anyhow::ensure!(
                status.chain_id == end.chain,
                "{} at {} is chain {}, the configuration says {}",
                end.name,
                end.grpc,
                status.chain_id,
                end.chain
            );
        }
        Ok(())
    }

    /// Starts a task for each link of a configured chain, as soon as the hub has registered it.
    async fn serve(&self, cancel: CancellationToken) -> anyhow::Result<()> {
        let hub = LedgerClient::new(&self.config.hub.grpc)?;
        let mut served = BTreeSet::new();
        let mut tasks = JoinSet::new();
        tracing::info!(hub = self.config.hub.grpc, chains = self.served_most(), "relayer started");
        while !cancel.is_cancelled() {
            let found = self.start_new(&hub, &mut served, &mut tasks, &cancel).await;
            let waited = async {
                if found.is_err() {
                    tokio::time::sleep(Duration::from_millis(500)).await;
                } else if served.len() < self.served_most() {
                    next_work(&hub).await;
                } else {
                    std::future::pending::<()>().await;
                }
            };
            tokio::select! {
                () = cancel.cancelled() => {}
                () = waited => {}
                Some(ended) = tasks.join_next() => ended.context("the task of a link broke")?,
            }
        }
        // Each task finishes the step that is under way.
        while let Some(ended) = tasks.join_next().await {
            ended.context("the task of a link broke")?;
        }
        Ok(())
    }

    async fn start_new(
        &self,
        hub: &LedgerClient,
        served: &mut BTreeSet<LinkId>,
        tasks: &mut JoinSet<()>,
        cancel: &CancellationToken,
    ) -> anyhow::Result<()> {
        // One that cannot be served yet must not keep another waiting.
        let mut result = Ok(());
        for link in hub.links().await?.links {
            if served.contains(&link.id) || link.status == LinkStatus::Closed {
                continue;
            }
            // Each link has a series of nonces of its own, so that none waits for another.
            let lane = u8::try_from(served.len()).unwrap_or(0) % NONCE_LANES;
            let Ends { hub, chain } = match self.ends(hub, &link, lane, cancel).await {
                Ok(Some(ends)) => ends,
                Ok(None) => continue,
                Err(error) => {
                    tracing::warn!(id = %link.id, error = format!("{error:#}"), "link not served");
                    let adapter =
                        error.chain().find_map(|cause| cause.downcast_ref::<AdapterError>());
                    let class = adapter.map_or(Class::State, AdapterError::class);
                    let name = self.name_of(link.chain_id);
                    self.reports.not_served(link.id, name, class, format!("{error:#}"));
                    result = Err(error);
                    continue;
                }
            };
            let task = LinkTask {
                id: link.id,
                hub,
                chain,
                settings: self.config.settings,
                metrics: self.metrics.clone(),
                reports: self.reports.clone(),
                join: telemetry::is_collected().then_some(telemetry::join),
            };
            tracing::info!(link = task.name(), id = %link.id, "serving link");
            tasks.spawn(task.run(cancel.child_token()));
            served.insert(link.id);
        }
        result
    }

    /// What the configuration calls a chain.
    fn name_of(&self, chain: ChainId) -> &str {
        let islets = self.config.chains.iter().map(|end| (end.chain, &end.name));
        let evm = self.config.evm.iter().map(|end| (end.chain(), &end.name));
        let found = islets.chain(evm).find(|(known, _)| *known == chain);
        found.map_or("unknown", |(_, name)| name)
    }

    /// How many links there are to serve at the most.
    fn served_most(&self) -> usize {
        self.config.chains.len() + self.config.evm.len()
    }

    /// Both ends of a link, where its chain is configured.
    async fn ends(
        &self,
        client: &LedgerClient,
        link: &LinkView,
        lane: u8,
        cancel: &CancellationToken,
    ) -> anyhow::Result<Option<Ends>> {
        let chain = link.chain_id;
        let hub = self.endpoint(&self.config.hub, lane)?;
        if let Some(end) = self.config.chains.iter().find(|end| end.chain == chain) {
            return Ok(Some(Ends { hub, chain: self.endpoint(end, lane)? }));
        }
        let end = self.config.evm.iter().find(|end| end.chain() == chain);
        let Some((end, account)) = end.zip(self.accounts.get(&chain)) else { return Ok(None) };
        let keys = (&self.key, account);
        Ends::connect(end, link.id, (hub, client), keys, cancel).await.map(Some)
    }

    fn endpoint(&self, end: &End, nonce_lane: u8) -> anyhow::Result<Endpoint> {
        let signer = Signer::first_key(self.key.clone(), nonce_lane);
        // A node carries the trace of a delivery on.
        let client = LedgerClient::new(&end.grpc)?.with_trace(telemetry::trace_parent);
        let adapter = LedgerAdapter::new(client, end.chain, signer);
        Ok(Endpoint { name: end.name.clone(), chain: Arc::new(adapter) })
    }
}

/// Waits for a block that holds a transaction: only such a one can register a link.
async fn next_work(hub: &LedgerClient) {
    let Ok(mut blocks) = hub.watch(None).await else {
        return tokio::time::sleep(Duration::from_millis(500)).await;
    };
    while let Some(Ok(block)) = blocks.next().await {
        if block.transactions > 0 {
            return;
        }
    }
}

/// Fetches a running relayer's reports.
pub(crate) async fn reports(status: SocketAddr) -> anyhow::Result<Vec<LinkReport>> {
    let page = crate::output::fetch(status, "/status").await.with_context(|| {
        format!("no relayer answers at {status}; is it running, and is this its `status_listen`?")
    })?;
    serde_json::from_str(&page).context("reading the relayer's status")
}

async fn show(page: &Page, wanted: fn(&LinkReport) -> bool) -> anyhow::Result<usize> {
    let reports = reports(page.status).await?;
    let shown: Vec<&LinkReport> = reports.iter().filter(|report| wanted(report)).collect();
    if page.json {
        output::json(&serde_json::to_value(&shown)?);
        return Ok(shown.len());
    }
    for report in &shown {
        println!("{}  link {}", report.chain, report.link);
        for end in &report.ends {
            println!(
                "  {:<6} height {:>8}  {:>6} ms old  {:>6} waiting  {:>8} brought  client {} at {}{}",
                end.end,
                end.height,
                end.age_ms,
                end.waiting,
                end.brought,
                end.client,
                end.client_height,
                if end.yields { "  another relayer brings" } else { "" }
            );
        }
        for blocked in &report.blocked {
            println!("  blocked: {blocked}");
        }
        if let Some(failure) = &report.failure {
            println!(
                "  failing: {} ({}), {} in a row at {}",
                failure.message, failure.class, failure.in_a_row, failure.end
            );
        }
    }
    Ok(shown.len())
}

fn is_pending(report: &LinkReport) -> bool {
    !report.blocked.is_empty()
        || report.failure.is_some()
        || report.ends.iter().any(|end| end.waiting > 0)
}
