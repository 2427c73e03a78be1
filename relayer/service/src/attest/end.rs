//! An end of a link whose heads go out attested.

use super::{Attest, AttestError, Statement, Witness, Word};
use crate::link::Chain;
use async_trait::async_trait;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::task::JoinSet;
use tombolo_adapter::{
    Ability, AdapterError, ChainHead, ClientView, Declare, Descriptor, Landing, LinkHead,
    ProvedLeaf, Query, Sink, Source, SubmitOutcome, TransactionStatus,
};
use tombolo_relayer_core::End;
use tombolo_types::{
    Address, Epoch, Height, MessageNumber,
    header::Signature,
    id::{LinkId, TxId},
    lane::{Delivery, LaneKey, LaneLeaf, RangeProof},
};

/// How long a node may take: it asks its own node of the chain first.
const WORD_WITHIN: Duration = Duration::from_secs(5);

/// Whether the chain's own proof goes with the signatures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnProof {
    /// It bounds the one trusted node.
    Included,
    /// There is none that the other side would read.
    LeftOut,
}

/// A chain whose heads are attested by nodes of a link in mode 2 or 3.
pub struct Attested<C: ?Sized = dyn Chain> {
    inner: Arc<C>,
    descriptor: Descriptor,
    of: End,
    nodes: Vec<Arc<dyn Attest>>,
    threshold: usize,
    own_proof: OwnProof,
    /// Those who gave no word when they were asked last.
    away: Mutex<BTreeSet<String>>,
    witness: Option<Arc<Witness>>,
}

impl<C: Chain + ?Sized> Attested<C> {
    /// The end `of` of a link, attested by `threshold` of `nodes`, the first of which is this
    /// process's own.
    #[must_use]
    pub fn new(
        inner: Arc<C>,
        of: End,
        nodes: Vec<Arc<dyn Attest>>,
        threshold: usize,
        own_proof: OwnProof,
    ) -> Self {
        let mut descriptor = inner.descriptor().clone();
        if own_proof == OwnProof::LeftOut {
            // Every attested head moves such a client; there is nothing else that does.
            descriptor.abilities.remove(&Ability::ProvenHeads);
            descriptor.abilities.remove(&Ability::ClientUpdates);
        }
        let away = Mutex::default();
        Self { inner, descriptor, of, nodes, threshold, own_proof, away, witness: None }
    }

    /// Tells a witness what enough nodes have agreed to, and leaves out whom it has convicted.
    #[must_use]
    pub fn witnessed_by(self, witness: Arc<Witness>) -> Self {
        Self { witness: Some(witness), ..self }
    }

    /// Says once that a node gives no word, and once that it does again.
    fn heard(&self, link: LinkId, name: &str, outcome: &Result<Word, AttestError>) {
        let mut away = self.away.lock().unwrap_or_else(PoisonError::into_inner);
        let end = self.of.name();
        match outcome {
            Ok(_) if away.remove(name) => {
                tracing::info!(link = %link, end, node = name, "a node gives its word again");
            }
            Err(error) if away.insert(name.to_owned()) => {
                tracing::warn!(link = %link, end, node = name, %error, "a node gives no word");
            }
            Ok(_) | Err(_) => {}
        }
    }

    /// Asks this process's own node, then all others at once, and goes on with the first that are
    /// enough.
    async fn proof(
        &self,
        link: LinkId,
        head: &ChainHead,
        proved: &ProvedLeaf,
        key_epoch: u32,
    ) -> Result<Vec<u8>, AdapterError> {
        let mut statement = Statement {
            link,
            of: self.of,
            leaf: proved.leaf.clone(),
            head: *head,
            key_epoch,
            proof: proved.head_proof.clone(),
            by: None,
        };
        let mut words: BTreeMap<Address, Signature> = BTreeMap::new();
        let mut silent = Vec::new();
        let mut hear = |node: &str, statement: &Statement, word: Result<Word, AttestError>| {
            let word = word.and_then(|word| self.counted(node, statement, word));
            self.heard(link, node, &word);
            match word {
                Ok(word) => drop(words.insert(word.signer, word.signature)),
                Err(error) => silent.push(error.to_string()),
            }
            words.len()
        };
        let mut nodes = self.nodes.iter();
        let mut found = 0;
        if let Some(own) = nodes.next() {
            let word = word_of(&**own, &statement).await;
            statement.by = word.as_ref().ok().cloned();
            found = hear(own.name(), &statement, word);
        }
        let statement = Arc::new(statement);
        let mut asked = JoinSet::new();
        for node in nodes {
            let (node, statement) = (Arc::clone(node), Arc::clone(&statement));
            asked.spawn(async move { (word_of(&*node, &statement).await, node) });
        }
        // Dropping the set gives up those that were not needed.
        while found < self.threshold {
            match asked.join_next().await {
                Some(Ok((word, node))) => found = hear(node.name(), &statement, word),
                // A node's task does not panic, and nobody ends it.
                Some(Err(_)) => {}
                None => {
                    return Err(AdapterError::NoAnswer {
                        chain: self.inner.descriptor().chain_id,
                        doing: "asking the link's nodes to attest",
                        why: format!(
                            "{found} of {} nodes attest, {} must: {}",
                            self.nodes.len(),
                            self.threshold,
                            silent.join("; ")
                        ),
                    });
                }
            }
        }
        let bound = match self.own_proof {
            OwnProof::Included => proved.head_proof.clone(),
            OwnProof::LeftOut => Vec::new(),
        };
        let signatures = words.values().flat_map(|signature| signature.0).collect();
        let proof = statement.proof_by(signatures, bound);
        if let Some(witness) = &self.witness {
            witness.agreed(self.of, &statement.leaf, &proof);
        }
        Ok(proof.encode())
    }

