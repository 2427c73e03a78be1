//! Hash-timelock swaps between two islets: the command, its services, and what is done to them.

use crate::{
    network::Devnet,
    party::{Ledger, PATIENCE, Party, coin, govern, until},
    run::{command, good, last_json, refused, run},
};
use serde_json::Value;
use std::{
    collections::BTreeSet,
    process::{Child, Stdio},
    time::{Duration, Instant},
};
use tombolo_hub::{govern::Act, swap::ChainDeclaration};
use tombolo_swap::{
    htlc::{Expiry, Profile, Spending},
    protocol::Locking,
};
use tombolo_types::{Address, id::ChainId};

const GIVE: u128 = 300;
const TAKE: u128 = 200;
/// What an account of a devnet holds at first.
const BALANCE: u128 = 1_000_000;

/// A devnet on which swaps are quick: chains promise more than usual, and nobody may be down long.
pub(crate) struct Market {
    pub(crate) devnet: Devnet,
    pub(crate) hub: Ledger,
    pub(crate) seattle: Ledger,
    mauna_loa: Ledger,
    pub(crate) city: Party,
    pub(crate) observatory: Party,
}

impl Market {
    pub(crate) async fn open(devnet: Devnet, outage_ms: u64) -> Self {
        let (city, observatory) = (devnet.party("city"), devnet.party("observatory"));
        let hub = devnet.ledger("hub").await;
        let seattle = devnet.ledger("seattle").await;
        let mauna_loa = devnet.ledger("mauna-loa").await;
        let parameter = |name: &str, value| Act::SetParameter { name: name.into(), value };
        let acts = [
            parameter("relay_margin_ms", 1_000),
            parameter("swap_outage_ms", outage_ms),
            declaration(seattle.chain),
            declaration(mauna_loa.chain),
        ];
        for act in acts {
            govern(&hub, &city, &observatory, act).await;
        }
        Self { devnet, hub, seattle, mauna_loa, city, observatory }
    }

    pub(crate) fn config(&self, party: &str) -> String {
        self.devnet.home.join(party).join("config.toml").to_str().unwrap().to_owned()
    }

    /// What a swap command of a party prints as JSON.
    pub(crate) fn swap(&self, party: &str, words: &[&str]) -> Value {
        last_json(&good(&[&["swap"], words, &["--json", "--config", &self.config(party)]].concat()))
    }

    /// The same, refused.
    pub(crate) fn refused(&self, party: &str, words: &[&str]) -> Value {
        refused(&[&["swap"], words, &["--json", "--config", &self.config(party)]].concat())
    }

    /// The city offers; gives the order's id.
    fn offer(&self) -> String {
        let to = self.observatory.identity().to_string();
        let coin = coin().to_string();
        let (give, take) = (GIVE.to_string(), TAKE.to_string());
        let words = [
            &["offer", "--to", &to, "--accept-within", "5s", "--spare", "3s"][..],
            &["--give", &give, "--give-asset", &coin, "--give-on", "seattle"],
            &["--take", &take, "--take-asset", &coin, "--take-on", "mauna-loa"],
        ]
        .concat();
        let offered = self.swap("city", &words);
        let order = offered["order"].as_str().unwrap().to_owned();
        assert!(offered["assurance"].as_str().unwrap().starts_with("weaker than two-phase"));
        order
    }

    /// The city offers, the observatory accepts; gives the order's id.
    fn agree(&self) -> String {
        let order = self.offer();
        let listed = self.swap("observatory", &["list"]);
        assert_eq!(listed["offered"][0]["order"], order, "{listed}");
        assert_eq!(listed["offered"][0]["next"], "accept", "{listed}");
        assert_eq!(self.swap("observatory", &["accept", &order])["role"], "party 1");
        assert_eq!(self.refused("observatory", &["accept", &order])["class"], "E_STATE");
        assert_eq!(self.refused("university", &["accept", &order])["class"], "E_DENIED");
        order
    }

    pub(crate) async fn won(&self, islet: &Ledger, account: Address) -> i128 {
        let holding = islet.query(&format!("accounts/{account}")).await;
        let coin = coin().to_string();
        let balances = holding["balances"].as_array().expect("an account has balances");
        let found = balances.iter().find(|it| it["asset"] == coin);
        let amount = found.map_or(0, |it| it["amount"].as_str().unwrap().parse::<u128>().unwrap());
        i128::try_from(amount).unwrap() - i128::try_from(BALANCE).unwrap()
    }

