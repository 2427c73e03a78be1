//! What RPC nodes and reorganisations can do to a relayer. The node is real; the faults of fake
//! fronts.

use crate::{
    faulty::{Fault, Faulty},
    link::{Linked, Relayer, data_leaf, run, until},
};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
use tombolo_adapter::{
    AdapterError, Query as _, Sink as _, Source as _, Standing, TransactionStatus,
    suite::delivery_from,
};
use tombolo_evm::{Config, EvmAdapter, Finality, Rpc};
use tombolo_ledger::lanes::LinkStatus;
use tombolo_test_nodes::{Anvil, alone, quantity};
use tombolo_types::{
    Class, Epoch, MessageNumber,
    lane::{DATA_LANE, Delivery, Direction, LaneKey, LaneLeaf},
};

/// How long what takes seconds may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// An open link in mode 2 to an anvil that makes a block for each transaction.
pub(crate) struct World {
    pub(crate) anvil: Anvil,
    pub(crate) linked: Linked,
    pub(crate) adapter: Arc<EvmAdapter>,
}

impl World {
    async fn new(anvil: Anvil) -> Self {
        let linked = Linked::to_anvil(&anvil, vec![anvil.rpc.url().to_owned()], 0).await;
        let adapter = linked.adapter().await;
        linked.open(&adapter).await;
        Self { anvil, linked, adapter }
    }

    /// Three nodes, of which two must agree; all of them fronts of the one.
    pub(crate) async fn fronts(&self) -> ([Faulty; 3], Config) {
        let fronts = Faulty::three(self.anvil.rpc.url()).await;
        let urls = fronts.iter().map(|front| front.url.clone()).collect();
        (fronts, Config { rpc: Rpc::of(urls), ..self.linked.config.clone() })
    }

    /// One node, which is a front.
    pub(crate) async fn front(&self) -> (Faulty, Config) {
        let front = Faulty::in_front_of(self.anvil.rpc.url()).await;
        let rpc = Rpc::of(vec![front.url.clone()]);
        (front, Config { rpc, ..self.linked.config.clone() })
    }

    pub(crate) fn call(&self, method: &str, params: Value) -> Value {
        self.anvil.rpc.call(method, params)
    }

    pub(crate) fn tip(&self) -> u64 {
        quantity(&self.call("eth_blockNumber", json!([])))
    }

    pub(crate) fn mine(&self, blocks: u64) {
        let _ = self.call("anvil_mine", json!([format!("{blocks:#x}")]));
    }

    /// The hub's end of the data lane.
    pub(crate) async fn on_hub(&self) -> LaneLeaf {
        let hub = self.linked.hub.adapter();
        let follower = self.adapter.client_status(self.linked.link).await.unwrap();
        data_leaf(&hub.head(self.linked.link, &follower).await.unwrap())
    }

    /// The chain's end of the data lane.
    pub(crate) async fn on_chain(&self) -> LaneLeaf {
        let follower = self.linked.follower().await;
        data_leaf(&self.adapter.head(self.linked.link, &follower).await.unwrap())
    }

    /// How many messages of the chain the hub has taken.
    pub(crate) async fn taken_by_hub(&self) -> u64 {
        self.on_hub().await.received
    }

    /// The next message of the hub, proved.
    pub(crate) async fn delivery(&mut self) -> Delivery {
        self.deliveries(1).await.pop().unwrap()
    }

    /// The next messages of the hub, one delivery each, which join on.
    pub(crate) async fn deliveries(&mut self, count: u64) -> Vec<Delivery> {
        self.linked.begin(count);
        let received = self.on_chain().await.received;
        let (link, hub) = (self.linked.link, self.linked.hub_end(&self.adapter));
        let follower = self.adapter.client_status(link).await.unwrap();
        let mut all = Vec::new();
        for first in received..received + count {
            let first = MessageNumber(first);
            let one = delivery_from(&*hub, link, DATA_LANE, first, 1, &follower).await;
            all.push(one.unwrap());
        }
        all
    }
}

pub(crate) fn on_anvil(test: impl AsyncFnOnce(World)) {
    let _alone = alone();
    let Some(anvil) = Anvil::start(&[]) else { return };
    run(async { test(World::new(anvil).await).await });
}

pub(crate) fn class<T: std::fmt::Debug>(answer: Result<T, AdapterError>) -> Class {
    answer.expect_err("it is not believed").class()
}

