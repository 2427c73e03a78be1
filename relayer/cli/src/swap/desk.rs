//! A party at its desk: what its commands do with its folder, the hub and its chains.

use super::{
    Place,
    book::HubBook,
    config::{Config, Kind},
    offer::Proposal,
    show,
};
use crate::{
    output,
    party::{Ledger, Party},
};
use anyhow::Context as _;
use serde_json::json;
use std::{sync::Arc, time::Duration};
use tombolo_crypto::digest;
use tombolo_evm::{EvmHtlc, HtlcConfig};
use tombolo_hub::{HubCall, swap::SwapCall};
use tombolo_islet::{
    adapter::LedgerAdapter,
    signer::{Signer, now},
};
use tombolo_node::keys::Keystore;
use tombolo_proto::client::LedgerClient;
use tombolo_swap::htlc::{Role, Swap, Terms};
use tombolo_swap_service::{
    Doors, Entry, Hand, Home, OrderBook as _, Settings, SwapReport, Wanted, metrics::outcome_name,
};
use tombolo_types::{
    Class, Refusal,
    id::OrderId,
    swap::{Order, Secret},
};

/// A party with its folder and the hub.
pub(crate) struct Desk {
    pub(super) config: Config,
    pub(super) party: Arc<Party>,
    pub(super) home: Home,
    pub(super) hub: Ledger,
}

impl Desk {
    pub(super) fn open(place: &Place) -> anyhow::Result<Self> {
        Self::of(Config::read(&place.config)?, 0)
    }

    pub(crate) fn of(config: Config, nonce_lane: u8) -> anyhow::Result<Self> {
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

    pub(super) fn hub(&self) -> &Ledger {
        &self.hub
    }

    pub(super) fn book(&self) -> HubBook {
        HubBook { hub: self.hub.clone(), party: Arc::clone(&self.party) }
    }

    pub(super) async fn doors(&self, nonce_lane: u8) -> anyhow::Result<Doors> {
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

    pub(super) fn settings(&self) -> Settings {
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

    /// Offers a swap, unless it is only tried; gives the order, and this party's role in it.
    pub(crate) async fn offer(
        &self,
        proposal: &Proposal,
        dry_run: bool,
    ) -> anyhow::Result<(OrderId, Order, Role)> {
        let opening = proposal.opening(self).await?;
        let (order, role) = (opening.terms.order().clone(), opening.role);
        let id = digest::order(self.hub.chain, &order);
        let swap = Swap::open(opening)?;
        if !dry_run {
            self.announce(id, &swap, SwapCall::Offer(order.clone())).await?;
        }
        Ok((id, order, role))
    }

    /// Accepts an order, unless that is only tried; gives it, and this party's role in it.
    pub(crate) async fn accept(
        &self,
        id: OrderId,
        dry_run: bool,
    ) -> anyhow::Result<(OrderId, Order, Role)> {
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
        Ok((id, entry.order, role))
    }

    /// The machine hears it from the hub as everybody does.
    pub(super) async fn withdraw(&self, id: OrderId, is_json: bool) -> anyhow::Result<()> {
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

    /// Where a swap stands.
    pub(crate) async fn report(&self, id: OrderId) -> anyhow::Result<SwapReport> {
        let (swap, since) = match self.home.read(id)? {
            Some(found) => found,
            None => (self.entry(id).await?.open(Role::Watcher, None)?, now()),
        };
        show::report(self, &self.doors(0).await?, id, &swap, since).await
    }

    pub(super) async fn status(&self, id: OrderId, is_json: bool) -> anyhow::Result<()> {
        let report = self.report(id).await?;
        if is_json {
            output::json(&serde_json::to_value(&report)?);
        } else {
            show::print(&[report], &[]);
        }
        Ok(())
    }

    pub(super) async fn act(
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

    pub(super) async fn list(&self, stuck: bool, is_json: bool) -> anyhow::Result<()> {
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
