//! Lanes: append-only Merkle logs over which all passes that passes between two ledgers.

use crate::{
    Epoch, Hash, Height, LaneNumber, MessageNumber, UnixMillis, Weight, abi_struct,
    id::{BlockId, LinkId},
};
use borsh::{BorshDeserialize, BorshSerialize};

/// Which way a lane's messages go.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize,
)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum Direction {
    /// Appended by the hub.
    HubToChain = 0,
    /// Appended by the linked chain's gateway.
    ChainToHub = 1,
}

impl Direction {
    /// The other way.
    #[must_use]
    pub fn opposite(self) -> Self {
        match self {
            Self::HubToChain => Self::ChainToHub,
            Self::ChainToHub => Self::HubToChain,
        }
    }

    /// The direction with this number on the wire.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::HubToChain),
            1 => Some(Self::ChainToHub),
            _ => None,
        }
    }
}

/// One lane of one link in one direction.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize,
)]
pub struct LaneKey {
    /// The link.
    pub link: LinkId,
    /// Which way.
    pub direction: Direction,
    /// Which of the link's lanes; 0 is the control lane.
    pub lane: LaneNumber,
}

/// The lane of control messages: Hello, identities, schemas, council acts.
pub const CONTROL_LANE: LaneNumber = LaneNumber(0);
/// The lane of data and two-phase commit.
pub const DATA_LANE: LaneNumber = LaneNumber(1);

abi_struct! {
    /// What a ledger commits to for one lane: what it has sent, and what it has taken from the
    /// opposite lane. `received` is the acknowledgement.
    pub struct LaneLeaf {
        /// The link.
        pub link: LinkId,
        /// The [`Direction`] of what this ledger sends.
        pub direction: u8,
        /// Which of the link's lanes.
        pub lane: LaneNumber,
        /// The epoch of what is sent, from 1.
        pub epoch: Epoch,
        /// How many messages have been appended in this epoch.
        pub size: u64,
        /// Root of the log of them.
        pub root: Hash,
        /// The epoch of the opposite lane.
        pub peer_epoch: Epoch,
        /// How many messages of the opposite lane have been taken in its epoch.
        pub received: u64,
        /// Root of the log of those.
        pub received_root: Hash,
        /// Height of the newest header of the other ledger that was accepted.
        pub peer_height: Height,
        /// That header's block.
        pub peer_id: BlockId,
        /// Raised by every act of the recovery council.
        pub trust_epoch: u32,
    }
}

/// The largest encoded message, in bytes.
pub const MESSAGE_BYTES_MAX: usize = 64 * 1024;
/// The bit that marks a message kind as an answer. Answers are never answered.
pub const ANSWER_BIT: u16 = 0x8000;

abi_struct! {
    /// What a lane carries.
    pub struct Message {
        /// A request kind, or an answer kind with [`ANSWER_BIT`]; see [`crate::message`].
        pub kind: u16,
        /// Work that the receiver grants it; set by the appending ledger from the kind.
        pub weight: Weight,
        /// The receiver's block time after which a request is refused; 0 is never.
        pub not_after: UnixMillis,
        /// Salts the record of this message; from the causing request.
        pub salt: Hash,
        /// The ABI encoding of the kind's body.
        pub body: Vec<u8>,
    }
}

impl Message {
    /// Whether this answers a request.
    #[must_use]
    pub fn is_answer(&self) -> bool {
        self.kind & ANSWER_BIT != 0
    }
}

abi_struct! {
    /// Proof that leaves `start .. start + n` stand in a log of a given size and root.
    ///
    /// Canonical: the verifier knows how many nodes there must be on each side and refuses more or
    /// fewer. `left` are the peaks of the prefix of length `start`, highest first; `right` are the
    /// nodes that complete the log, lowest first.
    pub struct RangeProof {
        /// Peaks of the prefix before the range; as many as `start` has one-bits.
        pub left: Vec<Hash>,
        /// Nodes after the range.
        pub right: Vec<Hash>,
    }
}

/// Messages of one lane with all that a receiver needs to believe them.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Delivery {
    /// The sender's commitment to the lane. Its link and lane say where the messages go.
    pub leaf: LaneLeaf,
    /// Why the leaf is to be believed; read by the link's verifier.
    pub head_proof: Vec<u8>,
    /// The number of the first message.
    pub first: MessageNumber,
    /// The encoded messages, in order. May be empty: then only `received` of the leaf matters.
    pub messages: Vec<Vec<u8>>,
    /// That the messages stand in the lane at the size of the leaf.
    pub range: RangeProof,
}
