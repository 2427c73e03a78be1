//! Where a gateway contract keeps its lanes, and the leaf that its slots add up to.
//!
//! The layout is fixed by the protocol (docs/adr/0008), so that no verifier needs one from a
//! compiler. Words are written with their highest bits first.

use crate::{
    rlp,
    trie::{Bag, Nodes, TrieError},
};
use tombolo_crypto::{
    digest::Preimage,
    log::{Log, empty_root},
};
use tombolo_types::{
    Address, Epoch, Hash, Height, LaneNumber, Refusal, UnixMillis, ensure,
    id::LinkId,
    lane::{Direction, LaneLeaf},
    refuse,
};

/// How many peaks a lane has room for; a size is below two to this power.
pub const PEAKS_MAX: u8 = 62;

/// The slot of a lane's own word, `L(n)`.
#[must_use]
pub fn lane_slot(lane: LaneNumber) -> Hash {
    Preimage::tagged("evm-lane").number(lane.0).finish()
}

/// The slot of the root of what a lane has received, `L(n) + 1`.
#[must_use]
pub fn received_slot(lane: LaneNumber) -> Hash {
    after(lane_slot(lane), 1)
}

/// The slot of the peak over two to the power of `height` messages, `L(n) + 2 + height`.
#[must_use]
pub fn peak_slot(lane: LaneNumber, height: u8) -> Hash {
    after(lane_slot(lane), height.saturating_add(2))
}

/// The slot of what the gateway itself keeps of a lane, `L(n) + 64`; its highest 64 bits are how
/// many messages it knows to be taken. Proves nothing.
#[must_use]
pub fn taken_slot(lane: LaneNumber) -> Hash {
    after(lane_slot(lane), 64)
}

/// The slot of the newest header of the hub that the gateway has accepted, `C`.
#[must_use]
pub fn client_slot() -> Hash {
    Preimage::tagged("evm-client").finish()
}

/// The slot of that header's block id, `C + 1`.
#[must_use]
pub fn client_block_slot() -> Hash {
    after(client_slot(), 1)
}

/// The slot `more` after `slot`; after the last comes the first.
fn after(slot: Hash, more: u8) -> Hash {
    let mut slot = slot;
    let mut carry = more;
    for byte in slot.0.iter_mut().rev() {
        let (sum, over) = byte.overflowing_add(carry);
        *byte = sum;
        carry = u8::from(over);
    }
    slot
}

/// The slots that a lane of this size, with so much received, is proved by, in the order in which
/// they are proved.
#[must_use]
pub fn lane_slots(lane: LaneNumber, size: u64, received: u64) -> Vec<Hash> {
    let received_root = (received > 0).then(|| received_slot(lane));
    let peaks = peak_heights(size).map(|height| peak_slot(lane, height));
    std::iter::once(lane_slot(lane))
        .chain(received_root)
        .chain(peaks)
        .chain([client_slot(), client_block_slot()])
        .collect()
}

/// The heights of the complete trees that a log of this size is made of, the lowest first.
fn peak_heights(size: u64) -> impl Iterator<Item = u8> {
    (0..PEAKS_MAX).filter(move |height| (size >> height) & 1 == 1)
}

/// The word of a lane: epoch (32 bits), size (64), peer epoch (32), received (64), newest block (64).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaneWord {
    /// The epoch of what the lane sends, from 1.
    pub epoch: Epoch,
    /// How many messages were appended in it.
    pub size: u64,
    /// The epoch of the opposite lane.
    pub peer_epoch: Epoch,
    /// How many of its messages were taken.
    pub received: u64,
    /// The number of the block in which the lane was last appended to.
    pub newest_block: Height,
}

impl LaneWord {
    /// Reads the word.
    #[must_use]
    pub fn read(word: Hash) -> Self {
        let mut bits = Bits(word.0.as_slice());
        Self {
            epoch: Epoch(bits.u32()),
            size: bits.u64(),
            peer_epoch: Epoch(bits.u32()),
            received: bits.u64(),
            newest_block: Height(bits.u64()),
        }
    }
}

/// The word of the gateway's client: height (64 bits), time (64), trust epoch (32), the contract's
/// own (96).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientWord {
    /// The height of the newest header of the hub that was accepted.
    pub height: Height,
    /// Its time.
    pub time: UnixMillis,
    /// Raised by every act of the recovery council.
    pub trust_epoch: u32,
}

impl ClientWord {
    /// Reads the word.
    #[must_use]
    pub fn read(word: Hash) -> Self {
        let mut bits = Bits(word.0.as_slice());
        Self { height: Height(bits.u64()), time: UnixMillis(bits.u64()), trust_epoch: bits.u32() }
    }
}

/// A word being read from its highest bits on.
struct Bits<'a>(&'a [u8]);

impl Bits<'_> {
    fn u64(&mut self) -> u64 {
        self.take().map_or(0, u64::from_be_bytes)
    }

    fn u32(&mut self) -> u32 {
        self.take().map_or(0, u32::from_be_bytes)
    }

    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*taken)
    }
}

/// An account as a state trie holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account {
    /// Root of the trie of its storage.
    pub storage_root: Hash,
    /// Hash of its code.
    pub code_hash: Hash,
}

impl Account {
    /// Reads an account: nonce, balance, storage root, code hash.
    fn read(value: &[u8]) -> Result<Self, TrieError> {
        let items = rlp::list(value)?;
        let [nonce, balance, storage_root, code_hash] = items.as_slice() else {
            return Err(TrieError::Malformed { what: "an account without its four fields" });
        };
        rlp::number::<8>(nonce)?;
        rlp::number::<32>(balance)?;
        Ok(Self {
            storage_root: Hash(rlp::fixed(storage_root)?),
            code_hash: Hash(rlp::fixed(code_hash)?),
        })
    }
}