    /// A node's word, if the other side counts it.
    fn counted(&self, node: &str, statement: &Statement, word: Word) -> Result<Word, AttestError> {
        let Word { signer, .. } = word;
        let why = if !statement.is_signed_by(&word) {
            format!("{signer} signed something else")
        } else if !self.counts(signer, statement.key_epoch) {
            format!("{signer} is suspended, or no key of the link's nodes")
        } else {
            return Ok(word);
        };
        Err(AttestError::NoAnswer { node: node.to_owned(), why })
    }

    /// Whether the other side counts what a key signs.
    fn counts(&self, signer: Address, key_epoch: u32) -> bool {
        self.witness.as_ref().is_none_or(|witness| witness.counts(self.of, signer, key_epoch))
    }
}

/// A node's word, which may not take long.
async fn word_of(node: &dyn Attest, statement: &Statement) -> Result<Word, AttestError> {
    let word = tokio::time::timeout(WORD_WITHIN, node.attest(statement)).await;
    word.unwrap_or_else(|_| {
        let why = format!("no answer within {WORD_WITHIN:?}");
        Err(AttestError::NoAnswer { node: node.name().to_owned(), why })
    })
}

impl<C: Chain + ?Sized> Declare for Attested<C> {
    fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }
}

#[async_trait]
impl<C: Chain + ?Sized> Source for Attested<C> {
    async fn newest_head(&self) -> Result<ChainHead, AdapterError> {
        self.inner.newest_head().await
    }

    async fn next_head(&self, after: Height) -> Result<ChainHead, AdapterError> {
        self.inner.next_head(after).await
    }

    async fn head(&self, link: LinkId, follower: &ClientView) -> Result<LinkHead, AdapterError> {
        let mut head = self.inner.head(link, follower).await?;
        for proved in &mut head.lanes {
            proved.head_proof = self.proof(link, &head.head, proved, follower.key_epoch).await?;
        }
        if self.own_proof == OwnProof::LeftOut {
            // Nodes need no leading over changes of the chain's own validators.
            head.head.validators_root = follower.validators_root;
        }
        Ok(head)
    }

    async fn confirm(
        &self,
        head: &ChainHead,
        leaf: &LaneLeaf,
        proof: &[u8],
    ) -> Result<(), AdapterError> {
        self.inner.confirm(head, leaf, proof).await
    }

    async fn messages(
        &self,
        key: LaneKey,
        epoch: Epoch,
        from: MessageNumber,
        count: u64,
        size: u64,
    ) -> Result<(Vec<Vec<u8>>, RangeProof), AdapterError> {
        self.inner.messages(key, epoch, from, count, size).await
    }

    async fn client_update(&self, client: &ClientView) -> Result<Option<Vec<u8>>, AdapterError> {
        self.descriptor.require(Ability::ClientUpdates)?;
        self.inner.client_update(client).await
    }
}

#[async_trait]
impl<C: Chain + ?Sized> Sink for Attested<C> {
    async fn deliver(&self, delivery: Delivery) -> Result<SubmitOutcome, AdapterError> {
        self.inner.deliver(delivery).await
    }

    async fn hand_in(&self, delivery: Delivery) -> Result<Landing<'_>, AdapterError> {
        self.inner.hand_in(delivery).await
    }

    async fn update_client(
        &self,
        link: LinkId,
        update: Vec<u8>,
    ) -> Result<SubmitOutcome, AdapterError> {
        self.inner.update_client(link, update).await
    }

    async fn client_status(&self, link: LinkId) -> Result<ClientView, AdapterError> {
        self.inner.client_status(link).await
    }

    async fn report_misbehaviour(
        &self,
        link: LinkId,
        evidence: Vec<u8>,
    ) -> Result<SubmitOutcome, AdapterError> {
        self.inner.report_misbehaviour(link, evidence).await
    }
}

#[async_trait]
impl<C: Chain + Query + ?Sized> Query for Attested<C> {
    async fn transaction(&self, id: TxId) -> Result<TransactionStatus, AdapterError> {
        self.inner.transaction(id).await
    }
}
