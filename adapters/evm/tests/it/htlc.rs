//! Hash locks on a real node: every end of a lock, blocks that go, and fees that rise.

use crate::{
    faulty::{Fault, Faulty},
    hub::key,
};
use alloy::{
    primitives::{B256, U256},
    signers::local::PrivateKeySigner,
    sol,
    sol_types::SolCall as _,
};
use serde_json::json;
use std::{sync::Arc, time::Duration};
use tombolo_adapter::{AdapterError, HtlcChain as _};
use tombolo_crypto::digest;
use tombolo_evm::{EvmHtlc, Finality, HtlcConfig, Rpc, deploy::Deployer, sender::FeePolicy};
use tombolo_swap::htlc::{Lock, Settled, Standing};
use tombolo_test_nodes::{Anvil, alone, bytes, hash, quantity};
use tombolo_types::{
    Amount, Class, Height, UnixMillis,
    id::AssetId,
    swap::{Account, Deadline, Secret},
};

const SECRET: Secret = Secret([0x5e; 32]);
pub(crate) const LOCKER: u8 = 41;
pub(crate) const RECIPIENT: u8 = 42;
const WATCHER: u8 = 43;
const AMOUNT: u128 = 300;
/// Blocks on top that make one final.
const DEPTH: u64 = 2;
/// How long the locks of these tests last, in seconds of the chain.
const LASTS: u64 = 600;
/// How long what takes a block may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// A node with the contract, and a lock that is to be.
pub(crate) struct Bench {
    pub(crate) anvil: Anvil,
    pub(crate) config: HtlcConfig,
    lock: Lock,
}

impl Bench {
    /// `None`, said loudly, where there is no anvil.
    pub(crate) async fn start() -> Option<Self> {
        let anvil = Anvil::start(&[])?;
        for number in [LOCKER, RECIPIENT, WATCHER] {
            let funds = [json!(account(number).to_string()), json!("0x8ac7230489e80000")];
            let _ = anvil.rpc.call("anvil_setBalance", json!(funds));
        }
        let block = anvil.rpc.call("eth_getBlockByNumber", json!(["0x0", false]));
        let chain = (31_337, B256::from(hash(&block["hash"]).0));
        let rpc = Rpc::of(vec![anvil.rpc.url().to_owned()]);
        let (finality, fees) = (Finality::Depth(DEPTH), FeePolicy::default());
        let deployer = Deployer::connect(chain, &rpc, finality, fees, signer(WATCHER)).await;
        let contract = deployer.unwrap().htlc().await.unwrap();
        let config = HtlcConfig {
            evm_chain_id: chain.0,
            genesis: chain.1,
            rpc,
            finality,
            contract,
            from_block: 0,
            fees,
        };
        let lock = Lock {
            hash: digest::secret_hash(&SECRET),
            chain: config.chain(),
            asset: AssetId([0; 32]),
            amount: Amount(AMOUNT),
            locker: account(LOCKER),
            recipient: account(RECIPIENT),
            deadline: Deadline::Time(UnixMillis((time(&anvil) + LASTS) * 1_000)),
        };
        let bench = Self { anvil, config, lock };
        bench.mine(DEPTH);
        Some(bench)
    }

    async fn party(&self, number: u8) -> EvmHtlc {
        EvmHtlc::new(self.config.clone(), signer(number)).await.unwrap()
    }

    /// A watcher by three nodes, of which two must agree; all of them fronts of the one.
    async fn watched_by_three(&self) -> ([Faulty; 3], EvmHtlc) {
        let fronts = Faulty::three(self.anvil.rpc.url()).await;
        let rpc = Rpc::of(fronts.iter().map(|front| front.url.clone()).collect());
        let config = HtlcConfig { rpc, ..self.config.clone() };
        (fronts, EvmHtlc::new(config, signer(WATCHER)).await.unwrap())
    }

    /// A lock like the other, that nobody has made.
    fn absent(&self) -> Lock {
        Lock { hash: digest::secret_hash(&Secret([3; 32])), ..self.lock.clone() }
    }

    pub(crate) fn mine(&self, blocks: u64) {
        for _ in 0..blocks {
            let _ = self.anvil.rpc.call("evm_mine", json!([]));
        }
    }

    /// Makes the next block the first at or after the deadline.
    fn reach_deadline(&self) {
        let Deadline::Time(at) = self.lock.deadline else { unreachable!("it is a time") };
        let _ = self.anvil.rpc.call("evm_setNextBlockTimestamp", json!([at.0 / 1_000]));
        self.mine(1);
    }

