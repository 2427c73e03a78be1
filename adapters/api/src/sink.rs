//! What a chain takes.

use crate::{Ability, AdapterError, Declare};
use async_trait::async_trait;
use std::{future::Future, pin::Pin};
use tombolo_types::{
    Height,
    id::{LinkId, TxId},
    lane::Delivery,
    verifier::ClientView,
};

/// A transaction of ours that is final and did what it said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubmitOutcome {
    /// The transaction.
    pub transaction: TxId,
    /// The final block that holds it.
    pub height: Height,
}

/// What waits until something that was handed in stands in a block and did what it said there; gives
/// what waits further. That block may go, and then holds for nothing.
pub type Landing<'s> =
    Pin<Box<dyn Future<Output = Result<Settling<'s>, AdapterError>> + Send + 's>>;

/// What waits until something that stands in a block is final, and shown by the chain's own heads.
pub type Settling<'s> =
    Pin<Box<dyn Future<Output = Result<SubmitOutcome, AdapterError>> + Send + 's>>;

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

    /// Hands a delivery in, and gives what waits until it stands in a block, and then until that is
    /// final, with the errors of [`Sink::deliver`]. So many as [`Limits::deliveries_max`] may follow
    /// each other before the first stands in a block, and as [`Limits::unfinal_max`] before it is
    /// final. They count in their order: where one is lost, those behind it that begin where it ends
    /// are refused.
    ///
    /// # Errors
    /// As [`Sink::deliver`].
    ///
    /// [`Limits::deliveries_max`]: crate::Limits::deliveries_max
    /// [`Limits::unfinal_max`]: crate::Limits::unfinal_max
    async fn hand_in(&self, delivery: Delivery) -> Result<Landing<'_>, AdapterError> {
        Ok(Box::pin(async move {
            let outcome = self.deliver(delivery).await;
            Ok(Box::pin(std::future::ready(Ok(outcome?))) as Settling<'_>)
        }))
    }

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