/// Two nodes are away, and the third lies: nothing is believed. When they are back, the lie is a
/// contradiction; that stops the route until an operator has looked. Attack: A23
#[test]
fn a23_one_node_is_not_believed_whoever_is_away() {
    on_anvil(async |mut world| {
        let (fronts, config) = world.fronts().await;
        let adapter = world.linked.adapter_of(config.clone()).await.unwrap();
        world.linked.share(1);
        fronts[0].set(Fault::Silent);
        fronts[1].set(Fault::Silent);
        fronts[2].set(Fault::Forges);
        let relayer = Relayer::start(world.linked.task(&adapter));
        let error = adapter.newest_head().await.unwrap_err();
        assert!(error.to_string().contains("1 of 3 nodes answer, 2 must"), "{error}");
        assert_eq!(error.class(), Class::Timeout);
        until("the relayer has failed", &relayer.reports, async || {
            let reports = relayer.reports.all();
            reports.iter().filter_map(|report| report.failure.as_ref()).any(|it| it.in_a_row >= 2)
        })
        .await;
        assert_eq!(world.taken_by_hub().await, 0);

        fronts[0].set(Fault::None);
        fronts[1].set(Fault::None);
        let follower = world.linked.follower().await;
        let forged = adapter.head(world.linked.link, &follower).await;
        assert_eq!(class(forged), Class::Proof);
        assert_eq!(world.taken_by_hub().await, 0);
        relayer.stop().await;
        // One that is away counts as away, and no more.
        fronts[2].set(Fault::Silent);
        let (adapter, relayer) = restarted(&world, config, &fronts[2]).await;
        until("two of three are enough", &relayer.reports, async || {
            world.taken_by_hub().await == 1
        })
        .await;
        relayer.stop().await;
        drop(adapter);
    });
}

/// What an operator does: the node that is at fault answers again, and the process is started anew.
async fn restarted(world: &World, config: Config, front: &Faulty) -> (Arc<EvmAdapter>, Relayer) {
    front.set(Fault::None);
    let adapter = world.linked.adapter_of(config).await.unwrap();
    front.set(Fault::Silent);
    let relayer = Relayer::start(world.linked.task(&adapter));
    (adapter, relayer)
}

/// Nothing is asked of a node that serves another chain. Attack: A23. Req: D35-I.2-1
#[test]
fn a23_a_node_of_another_chain_is_refused() {
    on_anvil(async |world| {
        let (fronts, config) = world.fronts().await;
        fronts[1].set(Fault::OtherChain);
        let refused = world.linked.adapter_of(config).await.err().expect("another chain");
        assert_eq!(refused.class(), Class::Proof);
        assert!(refused.to_string().contains(&fronts[1].url), "{refused}");
    });
}

/// Events are one node's word until they make up the root that enough nodes agree on: one that
/// leaves some out delays, and the next is asked. Attack: A23
#[test]
fn a23_a_node_that_withholds_events_only_delays() {
    on_anvil(async |mut world| {
        let (fronts, config) = world.fronts().await;
        let adapter = world.linked.adapter_of(config).await.unwrap();
        world.linked.share(2);
        fronts[0].set(Fault::Withholds);
        let relayer = Relayer::start(world.linked.task(&adapter));
        until("both messages arrive", &relayer.reports, async || world.taken_by_hub().await == 2)
            .await;
        relayer.stop().await;
    });
}

/// A node refuses questions for the events of many blocks, or with many answers, and says nowhere
/// where its bounds lie: a relayer that starts anew reads the lane all the same.
#[test]
fn events_are_asked_for_in_pieces_that_a_node_gives() {
    const SHARES: u64 = 12;
    on_anvil(async |mut world| {
        let (front, config) = world.front().await;
        world.mine(300);
        // A block for each.
        world.linked.share(SHARES);
        world.mine(100);
        front.set(Fault::Bounds { blocks: 9, events: 3 });
        let adapter = world.linked.adapter_of(config).await.unwrap();
        let relayer = Relayer::start(world.linked.task(&adapter));
        until("all messages arrive", &relayer.reports, async || {
            world.taken_by_hub().await == SHARES
        })
        .await;
        relayer.stop().await;
    });
}

