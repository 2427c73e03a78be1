//! How a lock stands, and the secret that opened it.

use super::{Entry, EvmHtlc, abi::IHtlc};
use crate::{endpoints::SeenBlock, events::BLOCKS_AT_ONCE};
use alloy::{
    eips::BlockId,
    primitives::{Address, B256},
    providers::Provider,
    rpc::types::{Filter, Log, TransactionRequest},
    sol_types::SolEvent,
};
use tombolo_adapter::AdapterError;
use tombolo_crypto::digest;
use tombolo_swap::htlc::{Clock, Found, Lock, Settled, Sight, Standing, reached};
use tombolo_types::{Height, id::SecretHash, swap::Secret};

const READING: &str = "reading a lock";

/// A question for events that a node answers for fewer blocks.
struct TooLarge;

impl EvmHtlc {
    /// A lock as the nodes show it, with the secret where one of them shows it.
    pub(super) async fn look(&self, wanted: &Lock, locker: Address) -> Result<Sight, AdapterError> {
        let seen = self.entry(wanted, locker).await;
        let clock = match &seen {
            Ok(sight) => sight.clock,
            Err(_) => {
                let tip = self.endpoints.tip().await?;
                Clock { height: Height(tip.number), time: tip.time }
            }
        };
        let found = seen.as_ref().ok().and_then(|sight| sight.found.as_ref());
        let is_claimed = found.is_some_and(|found| found.standing == Standing::Claimed);
        let shown = self.shown(locker, wanted.hash, clock.height, is_claimed).await;
        match (seen, shown) {
            (Ok(Sight { found: Some(found), .. }), shown) => {
                Ok(Sight { clock, found: Some(Found { shown, ..found }) })
            }
            (seen, None) => seen,
            // Whoever must claim in time cannot wait until nodes agree that contradict each other,
            // or that hide the lock.
            (Ok(Sight { found: None, .. }) | Err(_), Some(secret)) => {
                let found = Found {
                    lock: wanted.clone(),
                    funding: Vec::new(),
                    standing: Standing::Claimed,
                    settled: Settled::Pending,
                    shown: Some(secret),
                };
                Ok(Sight { clock, found: Some(found) })
            }
        }
    }

    /// The newest final block, and a lock there, as enough nodes say.
    async fn settled(
        &self,
        request: &TransactionRequest,
    ) -> Result<(SeenBlock, Option<Entry>), AdapterError> {
        let block = self.endpoints.newest().await?;
        let answer = self
            .endpoints
            .agreed(READING, |provider| {
                let asked = provider.call(request.clone()).block(BlockId::hash(block.hash));
                async move { asked.await.map(Some) }
            })
            .await?;
        let entry = self.entry_in(&answer)?;
        Ok((block, entry))
    }

    /// The lock in an answer; `None` also where the contract was not there yet.
    fn entry_in(&self, answer: &[u8]) -> Result<Option<Entry>, AdapterError> {
        if answer.is_empty() {
            return Ok(None);
        }
        let entry = Entry::of(&self.read::<IHtlc::lockOfCall>(answer)?);
        Ok(entry.standing().is_some().then_some(entry))
    }

    /// The secret that a claim has shown in blocks `from` to `to`, by any node: it is proved by its
    /// hash, so one that leaves it out, or has another, is passed over.
    ///
    /// # Errors
    /// Where none shows it, and one refuses so large a question.
    async fn shown_in(
        &self,
        locker: Address,
        wanted: SecretHash,
        from: u64,
        to: Option<u64>,
    ) -> Result<Option<Secret>, TooLarge> {
        let mut filter = Filter::new()
            .address(self.config.contract)
            .event_signature(IHtlc::Claimed::SIGNATURE_HASH)
            .topic1(locker.into_word())
            .topic2(B256::from(wanted.0))
            .from_block(from);
        if let Some(to) = to {
            filter = filter.to_block(to);
        }
        let opens = |log: &Log| {
            let event = IHtlc::Claimed::decode_log_data(&log.inner.data).ok()?;
            let secret = Secret(event.preimage.0);
            (digest::secret_hash(&secret) == wanted).then_some(secret)
        };
        let mut is_too_large = false;
        for node in self.endpoints.each() {
            match node.get_logs(&filter).await {
                Ok(found) => {
                    if let Some(secret) = found.iter().find_map(opens) {
                        return Ok(Some(secret));
                    }
                }
                Err(error) => is_too_large |= error.as_error_resp().is_some(),
            }
        }
        if is_too_large { Err(TooLarge) } else { Ok(None) }
    }

    /// The secret that a claim has shown: looked for in the newest blocks, where claims come, and,
    /// of a lock that is known to be claimed, in those before.
    async fn shown(
        &self,
        locker: Address,
        wanted: SecretHash,
        tip: Height,
        is_claimed: bool,
    ) -> Option<Secret> {
        let first = self.config.from_block;
        let (mut to, mut at_once) = (None, BLOCKS_AT_ONCE);
        loop {
            let from = to.unwrap_or(tip.0).saturating_sub(at_once - 1).max(first);
            match self.shown_in(locker, wanted, from, to).await {
                Ok(Some(secret)) => return Some(secret),
                Err(TooLarge) if at_once > 1 => at_once /= 2,
                Ok(None) | Err(TooLarge) if is_claimed && from > first => to = Some(from - 1),
                Ok(None) | Err(TooLarge) => break,
            }
        }
        if is_claimed {
            tracing::warn!(hash = %wanted, "no node shows the secret of a claimed lock");
        }
        None
    }

    /// A lock as the nodes show it, but for the secret.
    ///
    /// # Errors
    /// Where it is not there as wanted, and enough nodes do not say so both by their newest blocks and
    /// by the newest final one: who concludes that it never comes does so for good.
    async fn entry(&self, wanted: &Lock, locker: Address) -> Result<Sight, AdapterError> {
        let call = IHtlc::lockOfCall { locker, hash: B256::from(wanted.hash.0) };
        let request = &self.view(self.config.contract, &call);
        let settled = self.settled(request).await;
        let tips = self.endpoints.tips(READING, |provider, block| {
            let asked = provider.call(request.clone()).block(BlockId::hash(block));
            async move { asked.await }
        });
        let tips = tips.await?;
        let clock = Clock { height: Height(tips.number), time: tips.time };
        let newest = tips.said.map(|answer| self.entry_in(&answer)).transpose()?;
        let last = settled.as_ref().ok().and_then(|(_, entry)| entry.clone());
        let found = |entry: Entry, settled| {
            let standing = entry.standing()?;
            let lock = entry.lock(self.chain(), wanted.hash, locker);
            Some(Found { lock, funding: Vec::new(), standing, settled, shown: None })
        };
        let by_newest = newest.clone().flatten().and_then(|entry| {
            let is_final = last.as_ref() == Some(&entry);
            found(entry, if is_final { Settled::Final } else { Settled::Pending })
        });
        // What is final does not go, whether or not the nodes hide it now.
        let by_final = last.and_then(|entry| found(entry, Settled::Pending));
        let both = [&by_newest, &by_final].into_iter().flatten();
        if let Some(found) = both.into_iter().find(|found| found.lock == *wanted) {
            return Ok(Sight { clock, found: Some(found.clone()) });
        }
        let (block, _) = settled?;
        if newest.is_none() {
            return Err(self.endpoints.no_answer(READING, "the newest blocks of nodes differ"));
        }
        // From the deadline on nothing but what is final says that it never comes.
        let time = if reached(wanted.deadline, clock) { block.time } else { clock.time };
        Ok(Sight { clock: Clock { time, ..clock }, found: by_newest })
    }
}
