//! One share at a time in a network that has nothing else to do: how much the relayer adds to what
//! the two ledgers take for themselves.

use super::{Harbour, NAME, watch::Pool};
use crate::{
    bench::{
        load::{Piece, follow},
        share::{Station, calls},
    },
    party::Ledger,
    setup::Running,
};
use alloy::{
    primitives::B256, providers::Provider as _, rpc::types::Filter, sol_types::SolEvent as _,
};
use anyhow::Context as _;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{sync::mpsc, task::JoinSet};
use tombolo_evm::contract::IGateway;
use tombolo_hub::{
    HubCall,
    grant::{Grant, GrantKey, Purpose},
};
use tombolo_islet::signer::{now, random};
use tombolo_ledger::block::global_id;
use tombolo_types::{id::GlobalId, lane::DATA_LANE, record::Record};

/// A grant of the hub that is used for nothing lasts for so long, in milliseconds.
const GRANT_MS: u64 = 3_600_000;
/// Of the shares one after the other, each begins at another point between two blocks: by this part
/// of the time between them later than the one before (the golden section, which covers all evenly).
const SPREAD: f64 = 0.618_034;

/// What was measured of one hop.
pub(in crate::bench) struct Quiet {
    pub(in crate::bench) hop: String,
    /// How it is counted.
    pub(in crate::bench) counted: &'static str,
    /// Of each share, ascending.
    pub(in crate::bench) added: Vec<Duration>,
    /// From the same start until the destination had it in a final block, ascending.
    pub(in crate::bench) whole: Vec<Duration>,
}

impl Harbour {
    /// Measures both hops, and what the hub takes for any transaction.
    pub(super) async fn quiet(&self, running: &Running, count: u32) -> anyhow::Result<Vec<Quiet>> {
        if count == 0 {
            return Ok(Vec::new());
        }
        eprintln!("measuring {count} shares each way, one at a time");
        let hub = plain(running, count).await?;
        let out = self.quiet_out(running, count).await?;
        let back = self.quiet_in(running, count).await?;
        let quiet = |hop: &str, counted, mut added: Vec<Duration>, mut whole: Vec<Duration>| {
            added.sort_unstable();
            whole.sort_unstable();
            Quiet { hop: hop.into(), counted, added, whole }
        };
        let (added_out, whole_out) = out.into_iter().unzip();
        Ok(vec![
            quiet(
                &format!("hub to {NAME}"),
                "until the chain's node has the delivery, ready for its next block",
                added_out,
                whole_out,
            ),
            quiet(
                &format!("{NAME} to hub"),
                "until the hub's block with its record is final",
                back.clone(),
                back,
            ),
            quiet(
                "none: a plain transaction of the hub",
                "from its submission until its block is final",
                hub.clone(),
                hub,
            ),
        ])
    }

    /// Of each share: from the hub's final block until the chain's node had the delivery, and until
    /// the chain's block with it was final.
    async fn quiet_out(
        &self,
        running: &Running,
        count: u32,
    ) -> anyhow::Result<Vec<(Duration, Duration)>> {
        let from = &running.mauna_loa;
        let (device, owner) = (&running.parties.co2_analyser, &running.parties.observatory);
        let station = Station::new("alone-out", from.chain, owner, device, self.schema);
        let make = calls(Arc::new(station.readings(device, 0..count)?), self.chain);
        let pool = Pool::start(&self.provider, self.hearing).await?;
        let mut records = Records::of(&running.hub, self.patience).await?;
        let mut found = Vec::new();
        for number in 0..count {
            self.spread(number).await?;
            let block = self.watch.newest();
            let Piece { call, .. } = make(number)?;
            let id = global_id(device.submit(from, call).await?);
            let begun = records.wait(|record| record.global_id == id).await?;
            let (delivery, height) = self.taken_after(block).await?;
            let had = self.in_time(pool.has(delivery)).await?;
            let final_at = self.in_time(self.watch.is_final(height)).await?;
            found.push((had.duration_since(begun), final_at.duration_since(begun)));
            let completed =
                |record: &Record| record.global_id == id && record.remark == "completed";
            records.wait(completed).await?;
        }
        Ok(found)
    }

