//! A network that loses questions and answers: asking again is safe and leads to the end.

use crate::{data_leaf, follower};
use std::num::NonZeroU64;
use tombolo_adapter::{
    AdapterError, Finality, Remedy, Sink as _, Source as _, suite::delivery_from,
};
use tombolo_ledger::Call;
use tombolo_sim::{Network, Pace, Settings, open_pair};
use tombolo_types::{Class, Height, MessageNumber, lane::DATA_LANE};

const LOSSY: Network = Network { no_answer_per_mille: 300, delay_ms_max: 40 };

/// The receiver's counter says what is left, so every message is taken once.
#[tokio::test(start_paused = true)]
async fn messages_pass_once_over_a_lossy_network() {
    for seed in 0..8 {
        let mut pair = open_pair(seed, Settings::instant(seed), Settings::instant(seed)).unwrap();
        let hub = pair.hub.clone();
        pair.send(&hub, 20).unwrap();
        hub.produce_until_final();
        let (source, sink) =
            (pair.hub_adapter().with_network(LOSSY), pair.chain_adapter().with_network(LOSSY));
        let truth = pair.chain_adapter();
        let mut lost = 0;
        loop {
            let received = data_leaf(&truth, pair.link).await.leaf.received;
            if received == 20 {
                break;
            }
            let first = MessageNumber(received);
            let attempt = async {
                let delivery = delivery_from(
                    &source,
                    pair.link,
                    DATA_LANE,
                    first,
                    3,
                    &follower(source.chain()),
                )
                .await?;
                sink.deliver(delivery).await
            };
            match attempt.await {
                Ok(_) => {}
                Err(error @ AdapterError::NoAnswer { .. }) => {
                    assert!(matches!(error.remedy(), Remedy::Retry { .. }));
                    lost += 1;
                }
                Err(error) => assert_eq!(error.class(), Class::Replay, "{error}"),
            }
            assert!(lost < 200, "no progress");
        }
        assert!(lost > 0, "nothing was lost with seed {seed}");
    }
}

/// With blocks made by hand, an adapter waits for them by notification.
#[tokio::test]
async fn heads_and_outcomes_are_waited_for() {
    let manual = Settings {
        pace: Pace::Manual,
        finality: Finality::Depth(NonZeroU64::MIN),
        ..Settings::instant(7)
    };
    let mut pair = open_pair(7, Settings::instant(7), manual).unwrap();
    let hub = pair.hub.clone();
    pair.send(&hub, 1).unwrap();
    hub.produce_until_final();
    let (source, sink) = (pair.hub_adapter(), pair.chain_adapter());
    let delivery = delivery_from(
        &source,
        pair.link,
        DATA_LANE,
        MessageNumber::ZERO,
        1,
        &follower(source.chain()),
    )
    .await
    .unwrap();
    let before = pair.chain.final_height();
    let (outcome, head, ()) = tokio::join!(sink.deliver(delivery), sink.next_head(before), async {
        tokio::task::yield_now().await;
        pair.chain.produce();
        pair.chain.produce();
    });
    let height = outcome.unwrap().height;
    assert!(height > before);
    assert!(head.unwrap().height > before);
    assert!(pair.chain.final_height() >= height && height > Height::ZERO);
}

/// Of two relayers that bring the same, one is told that it has been done.
#[tokio::test]
async fn the_slower_of_two_relayers_is_told_of_the_replay() {
    let manual = Settings { pace: Pace::Manual, ..Settings::instant(8) };
    let mut pair = open_pair(8, Settings::instant(8), manual).unwrap();
    let hub = pair.hub.clone();
    pair.send(&hub, 1).unwrap();
    hub.produce_until_final();
    let first = MessageNumber::ZERO;
    let delivery = delivery_from(
        &pair.hub_adapter(),
        pair.link,
        DATA_LANE,
        first,
        1,
        &follower(pair.hub_adapter().chain()),
    )
    .await
    .unwrap();
    let one = pair.chain_adapter();
    let other = tombolo_sim::SimAdapter::new(pair.chain.clone(), pair.operator.clone());
    let (faster, slower, ()) =
        tokio::join!(one.deliver(delivery.clone()), other.deliver(delivery), async {
            tokio::task::yield_now().await;
            pair.chain.produce();
        });
    faster.unwrap();
    assert_eq!(slower.unwrap_err().class(), Class::Replay);
    assert_eq!(data_leaf(&one, pair.link).await.leaf.received, 1);
}

/// A transaction that is dropped leaves its nonce free, and the next one takes it, so that what
/// waits behind it comes into a block too.
#[tokio::test]
async fn a_dropped_duplicate_leaves_no_gap_for_ever() {
    let manual = Settings { pace: Pace::Manual, ..Settings::instant(9) };
    let mut pair = open_pair(9, Settings::instant(9), manual).unwrap();
    let hub = pair.hub.clone();
    pair.send(&hub, 1).unwrap();
    hub.produce_until_final();
    let first = MessageNumber::ZERO;
    let delivery =
        delivery_from(&pair.hub_adapter(), pair.link, DATA_LANE, first, 1, &follower(&hub))
            .await
            .unwrap();
    let adapter = pair.chain_adapter();
    let chain = pair.chain.clone();
    let deliver = || Call::Deliver(Box::new(delivery.clone()));
    // The relayer's is first; the operator's own raises nothing, and two more wait behind it.
    chain.submit(&pair.relayer, deliver()).unwrap();
    chain.submit(&pair.operator, deliver()).unwrap();
    pair.send(&chain, 2).unwrap();
    chain.produce();
    let sent = data_leaf(&adapter, pair.link).await.leaf;
    assert_eq!((sent.received, sent.size), (1, 0), "the gap holds back what stands behind it");
    pair.send(&chain, 1).unwrap();
    chain.produce();
    chain.produce();
    assert_eq!(data_leaf(&adapter, pair.link).await.leaf.size, 3);
    pair.send(&chain, 1).unwrap();
    chain.produce();
    assert_eq!(data_leaf(&adapter, pair.link).await.leaf.size, 4);
}
