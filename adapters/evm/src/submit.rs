//! Sending a transaction and waiting until it stands in a block, and then, in `settling`, until that
//! is final.
//!
//! The loops ask and send; what to do next is decided in [`crate::sender`].

mod settling;

pub(crate) use settling::receipt;

use crate::{
    endpoints::{Endpoints, PerBlock},
    refusal,
    sender::{Attempt, Fee, FeePolicy, Included, Next, Sending, Sight},
};
use alloy::{
    consensus::{SignableTransaction, TxEip1559, TxEnvelope},
    eips::{BlockId, eip2718::Encodable2718},
    network::TransactionBuilder,
    primitives::{Address, Bytes, TxHash, TxKind, U256},
    providers::Provider,
    rpc::types::TransactionRequest,
    signers::{SignerSync, local::PrivateKeySigner},
};
use settling::Settled;
use std::{
    collections::BTreeMap,
    sync::{MutexGuard, PoisonError},
    time::Duration,
};
use tokio::sync::Mutex;
use tombolo_adapter::{AdapterError, SubmitOutcome};
use tombolo_types::Refusal;

/// How long to wait for a block before the chain is looked at all the same: a node may have dropped
/// what was sent.
const LOOK_AFTER: Duration = Duration::from_secs(2);
/// How many looks in a row may fail before a transaction that is on its way is given up: ten seconds,
/// in which a node restarts.
const FAILED_LOOKS_MAX: u32 = 5;
/// In how many looks in a row its nonce is counted and it is in no block, before it was overtaken.
const MISSING_LOOKS_MAX: u32 = 5;
/// How often a call is sent that others of the same account overtake.
const TRIES_MAX: u32 = 5;

/// An account that sends transactions, each with the nonce after the last.
pub(crate) struct Submitter {
    signer: PrivateKeySigner,
    evm_chain_id: u64,
    fees: FeePolicy,
    /// Held while a nonce is given away, so that they go up one by one.
    turn: Mutex<()>,
    /// The nonces of what is on its way.
    nonces: Nonces,
    /// For all that wait until their blocks are final.
    settled: PerBlock<Settled>,
}

/// Nonces that were given away and are not known to have counted for good, and whether they stand in
/// a block.
type Nonces = std::sync::Mutex<BTreeMap<u64, bool>>;

/// A transaction on its way. Its nonce is given to no other as long as this lives.
pub(crate) struct OnItsWay<'s> {
    call: ContractCall,
    gas: u64,
    sending: Sending,
    nonces: &'s Nonces,
}

/// Nobody has taken what was sent.
struct Untaken {
    error: AdapterError,
    /// A node would take it for more.
    wants_more: bool,
}

impl Drop for OnItsWay<'_> {
    fn drop(&mut self) {
        lock(self.nonces).remove(&self.sending.nonce);
    }
}

fn lock(nonces: &Nonces) -> MutexGuard<'_, BTreeMap<u64, bool>> {
    nonces.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A call of a contract, or the creation of one.
#[derive(Clone)]
pub(crate) struct ContractCall {
    /// `None` to create.
    pub(crate) to: Option<Address>,
    pub(crate) data: Bytes,
    pub(crate) value: U256,
    /// How much gas it may use; `None` to ask a node.
    pub(crate) gas: Option<u64>,
}

impl Submitter {
    pub(crate) fn new(signer: PrivateKeySigner, evm_chain_id: u64, fees: FeePolicy) -> Self {
        let (turn, nonces, settled) = Default::default();
        Self { signer, evm_chain_id, fees, turn, nonces, settled }
    }

    pub(crate) fn address(&self) -> Address {
        self.signer.address()
    }

    /// Sends a call and waits until it is final. Another waits until this one has ended.
    ///
    /// # Errors
    /// [`AdapterError::Refused`] where the contract refuses it, before or in a block;
    /// [`AdapterError::NoAnswer`], then it may still become final.
    pub(crate) async fn submit(
        &self,
        endpoints: &Endpoints,
        call: ContractCall,
    ) -> Result<SubmitOutcome, AdapterError> {
        let _turn = self.turn.lock().await;
        self.foreseen(endpoints, &call).await?;
        let mut sent = self.send(endpoints, call, 0).await?;
        let included = self.until_included(endpoints, &mut sent).await?;
        self.until_final(endpoints, sent, included).await
    }

