//! The adapter of every ledger built on the Tombolo engine: islets, and the hub itself.
//!
//! It holds a connection, a key and the next nonce. The nonce is a cache: where the ledger says
//! otherwise it is asked for again.

use crate::signer::Signer;
use async_trait::async_trait;
use borsh::BorshSerialize;
use std::{collections::BTreeSet, time::Duration};
use tokio::sync::Mutex;
use tokio_stream::StreamExt as _;
use tombolo_adapter::{
    Ability, AdapterError, ChainHead, ClientView, Consensus, Declare, Descriptor, Finality, Limits,
    LinkHead, Privacy, ProvedLeaf, Query, Sink, Source, Standing, SubmitOutcome, TransactionStatus,
    confirm_by_header,
};
use tombolo_crypto::digest;
use tombolo_ledger::Call;
use tombolo_proto::{
    client::{ClientError, LedgerClient},
    view::{LinkStatus, LinkView, MessagesQuery},
};
use tombolo_types::{
    Class, Epoch, Height, MessageNumber, Refusal, UnixMillis,
    header::Header,
    id::{ChainId, LinkId, TxId},
    lane::{Delivery, LaneKey, LaneLeaf, MESSAGE_BYTES_MAX, RangeProof},
    transaction::{ClientUpdate, HeadProof},
};

/// The most bytes of messages in one delivery: a transaction holds them, the head's proof and the
/// range proof.
const DELIVERY_BYTES_MAX: u32 = 192 * 1024;
/// The most messages in one delivery.
const DELIVERY_MESSAGES_MAX: u64 = 1_000;
/// How long to wait for a transaction to become final before asking what else happened.
const RECEIPT_WAIT: Duration = Duration::from_millis(400);
/// How often that is done before the transaction is given up as lost.
const RECEIPT_TRIES: u32 = 15;
/// How often a transaction is signed anew because its nonce was taken.
const NONCE_TRIES: u32 = 3;

/// Which link shows that somebody else was faster, and how.
type Overtaken<'a> = (LinkId, &'a (dyn Fn(&LinkView) -> bool + Send + Sync));

/// One ledger of this kind, as one identity on one series of nonces sees it.
pub struct LedgerAdapter {
    client: LedgerClient,
    descriptor: Descriptor,
    signer: Signer,
    nonce: Mutex<Option<u64>>,
}

impl LedgerAdapter {
    /// An adapter of the ledger `chain` at the client's address, which signs as `signer`.
    #[must_use]
    pub fn new(client: LedgerClient, chain: ChainId, signer: Signer) -> Self {
        let descriptor = Descriptor {
            kind: "tombolo".into(),
            chain_id: chain,
            finality: Finality::Instant,
            consensus: Consensus::Bft,
            currency: None,
            privacy: Privacy::Members,
            limits: Limits {
                message_bytes_max: MESSAGE_BYTES_MAX as u64,
                batch_messages_max: DELIVERY_MESSAGES_MAX,
                batch_bytes_max: u64::from(DELIVERY_BYTES_MAX),
                deliveries_max: 1,
                unfinal_max: 1,
            },
            abilities: BTreeSet::from([
                Ability::ProvableLock,
                Ability::ProvenHeads,
                Ability::ClientUpdates,
                Ability::Misbehaviour,
                Ability::Query,
            ]),
        };
        Self { client, descriptor, signer, nonce: Mutex::new(None) }
    }

    /// The same for a ledger that has hash locks: an islet.
    #[must_use]
    pub fn with_hash_locks(mut self) -> Self {
        self.descriptor.abilities.insert(Ability::Hashlock);
        self
    }

    pub(crate) fn client(&self) -> &LedgerClient {
        &self.client
    }

    pub(crate) fn chain(&self) -> ChainId {
        self.descriptor.chain_id
    }

