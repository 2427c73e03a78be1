//! Shares between an islet and an EVM chain: anvil, linked in mode 2 as docs/ethereum.md does it.

mod quiet;
mod requests;
mod send;
mod watch;

pub(super) use quiet::Quiet;

use super::{
    load::{Flights, Load, Measured, Source, run, run_with},
    share::{Station, calls},
};
use crate::{anvil, evm::Created, setup::Running};
use alloy::{
    primitives::Address,
    providers::{Provider as _, RootProvider},
    rpc::{client::ClientBuilder, types::BlockId},
};
use anyhow::Context as _;
use send::Sender;
use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};
use tombolo_hub::govern::Act;
use tombolo_types::id::{ChainId, GlobalId, SchemaId};
use watch::Watch;

/// What the network calls the chain.
const NAME: &str = "harbour";
/// So many shares are sent to the chain at the most before it is looked again how many may follow.
const SENT_AT_ONCE: u32 = 100;
/// More than any run measures.
const UNBOUNDED_ITEMS_PER_HOUR: u64 = 1_000_000_000;
const COMPLETED: u8 = 0b1;
const RECORDED: u8 = 0b01;
const COPIED: u8 = 0b10;

/// What is measured of an EVM chain.
#[derive(clap::Args)]
#[group(skip)]
pub(super) struct Arguments {
    /// With `evm`: how many shares go each way under load.
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    evm_shares: u32,
    /// With `evm`: how many shares go each way one at a time, for the added latency.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    evm_alone: u32,
    /// With `evm`: how many shares may be under way each way at a time.
    #[arg(long, default_value_t = 1_500, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    evm_in_flight: u32,
    /// With `evm`: how much gas a block of the chain holds; there is one each second.
    #[arg(long, default_value_t = 60_000_000, value_parser = clap::value_parser!(u64).range(1_000_000..))]
    evm_gas_limit: u64,
    /// With `evm`: where anvil is. Default: where `tests/nodes/foundry.sh` has put it, else on the
    /// path.
    #[arg(long, value_name = "PATH", requires = "with")]
    anvil: Option<PathBuf>,
}

impl Arguments {
    /// Where the node's program is.
    pub(super) fn program(&self) -> anyhow::Result<PathBuf> {
        anvil::find(self.anvil.as_deref())
    }
}

/// What the chain did while something was measured.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ChainUse {
    /// Blocks made.
    pub(super) blocks: u64,
    /// Transactions that brought something to the gateway, and their gas.
    pub(super) deliveries: u64,
    pub(super) delivery_gas: u64,
    /// Those of them that reverted.
    pub(super) reverted: u64,
    /// The most of them in one block.
    pub(super) in_one_block: u64,
    /// Shares sent from the chain, and their gas.
    pub(super) sent: u64,
    pub(super) sent_gas: u64,
    /// Requests that the chain's node answered, but for those of this process.
    pub(super) requests: u64,
}

/// The chain, linked.
pub(super) struct Harbour {
    /// What anvil says.
    log: PathBuf,
    provider: RootProvider,
    watch: Watch,
    evm_chain_id: u64,
    gas_limit: u64,
    chain: ChainId,
    gateway: Address,
    registry: Address,
    schema: SchemaId,
    /// Requests of this process.
    asked: Arc<AtomicU64>,
}

impl Harbour {
    /// Starts the chain's node beside the network's parts, and links it.
    pub(super) async fn open(
        running: &mut Running,
        arguments: &Arguments,
        schema: SchemaId,
    ) -> anyhow::Result<Self> {
        let (program, gas_limit) = (arguments.program()?, arguments.evm_gas_limit);
        eprintln!("starting anvil, a block a second of {gas_limit} gas, and linking it in mode 2");
        let known = anvil::start(running, &program, NAME, Some(gas_limit)).await?;
        let Created { deployed, .. } = anvil::link(running, known.clone()).await?;
        let url = known.evm.rpc.first().context("the chain has no node")?;
        let notifying = url.replacen("http", "ws", 1);
        let client = ClientBuilder::default().connect(&notifying).await;
        let provider = RootProvider::new(client.context("connecting to anvil")?);
        // What one trusted node may bring in an hour is bounded; a benchmark must not meet that.
        let (name, value) = ("unbounded_items_per_hour".into(), UNBOUNDED_ITEMS_PER_HOUR);
        running.govern(Act::SetParameter { name, value }).await?;
        Ok(Self {
            watch: Watch::start(&provider).await?,
            evm_chain_id: provider.get_chain_id().await?,
            gas_limit,
            chain: known.chain()?,
            gateway: deployed.gateway,
            registry: deployed.registry,
            log: anvil::log_of(&running.network.home),
            provider,
            schema,
            asked: Arc::default(),
        })
    }

    /// How much gas a block holds.
    pub(super) fn gas_limit(&self) -> u64 {
        self.gas_limit
    }

