//! The acts that take a quorum: a closed enum, reached by proposals alone.

use crate::swap::ChainDeclaration;
use borsh::{BorshDeserialize, BorshSerialize};
use tombolo_types::{
    Address, Amount, Epoch, Hash, LaneNumber,
    attested::SharedNode,
    header::{Signature, Validator},
    id::{AssetId, ChainId, IdentityId, LinkId},
    link_policy::LinkPolicy,
    message::Status,
};

/// Registers one identity.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct NewIdentity {
    /// The address of its first key; its id follows from it.
    pub key: Address,
    /// A set of [`Role`](tombolo_types::message::Role) bits; a device is nothing else besides.
    pub roles: u16,
    /// A name for people.
    pub name: String,
    /// For a device, its owner; else zero.
    pub owner: IdentityId,
}

/// A device in a batch.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct NewDevice {
    /// The address of its first key.
    pub key: Address,
    /// A name for people.
    pub name: String,
    /// Its owner.
    pub owner: IdentityId,
}

/// The most devices in one batch.
pub const DEVICES_MAX: usize = 64;

/// Registers a link to a chain.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct NewLink {
    /// The chain.
    pub chain: ChainId,
    /// The gateway's address there.
    pub gateway: Address,
    /// From 1; another for each attempt with the same gateway.
    pub incarnation: u32,
    /// The deployment mode, 1 to 3; the verifier must serve it.
    pub mode: u8,
    /// The verifier that believes the chain's heads, e.g. `tombolo`.
    pub verifier: String,
    /// What the verifier starts from, in its own encoding.
    pub anchor: Vec<u8>,
    /// Hash of the gateway's code.
    pub code_hash: Hash,
    /// How the chain identifies parties. Req: Y4560-10.2-1.4
    pub identification_method: String,
    /// The nodes that serve the link in modes 2 and 3, with proof of both keys of each.
    pub nodes: Vec<SharedNode>,
}

/// What a quorum of stakeholders may do.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Act {
    /// See [`NewIdentity`].
    RegisterIdentity(NewIdentity),
    /// At most [`DEVICES_MAX`]; one that cannot be registered does not stop the others.
    RegisterDevices(Vec<NewDevice>),
    /// Suspends, revokes or reactivates an identity.
    SetStatus {
        /// Whose.
        identity: IdentityId,
        /// To what.
        status: Status,
    },
    /// Gives a device to another owner.
    TransferDevice {
        /// The device.
        device: IdentityId,
        /// Its next owner.
        owner: IdentityId,
    },
    /// Replaces all keys of an identity that has lost its own.
    ReplaceKeys {
        /// Whose.
        identity: IdentityId,
        /// One to eight.
        keys: Vec<Address>,
    },
    /// Binds another account to an identity whose account on that chain is lost.
    Rebind {
        /// Whose.
        identity: IdentityId,
        /// The chain.
        chain: ChainId,
        /// The account from now on.
        account: Address,
        /// By the account's key over the binding digest.
        account_signature: Signature,
    },
    /// See [`NewLink`].
    RegisterLink(Box<NewLink>),
    /// Opens a link whose gateway has said Hello, or ends its pause.
    OpenLink {
        /// Which.
        link: LinkId,
    },
    /// Ends a link.
    CloseLink {
        /// Which.
        link: LinkId,
    },
    /// Accepts what a gateway's recovery council has done.
    ApproveTrust {
        /// Which link.
        link: LinkId,
        /// The trust epoch that is accepted from now on.
        trust_epoch: u32,
    },
    /// Sets a new trusted header for a link whose client expired or froze.
    RecoverClient {
        /// Which link.
        link: LinkId,
        /// In the verifier's own encoding.
        anchor: Vec<u8>,
    },
    /// Lets the hub's end of a lane go on in its next epoch, while the link is frozen.
    ReopenLane {
        /// Which link.
        link: LinkId,
        /// Which lane of it.
        lane: LaneNumber,
        /// The epoch of what the hub sends to which it leads: one above the present.
        epoch: Epoch,
        /// How many of the hub's messages of the epoch that ends the gateway holds, from the first
        /// on.
        received: u64,
    },
    /// Gives a link of mode 2 or 3 other nodes; the word of the old ones ends at once.
    RotateNodes {
        /// Which link.
        link: LinkId,
        /// Who serves it from now on.
        nodes: Vec<SharedNode>,
        /// How many of them must agree.
        threshold: u32,
    },
    /// Agrees to what may pass over a link of mode 3, per type of data.
    SetLinkPolicy {
        /// Which link.
        link: LinkId,
        /// What may pass.
        policy: LinkPolicy,
        /// By members of the chain's council, over the policy of this link.
        signatures: Vec<Signature>,
    },
    /// Limits how much of an asset may come over a link in an hour of block time.
    SetAssetLimit {
        /// Which link.
        link: LinkId,
        /// Where the asset is native.
        home: ChainId,
        /// Its id there.
        asset: AssetId,
        /// How much, in its smallest unit; 0 lets nothing come.
        per_hour: Amount,
    },
    /// Lets an identity pause a link once more.
    AllowPause {
        /// Which link.
        link: LinkId,
        /// Who.
        identity: IdentityId,
    },
    /// Registers a data structure or its next version.
    SetSchema {
        /// Its canonical definition.
        definition: Vec<u8>,
    },
    /// Sets one Cedar policy.
    SetPolicy {
        /// Its name in the set.
        id: String,
        /// One static policy.
        text: String,
    },
    /// Removes one policy.
    RemovePolicy {
        /// Its name in the set.
        id: String,
    },
    /// Sets who certifies blocks from two heights above the deciding block on.
    SetValidators {
        /// In ascending order of address.
        validators: Vec<Validator>,
    },
    /// Sets an agreed parameter.
    SetParameter {
        /// Its name.
        name: String,
        /// In the parameter's own unit.
        value: u64,
    },
    /// Says how a chain can lock, and within which bounds its clock and blocks stay.
    DeclareChain(Box<ChainDeclaration>),
}

