//! Hash-timelock swaps: offers, accepts and shows them, and runs a party or a watcher.

mod book;
pub(crate) mod config;
mod evm;
mod offer;
mod show;

use crate::{
    output,
    party::{Ledger, Party},
    process::Lives,
};
use anyhow::Context as _;
use book::HubBook;
use config::{Config, EXAMPLE, Kind};
use serde_json::json;
use std::{path::PathBuf, sync::Arc, time::Duration};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tombolo_crypto::digest;
use tombolo_evm::{EvmHtlc, HtlcConfig};
use tombolo_hub::{HubCall, swap::SwapCall};
use tombolo_islet::{
    adapter::LedgerAdapter,
    signer::{Signer, now},
};
use tombolo_node::{keys::Keystore, telemetry};
use tombolo_proto::client::LedgerClient;
use tombolo_swap::htlc::{Role, Swap, Terms};
use tombolo_swap_service::{
    Doors, Entry, Hand, Home, Keeper, Metrics, OrderBook as _, Reports, Settings, Surroundings,
    SwapReport, Wanted, metrics::outcome_name, serve_reports,
};
use tombolo_types::{Class, Refusal, id::OrderId, swap::Secret};

/// The series of nonces on which the running service signs; people's commands use the first.
const SERVICE_NONCES: u8 = 1;

#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Runs the party: locks, claims and gives back under every order that was offered or accepted
    /// here, until it is stopped.
    #[command(after_help = "Example: tombolo swap start --config swap.toml")]
    Start {
        #[command(flatten)]
        place: Place,
        /// End when standard input closes.
        #[arg(long, hide = true)]
        exit_with_parent: bool,
    },
    /// Offers a swap to another party. Weaker than two-phase commit: not all or nothing.
    #[command(
        after_help = "Example: tombolo swap offer --config swap.toml --to 0x2b… --give 300 --give-asset 0x4c… --give-on seattle --take 200 --take-asset 0x4c… --take-on mauna-loa"
    )]
    Offer {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        proposal: Box<offer::Proposal>,
        #[command(flatten)]
        printing: Printing,
        /// Show the order and sign nothing.
        #[arg(long)]
        dry_run: bool,
    },
    /// Accepts an offer: every word of it, which its id covers.
    #[command(after_help = "Example: tombolo swap accept 0x7d… --config swap.toml --dry-run")]
    Accept {
        #[command(flatten)]
        one: One,
        /// Show the order and sign nothing.
        #[arg(long)]
        dry_run: bool,
    },
    /// Takes an offer back, until the other party has accepted.
    Withdraw(One),
    /// Shows where a swap stands and its next allowed step.
    Status(One),
    /// Claims by hand, with all else that is due. For who runs no service, and for those who are
    /// absent: the recipient of a lock gets it, whoever claims.
    Claim {
        #[command(flatten)]
        one: One,
        /// The secret, where neither the hub nor a chain shows it.
        #[arg(long, value_name = "HEX", value_parser = secret)]
        secret: Option<Secret>,
    },
    /// Gives a lock back to its locker by hand, from its deadline on.
    Refund(One),
    /// Shows all swaps of this folder, and offers that wait to be accepted.
    List {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        printing: Printing,
        /// Only those that are not over, each with its next allowed step; exits 1 where there is one.
        #[arg(long)]
        stuck: bool,
    },
    /// Checks, shows or explains a configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
}

/// Whose command it is.
#[derive(clap::Args)]
pub(crate) struct Place {
    /// The configuration; see `tombolo swap config example`.
    #[arg(long)]
    config: PathBuf,
}