    fn balance(&self, number: u8) -> u128 {
        let asked = json!([account(number).to_string(), "latest"]);
        let balance = self.anvil.rpc.call("eth_getBalance", asked);
        let digits = balance.as_str().unwrap().trim_start_matches("0x");
        u128::from_str_radix(digits, 16).unwrap()
    }

    async fn stands(&self) -> Option<(Standing, Settled, Option<Secret>)> {
        let watcher = self.party(WATCHER).await;
        let sight = watcher.sight(&self.lock).await.unwrap();
        assert_eq!(sight.clock.height, Height(height(&self.anvil)));
        assert_eq!(sight.clock.time, UnixMillis(time(&self.anvil) * 1_000));
        let found = sight.found?;
        assert_eq!(found.lock, self.lock);
        Some((found.standing, found.settled, found.shown))
    }
}

pub(crate) fn signer(number: u8) -> PrivateKeySigner {
    PrivateKeySigner::from_slice(&key(number).to_bytes()).unwrap()
}

pub(crate) fn account(number: u8) -> Account {
    key(number).address().into()
}

fn height(anvil: &Anvil) -> u64 {
    quantity(&anvil.rpc.call("eth_blockNumber", json!([])))
}

pub(crate) fn time(anvil: &Anvil) -> u64 {
    let block = anvil.rpc.call("eth_getBlockByNumber", json!(["latest", false]));
    quantity(&block["timestamp"])
}

fn class(error: Result<impl std::fmt::Debug, AdapterError>) -> Class {
    error.unwrap_err().class()
}

pub(crate) fn run(test: impl Future<Output = ()>) {
    let _alone = alone();
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(test);
}

/// The secret reaches who must claim with it, though one of his nodes hides it: it proves itself.
/// Attack: A23, A35
#[test]
fn a23_a_secret_is_seen_though_a_node_hides_it() {
    run(async {
        let Some(bench) = Bench::start().await else { return };
        let (locker, recipient) = (bench.party(LOCKER).await, bench.party(RECIPIENT).await);
        locker.lock(&bench.lock, 1).await.unwrap();
        let (fronts, watcher) = bench.watched_by_three().await;
        let sight = async || watcher.sight(&bench.lock).await;
        assert_eq!(sight().await.unwrap().found.unwrap().shown, None);

        fronts[0].set(Fault::Withholds);
        recipient.claim(&bench.lock, &SECRET, &[], 1).await.unwrap();
        assert_eq!(sight().await.unwrap().found.unwrap().shown, Some(SECRET));
        // Where it was claimed long ago, it is looked for further back.
        let _ = bench.anvil.rpc.call("anvil_mine", json!(["0x834"]));
        assert_eq!(sight().await.unwrap().found.unwrap().shown, Some(SECRET));
        // Also by nodes that answer for few blocks at once.
        for front in &fronts {
            front.set(Fault::Bounds { blocks: 100, events: 1 });
        }
        assert_eq!(sight().await.unwrap().found.unwrap().shown, Some(SECRET));
    });
}

/// Attack: A23, A35
#[test]
fn a23_a_secret_is_seen_though_nodes_contradict_each_other() {
    run(async {
        let Some(bench) = Bench::start().await else { return };
        let (locker, recipient) = (bench.party(LOCKER).await, bench.party(RECIPIENT).await);
        locker.lock(&bench.lock, 1).await.unwrap();
        recipient.claim(&bench.lock, &SECRET, &[], 1).await.unwrap();
        let (fronts, watcher) = bench.watched_by_three().await;
        let sight = async || watcher.sight(&bench.lock).await;
        // It has made sure once that they serve its chain.
        assert_eq!(sight().await.unwrap().found.unwrap().shown, Some(SECRET));
        fronts[1].set(Fault::Equivocates);
        for _ in 0..2 {
            let found = sight().await.unwrap().found.unwrap();
            assert_eq!((found.standing, found.settled), (Standing::Claimed, Settled::Pending));
            assert_eq!(found.shown, Some(SECRET));
        }
        for front in &fronts {
            front.set(Fault::Withholds);
        }
        let found = sight().await.unwrap().found.unwrap();
        assert_eq!((found.settled, found.shown), (Settled::Pending, None));
    });
}