    /// Measures what is asked for: one at a time first, then under load each way, then both.
    pub(super) async fn measure(
        &self,
        running: &Running,
        arguments: &Arguments,
        within: std::time::Duration,
    ) -> anyhow::Result<(Vec<Quiet>, Vec<Measured>)> {
        let (count, in_flight) = (arguments.evm_shares, arguments.evm_in_flight);
        let load = |what| Load { what, count, in_flight, within };
        let quiet = self.quiet(running, arguments.evm_alone).await?;
        let mut measured = vec![
            self.outwards(running, &load("shares to an EVM chain"), "out").await?,
            self.inwards(running, &load("shares from an EVM chain"), "in").await?,
        ];
        let (to, from) = (
            load("shares to an EVM chain, beside those from it"),
            load("shares from an EVM chain, beside those to it"),
        );
        let both = tokio::try_join!(
            self.outwards(running, &to, "out-too"),
            self.inwards(running, &from, "in-too"),
        )?;
        measured.extend([both.0, both.1]);
        Ok((quiet, measured))
    }

    /// Shares from an islet over the hub to the chain, until the hub has recorded that its gateway
    /// has taken them.
    async fn outwards(
        &self,
        running: &Running,
        load: &Load,
        prefix: &'static str,
    ) -> anyhow::Result<Measured> {
        let from = &running.mauna_loa;
        let (device, owner) = (&running.parties.co2_analyser, &running.parties.observatory);
        let station = Station::new(prefix, from.chain, owner, device, self.schema);
        let readings = Arc::new(station.readings(device, 0..=load.count)?);
        let make = calls(readings, self.chain);
        let source = Source { ledger: from, party: device, awaited: COMPLETED, make };
        let before = self.mark();
        let measured = run(running, load, source, &[&running.hub], |flights, _, record| {
            if record.outcome != 0 && flights.is_open(record.global_id) {
                flights.fail(format!("a share was refused: {}", record.remark));
            } else if record.remark == "completed" {
                flights.seen(record.global_id, COMPLETED);
            }
        })
        .await?;
        Ok(Measured { chain: Some(self.since(before).await?), ..measured })
    }

    /// Shares from the chain over the hub to an islet, until both have recorded them.
    async fn inwards(
        &self,
        running: &Running,
        load: &Load,
        prefix: &'static str,
    ) -> anyhow::Result<Measured> {
        let sender = self.sender(running, prefix, load.count).await?;
        let first = async |flights: &Flights| {
            flights.take_room(1).await?;
            let waits = |number| flights.submitted(sender.known_as(number), RECORDED | COPIED);
            sender.send(load.count..=load.count, waits).await.map(drop)
        };
        let all = async |flights: &Flights| {
            let mut next = 0;
            while next < load.count {
                let room = sender.room().await?.min(load.count - next).min(SENT_AT_ONCE);
                if room == 0 {
                    self.watch.above(self.watch.newest()).await?;
                    continue;
                }
                flights.take_room(room).await?;
                let waits = |number| flights.submitted(sender.known_as(number), RECORDED | COPIED);
                sender.send(next..=next + room - 1, waits).await?;
                next += room;
            }
            Ok(())
        };
        let before = self.mark();
        let watched = [&running.hub, &running.seattle];
        let see = |flights: &Flights, ledger: usize, record: &tombolo_types::record::Record| {
            let id = GlobalId(record.data_id.0);
            if record.outcome != 0 && flights.is_open(id) {
                flights.fail(format!("a share was refused: {}", record.remark));
            }
            flights.seen(id, if ledger == 0 { RECORDED } else { COPIED });
        };
        let measured = run_with(running, load, &watched, see, first, all).await?;
        Ok(Measured { chain: Some(self.since(before).await?), ..measured })
    }

    /// One who shares readings whose home is the chain.
    async fn sender(
        &self,
        running: &Running,
        prefix: &'static str,
        count: u32,
    ) -> anyhow::Result<Sender<'_>> {
        let (device, owner) = (&running.parties.weather_station, &running.parties.city);
        let station = Station::new(prefix, self.chain, owner, device, self.schema);
        Sender::new(self, station, device, running.seattle.chain, count).await
    }

    fn mark(&self) -> (u64, u64, u64) {
        (self.watch.newest(), requests::of(&self.log), self.asked.load(Ordering::Relaxed))
    }

    /// What the chain did since.
    async fn since(&self, (block, requests, asked): (u64, u64, u64)) -> anyhow::Result<ChainUse> {
        let (newest, requests_now, asked_now) = self.mark();
        let mut used = ChainUse {
            blocks: newest - block,
            requests: (requests_now - requests).saturating_sub(asked_now - asked),
            ..ChainUse::default()
        };
        for number in block + 1..=newest {
            let receipts = self.provider.get_block_receipts(BlockId::number(number)).await?;
            let mut deliveries = 0;
            for receipt in receipts.with_context(|| format!("there is no block {number}"))? {
                if receipt.to == Some(self.gateway) {
                    deliveries += 1;
                    used.delivery_gas += receipt.gas_used;
                    used.reverted += u64::from(!receipt.status());
                } else if receipt.to == Some(self.registry) {
                    used.sent += 1;
                    used.sent_gas += receipt.gas_used;
                }
            }
            used.deliveries += deliveries;
            used.in_one_block = used.in_one_block.max(deliveries);
        }
        self.asked.fetch_add(newest - block, Ordering::Relaxed);
        Ok(used)
    }
}
