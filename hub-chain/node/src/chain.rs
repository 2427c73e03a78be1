//! A ledger on its store: the state, and beside it blocks, certificates, receipts and an index.
//!
//! | first byte | key | value |
//! |---|---|---|
//! | `s` | replicated state | the ledger's own |
//! | `e` | blocks before their decision | the engine's own |
//! | `b` | height | transactions of the block |
//! | `c` | height | header and certificate; never pruned |
//! | `x` | transaction id | [`Receipt`] |
//! | `g` | global id, record position | nothing |
//!
//! All but `s` is derived from the blocks and not replicated.

use crate::waiting::Waiting;
use borsh::{BorshDeserialize, BorshSerialize};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use tombolo_ledger::{Executed, Ledger, Machine, block, records};
use tombolo_store::StoreView;
use tombolo_types::{
    Height, Refusal, UnixMillis,
    header::{Certificate, Header},
    id::{GlobalId, TxId},
    store::{Batch, Entry, Store, StoreError, View},
    transaction::DecidedBlock,
};

/// The version of the store's layout; another one is refused.
pub const STORE_SCHEMA: u32 = 1;

const TRANSACTIONS: u8 = b'b';
const CERTIFIED: u8 = b'c';
const RECEIPTS: u8 = b'x';
const GLOBAL_IDS: u8 = b'g';

/// How a transaction ended, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Receipt {
    /// The height of the block that holds it.
    pub height: Height,
    /// That block's time.
    pub time: UnixMillis,
    /// The refusal, where it was refused.
    pub refusal: Option<Refusal>,
    /// The position of its own record, where it left one.
    pub record: Option<u64>,
}

/// A disk that cannot be read: nothing may be concluded from it, so the thread ends here, and the
/// supervisor ends the process.
fn unreadable(error: StoreError) -> ! {
    panic!("{error}; check the disk, then start the node again")
}

fn key(kind: u8, rest: &[u8]) -> Vec<u8> {
    let mut key = Vec::with_capacity(1 + rest.len());
    key.push(kind);
    key.extend_from_slice(rest);
    key
}

fn height_key(kind: u8, height: Height) -> Vec<u8> {
    key(kind, &height.0.to_be_bytes())
}

/// A ledger of one kind on its store. Shared by the application, which writes, and everybody who
/// reads.
pub struct Chain<M> {
    ledger: Ledger<M>,
    store: Arc<dyn Store>,
    view: StoreView,
    /// Held for writing while a block is kept, so that who holds it for reading sees one cut.
    committing: RwLock<()>,
    waiting: Mutex<Waiting>,
}

impl<M: Machine> Chain<M> {
    /// The ledger of `machine` on `store`, which holds one already or stays empty until genesis.
    pub fn new(machine: M, store: Arc<dyn Store>) -> Self {
        Self {
            ledger: Ledger::new(machine),
            view: StoreView::new(Arc::clone(&store), unreadable),
            store,
            committing: RwLock::new(()),
            waiting: Mutex::default(),
        }
    }

    /// The pure ledger.
    pub fn ledger(&self) -> &Ledger<M> {
        &self.ledger
    }

    /// The store.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// The state after the newest block. Two reads may see two blocks; see [`Self::at_one_block`].
    pub fn view(&self) -> &dyn View {
        &self.view
    }

    /// Reads all that `read` reads after one and the same block. The next block waits for it, so
    /// it must be short.
    pub fn at_one_block<T>(&self, read: impl FnOnce(&dyn View) -> T) -> T {
        // Nothing is half done under this lock: the store's own batches are atomic.
        let _cut = self.committing.read().unwrap_or_else(PoisonError::into_inner);
        read(&self.view)
    }

    /// The newest block; `None` before genesis.
    pub fn tip(&self) -> Option<block::Tip> {
        block::tip(&self.view)
    }

    /// What this node's mempool holds, by signer and nonce.
    pub fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read<T: BorshDeserialize>(&self, key: &[u8]) -> Result<Option<T>, StoreError> {
        let Some(bytes) = self.store.get(key)? else { return Ok(None) };
        borsh::from_slice(&bytes).map(Some).map_err(|error| StoreError::Failed {
            at: "the ledger's store".to_owned(),
            doing: "decoding what was kept",
            why: error.to_string(),
        })
    }

    /// The header at a height from 1 with its certificate.
    ///
    /// # Errors
    /// [`StoreError::Failed`]; so for all reads here.
    pub fn certified(&self, height: Height) -> Result<Option<(Header, Certificate)>, StoreError> {
        self.read(&height_key(CERTIFIED, height))
    }

