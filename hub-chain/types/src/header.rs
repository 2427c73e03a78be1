//! Header, certificate, validator set and genesis: what a light client sees of a ledger.

use crate::{
    Address, Amount, Hash, Height, Power, Round, UnixMillis,
    abi::{AbiError, AbiValue},
    abi_struct,
    id::{AssetId, BlockId, ChainId},
};
use alloy_sol_types::sol_data;
use borsh::{BorshDeserialize, BorshSerialize};

/// The header version that this code writes and reads.
pub const HEADER_VERSION: u32 = 1;
/// The length of an encoded header: fifteen 32-byte words.
pub const HEADER_BYTES: usize = 480;

abi_struct! {
    /// A block's header, of fixed width so that a contract hashes it with no decoder.
    ///
    /// It holds neither round nor proposer: the same block may be proposed again.
    pub struct Header {
        /// [`HEADER_VERSION`].
        pub version: u32,
        /// The ledger.
        pub chain_id: ChainId,
        /// From 1.
        pub height: Height,
        /// Agreed time, greater than the parent's.
        pub time: UnixMillis,
        /// The block before; at height 1 the chain id stands for it.
        pub parent: BlockId,
        /// Merkle root over the hashes of the block's transactions.
        pub transactions_root: Hash,
        /// Merkle root over all lane leaves, after this block.
        pub lanes_root: Hash,
        /// Root of the audit log, after this block.
        pub log_root: Hash,
        /// Number of records in the audit log, after this block.
        pub log_size: u64,
        /// Digest over the previous digest and this block's writes.
        pub writes_digest: Hash,
        /// Zero in version 1.
        pub state_root: Hash,
        /// The set that certifies this block.
        pub validators_root: Hash,
        /// The set that certifies the next block.
        pub next_validators_root: Hash,
        /// Zero in version 1.
        pub extensions_root: Hash,
        /// Zero in version 1.
        pub reserved: Hash,
    }
}

/// A recoverable secp256k1 signature: r ‖ s ‖ v with low s and v 27 or 28, as `ecrecover` takes it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub struct Signature(pub [u8; 65]);

impl Signature {
    /// Stands where nothing is signed: 65 zero bytes, which are a signature of nobody.
    pub const NONE: Self = Self([0; 65]);
}

impl std::fmt::Debug for Signature {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "0x{}", hex::encode(self.0))
    }
}

impl AbiValue for Signature {
    type Sol = sol_data::Bytes;

    fn to_sol(&self) -> alloy_sol_types::private::Bytes {
        self.0.to_vec().into()
    }

    fn from_sol(value: alloy_sol_types::private::Bytes) -> Result<Self, AbiError> {
        <[u8; 65]>::try_from(value.as_ref()).map(Self).map_err(|_| AbiError::OutOfRange {
            what: "signature length",
            value: value.len().to_string(),
        })
    }
}

abi_struct! {
    /// One validator's precommit.
    pub struct CommitSignature {
        /// Who signed.
        pub signer: Address,
        /// Over the precommit digest of the certificate's height, round and block.
        pub signature: Signature,
    }
}

abi_struct! {
    /// Proof that more than two thirds of the voting power precommitted one block.
    ///
    /// Signatures stand in ascending order of signer.
    pub struct Certificate {
        /// The block's height.
        pub height: Height,
        /// The round in which it was decided.
        pub round: Round,
        /// The block.
        pub block_id: BlockId,
        /// The precommits.
        pub signatures: Vec<CommitSignature>,
    }
}

abi_struct! {
    /// A validator and its share of the vote.
    pub struct Validator {
        /// Address of its consensus key.
        pub address: Address,
        /// Greater than zero.
        pub power: Power,
    }
}

/// The largest number of validators in one set.
pub const VALIDATORS_MAX: usize = 100;
/// The largest power of a whole set: three times it fits a `u64` with room to spare.
pub const TOTAL_POWER_MAX: u64 = 1 << 40;

abi_struct! {
    /// Who may certify blocks from a height on; sorted by address, no address twice.
    pub struct ValidatorSet {
        /// The first height that this set certifies; part of its root, so that no root occurs twice.
        pub first_height: Height,
        /// The members, in ascending order of address.
        pub validators: Vec<Validator>,
    }
}

