//! A mirror of the mempool by signer and nonce, so that a client is told the next free nonce.

use std::collections::{BTreeMap, HashMap};
use tombolo_types::{
    UnixMillis,
    id::{IdentityId, TxId},
    transaction::Transaction,
};

/// More than the mempool ever holds; above it nothing is mirrored, and clients count for themselves.
const ENTRIES_MAX: usize = 131_072;

/// What waits for a block at this node.
#[derive(Debug, Default)]
pub struct Waiting {
    by_signer: HashMap<(IdentityId, u8), BTreeMap<u64, TxId>>,
    by_id: HashMap<TxId, Entry>,
}

#[derive(Debug)]
struct Entry {
    signer: IdentityId,
    lane: u8,
    nonce: u64,
    expires: UnixMillis,
}

impl Waiting {
    /// Notes that a transaction waits.
    pub fn add(&mut self, id: TxId, transaction: &Transaction) {
        if self.by_id.len() >= ENTRIES_MAX || self.by_id.contains_key(&id) {
            return;
        }
        let Transaction { signer, nonce_lane: lane, nonce, expires, .. } = *transaction;
        self.by_signer.entry((signer, lane)).or_default().insert(nonce, id);
        self.by_id.insert(id, Entry { signer, lane, nonce, expires });
    }

    /// Notes that a transaction waits no more.
    pub fn remove(&mut self, id: TxId) {
        let Some(entry) = self.by_id.remove(&id) else { return };
        let series = (entry.signer, entry.lane);
        if let Some(nonces) = self.by_signer.get_mut(&series) {
            // Two transactions may have claimed one nonce; the later one stands there.
            if nonces.get(&entry.nonce) == Some(&id) {
                nonces.remove(&entry.nonce);
            }
            if nonces.is_empty() {
                self.by_signer.remove(&series);
            }
        }
    }

    /// Notes what a block took, and that what expires by its time waits no more.
    pub fn committed(&mut self, taken: &[TxId], time: UnixMillis) {
        for id in taken {
            self.remove(*id);
        }
        let expired = |entry: &Entry| entry.expires <= time;
        let gone: Vec<_> =
            self.by_id.iter().filter(|(_, entry)| expired(entry)).map(|(id, _)| *id).collect();
        for id in gone {
            self.remove(id);
        }
    }

    /// The first nonce from `next` on that does not wait: after a gap, the gap.
    #[must_use]
    pub fn next_nonce(&self, signer: IdentityId, lane: u8, next: u64) -> u64 {
        let Some(nonces) = self.by_signer.get(&(signer, lane)) else { return next };
        let mut free = next;
        for (nonce, _) in nonces.range(next..) {
            if *nonce != free {
                break;
            }
            free = free.saturating_add(1);
        }
        free
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tombolo_types::{Hash, id::ChainId};

    const SIGNER: IdentityId = IdentityId([1; 32]);

    fn transaction(nonce: u64, expires: u64) -> Transaction {
        Transaction {
            chain_id: ChainId::ZERO,
            signer: SIGNER,
            nonce_lane: 3,
            nonce,
            expires: UnixMillis(expires),
            salt: Hash::ZERO,
            call: Vec::new(),
        }
    }

    fn id(number: u8) -> TxId {
        TxId([number; 32])
    }

    #[test]
    fn the_next_nonce_is_the_first_that_neither_was_used_nor_waits() {
        let mut waiting = Waiting::default();
        for nonce in [5, 6, 8] {
            waiting.add(id(nonce), &transaction(nonce.into(), 100));
        }
        assert_eq!(waiting.next_nonce(SIGNER, 3, 5), 7);
        assert_eq!(waiting.next_nonce(SIGNER, 3, 4), 4);
        assert_eq!(waiting.next_nonce(SIGNER, 2, 0), 0);
        waiting.remove(id(5));
        assert_eq!(waiting.next_nonce(SIGNER, 3, 5), 5);
        assert_eq!(waiting.next_nonce(SIGNER, 3, 6), 7);
    }

    #[test]
    fn what_was_taken_or_expired_waits_no_more() {
        let mut waiting = Waiting::default();
        waiting.add(id(0), &transaction(0, 100));
        waiting.add(id(1), &transaction(1, 50));
        waiting.committed(&[id(0)], UnixMillis(50));
        assert_eq!(waiting.next_nonce(SIGNER, 3, 1), 1);
        assert!(waiting.by_id.is_empty() && waiting.by_signer.is_empty());
    }

    #[test]
    fn of_two_with_one_nonce_the_later_stands_there() {
        let mut waiting = Waiting::default();
        waiting.add(id(1), &transaction(0, 100));
        waiting.add(id(2), &transaction(0, 100));
        waiting.remove(id(1));
        assert_eq!(waiting.next_nonce(SIGNER, 3, 0), 1);
        waiting.remove(id(2));
        assert_eq!(waiting.next_nonce(SIGNER, 3, 0), 0);
    }
}
