//! What a two-phase commit is made of: branches, actions, authorisations.

use crate::{
    Address, Amount, Hash, UnixMillis,
    abi::AbiError,
    abi_struct,
    header::Signature,
    id::{AssetId, ChainId, DataId, Fingerprint, IdentityId, LinkId, SchemaId},
};

/// The most actions that one branch may hold.
pub const ACTIONS_MAX: usize = 8;
/// The most branches that one two-phase commit may hold.
pub const BRANCHES_MAX: usize = 8;

abi_struct! {
    /// Takes a closed item away from this chain: locked at Prepare, gone at Commit.
    pub struct MoveOut {
        /// The item.
        pub item: DataId,
        /// The account that holds it.
        pub from: Address,
        /// Where it appears.
        pub to_chain: ChainId,
    }
}

abi_struct! {
    /// Lets a closed item appear on this chain: id reserved at Prepare, live at Commit.
    pub struct MoveIn {
        /// The item; unchanged on all chains.
        pub item: DataId,
        /// Where it comes from.
        pub from_chain: ChainId,
        /// The version of the item that moves.
        pub item_version: u32,
        /// Structure of the envelope.
        pub schema: SchemaId,
        /// Fingerprint of the envelope.
        pub fingerprint: Fingerprint,
        /// The party that owns it afterwards.
        pub owner: IdentityId,
        /// The account that holds it afterwards.
        pub holder: Address,
        /// The canonical envelope: a closed item *is* its record.
        pub envelope: Vec<u8>,
        /// The identity that signed the envelope.
        pub device: IdentityId,
        /// Its signature.
        pub signature: Signature,
    }
}

abi_struct! {
    /// Writes a new item or a new version on this chain at Commit.
    pub struct Write {
        /// The item.
        pub item: DataId,
        /// From 1; one above the version that is there.
        pub item_version: u32,
        /// Structure of the envelope.
        pub schema: SchemaId,
        /// Fingerprint of the envelope.
        pub fingerprint: Fingerprint,
        /// The party that owns it.
        pub owner: IdentityId,
        /// The account that holds it and authorises the write.
        pub holder: Address,
        /// The canonical envelope.
        pub envelope: Vec<u8>,
        /// The identity that signed the envelope.
        pub device: IdentityId,
        /// Its signature.
        pub signature: Signature,
    }
}

abi_struct! {
    /// Pays from one account of this chain to another: escrowed at Prepare, credited at Commit.
    pub struct Pay {
        /// Who pays and authorises it.
        pub from: Address,
        /// Who is paid.
        pub to: Address,
        /// What.
        pub asset: AssetId,
        /// How much, in the asset's smallest unit; not zero.
        pub amount: Amount,
    }
}

abi_struct! {
    /// Calls a contract that has its own prepare, commit and abort.
    pub struct Call {
        /// The contract.
        pub contract: Address,
        /// On whose account.
        pub from: Address,
        /// The contract's own words.
        pub payload: Vec<u8>,
    }
}

abi_struct! {
    /// Takes an amount of a fungible asset away from this chain: in escrow at Prepare; at Commit it
    /// stays there where the asset is at home, and is burnt elsewhere.
    pub struct TokenOut {
        /// Where the asset is native.
        pub home: ChainId,
        /// Its id there. Elsewhere its voucher stands for it.
        pub asset: AssetId,
        /// Whose it is.
        pub from: Address,
        /// How much, in the asset's smallest unit; not zero.
        pub amount: Amount,
        /// Where it appears.
        pub to_chain: ChainId,
    }
}

abi_struct! {
    /// Lets an amount of a fungible asset appear on this chain at Commit: out of escrow where it is
    /// at home, as a voucher elsewhere.
    pub struct TokenIn {
        /// Where the asset is native.
        pub home: ChainId,
        /// Its id there.
        pub asset: AssetId,
        /// Where it comes from.
        pub from_chain: ChainId,
        /// Whose it is afterwards.
        pub to: Address,
        /// How much, in the asset's smallest unit; not zero.
        pub amount: Amount,
    }
}

abi_struct! {
    /// An action as it crosses ledgers.
    pub struct EncodedAction {
        /// Which action.
        pub kind: u8,
        /// Its ABI encoding.
        pub body: Vec<u8>,
    }
}

