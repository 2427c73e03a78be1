//! What ledgers and relayer say of one operation.

use crate::audit::fetch_operation;
use anyhow::Context as _;
use serde::Deserialize;
use std::net::SocketAddr;
use tombolo_proto::{
    client::LedgerClient,
    view::{LaneView, LinkView, Receipt},
};
use tombolo_relayer::LinkReport;
use tombolo_types::{
    Class, Hash, UnixMillis,
    id::{ChainId, LinkId, TxId},
    lane::DATA_LANE,
};

/// All that is known of one operation.
pub(super) struct Facts {
    pub(super) id: Hash,
    /// The time of the hub's newest block: what deadlines are judged by.
    pub(super) now: UnixMillis,
    pub(super) commit: Option<CommitFacts>,
    /// The hub's records of the operation, in order.
    pub(super) on_hub: Vec<RecordFacts>,
    /// Each islet's records of the operation.
    pub(super) on_islets: Vec<IsletFacts>,
    /// How the transaction of this id ended, with the name of its ledger.
    pub(super) receipt: Option<(String, Receipt)>,
    pub(super) ways: Vec<Way>,
    pub(super) relayer: RelayerFacts,
}

/// What one islet says.
pub(super) struct IsletFacts {
    pub(super) name: String,
    pub(super) chain: ChainId,
    pub(super) records: Vec<RecordFacts>,
}

/// What a relayer says.
pub(super) enum RelayerFacts {
    /// None was named.
    NotAsked,
    /// It gave no answer.
    Silent(SocketAddr),
    Reports(Vec<LinkReport>),
}

/// A record, as a node shows it.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct RecordFacts {
    pub(super) operation: String,
    /// `done`, or the class of the refusal.
    pub(super) outcome: String,
    #[serde(default)]
    pub(super) remark: String,
    pub(super) height: u64,
    pub(super) time_ms: u64,
    pub(super) link: Option<String>,
    pub(super) number: Option<u64>,
    pub(super) destination_chain: Option<String>,
}

impl RecordFacts {
    pub(super) fn is_done(&self) -> bool {
        self.outcome == "done"
    }

    pub(super) fn time(&self) -> UnixMillis {
        UnixMillis(self.time_ms)
    }
}

/// A two-phase commit, as the hub shows it.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct CommitFacts {
    /// `preparing`, `committed` or `aborted`.
    pub(super) status: String,
    pub(super) finished: bool,
    pub(super) deadline_ms: u64,
    pub(super) since_ms: u64,
    /// Links whose vote or whose Done is awaited.
    pub(super) awaited: Vec<String>,
    pub(super) seats: Vec<SeatFacts>,
    pub(super) cause: Option<String>,
    /// What councils have announced to release of it.
    pub(super) releases: Vec<ReleaseFacts>,
}

/// A release that a chain's council has announced.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct ReleaseFacts {
    pub(super) link: String,
    pub(super) trust_epoch: u32,
}

/// One participant.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct SeatFacts {
    pub(super) link: String,
    /// `yes`, or the class of the no.
    pub(super) vote: Option<String>,
}

/// One link, with what both of its ends say where both were asked.
pub(super) struct Way {
    /// The name of the islet behind it, or its chain id.
    pub(super) name: String,
    pub(super) hub: LinkView,
    pub(super) chain: Option<LinkView>,
}

impl Way {
    pub(super) fn id(&self) -> LinkId {
        self.hub.id
    }

    /// Messages that wait at the hub; where the chain was not asked, what the hub has not heard
    /// to be taken.
    pub(super) fn waiting_for_chain(&self) -> u64 {
        let Some(here) = data_lane(&self.hub) else { return 0 };
        let received = self.chain.as_ref().and_then(data_lane).map_or(here.taken, |it| it.received);
        here.size.saturating_sub(received)
    }