    /// The next delivery of data to the gateway above a block, and its height.
    async fn taken_after(&self, mut block: u64) -> anyhow::Result<(B256, u64)> {
        loop {
            let newest = self.in_time(self.watch.above(block)).await?;
            let filter = Filter::new()
                .address(self.gateway)
                .event_signature(IGateway::Taken::SIGNATURE_HASH)
                .topic1(B256::left_padding_from(&DATA_LANE.0.to_be_bytes()))
                .from_block(block + 1)
                .to_block(newest);
            let found = self.provider.get_logs(&filter).await?;
            let first =
                found.into_iter().find_map(|log| log.transaction_hash.zip(log.block_number));
            match first {
                Some(found) => return Ok(found),
                None => block = newest,
            }
        }
    }

    /// Of each share: from when the chain's block with it is final until the hub's final block with
    /// its record.
    async fn quiet_in(&self, running: &Running, count: u32) -> anyhow::Result<Vec<Duration>> {
        let sender = self.sender(running, "alone-in", count).await?;
        let mut records = Records::of(&running.hub, self.patience).await?;
        let mut found = Vec::new();
        for number in 0..count {
            self.spread(number).await?;
            let ids = sender.send(number..=number, |_| {}).await?;
            let id = sender.known_as(number);
            let recorded = records.wait(|record| GlobalId(record.data_id.0) == id).await?;
            let receipt = self.provider.get_transaction_receipt(ids[0]).await?;
            let height = receipt.and_then(|receipt| receipt.block_number);
            let height = height.context("a share is in no block")?;
            let final_at = self.in_time(self.watch.is_final(height)).await?;
            found.push(recorded.duration_since(final_at));
            // The acknowledgement comes back before the next begins.
            self.taken_after(height).await?;
        }
        Ok(found)
    }

    async fn in_time<T>(&self, what: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
        let found = tokio::time::timeout(self.patience, what).await;
        found.context("a share does not arrive")?
    }

    /// Waits for a block and then for another part of the time until the next.
    async fn spread(&self, number: u32) -> anyhow::Result<()> {
        self.watch.above(self.watch.newest()).await?;
        let part = (f64::from(number) * SPREAD).fract();
        tokio::time::sleep(self.between_blocks.mul_f64(part)).await;
        Ok(())
    }
}

/// How long the hub takes for a transaction that concerns no other ledger.
async fn plain(running: &Running, count: u32) -> anyhow::Result<Vec<Duration>> {
    let (city, observatory) = (&running.parties.city, &running.parties.observatory);
    let mut found = Vec::new();
    for _ in 0..count {
        let key = GrantKey {
            item: random().into(),
            grantee: observatory.identity(),
            purpose: Purpose::Move,
        };
        let grant = Grant { key, expires: now().saturating_add(GRANT_MS) };
        let begun = Instant::now();
        city.call(&running.hub, HubCall::Grant(Box::new(grant))).await?;
        found.push(begun.elapsed());
        // At rest again before the next.
        tokio::time::sleep(Duration::from_millis(400)).await;
    }
    Ok(found)
}

/// New records of one ledger, with the moment when their block was heard of.
struct Records {
    records: mpsc::Receiver<(Record, Instant)>,
    patience: Duration,
    _follower: JoinSet<anyhow::Result<()>>,
}

impl Records {
    async fn of(ledger: &Ledger, patience: Duration) -> anyhow::Result<Self> {
        /// More than come between two looks; what is too much is lost, and then waited for in vain.
        const WAITING: usize = 1_024;
        let (to, records) = mpsc::channel(WAITING);
        let from = ledger.client.records(0, 1).await?.log_size;
        let (ledger, mut follower) = (ledger.clone(), JoinSet::new());
        follower.spawn(async move {
            follow(&ledger, from, |record, heard| {
                let _ = to.try_send((record.clone(), heard));
            })
            .await
        });
        Ok(Self { records, patience, _follower: follower })
    }

    /// Waits for the first that fits; gives when its block was heard of.
    async fn wait(&mut self, fits: impl Fn(&Record) -> bool) -> anyhow::Result<Instant> {
        let find = async {
            loop {
                let next = self.records.recv().await.context("the ledger says nothing more")?;
                let (record, heard) = next;
                if fits(&record) {
                    anyhow::ensure!(record.outcome == 0, "a share was refused: {}", record.remark);
                    return Ok(heard);
                }
            }
        };
        tokio::time::timeout(self.patience, find).await.context("a share does not arrive")?
    }
}