    pub(crate) fn failed(&self, doing: &'static str) -> impl Fn(ClientError) -> AdapterError {
        let chain = self.chain();
        move |error| match error {
            ClientError::Refused { refusal, .. } if refusal.class == Class::NotFound => {
                AdapterError::NotFound { chain, what: refusal.message }
            }
            ClientError::Refused { refusal, .. } => AdapterError::Refused { chain, refusal },
            ClientError::Unreadable { .. } => {
                AdapterError::Contradiction { chain, why: error.to_string() }
            }
            other => AdapterError::NoAnswer { chain, doing, why: other.to_string() },
        }
    }

    pub(crate) fn contradiction(&self, why: String) -> AdapterError {
        AdapterError::Contradiction { chain: self.chain(), why }
    }

    async fn link(&self, id: LinkId) -> Result<LinkView, AdapterError> {
        let links = self.client.links().await.map_err(self.failed("asking for its links"))?;
        links.links.into_iter().find(|link| link.id == id).ok_or_else(|| AdapterError::NotFound {
            chain: self.chain(),
            what: format!("link {id}"),
        })
    }

    /// Signs and submits a call, and waits until it is final.
    ///
    /// `overtaken` says, from the ledger's own link, whether somebody else has done the same
    /// meanwhile; then ours will never enter a block. `None` for what concerns no link.
    pub(crate) async fn submit<C: BorshSerialize + Sync>(
        &self,
        call: &Call<C>,
        overtaken: Option<Overtaken<'_>>,
    ) -> Result<SubmitOutcome, AdapterError> {
        let mut next = self.nonce.lock().await;
        for _ in 0..NONCE_TRIES {
            let nonce = match *next {
                Some(nonce) => nonce,
                None => self.fetch_nonce().await?,
            };
            let encoded = self.signer.sign_call(self.chain(), nonce, call);
            let sent = self.client.submit(encoded).await;
            match sent {
                Err(ClientError::Refused { refusal, .. })
                    if matches!(refusal.class, Class::Replay | Class::State) && next.is_some() =>
                {
                    // The nonce was a guess: ask, and sign again.
                    *next = None;
                }
                Err(error) => {
                    *next = None;
                    return Err(self.failed("submitting a transaction")(error));
                }
                Ok(id) => {
                    let outcome = self.receipt(id, overtaken).await;
                    // Only a final transaction has used its nonce.
                    *next = match &outcome {
                        Ok(_) | Err(AdapterError::Refused { .. }) => nonce.checked_add(1),
                        Err(_) => None,
                    };
                    if let Err(AdapterError::Refused { refusal, .. }) = &outcome
                        && refusal.class == Class::Replay
                    {
                        *next = None;
                    }
                    return outcome;
                }
            }
        }
        Err(AdapterError::NoAnswer {
            chain: self.chain(),
            doing: "submitting a transaction",
            why: "another process uses the same identity and nonce lane".into(),
        })
    }

    async fn fetch_nonce(&self) -> Result<u64, AdapterError> {
        let nonces = self.client.nonces(self.signer.identity()).await;
        let nonces = nonces.map_err(self.failed("asking for a nonce"))?;
        Ok(nonces.get(usize::from(self.signer.nonce_lane())).copied().unwrap_or(0))
    }

    /// How a transaction ended; `None` where it is in no final block within `wait`.
    async fn outcome(
        &self,
        id: TxId,
        wait: Duration,
    ) -> Result<Option<Result<SubmitOutcome, AdapterError>>, AdapterError> {
        let receipt = self.client.transaction(id, wait).await;
        let receipt = receipt.map_err(self.failed("waiting for a transaction"))?;
        Ok(receipt.map(|receipt| match receipt.refusal {
            None => Ok(SubmitOutcome { transaction: id, height: receipt.height }),
            Some(refusal) => Err(AdapterError::Refused { chain: self.chain(), refusal }),
        }))
    }

