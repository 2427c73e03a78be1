//! The hub's orders over gRPC, as the service of a party asks for them.

use crate::party::{Ledger, Party};
use async_trait::async_trait;
use serde::Deserialize;
use serde_json::Value;
use std::sync::Arc;
use tombolo_adapter::AdapterError;
use tombolo_crypto::digest;
use tombolo_hub::{
    HubCall,
    swap::{Happened, SwapCall, SwapReport},
};
use tombolo_proto::client::ClientError;
use tombolo_swap::htlc::{Expiry, Margins, Profile, Spending};
use tombolo_swap_service::{Entry, OrderBook, Said};
use tombolo_types::{
    Class,
    id::{OrderId, TxId},
    swap::{Order, Secret},
};

/// How many orders are asked for at a time.
const PAGE: u32 = 100;
/// The most pages that are read; what is beyond is seen once others are closed.
const PAGES_MAX: usize = 100;

/// A hub and the party that reports to it.
pub(crate) struct HubBook {
    pub(crate) hub: Ledger,
    pub(crate) party: Arc<Party>,
}

/// An order as the hub shows it.
#[derive(Deserialize)]
pub(super) struct Shown {
    order: String,
    pub(super) status: String,
    pub(super) parties: Vec<String>,
    pub(super) accepted_by: Vec<String>,
    pub(super) accept_until_ms: u64,
    encoded: String,
    legs: Vec<ShownLeg>,
    margins: ShownMargins,
    secret: Option<String>,
}

#[derive(Deserialize)]
struct ShownLeg {
    profile: Option<ShownProfile>,
    reports: Vec<ShownReport>,
}

#[derive(Deserialize)]
struct ShownReport {
    by: String,
    happened: String,
}

#[derive(Deserialize)]
pub(super) struct ShownMargins {
    relay_ms: u64,
    outage_ms: u64,
}

#[derive(Deserialize)]
pub(super) struct ShownProfile {
    block_ms_fastest: u64,
    block_ms_slowest: u64,
    time_lag_ms: u64,
    skew_ms: u64,
    inclusion_ms: u64,
    finality_ms: u64,
    expiry: String,
    spending: String,
}

impl ShownProfile {
    /// What it says; `None` where a word is not known.
    pub(super) fn read(&self) -> Option<Profile> {
        Some(Profile {
            block_ms_fastest: self.block_ms_fastest,
            block_ms_slowest: self.block_ms_slowest,
            time_lag_ms: self.time_lag_ms,
            skew_ms: self.skew_ms,
            inclusion_ms: self.inclusion_ms,
            finality_ms: self.finality_ms,
            expiry: match self.expiry.as_str() {
                "enforced" => Expiry::Enforced,
                "open" => Expiry::Open,
                _ => return None,
            },
            spending: match self.spending.as_str() {
                "anybody" => Spending::Anybody,
                "by ticket" => Spending::ByTicket,
                _ => return None,
            },
        })
    }
}

impl Shown {
    pub(super) fn id(&self) -> Option<OrderId> {
        self.order.parse().ok()
    }

    /// What it says; `None` where that is not what its id covers, or cannot be read.
    pub(super) fn read(&self, hub: &Ledger) -> Option<Entry> {
        let id = self.id()?;
        let order = Order::decode(&bytes(&self.encoded)?).ok()?;
        // The id covers every word: what was shown for it elsewhere is this and nothing else.
        if digest::order(hub.chain, &order) != id || self.legs.len() != order.legs.len() {
            return None;
        }
        let profiles = self.legs.iter().map(|leg| leg.profile.as_ref()?.read());
        let secret = match &self.secret {
            Some(text) => Some(Secret::of(&bytes(text)?)?),
            None => None,
        };
        let mut reports = Vec::new();
        for (number, leg) in (0..).zip(&self.legs) {
            for said in &leg.reports {
                reports.push((said.by.parse().ok()?, number, said_of(&said.happened)?));
            }
        }
        Some(Entry {
            id,
            profiles: profiles.collect::<Option<_>>()?,
            margins: Margins { relay_ms: self.margins.relay_ms, outage_ms: self.margins.outage_ms },
            accepted: matches!(self.status.as_str(), "accepted" | "settled" | "lapsed"),
            closed: !matches!(self.status.as_str(), "offered" | "accepted"),
            status: self.status.clone(),
            secret,
            reports,
            order,
        })
    }
}