/// Who must claim or take back in time need not wait until nodes agree that contradict each other;
/// what needs something final does not go on. Attack: A23, A26
#[test]
fn a23_a_lock_stays_in_sight_though_nodes_contradict_each_other() {
    run(async {
        let Some(bench) = Bench::start().await else { return };
        bench.party(LOCKER).await.lock(&bench.lock, 1).await.unwrap();
        bench.mine(DEPTH);
        let (fronts, watcher) = bench.watched_by_three().await;
        let sight = async |lock| watcher.sight(lock).await;
        assert_eq!(sight(&bench.lock).await.unwrap().found.unwrap().settled, Settled::Final);
        fronts[1].set(Fault::Equivocates);
        let found = sight(&bench.lock).await.unwrap().found.unwrap();
        assert_eq!((found.standing, found.settled), (Standing::Funded, Settled::Pending));
        watcher.claim(&bench.lock, &SECRET, &[], 1).await.unwrap();
        // That there is none is nothing to go by.
        assert_eq!(class(sight(&bench.absent()).await), Class::Proof);
    });
}

/// A party that takes a lock for gone is done with it for good: one node that hides it, under a block
/// that it dates after everything has settled, changes nothing, whichever of three it is. If as many
/// hide it as must agree, what is final still stands. Attack: A23
#[test]
fn a23_a_node_that_hides_a_lock_hides_nothing() {
    run(async {
        let Some(bench) = Bench::start().await else { return };
        bench.party(LOCKER).await.lock(&bench.lock, 1).await.unwrap();
        bench.mine(DEPTH);
        let (fronts, watcher) = bench.watched_by_three().await;
        let late = time(&bench.anvil) + 1_000 * LASTS;
        let real = bench.party(WATCHER).await.sight(&bench.lock).await.unwrap();
        assert_eq!(real.clock.time, UnixMillis(time(&bench.anvil) * 1_000));
        assert_eq!(real.found.as_ref().unwrap().settled, Settled::Final);
        for liar in &fronts {
            liar.set(Fault::Hides(late));
            assert_eq!(watcher.sight(&bench.lock).await.as_ref(), Ok(&real));
            liar.set(Fault::None);
        }
        for liar in &fronts[..2] {
            liar.set(Fault::Hides(late));
        }
        let found = watcher.sight(&bench.lock).await.unwrap().found.unwrap();
        assert_eq!((found.standing, found.settled), (Standing::Funded, Settled::Pending));
        // Where a lock is not there, no deadline has come before a final block says so.
        let absent = watcher.sight(&bench.absent()).await.unwrap();
        assert_eq!(absent.found, None);
        assert!(absent.clock.time <= real.clock.time, "{:?}", absent.clock);
    });
}

/// One node neither brings a deadline nor holds it up, whichever of three it is. Attack: A23
#[test]
fn a23_a_node_that_dates_its_blocks_moves_no_clock() {
    run(async {
        let Some(bench) = Bench::start().await else { return };
        bench.party(LOCKER).await.lock(&bench.lock, 1).await.unwrap();
        let (fronts, watcher) = bench.watched_by_three().await;
        let now = time(&bench.anvil);
        for liar in &fronts {
            for second in [1, now + 1_000 * LASTS] {
                liar.set(Fault::Dates(second));
                for lock in [&bench.lock, &bench.absent()] {
                    let clock = watcher.sight(lock).await.unwrap().clock;
                    assert_eq!(clock.time, UnixMillis(now * 1_000), "dated at {second}");
                }
            }
            liar.set(Fault::None);
        }
    });
}

/// One node that says that a claim is refused, that the account's nonce is another, or that a block
/// costs nothing, does not keep it from the others; nor a refund. Where enough refuse, nothing is
/// sent. Attack: A23
#[test]
fn a23_no_node_alone_keeps_a_claim_from_the_chain() {
    run(async {
        let Some(mut bench) = Bench::start().await else { return };
        let locker = bench.party(LOCKER).await;
        let secrets = [SECRET, Secret([1; 32]), Secret([2; 32])];
        let hashes = secrets.map(|secret| digest::secret_hash(&secret));
        let locks = hashes.map(|hash| Lock { hash, ..bench.lock.clone() });
        for lock in &locks {
            locker.lock(lock, 1).await.unwrap();
        }
        let (fronts, watcher) = bench.watched_by_three().await;
        let faults = [Fault::Refuses, Fault::Counts, Fault::Prices(0)];
        for ((lock, secret), fault) in locks.iter().zip(&secrets).zip(faults) {
            fronts[0].set(fault);
            let claimed = watcher.claim(lock, secret, &[], 1);
            let claimed = tokio::time::timeout(PATIENCE, claimed).await;
            claimed.unwrap_or_else(|_| panic!("{fault:?}: it waits")).unwrap();
            bench.lock = lock.clone();
            assert_eq!(bench.stands().await.unwrap().0, Standing::Claimed, "{fault:?}");
        }
        bench.lock = bench.absent();
        locker.lock(&bench.lock, 1).await.unwrap();
        bench.reach_deadline();
        for front in &fronts[..2] {
            front.set(Fault::Refuses);
        }
        let sent = || fronts.iter().map(Faulty::sent).sum::<usize>();
        let before = sent();
        assert_eq!(class(watcher.refund(&bench.lock, &[], 1).await), Class::Limit);
        assert_eq!(sent(), before);
        fronts[0].set(Fault::None);
        watcher.refund(&bench.lock, &[], 1).await.unwrap();
        assert_eq!(bench.stands().await.unwrap().0, Standing::Refunded);
    });
}

