//! Shares between an islet and an EVM chain, linked as docs/ethereum.md does it.

mod node;
mod quiet;
mod requests;
mod send;
mod watch;

pub(super) use node::Choice;
pub(super) use quiet::Quiet;
pub(super) use watch::Hearing;

use super::{
    load::{Flights, Load, Measured, Source, run, run_with},
    report::ChainReport,
    share::{Station, calls},
};
use crate::{
    evm::{Created, Heads, link},
    setup::{PATIENCE, Running},
};
use alloy::{
    primitives::{Address, U256},
    providers::{Provider as _, RootProvider},
    rpc::{client::ClientBuilder, types::BlockId},
};
use anyhow::Context as _;
use node::Node;
use send::{GAS, Sender};
use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tombolo_evm::sender::{Fee, FeePolicy};
use tombolo_hub::govern::Act;
use tombolo_types::id::{ChainId, GlobalId, SchemaId};
use watch::Watch;

/// What the network calls the chain.
const NAME: &str = "harbour";
/// So many shares are sent to the chain at the most before it is looked again how many may follow.
const SENT_AT_ONCE: u32 = 100;
/// More than any run measures.
const UNBOUNDED_ITEMS_PER_HOUR: u64 = 1_000_000_000;
/// How often the present base fee the load offers at the most: a full block raises it by an eighth,
/// so this is good for 39 of them.
const BASE_FEES: u128 = 100;
/// The time between two blocks is the mean of so many.
const BLOCKS_FOR_MEAN: u64 = 10;
const COMPLETED: u8 = 0b1;
const RECORDED: u8 = 0b01;
const COPIED: u8 = 0b10;

/// What is measured of an EVM chain.
#[derive(clap::Args)]
#[group(skip)]
#[command(
    mut_arg("proof", |proof| proof.required(false)),
    mut_group("Heads", |heads| heads.requires("evm_rpc"))
)]
pub(super) struct Arguments {
    /// With `evm`: how many shares go each way under load.
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    evm_shares: u32,
    /// With `evm`: how many shares go each way one at a time, for the added latency; 0 leaves this out.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(0..=10_000))]
    evm_alone: u32,
    /// With `evm`: how many shares may be under way each way at a time.
    #[arg(long, default_value_t = 1_500, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    evm_in_flight: u32,
    /// With `evm`: how much gas a block of anvil holds; there is one each second.
    #[arg(long, default_value_t = 60_000_000, value_parser = clap::value_parser!(u64).range(1_000_000..))]
    evm_gas_limit: u64,
    /// With `evm`: where anvil is. Default: where `tests/nodes/foundry.sh` has put it, else on the
    /// path.
    #[arg(long, value_name = "PATH", requires = "with")]
    anvil: Option<PathBuf>,
    /// With `evm`: a node that runs already, in place of anvil. Over a WebSocket (`ws://`, `wss://`)
    /// it tells of its blocks, else it is asked 20 times a second.
    #[arg(
        long,
        value_name = "URL",
        requires_all = ["with", "evm_key_file", "proof"],
        conflicts_with_all = ["anvil", "evm_gas_limit"]
    )]
    evm_rpc: Option<String>,
    /// With `--evm-rpc`: a file with the key of an account with funds there, in hexadecimal. It pays
    /// for the contracts and for what the relayer sends, and gives a device what its shares may cost.
    #[arg(long, value_name = "FILE", requires = "evm_rpc")]
    evm_key_file: Option<PathBuf>,
    /// With `--evm-rpc`: how the two sides believe each other, 1 by each other's consensus, 2 by one
    /// trusted node. Default: 1 where the chain's heads can be proved.
    #[arg(long, value_name = "MODE", requires = "evm_rpc", value_parser = clap::value_parser!(u8).range(1..=2))]
    evm_mode: Option<u8>,
    #[command(flatten)]
    heads: Option<Heads>,
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
    /// Requests that the chain's node answered, but for those of this process; `None` where only
    /// the node's owner could count them.
    pub(super) requests: Option<u64>,
}

/// The chain, linked.
pub(super) struct Harbour {
    node: Node,
    provider: RootProvider,
    hearing: Hearing,
    watch: Watch,
    evm_chain_id: u64,
    gas_limit: u64,
    between_blocks: Duration,
    /// What the load offers for its transactions.
    fee: Fee,
    chain: ChainId,
    gateway: Address,
    registry: Address,
    schema: SchemaId,
    /// How long one share may take from end to end.
    patience: Duration,
    /// Requests of this process.
    asked: AtomicU64,
}

