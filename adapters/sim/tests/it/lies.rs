//! The real light client and the real ledger against chains that lie.

use crate::{believe, data_leaf, depth, follower, light_client};
use tombolo_adapter::{AdapterError, Sink as _, Source as _, Standing, suite::delivery_from};
use tombolo_crypto::client::LightClient;
use tombolo_sim::{Dropped, Lie, Pair, Settings, open_pair};
use tombolo_types::{
    Class, MessageNumber,
    lane::{DATA_LANE, Direction, LaneKey, LaneLeaf},
    verifier::{ClientStatus, Conviction, HeadError, Verifier as _},
};

fn pair(seed: u64) -> Pair {
    open_pair(seed, Settings::instant(seed), Settings::instant(seed + 1)).unwrap()
}

fn send_from_hub(pair: &mut Pair, count: u64) {
    let hub = pair.hub.clone();
    pair.send(&hub, count).unwrap();
    hub.produce_until_final();
}

/// Delivers what the hub's adapter shows of its messages from `first` on.
async fn relay(
    pair: &Pair,
    hub: &tombolo_sim::SimAdapter<tombolo_sim::PlainHub>,
    first: u64,
    count: u64,
) -> Result<(), AdapterError> {
    let first = MessageNumber(first);
    let delivery =
        delivery_from(hub, pair.link, DATA_LANE, first, count, &follower(hub.chain())).await?;
    pair.chain_adapter().deliver(delivery).await.map(drop)
}

#[tokio::test]
async fn honest_heads_are_believed_one_after_another() {
    let mut pair = pair(10);
    let hub = pair.hub_adapter();
    let mut client = light_client(&pair.hub);
    for _ in 0..20 {
        send_from_hub(&mut pair, 1);
        let proved = data_leaf(&hub, pair.link).await;
        let verified = believe(&client, pair.hub.now(), &proved).unwrap();
        assert_eq!(verified.height, pair.hub.final_height());
        client = verified.client;
    }
}

/// Each of the forger's tricks: a header that its certificate is not of, one validator of four,
/// and strangers. None changes anything on the ledger that it is shown to.
#[tokio::test]
async fn a_forger_is_believed_nothing() {
    let mut pair = pair(20);
    send_from_hub(&mut pair, 3);
    let hub = pair.hub_adapter();
    hub.tell(Some(Lie::Forger));
    let client = light_client(&pair.hub);
    let mut said = std::collections::BTreeSet::new();
    for _ in 0..30 {
        let proved = data_leaf(&hub, pair.link).await;
        match believe(&client, pair.hub.now(), &proved) {
            Err(HeadError::Refused(refusal)) => {
                assert_eq!(refusal.class, Class::Proof, "{refusal}");
                said.insert(refusal.message);
            }
            other => panic!("{other:?}"),
        }
        let honest = pair.hub_adapter();
        let mut delivery = delivery_from(
            &honest,
            pair.link,
            DATA_LANE,
            MessageNumber(0),
            3,
            &follower(honest.chain()),
        )
        .await
        .unwrap();
        delivery.leaf = proved.leaf;
        delivery.head_proof = proved.head_proof;
        let refused = pair.chain_adapter().deliver(delivery).await.unwrap_err();
        assert_eq!(refused.class(), Class::Proof, "{refused}");
    }
    assert!(said.len() >= 3, "not all tricks were tried: {said:?}");
    assert_eq!(data_leaf(&pair.chain_adapter(), pair.link).await.leaf.received, 0);
    hub.tell(None);
    relay(&pair, &hub, 0, 3).await.unwrap();
}

/// Who has seen one block of a height freezes on the other, and takes nothing after.
#[tokio::test]
async fn an_equivocator_freezes_the_link() {
    let mut pair = pair(30);
    send_from_hub(&mut pair, 4);
    let hub = pair.hub_adapter();
    relay(&pair, &hub, 0, 2).await.unwrap();
    hub.tell(Some(Lie::Equivocator));
    // A proved contradiction is no refusal: the ledger acts on it.
    relay(&pair, &hub, 2, 2).await.unwrap();
    let chain = pair.chain_adapter();
    assert_eq!(
        chain.head(pair.link, &follower(&pair.chain)).await.unwrap().standing,
        Standing::Shut
    );
    assert_eq!(chain.client_status(pair.link).await.unwrap().status, ClientStatus::Frozen);
    assert_eq!(data_leaf(&chain, pair.link).await.leaf.received, 2, "the lie brought nothing");
    hub.tell(None);
    assert_eq!(relay(&pair, &hub, 2, 2).await.unwrap_err().class(), Class::State);
}