    async fn receipt(
        &self,
        id: TxId,
        overtaken: Option<Overtaken<'_>>,
    ) -> Result<SubmitOutcome, AdapterError> {
        let chain = self.chain();
        for _ in 0..RECEIPT_TRIES {
            if let Some(outcome) = self.outcome(id, RECEIPT_WAIT).await? {
                return outcome;
            }
            if let Some((link, overtaken)) = overtaken
                && overtaken(&self.link(link).await?)
            {
                // By ours itself, where it has become final since.
                if let Some(outcome) = self.outcome(id, Duration::ZERO).await? {
                    return outcome;
                }
                let why = "somebody else has brought the same meanwhile";
                let refusal = Refusal::new(Class::Replay, why);
                return Err(AdapterError::Refused { chain, refusal });
            }
        }
        let why = format!("transaction {id} is in no final block");
        Err(AdapterError::NoAnswer { chain, doing: "waiting for a transaction", why })
    }
}

impl Declare for LedgerAdapter {
    fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }
}

fn head_of(header: &Header) -> ChainHead {
    ChainHead {
        height: header.height,
        block_id: digest::block_id(header),
        time: header.time,
        validators_root: header.validators_root,
    }
}

fn standing_of(status: LinkStatus, now: UnixMillis) -> Standing {
    match status {
        LinkStatus::Proposed => Standing::Proposed,
        LinkStatus::Paused { until } if until > now => Standing::Paused,
        LinkStatus::Open | LinkStatus::Paused { .. } => Standing::Open,
        LinkStatus::Frozen | LinkStatus::Closed => Standing::Shut,
    }
}

#[async_trait]
impl Source for LedgerAdapter {
    async fn newest_head(&self) -> Result<ChainHead, AdapterError> {
        let newest = self.client.header(None).await;
        Ok(head_of(&newest.map_err(self.failed("asking for the newest header"))?.header))
    }

    async fn next_head(&self, after: Height) -> Result<ChainHead, AdapterError> {
        let doing = "watching for blocks";
        let from = after.next();
        let mut blocks = self.client.watch(Some(from)).await.map_err(self.failed(doing))?;
        match blocks.next().await {
            Some(Ok(_)) => self.newest_head().await,
            Some(Err(error)) => Err(self.failed(doing)(error)),
            None => Err(AdapterError::NoAnswer {
                chain: self.chain(),
                doing,
                why: "the stream of blocks ended".into(),
            }),
        }
    }

    async fn head(&self, link: LinkId, _: &ClientView) -> Result<LinkHead, AdapterError> {
        let (view, heads) = tokio::join!(self.link(link), self.client.heads(link));
        let (view, heads) = (view?, heads.map_err(self.failed("asking for lane heads"))?);
        let mut head = None;
        let mut lanes = Vec::with_capacity(heads.leaves.len());
        for proved in heads.leaves {
            let proof = HeadProof::decode(&proved.head_proof)
                .map_err(|error| self.contradiction(error.to_string()))?;
            head = Some(head_of(&proof.header));
            let lane = view.lanes.iter().find(|lane| lane.lane == proved.leaf.lane);
            lanes.push(ProvedLeaf {
                taken: lane.map_or(0, |lane| lane.taken),
                current_at: lane.map_or(UnixMillis::ZERO, |lane| lane.current_at),
                leaf: proved.leaf,
                head_proof: proved.head_proof,
            });
        }
        lanes.sort_by_key(|lane| lane.leaf.lane);
        let head = head.ok_or_else(|| AdapterError::NotFound {
            chain: self.chain(),
            what: format!("lane of link {link}"),
        })?;
        Ok(LinkHead { head, standing: standing_of(view.status, head.time), lanes })
    }

    async fn confirm(
        &self,
        head: &ChainHead,
        leaf: &LaneLeaf,
        proof: &[u8],
    ) -> Result<(), AdapterError> {
        let own = self.client.header(Some(head.height)).await;
        let own = match own.map_err(self.failed("asking for a header")) {
            Err(AdapterError::NotFound { chain, what }) => {
                let newest = self.newest_head().await?.height;
                return Err(AdapterError::NotFinal { chain, what, newest });
            }
            other => other?.header,
        };
        confirm_by_header(&own, head, leaf, proof).map_err(|why| self.contradiction(why))
    }

