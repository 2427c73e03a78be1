//! Links of mode 3 in processes: several relayers attest, one is killed, one lies.

use crate::{
    evm::{ANVIL_KEY, FINAL_TWICE, GETH_KEY, Integration, LONG, NAME, hex},
    hostile::keeps_its_bounds,
    network::{Devnet, free_port},
    party::{until, until_within},
    run::{good, last_json, refused, run, tombolo},
};
use serde_json::{Value, json};
use std::{net::SocketAddr, path::PathBuf};
use tombolo_crypto::keccak256::keccak256;
use tombolo_test_nodes::{Anvil, Beacon, Clique, FalseFront, GethDev, Rpc, alone, skipped};
use tombolo_types::{Address, Hash};

/// Mode 3: two of three relayers attest, each by its own keys and node; one is killed in the middle
/// of traffic, and nothing is lost.
///
/// Attack: A54. Req: Y4560-10.2-3.1, Y4560-10.2-3.2, Y4560-10.2-3.3
#[test]
fn two_of_three_shared_nodes_go_on_when_the_third_is_killed() {
    let _alone = alone();
    let Some(network) = Clique::start(1, 1_000) else { return };
    let urls: Vec<&str> = network.signers.iter().map(|signer| signer.rpc.url()).collect();
    let words = ["--proof", "none", "--finality-depth", "2", "--rpc", urls[1], "--rpc", urls[2]];
    let shared = ["3", "--nodes", "3", "--threshold", "2", "--allow", "weather=share"];
    let linked = Integration::shared(Devnet::up(), network.rpc(), GETH_KEY, &words, &shared);
    run(async {
        linked.share(2, false).await;
        linked.devnet.kill("harbour-node-2");
        linked.share(2, false).await;
        linked.devnet.start("harbour-node-2");
        linked.devnet.kill("harbour-node-3");
        linked.share(2, false).await;
        let hub = linked.devnet.ledger("hub").await;
        let link = hub.query(&format!("link/{}", linked.link["link"].as_str().unwrap())).await;
        assert_eq!(link["nodes"].as_array().unwrap().len(), 3, "{link}");
        let config = linked.devnet.home.join("harbour-node-2").join("config.toml");
        let config: toml::Table = std::fs::read_to_string(config).unwrap().parse().unwrap();
        keeps_its_bounds(config["evm"][0]["node_listen"].as_str().unwrap().parse().unwrap()).await;
        linked.share(1, false).await;
    });
}

/// Another word of every lane's leaf than the gateway has.
fn another_word(place: usize, request: &Value, answer: &mut Value) {
    let data = &request["params"][0]["input"];
    let selector = hex(&keccak256(b"laneLeaf(uint32)").0[..4]);
    if !data.as_str().is_some_and(|data| data.starts_with(&format!("0x{selector}"))) {
        return;
    }
    if let Some(words) = answer["result"].as_str() {
        let at = 2 + 64 * place;
        let other = format!("{:0>64}", "66");
        answer["result"] = format!("{}{other}{}", &words[..at], &words[at + 64..]).into();
    }
}

/// What was sent.
fn another_root(request: &Value, answer: &mut Value) {
    another_word(5, request, answer);
}

/// A field that nothing but the hub's verifier reads.
fn another_trust_epoch(request: &Value, answer: &mut Value) {
    another_word(11, request, answer);
}

/// A node of mode 3 with an owner of its own, who has its keys in a folder of its own.
struct Owner<'d> {
    devnet: &'d Devnet,
    name: &'static str,
    listen: SocketAddr,
}

impl<'d> Owner<'d> {
    fn new(devnet: &'d Devnet, name: &'static str) -> Self {
        let it = Self { devnet, name, listen: free_port() };
        let passphrase = it.passphrase();
        for key in ["relayer", NAME] {
            let new = ["key", "new", "--keystore", &it.keys(), "--name", key];
            good(&[&new[..], &["--passphrase-file", &passphrase]].concat());
        }
        it
    }

    fn home(&self) -> PathBuf {
        self.devnet.home.join(self.name)
    }

    fn keys(&self) -> String {
        self.home().join("keys").to_str().unwrap().to_owned()
    }

    fn passphrase(&self) -> String {
        self.devnet.home.join("passphrase").to_str().unwrap().to_owned()
    }

    fn url(&self) -> String {
        format!("http://{}", self.listen)
    }

    /// Proves both keys for the link that is to come; gives the file, and the account.
    fn prove(&self, link: &Value) -> (String, Address) {
        let out = self.home().join("proof.json").to_str().unwrap().to_owned();
        let [hub, link] = ["hub", "link"].map(|key| link[key].as_str().unwrap());
        let (keys, passphrase, url) = (self.keys(), self.passphrase(), self.url());
        let prove = ["link", "prove", "--json", "--hub", hub, "--link", link, "--out", &out];
        let keys = ["--keystore", &keys, "--name", "relayer", "--account", NAME];
        let rest = ["--passphrase-file", &passphrase, "--url", &url];
        let proved = last_json(&good(&[&prove[..], &keys, &rest].concat()));
        (out, proved["chain_key"].as_str().unwrap().parse().unwrap())
    }