    /// Sends a call, and gives it back as soon as it is on its way, to be waited for by
    /// [`Self::until_done`] and [`Self::until_final`]. Calls count in the order in which they are
    /// handed in.
    ///
    /// One behind others that stand in no block is not tried before, for it counts on what they do,
    /// and many nodes try on their newest block alone.
    ///
    /// # Errors
    /// As [`Self::submit`].
    pub(crate) async fn hand_in(
        &self,
        endpoints: &Endpoints,
        call: ContractCall,
    ) -> Result<OnItsWay<'_>, AdapterError> {
        let _turn = self.turn.lock().await;
        let is_next = lock(&self.nonces).values().all(|in_block| *in_block);
        if is_next {
            self.foreseen(endpoints, &call).await?;
        }
        self.send(endpoints, call, 0).await
    }

    /// Sends a call and waits until it stands in a block, final or not: for what the same account
    /// builds upon next, or looks at again. Begins with what `raises` offers before this one, of
    /// which nothing more is known, have come to.
    ///
    /// # Errors
    /// As [`Self::submit`], but what a block refuses is not noticed.
    pub(crate) async fn include(
        &self,
        endpoints: &Endpoints,
        call: ContractCall,
        raises: u32,
    ) -> Result<TxHash, AdapterError> {
        let _turn = self.turn.lock().await;
        self.foreseen(endpoints, &call).await?;
        let mut sent = self.send(endpoints, call, raises).await?;
        self.until_included(endpoints, &mut sent).await.map(|included| included.hash)
    }

    /// As [`Self::include`], and once more where another program that uses this account took the
    /// nonce, as soon as that is final: so it counts once. Gives the nonce with which it counts.
    ///
    /// # Errors
    /// As [`Self::include`].
    pub(crate) async fn include_after_others(
        &self,
        endpoints: &Endpoints,
        call: ContractCall,
    ) -> Result<u64, AdapterError> {
        let _turn = self.turn.lock().await;
        let mut tries = 1;
        loop {
            self.foreseen(endpoints, &call).await?;
            let mut sent = self.send(endpoints, call.clone(), 0).await?;
            let nonce = sent.sending.nonce;
            if self.included(endpoints, &mut sent).await?.is_some() {
                return Ok(nonce);
            }
            self.until_counted(endpoints, nonce).await?;
            // A block that went may have made way for ours.
            if self.look(endpoints, &sent.sending).await?.included.is_some() {
                return Ok(nonce);
            }
            if tries == TRIES_MAX {
                return Err(self.overtaken(endpoints, nonce));
            }
            tries += 1;
        }
    }

    fn overtaken(&self, endpoints: &Endpoints, nonce: u64) -> AdapterError {
        let why = format!("another transaction of {} took nonce {nonce}", self.address());
        endpoints.no_answer("sending a transaction", why)
    }

    /// Refuses what would be refused, for that costs nothing as long as nobody sends it.
    async fn foreseen(
        &self,
        endpoints: &Endpoints,
        call: &ContractCall,
    ) -> Result<(), AdapterError> {
        match self.foresee(endpoints, call).await {
            Some(refusal) => Err(AdapterError::Refused { chain: endpoints.chain(), refusal }),
            None => Ok(()),
        }
    }

    /// Sends a call with the next nonce.
    async fn send(
        &self,
        endpoints: &Endpoints,
        call: ContractCall,
        raises: u32,
    ) -> Result<OnItsWay<'_>, AdapterError> {
        let gas = self.gas(endpoints, &call).await?;
        let tips = endpoints.tips("asking for fees", |_, _| async { Ok(()) }).await?;
        let mut nonce = self.nonce(endpoints).await?;
        if let Some((last, _)) = lock(&self.nonces).last_key_value() {
            nonce = nonce.max(last.saturating_add(1));
        }
        lock(&self.nonces).insert(nonce, false);
        let sending = Sending { nonce, attempts: Vec::new() };
        let mut sent = OnItsWay { call, gas, sending, nonces: &self.nonces };
        let fee = self.fees.raised_by(raises, tips.base_fee);
        self.offer(endpoints, &mut sent, fee, tips.number).await?;
        Ok(sent)
    }

    fn request(&self, call: &ContractCall) -> TransactionRequest {
        let kind = call.to.map_or(TxKind::Create, TxKind::Call);
        TransactionRequest::default()
            .with_from(self.address())
            .with_kind(kind)
            .with_value(call.value)
            .with_input(call.data.clone())
    }

    /// The refusal that the call would meet now, as enough nodes say: one that lies must not keep it
    /// from those that are honest.
    async fn foresee(&self, endpoints: &Endpoints, call: &ContractCall) -> Option<Refusal> {
        let mut request = self.request(call);
        if let Some(gas) = call.gas {
            request = request.with_gas_limit(gas);
        }
        let request = &request;
        let foreseen = endpoints.refused(|provider| async move {
            let at = |block| provider.call(request.clone()).block(block);
            let Err(error) = at(BlockId::pending()).await else { return Ok(None) };
            let Some(refusal) = refusal::of_error(&error) else { return Err(error) };
            // What waits for a block may wait for ever: a transaction of ours that offers too little
            // must not make its own repetition, which offers more, look needless.
            Ok(at(BlockId::latest()).await.is_err().then_some(refusal))
        });
        foreseen.await
    }

    async fn gas(&self, endpoints: &Endpoints, call: &ContractCall) -> Result<u64, AdapterError> {
        if let Some(gas) = call.gas {
            return Ok(gas);
        }
        let request = &self.request(call);
        let estimate = endpoints.reached("estimating gas", |provider| async move {
            let at = |block| provider.estimate_gas(request.clone()).block(block);
            match at(BlockId::pending()).await {
                Ok(estimate) => Ok(estimate),
                Err(_) => at(BlockId::latest()).await,
            }
        });
        let estimate = estimate.await?;
        // The state may have moved by the time it counts.
        Ok(estimate.saturating_add(estimate / 4))
    }

    /// As [`Self::included`]; one that was overtaken has failed.
    async fn until_included(
        &self,
        endpoints: &Endpoints,
        sent: &mut OnItsWay<'_>,
    ) -> Result<Included, AdapterError> {
        let included = self.included(endpoints, sent).await?;
        included.ok_or_else(|| self.overtaken(endpoints, sent.sending.nonce))
    }

    /// Waits until one of the attempts stands in a block, sends again and offers more where it must.
    /// `None` where another transaction took the nonce.
    async fn included(
        &self,
        endpoints: &Endpoints,
        sent: &mut OnItsWay<'_>,
    ) -> Result<Option<Included>, AdapterError> {
        let nonce = sent.sending.nonce;
        let (mut failed, mut missing) = (0, 0);
        loop {
            let sight = match self.look(endpoints, &sent.sending).await {
                Err(AdapterError::NoAnswer { why, .. }) if failed < FAILED_LOOKS_MAX => {
                    failed += 1;
                    tracing::debug!(chain = %endpoints.chain(), nonce, why, "a look has failed");
                    // From now on a node is asked that answers, where there is one.
                    let _ = endpoints.newest().await;
                    tokio::time::sleep(LOOK_AFTER).await;
                    continue;
                }
                look => look?,
            };
            failed = 0;
            let next = sent.sending.next(&sight, &self.fees);
            missing = if next == Next::Overtaken { missing + 1 } else { 0 };
            match next {
                Next::Included(included) => {
                    lock(sent.nonces).insert(nonce, true);
                    return Ok(Some(included));
                }
                Next::Wait => wait(endpoints, sight.block).await,
                Next::SendAgain => {
                    // What was seen may be over: it is in a block since, or offers too little by now.
                    // The next look says which.
                    if let Err(Untaken { error, .. }) = self.send_again(endpoints, sent).await {
                        tracing::debug!(chain = %endpoints.chain(), nonce, %error, "not taken again");
                    }
                    wait(endpoints, sight.block).await;
                }
                Next::Replace(fee) => {
                    tracing::info!(chain = %endpoints.chain(), nonce, fee.max, "offering more");
                    // What was offered before may still count, and this is sent again where it is
                    // not known.
                    if let Err(error) = self.offer(endpoints, sent, fee, sight.block).await {
                        tracing::debug!(chain = %endpoints.chain(), nonce, %error, "not taken");
                    }
                }
                // A node may count a transaction a moment before it shows its receipt, and a block that
                // held one may go, until another holds it.
                Next::Overtaken if missing < MISSING_LOOKS_MAX => {
                    wait(endpoints, sight.block).await
                }
                Next::Overtaken => return Ok(None),
                Next::GiveUp => {
                    let why = format!(
                        "not included at the highest fee allowed, {} wei for one gas",
                        self.fees.max
                    );
                    return Err(endpoints.no_answer("sending a transaction", why));
                }
            }
        }
    }

    /// The next nonce of the account, as enough nodes count.
    pub(crate) async fn nonce(&self, endpoints: &Endpoints) -> Result<u64, AdapterError> {
        let address = self.address();
        let counted = endpoints.reached("asking for a nonce", |provider| async move {
            provider.get_transaction_count(address).await
        });
        counted.await
    }

    /// Makes an offer, and higher ones as long as nodes ask for more: what a process has sent that
    /// has died since may wait under the same nonce.
    async fn offer(
        &self,
        endpoints: &Endpoints,
        sent: &mut OnItsWay<'_>,
        mut fee: Fee,
        at_block: u64,
    ) -> Result<(), AdapterError> {
        loop {
            let envelope = self.signed(endpoints, sent, fee)?;
            sent.sending.attempts.push(Attempt { hash: *envelope.tx_hash(), fee, at_block });
            let Err(untaken) = self.broadcast(endpoints, &envelope).await else { return Ok(()) };
            match self.fees.outbid(fee).filter(|_| untaken.wants_more) {
                Some(more) => fee = more,
                None => return Err(untaken.error),
            }
        }
    }

    /// Sends the newest offer again, the same bytes.
    async fn send_again(&self, endpoints: &Endpoints, sent: &OnItsWay<'_>) -> Result<(), Untaken> {
        let Some(Attempt { fee, .. }) = sent.sending.newest() else { return Ok(()) };
        let envelope = self.signed(endpoints, sent, *fee);
        let envelope = envelope.map_err(|error| Untaken { error, wants_more: false })?;
        self.broadcast(endpoints, &envelope).await
    }

    fn signed(
        &self,
        endpoints: &Endpoints,
        sent: &OnItsWay<'_>,
        fee: Fee,
    ) -> Result<TxEnvelope, AdapterError> {
        let OnItsWay { call, gas, sending, .. } = sent;
        let transaction = TxEip1559 {
            chain_id: self.evm_chain_id,
            nonce: sending.nonce,
            gas_limit: *gas,
            max_fee_per_gas: fee.max,
            max_priority_fee_per_gas: fee.tip,
            to: call.to.map_or(TxKind::Create, TxKind::Call),
            value: call.value,
            access_list: Default::default(),
            input: call.data.clone(),
        };
        let signature = self.signer.sign_hash_sync(&transaction.signature_hash());
        let signature =
            signature.map_err(|error| endpoints.no_answer("signing a transaction", error))?;
        Ok(TxEnvelope::from(transaction.into_signed(signature)))
    }

    /// Sends to every node; one that takes it is enough.
    async fn broadcast(&self, endpoints: &Endpoints, envelope: &TxEnvelope) -> Result<(), Untaken> {
        let raw = envelope.encoded_2718();
        let (mut refused, mut taken, mut wants_more) = (None, false, false);
        for provider in endpoints.each() {
            match provider.send_raw_transaction(&raw).await {
                Ok(_) => taken = true,
                Err(error) => {
                    let known = error.to_string().contains("already known")
                        || error.to_string().contains("already imported");
                    taken |= known;
                    wants_more |= refusal::wants_more(&error);
                    refused = Some(error);
                }
            }
        }
        match refused {
            Some(error) if !taken => {
                let error = endpoints.failed("sending a transaction", &error);
                Err(Untaken { error, wants_more })
            }
            _ => Ok(()),
        }
    }

    async fn look(&self, endpoints: &Endpoints, sending: &Sending) -> Result<Sight, AdapterError> {
        let tip = endpoints.tip().await?;
        // Before the receipts: a nonce that is used by then has a receipt by then, and one that is
        // not has none.
        let nonce = self.nonce(endpoints).await?;
        let (mut included, mut known) = (None, true);
        if nonce > sending.nonce {
            for attempt in &sending.attempts {
                if let Some(found) = receipt(endpoints, attempt.hash).await? {
                    included = Some(found);
                }
            }
        } else if let Some(newest) = sending.newest() {
            let found = endpoints.any().get_transaction_by_hash(newest.hash).await;
            let doing = "asking for a transaction";
            known = found.map_err(|error| endpoints.failed(doing, &error))?.is_some();
        }
        Ok(Sight { block: tip.number, base_fee: tip.base_fee, nonce, included, known })
    }
}

/// Waits until there is another block, but not for long.
async fn wait(endpoints: &Endpoints, block: u64) {
    if endpoints.other_block(block, LOOK_AFTER).await.is_err() {
        // The next look says whether that lasts.
        tokio::time::sleep(LOOK_AFTER).await;
    }
}