/// What is wrong with a validator set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ValidatorSetError {
    /// No member, or more than [`VALIDATORS_MAX`].
    #[error("a validator set has 1 to {VALIDATORS_MAX} members, not {count}")]
    Count {
        /// Members found.
        count: usize,
    },
    /// Not strictly ascending by address, or the zero address.
    #[error("validators are not in strictly ascending order of non-zero address at {address}")]
    Order {
        /// The first member out of order.
        address: Address,
    },
    /// A member without power, or too much in all.
    #[error("the power of {address} is zero or lifts the sum above {TOTAL_POWER_MAX}")]
    Power {
        /// The first such member.
        address: Address,
    },
}

impl ValidatorSet {
    /// Checks order, number and power.
    ///
    /// # Errors
    /// [`ValidatorSetError`] for the first fault found.
    pub fn check(&self) -> Result<Power, ValidatorSetError> {
        let count = self.validators.len();
        if count == 0 || count > VALIDATORS_MAX {
            return Err(ValidatorSetError::Count { count });
        }
        let mut before = Address::ZERO;
        let mut total = 0u64;
        for Validator { address, power } in &self.validators {
            if *address <= before {
                return Err(ValidatorSetError::Order { address: *address });
            }
            before = *address;
            total = total.saturating_add(power.0);
            if power.0 == 0 || total > TOTAL_POWER_MAX {
                return Err(ValidatorSetError::Power { address: *address });
            }
        }
        Ok(Power(total))
    }

    /// The power of `address`, or `None` where it is no member.
    #[must_use]
    pub fn power_of(&self, address: Address) -> Option<Power> {
        let found = self.validators.binary_search_by_key(&address, |validator| validator.address);
        found.ok().and_then(|position| self.validators.get(position)).map(|found| found.power)
    }
}

abi_struct! {
    /// An identity that exists from the first block on, so that a ledger can be used before any vote.
    pub struct GenesisIdentity {
        /// The address of its first key; its identity id follows from it.
        pub key: Address,
        /// A set of [`Role`](crate::message::Role) bits.
        pub roles: u16,
        /// A name for people.
        pub name: String,
    }
}

abi_struct! {
    /// Units of an asset that an account holds from the first block on.
    pub struct GenesisBalance {
        /// The account.
        pub account: Address,
        /// The asset.
        pub asset: AssetId,
        /// In its smallest unit.
        pub amount: Amount,
    }
}

abi_struct! {
    /// A named parameter that differs from its default.
    pub struct GenesisParameter {
        /// As `tombolo config show` prints it.
        pub name: String,
        /// In the unit of the parameter.
        pub value: u64,
    }
}

abi_struct! {
    /// The document from which a ledger starts; its hash is the chain id.
    pub struct Genesis {
        /// [`HEADER_VERSION`].
        pub version: u32,
        /// `hub` or `islet`: which application runs on it.
        pub kind: String,
        /// A name for people.
        pub name: String,
        /// Later than this is every block.
        pub time: UnixMillis,
        /// The first set; its first height is 1.
        pub validators: ValidatorSet,
        /// Identities from the first block on.
        pub identities: Vec<GenesisIdentity>,
        /// Balances from the first block on (islet).
        pub balances: Vec<GenesisBalance>,
        /// How many stakeholders must approve (hub).
        pub quorum: u32,
        /// Members of the recovery council (islet).
        pub council: Vec<Address>,
        /// How many members of the council must agree; twice it exceeds their number.
        pub council_threshold: u32,
        /// The hub that the gateway trusts, as an encoded [`Anchor`]; empty on the hub.
        pub hub_anchor: Vec<u8>,
        /// Parameters that differ from their defaults, in ascending order of name.
        pub parameters: Vec<GenesisParameter>,
    }
}

abi_struct! {
    /// What a light client starts from: a point of a chain, and the set that certifies what follows.
    pub struct Anchor {
        /// The chain.
        pub chain_id: ChainId,
        /// The trusted height; 0 is genesis.
        pub height: Height,
        /// The block there; at height 0 the chain id stands for it.
        pub block_id: BlockId,
        /// The block's time.
        pub time: UnixMillis,
        /// The set that certifies the headers above.
        pub validators: ValidatorSet,
    }
}