/// Req: PRJ-5-5, PRJ-5-6
#[test]
fn a35_whoever_claims_on_a_real_chain_the_recipient_is_paid() {
    run(async {
        let Some(bench) = Bench::start().await else { return };
        assert_eq!(bench.stands().await, None);
        let locker = bench.party(LOCKER).await;
        locker.lock(&bench.lock, 1).await.unwrap();
        assert_eq!(bench.stands().await, Some((Standing::Funded, Settled::Pending, None)));
        bench.mine(DEPTH - 1);
        assert_eq!(bench.stands().await, Some((Standing::Funded, Settled::Pending, None)));
        bench.mine(1);
        assert_eq!(bench.stands().await, Some((Standing::Funded, Settled::Final, None)));
        // A hash serves a locker once.
        assert_eq!(class(locker.lock(&bench.lock, 2).await), Class::Replay);

        let before = bench.balance(RECIPIENT);
        let watcher = bench.party(WATCHER).await;
        watcher.claim(&bench.lock, &SECRET, &[], 1).await.unwrap();
        let shown = Some(SECRET);
        assert_eq!(bench.stands().await, Some((Standing::Claimed, Settled::Pending, shown)));
        bench.mine(DEPTH);
        assert_eq!(bench.stands().await, Some((Standing::Claimed, Settled::Final, shown)));
        assert_eq!(class(watcher.claim(&bench.lock, &SECRET, &[], 2).await), Class::Replay);
        // Credited to whom the lock names; the watcher has nothing to withdraw for itself.
        assert_eq!(bench.balance(RECIPIENT), before);
        let (own, asset) = (account(WATCHER), bench.lock.asset);
        assert_eq!(class(watcher.withdraw(&own, asset).await), Class::Funds);
        watcher.withdraw(&account(RECIPIENT), asset).await.unwrap();
        assert_eq!(bench.balance(RECIPIENT), before + AMOUNT);
    });
}

/// Claim strictly before the deadline, refund from it on; each once.
///
/// Req: PRJ-5-6, PRJ-5-7
#[test]
fn a38_a_lock_on_a_real_chain_ends_once() {
    run(async {
        let Some(bench) = Bench::start().await else { return };
        let locker = bench.party(LOCKER).await;
        let watcher = bench.party(WATCHER).await;
        locker.lock(&bench.lock, 1).await.unwrap();
        assert_eq!(class(watcher.claim(&bench.lock, &Secret([1; 32]), &[], 1).await), Class::Proof);
        assert_eq!(class(watcher.refund(&bench.lock, &[], 1).await), Class::State);
        bench.reach_deadline();
        assert_eq!(class(watcher.claim(&bench.lock, &SECRET, &[], 1).await), Class::Timeout);
        let before = bench.balance(LOCKER);
        watcher.refund(&bench.lock, &[], 1).await.unwrap();
        assert_eq!(class(locker.refund(&bench.lock, &[], 1).await), Class::Replay);
        assert_eq!(class(locker.claim(&bench.lock, &SECRET, &[], 1).await), Class::State);
        bench.mine(DEPTH);
        assert_eq!(bench.stands().await, Some((Standing::Refunded, Settled::Final, None)));
        watcher.withdraw(&account(LOCKER), bench.lock.asset).await.unwrap();
        assert_eq!(bench.balance(LOCKER), before + AMOUNT);
    });
}

