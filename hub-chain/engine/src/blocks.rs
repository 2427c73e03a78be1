//! Blocks of the coming height that are proposed and not decided: durable before anybody is told.
//!
//! The consensus log holds only their ids, so a block that was offered or voted for must survive
//! a crash here. Keys: `e` ‖ height ‖ round ‖ block id, numbers big-endian. What is past is
//! deleted in the same batch as the next block is written, so that it costs no flush of its own.

use borsh::{BorshDeserialize, BorshSerialize};
use std::{collections::BTreeMap, sync::Arc};
use tombolo_types::{
    Address, Height,
    header::Signature,
    id::BlockId,
    store::{Batch, Store},
    transaction::Block,
};

use crate::{application::Fatal, parts::Assembled};

/// The engine's part of the store.
const PREFIX: &[u8] = b"e";
/// The most blocks of one height that are kept; beyond, the one that was proposed longest ago
/// goes. A locked block is proposed again and again, and so stays.
const BLOCKS_MAX: usize = 32;
/// The most entries that are read at once.
const SCAN_MAX: usize = 64;

/// A proposed block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) round: u32,
    pub(crate) proposer: Address,
    /// The proposer's signature over the parts; `None` for a block that came by sync.
    pub(crate) signature: Option<Signature>,
    pub(crate) block_id: BlockId,
    pub(crate) block: Block,
    /// Consensus knows of it, as of a valid one.
    pub(crate) told: bool,
}

impl Held {
    /// As it is streamed, or streamed again; `None` for a block that came by sync.
    pub(crate) fn to_assembled(&self) -> Option<Assembled> {
        let height = self.block.header.height;
        let (round, proposer, signature) = (self.round, self.proposer, self.signature?);
        let block = borsh::to_vec(&self.block).ok()?;
        Some(Assembled { height, round, proposer, block, signature })
    }
}

#[derive(BorshSerialize, BorshDeserialize)]
struct Stored {
    proposer: Address,
    signature: Option<Signature>,
    block: Block,
}

/// The undecided blocks of one height.
pub(crate) struct Blocks {
    store: Arc<dyn Store>,
    height: Height,
    held: BTreeMap<(u32, BlockId), (u64, Held)>,
    uses: u64,
    /// Keys to delete with the next write.
    past: Vec<Vec<u8>>,
}

fn key(height: Height, round: u32, block_id: BlockId) -> Vec<u8> {
    let mut key = PREFIX.to_vec();
    key.extend(height.0.to_be_bytes());
    key.extend(round.to_be_bytes());
    key.extend(block_id.0);
    key
}

/// Height, round and id out of a key.
fn parse(key: &[u8]) -> Option<(Height, u32, BlockId)> {
    let rest = key.strip_prefix(PREFIX)?;
    let (height, rest) = rest.split_first_chunk::<8>()?;
    let (round, rest) = rest.split_first_chunk::<4>()?;
    let height = Height(u64::from_be_bytes(*height));
    Some((height, u32::from_be_bytes(*round), BlockId(rest.try_into().ok()?)))
}

impl Blocks {
    /// Reads what was kept of `height`; none of it counts as told.
    pub(crate) fn load(store: Arc<dyn Store>, height: Height) -> Result<Self, Fatal> {
        let mut blocks = Self { store, height, held: BTreeMap::new(), uses: 0, past: Vec::new() };
        let mut from = PREFIX.to_vec();
        loop {
            let entries = blocks.store.scan(PREFIX, &from, SCAN_MAX)?;
            let Some((last, _)) = entries.last() else { return Ok(blocks) };
            from = last.clone();
            from.push(0);
            for (key, value) in entries {
                blocks.load_one(key, &value)?;
            }
        }
    }

    fn load_one(&mut self, key: Vec<u8>, value: &[u8]) -> Result<(), Fatal> {
        let Some((height, round, block_id)) = parse(&key) else {
            return Err(Fatal::new("the store holds a key under `e` that the engine never wrote"));
        };
        if height != self.height {
            self.past.push(key);
            return Ok(());
        }
        let Stored { proposer, signature, block } = borsh::from_slice(value)
            .map_err(|error| Fatal::new(format!("undecided block {block_id}: {error}")))?;
        let held = Held { round, proposer, signature, block_id, block, told: false };
        self.uses += 1;
        self.held.insert((round, block_id), (self.uses, held));
        Ok(())
    }

    /// Keeps a block durably.
    pub(crate) fn put(&mut self, held: Held) -> Result<(), Fatal> {
        self.make_room();
        let stored = Stored {
            proposer: held.proposer,
            signature: held.signature,
            block: held.block.clone(),
        };
        let mut batch: Batch = self.past.drain(..).map(|key| (key, None)).collect();
        batch.insert(key(self.height, held.round, held.block_id), Some(borsh::to_vec(&stored)?));
        self.store.apply(&batch)?;
        self.uses += 1;
        self.held.insert((held.round, held.block_id), (self.uses, held));
        Ok(())
    }

    fn make_room(&mut self) {
        while self.held.len() >= BLOCKS_MAX {
            let oldest = self.held.iter().min_by_key(|(_, (used, _))| *used);
            let Some((&(round, block_id), _)) = oldest else { return };
            self.held.remove(&(round, block_id));
            self.past.push(key(self.height, round, block_id));
        }
    }

    /// Forgets all, and begins `height`.
    pub(crate) fn start(&mut self, height: Height) {
        let past = self.held.keys().map(|(round, block_id)| key(self.height, *round, *block_id));
        self.past.extend(past);
        self.held.clear();
        self.height = height;
    }

    /// The block that `proposer` offered in `round`.
    pub(crate) fn of_turn(&self, round: u32, proposer: Address) -> Option<&Held> {
        let of_round = self.held.range((round, BlockId::ZERO)..=(round, BlockId([0xff; 32])));
        of_round.map(|(_, (_, held))| held).find(|held| held.proposer == proposer)
    }

    /// The block with this id, of whatever round; it counts as used now.
    pub(crate) fn find(&mut self, block_id: BlockId) -> Option<&mut Held> {
        self.uses += 1;
        let found = self.held.iter_mut().find(|((_, id), _)| *id == block_id);
        found.map(|(_, (used, held))| {
            *used = self.uses;
            held
        })
    }

    /// All blocks of the height, by round.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Held> {
        self.held.values_mut().map(|(_, held)| held)
    }
}

#[cfg(test)]
mod tests;