impl Act {
    /// The operation as records name it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::RegisterIdentity(_) => "identity register",
            Self::RegisterDevices(_) => "identity register-devices",
            Self::SetStatus { .. } => "identity status",
            Self::TransferDevice { .. } => "identity transfer",
            Self::ReplaceKeys { .. } => "identity replace-keys",
            Self::Rebind { .. } => "identity rebind",
            Self::RegisterLink(_) => "link register",
            Self::OpenLink { .. } => "link open",
            Self::CloseLink { .. } => "link close",
            Self::ApproveTrust { .. } => "link approve-trust",
            Self::RecoverClient { .. } => "link recover",
            Self::ReopenLane { .. } => "link reopen-lane",
            Self::RotateNodes { .. } => "link rotate-nodes",
            Self::SetLinkPolicy { .. } => "link set-policy",
            Self::SetAssetLimit { .. } => "link set-limit",
            Self::AllowPause { .. } => "link allow-pause",
            Self::SetSchema { .. } => "schema set",
            Self::SetPolicy { .. } => "policy set",
            Self::RemovePolicy { .. } => "policy remove",
            Self::SetValidators { .. } => "validators set",
            Self::SetParameter { .. } => "parameter set",
            Self::DeclareChain(_) => "chain declare",
        }
    }

    /// What proposing it costs; carrying it out is paid for here, too.
    #[must_use]
    pub fn weight(&self) -> u64 {
        match self {
            Self::RegisterDevices(devices) => {
                u64::try_from(devices.len()).unwrap_or(u64::MAX).saturating_add(4)
            }
            Self::SetPolicy { text, .. } => {
                // Parsing and validation cost about one signature check for each kibibyte.
                u64::try_from(text.len()).unwrap_or(u64::MAX).div_euclid(1_024).saturating_add(8)
            }
            Self::OpenLink { .. } | Self::RecoverClient { .. } => 16,
            Self::RegisterLink(new) => proofs(new.nodes.len()).saturating_add(16),
            Self::RotateNodes { nodes, .. } => proofs(nodes.len()).saturating_add(4),
            Self::SetLinkPolicy { signatures, .. } => {
                u64::try_from(signatures.len()).unwrap_or(u64::MAX).saturating_add(4)
            }
            _ => 4,
        }
    }
}

/// Each node proves that it holds two keys.
fn proofs(nodes: usize) -> u64 {
    u64::try_from(nodes).unwrap_or(u64::MAX).saturating_mul(2)
}
