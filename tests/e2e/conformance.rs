//! The suite of all adapters over the real one: a hub and an islet that run as processes.
//!
//! The chain under test is the hub, because its validators can be changed by vote. No relayer
//! runs: what travels, the suite brings.

use crate::{
    network::Devnet,
    party::{Ledger, Party, Station, govern, until},
    run::run,
};
use async_trait::async_trait;
use tombolo_adapter::{
    Sink as _,
    suite::{self, Fixture, Follower, Reorganisation, delivery_from},
};
use tombolo_crypto::client::{LightClient, genesis_anchor};
use tombolo_hub::govern::Act;
use tombolo_islet::{
    adapter::LedgerAdapter,
    signer::{Signer, now},
};
use tombolo_types::{
    Address, MessageNumber, Power, UnixMillis,
    header::{Anchor, Validator},
    id::{ChainId, LinkId},
    lane::{DATA_LANE, Delivery},
    verifier::{LinkTerms, Verifier as _},
};

/// How long the other ledger's client trusts, in milliseconds; far longer than the test takes.
const TRUSTING_PERIOD_MS: u64 = 3_600_000;
/// The relayer that was stopped has used the first series of nonces.
const NONCE_LANE: u8 = 7;

struct HubFixture {
    devnet: Devnet,
    adapter: LedgerAdapter,
    hub: Ledger,
    /// The other ledger of the link, as the suite's own relayer sees it.
    islet: LedgerAdapter,
    station: Station,
    /// The ledger to which the islet shares.
    destination: ChainId,
    link: LinkId,
    genesis: Anchor,
    city: Party,
    observatory: Party,
    readings: u64,
    power: u64,
}

impl HubFixture {
    async fn new(devnet: Devnet) -> Self {
        devnet.kill("relayer");
        let (hub, seattle) = (devnet.ledger("hub").await, devnet.ledger("seattle").await);
        let city = devnet.party("city");
        let device = devnet.party("weather-station");
        let link = tombolo_islet_core::hub_link_id(hub.chain, seattle.chain);
        Self {
            adapter: adapter(&devnet, &hub),
            islet: adapter(&devnet, &seattle),
            station: Station::new(&hub, seattle, device, &city).await,
            destination: devnet.ledger("mauna-loa").await.chain,
            genesis: genesis_anchor(&hub.client.genesis().await.unwrap()),
            observatory: devnet.party("observatory"),
            city,
            hub,
            link,
            readings: 0,
            power: 1,
            devnet,
        }
    }
}

fn adapter(devnet: &Devnet, ledger: &Ledger) -> LedgerAdapter {
    let signer = Signer::first_key(devnet.party("relayer").key().clone(), NONCE_LANE);
    LedgerAdapter::new(ledger.client.clone(), ledger.chain, signer)
}

#[async_trait]
impl Fixture for HubFixture {
    type Adapter = LedgerAdapter;

    fn adapter(&self) -> &Self::Adapter {
        &self.adapter
    }

    async fn restart(&mut self) {
        self.devnet.kill("hub");
        self.devnet.start("hub");
        self.hub = self.devnet.ledger("hub").await;
        self.adapter = adapter(&self.devnet, &self.hub);
    }

    fn link(&self) -> LinkId {
        self.link
    }

    /// Each two-phase commit of one branch is a Prepare over the link.
    async fn send(&mut self, count: u64) {
        for _ in 0..count {
            let branch = (self.link, &self.city, &self.observatory);
            self.city.begin_payments(&self.hub, &[branch]).await;
        }
    }

    /// Each share is a message to the hub.
    async fn delivery(&mut self, count: u64) -> Delivery {
        let islet = &self.station.islet;
        let first = islet.data_lane(self.link).await.size;
        for _ in 0..count {
            self.readings += 1;
            self.station.share(self.readings, self.destination).await;
        }
        until("the shares are final", || async {
            (islet.data_lane(self.link).await.size == first + count).then_some(())
        })
        .await;
        let first = MessageNumber(first);
        let follower = self.adapter.client_status(self.link).await.unwrap();
        delivery_from(&self.islet, self.link, DATA_LANE, first, count, &follower).await.unwrap()
    }

    fn follower(&self) -> Follower {
        let terms = LinkTerms {
            link: self.link,
            gateway: Address::ZERO,
            mode: 1,
            trusting_period_ms: TRUSTING_PERIOD_MS,
        };
        let client = LightClient.start(&self.genesis.encode(), &terms, self.now());
        Follower { verifier: Box::new(LightClient), client: client.unwrap() }
    }

    /// The one validator gets another power, which makes another set.
    async fn change_validators(&mut self) {
        self.power += 1;
        let address = self.genesis.validators.validators[0].address;
        let validators = vec![Validator { address, power: Power(self.power) }];
        let act = Act::SetValidators { validators };
        govern(&self.hub, &self.city, &self.observatory, act).await;
    }

    async fn reorganise(&mut self) -> Reorganisation {
        Reorganisation::Impossible
    }

    fn now(&self) -> UnixMillis {
        now()
    }
}

/// Req: PRJ-14-1, PRJ-4-1, PRJ-4-2
#[test]
fn the_adapter_of_our_ledgers_passes_the_suite() {
    let devnet = Devnet::up();
    run(async { suite::run(HubFixture::new(devnet).await).await });
}