/// Honest nodes differ in what is newest: what two of three have reached counts, and nobody is
/// called a liar. Attack: A24
#[test]
fn a24_nodes_that_lag_are_no_contradiction() {
    on_anvil(async |mut world| {
        let (fronts, config) = world.fronts().await;
        let adapter = world.linked.adapter_of(config).await.unwrap();
        // The first node, which is asked for what is proved anyway, is the furthest behind.
        fronts[0].set(Fault::Lags(5));
        fronts[1].set(Fault::Lags(1));
        world.mine(6);
        for _ in 0..3 {
            world.linked.share(1);
            world.mine(1);
            let (tip, follower) = (world.tip(), world.linked.follower().await);
            let shown = adapter.head(world.linked.link, &follower).await.unwrap();
            assert_eq!(shown.head.height.0, tip - 1);
            let leaf = data_leaf(&shown);
            let key =
                LaneKey { link: leaf.link, direction: Direction::ChainToHub, lane: DATA_LANE };
            let newest = MessageNumber(leaf.size - 1);
            let found = adapter.messages(key, leaf.epoch, newest, 1, leaf.size).await;
            assert_eq!(found.unwrap().0.len(), 1);
        }
    });
}

/// A first node that has fallen off the chain and answers all the same is left once its blocks are
/// compared with those of the others: what was sent lands. Attack: A24
#[test]
fn a24_a_first_node_that_stands_still_holds_up_nothing() {
    on_anvil(async |mut world| {
        let (fronts, config) = world.fronts().await;
        let adapter = world.linked.adapter_of(config).await.unwrap();
        let delivery = world.delivery().await;
        let received = world.on_chain().await.received;
        fronts[0].set(Fault::Stands(world.tip()));
        let landed = tokio::time::timeout(PATIENCE, adapter.deliver(delivery)).await;
        landed.expect("it is waited for at a node that stands still").unwrap();
        assert_eq!(world.on_chain().await.received, received + 1);
    });
}

/// A height that goes back, or is not there, is a lagging node's: no head goes back, and no message
/// is left out or brought twice. Attack: A25
#[test]
fn a25_heights_that_go_back_skip_and_repeat_nothing() {
    on_anvil(async |mut world| {
        let (front, config) = world.front().await;
        let adapter = world.linked.adapter_of(config).await.unwrap();
        let key =
            LaneKey { link: world.linked.link, direction: Direction::ChainToHub, lane: DATA_LANE };
        let follower = world.linked.follower().await;
        let Epoch(epoch) = data_leaf(&adapter.head(key.link, &follower).await.unwrap()).epoch;
        let read = async |from: u64, size: u64| {
            let found = adapter.messages(key, Epoch(epoch), MessageNumber(from), 10, size).await;
            found.map(|(messages, _)| messages.len())
        };
        world.linked.share(4);
        let before = adapter.newest_head().await.unwrap();
        assert_eq!(before.height.0, world.tip());
        for fault in [Fault::Lags(3), Fault::Null("eth_getBlockByNumber")] {
            front.set(fault);
            assert_eq!(class(adapter.newest_head().await), Class::Timeout, "{fault:?}");
            assert_eq!(class(read(0, 4).await), Class::Timeout, "{fault:?}");
        }
        front.set(Fault::None);
        world.linked.share(1);
        assert!(adapter.newest_head().await.unwrap().height > before.height);
        assert_eq!(read(0, 5).await, Ok(5));
        assert_eq!(read(4, 5).await, Ok(1));
    });
}

/// A receipt that is not there says nothing: what was sent may count, and a repetition is refused as
/// one. Attack: A25
#[test]
fn a25_a_receipt_that_is_null_is_unknown() {
    on_anvil(async |mut world| {
        let (front, config) = world.front().await;
        let adapter = world.linked.adapter_of(config).await.unwrap();
        let delivery = world.delivery().await;
        let received = world.on_chain().await.received;
        front.set(Fault::Null("eth_getTransactionReceipt"));
        assert_eq!(class(adapter.deliver(delivery.clone()).await), Class::Timeout);
        assert_eq!(world.on_chain().await.received, received + 1, "it counts");
        front.set(Fault::None);
        assert_eq!(class(adapter.deliver(delivery).await), Class::Replay);
        assert_eq!(world.on_chain().await.received, received + 1);
        let next = world.delivery().await;
        let outcome = adapter.deliver(next).await.unwrap();
        front.set(Fault::Null("eth_getTransactionReceipt"));
        let status = adapter.transaction(outcome.transaction).await;
        assert_eq!(status, Ok(TransactionStatus::Unknown));
    });
}

