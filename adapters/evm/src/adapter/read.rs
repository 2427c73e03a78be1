//! Reading the gateway at one block.

use crate::{contract::IGateway, convert, endpoints::Endpoints, refusal};
use alloy::{
    eips::BlockId,
    network::TransactionBuilder,
    primitives::{Address, B256, Bytes},
    providers::Provider,
    rpc::types::TransactionRequest,
    sol_types::SolCall,
};
use tombolo_adapter::AdapterError;
use tombolo_evm_core::storage;
use tombolo_types::{LaneNumber, lane::LaneLeaf};

/// The gateway as it stands at one block, by what enough nodes say.
pub(super) struct View<'e> {
    pub(super) endpoints: &'e Endpoints,
    pub(super) gateway: Address,
    /// The block, by its hash: of two blocks at one height only one is meant.
    pub(super) block: B256,
}

impl View<'_> {
    fn at(&self) -> BlockId {
        BlockId::hash(self.block)
    }

    /// What a view function gives.
    ///
    /// # Errors
    /// [`AdapterError::Refused`] where it reverts; [`AdapterError::Contradiction`] where it gives
    /// other than its type, as an account that is no gateway does.
    pub(super) async fn get<C: SolCall>(&self, view: C) -> Result<C::Return, AdapterError> {
        let data = Bytes::from(view.abi_encode());
        let said = self
            .endpoints
            .agreed("reading the gateway", |provider| {
                let request =
                    TransactionRequest::default().with_to(self.gateway).with_input(data.clone());
                async move {
                    match provider.call(request).block(self.at()).await {
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
        C::abi_decode_returns(&answer).map_err(|error| AdapterError::Contradiction {
            chain,
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
        let slot = B256::from(storage::taken_slot(lane).0).into();
        let word = self
            .endpoints
            .agreed("reading a lane", |provider| async move {
                Ok(Some(provider.get_storage_at(self.gateway, slot).block_id(self.at()).await?))
            })
            .await?;
        let bytes: [u8; 32] = word.to_be_bytes();
        Ok(bytes.first_chunk::<8>().map_or(0, |taken| u64::from_be_bytes(*taken)))
    }
}