    /// What city and observatory have won, on Seattle's islet and on Mauna Loa's.
    async fn all_won(&self) -> [[i128; 2]; 2] {
        let (city, observatory) = (self.city.address(), self.observatory.address());
        [
            [self.won(&self.seattle, city).await, self.won(&self.mauna_loa, city).await],
            [
                self.won(&self.seattle, observatory).await,
                self.won(&self.mauna_loa, observatory).await,
            ],
        ]
    }

    /// Waits until the lock under an order stands so on an islet.
    pub(crate) async fn lock_is(
        &self,
        islet: &Ledger,
        locker: &Party,
        order: &str,
        standing: &str,
    ) {
        let order = self.hub.query(&format!("swap/{order}")).await;
        let path = format!("hash-lock/{}-{}", order["hash"].as_str().unwrap(), locker.address());
        until(&format!("the lock is {standing}"), || async {
            let page = islet.client.query(&path, None, 0).await.ok()?;
            let lock: Value = serde_json::from_str(&page.json).unwrap();
            (lock["standing"] == standing).then_some(())
        })
        .await;
    }

    pub(crate) async fn ends(&self, party: &str, order: &str, outcome: &str) {
        until(&format!("the swap of {party} is {outcome}"), || async {
            (self.swap(party, &["status", order])["outcome"] == outcome).then_some(())
        })
        .await;
    }
}

fn declaration(chain: ChainId) -> Act {
    Act::DeclareChain(Box::new(ChainDeclaration {
        chain,
        locking: BTreeSet::from([Locking::Provable, Locking::Hash]),
        profile: Profile {
            block_ms_fastest: 20,
            block_ms_slowest: 2_000,
            time_lag_ms: 0,
            skew_ms: 500,
            inclusion_ms: 2_000,
            finality_ms: 0,
            expiry: Expiry::Enforced,
            spending: Spending::Anybody,
        },
    }))
}

/// The service of a party; dies with the test.
pub(crate) struct Service(Child);

impl Service {
    pub(crate) fn start(market: &Market, party: &str) -> Self {
        let log = market.devnet.home.join("logs").join(format!("{party}.log"));
        let log = std::fs::File::options().create(true).append(true).open(log).unwrap();
        let mut command = command(&["swap", "start", "--config", &market.config(party)]);
        Self(command.stdout(Stdio::null()).stderr(log).spawn().unwrap())
    }

