//! What a gateway has sent, read from its events.
//!
//! A contract keeps the peaks of a lane's log; proofs of a range need its leaves, and a message's
//! body is nowhere but in its event. So the events of final blocks are read once, in their order,
//! and their leaves kept: a cache that a restart fills again. What is kept is checked against the
//! root that the contract commits to before it is used.

use crate::{
    contract::IGateway,
    endpoints::{Endpoints, SeenBlock},
};
use alloy::{primitives::Address, providers::Provider, rpc::types::Filter, sol_types::SolEvent};
use std::collections::{BTreeMap, VecDeque};
use tombolo_adapter::AdapterError;
use tombolo_crypto::{
    digest,
    log::{Log, Nodes, append_tiles, range_proof},
};
use tombolo_types::{
    Epoch, Hash, LaneNumber, MessageNumber,
    id::LinkId,
    lane::{Direction, RangeProof},
};

/// Blocks whose events are asked for at once; public nodes refuse much more.
pub(crate) const BLOCKS_AT_ONCE: u64 = 2_000;

/// One lane of one epoch.
#[derive(Default)]
struct LaneLog {
    log: Log,
    tiles: BTreeMap<(u32, u64), Vec<Hash>>,
    /// Bodies that may still be asked for, from number `kept_from` on.
    messages: VecDeque<Vec<u8>>,
    kept_from: u64,
}

impl Nodes for LaneLog {
    fn tile(&self, level: u32, index: u64) -> Option<Vec<Hash>> {
        self.tiles.get(&(level, index)).cloned()
    }
}

/// All lanes of one gateway.
pub(crate) struct SentLanes {
    gateway: Address,
    link: LinkId,
    lanes: BTreeMap<(LaneNumber, Epoch), LaneLog>,
    from_block: u64,
    /// The first block whose events are not read yet.
    next_block: u64,
    /// How many nodes have left out events.
    skip: usize,
}

impl SentLanes {
    pub(crate) fn new(gateway: Address, link: LinkId, from_block: u64) -> Self {
        let (lanes, next_block) = (BTreeMap::new(), from_block);
        Self { gateway, link, lanes, from_block, next_block, skip: 0 }
    }

    /// Forgets everything, and begins again with the next node: this one has left something out, or
    /// made something up.
    pub(crate) fn distrust(&mut self) {
        self.lanes.clear();
        self.next_block = self.from_block;
        self.skip = self.skip.saturating_add(1);
    }

    /// Reads the events of all blocks up to `until`, which is final, from a node that has it.
    ///
    /// # Errors
    /// [`AdapterError::NoAnswer`], also where the node's events make up no lane.
    pub(crate) async fn read(
        &mut self,
        endpoints: &Endpoints,
        until: &SeenBlock,
    ) -> Result<(), AdapterError> {
        if self.next_block > until.number {
            return Ok(());
        }
        let node = endpoints.holder(until, self.skip).await?;
        while self.next_block <= until.number {
            let to = until.number.min(self.next_block.saturating_add(BLOCKS_AT_ONCE - 1));
            let filter = Filter::new()
                .address(self.gateway)
                .event_signature(IGateway::Sent::SIGNATURE_HASH)
                .from_block(self.next_block)
                .to_block(to);
            let found = node.get_logs(&filter).await;
            let found = found.map_err(|error| endpoints.failed("reading events", &error))?;
            for log in found {
                let event = IGateway::Sent::decode_log_data(&log.inner.data);
                let read = event.map_err(|error| error.to_string());
                if let Err(why) = read.and_then(|event| self.append(&event)) {
                    self.distrust();
                    return Err(endpoints.no_answer("reading events", why));
                }
            }
            self.next_block = to.saturating_add(1);
        }
        Ok(())
    }

    fn append(&mut self, event: &IGateway::Sent) -> Result<(), String> {
        let (number, epoch) = (LaneNumber(event.lane), Epoch(event.epoch));
        let lane = self.lanes.entry((number, epoch)).or_default();
        let position = lane.log.size();
        if event.number != position {
            return Err(format!(
                "the events of lane {number} go on with message {} after {position}",
                event.number
            ));
        }
        let leaf = digest::message_leaf(
            self.link,
            Direction::ChainToHub,
            number,
            epoch,
            MessageNumber(position),
            &event.message,
        );
        for (level, index, tile) in append_tiles(&*lane, position, leaf) {
            lane.tiles.insert((level, index), tile);
        }
        lane.log.append(leaf);
        lane.messages.push_back(event.message.to_vec());
        Ok(())
    }

    /// Forgets the bodies of messages that the hub has taken.
    pub(crate) fn forget(&mut self, lane: LaneNumber, epoch: Epoch, taken: u64) {
        if let Some(log) = self.lanes.get_mut(&(lane, epoch)) {
            while log.kept_from < taken && log.messages.pop_front().is_some() {
                log.kept_from += 1;
            }
        }
    }

    /// Whether what was read is the log that the gateway commits to at this size.
    pub(crate) fn suits(&self, lane: LaneNumber, epoch: Epoch, size: u64, root: Hash) -> bool {
        let Some(log) = self.lanes.get(&(lane, epoch)) else { return size == 0 };
        tombolo_crypto::log::root_at(log, size) == Some(root)
    }

    /// Messages from `from` on, at most `count` of at most `bytes`, one at least, with the proof
    /// that they stand in the lane at `size`. `None` where there is no such message.
    pub(crate) fn messages(
        &self,
        lane: LaneNumber,
        epoch: Epoch,
        from: u64,
        (count, bytes): (u64, u64),
        size: u64,
    ) -> Option<(Vec<Vec<u8>>, RangeProof)> {
        let log = self.lanes.get(&(lane, epoch))?;
        if from >= size || size > log.log.size() || count == 0 {
            return None;
        }
        let skip = usize::try_from(from.checked_sub(log.kept_from)?).ok()?;
        let most = usize::try_from(count.min(size - from)).ok()?;
        let mut left = bytes;
        let mut messages: Vec<Vec<u8>> = Vec::new();
        for message in log.messages.iter().skip(skip).take(most) {
            let length = message.len() as u64;
            if length > left && !messages.is_empty() {
                break;
            }
            left = left.saturating_sub(length);
            messages.push(message.clone());
        }
        let range = range_proof(log, from, messages.len() as u64, size)?;
        Some((messages, range))
    }
}
