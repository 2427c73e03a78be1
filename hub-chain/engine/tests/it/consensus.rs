//! One validator under consensus.

use crate::network::{Node, PATIENCE, home, within};
use crate::toy::{Break, Toy, ToyTransaction, tx_id};
use std::sync::Arc;
use tombolo_engine::{EngineError, peer_id};
use tombolo_store::Memory;
use tombolo_types::{Class, Height};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_validator_makes_blocks_and_resumes() {
    let (home, store) = (home(), Arc::new(Memory::default()));
    let first = Node::alone("alone-a", home.path(), &store).await;
    let id = first.handle.submit(ToyTransaction::new(7, 0).encode()).await.unwrap();
    assert_eq!(id, tx_id(&ToyTransaction::new(7, 0).encode()));
    first.reach(Height(5)).await;
    first.handle.shutdown().await.unwrap();
    let before = first.blocks(&store);
    assert_eq!(before.iter().map(|block| block.transactions.len()).sum::<usize>(), 1);

    let peer = peer_id(home.path()).unwrap();
    let second = Node::alone("alone-b", home.path(), &store).await;
    second.reach(Height(before.len() as u64 + 3)).await;
    let after = second.blocks(&store);
    assert_eq!(after[..before.len()], before[..]);
    assert_eq!(peer_id(home.path()).unwrap(), peer);
    let refusal = second.handle.submit(ToyTransaction::new(7, 0).encode()).await.unwrap_err();
    assert_eq!(refusal.class, Class::Replay);
    second.handle.shutdown().await.unwrap();
}

/// The process is gone without a goodbye, over and over; consensus log, guard and kept blocks
/// must agree each time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_validator_survives_being_dropped() {
    let (home, store) = (home(), Arc::new(Memory::default()));
    let mut height = Height(0);
    for round in 0..4 {
        let node = Node::alone(&format!("dropped-{round}"), home.path(), &store).await;
        node.reach(height.saturating_add(3)).await;
        height = node.handle.tip().borrow().height;
        node.handle.shutdown().await.unwrap();
    }
}

/// Blocks come at the pace of rest without work, and faster with it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pace_follows_work() {
    let (home, store) = (home(), Arc::new(Memory::default()));
    let node = Node::alone("pace", home.path(), &store).await;
    node.reach(Height(2)).await;
    let at_rest = within(node.reach(Height(6))).await;
    for nonce in 0..400 {
        node.handle.submit(ToyTransaction::new(7, nonce).encode()).await.unwrap();
    }
    let from = node.handle.tip().borrow().height;
    let under_load = within(node.reach(from.saturating_add(4))).await;
    assert!(at_rest.as_millis() >= 700, "four heights at rest in {at_rest:?}");
    assert!(under_load < at_rest, "{under_load:?} under load, {at_rest:?} at rest");
    assert_eq!(node.handle.metrics().rounds_repeated_total, 0);
    node.handle.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a13_a_second_engine_with_the_same_home_does_not_start() {
    let (home, store) = (home(), Arc::new(Memory::default()));
    let node = Node::alone("first", home.path(), &store).await;
    node.reach(Height(1)).await;
    let error = Node::try_alone("second", home.path(), &store).await.err().unwrap();
    assert!(matches!(error, EngineError::Guard(_)), "{error}");
    node.handle.shutdown().await.unwrap();
}

/// A restored copy of the ledger's store beside the newer files of the home.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a13_a_store_behind_the_signatures_does_not_start() {
    let (home, store) = (home(), Arc::new(Memory::default()));
    let node = Node::alone("ahead", home.path(), &store).await;
    node.reach(Height(4)).await;
    node.handle.shutdown().await.unwrap();
    let empty = Arc::new(Memory::default());
    let error = Node::try_alone("behind", home.path(), &empty).await.err().unwrap();
    let EngineError::Behind { tip, seen, .. } = error else { panic!("{error}") };
    assert_eq!(tip, Height(0));
    assert!(seen >= Height(4));
}

/// What breaks in the ledger ends the engine at once, with the reason; nothing hangs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ledger_that_breaks_ends_the_engine() {
    for (how, reason) in [(Break::Fatal, "the disk is gone"), (Break::Panic, "thread has ended")] {
        let (home, store) = (home(), Arc::new(Memory::default()));
        let breaks = |toy: &mut Toy| toy.breaks_at = Some((Height(3), how));
        let moniker = format!("breaks-{how:?}");
        let node = Node::alone_with(&moniker, home.path(), &store, breaks).await.unwrap();
        let ended = tokio::time::timeout(PATIENCE, node.handle.stopped()).await.unwrap();
        let error = ended.unwrap_err();
        assert!(matches!(&*error, EngineError::Fatal(fatal) if fatal.to_string().contains(reason)));
        let refusal = node.handle.submit(ToyTransaction::new(7, 0).encode()).await.unwrap_err();
        assert_eq!(refusal.class, Class::State);
        assert_eq!(node.handle.tip().borrow().height, Height(2));
    }
}
