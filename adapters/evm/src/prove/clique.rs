//! Clique: headers, one after the other.

use super::Prover;
use crate::endpoints::{Endpoints, SeenBlock};
use alloy::{
    consensus::Header,
    eips::BlockId,
    primitives::{B256, keccak256},
    providers::Provider,
};
use async_trait::async_trait;
use serde::Deserialize;
use std::collections::BTreeMap;
use tombolo_adapter::{AdapterError, ClientView};
use tombolo_evm_core::{
    clique::{CliqueAdvance, CliqueAnchor, CliqueRecent, CliqueVote, validators_root},
    proof::EvmUpdate,
};
use tombolo_types::{Address, Hash, Height};

/// Headers in one update: they fit a transaction with room to spare.
const HEADERS_AT_ONCE: u64 = 256;

/// What `clique_getSnapshot` says of who may sign after a block.
#[derive(Clone, Debug, PartialEq, Deserialize)]
struct Snapshot {
    signers: BTreeMap<alloy::primitives::Address, serde_json::Value>,
    recents: BTreeMap<String, alloy::primitives::Address>,
    #[serde(default)]
    votes: Option<Vec<Vote>>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
struct Vote {
    signer: alloy::primitives::Address,
    address: alloy::primitives::Address,
    authorize: bool,
}

/// A trusted start for a client of the chain: its newest final block, as its RPC nodes agree.
///
/// # Errors
/// [`AdapterError::NoAnswer`]; [`AdapterError::Contradiction`].
pub(crate) async fn newest_anchor(
    endpoints: &Endpoints,
    (evm_chain_id, genesis): (u64, Hash),
    (period, epoch): (u64, u64),
) -> Result<CliqueAnchor, AdapterError> {
    let number = endpoints.newest().await?.number;
    let header = header(endpoints, number).await?;
    let doing = "asking for who may sign";
    let at = format!("{number:#x}");
    let snapshot: Snapshot = endpoints
        .agreed(doing, |provider| {
            let params = [at.clone()];
            async move { Ok(Some(provider.raw_request("clique_getSnapshot".into(), params).await?)) }
        })
        .await?;
    let own = |address: &alloy::primitives::Address| Address(address.0.0);
    let mut recents = Vec::new();
    for (number, signer) in &snapshot.recents {
        let number = number.parse().map_err(|error| endpoints.no_answer(doing, error))?;
        recents.push(CliqueRecent { number, signer: own(signer) });
    }
    recents.sort_by_key(|recent| recent.number);
    let vote = |vote: &Vote| CliqueVote {
        signer: own(&vote.signer),
        candidate: own(&vote.address),
        authorize: vote.authorize,
    };
    Ok(CliqueAnchor {
        evm_chain_id,
        genesis,
        period,
        epoch,
        header,
        // The map's order is that of the addresses.
        signers: snapshot.signers.keys().map(own).collect(),
        recents,
        votes: snapshot.votes.iter().flatten().map(vote).collect(),
    })
}

/// A Clique chain. A client of it holds a block for final that more than half of its signers have
/// built upon; where votes have made them more than the configured depth is for, what is shown lies
/// deeper.
pub(crate) struct CliqueProver {
    /// How many blocks make one final, by the configuration.
    pub(crate) depth: u64,
}

impl CliqueProver {
    /// How many blocks make one final after which these may sign.
    fn on_top(&self, signers: &[Address]) -> u64 {
        let more_than_half = (signers.len() as u64 / 2).saturating_add(1);
        self.depth.max(more_than_half)
    }

    /// The headers `from ..= to`, RLP.
    async fn headers(
        &self,
        endpoints: &Endpoints,
        from: u64,
        to: u64,
    ) -> Result<Vec<Vec<u8>>, AdapterError> {
        let asked = (from..=to).map(|number| header(endpoints, number));
        futures_util::future::try_join_all(asked).await
    }

    /// Who may sign after a block, ascending.
    async fn signers(
        &self,
        endpoints: &Endpoints,
        number: u64,
    ) -> Result<Vec<Address>, AdapterError> {
        let at = format!("{number:#x}");
        let signers = endpoints
            .agreed("asking for the signers", |provider| {
                let params = [at.clone()];
                async move {
                    let found: Vec<alloy::primitives::Address> =
                        provider.raw_request("clique_getSigners".into(), params).await?;
                    Ok(Some(found))
                }
            })
            .await?;
        let mut signers: Vec<Address> =
            signers.into_iter().map(|signer| Address(signer.0.0)).collect();
        signers.sort_unstable();
        Ok(signers)
    }
}

/// A header as the chain hashes it.
async fn header(endpoints: &Endpoints, number: u64) -> Result<Vec<u8>, AdapterError> {
    let at = BlockId::number(number);
    let block =
        endpoints.first("asking for a header", |node| async move { node.get_block(at).await });
    let block = block.await?;
    let (encoded, hash): (Vec<u8>, B256) = {
        let header: &Header = &block.header.inner;
        let encoded = alloy::rlp::encode(header);
        let hash = keccak256(&encoded);
        (encoded, hash)
    };
    if hash != block.header.hash {
        return Err(AdapterError::Contradiction {
            chain: endpoints.chain(),
            why: format!(
                "header {number} has hash {hash} by its fields and {} by the node",
                block.header.hash
            ),
        });
    }
    Ok(encoded)
}

#[async_trait]
impl Prover for CliqueProver {
    async fn newest(&self, endpoints: &Endpoints) -> Result<(SeenBlock, Hash), AdapterError> {
        let newest = endpoints.newest().await?;
        let mut signers = self.signers(endpoints, newest.number).await?;
        let deeper = self.on_top(&signers).saturating_sub(self.depth);
        if deeper == 0 {
            return Ok((newest.clone(), validators_root(newest.height(), &signers)));
        }
        let block = endpoints.final_block(newest.number.saturating_sub(deeper)).await?;
        signers = self.signers(endpoints, block.number).await?;
        let root = validators_root(block.height(), &signers);
        Ok((block, root))
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
        // What makes the block final stands on top of it.
        let to = endpoints.newest().await?.number.saturating_add(self.depth);
        let headers = self.headers(endpoints, follower.height.0.saturating_add(1), to).await?;
        Ok(CliqueAdvance { headers }.encode())
    }

    async fn update(
        &self,
        endpoints: &Endpoints,
        client: &ClientView,
    ) -> Result<Option<Vec<u8>>, AdapterError> {
        let (newest, _) = self.newest(endpoints).await?;
        let height = newest.number.min(client.height.0.saturating_add(HEADERS_AT_ONCE));
        if height <= client.height.0 {
            return Ok(None);
        }
        let tip = endpoints.newest().await?.number.saturating_add(self.depth);
        // A vote on the way may let fewer signers take turns; twice as many blocks hold enough.
        let on_top = self.on_top(&self.signers(endpoints, height).await?);
        let to = tip.min(height.saturating_add(on_top.saturating_mul(2)));
        let headers = self.headers(endpoints, client.height.0.saturating_add(1), to).await?;
        let advance = CliqueAdvance { headers }.encode();
        Ok(Some(EvmUpdate { height: Height(height), advance }.encode()))
    }
}
