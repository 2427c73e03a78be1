//! Several deliveries on their way at once: they count in their order, once, whatever happens to
//! the blocks and the transactions.

use crate::attacks::{World, on_anvil};
use serde_json::{Value, json};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::{sync::oneshot, task::JoinHandle};
use tombolo_adapter::{AdapterError, Sink as _, SubmitOutcome};
use tombolo_evm::{Config, EvmAdapter, Finality};
use tombolo_test_nodes::{quantity, wait_until};
use tombolo_types::{Class, lane::Delivery};

/// How many.
const COUNT: u64 = 3;

impl World {
    /// Those that wait for a block, by their nonce, once there are so many.
    fn pool(&self, count: usize) -> BTreeMap<u64, Value> {
        wait_until("transactions that wait", Duration::from_secs(30), || {
            let pool = self.call("txpool_content", json!([]));
            let kinds = ["pending", "queued"].map(|kind| pool[kind].as_object().cloned());
            let accounts = kinds.into_iter().flatten().flatten();
            let found: BTreeMap<u64, Value> = accounts
                .flat_map(|(_, all)| all.as_object().cloned().unwrap())
                .map(|(nonce, transaction)| (nonce.parse().unwrap(), transaction["hash"].clone()))
                .collect();
            (found.len() == count).then_some(found)
        })
    }

    fn stop(&self) {
        let _ = self.call("evm_setAutomine", json!([false]));
    }
}

type Ended = JoinHandle<Result<SubmitOutcome, AdapterError>>;

/// Hands them in one after the other, and has each waited for.
async fn hand_in(adapter: &Arc<EvmAdapter>, deliveries: Vec<Delivery>) -> Vec<Ended> {
    let (ended, _) = hand_in_and_tell(adapter, deliveries).await;
    ended
}

/// As [`hand_in`]; each says when it stands in a block.
async fn hand_in_and_tell(
    adapter: &Arc<EvmAdapter>,
    deliveries: Vec<Delivery>,
) -> (Vec<Ended>, Vec<oneshot::Receiver<()>>) {
    let (mut all, mut in_blocks) = (Vec::new(), Vec::new());
    for delivery in deliveries {
        let (adapter, (told, handed_in)) = (adapter.clone(), oneshot::channel());
        let (tell, in_block) = oneshot::channel();
        all.push(tokio::spawn(async move {
            let landing = adapter.hand_in(delivery).await?;
            told.send(()).unwrap();
            let settling = landing.await?;
            // Not everybody listens.
            let _ = tell.send(());
            settling.await
        }));
        in_blocks.push(in_block);
        handed_in.await.unwrap();
    }
    (all, in_blocks)
}

async fn all_well(ended: Vec<Ended>) {
    for one in ended {
        one.await.unwrap().unwrap();
    }
}

/// One block takes them all, in the order in which they were handed in. One that is not there any
/// more keeps those behind it from counting until it comes again.
#[test]
fn deliveries_in_a_row_enter_one_block_and_wait_for_one_that_was_dropped() {
    on_anvil(async |mut world| {
        for drop_first in [false, true] {
            let deliveries = world.deliveries(COUNT).await;
            let received = world.on_chain().await.received;
            world.stop();
            let ended = hand_in(&world.adapter, deliveries).await;
            let pool = world.pool(COUNT as usize);
            let nonces: Vec<u64> = pool.keys().copied().collect();
            assert_eq!(nonces, (nonces[0]..nonces[0] + COUNT).collect::<Vec<_>>());
            if drop_first {
                let _ = world.call("anvil_dropTransaction", json!([pool[&nonces[0]]]));
                world.mine(1);
                assert_eq!(world.on_chain().await.received, received);
                assert_eq!(world.pool(COUNT as usize), pool, "the same comes again");
            }
            world.mine(1);
            all_well(ended).await;
            assert_eq!(world.on_chain().await.received, received + COUNT);
            let block = world.call("eth_getBlockByNumber", json!(["latest", false]));
            let hashes: Vec<&Value> = block["transactions"].as_array().unwrap().iter().collect();
            assert_eq!(hashes, pool.values().collect::<Vec<_>>());
            let _ = world.call("evm_setAutomine", json!([true]));
        }
    });
}