/// The lane leaf that the storage of `gateway` under `state_root` adds up to, and the hash of the
/// gateway's code.
///
/// # Errors
/// `E_PROOF`.
pub fn prove_lane(
    nodes: &[Vec<u8>],
    state_root: Hash,
    gateway: Address,
    link: LinkId,
    lane: LaneNumber,
) -> Result<(LaneLeaf, Hash), Refusal> {
    ensure!(!state_root.is_zero(), Proof, "the state root is zero, which is no hash");
    let mut nodes = Nodes::new(nodes);
    let account = Account::read(nodes.value(state_root, gateway.as_ref())?)?;
    let mut word_at = |slot: Hash| word(nodes.value(account.storage_root, slot.as_ref())?, slot);

    let own = LaneWord::read(word_at(lane_slot(lane))?);
    ensure!(
        own.size >> PEAKS_MAX == 0,
        Proof,
        "lane {lane} of gateway {gateway} has size {}, which is not below two to the power of \
         {PEAKS_MAX}",
        own.size
    );
    let received_root =
        if own.received == 0 { empty_root() } else { word_at(received_slot(lane))? };
    let mut peaks = Vec::new();
    for height in peak_heights(own.size) {
        peaks.push(word_at(peak_slot(lane, height))?);
    }
    peaks.reverse();
    let Some(log) = Log::from_parts(own.size, peaks) else {
        refuse!(Proof, "the peaks of lane {lane} do not fit its size {}", own.size);
    };
    let client = ClientWord::read(word_at(client_slot())?);
    let peer_id = word_at(client_block_slot())?.into();
    nodes.finish()?;

    let leaf = LaneLeaf {
        link,
        direction: Direction::ChainToHub as u8,
        lane,
        epoch: own.epoch,
        size: own.size,
        root: log.root(),
        peer_epoch: own.peer_epoch,
        received: own.received,
        received_root,
        peer_height: client.height,
        peer_id,
        trust_epoch: client.trust_epoch,
    };
    Ok((leaf, account.code_hash))
}

/// Picks, from nodes in any order, those that prove a lane, in the order in which they are proved.
///
/// # Errors
/// [`TrieError`] where a node is missing or the lane is not there.
pub fn pick_nodes(
    nodes: impl IntoIterator<Item = Vec<u8>>,
    state_root: Hash,
    gateway: Address,
    lane: LaneNumber,
) -> Result<Vec<Vec<u8>>, TrieError> {
    let mut bag = Bag::new(nodes);
    let account = Account::read(bag.value(state_root, gateway.as_ref())?)?;
    let value = bag.value(account.storage_root, lane_slot(lane).as_ref())?;
    let own = LaneWord::read(Hash(rlp::number(value)?));
    for slot in lane_slots(lane, own.size, own.received) {
        bag.value(account.storage_root, slot.as_ref())?;
    }
    Ok(bag.picked())
}

/// The word that the value of a slot holds; never zero.
fn word(value: &[u8], slot: Hash) -> Result<Hash, Refusal> {
    let word = Hash(rlp::number(value).map_err(TrieError::from)?);
    ensure!(!word.is_zero(), Proof, "slot {slot} holds zero, which proves nothing");
    Ok(word)
}

/// Checks that what was proved is what is claimed, field by field.
///
/// # Errors
/// `E_PROOF`, with the first field that differs.
pub fn ensure_same(proved: &LaneLeaf, claimed: &LaneLeaf) -> Result<(), Refusal> {
    let show = |leaf: &LaneLeaf| {
        [
            ("link", leaf.link.to_string()),
            ("direction", leaf.direction.to_string()),
            ("lane", leaf.lane.to_string()),
            ("epoch", leaf.epoch.to_string()),
            ("size", leaf.size.to_string()),
            ("root", leaf.root.to_string()),
            ("peer epoch", leaf.peer_epoch.to_string()),
            ("received", leaf.received.to_string()),
            ("received root", leaf.received_root.to_string()),
            ("peer height", leaf.peer_height.to_string()),
            ("peer id", leaf.peer_id.to_string()),
            ("trust epoch", leaf.trust_epoch.to_string()),
        ]
    };
    if proved == claimed {
        return Ok(());
    }
    for ((field, proved), (_, claimed)) in show(proved).into_iter().zip(show(claimed)) {
        ensure!(
            proved == claimed,
            Proof,
            "the leaf says {field} {claimed}, the gateway's storage proves {proved}"
        );
    }
    // Every field was compared above; none can be left that differs.
    refuse!(Proof, "the leaf is not what the gateway's storage proves")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_carries() {
        assert_eq!(after(Hash([0xff; 32]), 1), Hash::ZERO);
        let (mut slot, mut next) = ([0xff; 32], [0; 32]);
        (slot[0], next[0], next[31]) = (6, 7, 4);
        assert_eq!(after(Hash(slot), 5), Hash(next));
    }

    #[test]
    fn a02_a_value_has_one_spelling_and_is_not_zero() {
        let sentence = |value: &[u8]| word(value, Hash::ZERO).unwrap_err().message;
        assert!(sentence(&[0x00]).contains("without leading zeros"));
        assert!(sentence(&[0x82, 0, 1]).contains("without leading zeros"));
        assert!(sentence(&[&[0xa1][..], &[1; 33]].concat()).contains("without leading zeros"));
        assert!(sentence(&[0x81, 1]).contains("not RLP"));
        assert!(sentence(&[1, 1]).contains("left over"));
        // No trie holds a zero; one that did would prove nothing all the same.
        assert!(sentence(&[0x80]).contains("holds zero"));
    }
}
