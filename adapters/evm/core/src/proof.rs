//! The bytes in which heads, updates and evidence come, and what they cost to check.

use tombolo_types::{Height, abi_struct};

abi_struct! {
    /// Why a lane leaf is to be believed (docs/adr/0008).
    pub struct EvmHeadProof {
        /// The block whose state proves the leaf.
        pub height: Height,
        /// Brings the client to that height; of the client's kind; may be empty.
        pub advance: Vec<u8>,
        /// Trie nodes, RLP, in order of first use, none twice, none unused.
        pub nodes: Vec<Vec<u8>>,
    }
}

abi_struct! {
    /// A client update: a head proof without a head.
    pub struct EvmUpdate {
        /// The block that is final for the client afterwards.
        pub height: Height,
        /// Brings the client to that height; of the client's kind.
        pub advance: Vec<u8>,
    }
}

abi_struct! {
    /// Two advances of one client that cannot both be true. The second may be empty: then the first
    /// contradicts what the client has accepted.
    pub struct EvmMisbehaviour {
        /// The one.
        pub advance_a: Vec<u8>,
        /// The other.
        pub advance_b: Vec<u8>,
    }
}

/// Bytes that are hashed and compared in the time of one signature check; see
/// docs/benchmarks.md.
const BYTES_PER_CHECK: u64 = 4 * 1024;

/// How many signature checks these bytes cost, read without decoding them. `of_advance` says what
/// an advance of some bytes and some items costs.
///
/// The second word tells the three apart: the offset 64 in an update, 96 in a head proof, and in
/// evidence the offset of its second part, which is 96 only behind an empty first that costs
/// nothing. A false number helps nobody: the decoder accepts canonical bytes alone, before
/// the first signature is checked, and in these the number is the true one.
pub(crate) fn weight(bytes: &[u8], of_advance: impl Fn(AdvanceSize) -> u64) -> u64 {
    let advance = |offset_at| AdvanceSize::at(bytes, offset_at).map_or(0, &of_advance);
    let signatures = match number_at(bytes, 32) {
        Some(64 | 96) => advance(32),
        _ => advance(0).saturating_add(advance(32)),
    };
    let all = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    signatures.saturating_add(all.checked_div(BYTES_PER_CHECK).unwrap_or(0)).saturating_add(1)
}

/// The size of an advance: an ABI-encoded list of items.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdvanceSize {
    /// How many bytes it has.
    pub bytes: u64,
    /// How many items it says it has.
    pub items: u64,
}

impl AdvanceSize {
    /// The advance to which the word at `offset_at` points.
    fn at(bytes: &[u8], offset_at: u64) -> Option<Self> {
        let at = number_at(bytes, offset_at)?;
        let length = number_at(bytes, at)?;
        if length == 0 {
            return Some(Self { bytes: 0, items: 0 });
        }
        // Behind the length: the offset of the list, then its length.
        let items = number_at(bytes, at.checked_add(64)?)?;
        Some(Self { bytes: length.min(u64::try_from(bytes.len()).ok()?), items })
    }
}

/// The number in the word at `at`, where it fits 64 bits.
fn number_at(bytes: &[u8], at: u64) -> Option<u64> {
    let from = usize::try_from(at).ok()?;
    let word = bytes.get(from..from.checked_add(32)?)?;
    let (high, low) = word.split_at(24);
    if high.iter().any(|byte| *byte != 0) {
        return None;
    }
    Some(u64::from_be_bytes(low.try_into().ok()?))
}
