//! Transactions that wait for a block: bounded, fair between identities, in order of arrival.
//!
//! Attack: A50.

use std::collections::{BTreeMap, HashMap};
use tombolo_types::{
    Refusal, UnixMillis, ensure,
    id::{IdentityId, TxId},
};

use crate::application::Admitted;

/// The bounds of a mempool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Transactions in all.
    pub count_max: usize,
    /// Bytes in all.
    pub bytes_max: usize,
    /// Transactions of one identity.
    pub identity_count_max: usize,
    /// Bytes of one identity.
    pub identity_bytes_max: usize,
}

impl Default for Limits {
    /// Some twenty full blocks, an eighth of it for one identity.
    fn default() -> Self {
        Self {
            count_max: 65_536,
            bytes_max: 40 * 1024 * 1024,
            identity_count_max: 8_192,
            identity_bytes_max: 5 * 1024 * 1024,
        }
    }
}

#[derive(Debug)]
struct Entry {
    id: TxId,
    identity: IdentityId,
    expires: UnixMillis,
    bytes: Vec<u8>,
    /// It was offered to a block and left out, so the door is asked again.
    left_out: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Usage {
    count: usize,
    bytes: usize,
}

/// The waiting transactions.
#[derive(Debug, Default)]
pub struct Mempool {
    limits: Limits,
    /// By arrival.
    entries: BTreeMap<u64, Entry>,
    arrivals: u64,
    arrival_of: HashMap<TxId, u64>,
    usage_of: HashMap<IdentityId, Usage>,
    bytes: usize,
}

impl Mempool {
    /// An empty one.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// How many wait.
    #[must_use]
    pub fn count(&self) -> usize {
        self.entries.len()
    }

    /// The bytes of those that wait.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether this transaction waits.
    #[must_use]
    pub fn contains(&self, id: TxId) -> bool {
        self.arrival_of.contains_key(&id)
    }

    /// Takes a transaction that the door let in; `false` where it waits already, for the same one
    /// comes from its sender and from several peers.
    ///
    /// # Errors
    /// `E_LIMIT` where the identity's share or the whole is full.
    pub fn insert(&mut self, admitted: Admitted, bytes: Vec<u8>) -> Result<bool, Refusal> {
        if self.contains(admitted.id) {
            return Ok(false);
        }
        let identity = admitted.identity;
        let usage = self.usage_of.get(&identity).copied().unwrap_or_default();
        let size = bytes.len();
        ensure!(
            usage.count < self.limits.identity_count_max
                && usage.bytes + size <= self.limits.identity_bytes_max,
            Limit,
            "{} transactions with {} bytes of identity {identity} wait already, of at most {} with \
             {} bytes; send this one of {size} bytes again when they are in a block",
            usage.count,
            usage.bytes,
            self.limits.identity_count_max,
            self.limits.identity_bytes_max
        );
        // The last eighth is for identities of which nothing waits: many that flood together must
        // not keep a newcomer out.
        let share = if usage.count == 0 { 8 } else { 7 };
        let (count_max, bytes_max) =
            (self.limits.count_max / 8 * share, self.limits.bytes_max / 8 * share);
        ensure!(
            self.count() < count_max && self.bytes + size <= bytes_max,
            Limit,
            "{} transactions with {} bytes wait already, of at most {count_max} with {bytes_max} \
             for an identity with {} of them; send this one of {size} bytes again later",
            self.count(),
            self.bytes,
            usage.count
        );
        let entry =
            Entry { id: admitted.id, identity, expires: admitted.expires, bytes, left_out: false };
        self.arrivals += 1;
        self.arrival_of.insert(entry.id, self.arrivals);
        self.entries.insert(self.arrivals, entry);
        let usage = self.usage_of.entry(identity).or_default();
        usage.count += 1;
        usage.bytes += size;
        self.bytes += size;
        Ok(true)
    }

    /// The waiting transactions in order of arrival.
    pub fn candidates(&self) -> impl Iterator<Item = (TxId, Vec<u8>)> + '_ {
        self.entries.values().map(|entry| (entry.id, entry.bytes.clone()))
    }

    /// Notes that these were offered to a block of our own; those that the block left out are to
    /// be shown to the door again.
    pub fn offered(&mut self, ids: &[TxId]) {
        for id in ids {
            let entry = self.arrival_of.get(id).and_then(|arrival| self.entries.get_mut(arrival));
            if let Some(entry) = entry {
                entry.left_out = true;
            }
        }
    }

    /// Removes what a block took, what has expired by the block's time, and of what was offered
    /// and left out that which the door no longer lets in.
    pub fn committed(
        &mut self,
        taken: &[TxId],
        time: UnixMillis,
        mut admissible: impl FnMut(&[u8]) -> bool,
    ) {
        for id in taken {
            self.remove(*id);
        }
        let mut gone = Vec::new();
        for entry in self.entries.values_mut() {
            if entry.expires <= time || entry.left_out && !admissible(&entry.bytes) {
                gone.push(entry.id);
            }
            entry.left_out = false;
        }
        for id in gone {
            self.remove(id);
        }
    }

    fn remove(&mut self, id: TxId) {
        let arrival = self.arrival_of.remove(&id);
        let Some(entry) = arrival.and_then(|arrival| self.entries.remove(&arrival)) else { return };
        let size = entry.bytes.len();
        self.bytes -= size;
        if let Some(usage) = self.usage_of.get_mut(&entry.identity) {
            usage.count -= 1;
            usage.bytes -= size;
            if usage.count == 0 {
                self.usage_of.remove(&entry.identity);
            }
        }
    }
}

#[cfg(test)]
mod tests;