    async fn messages(
        &self,
        key: LaneKey,
        epoch: Epoch,
        from: MessageNumber,
        count: u64,
        size: u64,
    ) -> Result<(Vec<Vec<u8>>, RangeProof), AdapterError> {
        let query = MessagesQuery {
            link: key.link,
            lane: key.lane,
            epoch,
            from: from.0,
            count: u32::try_from(count.min(DELIVERY_MESSAGES_MAX)).unwrap_or(u32::MAX),
            size,
            bytes_max: DELIVERY_BYTES_MAX,
        };
        let what = || format!("message {from} of lane {} of link {}", key.lane, key.link);
        if from.0 >= size {
            return Err(AdapterError::NotFound { chain: self.chain(), what: what() });
        }
        match self.client.messages(query).await {
            Ok(answer) => Ok((answer.messages, answer.range)),
            Err(error) if error.class() == Class::Finality => {
                let newest = self.newest_head().await?.height;
                Err(AdapterError::NotFinal { chain: self.chain(), what: what(), newest })
            }
            Err(error) => Err(self.failed("asking for messages")(error)),
        }
    }

    async fn client_update(&self, client: &ClientView) -> Result<Option<Vec<u8>>, AdapterError> {
        // The next change is that whose set begins above the held one; its header may stand at or
        // below the client's height, which a head can have raised without leaving the set.
        let update = self.client.client_update(client.set_since).await;
        let update = update.map_err(self.failed("asking for what moves a client"))?;
        let is_change = |header: &Header| header.next_validators_root != header.validators_root;
        let moves = |update: &ClientUpdate| {
            is_change(&update.header) || update.header.height > client.height
        };
        Ok(update.filter(moves).map(|update| update.encode()))
    }
}

#[async_trait]
impl Sink for LedgerAdapter {
    async fn deliver(&self, delivery: Delivery) -> Result<SubmitOutcome, AdapterError> {
        let (link, lane) = (delivery.leaf.link, delivery.leaf.lane);
        let end = delivery.first.0.saturating_add(delivery.messages.len() as u64);
        let heard = delivery.leaf.received;
        let overtaken = move |view: &LinkView| {
            let lane = view.lanes.iter().find(|view| view.lane == lane);
            lane.is_some_and(|lane| lane.received >= end && lane.taken >= heard)
        };
        self.submit::<()>(&Call::Deliver(Box::new(delivery)), Some((link, &overtaken))).await
    }

    async fn update_client(
        &self,
        link: LinkId,
        update: Vec<u8>,
    ) -> Result<SubmitOutcome, AdapterError> {
        let before = self.link(link).await?;
        let moved = move |view: &LinkView| {
            view.client.height > before.client.height
                || view.client.validators_root != before.client.validators_root
        };
        self.submit::<()>(&Call::UpdateClient { link, update }, Some((link, &moved))).await
    }

    async fn client_status(&self, link: LinkId) -> Result<ClientView, AdapterError> {
        Ok(self.link(link).await?.client)
    }

    async fn report_misbehaviour(
        &self,
        link: LinkId,
        evidence: Vec<u8>,
    ) -> Result<SubmitOutcome, AdapterError> {
        let frozen = |view: &LinkView| view.status == LinkStatus::Frozen;
        self.submit::<()>(&Call::Misbehaviour { link, evidence }, Some((link, &frozen))).await
    }
}

#[async_trait]
impl Query for LedgerAdapter {
    async fn transaction(&self, id: TxId) -> Result<TransactionStatus, AdapterError> {
        let receipt = self.client.transaction(id, Duration::ZERO).await;
        Ok(match receipt.map_err(self.failed("asking for a transaction"))? {
            None => TransactionStatus::Unknown,
            Some(receipt) => match receipt.refusal {
                None => TransactionStatus::Applied { height: receipt.height },
                Some(refusal) => TransactionStatus::Refused { height: receipt.height, refusal },
            },
        })
    }
}