    /// Runs its relayer, which serves the link as soon as the gateway is there.
    fn start(&self, chain: &Value, link: &Value, rpc: &Rpc, others: [&str; 2]) {
        let hub = self.devnet.part("hub");
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let config = format!(
            r#"
            home = {home:?}
            acknowledge_after = "500ms"
            [key]
            keystore = "relayer"
            passphrase = {{ file = {passphrase:?} }}
            [hub]
            name = "hub"
            grpc = "http://{serves}"
            chain_id = {hub_id:?}
            [[evm]]
            name = {NAME:?}
            rpc = [{rpc:?}]
            evm_chain_id = 31337
            genesis = {genesis:?}
            gateway = {gateway:?}
            from_block = 0
            account = {NAME:?}
            finality_depth = 0
            node_listen = "{listen}"
            nodes = {others:?}
            "#,
            home = self.home(),
            passphrase = self.passphrase(),
            serves = text(&hub["serves"]),
            hub_id = text(&link["hub"]),
            rpc = rpc.url(),
            genesis = text(&chain["genesis"]),
            gateway = text(&link["gateway"]),
            listen = self.listen,
        );
        std::fs::write(self.home().join("config.toml"), config).unwrap();
        self.devnet.start_as(self.name, "relayer");
    }
}

/// A link in mode 3 of three owners, each of whom has keys that nobody else sees: the network's
/// relayer, Alice's, and Bob's, whose node of the chain is this front.
fn of_three_owners(anvil: &Anvil, front: &FalseFront) -> Integration {
    let devnet = Devnet::up();
    let home = devnet.home.to_str().unwrap();
    let file = devnet.home.join("key.hex");
    std::fs::write(&file, ANVIL_KEY).unwrap();
    let add = ["chain", "add", "evm", "--home", home, "--name", NAME, "--json", "--rpc"];
    let account = ["--key-file", file.to_str().unwrap()];
    let words = [anvil.rpc.url(), "--proof", "none", "--finality-depth", "0"];
    let chain = last_json(&good(&[&add[..], &words, &account].concat()));
    let (alice, bob, ours) =
        (Owner::new(&devnet, "alice"), Owner::new(&devnet, "bob"), free_port().to_string());

    let create = ["link", "create", "--home", home, "--chain", NAME, "--json", "--mode", "3"];
    let create = [&create[..], &["--allow", "weather=share", "--node-listen", &ours]].concat();
    let link = last_json(&good(&[&create[..], &["--dry-run"]].concat()));
    let owners = [&alice, &bob];
    let proofs = owners.map(|owner| owner.prove(&link));
    for (_, account) in &proofs {
        let coins = json!([account.to_string(), "0x56bc75e2d63100000"]);
        let _ = anvil.rpc.call("anvil_setBalance", coins);
    }
    let ours = format!("http://{ours}");
    alice.start(&chain, &link, &anvil.rpc, [&ours, &bob.url()]);
    bob.start(&chain, &link, &front.rpc, [&ours, &alice.url()]);
    // One owner alone is none of several, and a proof is good for its own link.
    assert_eq!(refused(&create)["class"], "E_STATE");
    let other = json!({ "hub": link["hub"], "link": Hash([7; 32]).to_string() });
    let (strange, _) = alice.prove(&other);
    let one = [&create[..], &["--node", &strange]].concat();
    assert_eq!(refused(&one)["class"], "E_AUTH");
    let (again, _) = alice.prove(&link);
    let files = ["--node", &again, "--node", &proofs[1].0];
    let created = last_json(&good(&[&create[..], &files].concat()));
    assert_eq!(created["link"], link["link"]);
    Integration::of(devnet, &anvil.rpc, created)
}

/// Mode 3 of three owners, where one of the three reads from a node that lies: nothing of the lie
/// passes, whoever signed it is convicted by what it asked the others to sign, and the others go on.
/// The lying node is a fake: a front of a real one.
///
/// Attack: A23, A26. Req: Y4560-10.2-3.1, Y4560-10.2-3.2, PRJ-1-1
#[test]
fn a23_of_three_shared_nodes_the_one_that_lies_is_named_and_left_out() {
    let _alone = alone();
    let Some(anvil) = Anvil::start(&["--block-time", "1"]) else { return };
    let front = FalseFront::of(&anvil.rpc, another_root);
    let linked = of_three_owners(&anvil, &front);
    let home = linked.devnet.home.to_str().unwrap();
    let doctor = ["chain", "doctor", "--json", "--chain", NAME, "--home", home];
    assert_eq!(last_json(&good(&doctor))["faults"], 0);
    run(async {
        linked.share(1, false).await;
        front.lie(true);
        let hub = linked.devnet.ledger("hub").await;
        let link = format!("link/{}", linked.link_id());
        let liar = until("the node that lies is suspended", || async {
            let nodes = hub.query(&link).await["nodes"].as_array().unwrap().clone();
            assert!(nodes.iter().filter(|node| node["suspended"] == true).count() <= 1);
            let found = nodes.into_iter().find(|node| node["suspended"] == true)?;
            Some(found["hub_key"].as_str().unwrap().to_owned())
        })
        .await;
        linked.share(2, false).await;

        let ill = tombolo(&doctor);
        assert_eq!(ill.status.code(), Some(1));
        let ill = last_json(&String::from_utf8(ill.stdout).unwrap());
        let findings = ill["findings"].as_array().unwrap();
        let bad = |what| findings.iter().find(|it| it["what"] == what && it["good"] == false);
        let named = |what, who: &str| bad(what).unwrap()["found"].as_str().unwrap().contains(who);
        assert!(named("attests", &liar), "{ill}");
        let bob = linked.devnet.home.join("bob").join("keys");
        let bob = good(&["key", "list", "--json", "--keystore", bob.to_str().unwrap()]);
        assert!(bob.contains(&liar), "{bob}");
        assert!(linked.devnet.log("relayer").contains(&liar));
        // The one that is convicted counts no more, also where it tells the truth again.
        front.lie(false);
        linked.share(2, false).await;
    });
}

