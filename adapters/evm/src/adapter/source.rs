//! What the gateway has sent, and how it is proved.

use super::{DELIVERY_BYTES_MAX, DELIVERY_MESSAGES_MAX, EvmAdapter};
use crate::{contract::IGateway, endpoints::SeenBlock, lanes::Taken};
use alloy::{eips::BlockId, primitives::B256, providers::Provider};
use async_trait::async_trait;
use std::time::Duration;
use tombolo_adapter::{
    Ability, AdapterError, ChainHead, ClientView, Declare as _, LinkHead, ProvedLeaf, Source,
    Standing,
};
use tombolo_evm_core::{
    proof::EvmHeadProof,
    storage::{lane_slots, pick_nodes},
};
use tombolo_types::{
    Epoch, Hash, Height, LaneNumber, MessageNumber, UnixMillis,
    id::LinkId,
    lane::{CONTROL_LANE, DATA_LANE, Direction, LaneKey, LaneLeaf, RangeProof},
};

/// How long to wait for a block of one node before the others are looked at all the same.
const LOOK_AFTER: Duration = Duration::from_secs(1);

fn head_of(block: &SeenBlock, validators_root: Hash) -> ChainHead {
    ChainHead {
        height: block.height(),
        block_id: block.id().into(),
        time: block.time,
        validators_root,
    }
}

impl EvmAdapter {
    fn contradiction(&self, why: impl std::fmt::Display) -> AdapterError {
        AdapterError::Contradiction { chain: self.endpoints.chain(), why: why.to_string() }
    }

    /// A lane's leaf at a block, with the trie nodes that prove it.
    async fn proved(
        &self,
        lane: LaneNumber,
        block: &SeenBlock,
        advance: &[u8],
    ) -> Result<ProvedLeaf, AdapterError> {
        let view = self.view(block);
        let current_at = async {
            match lane {
                CONTROL_LANE => view.get(IGateway::identityViewTimeCall {}).await.map(UnixMillis),
                _ => Ok(UnixMillis::ZERO),
            }
        };
        let (leaf, taken, current_at) =
            tokio::try_join!(view.lane_leaf(lane), view.taken(lane), current_at)?;
        let head_proof = match self.config.proof {
            crate::config::Proof::None => Vec::new(),
            _ => {
                let nodes = self.nodes(&leaf, block).await?;
                let (height, advance) = (block.height(), advance.to_vec());
                EvmHeadProof { height, advance, nodes }.encode()
            }
        };
        Ok(ProvedLeaf { leaf, head_proof, taken, current_at })
    }

    /// A lane's leaf at a block, and how many of its messages the hub is known to have taken.
    async fn lane(
        &self,
        lane: LaneNumber,
        block: &SeenBlock,
    ) -> Result<(LaneLeaf, u64), AdapterError> {
        let view = self.view(block);
        tokio::try_join!(view.lane_leaf(lane), view.taken(lane))
    }

    /// The trie nodes that prove a lane.
    async fn nodes(
        &self,
        leaf: &LaneLeaf,
        block: &SeenBlock,
    ) -> Result<Vec<Vec<u8>>, AdapterError> {
        let slots = lane_slots(leaf.lane, leaf.size, leaf.received);
        let slots: Vec<B256> = slots.into_iter().map(|slot| B256::from(slot.0)).collect();
        let doing = "asking for a proof";
        let at = BlockId::hash(block.hash);
        let node = self.endpoints.holder(block, 0).await?;
        let proof = node.get_proof(self.config.gateway, slots).block_id(at).await;
        let proof = proof.map_err(|error| self.endpoints.failed(doing, &error))?;
        let header = node.get_block(at).await;
        let header = header.map_err(|error| self.endpoints.failed(doing, &error))?;
        let header = header
            .ok_or_else(|| self.endpoints.no_answer(doing, format!("no block {}", block.hash)))?;
        let all = proof
            .account_proof
            .into_iter()
            .chain(proof.storage_proof.into_iter().flat_map(|slot| slot.proof))
            .map(|node| node.to_vec());
        let gateway = tombolo_types::Address(self.config.gateway.0.0);
        pick_nodes(all, Hash(header.header.state_root.0), gateway, leaf.lane)
            .map_err(|error| self.contradiction(error))
    }

    /// Waits until heads are shown at a height or above it. A block can be final by the nodes' mark
    /// before that can be proved; whoever is told that a delivery has ended looks for it in the next
    /// head, and would bring it again where it is not there.
    pub(super) async fn until_shown(&self, height: Height) -> Result<(), AdapterError> {
        loop {
            let seen = self.endpoints.noticed();
            let ask = async { Ok(self.prover.newest(&self.endpoints).await?.0.height()) };
            match self.shown.get(&self.endpoints, ask).await {
                Ok(shown) if shown >= height => return Ok(()),
                Ok(_) | Err(AdapterError::NotFinal { .. }) => {}
                Err(error) => return Err(error),
            }
            self.endpoints.other_block(seen, LOOK_AFTER).await?;
        }
    }