#[derive(clap::Args)]
pub(crate) struct Printing {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// One swap.
#[derive(clap::Args)]
pub(crate) struct One {
    /// The order's id.
    order: OrderId,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    printing: Printing,
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

fn secret(text: &str) -> Result<Secret, String> {
    let found = book::bytes(text).and_then(|bytes| Secret::of(&bytes));
    found.ok_or_else(|| "expected exactly 32 bytes in hexadecimal".into())
}

pub(crate) async fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Start { place, exit_with_parent } => {
            let lives = if exit_with_parent { Lives::WithParent } else { Lives::Alone };
            start(Config::read(&place.config)?, crate::node::until_asked_to_end(lives)).await
        }
        Command::Offer { place, proposal, printing, dry_run } => {
            Desk::open(&place)?.offer(&proposal, dry_run, printing.json).await
        }
        Command::Accept { one, dry_run } => {
            Desk::open(&one.place)?.accept(one.order, dry_run, one.printing.json).await
        }
        Command::Withdraw(one) => {
            Desk::open(&one.place)?.withdraw(one.order, one.printing.json).await
        }
        Command::Status(one) => Desk::open(&one.place)?.status(one.order, one.printing.json).await,
        Command::Claim { one, secret } => {
            let desk = Desk::open(&one.place)?;
            desk.act(one.order, Wanted::Claim, secret, one.printing.json).await
        }
        Command::Refund(one) => {
            let desk = Desk::open(&one.place)?;
            desk.act(one.order, Wanted::Refund, None, one.printing.json).await
        }
        Command::List { place, printing, stuck } => {
            Desk::open(&place)?.list(stuck, printing.json).await
        }
        Command::Config(ConfigCommand::Check { config }) => {
            Config::read(&config)?;
            println!("{}: good", config.display());
            Ok(())
        }
        Command::Config(ConfigCommand::Show { config }) => {
            println!("{:#?}", Config::read(&config)?);
            Ok(())
        }
        Command::Config(ConfigCommand::Example) => {
            print!("{EXAMPLE}");
            Ok(())
        }
    }
}

/// A party with its folder and the hub.
struct Desk {
    config: Config,
    party: Arc<Party>,
    home: Home,
    hub: Ledger,
}

impl Desk {
    fn open(place: &Place) -> anyhow::Result<Self> {
        Self::of(Config::read(&place.config)?, 0)
    }

    fn of(config: Config, nonce_lane: u8) -> anyhow::Result<Self> {
        let keys = Keystore::new(config.home.join("keys"));
        let key = keys.load(&config.key, &config.passphrase.read()?)?;
        let folder = config.home.join("swaps");
        let home = Home::new(&folder).with_context(|| format!("making {}", folder.display()))?;
        let hub = Ledger {
            name: config.hub.name.clone(),
            chain: config.hub.chain,
            client: LedgerClient::new(&config.hub.grpc)?,
        };
        let party = Arc::new(Party::on_nonces(&config.key, key, nonce_lane));
        Ok(Self { config, party, home, hub })
    }

    fn hub(&self) -> &Ledger {
        &self.hub
    }

    fn book(&self) -> HubBook {
        HubBook { hub: self.hub.clone(), party: Arc::clone(&self.party) }
    }

    async fn doors(&self, nonce_lane: u8) -> anyhow::Result<Doors> {
        let mut doors = Doors::default();
        for place in &self.config.chains {
            match &place.kind {
                Kind::Islet(grpc) => {
                    let signer = Signer::first_key(self.party.key().clone(), nonce_lane);
                    let client = LedgerClient::new(grpc)?;
                    let adapter = LedgerAdapter::new(client, place.chain, signer);
                    doors.add(&place.name, Arc::new(adapter.with_hash_locks()));
                }
                Kind::Evm(config) => {
                    let signer = tombolo_evm::account(self.party.key())?;
                    let htlc = EvmHtlc::new(HtlcConfig::clone(config), signer).await?;
                    doors.add(&place.name, Arc::new(htlc));
                }
            }
        }
        Ok(doors)
    }

    fn settings(&self) -> Settings {
        Settings {
            answer_within: Duration::from_secs(5),
            // A transaction that waits is offered more, block by block; that takes its time.
            deed_within: Duration::from_secs(600),
            // Blocks come faster than people care; news is due within seconds.
            look_after: Duration::from_millis(200),
            look_within: Duration::from_secs(2),
            ask_hub_after: Duration::from_secs(5),
            now: Arc::new(now),
        }
    }

