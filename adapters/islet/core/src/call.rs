//! What may be asked of an islet.

use crate::hash_lock::NewHashLock;
use borsh::{BorshDeserialize, BorshSerialize};
use tombolo_swap::two_phase::Begin;
use tombolo_types::{
    Address, Amount, UnixMillis,
    header::Signature,
    id::{AssetId, ChainId, DataId, SecretHash},
};

/// A call of the islet's own.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum IsletCall {
    /// Enters a data item, or a new version of one, and may share it in the same step.
    ///
    /// Signed by the device that signed the envelope, or by the owner. Local id, class, owner and
    /// version stand in the envelope.
    Submit {
        /// The canonical envelope.
        envelope: Vec<u8>,
        /// The device's, over the envelope.
        signature: Signature,
        /// Where a copy goes; open items only.
        share: Option<ShareOrder>,
    },
    /// Copies an open item to another chain. Signed by its owner.
    Share {
        /// The item.
        data_id: DataId,
        /// Where the copy goes.
        order: ShareOrder,
    },
    /// Pays from the signer's account to another of this ledger.
    Pay {
        /// Who is paid.
        to: Address,
        /// What.
        asset: AssetId,
        /// How much, in the asset's smallest unit; not zero.
        amount: Amount,
    },
    /// Begins a two-phase commit in which this ledger takes part; by an account from which its
    /// branch takes.
    Begin(Box<Begin>),
    /// An act of the recovery council. Any identity may bring it: the signatures decide.
    CouncilAct(CouncilOrder),
    /// Locks an amount of the signer's account under a hash.
    HashLock(NewHashLock),
    /// Opens a hash lock for its recipient. Any identity may bring the secret.
    HashClaim {
        /// Under which hash.
        hash: SecretHash,
        /// Whose lock.
        locker: Address,
        /// Exactly 32 bytes; of any length here, so that another one is a wrong proof.
        secret: Vec<u8>,
    },
    /// Gives a hash lock that has ended back to its locker. Any identity may ask for it.
    HashRefund {
        /// Under which hash.
        hash: SecretHash,
        /// Whose lock.
        locker: Address,
    },
}

/// Where a copy goes, and until when it may be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ShareOrder {
    /// The chain that gets the copy.
    pub destination: ChainId,
    /// The hub's block time after which it refuses the share; 0 is never.
    pub not_after: UnixMillis,
}

/// What the recovery council sets, with its members' signatures.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct CouncilOrder {
    /// The number of an [`ActKind`](tombolo_types::council::ActKind).
    pub act: u8,
    /// The trust epoch to which the act leads: one above the present.
    pub trust_epoch: u32,
    /// The encoded [`Anchor`](tombolo_types::header::Anchor),
    /// [`Reopening`](tombolo_types::council::Reopening) or
    /// [`Release`](tombolo_types::council::Release); its Keccak-256 is the subject.
    pub data: Vec<u8>,
    /// The members' signatures over the act, in ascending order of signer.
    pub signatures: Vec<Signature>,
}