/// What stands in a block is told long before that is final, so that others may follow, and however
/// many wait for that ask together.
#[test]
fn deliveries_in_a_row_stand_in_a_block_before_they_are_final() {
    const DEPTH: u64 = 10;
    on_anvil(async |mut world| {
        let deliveries = world.deliveries(COUNT).await;
        let (front, config) = world.front().await;
        let config = Config { finality: Finality::Depth(DEPTH), ..config };
        world.mine(DEPTH);
        let adapter = world.linked.adapter_of(config).await.unwrap();
        world.stop();
        let (ended, in_blocks) = hand_in_and_tell(&adapter, deliveries).await;
        world.pool(COUNT as usize);
        world.mine(1);
        for one in in_blocks {
            one.await.unwrap();
        }
        // Each of these blocks is looked at, and none of them is enough.
        let before = front.asked();
        for _ in 1..DEPTH {
            let asked = front.asked();
            world.mine(1);
            wait_until("question", Duration::from_secs(30), || {
                (front.asked() > asked).then_some(())
            });
        }
        let asked = front.asked() - before;
        assert!(asked < 2 * DEPTH as usize, "asked {asked} times about {DEPTH} blocks");
        assert!(ended.iter().all(|one| !one.is_finished()));
        world.mine(1);
        all_well(ended).await;
    });
}

/// A reorganisation takes all of them out of the chain, and the node forgets them: the same
/// transactions come again, with the same nonces, and each counts once. Attack: A27
#[test]
fn a27_deliveries_in_a_row_that_a_reorganisation_takes_along_come_again_once() {
    const DEPTH: u64 = 2;
    on_anvil(async |mut world| {
        let deliveries = world.deliveries(COUNT).await;
        let finality = Finality::Depth(DEPTH);
        let config = Config { finality, ..world.linked.config.clone() };
        let adapter = world.linked.adapter_of(config).await.unwrap();
        let received = world.on_chain().await.received;
        world.stop();
        let (ended, in_blocks) = hand_in_and_tell(&adapter, deliveries).await;
        let pool = world.pool(COUNT as usize);
        world.mine(1);
        for one in in_blocks {
            one.await.unwrap();
        }
        let tip = world.tip();
        let _ = world.call("anvil_reorg", json!([1, []]));
        assert_eq!(world.tip(), tip);
        world.mine(1);
        assert_eq!(world.pool(COUNT as usize), pool, "the same comes again");
        world.mine(1 + DEPTH);
        for (one, hash) in ended.into_iter().zip(pool.values()) {
            let outcome = one.await.unwrap().unwrap();
            assert_eq!(json!(outcome.transaction.to_string()), *hash);
        }
        assert_eq!(world.on_chain().await.received, received + COUNT);
        let account = json!([world.adapter.account().to_string(), "latest"]);
        let nonce = quantity(&world.call("eth_getTransactionCount", account));
        assert_eq!(nonce, *pool.keys().last().unwrap() + 1, "nothing was sent twice");
    });
}

/// Behind one that does not count there is a gap: what follows is refused, in a block, and nothing
/// else happens. From what was taken everything goes on.
#[test]
fn behind_a_gap_deliveries_are_refused_and_nothing_is_lost() {
    on_anvil(async |mut world| {
        let mut deliveries = world.deliveries(COUNT).await;
        let received = world.on_chain().await.received;
        let missing = deliveries.remove(1);
        let last = deliveries[1].clone();
        world.stop();
        let mut ended = hand_in(&world.adapter, deliveries).await;
        world.pool(2);
        world.mine(1);
        let refused = ended.pop().unwrap().await.unwrap().unwrap_err();
        assert_eq!(refused.class(), Class::State);
        assert!(refused.to_string().contains("a gap before the first message"), "{refused}");
        all_well(ended).await;
        assert_eq!(world.on_chain().await.received, received + 1);
        let ended = hand_in(&world.adapter, vec![missing, last]).await;
        world.pool(2);
        world.mine(1);
        all_well(ended).await;
        assert_eq!(world.on_chain().await.received, received + COUNT);
    });
}

/// A process that dies with several on their way hands the same in again: each counts once.
#[test]
fn a41_who_dies_with_deliveries_in_a_row_repeats_none_of_them() {
    on_anvil(async |mut world| {
        let deliveries = world.deliveries(COUNT).await;
        let received = world.on_chain().await.received;
        world.stop();
        let dying = hand_in(&world.adapter, deliveries.clone()).await;
        let pool = world.pool(COUNT as usize);
        for one in dying {
            one.abort();
            assert!(one.await.unwrap_err().is_cancelled());
        }
        let adapter = world.linked.adapter().await;
        let ended = hand_in(&adapter, deliveries).await;
        assert_eq!(world.pool(COUNT as usize), pool, "the same, and no more");
        world.mine(1);
        all_well(ended).await;
        assert_eq!(world.on_chain().await.received, received + COUNT);
    });
}
