//! Proof of stake: what a consensus node serves to light clients.

use super::Prover;
use crate::{
    endpoints::{Endpoints, SeenBlock},
    refusal,
};
use async_trait::async_trait;
use serde::{Deserialize, de::DeserializeOwned};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tombolo_adapter::{AdapterError, ClientView};
use tombolo_evm_core::{
    beacon::{
        BeaconAdvance, BeaconAnchor, SyncUpdate, UPDATES_MAX,
        serve::Committee,
        served::{BeaconGenesis, LightClientBootstrap, LightClientUpdate, Schedule},
        validators_root,
    },
    proof::EvmUpdate,
};
use tombolo_types::{Hash, Height, id::ChainId};

/// How long the node may take for an answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// The committees of so many periods are kept, and so many final blocks that heads may be asked at.
const KEPT: usize = 4;
/// Periods in one advance; what is left comes with the next one.
const PERIODS_AT_ONCE: u64 = UPDATES_MAX as u64 - 1;

/// What the Beacon API wraps its answers in.
#[derive(Deserialize)]
struct Answer<T> {
    data: T,
}

/// The REST interface of a consensus node. Nothing that it says is believed: verifiers judge it.
struct BeaconNode {
    chain: ChainId,
    url: String,
    http: reqwest::Client,
}

impl BeaconNode {
    fn connect(chain: ChainId, url: &str) -> Result<Self, AdapterError> {
        let url = url.trim_end_matches('/').to_owned();
        let http = reqwest::Client::builder().timeout(ANSWER_WITHIN).build();
        let doing = "making a client of the consensus node";
        let http =
            http.map_err(|error| AdapterError::NoAnswer { chain, doing, why: error.to_string() })?;
        Ok(Self { chain, url, http })
    }

    async fn get<T: DeserializeOwned>(
        &self,
        doing: &'static str,
        path: &str,
    ) -> Result<T, AdapterError> {
        let url = format!("{}/eth/v1/{path}", self.url);
        let answer = async { self.http.get(&url).send().await?.error_for_status()?.json().await };
        answer.await.map_err(|error: reqwest::Error| {
            match error.status().and_then(|status| refusal::of_status(status.as_u16())) {
                Some(refusal) => AdapterError::Refused { chain: self.chain, refusal },
                // An address may hold a password, or a key to a provider.
                None => self.no_answer(doing, error.without_url()),
            }
        })
    }

    fn no_answer(&self, doing: &'static str, why: impl std::fmt::Display) -> AdapterError {
        AdapterError::NoAnswer { chain: self.chain, doing, why: why.to_string() }
    }

    async fn schedule(&self) -> Result<Schedule, AdapterError> {
        let doing = "asking the consensus node for its schedule";
        // Newer nodes list values that are no texts.
        let answer: Answer<BTreeMap<String, serde_json::Value>> =
            self.get(doing, "config/spec").await?;
        Schedule::read(|name| answer.data.get(name)?.as_str())
            .map_err(|name| self.no_answer(doing, format!("{name} is missing, or unknown")))
    }

    async fn finality_update(&self) -> Result<LightClientUpdate, AdapterError> {
        let path = "beacon/light_client/finality_update";
        Ok(self.get::<Answer<_>>("asking for what is final", path).await?.data)
    }

    /// The best update of a period, which names the next committee.
    async fn update_of(&self, period: u64) -> Result<LightClientUpdate, AdapterError> {
        let doing = "asking for the next sync committee";
        let path = format!("beacon/light_client/updates?start_period={period}&count=1");
        let mut updates: Vec<Answer<LightClientUpdate>> = self.get(doing, &path).await?;
        match updates.pop() {
            Some(update) => Ok(update.data),
            None => Err(self.no_answer(doing, format!("there is none for period {period}"))),
        }
    }

    async fn bootstrap(&self, root: Hash) -> Result<LightClientBootstrap, AdapterError> {
        let path = format!("beacon/light_client/bootstrap/{root}");
        Ok(self.get::<Answer<_>>("asking for a sync committee", &path).await?.data)
    }
}

/// A trusted start for a client of the chain: its newest final block, as the node at `url` says.
///
/// Whoever uses it must compare [`BeaconAnchor::root`] with what others say of that slot.
///
/// # Errors
/// [`AdapterError::NoAnswer`].
pub(crate) async fn newest_anchor(
    url: &str,
    chain: ChainId,
    (evm_chain_id, genesis): (u64, Hash),
) -> Result<BeaconAnchor, AdapterError> {
    let node = BeaconNode::connect(chain, url)?;
    let schedule = node.schedule().await?;
    let begun: Answer<BeaconGenesis> =
        node.get("asking for the beginning of the network", "beacon/genesis").await?;
    let root = node.finality_update().await?.finalized_header.beacon.root();
    let bootstrap = node.bootstrap(root).await?;
    Ok(bootstrap.anchor(root, (evm_chain_id, genesis), &begun.data, &schedule))
}

/// A chain with proof of stake, followed by its sync committees.
pub(crate) struct BeaconProver {
    node: BeaconNode,
    schedule: Schedule,
    /// By period.
    committees: Kept<Committee>,
    /// What made blocks final, by their numbers.
    finals: Kept<LightClientUpdate>,
}

