//! Whole swaps by the service of their parties, both legs on one real node. The hub is silent from
//! the acceptance on.

use crate::{
    htlc::{Bench, LOCKER, RECIPIENT, account, run, signer, time},
    hub::{key, wall},
};
use alloy::primitives::keccak256;
use async_trait::async_trait;
use serde_json::{Value, json};
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;
use tombolo_adapter::{AdapterError, HtlcChain};
use tombolo_crypto::digest;
use tombolo_evm::{EvmHtlc, Finality, HtlcConfig};
use tombolo_swap::htlc::{
    Expiry, Margins, Outcome, Profile, Role, Spending, Terms, gap_needs_ms, lock_needs_ms,
};
use tombolo_swap_service::{
    Door, Ended, Entry, Home, JournalError, Metrics, OrderBook, Reports, Said, Settings,
    Surroundings, SwapTask,
};
use tombolo_test_nodes::quantity;
use tombolo_types::{
    Amount, UnixMillis,
    id::{AssetId, ChainId, IdentityId, OrderId, TxId},
    swap::{Deadline, Leg, Order, Secret},
};

const HUB: ChainId = ChainId([0xaa; 32]);
const SECRET: Secret = Secret([0x5e; 32]);
const GIVEN: u128 = 300;
/// The parties, in order.
const PARTIES: [u8; 2] = [LOCKER, RECIPIENT];
const PROFILE: Profile = Profile {
    block_ms_fastest: 100,
    block_ms_slowest: 5_000,
    time_lag_ms: 0,
    skew_ms: 20_000,
    inclusion_ms: 60_000,
    finality_ms: 0,
    expiry: Expiry::Enforced,
    spending: Spending::Anybody,
};
const MARGINS: Margins = Margins { relay_ms: 2_000, outage_ms: 30_000 };

/// How much longer than they must the locks last: the clock of a node that makes a block for each
/// transaction runs ahead.
const SPARE_MS: u64 = 60_000;

/// A hub that says nothing.
struct Silent;

impl Silent {
    fn answer<T>() -> Result<T, AdapterError> {
        let why = "it is silent".into();
        Err(AdapterError::NoAnswer { chain: HUB, doing: "asking", why })
    }
}

#[async_trait]
impl OrderBook for Silent {
    async fn order(&self, _: OrderId) -> Result<Option<Entry>, AdapterError> {
        Self::answer()
    }

    async fn accepted(&self) -> Result<Vec<Entry>, AdapterError> {
        Self::answer()
    }

    async fn report(
        &self,
        _: OrderId,
        _: u32,
        _: Said,
        _: Option<Secret>,
        _: TxId,
    ) -> Result<(), AdapterError> {
        Self::answer()
    }
}

fn identity(party: u8) -> IdentityId {
    digest::identity_id(key(party).address())
}

/// What both have accepted: each gives the other the same, the first for longer.
fn accepted(chain: ChainId, now: UnixMillis) -> Entry {
    let needs_ms = lock_needs_ms(&[PROFILE; 2], &MARGINS);
    let second = now.saturating_add(needs_ms + SPARE_MS);
    let second = UnixMillis(second.0.div_ceil(1_000) * 1_000);
    let over = second.saturating_add(PROFILE.block_ms_slowest);
    let first = over.saturating_add(gap_needs_ms(&PROFILE, &PROFILE, &MARGINS));
    let leg = |locker, recipient, deadline| Leg {
        chain,
        asset: AssetId::ZERO,
        amount: Amount(GIVEN),
        locker: account(locker),
        recipient: account(recipient),
        deadline: Deadline::Time(deadline),
    };
    let order = Order {
        hash: digest::secret_hash(&SECRET),
        parties: PARTIES.map(identity).to_vec(),
        legs: vec![leg(LOCKER, RECIPIENT, first), leg(RECIPIENT, LOCKER, second)],
        accept_until: now,
        premium: Amount::ZERO,
    };
    Entry {
        id: digest::order(HUB, &order),
        order,
        status: "accepted".into(),
        accepted: true,
        closed: false,
        profiles: vec![PROFILE; 2],
        margins: MARGINS,
        secret: None,
        reports: Vec::new(),
    }
}

/// A party's folder, and the chain as its account sees it.
struct Party {
    order: OrderId,
    home: Home,
    chain: Arc<EvmHtlc>,
    around: Surroundings,
    _folder: tempfile::TempDir,
}

impl Party {
    async fn new(config: &HtlcConfig, entry: &Entry, number: u32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::new(folder.path()).unwrap();
        let party = PARTIES[number as usize];
        let secret = (number == 0).then_some(SECRET);
        let swap = entry.open(Role::Party(number), secret).unwrap();
        home.create(entry.id, &swap, wall()).unwrap();
        let around = Surroundings {
            me: identity(party),
            hub: HUB,
            book: Arc::new(Silent),
            settings: Settings {
                answer_within: Duration::from_secs(5),
                deed_within: Duration::from_secs(120),
                look_after: Duration::from_millis(100),
                look_within: Duration::from_millis(500),
                ask_hub_after: Duration::from_secs(1),
                now: Arc::new(wall),
            },
            metrics: Metrics::default(),
            reports: Reports::default(),
        };
        let chain = Arc::new(EvmHtlc::new(config.clone(), signer(party)).await.unwrap());
        Self { order: entry.id, home, chain, around, _folder: folder }
    }