    async fn offer(
        &self,
        proposal: &offer::Proposal,
        dry_run: bool,
        is_json: bool,
    ) -> anyhow::Result<()> {
        let opening = proposal.opening(self).await?;
        let order = opening.terms.order().clone();
        let id = digest::order(self.hub.chain, &order);
        let swap = Swap::open(opening)?;
        if !dry_run {
            self.announce(id, &swap, SwapCall::Offer(order.clone())).await?;
        }
        show::order(id, &order, Role::Party(0), is_json);
        Ok(())
    }

    async fn accept(&self, id: OrderId, dry_run: bool, is_json: bool) -> anyhow::Result<()> {
        let entry = self.entry(id).await?;
        let me = self.party.identity();
        let number = entry.order.parties.iter().position(|party| *party == me);
        let Some(number) = number.and_then(|number| u32::try_from(number).ok()) else {
            let why = format!("{me} is no party of order {id}");
            return Err(Refusal::new(Class::Denied, why).into());
        };
        let role = Role::Party(number);
        if number == 0 {
            let why = format!("{me} has made order {id} itself; the other party accepts it");
            return Err(Refusal::new(Class::Replay, why).into());
        }
        if !dry_run {
            // What cannot be acted upon from here is not promised.
            self.doors(0).await?.of(&Terms::read(entry.order.clone())?)?;
            let call = SwapCall::Accept { order: id };
            self.announce(id, &entry.open(role, None)?, call).await?;
        }
        show::order(id, &entry.order, role, is_json);
        Ok(())
    }

    /// The machine hears it from the hub as everybody does.
    async fn withdraw(&self, id: OrderId, is_json: bool) -> anyhow::Result<()> {
        let call = SwapCall::Withdraw { order: id };
        self.party.call(&self.hub, HubCall::Swap(Box::new(call))).await?;
        if is_json {
            output::json(&json!({ "order": id.to_string(), "status": "withdrawn" }));
        } else {
            println!("order {id} is withdrawn");
        }
        Ok(())
    }

    /// Writes down what the machine must know, and then tells the hub.
    async fn announce(&self, id: OrderId, swap: &Swap, call: SwapCall) -> anyhow::Result<()> {
        // Closed at once, so that a running service takes it up.
        drop(self.home.create(id, swap, now())?);
        let told = self.party.attempt(&self.hub, HubCall::Swap(Box::new(call))).await?;
        if let Some(refusal) = told.refusal {
            self.home.remove(id).context("removing the journal of what was refused")?;
            return Err(refusal.into());
        }
        Ok(())
    }

    async fn entry(&self, id: OrderId) -> anyhow::Result<Entry> {
        let why = || format!("the hub has no order {id}, or has forgotten it");
        let found = self.book().order(id).await?;
        found.ok_or_else(|| Refusal::new(Class::NotFound, why()).into())
    }

    async fn status(&self, id: OrderId, is_json: bool) -> anyhow::Result<()> {
        let (swap, since) = match self.home.read(id)? {
            Some(found) => found,
            None => (self.entry(id).await?.open(Role::Watcher, None)?, now()),
        };
        let report = show::report(self, &self.doors(0).await?, id, &swap, since).await?;
        if is_json {
            output::json(&serde_json::to_value(&report)?);
        } else {
            show::print(&[report], &[]);
        }
        Ok(())
    }

