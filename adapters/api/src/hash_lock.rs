//! Hash locks: what a party of a swap, or a watcher for it, needs of a chain.

use crate::{AdapterError, Declare};
use async_trait::async_trait;
use tombolo_swap::htlc::{Lock, Sight};
use tombolo_types::{Height, id::TxId, swap::Secret};

/// A chain on which amounts go to a recipient for a secret, or back to their locker from a deadline
/// on. Declares [`Ability::Hashlock`](crate::Ability::Hashlock).
///
/// The machine that uses it looks again and again and may ask for the same deed many times, also
/// after a crash: every deed here may be repeated, and what has happened already changes nothing
/// (`E_REPLAY`). In particular two calls of [`HtlcChain::lock`] never lock twice: where the chain
/// itself does not see to that, the adapter makes both transactions spend the same.
///
/// Accounts are the chain's own words ([`Account`](tombolo_types::swap::Account)); a chain whose
/// accounts are addresses takes exactly 20 bytes.
#[async_trait]
pub trait HtlcChain: Declare {
    /// Where the chain's clock stands, and what it holds under the hash and locker of `wanted`,
    /// whatever the other terms: the machine compares them. What was shown to open it is given also
    /// where no block holds it yet, on a chain whose deadlines end no claim.
    ///
    /// The clock is not older than the lock that is given with it.
    ///
    /// # Errors
    /// [`AdapterError::NoAnswer`]; [`AdapterError::Refused`] with `E_FORMAT` where an account of the
    /// lock is none of this chain.
    async fn sight(&self, wanted: &Lock) -> Result<Sight, AdapterError>;

    /// Waits until there is a block above `after`. By notification where the chain has one. Safe to
    /// cancel.
    ///
    /// # Errors
    /// [`AdapterError::NoAnswer`] where the connection breaks; waiting itself has no limit.
    async fn next_block(&self, after: Height) -> Result<(), AdapterError>;

    /// Locks, with the account for which the adapter signs, which must be the locker.
    ///
    /// As for all deeds: returns once a block holds the transaction, or once the adapter has waited
    /// for that long enough. `attempt` counts from 1; a chain that takes fees is offered more with
    /// each, up to a cap.
    ///
    /// # Errors
    /// [`AdapterError::Refused`] with the chain's class; [`AdapterError::NoAnswer`], then it may
    /// still happen.
    async fn lock(&self, lock: &Lock, attempt: u32) -> Result<TxId, AdapterError>;

    /// Claims for the recipient. `ticket` is what [`HtlcChain::ticket`] gave; empty on a chain where
    /// anybody may claim.
    ///
    /// # Errors
    /// As for [`HtlcChain::lock`]; `E_PROOF` for a wrong secret, `E_TIMEOUT` after the deadline.
    async fn claim(
        &self,
        lock: &Lock,
        secret: &Secret,
        ticket: &[u8],
        attempt: u32,
    ) -> Result<TxId, AdapterError>;

    /// Gives back to the locker.
    ///
    /// # Errors
    /// As for [`HtlcChain::lock`]; `E_STATE` before the deadline.
    async fn refund(&self, lock: &Lock, ticket: &[u8], attempt: u32) -> Result<TxId, AdapterError>;

    /// Hands over what ended locks have credited to the account for which the adapter signs, in the
    /// asset of this one. Nothing on a chain that pays at once; may be repeated.
    ///
    /// # Errors
    /// As for [`HtlcChain::lock`]; what is credited stays there.
    async fn pay_out(&self, lock: &Lock) -> Result<(), AdapterError> {
        let _ = lock;
        Ok(())
    }

    /// What lets anybody end this lock in favour of the account for which the adapter signs, once
    /// its funding is known; needs no secret. Empty where anybody may do so anyway.
    ///
    /// # Errors
    /// As for [`HtlcChain::lock`].
    async fn ticket(&self, lock: &Lock, funding: &[u8]) -> Result<Vec<u8>, AdapterError> {
        let _ = (lock, funding);
        Ok(Vec::new())
    }
}
