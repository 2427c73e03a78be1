//! Hash-timelock swaps with Ethereum: an islet and a real node, and two real nodes.

use crate::{
    network::Devnet,
    party::{PATIENCE, Party, coin, govern, until},
    run::run,
    swaps::{Market, Service},
};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};
use tombolo_crypto::secp256k1::SecretKey;
use tombolo_evm::{Finality, HtlcConfig, Rpc, account, deploy::Deployer, sender::FeePolicy};
use tombolo_hub::{govern::Act, swap::ChainDeclaration};
use tombolo_swap::{
    htlc::{Expiry, Profile, Spending},
    protocol::Locking,
};
use tombolo_test_nodes::{Anvil, hash};
use tombolo_types::id::ChainId;

/// What is given on Ethereum: far more than all fees of a test.
const ETHER: u128 = 1_000_000_000_000_000_000;
const FUNDS: u128 = 100 * ETHER;
/// Blocks on top that make one final.
const DEPTH: u64 = 1;
/// The native coin.
const NATIVE: &str = "0x0000000000000000000000000000000000000000000000000000000000000000";

/// A real node with the contract, a block each second.
struct Ethereum {
    anvil: Anvil,
    config: HtlcConfig,
    name: String,
}

impl Ethereum {
    /// `None`, said loudly, where there is no anvil.
    fn start(name: &str, evm_chain_id: u64) -> Option<Self> {
        let anvil = Anvil::start(&["--block-time", "1", "--chain-id", &evm_chain_id.to_string()])?;
        let block = anvil.rpc.call("eth_getBlockByNumber", json!(["0x0", false]));
        let config = HtlcConfig {
            evm_chain_id,
            genesis: hash(&block["hash"]).0.into(),
            rpc: Rpc::of(vec![anvil.rpc.url().to_owned()]),
            finality: Finality::Depth(DEPTH),
            contract: [0; 20].into(),
            from_block: 0,
            fees: FeePolicy::default(),
        };
        Some(Self { anvil, config, name: name.to_owned() })
    }

    fn chain(&self) -> ChainId {
        self.config.chain()
    }

    /// Gives the parties funds, creates the contract, declares the chain, and names it to both.
    async fn join(&mut self, market: &Market) {
        for party in [&market.city, &market.observatory] {
            let funds = json!([party.address().to_string(), format!("{FUNDS:#x}")]);
            let _ = self.anvil.rpc.call("anvil_setBalance", funds);
        }
        let HtlcConfig { evm_chain_id, genesis, rpc, finality, fees, .. } = self.config.clone();
        let account = account(&SecretKey::from_bytes([0x77; 32]).unwrap()).unwrap();
        let funds = json!([account.address(), format!("{FUNDS:#x}")]);
        let _ = self.anvil.rpc.call("anvil_setBalance", funds);
        let chain = (evm_chain_id, genesis);
        let deployer = Deployer::connect(chain, &rpc, finality, fees, account).await.unwrap();
        let contract = deployer.htlc().await.unwrap();
        for party in ["city", "observatory"] {
            let path = market.config(party);
            let text = std::fs::read_to_string(&path).unwrap();
            let evm = format!(
                "\n[[evm]]\nname = \"{}\"\nevm_chain_id = {evm_chain_id}\ngenesis = \"{genesis}\"\n\
                 rpc = [\"{}\"]\nfinality_depth = {DEPTH}\ncontract = \"{contract}\"\n",
                self.name, rpc.urls[0]
            );
            std::fs::write(&path, text + &evm).unwrap();
        }
        let declaration = Act::DeclareChain(Box::new(ChainDeclaration {
            chain: self.chain(),
            locking: BTreeSet::from([Locking::Hash]),
            profile: Profile {
                block_ms_fastest: 1_000,
                block_ms_slowest: 3_000,
                time_lag_ms: 0,
                skew_ms: 1_000,
                inclusion_ms: 4_000,
                finality_ms: 2_000,
                expiry: Expiry::Enforced,
                spending: Spending::Anybody,
            },
        }));
        govern(&market.hub, &market.city, &market.observatory, declaration).await;
    }

    /// What a party has won, to the nearest thousandth of an ether: fees are less.
    fn won(&self, party: &Party) -> i128 {
        let asked = json!([party.address().to_string(), "latest"]);
        let balance = self.anvil.rpc.call("eth_getBalance", asked);
        let digits = balance.as_str().unwrap().trim_start_matches("0x");
        let balance = u128::from_str_radix(digits, 16).unwrap();
        let thousandths = |wei: u128| i128::try_from((wei + ETHER / 2_000) / (ETHER / 1_000));
        thousandths(balance).unwrap() - thousandths(FUNDS).unwrap()
    }
}

/// One side of a swap: how much of what, where.
type Side<'a> = (u128, String, &'a str);

/// The city offers, the observatory accepts; gives the order's id.
fn agree(market: &Market, give: &Side<'_>, take: &Side<'_>) -> String {
    let to = market.observatory.identity().to_string();
    // Nothing is bound on a chain to which no link leads.
    let theirs = market.observatory.address().to_string();
    let (give_amount, take_amount) = (give.0.to_string(), take.0.to_string());
    let words = [
        &["offer", "--to", &to, "--accept-within", "5s", "--spare", "3s"][..],
        &["--give", &give_amount, "--give-asset", &give.1, "--give-on", give.2],
        &["--take", &take_amount, "--take-asset", &take.1, "--take-on", take.2],
        &["--give-to", &theirs, "--take-from", &theirs],
    ]
    .concat();
    let order = market.swap("city", &words)["order"].as_str().unwrap().to_owned();
    market.swap("observatory", &["accept", &order]);
    order
}