/// Two hashes of one height stop the route, and stay on record after the liar has become honest.
/// Another adapter of the same chain is not touched. Attack: A26
#[test]
fn a26_two_hashes_of_one_height_stop_the_route() {
    on_anvil(async |world| {
        let (fronts, config) = world.fronts().await;
        let adapter = world.linked.adapter_of(config.clone()).await.unwrap();
        fronts[1].set(Fault::Equivocates);
        let error = adapter.newest_head().await.unwrap_err();
        assert_eq!(error.class(), Class::Proof);
        for front in &fronts[..2] {
            assert!(error.to_string().contains(&front.url), "{error}");
        }
        fronts[1].set(Fault::None);
        assert_eq!(adapter.newest_head().await, Err(error), "the evidence is kept");
        assert!(world.adapter.newest_head().await.is_ok());
        let anew = world.linked.adapter_of(config).await.unwrap();
        assert!(anew.newest_head().await.is_ok());
    });
}

/// Blocks above the final one come and go: nothing of them reaches the hub, and what comes after
/// arrives once. Attack: A27. Req: PRJ-4-4
#[test]
fn a27_a_reorganisation_below_finality_leaves_nothing() {
    const DEPTH: u64 = 3;
    on_anvil(async |mut world| {
        let finality = Finality::Depth(DEPTH);
        let config = Config { finality, ..world.linked.config.clone() };
        let adapter = world.linked.adapter_of(config).await.unwrap();
        let mut task = world.linked.task(&adapter);
        // No transaction of its own but those that bring something.
        task.settings.pace.acknowledge_after_ms = u64::MAX;
        let relayer = Relayer::start(task);
        for below in 1..=DEPTH {
            // Else a delivery, which makes a block of its own, could come between those that go.
            until("what the hub had to say is taken", &relayer.reports, async || {
                world.mine(1);
                let reports = relayer.reports.all();
                let mut ends = reports.iter().flat_map(|report| &report.ends);
                let none = !reports.is_empty() && ends.all(|end| end.waiting == 0);
                none && world.on_hub().await.size == world.on_chain().await.received
            })
            .await;
            world.mine(DEPTH);
            let before = world.taken_by_hub().await;
            world.linked.share(below);
            let _ = world.call("anvil_reorg", json!([below, []]));
            world.mine(DEPTH + 1);
            world.linked.share(1);
            world.mine(DEPTH);
            until("the message after it arrives", &relayer.reports, async || {
                world.mine(1);
                world.taken_by_hub().await > before
            })
            .await;
            assert_eq!(world.taken_by_hub().await, before + 1);
        }
        // No block comes any more that could end a step.
        relayer.kill().await;
        assert_eq!(world.linked.hub.link(world.linked.link).status, LinkStatus::Open);
    });
}

/// A final block that goes stops the adapter that has seen it. One that has not is stopped by the
/// hub: what was taken stays, the link is frozen, and nothing is taken twice. Attack: A27
#[test]
fn a27_a_reorganisation_of_what_was_final_stops_the_route() {
    on_anvil(async |mut world| {
        world.linked.share(2);
        let relayer = Relayer::start(world.linked.task(&world.adapter));
        until("both messages arrive", &relayer.reports, async || world.taken_by_hub().await == 2)
            .await;
        relayer.stop().await;
        let seen = world.adapter.newest_head().await.unwrap();
        let back = world.tip() - seen.height.0 + 2;
        let _ = world.call("anvil_reorg", json!([back, []]));
        world.mine(3);
        assert_eq!(class(world.adapter.newest_head().await), Class::Proof);

        let restarted = world.linked.adapter().await;
        world.linked.share(3);
        let relayer = Relayer::start(world.linked.task(&restarted));
        let hub = world.linked.hub.adapter();
        until("the hub freezes the link", &relayer.reports, async || {
            let follower = restarted.client_status(world.linked.link).await.unwrap();
            let head = hub.head(world.linked.link, &follower).await.unwrap();
            head.standing == Standing::Shut
        })
        .await;
        relayer.stop().await;
    });
}
