//! Waiting until what stands in a block is final.

use super::{ContractCall, FAILED_LOOKS_MAX, LOOK_AFTER, OnItsWay, Submitter, lock};
use crate::{
    endpoints::Endpoints,
    sender::{Included, Sending},
};
use alloy::{primitives::TxHash, providers::Provider, rpc::types::TransactionReceipt};
use tombolo_adapter::{AdapterError, SubmitOutcome};
use tombolo_types::{Class, Hash, Height, Refusal};

/// What the chain says of what is final and of the account.
#[derive(Clone, Copy)]
pub(super) struct Settled {
    /// The newest final height.
    height: u64,
    /// How many transactions of the account stand in blocks, final or not.
    counted: u64,
}

impl Submitter {
    /// Waits until a transaction stands in a block and did there what it said.
    ///
    /// # Errors
    /// [`AdapterError::Refused`] where the contract has refused it there;
    /// [`AdapterError::NoAnswer`], then it may still become final.
    pub(crate) async fn until_done(
        &self,
        endpoints: &Endpoints,
        sent: &mut OnItsWay<'_>,
    ) -> Result<Included, AdapterError> {
        let included = self.until_included(endpoints, sent).await?;
        match included.succeeded {
            true => Ok(included),
            false => Err(self.reverted(endpoints, &sent.call, included.hash).await),
        }
    }

    /// Waits until a transaction that stands in a block is final. Where its block goes it is on its
    /// way again.
    ///
    /// # Errors
    /// As [`Self::submit`].
    pub(crate) async fn until_final(
        &self,
        endpoints: &Endpoints,
        mut sent: OnItsWay<'_>,
        mut included: Included,
    ) -> Result<SubmitOutcome, AdapterError> {
        loop {
            match self.is_final(endpoints, &sent.sending, &included).await? {
                Some(true) => {
                    let (transaction, height) = (Hash(included.hash.0).into(), included.height);
                    return Ok(SubmitOutcome { transaction, height: Height(height) });
                }
                Some(false) => {
                    return Err(self.reverted(endpoints, &sent.call, included.hash).await);
                }
                None => {
                    lock(sent.nonces).insert(sent.sending.nonce, false);
                    included = self.until_included(endpoints, &mut sent).await?;
                }
            }
        }
    }

    /// Why the contract has refused a transaction in its block, as far as that can be found out.
    async fn reverted(
        &self,
        endpoints: &Endpoints,
        call: &ContractCall,
        hash: TxHash,
    ) -> AdapterError {
        let refusal = self.foresee(endpoints, call).await.unwrap_or_else(|| {
            let message = format!("transaction {hash} reverted in its block");
            Refusal::new(Class::State, message)
        });
        AdapterError::Refused { chain: endpoints.chain(), refusal }
    }

    /// Whether it succeeded, once its block is final; `None` where the block went.
    async fn is_final(
        &self,
        endpoints: &Endpoints,
        sending: &Sending,
        included: &Included,
    ) -> Result<Option<bool>, AdapterError> {
        loop {
            let seen = endpoints.noticed();
            let Settled { height, counted } = self.settled(endpoints).await?;
            if height >= included.height {
                endpoints.final_block(included.height).await?;
                let found = receipt(endpoints, included.hash).await?;
                let found = found.filter(|found| found.height <= included.height);
                return Ok(found.map(|found| found.succeeded));
            }
            // What was counted may be older than the block that was seen.
            if counted <= sending.nonce && receipt(endpoints, included.hash).await?.is_none() {
                return Ok(None);
            }
            endpoints.other_block(seen, LOOK_AFTER).await?;
        }
    }

    /// Waits until a final block counts a nonce.
    pub(super) async fn until_counted(
        &self,
        endpoints: &Endpoints,
        nonce: u64,
    ) -> Result<(), AdapterError> {
        let address = self.address();
        loop {
            let seen = endpoints.noticed();
            let Settled { height, .. } = self.settled(endpoints).await?;
            let counted = endpoints.reached("asking for a nonce", |provider| async move {
                provider.get_transaction_count(address).number(height).await
            });
            if counted.await? > nonce {
                return Ok(());
            }
            endpoints.other_block(seen, LOOK_AFTER).await?;
        }
    }

    /// Nodes that are away for a moment do not end what waits for a quarter of an hour.
    async fn settled(&self, endpoints: &Endpoints) -> Result<Settled, AdapterError> {
        let mut failed = 0;
        loop {
            let ask = async {
                let height = endpoints.newest().await?.number;
                Ok(Settled { height, counted: self.nonce(endpoints).await? })
            };
            match self.settled.get(endpoints, ask).await {
                Err(AdapterError::NoAnswer { why, .. }) if failed < FAILED_LOOKS_MAX => {
                    failed += 1;
                    tracing::debug!(chain = %endpoints.chain(), why, "not known what is final");
                    tokio::time::sleep(LOOK_AFTER).await;
                }
                answer => return answer,
            }
        }
    }
}

/// Where a transaction stands and whether it succeeded there, by a node that has it.
pub(crate) async fn receipt(
    endpoints: &Endpoints,
    hash: TxHash,
) -> Result<Option<Included>, AdapterError> {
    let mut failed = None;
    let mut is_unknown = false;
    // The one that is asked first may be behind those that have counted its nonce.
    for provider in endpoints.each() {
        match provider.get_transaction_receipt(hash).await {
            Ok(Some(TransactionReceipt { block_number: Some(height), inner, .. })) => {
                return Ok(Some(Included { hash, height, succeeded: inner.status() }));
            }
            Ok(_) => is_unknown = true,
            Err(error) => failed = Some(error),
        }
    }
    match failed {
        Some(error) if !is_unknown => Err(endpoints.failed("asking for a receipt", &error)),
        _ => Ok(None),
    }
}