pub(super) fn bytes(text: &str) -> Option<Vec<u8>> {
    hex::decode(text.strip_prefix("0x").unwrap_or(text)).ok()
}

fn said_of(text: &str) -> Option<Said> {
    [Said::Locked, Said::Claimed, Said::Refunded, Said::Never]
        .into_iter()
        .find(|said| said.to_string() == text)
}

impl HubBook {
    /// An order as it is shown; `None` where the hub has none such.
    pub(super) async fn shown(&self, id: OrderId) -> Result<Option<Shown>, AdapterError> {
        match self.hub.client.query(&format!("swap/{id}"), None, 0).await {
            Ok(page) => self.parse(&page.json).map(Some),
            Err(error) if error.class() == Class::NotFound => Ok(None),
            Err(error) => Err(self.failed("asking for an order", error)),
        }
    }

    /// All orders as they are shown.
    pub(super) async fn all_shown(&self) -> Result<Vec<Shown>, AdapterError> {
        #[derive(Deserialize)]
        struct Page {
            entries: Vec<Value>,
            next: Option<String>,
        }
        let (mut all, mut from) = (Vec::new(), None);
        for _ in 0..PAGES_MAX {
            let page = self.hub.client.query("swaps", from.as_deref(), PAGE).await;
            let page = page.map_err(|error| self.failed("asking for orders", error))?;
            let page: Page = self.parse(&page.json)?;
            for entry in page.entries {
                all.push(self.parse(&entry.to_string())?);
            }
            from = page.next;
            if from.is_none() {
                break;
            }
        }
        Ok(all)
    }

    fn parse<T: for<'a> Deserialize<'a>>(&self, json: &str) -> Result<T, AdapterError> {
        serde_json::from_str(json).map_err(|error| self.contradiction(&error.to_string()))
    }

    fn contradiction(&self, why: &str) -> AdapterError {
        AdapterError::Contradiction { chain: self.hub.chain, why: why.to_owned() }
    }

    pub(super) fn read(&self, shown: &Shown) -> Result<Entry, AdapterError> {
        let why = || format!("order {} cannot be read, or is not what its id covers", shown.order);
        shown.read(&self.hub).ok_or_else(|| self.contradiction(&why()))
    }

    fn failed(&self, doing: &'static str, error: ClientError) -> AdapterError {
        let chain = self.hub.chain;
        match error {
            ClientError::Refused { refusal, .. } => AdapterError::Refused { chain, refusal },
            other => AdapterError::NoAnswer { chain, doing, why: other.to_string() },
        }
    }
}

#[async_trait]
impl OrderBook for HubBook {
    async fn order(&self, id: OrderId) -> Result<Option<Entry>, AdapterError> {
        self.shown(id).await?.map(|shown| self.read(&shown)).transpose()
    }

    async fn accepted(&self) -> Result<Vec<Entry>, AdapterError> {
        let all = self.all_shown().await?;
        // One that cannot be read must not keep the watcher from the others.
        let open = all.iter().filter(|shown| shown.status == "accepted");
        Ok(open.filter_map(|shown| shown.read(&self.hub)).collect())
    }

    async fn report(
        &self,
        order: OrderId,
        leg: u32,
        said: Said,
        secret: Option<Secret>,
        transaction: TxId,
    ) -> Result<(), AdapterError> {
        let report = SwapReport {
            order,
            leg,
            happened: match said {
                Said::Locked => Happened::Locked,
                Said::Claimed => Happened::Claimed,
                Said::Refunded => Happened::Refunded,
                Said::Never => Happened::Never,
            },
            secret: secret.map(|secret| secret.0.to_vec()).unwrap_or_default(),
            transaction: transaction.into(),
        };
        let call = HubCall::Swap(Box::new(SwapCall::Report(report)));
        let (chain, doing) = (self.hub.chain, "reporting a leg");
        let done = self
            .party
            .attempt(&self.hub, call)
            .await
            .map_err(|error| AdapterError::NoAnswer { chain, doing, why: format!("{error:#}") })?;
        match done.refusal {
            None => Ok(()),
            Some(refusal) => Err(AdapterError::Refused { chain, refusal }),
        }
    }
}
