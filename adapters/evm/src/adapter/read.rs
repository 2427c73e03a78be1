//! Reading the gateway at one block.

use crate::{
    contract::IGateway,
    convert,
    endpoints::{Endpoints, SeenBlock},
    refusal,
};
use alloy::{
    eips::BlockId,
    network::TransactionBuilder,
    primitives::{Address, B256, Bytes},
    providers::{Provider, RootProvider},
    rpc::types::TransactionRequest,
    sol_types::SolCall,
};
use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};
use tombolo_adapter::AdapterError;
use tombolo_evm_core::storage;
use tombolo_types::{Height, LaneNumber, lane::LaneLeaf};

/// What was read at one block, which never changes there: by contract and call data, or storage slot.
#[derive(Default)]
pub(crate) struct Answers(Mutex<(Option<BlockId>, BTreeMap<Bytes, Bytes>)>);

impl Answers {
    fn find(&self, at: BlockId, question: &Bytes) -> Option<Bytes> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.1.get(question).filter(|_| kept.0 == Some(at)).cloned()
    }

    /// Keeps what belongs to the block that was asked about last, and no other.
    fn keep(&self, at: BlockId, question: Bytes, answer: Bytes) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.0 != Some(at) {
            *kept = (Some(at), BTreeMap::new());
        }
        kept.1.insert(question, answer);
    }
}

/// The gateway as it stands at one block, by what enough nodes say.
pub(crate) struct View<'e> {
    endpoints: &'e Endpoints,
    answers: &'e Answers,
    gateway: Address,
    /// The block, by its hash: of two blocks at one height only one is meant.
    block: BlockId,
    height: Height,
}

impl<'e> View<'e> {
    /// The gateway at this block.
    pub(crate) fn at(
        (endpoints, answers): (&'e Endpoints, &'e Answers),
        gateway: Address,
        block: &SeenBlock,
    ) -> Self {
        let (block, height) = (BlockId::hash(block.hash), block.height());
        Self { endpoints, answers, gateway, block, height }
    }
}

impl View<'_> {
    /// What a view function gives.
    ///
    /// # Errors
    /// [`AdapterError::Refused`] where it reverts; [`AdapterError::NotFinal`] where it gives
    /// nothing, as an address does before a contract stands there; [`AdapterError::Contradiction`]
    /// where it gives other than its type.
    pub(crate) async fn get<C: SolCall>(&self, view: C) -> Result<C::Return, AdapterError> {
        let data = Bytes::from(view.abi_encode());
        let question = Bytes::from([self.gateway.as_slice(), &data].concat());
        if let Some(answer) = self.answers.find(self.block, &question) {
            return self.decode::<C>(&answer);
        }
        let said = self
            .endpoints
            .agreed("reading the gateway", |provider| {
                let request =
                    TransactionRequest::default().with_to(self.gateway).with_input(data.clone());
                async move {
                    match provider.call(request).block(self.block).await {
                        Ok(found) => Ok(Some(Ok(found))),
                        Err(error) => match refusal::of_error(&error) {
                            Some(refusal) => Ok(Some(Err(refusal))),
                            None => Err(error),
                        },
                    }
                }
            })
            .await?;
        let chain = self.endpoints.chain();
        let answer = said.map_err(|refusal| AdapterError::Refused { chain, refusal })?;
        if answer.is_empty() {
            let what = format!("the contract {}", self.gateway);
            return Err(AdapterError::NotFinal { chain, what, newest: self.height });
        }
        let decoded = self.decode::<C>(&answer)?;
        self.answers.keep(self.block, question, answer);
        Ok(decoded)
    }

    fn decode<C: SolCall>(&self, answer: &Bytes) -> Result<C::Return, AdapterError> {
        C::abi_decode_returns(answer).map_err(|error| AdapterError::Contradiction {
            chain: self.endpoints.chain(),
            why: format!(
                "{} answers {} with other than its type: {error}",
                self.gateway,
                C::SIGNATURE
            ),
        })
    }

    /// The leaf of a lane as the gateway commits to it.
    pub(super) async fn lane_leaf(&self, lane: LaneNumber) -> Result<LaneLeaf, AdapterError> {
        let leaf = self.get(IGateway::laneLeafCall { lane: lane.0 }).await?;
        Ok(convert::leaf_back(&leaf))
    }

    /// How many messages of a lane the gateway knows to be taken.
    pub(super) async fn taken(&self, lane: LaneNumber) -> Result<u64, AdapterError> {
        let slot = B256::from(storage::taken_slot(lane).0);
        let question = Bytes::from([self.gateway.as_slice(), slot.as_slice()].concat());
        let word = match self.answers.find(self.block, &question) {
            Some(word) => word,
            None => {
                let read = |provider: &'_ RootProvider| {
                    let word = provider.get_storage_at(self.gateway, slot.into());
                    async { Ok(Some(word.block_id(self.block).await?)) }
                };
                let word = self.endpoints.agreed("reading a lane", read).await?;
                let word = Bytes::from(B256::from(word));
                self.answers.keep(self.block, question, word.clone());
                word
            }
        };
        Ok(word.first_chunk::<8>().map_or(0, |taken| u64::from_be_bytes(*taken)))
    }
}