    async fn standing(&self, block: &SeenBlock) -> Result<Standing, AdapterError> {
        let found = self.view(block).get(IGateway::standingCall {}).await?;
        Ok(match found.status {
            0 => Standing::Proposed,
            1 => Standing::Open,
            _ => Standing::Shut,
        })
    }
}

#[async_trait]
impl Source for EvmAdapter {
    async fn newest_head(&self) -> Result<ChainHead, AdapterError> {
        let (block, root) = self.prover.newest(&self.endpoints).await?;
        Ok(head_of(&block, root))
    }

    async fn next_head(&self, after: Height) -> Result<ChainHead, AdapterError> {
        loop {
            let seen = self.endpoints.noticed();
            let newest = self.endpoints.newest().await?;
            if newest.height() > after {
                return self.newest_head().await;
            }
            self.endpoints.other_block(seen, LOOK_AFTER).await?;
        }
    }

    async fn head(&self, link: LinkId, follower: &ClientView) -> Result<LinkHead, AdapterError> {
        self.ensure_link(link)?;
        let (block, root) = self.prover.newest(&self.endpoints).await?;
        // A client that must be led first is not shown a head that it is too far away for.
        let near = root.is_zero() || root == follower.validators_root;
        let advance = match near {
            true => self.prover.advance(&self.endpoints, follower, &block).await?,
            false => Vec::new(),
        };
        let (control, data, standing) = tokio::try_join!(
            self.proved(CONTROL_LANE, &block, &advance),
            self.proved(DATA_LANE, &block, &advance),
            self.standing(&block),
        )?;
        Ok(LinkHead { head: head_of(&block, root), standing, lanes: vec![control, data] })
    }

    async fn confirm(
        &self,
        head: &ChainHead,
        leaf: &LaneLeaf,
        _: &[u8],
    ) -> Result<(), AdapterError> {
        let block = self.endpoints.final_block(head.height.0).await?;
        if (block.id(), block.time) != (head.block_id.into(), head.time) {
            return Err(self.contradiction(format!(
                "block {} at height {} is {} here",
                head.block_id, head.height, block.hash
            )));
        }
        let own = self.view(&block).lane_leaf(leaf.lane).await?;
        if own != *leaf {
            return Err(self.contradiction(format!(
                "lane {} has size {} and root {} here at height {}",
                leaf.lane, own.size, own.root, head.height
            )));
        }
        Ok(())
    }

    async fn messages(
        &self,
        key: LaneKey,
        epoch: Epoch,
        from: MessageNumber,
        count: u64,
        size: u64,
    ) -> Result<(Vec<Vec<u8>>, RangeProof), AdapterError> {
        self.ensure_link(key.link)?;
        let missing = || AdapterError::NotFound {
            chain: self.endpoints.chain(),
            what: format!("message {from} below size {size} of lane {} in epoch {epoch}", key.lane),
        };
        if key.direction != Direction::ChainToHub || !matches!(key.lane, CONTROL_LANE | DATA_LANE) {
            return Err(missing());
        }
        let newest = self.endpoints.newest().await?;
        let ((control, control_taken), (data, data_taken)) =
            tokio::try_join!(self.lane(CONTROL_LANE, &newest), self.lane(DATA_LANE, &newest))?;
        let taken = Taken::from([
            (CONTROL_LANE, (control.epoch, control_taken)),
            (DATA_LANE, (data.epoch, data_taken)),
        ]);
        let leaf = if key.lane == CONTROL_LANE { control } else { data };
        if epoch == leaf.epoch && size > leaf.size {
            return Err(AdapterError::NotFinal {
                chain: self.endpoints.chain(),
                what: format!("size {size} of lane {}", key.lane),
                newest: newest.height(),
            });
        }
        let mut sent = self.sent.lock().await;
        sent.read(&self.endpoints, &newest, &taken).await?;
        if epoch == leaf.epoch && !sent.suits(key.lane, epoch, leaf.size, leaf.root) {
            // One node's events are believed for the root that enough nodes agree on, or not at all.
            sent.distrust();
            let why =
                format!("one node's, of lane {}, do not make up root {}", key.lane, leaf.root);
            return Err(self.endpoints.no_answer("reading events", why));
        }
        let most = (count.min(DELIVERY_MESSAGES_MAX), DELIVERY_BYTES_MAX);
        sent.messages(key.lane, epoch, from.0, most, size).ok_or_else(missing)
    }

    async fn client_update(&self, client: &ClientView) -> Result<Option<Vec<u8>>, AdapterError> {
        self.descriptor().require(Ability::ClientUpdates)?;
        self.prover.update(&self.endpoints, client).await
    }
}