    /// The transactions of the block at a height; `None` where it is pruned or not there yet.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    pub fn transactions(&self, height: Height) -> Result<Option<Vec<Vec<u8>>>, StoreError> {
        self.read(&height_key(TRANSACTIONS, height))
    }

    /// How a transaction ended; `None` where it is in no final block.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    pub fn receipt(&self, id: TxId) -> Result<Option<Receipt>, StoreError> {
        self.read(&key(RECEIPTS, &id.0))
    }

    /// Positions of the records of one operation, from `from` on, ascending; at most `limit`.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    pub fn positions(&self, id: GlobalId, from: u64, limit: usize) -> Result<Vec<u64>, StoreError> {
        let prefix = key(GLOBAL_IDS, &id.0);
        let mut start = prefix.clone();
        start.extend_from_slice(&from.to_be_bytes());
        let entries = self.store.scan(&prefix, &start, limit)?;
        let position = |(key, _): Entry| key.last_chunk().map(|bytes| u64::from_be_bytes(*bytes));
        Ok(entries.into_iter().filter_map(position).collect())
    }

    /// Lays the first state.
    pub(crate) fn keep_genesis(&self, writes: &Batch) -> Result<(), StoreError> {
        self.keep(writes)
    }

    /// Keeps an executed block and all that is derived from it, at once.
    pub(crate) fn keep_block(
        &self,
        executed: Executed,
        decided: &DecidedBlock,
    ) -> Result<(), StoreError> {
        let header = &decided.block.header;
        let mut batch = derived(&self.view, &executed, decided);
        batch.extend(executed.writes);
        let height = header.height;
        let certified = (header, &decided.certificate);
        batch.insert(height_key(CERTIFIED, height), Some(encoded(&certified)));
        batch.insert(height_key(TRANSACTIONS, height), Some(encoded(&decided.block.transactions)));
        self.keep(&batch)
    }

    fn keep(&self, batch: &Batch) -> Result<(), StoreError> {
        let _alone = self.committing.write().unwrap_or_else(PoisonError::into_inner);
        self.store.apply(batch)
    }
}

fn encoded<T: BorshSerialize>(value: &T) -> Vec<u8> {
    // Borsh fails only where the writer fails, and a vector does not.
    borsh::to_vec(value).unwrap_or_default()
}

/// Receipts and index of a block.
fn derived(base: &dyn View, executed: &Executed, decided: &DecidedBlock) -> Batch {
    let header = &decided.block.header;
    let after = After { base, writes: &executed.writes };
    let first = records::log(base).size();
    let count = usize::try_from(header.log_size.saturating_sub(first)).unwrap_or(usize::MAX);
    let new = records::range(&after, first, count);
    let mut batch = Batch::new();
    for (position, salted) in &new {
        let mut index = key(GLOBAL_IDS, &salted.record.global_id.0);
        index.extend_from_slice(&position.to_be_bytes());
        batch.insert(index, Some(Vec::new()));
    }
    for outcome in &executed.outcomes {
        // A delivery that was taken leaves no record of its own; the position is then another's.
        let at = outcome.record.checked_sub(first).and_then(|at| usize::try_from(at).ok());
        let own = at
            .and_then(|at| new.get(at))
            .is_some_and(|(_, salted)| salted.record.tx_id == outcome.id);
        let receipt = Receipt {
            height: header.height,
            time: header.time,
            refusal: outcome.refusal.clone(),
            record: own.then_some(outcome.record),
        };
        batch.insert(key(RECEIPTS, &outcome.id.0), Some(encoded(&receipt)));
    }
    batch
}

/// The state with a block's writes on top.
struct After<'a> {
    base: &'a dyn View,
    writes: &'a Batch,
}

impl View for After<'_> {
    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        match self.writes.get(key) {
            Some(value) => value.clone(),
            None => self.base.get(key),
        }
    }

    fn scan(&self, prefix: &[u8], from: &[u8], limit: usize) -> Vec<Entry> {
        let start = prefix.max(from);
        let written = self
            .writes
            .range(start.to_vec()..)
            .take_while(|(key, _)| key.starts_with(prefix))
            .collect::<Vec<_>>();
        // Deletions may hide entries of the base: ask for as many more.
        let base = self.base.scan(prefix, from, limit.saturating_add(written.len()));
        let mut merged: Batch = base.into_iter().map(|(key, value)| (key, Some(value))).collect();
        merged.extend(written.into_iter().map(|(key, value)| (key.clone(), value.clone())));
        let present = merged.into_iter().filter_map(|(key, value)| Some((key, value?)));
        present.take(limit).collect()
    }
}
