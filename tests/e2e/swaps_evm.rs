//! Hash-timelock swaps with Ethereum: an islet and a real node, and two real nodes.

use crate::{
    evm::{FINAL_TWICE, LONG},
    network::Devnet,
    node::Node,
    party::{PATIENCE, Party, coin, until, until_within},
    run::{good, last_json, refused, run},
    swaps::{Market, Service},
};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tombolo_crypto::keccak256::keccak256;
use tombolo_test_nodes::{Beacon, alone, quantity, skipped};
use tombolo_types::id::ChainId;

/// What is given on Ethereum: far more than all fees of a test.
const ETHER: u128 = 1_000_000_000_000_000_000;
const FUNDS: u128 = 100 * ETHER;
/// The native coin.
const NATIVE: &str = "0x0000000000000000000000000000000000000000000000000000000000000000";

/// What is declared where a test waits for deadlines: little, but enough for blocks of a second.
const QUICK: &str = "--block-fastest 1s --block-slowest 3s --skew 1s --inclusion 6s --finality 4s";
/// What others pay for gas where blocks are full, in wei; more than a party offers at first.
const DEAR: u64 = 1_200_000_000;

/// What is declared of a chain.
fn worst_cases(node: &Node) -> &str {
    match node {
        Node::Instant(_) | Node::Anvil(_) => QUICK,
        // They follow from its period.
        Node::Clique(_) => "",
        // Three epochs of eight slots.
        Node::Beacon(_) => {
            "--block-fastest 2s --block-slowest 10s --skew 2s --inclusion 20s --finality 90s"
        }
    }
}

/// A chain of the market, with the contract.
struct Ethereum<'n> {
    node: &'n Node,
    chain: ChainId,
}

impl<'n> Ethereum<'n> {
    /// Adds the chain, has the contract created and the chain declared, and gives the parties funds.
    fn join(market: &Market, name: &str, node: &'n Node) -> Self {
        Self::declared(market, name, node, worst_cases(node))
    }

    /// The same, with these worst cases.
    fn declared(market: &Market, name: &str, node: &'n Node, worst_cases: &str) -> Self {
        let home = market.devnet.home.to_str().unwrap();
        let file = market.devnet.home.join(format!("{name}.hex"));
        std::fs::write(&file, node.key()).unwrap();
        let add = ["chain", "add", "evm", "--json", "--home", home, "--name", name];
        let at = ["--rpc", node.rpc().url(), "--key-file", file.to_str().unwrap()];
        let added = last_json(&good(&[&add[..], &at, &node.words_to_add()].concat()));
        let funds = FUNDS.to_string();
        let deploy = ["swap", "deploy", "--home", home, "--chain", name];
        match node {
            // At once, where a node does as it is told.
            Node::Instant(anvil) | Node::Anvil(anvil) => {
                for party in [&market.city, &market.observatory] {
                    let funds = json!([party.address().to_string(), format!("{FUNDS:#x}")]);
                    let _ = anvil.rpc.call("anvil_setBalance", funds);
                }
                good(&deploy);
            }
            Node::Clique(_) | Node::Beacon(_) => {
                good(&[&deploy[..], &["--fund", &funds]].concat());
            }
        }
        let doctor = ["chain", "doctor", "--json", "--home", home, "--chain", name];
        let ill = refused(&doctor)["message"].as_str().unwrap().to_owned();
        assert!(ill.ends_with("has 1 faults"), "it is not declared yet: {ill}");
        let declare = ["chain", "declare", "--json", "--home", home, "--chain", name];
        let words: Vec<&str> = worst_cases.split_whitespace().collect();
        let declared = last_json(&good(&[&declare[..], &words].concat()));
        // No gateway proves anything there.
        assert_eq!(declared["locking"], json!(["hash"]));
        assert_eq!(declared["chain"], added["chain"]);
        doctor_finds_no_fault(&doctor);
        Self { node, chain: added["chain"].as_str().unwrap().parse().unwrap() }
    }

    /// What a party has won, to the nearest thousandth of an ether: fees are less.
    fn won(&self, party: &Party) -> i128 {
        let asked = json!([party.address().to_string(), "latest"]);
        let balance = self.node.rpc().call("eth_getBalance", asked);
        let digits = balance.as_str().unwrap().trim_start_matches("0x");
        let balance = u128::from_str_radix(digits, 16).unwrap();
        let thousandths = |wei: u128| i128::try_from((wei + ETHER / 2_000) / (ETHER / 1_000));
        thousandths(balance).unwrap() - thousandths(FUNDS).unwrap()
    }

    /// What was paid for one gas, in wei, by the one transaction that has claimed here.
    fn price_of_the_claim(&self) -> u64 {
        let event = keccak256(b"Claimed(address,bytes32,bytes32)").to_string();
        let filter = json!({ "fromBlock": "0x0", "topics": [event] });
        let logs = self.node.rpc().call("eth_getLogs", json!([filter]));
        let [log] = &logs.as_array().unwrap()[..] else { panic!("not one claim: {logs}") };
        let receipt = json!([log["transactionHash"]]);
        let receipt = self.node.rpc().call("eth_getTransactionReceipt", receipt);
        quantity(&receipt["effectiveGasPrice"])
    }
}

