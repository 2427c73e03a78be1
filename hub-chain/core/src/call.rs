//! What a transaction may ask of the hub.

use crate::{
    govern::Act,
    grant::{Grant, GrantKey},
    identity::Binding,
    swap::SwapCall,
};
use borsh::{BorshDeserialize, BorshSerialize};
use tombolo_swap::two_phase::Begin;
use tombolo_types::{
    Address, Hash,
    header::Signature,
    id::{LinkId, Xid},
};

/// A call of the hub. The signer of the transaction is who asks.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum HubCall {
    /// Proposes an act and approves it; the id of the proposal is that of the transaction.
    Propose(Box<Act>),
    /// Approves a proposal; the approval that reaches the quorum carries it out.
    Approve {
        /// Which.
        proposal: Hash,
    },
    /// Carries out a proposal that has its quorum; `E_QUORUM` for one that has not.
    Execute {
        /// Which.
        proposal: Hash,
    },
    /// Replaces one of the signer's own keys.
    RotateKey {
        /// The key that ends.
        old: Address,
        /// The key that begins.
        new: Address,
        /// By the new key, over [`rotation_digest`](crate::identity::rotation_digest).
        proof: Signature,
    },
    /// Binds an account on a linked chain to the signer.
    Bind(Box<Binding>),
    /// Stops new requests over a link for a while.
    Pause {
        /// Which.
        link: LinkId,
    },
    /// Grants a right to a closed item; by its owner.
    Grant(Box<Grant>),
    /// Takes a grant back; by who gave it.
    RevokeGrant(Box<GrantKey>),
    /// Begins a two-phase commit; by the beginner that the terms name.
    Begin(Box<Begin>),
    /// Gives up an undecided two-phase commit; by its beginner.
    Withdraw {
        /// Which.
        xid: Xid,
    },
    /// Offers, accepts, takes back or reports on a hash-timelock swap.
    Swap(Box<SwapCall>),
}

impl HubCall {
    /// The operation as records name it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Propose(_) => "propose",
            Self::Approve { .. } => "approve",
            Self::Execute { .. } => "execute",
            Self::RotateKey { .. } => "identity rotate-key",
            Self::Bind(_) => "identity bind",
            Self::Pause { .. } => "link pause",
            Self::Grant(_) => "grant",
            Self::RevokeGrant(_) => "grant revoke",
            Self::Begin(_) => "begin",
            Self::Withdraw { .. } => "withdraw",
            Self::Swap(call) => call.name(),
        }
    }

    /// What the call costs besides its envelope; 1 is about one signature check.
    #[must_use]
    pub fn weight(&self) -> u64 {
        match self {
            Self::Propose(act) => act.weight(),
            Self::Approve { .. } | Self::Execute { .. } => 4,
            Self::RotateKey { .. } | Self::Bind(_) => 8,
            Self::Pause { .. } | Self::Grant(_) | Self::RevokeGrant(_) | Self::Withdraw { .. } => 1,
            // Prepare, decision and answers of every branch are paid for here.
            Self::Begin(begin) => {
                let branches = u64::try_from(begin.branches.len()).unwrap_or(u64::MAX);
                branches.saturating_mul(4).saturating_add(4)
            }
            Self::Swap(call) => call.weight(),
        }
    }
}