impl BeaconProver {
    pub(crate) async fn connect(chain: ChainId, url: &str) -> Result<Self, AdapterError> {
        let node = BeaconNode::connect(chain, url)?;
        let schedule = node.schedule().await?;
        Ok(Self { node, schedule, committees: Kept::new(), finals: Kept::new() })
    }

    /// The committee of a period that is not over before `final_root`, a root that the node holds
    /// for final, was made.
    async fn committee(
        &self,
        period: u64,
        final_root: Hash,
    ) -> Result<Arc<Committee>, AdapterError> {
        if let Some(committee) = self.committees.get(period) {
            return Ok(committee);
        }
        let named = match period.checked_sub(1) {
            Some(before) => self.node.update_of(before).await.ok(),
            None => None,
        };
        let committee = match named.and_then(|update| update.next_sync_committee) {
            Some(committee) => committee,
            // The first period that this node knows.
            None => {
                let bootstrap = self.node.bootstrap(final_root).await?;
                let found = self.schedule.period_of(bootstrap.header.beacon.slot);
                if found != period {
                    let why = format!("none for period {period}; period {found} is the newest");
                    return Err(self.node.no_answer("asking for a sync committee", why));
                }
                bootstrap.current_sync_committee
            }
        };
        let committee = Arc::new(committee);
        self.committees.keep(period, &committee);
        Ok(committee)
    }

    /// An update as verifiers take it.
    async fn signed(
        &self,
        update: &LightClientUpdate,
        final_root: Hash,
    ) -> Result<SyncUpdate, AdapterError> {
        let slot = update.signature_slot;
        let committee = self.committee(self.schedule.period_of(slot), final_root).await?;
        Ok(update.signed_by(&committee, self.schedule.version_at(slot)))
    }

    /// What brings `follower` to the block that `last` makes final, or as far on the way as fits one
    /// advance, and the number of the block that it comes to.
    async fn updates(
        &self,
        follower: &ClientView,
        last: &LightClientUpdate,
    ) -> Result<(Height, BeaconAdvance), AdapterError> {
        // A client of this kind counts its sets in slots.
        let from = self.schedule.period_of(follower.set_since.0);
        let to = self.schedule.period_of(last.signature_slot);
        let root = last.finalized_header.beacon.root();
        let (mut updates, mut reached) = (Vec::new(), follower.height.0);
        for period in from..to.min(from.saturating_add(PERIODS_AT_ONCE)) {
            let update = self.node.update_of(period).await?;
            reached = update.finalized_header.execution.block_number;
            updates.push(self.signed(&update, root).await?);
        }
        if to <= from.saturating_add(PERIODS_AT_ONCE) {
            reached = last.finalized_header.execution.block_number;
            updates.push(self.signed(last, root).await?);
        }
        Ok((Height(reached), BeaconAdvance { updates }))
    }
}

/// The newest of what was learned, by number.
struct Kept<T>(Mutex<BTreeMap<u64, Arc<T>>>);

impl<T> Kept<T> {
    fn new() -> Self {
        Self(Mutex::new(BTreeMap::new()))
    }

    fn get(&self, at: u64) -> Option<Arc<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&at).map(Arc::clone)
    }

    fn keep(&self, at: u64, value: &Arc<T>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.insert(at, Arc::clone(value));
        while kept.len() > KEPT {
            kept.pop_first();
        }
    }
}

#[async_trait]
impl Prover for BeaconProver {
    async fn newest(&self, endpoints: &Endpoints) -> Result<(SeenBlock, Hash), AdapterError> {
        let update = Arc::new(self.node.finality_update().await?);
        let finalized = &update.finalized_header;
        let served = &finalized.execution;
        let block = endpoints.final_block(served.block_number).await?;
        if block.id() != served.block_hash {
            return Err(AdapterError::Contradiction {
                chain: endpoints.chain(),
                why: format!(
                    "block {} is {} by the consensus node and {} by the RPC nodes",
                    block.number,
                    served.block_hash,
                    block.id()
                ),
            });
        }
        self.finals.keep(block.number, &update);
        let period = self.schedule.period_of(finalized.beacon.slot);
        let committee = self.committee(period, finalized.beacon.root()).await?;
        Ok((block, validators_root(period, committee.root())))
    }

    async fn advance(
        &self,
        endpoints: &Endpoints,
        follower: &ClientView,
        block: &SeenBlock,
    ) -> Result<Vec<u8>, AdapterError> {
        if follower.height.0 >= block.number {
            return Ok(Vec::new());
        }
        let Some(update) = self.finals.get(block.number) else {
            return Err(AdapterError::NotFinal {
                chain: endpoints.chain(),
                what: format!("block {}, by the consensus node", block.number),
                newest: follower.height,
            });
        };
        // A client that is further away is led by updates first.
        Ok(self.updates(follower, &update).await?.1.encode())
    }

    async fn update(
        &self,
        _: &Endpoints,
        client: &ClientView,
    ) -> Result<Option<Vec<u8>>, AdapterError> {
        let newest = self.node.finality_update().await?;
        if newest.finalized_header.execution.block_number <= client.height.0 {
            return Ok(None);
        }
        let (height, advance) = self.updates(client, &newest).await?;
        Ok(Some(EvmUpdate { height, advance: advance.encode() }.encode()))
    }
}