/// What is credited to the own account is paid out, once, and nobody else's.
///
/// Req: PRJ-5-6
#[test]
fn what_is_credited_is_paid_out_once() {
    run(async {
        let Some(bench) = Bench::start().await else { return };
        bench.party(LOCKER).await.lock(&bench.lock, 1).await.unwrap();
        let (recipient, watcher) = (bench.party(RECIPIENT).await, bench.party(WATCHER).await);
        watcher.claim(&bench.lock, &SECRET, &[], 1).await.unwrap();
        let before = bench.balance(RECIPIENT);
        watcher.pay_out(&bench.lock).await.unwrap();
        assert_eq!(bench.balance(RECIPIENT), before);
        recipient.pay_out(&bench.lock).await.unwrap();
        let paid = bench.balance(RECIPIENT);
        assert_ne!(paid, before);
        recipient.pay_out(&bench.lock).await.unwrap();
        assert_eq!(bench.balance(RECIPIENT), paid, "nothing is sent where nothing is credited");
        let left = recipient.withdraw(&account(RECIPIENT), bench.lock.asset).await;
        assert_eq!(class(left), Class::Funds);
    });
}

/// A token that answers nothing, as older ones do: `SilentToken` of the contracts' tests, compiled as
/// they are.
const TOKEN: &str = include_str!("silent_token.hex");

sol! {
    interface IMint {
        function mint(address to, uint256 amount) external;
        function balanceOf(address account) external view returns (uint256);
    }
}

/// Tokens are let in by the locker's leave and no more of them than are locked; they are paid out
/// like the native coin.
///
/// Req: PRJ-5-5, PRJ-5-6
#[test]
fn tokens_are_locked_and_paid_out() {
    run(async {
        let Some(mut bench) = Bench::start().await else { return };
        let sender = bench.anvil.sender();
        let created = sender.send(None, &hex::decode(TOKEN.trim()).unwrap());
        let token = bytes(&created["contractAddress"]);
        let address = tombolo_types::Address(token.as_slice().try_into().unwrap());
        let (to, amount) = (key(LOCKER).address().0.into(), U256::from(AMOUNT));
        sender.send(Some(address), &IMint::mintCall { to, amount }.abi_encode());
        bench.lock.asset.0[12..].copy_from_slice(&token);
        let balance = |number: u8| {
            let account = key(number).address().0.into();
            let data = hex::encode(IMint::balanceOfCall { account }.abi_encode());
            let call = json!({ "to": address.to_string(), "data": format!("0x{data}") });
            let answer = bench.anvil.rpc.call("eth_call", json!([call, "latest"]));
            U256::from_be_slice(&bytes(&answer)).to::<u128>()
        };
        let locker = bench.party(LOCKER).await;
        locker.lock(&bench.lock, 1).await.unwrap();
        assert_eq!((balance(LOCKER), balance(RECIPIENT)), (0, 0));
        assert_eq!(bench.stands().await, Some((Standing::Funded, Settled::Pending, None)));
        let hash = digest::secret_hash(&Secret([2; 32]));
        let poor = Lock { hash, ..bench.lock.clone() };
        assert_eq!(class(locker.lock(&poor, 1).await), Class::Funds);

        let recipient = bench.party(RECIPIENT).await;
        recipient.claim(&bench.lock, &SECRET, &[], 1).await.unwrap();
        recipient.pay_out(&bench.lock).await.unwrap();
        assert_eq!(balance(RECIPIENT), AMOUNT);
    });
}

/// A block that is not final may go, and what it held with it: a lock, then a claim. The secret that
/// was shown in it was shown.
///
/// Req: PRJ-5-5
#[test]
fn a27_what_goes_with_its_block_was_never_there() {
    run(async {
        let Some(bench) = Bench::start().await else { return };
        let reorganise = |depth: u64| {
            let _ = bench.anvil.rpc.call("anvil_reorg", json!([depth, []]));
        };
        let locker = bench.party(LOCKER).await;
        locker.lock(&bench.lock, 1).await.unwrap();
        assert_eq!(bench.stands().await, Some((Standing::Funded, Settled::Pending, None)));
        reorganise(1);
        assert_eq!(bench.stands().await, None);
        locker.lock(&bench.lock, 2).await.unwrap();
        bench.mine(DEPTH);
        let watcher = bench.party(WATCHER).await;
        watcher.claim(&bench.lock, &SECRET, &[], 1).await.unwrap();
        let claimed = Some((Standing::Claimed, Settled::Pending, Some(SECRET)));
        assert_eq!(bench.stands().await, claimed);
        // The lock was final before; only the claim goes.
        reorganise(1);
        let (standing, _, shown) = bench.stands().await.unwrap();
        assert_eq!((standing, shown), (Standing::Funded, None));
        watcher.claim(&bench.lock, &SECRET, &[], 2).await.unwrap();
        bench.mine(DEPTH);
        let claimed = Some((Standing::Claimed, Settled::Final, Some(SECRET)));
        assert_eq!(bench.stands().await, claimed);
    });
}

