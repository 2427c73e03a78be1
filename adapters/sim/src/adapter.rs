//! The simulated chain as a relayer sees it: through a network that may be slow, silent or false.

use crate::{
    chain::{Ended, Pace, SimChain},
    lie::Lie,
    random::Random,
};
use async_trait::async_trait;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};
use tombolo_adapter::{
    Ability, AdapterError, ChainHead, ClientView, Consensus, Declare, Descriptor, Limits, LinkHead,
    Privacy, Query, Sink, Source, SubmitOutcome, TransactionStatus,
};
use tombolo_crypto::secp256k1::SecretKey;
use tombolo_ledger::{Call, Machine, delivery::DELIVERY_MESSAGES_MAX, lanes};
use tombolo_types::{
    Epoch, Height, MessageNumber, Refusal,
    id::{LinkId, TxId},
    lane::{Delivery, LaneKey, LaneLeaf, MESSAGE_BYTES_MAX, RangeProof},
    transaction::TRANSACTION_BYTES_MAX,
};

/// Room that a transaction leaves for its messages, beside envelope, head proof and range proof.
const BATCH_BYTES_MAX: u64 = (TRANSACTION_BYTES_MAX - 32 * 1024) as u64;

/// How the way to the chain behaves. The default is a perfect one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Network {
    /// Of a thousand questions, how many are never answered. Of those that ask for something to
    /// be done, half are done nevertheless.
    pub no_answer_per_mille: u16,
    /// The longest that an answer takes, in milliseconds of the runtime's clock, which tests pause.
    pub delay_ms_max: u64,
}

/// An adapter of a [`SimChain`], with the key of one relayer.
pub struct SimAdapter<M: Machine> {
    chain: Arc<SimChain<M>>,
    key: SecretKey,
    descriptor: Descriptor,
    network: Network,
    random: Mutex<Random>,
    lie: Mutex<Option<Told>>,
}

/// A lie that is being told.
struct Told {
    lie: Lie,
    /// What the withholder shows for ever.
    stale: (ChainHead, BTreeMap<LinkId, LinkHead>),
}

impl<M: Machine> SimAdapter<M> {
    /// An honest adapter over a perfect network, that signs with `key`.
    pub fn new(chain: Arc<SimChain<M>>, key: SecretKey) -> Self {
        let random = Mutex::new(Random::new(chain.settings.seed ^ 0x5eed));
        let descriptor = Descriptor {
            kind: "sim".to_owned(),
            chain_id: chain.chain_id,
            finality: chain.settings.finality,
            consensus: Consensus::Bft,
            currency: None,
            privacy: Privacy::Public,
            limits: Limits {
                message_bytes_max: MESSAGE_BYTES_MAX as u64,
                batch_messages_max: DELIVERY_MESSAGES_MAX as u64,
                batch_bytes_max: BATCH_BYTES_MAX,
                deliveries_max: 1,
                unfinal_max: 1,
            },
            abilities: [
                Ability::ProvenHeads,
                Ability::ClientUpdates,
                Ability::Misbehaviour,
                Ability::Query,
            ]
            .into(),
        };
        let (network, lie) = (Network::default(), Mutex::new(None));
        Self { chain, key, descriptor, network, random, lie }
    }

    /// The same over another network.
    #[must_use]
    pub fn with_network(mut self, network: Network) -> Self {
        self.network = network;
        self
    }

    /// The same without an ability.
    #[must_use]
    pub fn without(mut self, ability: Ability) -> Self {
        self.descriptor.abilities.remove(&ability);
        self
    }

    /// The chain behind it.
    #[must_use]
    pub fn chain(&self) -> &Arc<SimChain<M>> {
        &self.chain
    }

    /// Begins to tell a lie, or ends it.
    pub fn tell(&self, lie: Option<Lie>) {
        let told = lie.map(|lie| {
            let links = self.chain.read(|view| lanes::links(view));
            let shown = |id| self.chain.link_head(id).ok().map(|head| (id, head));
            let heads = links.into_iter().filter_map(|link| shown(link.id)).collect();
            Told { lie, stale: (self.chain.newest_head(), heads) }
        });
        *self.told() = told;
    }

    // Nothing that can panic is done while one of the two is held.
    fn told(&self) -> MutexGuard<'_, Option<Told>> {
        self.lie.lock().expect("nothing panicked while it held the lie")
    }

    fn random(&self) -> MutexGuard<'_, Random> {
        self.random.lock().expect("nothing panicked while it held the dice")
    }

    fn no_answer(&self, doing: &'static str) -> AdapterError {
        let why = "the simulated network lost it".to_owned();
        AdapterError::NoAnswer { chain: self.chain.chain_id, doing, why }
    }

    fn refused(&self, refusal: Refusal) -> AdapterError {
        AdapterError::Refused { chain: self.chain.chain_id, refusal }
    }

    /// Waits as long as the network takes, and says whether the question arrives.
    async fn arrives(&self) -> bool {
        let (delay, lost) = {
            let mut random = self.random();
            let delay = random.up_to(self.network.delay_ms_max);
            (delay, random.strikes(self.network.no_answer_per_mille))
        };
        if delay > 0 {
            tokio::time::sleep(Duration::from_millis(delay)).await;
        }
        !lost
    }

    async fn ask(&self, doing: &'static str) -> Result<(), AdapterError> {
        if self.arrives().await { Ok(()) } else { Err(self.no_answer(doing)) }
    }

    async fn submit(
        &self,
        doing: &'static str,
        call: Call<M::Call>,
    ) -> Result<SubmitOutcome, AdapterError> {
        let answered = self.arrives().await;
        let done_nevertheless = answered || self.random().strikes(500);
        if !done_nevertheless {
            return Err(self.no_answer(doing));
        }
        let id = self.chain.submit(&self.key, call).map_err(|refusal| self.refused(refusal))?;
        let ended = self.until_final(id).await;
        if !answered {
            return Err(self.no_answer(doing));
        }
        match ended {
            Ended::Final(height, None) => Ok(SubmitOutcome { transaction: id, height }),
            Ended::Final(_, Some(refusal)) | Ended::Dropped(refusal) => Err(self.refused(refusal)),
        }
    }

    async fn until_final(&self, id: TxId) -> Ended {
        let mut heights = self.chain.final_height.subscribe();
        loop {
            if let Some(ended) = self.chain.ended(id) {
                return ended;
            }
            match self.chain.settings.pace {
                Pace::OnDemand => self.chain.produce_until_final(),
                // The chain holds the sender, so it cannot be gone.
                Pace::Manual => heights.changed().await.expect("the chain is there"),
            }
        }
    }

    fn link(&self, id: LinkId) -> Result<lanes::Link, AdapterError> {
        let found = self.chain.read(|view| lanes::link(view, id));
        found.ok_or_else(|| self.chain.not_found(format!("link {id}")))
    }
}