#[tokio::test]
async fn evidence_of_equivocation_freezes_the_link_before_any_lie_is_told() {
    let mut pair = pair(31);
    send_from_hub(&mut pair, 1);
    let evidence = pair.hub.equivocate().unwrap().evidence;
    let client = light_client(&pair.hub);
    let conviction = LightClient.misbehaviour(&client, pair.hub.now(), &evidence).unwrap();
    let Conviction::Frozen { client } = conviction else { panic!("{conviction:?}") };
    assert_eq!(LightClient.view(&client, pair.hub.now()).unwrap().status, ClientStatus::Frozen);
    let chain = pair.chain_adapter();
    chain.report_misbehaviour(pair.link, evidence).await.unwrap();
    assert_eq!(
        chain.head(pair.link, &follower(&pair.chain)).await.unwrap().standing,
        Standing::Shut
    );
}

/// It can delay, and nothing else; whoever has an honest node goes on.
#[tokio::test]
async fn a_withholder_only_delays() {
    let mut pair = pair(40);
    send_from_hub(&mut pair, 2);
    let hub = pair.hub_adapter();
    relay(&pair, &hub, 0, 1).await.unwrap();
    hub.tell(Some(Lie::Withholder));
    let shown = hub.newest_head().await.unwrap();
    send_from_hub(&mut pair, 3);
    assert_eq!(hub.newest_head().await.unwrap(), shown);
    assert!(pair.hub.final_height() > shown.height);
    let proved = data_leaf(&hub, pair.link).await;
    assert_eq!(proved.leaf.size, 2, "old, and still true");
    believe(&light_client(&pair.hub), pair.hub.now(), &proved).unwrap();
    assert_eq!(relay(&pair, &hub, 1, 1).await.unwrap_err().class(), Class::NotFound);
    relay(&pair, &pair.hub_adapter(), 1, 4).await.unwrap();
}

/// A client never sees a block that is taken back, at any depth below finality; a reorganisation
/// reaches no block that is final.
///
/// Messages in blocks that are not final are not relayed, and when their blocks are taken back
/// nothing of them is found at the destination.
///
/// Req: PRJ-4-4
#[tokio::test]
async fn a27_a_reorganisation_below_finality_leaves_nothing() {
    const DEPTH: u64 = 4;
    for below in 1..=DEPTH {
        let mut pair = open_pair(50, depth(50, DEPTH), Settings::instant(51)).unwrap();
        let hub_chain = pair.hub.clone();
        send_from_hub(&mut pair, 2);
        let hub = pair.hub_adapter();
        relay(&pair, &hub, 0, 2).await.unwrap();
        let client =
            believe(&light_client(&hub_chain), hub_chain.now(), &data_leaf(&hub, pair.link).await);
        let (before, blocks) = (data_leaf(&hub, pair.link).await, hub_chain.final_blocks());

        pair.send(&hub_chain, 3).unwrap();
        // They stand in the lowest of the blocks that will be taken back.
        for _ in 0..below {
            hub_chain.produce();
        }
        // Asked for as if they were final, they are refused, and no head shows them.
        let LaneLeaf { direction, epoch, size, .. } = before.leaf;
        let direction = Direction::from_number(direction).unwrap();
        let key = LaneKey { link: pair.link, direction, lane: DATA_LANE };
        let early = hub.messages(key, epoch, MessageNumber(size), 3, size + 3).await;
        assert_eq!(early.map_err(|error| error.class()), Err(Class::Finality));
        assert_eq!(data_leaf(&hub, pair.link).await.leaf.size, size);
        assert_eq!(hub_chain.reorganise(below, Dropped::Lost), below);
        assert!(hub_chain.final_blocks().starts_with(&blocks), "a final block went away");
        hub_chain.produce_until_final();

        let after = data_leaf(&hub, pair.link).await;
        assert_eq!(after.leaf.size, before.leaf.size, "something dropped is shown as final");
        believe(&client.unwrap().client, hub_chain.now(), &after).unwrap();
        let chain = pair.chain_adapter();
        assert_eq!(data_leaf(&chain, pair.link).await.leaf.received, 2);
        send_from_hub(&mut pair, 1);
        let size = data_leaf(&hub, pair.link).await.leaf.size;
        relay(&pair, &hub, 2, size - 2).await.unwrap();
        assert_eq!(data_leaf(&chain, pair.link).await.leaf.received, size);
        assert_eq!(
            chain.head(pair.link, &follower(&pair.chain)).await.unwrap().standing,
            Standing::Open
        );
    }
    let pair = open_pair(52, depth(52, DEPTH), Settings::instant(53)).unwrap();
    assert_eq!(pair.hub.reorganise(u64::MAX, Dropped::Lost), DEPTH, "no more than is not final");
}

#[tokio::test]
async fn a27_what_is_not_lost_in_a_reorganisation_comes_again_once() {
    let mut pair = open_pair(60, depth(60, 3), Settings::instant(61)).unwrap();
    let hub = pair.hub.clone();
    pair.send(&hub, 5).unwrap();
    hub.produce();
    let dropped = hub.reorganise(1, Dropped::Wait);
    assert_eq!(dropped, 1);
    hub.produce_until_final();
    assert_eq!(data_leaf(&pair.hub_adapter(), pair.link).await.leaf.size, 5);
}