    async fn act(
        &self,
        id: OrderId,
        wanted: Wanted,
        secret: Option<Secret>,
        is_json: bool,
    ) -> anyhow::Result<()> {
        let doors = self.doors(0).await?;
        let mut hand = if self.home.read(id)?.is_some() {
            let opened = self.home.open(id)?;
            let doors = doors.of(opened.swap.terms())?;
            Hand::of_journal(opened, doors, self.settings())
        } else {
            let entry = self.entry(id).await?;
            let swap = entry.open(Role::Watcher, None)?;
            let doors = doors.of(swap.terms())?;
            Hand::of_watcher(swap, secret.or(entry.secret), doors, self.settings())?
        };
        let done = hand.act(wanted).await?;
        let outcome = hand.outcome().map(outcome_name);
        if is_json {
            let done = done.iter().map(|it| {
                json!({
                    "deed": it.deed,
                    "leg": it.leg,
                    "transaction": it.transaction.map(|id| id.to_string()),
                })
            });
            let done = done.collect::<Vec<_>>();
            output::json(&json!({ "order": id.to_string(), "done": done, "outcome": outcome }));
            return Ok(());
        }
        for it in done {
            match it.transaction {
                Some(transaction) => println!("{} leg {}: {transaction}", it.deed, it.leg),
                None => println!("{} leg {}: had happened already", it.deed, it.leg),
            }
        }
        Ok(())
    }

    async fn list(&self, stuck: bool, is_json: bool) -> anyhow::Result<()> {
        let doors = self.doors(0).await?;
        let mut reports = Vec::new();
        for id in self.home.orders()? {
            let report = match self.home.read(id) {
                Ok(None) => continue,
                Ok(Some((swap, since))) => show::report(self, &doors, id, &swap, since).await,
                Err(error) => Err(error.into()),
            };
            // One that cannot be shown must not hide the others.
            let report = report.unwrap_or_else(|error| SwapReport {
                failure: Some((output::class_of(&error).into(), format!("{error:#}"))),
                ..SwapReport::unread(id)
            });
            if !stuck || report.is_unfinished() {
                reports.push(report);
            }
        }
        let offered = show::offered(self).await.unwrap_or_else(|error| {
            eprintln!("the hub does not say what is offered: {error:#}");
            Vec::new()
        });
        if is_json {
            output::json(&json!({ "swaps": reports, "offered": offered }));
        } else {
            show::print(&reports, &offered);
        }
        let open = reports.len() + offered.len();
        anyhow::ensure!(!stuck || open == 0, "{open} swaps are not over");
        Ok(())
    }
}

async fn start(config: Config, cancel: CancellationToken) -> anyhow::Result<()> {
    let telemetry = telemetry::start(telemetry::Settings {
        service: "tombolo-swap",
        instance: &config.key,
        log: &config.log,
        format: config.log_format,
        otlp_endpoint: None,
    })?;
    let ended = serve(config, cancel).await;
    tokio::task::spawn_blocking(|| telemetry.stop()).await?;
    ended
}

async fn serve(config: Config, cancel: CancellationToken) -> anyhow::Result<()> {
    let desk = Desk::of(config, SERVICE_NONCES)?;
    let doors = desk.doors(SERVICE_NONCES).await?;
    let (metrics, reports) = (Metrics::default(), Reports::default());
    let around = Surroundings {
        me: desk.party.identity(),
        hub: desk.hub.chain,
        book: Arc::new(desk.book()),
        settings: desk.settings(),
        metrics: metrics.clone(),
        reports: reports.clone(),
    };
    let mut tasks: JoinSet<anyhow::Result<()>> = JoinSet::new();
    if let Some(listen) = desk.config.status_listen {
        tasks.spawn(serve_reports(listen, metrics, reports, cancel.child_token()));
    }
    let keeper = Keeper::new(desk.home, doors, around, desk.config.watch);
    let keeping = cancel.child_token();
    // Nobody is waited for: what can be done on one chain is done though the other, or the hub, is
    // gone.
    tracing::info!(chains = desk.config.chains.len(), "party started");
    tasks.spawn(async move { keeper.run(keeping).await.context("reading the folder of swaps") });
    // Any part that ends unasked ends the party.
    let mut result = Ok(());
    while let Some(ended) = tasks.join_next().await {
        result = result.and(ended.context("a task of the party broke").and_then(|ended| ended));
        cancel.cancel();
    }
    tracing::info!("party stopped");
    result
}
