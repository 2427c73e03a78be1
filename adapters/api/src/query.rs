//! What became of a transaction.

use crate::{Ability, AdapterError, Declare};
use async_trait::async_trait;
use tombolo_types::{Height, Refusal, id::TxId};

/// How a transaction stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TransactionStatus {
    /// Not in a final block: unknown, waiting, or dropped.
    Unknown,
    /// In a final block, and applied.
    Applied {
        /// The block's height.
        height: Height,
    },
    /// In a final block, and refused there.
    Refused {
        /// The block's height.
        height: Height,
        /// Why.
        refusal: Refusal,
    },
}

/// Answers for single transactions.
#[async_trait]
pub trait Query: Declare {
    /// How the transaction stands.
    ///
    /// # Errors
    /// [`AdapterError::Unsupported`] without [`Ability::Query`].
    async fn transaction(&self, id: TxId) -> Result<TransactionStatus, AdapterError> {
        let _ = id;
        self.descriptor().require(Ability::Query)?;
        Ok(TransactionStatus::Unknown)
    }
}
