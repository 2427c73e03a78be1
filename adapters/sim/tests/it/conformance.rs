//! The suite of all adapters, over chains of each finality.

use crate::{depth, follower, light_client};
use async_trait::async_trait;
use tombolo_adapter::{
    Ability, Finality, Sink as _,
    suite::{self, Fixture, Follower, Reorganisation, delivery_from},
};
use tombolo_crypto::client::LightClient;
use tombolo_sim::{
    Dropped, Lie, Network, Pair, PlainChain, PlainHub, Settings, SimAdapter, open_pair,
};
use tombolo_types::{
    MessageNumber, UnixMillis,
    id::LinkId,
    lane::{DATA_LANE, Delivery},
};

struct SimFixture {
    pair: Pair,
    adapter: SimAdapter<PlainChain>,
    hub: SimAdapter<PlainHub>,
    /// What the adapter under test does not declare.
    without: Vec<Ability>,
}

impl SimFixture {
    fn new(settings: Settings, without: &[Ability]) -> Self {
        let pair = open_pair(settings.seed, Settings::instant(settings.seed), settings).unwrap();
        let (adapter, hub) = (adapter(&pair, without), pair.hub_adapter());
        Self { pair, adapter, hub, without: without.to_vec() }
    }

    fn send_unfinished(&mut self, count: u64) {
        let chain = self.pair.chain.clone();
        self.pair.send(&chain, count).unwrap();
        chain.produce();
    }
}

fn adapter(pair: &Pair, without: &[Ability]) -> SimAdapter<PlainChain> {
    without.iter().fold(pair.chain_adapter(), |adapter, ability| adapter.without(*ability))
}

#[async_trait]
impl Fixture for SimFixture {
    type Adapter = SimAdapter<PlainChain>;

    fn adapter(&self) -> &Self::Adapter {
        &self.adapter
    }

    async fn restart(&mut self) {
        self.pair.chain.restart();
        self.adapter = adapter(&self.pair, &self.without);
    }

    fn link(&self) -> LinkId {
        self.pair.link
    }

    async fn send(&mut self, count: u64) {
        self.send_unfinished(count);
        self.pair.chain.produce_until_final();
    }

    async fn delivery(&mut self, count: u64) -> Delivery {
        let hub = self.pair.hub.clone();
        self.pair.send(&hub, count).unwrap();
        hub.produce_until_final();
        let sent = crate::data_leaf(&self.hub, self.pair.link).await.leaf.size;
        let first = MessageNumber(sent - count);
        delivery_from(
            &self.hub,
            self.pair.link,
            DATA_LANE,
            first,
            count,
            &follower(self.hub.chain()),
        )
        .await
        .unwrap()
    }

    fn follower(&self) -> Follower {
        Follower { verifier: Box::new(LightClient), client: light_client(&self.pair.chain) }
    }

    async fn change_validators(&mut self) {
        let chain = self.pair.chain.clone();
        self.pair.change_validators(&chain).unwrap();
        chain.produce_until_final();
    }

    async fn reorganise(&mut self) -> Reorganisation {
        self.send_unfinished(2);
        match self.pair.chain.reorganise(1, Dropped::Lost) {
            0 => Reorganisation::Impossible,
            _ => {
                self.pair.chain.produce_until_final();
                Reorganisation::Done
            }
        }
    }

    fn now(&self) -> UnixMillis {
        self.pair.chain.now()
    }
}

/// Req: PRJ-14-1, PRJ-14-2
#[tokio::test]
async fn a_chain_that_is_final_at_once_passes_the_suite() {
    let mut fixture = SimFixture::new(Settings::instant(1), &[]);
    assert_eq!(fixture.reorganise().await, Reorganisation::Impossible);
    fixture.pair.chain.produce_until_final();
    suite::run(fixture).await;
}

/// Req: PRJ-14-1, PRJ-14-2
#[tokio::test]
async fn a_chain_final_by_depth_passes_the_suite() {
    let mut fixture = SimFixture::new(depth(2, 3), &[]);
    assert_eq!(fixture.reorganise().await, Reorganisation::Done);
    suite::run(fixture).await;
}

/// Req: PRJ-14-1, PRJ-14-2
#[tokio::test]
async fn a_chain_final_by_checkpoint_passes_the_suite() {
    let settings = Settings { finality: Finality::Checkpoint, ..Settings::instant(3) };
    suite::run(SimFixture::new(settings, &[])).await;
}

/// Req: PRJ-14-1
#[tokio::test]
async fn a_chain_that_declares_less_passes_the_suite() {
    let without = [Ability::Query, Ability::ClientUpdates, Ability::Misbehaviour];
    suite::run(SimFixture::new(Settings::instant(4), &without)).await;
}

/// Req: PRJ-14-1
#[tokio::test(start_paused = true)]
async fn a_slow_network_changes_nothing_but_time() {
    let mut fixture = SimFixture::new(Settings::instant(5), &[]);
    let network = Network { no_answer_per_mille: 0, delay_ms_max: 900 };
    fixture.adapter = fixture.pair.chain_adapter().with_network(network);
    let delivery = fixture.delivery(3).await;
    let before = tokio::time::Instant::now();
    fixture.adapter.deliver(delivery).await.unwrap();
    let status = fixture.adapter.client_status(fixture.pair.link).await.unwrap();
    assert!(status.height >= tombolo_types::Height(1));
    assert!(before.elapsed() > std::time::Duration::ZERO);
    suite::run(fixture).await;
}

#[tokio::test]
#[should_panic(expected = "an honest head")]
async fn the_suite_finds_a_forger() {
    let fixture = SimFixture::new(Settings::instant(6), &[]);
    fixture.adapter.tell(Some(Lie::Forger));
    suite::run(fixture).await;
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "final messages: not done within")]
async fn the_suite_finds_a_withholder() {
    let fixture = SimFixture::new(Settings::instant(7), &[]);
    fixture.adapter.tell(Some(Lie::Withholder));
    suite::run(fixture).await;
}