    /// Messages that wait at the chain; `None` where it was not asked.
    pub(super) fn waiting_for_hub(&self) -> Option<u64> {
        let there = data_lane(self.chain.as_ref()?)?;
        Some(there.size.saturating_sub(data_lane(&self.hub).map_or(0, |here| here.received)))
    }
}

fn data_lane(link: &LinkView) -> Option<&LaneView> {
    link.lanes.iter().find(|lane| lane.lane == DATA_LANE)
}

impl Facts {
    /// Asks everybody.
    pub(super) async fn fetch(
        id: Hash,
        hub: &LedgerClient,
        islets: &[LedgerClient],
        relayer: RelayerFacts,
    ) -> anyhow::Result<Self> {
        let status = hub.status().await.context("asking the hub")?;
        let mut receipt = receipt(hub, id, "the hub").await?;
        // A transaction's record says to which operation it belongs.
        let mut operation = operation_of(hub, receipt.as_ref()).await?;
        let links = hub.links().await.context("asking the hub for its links")?.links;
        let mut ways: Vec<Way> = links
            .into_iter()
            .map(|hub| Way { name: hub.chain_id.to_string(), hub, chain: None })
            .collect();
        let mut names = Vec::new();
        for islet in islets {
            let who =
                islet.status().await.with_context(|| format!("asking {}", islet.address()))?;
            let found = islet.links().await.context("asking an islet for its link")?.links;
            for way in ways.iter_mut().filter(|way| way.hub.chain_id == who.chain_id) {
                way.name.clone_from(&who.name);
                way.chain = found.iter().find(|link| link.id == way.hub.id).cloned();
            }
            if receipt.is_none() {
                receipt = self::receipt(islet, id, &who.name).await?;
                operation = operation_of(islet, receipt.as_ref()).await?;
            }
            names.push((who.name, who.chain_id));
        }
        let operation = operation.unwrap_or(id);
        let on_hub = records(hub, operation).await?;
        let commit = fetch_commit(hub, operation).await?;
        let mut on_islets = Vec::new();
        for (islet, (name, chain)) in islets.iter().zip(names) {
            let records = records(islet, operation).await?;
            on_islets.push(IsletFacts { name, chain, records });
        }
        Ok(Self { id, now: status.time, commit, on_hub, on_islets, receipt, ways, relayer })
    }
}

async fn records(ledger: &LedgerClient, id: Hash) -> anyhow::Result<Vec<RecordFacts>> {
    let found = fetch_operation(ledger, id.into()).await?;
    let read = found.into_iter().map(serde_json::from_value).collect::<Result<_, _>>();
    read.with_context(|| format!("reading records of {}", ledger.address()))
}

async fn receipt(
    ledger: &LedgerClient,
    id: Hash,
    name: &str,
) -> anyhow::Result<Option<(String, Receipt)>> {
    let found = ledger.transaction(TxId::from(id), std::time::Duration::ZERO).await;
    let found = found.with_context(|| format!("asking {name} for transaction {id}"))?;
    Ok(found.map(|receipt| (name.to_owned(), receipt)))
}

async fn fetch_commit(hub: &LedgerClient, xid: Hash) -> anyhow::Result<Option<CommitFacts>> {
    match hub.query(&format!("commit/{xid}"), None, 0).await {
        Ok(page) => Ok(Some(serde_json::from_str(&page.json).context("reading a commit")?)),
        Err(error) if error.class() == Class::NotFound => Ok(None),
        Err(error) => Err(error).context("asking the hub for a commit"),
    }
}

/// The operation of a transaction that has a record.
async fn operation_of(
    ledger: &LedgerClient,
    receipt: Option<&(String, Receipt)>,
) -> anyhow::Result<Option<Hash>> {
    let Some(position) = receipt.and_then(|(_, receipt)| receipt.record) else { return Ok(None) };
    let page = ledger.records(position, 1).await.context("asking for a transaction's record")?;
    Ok(page.records.first().map(|(_, salted)| salted.record.global_id.into()))
}
