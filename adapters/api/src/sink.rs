//! What a chain takes.

use crate::{Ability, AdapterError, Declare};
use async_trait::async_trait;
use tombolo_crypto::client::ClientState;
use tombolo_types::{
    Hash, Height, Refusal, UnixMillis,
    id::{LinkId, TxId},
    lane::Delivery,
    verifier::ClientStatus,
};

/// A transaction of ours that is final and did what it said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubmitOutcome {
    /// The transaction.
    pub transaction: TxId,
    /// The final block that holds it.
    pub height: Height,
}

/// Where a chain's client of the other chain of a link stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientView {
    /// The newest height of the other chain that was accepted.
    pub height: Height,
    /// That block's time.
    pub newest_time: UnixMillis,
    /// The first height certified by the validator set that the client holds now. A client may
    /// have accepted the header that names the next set and still hold this one.
    pub set_since: Height,
    /// The root of that set; zero where the other chain has no such sets.
    pub validators_root: Hash,
    /// Whether it accepts proofs.
    pub status: ClientStatus,
    /// For how long after `newest_time` it does, in milliseconds.
    pub trusting_period_ms: u64,
}

impl ClientView {
    /// How a light client of a ledger of our own kind stands at `now`.
    ///
    /// # Errors
    /// `E_FORMAT` where the bytes are no such client.
    pub fn of_light_client(client: &[u8], now: UnixMillis) -> Result<Self, Refusal> {
        let state = ClientState::decode(client)?;
        Ok(Self {
            height: state.newest.height,
            newest_time: state.newest.time,
            set_since: state.current.set.first_height,
            validators_root: state.current.root,
            status: state.status(now),
            trusting_period_ms: state.trusting_period_ms,
        })
    }
}

/// Submits to a chain what was proved elsewhere.
///
/// Every function may be repeated: what has happened already is refused with `E_REPLAY` and
/// changes nothing. It returns once the transaction is final.
#[async_trait]
pub trait Sink: Declare {
    /// Brings lane messages, or with no messages only what the leaf acknowledges.
    ///
    /// # Errors
    /// [`AdapterError::Refused`], with `E_REPLAY` where it raises nothing, `E_PROOF` where the
    /// chain does not believe it; [`AdapterError::NoAnswer`], then it may still become final.
    async fn deliver(&self, delivery: Delivery) -> Result<SubmitOutcome, AdapterError>;

    /// Moves the chain's client of the other chain of `link`.
    ///
    /// # Errors
    /// As [`Sink::deliver`].
    async fn update_client(
        &self,
        link: LinkId,
        update: Vec<u8>,
    ) -> Result<SubmitOutcome, AdapterError>;

    /// Where that client stands, by the chain's own newest final block.
    ///
    /// # Errors
    /// [`AdapterError::NotFound`] where there is no such link.
    async fn client_status(&self, link: LinkId) -> Result<ClientView, AdapterError>;

    /// Shows the chain that the other chain of `link` contradicts itself.
    ///
    /// # Errors
    /// [`AdapterError::Unsupported`] without [`Ability::Misbehaviour`]; else as [`Sink::deliver`].
    async fn report_misbehaviour(
        &self,
        link: LinkId,
        evidence: Vec<u8>,
    ) -> Result<SubmitOutcome, AdapterError> {
        let _ = evidence;
        self.descriptor().require(Ability::Misbehaviour)?;
        Err(AdapterError::NotFound {
            chain: self.descriptor().chain_id,
            what: format!("way to take evidence about link {link}, though it declares one"),
        })
    }
}