/// The base fee rises a hundredfold while a claim waits; it is offered more until it is in.
///
/// Req: PRJ-5-6
#[test]
fn a37_a_claim_outbids_a_spike_of_fees() {
    run(async {
        let Some(bench) = Bench::start().await else { return };
        bench.party(LOCKER).await.lock(&bench.lock, 1).await.unwrap();
        let rpc = &bench.anvil.rpc;
        let block = rpc.call("eth_getBlockByNumber", json!(["latest", false]));
        let dear = quantity(&block["baseFeePerGas"]) * 100;
        let _ = rpc.call("evm_setAutomine", json!([false]));
        let (watcher, lock) = (Arc::new(bench.party(WATCHER).await), bench.lock.clone());
        let claimed = tokio::spawn(async move { watcher.claim(&lock, &SECRET, &[], 1).await });
        let mut blocks = 0;
        while !claimed.is_finished() {
            let waits = quantity(&rpc.call("txpool_status", json!([]))["pending"]) > 0;
            // Every block is as dear as the first after the claim was sent.
            if waits {
                let price = json!([format!("{dear:#x}")]);
                let _ = rpc.call("anvil_setNextBlockBaseFeePerGas", price);
                bench.mine(1);
                blocks += 1;
            }
            assert!(blocks < 50, "not in after {blocks} blocks");
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
        claimed.await.unwrap().unwrap();
        assert!(blocks > 1, "it was in at the first offer");
        assert_eq!(bench.stands().await.unwrap().0, Standing::Claimed);
    });
}

/// A node that says that it has lost a claim, and refuses its repetition because fees have risen by
/// then, ends nothing: what is too little is seen with the next block, and more is offered.
///
/// Req: PRJ-5-6
#[test]
fn a37_a_refused_repetition_of_a_claim_ends_nothing() {
    run(async {
        let Some(bench) = Bench::start().await else { return };
        bench.party(LOCKER).await.lock(&bench.lock, 1).await.unwrap();
        let rpc = &bench.anvil.rpc;
        let _ = rpc.call("evm_setAutomine", json!([false]));
        let front = Faulty::in_front_of(rpc.url()).await;
        front.set(Fault::Null("eth_getTransactionByHash"));
        let nodes = Rpc::of(vec![front.url.clone()]);
        let config = HtlcConfig { rpc: nodes, ..bench.config.clone() };
        let watcher = EvmHtlc::new(config, signer(WATCHER)).await.unwrap();
        let lock = bench.lock.clone();
        let claimed = tokio::spawn(async move { watcher.claim(&lock, &SECRET, &[], 1).await });
        let sent = async |times: usize| {
            let before = front.sent();
            while front.sent() < before + times {
                assert!(!claimed.is_finished(), "it is given up");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        sent(1).await;
        let block = rpc.call("eth_getBlockByNumber", json!(["latest", false]));
        let dear = json!([format!("{:#x}", quantity(&block["baseFeePerGas"]) * 100)]);
        let _ = rpc.call("anvil_setNextBlockBaseFeePerGas", dear.clone());
        sent(3).await;
        while !claimed.is_finished() {
            let _ = rpc.call("anvil_setNextBlockBaseFeePerGas", dear.clone());
            bench.mine(1);
            assert!(height(&bench.anvil) < 60, "not in after so many blocks");
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
        claimed.await.unwrap().unwrap();
        assert_eq!(bench.stands().await.unwrap().0, Standing::Claimed);
    });
}

/// A node of another chain, and an address without the contract, are not believed when they say
/// that there is no lock.
#[test]
fn a01_a_node_of_another_chain_is_not_asked() {
    run(async {
        let Some(bench) = Bench::start().await else { return };
        let other = HtlcConfig { genesis: B256::repeat_byte(9), ..bench.config.clone() };
        let other = EvmHtlc::new(other, signer(WATCHER)).await.unwrap();
        assert_eq!(class(other.sight(&bench.lock).await), Class::Proof);
        let nowhere = HtlcConfig { contract: [9; 20].into(), ..bench.config.clone() };
        let nowhere = EvmHtlc::new(nowhere, signer(WATCHER)).await.unwrap();
        assert_eq!(class(nowhere.sight(&bench.lock).await), Class::NotFound);
    });
}
