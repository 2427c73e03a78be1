//! For those who prove: from what a consensus node serves to what the verifier takes.

use super::{spec::Layout, ssz, update::AbsentKey};
use tombolo_types::{Address, Hash};

/// The header of an execution block, as the consensus layer holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecutionHeader {
    /// The hash of the block before.
    pub parent_hash: Hash,
    /// Who is paid.
    pub fee_recipient: Address,
    /// The root of the world state.
    pub state_root: Hash,
    /// The root of the receipts.
    pub receipts_root: Hash,
    /// 256 bytes.
    pub logs_bloom: Vec<u8>,
    /// Randomness of the slot before.
    pub prev_randao: Hash,
    /// The number of the block.
    pub block_number: u64,
    /// The most gas.
    pub gas_limit: u64,
    /// The gas used.
    pub gas_used: u64,
    /// Seconds.
    pub timestamp: u64,
    /// At most 32 bytes.
    pub extra_data: Vec<u8>,
    /// Wei, big-endian.
    pub base_fee_per_gas: [u8; 32],
    /// The hash of the block.
    pub block_hash: Hash,
    /// The root of the transactions.
    pub transactions_root: Hash,
    /// The root of the withdrawals.
    pub withdrawals_root: Hash,
    /// From Deneb on.
    pub blob_gas_used: Option<u64>,
    /// From Deneb on.
    pub excess_blob_gas: Option<u64>,
}

impl ExecutionHeader {
    /// The roots of its fields, in order.
    #[must_use]
    pub fn field_roots(&self) -> Vec<Hash> {
        let mut base_fee = Hash(self.base_fee_per_gas);
        base_fee.0.reverse();
        let extra_length = u64::try_from(self.extra_data.len()).unwrap_or(u64::MAX);
        let fields = [
            self.parent_hash,
            ssz::bytes(&self.fee_recipient.0),
            self.state_root,
            self.receipts_root,
            ssz::root(ssz::chunks(&self.logs_bloom), 3),
            self.prev_randao,
            ssz::number(self.block_number),
            ssz::number(self.gas_limit),
            ssz::number(self.gas_used),
            ssz::number(self.timestamp),
            ssz::node(ssz::bytes(&self.extra_data), ssz::number(extra_length)),
            base_fee,
            self.block_hash,
            self.transactions_root,
            self.withdrawals_root,
        ];
        let blob_gas = [self.blob_gas_used, self.excess_blob_gas];
        fields.into_iter().chain(blob_gas.into_iter().flatten().map(ssz::number)).collect()
    }
}

/// The keys of a sync committee, compressed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committee {
    /// By seat; a power of two of them.
    pub keys: Vec<[u8; 48]>,
    /// Their sum.
    pub aggregate_key: [u8; 48],
}

impl Committee {
    fn depth(&self) -> u32 {
        self.keys.len().checked_ilog2().unwrap_or(0)
    }

    /// The root of the keys alone.
    #[must_use]
    pub fn keys_root(&self) -> Hash {
        ssz::root(self.keys.iter().map(ssz::key_root), self.depth())
    }

    /// The root by which the committee is known.
    #[must_use]
    pub fn root(&self) -> Hash {
        ssz::node(self.keys_root(), ssz::key_root(&self.aggregate_key))
    }

    /// The members whose bit is not set, with their ways to [`Self::keys_root`]. The first bit is the
    /// lowest of the first byte.
    #[must_use]
    pub fn absent(&self, bits: &[u8]) -> Vec<AbsentKey> {
        let mut rows: Vec<Vec<Hash>> = vec![self.keys.iter().map(ssz::key_root).collect()];
        for _ in 0..self.depth() {
            let above = rows.last().into_iter().flat_map(|row| row.chunks(2));
            let above = above.map(|pair| ssz::root(pair.iter().copied(), 1)).collect();
            rows.push(above);
        }
        let is_set =
            |seat: usize| bits.get(seat / 8).is_some_and(|byte| (byte >> (seat % 8)) & 1 == 1);
        let sibling = |(row, level): (&Vec<Hash>, u32), seat: usize| {
            row.get(seat.checked_shr(level)? ^ 1).copied()
        };
        let absent = self.keys.iter().enumerate().filter(|(seat, _)| !is_set(*seat));
        absent
            .map(|(seat, key)| AbsentKey {
                seat: u32::try_from(seat).unwrap_or(u32::MAX),
                key: key.to_vec(),
                branch: rows
                    .iter()
                    .zip(0..self.depth())
                    .filter_map(|at| sibling(at, seat))
                    .collect(),
            })
            .collect()
    }
}

/// The layout of the forks that the light client protocol knows, by name; Fulu is laid out as
/// Electra.
#[must_use]
pub fn layout_of(fork: &str) -> Option<Layout> {
    match fork {
        "phase0" | "altair" | "bellatrix" => Some(Layout::Altair),
        "capella" => Some(Layout::Capella),
        "deneb" => Some(Layout::Deneb),
        "electra" | "fulu" => Some(Layout::Electra),
        _ => None,
    }
}