/// Waits until a leg of an order stands so, by what a party sees.
async fn leg_is(market: &Market, party: &str, order: &str, leg: usize, standing: &str) -> Value {
    until(&format!("leg {leg} is {standing}"), || async {
        let status = market.swap(party, &["status", order]);
        (status["legs"][leg]["standing"] == standing).then_some(status)
    })
    .await
}

/// Data money of an islet against ether.
///
/// Req: PRJ-5-4, PRJ-5-5, PRJ-5-6
#[test]
fn an_islet_and_ethereum_swap() {
    let Some(mut ethereum) = Ethereum::start("ethereum", 31_337) else { return };
    let devnet = Devnet::up();
    run(async {
        let market = Market::open(devnet, 5_000).await;
        ethereum.join(&market).await;
        let chosen = format!("swap-protocol/{}-{}", market.seattle.chain, ethereum.chain());
        assert_eq!(market.hub.query(&chosen).await["protocol"], "htlc");
        let order = agree(
            &market,
            &(300, coin().to_string(), "seattle"),
            &(ETHER, NATIVE.into(), "ethereum"),
        );
        let _services = ["city", "observatory"].map(|party| Service::start(&market, party));
        market.ends("city", &order, "completed").await;
        market.ends("observatory", &order, "completed").await;
        assert_eq!(market.won(&market.seattle, market.city.address()).await, -300);
        assert_eq!(market.won(&market.seattle, market.observatory.address()).await, 300);
        // Credited and paid out.
        until("the ether is paid out", || async {
            (ethereum.won(&market.city) == 1_000).then_some(())
        })
        .await;
        assert_eq!(ethereum.won(&market.observatory), -1_000);
    });
}

/// Each is killed when it hurts most, on two real chains.
///
/// Req: PRJ-5-6
#[test]
fn a32_a_party_killed_after_the_secret_is_out_has_its_due_on_two_ethereum_chains() {
    let Some(mut one) = Ethereum::start("one", 31_337) else { return };
    let Some(mut two) = Ethereum::start("two", 31_338) else { return };
    let devnet = Devnet::up();
    run(async {
        let market = Market::open(devnet, 40_000).await;
        one.join(&market).await;
        two.join(&market).await;
        let native = NATIVE.to_owned();
        let give = (ETHER, native.clone(), "one");
        let order = agree(&market, &give, &(2 * ETHER, native, "two"));
        let city = Service::start(&market, "city");
        leg_is(&market, "city", &order, 0, "locked").await;
        city.kill();
        let observatory = Service::start(&market, "observatory");
        leg_is(&market, "observatory", &order, 1, "locked").await;
        observatory.kill();
        let city = Service::start(&market, "city");
        // Shown in a block that is not final yet.
        until("the secret is out", || async {
            let status = market.swap("city", &["status", &order]);
            let standing = status["legs"][1]["standing"].as_str().unwrap();
            standing.starts_with("claimed").then_some(())
        })
        .await;
        city.kill();
        let _observatory = Service::start(&market, "observatory");
        market.ends("observatory", &order, "completed").await;
        let _city = Service::start(&market, "city");
        market.ends("city", &order, "completed").await;
        for (chain, party, won) in
            [(&one, &market.city, -1_000), (&two, &market.observatory, -2_000)]
        {
            assert_eq!(chain.won(party), won);
        }
        until("both are paid out", || async {
            let paid = (one.won(&market.observatory), two.won(&market.city));
            (paid == (1_000, 2_000)).then_some(())
        })
        .await;
    });
}

/// The first misses its moment on Ethereum; it is refused, and each has its own again.
///
/// Req: PRJ-5-7
#[test]
fn a31_a_claim_at_the_last_moment_is_refused_on_ethereum() {
    let Some(mut ethereum) = Ethereum::start("ethereum", 31_337) else { return };
    let devnet = Devnet::up();
    run(async {
        let market = Market::open(devnet, 5_000).await;
        ethereum.join(&market).await;
        let order = agree(
            &market,
            &(300, coin().to_string(), "seattle"),
            &(ETHER, NATIVE.into(), "ethereum"),
        );
        let city = Service::start(&market, "city");
        leg_is(&market, "city", &order, 0, "locked").await;
        city.kill();
        let observatory = Service::start(&market, "observatory");
        leg_is(&market, "observatory", &order, 1, "locked").await;
        observatory.kill();
        let end = Instant::now() + PATIENCE;
        while market.swap("city", &["status", &order])["next"] != "wait" {
            assert!(Instant::now() < end, "there is always time to claim");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        let refusal = market.refused("city", &["claim", &order]);
        assert_eq!(refusal["class"], "E_TIMEOUT", "{refusal}");
        let _services = ["city", "observatory"].map(|party| Service::start(&market, party));
        market.ends("observatory", &order, "undone").await;
        market.ends("city", &order, "undone").await;
        assert_eq!(market.won(&market.seattle, market.city.address()).await, 0);
        assert_eq!(ethereum.won(&market.observatory), 0);
    });
}