    /// The command with these words, which does not end by itself.
    pub(crate) fn spawn(words: &[&str]) -> Self {
        let mut command = command(words);
        Self(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }

    /// As a power cut would.
    pub(crate) fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // It may be dead already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

const DONE: [[i128; 2]; 2] = [[-300, 200], [300, -200]];

/// Both are there; the hub is told; then hub and relayer are gone and a second swap ends all the
/// same.
///
/// Req: PRJ-5-5, PRJ-5-6, PRJ-5-9
#[test]
fn two_parties_swap_and_need_no_hub_once_they_agree() {
    let devnet = Devnet::up();
    run(async {
        let market = Market::open(devnet, 5_000).await;
        let order = market.agree();
        assert_eq!(market.refused("city", &["list", "--stuck"])["class"], "E_STATE");
        let services = ["city", "observatory"].map(|party| Service::start(&market, party));
        market.ends("city", &order, "completed").await;
        market.ends("observatory", &order, "completed").await;
        assert_eq!(market.all_won().await, DONE);
        until("both have told the hub", || async {
            let shown = market.hub.query(&format!("swap/{order}")).await;
            (shown["status"] == "settled").then_some(())
        })
        .await;
        let listed = market.swap("city", &["list", "--stuck"]);
        assert_eq!(listed["swaps"].as_array().unwrap().len(), 0, "{listed}");
        let again = market.refused("university", &["claim", &order]);
        assert_eq!(again["class"], "E_REPLAY", "{again}");

        // An offer that is taken back is over at once.
        let withdrawn = market.offer();
        market.swap("city", &["withdraw", &withdrawn]);
        market.ends("city", &withdrawn, "undone").await;
        assert_eq!(market.refused("observatory", &["accept", &withdrawn])["class"], "E_STATE");

        let second = market.agree();
        until("both have heard that all have accepted", || async {
            let heard = |party| market.swap(party, &["status", &second])["accepted"] == true;
            (heard("city") && heard("observatory")).then_some(())
        })
        .await;
        market.devnet.kill("relayer");
        market.devnet.kill("hub");
        market.ends("city", &second, "completed").await;
        market.ends("observatory", &second, "completed").await;
        assert_eq!(market.all_won().await, DONE.map(|party| party.map(|won| 2 * won)));
        drop(services);
    });
}

/// Each is killed when it hurts most: the second while the secret goes out, the first right after it
/// has shown it. The second comes back and has its due.
///
/// Req: PRJ-5-6
#[test]
fn a32_a_party_killed_after_the_secret_is_out_has_its_due_when_it_is_back() {
    let devnet = Devnet::up();
    run(async {
        let market = Market::open(devnet, 30_000).await;
        let order = market.agree();
        let city = Service::start(&market, "city");
        market.lock_is(&market.seattle, &market.city, &order, "open").await;
        city.kill();
        let observatory = Service::start(&market, "observatory");
        market.lock_is(&market.mauna_loa, &market.observatory, &order, "open").await;
        observatory.kill();
        let city = Service::start(&market, "city");
        market.lock_is(&market.mauna_loa, &market.observatory, &order, "claimed").await;
        city.kill();
        let _observatory = Service::start(&market, "observatory");
        market.ends("observatory", &order, "completed").await;
        let _city = Service::start(&market, "city");
        market.ends("city", &order, "completed").await;
        assert_eq!(market.all_won().await, DONE);
    });
}

/// The second never comes back; a stranger who watches claims for it, and has nothing of it.
///
/// Req: PRJ-5-6
#[test]
fn a32_a_watcher_claims_for_a_party_that_stays_away() {
    let devnet = Devnet::up();
    run(async {
        let market = Market::open(devnet, 30_000).await;
        let order = market.agree();
        let _city = Service::start(&market, "city");
        market.lock_is(&market.seattle, &market.city, &order, "open").await;
        let observatory = Service::start(&market, "observatory");
        market.lock_is(&market.mauna_loa, &market.observatory, &order, "open").await;
        observatory.kill();
        let config = market.config("university");
        let text = std::fs::read_to_string(&config).unwrap();
        std::fs::write(&config, text.replace("watch = false", "watch = true")).unwrap();
        let _university = Service::start(&market, "university");
        market.lock_is(&market.seattle, &market.city, &order, "claimed").await;
        market.ends("university", &order, "watched").await;
        assert_eq!(market.all_won().await, DONE);
        let university = market.devnet.party("university");
        assert_eq!(market.won(&market.seattle, university.address()).await, 0);
    });
}

/// The first misses its moment: showing the secret so late is refused, and each has its own again.
///
/// Req: PRJ-5-7, PRJ-5-9
#[test]
fn a31_a_claim_at_the_last_moment_is_refused_and_each_has_its_own_again() {
    let devnet = Devnet::up();
    run(async {
        let market = Market::open(devnet, 5_000).await;
        let order = market.agree();
        let city = Service::start(&market, "city");
        market.lock_is(&market.seattle, &market.city, &order, "open").await;
        // The service that runs has it.
        assert_eq!(market.refused("city", &["refund", &order])["class"], "E_STATE");
        city.kill();
        let early = market.refused("city", &["refund", &order]);
        assert_eq!(early["class"], "E_STATE", "{early}");
        let observatory = Service::start(&market, "observatory");
        market.lock_is(&market.mauna_loa, &market.observatory, &order, "open").await;
        observatory.kill();
        let status = market.swap("city", &["status", &order]);
        assert_eq!(status["next"], "claim leg 1", "{status}");
        // Neither does the other know the secret.
        assert_eq!(market.refused("observatory", &["claim", &order])["class"], "E_STATE");

        // Until less is left than a claim may take at the worst.
        let end = Instant::now() + PATIENCE;
        let late = loop {
            let status = market.swap("city", &["status", &order]);
            if status["next"] == "wait" {
                break status;
            }
            assert!(Instant::now() < end, "{status}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        };
        assert_eq!(late["waits_for"][0], "E_TIMEOUT", "{late}");
        let refusal = market.refused("city", &["claim", &order]);
        assert_eq!(refusal["class"], "E_TIMEOUT", "{refusal}");

        for (party, islet, locker) in [
            ("observatory", &market.mauna_loa, &market.observatory),
            ("city", &market.seattle, &market.city),
        ] {
            until("it can be given back", || async {
                (market.swap(party, &["status", &order])["next"].as_str()?.starts_with("refund"))
                    .then_some(())
            })
            .await;
            let done = market.swap(party, &["refund", &order]);
            assert_eq!(done["done"][0]["deed"], "refund", "{done}");
            market.lock_is(islet, locker, &order, "refunded").await;
            market.ends(party, &order, "undone").await;
        }
        assert_eq!(market.all_won().await, [[0, 0], [0, 0]]);
    });
}
