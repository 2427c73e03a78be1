//! A relayer that dies, and transactions that do: what is on its way ends once.

use crate::{
    attacks::{World, on_anvil},
    faulty::Fault,
    htlc::signer,
    link::{Relayer, until},
};
use alloy::primitives::{Address, U256};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
use tombolo_adapter::Sink as _;
use tombolo_evm::{Finality, deploy::Deployer};
use tombolo_test_nodes::{quantity, wait_until};
use tombolo_types::lane::Delivery;

impl World {
    /// Makes blocks only when told.
    fn stop_mining(&self) {
        let _ = self.call("evm_setAutomine", json!([false]));
        let _ = self.call("evm_setIntervalMining", json!([0]));
    }

    /// The one transaction that waits for a block, once it is another than `before`.
    fn waiting(&self, before: &Value) -> Value {
        wait_until("transaction that waits", Duration::from_secs(30), || {
            let pool = self.call("txpool_content", json!([]));
            let accounts = pool["pending"].as_object()?.values();
            let mut all = accounts.flat_map(|account| account.as_object().unwrap().values());
            let found = all.next()?.clone();
            assert!(all.next().is_none(), "more than one transaction waits: {pool}");
            (found["hash"] != before["hash"]).then_some(found)
        })
    }
}

/// A transaction that the node drops is sent again, and one that a rising fee leaves behind is
/// replaced by one that offers more; one of them counts. Attack: A37
#[test]
fn a37_what_is_dropped_comes_again_and_outbids_a_rising_fee() {
    on_anvil(async |mut world| {
        let delivery = world.delivery().await;
        let received = world.on_chain().await.received;
        world.stop_mining();
        let adapter = world.adapter.clone();
        let delivering = tokio::spawn(async move { adapter.deliver(delivery).await });
        let first = world.waiting(&Value::Null);
        let _ = world.call("anvil_dropTransaction", json!([first["hash"]]));
        let again = world.waiting(&Value::Null);
        assert_eq!(again["hash"], first["hash"]);
        let offered = quantity(&first["maxFeePerGas"]);
        for _ in 0..3 {
            let above = json!([format!("{:#x}", offered + 1)]);
            let _ = world.call("anvil_setNextBlockBaseFeePerGas", above);
            world.mine(1);
        }
        let raised = world.waiting(&first);
        assert_eq!(raised["nonce"], first["nonce"]);
        assert!(quantity(&raised["maxFeePerGas"]) > offered / 8 * 9);
        assert!(!delivering.is_finished());
        world.mine(1);
        delivering.await.unwrap().unwrap();
        assert_eq!(world.on_chain().await.received, received + 1);
    });
}

/// A process that dies once it has sent a delivery, while no blocks are made. Gives the delivery, how
/// many were taken before, and what waits for a block.
async fn dies_after_sending(world: &mut World) -> (Delivery, u64, Value) {
    let delivery = world.delivery().await;
    let received = world.on_chain().await.received;
    world.stop_mining();
    let (adapter, again) = (world.adapter.clone(), delivery.clone());
    let dying = tokio::spawn(async move { adapter.deliver(again).await });
    let sent = world.waiting(&Value::Null);
    dying.abort();
    assert!(dying.await.unwrap_err().is_cancelled());
    (delivery, received, sent)
}

/// A process that dies after it has sent finds its nonce on the chain: what was on its way is what
/// it sends again, and it counts once.
#[test]
fn a41_who_dies_after_sending_sends_the_same_again() {
    on_anvil(async |mut world| {
        let (delivery, received, sent) = dies_after_sending(&mut world).await;

        let (front, config) = world.front().await;
        let adapter = world.linked.adapter_of(config).await.unwrap();
        let delivering = tokio::spawn(async move { adapter.deliver(delivery).await });
        wait_until("second sending", Duration::from_secs(30), || (front.sent() > 0).then_some(()));
        world.mine(1);
        let outcome = delivering.await.unwrap().unwrap();
        assert_eq!(json!(outcome.transaction.to_string()), sent["hash"]);
        assert_eq!(world.on_chain().await.received, received + 1);
    });
}

/// A process that dies after it has sent does not know what it has offered. Where that has become too
/// little for any block, what it sends again offers enough more to take the place. Attack: A37, A41
#[test]
fn a41_who_dies_after_sending_outbids_what_it_sent() {
    on_anvil(async |mut world| {
        let (delivery, received, sent) = dies_after_sending(&mut world).await;
        let above = || {
            let fee = json!([format!("{:#x}", quantity(&sent["maxFeePerGas"]) + 1)]);
            let _ = world.call("anvil_setNextBlockBaseFeePerGas", fee);
            world.mine(1);
        };
        let raw = world.call("eth_getRawTransactionByHash", json!([sent["hash"]]));
        above();
        // Most nodes keep what has become too cheap for the newest block; anvil drops it.
        let kept = world.call("eth_sendRawTransaction", json!([raw]));
        assert_eq!(kept, sent["hash"]);

        let (front, config) = world.front().await;
        front.set(Fault::Demands);
        let adapter = world.linked.adapter_of(config).await.unwrap();
        let delivering = tokio::spawn(async move { adapter.deliver(delivery).await });
        let raised = world.waiting(&sent);
        assert_eq!(raised["nonce"], sent["nonce"]);
        above();
        let outcome = delivering.await.unwrap().unwrap();
        assert!(front.sent() > 1, "its first offer has taken the place");
        assert_eq!(json!(outcome.transaction.to_string()), raised["hash"]);
        assert_eq!(world.on_chain().await.received, received + 1);
    });
}

