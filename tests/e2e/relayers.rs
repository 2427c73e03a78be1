//! Two relayers that serve the same links.

use crate::{
    network::{Devnet, metric, page},
    party::{Ledger, Party, Station, govern, until},
    run::run,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    time::Duration,
};
use tombolo_crypto::secp256k1::SecretKey;
use tombolo_hub::govern::{Act, NewIdentity};
use tombolo_islet::signer::random;
use tombolo_node::keys::{Cost, Keystore, PassphraseSource};
use tombolo_types::{
    id::{GlobalId, IdentityId},
    message::Role,
};

const SECOND: &str = "relayer-2";
/// Shares until each has seen the other at work: there is one race at each end of each link.
const FIRST_SHARES: u64 = 50;
/// Shares while both run, and while one is killed.
const SHARES: u64 = 500;
const SHARES_IN_A_CRASH: u64 = 200;
/// Between two shares.
const TRAFFIC: Duration = Duration::from_millis(5);

/// Two relayers with keys of their own serve the same links under traffic. Nothing is taken twice;
/// of what they submit, less than a twentieth is refused because the other was faster, by the
/// metrics of both; and when one is killed, the other brings the rest.
///
/// Req: PRJ-4-2
#[test]
fn a22_two_relayers_serve_one_link() {
    let devnet = Devnet::up();
    run(async {
        let hub = devnet.ledger("hub").await;
        let islets = [devnet.ledger("seattle").await, devnet.ledger("mauna-loa").await];
        let (city, observatory) = (devnet.party("city"), devnet.party("observatory"));
        let second = add_relayer(&devnet, &hub, &islets, &city, &observatory).await;
        let first = devnet.serves("relayer");
        let device = devnet.party("weather-station");
        let station = Station::new(&hub, islets[0].clone(), device, &city).await;

        let mut numbers = 0..;
        let mut shared = BTreeSet::new();
        for number in numbers.by_ref().take(FIRST_SHARES as usize) {
            shared.insert(station.share(number, islets[1].chain).await);
            tokio::time::sleep(TRAFFIC).await;
        }
        are_taken_once(&hub, &islets[1], &shared).await;
        let before = Counts::of(&[first, second]);
        for number in numbers.by_ref().take(SHARES as usize) {
            shared.insert(station.share(number, islets[1].chain).await);
            tokio::time::sleep(TRAFFIC).await;
        }
        are_taken_once(&hub, &islets[1], &shared).await;
        let counts = Counts::of(&[first, second]).since(&before);
        let share = counts.redundant / (counts.accepted + counts.redundant);
        assert!(share < 0.05, "{counts:?}");
        // Over two hops each; what both brought in part stands in two blocks and counts once.
        let twice = counts.messages / (2.0 * SHARES as f64) - 1.0;
        assert!(twice < 0.05, "{counts:?}");

        let before = Counts::of(&[second]);
        for (position, number) in numbers.take(SHARES_IN_A_CRASH as usize).enumerate() {
            if position == SHARES_IN_A_CRASH as usize / 4 {
                devnet.kill("relayer");
            }
            shared.insert(station.share(number, islets[1].chain).await);
            tokio::time::sleep(TRAFFIC).await;
        }
        are_taken_once(&hub, &islets[1], &shared).await;
        let brought = Counts::of(&[second]).since(&before).messages;
        assert!(brought >= SHARES_IN_A_CRASH as f64, "{brought} brought by the other");
    });
}

/// What relayers have done, by their own metrics.
#[derive(Debug)]
struct Counts {
    /// Deliveries and client updates that became final.
    accepted: f64,
    /// Those that the other had made unneeded.
    redundant: f64,
    /// Messages in the deliveries.
    messages: f64,
}

impl Counts {
    fn of(relayers: &[SocketAddr]) -> Self {
        let pages: Vec<String> =
            relayers.iter().map(|relayer| page(*relayer, "/metrics")).collect();
        let sum = |name: &str, labels: &[&str]| -> f64 {
            pages.iter().map(|page| metric(page, name, labels)).sum()
        };
        Self {
            accepted: sum("relayer_deliveries_total", &[])
                + sum("relayer_client_updates_total", &[]),
            redundant: sum("relayer_steps_refused_total", &["class=\"E_REPLAY\""]),
            messages: sum("relayer_messages_delivered_total", &[]),
        }
    }

    fn since(self, before: &Self) -> Self {
        Self {
            accepted: self.accepted - before.accepted,
            redundant: self.redundant - before.redundant,
            messages: self.messages - before.messages,
        }
    }
}

/// Waits until each share stands in the log of its destination, and twice in the hub's: taken, and
/// known to be taken there. None stands there more often, none was refused.
async fn are_taken_once(hub: &Ledger, destination: &Ledger, shared: &BTreeSet<GlobalId>) {
    for (ledger, times) in [(destination, 1), (hub, 2)] {
        until("all is taken", async || {
            let mut taken = BTreeMap::<GlobalId, usize>::new();
            let mut next = 0;
            loop {
                let page = ledger.client.records(next, 500).await.unwrap();
                let Some((last, _)) = page.records.last() else { break };
                next = last + 1;
                for (_, salted) in &page.records {
                    if shared.contains(&salted.record.global_id) {
                        assert_eq!(salted.record.outcome, 0, "{}", salted.record.remark);
                        *taken.entry(salted.record.global_id).or_default() += 1;
                    }
                }
            }
            assert!(taken.values().all(|count| *count <= times), "a share was taken again");
            let all = taken.len() == shared.len() && taken.values().all(|count| *count == times);
            all.then_some(())
        })
        .await;
    }
}

/// Starts another relayer with a key of its own; gives where it shows its status.
async fn add_relayer(
    devnet: &Devnet,
    hub: &Ledger,
    islets: &[Ledger],
    city: &Party,
    observatory: &Party,
) -> SocketAddr {
    let key = SecretKey::from_bytes(random().0).unwrap();
    let party = Party::new(key.clone());
    let new = NewIdentity {
        key: key.address(),
        roles: Role::Relayer.bit(),
        name: SECOND.into(),
        owner: IdentityId::ZERO,
    };
    govern(hub, city, observatory, Act::RegisterIdentity(new)).await;
    for islet in islets {
        until("the islet knows the relayer", async || {
            islet.client.query(&format!("identity/{}", party.identity()), None, 0).await.ok()
        })
        .await;
    }
    let home = devnet.home.join(SECOND);
    let passphrase = PassphraseSource::File(devnet.home.join("passphrase")).read().unwrap();
    Keystore::new(home.join("keys")).import("relayer", &key, &passphrase, Cost::DEVNET).unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let text = std::fs::read_to_string(devnet.home.join("relayer/config.toml")).unwrap();
    let mut config: toml::Table = toml::from_str(&text).unwrap();
    config.insert("home".into(), home.to_str().unwrap().into());
    config.insert("status_listen".into(), port.to_string().into());
    std::fs::write(home.join("config.toml"), toml::to_string(&config).unwrap()).unwrap();
    devnet.start_as(SECOND, "relayer");
    until("the second relayer serves both links", async || {
        let stream = tokio::net::TcpStream::connect(port).await;
        stream.ok()?;
        let links = page(port, "/status");
        (links.matches("\"link\"").count() == 2).then_some(())
    })
    .await;
    port
}