    /// Its service goes on by its journal.
    fn start(&self, cancel: &CancellationToken) -> Running {
        let opened = self.home.open(self.order).unwrap();
        let chain: Arc<dyn HtlcChain> = self.chain.clone();
        let doors = vec![Door { name: "anvil".into(), chain }; 2];
        let task = SwapTask::new(self.order, opened, doors, self.around.clone());
        tokio::spawn(task.run(cancel.clone()))
    }
}

type Running = tokio::task::JoinHandle<Result<Ended, JournalError>>;

/// The hashes of what an account has in the pool.
fn waiting(bench: &Bench, party: u8) -> BTreeSet<(u64, String)> {
    let content = bench.anvil.rpc.call("txpool_content", json!([]));
    let account = account(party).to_string();
    let all = content["pending"].as_object().unwrap();
    let own = all.iter().filter(|(from, _)| from.eq_ignore_ascii_case(&account));
    let transactions = own.flat_map(|(_, by_nonce)| by_nonce.as_object().unwrap().values());
    transactions
        .map(|it| (quantity(&it["nonce"]), it["hash"].as_str().unwrap().to_owned()))
        .collect()
}

/// The transaction that has claimed what a party had locked.
fn claim_of(bench: &Bench, locker: u8) -> Value {
    let event = keccak256("Claimed(address,bytes32,bytes32)").to_string();
    let locker = format!("0x{}{}", "00".repeat(12), &account(locker).to_string()[2..]);
    let contract = bench.config.contract.to_string();
    let filter = json!({ "address": contract, "fromBlock": "0x0", "topics": [event, locker] });
    let logs = bench.anvil.rpc.call("eth_getLogs", json!([filter]));
    let [log] = &logs.as_array().unwrap()[..] else { panic!("not one claim: {logs}") };
    log["transactionHash"].clone()
}

/// The base fee rises tenfold while the first party's claim waits for a block, after its service was
/// stopped and went on by its journal. More is offered under the same nonce, and it is in a block
/// before the deadline; nothing is told to the hub.
///
/// Req: PRJ-5-6, PRJ-5-7
#[test]
fn a37_a_service_outbids_a_spike_of_fees_and_ends_the_swap_without_a_hub() {
    run(async {
        let Some(bench) = Bench::start().await else { return };
        let rpc = &bench.anvil.rpc;
        let config = HtlcConfig { finality: Finality::Depth(0), ..bench.config.clone() };
        let entry = accepted(config.chain(), wall());
        let first = Party::new(&config, &entry, 0).await;
        let second = Party::new(&config, &entry, 1).await;
        let is_locked = async |leg: usize| {
            let terms = Terms::read(entry.order.clone()).unwrap();
            for _ in 0..300 {
                if first.chain.sight(&terms.locks()[leg]).await.unwrap().found.is_some() {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            panic!("leg {leg} is not locked");
        };
        let cancel = CancellationToken::new();
        let locking = first.start(&cancel);
        is_locked(0).await;
        cancel.cancel();
        assert_eq!(locking.await.unwrap().unwrap(), Ended::Cancelled);

        let cancel = CancellationToken::new();
        let seconds = second.start(&cancel);
        is_locked(1).await;
        let block = rpc.call("eth_getBlockByNumber", json!(["latest", false]));
        let base = quantity(&block["baseFeePerGas"]);
        let first_offer = u128::from(2 * base) + config.fees.tip;
        let dear = 10 * base;
        assert!(u128::from(dear) > first_offer, "the first offer suffices after all");
        let _ = rpc.call("evm_setAutomine", json!([false]));
        let firsts = first.start(&cancel);
        let (mut offered, mut blocks) = (BTreeSet::new(), 0);
        while !(firsts.is_finished() && seconds.is_finished()) {
            if quantity(&rpc.call("txpool_status", json!([]))["pending"]) > 0 {
                offered.extend(waiting(&bench, LOCKER));
                let price = json!([format!("{dear:#x}")]);
                let _ = rpc.call("anvil_setNextBlockBaseFeePerGas", price);
                bench.mine(1);
                blocks += 1;
            }
            assert!(blocks < 60, "not over after {blocks} blocks");
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
        for ended in [firsts, seconds] {
            assert_eq!(ended.await.unwrap().unwrap(), Ended::Over(Outcome::Completed));
        }

        let claim = claim_of(&bench, RECIPIENT);
        let claim = rpc.call("eth_getTransactionReceipt", json!([claim]));
        let hash = claim["transactionHash"].as_str().unwrap().to_owned();
        let (nonce, _) = offered.iter().find(|(_, it)| *it == hash).expect("it has waited");
        let offers = offered.iter().filter(|(other, _)| other == nonce).count();
        assert!(offers > 1, "it was in at the first offer: {offered:?}");
        assert!(quantity(&claim["effectiveGasPrice"]) >= dear, "{claim}");
        let Deadline::Time(deadline) = entry.order.legs[1].deadline else { unreachable!() };
        assert!(time(&bench.anvil) * 1_000 < deadline.0);
        let page = first.around.metrics.page();
        assert!(page.contains(r#"swap_deeds_total{deed="claim",class="done"} 1"#), "{page}");
    });
}