impl<M: Machine> Declare for SimAdapter<M> {
    fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }
}

#[async_trait]
impl<M: Machine> Source for SimAdapter<M> {
    async fn newest_head(&self) -> Result<ChainHead, AdapterError> {
        self.ask("asking for the newest head").await?;
        match &*self.told() {
            Some(Told { lie: Lie::Withholder, stale }) => Ok(stale.0),
            _ => Ok(self.chain.newest_head()),
        }
    }

    async fn next_head(&self, after: Height) -> Result<ChainHead, AdapterError> {
        self.ask("waiting for a head").await?;
        let mut heights = self.chain.final_height.subscribe();
        loop {
            let newest = self.newest_head().await?;
            if newest.height > after {
                return Ok(newest);
            }
            // The chain holds the sender, so it cannot be gone.
            heights.changed().await.expect("the chain is there");
        }
    }

    async fn head(&self, link: LinkId, _: &ClientView) -> Result<LinkHead, AdapterError> {
        self.ask("asking for a link's head").await?;
        let mut head = self.chain.link_head(link)?;
        match &*self.told() {
            None => {}
            Some(Told { lie: Lie::Equivocator, .. }) => self.chain.equivocal(&mut head),
            Some(Told { lie: Lie::Forger, .. }) => self.chain.forged(&mut head),
            Some(Told { lie: Lie::Withholder, stale }) => {
                let shown = stale.1.get(&link).cloned();
                return shown.ok_or_else(|| self.chain.not_found(format!("link {link}")));
            }
        }
        Ok(head)
    }

    async fn confirm(
        &self,
        head: &ChainHead,
        leaf: &LaneLeaf,
        proof: &[u8],
    ) -> Result<(), AdapterError> {
        self.ask("asking to confirm a leaf").await?;
        self.chain.confirm(head, leaf, proof)
    }

    async fn messages(
        &self,
        key: LaneKey,
        epoch: Epoch,
        from: MessageNumber,
        count: u64,
        size: u64,
    ) -> Result<(Vec<Vec<u8>>, RangeProof), AdapterError> {
        self.ask("asking for messages").await?;
        if let Some(Told { lie: Lie::Withholder, .. }) = &*self.told() {
            return Err(self.chain.not_found(format!("body of message {from}")));
        }
        let limits = self.descriptor.limits;
        let most = (count.min(limits.batch_messages_max), limits.batch_bytes_max);
        self.chain.lane_messages(key, epoch, from, most, size)
    }

    async fn client_update(&self, client: &ClientView) -> Result<Option<Vec<u8>>, AdapterError> {
        self.descriptor.require(Ability::ClientUpdates)?;
        self.ask("asking for a client update").await?;
        Ok(self.chain.update_for(client))
    }
}

#[async_trait]
impl<M: Machine> Sink for SimAdapter<M> {
    async fn deliver(&self, delivery: Delivery) -> Result<SubmitOutcome, AdapterError> {
        self.submit("delivering", Call::Deliver(Box::new(delivery))).await
    }

    async fn update_client(
        &self,
        link: LinkId,
        update: Vec<u8>,
    ) -> Result<SubmitOutcome, AdapterError> {
        self.submit("updating a client", Call::UpdateClient { link, update }).await
    }

    async fn client_status(&self, link: LinkId) -> Result<ClientView, AdapterError> {
        self.ask("asking for a client").await?;
        let now = self.chain.newest_head().time;
        let link = self.link(link)?;
        let verifier = self.chain.machine().verifier(&link.verifier);
        let verifier =
            verifier.ok_or_else(|| self.chain.not_found(format!("verifier {}", link.verifier)))?;
        verifier.view(&link.client, now).map_err(|refusal| self.refused(refusal))
    }

    async fn report_misbehaviour(
        &self,
        link: LinkId,
        evidence: Vec<u8>,
    ) -> Result<SubmitOutcome, AdapterError> {
        self.descriptor.require(Ability::Misbehaviour)?;
        self.submit("reporting misbehaviour", Call::Misbehaviour { link, evidence }).await
    }
}

#[async_trait]
impl<M: Machine> Query for SimAdapter<M> {
    async fn transaction(&self, id: TxId) -> Result<TransactionStatus, AdapterError> {
        self.descriptor.require(Ability::Query)?;
        self.ask("asking for a transaction").await?;
        Ok(match self.chain.ended(id) {
            None | Some(Ended::Dropped(_)) => TransactionStatus::Unknown,
            Some(Ended::Final(height, None)) => TransactionStatus::Applied { height },
            Some(Ended::Final(height, Some(refusal))) => {
                TransactionStatus::Refused { height, refusal }
            }
        })
    }
}
