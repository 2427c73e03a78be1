//! Transactions: what a registered key asks of one ledger.

use crate::{
    Hash, UnixMillis, abi_struct,
    header::{Certificate, Header, Signature, ValidatorSet},
    id::{ChainId, IdentityId},
};
use borsh::{BorshDeserialize, BorshSerialize};

/// The largest encoded transaction, in bytes.
pub const TRANSACTION_BYTES_MAX: usize = 256 * 1024;
/// The largest block, in bytes of its transactions.
pub const BLOCK_BYTES_MAX: usize = 2 * 1024 * 1024;
/// How many independent series of nonces an identity has.
pub const NONCE_LANES: u8 = 16;

/// What is signed.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Transaction {
    /// The one ledger for which it is meant.
    pub chain_id: ChainId,
    /// On whose behalf; the signing key must be one of this identity's.
    pub signer: IdentityId,
    /// Which series of nonces, below [`NONCE_LANES`].
    pub nonce_lane: u8,
    /// The number of transactions that went before in this series.
    pub nonce: u64,
    /// The block time from which it may not enter a block.
    pub expires: UnixMillis,
    /// Random; salts the record.
    pub salt: Hash,
    /// What to do: the Borsh encoding of the ledger's own call.
    pub call: Vec<u8>,
}

/// A transaction as it travels: the signed bytes are kept as they came.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct SignedTransaction {
    /// The Borsh encoding of a [`Transaction`].
    pub body: Vec<u8>,
    /// Over the transaction's id.
    pub signature: Signature,
}

/// A block: a header and the transactions that led to it.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Block {
    /// The header after these transactions.
    pub header: Header,
    /// Encoded [`SignedTransaction`]s, in order.
    pub transactions: Vec<Vec<u8>>,
}

/// A final block with its certificate.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct DecidedBlock {
    /// The block.
    pub block: Block,
    /// Why it is final.
    pub certificate: Certificate,
}

abi_struct! {
    /// Why a lane leaf of a ledger of this kind is to be believed: a certified header, and the path
    /// from the leaf to its lanes root.
    pub struct HeadProof {
        /// The header.
        pub header: Header,
        /// Its certificate, under the set that the verifier holds.
        pub certificate: Certificate,
        /// The leaf's position among the lanes.
        pub index: u64,
        /// How many lanes there are.
        pub count: u64,
        /// The siblings from the leaf up.
        pub path: Vec<Hash>,
    }
}

abi_struct! {
    /// Moves a light client to a header, and to the next validator set where the header names one.
    pub struct ClientUpdate {
        /// The header.
        pub header: Header,
        /// Its certificate.
        pub certificate: Certificate,
        /// The set behind `next_validators_root`; must be the current set's own where that is unchanged.
        pub next_validators: ValidatorSet,
    }
}

abi_struct! {
    /// Two certified headers that contradict.
    pub struct Misbehaviour {
        /// One header.
        pub header_a: Header,
        /// Its certificate.
        pub certificate_a: Certificate,
        /// The set that certified it.
        pub validators_a: ValidatorSet,
        /// The other header.
        pub header_b: Header,
        /// Its certificate.
        pub certificate_b: Certificate,
        /// The set that certified it.
        pub validators_b: ValidatorSet,
    }
}
