//! What the chain proves of itself: heads, messages, changes of validators. All of it final.

use crate::chain::{Final, Inner, SimChain};
use tombolo_adapter::{
    AdapterError, ChainHead, ClientView, LinkHead, ProvedLeaf, Standing, confirm_by_header,
};
use tombolo_crypto::{digest, log::range_proof, tree};
use tombolo_ledger::{
    Machine,
    lanes::{self, LaneNodes, LinkStatus},
};
use tombolo_types::{
    Epoch, Height, MessageNumber,
    id::LinkId,
    lane::{LaneKey, LaneLeaf, RangeProof},
    transaction::{ClientUpdate, HeadProof},
};

impl Final {
    pub(crate) fn head(&self) -> ChainHead {
        ChainHead {
            height: self.header.height,
            block_id: digest::block_id(&self.header),
            time: self.header.time,
            validators_root: self.header.validators_root,
        }
    }
}

impl<M: Machine> SimChain<M> {
    pub(crate) fn not_found(&self, what: String) -> AdapterError {
        AdapterError::NotFound { chain: self.chain_id, what }
    }

    fn not_final(&self, inner: &Inner, what: String) -> AdapterError {
        let newest = inner.finals.last().map_or(Height::ZERO, |block| block.header.height);
        AdapterError::NotFinal { chain: self.chain_id, what, newest }
    }

    /// The newest final block; genesis before there is one.
    pub(crate) fn newest_head(&self) -> ChainHead {
        let inner = self.lock();
        inner.finals.last().map_or_else(
            || ChainHead {
                height: Height::ZERO,
                block_id: self.anchor().block_id,
                time: self.genesis.time,
                validators_root: digest::validators_root(&self.genesis.validators),
            },
            Final::head,
        )
    }

    pub(crate) fn link_head(&self, id: LinkId) -> Result<LinkHead, AdapterError> {
        let inner = self.lock();
        let view = &inner.kept;
        let Some(link) = lanes::link(view, id) else {
            return Err(self.not_found(format!("link {id}")));
        };
        let Some(newest) = inner.finals.last() else {
            return Err(self.not_final(&inner, "height 1".to_owned()));
        };
        let leaves = lanes::leaf_hashes(view);
        let proved = lanes::lanes(view, id).into_iter().map(|(number, lane)| {
            let position = usize::try_from(lane.position).unwrap_or(usize::MAX);
            let proof = HeadProof {
                header: newest.header.clone(),
                certificate: newest.certificate.clone(),
                index: lane.position,
                count: leaves.len() as u64,
                path: tree::lane_path(&leaves, position),
            };
            ProvedLeaf {
                leaf: lanes::leaf(&link, number, &lane, M::DIRECTION),
                head_proof: proof.encode(),
                taken: lane.taken,
                current_at: lane.current_at,
            }
        });
        let standing = match link.status {
            LinkStatus::Proposed => Standing::Proposed,
            LinkStatus::Paused { until } if until > newest.header.time => Standing::Paused,
            LinkStatus::Open | LinkStatus::Paused { .. } => Standing::Open,
            LinkStatus::Frozen | LinkStatus::Closed => Standing::Shut,
        };
        Ok(LinkHead { head: newest.head(), standing, lanes: proved.collect() })
    }

    /// Whether the chain commits to the leaf at that final block.
    pub(crate) fn confirm(
        &self,
        head: &ChainHead,
        leaf: &LaneLeaf,
        proof: &[u8],
    ) -> Result<(), AdapterError> {
        let inner = self.lock();
        let own = inner.finals.iter().find(|block| block.header.height == head.height);
        let Some(own) = own else {
            return Err(self.not_final(&inner, format!("height {}", head.height)));
        };
        confirm_by_header(&own.header, head, leaf, proof)
            .map_err(|why| AdapterError::Contradiction { chain: self.chain_id, why })
    }

    /// At most `count` messages that together have at most `bytes`, but one at least.
    pub(crate) fn lane_messages(
        &self,
        key: LaneKey,
        epoch: Epoch,
        from: MessageNumber,
        (count, bytes): (u64, u64),
        size: u64,
    ) -> Result<(Vec<Vec<u8>>, RangeProof), AdapterError> {
        let inner = self.lock();
        let view = &inner.kept;
        let named = || format!("lane {} of link {} in epoch {epoch}", key.lane, key.link);
        let lane = lanes::lane(view, key.link, key.lane)
            .filter(|lane| key.direction == M::DIRECTION && epoch == lane.epoch)
            .ok_or_else(|| self.not_found(named()))?;
        if size > lane.sent.size() {
            return Err(self.not_final(&inner, format!("size {size} of {}", named())));
        }
        if from.0 >= size || from.0 < lane.taken || count == 0 {
            return Err(self.not_found(format!("message {from} below size {size} of {}", named())));
        }
        let limit = usize::try_from(count.min(size - from.0)).unwrap_or(usize::MAX);
        let mut left = bytes;
        let mut messages = lanes::bodies(view, key.link, key.lane, epoch, from, limit);
        let fit = messages.iter().take_while(|message| {
            let length = message.len() as u64;
            let fits = length <= left;
            left = left.saturating_sub(length);
            fits
        });
        let fit = fit.count().max(1);
        messages.truncate(fit);
        let nodes = LaneNodes { view, link: key.link, lane: key.lane, epoch };
        let proof = range_proof(&nodes, from.0, messages.len() as u64, size);
        // The nodes of every message that was sent are kept.
        Ok((messages, proof.expect("the log holds all nodes below its size")))
    }

    pub(crate) fn update_for(&self, client: &ClientView) -> Option<Vec<u8>> {
        let inner = self.lock();
        let changes = |block: &&Final| {
            block.header.height >= client.set_since
                && block.header.next_validators_root != block.header.validators_root
        };
        let newer = |block: &&Final| block.header.height > client.height;
        let found = inner.finals.iter().find(changes);
        let Final { header, certificate } = found.or_else(|| inner.finals.last().filter(newer))?;
        let update = ClientUpdate {
            header: header.clone(),
            certificate: certificate.clone(),
            next_validators: inner.validators_at(header.height.next()),
        };
        Some(update.encode())
    }
}