/// The contract has its code and is declared; that there is no link is no fault.
fn doctor_finds_no_fault(doctor: &[&str]) {
    let looked = last_json(&good(doctor));
    let findings = looked["findings"].as_array().unwrap();
    for what in ["contract", "swaps", "gateway"] {
        let finding = findings.iter().find(|finding| finding["what"] == what);
        assert_eq!(finding.unwrap()["good"], true, "{looked}");
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

/// The chain is named to the city already, with a contract that nobody knows: as `swap deploy` leaves
/// it where it breaks off in the middle.
fn broken_off(market: &Market) {
    let path = market.config("city");
    let text = std::fs::read_to_string(&path).unwrap();
    let named = format!(
        "\n[[evm]]\nname = \"ethereum\"\nevm_chain_id = 1\ngenesis = \"{NATIVE}\"\n\
         rpc = [\"http://127.0.0.1:1\"]\ncontract = \"0x{:040x}\"\n",
        1
    );
    std::fs::write(&path, text + &named).unwrap();
}

/// Coins of an islet for one ether.
fn agree_on_ether(market: &Market) -> String {
    let coins = (300, coin().to_string(), "seattle");
    agree(market, &coins, &(ETHER, NATIVE.into(), "ethereum"))
}

/// Both have what they swapped for, and no more.
async fn all_is_swapped(market: &Market, ethereum: &Ethereum<'_>) {
    assert_eq!(market.won(&market.seattle, market.city.address()).await, -300);
    assert_eq!(market.won(&market.seattle, market.observatory.address()).await, 300);
    // Credited and paid out.
    until("the ether is paid out", || async {
        (ethereum.won(&market.city) == 1_000).then_some(())
    })
    .await;
    assert_eq!(ethereum.won(&market.observatory), -1_000);
}

/// Waits until a leg of an order stands so, by what a party sees.
async fn leg_is(market: &Market, party: &str, order: &str, leg: usize, standing: &str) -> Value {
    until(&format!("leg {leg} is {standing}"), || async {
        let status = market.swap(party, &["status", order]);
        (status["legs"][leg]["standing"] == standing).then_some(status)
    })
    .await
}

/// The first party locks as soon as the second has heard that all have accepted; then neither of
/// them runs, and hub and relayer are gone.
async fn first_locks_and_all_are_gone(market: &Market, order: &str) {
    let observatory = Service::start(market, "observatory");
    until("the second has heard that all have accepted", || async {
        (market.swap("observatory", &["status", order])["accepted"] == true).then_some(())
    })
    .await;
    observatory.kill();
    let city = Service::start(market, "city");
    leg_is(market, "city", order, 0, "locked").await;
    city.kill();
    market.devnet.kill("relayer");
    market.devnet.kill("hub");
}

/// Data money of an islet against ether.
///
/// Req: PRJ-5-4, PRJ-5-5, PRJ-5-6
#[test]
fn an_islet_and_ethereum_swap() {
    let Some(node) = Node::anvil(31_337) else { return };
    let devnet = Devnet::up();
    run(async {
        let market = Market::open(devnet, 5_000).await;
        broken_off(&market);
        let ethereum = Ethereum::join(&market, "ethereum", &node);
        let chosen = format!("swap-protocol/{}-{}", market.seattle.chain, ethereum.chain);
        assert_eq!(market.hub.query(&chosen).await["protocol"], "htlc");
        let order = agree_on_ether(&market);
        let _services = ["city", "observatory"].map(|party| Service::start(&market, party));
        market.ends("city", &order, "completed").await;
        market.ends("observatory", &order, "completed").await;
        all_is_swapped(&market, &ethereum).await;
    });
}

/// The same with a real geth, whose blocks three signers seal; hub and relayer are gone before the
/// second leg is locked, and when the first party has to claim there, blocks are full of what pays
/// more than it offers.
///
/// Attack: A37. Req: PRJ-5-5, PRJ-5-6, PRJ-5-7
#[test]
fn a37_an_islet_and_a_clique_chain_swap_though_hub_and_relayer_are_gone_and_fees_rise() {
    let _alone = alone();
    let Some(node) = Node::clique(771_177) else { return };
    let devnet = Devnet::up();
    run(async {
        let market = Market::open(devnet, 5_000).await;
        let ethereum = Ethereum::join(&market, "ethereum", &node);
        let order = agree_on_ether(&market);
        first_locks_and_all_are_gone(&market, &order).await;
        let _observatory = Service::start(&market, "observatory");
        leg_is(&market, "observatory", &order, 1, "locked").await;
        node.sender().fill_blocks(30, DEAR);
        let _city = Service::start(&market, "city");
        market.ends("city", &order, "completed").await;
        market.ends("observatory", &order, "completed").await;
        all_is_swapped(&market, &ethereum).await;
        assert!(ethereum.price_of_the_claim() > DEAR, "it was in at the first offer");
    });
}

/// The same on proof of stake: nothing is built upon before the chain says that it is final.
///
/// Req: PRJ-5-5, PRJ-5-6
#[test]
fn an_islet_and_proof_of_stake_swap() {
    if std::env::var_os(LONG).is_none() {
        skipped(&format!("a hash-timelock swap on proof of stake takes 4 min; set {LONG}=1"));
        return;
    }
    let _alone = alone();
    let Some(network) = Beacon::start() else { return };
    // There must be something final to begin with.
    let _ = network.finality_update(8);
    let node = Node::Beacon(network);
    let devnet = Devnet::up();
    run(async {
        let market = Market::open(devnet, 5_000).await;
        let ethereum = Ethereum::join(&market, "ethereum", &node);
        let order = agree_on_ether(&market);
        let _services = ["city", "observatory"].map(|party| Service::start(&market, party));
        for party in ["city", "observatory"] {
            until_within(FINAL_TWICE, &format!("the swap of {party} is over"), || async {
                let status = market.swap(party, &["status", &order]);
                let outcome = status["outcome"].as_str()?.to_owned();
                assert_eq!(outcome, "completed", "{status}");
                Some(())
            })
            .await;
        }
        all_is_swapped(&market, &ethereum).await;
    });
}

/// Each is killed when it hurts most, on two networks of real geths; hub and relayer are gone.
///
/// Req: PRJ-5-5, PRJ-5-6, PRJ-5-7
#[test]
fn a32_a_party_killed_after_the_secret_is_out_has_its_due_on_two_clique_chains() {
    let _alone = alone();
    let Some(one) = Node::clique(771_177) else { return };
    let Some(two) = Node::clique(771_178) else { return };
    let devnet = Devnet::up();
    run(async {
        let market = Market::open(devnet, 40_000).await;
        let one = Ethereum::join(&market, "one", &one);
        let two = Ethereum::join(&market, "two", &two);
        let native = NATIVE.to_owned();
        let give = (ETHER, native.clone(), "one");
        let order = agree(&market, &give, &(2 * ETHER, native, "two"));
        first_locks_and_all_are_gone(&market, &order).await;
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

/// The first lets its moment pass once both have locked: showing the secret so late is refused, and
/// both take back what is theirs, `within` so long.
async fn the_first_comes_too_late(market: &Market, order: &str, within: Duration) {
    let city = Service::start(market, "city");
    leg_is(market, "city", order, 0, "locked").await;
    city.kill();
    let observatory = Service::start(market, "observatory");
    leg_is(market, "observatory", order, 1, "locked").await;
    observatory.kill();
    let end = Instant::now() + PATIENCE;
    while market.swap("city", &["status", order])["next"] != "wait" {
        assert!(Instant::now() < end, "there is always time to claim");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let refusal = market.refused("city", &["claim", order]);
    assert_eq!(refusal["class"], "E_TIMEOUT", "{refusal}");
    let _services = ["city", "observatory"].map(|party| Service::start(market, party));
    for party in ["observatory", "city"] {
        until_within(within, &format!("the swap of {party} is undone"), || async {
            (market.swap(party, &["status", order])["outcome"] == "undone").then_some(())
        })
        .await;
    }
}

/// The first misses its moment on a real geth; it is refused, and each has its own again.
///
/// Req: PRJ-5-7
#[test]
fn a31_a_claim_at_the_last_moment_is_refused_on_a_clique_chain() {
    let _alone = alone();
    let Some(node) = Node::clique(771_177) else { return };
    let devnet = Devnet::up();
    run(async {
        let market = Market::open(devnet, 5_000).await;
        let ethereum = Ethereum::declared(&market, "ethereum", &node, QUICK);
        let order = agree_on_ether(&market);
        the_first_comes_too_late(&market, &order, PATIENCE).await;
        assert_eq!(market.won(&market.seattle, market.city.address()).await, 0);
        assert_eq!(ethereum.won(&market.observatory), 0);
    });
}

/// The same between two chains of Ethereum: a geth of Clique's and anvil.
///
/// Req: PRJ-5-5, PRJ-5-7
#[test]
fn a31_a_claim_at_the_last_moment_is_refused_between_two_ethereum_chains() {
    if std::env::var_os(LONG).is_none() {
        return skipped(&format!("giving back between two chains takes 100 s; set {LONG}=1"));
    }
    let _alone = alone();
    let Some(one) = Node::clique(771_177) else { return };
    let Some(two) = Node::anvil(31_337) else { return };
    let devnet = Devnet::up();
    run(async {
        let market = Market::open(devnet, 5_000).await;
        let one = Ethereum::declared(&market, "one", &one, QUICK);
        let two = Ethereum::join(&market, "two", &two);
        let native = NATIVE.to_owned();
        let order = agree(&market, &(ETHER, native.clone(), "one"), &(2 * ETHER, native, "two"));
        // The locks of two such chains last for minutes.
        the_first_comes_too_late(&market, &order, FINAL_TWICE).await;
        until("each has its own again", || async {
            let of =
                |chain: &Ethereum<'_>| [&market.city, &market.observatory].map(|it| chain.won(it));
            ([of(&one), of(&two)] == [[0, 0]; 2]).then_some(())
        })
        .await;
    });
}
