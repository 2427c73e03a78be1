//! A hub of several validators, each a process of its own.

use crate::{
    network::Devnet,
    party::{Ledger, Station, govern, until},
    run::run,
};
use std::time::{Duration, Instant};
use tombolo_crypto::digest;
use tombolo_hub::govern::Act;
use tombolo_types::{
    Height, Power,
    header::{Validator, ValidatorSet},
    id::LinkId,
    verifier::ClientStatus,
};

const HUBS: [&str; 4] = ["hub", "hub-2", "hub-3", "hub-4"];
/// From the start of a process to its next block.
const BACK_WITHIN: Duration = Duration::from_secs(3);

async fn height(ledger: &Ledger) -> Height {
    ledger.client.status().await.map_or(Height::ZERO, |status| status.height)
}

async fn set(ledger: &Ledger) -> ValidatorSet {
    ledger.client.header(None).await.unwrap().validators
}

/// The same block stands at `height` everywhere.
async fn agree(hubs: &[Ledger], height: Height) {
    let mut ids = Vec::new();
    for hub in hubs {
        until("the block is there", || async { (self::height(hub).await >= height).then_some(()) })
            .await;
        let header = hub.client.header(Some(height)).await.unwrap();
        ids.push(digest::block_id(&header.header));
    }
    assert!(ids.windows(2).all(|pair| pair[0] == pair[1]), "at {height}: {ids:?}");
}

/// Req: D35-7.1.1-0, D35-7.2.1-1, D35-7.2.2-1
#[test]
fn a_hub_of_four_goes_on_without_one_and_changes_its_validators() {
    let devnet = Devnet::up_with(&["--validators", "4"]);
    run(async {
        let mut hubs = Vec::new();
        for name in HUBS {
            hubs.push(devnet.ledger(name).await);
        }
        let hub = &hubs[0];
        assert_eq!(set(hub).await.validators.len(), 4);
        agree(&hubs, height(hub).await).await;

        one_is_killed_and_comes_back(&devnet, &hubs).await;
        two_away_halt_it(&devnet, &hubs).await;
        clients_follow_another_set(&devnet, hub).await;
        agree(&hubs, height(hub).await).await;
    });
}

async fn one_is_killed_and_comes_back(devnet: &Devnet, hubs: &[Ledger]) {
    devnet.kill("hub-3");
    let before = hubs[0].next_block().await;
    assert!(hubs[0].next_block().await > before);
    let started = Instant::now();
    devnet.start("hub-3");
    let others = height(&hubs[0]).await;
    until("hub-3 makes blocks with the others", || async {
        (height(&hubs[2]).await > others).then_some(())
    })
    .await;
    let took = started.elapsed();
    assert!(took < BACK_WITHIN, "the next block came {took:?} after the start");
    agree(hubs, height(&hubs[2]).await).await;
}

async fn two_away_halt_it(devnet: &Devnet, hubs: &[Ledger]) {
    devnet.kill("hub-2");
    devnet.kill("hub-4");
    let halted = height(&hubs[0]).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    // What was under way when they went may still have become final.
    assert!(height(&hubs[0]).await.0 <= halted.0 + 1);
    devnet.start("hub-2");
    hubs[0].next_block().await;
    devnet.start("hub-4");
    agree(hubs, height(&hubs[0]).await).await;
}

/// Another power makes another set; both islets' clients follow it, and a share passes over both.
async fn clients_follow_another_set(devnet: &Devnet, hub: &Ledger) {
    let (seattle, mauna_loa) = (devnet.ledger("seattle").await, devnet.ledger("mauna-loa").await);
    let (city, observatory) = (devnet.party("city"), devnet.party("observatory"));
    let before = set(hub).await;
    let mut validators = before.validators.clone();
    validators[1] = Validator { power: Power(2), ..validators[1] };
    govern(hub, &city, &observatory, Act::SetValidators { validators: validators.clone() }).await;
    let now = until("the new set certifies", || async {
        let set = set(hub).await;
        (set.validators == validators).then_some(set)
    })
    .await;
    assert!(now.first_height > before.first_height);

    let device = devnet.party("weather-station");
    let station = Station::new(hub, seattle.clone(), device, &city).await;
    let operation = station.share(1, mauna_loa.chain).await;
    let item = station.data_id(1);
    until("the copy arrives", || async {
        mauna_loa.client.query(&format!("copy/{item}"), None, 0).await.ok()
    })
    .await;
    until("the hub knows that it was taken", || async {
        let records = hub.query(&format!("operation/{operation}")).await;
        records.to_string().contains("complete").then_some(())
    })
    .await;
    for islet in [&seattle, &mauna_loa] {
        let link: LinkId = tombolo_islet_core::hub_link_id(hub.chain, islet.chain);
        let link = islet.link(link).await;
        assert_eq!(link.client.status, ClientStatus::Active);
        assert_eq!(link.client.set_since, now.first_height);
        assert_eq!(link.client.validators_root, digest::validators_root(&now));
    }
}