/// A trusted node that attests what the chain's own proof does not hold: nothing of it is taken, the
/// node's log calls an operator, and the record names it. What it attests of the hub still passes.
async fn a_lie_is_found_out(linked: &Integration, front: &FalseFront) {
    let hub = linked.devnet.ledger("hub").await;
    let waiting = || async {
        let lane = hub.data_lane(linked.link_id()).await;
        lane.size - lane.taken
    };
    until_within(FINAL_TWICE, "all is acknowledged", || async {
        (waiting().await == 0).then_some(())
    })
    .await;
    front.lie(true);
    linked.share(1, false).await;
    let query = ["audit", "query", "--json", "--node", hub.client.address()];
    let link = linked.link["link"].as_str().unwrap();
    let query = [&query[..], &["--link", link, "--class", "E_TAMPER"]].concat();
    let found = until_within(FINAL_TWICE, "the hub has refused it", || async {
        good(&query).lines().next().map(str::to_owned)
    })
    .await;
    let relayer = linked.devnet.party("relayer").identity().to_string();
    assert!(found.contains(&relayer), "{found}");
    assert!(waiting().await > 0);
    let alarms = ["ERROR", "link is stuck", "E_TAMPER"];
    until("the relayer calls an operator", || async {
        let log = linked.devnet.log("relayer");
        log.lines().any(|line| alarms.iter().all(|word| line.contains(word))).then_some(())
    })
    .await;
    front.lie(false);
    until_within(FINAL_TWICE, "what was meant is taken", || async {
        (waiting().await == 0).then_some(())
    })
    .await;
}

/// Mode 2 on geth's chain for developers, which has no root of its own: every record says so.
///
/// Req: Y4560-10.2-2.1, PRJ-1-1
#[test]
fn an_islet_and_a_development_geth_share_commit_and_move_by_a_trusted_node() {
    let _alone = alone();
    let Some(geth) = GethDev::start() else { return };
    let funded = geth.sender();
    let words = ["--proof", "none", "--finality-depth", "0"];
    let linked = Integration::new(Devnet::up(), &geth.rpc, GETH_KEY, &words, "2");
    run(async {
        linked.share(1, true).await;
        linked.commit(&funded).await;
        linked.move_item().await;
    });
}

/// Mode 2 on a chain with a root of its own: the trusted node is bounded by the chain's seals, also
/// where it lies.
///
/// Attack: A23. Req: Y4560-10.2-2.1, PRJ-1-1
#[test]
fn a_trusted_node_is_bounded_by_the_seals_of_a_clique_chain() {
    let _alone = alone();
    let Some(network) = Clique::start(1, 1_000) else { return };
    let front = FalseFront::of(network.rpc(), another_trust_epoch);
    let proof = ["--proof", "clique", "--clique-period", "1", "--clique-epoch", "1000"];
    let words = [&proof[..], &["--finality-depth", "2"]].concat();
    let linked = Integration::new(Devnet::up(), &front.rpc, GETH_KEY, &words, "2");
    run(async {
        linked.share(1, false).await;
        linked.commit(&network.sender()).await;
        a_lie_is_found_out(&linked, &front).await;
    });
}

/// The same on proof of stake: it is bounded by the sync committees.
///
/// Attack: A23. Req: Y4560-10.2-2.1, PRJ-1-1
#[test]
fn a_trusted_node_is_bounded_by_the_sync_committees_of_proof_of_stake() {
    if std::env::var_os(LONG).is_none() {
        return skipped(&format!("mode 2 on proof of stake takes minutes; set {LONG}=1"));
    }
    let _alone = alone();
    let Some(network) = Beacon::start() else { return };
    // There must be something final to start from.
    let _ = network.finality_update(8);
    let front = FalseFront::of(&network.execution, another_trust_epoch);
    let words = ["--proof", "beacon", "--beacon", network.consensus.url()];
    let linked = Integration::new(Devnet::up(), &front.rpc, GETH_KEY, &words, "2");
    run(async {
        linked.share(1, false).await;
        a_lie_is_found_out(&linked, &front).await;
    });
}