abi_struct! {
    /// What one participant shall do: one Prepare, one Vote, one decision, one Done.
    pub struct Branch {
        /// The participant.
        pub link: LinkId,
        /// In order; at most [`ACTIONS_MAX`].
        pub actions: Vec<EncodedAction>,
    }
}

abi_struct! {
    /// A party's consent to a whole two-phase commit: a signature over its xid.
    ///
    /// The gateway of the branch checks it itself; the hub's word is not enough.
    pub struct Authorisation {
        /// The position of the branch that takes from the account.
        pub branch: u32,
        /// The account from which is taken.
        pub account: Address,
        /// By the account's key, or by a key of the identity bound to the account.
        pub signature: Signature,
    }
}

abi_struct! {
    /// The terms of a two-phase commit, all that its xid is made of.
    pub struct Terms {
        /// The coordinator.
        pub hub: ChainId,
        /// Who begins: an identity, or the word that stands for a link and an account on its chain.
        pub beginner: IdentityId,
        /// Random; makes the xid unique.
        pub salt: Hash,
        /// Hub block time at which an undecided commit is aborted.
        pub deadline: UnixMillis,
        /// Hashes of all branches, in order.
        pub branches: Vec<Hash>,
    }
}

/// One step of a branch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// See [`MoveOut`].
    MoveOut(MoveOut),
    /// See [`MoveIn`].
    MoveIn(MoveIn),
    /// See [`Write`].
    Write(Write),
    /// See [`Pay`].
    Pay(Pay),
    /// See [`Call`].
    Call(Call),
    /// See [`TokenOut`].
    TokenOut(TokenOut),
    /// See [`TokenIn`].
    TokenIn(TokenIn),
}

impl Action {
    /// As it crosses ledgers.
    #[must_use]
    pub fn encode(&self) -> EncodedAction {
        let (kind, body) = match self {
            Self::MoveOut(action) => (1, action.encode()),
            Self::MoveIn(action) => (2, action.encode()),
            Self::Write(action) => (3, action.encode()),
            Self::Pay(action) => (4, action.encode()),
            Self::Call(action) => (5, action.encode()),
            Self::TokenOut(action) => (6, action.encode()),
            Self::TokenIn(action) => (7, action.encode()),
        };
        EncodedAction { kind, body }
    }

    /// Reads what crossed.
    ///
    /// # Errors
    /// [`AbiError`] for an unknown kind or a body that is not canonical.
    pub fn decode(encoded: &EncodedAction) -> Result<Self, AbiError> {
        let body = encoded.body.as_slice();
        Ok(match encoded.kind {
            1 => Self::MoveOut(MoveOut::decode(body)?),
            2 => Self::MoveIn(MoveIn::decode(body)?),
            3 => Self::Write(Write::decode(body)?),
            4 => Self::Pay(Pay::decode(body)?),
            5 => Self::Call(Call::decode(body)?),
            6 => Self::TokenOut(TokenOut::decode(body)?),
            7 => Self::TokenIn(TokenIn::decode(body)?),
            other => {
                return Err(AbiError::OutOfRange { what: "action kind", value: other.to_string() });
            }
        })
    }

    /// The account from which the action takes, and which must authorise it.
    #[must_use]
    pub fn takes_from(&self) -> Option<Address> {
        match self {
            Self::MoveOut(action) => Some(action.from),
            Self::MoveIn(_) | Self::TokenIn(_) => None,
            Self::Write(action) => Some(action.holder),
            Self::Pay(action) => Some(action.from),
            Self::Call(action) => Some(action.from),
            Self::TokenOut(action) => Some(action.from),
        }
    }
}

impl Branch {
    /// A branch of these actions on the link.
    #[must_use]
    pub fn new(link: LinkId, actions: &[Action]) -> Self {
        Self { link, actions: actions.iter().map(Action::encode).collect() }
    }

    /// The actions, read.
    ///
    /// # Errors
    /// As [`Action::decode`].
    pub fn actions(&self) -> Result<Vec<Action>, AbiError> {
        self.actions.iter().map(Action::decode).collect()
    }
}
