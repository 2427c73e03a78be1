//! The verifier of a link: how one ledger believes another's lane heads.
//!
//! A deployment mode is nothing but a verifier. Implementations are pure, and the very same code
//! runs on the hub, in a relayer's dry run and in an offline audit.

use crate::{
    Class, Hash, Height, Refusal, UnixMillis,
    id::{BlockId, ChainId},
};

/// Where a client of another ledger stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientStatus {
    /// Accepts proofs.
    Active,
    /// Accepts proofs, but more than two thirds of its trusting period have passed.
    Expiring,
    /// Accepts none any more; a recovery is needed.
    Expired,
    /// Has seen a contradiction; a recovery is needed.
    Frozen,
}

/// A head, or the anchor of a recovery, that a verifier accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedHead {
    /// The client as it stands afterwards; equal to what was given where it did not move.
    pub client: Vec<u8>,
    /// The height of the proving header, or of the anchor.
    pub height: Height,
    /// Its block.
    pub block_id: BlockId,
    /// Its time.
    pub time: UnixMillis,
}

/// Why a verifier accepts no head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeadError {
    /// Not proved; nothing changes.
    Refused(Refusal),
    /// Proved, and it contradicts what was proved before: the client freezes.
    Contradiction {
        /// The frozen client.
        client: Vec<u8>,
        /// What contradicts what.
        refusal: Refusal,
    },
}

impl From<Refusal> for HeadError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl HeadError {
    /// What the caller is told.
    #[must_use]
    pub fn refusal(&self) -> &Refusal {
        match self {
            Self::Refused(refusal) | Self::Contradiction { refusal, .. } => refusal,
        }
    }

    /// The class of the refusal.
    #[must_use]
    pub fn class(&self) -> Class {
        self.refusal().class
    }
}

/// Believes, or does not believe, what another ledger says of its lanes.
///
/// A client is opaque here: its bytes are the implementation's own, kept in replicated state.
pub trait Verifier: Send + Sync {
    /// The name under which links choose it, e.g. `tombolo`.
    fn kind(&self) -> &'static str;

    /// A client that starts from `anchor` and trusts for `trusting_period_ms`.
    ///
    /// # Errors
    /// `E_FORMAT` or `E_PROOF` where the anchor is none.
    fn start(
        &self,
        anchor: &[u8],
        trusting_period_ms: u64,
        now: UnixMillis,
    ) -> Result<Vec<u8>, Refusal>;

    /// The chain that the client follows, its newest accepted height and block.
    ///
    /// # Errors
    /// `E_FORMAT` where the client is not one of this kind.
    fn position(&self, client: &[u8]) -> Result<(ChainId, Height, BlockId), Refusal>;

    /// Where the client stands at `now`.
    ///
    /// # Errors
    /// `E_FORMAT` where the client is not one of this kind.
    fn status(&self, client: &[u8], now: UnixMillis) -> Result<ClientStatus, Refusal>;

    /// Accepts `leaf` as a lane leaf of the chain, by `proof`.
    ///
    /// # Errors
    /// [`HeadError`].
    fn head(
        &self,
        client: &[u8],
        now: UnixMillis,
        proof: &[u8],
        leaf: Hash,
    ) -> Result<VerifiedHead, HeadError>;

    /// Moves the client; with it, to another validator set.
    ///
    /// # Errors
    /// [`HeadError`].
    fn update(
        &self,
        client: &[u8],
        now: UnixMillis,
        update: &[u8],
    ) -> Result<VerifiedHead, HeadError>;

    /// Freezes the client where the evidence shows two acceptable headers that contradict.
    ///
    /// # Errors
    /// `E_PROOF` where the evidence shows nothing.
    fn misbehaviour(
        &self,
        client: &[u8],
        now: UnixMillis,
        evidence: &[u8],
    ) -> Result<Vec<u8>, Refusal>;

    /// Sets a new trusted header. Whoever calls it has the authority to, and has seen that there is
    /// something to recover: an expired or frozen client, or a link frozen over a lane while its
    /// client is well.
    ///
    /// Unless the client itself is frozen, what it accepted stays true: the anchor is not below
    /// the newest accepted header, and at its height it is the same block.
    ///
    /// # Errors
    /// `E_FORMAT` or `E_PROOF` as [`Self::start`]; `E_PROOF` for another chain, or for an anchor
    /// that goes against what was accepted.
    fn recover(
        &self,
        client: &[u8],
        anchor: &[u8],
        now: UnixMillis,
    ) -> Result<VerifiedHead, Refusal>;

    /// How many signature checks `proof` would cost, read cheaply, for rate and block weight.
    fn weight(&self, proof: &[u8]) -> u64;
}
