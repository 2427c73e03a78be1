//! The verifier of a link: how one ledger believes another's lane heads.
//!
//! A deployment mode is nothing but a verifier. Implementations are pure, and the very same code
//! runs on the hub, in a relayer's dry run and in an offline audit.

use crate::{
    Address, Class, Hash, Height, Refusal, UnixMillis,
    id::{BlockId, ChainId, LinkId},
    lane::LaneLeaf,
};

/// What a client is told of the link that it serves, once, when it starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkTerms {
    /// The link.
    pub link: LinkId,
    /// The gateway on the chain that the link leads to; that chain's own address for it.
    pub gateway: Address,
    /// The deployment mode, 1 to 3. Spec: Y.4560 cl. 10.2
    pub mode: u8,
    /// For how long a client trusts the newest header that it accepted, in milliseconds.
    pub trusting_period_ms: u64,
}

/// Where a client of another ledger stands, the best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
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

impl ClientStatus {
    /// Where a client stands that is not frozen and whose newest accepted header has this time.
    #[must_use]
    pub fn by_age(newest: UnixMillis, now: UnixMillis, trusting_period_ms: u64) -> Self {
        let age = u128::from(now.since(newest));
        let period = u128::from(trusting_period_ms);
        if age >= period {
            Self::Expired
        } else if age.saturating_mul(3) > period.saturating_mul(2) {
            Self::Expiring
        } else {
            Self::Active
        }
    }
}

/// What a client says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientView {
    /// The chain that it follows.
    pub chain: ChainId,
    /// The newest height of that chain that was accepted.
    pub height: Height,
    /// The block there.
    pub block_id: BlockId,
    /// That block's time.
    pub newest_time: UnixMillis,
    /// The first height certified by the validator set that the client holds now. A client may
    /// have accepted the header that names the next set and still hold this one.
    pub set_since: Height,
    /// The root of that set; zero where the chain has no such sets.
    pub validators_root: Hash,
    /// In which epoch of its nodes' keys it believes them; 0 where there are none.
    pub key_epoch: u32,
    /// Whether it accepts proofs.
    pub status: ClientStatus,
    /// For how long after `newest_time` it does, in milliseconds.
    pub trusting_period_ms: u64,
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
    /// Hash of the gateway's code there, where the proof holds it: then it is not believed but known.
    pub code_hash: Option<Hash>,
}

/// What evidence comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Conviction {
    /// The chain, or all who may speak for it, contradict themselves: the client is frozen.
    Frozen {
        /// The frozen client.
        client: Vec<u8>,
    },
    /// Some who speak for the chain do: their word counts no more, the others go on.
    Suspended {
        /// The client without them.
        client: Vec<u8>,
        /// Whose word counts no more.
        signers: Vec<Address>,
    },
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

    /// The deployment modes that it can serve. Spec: Y.4560 cl. 10.2
    fn modes(&self) -> &'static [u8] {
        &[1]
    }

    /// Who speaks for the chain by what the client holds now, ascending: validators, signers, or
    /// nodes. Empty where they are too many to be held, or no keys of this kind.
    ///
    /// # Errors
    /// `E_FORMAT` where the client is not one of this kind.
    fn members(&self, client: &[u8]) -> Result<Vec<Address>, Refusal> {
        let _ = client;
        Ok(Vec::new())
    }

    /// Whether what is believed is bounded by something besides one node's word. Req: PRJ-1-1
    ///
    /// # Errors
    /// `E_FORMAT` where the client is not one of this kind.
    fn is_bounded(&self, client: &[u8]) -> Result<bool, Refusal> {
        let _ = client;
        Ok(true)
    }

    /// A client that starts from `anchor` and serves the link of these terms.
    ///
    /// # Errors
    /// `E_FORMAT` or `E_PROOF` where the anchor is none.
    fn start(&self, anchor: &[u8], terms: &LinkTerms, now: UnixMillis) -> Result<Vec<u8>, Refusal>;

    /// What the client says of itself at `now`.
    ///
    /// # Errors
    /// `E_FORMAT` where the client is not one of this kind.
    fn view(&self, client: &[u8], now: UnixMillis) -> Result<ClientView, Refusal>;

    /// The one key that may bring anything over the link, where there is such a key: that of the
    /// trusted node of mode 2. Spec: Y.4560 cl. 10.2
    ///
    /// # Errors
    /// `E_FORMAT` where the client is not one of this kind.
    fn deliverer(&self, client: &[u8]) -> Result<Option<Address>, Refusal> {
        let _ = client;
        Ok(None)
    }

    /// Accepts `leaf` as a lane leaf of the chain, by `proof`.
    ///
    /// # Errors
    /// [`HeadError`].
    fn head(
        &self,
        client: &[u8],
        now: UnixMillis,
        proof: &[u8],
        leaf: &LaneLeaf,
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

    /// Judges evidence that two acceptable statements contradict.
    ///
    /// # Errors
    /// `E_PROOF` where the evidence shows nothing.
    fn misbehaviour(
        &self,
        client: &[u8],
        now: UnixMillis,
        evidence: &[u8],
    ) -> Result<Conviction, Refusal>;

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