impl Harbour {
    /// Makes the chain known to the network, and links it.
    pub(super) async fn open(
        running: &mut Running,
        (choice, arguments): (Choice, &Arguments),
        schema: SchemaId,
        within: Duration,
    ) -> anyhow::Result<Self> {
        let node = choice.join(running).await?;
        let fee = fund(running, &node, arguments).await?;
        eprintln!("linking the chain in mode {}", node.mode);
        let Created { deployed, .. } = link(running, node.known.clone(), node.mode).await?;
        // What one trusted node may bring in an hour is bounded; a benchmark must not meet that.
        let (name, value) = ("unbounded_items_per_hour".into(), UNBOUNDED_ITEMS_PER_HOUR);
        running.govern(Act::SetParameter { name, value }).await?;
        let client = ClientBuilder::default().connect(&node.url).await;
        let provider = RootProvider::new(client.context("connecting to the chain's node")?);
        let hearing = Hearing::of(&node.url);
        let (gas_limit, between_blocks) = blocks(&provider).await?;
        Ok(Self {
            watch: Watch::start(&provider, hearing, node.known.finality()).await?,
            evm_chain_id: provider.get_chain_id().await?,
            chain: node.known.chain()?,
            gateway: deployed.gateway,
            registry: deployed.registry,
            patience: within.max(PATIENCE),
            asked: AtomicU64::new(0),
            node,
            provider,
            hearing,
            gas_limit,
            between_blocks,
            fee,
            schema,
        })
    }

    /// What the numbers depend on, with those of one share at a time.
    pub(super) fn report(&self, quiet: Vec<Quiet>) -> ChainReport {
        ChainReport {
            mode: self.node.mode,
            proof: self.node.known.proof(),
            finality: self.node.known.finality(),
            hearing: self.hearing,
            gas_limit: self.gas_limit,
            between_blocks: self.between_blocks,
            quiet,
        }
    }

    /// Measures what is asked for: one at a time first, then under load each way, then both.
    pub(super) async fn measure(
        &self,
        running: &Running,
        arguments: &Arguments,
        within: Duration,
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

    /// The newest block, and how many requests the node has answered that are not of this process.
    fn mark(&self) -> (u64, Option<u64>) {
        let own = self.asked.load(Ordering::Relaxed);
        let requests = self.node.log.as_deref().map(|log| requests::of(log).saturating_sub(own));
        (self.watch.newest(), requests)
    }

    /// What the chain did since.
    async fn since(&self, (block, requests): (u64, Option<u64>)) -> anyhow::Result<ChainUse> {
        let (newest, requests_now) = self.mark();
        let requests = requests_now.zip(requests).map(|(now, then)| now.saturating_sub(then));
        let blocks = newest - block;
        let mut used = ChainUse { blocks, requests, ..ChainUse::default() };
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

/// Gives the device whose account shares from the chain what that may cost, before the relayer uses
/// the account that gives; returns what the load offers for a transaction.
async fn fund(running: &Running, node: &Node, arguments: &Arguments) -> anyhow::Result<Fee> {
    let deployer = node.known.deployer(&node.key).await?;
    let base = deployer.endpoints().tip().await?.base_fee;
    let FeePolicy { tip, max, .. } = node.known.evm.fees();
    let max = max.min(base.saturating_mul(BASE_FEES).saturating_add(tip));
    // Two loads come from the chain, each after a share that is not counted.
    let shares = u64::from(arguments.evm_alone) + 2 * (u64::from(arguments.evm_shares) + 1);
    let wei = U256::from(shares) * U256::from(GAS) * U256::from(max);
    let device = running.parties.weather_station.address().0.into();
    let has = deployer.balance_of(device).await?;
    if has < wei {
        let pay = deployer.pay(device, wei - has).await;
        pay.with_context(|| format!("giving {wei} wei to the account that shares"))?;
    }
    Ok(Fee { max, tip: tip.min(max) })
}

/// How much gas the newest block may hold, and the time between two.
async fn blocks(provider: &RootProvider) -> anyhow::Result<(u64, Duration)> {
    let block = async |number| {
        let block = provider.get_block(BlockId::number(number)).await?;
        block.with_context(|| format!("there is no block {number}"))
    };
    let newest = block(provider.get_block_number().await?).await?.header;
    let count = newest.number.min(BLOCKS_FOR_MEAN);
    let before = block(newest.number - count).await?.header;
    let seconds = newest.timestamp.saturating_sub(before.timestamp);
    let between = Duration::from_secs(seconds) / u32::try_from(count.max(1)).unwrap_or(1);
    Ok((newest.gas_limit, between))
}