/// A chain on which two programs use one account, and the other of them offers more.
struct Shared {
    world: World,
    deployer: Arc<Deployer>,
}

impl Shared {
    async fn of(world: World) -> Self {
        let (config, signer) = (world.linked.config.clone(), signer(0x77));
        let _ = world.call("anvil_impersonateAccount", json!([signer.address()]));
        let _ = world.call("anvil_setBalance", json!([signer.address(), "0x8ac7230489e80000"]));
        let chain = (config.evm_chain_id, config.genesis);
        let (finality, fees) = (Finality::Depth(2), config.fees);
        let deployer = Deployer::connect(chain, &config.rpc, finality, fees, signer).await;
        Self { world, deployer: Arc::new(deployer.unwrap()) }
    }

    /// Takes the place of the one transaction that waits for a block, and has blocks made from then
    /// on, each second.
    fn overtake(&self) {
        let waiting = self.world.waiting(&Value::Null);
        let price = format!("{:#x}", 2 * quantity(&waiting["maxFeePerGas"]));
        let (from, nonce) = (&waiting["from"], &waiting["nonce"]);
        let rival = json!([{
            "from": from, "to": from, "nonce": nonce, "gas": "0x5208",
            "maxFeePerGas": price, "maxPriorityFeePerGas": price,
        }]);
        let _ = self.world.call("eth_sendTransaction", rival);
        let _ = self.world.call("evm_setIntervalMining", json!([1]));
    }
}

/// Whoever pays or creates a contract by an account that a relayer uses, too, and is overtaken, does
/// so with another nonce, once. Attack: A37
#[test]
fn a37_who_is_overtaken_on_its_own_account_pays_once() {
    on_anvil(async |world| {
        let shared = Shared::of(world).await;
        let payee = Address::repeat_byte(0x78);
        shared.world.stop_mining();
        let deployer = shared.deployer.clone();
        let paying = tokio::spawn(async move { deployer.pay(payee, U256::from(7)).await });
        shared.overtake();
        paying.await.unwrap().unwrap();
        assert_eq!(shared.deployer.balance_of(payee).await.unwrap(), U256::from(7));

        shared.world.stop_mining();
        let deployer = shared.deployer.clone();
        let creating = tokio::spawn(async move { deployer.htlc().await });
        shared.overtake();
        let contract = creating.await.unwrap().unwrap();
        let code = shared.deployer.code_hash(contract).await.unwrap();
        assert_eq!(code, tombolo_evm::deploy::htlc_code_hash().unwrap());
        let after_three = shared.deployer.account().create(3);
        assert_eq!(contract, after_three, "two rivals and a payment went before it, no more");
    });
}

/// Nodes that are away for a moment do not end what is on its way. Attack: A41
#[test]
fn a41_what_is_on_its_way_outlasts_a_moment_without_an_answer() {
    on_anvil(async |mut world| {
        let delivery = world.delivery().await;
        let received = world.on_chain().await.received;
        world.stop_mining();
        let (front, config) = world.front().await;
        let adapter = world.linked.adapter_of(config).await.unwrap();
        let delivering = tokio::spawn(async move { adapter.deliver(delivery).await });
        let _ = world.waiting(&Value::Null);
        front.set(Fault::Silent);
        wait_until("question in vain", Duration::from_secs(30), || {
            (front.unanswered() > 0).then_some(())
        });
        front.set(Fault::None);
        world.mine(1);
        delivering.await.unwrap().unwrap();
        assert_eq!(world.on_chain().await.received, received + 1);
    });
}

/// Killed whenever one of the two ends has just moved, and started anew by what the chains say: both
/// lanes end complete, in order, nothing twice.
#[test]
fn a41_a_relayer_that_is_killed_again_and_again_loses_and_repeats_nothing() {
    const ROUNDS: u64 = 8;
    on_anvil(async |mut world| {
        for round in 0..ROUNDS {
            world.linked.share(2);
            world.linked.begin(2);
            let (hub, tip) = (world.on_hub().await.received, world.tip());
            let adapter = world.linked.adapter().await;
            let relayer = Relayer::start(world.linked.task(&adapter));
            let reports = relayer.reports.clone();
            until("one end moves", &reports, async || match round % 2 {
                0 => world.tip() > tip,
                _ => world.on_hub().await.received > hub,
            })
            .await;
            relayer.kill().await;
        }
        let adapter = world.linked.adapter().await;
        let relayer = Relayer::start(world.linked.task(&adapter));
        until("everything has arrived", &relayer.reports, async || {
            let (hub, chain) = (world.on_hub().await, world.on_chain().await);
            (hub.received, chain.received) == (chain.size, hub.size)
        })
        .await;
        relayer.stop().await;
        let (hub, chain) = (world.on_hub().await, world.on_chain().await);
        assert_eq!((hub.received, hub.received_root), (chain.size, chain.root));
        assert_eq!((chain.received, chain.received_root), (hub.size, hub.root));
        // Each share, and for each commit a vote and what was done about the decision.
        assert_eq!(chain.size, 2 * ROUNDS + 2 * 2 * ROUNDS);
    });
}
