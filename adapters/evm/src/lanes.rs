//! What a gateway has sent, read from its events.
//!
//! A contract keeps the peaks of a lane's log; proofs of a range need its leaves, and a message's
//! body is nowhere but in its event. So the events of final blocks are read once, in their order,
//! and their leaves kept: a cache that a restart fills again. Bodies are kept only from the first on
//! that the hub has not taken. What is kept is checked against the root that the contract commits to
//! before it is used.

use crate::{
    contract::IGateway,
    endpoints::{Endpoints, SeenBlock},
    events::EventReader,
};
use alloy::{primitives::Address, rpc::types::Log as EventLog, sol_types::SolEvent};
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

/// How many messages of each lane the hub has taken, and in which epoch.
pub(crate) type Taken = BTreeMap<LaneNumber, (Epoch, u64)>;

/// One lane of one epoch.
#[derive(Default)]
struct LaneLog {
    log: Log,
    tiles: BTreeMap<(u32, u64), Vec<Hash>>,
    /// Bodies that may still be asked for: those of all messages from number `kept_from` on.
    messages: VecDeque<Vec<u8>>,
    kept_from: u64,
}

impl LaneLog {
    /// Forgets the bodies below a number.
    fn forget(&mut self, needed_from: u64) {
        while self.kept_from < needed_from && self.messages.pop_front().is_some() {
            self.kept_from += 1;
        }
    }

    fn append(&mut self, leaf: Hash, body: &[u8], needed_from: u64) {
        let position = self.log.size();
        for (level, index, tile) in append_tiles(&*self, position, leaf) {
            self.tiles.insert((level, index), tile);
        }
        self.log.append(leaf);
        self.messages.push_back(body.to_vec());
        self.forget(needed_from);
    }
}

impl Nodes for LaneLog {
    fn tile(&self, level: u32, index: u64) -> Option<Vec<Hash>> {
        self.tiles.get(&(level, index)).cloned()
    }
}

/// All lanes of one gateway.
pub(crate) struct SentLanes {
    link: LinkId,
    lanes: BTreeMap<(LaneNumber, Epoch), LaneLog>,
    events: EventReader,
}

/// The first message whose body may be asked for: none of a former epoch, whose leaves no head has.
fn needed_from(taken: &Taken, lane: LaneNumber, epoch: Epoch) -> u64 {
    match taken.get(&lane) {
        Some((current, taken)) if *current == epoch => *taken,
        Some((current, _)) if *current > epoch => u64::MAX,
        _ => 0,
    }
}

impl SentLanes {
    pub(crate) fn new(gateway: Address, link: LinkId, from_block: u64) -> Self {
        let events = EventReader::new(gateway, IGateway::Sent::SIGNATURE_HASH, from_block);
        Self { link, lanes: BTreeMap::new(), events }
    }

    /// Forgets everything, and begins again with the next node: this one has left something out, or
    /// made something up.
    pub(crate) fn distrust(&mut self) {
        self.lanes.clear();
        self.events.distrust();
    }

    /// Reads the events of all blocks up to `until`, which is final, from a node that has it; of what
    /// was taken by then, no body is kept.
    ///
    /// # Errors
    /// [`AdapterError::NoAnswer`], also where the node's events make up no lane.
    pub(crate) async fn read(
        &mut self,
        endpoints: &Endpoints,
        until: &SeenBlock,
        taken: &Taken,
    ) -> Result<(), AdapterError> {
        for ((lane, epoch), log) in &mut self.lanes {
            log.forget(needed_from(taken, *lane, *epoch));
        }
        let Some(node) = self.events.node(endpoints, until).await? else { return Ok(()) };
        while let Some(found) = self.events.next(endpoints, node, until).await? {
            if let Err(why) = found.iter().try_for_each(|event| self.append(event, taken)) {
                self.distrust();
                return Err(endpoints.no_answer("reading events", why));
            }
        }
        Ok(())
    }

    fn append(&mut self, event: &EventLog, taken: &Taken) -> Result<(), String> {
        let event = IGateway::Sent::decode_log_data(&event.inner.data);
        let event = event.map_err(|error| error.to_string())?;
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
        lane.append(leaf, &event.message, needed_from(taken, number, epoch));
        Ok(())
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

#[cfg(test)]
mod tests;
