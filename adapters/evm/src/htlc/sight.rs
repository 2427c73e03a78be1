//! How a lock stands, and the secret that opened it.

use super::{Entry, EvmHtlc, abi::IHtlc};
use crate::{endpoints::SeenBlock, lanes::BLOCKS_AT_ONCE};
use alloy::{
    eips::BlockId,
    primitives::{Address, B256},
    providers::Provider,
    rpc::types::{Filter, Log},
    sol_types::SolEvent,
};
use tombolo_adapter::AdapterError;
use tombolo_crypto::digest;
use tombolo_swap::htlc::{Clock, Found, Lock, Settled, Sight, Standing};
use tombolo_types::{Height, id::SecretHash, swap::Secret};

impl EvmHtlc {
    /// A lock as the nodes show it, with the secret where one of them shows it.
    pub(super) async fn look(&self, wanted: &Lock, locker: Address) -> Result<Sight, AdapterError> {
        let seen = self.entry(wanted, locker).await;
        let clock = match &seen {
            Ok(sight) => sight.clock,
            Err(_) => clock_at(&self.endpoints.tip().await?),
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

    /// A lock at a final block, as enough nodes say; `None` where the contract was not there yet.
    async fn final_entry(
        &self,
        call: &IHtlc::lockOfCall,
        block: &SeenBlock,
    ) -> Result<Option<Entry>, AdapterError> {
        let request = self.view(self.config.contract, call);
        let answer = self
            .endpoints
            .agreed("reading a lock", |provider| {
                let asked = provider.call(request.clone()).block(BlockId::hash(block.hash));
                async move { asked.await.map(Some) }
            })
            .await?;
        if answer.is_empty() {
            return Ok(None);
        }
        self.read::<IHtlc::lockOfCall>(&answer).map(|found| Some(Entry::of(&found)))
    }

    /// The secret that a claim has shown in blocks `from` to `to`, by any node: it is proved by its
    /// hash, so one that leaves it out, or has another, is passed over.
    async fn shown_in(
        &self,
        locker: Address,
        wanted: SecretHash,
        from: u64,
        to: Option<u64>,
    ) -> Option<Secret> {
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
        let (filter, opens) = (&filter, &opens);
        let found = self.endpoints.first("reading a secret", |provider| async move {
            Ok(provider.get_logs(filter).await?.iter().find_map(opens))
        });
        found.await.ok()
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
        let mut from = tip.0.saturating_sub(BLOCKS_AT_ONCE - 1).max(first);
        let mut shown = self.shown_in(locker, wanted, from, None).await;
        while is_claimed && shown.is_none() && from > first {
            let to = from - 1;
            from = to.saturating_sub(BLOCKS_AT_ONCE - 1).max(first);
            shown = self.shown_in(locker, wanted, from, Some(to)).await;
        }
        if is_claimed && shown.is_none() {
            tracing::warn!(hash = %wanted, "no node shows the secret of a claimed lock");
        }
        shown
    }

    /// A lock as the nodes show it, but for the secret.
    async fn entry(&self, wanted: &Lock, locker: Address) -> Result<Sight, AdapterError> {
        let hash = B256::from(wanted.hash.0);
        let call = || IHtlc::lockOfCall { locker, hash };
        let settled = self.endpoints.newest().await?;
        let mut tip = self.endpoints.tip().await?;
        // A node may lag behind those that agree.
        if tip.number < settled.number {
            tip = settled.clone();
        }
        let newest = self.at_block(self.config.contract, call(), tip.hash).await?;
        let newest = Entry::of(&newest);
        let clock = clock_at(&tip);
        let Some(standing) = newest.standing() else {
            return Ok(Sight { clock, found: None });
        };
        let is_final = self.final_entry(&call(), &settled).await?.as_ref() == Some(&newest);
        let found = Found {
            lock: newest.lock(self.chain(), wanted.hash, locker),
            funding: Vec::new(),
            standing,
            settled: if is_final { Settled::Final } else { Settled::Pending },
            shown: None,
        };
        Ok(Sight { clock, found: Some(found) })
    }
}

fn clock_at(tip: &SeenBlock) -> Clock {
    Clock { height: Height(tip.number), time: tip.time }
}
